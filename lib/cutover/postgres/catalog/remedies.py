"""The SQL that brings the target's object to what the source has; a comment where no statement can be given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from cutover.postgres.catalog.grants import (
    changes,
    default_privileges,
    grants,
    grants_beside,
    named_in_grant,
    statement,
    word,
)
from cutover.postgres.catalog.model import CatalogObject
from cutover.postgres.catalog.statements import (
    ROLE_WORDS,
    create,
    foreign_options,
    literal,
    mappings,
    membership,
    publication_options,
    published,
    sequence_options,
)


def remedy(
    one: CatalogObject,
    problem: str,
    changed: tuple[str, ...] = (),
    target: CatalogObject | None = None,
    database: str = "",
    roles: Collection[str] = (),
) -> str:
    """SQL to run on the target.

    Args:
        one: the object as the source has it (for `extra`: as the target has it).
        problem: `missing`, `extra` or `different`.
        changed: for `different`, the attributes that differ.
        target: for `different`, the object as the target has it.
        database: the target database's name, quoted.
        roles: of the target, to which an object can be given; empty where they are not known.
    """
    one = _without_absent_owner(one, roles)
    if problem == "extra":
        return f"-- only if it is not meant to be there:\n{drop(one, database)}"
    if problem == "missing":
        if one.kind == "default privileges":
            return "\n".join(default_privileges(one, one.attributes["grants"] or (), ()))
        if one.kind == "grant beside":
            return "\n".join(grants_beside(one, one.attributes["grants"], ()))
        return "\n".join([create(one, database), *_dress(one)])
    lines = [_alter(one, name, one.attributes.get(name), target, database) for name in changed]
    if all(lines):
        return "\n".join(dict.fromkeys(lines))
    return "\n".join([drop(target or one, database), create(one, database), *_dress(one)])


def _without_absent_owner(one: CatalogObject, roles: Collection[str]) -> CatalogObject:
    """The object, without its owner where the target has no such role."""
    gone = {
        key: None
        for key in ("owner", "belongs to")
        if (role := str(one.attributes.get(key) or "")) and roles and not role.startswith("pg_") and role not in roles
    }
    return replace(one, attributes={**one.attributes, **gone}) if gone else one


def version(text: Any) -> tuple[int, ...]:
    """`1.10` as (1, 10), so that it is newer than `1.9`."""
    return tuple(int(part) for part in re.findall(r"\d+", str(text)))


def drop(one: CatalogObject, database: str = "") -> str:
    """SQL that removes it; a comment where that is for a person to think about."""
    has = one.attributes
    match one.kind:
        case "column" | "constraint":
            return f"ALTER TABLE {one.parent} DROP {one.kind.upper()} {one.short};"
        case "trigger" | "rule" | "policy":
            return f"DROP {one.kind.upper()} {one.short} ON {one.parent};"
        case "sequence value" | "database" | "large object" | "subscription" | "tablespace" | "table":
            return f"-- look at {one.kind} {one.name} on the target before it is dropped"
        case "default privileges":
            return "\n".join(default_privileges(one, (), has["grants"] or ()))
        case "grant beside":
            return "\n".join(grants_beside(one, (), has["grants"]))
        case "cast":
            return f"DROP CAST ({one.name});"
        case "user mapping":
            return f"DROP USER MAPPING FOR {one.name};"
        case "database setting":
            whom = f"ROLE {has['role']} IN DATABASE {database}" if has["role"] else f"DATABASE {database}"
            return f"ALTER {whom} RESET {has['name']};"
        case "role setting":
            return f"ALTER ROLE {has['role']} RESET {has['name']};"
        case "role membership":
            return f"REVOKE {has['role']} FROM {has['member']};"
        case "security label":
            return create(CatalogObject(one.kind, one.name, "", {**has, "label": ""}), database).replace("''", "NULL")
        case "function":
            return f"DROP ROUTINE {one.name};"
    return f"DROP {word(one.kind)} {one.name};"


def _dress(one: CatalogObject) -> Iterable[str]:
    """What a statement that makes an object leaves out of it."""
    has = one.attributes
    if has.get("kind") == "shell":
        return
    for name in ("owner", "comment", "enabled", "target", "clustered", "statistics", "attached to", "owned by"):
        value = has.get(name)
        if one.kind in ("table", "column", "extension") or value in (None, [], {}, False, "enabled", "default"):
            continue
        if line := _alter(one, name, value, None, ""):
            yield line
    if "acl" in has and one.kind not in ("table", "column"):
        # Said in full, for default privileges on the target may have given or taken some.
        public = any(str(line).startswith("PUBLIC ") for line in has["acl"])
        yield from [] if public else [f"REVOKE ALL ON {named_in_grant(one)} FROM PUBLIC;"]
        yield from grants(one, has["acl"], ())
    if one.kind == "constraint" and has.get("triggers disabled"):
        yield _alter(one, "triggers disabled", True, None, "")
    if beside := has.get("on columns"):
        yield from _beside_columns(one, beside)


def _alter(  # noqa: PLR0915 - a case for each attribute
    one: CatalogObject, name: str, value: Any, target: CatalogObject | None, database: str
) -> str:
    """The statement that sets one attribute; empty when only dropping and creating will do."""
    on = f"ALTER TABLE {one.parent} ALTER COLUMN {one.short}"
    table = f"ALTER TABLE {one.name}"
    has = one.attributes
    held = target.attributes.get(name) if target else None
    if name == "owner":
        to = f"ALTER {word(one.kind)} {one.name} OWNER TO {value};"
        return to if value else f"-- {word(one.kind)} {one.name}: its owner on the source is no role of the target"
    if name == "comment":
        return _comment(one, value)
    if name == "acl":
        return "\n".join(grants(one, value, held))
    if name == "tablespace" and one.kind in ("table", "index", "materialized view"):
        return f"ALTER {one.kind.upper()} {one.name} SET TABLESPACE {value or 'pg_default'};"
    match one.kind, name:
        case "column", "type" | "collation":
            collate = f" COLLATE {has['collation'] or pg_default(has['type'])}" if name == "collation" else ""
            collate = collate or (f" COLLATE {has['collation']}" if has["collation"] else "")
            using = f" USING {one.short}::{has['type']}" if name == "type" else ""
            return f"{on} TYPE {has['type']}{collate}{using};"
        case "column", "not null":
            return f"{on} {'SET' if value else 'DROP'} NOT NULL;"
        case "column", "not null validated":
            constraint = (target or one).attributes["not null constraint"]
            return f"ALTER TABLE {one.parent} VALIDATE CONSTRAINT {constraint};" if value else "-- nothing to mend"
        case "column", "not null constraint" if value and held:
            return f"ALTER TABLE {one.parent} RENAME CONSTRAINT {held} TO {value};"
        case "column", "not null inherited":
            constraint = (target or one).attributes["not null constraint"]
            return f"ALTER TABLE {one.parent} ALTER CONSTRAINT {constraint} {'' if value else 'NO '}INHERIT;"
        case "column", "default":
            return f"{on} {f'SET DEFAULT {value}' if value else 'DROP DEFAULT'};"
        case "column", "generated":
            again = f"ALTER TABLE {one.parent} DROP COLUMN {one.short};\n{create(one)}"
            return again if value else f"{on} DROP EXPRESSION;"
        case "column", "identity":
            kind = str(value).upper()
            if value and held:
                return f"{on} SET GENERATED {kind};"
            return f"{on} ADD GENERATED {kind} AS IDENTITY;" if value else f"{on} DROP IDENTITY;"
        case "column", "statistics":
            return f"{on} SET STATISTICS {-1 if value is None else value};"
        case "column", "storage":
            return f"{on} SET STORAGE {str(value or 'default').upper()};"
        case "column", "compression":
            return f"{on} SET COMPRESSION {value or 'default'};"
        case "column", "options":
            return "\n".join(_settings(on, value, held))
        case "column", "foreign options":
            return f"{on} OPTIONS ({_foreign(value, held)});".replace("TABLE", "FOREIGN TABLE", 1)
        case "constraint", "validated":
            return f"ALTER TABLE {one.parent} VALIDATE CONSTRAINT {one.short};" if value else ""
        case "constraint", "triggers disabled":
            return f"ALTER TABLE {one.parent} {'DISABLE' if value else 'ENABLE'} TRIGGER ALL;"
        case "index", "valid":
            return f"REINDEX INDEX {one.name};" if value else "-- nothing to mend: the source's index is the broken one"
        case "index", "clustered":
            tail = f"CLUSTER ON {one.name.rpartition('.')[2]}" if value else "SET WITHOUT CLUSTER"
            return f"ALTER TABLE {one.parent} {tail};"
        case "index", "statistics":
            columns = {**dict.fromkeys(held or {}, -1), **(value or {})}
            return "\n".join(f"ALTER INDEX {one.name} ALTER COLUMN {n} SET STATISTICS {v};" for n, v in columns.items())
        case "index", "attached to" if value:
            return f"ALTER INDEX {value} ATTACH PARTITION {one.name};"
        case "table", "persistence":
            return f"{table} SET {'UNLOGGED' if value == 'unlogged' else 'LOGGED'};"
        case "table", "replica identity":
            using = str(value).removeprefix("index ")
            return f"{table} REPLICA IDENTITY {f'USING INDEX {using}' if using != value else str(value).upper()};"
        case "table", "row security":
            return f"{table} {'ENABLE' if value else 'DISABLE'} ROW LEVEL SECURITY;"
        case "table", "row security forced":
            return f"{table} {'FORCE' if value else 'NO FORCE'} ROW LEVEL SECURITY;"
        case (("table" | "view" | "materialized view"), "options"):
            return "\n".join(_settings(f"ALTER {one.kind.upper()} {one.name}", value, held))
        case "table", "toast options":
            wanted, there = ([f"toast.{option}" for option in given or ()] for given in (value, held))
            return "\n".join(_settings(table, wanted, there))
        case "table", ("partition bound" | "inherits"):
            return _attach(one, target)
        case "table", "access method":
            return f"{table} SET ACCESS METHOD {value};"
        case "table", "of type":
            return f"{table} {f'OF {value}' if value else 'NOT OF'};"
        case "table", "foreign options":
            return f"ALTER FOREIGN TABLE {one.name} OPTIONS ({_foreign(value, held)});"
        case "table", "column order":
            return "-- nothing to do unless a statement names no columns: the order of columns cannot be changed"
        case "table", _:
            return f"-- another kind of table: drop {one.name} on the target, then\n{create(one)}"
        case "sequence", "owned by":
            return f"ALTER SEQUENCE {one.name} OWNED BY {value or 'NONE'};"
        case "sequence", "persistence":
            return f"ALTER SEQUENCE {one.name} SET {'UNLOGGED' if value == 'unlogged' else 'LOGGED'};"
        case "sequence", _:
            return f"ALTER SEQUENCE {one.name} AS {has['type']} {sequence_options(has)};"
        case "sequence value", _:
            return create(one)
        case "materialized view", "populated":
            return f"REFRESH MATERIALIZED VIEW {one.name}{'' if value else ' WITH NO DATA'};"
        case (("view" | "materialized view"), "on columns"):
            return "\n".join(_beside_columns(one, value or {}, held or {}))
        case "view", "definition" if target and has["columns"] == target.attributes["columns"]:
            return create(one).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
        case "function", "definition" if target and has["kind"] == target.attributes["kind"]:
            return create(one)
        case (("trigger" | "rule"), "enabled"):
            return f"ALTER TABLE {one.parent} {_ENABLE[str(value)]} {one.kind.upper()} {one.short};"
        case "event trigger", "enabled":
            return f"ALTER EVENT TRIGGER {one.name} {_ENABLE[str(value)]};"
        case "statistics", "target":
            return f"ALTER STATISTICS {one.name} SET STATISTICS {-1 if value is None else value};"
        case "extension", "version":
            if target is not None and version(target.attributes["version"]) > version(value):
                return "-- nothing to do: the target's major brings a newer version of the extension"
            return f"ALTER EXTENSION {one.name} UPDATE TO {literal(value)};  -- where the target offers it"
        case "extension", "schema":
            return f"ALTER EXTENSION {one.name} SET SCHEMA {value};"
        case "type", _:
            return _type(one, name, value, held)
        case "aggregate", _ if target and has["kind"] == target.attributes["kind"]:
            # CREATE OR REPLACE refuses another state type only where a final function depends on it.
            return create(one)
        case "policy", ("using" | "check") if value:
            return f"ALTER POLICY {one.short} ON {one.parent} {'USING' if name == 'using' else 'WITH CHECK'} ({value});"
        case "policy", "roles":
            return f"ALTER POLICY {one.short} ON {one.parent} TO {', '.join(value)};"
        case "text search dictionary", "options" if value:
            return f"ALTER TEXT SEARCH DICTIONARY {one.name} ({value});"
        case "text search configuration", "mappings":
            return "\n".join(mappings(one.name, value or {}, held or {}))
        case "publication", ("tables" | "schemas") if target and published(has):
            if not target.attributes["all tables"]:
                return f"ALTER PUBLICATION {one.name} SET {published(has)};"
        case "publication", ("publish" | "via root"):
            return f"ALTER PUBLICATION {one.name} SET ({publication_options(has)});"
        case "subscription", "enabled":
            return f"ALTER SUBSCRIPTION {one.name} {'ENABLE' if value else 'DISABLE'};"
        case "subscription", "connection":
            return f"-- ALTER SUBSCRIPTION {one.name} CONNECTION '…';  on the source it is {' '.join(value or ())}"
        case "subscription", _:
            return f"-- ALTER SUBSCRIPTION {one.name}: {name} is {value} on the source"
        case (("foreign server" | "foreign data wrapper"), "options"):
            return f"ALTER {word(one.kind)} {one.name} OPTIONS ({_foreign(value, held)});"
        case "user mapping", "options":
            return f"ALTER USER MAPPING FOR {one.name} OPTIONS ({_foreign(value, held)});"
        case "default privileges", _:
            return "\n".join(default_privileges(one, value or (), held or ()))
        case "grant beside", _:
            return "\n".join(grants_beside(one, value or (), held or ()))
        case (("database setting" | "role setting" | "security label"), _):
            return create(one, database)
        case "role", "password":
            return f"-- \\password {one.name}  in psql, with the password that the application has"
        case "role", "comment":
            return f"COMMENT ON ROLE {one.name} IS {literal(value) if value else 'NULL'};"
        case "role", "connection limit":
            return f"ALTER ROLE {one.name} CONNECTION LIMIT {-1 if value is None else value};"
        case "role", "valid until":
            when = f"to_timestamp({value})" if value else "'infinity'"
            return f"-- ALTER ROLE {one.name} VALID UNTIL …;  the source's ends at {when}"
        case "role", _:
            return f"ALTER ROLE {one.name} {'' if value else 'NO'}{ROLE_WORDS[name]};"
        case "role membership", _:
            return f"GRANT {has['role']} TO {has['member']}{membership(has)};"
        case "database", _:
            return _database(name, value, held, database)
        case "large object", _:
            return "-- look at the ranges of large objects, then restore them from the dump"
    return ""


_ENABLE = {"enabled": "ENABLE", "disabled": "DISABLE", "replica": "ENABLE REPLICA", "always": "ENABLE ALWAYS"}


def pg_default(kind: str) -> str:
    """The collation that a column of this type has when none is named."""
    return 'pg_catalog."C"' if kind == "name" else 'pg_catalog."default"'


def _comment(one: CatalogObject, value: Any) -> str:
    text = literal(value) if value else "NULL"
    if one.kind in ("constraint", "trigger", "rule", "policy"):
        return f"COMMENT ON {one.kind.upper()} {one.short} ON {one.parent} IS {text};"
    name = f"({one.name})" if one.kind == "cast" else one.name
    return f"COMMENT ON {word(one.kind)} {name} IS {text};"


def _beside_columns(one: CatalogObject, wanted: Mapping[str, Any], held: Mapping[str, Any] | None = None) -> list[str]:
    """Statements for what hangs on a view's columns."""
    lines = []
    held = held or {}
    for column in sorted(wanted.keys() | held.keys()):
        want, have = wanted.get(column, {}), held.get(column, {})
        on = f"ALTER {one.kind.upper()} {one.name} ALTER COLUMN {column}"
        if want.get("default") != have.get("default"):
            lines.append(f"{on} {'SET DEFAULT ' + want['default'] if want.get('default') else 'DROP DEFAULT'};")
        if want.get("comment") != have.get("comment"):
            text = literal(want["comment"]) if want.get("comment") else "NULL"
            lines.append(f"COMMENT ON COLUMN {one.name}.{column} IS {text};")
        if want.get("statistics") != have.get("statistics"):
            lines.append(f"{on} SET STATISTICS {want.get('statistics', -1)};")
        for verb, role, privilege, option in changes(want.get("grants", ()), have.get("grants", ())):
            lines.append(statement(verb, role, f"{privilege} ({column})", option, f"TABLE {one.name}"))
    return lines


