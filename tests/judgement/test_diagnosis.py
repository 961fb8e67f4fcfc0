"""Which way back."""

from __future__ import annotations

import pytest

from cutover.finding import Finding, Severity, Status
from cutover.judgement import MATRIX, diagnose


def bad(identifier: str, observed: str = "", status: Status = Status.FAIL) -> Finding:
    """A finding that failed."""
    return Finding(
        identifier, "Something", status, Severity.BLOCKER, observed=observed, trigger=identifier.startswith("TRG-")
    )


@pytest.mark.parametrize(
    ("findings", "notebook"),
    [
        ([bad("TRG-error-rate")], "91_rollback_application"),
        ([bad("TRG-p95")], "91_rollback_application"),
        ([bad("TRG-stalled"), bad("TRG-p95")], "91_rollback_application"),
        ([bad("TRG-critical-flows"), bad("FLOW-login")], "91_rollback_application"),
        ([bad("APP-01")], "91_rollback_application"),
        ([bad("DEP-02")], "91_rollback_application"),
        ([bad("TRG-database", "connection refused"), bad("TRG-error-rate")], "92_rollback_database"),
        ([bad("TRG-database", "password authentication failed")], "93_rollback_configuration"),
        ([bad("TRG-database", "connection refused"), bad("SG-03")], "93_rollback_configuration"),
        ([bad("TRG-error-rate"), bad("SEC-02")], "93_rollback_configuration"),
        ([bad("TRG-error-rate"), bad("TG-07")], "94_rollback_traffic"),
        ([bad("TRG-stalled"), bad("ALB-01", status=Status.MISSING)], "94_rollback_traffic"),
        ([bad("INT-rows:public.users")], "95_return_to_replit"),
        ([bad("INT-03"), bad("TRG-error-rate")], "92_rollback_database"),
        ([bad("RDS-11")], "40_troubleshooting"),
        ([], "40_troubleshooting"),
    ],
)
def test_each_row_of_the_matrix_is_found(findings: list[Finding], notebook: str) -> None:
    """By what fired and by what else was seen."""
    assert diagnose(findings).notebook == notebook


def test_where_the_name_points_decides_the_way_back_for_data() -> None:
    """Before the switch nothing is lost by going back; after it a restore loses less than Replit would."""
    assert diagnose([bad("INT-03")], after_cutover=True).notebook == "92_rollback_database"
    assert diagnose([bad("INT-03"), bad("TRG-p95")], after_cutover=False).notebook == "95_return_to_replit"


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
    assert "93" in found.otherwise


def test_the_matrix_has_the_five_ways_back() -> None:
    """One notebook each."""
    assert sorted(row.notebook[:2] for row in MATRIX.values()) == ["91", "92", "93", "94", "95"]
    assert all(row.minutes and row.lost for row in MATRIX.values())


def test_the_order_of_findings_does_not_matter() -> None:
    """The same row either way."""
    findings = [bad("TRG-error-rate"), bad("TG-07"), bad("SEC-02"), bad("TRG-database", "refused")]
    assert diagnose(findings).notebook == diagnose(findings[::-1]).notebook
