"""The forecast of the day: scaled, with an interval that says how it was computed, and never more than it rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutover.finding import Status
from cutover.postgres import Forecast, Measured, check_forecast, dump, forecast, measured, restore
from cutover.postgres.forecast import TableTime
from cutover.rehearsal.postgres import Server

GIB = 2**30


def _trial(**changes: object) -> Measured:
    """Ten tables of a gibibyte, loaded at the same speed; two minutes of each great part."""
    tables = tuple(TableTime(f"public.t{n}", 10**6, GIB, 20.0, 20.0) for n in range(10))
    seconds = {"dump": 120.0, "read back": 10.0, "schema": 2.0, "data": 120.0, "indexes": 120.0, "grants": 1.0}
    seconds |= {"analyze": 5.0, "compare": 60.0}
    base = Measured(10**7, 10 * GIB, 15 * GIB, 2, seconds, tables)
    return replace(base, **changes)  # type: ignore[arg-type]


def _part(said: Forecast, name: str) -> tuple[float, float, float]:
    (part,) = (part for part in said.parts if part.name == name)
    return part.low_s, part.seconds, part.high_s


def test_the_same_size_takes_as_long_and_the_interval_is_what_runs_differ_by() -> None:
    """One trial, tables alike: ±25 %, and the words say so."""
    said = forecast(_trial())
    assert said.seconds == pytest.approx(438.0)
    assert (said.low_s, said.high_s) == (pytest.approx(438 * 0.75), pytest.approx(438 * 1.25))
    assert said.thin == ()
    assert "one trial" in said.basis
    assert "±25%" in said.basis


def test_twice_the_size_takes_twice_as_long_but_for_what_does_not_grow() -> None:
    """Rows double, objects do not; indexes grow a little faster; and the doubt grows."""
    said = forecast(_trial(), 30 * GIB)
    assert _part(said, "data")[1] == pytest.approx(240.0)
    assert _part(said, "schema")[1] == pytest.approx(2.0)
    assert 240.0 < _part(said, "indexes")[1] < 260.0
    assert _part(said, "data")[2] == pytest.approx(240 * 1.25 * 1.1)


def test_tables_of_uneven_speed_widen_the_interval() -> None:
    """A byte of one table takes ten times as long as that of another: which of them grows, nobody knows."""
    tables = tuple(TableTime(f"t{n}", 10**6, GIB, 20.0, 4.0 if n % 2 else 40.0) for n in range(10))
    even, uneven = forecast(_trial()), forecast(_trial(tables=tables))
    assert _part(uneven, "data")[0] < _part(even, "data")[0]
    assert _part(uneven, "data")[2] > _part(even, "data")[2]
    assert _part(uneven, "dump") == _part(even, "dump")


def test_several_trials_say_how_much_runs_differ() -> None:
    """The range of what was seen takes the place of what was assumed."""
    slow = _trial(seconds={name: took * 1.5 for name, took in _trial().seconds.items()})
    said = forecast(_trial(), earlier=[_trial(), slow])
    assert (said.low_s, said.high_s) == (pytest.approx(438.0), pytest.approx(438 * 1.5))
    assert "3 trials" in said.basis


@pytest.mark.parametrize(
    ("trial", "size", "words"),
    [
        (_trial(bytes=GIB // 100), None, "fit into every cache"),
        (_trial(seconds={"dump": 0.2, "data": 0.3}), None, "took only 0.5 s"),
        (_trial(), 150 * GIB, "10.0 times as large"),
        (_trial(), GIB, "0.1 times as large"),
        (_trial(resumed=True), None, "interrupted"),
    ],
)
def test_a_forecast_that_rests_on_too_little_says_so(trial: Measured, size: int | None, words: str) -> None:
    """Small, short, far from the day's size, or resumed."""
    assert any(words in reason for reason in forecast(trial, size).thin)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ({"dump": 10.0, "indexes": 100.0}, "maintenance_work_mem"),
        ({"dump": 10.0, "data": 100.0}, "All 2 jobs were busy: raise `jobs`"),
        ({"dump": 10.0, "data": 100.0}, "max_wal_size"),
        ({"dump": 10.0, "compare": 100.0}, "fingerprint"),
        ({"dump": 100.0, "data": 10.0}, "near the source"),
    ],
)
def test_the_longest_part_comes_with_what_to_change(seconds: dict[str, float], words: str) -> None:
    """Advice for what costs most, and for that first."""
    said = forecast(_trial(seconds=seconds))
    assert words in said.advice[0]
    assert len(said.advice) == 1


