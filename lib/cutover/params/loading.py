"""Parameter files: read strictly, refused with the line and what to write instead, shown, described as JSON Schema."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cutover.errors import ParamsError
from cutover.migration import Migration
from cutover.params import plainyaml
from cutover.params.plainyaml import Position, Problem
from cutover.secrets import redact
from cutover.units import IN_CLEAR
from cutover.urls import HOW_TO_WRITE, holds_password, passwords_in, shown, unreadable

TOP = "migration"
"""The one key at the top of a parameter file."""

_KEY_LIKE = re.compile(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bsk-[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_REFERENCE = "a reference, never the secret itself: env:NAME, secretsmanager:NAME or file:/path"
_NOT_ENCODED = f"a password in a URL that programs read differently; where the reference leads, {HOW_TO_WRITE}"
_PLAIN = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys below it",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True)
class LoadedParams:
    """A parameter file that was read and accepted.

    Attributes:
        migration: the typed description.
        raw: the mapping below `migration` as it was written: what is injected into notebooks.
        path: the file; None when the values came as a dict.
        positions: line and column of each key and list item that was written, by path: `("load", "duration")`.
    """

    migration: Migration
    raw: dict[str, Any]
    path: Path | None = None
    positions: Mapping[plainyaml.Path, Position] = field(default_factory=dict)

    @property
    def notices(self) -> list[str]:
        """What is accepted and written in an old way, each with its line and the new way."""
        return [
            f"{self.path}:{self.positions.get(('waivers', number, 'id'), (0, 0))[0]}: "
            f"{waiver.id} is called {waiver.finding_id} now; the waiver holds"
            for number, waiver in enumerate(self.migration.waivers)
            if waiver.id != waiver.finding_id
        ]


@dataclass(frozen=True, slots=True)
class Row:
    """One value of the parameters: its key, its redacted text, and the file's line or `default`."""

    key: str
    value: str
    source: str


