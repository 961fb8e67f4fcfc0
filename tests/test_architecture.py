"""The walls of the house: no arrow upwards (import-linter holds it), no circle between files, none between rooms."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "lib" / "cutover"


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module to the modules it imports, inside functions and for types too."""
    graph = grimp.build_graph("cutover", include_external_packages=False, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def room(module: str) -> str:
    """`cutover.postgres.freeze` lies in `postgres`; a module right below `cutover` is a room by itself."""
    return module.split(".")[1] if "." in module else module


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one circle; none where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_between_files(imports: dict[str, set[str]]) -> None:
    """Each file can be read without one that needs it."""
    assert circle(imports) == []


def test_no_circle_between_rooms(imports: dict[str, set[str]]) -> None:
    """Each room can be understood without one that stands on it."""
    rooms: dict[str, set[str]] = {}
    for module, others in imports.items():
        rooms.setdefault(room(module), set()).update(room(other) for other in others if room(other) != room(module))
    assert circle(rooms) == []


def test_a_circle_is_found() -> None:
    """The test can fail."""
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_no_module_has_a_name_that_says_nothing() -> None:
    """A module is named for what it is, in the field's own words."""
    nothing = {"words", "watching", "looking", "looks", "fixing", "ticking", "growing", "utils", "helpers", "common"}
    assert sorted(str(p.relative_to(LIB)) for p in LIB.rglob("*.py") if p.stem in nothing) == []


def test_no_function_is_excused_from_its_length() -> None:
    """A function of more than fifty statements is two."""
    excused = [str(p.relative_to(LIB)) for p in LIB.rglob("*.py") if re.search(r"noqa:.*PLR0915", p.read_text())]
    assert excused == []


TABLES = {"aws/cost/prices.py", "expectations.py"}
"""Modules that hold a table and nothing else."""


def test_no_module_is_longer_than_400_lines() -> None:
    """A module is one idea; a table may be as long as it is."""
    long = {str(p.relative_to(LIB)): n for p in LIB.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert {name: n for name, n in long.items() if name not in TABLES} == {}
