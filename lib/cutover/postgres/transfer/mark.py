"""The mark in a target: a schema that stands there while a restore is not whole, and remembers how far it came."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.archive import Dump
from cutover.postgres.connection import connect, describe, explain, session
from cutover.postgres.transfer.errors import RestoreError

MARKER = "cutover_restore"
"""The schema that stands in a target from the start of a restore to its good end, and longer when it went wrong."""

RESTORER = "cutover restore"
"""How pg_restore's sessions are named in the target, so that those of a killed restore can be told and ended."""

_LOCK = 0x63757472  # "cutr": one restore into a database at a time
_LEFT_OVER_S = 30.0
_RECREATE = "drop and create the database again, then restore:\n  DROP DATABASE …; CREATE DATABASE …;"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How far an interrupted restore came, by its own record in the target.

    Attributes:
        note: what the mark says: when it was started, which dump it loads.
        phases: phases that came to their end, with the errors that were passed over in each.
        loaded: table data that were loaded whole: number of the archive's entry to rows.
    """

    note: Mapping[str, Any]
    phases: Mapping[str, tuple[RestoreError, ...]]
    loaded: Mapping[int, int]


class Ledger:
    """The record of one restore, in the target itself: what is in it is as durable as the rows it speaks of."""

    def __init__(self, url: str, connection: psycopg.Connection[Any], before: Unfinished | None) -> None:
        self._url, self._connection = url, connection
        self.before = before

    def loaded(self, entry: int, name: str, rows: int) -> None:
        """Remember that a table's rows were loaded whole. A record that cannot be kept costs a second load, no more."""
        try:
            self._connection.execute(
                sql.SQL("INSERT INTO {}.loaded (entry, name, rows) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING").format(
                    sql.Identifier(MARKER)
                ),
                (entry, name, rows),
            )
        except psycopg.Error:
            return

    def finished(self, phase: str, errors: Iterable[RestoreError], seconds: float) -> None:
        """Remember that a phase came to its end, and what it lost.

        Raises:
            DatabaseError: the target is lost.
        """
        statement = sql.SQL(
            "INSERT INTO {}.phases (name, errors, seconds) VALUES (%s, %s, %s) "
            "ON CONFLICT (name) DO UPDATE SET errors = excluded.errors"
        ).format(sql.Identifier(MARKER))
        try:
            self._connection.execute(statement, (phase, json.dumps([e.to_dict() for e in errors]), seconds))
        except psycopg.Error as error:
            lost = explain(error, self._url, "was lost in mid-restore")
            raise DatabaseError(
                lost.what,
                why="it contains an unfinished restore (schema `cutover_restore`): nothing in it can be trusted.",
                todo="bring it back and run the step again: the restore goes on where it stopped.",
            ) from error

    def forget(self, entries: Iterable[int]) -> None:
        """These tables are not whole after all."""
        statement = sql.SQL("DELETE FROM {}.loaded WHERE entry = ANY(%s)").format(sql.Identifier(MARKER))
        self._connection.execute(statement, (list(entries),))


@contextmanager
def ledger(url: str, held: Dump, started: str, *, resume: bool) -> Iterator[Ledger]:
    """Mark an empty target and keep its record; with `resume`, go on with the record of the same dump.

    The session holds a lock for as long: two restores never write into one database.

    Raises:
        DatabaseError: the target is not empty, is marked by another restore, or is being restored into right now.
    """
    connection = connect(url, readonly=False)
    try:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if not row or not row[0]:
            raise DatabaseError(
                f"Another restore into {describe(url)} is running.",
                why="two restores into one database would mix.",
                todo="wait for it, or end it: SELECT pid, application_name, query FROM pg_stat_activity;",
            )
        before = read_mark(connection)
        if before is None:
            _refuse_unless_empty(connection, url)
            _make(connection, {"started": started, "dump": held.database, "lsn": held.lsn, "identity": held.identity})
        elif not resume or before.note.get("identity") != held.identity:
            raise _marked(url, before.note, held if resume else None)
        else:
            _end_left_overs(connection, url)
        yield Ledger(url, connection, before)
    except psycopg.Error as error:
        raise explain(error, url, "refused a statement of the restore") from error
    finally:
        connection.close()


def remove_mark(url: str) -> None:
    """The restore is whole: the mark goes, with its record."""
    with session(url, readonly=False) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(MARKER)))


def unfinished_restore(connection: psycopg.Connection[Any]) -> dict[str, Any] | None:
    """What an unfinished restore (schema `cutover_restore`) says; None when there is no mark."""
    found = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (MARKER,)
    ).fetchone()
    if found is None:
        return None
    try:
        return dict(json.loads(found[0])) if found[0] else {}
    except ValueError:
        return {}


def read_mark(connection: psycopg.Connection[Any]) -> Unfinished | None:
    """The mark with its record; None when there is no mark. A mark whose record is missing remembers nothing."""
    note = unfinished_restore(connection)
    if note is None:
        return None
    schema = sql.Identifier(MARKER)
    try:
        phases = connection.execute(sql.SQL("SELECT name, errors FROM {}.phases").format(schema)).fetchall()
        loaded = connection.execute(sql.SQL("SELECT entry, rows FROM {}.loaded").format(schema)).fetchall()
    except psycopg.Error:
        return Unfinished({key: value for key, value in note.items() if key != "identity"}, {}, {})
    return Unfinished(
        note,
        {str(name): tuple(RestoreError(**error) for error in errors) for name, errors in phases},
        {int(entry): int(rows) for entry, rows in loaded},
    )


