"""Statements that set one attribute of a role, a database, a setting, replication, a foreign server, a privilege."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cutover.postgres.catalog.alteration import Alteration, foreign
from cutover.postgres.catalog.clauses import (
    ROLE_WORDS,
    TRIGGER_STATES,
    literal,
    membership,
    publication_options,
    published,
)
from cutover.postgres.catalog.grants import changes, default_privileges, grants_beside, statement, word
from cutover.postgres.catalog.statements import create


def _event_trigger(change: Alteration) -> str:
    if change.name == "enabled":
        return f"ALTER EVENT TRIGGER {change.one.name} {TRIGGER_STATES[str(change.value)]};"
    return ""


def _publication(change: Alteration) -> str:
    one, has, target = change.one, change.has, change.target
    match change.name:
        case "tables" | "schemas" if target and published(has) and not target.attributes["all tables"]:
            return f"ALTER PUBLICATION {one.name} SET {published(has)};"
        case "publish" | "via root":
            return f"ALTER PUBLICATION {one.name} SET ({publication_options(has)});"
    return ""


def _subscription(change: Alteration) -> str:
    one, value = change.one, change.value
    match change.name:
        case "enabled":
            return f"ALTER SUBSCRIPTION {one.name} {'ENABLE' if value else 'DISABLE'};"
        case "connection":
            return f"-- ALTER SUBSCRIPTION {one.name} CONNECTION '…';  on the source it is {' '.join(value or ())}"
    return f"-- ALTER SUBSCRIPTION {one.name}: {change.name} is {value} on the source"


def _foreign(change: Alteration) -> str:
    if change.name == "options":
        return f"ALTER {word(change.one.kind)} {change.one.name} OPTIONS ({foreign(change)});"
    return ""


def _user_mapping(change: Alteration) -> str:
    if change.name == "options":
        return f"ALTER USER MAPPING FOR {change.one.name} OPTIONS ({foreign(change)});"
    return ""


def _default_privileges(change: Alteration) -> str:
    return "\n".join(default_privileges(change.one, change.value or (), change.held or ()))


def _grant_beside(change: Alteration) -> str:
    return "\n".join(grants_beside(change.one, change.value or (), change.held or ()))


def _as_created(change: Alteration) -> str:
    return create(change.one, change.database)


def _role(change: Alteration) -> str:
    one, value = change.one, change.value
    match change.name:
        case "password":
            return f"-- \\password {one.name}  in psql, with the password that the application has"
        case "connection limit":
            return f"ALTER ROLE {one.name} CONNECTION LIMIT {-1 if value is None else value};"
        case "valid until":
            when = f"to_timestamp({value})" if value else "'infinity'"
            return f"-- ALTER ROLE {one.name} VALID UNTIL …;  the source's ends at {when}"
    return f"ALTER ROLE {one.name} {'' if value else 'NO'}{ROLE_WORDS[change.name]};"


def _role_membership(change: Alteration) -> str:
    return f"GRANT {change.has['role']} TO {change.has['member']}{membership(change.has)};"


def _database(change: Alteration) -> str:
    value, database = change.value, change.database
    match change.name:
        case "belongs to":
            to = f"ALTER DATABASE {database} OWNER TO {value};"
            return to if value else "-- the owner of the source's database is no role of the target"
        case "described as":
            return f"COMMENT ON DATABASE {database} IS {literal(value) if value else 'NULL'};"
        case "connection limit":
            return f"ALTER DATABASE {database} CONNECTION LIMIT {-1 if value is None else value};"
        case "grants":
            return "\n".join(
                statement(*one, f"DATABASE {database}")
                for one in changes(value or (), change.held or ())
                if one[1] != "owner without"
            )
    return "-- create the target database with the source's ENCODING and LOCALE, then restore again"


def _large_object(_: Alteration) -> str:
    return "-- look at the ranges of large objects, then restore them from the dump"


SERVER: Mapping[str, Callable[[Alteration], str]] = {
    "database": _database,
    "database setting": _as_created,
    "default privileges": _default_privileges,
    "event trigger": _event_trigger,
    "foreign data wrapper": _foreign,
    "foreign server": _foreign,
    "grant beside": _grant_beside,
    "large object": _large_object,
    "publication": _publication,
    "role": _role,
    "role membership": _role_membership,
    "role setting": _as_created,
    "security label": _as_created,
    "subscription": _subscription,
    "user mapping": _user_mapping,
}
"""By kind of object; each gives an empty text where only dropping and creating will do."""
