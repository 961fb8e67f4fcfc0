"""Findings, the gate and the verdict: the table of CONTRACTS, row by row."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.errors import CutoverError, ExitCode, GateClosed, Message, raised, worst
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


def checked(bad: object, **more: object) -> Finding:
    """A check with a word for each field that depends on what was seen."""
    words = {"observed": "3 rows", "why": "rows are lost", "remedy": "load them again"}
    return Finding.check("T-1", "nothing is missing", bad, **(words | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [["users", "orders"], "no TLS", 3, True, Status.FAIL, {"users": 3}])
def test_what_is_bad_fails_with_why_and_remedy(bad: object) -> None:
    """Whatever says that something is wrong, all of it is told."""
    expected = Finding(
        "T-1", "nothing is missing", Status.FAIL, observed="3 rows", why="rows are lost", remedy="load them again"
    )
    assert checked(bad) == checked(bad, good="none", note="rows are money") == expected


@pytest.mark.parametrize("bad", [[], (), "", 0, False, None, Status.PASS, {}])
def test_what_is_good_passes_without_why_and_remedy(bad: object) -> None:
    """Neither a reason to worry nor anything to do; what was observed stays, unless good things are said otherwise."""
    assert checked(bad) == Finding("T-1", "nothing is missing", Status.PASS, observed="3 rows")
    assert checked(bad, good="none").observed == "none"
    assert checked(bad, note="rows are money").why == "rows are money"


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.PASS])
def test_a_look_with_more_than_two_answers_gives_its_status(status: Status) -> None:
    """Any status but PASS keeps why and remedy: what is not known is no pass."""
    found = checked(status, good="none", severity=Severity.BLOCKER)
    assert (found.status, found.observed, found.why) == (status, "3 rows", "rows are lost")
    assert found.remedy == "load them again"
    assert checked(status, why="", note="rows are money").why == "rows are money"


@pytest.mark.parametrize("bad", [True, False])
def test_a_check_carries_the_other_fields_of_a_finding(bad: bool) -> None:
    """They say the same of what is good and of what is bad."""
    fields = {"severity": Severity.LOW, "subject": "db", "expected": "none", "guide": 912, "evidence": ("a.json",)}
    found = checked(bad, **fields, data={"rows": 3})
    assert found == Finding(
        "T-1", "nothing is missing", found.status, observed="3 rows", why=found.why, remedy=found.remedy,
        data={"rows": 3}, **fields,  # type: ignore[arg-type]
    )  # fmt: skip
    assert checked(bad).data == {}


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


@given(*(st.text(alphabet="ab :?\n", min_size=least, max_size=12).map(str.strip) for least in (1, 0, 0)))
def test_the_message_of_an_error_reads_back_part_by_part(what: str, why: str, todo: str) -> None:
    """It crosses from the notebook's kernel as one text."""
    assert Message.read(str(CutoverError(what, why=why, todo=todo))) == Message(what, why, todo)


@pytest.mark.parametrize(("name", "kind"), [("GateClosed", GateClosed), ("Message", None), ("KeyError", None)])
def test_an_error_is_known_by_its_name(name: str, kind: type[CutoverError] | None) -> None:
    """As a kernel reports it."""
    assert raised(name) is kind
