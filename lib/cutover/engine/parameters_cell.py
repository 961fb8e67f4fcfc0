"""The one cell of a notebook that takes the parameters: found by its tag, and refused where a tag has gone astray.

papermill puts the values behind the cell tagged `parameters`; without that tag it puts them before everything else,
where the notebook's own `migration = {}` overwrites them, and an empty migration means the rehearsal that runs.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cutover.errors import UsageError

TAG = "parameters"
INJECTED = "injected-parameters"
"""The tag of the cell that papermill writes; where a notebook has one already, it is written over in its place."""

_WHY = (
    "the parameters would not reach the notebook, or be overwritten in it: it would look at, and change, another "
    "platform in this one's name."
)


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook's JSON, of the shape that everything after it relies on: cells with metadata, tags and a source.

    Raises:
        UsageError: it is not there, or no notebook; with what is wrong, and in which cell.
    """
    try:
        nb = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        wrong = str(error.strerror)
    except RecursionError:
        wrong = "it is nested too deeply for a notebook"
    except ValueError:
        wrong = "it is not a notebook of format 4"
    else:
        wrong = _malformed(nb)
    if wrong:
        raise UsageError(
            f"The notebook {path} cannot be read: {wrong}.",
            why="an editor, a merge or a script has damaged it.",
            todo=f"bring it back: git checkout -- {path}",
        ) from None
    return dict(nb)


def parameters_cell(cells: Sequence[Mapping[str, Any]], where: str) -> int:
    """The position of the one code cell that is tagged `parameters`.

    Args:
        cells: the notebook's cells, as `read_notebook` or nbformat give them.
        where: the notebook, for the message.

    Raises:
        UsageError: no cell is tagged, or several, or another than the one that declares `migration`; or an injected
            cell of an earlier run stands elsewhere than behind it. The message says how to put the tag back.
    """
    tagged = [i for i, cell in enumerate(cells) if TAG in _tags(cell)]
    injected = [i for i, cell in enumerate(cells) if INJECTED in _tags(cell)]
    meant = [i for i, cell in enumerate(cells) if i not in injected and _declares(cell, "migration")]
    wrong, todo = "", _put_back(where, meant)
    if not tagged:
        wrong = f"{where} has no cell that is tagged `{TAG}`"
    elif len(tagged) > 1:
        wrong = f"{where} has {len(tagged)} cells that are tagged `{TAG}`: {_numbers(tagged)}"
    elif cells[tagged[0]].get("cell_type") != "code":
        wrong = f"In {where} the tag `{TAG}` is on {_numbers(tagged)}, which is no code"
    elif meant and tagged[0] not in meant:
        wrong = f"In {where} the tag `{TAG}` is on {_numbers(tagged)}, which does not declare `migration`"
    elif injected and injected != [tagged[0] + 1]:
        wrong = f"{where} has parameters of an earlier run in {_numbers(injected)}, not behind {_numbers(tagged)}"
        todo = f"delete {_numbers(injected)}, or bring the notebook back: git checkout -- {where}"
    if wrong:
        raise UsageError(f"{wrong}.", why=_WHY, todo=todo)
    return tagged[0]


def declarations(source: str, where: str | Path) -> dict[str, tuple[str, str]]:
    """What a parameters cell declares: by name, the annotation (`""` for none) and the default's source.

    papermill's own reader matches lines with a pattern, which breaks on `Literal` and on `"a=b"`.

    Raises:
        UsageError: it is not Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UsageError(f"The parameters cell of {where} is not Python: {error}.", todo="open it in Lab") from None
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = (ast.unparse(node.annotation), ast.unparse(node.value) if node.value else "")
        elif isinstance(node, ast.Assign):
            found |= {t.id: ("", ast.unparse(node.value)) for t in node.targets if isinstance(t, ast.Name)}
    return found


def _malformed(nb: Any) -> str:
    """What is wrong with the shape of a notebook; "" for nothing."""
    if not isinstance(nb, dict) or nb.get("nbformat") != 4 or type(nb.get("nbformat_minor")) is not int:
        return "it is not a notebook of format 4"
    about, cells = nb.get("metadata"), nb.get("cells")
    if not isinstance(about, dict):
        return f"its metadata is {_kind(about)}, not an object"
    for key in ("kernelspec", "language_info", "papermill"):
        if not isinstance(about.get(key, {}), dict):
            return f"its {key} is {_kind(about[key])}, not an object"
        if not isinstance(about.get(key, {}).get("name", ""), str):
            return f"the name in its {key} is {_kind(about[key]['name'])}, not text"
    if not isinstance(cells, list):
        return f"its cells are {_kind(cells)}, not a list"
    return next((f"cell {n}: {wrong}" for n, cell in enumerate(cells, 1) if (wrong := _malformed_cell(cell))), "")


def _malformed_cell(cell: Any) -> str:
    if not isinstance(cell, dict):
        return f"it is {_kind(cell)}, not an object"
    about, source = cell.get("metadata"), cell.get("source")
    if cell.get("cell_type") not in ("code", "markdown", "raw"):
        return "it is neither code, markdown nor raw"
    if not isinstance(about, dict):
        return f"its metadata is {_kind(about)}, not an object"
    if not _list_of(str, about.get("tags", [])):
        return f"its tags are {_kind(about['tags'])}, not a list of texts"
    if not _list_of(dict, cell.get("outputs", [])):
        return f"its outputs are {_kind(cell['outputs'])}, not a list of objects"
    if not (isinstance(source, str) or _list_of(str, source)):
        return f"its source is {_kind(source)}, not text"
    return "" if _encodes(_source(cell)) else "its source holds half a character (a lone surrogate)"


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "text"}
    return kinds.get(type(value), "a list of something else" if isinstance(value, list) else "an object")


def _tags(cell: Mapping[str, Any]) -> Sequence[str]:
    found: Sequence[str] = cell["metadata"].get("tags", [])
    return found


def _source(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])


def _declares(cell: Mapping[str, Any], name: str) -> bool:
    """Whether it is a code cell that sets this name at its top level."""
    if cell.get("cell_type") != "code":
        return False
    try:
        return name in declarations(_source(cell), "")
    except UsageError:  # `%magic`
        return False


def _numbers(positions: Sequence[int]) -> str:
    return ", ".join(f"cell {position + 1}" for position in positions)


def _put_back(where: str, meant: Sequence[int]) -> str:
    """How the tag comes to the cell that declares the parameters."""
    cell = f"{_numbers(meant[:1])}, which declares `migration`," if meant else "the cell that declares the parameters"
    return (
        f"give the tag to {cell} and to no other (some editors drop tags when they save). In JupyterLab: select the "
        f"cell, open the property inspector (the gears, upper right), Cell Tags, add `{TAG}`. In VS Code: the cell's "
        f"`…`, Mark Cell as Parameters. Or bring the notebook back: git checkout -- {where}"
    )
