"""A run whose process was killed goes on with `--resume` at the step that was killed, and repeats none before it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from notebook_runs import BEGIN, start_run, wait_for

from cutover.engine import RunResult, execute
from cutover.engine.outcome import resume_from
from cutover.engine.parameters import inspect
from cutover.errors import ExitCode, UsageError
from cutover.params import from_dict
from cutover.step import RunFolder
from cutover.step.facts import run_facts

Notebook = Callable[..., Path]
LOOK = "step.record([Finding('A-1', 'All is well', Status.PASS, Severity.HIGH, 'x')])"
COUNT = "open({log!r}, 'a').write({name!r} + '\\n')"
WAIT = "import os, time\nif os.path.exists({flag!r}):\n    os.rename({flag!r}, {flag!r} + '.there')\n    time.sleep(60)"


class Day:
    """Steps that note each time they run; one of them waits where it is told to.

    Args:
        notebook: writes a notebook.
        folder: where all of it lies.
        migration: the parameters.
    """

    def __init__(self, notebook: Notebook, folder: Path, migration: dict[str, Any]) -> None:
        self._notebook, self._folder, self._migration = notebook, folder, migration
        self._log, self._outputs = folder / "log", folder / "out"
        self.notebooks: list[Path] = []

    def add(self, name: str) -> None:
        """A step that can wait before it looks."""
        wait = WAIT.format(flag=str(self._folder / f"before-{name}"))
        cells = [BEGIN.format(name=name), COUNT.format(log=str(self._log), name=name), wait, LOOK, "step.conclude()"]
        self.notebooks.append(self._notebook(name, *cells))

    def killed(self, where: str, **asked: Any) -> str:
        """A run that is killed where it waits; its name. While it runs, it is not to be resumed."""
        (self._folder / where).touch()
        known = set(self._outputs.glob("*"))
        run = start_run(self.notebooks, self._migration, self._outputs, phase="day", **asked)
        wait_for((self._folder / f"{where}.there").exists, seconds=120)
        (folder,) = set(self._outputs.glob("*")) - known
        with pytest.raises(UsageError, match=f"still running, as process {run.pid}"):
            self.resumed(folder.name)
        run.kill()
        run.communicate()
        (self._folder / f"{where}.there").unlink()
        assert not (folder / "verdict.json").exists()
        return folder.name

    def resumed(self, run: str) -> RunResult:
        """The same notebooks, going on with a run."""
        return execute(self.notebooks, self._migration, outputs=self._outputs, phase="day", resume=run)

    @property
    def ran(self) -> list[str]:
        """The steps that ran, in order, each time."""
        return self._log.read_text().split()


@pytest.fixture
def day(notebook: Notebook, tmp_path: Path, migration: dict[str, Any]) -> Day:
    """A day without steps yet."""
    return Day(notebook, tmp_path, migration)


def test_a_killed_run_goes_on_at_the_step_that_was_killed_however_often(day: Day) -> None:
    """In the second step, then, resumed, in the third: each is run again, and none that had completed before."""
    for name in ("10_a", "11_b", "12_c"):
        day.add(name)
    first = day.killed("before-11_b")
    second = day.killed("before-12_c", resume=first)
    result = day.resumed(second)
    assert result.exit_code is ExitCode.GO
    assert day.ran == ["10_a", "11_b", "11_b", "12_c", "12_c"]
    steps = json.loads((result.folder / "verdict.json").read_text())["steps"]
    assert [s["state"] for s in steps] == ["completed"] * 3
    assert [s.get("run") for s in steps] == [first, second, None]


@pytest.fixture
def killed(look_at: list[Any], migration: dict[str, Any], tmp_path: Path) -> RunFolder:
    """What a run leaves that was killed in its second step: no process, no verdict."""
    folder = RunFolder.create(tmp_path / "out", "staging", "day")
    names = [n.name for n in look_at]
    facts = run_facts(folder.name, "day", from_dict(migration).migration, migration, names, apply=False)
    done = {"name": names[0], "state": "completed", "exit_code": 0, "verdict": "GO"}
    folder.write("run.json", facts | {"pid": 0, "steps": [done]})
    return folder


@pytest.fixture
def look_at(notebook: Notebook) -> list[Any]:
    """Three notebooks."""
    return [inspect(notebook(name, "1")) for name in ("10_a", "11_b", "12_c")]


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({"state": "completed", "exit_code": 0, "verdict": "GO"}, ["12_c"]),
        ({"state": "running"}, ["11_b", "12_c"]),
        ({"state": "gate-closed", "exit_code": 3, "verdict": "NO_GO"}, ["11_b", "12_c"]),
        ({"state": "waiting", "exit_code": 4}, ["11_b", "12_c"]),
        ({"state": "completed", "exit_code": 5, "verdict": "INCONCLUSIVE"}, ["11_b", "12_c"]),
    ],
)
def test_a_step_that_had_concluded_when_it_was_killed_is_not_run_again_unless_it_closed_its_gate(
    said: dict[str, Any], left: list[str], killed: RunFolder, look_at: list[Any], migration: dict[str, Any]
) -> None:
    """Its kernel takes a moment to end after the last cell, and a kill may fall into it; it had said how it ended."""
    killed.write("steps/11_b.json", {"name": "11_b", **said})
    _, again = resume_from(killed.path, killed.path.parent, look_at, migration)
    assert [n.name for n in again] == left


def test_a_process_that_was_given_the_number_of_a_killed_run_does_not_keep_it_from_going_on(
    killed: RunFolder, look_at: list[Any], migration: dict[str, Any]
) -> None:
    """It was born after the run began."""
    killed.update("run.json", pid=os.getppid(), host=platform.node(), started="2000-01-01T00:00:00+00:00")
    assert resume_from(killed.path, killed.path.parent, look_at, migration)[0]


def test_another_way_of_the_transfer_is_not_the_same_run(
    killed: RunFolder, look_at: list[Any], migration: dict[str, Any]
) -> None:
    """The day has other steps then, in another order."""
    with pytest.raises(UsageError, match="another transfer"):
        resume_from(killed.path, killed.path.parent, look_at, migration | {"transfer": "replicate"})
