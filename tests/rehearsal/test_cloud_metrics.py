"""CloudWatch's arithmetic."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutover.rehearsal.cloud.metrics import Sample, by_period, evaluate, percentile, statistic

HUNDRED = [Sample.of(0, list(range(1, 101)), [1.0] * 100)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *{"Sum": 5050, "Average": 50.5, "Minimum": 1, "Maximum": 100, "SampleCount": 100, "p95": 95.05}.items(),
        *{"p0": 1, "p100": 100, "p50": 50.5, "p99.9": 99.901}.items(),
    ],
)
def test_statistics_of_one_to_a_hundred(name: str, expected: float) -> None:
    """The values that CloudWatch gives for the classic example."""
    assert statistic(HUNDRED, name) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 20)), min_size=1, max_size=30),
    st.floats(0, 100),
)
def test_a_percentile_over_counts_is_that_of_the_values_written_out(pairs: list[tuple[float, int]], p: float) -> None:
    """Counts are only a shorter way to write the same values (numpy's linear method)."""
    written_out = [value for value, count in pairs for _ in range(count)]
    assert percentile(pairs, p) == pytest.approx(numpy.percentile(written_out, p), rel=1e-9, abs=1e-6)


def test_a_statistic_set_has_no_percentile() -> None:
    """Nothing is known of its values but the extremes."""
    assert statistic([Sample(0, (), (), 1, 9, 30, 6)], "p95") is None
    assert statistic([Sample(0, (), (), 5, 5, 30, 6)], "p95") == 5


def test_an_unknown_statistic_is_refused() -> None:
    """Rather than answered with another one."""
    with pytest.raises(ValueError, match="tm99"):
        statistic(HUNDRED, "tm99")


def test_periods_without_data_have_no_value_and_start_at_multiples() -> None:
    """As GetMetricData answers."""
    samples = [Sample.of(at, [1.0], [1.0]) for at in (61, 62, 130)]
    assert by_period(samples, "Sum", start=60, end=200, period=60) == {60: 2, 120: 1}
    assert by_period(samples, "Sum", start=60, end=130, period=5) == {60: 2}


REQUESTS, ERRORS = {0: 100.0, 60: 50.0, 120: 0.0}, {0: 5.0, 120: 1.0}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("100*errors/requests", {0: 5.0}),
        ("100 * FILL(errors, 0) / requests", {0: 5.0, 60: 0.0}),
        ("(requests - errors) / 2", {0: 47.5, 120: -0.5}),
        ("requests > 60", {0: 1.0, 60: 0.0, 120: 0.0}),
        ("IF(requests > 60, errors, 7)", {0: 5.0, 60: 7.0, 120: 7.0}),
        ("IF(requests > 60, errors)", {0: 5.0}),
        ("-errors", {0: -5.0, 120: -1.0}),
        ("errors ^ 2", {0: 25.0, 120: 1.0}),
        ("SUM(requests)", {0: 150.0, 60: 150.0, 120: 150.0}),
        ("ABS(0 - errors)", {0: 5.0, 120: 1.0}),
    ],
)
def test_metric_math(expression: str, expected: dict[int, float]) -> None:
    """A period in which an operand is missing, or that divides by zero, has no result."""
    assert evaluate(expression, {"errors": ERRORS, "requests": REQUESTS}) == expected


@pytest.mark.parametrize(
    "expression", ["unknown + 1", "__import__('os')", "errors.real", "SEARCH('x')", "1 +", "FILL(errors, REPEAT)"]
)
def test_what_is_not_supported_is_refused(expression: str) -> None:
    """Nothing is guessed, and nothing is run."""
    with pytest.raises(ValueError, match=r"."):
        evaluate(expression, {"errors": ERRORS})
