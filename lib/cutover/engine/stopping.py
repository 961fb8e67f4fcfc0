"""SIGINT and SIGTERM as a request to stop: nothing is torn down at a random line of code."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

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
