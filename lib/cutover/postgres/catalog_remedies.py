"""The SQL that brings the target's object to what the source has; a comment where no statement can be given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psycopg import sql

from cutover.postgres.catalog import CatalogObject


def remedy(one: CatalogObject, problem: str, changed: tuple[str, ...] = (), target: CatalogObject | None = None) -> str:
    """SQL to run on the target.

    Args:
        one: the object as the source has it (for `extra`: as the target has it).
        problem: `missing`, `extra` or `different`.
        changed: for `different`, the attributes that differ.
        target: for `different`, the object as the target has it.
    """
    has = one.attributes
    if problem == "extra":
        return f"-- only if it is not meant to be there:\n{_drop(one)}"
    if problem == "missing":
        return _create(one)
    lines = [line for name in changed if (line := _alter(one, name, has.get(name), target))]
    return "\n".join(dict.fromkeys(lines)) or _drop(one) + "\n" + _create(one)


def version(text: Any) -> tuple[int, ...]:
    """`1.10` as (1, 10), so that it is newer than `1.9`."""
    return tuple(int(part) for part in re.findall(r"\d+", str(text)))


def _create(one: CatalogObject) -> str:
    has, short = one.attributes, one.name.rsplit(".", 1)[-1]
    match one.kind:
        case "index" | "trigger" | "rule" | "statistics" | "function":
            return f"{str(has['definition']).rstrip(';')};"
        case "constraint":
            return f"ALTER TABLE {one.parent} ADD CONSTRAINT {short} {has['definition']};"
        case "view" | "materialized view":
            return f"CREATE {one.kind.upper()} {one.name} AS {str(has['definition']).lstrip()}"
        case "column":
            return f"ALTER TABLE {one.parent} ADD COLUMN {short} {has['type']};  -- then its default, NOT NULL and rows"
        case "table":
            # pg_restore takes names as they are, without SQL's quotes.
            schema, _, name = (part.strip('"').replace('""', '"') for part in one.name.rpartition("."))
            return f"pg_restore --schema={schema} --table={name} --no-owner --dbname=TARGET DUMP/archive"
        case "sequence":
            return f"CREATE SEQUENCE {one.name} AS {has['type']} {_sequence(has)};"
        case "sequence value":
            return _setval(one)
        case "extension":
            return f"CREATE EXTENSION {one.name} SCHEMA {has['schema']};"
        case "schema":
            return f"CREATE SCHEMA {one.name};"
        case "policy":
            return _policy(one)
        case "type":
            return _type(one)
        case "database setting":
            role, _, name = one.name.rpartition(" ")
            whom = f"ROLE {role} IN DATABASE current_database" if role else "DATABASE current_database"
            return f"ALTER {whom} SET {name} TO {_literal(has['value'])};  -- with the target database's name"
    return f"-- restore {one.kind} {one.name} from the dump (pg_restore --list shows its entry)"


def _drop(one: CatalogObject) -> str:
    short = one.name.rsplit(".", 1)[-1]
    match one.kind:
        case "column" | "constraint":
            return f"ALTER TABLE {one.parent} DROP {one.kind.upper()} {short};"
        case "trigger" | "rule" | "policy":
            return f"DROP {one.kind.upper()} {short} ON {one.parent};"
        case "sequence value" | "database" | "database setting" | "default privileges" | "large object":
            return f"-- look at {one.kind} {one.name} on the target"
        case "cast":
            return f"DROP CAST ({one.name});"
    return f"DROP {one.kind.upper()} {one.name};"


def _alter(one: CatalogObject, name: str, value: Any, target: CatalogObject | None) -> str:
    """The statement that sets one attribute; empty when only dropping and creating will do."""
    short = one.name.rsplit(".", 1)[-1]
    if name == "owner":
        return f"ALTER {_word(one.kind)} {one.name.removeprefix('large object ')} OWNER TO {value};"
    if name == "comment":
        return _comment(one, value)
    if name == "acl":
        return _grants(one, value, target)
    match one.kind, name:
        case "column", "type":
            return f"ALTER TABLE {one.parent} ALTER COLUMN {short} TYPE {value} USING {short}::{value};"
        case "column", "collation":
            collate = f" COLLATE {value}" if value else ' COLLATE pg_catalog."default"'
            return f"ALTER TABLE {one.parent} ALTER COLUMN {short} TYPE {one.attributes['type']}{collate};"
        case "column", "not null":
            return f"ALTER TABLE {one.parent} ALTER COLUMN {short} {'SET' if value else 'DROP'} NOT NULL;"
        case "column", "default":
            change = f"SET DEFAULT {value}" if value else "DROP DEFAULT"
            return f"ALTER TABLE {one.parent} ALTER COLUMN {short} {change};"
        case "column", "identity":
            change = f"ADD GENERATED {str(value).upper()} AS IDENTITY" if value else "DROP IDENTITY"
            return f"ALTER TABLE {one.parent} ALTER COLUMN {short} {change};"
        case "column", "statistics":
            return f"ALTER TABLE {one.parent} ALTER COLUMN {short} SET STATISTICS {-1 if value is None else value};"
        case "constraint", "validated":
            return f"ALTER TABLE {one.parent} VALIDATE CONSTRAINT {short};" if value else ""
        case "constraint", "triggers disabled":
            return f"ALTER TABLE {one.parent} {'DISABLE' if value else 'ENABLE'} TRIGGER ALL;"
        case "index", "valid":
            return f"REINDEX INDEX {one.name};"
        case "table", "persistence":
            return f"ALTER TABLE {one.name} SET {'UNLOGGED' if value == 'unlogged' else 'LOGGED'};"
        case "table", "replica identity":
            return f"ALTER TABLE {one.name} REPLICA IDENTITY {_identity(str(value))};"
        case "table", "row security":
            return f"ALTER TABLE {one.name} {'ENABLE' if value else 'DISABLE'} ROW LEVEL SECURITY;"
        case "table", "row security forced":
            return f"ALTER TABLE {one.name} {'FORCE' if value else 'NO FORCE'} ROW LEVEL SECURITY;"
        case (("table" | "view" | "materialized view"), "options"):
            return _options(one, value, target)
        case "table", ("partition bound" | "inherits"):
            return _attach(one)
        case "sequence", "owned by":
            return f"ALTER SEQUENCE {one.name} OWNED BY {value or 'NONE'};"
        case "sequence", _:
            return f"ALTER SEQUENCE {one.name} {_sequence(one.attributes)};"
        case "sequence value", _:
            return _setval(one)
        case "materialized view", "populated":
            return f"REFRESH MATERIALIZED VIEW {one.name}{'' if value else ' WITH NO DATA'};"
        case (("view" | "function"), "definition"):
            definition = str(one.attributes["definition"]).strip()
            return f"CREATE OR REPLACE VIEW {one.name} AS {definition}" if one.kind == "view" else f"{definition};"
        case (("trigger" | "rule"), "enabled"):
            word = {"enabled": "ENABLE", "disabled": "DISABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}
            return f"ALTER TABLE {one.parent} {word[str(value)]} {one.kind.upper()} {short};"
        case "extension", "version":
            if target is not None and version(target.attributes["version"]) > version(value):
                return "-- nothing to do: the target's major brings a newer version of the extension"
            return f"ALTER EXTENSION {one.name} UPDATE TO {_literal(value)};  -- where the target offers it"
        case "type", "labels":
            return _labels(one, value, target)
        case "database setting", _:
            return _create(one)
        case "database", _:
            return "-- create the target database with the source's ENCODING and LOCALE, then restore again"
    return ""


def _word(kind: str) -> str:
    return {"event trigger": "EVENT TRIGGER"}.get(kind, kind.upper())


def _comment(one: CatalogObject, value: Any) -> str:
    text = _literal(value) if value else "NULL"
    if one.kind in ("constraint", "trigger", "rule", "policy"):
        return f"COMMENT ON {one.kind.upper()} {one.name.rsplit('.', 1)[-1]} ON {one.parent} IS {text};"
    return f"COMMENT ON {one.kind.upper()} {one.name.removeprefix('large object ')} IS {text};"


def _grants(one: CatalogObject, value: Any, target: CatalogObject | None) -> str:
    wanted, held = set(value or ()), set((target.attributes.get("acl") if target else None) or ())
    whom = {"table": "TABLE", "view": "TABLE", "materialized view": "TABLE", "column": "TABLE"}
    on = f"{whom.get(one.kind, one.kind.upper())} {one.name.removeprefix('large object ')}"
    lines = []
    for line, verb, to in [(x, "GRANT", "TO") for x in sorted(wanted - held)] + [
        (x, "REVOKE", "FROM") for x in sorted(held - wanted)
    ]:
        role, _, privilege = line.partition(" ")
        if role == "owner":
            lines.append(f"-- the owner {line.removeprefix('owner ')} on {on}")
            continue
        option = " WITH GRANT OPTION" if privilege.endswith(" WITH GRANT OPTION") and verb == "GRANT" else ""
        privilege = privilege.removesuffix(" WITH GRANT OPTION")
        if one.kind == "column":
            column, on = one.name.rsplit(".", 1)[-1], f"TABLE {one.parent}"
            privilege = f"{privilege} ({column})"
        lines.append(f"{verb} {privilege} ON {on} {to} {role}{option};")
    return "\n".join(lines)


def _options(one: CatalogObject, value: Any, target: CatalogObject | None) -> str:
    wanted = dict(str(o).split("=", 1) for o in value or ())
    held = dict(str(o).split("=", 1) for o in (target.attributes.get("options") if target else None) or ())
    kind = one.kind.upper()
    lines = []
    if change := [f"{k} = {v}" for k, v in wanted.items() if held.get(k) != v]:
        lines.append(f"ALTER {kind} {one.name} SET ({', '.join(change)});")
    if gone := [k for k in held if k not in wanted]:
        lines.append(f"ALTER {kind} {one.name} RESET ({', '.join(gone)});")
    return "\n".join(lines)


def _attach(one: CatalogObject) -> str:
    parents, bound = one.attributes.get("inherits") or [], one.attributes.get("partition bound")
    if bound and parents:
        return f"ALTER TABLE {parents[0]} ATTACH PARTITION {one.name} {bound};"
    if parents:
        return "\n".join(f"ALTER TABLE {one.name} INHERIT {parent};" for parent in parents)
    return f"-- detach {one.name} from its parent on the target"


def _identity(value: str) -> str:
    return (
        f"USING INDEX {value.removeprefix('index ').rsplit('.', 1)[-1]}"
        if value.startswith("index ")
        else value.upper()
    )


def _sequence(has: Mapping[str, Any]) -> str:
    return (
        f"INCREMENT BY {has['increment']} MINVALUE {has['minimum']} MAXVALUE {has['maximum']} "
        f"START WITH {has['start']} CACHE {has['cache']} {'CYCLE' if has['cycle'] else 'NO CYCLE'}"
    )


def _setval(one: CatalogObject) -> str:
    has = one.attributes
    return f"SELECT setval({_literal(one.name)}, {has['last value']}, {str(has['called']).lower()});"


def _policy(one: CatalogObject) -> str:
    has = one.attributes
    using = f" USING ({has['using']})" if has.get("using") else ""
    check = f" WITH CHECK ({has['check']})" if has.get("check") else ""
    kind = "PERMISSIVE" if has["permissive"] else "RESTRICTIVE"
    name = one.name.rsplit(".", 1)[-1]
    roles = ", ".join(has["roles"])
    return f"CREATE POLICY {name} ON {one.parent} AS {kind} FOR {has['command']} TO {roles}{using}{check};"


def _type(one: CatalogObject) -> str:
    has = one.attributes
    if has["kind"] == "enum":
        return f"CREATE TYPE {one.name} AS ENUM ({', '.join(map(_literal, has['labels'] or []))});"
    if has["kind"] == "composite":
        return f"CREATE TYPE {one.name} AS ({', '.join(has['attributes'] or [])});"
    if has["kind"] == "domain":
        checks = "".join(f" CONSTRAINT {name} {text}" for name, text in (has["constraints"] or {}).items())
        return f"CREATE DOMAIN {one.name} AS {has['base']}{' NOT NULL' if has['not null'] else ''}{checks};"
    return f"-- restore type {one.name} from the dump"


def _labels(one: CatalogObject, value: Any, target: CatalogObject | None) -> str:
    wanted, held = list(value or ()), list((target.attributes.get("labels") if target else None) or ())
    lines = []
    for number, label in enumerate(wanted):
        if label not in held:
            where = (
                f" AFTER {_literal(wanted[number - 1])}" if number else f" BEFORE {_literal(held[0])}" if held else ""
            )
            lines.append(f"ALTER TYPE {one.name} ADD VALUE {_literal(label)}{where};")
    return "\n".join(lines)


def _literal(value: Any) -> str:
    return sql.Literal(str(value)).as_string(None)
