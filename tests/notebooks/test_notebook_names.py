"""What a notebook imports and calls is there: a name that moved is found before anybody runs the notebook."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


def _code(path: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def _imported(tree: ast.AST) -> dict[str, Any]:
    """Name to what `from cutover… import name` binds it to.

    Raises:
        ImportError, AttributeError: there is no such name.
    """
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("cutover"):
            home = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(home, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                found[alias.asname or alias.name] = getattr(home, alias.name)
    return found


def _missing(tree: ast.AST, known: dict[str, Any]) -> Iterator[str]:
    """Dotted names that begin with an imported module and lead nowhere."""
    for node in ast.walk(tree):
        parts: list[str] = []
        at: ast.AST = node
        while isinstance(at, ast.Attribute):
            parts.insert(0, at.attr)
            at = at.value
        if not parts or not isinstance(at, ast.Name) or at.id not in known:
            continue
        thing = known[at.id]
        for part in parts:
            if not isinstance(thing, ModuleType):
                break
            if not hasattr(thing, part):
                yield ".".join([at.id, *parts])
                break
            thing = getattr(thing, part)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_name_that_a_notebook_uses_exists(path: Path) -> None:
    """Modules, and what it takes from them."""
    tree = ast.parse(_code(path))
    assert list(_missing(tree, _imported(tree))) == []


def test_a_name_that_is_not_there_is_found() -> None:
    """The test can fail."""
    tree = ast.parse("from cutover import runbook\nrunbook.cost.check_cots(step)\nrunbook.begin('x')")
    assert list(_missing(tree, _imported(tree))) == ["runbook.cost.check_cots"]
    with pytest.raises(ImportError):
        _imported(ast.parse("from cutover.aws import nothing_of_the_kind"))
