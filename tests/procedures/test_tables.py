"""Every table and picture of every notebook stands when there is nothing to show; notebook 11 without a queue, too."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
import redis

from cutover import load, procedures, runbook
from cutover.action import Change, Plan
from cutover.aws.cost import Assumptions, Estimate
from cutover.errors import GateClosed, UsageError
from cutover.judgement import Diagnosis, judge_load
from cutover.load.rows import Rows
from cutover.postgres import Comparison, Forecast
from cutover.procedures import tables
from cutover.procedures.live_chart import watch_windows
from cutover.procedures.overview import forecast_table
from cutover.procedures.watch import Observed
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.postgres import Server
from cutover.step import Step, display

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"
UNDECIDED = Diagnosis("Not decidable", "", "", "", "", "", "")
NOTHING = Comparison([], [], 0.0, {}, {}, "")
NO_COST = Estimate((), (2, 10, 20), Assumptions(), "us-east-1")
NO_FORECAST = Forecast(0.0, 0.0, 0.0, (), (), "")
NO_LOAD = Rows().frame([], [], last=True)

NOBODY: dict[str, Callable[[Step], Any]] = {
    "advice": lambda step: runbook.decision.advice(step, UNDECIDED),
    "architecture": lambda step: runbook.checklist.architecture([]),
    "arguments": lambda step: runbook.decision.arguments(UNDECIDED),
    "checklist": lambda step: runbook.checklist.checklist(step, []),
    "contacts_of": runbook.overview.contacts_of,
    "cost_beside_guide": lambda step: runbook.cost.cost_beside_guide(NO_COST),
    "cost_chart": lambda step: runbook.cost.cost_chart(NO_COST),
    "cost_lines": lambda step: runbook.cost.cost_lines(NO_COST),
    "drift": lambda step: runbook.overview.drift(step, []),
    "fired_table": lambda step: runbook.decision.fired_table([]),
    "forecast": lambda step: runbook.overview.forecast(step, None),
    "forecast_table": lambda step: forecast_table(NO_FORECAST),
    "load_course": lambda step: runbook.pictures.load_course(
        step, judge_load(NO_LOAD, step.migration.triggers), NO_LOAD
    ),
    "map_of": runbook.overview.map_of,
    "percentiles_of": lambda step: runbook.pictures.percentiles_of(NO_LOAD),
    "proof": lambda step: runbook.pictures.proof(step, NOTHING),
    "size_table": lambda step: runbook.cost.size_table(None),
    "state_of": runbook.overview.state_of,
    "summary": lambda step: load.summary(NO_LOAD),
    "table": lambda step: runbook.overview.table([], index="name"),
    "tables_chart": lambda step: runbook.pictures.tables_chart(step, NOTHING),
    "tally": lambda step: runbook.overview.tally([]),
    "timings": runbook.overview.timings,
    "took": lambda step: runbook.pictures.took(
        step, Change(Plan("a", "b", "c"), {"measured": {"seconds": {}}}, "", 0.0)
    ),
    "watch_chart": lambda step: runbook.pictures.watch_chart(
        step, Observed([], "INCONCLUSIVE", pd.DataFrame(), [], [], 0.0)
    ),
    "watch_windows": lambda step: watch_windows(pd.DataFrame(columns=["requests", "errors"])),
    "written_since_cutover": runbook.decision.written_since_cutover,
}
"""How each thing that a notebook shows is made of nothing. `watch_lag` always looks once: see its own test."""


def sources(path: Path) -> Iterator[str]:
    """The code cells of a notebook."""
    return (c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")


def shown() -> set[str]:
    """The functions whose result a notebook shows."""
    calls = [
        node
        for path in FOLDER.glob("*.ipynb")
        for source in sources(path)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "step.show"
    ]
    return {ast.unparse(call.args[0].func).rpartition(".")[2] for call in calls if isinstance(call.args[0], ast.Call)}


def tabulated() -> set[str]:
    """The public functions of the runbook that give a table."""
    modules = [
        importlib.import_module(m.name) for m in pkgutil.iter_modules(procedures.__path__, "cutover.procedures.")
    ]
    return {
        name
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__ != tables.__name__
        and not name.startswith("_")
        and "DataFrame" in str(function.__annotations__.get("return"))
    }


@pytest.fixture
def step(migration: dict[str, Any]) -> Step:
    """A migration of which nothing is known, not even whom to call."""
    step = runbook.begin("20_post_migration_review", migration)
    step.migration = step.migration.model_copy(update={"contacts": {}})
    return step


def test_each_of_them_is_tried() -> None:
    """What a notebook shows tomorrow has its empty case today."""
    assert (shown() | tabulated()) - {"watch_lag"} == set(NOBODY)


@pytest.mark.parametrize("name", sorted(NOBODY))
def test_it_stands_when_there_is_nothing(step: Step, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is shown: an error over an empty table would stop a step for nothing."""
    seen: list[str] = []
    monkeypatch.setattr(display, "emit", lambda html, text: seen.append(text))
    value = NOBODY[name](step)
    step.show(value, alt=name)
    assert seen
    if isinstance(value, pd.DataFrame) and name not in ("table", "tally", "watch_windows", "watch_chart"):
        assert len(value.columns)


