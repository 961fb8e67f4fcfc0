"""The p95 trigger: exact percentiles over rolling windows, each with how sure it is."""

from __future__ import annotations

import dataclasses

import numpy as np

from cutover.finding import Finding, Status
from cutover.judgement.firing import decide, trigger_finding
from cutover.judgement.hold import Held, hold
from cutover.judgement.quantile import CONFIDENCE, interval, surely_above, surely_not_above
from cutover.judgement.windows import Floats, Rolling, Seen, rolling
from cutover.load.summary import nearest_rank
from cutover.migration import Latency


def judge_p95(seen: Seen, rule: Latency, least: int, service: Seen | None) -> Finding:
    """The p95 trigger.

    Args:
        seen: the log, measured from due.
        rule: threshold, window, hold.
        least: requests below which a window decides nothing.
        service: the same log measured from sent, where the generator itself was late.
    """
    window_s, hold_s, above_s = (span.total_seconds() for span in (rule.window, rule.hold, rule.above))
    looks = rolling(seen, window_s)
    held, could = _slow(seen, looks, above_s, hold_s, least)
    counted = looks.count(~seen.never_sent)
    # The exact percentile at each look would sort each window; the breach needs only a count, the worst of the
    # windows that stand side by side is enough for the eye.
    stride = max(1, round(window_s / looks.step_s))
    shown = [k for k in range(0, len(looks.ends), stride) if counted[k] >= least]
    worst = max(shown, key=lambda k: _percentile(seen, looks, k), default=None)
    fired = None if held.fired_at is None else looks.index(held.fired_at)
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


def _percentile(seen: Seen, looks: Rolling, k: int) -> float:
    return nearest_rank(_responses(seen, looks, k), 95)


def _responses(seen: Seen, looks: Rolling, k: int) -> Floats:
    part = slice(int(looks.low[k]), int(looks.high[k]))
    return seen.response_s[part][~seen.never_sent[part]]
