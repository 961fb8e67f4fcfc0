"""Reading a catalog: one query for each kind of object, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cutover.postgres.catalog.code_queries import code_queries
from cutover.postgres.catalog.model import Catalog, CatalogObject
from cutover.postgres.catalog.query_parts import is_secret
from cutover.postgres.catalog.relation_queries import relation_queries
from cutover.postgres.catalog.server_queries import server_queries
from cutover.postgres.connection import describe, session
from cutover.postgres.transfer import unfinished_restore

_AT_ONCE = 100
"""Sequences read by one statement."""


def read_catalog(url: str) -> Catalog:
    """Read the catalog of a database, in one transaction.

    What cannot be read for want of rights is named in `unread`, or in an object's `unreadable`.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    with session(url, autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return read_catalog_in(connection, describe(url))


def read_catalog_in(connection: psycopg.Connection[Any], database: str) -> Catalog:
    """Read the catalog as a session of ours sees it, inside its open transaction.

    Args:
        connection: made by `connect`, with autocommit off.
        database: what to call it in findings.
    """
    major = connection.info.server_version // 10000
    objects: dict[tuple[str, str], CatalogObject] = {}
    unread: dict[str, str] = {}
    for kind, query in (relation_queries(major) | code_queries(major) | server_queries(major)).items():
        try:
            # Rolled back, so that the locks of what was looked at are let go: there may be more than the server's
            # lock table holds.
            with connection.transaction(force_rollback=True):
                rows = connection.execute(query.encode()).fetchall()
        except psycopg.Error as error:
            unread[kind] = " ".join(str(error).split())
            continue
        for name, parent, attributes in rows:
            objects[kind, name] = CatalogObject(kind, name, parent, attributes)
    objects |= _passwords(connection, objects)
    subscribed, unparsed = _connections(connection, objects)
    objects |= subscribed
    if unparsed:
        unread["subscription"] = f"this machine's libpq does not understand the connection of {_some(unparsed)}"
    values, unreadable = _sequence_values(connection, objects)
    objects |= values
    if unreadable:
        unread["sequence value"] = f"this role may not read {_some(unreadable)}"
    return Catalog(
        database=database,
        major=major,
        at=datetime.now(UTC).isoformat(),
        objects=objects,
        unread=unread,
        unfinished_restore=unfinished_restore(connection),
        roles=frozenset(name for kind, name in objects if kind == "role"),
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _passwords(
    connection: psycopg.Connection[Any], objects: Mapping[tuple[str, str], CatalogObject]
) -> dict[tuple[str, str], CatalogObject]:
    """The roles that log in, with whether they have a password; only a superuser may see even that."""
    query = "SELECT quote_ident(rolname) FROM pg_authid WHERE rolpassword IS NOT NULL"
    seen: set[str] | None = None
    try:
        with connection.transaction(force_rollback=True):
            seen = {row[0] for row in connection.execute(query)}
    except psycopg.errors.InsufficientPrivilege:
        pass
    told = {}
    for key, one in objects.items():
        if one.kind == "role" and one.attributes["involved"] and one.attributes["login"]:
            known = {"unreadable": ["password"]} if seen is None else {"password": one.name in seen}
            told[key] = replace(one, attributes={**one.attributes, **known})
    return told


def _connections(
    connection: psycopg.Connection[Any], objects: Mapping[tuple[str, str], CatalogObject]
) -> tuple[dict[tuple[str, str], CatalogObject], list[str]]:
    """The subscriptions, with what they connect to (of what may be a secret only that it is set); superusers see it.

    And the names of those whose connection string is not understood.
    """
    subscriptions = {one.name: one for (kind, _), one in objects.items() if kind == "subscription"}
    query = (
        "SELECT quote_ident(subname), subconninfo FROM pg_subscription "
        "WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    seen: dict[str, str] | None = None
    if subscriptions:
        try:
            with connection.transaction(force_rollback=True):
                seen = {str(name): str(text) for name, text in connection.execute(query)}
        except psycopg.errors.InsufficientPrivilege:
            pass
    told, unparsed = {}, []
    for name, one in subscriptions.items():
        known: dict[str, Any] = {"unreadable": ["connection"]}
        if seen is not None:
            try:
                parts = conninfo_to_dict(seen[name])
            except psycopg.ProgrammingError:
                unparsed.append(name)
                continue
            known = {"connection": sorted(f"{k}={'…' if is_secret(k) else v}" for k, v in parts.items())}
        told["subscription", name] = replace(one, attributes={**one.attributes, **known})
    return told, unparsed


def _sequence_values(
    connection: psycopg.Connection[Any], objects: Mapping[tuple[str, str], CatalogObject]
) -> tuple[dict[tuple[str, str], CatalogObject], list[str]]:
    """Where each sequence stands, as objects of their own, and the names of those that may not be read."""
    sequences = [found for (kind, _), found in objects.items() if kind == "sequence"]
    readable = [found for found in sequences if found.attributes["readable"]]
    values: dict[tuple[str, str], CatalogObject] = {}
    for start in range(0, len(readable), _AT_ONCE):
        # Names come quoted from the server (regclass), so they are repeated as they are.
        parts = [
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(sql.Literal(found.name), sql.SQL(found.name))
            for found in readable[start : start + _AT_ONCE]
        ]
        with connection.transaction(force_rollback=True):
            rows = connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
        for name, last, called in rows:
            has = objects["sequence", name].attributes
            attributes = {"last value": last, "called": called, "counts down": int(has["increment"]) < 0}
            owner = str(has["owned by"] or "").rpartition(".")[0]
            values["sequence value", name] = CatalogObject("sequence value", name, owner, attributes)
    return values, [found.name for found in sequences if not found.attributes["readable"]]