def _settings(start: str, value: Any, held: Any) -> Iterable[str]:
    wanted, there = (dict(str(o).split("=", 1) for o in options or ()) for options in (value, held))
    if change := [f"{k} = {v}" for k, v in wanted.items() if there.get(k) != v]:
        yield f"{start} SET ({', '.join(change)});"
    if gone := [k for k in there if k not in wanted]:
        yield f"{start} RESET ({', '.join(gone)});"


def _foreign(value: Any, held: Any) -> str:
    wanted, there = (dict(str(o).split("=", 1) for o in options or ()) for options in (value, held))
    parts = [f"{'SET' if k in there else 'ADD'} {k} {literal(v)}" for k, v in wanted.items() if there.get(k) != v]
    return ", ".join(parts + [f"DROP {k}" for k in there if k not in wanted]) or foreign_options(value)


def _attach(one: CatalogObject, target: CatalogObject | None) -> str:
    parents, bound = one.attributes.get("inherits") or [], one.attributes.get("partition bound")
    now = (target.attributes.get("inherits") if target else None) or []
    held = target.attributes.get("partition bound") if target else None
    lines = []
    if held and now:
        lines.append(f"ALTER TABLE {now[0]} DETACH PARTITION {one.name};")
    elif not bound:
        lines += [f"ALTER TABLE {one.name} NO INHERIT {parent};" for parent in now if parent not in parents]
    if bound and parents:
        lines.append(f"ALTER TABLE {parents[0]} ATTACH PARTITION {one.name} {bound};")
    else:
        lines += [f"ALTER TABLE {one.name} INHERIT {parent};" for parent in parents if parent not in now]
    return "\n".join(lines)


