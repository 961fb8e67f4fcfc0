"""Windows over what was due in them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from logs import T0, log, steady

from cutover.judgement import windows


def test_each_request_counts_in_the_window_in_which_it_was_due() -> None:
    """Not in the one in which it was answered."""
    frame = log([0.2, 0.8, 1.5], [0.1, 5.0, 0.1], at=6)
    table = windows(frame, 1.0)
    assert list(table.start[:2]) == [T0, T0 + 1]
    assert list(table.arrivals[:2]) == [2, 1]
    assert table.p95_s[0] == 5.0


def test_a_window_without_arrivals_is_there_and_says_nothing() -> None:
    """A gap in the middle is not left out, and its percentile is not zero."""
    table = windows(log([0.5, 3.5], at=4), timedelta(seconds=1))
    assert list(table.arrivals) == [1, 0, 0, 1]
    assert np.isnan(table.p95_s[1])
    assert np.isnan(table.error_rate[1])


def test_requests_in_flight_count_at_their_age() -> None:
    """A hang raises the percentile while it lasts."""
    frame = log(steady(1), np.inf, at=7.9)
    table = windows(frame, 1.0)
    assert table.in_flight[0] == 10
    assert table.completed[0] == 0
    assert table.p95_s[0] == pytest.approx(7.9)


@pytest.mark.parametrize("outcome", ["http_5xx", "http_4xx", "timeout", "connection", "check", "never_sent"])
def test_everything_that_went_wrong_is_an_error(outcome: str) -> None:
    """What was never sent too; what still waits is none yet."""
    frame = log([0.1, 0.2, 0.3, 0.4], [0.1, 0.1, np.inf, 0.1], ["ok", outcome, "in_flight", "ok"], at=1)
    assert windows(frame, 1.0).errors[0] == 1
    assert windows(frame, 1.0).error_rate[0] == 0.25


def test_what_was_never_sent_has_no_response_time() -> None:
    """It counts as an error, not as a slow answer."""
    frame = log([0.1, 0.2], 0.1, ["ok", "never_sent"], at=500)
    table = windows(frame, 1.0)
    assert table.p95_s[0] == pytest.approx(0.1)
    assert table.never_sent[0] == 1


def test_the_log_can_be_looked_at_as_it_stood_earlier() -> None:
    """What was answered later still waited then."""
    frame = log([0.1, 0.2], [0.1, 3.0], at=10)
    table = windows(frame, 1.0, at=T0 + 1.2)
    assert list(table.in_flight) == [1]
    assert table.p95_s[0] == pytest.approx(1.0)


def test_the_warm_up_is_shown_and_marked() -> None:
    """The windows start anew when it ends."""
    table = windows(log(steady(5), warm_up=1.5), 1.0)
    assert T0 + 1.5 in list(table.start)
    assert list(table.warm_up[:3]) == [True, True, False]


def test_percentiles_are_exact_over_the_raw_rows() -> None:
    """No bucket: 3.0201 s is 3.0201 s."""
    rng = np.random.default_rng(1)
    took = rng.lognormal(0, 1, 500)
    table = windows(log(np.sort(rng.uniform(0, 1, 500)), took, at=500), 1.0)
    assert table.p95_s[0] == pytest.approx(np.percentile(took, 95, method="inverted_cdf"), abs=1e-6)
    assert table.p50_s[0] == pytest.approx(np.percentile(took, 50, method="inverted_cdf"), abs=1e-6)


def test_an_empty_log_has_no_windows() -> None:
    """But all columns."""
    table = windows(log([]), 1.0)
    assert len(table) == 0
    assert "p95_s" in table


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_window_of_nothing_is_refused(seconds: float) -> None:
    """It would never end."""
    with pytest.raises(ValueError, match="longer than nothing"):
        windows(log([0.1]), seconds)
