"""What runs inside Locust: visitors whose requests are recorded, and open arrivals that do not wait for answers.

Only locustfiles import this module: it imports Locust, which patches the standard library for gevent and so must
never be imported into a kernel or into the driver.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import tempfile
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import gevent
import gevent.pool
import gevent.socket
from gevent import getcurrent
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, events, task
from locust.event import EventHook
from locust.exception import CatchResponseError, StopUser

from cutover.load import together
from cutover.load.recorder import EPOCH, Recorder, clock
from cutover.load.settings import Settings

FLUSH_EVERY_S = 0.5
PULSE_S = 0.02
SESSIONS_WITHIN_S = 2.0
NO_PLACE = "(no place for a request)"
_log = logging.getLogger(__name__)


_Asked = tuple[int, Collection[int], "Callable[[Any], bool] | None"]


class _Late(gevent.Timeout):  # type: ignore[misc]
    """A request's own deadline; anybody else's timeout goes its way."""


class _Process:
    """What the greenlets of one process share: settings, the log, the lifeline."""

    def __init__(self) -> None:
        self.settings = Settings.from_environment()
        self.rng = random.Random()  # noqa: S311 - arrivals, not secrets
        self._folder = self.settings.folder
        self.reports = False
        os.register_at_fork(after_in_child=lambda: self.__dict__.pop("recorder", None))  # a log of its own

    def join(self, environment: Any) -> None:
        """Take part in a run of several workers, if this is one."""
        self.reports = together.is_worker(environment)
        if self.reports and not self._folder and self.settings.arrivals_per_s > 0:
            self._folder = tempfile.mkdtemp(prefix="cutover-load-")  # on another machine: the rows are sent along
        together.begin_collecting(environment, self.settings.folder)

    @cached_property
    def recorder(self) -> Recorder:
        """The log of this process, opened at the first use; one that writes nothing without a folder."""
        path = Path(self._folder) / f"worker-{os.getpid()}.arrows" if self._folder else None
        recorder = Recorder(path, self.settings.public())
        if self.reports:
            together.begin_reporting(recorder, None if self.settings.folder else path)
        for work in (self._flush_for_ever, self._feel_the_pulse, self._end_the_late):
            gevent.spawn(work, recorder)
        return recorder

    def close(self, reason: str) -> None:
        """End the log of this process, if it has one."""
        if "recorder" in self.__dict__:
            self.recorder.close(reason)

    @staticmethod
    def _flush_for_ever(recorder: Recorder) -> None:
        while not recorder.closed:
            gevent.sleep(FLUSH_EVERY_S)
            if not recorder.closed:
                recorder.flush()

    @staticmethod
    def _feel_the_pulse(recorder: Recorder) -> None:
        """How late a greenlet wakes up: every answer may have been noticed as late as that."""
        while not recorder.closed:
            asleep = clock()
            gevent.sleep(PULSE_S)
            recorder.lag_s = max(recorder.lag_s, clock() - asleep - PULSE_S)

    def _end_the_late(self, recorder: Recorder) -> None:
        """Throw `_Late` into whoever waits too long.

        All may wait equally long, so the oldest is the next that is late, and whoever comes while this sleeps is late
        only after it wakes up: no timer for each request, which would cost a fiftieth of what this process can send.
        """
        timeout, told = self.settings.timeout_s, 0

        def throw(seq: int, greenlet: Any) -> None:  # in the hub, so it still waits for its answer
            if seq in recorder.open and not greenlet.dead:
                greenlet.throw(_Late())

        while not recorder.closed:
            now, wake = clock(), clock() + timeout
            for seq, (_, sent, _, greenlet) in recorder.open.items():
                if sent + timeout > now:
                    wake = sent + timeout
                    break
                if seq > told:
                    told = seq
                    gevent.get_hub().loop.run_callback(throw, seq, greenlet)
            gevent.sleep(max(0.001, wake - clock()))


class _Judged:
    """Stands where Locust's request event is for a visitor's client: says how a request ended before others hear of it.

    Locust's own way (`catch_response`) makes a second response of each, which costs a twentieth of the throughput.
    """

    def __init__(self, event: EventHook) -> None:
        self._event = event

    def fire(self, **meta: Any) -> None:
        """Record the request, and tell Locust's listeners of it by our own outcome."""
        asked: _Asked | None = meta["context"].pop("asked", None)
        if asked is not None:
            finished = EPOCH + perf_counter()
            seq, expect, check = asked
            response, error = meta["response"], meta["exception"]
            status, outcome = response.status_code, "ok"
            if error is not None or check is not None or status not in expect:
                outcome = _outcome(status, error, expect, check, response)
                said = f"{outcome} {status}" if status else f"{outcome}: {error!r}"
                meta["exception"] = None if outcome == "ok" else CatchResponseError(said)
            PROCESS.recorder.done(seq, finished, outcome, status, meta["response_length"])
        self._event.fire(**meta)  # type: ignore[no-untyped-call]