def test_a_load_test_of_which_nothing_is_recorded_is_shown(step: Step) -> None:
    """Its windows, percentiles and endpoints."""
    runbook.pictures.show_load(step, judge_load(NO_LOAD, step.migration.triggers), NO_LOAD)


def test_a_table_of_nothing_keeps_its_columns() -> None:
    """With rows by name, by place, or none."""
    for rows in ([], [{"b": 2, "a": 1}], [(1, 2)]):
        table = tables.tabulate(rows, ["a", "b"])
        assert (table.index.name, list(table.columns), len(table)) == ("a", ["b"], len(rows))
    assert tables.columns_of([{"b": 1}, {"c": 2}], "a") == ["a", "b", "c"]


def test_tables_are_made_in_one_place() -> None:
    """An index is taken from declared columns alone."""
    room = Path(inspect.getfile(tables)).parent
    makers = {path.name for path in room.glob("*.py") if ".set_index(" in path.read_text()}
    assert makers == {"tables.py"}
    cells = [source for path in FOLDER.glob("*.ipynb") for source in sources(path)]
    assert not any("set_index" in source or "DataFrame" in source for source in cells)


def run_cells(name: str, **knobs: Any) -> dict[str, Any]:
    """A notebook's cells one after the other, in this process, with these knobs; what they named."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), names)
            names |= knobs if "parameters" in cell.metadata.get("tags", []) else {}
    return names


def test_the_freeze_refuses_where_the_switch_over_makes_its_own(migration: dict[str, Any]) -> None:
    """Before it asks for anything: no address is resolved, nobody is turned away; it says what runs instead."""
    migration["transfer"] = "replicate"
    with pytest.raises(UsageError, match="11_write_freeze is for `transfer: dump`") as caught:
        run_cells("11_write_freeze", migration=migration, apply=True)
    assert caught.value.exit_code == 2
    assert "12_data_migration refuses users' writes itself" in caught.value.why
    assert "14_deploy, 12_data_migration, 13_data_integrity" in caught.value.todo
    runbook.transfer.require_transfer(runbook.begin("11_write_freeze", migration), "replicate")


@pytest.fixture
def night(
    pg17: Server,
    fresh_database: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
    migration: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[dict[str, Any], redis.Redis]]:
    """A source with a database and a Redis of its own, entered by an ordinary role; and that Redis."""
    pg17.create_role("night_owner")
    database = fresh_database(pg17, "night_owner").rpartition("/")[2]
    with vk.start(tmp_path_factory.mktemp("valkey")) as server, redis.Redis.from_url(server.url) as client:
        monkeypatch.setenv("SOURCE_DATABASE_URL", pg17.url(database, "night_owner"))
        monkeypatch.setenv("SOURCE_REDIS_URL", server.url)
        monkeypatch.setenv("TARGET_REDIS_URL", server.url[:-1] + "1")
        migration["target"]["redis_url"] = "env:TARGET_REDIS_URL"
        yield migration, client


def test_the_freeze_goes_past_a_redis_without_a_queue(night: tuple[dict[str, Any], redis.Redis]) -> None:
    """Planned to its end: the table of queues is empty, and that is said."""
    migration, client = night
    client.set("session:1", "x")
    with pytest.raises(GateClosed) as caught:
        run_cells("11_write_freeze", migration=migration)
    assert caught.value.verdict == "INCONCLUSIVE"  # it was only planned
    (folder,) = Path("outputs").glob("*-11_write_freeze")
    said = (folder / "findings.jsonl").read_text()
    assert "none of 1 keys is a queue's" in said
    assert "there is no queue to pause" in said
    step = runbook.begin("13_data_integrity", migration)
    assert [f.status for f in runbook.freeze.compare_queues(step)] == ["NOT_APPLICABLE"]


def test_the_freeze_stops_before_anybody_is_turned_away(night: tuple[dict[str, Any], redis.Redis]) -> None:
    """Where queues cannot be told apart: with their names, before the next cell."""
    migration, client = night
    for name in ("mail", "mail:low"):
        client.hset(f"bull:{name}:meta", "opts.maxLenEvents", 10)
    with pytest.raises(GateClosed, match="mail and mail:low") as caught:
        run_cells("11_write_freeze", migration=migration, apply=True)
    assert caught.value.verdict == "NO_GO"
    assert runbook.begin("11_write_freeze", migration).journal.entries("change-begun") == []
