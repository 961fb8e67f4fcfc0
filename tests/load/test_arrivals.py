"""Schedules of due times."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.load import constant, poisson


@given(st.floats(0.5, 50), st.floats(0.1, 20), st.integers(0, 2**32))
def test_poisson_arrivals_ascend_and_stay_within_the_duration(per_s: float, duration: float, seed: int) -> None:
    """Every due time lies in the load, none before the one before it."""
    due = list(poisson(per_s, duration, random.Random(seed)))
    assert all(a <= b for a, b in itertools.pairwise(due))
    assert all(0 <= d < duration for d in due)


def test_poisson_arrivals_come_at_the_rate_and_as_unevenly_as_they_should() -> None:
    """The count of a Poisson process has its mean as its variance: 10,000 expected, five deviations are 500."""
    due = list(poisson(100, 100, random.Random(7)))
    assert abs(len(due) - 10_000) < 500
    counts = [0] * 100
    for d in due:
        counts[int(d)] += 1
    variance = sum((c - 100) ** 2 for c in counts) / 100
    assert 60 < variance < 160


def test_the_same_seed_gives_the_same_arrivals() -> None:
    """A run can be repeated."""
    assert list(poisson(5, 10, random.Random(3))) == list(poisson(5, 10, random.Random(3)))


def test_constant_arrivals_do_not_drift() -> None:
    """The thousandth is due at exactly 999 tenths of a second."""
    due = list(constant(10, 100))
    assert len(due) == 1000
    assert due[999] == 99.9


@pytest.mark.parametrize(("per_s", "duration"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_arrivals_that_make_no_sense_are_refused(per_s: float, duration: float) -> None:
    """Neither endless loops nor silence."""
    with pytest.raises(ValueError, match="above zero"):
        list(constant(per_s, duration))
    with pytest.raises(ValueError, match="above zero"):
        list(poisson(per_s, duration, random.Random(1)))
