"""Findings, the gate and the verdict: the table of CONTRACTS, row by row."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.errors import CutoverError, ExitCode, GateClosed, worst
from cutover.finding import Finding, Severity, Status, Verdict, deciding, verdict

CLOSING = {
    Status.FAIL: "closes when it matters",
    Status.MISSING: "closes when it matters",
    Status.UNKNOWN: "closes when it matters",
    Status.MANUAL: "closes when it matters",
    Status.NOT_COMPARED: "always closes",
}


def finding(status: Status, severity: Severity = Severity.BLOCKER, **more: object) -> Finding:
    """A finding of this status."""
    return Finding("T-1", "something holds", status, severity, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "severity"), list(itertools.product(Status, Severity)))
def test_each_status_opens_or_closes_the_gate_as_the_table_says(status: Status, severity: Severity) -> None:
    """CONTRACTS, Finding, status, verdict."""
    closes = status is Status.NOT_COMPARED or (status in CLOSING and severity in (Severity.BLOCKER, Severity.HIGH))
    assert finding(status, severity).closes_gate is closes


def test_nothing_looked_at_is_never_go() -> None:
    """No findings, or only such as were not due, are no ground to go."""
    assert verdict([]) is Verdict.INCONCLUSIVE
    assert verdict([finding(Status.NOT_DUE), finding(Status.NOT_APPLICABLE)]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([finding(Status.PASS)], Verdict.GO),
        ([finding(Status.PASS), finding(Status.FAIL, Severity.LOW)], Verdict.GO),
        ([finding(Status.PASS), finding(Status.UNKNOWN)], Verdict.INCONCLUSIVE),
        ([finding(Status.NOT_COMPARED, Severity.LOW)], Verdict.INCONCLUSIVE),
        ([finding(Status.UNKNOWN), finding(Status.FAIL)], Verdict.NO_GO),
        ([finding(Status.FAIL), finding(Status.FAIL, trigger=True)], Verdict.ROLLBACK),
        ([finding(Status.UNKNOWN, trigger=True)], Verdict.INCONCLUSIVE),
        ([finding(Status.WAIVED)], Verdict.GO),
    ],
)
def test_the_verdict_over_findings(findings: list[Finding], expected: Verdict) -> None:
    """What is seen to be wrong outweighs what could not be seen."""
    assert verdict(findings) is expected


@given(st.lists(st.builds(finding, st.sampled_from(Status), st.sampled_from(Severity), trigger=st.booleans())))
def test_one_more_failing_blocker_never_opens_a_gate(findings: list[Finding]) -> None:
    """Monotone: bad news cannot make a verdict better."""
    assert not verdict([*findings, finding(Status.FAIL)]).opens
    assert deciding([*findings, finding(Status.FAIL)])


@given(
    st.builds(
        Finding,
        id=st.text(min_size=1),
        title=st.text(min_size=1),
        status=st.sampled_from(Status),
        severity=st.sampled_from(Severity),
        observed=st.text(),
        guide=st.integers(min_value=0),
        evidence=st.tuples(st.text(min_size=1)),
        waived_from=st.none() | st.sampled_from(Status),
        trigger=st.booleans(),
        data=st.dictionaries(st.text(), st.integers()),
    )
)
def test_a_finding_survives_being_written_and_read(original: Finding) -> None:
    """`to_dict` and `from_dict` are inverse; keys of the journal are ignored."""
    assert Finding.from_dict({**original.to_dict(), "step": "02", "at": "now"}) == original


def test_the_worst_of_several_endings_wins() -> None:
    """CONTRACTS: 1, 2, 3, 5, 4, 0 in that order."""
    order = [ExitCode.BROKE, ExitCode.USAGE, ExitCode.CLOSED, ExitCode.INCONCLUSIVE, ExitCode.WAITING, ExitCode.GO]
    for better, worse in itertools.combinations(reversed(order), 2):
        assert worst([better, worse]) is worse
    assert worst([]) is ExitCode.USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GateClosed("closed", verdict="NO_GO"), 3),
        (GateClosed("closed", verdict="ROLLBACK"), 3),
        (GateClosed("closed", verdict="INCONCLUSIVE"), 5),
        (CutoverError("broke"), 1),
    ],
)
def test_an_error_knows_its_exit_code_and_reads_as_one_message(error: CutoverError, code: int) -> None:
    """In a notebook it is one readable message, as a list (nbformat refuses anything else)."""
    assert error.exit_code == code
    assert error._render_traceback_() == [f"{type(error).__name__}: {error}"]
