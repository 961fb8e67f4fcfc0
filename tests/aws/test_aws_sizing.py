"""The guide's sizing tables against a load test: what is needed, what room is left, and when nobody can say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cutover.aws.cost.sizing import EC2, LoadResult, Real, check_size, suited, table
from cutover.finding import Finding, Status

LOAD = LoadResult(arrivals_per_s=50, answered_per_s=50, p95_s=0.4, error_rate=0.0, passed=True, tasks=2)
REAL = Real("ecs", 1024, 2048, 2, 20)


def one(identifier: str, load: LoadResult | None = LOAD, real: Real = REAL) -> Finding:
    """One finding of the three."""
    return next(f for f in check_size(load, real) if f.id == identifier)


def test_the_needed_tasks_and_the_headroom() -> None:
    """25 requests a second and task: 50 and 30 % more need 3 of them; 20 carry ten times the load."""
    found = one("SIZ-01")
    assert found.status is Status.PASS
    assert found.data["needed"] == 3
    assert found.data["headroom"] == 9.0
    assert "scales out at once" in found.observed


def test_a_load_that_the_greatest_size_does_not_carry() -> None:
    """The remedy says how many."""
    found = one("SIZ-01", replace(LOAD, arrivals_per_s=500))
    assert found.status is Status.FAIL
    assert "26" in found.remedy


@pytest.mark.parametrize(
    ("load", "status"),
    [
        (None, Status.UNKNOWN),
        (replace(LOAD, tasks=None), Status.UNKNOWN),
        (replace(LOAD, answered_per_s=0.0), Status.UNKNOWN),
        (replace(LOAD, passed=False), Status.FAIL),
    ],
)
def test_without_a_good_test_nothing_is_known(load: LoadResult | None, status: Status) -> None:
    """Never PASS by default."""
    assert one("SIZ-01", load).status is status
    assert one("SIZ-01", load).remedy


@pytest.mark.parametrize(
    ("cpu", "memory", "status"),
    [(1024, 2048, Status.PASS), (2048, 4096, Status.PASS), (512, 2048, Status.FAIL), (1024, 1024, Status.FAIL)],
)
def test_the_tasks_size_is_the_guides_or_more(cpu: int, memory: int, status: Status) -> None:
    """Lines 335 and 336."""
    assert one("SIZ-02", real=replace(REAL, cpu=cpu, memory_mib=memory)).status is status


@pytest.mark.parametrize(
    ("users", "kind"),
    [
        (0, "t3.medium"),
        (99, "t3.medium"),
        (100, "t3.large"),
        (499, "t3.large"),
        (500, "c6i.xlarge"),
        (9e9, "c6i.xlarge"),
    ],
)
def test_the_guides_table_by_users(users: float, kind: str) -> None:
    """Development is for nobody's visitors."""
    assert suited(users).type == kind


@pytest.mark.parametrize(
    ("kind", "load", "status"),
    [
        ("c6i.xlarge", LOAD, Status.PASS),
        ("t3.medium", LOAD, Status.FAIL),
        ("m7i.large", LOAD, Status.UNKNOWN),
        ("c6i.xlarge", None, Status.UNKNOWN),
    ],
)
def test_instances_are_held_against_the_table(kind: str, load: LoadResult | None, status: Status) -> None:
    """50 requests a second are some 520 visitors with ten seconds between two requests of one."""
    assert one("SIZ-03", load, replace(REAL, compute="ec2", instance_type=kind)).status is status


def test_on_containers_the_instance_table_does_not_apply() -> None:
    """And on instances the task's does not."""
    assert one("SIZ-03").status is Status.NOT_APPLICABLE
    assert one("SIZ-02", real=replace(REAL, compute="ec2")).status is Status.NOT_APPLICABLE


def test_the_table_marks_one_row() -> None:
    """Or says that it does not know."""
    assert [r["this load"] for r in table(LOAD)].count("needs this") == 1
    assert {r["this load"] for r in table(None)} == {"not known"}
    assert len(table(LOAD)) == len(EC2)


def test_the_result_survives_the_journal() -> None:
    """And half of one is refused."""
    raw = {"arrivals_per_s": 50, "answered_per_s": 49.5, "p95_s": 0.2, "error_rate": 0.0, "passed": True, "tasks": 0}
    assert LoadResult.from_dict(raw).tasks is None
    with pytest.raises(KeyError):
        LoadResult.from_dict({"arrivals_per_s": 1})
