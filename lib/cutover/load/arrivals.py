"""When visitors arrive: schedules of due times that do not depend on how fast the platform answers.

An open model (Schroeder, Wierman, Harchol-Balter, "Open Versus Closed", NSDI 2006): visitors come because they want
to, not because the last one was served. A closed loop stops asking when the platform stops answering, and so
measures a stall with a handful of requests (coordinated omission).
"""

from __future__ import annotations

import random
from collections.abc import Iterator


def poisson(per_s: float, duration_s: float, rng: random.Random) -> Iterator[float]:
    """Due times in seconds from the start, a Poisson process of `per_s` arrivals a second over `duration_s`.

    Several workers with `per_s / n` each and generators of their own are together one Poisson process of `per_s`.

    Raises:
        ValueError: a rate or a duration that is not positive.
    """
    _require_positive(per_s, duration_s)
    due = rng.expovariate(per_s)
    while due < duration_s:
        yield due
        due += rng.expovariate(per_s)


def constant(per_s: float, duration_s: float) -> Iterator[float]:
    """Due times in seconds from the start, evenly spaced, the first at 0.

    Raises:
        ValueError: a rate or a duration that is not positive.
    """
    _require_positive(per_s, duration_s)
    count = 0
    while count / per_s < duration_s:
        yield count / per_s
        count += 1


def _require_positive(per_s: float, duration_s: float) -> None:
    if not (per_s > 0 and duration_s > 0):
        raise ValueError(f"arrivals need a rate and a duration above zero, not {per_s} a second for {duration_s} s")
