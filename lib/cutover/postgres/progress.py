"""How far a long piece of work has come, told to whoever asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long piece of work.

    Attributes:
        stage: `dump`, `restore`, `analyze`, `digest`, `locate` or `moving`.
        done: units done so far.
        total: units in all, 0 when unknown.
        unit: what is counted: `tables`, `rows`, `pieces`.
        note: what was just finished or begun, such as a table's name.
        rows, rows_total: rows done and in all; the total is an estimate, 0 when unknown.
        bytes, bytes_total: bytes done and in all; the same.
        started: when the stage began, on the monotonic clock in seconds; 0 when nobody said.
        at: when this was told, on the same clock.
    """

    stage: str
    done: int
    total: int
    unit: str
    note: str = ""
    rows: int = 0
    rows_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    started: float = 0.0
    at: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the stage began; 0 when nobody said when."""
        return max(0.0, self.at - self.started) if self.started else 0.0

    @property
    def rate(self) -> float | None:
        """A second's worth of rows where rows are counted, else of bytes, else of units; None when not known yet."""
        return (self.rows or self.bytes or self.done) / self.elapsed_s if self.elapsed_s else None

    @property
    def share(self) -> float | None:
        """How much of it is done, 0 to 1: by bytes where they are counted, else by rows, else by units."""
        for done, total in ((self.bytes, self.bytes_total), (self.rows, self.rows_total), (self.done, self.total)):
            if total > 0:
                return min(1.0, done / total)
        return None

    @property
    def seconds_left(self) -> float | None:
        """About how long it will still take at the rate so far; None when not known yet."""
        if self.total and self.done >= self.total:
            return 0.0
        share = self.share
        return self.elapsed_s * (1 - share) / share if share and self.elapsed_s else None


Listener = Callable[[Progress], None]
"""Called from the thread that works (one at a time); it must be quick and must not raise."""
