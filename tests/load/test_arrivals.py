"""Schedules of due times: by chance or evenly, at a rate that may change, dealt to workers, or replayed."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.errors import UsageError
from cutover.load import Schedule, schedule, steady
from cutover.migration import Load

MINUTE = timedelta(minutes=1)


def load(**more: object) -> Load:
    """A load of a minute."""
    return Load.model_validate({"arrivals_per_s": 20.0, "duration": "60s", "warm_up": "1s", **more})


def per_second(plan: Schedule, seed: int = 1) -> list[int]:
    """How many were due in each second."""
    counts = [0] * round(plan.duration_s)
    for due in plan.due(random.Random(seed)):
        counts[int(due)] += 1
    return counts


@given(st.floats(0.5, 50), st.floats(0.5, 50), st.floats(0.1, 20), st.integers(0, 2**32), st.booleans())
def test_arrivals_ascend_and_stay_within_the_duration(r0: float, r1: float, span: float, seed: int, even: bool) -> None:
    """Every due time lies in the load, none before the one before it, whatever the rate does."""
    plan = Schedule(((0.0, r0), (span / 3, r0), (span / 3, r1), (span, r0)), even)
    due = list(plan.due(random.Random(seed)))
    assert all(a <= b for a, b in itertools.pairwise(due))
    assert all(0 <= d < span * (1 + 1e-12) for d in due)


def test_poisson_arrivals_come_at_the_rate_and_as_unevenly_as_they_should() -> None:
    """The count of a Poisson process has its mean as its variance: 10,000 expected, five deviations are 500."""
    counts = per_second(steady(100, 100), seed=7)
    assert abs(sum(counts) - 10_000) < 500
    assert 60 < sum((c - 100) ** 2 for c in counts) / 100 < 160


def test_the_same_seed_gives_the_same_arrivals() -> None:
    """A run can be repeated."""
    plan = steady(5, 10)
    assert list(plan.due(random.Random(3))) == list(plan.due(random.Random(3)))


def test_even_arrivals_do_not_drift() -> None:
    """The thousandth is due at 999 tenths of a second."""
    due = list(steady(10, 100, even=True).due(random.Random(1)))
    assert len(due) == 1000
    assert due[999] == pytest.approx(99.9, abs=1e-9)


@pytest.mark.parametrize("even", [True, False])
def test_workers_together_are_the_schedule(even: bool) -> None:
    """Four workers: even arrivals interleave to the same moments, Poisson processes add up."""
    plan = Schedule(((0.0, 10.0), (100.0, 50.0)), even)
    parts = [list(plan.due(random.Random(w), worker=w, workers=4)) for w in range(4)]
    together = sorted(itertools.chain(*parts))
    if even:
        assert together == pytest.approx(list(plan.due(random.Random(9))))
    else:
        assert abs(len(together) - 3000) < 5 * 3000**0.5


def test_a_ramp_rises_in_a_straight_line() -> None:
    """From 20 to 100 a second: halfway at 60, and 3,600 in all."""
    plan = schedule(load(shape="ramp", up_to_per_s=100.0))
    assert (plan.rate(0), plan.rate(30)) == (20, 60)
    counts = per_second(plan)
    assert abs(sum(counts) - 3600) < 5 * 60
    assert sum(counts[:20]) < sum(counts[20:40]) < sum(counts[40:])


def test_a_spike_comes_and_goes() -> None:
    """200 a second from the 20th to the 25th second."""
    plan = schedule(load(shape="spike", spike={"after": "20s", "for": "5s", "per_s": 200.0}))
    counts = per_second(plan)
    assert min(counts[20:25]) > 120 > max(counts[:20] + counts[25:])
    assert plan.expected(0, 60) == 55 * 20 + 5 * 200


def test_a_stress_test_climbs_a_stair() -> None:
    """Six steps of ten seconds from 20 to 120 a second; each of one rate."""
    plan = schedule(load(shape="stress", up_to_per_s=120.0, steps=6))
    assert [plan.rate(t) for t in (0, 9.9, 10, 35, 59.9)] == [20, 20, 40, 80, 120]
    assert plan.expected(0, 60) == pytest.approx(10 * (20 + 40 + 60 + 80 + 100 + 120))


def test_a_log_is_replayed_as_it_happened(tmp_path: Path) -> None:
    """Epoch seconds or ISO 8601; out of order as logs are; twice as fast; what is too late is left out."""
    log = tmp_path / "access.csv"
    log.write_text("time,path\n1700000010.5,/\n1700000000,/\n2023-11-14T22:13:24+00:00,/x\n1700000500,/\n")
    plan = schedule(load(shape="replay", replay=str(log), speed=2.0))
    assert list(plan.due(random.Random(1))) == [0, 2, 5.25]
    assert list(plan.due(random.Random(1), worker=1, workers=2)) == [2]


def test_a_log_without_times_is_refused(tmp_path: Path) -> None:
    """Not a load of nobody."""
    log = tmp_path / "notes.txt"
    log.write_text("hello\nworld\n")
    with pytest.raises(UsageError, match="begins with a time"):
        schedule(load(shape="replay", replay=str(log)))
    with pytest.raises(UsageError, match="cannot be read"):
        schedule(load(shape="replay", replay=str(tmp_path / "none")))


def test_a_schedule_survives_its_way_to_the_workers() -> None:
    """As text, and what is no schedule is refused."""
    plan = Schedule(((0.0, 1.5), (10.0, 3.0)), offsets=(0.25, 9.5))
    assert Schedule.from_json(plan.to_json()) == plan
    with pytest.raises(UsageError, match="no schedule"):
        Schedule.from_json("{}")


@pytest.mark.parametrize(("per_s", "duration"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_arrivals_that_make_no_sense_are_refused(per_s: float, duration: float) -> None:
    """Neither endless loops nor silence."""
    with pytest.raises(ValueError, match="above zero"):
        steady(per_s, duration)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shape": "ramp"}, "needs load.up_to_per_s"),
        ({"shape": "spike"}, "needs load.spike"),
        ({"shape": "replay"}, "needs load.replay"),
        ({"up_to_per_s": 10.0}, "says nothing with"),
        ({"shape": "spike", "spike": {"after": "50s", "for": "20s", "per_s": 9.0}}, "ends after"),
    ],
)
def test_a_shape_that_is_half_said_is_refused(wrong: dict[str, object], says: str) -> None:
    """Before anything starts."""
    with pytest.raises(ValueError, match=says):
        load(**wrong)
