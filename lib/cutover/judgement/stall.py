"""The stall trigger: requests wait and none is answered, whatever windows and percentiles say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cutover.finding import Finding, Severity, Status
from cutover.judgement.firing import clock, remedy_of
from cutover.judgement.windows import Floats, Seen
from cutover.migration import Stalled


def judge_stall(seen: Seen, rule: Stalled, frozen: Sequence[tuple[float, float]] = ()) -> Finding:
    """The stall trigger: a hang, long before it moves a percentile.

    Args:
        seen: the log.
        rule: how many must wait, and for how long.
        frozen: stretches in which the generator itself stood still (epoch seconds): nobody could notice an answer.
    """
    hold_s = rule.hold.total_seconds()
    need = _need(seen, rule)
    edges = _edges(seen)
    began, fired, since = _stall(seen, edges, need, hold_s, frozen)
    answers, came, waiting = int(seen.answered.sum()), len(seen.due), int(seen.in_flight.sum())
    status, why = Status.PASS, ""
    observed = f"the longest time without an answer was {_longest(seen, edges):.1f} s"
    if began is not None and fired is not None:
        status, why = Status.FAIL, "a hang: windows and percentiles would take longer to show it"
        observed = f"from {clock(began)} to {clock(fired)} nothing was answered while {need} or more waited"
    elif since is not None:
        status = Status.UNKNOWN
        why = f"nothing was answered from {clock(since)} to the end of the data, not yet for {hold_s:g} s"
    elif not answers:
        status, why = Status.UNKNOWN, f"nothing was answered at all; {came} requests came, {waiting} wait"
    return Finding(
        id="TRG-stalled",
        title=f"The platform answers while {rule.in_flight} requests wait",
        status=status,
        severity=Severity.BLOCKER,
        expected=f"an answer within {hold_s:g} s whenever {need} requests or more wait",
        observed=observed,
        why=why,
        remedy=remedy_of(status),
        trigger=True,
        data={"threshold": rule.in_flight, "needed": need, "hold_s": hold_s, "in_flight_at_end": waiting}
        | {"began_at": began, "fired_at": fired},
    )


def _edges(seen: Seen) -> Floats:
    """When the first request was sent, when each answer came, and until when was seen; empty without requests."""
    if not len(seen.due):
        return np.empty(0)
    edges = np.concatenate([[seen.sent.min()], seen.done[seen.answered], [max(seen.at, seen.sent.min())]])
    edges[1:-1].sort()
    return edges


def _stall(
    seen: Seen, edges: Floats, need: int, hold_s: float, frozen: Sequence[tuple[float, float]]
) -> tuple[float | None, float | None, float | None]:
    """When the first stall began and fired; and since when nothing is answered, if one may be under way at the end.

    Between two answers waiting requests only become more: a timeout is no answer, and takes nobody off the count.
    """
    gaps = np.flatnonzero(np.diff(edges) >= hold_s / 2)
    if not len(gaps):
        return None, None, None
    sent, done = np.sort(seen.sent[~seen.never_sent]), np.sort(seen.done)
    starts = np.sort(seen.sent)  # who found no place waits as much as who hangs, since it was due
    for gap in gaps:
        begin, end = float(edges[gap]), float(edges[gap + 1])
        inside = int(np.searchsorted(sent, begin, "right") - np.searchsorted(done, begin, "right"))
        index = int(np.searchsorted(starts, begin, "right")) + need - inside - 1
        reached = begin if inside >= need else float(starts[index]) if index < len(starts) else np.inf
        asleep = sum(max(0.0, min(b, end) - max(a, reached)) for a, b in frozen)
        if end - reached - asleep >= hold_s - 1e-6:
            return reached, reached + hold_s + asleep, None
        if gap == len(edges) - 2 and end - reached >= hold_s / 2:
            return None, None, reached
    return None, None, None


def _need(seen: Seen, rule: Stalled) -> int:
    """`in_flight`, or as many as arrive in `for` when that is fewer: a hang at 1 request a second is a hang too."""
    span = seen.end - float(seen.due[0]) if len(seen.due) else 0.0
    if span <= 0:
        return rule.in_flight
    return max(1, min(rule.in_flight, int(len(seen.due) / span * rule.hold.total_seconds())))


def _longest(seen: Seen, edges: Floats) -> float:
    return float(np.diff(edges if seen.in_flight.any() else edges[:-1]).max(initial=0.0))
