"""What a database is made of: every object of an application with its definition, read in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from cutover.postgres.catalog_queries import QUERIES
from cutover.postgres.connection import describe, session
from cutover.postgres.transfer import unfinished_restore


@dataclass(frozen=True, slots=True)
class CatalogObject:
    """One object.

    Attributes:
        kind: `table`, `column`, `index`, … (the keys of `catalog_queries.QUERIES`, and `sequence value`).
        name: qualified and quoted where it must be.
        parent: the table that it hangs on, or empty.
        attributes: what it is, by words; JSON types.
    """

    kind: str
    name: str
    parent: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All objects of a database.

    Attributes:
        database: `user@host:port/database`.
        major: of the server.
        at: when it was read, ISO 8601 UTC.
        objects: by (kind, name).
        unread: kind of object to the reason why it could not be read.
        unfinished_restore: what the mark of a restore that did not end well says, or None.
    """

    database: str
    major: int
    at: str
    objects: Mapping[tuple[str, str], CatalogObject]
    unread: Mapping[str, str] = field(default_factory=dict)
    unfinished_restore: Mapping[str, Any] | None = None

    def of(self, kind: str) -> Iterator[CatalogObject]:
        """The objects of one kind."""
        return (found for found in self.objects.values() if found.kind == kind)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for evidence."""
        return {
            "database": self.database,
            "major": self.major,
            "at": self.at,
            "objects": [
                {"kind": o.kind, "name": o.name, "parent": o.parent, "attributes": dict(o.attributes)}
                for o in self.objects.values()
            ],
            "unread": dict(self.unread),
        }


def read_catalog(url: str) -> Catalog:
    """Read the catalog of a database, in one transaction.

    What cannot be read for want of rights is named in `unread`.

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
    objects: dict[tuple[str, str], CatalogObject] = {}
    unread: dict[str, str] = {}
    for kind, query in QUERIES.items():
        try:
            with connection.transaction():
                rows = connection.execute(query).fetchall()
        except psycopg.Error as error:
            unread[kind] = " ".join(str(error).split())
            continue
        for name, parent, attributes in rows:
            objects[kind, name] = CatalogObject(kind, name, parent, attributes)
    values, unreadable = _sequence_values(connection, objects)
    objects |= values
    if unreadable:
        unread["sequence value"] = f"this role may not read {', '.join(unreadable[:10])}"
    return Catalog(
        database=database,
        major=connection.info.server_version // 10000,
        at=datetime.now(UTC).isoformat(),
        objects=objects,
        unread=unread,
        unfinished_restore=unfinished_restore(connection),
    )


def _sequence_values(
    connection: psycopg.Connection[Any], objects: Mapping[tuple[str, str], CatalogObject]
) -> tuple[dict[tuple[str, str], CatalogObject], list[str]]:
    """Where each sequence stands, as objects of their own, and the names of those that may not be read."""
    sequences = [found for (kind, _), found in objects.items() if kind == "sequence"]
    readable = [found for found in sequences if found.attributes["readable"]]
    values: dict[tuple[str, str], CatalogObject] = {}
    for start in range(0, len(readable), 100):
        # Names come quoted from the server (regclass), so they are repeated as they are.
        parts = [
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(
                sql.Literal(found.name),
                sql.SQL(found.name),
            )
            for found in readable[start : start + 100]
        ]
        for name, last, called in connection.execute(sql.SQL(" UNION ALL ").join(parts)):
            attributes = {"last value": last, "called": called}
            owner = str(objects["sequence", name].attributes["owned by"] or "").rpartition(".")[0]
            values["sequence value", name] = CatalogObject("sequence value", name, owner, attributes)
    return values, [found.name for found in sequences if not found.attributes["readable"]]
