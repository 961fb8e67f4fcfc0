"""Statements that set one attribute of a type, a function or aggregate, of text search, or of an extension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cutover.postgres.catalog.alteration import Alteration, column_statements
from cutover.postgres.catalog.clauses import literal, mappings
from cutover.postgres.catalog.model import extension_version
from cutover.postgres.catalog.statements import create


def _extension(change: Alteration) -> str:
    one, value, target = change.one, change.value, change.target
    match change.name:
        case "version":
            if target is not None and extension_version(target.attributes["version"]) > extension_version(value):
                return "-- nothing to do: the target's major brings a newer version of the extension"
            return f"ALTER EXTENSION {one.name} UPDATE TO {literal(value)};  -- where the target offers it"
        case "schema":
            return f"ALTER EXTENSION {one.name} SET SCHEMA {value};"
    return ""


def _type(change: Alteration) -> str:
    one, value, held = change.one, change.value, change.held
    alter = f"ALTER {'DOMAIN' if change.has['kind'] == 'domain' else 'TYPE'} {one.name}"
    match change.name:
        case "labels":
            return _labels(change)
        case "constraints":
            return _domain_constraints(change)
        case "not null" if change.has["kind"] == "domain":
            return f"{alter} {'SET' if value else 'DROP'} NOT NULL;"
        case "default" if change.has["kind"] == "domain":
            return f"{alter} {f'SET DEFAULT {value}' if value else 'DROP DEFAULT'};"
        case "constraint comments":
            return _domain_comments(change) or "-- a comment more on the target"
        case "on attributes":
            return "\n".join(column_statements(one, value or {}, held or {}))
        case "attributes":
            want, have = (dict(str(a).split(" ", 1) for a in given or ()) for given in (value, held))
            lines = [f"{alter} DROP ATTRIBUTE {k};" for k in have if k not in want]
            lines += [f"{alter} ADD ATTRIBUTE {k} {v} CASCADE;" for k, v in want.items() if k not in have]
            lines += [f"{alter} ALTER ATTRIBUTE {k} TYPE {v} CASCADE;" for k, v in want.items() if have.get(k, v) != v]
            return "\n".join(lines)
    return ""


def _labels(change: Alteration) -> str:
    one, wanted, held = change.one, list(change.value or ()), list(change.held or ())
    lines = []
    for number, label in enumerate(wanted):
        if label not in held:
            after = f" AFTER {literal(wanted[number - 1])}" if number else ""
            where = after or (f" BEFORE {literal(held[0])}" if held else "")
            lines.append(f"ALTER TYPE {one.name} ADD VALUE {literal(label)}{where};")
    if gone := [literal(label) for label in held if label not in wanted]:
        lines.append(
            f"-- {', '.join(gone)} cannot be dropped: harmless while unused, else restore the type from the dump"
        )
    return "\n".join(lines) or f"-- the order of labels cannot be changed: restore {one.name} and what uses it"


def _domain_constraints(change: Alteration) -> str:
    want, have = change.value or {}, change.held or {}
    alter = f"ALTER DOMAIN {change.one.name}"
    lines = [f"{alter} DROP CONSTRAINT {k};" for k in have if want.get(k) != have[k]]
    again = {k: v for k, v in want.items() if have.get(k) != v}
    lines += [f"{alter} ADD CONSTRAINT {k} {v};" for k, v in again.items()]
    said = {k: v for k, v in (change.has["constraint comments"] or {}).items() if k in again}
    return "\n".join([*lines, _domain_comments(replace(change, value=said))] if said else lines)


def _domain_comments(change: Alteration) -> str:
    said = (change.value or {}).items()
    return "\n".join(f"COMMENT ON CONSTRAINT {k} ON DOMAIN {change.one.name} IS {literal(v)};" for k, v in said)


def _function(change: Alteration) -> str:
    replaceable = change.target and change.has["kind"] == change.target.attributes["kind"]
    return create(change.one) if change.name == "definition" and replaceable else ""


def _aggregate(change: Alteration) -> str:
    # CREATE OR REPLACE refuses another state type only where a final function depends on it.
    replaceable = change.target and change.has["kind"] == change.target.attributes["kind"]
    return create(change.one) if replaceable else ""


def _text_search_dictionary(change: Alteration) -> str:
    if change.name == "options" and change.value:
        return f"ALTER TEXT SEARCH DICTIONARY {change.one.name} ({change.value});"
    return ""


def _text_search_configuration(change: Alteration) -> str:
    if change.name == "mappings":
        return "\n".join(mappings(change.one.name, change.value or {}, change.held or {}))
    return ""


CODE: Mapping[str, Callable[[Alteration], str]] = {
    "aggregate": _aggregate,
    "extension": _extension,
    "function": _function,
    "text search configuration": _text_search_configuration,
    "text search dictionary": _text_search_dictionary,
    "type": _type,
}
"""By kind of object; each gives an empty text where only dropping and creating will do."""
