"""The guide's eighteen boxes: done only when something was looked at, signed only with a name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cutover.aws.checklist import BOXES, Signature, read_signatures, signed, tick
from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status

HEAVY, LIGHT = Severity.BLOCKER, Severity.LOW
SIGNED = {"backups": Signature("A. Miller", "restored, 3 tables read", "2026-11-23T10:00:00+00:00")}


def one(identifier: str, status: Status = Status.PASS, severity: Severity = HEAVY) -> Finding:
    """A finding."""
    return Finding(identifier, "It is so", status, severity, observed="seen")


def state(key: str, *findings: Finding, **signatures: Signature) -> str:
    """The state of one box."""
    return next(t.state for t in tick(findings, signatures) if t.box.key == key)


def test_they_are_the_guides_eighteen() -> None:
    """Seven before, six during, five after, in its order."""
    assert len(BOXES) == 18
    phases = [b.phase for b in BOXES]
    assert [phases.count(p) for p in dict.fromkeys(phases)] == [7, 6, 5]
    assert [b.guide for b in BOXES] == sorted(b.guide for b in BOXES)


def test_nothing_looked_at_is_never_done() -> None:
    """An empty run ticks nothing."""
    assert {t.state for t in tick([])} == {"not looked at", "by hand"}


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (one("RDS-01"), "done"),
        (one("RDS-01", Status.FAIL), "open"),
        (one("RDS-01", Status.MISSING), "open"),
        (one("RDS-01", Status.UNKNOWN), "not known"),
        (one("RDS-01", Status.FAIL, LIGHT), "done"),
        (one("RDS-39", Status.NOT_DUE), "not due"),
        (one("RDS-36", Status.NOT_APPLICABLE), "done"),
        (one("RDS-09", Status.WAIVED), "done"),
    ],
)
def test_a_box_is_as_good_as_its_worst_finding_that_weighs(finding: Finding, expected: str) -> None:
    """FAIL before UNKNOWN; what is light is named and closes nothing."""
    others = [] if finding.status in (Status.NOT_DUE, Status.NOT_APPLICABLE) else [one("RDS-02")]
    assert state("rds", finding, *others) == expected


def test_one_bad_finding_outweighs_many_good() -> None:
    """And its sentence is the reason."""
    findings = [*(one(f"NET-{n:02d}") for n in range(1, 9)), one("NET-09", Status.UNKNOWN), one("NET-10", Status.FAIL)]
    box = tick(findings)[0]
    assert (box.state, box.counts["PASS"]) == ("open", 8)
    assert "NET-10" in box.says


def test_a_box_takes_only_what_is_its_own() -> None:
    """The image's findings are not the repository's."""
    assert state("ecr", one("ECR-05", Status.FAIL)) == "not looked at"
    assert state("image", one("ECR-05", Status.FAIL)) == "open"


def test_what_no_check_can_see_waits_for_a_person() -> None:
    """Good findings alone do not tick it; a signature does; a bad finding outweighs the signature."""
    good = one("RDS-14")
    assert state("backups", good) == "by hand"
    assert state("backups", good, **SIGNED) == "done"
    assert state("backups", one("RDS-30", Status.FAIL), **SIGNED) == "open"
    by_id = {f.subject: f for f in signed(SIGNED)}
    assert by_id["backups"].status is Status.PASS
    assert "A. Miller" in by_id["backups"].observed
    assert by_id["performance"].status is Status.MANUAL


def test_a_signature_among_the_findings_counts() -> None:
    """The report has no journal, but the finding that says who."""
    box = next(t for t in tick([one("RDS-14"), *signed(SIGNED)]) if t.box.key == "backups")
    assert box.state == "done"
    assert box.signature == SIGNED["backups"]


@pytest.mark.parametrize(
    "given",
    [
        {"vpc": {"who": "A. Miller", "note": "it is there, I saw it"}},
        {"backups": "yes, all fine"},
        {"backups": {"who": "", "note": "restored, 3 tables read"}},
        {"backups": {"who": "A. Miller", "note": "ok"}},
        {"backups": {"who": "A. Miller", "note": "restored, 3 tables read", "when": "today"}},
    ],
)
def test_a_tick_without_a_name_is_refused(given: dict[str, Any]) -> None:
    """Nobody would answer for it; what a check sees, nobody signs."""
    with pytest.raises(UsageError):
        read_signatures(given, "now")


def test_a_name_with_a_comma_and_a_note_with_a_colon_stay_whole() -> None:
    """They are fields of the finding; a run of an earlier version kept one text, which is read as before."""
    given = Signature("Miller, A.", "restored: 3 tables, read", "2026-11-23T12:00:00Z")
    (found,) = [f for f in signed({"backups": given}) if f.subject == "backups"]
    earlier = replace(found, observed=f"A. Miller, {given.at}: read", data={})
    for finding, signature in ((found, given), (earlier, Signature("A. Miller", "read", given.at))):
        assert [t.signature for t in tick([finding]) if t.box.key == "backups"] == [signature]


def test_a_signature_keeps_its_time() -> None:
    """Who, when, and what they looked at."""
    found = read_signatures({"backups": {"who": " A. Miller ", "note": "restored, 3 tables read"}}, "2026-11-23")
    assert found == {"backups": Signature("A. Miller", "restored, 3 tables read", "2026-11-23")}
