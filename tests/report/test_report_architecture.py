"""The picture of the architecture: a part is as good as its worst finding, and no colour speaks alone."""

from __future__ import annotations

import pytest

from cutover.finding import Finding, Severity, Status
from cutover.report import architecture
from cutover.report.architecture import PARTS, picture, sentence, states


def one(identifier: str, status: Status = Status.PASS, severity: Severity = Severity.BLOCKER) -> Finding:
    """A finding."""
    return Finding(identifier, "It is so", status, severity)


@pytest.mark.parametrize(
    ("findings", "look"),
    [
        ([one("RDS-01")], "good"),
        ([], "nothing"),
        ([one("RDS-39", Status.NOT_DUE)], "nothing"),
        ([one("RDS-01", Status.FAIL), one("RDS-02", Status.MISSING)], "wrong"),
        ([one("RDS-01", Status.MISSING), one("RDS-02", Status.UNKNOWN)], "missing"),
        ([one("RDS-01"), one("RDS-02", Status.UNKNOWN)], "unknown"),
        ([one("RDS-01"), one("RDS-02", Status.FAIL, Severity.LOW)], "lesser"),
        ([one("RDS-01"), one("RDS-02", Status.WAIVED)], "waived"),
    ],
)
def test_the_worst_finding_decides(findings: list[Finding], look: str) -> None:
    """And what nobody looked at is never good."""
    assert states(findings)["Database"].look == look


def test_every_chapter_of_the_catalogue_has_its_part() -> None:
    """No finding falls off the picture."""
    from cutover.aws.requirements import REGISTRY

    assert {i.partition("-")[0] for i in REGISTRY} <= architecture.CHAPTERS
    names = [p.name for p in PARTS]
    assert len(set(names)) == len(names)


def test_marks_and_hatches_say_it_without_colour() -> None:
    """Each look has a mark of its own."""
    marks = [mark for _, mark, _ in architecture._LOOKS.values()]
    assert len(set(marks)) == len(marks)


def test_the_picture_is_drawn_and_told() -> None:
    """Every part stands in it with its mark; the alternative text names what is wrong, by id."""
    findings = [one("RDS-09", Status.FAIL), one("ALB-01"), one("NET-01", Status.UNKNOWN)]
    texts = [t.get_text() for t in picture(findings).axes[0].texts]
    for part in PARTS:
        assert any(part.name in t for t in texts)
    assert "✖  Database" in texts
    told = sentence(findings)
    assert "closes the gate: Database (RDS-09)" in told
    assert "could not be looked at, and it closes the gate: Network (NET-01)" in told
    assert "as it should be: Balancer" in told
