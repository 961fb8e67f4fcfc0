"""The percentiles and the endpoints of a load: exact numbers, limits drawn, sentences that state the finding."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cutover.migration import Triggers
from cutover.report import charts, load_pictures

LIMITS = Triggers()


def texts(figure) -> list[str]:
    """All that is written in a figure's plots."""
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def summary(**changes: object) -> pd.DataFrame:
    """Three endpoints and all of them, as `load.summary` has them."""
    rows = [("GET /", 500, 0, 0.2, 0.2), ("POST /api/reports", 100, 7, 4.0, 1.0), ("all", 600, 7, 0.9, 0.5)]
    columns = ["endpoint", "requests", "errors", "response_p95_s", "service_p95_s"]
    return pd.DataFrame(rows, columns=columns).assign(**changes)


@pytest.mark.parametrize("many", [1, 2, 99, 100, 5000])
def test_every_percentile_is_one_of_the_values(many: int):
    """The nearest rank, exactly, and the last point is the slowest request."""
    values = np.random.default_rng(1).lognormal(size=many)
    table = load_pictures.percentile_table(values, values / 2)
    shares = np.clip(table["percentile"].to_numpy() / 100 - 1e-12, 0, 1)
    wanted = np.quantile(values, shares, method="inverted_cdf")
    assert table["response_s"].tolist() == pytest.approx(wanted.tolist())
    assert table["response_s"].iloc[-1] == (values.max() if many > 1 else values[0])
    assert set(table["requests"]) == {many}


def test_the_percentiles_say_whether_the_limit_holds_and_whether_requests_queued():
    """In words, so that the picture can be done without."""
    service = np.full(1000, 0.1)
    response = np.where(np.arange(1000) < 900, 0.1, 5.0)
    said = load_pictures.percentiles_alt(load_pictures.percentile_table(response, service), LIMITS)
    assert "95 % within 5 s" in said
    assert "above the limit of 3 s" in said
    assert "longer than the platform worked" in said
    calm = load_pictures.percentiles_alt(load_pictures.percentile_table(service, service), LIMITS)
    assert "within the limit of 3 s" in calm
    assert "longer than" not in calm


def test_the_limit_stands_at_p95():
    """At one in twenty, at its height, by name."""
    figure = load_pictures.percentiles(load_pictures.percentile_table([0.1] * 500, [0.1] * 500), LIMITS)
    (axes,) = figure.axes
    assert [-math.log10(0.05)] in [list(line.get_xdata()) for line in axes.lines]
    assert "p95 must stay below 3 s" in texts(figure)


def test_endpoints_come_slowest_first_with_their_failures():
    """And the sum at the end; the failing ones are named in the sentence."""
    figure = load_pictures.endpoints(summary(), LIMITS)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["POST /api/reports", "GET /", "all"]
    assert "4.00 s · 100 requests · 7.0 % failed" in texts(figure)
    said = load_pictures.endpoints_alt(summary())
    assert said.startswith("The slowest of 2 endpoints is POST /api/reports: 95 % within 4 s")
    assert "the platform worked 1 s" in said
    assert "Requests failed at POST /api/reports (7)." in said
    assert "No request failed." in load_pictures.endpoints_alt(summary(errors=0))


@pytest.mark.parametrize(
    "table",
    [summary().head(0), summary(response_p95_s=math.nan, service_p95_s=math.nan), summary(requests=0)],
    ids=["nothing", "no times", "no requests"],
)
def test_no_data_breaks_no_picture(table: pd.DataFrame):
    """Half a run draws too."""
    assert charts.svg(load_pictures.endpoints(table, LIMITS))
    assert load_pictures.endpoints_alt(table)
    nothing = load_pictures.percentile_table([], [])
    assert charts.svg(load_pictures.percentiles(nothing, LIMITS))
    assert load_pictures.percentiles_alt(nothing) == "No response time was recorded."


def test_arrivals_that_did_not_come_are_said():
    """Scheduled against achieved: the line is drawn, and a shortfall beyond chance is in the sentence."""
    frame = pd.DataFrame({"start": 1.8e9 + 10.0 * np.arange(30), "scheduled": 500.0, "arrivals": 400.0})
    frame = frame.assign(completed=400.0, errors=0, error_rate=0.0, p50_s=0.1, p95_s=0.2, in_flight=0, never_sent=0)
    traffic = charts.load_windows(frame, LIMITS).axes[2]
    assert "scheduled" in traffic.get_legend_handles_labels()[1]
    assert "only 80 % of the scheduled arrivals came" in charts.load_alt(frame, LIMITS)
    assert "scheduled" not in charts.load_alt(frame.assign(arrivals=499.0), LIMITS)


def test_files_that_are_not_there_or_torn_are_left_out(tmp_path: Path):
    """The report is written all the same."""
    windows = tmp_path / "05_load_test-windows.csv"
    assert load_pictures.beside(windows) == (None, None)
    (tmp_path / "05_load_test-percentiles.csv").write_text("percentile,resp")
    summary().to_csv(tmp_path / "05_load_test-endpoints.csv", index=False)
    percentiles, endpoints = load_pictures.beside(windows)
    assert percentiles is None
    assert endpoints is not None
    assert len(endpoints) == 3
