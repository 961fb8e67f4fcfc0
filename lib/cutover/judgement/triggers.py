"""The rollback triggers over a load log: error rate, p95 and stall, each with one meaning.

error rate   In windows that end every second, errors by arrivals are above the threshold; from the first such window
             to the last the breach lasts for `for`. What still waits is no error yet, so the ratio only grows later.
p95          In the same kind of windows p95 is above the threshold, counted from the moment a request was due; one in
             flight counts at its age. A window is a breach when the lower bound of the 95 % interval of its p95 is
             above; none when the upper bound is not, or nothing in it is; else it has not enough requests to say.
stalled      For `for` at least `in_flight` requests wait and none is answered; a timeout is no answer.

Exactly at a threshold is not above it. A window with fewer than `min_samples` requests decides nothing; neither does
one whose interval holds the threshold, and stretches of such windows long enough to have hidden a breach are UNKNOWN.
Requests in flight are judged twice: as well as they may still turn out, and as badly. What fires even so has fired, and
has in the stored log too; what would not fire in either case passes; between the two nobody knows yet.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from cutover.finding import Finding, Severity, Status, Verdict
from cutover.judgement.hold import Held, hold
from cutover.judgement.quantile import CONFIDENCE, interval, surely_above, surely_not_above
from cutover.judgement.verdict import Judgement
from cutover.judgement.windows import Flags, Floats, Rolling, Seen, observe, rolling, windows
from cutover.load.summary import nearest_rank
from cutover.migration import Stalled, Triggers

DECIDE = "stop the load or the traffic, then open notebooks/90_rollback_decision.ipynb: it names the way back"


def judge_load(
    frame: pd.DataFrame, triggers: Triggers, *, at: float | None = None, warm_up: timedelta | None = None
) -> Judgement:
    """What the triggers say of a load log, live or stored.

    Args:
        frame: as `load.read_log` or `LogReader.frame` gives it; without `attrs` there is no warm-up.
        triggers: thresholds, windows, holds.
        at: judge the log as it stood then (epoch seconds); its own end when None.
        warm_up: left out of error rate and p95, never of the stall; what the log itself says when None.

    Returns:
        ROLLBACK when one fired; CONTINUE when all were judged and none did; else INCONCLUSIVE.
    """
    seen = observe(frame, at=at, warm_up=warm_up)
    generator = dict(frame.attrs.get("generator", {}))
    service = observe(frame, at=at, warm_up=warm_up, from_sent=True) if generator.get("saturated") else None
    findings = [_error_rate(seen, triggers), _p95(seen, triggers, service), _stalled(seen, triggers.stalled)]
    if frame.attrs.get("truncated"):
        findings.append(_truncated(str(frame.attrs["truncated"])))
    if generator.get("saturated"):
        findings.append(_saturated(generator))
    return Judgement.over(findings, windows(frame, triggers.p95.window, at=at, warm_up=warm_up))


class LoadWatch:
    """Says of a running load whether it must stop: `load.run(..., stop_when=LoadWatch(triggers))`.

    Attributes:
        judgement: the last one, None before the first.
    """

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers
        self.judgement: Judgement | None = None

    def __call__(self, frame: pd.DataFrame) -> bool:
        """Whether a trigger has fired in what was recorded so far."""
        self.judgement = judge_load(frame, self._triggers)
        return self.judgement.verdict is Verdict.ROLLBACK


def clock(epoch_s: float) -> str:
    """An epoch time for people, UTC to the tenth of a second."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(sep=" ", timespec="milliseconds")[:-8] + "Z"


