"""The knobs of a notebook: what its `parameters` cell declares, and values for them that mean what was typed."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cutover.engine.parameters_cell import declarations, parameters_cell, read_notebook
from cutover.errors import UsageError


@dataclass(frozen=True, slots=True)
class Declared:
    """A notebook as far as the runner must know it before a kernel starts.

    Attributes:
        path: the file.
        kernel: the kernel that it names.
        knobs: the type that each parameter is annotated with, `""` without annotation; and its default's source.
        concludes: whether a cell calls `.conclude(`.
        rooms: the modules of Cutover that it imports, which a kernel can load while it waits for its turn.
    """

    path: Path
    kernel: str = "python3"
    knobs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    concludes: bool = False
    rooms: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The step's name."""
        return self.path.stem


def inspect(path: Path) -> Declared:
    """Read a notebook's kernel and its `parameters` cell, as Python, without running anything.

    Raises:
        UsageError: it is not there, or no notebook, or not exactly one of its cells takes the parameters.
    """
    nb = read_notebook(path)
    cells = nb["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    knobs = declarations("".join(cells[parameters_cell(cells, str(path))]["source"]), path)
    kernel = nb["metadata"].get("kernelspec", {}).get("name") or "python3"
    return Declared(path, kernel, knobs, any(".conclude(" in s for s in sources), _rooms(sources))


def _rooms(sources: list[str]) -> tuple[str, ...]:
    """`cutover.aws` for `from cutover import aws`; a cell that is no plain Python (`%magic`) is passed over."""
    found: dict[str, None] = {}
    for source in sources:
        try:
            nodes = ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module == "cutover" and not node.level:
                found |= {f"cutover.{alias.name}": None for alias in node.names}
    return tuple(found)


def assign(notebooks: list[Declared], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The knobs for each notebook (by name): each goes to those that declare it, in the type they declare.

    Args:
        notebooks: what is to run.
        given: values by knob; text, as a command line gives it, is read by the declared type.

    Raises:
        UsageError: no notebook knows a knob, or a value is not of its type.
    """
    known = sorted({k for n in notebooks for k in n.knobs if k not in ("migration", "apply")})
    for knob in given:
        if knob not in known:
            near = get_close_matches(knob, known, n=1)
            names = ", ".join(n.name for n in notebooks)
            hint = f"did you mean {near[0]}?" if near else f"known there: {', '.join(known) or 'none'}"
            if knob in ("migration", "apply"):
                hint = "give it with --params or --apply"
            raise UsageError(
                f"The parameter {knob} is unknown to {names}.",
                why="a mistyped parameter would leave its default in force, unseen.",
                todo=hint,
            )
    return {n.name: {k: convert(k, v, n.knobs[k][0]) for k, v in given.items() if k in n.knobs} for n in notebooks}


def convert(knob: str, value: Any, annotation: str) -> Any:
    """`value` in the type that the notebook declares; text only where text is declared.

    Raises:
        UsageError: it is not of that type.
    """
    kinds = [k.strip() for k in annotation.split("|")]
    if isinstance(value, str) and value == "None" and "None" in kinds:
        return None
    for kind in kinds:
        match kind:
            case "bool" if isinstance(value, bool):
                return value
            case "bool" if value in ("true", "True", "false", "False"):
                return value in ("true", "True")
            case "int" if isinstance(value, int) and not isinstance(value, bool):
                return value
            case "int" if isinstance(value, str) and value.lstrip("-").isdecimal() and str(int(value)) == value:
                return int(value)
            case "float" if isinstance(value, int | float | str) and not isinstance(value, bool):
                number = _finite(value)
                if number is not None:
                    return number
            case "str" if isinstance(value, str):
                return value
            case "" | "Any":
                return value
            case "dict" | "list" if type(value).__name__ == kind:
                return value
    raise UsageError(
        f"The parameter {knob} is given {value!r}; it is declared {annotation}.",
        todo=f"give {' or '.join(_EXAMPLES.get(k, k) for k in kinds)}",
    )


_EXAMPLES = {
    "bool": "true or false",
    "int": "a whole number such as 4",
    "float": "a finite number such as 2.5",
    "str": "text",
}


def _finite(value: int | float | str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
