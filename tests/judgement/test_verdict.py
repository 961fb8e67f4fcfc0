"""What a named person may accept, and until when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cutover.finding import Finding, Severity, Status, Verdict, verdict
from cutover.judgement import apply_waivers
from cutover.migration import Migration

PARAMS = Path(__file__).resolve().parents[2] / "params"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
REASON = "accepted for the first month"


def migration(environment: str, **waiver: Any) -> Migration:
    """A shipped parameter file with one waiver, for RDS-05."""
    raw = yaml.safe_load((PARAMS / f"{environment}.yml").read_text())["migration"]
    waivers = [{"id": "RDS-05", "reason": REASON, "approved_by": "Ada", **waiver}]
    return Migration.model_validate(raw | {"waivers": waivers})


def finding(status: Status = Status.FAIL, severity: Severity = Severity.HIGH, identifier: str = "RDS-05") -> Finding:
    """A finding that closes the gate."""
    return Finding(identifier, "Backups are kept", status, severity, why="seven days are too few")


def waive(seen: Finding, what: Migration, *, now: datetime = NOW, emulator: str | None = None) -> Finding:
    """One finding after the waivers."""
    return apply_waivers([seen], what, now=now, emulator=emulator)[0]


@pytest.mark.parametrize("status", [Status.FAIL, Status.MISSING, Status.UNKNOWN])
@pytest.mark.parametrize("severity", [Severity.BLOCKER, Severity.HIGH])
def test_an_accepted_finding_opens_the_gate_and_says_who_why_and_until(status: Status, severity: Severity) -> None:
    """And what it was before."""
    seen = waive(finding(status, severity), migration("production", until="2026-12-31"))
    assert seen.status is Status.WAIVED
    assert seen.waived_from is status
    assert not seen.closes_gate
    for word in ("Ada", REASON, "2026-12-31", "seven days are too few"):
        assert word in seen.why
    assert seen.data["waiver"] == {"approved_by": "Ada", "reason": REASON, "until": "2026-12-31"}
    assert Finding.from_dict(seen.to_dict()) == seen


@pytest.mark.parametrize("status", [Status.NOT_COMPARED, Status.MANUAL])
def test_what_nobody_looked_at_cannot_be_accepted(status: Status) -> None:
    """It stays closed, and says why."""
    seen = waive(finding(status), migration("production", until="2026-12-31"))
    assert seen.status is status
    assert seen.closes_gate
    assert "cannot be waived" in seen.why


@pytest.mark.parametrize("status", [Status.PASS, Status.NOT_DUE, Status.NOT_APPLICABLE])
def test_what_needs_no_waiver_is_left_as_it_is(status: Status) -> None:
    """A pass is a pass."""
    seen = finding(status)
    assert waive(seen, migration("production", until="2026-12-31")) is seen


@pytest.mark.parametrize(("day", "closed"), [(30, False), (31, False), (32, True)])
def test_a_waiver_ends_after_its_day(day: int, closed: bool) -> None:
    """The last day still counts; then the gate closes again, with the reason."""
    now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC) if day == 31 else datetime(2026 + day // 32, 1, 1, tzinfo=UTC)
    seen = waive(finding(), migration("production", until="2026-12-31"), now=now)
    assert seen.closes_gate is closed
    if closed:
        assert "ended on 2026-12-31" in seen.why
        assert seen.status is Status.FAIL


def test_a_waiver_is_for_one_finding_only() -> None:
    """Its id, not its neighbour's; the order is kept."""
    seen = apply_waivers(
        [finding(identifier="RDS-06"), finding()], migration("production", until="2026-12-31"), now=NOW
    )
    assert [f.status for f in seen] == [Status.FAIL, Status.WAIVED]
    assert verdict(seen) is Verdict.NO_GO


@pytest.mark.parametrize(("emulator", "waived"), [("5.2.5", True), ("5.3.0", False), (None, False)])
def test_in_the_rehearsal_a_waiver_is_for_one_version_of_the_emulator(emulator: str | None, waived: bool) -> None:
    """A newer one may have learnt it."""
    seen = waive(finding(Status.UNKNOWN), migration("rehearsal", emulator="5.2.5"), emulator=emulator)
    assert (seen.status is Status.WAIVED) is waived
    if not waived:
        assert "for emulator 5.2.5" in seen.why


@pytest.mark.parametrize("bound", [{"emulator": "5.2.5"}, {"until": "2026-12-31"}])
def test_in_the_rehearsal_a_blocker_cannot_be_waived(bound: dict[str, str]) -> None:
    """The stage supplies what it needs."""
    seen = waive(finding(severity=Severity.BLOCKER), migration("rehearsal", **bound), emulator="5.2.5")
    assert seen.status is Status.FAIL
    assert "cannot be waived in the rehearsal" in seen.why
