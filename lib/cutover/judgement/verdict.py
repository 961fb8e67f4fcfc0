"""The verdict over triggers, and the findings that a named person has accepted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from cutover.finding import Finding, Severity, Status, Verdict, deciding, verdict
from cutover.migration import Migration, Waiver

_WAIVABLE = frozenset({Status.FAIL, Status.MISSING, Status.UNKNOWN})


@dataclass(frozen=True)
class Judgement:
    """What the triggers say.

    Attributes:
        verdict: CONTINUE, ROLLBACK or INCONCLUSIVE.
        findings: one for each trigger, and what else kept the judge from knowing.
        windows: what it was judged by, one row for each window.
    """

    verdict: Verdict
    findings: list[Finding]
    windows: pd.DataFrame

    @property
    def headline(self) -> str:
        """The verdict and what decided it, in one sentence."""
        decided = deciding(self.findings)
        if not decided:
            return f"{self.verdict}: no trigger fired, and all of them could be judged"
        first = decided[0]
        said = [first.observed, first.why] if first.undecided else [first.observed]
        return f"{self.verdict}: {first.id.removeprefix('TRG-')}: {'; '.join(filter(None, said))}"

    @classmethod
    def over(cls, findings: list[Finding], windows: pd.DataFrame) -> Judgement:
        """The judgement that these findings amount to: one that fired is ROLLBACK, whatever else is unknown."""
        return cls(verdict(findings, live=True), findings, windows)


def apply_waivers(
    findings: Iterable[Finding], migration: Migration, *, now: datetime, emulator: str | None = None
) -> list[Finding]:
    """The findings, with those WAIVED that a named person accepted (CONTRACTS: the table of statuses).

    FAIL, MISSING and UNKNOWN can be waived, by id. What was left out of a comparison cannot; nor, in the rehearsal,
    can a blocker: the stage supplies what it needs. A waiver that has ended closes again, and says so.

    Args:
        findings: as the instruments gave them; the order is kept.
        migration: whose `waivers` hold.
        now: the moment of judging, with its time zone.
        emulator: the version of the AWS emulator, None against AWS itself.
    """
    return [_waive(finding, migration, now, emulator) for finding in findings]


def _waive(finding: Finding, migration: Migration, now: datetime, emulator: str | None) -> Finding:
    written = [waiver for waiver in migration.waivers if waiver.finding_id == finding.id]
    if not written or finding.status in {Status.PASS, Status.WAIVED, Status.NOT_DUE, Status.NOT_APPLICABLE}:
        return finding
    if finding.status not in _WAIVABLE:
        return _note(finding, f"a waiver names {finding.id}, but {finding.status} cannot be waived")
    if migration.environment == "rehearsal" and finding.severity is Severity.BLOCKER:
        return _note(finding, f"a waiver names {finding.id}, but a blocker cannot be waived in the rehearsal")
    waiver = migration.waiver_for(finding.id, now=now, emulator=emulator)
    if waiver is None:
        return _note(finding, "; ".join(_ended(each, now, emulator) for each in written))
    why = f"accepted by {waiver.approved_by} {_until(waiver)}: {waiver.reason.rstrip('.')}"
    return dataclasses.replace(
        finding,
        status=Status.WAIVED,
        waived_from=finding.status,
        why=f"{why}. {finding.why}" if finding.why else why,
        data={**finding.data, "waiver": waiver.model_dump(mode="json", exclude_none=True, exclude={"id"})},
    )


def _note(finding: Finding, note: str) -> Finding:
    return dataclasses.replace(finding, why=f"{finding.why.rstrip('.')}. {note}" if finding.why else note)


def _until(waiver: Waiver) -> str:
    return f"until {waiver.until.isoformat()}" if waiver.until else f"for emulator {waiver.emulator}"


def _ended(waiver: Waiver, now: datetime, emulator: str | None) -> str:
    if waiver.until:
        return f"the waiver by {waiver.approved_by} ended on {waiver.until} (it is {now.astimezone(UTC).date()})"
    here = f"this is emulator {emulator}" if emulator else "this is no emulator"
    return f"the waiver by {waiver.approved_by} is for emulator {waiver.emulator}, and {here}"