PROCESS = _Process()


class _Pool(HTTPClientPool):
    """Connections without silent retries: a client of geventhttpclient tries again as often as its pool is large.

    With room for 1,000 requests, a platform that closes each connection would be asked 1,000 times for one visitor,
    and one that closes every second connection would look healthy.
    """

    def get_client(self, *args: Any, **kwargs: Any) -> Any:
        client = super().get_client(*args, **kwargs)
        client._connection_pool.size = -1
        return client


class RecordedUser(FastHttpUser):
    """A visitor whose requests are recorded with the time they were due, sent and done."""

    abstract = True
    connection_timeout = PROCESS.settings.timeout_s
    network_timeout = PROCESS.settings.timeout_s

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.client.request_event = _Judged(environment.events.request)

    def call(
        self,
        method: str,
        path: str,
        *,
        name: str = "",
        expect: Collection[int] = (200,),
        check: Callable[[Any], bool] | None = None,
        **kwargs: Any,
    ) -> Any:
        """One request, recorded.

        Args:
            method: HTTP method.
            path: path below the host.
            name: the endpoint in tables, with placeholders instead of ids; `METHOD path` when empty.
            expect: the statuses that are right.
            check: says of a response with a right status whether its content is right.
            kwargs: as for `FastHttpUser.client.request` (headers, json, …).

        Returns:
            Locust's response; its `status_code` is 0 when there was none.
        """
        greenlet, recorder, name = getcurrent(), PROCESS.recorder, name or f"{method} {path}"
        sent = EPOCH + perf_counter()  # not `clock()`: the overhead of a request is counted in calls
        seq = recorder.sent(greenlet.__dict__.pop("due", sent), sent, name, greenlet)
        asked = {"asked": (seq, expect, check)}
        try:
            # A greenlet that is killed at the end of the run leaves its request in flight, which it was.
            return self.client.request(method, path, name, catch_response=False, context=asked, **kwargs)
        except _Late:
            recorder.done(seq, clock(), "timeout", 0, 0)
            return None


def _outcome(
    status: int, error: Exception | None, expect: Collection[int], check: Callable[[Any], bool] | None, response: Any
) -> str:
    # geventhttpclient wraps what it caught, our deadline too
    if isinstance(getattr(error, "original", error), gevent.Timeout | TimeoutError):
        return "timeout"
    if not status:
        return "connection"
    if status in expect:
        return "ok" if check is None or _holds(check, response) else "check"
    if status >= 500:
        return "http_5xx"
    return "http_4xx" if status >= 400 else "check"


def _holds(check: Callable[[Any], bool], response: Any) -> bool:
    try:
        return bool(check(response))
    except Exception:
        _log.debug("a response could not be checked", exc_info=True)
        return False


