"""The pictures: what they mark, what their alternative texts say, and that no data breaks them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from cutover.migration import Triggers
from cutover.postgres import Comparison, TableComparison
from cutover.report import charts
from cutover.report.record import StepEnd

T0 = 1_800_000_000.0
LIMITS = Triggers.model_validate({"p95": {"above": "3s", "for": "1m"}, "error_rate": {"above": "5%", "for": "5m"}})


def windows(many: int = 30, **columns: object) -> pd.DataFrame:
    """Ten-second windows of an ordinary load; `columns` replace what they name."""
    frame = pd.DataFrame({"start": T0 + 10.0 * np.arange(many), "arrivals": 500, "completed": 500, "errors": 1})
    frame = frame.assign(error_rate=0.002, p50_s=0.2, p95_s=0.8, in_flight=5, never_sent=0)
    return frame.assign(**columns)


def texts(figure) -> list[str]:
    """All that is written in a figure's plots."""
    found = [t.get_text() for axes in figure.axes for t in [*axes.texts, axes.title]]
    found += [axes.get_title(loc="left") for axes in figure.axes]
    return found + [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())]


def test_the_limits_are_drawn_and_named():
    """Each limit has its line at its value and says what it is."""
    figure = charts.load_windows(windows(), LIMITS)
    latency, errors, _ = figure.axes
    assert [3.0, 3.0] in [list(line.get_ydata()) for line in latency.lines]
    assert [5.0, 5.0] in [list(line.get_ydata()) for line in errors.lines]
    assert {"limit 3 s for 1 min", "limit 5 % for 5 min"} <= set(texts(figure))


def test_axes_carry_their_units():
    """Seconds, per cent, requests per second, and since when."""
    said = texts(charts.load_windows(windows(), LIMITS))
    assert {"seconds", "errors, %", "requests per s"} <= set(said)
    assert "minutes since 08:00:00 UTC" in said


def test_the_moment_a_trigger_fired_is_marked_in_every_plot():
    """A line at its time, named once."""
    at = datetime.fromtimestamp(T0, UTC) + timedelta(seconds=240)
    figure = charts.load_windows(windows(), LIMITS, fired=[(at, "p95")])
    for axes in figure.axes:
        assert any(list(line.get_xdata()) == [4.0, 4.0] for line in axes.lines)
    assert sum("p95 fired" in text for text in texts(figure)) == 1


def test_a_response_time_far_above_its_limit_does_not_flatten_the_limit():
    """The axis turns logarithmic, and says so."""
    figure = charts.load_windows(windows(p95_s=np.linspace(0.5, 170, 30)), LIMITS)
    assert figure.axes[0].get_yscale() == "log"
    assert "seconds, log scale" in texts(figure)
    assert charts.load_windows(windows(), LIMITS).axes[0].get_yscale() == "linear"


def test_the_alternative_text_states_the_finding():
    """Worst values beside their limits, and what fired."""
    at = datetime.fromtimestamp(T0, UTC)
    said = charts.load_alt(windows(p95_s=4.2, error_rate=0.07), LIMITS, fired=[(at, "stalled")])
    assert "p95 was 4.2 s, limit 3 s" in said
    assert "error rate was 7.0 %, limit 5 %" in said
    assert "stalled fired at 08:00:00 UTC" in said
    assert "no rollback trigger" not in said


@pytest.mark.parametrize(
    "frame",
    [
        windows(0),
        windows(1),
        windows(5_000),
        windows(p95_s=np.nan, p50_s=np.nan, error_rate=np.nan, completed=0),
        windows(p95_s=np.inf),
        windows(p95_s=0.0, p50_s=0.0, error_rate=0.0, arrivals=0, completed=0),
        windows()[["start", "arrivals"]],
        windows().sample(frac=1, random_state=1),
        windows(start=T0),
    ],
    ids=["none", "one", "many", "all NaN", "infinite", "all zero", "few columns", "shuffled", "one moment"],
)
@pytest.mark.parametrize("limits", [LIMITS, None], ids=["limits", "no limits"])
def test_every_frame_is_drawn_and_described(frame, limits):
    """No data, no completion, one window: a picture and a sentence all the same."""
    picture = charts.svg(charts.load_windows(frame, limits))
    assert ET.fromstring(picture).tag.endswith("svg")
    assert charts.load_alt(frame, limits)


def test_a_long_load_is_thinned_without_losing_its_worst_window():
    """A week of windows: the one bad second still stands out."""
    slow = np.full(20_000, 0.5)
    slow[12_345] = 9.0
    figure = charts.load_windows(windows(20_000, p95_s=slow), LIMITS)
    line = max(figure.axes[0].lines, key=lambda one: len(one.get_ydata()))
    assert len(line.get_ydata()) <= 2_000
    assert max(max(one.get_ydata()) for one in figure.axes[0].lines) == 9.0


def compared(*tables):
    """A comparison of tables, each (name, rows on the source, rows on the target) and what else is known of it."""
    at = {"at": "2026-11-23T17:20:03+00:00"}
    found = [
        TableComparison(t[0], source_rows=t[1], target_rows=t[2], **dict(zip(["missing"], t[3:], strict=False)))
        if isinstance(t, tuple)
        else t
        for t in tables
    ]
    return Comparison([], found, 1.0, at, at, "hash")


