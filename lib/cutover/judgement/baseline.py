"""No worse than an earlier run: p95 and error rate beside a stored load log, by tests that state their confidence.

Both intervals are recovered from those of the two runs (MOVER: Zou and Donner, "Construction of confidence limits
about effect measures", Statistics in Medicine 27, 2008): for p95 from order statistics, on the logarithm; for the
error rate from Wilson's intervals, which makes it Newcombe's (Statistics in Medicine 17, 1998, method 10). They take
requests for independent; a platform that is slow by spells has wider intervals than these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from cutover.finding import Finding, Severity, Status
from cutover.judgement.quantile import CONFIDENCE, interval
from cutover.judgement.windows import Seen, observe
from cutover.load.summary import nearest_rank
from cutover.migration import CompareTo

_Z = 1.959963984540054
"""The standard normal's 97.5 % point."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


def judge_baseline(
    frame: pd.DataFrame, baseline: pd.DataFrame, rule: CompareTo, *, warm_up: timedelta | None = None
) -> list[Finding]:
    """Whether a run is worse than an earlier one.

    Args:
        frame: the run, as `load.read_log` gives it.
        baseline: the earlier run, likewise.
        rule: by how much it may be worse.
        warm_up: left out of both; what each log itself says when None.

    Returns:
        BASE-p95 and BASE-error-rate: FAIL when the whole interval of the change lies above what is allowed, PASS when
        none of it does, else UNKNOWN.
    """
    now, then = (_counted(observe(each, warm_up=warm_up)) for each in (frame, baseline))
    return [_p95(now, then, rule), _error_rate(now, then, rule)]


@dataclass(frozen=True, slots=True)
class _Run:
    p95: _Bounds
    errors: _Bounds
    requests: int


def _counted(seen: Seen) -> _Run:
    kept = seen.due >= seen.origin
    answered = seen.response_s[kept & ~seen.never_sent]
    count, bad = int(kept.sum()), int((seen.error & kept).sum())
    low, high = interval(answered)
    return _Run(_Bounds(nearest_rank(answered, 95), max(low, 0.0), high), _wilson(bad, count), count)


def _p95(now: _Run, then: _Run, rule: CompareTo) -> Finding:
    limit = rule.p95
    known = [b.low > 0 and math.isfinite(b.high) for b in (now.p95, then.p95)]
    change: _Bounds | None = None
    if all(known):
        logs = [_Bounds(*(math.log(v) for v in (b.value, b.low, b.high))) for b in (now.p95, then.p95)]
        moved = _difference(logs[0], logs[1])
        change = _Bounds(*(math.expm1(v) for v in (moved.value, moved.low, moved.high)))
    seen = f"{now.p95.value:.3f} s, {then.p95.value:.3f} s in {rule.run}"
    return _finding("BASE-p95", f"p95 is no more than {limit * 100:g} % above that of {rule.run}", change, limit, seen)


def _error_rate(now: _Run, then: _Run, rule: CompareTo) -> Finding:
    limit = rule.error_rate
    change = _difference(now.errors, then.errors) if now.requests and then.requests else None
    seen = f"{now.errors.value:.2%}, {then.errors.value:.2%} in {rule.run}"
    title = f"The error rate is no more than {limit * 100:g} percentage points above that of {rule.run}"
    return _finding("BASE-error-rate", title, change, limit, seen)


def _finding(identifier: str, title: str, change: _Bounds | None, limit: float, seen: str) -> Finding:
    status, why = Status.PASS, ""
    if change is None:
        status, why = Status.UNKNOWN, "one of the two runs has too few requests for an interval (72 or more for p95)"
        said = "nothing that could be compared" if "nan" in seen else seen
    else:
        said = (
            f"{seen}; the change is {change.value:+.1%}, with 95 % confidence {change.low:+.1%} to {change.high:+.1%}"
        )
        if change.low > limit:
            status = Status.FAIL
        elif change.high > limit:
            status, why = Status.UNKNOWN, "the interval holds the limit: there are too few requests to say"
    return Finding(
        id=identifier,
        title=title,
        status=status,
        severity=Severity.HIGH,
        expected=f"the whole interval of the change at or below {limit:+.1%}",
        observed=said,
        why=why,
        remedy={
            Status.FAIL: "compare the two summaries by endpoint; look at what changed between the two releases",
            Status.UNKNOWN: "run longer or with more arrivals (load.duration, load.arrivals_per_s)",
        }.get(status, ""),
        data={"limit": limit, "confidence": CONFIDENCE}
        | ({} if change is None else {"change": change.value, "interval": [change.low, change.high]}),
    )


def _difference(a: _Bounds, b: _Bounds) -> _Bounds:
    """`a - b`, with the limits that MOVER recovers from both intervals."""
    value = a.value - b.value
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return _Bounds(value, value - below, value + above)


def _wilson(bad: int, count: int) -> _Bounds:
    """A ratio and Wilson's score interval."""
    if not count:
        return _Bounds(math.nan, 0.0, 1.0)
    p, z2 = bad / count, _Z * _Z
    centre = (p + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * math.sqrt(p * (1 - p) / count + z2 / (4 * count * count))
    return _Bounds(p, max(0.0, centre - half), min(1.0, centre + half))