def test_one_large_table_does_not_get_quicker_by_more_jobs() -> None:
    """It is loaded by one worker: advice that would not help is not given."""
    tables = (TableTime("public.events", 10**7, 9 * GIB, 110.0, 110.0), TableTime("public.small", 10, 10, 0.1, 0.1))
    (first, *_) = forecast(_trial(tables=tables, seconds={"data": 120.0})).advice
    assert "public.events alone takes 110.0 s, so more jobs do not help" in first


@settings(deadline=None, derandomize=True)
@given(
    st.floats(0.001, 1e5), st.floats(0.001, 1e5), st.integers(1, 10**13), st.lists(st.floats(0.01, 1e4), max_size=12)
)
def test_the_interval_holds_the_guess_whatever_was_measured(
    dumped: float, loaded: float, size: int, speeds: list[float]
) -> None:
    """Low is never above the guess, high never below it; a forecast reads back as it was written."""
    tables = tuple(TableTime(f"t{n}", 10, 10**6, took, took) for n, took in enumerate(speeds))
    said = forecast(_trial(seconds={"dump": dumped, "data": loaded}, tables=tables), size)
    for part in said.parts:
        assert part.low_s <= part.seconds + 0.001
        assert part.seconds <= part.high_s + 0.001
    assert Forecast.from_dict(json.loads(json.dumps({"at": "now", **said.to_dict()}))) == said


def test_what_took_longer_than_forecast_is_named() -> None:
    """Within the interval is as forecast; beyond it the part is named; nothing forecast is not known."""
    remembered = json.loads(json.dumps(forecast(_trial()).to_dict()))
    day = _trial(seconds={name: took for name, took in _trial().seconds.items() if name != "compare"})
    (as_said,) = check_forecast(remembered, day)
    assert as_said.status is Status.PASS
    (late,) = check_forecast(remembered, replace(day, seconds={**day.seconds, "data": 600.0}))
    assert late.status is Status.FAIL
    assert "data 600.0 s, not 90.0 to 150.0" in late.observed
    assert not late.closes_gate
    assert check_forecast(None, day)[0].status is Status.UNKNOWN
    assert check_forecast({"seconds": {"dump": 1}}, day)[0].status is Status.UNKNOWN
    assert check_forecast(remembered, replace(day, resumed=True))[0].status is Status.NOT_APPLICABLE


def test_a_real_transfer_is_measured_table_by_table(
    rich17: str, pg18: Server, fresh_database: object, tmp_path: Path
) -> None:
    """Rows counted in the dump's own files, and a time for every part and for every table of any size."""
    held = dump(rich17, tmp_path / "d")
    done = restore(tmp_path / "d", fresh_database(pg18))  # type: ignore[operator]
    took = measured(held, done, compare_s=1.5)
    assert set(took.seconds) == {"dump", "read back", "schema", "data", "indexes", "grants", "analyze", "compare"}
    rows = {table.name: table.rows for table in took.tables}
    assert (rows["app.users"], rows["app.notes"], rows["app.bag"], rows["app.cache"]) == (200, 500, 100, 1)
    assert took.rows == sum(rows.values()) == held.rows
    assert took.bytes > 10_000
    assert forecast(took).thin
    assert Measured.from_dict(json.loads(json.dumps(took.to_dict()))) == took
