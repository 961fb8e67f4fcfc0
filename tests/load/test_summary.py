"""Exact percentiles and the table by endpoint."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.load import nearest_rank, summary

times = st.lists(st.floats(0, 100, allow_nan=False), min_size=1, max_size=300)


@given(times, st.sampled_from([1, 50, 90, 95, 99, 100]))
def test_the_percentile_is_the_one_of_numpy_over_the_raw_values(values: list[float], percent: int) -> None:
    """`inverted_cdf`: one of the values, not a mixture of two."""
    expected = sorted(values)[max(-(-percent * len(values) // 100), 1) - 1]
    assert nearest_rank(values, percent) == expected
    if (percent * len(values)) % 100:  # where the product is whole, numpy's own rounding may go one further
        assert nearest_rank(values, percent) == np.percentile(values, percent, method="inverted_cdf")


@given(times, st.floats(0, 1000))
def test_another_slow_request_never_lowers_the_percentile(values: list[float], extra: float) -> None:
    """A value at or above p95 leaves it or raises it."""
    before = nearest_rank(values, 95)
    assert nearest_rank([*values, before + extra], 95) >= before


@pytest.mark.parametrize(("slow", "exceeds"), [(5, False), (6, True)])
def test_p95_exceeds_a_threshold_exactly_when_more_than_one_in_twenty_does(slow: int, exceeds: bool) -> None:
    """Of 100 requests, five slow ones are allowed."""
    assert (nearest_rank([1.0] * (100 - slow) + [3.1] * slow, 95) > 3.0) is exceeds


def test_nothing_has_no_percentile() -> None:
    """NaN, not zero."""
    assert np.isnan(nearest_rank([], 95))


def test_the_table_counts_each_endpoint_and_all() -> None:
    """Requests in flight count at their age; what was never sent is an error without a time."""
    nan = float("nan")
    frame = pd.DataFrame(
        {
            "due_s": [0.0, 1.0, 2.0, 3.0],
            "sent_s": [0.5, 1.0, 2.0, nan],
            "done_s": [1.0, 1.2, nan, nan],
            "endpoint": ["GET /", "GET /", "GET /api/twins", "GET /api/twins"],
            "outcome": ["ok", "http_5xx", "in_flight", "never_sent"],
        }
    )
    frame.attrs["at"] = 12.0
    table = summary(frame)
    assert list(table.index) == ["GET /", "GET /api/twins", "all"]
    assert list(table.requests) == [2, 2, 4]
    assert list(table.errors) == [1, 1, 2]
    assert list(table.in_flight) == [0, 1, 1]
    assert list(table.never_sent) == [0, 1, 1]
    assert table.response_max_s["GET /"] == 1.0
    assert table.service_max_s["GET /"] == 0.5
    assert table.response_max_s["GET /api/twins"] == 10.0


def test_an_empty_log_has_a_table_with_nothing_in_it() -> None:
    """No division by nothing."""
    columns = ["due_s", "sent_s", "done_s", "endpoint", "outcome"]
    table = summary(pd.DataFrame({name: [] for name in columns}))
    assert list(table.index) == ["all"]
    assert table.requests["all"] == 0