def _make(connection: psycopg.Connection[Any], note: Mapping[str, str]) -> None:
    schema = sql.Identifier(MARKER)
    with connection.transaction():
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, sql.Literal(json.dumps(note))))
        connection.execute(
            sql.SQL("CREATE TABLE {}.phases (name text PRIMARY KEY, errors jsonb, seconds float8)").format(schema)
        )
        connection.execute(
            sql.SQL("CREATE TABLE {}.loaded (entry int PRIMARY KEY, name text, rows bigint)").format(schema)
        )


def _marked(url: str, note: Mapping[str, Any], held: Dump | None) -> DatabaseError:
    other = f", from a dump as of WAL position {note.get('lsn', 'unknown')}" if held else ""
    return DatabaseError(
        f"The target {describe(url)} contains an unfinished restore (schema `cutover_restore`) "
        f"(started {note.get('started', 'unknown')}{other}).",
        why="what is in it may be half of the data"
        + (", and it is not of this dump, so it cannot be gone on with." if held else "."),
        todo="resume the restore from the same dump, or " + _RECREATE,
    )


def _end_left_overs(connection: psycopg.Connection[Any], url: str) -> None:
    """Sessions of the killed restore may still be loading: end them, and wait until they are gone.

    Raises:
        DatabaseError: they do not go.
    """
    ours = "datname = current_database() AND application_name = %s AND pid <> pg_backend_pid()"
    end = time.monotonic() + _LEFT_OVER_S
    while time.monotonic() < end:
        left = connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}",  # noqa: S608
            (RESTORER,),
        ).fetchall()
        if not left:
            return
        time.sleep(0.1)
    raise DatabaseError(
        f"Sessions of an earlier restore are still at work in {describe(url)}.",
        why="they may write into tables that are about to be loaded again.",
        todo=f"end them with pg_terminate_backend(pid) (pg_stat_activity shows them as {RESTORER!r}), then resume.",
    )


_OBJECTS = """
SELECT kind || ' ' || name FROM (
  SELECT 'relation' AS kind, c.oid::regclass::text AS name, c.oid, 'pg_class'::regclass::oid AS class,
         c.relnamespace AS nsp FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  UNION ALL SELECT 'function', p.oid::regprocedure::text, p.oid, 'pg_proc'::regclass, p.pronamespace FROM pg_proc p
  UNION ALL SELECT 'type', t.oid::regtype::text, t.oid, 'pg_type'::regclass, t.typnamespace
         FROM pg_type t WHERE t.typtype IN ('e', 'd', 'r')
  UNION ALL SELECT 'schema', s.nspname, s.oid, 'pg_namespace'::regclass, s.oid
         FROM pg_namespace s WHERE s.nspname <> 'public'
) o JOIN pg_namespace n ON n.oid = o.nsp
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %s)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))
UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata
ORDER BY 1 LIMIT 6
"""


def objects_in(connection: psycopg.Connection[Any]) -> list[str]:
    """The first few objects of a user's in a database (six at most); those of extensions do not count."""
    return [str(row[0]) for row in connection.execute(_OBJECTS, (MARKER,)).fetchall()]


def refuse_used(url: str, why: str = "") -> None:
    """Refuse a target that no restore can begin in, before anything is dumped for it.

    Args:
        url: the target.
        why: why it is not taken for what an earlier restore filled, where there was one.

    Raises:
        DatabaseError: it is marked, or not empty, or cannot be reached.
    """
    with session(url) as connection:
        if (mark := read_mark(connection)) is not None:
            raise _marked(url, mark.note, None)
        _refuse_unless_empty(connection, url, why)


def _refuse_unless_empty(connection: psycopg.Connection[Any], url: str, not_kept: str = "") -> None:
    found = objects_in(connection)
    if found:
        names = ", ".join(found[:5]) + (" and more" if len(found) > 5 else "")
        raise DatabaseError(
            f"The target {describe(url)} is not empty: {names}."
            + (f" A transfer filled it before, but {not_kept}." if not_kept else ""),
            why="a restore over existing objects mixes two states, and neither can be proven afterwards.",
            todo=_RECREATE,
        )


def check_unmarked(url: str) -> list[Finding]:
    """`RST-mark`: no restore has stopped half-way in this database; whoever lets users into it must look first.

    Args:
        url: the target.
    """
    title = "No restore has stopped half-way in the target"
    expected = "no schema cutover_restore"
    try:
        with session(url) as connection:
            mark = read_mark(connection)
    except DatabaseError as error:
        return [
            Finding(
                "RST-mark",
                title,
                Status.UNKNOWN,
                Severity.BLOCKER,
                describe(url),
                expected,
                error.what,
                "A target that cannot be asked is not trusted.",
                error.todo,
            )
        ]
    if mark is None:
        return [Finding("RST-mark", title, Status.PASS, Severity.BLOCKER, describe(url), expected, "no mark")]
    lost = [error for errors in mark.phases.values() for error in errors if error.loss]
    ended = ", ".join(mark.phases) or "none"
    return [
        Finding(
            "RST-mark",
            title,
            Status.FAIL,
            Severity.BLOCKER,
            describe(url),
            expected,
            f"a restore started {mark.note.get('started', 'at an unknown time')}: phases ended: {ended}; "
            f"{len(mark.loaded)} tables loaded; {len(lost)} objects lost",
            "What is in it may be half of the data.",
            "Run 12_data_migration again: it goes on where the restore stopped. Or drop and create the database, and "
            "transfer anew.",
        )
    ]
