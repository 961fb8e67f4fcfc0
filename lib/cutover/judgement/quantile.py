"""How sure a sample is of a quantile: a confidence interval by order statistics, for any distribution.

Of `n` independent samples the number below the true quantile `q` is binomial, so two of the ordered samples enclose
that quantile with a probability that does not depend on the distribution (David and Nagaraja, "Order Statistics",
2003, section 7.1). Below 72 samples nothing bounds p95 from above: even the slowest may be below it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
"""Of the interval; half of what is left lies on each side."""

Counts = npt.NDArray[np.int64]


@lru_cache(maxsize=65_536)
def ranks(count: int, q: float = 0.95, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """The ranks, from 1, of the two samples that enclose the quantile.

    Args:
        count: samples.
        q: the quantile, between 0 and 1.
        confidence: at least with this probability both bounds hold.

    Returns:
        Lower and upper rank; 0 where nothing bounds it from below, `count + 1` where nothing does from above.
    """
    if count < 1:
        return 0, 1
    tail = (1 - confidence) / 2
    mean, spread = count * q, math.sqrt(count * q * (1 - q))
    first, last = max(0, math.floor(mean - 9 * spread - 9)), min(count, math.ceil(mean + 9 * spread + 9))
    k = np.arange(first, last + 1)
    log_first = (
        math.lgamma(count + 1) - math.lgamma(first + 1) - math.lgamma(count - first + 1)
        + first * math.log(q) + (count - first) * math.log1p(-q)
    )  # fmt: skip
    steps = np.log((count - k[:-1]) / (k[:-1] + 1)) + math.log(q) - math.log1p(-q)
    chance = np.exp(log_first + np.concatenate([[0.0], np.cumsum(steps)]))
    below = np.cumsum(chance)  # P(B <= k)
    above = np.cumsum(chance[::-1])[::-1]  # P(B >= k)
    lower = int(np.searchsorted(below, tail, "right")) + first  # the largest l with P(B <= l - 1) <= tail
    unlikely = np.flatnonzero(above <= tail)
    upper = int(unlikely[0]) + first if len(unlikely) else count + 1
    return lower, upper


def surely_above(over: Counts, counts: Counts, q: float = 0.95) -> npt.NDArray[np.bool_]:
    """Whether the lower bound of the quantile lies above a threshold that `over` of `counts` samples exceed."""
    lower = _ranks(counts, q)[0]
    return np.asarray((lower > 0) & (over > counts - lower))


def surely_not_above(over: Counts, counts: Counts, q: float = 0.95) -> npt.NDArray[np.bool_]:
    """Whether the upper bound of the quantile does not exceed a threshold that `over` of `counts` samples exceed."""
    return np.asarray(counts - over >= _ranks(counts, q)[1])


def interval(values: npt.ArrayLike, q: float = 0.95, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The bounds of the quantile, in the unit of the values; minus or plus infinity where nothing bounds it."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    lower, upper = ranks(len(ordered), q, confidence)
    low = float(ordered[lower - 1]) if lower >= 1 else -math.inf
    return low, float(ordered[upper - 1]) if upper <= len(ordered) else math.inf


def _ranks(counts: Counts, q: float) -> tuple[Counts, Counts]:
    distinct, where = np.unique(counts, return_inverse=True)
    both = np.array([ranks(int(count), q) for count in distinct], dtype=np.int64).reshape(-1, 2)
    return both[where, 0], both[where, 1]