def status_of(held: Held, window_s: float, worst: Held | None = None) -> tuple[Status, str]:
    """FAIL when it fired; UNKNOWN when it may yet, or when there was too little to see; else PASS; and why.

    Args:
        held: with requests in flight taken as well as they may still turn out.
        window_s: the silence that is too long.
        worst: with requests in flight taken as badly as they may.
    """
    if held.fired_at is not None:
        return Status.FAIL, ""
    if not held.decided:
        return Status.UNKNOWN, "no window had enough requests to judge"
    if held.open and held.began_at is not None:
        since = clock(held.began_at)
        return Status.UNKNOWN, f"it was above the threshold from {since} to the end of the data, not yet long enough"
    if worst is not None and (worst.open or worst.fired_at is not None):
        return Status.UNKNOWN, "requests in flight, or too few requests in a window, leave open whether it was above"
    if held.silence_s > window_s:
        return Status.UNKNOWN, f"for {held.silence_s:g} s on end there were too few requests to judge"
    return Status.PASS, ""


def _error_rate(seen: Seen, triggers: Triggers) -> Finding:
    rule, least = triggers.error_rate, triggers.min_samples
    window_s, hold_s = rule.window.total_seconds(), rule.hold.total_seconds()
    looks = rolling(seen, window_s)
    arrivals, errors = looks.high - looks.low, looks.count(seen.error)
    # Whole numbers, because 0.29 * 100 is less than 29: exactly at the threshold must not be above it.
    limit = round(rule.above * 1_000_000_000) * arrivals
    held, could = (
        hold(looks.ends.tolist(), decide(bad * 1_000_000_000 > limit, arrivals >= least), hold_s, step_s=looks.step_s)
        for bad in (errors, errors + looks.count(seen.in_flight))
    )
    rates = np.divide(errors, arrivals, out=np.zeros(len(arrivals)), where=arrivals > 0)
    worst = float(rates[arrivals >= least].max(initial=0.0))
    value = _at(looks, held, rates)
    seen_text = f"{value:.2%} of requests failed" if value is not None else f"at most {worst:.2%} of requests failed"
    return trigger_finding(
        "TRG-error-rate",
        f"Error rate does not exceed {rule.above * 100:g} % for {hold_s:g} s",
        held,
        window_s,
        hold_s,
        worst=could,
        expected=f"at most {rule.above * 100:g} % of the requests of each {window_s:g} s window fail",
        observed=seen_text,
        guide=936,
        least=least,
        data={"threshold": rule.above, "value": value, "worst": worst},
    )


def _p95(seen: Seen, triggers: Triggers, service: Seen | None) -> Finding:
    """`service`: the same log measured from sent, where the generator itself was late."""
    rule, least = triggers.p95, triggers.min_samples
    window_s, hold_s, above_s = (span.total_seconds() for span in (rule.window, rule.hold, rule.above))
    looks = rolling(seen, window_s)
    held, could = _slow(seen, looks, above_s, hold_s, least)
    counted = looks.count(~seen.never_sent)
    # The exact percentile at each look would sort each window; the breach needs only a count, the worst of the
    # windows that stand side by side is enough for the eye.
    stride = max(1, round(window_s / looks.step_s))
    shown = [k for k in range(0, len(looks.ends), stride) if counted[k] >= least]
    worst = max(shown, key=lambda k: _percentile(seen, looks, k), default=None)
    fired = None if held.fired_at is None else _index(looks, held.fired_at)
    said = _p95_of(seen, looks, worst if fired is None else fired)
    finding = trigger_finding(
        "TRG-p95",
        f"p95 does not exceed {above_s:g} s for {hold_s:g} s",
        held,
        window_s,
        hold_s,
        worst=could,
        expected=f"95 % of the requests of each {window_s:g} s window are answered within {above_s:g} s of being due",
        observed=f"p95 {'' if fired is not None else 'at most '}{said.words}",
        guide=937,
        least=least,
        data={"threshold": above_s, "value": None if fired is None else said.value_s, "worst": said.value_s}
        | {"interval": [said.low_s, said.high_s], "confidence": CONFIDENCE, "samples": said.samples},
    )
    if finding.status is not Status.FAIL or service is None:
        return finding
    if _slow(service, rolling(service, window_s), above_s, hold_s, least)[0].fired_at is not None:
        return finding
    why = "the load generator sent late: counted from the moment they were sent, the requests were fast enough"
    remedy = "give the generator more workers or a machine of its own, and run the load again"
    return dataclasses.replace(finding, status=Status.UNKNOWN, why=why, remedy=remedy)


