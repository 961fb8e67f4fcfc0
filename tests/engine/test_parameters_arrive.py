"""The parameters that were given reach the notebook and hold in it: lost tags, cells that set them once more."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_runs import BEGIN

from cutover.engine import execute
from cutover.engine.parameters import inspect
from cutover.errors import ExitCode, ParamsError, UsageError
from cutover.finding import Verdict
from cutover.params import from_dict, load_params
from cutover.step import RunFolder, begin, find_notebooks
from cutover.step.facts import run_facts
from cutover.step.received import parameters_hash

Notebook = Callable[..., Path]
LOOK = "step.record([Finding('A-1', 'All is well', Status.PASS, Severity.HIGH, 'x')])\nstep.conclude()"


@pytest.fixture(autouse=True)
def _stage(home: Path) -> None:
    """A rehearsal stage runs on this machine, which an empty `migration` attaches to."""
    descriptor = home / "cache" / "cutover" / "stages" / "one" / "stage.json"
    descriptor.parent.mkdir(parents=True)
    raw = load_params(find_notebooks().parent / "params" / "rehearsal.yml").raw | {"state": "state"}
    descriptor.write_text(json.dumps({"pid": os.getpid(), "values": {}, "migration": raw}))


@pytest.fixture
def look(notebook: Notebook) -> Notebook:
    """`look(cell, …)`: a notebook that finds everything well, with cells before it begins."""

    def write(*before: str, begin: str = "migration)", parameters: str = "migration: dict = {}") -> Path:
        begins = BEGIN.format(name="02_look").replace("migration)", begin)
        return notebook("02_look", *before, begins, LOOK, parameters=parameters)

    return write


def change(path: Path, how: Callable[[list[Any]], None]) -> Path:
    """The notebook with its cells changed, as an editor would."""
    nb = nbformat.read(path, as_version=4)
    how(nb.cells)
    nbformat.write(nb, path)
    return path


def lose(cells: list[Any]) -> None:
    """All tags are gone."""
    for cell in cells:
        cell.metadata.pop("tags", None)


def onto_the_text(cells: list[Any]) -> None:
    """The tag is on a cell of text above."""
    lose(cells)
    cells.insert(0, nbformat.v4.new_markdown_cell("# A title", metadata={"tags": ["parameters"]}))


def onto_the_next(cells: list[Any]) -> None:
    """The tag is on the cell that begins."""
    lose(cells)
    cells[1].metadata["tags"] = ["parameters"]


def twice(cells: list[Any]) -> None:
    """A second cell has the tag."""
    cells[1].metadata["tags"] = ["parameters"]


def written_above(cells: list[Any]) -> None:
    """What an earlier run wrote stands above the defaults."""
    cells.insert(0, nbformat.v4.new_code_cell("migration = {}", metadata={"tags": ["injected-parameters"]}))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lose, "no cell that is tagged `parameters`"),
        (onto_the_text, "on cell 1, which is no code"),
        (onto_the_next, "on cell 2, which does not declare `migration`"),
        (twice, "2 cells that are tagged `parameters`: cell 1, cell 2"),
        (written_above, "parameters of an earlier run in cell 1, not behind cell 2"),
    ],
)
def test_a_notebook_that_the_parameters_would_not_reach_is_refused(
    how: Callable[[list[Any]], None], says: str, look: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """Exit code 2 before a kernel starts, and how the tag comes back; never a GO of the stage that runs."""
    path = change(look(), how)
    with pytest.raises(UsageError) as caught:
        execute([path], migration, outputs=tmp_path / "out")
    assert says in caught.value.what
    assert caught.value.exit_code is ExitCode.USAGE
    assert "git checkout" in caught.value.todo
    assert not (tmp_path / "out").exists()


def test_the_message_names_the_cell_that_wants_its_tag_back(look: Notebook) -> None:
    """By its place in the notebook, and how it is done in two editors."""
    with pytest.raises(UsageError) as caught:
        inspect(change(look(), lose))
    assert "cell 1, which declares `migration`" in caught.value.todo
    assert "Cell Tags" in caught.value.todo
    assert "Mark Cell as Parameters" in caught.value.todo


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"cells": None}, "its cells are null"),
        ({"cells": [1, 2]}, "cell 1: it is a number"),
        ({"metadata": None}, "its metadata is null"),
        ({"metadata": {"kernelspec": None}}, "its kernelspec is null"),
        ({"metadata": {"kernelspec": {"name": 3}}}, "the name in its kernelspec is a number"),
        ({"metadata": {"language_info": []}}, "its language_info is a list"),
        ({"cell": {"metadata": None}}, "cell 2: its metadata is null"),
        ({"cell": {"metadata": {"tags": None}}}, "cell 2: its tags are null"),
        ({"cell": {"metadata": {"tags": "parameters"}}}, "cell 2: its tags are text"),
        ({"cell": {"metadata": {"tags": [None]}}}, "cell 2: its tags are a list of something else"),
        ({"cell": {"source": 5}}, "cell 2: its source is a number"),
        ({"cell": {"source": None}}, "cell 2: its source is null"),
        ({"cell": {"source": "'\ud800'"}}, "cell 2: its source holds half a character"),
        ({"cell": {"outputs": None}}, "cell 2: its outputs are null"),
        ({"metadata": {"papermill": None}}, "its papermill is null"),
        ({"nbformat_minor": None}, "not a notebook of format 4"),
        ({"cell": {"cell_type": "heading"}}, "cell 2: it is neither code, markdown nor raw"),
        ({"nbformat": 3}, "not a notebook of format 4"),
    ],
    ids=ascii,
)
def test_a_damaged_notebook_is_refused_with_what_is_wrong(
    damage: dict[str, Any], says: str, look: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """Exit code 2 and the cell, never "something broke"."""
    path = look()
    nb = json.loads(path.read_text())
    nb["cells"][1] |= damage.pop("cell", {})
    path.write_text(json.dumps(nb | damage))
    with pytest.raises(UsageError, match=says) as caught:
        execute([path], migration, outputs=tmp_path / "out")
    assert caught.value.exit_code is ExitCode.USAGE
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "\x00", "[]", "null"], ids=["nested", "binary", "a list", "null"])
def test_what_is_no_notebook_is_refused(text: str, migration: dict[str, Any], tmp_path: Path) -> None:
    """Whatever it holds."""
    (tmp_path / "n.ipynb").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        execute([tmp_path / "n.ipynb"], migration, outputs=tmp_path / "out")


@pytest.mark.parametrize(
    ("again", "says"),
    [
        ("migration = {}", "`migration` is empty, where shadowtwin (staging, account 012345678901) was given"),
        ("apply = True", "would make changes in a run that makes none"),
    ],
)
def test_parameters_that_a_later_cell_sets_again_are_refused(
    again: str, says: str, look: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """Exit code 2: what arrived is not what the runner gave, and nothing was looked at in its name."""
    path = look(again, begin="migration, apply=apply)", parameters="migration: dict = {}\napply: bool = False")
    result = execute([path], migration, outputs=tmp_path / "out")
    assert result.exit_code is ExitCode.USAGE
    assert result.verdict is Verdict.INCONCLUSIVE
    assert says in result.headline
    assert not (result.folder / "findings.jsonl").exists()


@pytest.mark.parametrize(
    ("received", "says"),
    [
        (None, "`migration` is empty"),
        ([1], "`migration` is empty"),
        ({"account_id": "999999999999"}, "account_id '999999999999', not '012345678901'"),
        ({"environment": "production"}, "environment 'production', not 'staging'"),
        ({"triggers": {"p95": {"above": "9s"}}}, "other values of triggers"),
    ],
)
def test_a_step_of_a_run_is_held_against_what_the_run_recorded(
    received: Any, says: str, migration: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is different is named; and what run.json does not tell is not taken on trust."""
    run = RunFolder.create(tmp_path / "out", "staging", "day")
    monkeypatch.setenv("CUTOVER_RUN", str(run.path))
    with pytest.raises(UsageError, match="does not say with which parameters"):
        begin("02_look", migration)
    run.write("run.json", run_facts(run.name, "day", from_dict(migration).migration, migration, ["n"], apply=False))
    begin("02_look", migration)
    with pytest.raises(ParamsError) as caught:
        begin("02_look", migration | received if isinstance(received, dict) else received)
    assert says in caught.value.what