def test_tables_that_differ_come_first_and_say_by_how_much():
    """Marked by words, not by colour alone; the comparison's sentence stands before."""
    found = compared(("public.big", 900, 900), ("public.lost", 50, 47, 3))
    figure = charts.tables(found)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["public.lost", "public.big"]
    assert "47 of 50: 3 differ" in texts(figure)
    assert charts.tables_alt(found) == f"{found.sentence()} Not equal: public.lost (47 of 50 rows)."
    assert found.sentence().startswith("Different: 1 table (3 rows); 1 of 2 tables identical, as of ")


def test_a_swapped_value_is_a_difference_though_the_counts_agree():
    """Same number of rows, not the same rows."""
    found = compared(TableComparison("public.users", source_rows=10, target_rows=10, different=1))
    assert "1 of 10: 1 differ" not in texts(charts.tables(found))
    assert "10 of 10: 1 differ" in texts(charts.tables(found))
    assert charts.tables_alt(found).endswith("Not equal: public.users (1 of 10 rows not equal).")


def test_a_table_that_was_not_compared_is_neither_equal_nor_different():
    """It is drawn hatched, and named."""
    blind = TableComparison("b", source_rows=5, not_compared="permission denied")
    found = compared(("a", 5, 5), blind)
    assert "not compared" in texts(charts.tables(found))
    assert charts.tables_alt(found) == f"{found.sentence()} Not compared: b."
    assert charts.tables_alt(compared(blind)).startswith("Not comparable: b; 0 of 1 table identical, as of ")


def test_a_table_whose_differing_rows_were_not_found_is_marked():
    """Its digests differ, and nobody knows by how many rows."""
    found = compared(("a", 5, 5), TableComparison("b", source_rows=5, target_rows=5, unlocated="lost connection"))
    assert "5 of 5: differs, not located" in texts(charts.tables(found))
    assert charts.tables_alt(found).endswith("Not equal: b (rows not located).")


def test_a_materialised_view_is_no_table_in_the_picture():
    """It is made anew by a restore; the sentence and the picture count the same tables."""
    found = compared(("a", 5, 5), TableComparison("v", "materialized view", source_rows=1, target_rows=2))
    assert [t.get_text() for t in charts.tables(found).axes[0].get_yticklabels()] == ["a"]
    assert charts.tables_alt(found).startswith("1 table, 5 rows: identical, as of ")


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("empty", 0, 0)],
        [("$\\frac{1}$ 表 " + "x" * 300, 1, 1)],
        [(f"t{n}", n, n) for n in range(300)],
    ],
)
def test_every_set_of_tables_is_drawn(rows, recwarn):
    """None, empty ones, names that look like formulas, hundreds; no warning reaches a notebook."""
    assert ET.fromstring(charts.svg(charts.tables(compared(*rows)))).tag.endswith("svg")
    assert charts.tables_alt(compared(*rows))
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


def test_the_timeline_says_how_each_step_ended():
    """In words, also for what did not run."""
    at = datetime.fromtimestamp(T0, UTC)
    steps = [
        StepEnd("12_data_migration", "completed", seconds=30.0, started=at),
        StepEnd("13_data_integrity", "gate-closed", seconds=20.0, started=at + timedelta(seconds=30)),
        StepEnd("14_deploy", "not-run"),
    ]
    said = texts(charts.timeline(steps))
    assert {"30 s", "gate closed, 20 s", "did not run"} <= set(said)
    assert charts.timeline_alt(steps).startswith("1 of 3 steps completed; 13 Data integrity: gate closed.")


def test_the_word_on_a_single_long_step_does_not_run_into_its_name():
    """It stands inside the bar."""
    step = StepEnd("00_start_here", "failed", seconds=1.1, started=datetime.fromtimestamp(T0, UTC))
    figure = charts.timeline([step])
    charts.svg(figure)
    word, axes = figure.axes[0].texts[0], figure.axes[0]
    assert word.get_window_extent().x0 > axes.get_window_extent().x0


@pytest.mark.parametrize(
    "steps",
    [[], [StepEnd("", "")], [StepEnd("x", "other", seconds=5.0)], [StepEnd(f"{n}_s", "completed") for n in range(40)]],
)
def test_every_timeline_is_drawn(steps):
    """No step, no time, unknown endings."""
    assert ET.fromstring(charts.svg(charts.timeline(steps))).tag.endswith("svg")
    assert charts.timeline_alt(steps)


def test_the_same_data_gives_the_same_bytes():
    """So that a report can be drawn again and compared."""
    assert charts.svg(charts.load_windows(windows(), LIMITS)) == charts.svg(charts.load_windows(windows(), LIMITS))


def test_drawing_leaves_no_trace_in_matplotlib():
    """A notebook's own style and figures stay as they are."""
    import matplotlib

    before = dict(matplotlib.rcParams)
    charts.svg(charts.tables(compared(("a", 1, 1))))
    assert dict(matplotlib.rcParams) == before


def test_matplotlib_and_pandas_wait_until_a_picture_is_drawn():
    """Importing the report costs no second."""
    code = "import sys, cutover.report; print('matplotlib' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]
