"""The fault suite's table: what goes wrong, what must be said of it, and from when on the triggers' meaning allows it.

The earliest moment follows from `docs/triggers.md` alone: windows, holds, the least number of requests whose interval
decides, and how long the platform itself keeps an answer back. What was measured plays no part in it; a delay is
counted from there.
"""

from __future__ import annotations

from dataclasses import dataclass

from fault_platform import FOR_EVER, Phase

from cutover.finding import Verdict
from cutover.judgement.quantile import ranks
from cutover.migration import Triggers

WARM_UP_S = 0.5
STALL_S = 4.5
DELAY_S = 2.0
"""The most that may lie between the earliest moment and the verdict."""
MARGIN_S = 4.0
"""How much longer the load goes on than the verdict needs."""
DATABASE_WAITS_S = 2.0
"""How long ShadowTwin waits for a connection to a database that is gone, before it says 503."""


def begins_s(rules: Triggers) -> float:
    """When each fault begins, seconds from the first request on: after the warm-up and a whole window that is well."""
    return WARM_UP_S + rules.error_rate.window.total_seconds()


def triggers(window_s: float, *, error_rate_for_s: float, p95_for_s: float) -> Triggers:
    """The guide's thresholds in compressed time."""
    window = f"{window_s}s"
    return Triggers.model_validate(
        {
            "error_rate": {"above": "5%", "window": window, "for": f"{error_rate_for_s}s"},
            "p95": {"above": "3s", "window": window, "for": f"{p95_for_s}s"},
            "stalled": {"in_flight": 20, "for": f"{STALL_S}s"},
            "min_samples": 5,
        }
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """One row.

    Attributes:
        name: what goes wrong.
        phases: what the platform does; empty where something else is done to it, or to the load.
        per_s: visitors a second, evenly spaced.
        verdict: what must be said.
        findings: the ids of what may decide that, one of them is enough; empty where nothing does.
        share: of the requests that are met.
        answers_after_s: how late the platform answers a request that is met.
        lasts_s: how long the load goes on after the fault began; 0 where it is `MARGIN_S` beyond the earliest moment.
        why: of the verdict, for the table.
    """

    name: str
    verdict: Verdict
    findings: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    per_s: float = 40.0
    share: float = 1.0
    answers_after_s: float = 0.0
    lasts_s: float = 0.0
    why: str = ""

    def seconds(self, rules: Triggers) -> float:
        """How long the load lasts."""
        return begins_s(rules) + (self.lasts_s or (self.earliest_s(rules) or 0.0) + MARGIN_S)

    def earliest_s(self, rules: Triggers) -> float | None:
        """Seconds from the beginning of the fault to the first moment at which it can have fired; None for never."""
        if self.verdict is not Verdict.ROLLBACK:
            return None
        return min(self._earliest_s(rules, finding) for finding in self.findings)

    def _earliest_s(self, rules: Triggers, finding: str) -> float:
        if finding == "TRG-stalled":
            hold_s = rules.stalled.hold.total_seconds()
            return min(rules.stalled.in_flight, self.per_s * hold_s) / self.per_s + hold_s
        rule = rules.p95 if finding == "TRG-p95" else rules.error_rate
        window_s, hold_s = rule.window.total_seconds(), rule.hold.total_seconds()
        if finding == "TRG-p95":
            count = round(self.per_s * window_s)
            least = (count - ranks(count)[0] + 1) / self.per_s
            known_after_s = min(rules.p95.above.total_seconds(), self.answers_after_s)
        else:
            least = rules.error_rate.above * window_s
            known_after_s = self.answers_after_s
        met_s = least / self.share
        # The last window of the hold ends at met + hold. It is a breach once its first requests are known to be bad,
        # and those were due a window before its end at the earliest.
        return met_s + hold_s + max(0.0, known_after_s - window_s + met_s)


_ROLLBACK, _CONTINUE, _INCONCLUSIVE = Verdict.ROLLBACK, Verdict.CONTINUE, Verdict.INCONCLUSIVE


def faults(rules: Triggers) -> dict[str, Fault]:
    """The table, by name. Flapping is 4 minutes bad, 10 s good, 4 minutes bad, with the window for a minute."""
    minute, start = rules.error_rate.window.total_seconds(), begins_s(rules)
    again = start + 4 * minute + minute / 6
    flap = (Phase("errors", start, start + 4 * minute, every=10), Phase("errors", again, again + 4 * minute, every=10))
    errors, fifth = (Phase("errors", start, every=10),), 0.2
    rows: list[Fault] = []
    row = rows.append
    row(Fault("nothing", _CONTINUE, why="a platform that is well"))
    row(Fault("hang", _ROLLBACK, ("TRG-stalled", "TRG-p95"), (Phase("silent", start),), answers_after_s=FOR_EVER))
    short = (Phase("silent", start, start + 3),)
    row(Fault("stall of 3 s", _CONTINUE, phases=short, lasts_s=5.0, why="shorter than any `for`"))
    slow = (Phase("slow", start, takes_s=4.0),)
    row(Fault("slow (4 s)", _ROLLBACK, ("TRG-p95",), slow, answers_after_s=4.0))
    row(Fault("10 % errors at 10/s", _ROLLBACK, ("TRG-error-rate",), errors, per_s=10, share=0.1))
    row(Fault("10 % errors at 300/s", _ROLLBACK, ("TRG-error-rate",), errors, per_s=300, share=0.1))
    above = (Phase("slow", start, every=5, takes_s=3.02),)
    row(Fault("p95 of 3.02 s", _ROLLBACK, ("TRG-p95",), above, share=fifth, answers_after_s=3.02))
    below = (Phase("slow", start, every=5, takes_s=2.98),)
    row(Fault("p95 of 2.98 s", _CONTINUE, phases=below, share=fifth, lasts_s=12.0, why="2.98 is not above 3"))
    row(Fault("database killed", _ROLLBACK, ("TRG-error-rate",), answers_after_s=DATABASE_WAITS_S))
    row(Fault("Valkey killed", _ROLLBACK, ("TRG-error-rate",)))
    row(Fault("flapping", _ROLLBACK, ("TRG-error-rate",), flap, share=0.1, why="the good spell is within a window"))
    row(Fault("no traffic", _INCONCLUSIVE, ("TRG-error-rate",), lasts_s=2.0, why="nothing to judge by"))
    row(Fault("a lost worker", _INCONCLUSIVE, ("LOAD-log",), lasts_s=2.0, why="what it saw is not known"))
    row(
        Fault(
            "a saturated generator",
            _INCONCLUSIVE,
            ("LOAD-generator",),
            per_s=25,
            lasts_s=2.0,
            why="it neither blames nor praises",
        )
    )
    return {fault.name: fault for fault in rows}
