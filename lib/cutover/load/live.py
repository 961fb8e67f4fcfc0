"""What travels from the workers to the master while a load runs: a histogram and counts for each second.

The histograms are HDR (Gil Tene, hdrhistogram.org) with three significant digits: a percentile of the merged ones is
within 0.1 % of the exact one. They are for looking; the verdict on record comes from the rows.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

LONGEST_S = 3600.0
DIGITS = 3
PRECISION = 10.0**-DIGITS
"""Relative error of a percentile of the histograms."""
KEPT_SECONDS = 900
"""How many seconds the master keeps one by one; what is older is in the total only, so that its memory stays."""

Floats = npt.NDArray[np.float64]


def histogram() -> Any:
    """An empty one, in microseconds up to an hour."""
    return HdrHistogram(1, int(LONGEST_S * 1e6), DIGITS)


class Sketch:
    """The seconds of one worker that have not been told yet."""

    def __init__(self) -> None:
        self._seconds: dict[int, tuple[Any, list[int]]] = {}

    def add(self, response_s: Floats, done_s: Floats, error: npt.NDArray[np.bool_]) -> None:
        """What is done: response times and ends in seconds, and whether it counts as an error."""
        for second in np.unique(np.floor(done_s)):
            ours = np.floor(done_s) == second
            sketch, counts = self._seconds.setdefault(int(second), (histogram(), [0, 0]))
            counts[0] += int(ours.sum())
            counts[1] += int(error[ours].sum())
            micros = np.clip(np.rint(response_s[ours] * 1e6), 1, LONGEST_S * 1e6)
            # Rounded to a tenth of the histogram's own precision, so that few distinct values are left to record.
            scale = 10.0 ** np.maximum(0, np.floor(np.log10(micros)) - DIGITS - 1)
            for value, count in zip(*np.unique(np.rint(micros / scale) * scale, return_counts=True), strict=True):
                sketch.record_value(int(value), int(count))

    def drain(self) -> list[list[Any]]:
        """What was not told yet, and is from now on: `[second, encoded histogram, count, errors]` each."""
        told = [[second, bytes(sketch.encode()), *counts] for second, (sketch, counts) in self._seconds.items()]
        self._seconds.clear()
        return told


@dataclass(slots=True)
class WorkerSeen:
    """One worker, as the master sees it.

    Attributes:
        skew_s: by how much its clock is behind the master's, at most: the smallest difference seen, which holds the
            fastest message's time on the way.
        first_at, last_at: epoch seconds of the first and the last report, by the master's clock.
    """

    skew_s: float
    first_at: float
    last_at: float


@dataclass(slots=True)
class LiveView:
    """What the master knows of all workers together; its memory does not grow with the run."""

    total: Any = field(default_factory=histogram)
    requests: int = 0
    errors: int = 0
    seconds: OrderedDict[int, tuple[Any, int, int]] = field(default_factory=OrderedDict)
    workers: dict[str, WorkerSeen] = field(default_factory=dict)

    def add(self, worker: str, told: list[list[Any]], *, clock: float, now: float) -> None:
        """One report: what `Sketch.drain` gave, the worker's clock when it sent it, and the master's now."""
        seen = self.workers.setdefault(worker, WorkerSeen(now - clock, now, now))
        if abs(now - clock) < abs(seen.skew_s):
            seen.skew_s = now - clock
        seen.last_at = now
        for second, blob, count, errors in told:
            self.requests += count
            self.errors += errors
            self.total.decode_and_add(blob)
            merged, n, bad = self.seconds.get(second) or (histogram(), 0, 0)
            merged.decode_and_add(blob)
            self.seconds[second] = (merged, n + count, bad + errors)
        while len(self.seconds) > KEPT_SECONDS:
            del self.seconds[min(self.seconds)]

    def percentile(self, percent: float) -> float:
        """Of the response times of everything that is done, by nearest rank as for the rows, seconds; NaN of none."""
        if not self.requests:
            return math.nan
        rank = max(1, math.ceil(percent / 100 * self.requests - 1e-9))
        return float(self.total.get_value_at_percentile(100 * rank / self.requests)) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: counts, percentiles, and each worker's clock."""
        shown = {f"p{p}_s": self.percentile(p) for p in (50, 95, 99)} if self.requests else {}
        workers = {
            name: {"skew_s": round(seen.skew_s, 4), "first_at": seen.first_at, "last_at": seen.last_at}
            for name, seen in self.workers.items()
        }
        return {"requests": self.requests, "errors": self.errors, **shown, "precision": PRECISION, "workers": workers}
