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
from pathlib import Path
from typing import Any

import gevent
import gevent.local
import gevent.pool
import gevent.socket
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, events, task
from locust.exception import StopUser

from cutover.load import together
from cutover.load.recorder import Recorder, clock
from cutover.load.settings import Settings

FLUSH_EVERY_S = 0.5
PULSE_S = 0.02
SESSIONS_WITHIN_S = 2.0
NO_PLACE = "(no place for a request)"
_log = logging.getLogger(__name__)
_arrival = gevent.local.local()


class _Process:
    """What the greenlets of one process share: settings, the log, the lifeline."""

    def __init__(self) -> None:
        self.settings = Settings.from_environment()
        self.rng = random.Random()  # noqa: S311 - arrivals, not secrets
        self._recorder: Recorder | None = None
        self._pid = 0
        self._folder = self.settings.folder
        self.reports = False

    def join(self, environment: Any) -> None:
        """Take part in a run of several workers, if this is one."""
        self.reports = together.is_worker(environment)
        if self.reports and not self._folder and self.settings.arrivals_per_s > 0:
            self._folder = tempfile.mkdtemp(prefix="cutover-load-")  # on another machine: the rows are sent along
        together.begin_collecting(environment, self.settings.folder)

    @property
    def recorder(self) -> Recorder | None:
        """The log of this process: opened at the first use, because `--processes` forks after the import."""
        if self._recorder is None or self._pid != os.getpid():
            if not self._folder:
                return None
            self._pid = os.getpid()
            path = Path(self._folder) / f"worker-{self._pid}.arrows"
            self._recorder = Recorder(path, self.settings.public())
            if self.reports:
                together.begin_reporting(self._recorder, None if self.settings.folder else path)
            gevent.spawn(self._flush_for_ever, self._recorder)
            gevent.spawn(self._feel_the_pulse, self._recorder)
        return self._recorder

    def close(self, reason: str) -> None:
        """End the log of this process, if it has one."""
        if self._recorder is not None and self._pid == os.getpid():
            self._recorder.close(reason)

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
        endpoint = name or f"{method} {path}"
        sent = clock()
        due = getattr(_arrival, "due", None) or sent
        _arrival.due, _arrival.asked = None, True
        recorder = PROCESS.recorder
        seq = recorder.sent(due, sent, endpoint) if recorder else 0
        outcome, status, size = "in_flight", 0, 0
        deadline = gevent.Timeout(PROCESS.settings.timeout_s)
        deadline.start()
        try:
            with self.client.request(method, path, name=endpoint, catch_response=True, **kwargs) as response:
                deadline.close()
                status = int(response.status_code or 0)
                size = int(response.request_meta.get("response_length") or 0)
                error = response.request_meta.get("exception")
                finished = clock()
                outcome = _outcome(status, error, expect, check, response)
                if outcome == "ok":
                    response.success()
                else:
                    response.failure(f"{outcome} {status}" if status else f"{outcome}: {error!r}")
            return response
        except gevent.Timeout as late:
            if late is not deadline:
                raise
            outcome, finished = "timeout", clock()
            return None
        finally:
            deadline.close()
            # A greenlet that is killed at the end of the run leaves its request in flight, which it was.
            if recorder and outcome != "in_flight" and not recorder.closed:
                recorder.done(seq, finished, outcome, status, size)


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
        if settings.arrivals_per_s <= 0 or (recorder and recorder.next_due is not None):
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
            if recorder:
                recorder.next_due = due
            gevent.sleep(max(0.0, due - clock()))
            if not pool.full():
                pool.spawn(self._visit, due)
                gevent.sleep(0)  # until its request is in the log: only then may `next_due` go on
            elif recorder:
                recorder.never_sent(due, NO_PLACE)
        if recorder:
            recorder.next_due, recorder.all_came = start + settings.duration_s, True
        gevent.sleep(max(0.0, start + settings.duration_s - clock()))
        pool.join(timeout=settings.timeout_s + 1)
        PROCESS.close("complete")
        raise StopUser

    def _visit(self, due: float) -> None:
        _arrival.due, _arrival.asked = due, False
        visitor = PROCESS.rng.choices(self._crowd, self._weights)[0]
        action: Any = PROCESS.rng.choice(visitor.tasks)
        try:
            action(visitor)
        except Exception:
            _log.exception("a visitor's task failed: %s", getattr(action, "__name__", action))
        if not _arrival.asked and PROCESS.recorder and not PROCESS.recorder.closed:
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