def test_parameters_with_every_kind_of_value_arrive_as_they_were_given(migration: dict[str, Any]) -> None:
    """Texts with quotes, backslashes, line breaks and other scripts; numbers, lists, true, false and nothing."""
    from papermill.translators import PythonTranslator

    odd = "a \"b\" 'c' \\n \\ {x} %s é 漢 \U0001f600\nline\ttab"
    given = migration | {"a": [odd, {odd: odd}], "b": [0.1, 1e22, -3, 10**20, True, False, None, [], {}, ""]}
    assert parameters_hash(ast.literal_eval(PythonTranslator.translate(given))) == parameters_hash(given)


def papermill(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """papermill's own command."""
    command = [str(Path(sys.executable).with_name("papermill")), *map(str, words), "--no-progress-bar"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def params(migration: dict[str, Any], tmp_path: Path) -> Path:
    """A parameter file."""
    (tmp_path / "p.yml").write_text(json.dumps({"migration": migration}))
    return tmp_path / "p.yml"


def test_papermill_with_our_engine_refuses_a_lost_tag(look: Notebook, params: Path, tmp_path: Path) -> None:
    """Exit code 2 and a message without a traceback; no kernel, no run folder."""
    done = papermill("--engine", "cutover", change(look(), lose), "o.ipynb", "-f", params)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert "no cell that is tagged `parameters`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_plain_papermill_is_held_against_what_it_gave(look: Notebook, params: Path, tmp_path: Path) -> None:
    """Nothing of ours runs before the notebook begins: there it is refused, and no stage is attached to."""
    done = papermill(change(look(), lose), "o.ipynb", "-f", params)
    assert done.returncode == ExitCode.BROKE
    assert "`migration` is empty, where shadowtwin (staging, account 012345678901) was given" in done.stderr
    assert not (tmp_path / "outputs").exists()
