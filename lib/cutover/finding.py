"""The one shape in which anything seen is written down: a Finding with its Status; and the Verdict over many."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """What a look at one thing gave."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    MISSING = "MISSING"
    UNKNOWN = "UNKNOWN"
    NOT_COMPARED = "NOT_COMPARED"
    MANUAL = "MANUAL"
    WAIVED = "WAIVED"
    NOT_DUE = "NOT_DUE"
    NOT_APPLICABLE = "NOT_APPLICABLE"


class Severity(StrEnum):
    """How serious it is. BLOCKER and HIGH close a gate."""

    BLOCKER = "blocker"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def closes(self) -> bool:
        """Whether a failing finding of this severity closes the gate."""
        return self in (Severity.BLOCKER, Severity.HIGH)


class Verdict(StrEnum):
    """The word over many findings. CONTINUE and ROLLBACK are for live triggers, GO and NO_GO for everything else."""

    GO = "GO"
    NO_GO = "NO_GO"
    INCONCLUSIVE = "INCONCLUSIVE"
    CONTINUE = "CONTINUE"
    ROLLBACK = "ROLLBACK"

    @property
    def opens(self) -> bool:
        """Whether the next step may begin."""
        return self in (Verdict.GO, Verdict.CONTINUE)


RENAMED = {"LIVE-sight": "LIVE-metrics"}
"""Ids of findings that were renamed: waivers that name the old one hold for the new one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        id: stable identifier, such as `RDS-11`, `INT-03` or `TRG-p95`.
        title: what is claimed, as a short sentence ("Storage is encrypted").
        status: what the look gave.
        severity: how serious it is.
        subject: what was looked at (an ARN, `public.users`, a URL without secrets).
        expected: what should be, in words or a value as text.
        observed: what is, in words or a value as text; never a secret.
        why: why it matters, or why the status is what it is.
        remedy: what to do, with commands; may span lines.
        guide: line of the deployment guide, 0 when it is ours.
        evidence: relative paths in the run folder, or request ids.
        waived_from: the status before it was waived.
        trigger: whether it speaks of a live rollback trigger (its failing verdict is ROLLBACK, not NO_GO).
        data: small machine-readable values (counts, seconds, bytes); JSON types only.
    """

    id: str
    title: str
    status: Status
    severity: Severity = Severity.MEDIUM
    subject: str = ""
    expected: str = ""
    observed: str = ""
    why: str = ""
    remedy: str = ""
    guide: int = 0
    evidence: tuple[str, ...] = ()
    waived_from: Status | None = None
    trigger: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id or not self.title:
            raise ValueError("a finding needs an id and a title")
        object.__setattr__(self, "status", Status(self.status))
        object.__setattr__(self, "severity", Severity(self.severity))
        object.__setattr__(self, "evidence", tuple(self.evidence))

    @classmethod
    def check(
        cls,
        id: str,
        title: str,
        bad: object,
        *,
        severity: Severity = Severity.MEDIUM,
        subject: str = "",
        expected: str = "",
        observed: str = "",
        good: str = "",
        why: str = "",
        note: str = "",
        remedy: str = "",
        guide: int = 0,
        evidence: tuple[str, ...] = (),
        data: Mapping[str, Any] | None = None,
    ) -> Finding:
        """What was looked at, and is good or bad: PASS, without `why` and `remedy`, when it is good.

        Args:
            id, title, severity, subject, expected, guide, evidence, data: as of any finding.
            bad: what is wrong, FAIL unless it is false, empty or None; or, where a look has more than two answers, its
                status, good when that is PASS.
            observed: what is.
            good: what is observed instead when nothing is bad; without it `observed` holds for both.
            why: why it matters, said only when it is bad.
            note: why it matters, said also when it is good, and wherever there is no `why`.
            remedy: what to do, said only when it is bad.
        """
        status = bad if isinstance(bad, Status) else Status.FAIL if bad else Status.PASS
        if status is Status.PASS:
            observed, why, remedy = good or observed, "", ""
        why, data = why or note, data or {}
        return cls(id, title, status, severity, subject, expected, observed, why, remedy, guide, evidence, data=data)

    @property
    def closes_gate(self) -> bool:
        """Whether this finding keeps the gate shut (CONTRACTS, table of statuses)."""
        if self.status is Status.NOT_COMPARED:
            return True
        bad = {Status.FAIL, Status.MISSING, Status.UNKNOWN, Status.MANUAL}
        return self.status in bad and self.severity.closes

    @property
    def undecided(self) -> bool:
        """Whether it closes the gate for want of knowledge rather than for something seen to be wrong."""
        return self.status in {Status.UNKNOWN, Status.NOT_COMPARED, Status.MANUAL}

    def sentence(self) -> str:
        """What it says of its claim, in one sentence without a full stop: `Storage is encrypted? No: …`."""
        seen = (self.observed or self.why or str(self.status)).rstrip(".")
        return f"{self.title}? {'Not known' if self.undecided else 'No'}: {seen}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; enums as text, empty fields left out but for status and severity."""
        raw = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        raw |= {"status": str(self.status), "severity": str(self.severity), "evidence": list(self.evidence)}
        raw["waived_from"] = str(self.waived_from) if self.waived_from else None
        raw["data"] = dict(self.data)
        return {k: v for k, v in raw.items() if v not in ("", None, [], {}, 0, False)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Finding:
        """The inverse of `to_dict`; keys that are not a Finding's (`step`, `at`) are ignored."""
        names = {f.name for f in dataclasses.fields(cls)}
        kept = {k: v for k, v in raw.items() if k in names}
        if kept.get("waived_from"):
            kept["waived_from"] = Status(kept["waived_from"])
        return cls(**kept)


def deciding(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that keep the gate shut, what was seen to be wrong before what could not be seen."""
    closed = [f for f in findings if f.closes_gate]
    order = {Severity.BLOCKER: 0, Severity.HIGH: 1, Severity.MEDIUM: 2, Severity.LOW: 3}
    return sorted(closed, key=lambda f: (f.undecided, not f.trigger, order[f.severity], f.id))


def verdict(findings: Iterable[Finding], *, live: bool = False) -> Verdict:
    """The verdict over findings. Nothing looked at is never GO: no finding at all is INCONCLUSIVE.

    Args:
        findings: everything that was seen.
        live: speak in the words of live triggers (CONTINUE instead of GO).
    """
    seen = list(findings)
    looked = [f for f in seen if f.status not in {Status.NOT_DUE, Status.NOT_APPLICABLE}]
    if not looked:
        return Verdict.INCONCLUSIVE
    closed = deciding(seen)
    if any(f.trigger and not f.undecided for f in closed):
        return Verdict.ROLLBACK
    if any(not f.undecided for f in closed):
        return Verdict.NO_GO
    if closed:
        return Verdict.INCONCLUSIVE
    return Verdict.CONTINUE if live else Verdict.GO