class OpenArrivals(RecordedUser):
    """Sends visitors when they are due, however long the earlier ones wait. One for each process."""

    abstract = True
    visitors: Sequence[type[RecordedUser]] = ()
    concurrency = max(1, PROCESS.settings.concurrency // max(1, PROCESS.settings.workers))
    client_pool = None

    def __init__(self, environment: Any) -> None:
        timeout = PROCESS.settings.timeout_s
        self.client_pool = _Pool(
            concurrency=self.concurrency,
            connection_timeout=timeout,
            network_timeout=timeout,
            insecure=self.insecure,
            ssl_context_factory=gevent.ssl._create_unverified_context if self.insecure else None,
        )
        super().__init__(environment)
        for kind in self.visitors:
            kind.host = self.host  # Locust sets it for the classes that it spawns itself
        self._crowd = [kind(environment) for kind in self.visitors]
        self._weights = [kind.weight for kind in self.visitors]
        for visitor in self._crowd:
            visitor.client = self.client

    @task
    def arrive(self) -> None:
        """Let visitors come for the whole duration, wait for the last answers, end the log."""
        settings = PROCESS.settings
        recorder = PROCESS.recorder
        if settings.arrivals_per_s <= 0 or recorder.next_due is not None:
            raise StopUser
        worker = max(0, getattr(self.environment.runner, "worker_index", 0))
        if settings.seed >= 0:
            PROCESS.rng.seed(settings.seed * 1000 + worker)
        # Sessions first; but a platform that hangs from the start must not keep visitors away.
        gevent.joinall([gevent.spawn(visitor.on_start) for visitor in self._crowd], timeout=SESSIONS_WITHIN_S)
        pool = gevent.pool.Pool(self.concurrency)
        start = clock()
        for offset in settings.arrivals().due(PROCESS.rng, worker=worker, workers=settings.workers):
            due = start + offset
            recorder.next_due = due
            gevent.sleep(max(0.0, due - clock()))
            if not pool.full():
                pool.spawn(self._visit, due)
                gevent.sleep(0)  # until its request is in the log: only then may `next_due` go on
            else:
                recorder.never_sent(due, NO_PLACE)
        recorder.next_due, recorder.all_came = start + settings.duration_s, True
        gevent.sleep(max(0.0, start + settings.duration_s - clock()))
        pool.join(timeout=settings.timeout_s + 1)
        PROCESS.close("complete")
        raise StopUser

    def _visit(self, due: float) -> None:
        getcurrent().__dict__["due"] = due
        visitor = PROCESS.rng.choices(self._crowd, self._weights)[0]
        action: Any = PROCESS.rng.choice(visitor.tasks)
        try:
            action(visitor)
        except Exception:
            _log.exception("a visitor's task failed: %s", getattr(action, "__name__", action))
        if "due" in getcurrent().__dict__ and not PROCESS.recorder.closed:
            # A visitor that was due and asked for nothing must not vanish from the count.
            recorder, now = PROCESS.recorder, clock()
            recorder.done(recorder.sent(due, now, f"({type(visitor).__name__})"), clock(), "check", 0, 0)


def _join(environment: Any, **_: Any) -> None:
    PROCESS.join(environment)


def _hold_the_lifeline(**_: Any) -> None:
    """End with the driver, however it ends, and obey SIGINT even where the shell had it ignored."""
    if PROCESS.settings.lifeline < 0:
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait() -> None:
        gevent.socket.wait_read(PROCESS.settings.lifeline)
        PROCESS.close("the driver is gone")
        os._exit(1)

    gevent.spawn(wait)


def _end_the_log(**_: Any) -> None:
    PROCESS.close("stopped")


together.report_often()
events.init.add_listener(_join)  # type: ignore[no-untyped-call]
events.init.add_listener(_hold_the_lifeline)  # type: ignore[no-untyped-call]
events.quitting.add_listener(_end_the_log)  # type: ignore[no-untyped-call]
