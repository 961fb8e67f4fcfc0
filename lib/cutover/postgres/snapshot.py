"""One exported snapshot of a server, so that a dump and many connections speak of the same instant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
from psycopg.rows import TupleRow

from cutover.postgres.connection import connect, describe, explain


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An instant of a database, valid while `connection` keeps its transaction open.

    Attributes:
        id: what `SET TRANSACTION SNAPSHOT` and `pg_dump --snapshot` take.
        lsn: position in the write-ahead log right after the snapshot was taken (on a standby: replayed so far).
        at: the server's clock, UTC.
        database: `user@host:port/database`.
        connection: the session that holds it; its transaction must stay open.
    """

    id: str
    lsn: str
    at: datetime
    database: str
    connection: psycopg.Connection[TupleRow] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, str]:
        """JSON-ready."""
        return {"id": self.id, "lsn": self.lsn, "at": self.at.isoformat(), "database": self.database}


@contextmanager
def exported_snapshot(url: str) -> Iterator[Snapshot]:
    """Export a snapshot of the database and hold it open for the length of the block.

    Raises:
        DatabaseError: no connection, or the server does not export snapshots to this session.
    """
    connection = connect(url, readonly=True, autocommit=False)
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            row = connection.execute(
                "SELECT pg_export_snapshot(), clock_timestamp(), (CASE WHEN pg_is_in_recovery() "
                "THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text"
            ).fetchone()
        except psycopg.Error as error:
            raise explain(error, url, "exports no snapshot") from error
        assert row is not None  # noqa: S101 - one row, always
        at: datetime = row[1]
        yield Snapshot(str(row[0]), str(row[2] or ""), at.astimezone(UTC), describe(url), connection)
    finally:
        connection.close()


def join_snapshot(url: str, snapshot_id: str) -> psycopg.Connection[TupleRow]:
    """A new session inside an exported snapshot; the caller closes it.

    Raises:
        DatabaseError: no connection, or the snapshot's session has ended.
    """
    connection = connect(url, readonly=True, autocommit=False)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        connection.execute(psycopg.sql.SQL("SET TRANSACTION SNAPSHOT {}").format(psycopg.sql.Literal(snapshot_id)))
    except psycopg.Error as error:
        connection.close()
        raise explain(error, url, "does not join the snapshot (has its session ended?)") from error
    return connection
