"""When visitors arrive: schedules of due times that do not depend on how fast the platform answers.

An open model (Schroeder, Wierman, Harchol-Balter, "Open Versus Closed", NSDI 2006): visitors come because they want
to, not because the last one was served. A closed loop stops asking when the platform stops answering, and so
measures a stall with a handful of requests (coordinated omission).

A shape is a rate over time, straight between its points. Poisson arrivals of any such rate are those of rate one on
the clock of the expected count (Çinlar, "Introduction to Stochastic Processes", 1975, section 4.7).
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cutover.errors import UsageError

Point = tuple[float, float]
"""Seconds from the start, arrivals a second."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When visitors are due, over all workers.

    Attributes:
        points: the rate over time, straight in between; two points at one moment are a jump.
        even: evenly spaced instead of by chance.
        offsets: due times themselves, in seconds from the start and in order (a replayed log); then `points` say
            nothing but the mean rate.
    """

    points: tuple[Point, ...]
    even: bool = False
    offsets: tuple[float, ...] = ()

    @property
    def duration_s(self) -> float:
        """When the last point is."""
        return self.points[-1][0]

    def rate(self, second: float) -> float:
        """Arrivals a second that are scheduled at a moment (seconds from the start); 0 outside."""
        for (t0, r0), (t1, r1) in pairwise(self.points):
            if t0 <= second < t1:
                return r0 + (r1 - r0) * (second - t0) / (t1 - t0)
        return 0.0

    def expected(self, start: float, end: float) -> float:
        """How many arrivals are scheduled between two moments (seconds from the start)."""
        if self.offsets:
            return float(sum(start <= offset < end for offset in self.offsets))
        return _count(self.points, min(end, self.duration_s)) - _count(self.points, max(start, 0.0))

    def due(self, rng: random.Random, *, worker: int = 0, workers: int = 1) -> Iterator[float]:
        """Due times of one worker in seconds from the start, ascending, the last before the end.

        Several workers with generators of their own are together the schedule: Poisson processes add up, and even or
        replayed arrivals are dealt out in turn.
        """
        if self.offsets:
            yield from self.offsets[worker::workers]
        elif self.even:
            total = _count(self.points, self.duration_s)
            yield from _invert(self.points, (float(k) for k in range(worker, math.ceil(total - 1e-9), workers)))
        else:
            yield from _invert(_scaled(self.points, 1 / workers), _unit_poisson(rng))

    def to_json(self) -> str:
        """For the environment of the workers."""
        return json.dumps({"points": self.points, "even": self.even, "offsets": self.offsets})

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """The inverse of `to_json`.

        Raises:
            UsageError: the text is none.
        """
        try:
            raw = json.loads(text)
            points = tuple((float(t), float(r)) for t, r in raw["points"])
            return cls(points, bool(raw["even"]), tuple(float(o) for o in raw["offsets"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"CUTOVER_LOAD_SCHEDULE is no schedule: {error}", todo="unset it") from None


def steady(per_s: float, duration_s: float, *, even: bool = False) -> Schedule:
    """The same rate throughout, by chance or evenly.

    Raises:
        ValueError: a rate or a duration that is not positive.
    """
    if not (per_s > 0 and duration_s > 0):
        raise ValueError(f"arrivals need a rate and a duration above zero, not {per_s} a second for {duration_s} s")
    return Schedule(((0.0, per_s), (duration_s, per_s)), even)


def _unit_poisson(rng: random.Random) -> Iterator[float]:
    total = 0.0
    while True:
        total += rng.expovariate(1.0)
        yield total


def _scaled(points: Sequence[Point], factor: float) -> tuple[Point, ...]:
    return tuple((t, r * factor) for t, r in points)


def _count(points: Sequence[Point], until: float) -> float:
    """Arrivals expected before a moment: the area below the rate."""
    total = 0.0
    for (t0, r0), (t1, r1) in pairwise(points):
        if t0 >= until:
            break
        end = min(t1, until)
        slope = (r1 - r0) / (t1 - t0) if t1 > t0 else 0.0
        total += r0 * (end - t0) + slope * (end - t0) ** 2 / 2
    return total


def _invert(points: Sequence[Point], counts: Iterator[float]) -> Iterator[float]:
    """The moments at which so many are expected to have come; ends where the points do."""
    before, segments = 0.0, list(pairwise(points))
    index = 0
    for count in counts:
        while index < len(segments):
            (t0, r0), (t1, r1) = segments[index]
            area = (r0 + r1) / 2 * (t1 - t0)
            if count < before + area:
                slope = (r1 - r0) / (t1 - t0)
                rest = count - before
                # The smaller root of slope/2 x^2 + r0 x = rest, in the form that does not cancel.
                yield t0 + 2 * rest / (r0 + math.sqrt(max(0.0, r0 * r0 + 2 * slope * rest))) if rest else t0
                break
            before, index = before + area, index + 1
        else:
            return
