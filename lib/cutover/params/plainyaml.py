"""YAML read so that what is written is what is meant: where YAML 1.1 would change a value silently, it is refused.

PyYAML composes the text into nodes; the scalars are given their values by the few rules here, not by YAML 1.1's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
Position = tuple[int, int]
"""Line and column, both from 1."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"([-+]?(0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_NULL, _TRUE, _FALSE = {"", "~", "null", "Null", "NULL"}, {"true", "True", "TRUE"}, {"false", "False", "FALSE"}

_SURPRISES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)yes|no|on|off"), "YAML 1.1 reads it as true or false; write true or false, or quote it as text"),
    (
        re.compile(r"[-+]?0[0-9_]+(\.[0-9]*)?"),
        "a number with a leading zero: YAML 1.1 reads it as octal or drops the zero; quote it as text",
    ),
    (re.compile(r"[-+]?0[xob][0-9A-Fa-f_]+"), "YAML 1.1 reads it as another number; write it in decimal or quote it"),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
        "YAML 1.1 reads it as a number to the base of 60; quote it as text, or write a duration with its unit, 10m30s",
    ),
    (
        re.compile(r"[-+]?[0-9][0-9_.]*[eE][-+]?[0-9]+"),
        "YAML 1.1 reads it as text, YAML 1.2 as a number; write the number out",
    ),
    (re.compile(r"(?i)[-+]?\.?(nan|inf)"), "no threshold is ever compared with it truly; give a number"),
    (re.compile(r"[-+]\.[0-9]+([eE][-+]?[0-9]+)?"), "YAML 1.1 reads it as text; write the zero before the point"),
    (re.compile(r"[-+]?[0-9][0-9.]*_[0-9_.]*"), "underscores vanish from numbers in YAML 1.1; write the digits alone"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is refused.

    Attributes:
        path: keys from the top.
        position: where it stands.
        given: what is written there.
        wrong: what is wrong with it.
        expected: what should be there, where that is not what `wrong` says.
    """

    path: Path
    position: Position
    given: str
    wrong: str = ""
    expected: str = ""


@dataclass(slots=True)
class Document:
    """What was read.

    Attributes:
        value: dicts, lists, text, numbers, booleans and None.
        keys: where each key stands, by its path.
        values: where each value stands, by its path.
        problems: everything that is refused; the value is of no use when there is one.
    """

    value: Any = None
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(text: str) -> Document:
    """Read one YAML document, noting where everything stands and everything that is refused."""
    document = Document()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            _refuse_magic(event, document.problems)
        node = None if document.problems else yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        what = ", ".join(filter(None, (error.context, error.problem)))
        document.problems.append(Problem((), _at(error.problem_mark), "", f"this is not YAML: {what}"))
        return document
    except yaml.YAMLError as error:
        document.problems.append(Problem((), (1, 1), "", f"this is not YAML: {error}"))
        return document
    if node is not None:
        document.value = _value(node, (), document)
    return document


def _refuse_magic(event: Any, problems: list[Problem]) -> None:
    """Tags change types, aliases share values, further documents are dropped: none of them can be seen at a glance."""
    at = _at(event.start_mark)
    if isinstance(event, yaml.AliasEvent):
        problems.append(Problem((), at, f"*{event.anchor}", "no aliases; write the value out"))
    elif getattr(event, "anchor", None):
        problems.append(Problem((), at, f"&{event.anchor}", "no anchors; write the value out where it is used"))
    if getattr(event, "tag", None):
        problems.append(Problem((), at, str(event.tag), "no tags; quote what is text and leave numbers bare"))
    if isinstance(event, yaml.DocumentStartEvent) and event.explicit and at[0] > 1:
        problems.append(Problem((), at, "---", "one document in a file"))


def _value(node: yaml.Node, path: Path, document: Document) -> Any:
    document.values[path] = _at(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, i), document) for i, item in enumerate(node.value)]
    return _scalar(node, path, document.problems.append) if isinstance(node, yaml.ScalarNode) else None


def _mapping(node: yaml.MappingNode, path: Path, document: Document) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        at = _at(key_node.start_mark)
        key = _scalar(key_node, path, document.problems.append) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            document.problems.append(Problem(path, at, str(key_node.value)[:40], "a key that is text; quote it"))
            continue
        if key in mapping:
            line = document.keys[(*path, key)][0]
            document.problems.append(Problem((*path, key), at, key, f"each key once; it stands in line {line} already"))
        document.keys.setdefault((*path, key), at)
        mapping[key] = _value(value_node, (*path, key), document)
    return mapping


def _scalar(node: yaml.ScalarNode, path: Path, refuse: Callable[[Problem], None]) -> Any:
    text: str = node.value
    if node.style:  # the C parser says "" for a plain scalar, the other None
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    for surprise, why in _SURPRISES:
        if surprise.fullmatch(text) and not _FLOAT.fullmatch(text):
            refuse(Problem(path, _at(node.start_mark), text, why))
            return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _at(mark: Any) -> Position:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
