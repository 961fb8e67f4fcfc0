"""Which way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cutover.finding import Finding, Severity, Status
from cutover.judgement import MATRIX, RULES, Looks, diagnose

RECORDED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("recorded_faults.json").read_text())
"""What the instruments said of each fault of the stand-in application (`record_faults.py`)."""
DAY = ("switch-dns", "deploy-service", "transfer")
"""What the day changed, the latest first."""
WELL, LOST = (True, "answered"), (False, "connection refused")


def bad(identifier: str, observed: str = "", status: Status = Status.FAIL) -> Finding:
    """A finding that failed."""
    return Finding(
        identifier, "Something", status, Severity.BLOCKER, observed=observed, trigger=identifier.startswith("TRG-")
    )


@pytest.mark.parametrize(
    ("findings", "row"),
    [
        ([bad("TRG-error-rate")], "application"),
        ([bad("TRG-p95")], "application"),
        ([bad("TRG-stalled"), bad("TRG-p95")], "application"),
        ([bad("TRG-critical-flows"), bad("FLOW-login")], "application"),
        ([bad("APP-01")], "application"),
        ([bad("DEP-02")], "application"),
        ([bad("TRG-database", "connection refused"), bad("TRG-error-rate")], "database"),
        ([bad("TRG-database", "password authentication failed")], "configuration"),
        ([bad("TRG-database", "connection refused"), bad("SG-03")], "configuration"),
        ([bad("TRG-error-rate"), bad("SEC-02")], "configuration"),
        ([bad("TRG-error-rate"), bad("TG-07")], "infrastructure"),
        ([bad("TRG-stalled"), bad("ALB-01", status=Status.MISSING)], "infrastructure"),
        ([bad("INT-rows:public.users")], "return"),
        ([bad("INT-03"), bad("TRG-error-rate")], "database"),
        ([bad("RDS-11")], ""),
        ([], ""),
    ],
)
def test_each_row_of_the_matrix_is_found(findings: list[Finding], row: str) -> None:
    """By what fired and by what else was seen."""
    assert diagnose(findings).row == row


def test_where_the_name_points_decides_the_way_back_for_data() -> None:
    """Before the switch nothing is lost by going back; after it a restore loses less than Replit would."""
    assert diagnose([bad("INT-03")], after_cutover=True).row == "database"
    assert diagnose([bad("INT-03"), bad("TRG-p95")], after_cutover=False).row == "return"


@pytest.mark.parametrize("status", [Status.PASS, Status.UNKNOWN, Status.WAIVED, Status.NOT_DUE])
def test_only_what_failed_counts(status: Status) -> None:
    """What could not be seen names no way back."""
    assert diagnose([bad("TRG-p95", status=status)]).issue == "Not decidable"


def test_a_diagnosis_names_its_evidence_its_cost_and_the_alternative() -> None:
    """Enough to argue with."""
    found = diagnose([bad("TRG-p95", "p95 4.2 s")])
    assert "TRG-p95: p95 4.2 s" in found.why
    assert found.minutes == "5–15"
    assert found.lost
    assert "the configuration when secrets changed too" in found.otherwise


def test_the_matrix_has_the_five_ways_back() -> None:
    """One row each."""
    assert list(MATRIX) == ["application", "database", "configuration", "infrastructure", "return"]
    assert all(row.minutes and row.lost for row in MATRIX.values())


def test_the_order_of_findings_does_not_matter() -> None:
    """The same row either way."""
    findings = [bad("TRG-error-rate"), bad("TG-07"), bad("SEC-02"), bad("TRG-database", "refused")]
    assert diagnose(findings).row == diagnose(findings[::-1]).row


def of(fault: str) -> tuple[list[Finding], dict[str, int]]:
    """The recorded findings and error classes of a fault."""
    return [Finding.from_dict(raw) for raw in RECORDED[fault]["findings"]], RECORDED[fault]["errors"]


@pytest.mark.parametrize(
    ("fault", "database", "queue", "issue"),
    [
        ("none", WELL, WELL, "Not decidable"),
        ("latency", WELL, WELL, "Application bug"),
        ("errors", WELL, WELL, "Application bug"),
        ("hang", WELL, WELL, "Application bug"),
        ("hang under load", WELL, WELL, "Application bug"),
        ("broken sign-in", WELL, WELL, "Application bug"),
        ("broken twins", WELL, WELL, "Application bug"),
        ("broken reports", WELL, WELL, "Application bug"),
        ("lost database", WELL, WELL, "Configuration error"),
        ("lost database", LOST, WELL, "Database migration issue"),
        ("lost database", None, WELL, "Database migration issue"),
        ("lost queue", WELL, WELL, "Configuration error"),
        ("lost queue", WELL, LOST, "Infrastructure failure"),
        ("lost queue", WELL, None, "Not decidable"),
        ("dead", WELL, WELL, "Application bug"),
    ],
)
def test_each_fault_of_the_stage_is_diagnosed(
    fault: str, database: tuple[bool, str] | None, queue: tuple[bool, str] | None, issue: str
) -> None:
    """From what the instruments said of the real thing."""
    findings, errors = of(fault)
    looks = Looks(errors=errors, changes=DAY, database_answers=database, queue_answers=queue)
    found = diagnose(findings, after_cutover=True, looks=looks)
    assert found.issue == issue, "\n".join(
        f"{a.points} {a.issue}: {a.speaks_for} / {a.speaks_against}" for a in found.arguments
    )


def test_target_health_decides_what_a_dead_process_leaves_open() -> None:
    """The release, if it was changed last; else nobody knows. One host of two is ill: then it is not the release."""
    findings, errors = of("dead")
    unchanged = diagnose(findings, after_cutover=True, looks=Looks(errors=errors))
    assert unchanged.issue == "Not decidable"
    assert "targets' health" in unchanged.otherwise
    hosts = Finding("TRG-stalled", "x", Status.PASS, trigger=True, data={"unhealthy_hosts": 1.0, "healthy_hosts": 1.0})
    looks = Looks(errors=errors, changes=DAY)
    assert diagnose([*findings, hosts], after_cutover=True, looks=looks).issue == "Infrastructure failure"


def test_what_passed_speaks_against_rows() -> None:
    """Data that arrived whole are no reason for a restore, and it is said."""
    same = Finding("INT-rows", "Every row has arrived", Status.PASS)
    found = diagnose([bad("TRG-error-rate"), same], after_cutover=True)
    restore = next(a for a in found.arguments if a.row == "database")
    assert any("a restore would lose writes" in line for line in restore.speaks_against)


def test_settings_that_changed_last_weigh_more_than_none() -> None:
    """A rotation after the deployment is what changed last."""
    looks = Looks(changes=("rotate-secret", "deploy-service"))
    rows = {a.issue: a.points for a in diagnose([bad("TRG-error-rate")], looks=looks).arguments}
    plain = {a.issue: a.points for a in diagnose([bad("TRG-error-rate")]).arguments}
    assert rows["Configuration error"] == plain["Configuration error"] + 1
    assert rows["Application bug"] == plain["Application bug"]


def test_both_known_to_be_wrong_is_not_decidable() -> None:
    """Settings and the way to the application: as much speaks for one as for the other, and both are shown."""
    found = diagnose([bad("TRG-error-rate"), bad("TG-07"), bad("SEC-02")])
    assert found.issue == "Not decidable"
    assert "Configuration error" in found.why
    assert "Infrastructure failure" in found.why


def test_the_page_of_rules_is_the_table() -> None:
    """Whoever argues with a line must find it there."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md").read_text()
    for rule in RULES:
        points = ", ".join(f"{row} {n:+d}" for row, n in rule.points.items())
        assert f"| {rule.when} | {points} | {rule.because} |" in page
    assert page.count("\n| ") == len(RULES) + len(MATRIX) + 2