def load_params(path: Path | str) -> LoadedParams:
    """Read `params/*.yml`.

    Raises:
        ParamsError: everything that is refused, a line for each: file, line, column, key, given, expected.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ParamsError(
            f"The parameters {path} cannot be read: {what}.", todo="give the file with --params"
        ) from None
    document = plainyaml.read(text)
    problems = document.problems if any(not p.path for p in document.problems) else _top_problems(document)
    if not problems:
        found = [*document.problems, *_clear_secrets(document.value, (), document)]
        migration, refused = _validated(document.value[TOP], document)
        if migration and not found:
            positions = {p[1:]: at for p, at in (document.values | document.keys).items() if len(p) > 1}
            return LoadedParams(migration, document.value[TOP], path, positions)
        problems = found + [p for p in refused if p.path not in {f.path for f in found}]
    raise _refusal(problems, str(path))


def from_dict(raw: Mapping[str, Any], source: str = "the parameters") -> LoadedParams:
    """Accept the mapping that stands below `migration`, as plain papermill injects it.

    Raises:
        ParamsError: as `load_params`, without lines.
    """
    document = plainyaml.Document(value={TOP: dict(raw)})
    found = list(_clear_secrets(document.value, (), document))
    migration, refused = _validated(dict(raw), document)
    if migration and not found:
        return LoadedParams(migration, dict(raw))
    problems = found + [p for p in refused if p.path not in {f.path for f in found}]
    raise _refusal(problems, source)


def show(loaded: LoadedParams) -> list[Row]:
    """Every value that holds, redacted, with where it comes from."""
    rows = []
    for path, value in _leaves(loaded.migration.model_dump(mode="json", by_alias=True), ()):
        at = next((loaded.positions[path[:n]] for n in range(len(path), 0, -1) if path[:n] in loaded.positions), None)
        written = _written(loaded.raw, path)
        where = f"{loaded.path}:{at[0]}" if at and loaded.path else "given"
        rows.append(Row(_dotted(path), redact(str(value)), where if written else "default"))
    return rows


@cache
def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a whole parameter file, for editors."""
    model = Migration.model_json_schema(by_alias=True)
    definitions = model.pop("$defs", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Parameters of a migration",
        "type": "object",
        "properties": {TOP: model},
        "required": [TOP],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _validated(raw: dict[str, Any], document: plainyaml.Document) -> tuple[Migration | None, list[Problem]]:
    try:
        return Migration.model_validate(raw), []
    except ValidationError as error:
        return None, [_problem(e, document) for e in error.errors(include_url=False)]


def _top_problems(document: plainyaml.Document) -> list[Problem]:
    """Exactly one key stands at the top, and keys stand below it."""
    if not isinstance(document.value, dict):
        return [Problem((), (1, 1), "", f"one top-level key, `{TOP}:`, and the migration's keys below it")]
    problems = []
    for key in document.value:
        if key != TOP:
            near = _nearest(key, [TOP])
            hint = f"; did you mean `{TOP}`?" if near else ""
            expected = f"`{TOP}` alone at the top{hint}"
            problems.append(Problem((key,), document.keys[(key,)], f"the key `{key}`", expected=expected))
    if not problems and not isinstance(document.value.get(TOP), dict):
        at = document.values.get((TOP,), (1, 1))
        given = _shown(document.value.get(TOP))
        problems.append(Problem((TOP,), at, given, expected="the migration's keys below it"))
    return problems


def _clear_secrets(value: Any, path: plainyaml.Path, document: plainyaml.Document) -> Iterator[Problem]:
    """Texts that are secrets by their look, wherever they stand."""
    for where, leaf in _leaves(value, path):
        if not isinstance(leaf, str):
            continue
        if holds_password(leaf):
            redact.register(leaf, *passwords_in(leaf))
            wrong = "a password in clear" if not unreadable(leaf) else _NOT_ENCODED
            yield Problem(where, _position(where, document), shown(leaf), wrong, _REFERENCE)
        elif _KEY_LIKE.search(leaf):
            yield Problem(where, _position(where, document), "something that looks like a key", expected=_REFERENCE)


def _problem(error: Any, document: plainyaml.Document) -> Problem:
    """One of pydantic's errors in a sentence, with the place in the file."""
    path = (TOP, *(p for p in error["loc"] if not isinstance(p, str) or "[" not in p))
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    message = str(error["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        known = sorted(_schema_of(path[:-1]).get("properties", {}))
        near = _nearest(str(path[-1]), known)
        hint = f"did you mean `{near}`?" if near else f"known here: {', '.join(known)}"
        return Problem(path, _position(path, document), "", f"unknown key; {hint}")
    if kind == "missing":
        return Problem(path, _position(path[:-1], document), "", "missing", _expected(path))
    if kind == "value_error" and isinstance(given, dict | Migration):
        key = re.match(r"(\w+): ", message)
        if key and (*path, key[1]) in document.keys:
            path, message = (*path, key[1]), message[key.end() :]
        return Problem(path, _position(path, document), "", message)
    if kind in ("value_error", IN_CLEAR):
        said = "a value in clear" if kind == IN_CLEAR else _shown(given)
        return Problem(path, _position(path, document), said, expected=message)
    expected = _expected(path)
    if kind == "finite_number":
        expected = "a number; no threshold is ever compared with NaN or infinity truly"
    elif bounds := [f"{word} {context[k]}" for k, word in _BOUNDS.items() if k in context]:
        expected = f"{expected}, {' and '.join(bounds)}"
    return Problem(path, _position(path, document), _shown(given), expected=expected)


_BOUNDS = {
    "gt": "above",
    "ge": "at least",
    "lt": "below",
    "le": "at most",
    "min_length": "at least this many characters or items:",
    "max_length": "at most this many characters or items:",
}


def _refusal(problems: list[Problem], source: str) -> ParamsError:
    lines = []
    for p in sorted(problems, key=lambda p: p.position):
        at = f"{source}:{p.position[0]}:{p.position[1]}" if p.position != (0, 0) else source
        key = f" {_dotted(p.path)}:" if p.path else ""
        expected = p.expected or (_expected(p.path) if p.wrong and p.given and p.path[1:] else "")
        parts = [f"given {p.given}" if p.given else "", p.wrong, f"expected {expected}" if expected else ""]
        lines.append(redact(f"{at}:{key} {'; '.join(filter(None, parts))}"))
    count = "One value is" if len(lines) == 1 else f"{len(lines)} values are"
    return ParamsError(
        f"{count} refused in {source}:\n" + "\n".join(lines),
        why="a value that is not what was meant would migrate the wrong thing or never trip a threshold.",
        todo="fix the lines named above; `cutover params schema` describes every key.",
    )


def _schema_of(path: plainyaml.Path) -> dict[str, Any]:
    """The JSON Schema of what stands at a path; empty when nothing is known of it."""
    whole = schema()
    node: dict[str, Any] = whole
    for step in path:
        node = _followed(node, whole)
        if isinstance(step, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(step) or node.get("additionalProperties") or {}
        node = node if isinstance(node, dict) else {}
    return _followed(node, whole)


def _followed(node: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    while True:
        options = [o for o in (*node.get("anyOf", ()), *node.get("allOf", ())) if o.get("type") != "null"]
        if "$ref" in node:
            node = whole["$defs"][node["$ref"].rsplit("/", 1)[1]]
        elif len(options) == 1:
            node = options[0]
        else:
            return node


def _expected(path: plainyaml.Path) -> str:
    """What a key takes, in words."""
    node = _schema_of(path)
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    if "const" in node:
        return f"`{node['const']}`"
    words = _PLAIN.get(str(node.get("type")), "another value")
    if node.get("format") == "date":
        return "a date such as 2026-12-31"
    if examples := node.get("examples"):
        return f"{words} such as {' or '.join(map(str, examples))}"
    if pattern := node.get("pattern"):
        return f"{words} that matches {pattern}"
    if node.get("type") == "object" and node.get("properties"):
        return f"keys below it: {', '.join(node['properties'])}"
    return words


def _nearest(key: str, known: list[str]) -> str | None:
    return next(iter(difflib.get_close_matches(key, known, n=1, cutoff=0.6)), None)


def _position(path: plainyaml.Path, document: plainyaml.Document) -> Position:
    """Where a path stands, or the nearest thing above it; (0, 0) when there is no file."""
    for length in range(len(path), 0, -1):
        found = document.keys.get(path[:length]) or document.values.get(path[:length])
        if found:
            return found
    return (0, 0)


def _leaves(value: Any, path: plainyaml.Path) -> Iterator[tuple[plainyaml.Path, Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(below, (*path, str(key)))
    elif isinstance(value, list | tuple) and value:
        for index, below in enumerate(value):
            yield from _leaves(below, (*path, index))
    else:
        yield path, value


def _written(raw: Any, path: plainyaml.Path) -> bool:
    for step in path:
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _dotted(path: plainyaml.Path) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


def _shown(value: Any) -> str:
    kind = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "keys"}
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    if isinstance(value, dict | list):
        return kind[type(value)]
    return f"{text} ({kind[type(value)]})" if type(value) in kind else ("nothing" if value is None else text)
