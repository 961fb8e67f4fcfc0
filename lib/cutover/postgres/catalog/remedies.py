"""The SQL that brings the target's object to what the source has; a comment where no statement can be given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from cutover.postgres.catalog.alter_code import CODE
from cutover.postgres.catalog.alter_relations import RELATIONS
from cutover.postgres.catalog.alter_server import SERVER
from cutover.postgres.catalog.alteration import Alteration, column_statements
from cutover.postgres.catalog.clauses import literal
from cutover.postgres.catalog.grants import default_privileges, grants, grants_beside, named_in_grant, word
from cutover.postgres.catalog.model import CatalogObject
from cutover.postgres.catalog.statements import create


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
        return "\n".join([create(one, database), *_attributes_after_create(one)])
    lines = [_alter(Alteration(one, name, one.attributes.get(name), target, database)) for name in changed]
    if all(lines):
        return "\n".join(dict.fromkeys(lines))
    return "\n".join([drop(target or one, database), create(one, database), *_attributes_after_create(one)])


def _without_absent_owner(one: CatalogObject, roles: Collection[str]) -> CatalogObject:
    """The object, without its owner where the target has no such role."""
    gone = {
        key: None
        for key in ("owner", "belongs to")
        if (role := str(one.attributes.get(key) or "")) and roles and not role.startswith("pg_") and role not in roles
    }
    return replace(one, attributes={**one.attributes, **gone}) if gone else one


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


def _attributes_after_create(one: CatalogObject) -> Iterable[str]:
    """What a statement that makes an object leaves out of it."""
    has = one.attributes
    if has.get("kind") == "shell":
        return
    for name in ("owner", "comment", "enabled", "target", "clustered", "statistics", "attached to", "owned by"):
        value = has.get(name)
        if one.kind in ("table", "column", "extension") or value in (None, [], {}, False, "enabled", "default"):
            continue
        if line := _alter(Alteration(one, name, value)):
            yield line
    if "acl" in has and one.kind not in ("table", "column"):
        # Said in full, for default privileges on the target may have given or taken some.
        public = any(str(line).startswith("PUBLIC ") for line in has["acl"])
        yield from [] if public else [f"REVOKE ALL ON {named_in_grant(one)} FROM PUBLIC;"]
        yield from grants(one, has["acl"], ())
    if one.kind == "constraint" and has.get("triggers disabled"):
        yield _alter(Alteration(one, "triggers disabled", True))
    if beside := has.get("on columns"):
        yield from column_statements(one, beside, {})


def _alter(change: Alteration) -> str:
    """The statement that sets one attribute; empty when only dropping and creating will do."""
    one, value = change.one, change.value
    match change.name:
        case "owner":
            to = f"ALTER {word(one.kind)} {one.name} OWNER TO {value};"
            return to if value else f"-- {word(one.kind)} {one.name}: its owner on the source is no role of the target"
        case "comment":
            return _comment(one, value)
        case "acl":
            return "\n".join(grants(one, value, change.held))
        case "tablespace" if one.kind in ("table", "index", "materialized view"):
            return f"ALTER {one.kind.upper()} {one.name} SET TABLESPACE {value or 'pg_default'};"
    alter = _BY_KIND.get(one.kind)
    return alter(change) if alter else ""


_BY_KIND: Mapping[str, Callable[[Alteration], str]] = {**RELATIONS, **CODE, **SERVER}


def _comment(one: CatalogObject, value: Any) -> str:
    text = literal(value) if value else "NULL"
    if one.kind in ("constraint", "trigger", "rule", "policy"):
        return f"COMMENT ON {one.kind.upper()} {one.short} ON {one.parent} IS {text};"
    name = f"({one.name})" if one.kind == "cast" else one.name
    return f"COMMENT ON {word(one.kind)} {name} IS {text};"
