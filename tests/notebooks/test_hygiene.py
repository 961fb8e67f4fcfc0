"""Notebooks in git: thin, output-free, with the common anatomy and stable ids."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest

from cutover.step.phases import PHASES, WHEN

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TABLE = ("When", "Who", "How long", "What it changes", "Stops if", "Guide")


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    """One notebook after the other, read strictly."""
    node = nbformat.read(request.param, as_version=4)
    nbformat.validate(node)
    node.metadata["_path"] = str(request.param)
    return node


def code(notebook: Any) -> list[Any]:
    """The code cells."""
    return [c for c in notebook.cells if c.cell_type == "code"]


def test_the_runbook_is_complete() -> None:
    """The steps that a migration cannot do without."""
    numbers = {p.stem.split("_")[0] for p in NOTEBOOKS}
    assert {"00", "01", "02", "04", "05", "10", "11", "12", "13", "14", "15", "16", "20", "90"} <= numbers


def test_every_notebook_belongs_to_a_phase_and_has_its_time() -> None:
    """What is in no phase would be run by nobody."""
    in_phases = {name for names in PHASES.values() for name in names}
    assert in_phases | {"00_start_here"} == {p.stem for p in NOTEBOOKS}
    assert {p.stem[:2] for p in NOTEBOOKS} == set(WHEN)


def test_no_outputs_and_no_execution_counts(notebook: Any) -> None:
    """Evidence lives in outputs/, not in git."""
    assert all(not c.outputs and c.execution_count is None for c in code(notebook))


def test_cells_are_thin(notebook: Any) -> None:
    """At most ten lines, nothing defined, no loops over services."""
    for cell in code(notebook):
        assert len(cell.source.splitlines()) <= 10, cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.For | ast.While | ast.Lambda), cell.source


def test_cell_ids_are_unique(notebook: Any) -> None:
    """Stable ids make diffs readable."""
    assert max(Counter(c.id for c in notebook.cells).values()) == 1


def test_it_opens_with_a_title_and_the_table(notebook: Any) -> None:
    """When, who, how long, what it changes, stops if, guide: before anything runs."""
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert [row for row in TABLE if f"**{row}**" not in first.source] == []


def test_parameters_are_declared_annotated_and_explained(notebook: Any) -> None:
    """So that `papermill --help-notebook` is useful."""
    tagged = [c for c in code(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert re.fullmatch(r"\w+: \w+ = [^#]+  # .{10,}", line), line
    assert tagged[0].source.startswith("migration: dict = {}")


def test_it_begins_and_concludes_its_own_step(notebook: Any) -> None:
    """The step carries the notebook's name, and the last cell shows the verdict."""
    stem = Path(notebook.metadata["_path"]).stem
    sources = [c.source for c in code(notebook)]
    assert any(f'runbook.begin("{stem}"' in s for s in sources)
    if stem not in {"00_start_here", "90_rollback_decision"}:
        assert sources[-1].strip() == "step.conclude()"


NAMED = re.compile(r"(?<![\w.])\d\d_[a-z][a-z_]*[a-z]\b")
"""How a notebook is named, with its ending or without."""


def wherever_a_notebook_is_named() -> list[Path]:
    """What a person reads: the library's strings and templates, the pages, the parameters, the notebooks themselves."""
    root = FOLDER.parent
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "params").glob("*.y*ml"), *NOTEBOOKS]
    code = [p for p in (root / "lib").rglob("*") if p.suffix in {".py", ".j2", ".css", ".json", ".yml"}]
    return [p for p in [*pages, *code, *(root / "locustfiles").glob("*.py")] if p.name != "CHANGELOG.md"]


def test_every_notebook_that_is_named_is_there() -> None:
    """In a message, a page or another notebook: whoever follows it stands before nothing."""
    there = {path.stem for path in NOTEBOOKS}
    named = {
        (path.relative_to(FOLDER.parent), name)
        for path in wherever_a_notebook_is_named()
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len({name for _, name in named}) > len(there) / 2
    assert sorted(f"{path}: {name}" for path, name in named if name not in there) == []


@pytest.mark.parametrize(
    "text", ["run 31_monitoring", "notebooks/91_rollback_application.ipynb", "`06_drill`:", "(40_x_y)"]
)
def test_the_name_of_a_notebook_is_recognised(text: str) -> None:
    """Bare, in a path, in code, in brackets; a number with underscores is none."""
    assert len(NAMED.findall(text)) == 1
    assert NAMED.findall("10_000, 1_000_000, 0x10_ff and a10_b") == []


def test_every_link_leads_somewhere(notebook: Any) -> None:
    """A dead link at three in the morning costs more than the click."""
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (FOLDER / target).exists(), target
