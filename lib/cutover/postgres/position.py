"""How far a server's writes have come, and whether anything was written between two looks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import describe, session

FLUSH_S = 10.5
"""An idle session tells its counters at the latest after 10 s (PGSTAT_IDLE_INTERVAL in PostgreSQL's pgstat.c)."""


@dataclass(frozen=True, slots=True)
class WritePosition:
    """Where the writes of a database stand.

    Attributes:
        database: `user@host:port/database`.
        lsn: position in the write-ahead log; it moves without users' writes too.
        next_xid: one more than the number of the last transaction that ended, on the whole server; only writers
            have a number.
        writers: transactions that had a number and were not at their end, of this database or of one unknown.
        counters: by table, what was ever inserted, updated and deleted, as counted by the statistics.
        files: by table, its file on disk: TRUNCATE and rewrites change it.
        sequences: by sequence, its last value.
        stats_reset: when the counters were set to zero.
        started: when the server was started.
        at: the server's clock, ISO 8601 UTC.
    """

    database: str
    lsn: str
    next_xid: int
    writers: int
    counters: Mapping[str, int]
    files: Mapping[str, int] = field(default_factory=dict)
    sequences: Mapping[str, int | None] = field(default_factory=dict)
    stats_reset: str = ""
    started: str = ""
    at: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> WritePosition:
        """The inverse of `to_dict`, for what a journal kept."""
        return cls(**dict(raw))


_COUNTERS = """
SELECT s.relid::regclass::text, s.n_tup_ins + s.n_tup_upd + s.n_tup_del, coalesce(pg_relation_filenode(s.relid), 0)
FROM pg_stat_all_tables s
WHERE s.schemaname !~ '^pg_(toast|temp)' AND s.schemaname <> 'information_schema'
  AND (s.schemaname <> 'pg_catalog' OR s.relname IN ('pg_largeobject', 'pg_attribute', 'pg_proc', 'pg_constraint'))
"""


_STAND = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       (SELECT count(*) FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
          AND coalesce(a.datname, current_database()) = current_database()
          AND coalesce(a.backend_type, '') <> 'autovacuum worker'),
       (SELECT stats_reset::text FROM pg_stat_database WHERE datname = current_database()),
       pg_postmaster_start_time()::text, clock_timestamp()
"""
"""A transaction with a number holds the lock on it to its end, which everybody may see (backend_xid not everybody)."""


def write_position(url: str, *, since: WritePosition | None = None, settle_s: float = FLUSH_S) -> WritePosition:
    """Read where the writes stand.

    Sessions report their counters late, so this waits until those that were active a moment ago have done so.

    Args:
        url: the database.
        since: an earlier look; when no transaction wrote after it, there is nothing to wait for.
        settle_s: wait at most so many seconds for other sessions' counters; 0 reads at once.

    Raises:
        DatabaseError: it cannot be reached.
    """
    with session(url) as connection:
        if since is None or _moved(connection, since):
            _settle(connection, settle_s)
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(_STAND).fetchone()
        tables = connection.execute(_COUNTERS).fetchall()
        sequences = connection.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value FROM pg_sequences"
        ).fetchall()
    assert row is not None  # noqa: S101 - one row, always
    at: datetime = row[5]
    return WritePosition(
        database=describe(url),
        lsn=row[0] or "",
        next_xid=row[1],
        writers=row[2],
        counters={name: int(count) for name, count, _ in tables},
        files={name: int(file) for name, _, file in tables if not name.startswith("pg_")},
        sequences=dict(sequences),
        stats_reset=row[3] or "",
        started=row[4],
        at=at.astimezone(UTC).isoformat(),
    )


def check_no_writes(before: WritePosition, after: WritePosition) -> list[Finding]:
    """Judge whether anything was written between two looks; names the tables.

    Finding id: FRZ-no-writes. PASS when no transaction took a number, or when numbers were taken (by vacuum, or in
    another database) and no table of this one counts a write. UNKNOWN, a blocker, when something was written after
    the first look: then the copy may lack it.
    """
    title, expected = "Nothing was written since the snapshot", "no write in any table"
    taken = after.next_xid - before.next_xid
    if before.started != after.started or before.stats_reset != after.stats_reset:
        return [
            _finding(
                title,
                after,
                Status.UNKNOWN,
                expected,
                "the server was restarted or its statistics were reset in between",
                "The counters say nothing any more.",
                "Compare source and target once more: digests say what counters cannot.",
            )
        ]
    touched = {
        name: count - before.counters.get(name, 0)
        for name, count in after.counters.items()
        if count != before.counters.get(name, 0)
    }
    rewritten = [n for n, f in before.files.items() if n not in after.files or after.files[n] != f]
    moved = [name for name, value in after.sequences.items() if before.sequences.get(name) != value]
    span = f"from {before.at} ({before.lsn}) to {after.at} ({after.lsn})"
    if taken == 0 and not before.writers and not after.writers and not moved:
        return [_finding(title, after, Status.PASS, expected, f"no transaction wrote, {span}")]
    if not (touched or rewritten or moved or after.writers):
        note = f"{taken} transaction numbers were taken on this server, none wrote to a table here, {span}"
        return [_finding(title, after, Status.PASS, expected, note)]
    said = [
        f"{name}: {count:+,} rows" + (_SYSTEM if name.startswith("pg_") else "")
        for name, count in sorted(touched.items(), key=lambda item: -abs(item[1]))[:20]
    ]
    said += [f"{name}: truncated, rewritten or dropped" for name in rewritten[:20]]
    said += [f"sequence {name} moved" for name in moved[:20]]
    said += [f"{after.writers} writing transactions are still open"] if after.writers else []
    return [
        _finding(
            title,
            after,
            Status.UNKNOWN,
            expected,
            f"{'; '.join(said)}; {span}",
            "What was written after the snapshot is not in the copy.",
            "Stop the writer (see pg_stat_activity on the source), then dump, restore and compare again.",
            tables=sorted({*touched, *rewritten}),
        )
    ]


_SYSTEM = " (the schema or a large object changed)"


def _moved(connection: psycopg.Connection[Any], since: WritePosition) -> bool:
    """Whether any transaction of the server took a number since, or still has one."""
    row = connection.execute(_STAND).fetchone()
    return row is None or row[1] != since.next_xid or bool(row[2] or since.writers)


def _settle(connection: psycopg.Connection[Any], limit_s: float) -> None:
    """Wait until no other session can still hold counts that it has not told."""
    deadline = time.monotonic() + limit_s
    while True:
        row = connection.execute(
            "SELECT max(%s - extract(epoch FROM clock_timestamp() - state_change))::float8 FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
            "AND application_name NOT LIKE 'cutover%%' AND state = 'idle'",
            (FLUSH_S,),
        ).fetchone()
        pause = min(float(row[0]) if row and row[0] is not None else 0.0, deadline - time.monotonic())
        if pause <= 0:
            return
        time.sleep(min(pause, 1.0))
        connection.execute("SELECT pg_stat_clear_snapshot()")


def _finding(
    title: str,
    after: WritePosition,
    status: Status,
    expected: str,
    observed: str,
    why: str = "",
    remedy: str = "",
    tables: list[str] | None = None,
) -> Finding:
    return Finding(
        id="FRZ-no-writes",
        title=title,
        status=status,
        severity=Severity.BLOCKER,
        subject=after.database,
        expected=expected,
        observed=observed,
        why=why,
        remedy=remedy,
        data={"tables": tables} if tables else {},
    )
