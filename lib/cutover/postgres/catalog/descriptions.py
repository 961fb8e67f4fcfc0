"""What a difference is, in the words of the person who has to fix it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from cutover.postgres.catalog.model import CatalogObject

_SHOWN = 900
"""Characters of a definition that a sentence holds."""

_STATES: dict[tuple[str, str], dict[Any, str]] = {
    ("index", "valid"): {
        False: "is INVALID on the target: no query uses it, and it may not keep duplicates out; REINDEX it",
        True: "is valid on the target and INVALID on the source",
    },
    ("index", "unique"): {
        False: "lets duplicates in on the target; it is UNIQUE on the source",
        True: "is UNIQUE on the target only: inserts that worked may fail",
    },
    ("index", "clustered"): {
        False: "is not the one that CLUSTER follows on the target",
        True: "is the one that CLUSTER follows on the target only",
    },
    ("constraint", "validated"): {
        False: "is NOT VALID on the target: the rows that are there were never checked against it",
        True: "is validated on the target and NOT VALID on the source",
    },
    ("constraint", "enforced"): {
        False: "is NOT ENFORCED on the target: rows that break it are let in",
        True: "is enforced on the target and NOT ENFORCED on the source: inserts that worked may fail",
    },
    ("constraint", "triggers disabled"): {
        True: "has its triggers DISABLED on the target: rows that break it are let in",
        False: "is enforced on the target, and has its triggers disabled on the source",
    },
    ("column", "not null"): {
        False: "takes NULL on the target; it is NOT NULL on the source",
        True: "is NOT NULL on the target only: inserts that worked may fail",
    },
    ("column", "not null validated"): {
        False: "has a NOT NULL that is NOT VALID on the target: the rows that are there were never checked",
        True: "has a NOT NULL that is validated on the target and NOT VALID on the source",
    },
    ("table", "persistence"): {
        "unlogged": "is UNLOGGED on the target: its rows are lost at a crash, and no standby has them",
        "permanent": "is UNLOGGED on the source and an ordinary table on the target",
    },
    ("sequence", "persistence"): {
        "unlogged": "is UNLOGGED on the target: it starts anew after a crash",
        "permanent": "is UNLOGGED on the source only",
    },
    ("table", "row security"): {
        False: "has row-level security OFF on the target: its policies hide nothing",
        True: "has row-level security ON on the target only: the application may see no rows",
    },
    ("table", "row security forced"): {
        False: "does not force row-level security upon its owner on the target",
        True: "forces row-level security upon its owner on the target only",
    },
    ("table", "partition bound"): {None: "is no partition on the target: its rows are not in the partitioned table"},
    ("role", "password"): {
        False: "has no password on the target: whoever logs in with one is refused",
        True: "has a password on the target only",
    },
    ("materialized view", "populated"): {
        False: "is not populated on the target: reading it is an error",
        True: "is populated on the target and not on the source",
    },
}
"""What a value on the target means, where a sentence says more than the two values."""

_PRIVATE = ("owner", "acl", "comment", "readable", "unreadable", "table owner", "parsed", "involved", "connected")


def noun(one: CatalogObject) -> str:
    """What it is and what it is called: `foreign key notes_owner_fkey on app.notes`."""
    has = one.attributes
    match one.kind:
        case "constraint" | "trigger" | "rule" | "policy":
            return f"{has.get('kind') or one.kind} {one.short} on {one.parent}"
        case "function" | "type":
            return f"{has['kind']}{'' if has['kind'] in ('function', 'procedure', 'domain') else ' type'} {one.name}"
        case "table":
            kind = has["kind"]
            part = "partition" if has["partition bound"] else "table" if kind == "ordinary" else f"{kind} table"
            return f"{part} {one.name}"
        case "statistics":
            return f"statistics object {one.name}"
        case "database":
            return "database"
        case "default privileges":
            return f"default privileges {one.name}"
        case "database setting":
            return f"setting {has['name']} of {'role ' + has['role'] + ' in ' if has['role'] else ''}the database"
        case "role setting":
            whose = "all roles" if has["role"] == "ALL" else f"role {has['role']}"
            return f"setting {has['name']} of {whose}"
        case "role membership":
            return f"membership of {one.name}"
        case "user mapping":
            return f"user mapping FOR {one.name}"
        case "grant beside":
            return f"grants on {one.name}"
        case "sequence value":
            return f"sequence {one.name}"
    return f"{one.kind} {one.name}"


def describe_presence(one: CatalogObject, problem: str) -> str:
    """The sentence for an object that is on one side only."""
    verb = "are" if one.kind in ("grant beside", "default privileges") else "is"
    where = "missing on the target" if problem == "missing" else "on the target only"
    return f"{noun(one)} {verb} {where}{_detail(one)}"


def describe_change(ours: CatalogObject, changed: Mapping[str, tuple[Any, Any]]) -> str:
    """The sentence for an object that differs: attribute to what the source and the target have."""
    if ours.kind == "sequence value":
        return _value(ours, changed)
    return f"{noun(ours)} " + "; ".join(_change(ours.kind, name, *pair) for name, pair in changed.items())


def describe_consequence(ours: CatalogObject, changed: Mapping[str, tuple[Any, Any]]) -> str:
    """What follows where a sequence stands elsewhere on the target; empty for everything else."""
    if ours.kind != "sequence value" or "last value" not in changed:
        return ""
    mine, its = changed["last value"]
    lag = (its < mine) != bool(ours.attributes.get("counts down"))
    return "it hands out numbers that exist" if lag else "somebody drew numbers there"


def text(attributes: Mapping[str, Any]) -> str:
    """Attributes as `name: value`, those that say nothing left out."""
    kept = {k: v for k, v in attributes.items() if k not in _PRIVATE or len(attributes) == 1}
    shown = {k: v for k, v in kept.items() if v not in (None, "", [], {}, False) or len(attributes) <= 3}
    if len(shown) == 1:
        return show(next(iter(shown.values())))
    return "; ".join(f"{name}: {show(value)}" for name, value in shown.items()) or "the same"


def show(value: Any) -> str:
    """A value as a person reads it."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _detail(one: CatalogObject) -> str:
    has = one.attributes
    for name in ("definition", "value", "label", "options"):
        if isinstance(has.get(name), str) and len(has[name]) < _SHOWN:
            return f": {' '.join(has[name].split())}"
    match one.kind:
        case "column":
            return f": {has['type']}{' NOT NULL' if has['not null'] else ''}"
        case "extension":
            return f": version {has['version']}"
        case "grant beside" | "default privileges":
            return f": {show(has['grants'])}"
    return ""


