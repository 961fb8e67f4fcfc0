"""The load generator judged before the platform is: a late or starved one neither blames nor praises anybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cutover.finding import Finding, Severity, Status
from cutover.migration import Triggers

CPU_LIMIT = 0.9
"""Share of a core above which Locust itself warns."""
SKEW_LIMIT_S = 0.5
LATE_LIMIT_S = 5.0
DELAY_SHARE = 0.1
"""Of the p95 threshold: a delay of the generator's own beyond it could decide the verdict."""


@dataclass(frozen=True, slots=True)
class Generator:
    """What the generator said of itself.

    Attributes:
        numbers: as `load.audit` gives them; empty when nothing was said.
        frozen: stretches in which a process of it stood still, epoch seconds.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    frozen: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Generator:
        """From a log's `attrs`."""
        numbers = dict(frame.attrs.get("generator", {}))
        return cls(numbers, tuple((float(a), float(b)) for a, b in numbers.get("frozen", ())))

    @property
    def lag_s(self) -> float:
        """By how much an answer may have been noticed late."""
        return float(self.numbers.get("lag_max_s", 0.0))

    def bottleneck(self, triggers: Triggers) -> str:
        """Why the generator may have been what was slow, in words; empty when it kept up."""
        limit = DELAY_SHARE * triggers.p95.above.total_seconds()
        said = []
        for name, words in (
            ("send_delay_p99_s", "one request in a hundred left {:.2f} s or more after it was due"),
            ("behind_s", "at worst its arrivals were {:.2f} s behind"),
            ("lag_p99_s", "its event loop was up to {:.2f} s late"),
        ):
            if (value := float(self.numbers.get(name, 0.0))) > limit:
                said.append(words.format(value))
        if (cpu := float(self.numbers.get("cpu", 0.0))) > CPU_LIMIT:
            said.append(f"its busiest process took {cpu:.0%} of a core")
        if self.frozen:
            longest = max(end - start for start, end in self.frozen)
            said.append(f"a process of it stood still for {longest:.1f} s")
        return "; ".join(said)

    def finding(self, why: str) -> Finding:
        """INCONCLUSIVE, unless a trigger fired all the same."""
        return Finding(
            id="LOAD-generator",
            title="The load generator kept up",
            status=Status.UNKNOWN,
            severity=Severity.HIGH,
            expected=f"own delays below {DELAY_SHARE:.0%} of the p95 threshold, at most {CPU_LIMIT:.0%} of a core",
            observed=why,
            why="a platform is neither slow because its visitors came late, nor fast because fewer came than were due",
            remedy="raise load.workers, lower load.arrivals_per_s, or run the generator on a machine of its own",
            data=self.numbers,
        )


def workers(frame: pd.DataFrame) -> list[Finding]:
    """Whether the workers of a run were together: a clock that is off, or one that came late, mixes up moments."""
    skew_s, late_s = float(frame.attrs.get("skew_s", 0.0)), float(frame.attrs.get("late_s", 0.0))
    said = []
    if skew_s > SKEW_LIMIT_S:
        said.append(f"a worker's clock is {skew_s:.2f} s off the master's")
    if late_s > LATE_LIMIT_S:
        said.append(f"the last worker began {late_s:.1f} s after the first")
    if not said:
        return []
    return [
        Finding(
            id="LOAD-workers",
            title="The workers sent as one",
            status=Status.UNKNOWN,
            severity=Severity.HIGH,
            expected=f"clocks within {SKEW_LIMIT_S:g} s of the master's, and a start within {LATE_LIMIT_S:g} s",
            observed="; ".join(said),
            why="windows hold requests of different moments, or fewer than were due",
            remedy="synchronise the clocks (chrony, Amazon Time Sync Service), start all workers first, run it again",
            data={"skew_s": skew_s, "late_s": late_s},
        )
    ]


def truncated(why: str) -> Finding:
    """A log that is not whole."""
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
