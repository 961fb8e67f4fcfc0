"""How far a long command has come, on stderr: a bar on a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cutover.cli.output import say
from cutover.text import duration

if TYPE_CHECKING:
    from cutover.postgres.progress import Listener, Progress

EVERY_S = 5.0
"""Seconds between two lines where there is no terminal."""

AFTER_S = 0.5
"""Seconds before a bar is drawn: short work draws none."""

_DOING = {"digest": "Reading", "locate": "Finding the rows that differ"}


@contextmanager
def watch(quiet: bool = False) -> Iterator[Listener]:
    """A listener for the length of the block; the bar is gone when it ends, so that what follows stands alone."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bars() as listener:
            yield listener
    else:
        yield _Lines()


def describe(progress: Progress) -> str:
    """`12,345 of about 1,000,000 rows, 98,000 rows/s, 10 s left`, or the same in units where rows are not counted."""
    done, total, unit = progress.done, progress.total, progress.unit
    about = ""
    if progress.rows_total:
        done, total, unit, about = progress.rows, max(progress.rows, progress.rows_total), "rows", "about "
    parts = [f"{done:,} of {about}{total:,} {unit}" if total else f"{done:,} {unit}"]
    if progress.rate is not None and progress.elapsed_s > 0.5:
        parts.append(f"{progress.rate:,.0f} {unit}/s")
        if progress.seconds_left:
            parts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)


class _Lines:
    """A line at most every `EVERY_S` seconds, the first only after as long: short work says nothing."""

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY_S

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_S
            say(f"{_DOING.get(progress.stage, progress.stage)}: {describe(progress)}")


@contextmanager
def _bars() -> Iterator[Listener]:
    """A bar that is drawn ten times a second at most, and not at all for short work."""
    from tqdm import tqdm  # noqa: PLC0415 - only where somebody looks

    shape = "{desc} {percentage:3.0f} % |{bar}| {postfix}"
    bars: list[tqdm[Any]] = []
    due = time.monotonic() + AFTER_S

    def listen(progress: Progress) -> None:
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + 0.1
        if not bars:
            bars.append(tqdm(total=1.0, bar_format=shape, leave=False, file=sys.stderr, dynamic_ncols=True))
        bar = bars[0]
        bar.n = progress.share or 0.0
        bar.set_description_str(_DOING.get(progress.stage, progress.stage), refresh=False)
        bar.set_postfix_str(describe(progress), refresh=True)

    try:
        yield listen
    finally:
        for bar in bars:
            bar.close()