def _slow(seen: Seen, looks: Rolling, above_s: float, hold_s: float, least: int) -> tuple[Held, Held]:
    """How long p95 was above, with the requests in flight at their age, and if none of them ever came back."""
    counted = looks.count(~seen.never_sent)
    with np.errstate(invalid="ignore"):
        above = seen.response_s > above_s
    slow, waits = looks.count(above), looks.count(seen.in_flight & ~above)
    ends, enough = looks.ends.tolist(), counted >= least
    breach, none = surely_above(slow, counted), surely_not_above(slow, counted) | (slow == 0)
    held = hold(ends, decide(breach, enough & (breach | none)), hold_s, step_s=looks.step_s)
    may = ~surely_not_above(slow + waits, counted) & (slow + waits > 0)
    could = hold(ends, decide(may, enough), hold_s, step_s=looks.step_s)
    # Windows that could not tell are no silence: what they may have hidden is in `could`.
    return dataclasses.replace(held, silence_s=could.silence_s, decided=could.decided), could


@dataclasses.dataclass(frozen=True, slots=True)
class _P95:
    """The percentile of one window, in seconds, and its interval."""

    value_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    samples: int = 0

    @property
    def words(self) -> str:
        """For people: `3.214 s (95 % interval 3.102 to 3.377 s of 412 requests)`."""
        if self.value_s is None:
            return "0.000 s"
        low = "0" if self.low_s is None else f"{self.low_s:.3f}"
        high = "unbounded" if self.high_s is None else f"{self.high_s:.3f} s"
        return f"{self.value_s:.3f} s (95 % interval {low} to {high}, of {self.samples} requests)"


def _p95_of(seen: Seen, looks: Rolling, k: int | None) -> _P95:
    if k is None:
        return _P95()
    values = _responses(seen, looks, k)
    low, high = (bound if np.isfinite(bound) else None for bound in interval(values))
    return _P95(nearest_rank(values, 95), low, high, len(values))


def _stalled(seen: Seen, rule: Stalled) -> Finding:
    hold_s = rule.hold.total_seconds()
    need = _need(seen, rule)
    began, fired, since = _stall(seen, need, hold_s)
    answers, came, waiting = int(seen.answered.sum()), len(seen.due), int(seen.in_flight.sum())
    status, why = Status.PASS, ""
    observed = f"the longest time without an answer was {_longest(seen):.1f} s"
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
        remedy=_remedy(status),
        trigger=True,
        data={"threshold": rule.in_flight, "needed": need, "hold_s": hold_s, "in_flight_at_end": waiting}
        | {"began_at": began, "fired_at": fired},
    )


def _stall(seen: Seen, need: int, hold_s: float) -> tuple[float | None, float | None, float | None]:
    """When the first stall began and fired; and since when nothing is answered, if one may be under way at the end.

    Between two answers waiting requests only become more: a timeout is no answer, and takes nobody off the count.
    """
    if not len(seen.due):
        return None, None, None
    sent, done = np.sort(seen.sent[~seen.never_sent]), np.sort(seen.done)
    # Who found no place waits as much as who hangs.
    starts = np.sort(np.where(seen.never_sent, seen.due, seen.sent))
    edges = np.concatenate([[starts[0]], np.sort(seen.done[seen.answered]), [max(seen.at, starts[0])]])
    for gap in np.flatnonzero(np.diff(edges) >= hold_s / 2):
        begin, end = float(edges[gap]), float(edges[gap + 1])
        inside = int(np.searchsorted(sent, begin, "right") - np.searchsorted(done, begin, "right"))
        index = int(np.searchsorted(starts, begin, "right")) + need - inside - 1
        reached = begin if inside >= need else float(starts[index]) if index < len(starts) else np.inf
        if end - reached >= hold_s - 1e-6:
            return reached, reached + hold_s, None
        if gap == len(edges) - 2 and end - reached >= hold_s / 2:
            return None, None, reached
    return None, None, None