def _type(one: CatalogObject, name: str, value: Any, held: Any) -> str:
    alter = f"ALTER {'DOMAIN' if one.attributes['kind'] == 'domain' else 'TYPE'} {one.name}"
    match name:
        case "labels":
            return _labels(one, list(value or ()), list(held or ()))
        case "constraints":
            want, have = value or {}, held or {}
            lines = [f"{alter} DROP CONSTRAINT {k};" for k in have if want.get(k) != have[k]]
            again = {k: v for k, v in want.items() if have.get(k) != v}
            said = {k: v for k, v in (one.attributes["constraint comments"] or {}).items() if k in again}
            lines += [f"{alter} ADD CONSTRAINT {k} {v};" for k, v in again.items()]
            return "\n".join([*lines, _type(one, "constraint comments", said, None)] if said else lines)
        case "not null" if one.attributes["kind"] == "domain":
            return f"{alter} {'SET' if value else 'DROP'} NOT NULL;"
        case "default" if one.attributes["kind"] == "domain":
            return f"{alter} {f'SET DEFAULT {value}' if value else 'DROP DEFAULT'};"
        case "constraint comments":
            return (
                "\n".join(
                    f"COMMENT ON CONSTRAINT {k} ON DOMAIN {one.name} IS {literal(v)};" for k, v in (value or {}).items()
                )
                or "-- a comment more on the target"
            )
        case "on attributes":
            return "\n".join(_beside_columns(one, value or {}, held or {}))
        case "attributes":
            want, have = (dict(str(a).split(" ", 1) for a in given or ()) for given in (value, held))
            lines = [f"{alter} DROP ATTRIBUTE {k};" for k in have if k not in want]
            lines += [f"{alter} ADD ATTRIBUTE {k} {v} CASCADE;" for k, v in want.items() if k not in have]
            lines += [f"{alter} ALTER ATTRIBUTE {k} TYPE {v} CASCADE;" for k, v in want.items() if have.get(k, v) != v]
            return "\n".join(lines)
    return ""


def _labels(one: CatalogObject, wanted: list[str], held: list[str]) -> str:
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


def _database(name: str, value: Any, held: Any, database: str) -> str:
    match name:
        case "belongs to":
            to = f"ALTER DATABASE {database} OWNER TO {value};"
            return to if value else "-- the owner of the source's database is no role of the target"
        case "described as":
            return f"COMMENT ON DATABASE {database} IS {literal(value) if value else 'NULL'};"
        case "connection limit":
            return f"ALTER DATABASE {database} CONNECTION LIMIT {-1 if value is None else value};"
        case "grants":
            return "\n".join(
                statement(*change, f"DATABASE {database}")
                for change in changes(value or (), held or ())
                if change[1] != "owner without"
            )
    return "-- create the target database with the source's ENCODING and LOCALE, then restore again"
