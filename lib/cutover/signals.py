"""The owner of signals: a way out for a command, a request to stop for a run, an event for a server.

Each holds while it is entered and puts back what was before; the innermost one is asked.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def way_out() -> Iterator[None]:
    """The first SIGTERM or SIGHUP raises SystemExit(128 + number), so that what was started is stopped; later ones not.

    Outside the main thread Python delivers no signals: there it does nothing.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for one in _SIGNALS[1:]:
            signal.signal(one, signal.SIG_IGN)
        sys.stderr.write("Terminated: stopping what was started …\n")
        raise SystemExit(128 + number)

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, leave) for number in _SIGNALS[1:]} if main else {}
    try:
        yield
    finally:
        _put_back(before)


def stop_event() -> threading.Event:
    """For a program that serves until SIGTERM or SIGINT: set by either."""
    stop = threading.Event()
    for number in _SIGNALS[:2]:
        signal.signal(number, lambda *_: stop.set())
    return stop


class StopRequest:
    """While entered, the first SIGINT or SIGTERM is noted in `number` and wakes who waits; the rest are passed over.

    Outside the main thread Python delivers no signals: there it notes nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._listener: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _put_back(self._before)

    async def wait(self) -> None:
        """Return when a stop is asked for."""
        event = asyncio.Event()
        self._listener = (asyncio.get_running_loop(), event)
        try:
            if self.number is None:
                await event.wait()
        finally:
            self._listener = None

    def request(self, number: int) -> None:
        """Ask for a stop as the signal would."""
        self._note(number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            # A session that hangs up ends the run as SIGTERM does: stopped in order, with its evidence.
            self.number = signal.SIGTERM if number == signal.SIGHUP else number
        if self._listener:
            loop, event = self._listener
            loop.call_soon_threadsafe(event.set)


def _put_back(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)
