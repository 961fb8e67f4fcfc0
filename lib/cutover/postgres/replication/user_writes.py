"""Whether users can still UPDATE and DELETE in every published table: asked of the server itself.

`EXPLAIN` starts the executor, which raises what it would raise for the statement itself, and ends before a row is
touched or a trigger fires (`CheckValidResultRel` in execMain.c). `UPDATE … WHERE false` would fire statement triggers,
and passes over the leaves of a partitioned table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg

from cutover.postgres.connection import one_line
from cutover.postgres.replication.link import Connection

_TOGETHER = 50
"""Tables asked in one round trip; each batch lets its locks go, so that ten thousand tables do not pile them up."""

_NO_ANSWER = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.QueryCanceled,
    psycopg.errors.OutOfMemory,
    psycopg.errors.AdminShutdown,
)
"""Errors that say nothing about the table."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A statement that the server refuses its users.

    Attributes:
        table: its name, quoted; of a partitioned table the partition.
        statement: `UPDATE` or `DELETE`.
        words: the server's, message and detail.
    """

    table: str
    statement: str
    words: str

    def __str__(self) -> str:
        return f"{self.statement} on {self.table}: {self.words}"


_ASKED = """
WITH member AS (
    SELECT r.prrelid AS oid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = %s
), leaf AS (
    SELECT m.oid AS root, c.oid, c.relowner FROM member m
    CROSS JOIN LATERAL (SELECT m.oid AS oid UNION SELECT relid FROM pg_partition_tree(m.oid)) t
    JOIN pg_class c ON c.oid = t.oid WHERE c.relkind = 'r'
), asked AS (
    SELECT oid, 'ONLY ' || oid::regclass AS what FROM leaf WHERE pg_has_role(relowner, 'USAGE')
    UNION
    SELECT root, root::regclass::text FROM leaf WHERE NOT pg_has_role(relowner, 'USAGE')
)
SELECT what,
       (SELECT quote_ident(a.attname) || ' = ' || CASE WHEN a.attgenerated = '' AND a.attidentity <> 'a'
                                                       THEN quote_ident(a.attname) ELSE 'DEFAULT' END
        FROM pg_attribute a WHERE a.attrelid = asked.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attgenerated <> '' OR a.attidentity = 'a', a.attnum LIMIT 1),
       NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'UPDATE')
            AND has_table_privilege(oid, 'DELETE')), oid::regclass::text
FROM asked ORDER BY 4
"""
"""The ordinary tables of a publication and its leaf partitions (no foreign ones: their writes are not logged here),
what an UPDATE can set in them, and whether our role lacks a right (an owner may revoke its own). A partition that
another role owns is asked through its root, as users reach it."""


def refused_writes(connection: Connection, publication: str) -> list[Refusal]:
    """What users may no longer do in the tables of a publication, as the server itself says it.

    Nothing is written, and no lock is kept but those that the transaction held before.

    Args:
        connection: in the transaction that made the publication; its role owns the tables.
        publication: its name.

    Raises:
        psycopg.Error: the server gave no answer (a lock was not to be had in time, say).
    """
    rows = connection.execute(_ASKED.encode(), (publication,)).fetchall()
    asked = [_Asked(str(what), change, bool(lacking), str(table)) for what, change, lacking, table in rows]
    batches = [asked[at : at + _TOGETHER] for at in range(0, len(asked), _TOGETHER)]
    return [refusal for batch in batches for refusal in _refused(connection, batch)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked (`ONLY table`, or a root), what an UPDATE may set in it (None: no column), and with what right."""

    what: str
    change: str | None
    lacking: bool
    table: str

    def statements(self) -> dict[str, str]:
        """What asks for UPDATE and DELETE. A right that an owner revoked from itself is granted, and rolled back."""
        # Names come quoted from the server (regclass), so they are repeated as they are.
        grant = f"GRANT SELECT, UPDATE, DELETE ON {self.table} TO CURRENT_USER; " if self.lacking else ""
        update = f"{grant}EXPLAIN UPDATE {self.what} SET {self.change}"  # noqa: S608
        delete = f"{grant}EXPLAIN DELETE FROM {self.what}"  # noqa: S608
        return {"UPDATE": update, "DELETE": delete} if self.change else {"DELETE": delete}


def _refused(connection: Connection, batch: Sequence[_Asked]) -> Iterator[Refusal]:
    if _answer(connection, [text for one in batch for text in one.statements().values()]) is None:
        return
    for one in batch:
        for statement, text in one.statements().items():
            error = _answer(connection, [text])
            if error is not None:
                yield Refusal(one.table, statement, one_line(error))


def _answer(connection: Connection, statements: Sequence[str]) -> psycopg.Error | None:
    """The error with which the server refuses one of them; None when it would run them all."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("; ".join(statements).encode())
    except _NO_ANSWER:
        raise
    except psycopg.Error as error:
        if connection.broken:
            raise
        return error
    return None
