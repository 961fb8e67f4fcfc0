"""Statements that set one attribute of a table, of a view or sequence, or of what depends on a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cutover.postgres.catalog.alteration import Alteration, column_statements, foreign, options
from cutover.postgres.catalog.clauses import TRIGGER_STATES, sequence_options
from cutover.postgres.catalog.statements import create


def _column(change: Alteration) -> str:
    one, value, held = change.one, change.value, change.held
    on = f"ALTER TABLE {one.parent} ALTER COLUMN {one.short}"
    match change.name:
        case "type" | "collation":
            return f"{on} TYPE {_column_type(change)};"
        case "not null":
            return f"{on} {'SET' if value else 'DROP'} NOT NULL;"
        case "not null validated" | "not null constraint" | "not null inherited":
            return _not_null(change)
        case "default":
            return f"{on} {f'SET DEFAULT {value}' if value else 'DROP DEFAULT'};"
        case "generated":
            again = f"ALTER TABLE {one.parent} DROP COLUMN {one.short};\n{create(one)}"
            return again if value else f"{on} DROP EXPRESSION;"
        case "identity":
            kind = str(value).upper()
            if value and held:
                return f"{on} SET GENERATED {kind};"
            return f"{on} ADD GENERATED {kind} AS IDENTITY;" if value else f"{on} DROP IDENTITY;"
        case "statistics":
            return f"{on} SET STATISTICS {-1 if value is None else value};"
        case "storage":
            return f"{on} SET STORAGE {str(value or 'default').upper()};"
        case "compression":
            return f"{on} SET COMPRESSION {value or 'default'};"
        case "options":
            return options(on, change)
        case "foreign options":
            return f"{on} OPTIONS ({foreign(change)});".replace("TABLE", "FOREIGN TABLE", 1)
    return ""


def _column_type(change: Alteration) -> str:
    one, has = change.one, change.has
    if change.name == "collation":
        return f"{has['type']} COLLATE {has['collation'] or _default_collation(has['type'])}"
    collate = f" COLLATE {has['collation']}" if has["collation"] else ""
    return f"{has['type']}{collate} USING {one.short}::{has['type']}"


def _default_collation(kind: str) -> str:
    """The collation that a column of this type has when none is named."""
    return 'pg_catalog."C"' if kind == "name" else 'pg_catalog."default"'


def _not_null(change: Alteration) -> str:
    """Of the constraint that a column's NOT NULL is since PostgreSQL 18."""
    one, value, held = change.one, change.value, change.held
    if change.name == "not null constraint":
        return f"ALTER TABLE {one.parent} RENAME CONSTRAINT {held} TO {value};" if value and held else ""
    constraint = (change.target or one).attributes["not null constraint"]
    if change.name == "not null inherited":
        return f"ALTER TABLE {one.parent} ALTER CONSTRAINT {constraint} {'' if value else 'NO '}INHERIT;"
    return f"ALTER TABLE {one.parent} VALIDATE CONSTRAINT {constraint};" if value else "-- nothing to fix"


def _constraint(change: Alteration) -> str:
    one, value = change.one, change.value
    match change.name:
        case "validated" if value:
            return f"ALTER TABLE {one.parent} VALIDATE CONSTRAINT {one.short};"
        case "triggers disabled":
            return f"ALTER TABLE {one.parent} {'DISABLE' if value else 'ENABLE'} TRIGGER ALL;"
    return ""


def _index(change: Alteration) -> str:
    one, value = change.one, change.value
    match change.name:
        case "valid":
            return f"REINDEX INDEX {one.name};" if value else "-- nothing to fix: the source's index is the broken one"
        case "clustered":
            tail = f"CLUSTER ON {one.name.rpartition('.')[2]}" if value else "SET WITHOUT CLUSTER"
            return f"ALTER TABLE {one.parent} {tail};"
        case "statistics":
            targets = {**dict.fromkeys(change.held or {}, -1), **(value or {})}
            return "\n".join(f"ALTER INDEX {one.name} ALTER COLUMN {n} SET STATISTICS {v};" for n, v in targets.items())
        case "attached to" if value:
            return f"ALTER INDEX {value} ATTACH PARTITION {one.name};"
    return ""


