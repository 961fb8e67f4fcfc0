"""Visitors whose own program blocks its event loop for 60 ms each: a load generator that cannot keep up."""

from __future__ import annotations

from gevent import monkey
from locust import task

from cutover.load import inside_locust
from cutover.load.inside_locust import PROCESS, RecordedUser

BLOCKED_S = 0.06
_block = monkey.get_original("time", "sleep")


class Visitor(RecordedUser):
    """Asks once, after having held up everybody else."""

    weight = 1

    @task
    def ask(self) -> None:
        """GET what the address of the load names."""
        _block(BLOCKED_S)
        self.call("GET", "", name="GET the page")


class OpenArrivals(inside_locust.OpenArrivals):
    """They come when they are due, as far as they can."""

    abstract = PROCESS.settings.arrivals_per_s <= 0
    visitors = (Visitor,)