def _change(kind: str, name: str, mine: Any, its: Any) -> str:
    said = _STATES.get((kind, name), {})
    if (its is None or isinstance(its, bool | str)) and its in said:
        return said[its]
    if name == "enabled":
        return f"is {str(its).upper()} on the target, {mine} on the source"
    if name == "owner":
        return f"belongs to {its} on the target, to {mine} on the source"
    if name == "comment":
        return f"is described by {_quoted(its)} on the target, by {_quoted(mine)} on the source"
    if name == "type" and kind == "column":
        return f"is {its} on the target, {mine} on the source"
    if isinstance(mine, list | None) and isinstance(its, list | None) and (mine or its):
        return _lists(name, mine or [], its or [])
    if isinstance(mine, dict | None) and isinstance(its, dict | None) and (mine or its):
        lists = ([f"{k}{': ' if v else ''}{show(v)}" for k, v in (side or {}).items()] for side in (mine, its))
        return _lists(name, *lists)
    if isinstance(mine, str) and isinstance(its, str) and (len(mine) > 60 or "\n" in mine + its):
        return _lines(name, mine, its)
    return f"has {_CALLED.get(name, name)} {show(its)} on the target, {show(mine)} on the source"


_CALLED = {"acl": "grants", "target": "statistics target", "statistics": "statistics target"}


def _lists(name: str, mine: list[Any], its: list[Any]) -> str:
    ours, theirs = ([str(item) for item in side] for side in (mine, its))
    parts = []
    if gone := [item for item in ours if item not in theirs]:
        parts.append(f"lacks {', '.join(gone)}")
    if more := [item for item in theirs if item not in ours]:
        parts.append(f"has {', '.join(more)} more")
    if not parts:
        parts.append(f"has another order: {', '.join(theirs)} instead of {', '.join(ours)}")
    called = _CALLED.get(name, name)
    return f"differs in its {called}: the target {' and '.join(parts)}"


def _lines(name: str, mine: str, its: str) -> str:
    """The lines that differ of two definitions."""
    ours, theirs = ([line.strip() for line in side.splitlines()] for side in (mine, its))
    changed = [line for line in difflib.ndiff(ours, theirs) if line[:2] in ("- ", "+ ")]
    there = " ⏎ ".join(line[2:] for line in changed if line[0] == "+")[:_SHOWN]
    here = " ⏎ ".join(line[2:] for line in changed if line[0] == "-")[:_SHOWN]
    return f"has another {name}: on the target `{there}`, on the source `{here}`"


def _value(ours: CatalogObject, changed: Mapping[str, tuple[Any, Any]]) -> str:
    has = ours.attributes
    mine, its = changed.get("last value", (has["last value"],) * 2)
    if mine == its:
        ends = ("has been handed out already", "comes next")
        here, there = ends if has["called"] else ends[::-1]
        return (
            f"sequence {ours.name} stands at {its} on both sides, which {there} on the target and {here} on the source"
        )
    return f"sequence {ours.name} stands at {its} on the target, at {mine} on the source"


def _quoted(value: Any) -> str:
    return f"'{value}'" if value else "nothing"