def _table(change: Alteration) -> str:
    one, value = change.one, change.value
    table = f"ALTER TABLE {one.name}"
    match change.name:
        case "persistence":
            return f"{table} SET {'UNLOGGED' if value == 'unlogged' else 'LOGGED'};"
        case "replica identity":
            using = str(value).removeprefix("index ")
            return f"{table} REPLICA IDENTITY {f'USING INDEX {using}' if using != value else str(value).upper()};"
        case "row security":
            return f"{table} {'ENABLE' if value else 'DISABLE'} ROW LEVEL SECURITY;"
        case "row security forced":
            return f"{table} {'FORCE' if value else 'NO FORCE'} ROW LEVEL SECURITY;"
        case "options":
            return options(table, change)
        case "toast options":
            return options(table, change, "toast.")
        case "partition bound" | "inherits":
            return _parents(change)
        case "access method":
            return f"{table} SET ACCESS METHOD {value};"
        case "of type":
            return f"{table} {f'OF {value}' if value else 'NOT OF'};"
        case "foreign options":
            return f"ALTER FOREIGN TABLE {one.name} OPTIONS ({foreign(change)});"
        case "column order":
            return "-- nothing to do unless a statement names no columns: the order of columns cannot be changed"
    return f"-- another kind of table: drop {one.name} on the target, then\n{create(one)}"


def _parents(change: Alteration) -> str:
    one, target = change.one, change.target
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


def _sequence(change: Alteration) -> str:
    one, value = change.one, change.value
    match change.name:
        case "owned by":
            return f"ALTER SEQUENCE {one.name} OWNED BY {value or 'NONE'};"
        case "persistence":
            return f"ALTER SEQUENCE {one.name} SET {'UNLOGGED' if value == 'unlogged' else 'LOGGED'};"
    return f"ALTER SEQUENCE {one.name} AS {change.has['type']} {sequence_options(change.has)};"


def _sequence_value(change: Alteration) -> str:
    return create(change.one)


def _view(change: Alteration) -> str:
    one, target = change.one, change.target
    if change.name == "definition" and target and change.has["columns"] == target.attributes["columns"]:
        return create(one).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)
    return _any_view(change)


def _materialized_view(change: Alteration) -> str:
    if change.name == "populated":
        return f"REFRESH MATERIALIZED VIEW {change.one.name}{'' if change.value else ' WITH NO DATA'};"
    return _any_view(change)


def _any_view(change: Alteration) -> str:
    one = change.one
    match change.name:
        case "options":
            return options(f"ALTER {one.kind.upper()} {one.name}", change)
        case "on columns":
            return "\n".join(column_statements(one, change.value or {}, change.held or {}))
    return ""


def _trigger(change: Alteration) -> str:
    one = change.one
    if change.name == "enabled":
        return f"ALTER TABLE {one.parent} {TRIGGER_STATES[str(change.value)]} {one.kind.upper()} {one.short};"
    return ""


def _policy(change: Alteration) -> str:
    alter = f"ALTER POLICY {change.one.short} ON {change.one.parent}"
    match change.name:
        case "using" if change.value:
            return f"{alter} USING ({change.value});"
        case "check" if change.value:
            return f"{alter} WITH CHECK ({change.value});"
        case "roles":
            return f"{alter} TO {', '.join(change.value)};"
    return ""


def _statistics(change: Alteration) -> str:
    if change.name == "target":
        return f"ALTER STATISTICS {change.one.name} SET STATISTICS {-1 if change.value is None else change.value};"
    return ""


RELATIONS: Mapping[str, Callable[[Alteration], str]] = {
    "column": _column,
    "constraint": _constraint,
    "index": _index,
    "materialized view": _materialized_view,
    "policy": _policy,
    "rule": _trigger,
    "sequence": _sequence,
    "sequence value": _sequence_value,
    "statistics": _statistics,
    "table": _table,
    "trigger": _trigger,
    "view": _view,
}
"""By kind of object; each gives an empty text where only dropping and creating will do."""
