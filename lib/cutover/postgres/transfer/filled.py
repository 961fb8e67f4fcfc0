"""What a restore filled, told by ids: so that a database that holds a proven copy is known again, and no other is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from cutover.postgres.connection import session
from cutover.postgres.transfer.mark import MARKER, read_mark

_RELATIONS = """
SELECT c.oid::bigint, c.relkind::text, n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_'
  AND n.nspname NOT IN ('information_schema', %s)
ORDER BY c.oid
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """A database and the very relations in it. Rows are not looked at: 13 compares every one of them.

    Attributes:
        system: the server's system identifier (initdb makes it); "" where the server does not tell.
        database: the database's oid: one that is dropped and created again has another.
        relations: how many tables, views, sequences and foreign tables it holds, those of extensions too.
        ids: SHA-256 over kind, oid and name of each: what another restore makes has other oids.
    """

    system: str
    database: int
    relations: int
    ids: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Filled:
        """The inverse of `to_dict`; what an older version recorded names nothing."""
        nothing = {"system": "", "database": 0, "relations": 0, "ids": ""}
        return cls(**{name: raw.get(name, empty) for name, empty in nothing.items()})


def filled(url: str) -> Filled:
    """What is in a database now.

    Raises:
        DatabaseError: it cannot be reached, or refuses to say.
    """
    with session(url) as connection:
        row = connection.execute("SELECT oid::bigint FROM pg_database WHERE datname = current_database()").fetchone()
        found = connection.execute(_RELATIONS, (MARKER,)).fetchall()
        try:
            system = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
        except psycopg.Error:  # a service that does not let it be asked: then nothing is known again there
            system = None
    digest = hashlib.sha256("\n".join(f"{kind} {oid} {schema}.{name}" for oid, kind, schema, name in found).encode())
    return Filled(str(system[0]) if system else "", int(row[0]) if row else 0, len(found), digest.hexdigest())


def not_known_again(url: str, before: Filled) -> str:
    """Why a database is not the one that was filled, or not as it was left, or why nobody can tell; "" when it is.

    Raises:
        DatabaseError: it cannot be reached, or refuses to say.
    """
    if not (before.system and before.database and before.relations):
        return "which database was filled, and with what, is not on record"
    with session(url) as connection:
        if read_mark(connection) is not None:
            return "it contains an unfinished restore (schema `cutover_restore`)"
    now = filled(url)
    if now.system != before.system:
        return f"it is on another server (system identifier {now.system or 'not told'}, {before.system} then)"
    if now.database != before.database:
        return f"it was dropped and created again since (oid {now.database}, {before.database} then)"
    if now.ids != before.ids:
        return f"its tables are not those that were made then ({now.relations} relations, {before.relations} then)"
    return ""