def _need(seen: Seen, rule: Stalled) -> int:
    """`in_flight`, or as many as arrive in `for` when that is fewer: a hang at 1 request a second is a hang too."""
    span = seen.end - float(seen.due[0]) if len(seen.due) else 0.0
    if span <= 0:
        return rule.in_flight
    return max(1, min(rule.in_flight, int(len(seen.due) / span * rule.hold.total_seconds())))


def _longest(seen: Seen) -> float:
    if not len(seen.due):
        return 0.0
    answers = np.sort(seen.done[seen.answered])
    edges = np.concatenate([[seen.sent.min()], answers, [seen.at] if seen.in_flight.any() else []])
    return float(np.diff(edges).max(initial=0.0))


def trigger_finding(
    identifier: str,
    title: str,
    held: Held,
    window_s: float,
    hold_s: float,
    *,
    expected: str,
    observed: str,
    guide: int,
    least: int,
    data: dict[str, Any],
    worst: Held | None = None,
) -> Finding:
    """The finding that a trigger's looks amount to."""
    status, why = status_of(held, window_s, worst)
    if held.fired_at is not None and held.began_at is not None:
        observed += f" at {clock(held.fired_at)}; above since {clock(held.began_at)}"
    elif held.longest_s and status is Status.PASS:
        why = f"it was above for {held.longest_s:g} s at most"
    times = {"window_s": window_s, "hold_s": hold_s, "began_at": held.began_at, "fired_at": held.fired_at}
    looks = {"held_s": held.longest_s, "decided": held.decided, "silence_s": held.silence_s, "min_samples": least}
    return Finding(
        id=identifier,
        title=title,
        status=status,
        severity=Severity.BLOCKER,
        expected=expected,
        observed=observed if held.decided else "nothing that could be judged",
        why=why,
        remedy=_remedy(status),
        guide=guide,
        trigger=True,
        data={**data, **times, **looks},
    )


def decide(breach: Flags, enough: Flags) -> list[bool | None]:
    """What each look says: a breach, none, or nothing because there were too few samples."""
    return [bool(b) if e else None for b, e in zip(breach, enough, strict=True)]


def _remedy(status: Status) -> str:
    if status is Status.FAIL:
        return DECIDE
    if status is Status.UNKNOWN:
        return "let it run longer or with more arrivals (load.duration, load.arrivals_per_s), then judge again"
    return ""


def _truncated(why: str) -> Finding:
    return Finding(
        id="LOAD-log",
        title="The load log is whole",
        status=Status.UNKNOWN,
        severity=Severity.HIGH,
        expected="an end marker from every worker",
        observed=why,
        why="what the lost worker saw is not known, so that nothing fired is no proof",
        remedy="look at locust.log beside the log, and run the load again",
    )


def _saturated(generator: dict[str, Any]) -> Finding:
    return Finding(
        id="LOAD-generator",
        title="The load generator kept up",
        status=Status.UNKNOWN,
        severity=Severity.MEDIUM,
        expected="requests leave within 0.1 s of being due (p99), on less than 90 % of a core",
        observed=f"p99 of the delay {generator.get('send_delay_p99_s')} s, {generator.get('cpu', 0):.0%} of a core",
        why="response times hold some of the generator's own delay; service times (from sent) do not",
        remedy="raise load.workers, lower load.arrivals_per_s, or run the generator on a machine of its own",
        data=generator,
    )


def _percentile(seen: Seen, looks: Rolling, k: int) -> float:
    return nearest_rank(_responses(seen, looks, k), 95)


def _responses(seen: Seen, looks: Rolling, k: int) -> Floats:
    part = slice(int(looks.low[k]), int(looks.high[k]))
    return seen.response_s[part][~seen.never_sent[part]]


def _index(looks: Rolling, end: float) -> int:
    return int(np.searchsorted(looks.ends, end))


def _at(looks: Rolling, held: Held, values: Any) -> float | None:
    return None if held.fired_at is None else float(values[_index(looks, held.fired_at)])
