"""The rollback triggers over a load log: error rate, p95 and stall, each with one meaning.

error rate   In windows that end every second, errors by arrivals are above the threshold; from the first such window
             to the last the breach lasts for `for`. What still waits is no error yet, so the ratio only grows later.
p95          In the same kind of windows p95 is above the threshold, counted from the moment a request was due; one in
             flight counts at its age. A window is a breach when the lower bound of the 95 % interval of its p95 is
             above; none when the upper bound is not, or nothing in it is; else it has not enough requests to say.
stalled      For `for` at least `in_flight` requests wait and none is answered; a timeout is no answer.

Exactly at a threshold is not above it. A window with fewer than `min_samples` requests decides nothing; neither does
one whose interval holds the threshold, and stretches of such windows long enough to have hidden a breach are UNKNOWN.
`per_endpoint` states the first two again for one endpoint, over its requests alone.
Requests in flight are judged twice: as well as they may still turn out, and as badly. What fires even so has fired, and
has in the stored log too; what would not fire in either case passes; between the two nobody knows yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from cutover.finding import Finding, Verdict
from cutover.judgement.firing import decide, trigger_finding
from cutover.judgement.generator import Generator, truncated, workers
from cutover.judgement.hold import hold
from cutover.judgement.latency import judge_p95
from cutover.judgement.stall import judge_stall
from cutover.judgement.verdict import Judgement
from cutover.judgement.windows import Seen, observe, rolling, windows_of
from cutover.migration import ErrorRate, Triggers


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
    generator = Generator.of(frame)
    late = generator.bottleneck(triggers)
    service = observe(frame, at=at, warm_up=warm_up, from_sent=True, less_s=generator.lag_s) if late else None
    least = triggers.min_samples
    findings = [_error_rate(seen, triggers.error_rate, least), judge_p95(seen, triggers.p95, least, service)]
    findings.append(judge_stall(seen, triggers.stalled, generator.frozen))
    for endpoint, rules in triggers.per_endpoint.items():
        ours = seen.of(endpoint)
        if rules.error_rate:
            findings.append(_only(_error_rate(ours, rules.error_rate, least), endpoint))
        if rules.p95:
            findings.append(_only(judge_p95(ours, rules.p95, least, service and service.of(endpoint)), endpoint))
    if frame.attrs.get("truncated"):
        findings.append(truncated(str(frame.attrs["truncated"])))
    findings += workers(frame)
    if late:
        findings.append(generator.finding(late))
    return Judgement.over(findings, windows_of(seen, triggers.p95.window))


CHANGING = ("generator", "late_s", "skew_s", "started", "warm_up_until")
"""What a log says of a run is not the same at its end as it was while the run went on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """One live decision, with the watermarks up to which the log was complete when it was made.

    Attributes:
        at: everything that happened until then was seen, epoch seconds.
        horizon: everyone who was due until then was seen, epoch seconds.
        in_flight: requests that were waiting.
        verdict: what was decided.
        known: what the log said of the run and the generator of itself by then (`CHANGING` of the frame's `attrs`).
    """

    at: float
    horizon: float
    in_flight: int
    verdict: Verdict
    known: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self) | {"verdict": str(self.verdict)}


class LoadWatch:
    """Says of a running load whether it must stop: `load.run(..., stop_when=LoadWatch(triggers))`.

    Attributes:
        judgement: the last one, None before the first.
        decisions: all of them, so that the stored log can be asked the same again (`replay`).
    """

    def __init__(self, triggers: Triggers) -> None:
        self._triggers = triggers
        self.judgement: Judgement | None = None
        self.decisions: list[Decision] = []

    def __call__(self, frame: pd.DataFrame) -> bool:
        """Whether a trigger has fired in what was recorded so far."""
        self.judgement = judge_load(frame, self._triggers)
        seen = observe(frame)
        verdict = self.judgement.verdict
        known = {name: frame.attrs[name] for name in CHANGING if name in frame.attrs}
        self.decisions.append(Decision(seen.at, seen.end, int(seen.in_flight.sum()), verdict, known))
        return verdict is Verdict.ROLLBACK


def replay(frame: pd.DataFrame, decisions: Sequence[Decision], triggers: Triggers) -> list[Decision]:
    """The same decisions made again from the stored log, each up to the watermarks of the live one.

    Args:
        frame: as `load.read_log` gives it, whole.
        decisions: those of a `LoadWatch`.
        triggers: those of the run; others try other thresholds.
    """
    again = []
    for decision in decisions:
        then = frame.copy(deep=False)
        then.attrs = dict(frame.attrs) | {"at": decision.at, "horizon": decision.horizon}
        for late in ("truncated", "generator"):  # what is known only at the end
            then.attrs.pop(late, None)
        then.attrs.update(decision.known)
        judged, seen = judge_load(then, triggers), observe(then)
        again.append(Decision(seen.at, seen.end, int(seen.in_flight.sum()), judged.verdict, decision.known))
    return again


def _only(finding: Finding, endpoint: str) -> Finding:
    """The same said of one endpoint."""
    title = f"{finding.title} at {endpoint}"
    return dataclasses.replace(finding, id=f"{finding.id}:{endpoint}", title=title, subject=endpoint)


def _error_rate(seen: Seen, rule: ErrorRate, least: int) -> Finding:
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
    value = None if held.fired_at is None else float(rates[looks.index(held.fired_at)])
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
