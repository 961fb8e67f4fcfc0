"""The visitors of the fault suite: each asks for one page, the one that the address of the load names."""

from __future__ import annotations

from typing import Any

from locust import task

from cutover.load import inside_locust
from cutover.load.inside_locust import PROCESS, RecordedUser


class Visitor(RecordedUser):
    """Asks once."""

    weight = 1

    @task
    def ask(self) -> Any:
        """GET what the address of the load names."""
        return self.call("GET", "", name="GET the page")


class OpenArrivals(inside_locust.OpenArrivals):
    """They come when they are due."""

    abstract = PROCESS.settings.arrivals_per_s <= 0
    visitors = (Visitor,)
