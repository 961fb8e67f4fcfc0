"""How far a server's writes have come, and whether anything was written between two looks.

The counters name tables in a moment. `second_look` (following.py) reads those tables again: digests say what counters
cannot.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
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
        kinds: by table, the three of them one by one.
        files: by table, its file on disk: TRUNCATE and rewrites change it.
        sequences: by sequence, its last value.
        roots: by partition, the table that it belongs to.
        open: who the writers are: sessions, and prepared transactions.
        elsewhere: what was ever written in the server's other databases, as counted.
        upkeep: when vacuum or analyze, which take numbers too, last ended in this database.
        counting: whether the server counts at all (track_counts).
        untold: other sessions that may hold counts which they have not told: at work, in a transaction, idle for less
            than `FLUSH_S`, or not to be seen by this role.
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
    kinds: Mapping[str, Sequence[int]] = field(default_factory=dict)
    roots: Mapping[str, str] = field(default_factory=dict)
    open: Sequence[str] = ()
    elsewhere: int = 0
    upkeep: str = ""
    counting: bool = True
    untold: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> WritePosition:
        """The inverse of `to_dict`, for what a journal kept."""
        names = {one.name for one in fields(cls)}
        known = {key: tuple(value) if key == "open" else value for key, value in raw.items() if key in names}
        return cls(**known | {"kinds": {name: tuple(counts) for name, counts in raw.get("kinds", {}).items()}})


@dataclass(frozen=True, slots=True)
class Movement:
    """What moved between two looks at one database.

    Attributes:
        tables: by table (partitions under the table they belong to), rows inserted, updated and deleted as counted;
            what was rolled back counts too.
        rewritten: tables that were truncated or rewritten; those that are gone as well.
        sequences: that stand elsewhere.
        schema: whether the catalog was written to (creating a temporary table does, too).
        large_objects: whether one was written.
        open: transactions with a number that have not ended.
        blind: why the counters say nothing; empty when they do.
        unexplained: transactions took numbers, and neither a table here, nor vacuum, nor another database says why;
            or they may, and a session may hold counts that it has not told.
        span: the two moments, in words.
    """

    tables: Mapping[str, tuple[int, int, int]]
    rewritten: tuple[str, ...]
    sequences: tuple[str, ...]
    schema: bool
    large_objects: bool
    open: tuple[str, ...]
    blind: str
    unexplained: bool
    span: str
    taken: int

    @property
    def any(self) -> bool:
        """Whether something was, or may have been, written."""
        moved = self.tables or self.rewritten or self.sequences or self.schema or self.large_objects
        return bool(moved or self.open or self.blind)

    def words(self) -> list[str]:
        """What moved, a phrase each."""
        said = [
            f"{name}: {_rows(counts)}" for name, counts in sorted(self.tables.items(), key=lambda item: -sum(item[1]))
        ]
        said += [f"{name}: truncated, rewritten or dropped" for name in self.rewritten]
        said += [f"sequence {name} moved" for name in self.sequences]
        said += ["the schema was written to"] if self.schema else []
        said += ["a large object was written"] if self.large_objects else []
        said += [f"still open: {who}" for who in self.open]
        return said + ([self.blind] if self.blind else [])


_LARGE_OBJECTS = ("pg_largeobject", "pg_largeobject_metadata")
_COUNTERS = """
SELECT s.relid::regclass::text, s.n_tup_ins, s.n_tup_upd, s.n_tup_del, coalesce(pg_relation_filenode(s.relid), 0),
       nullif(pg_partition_root(s.relid), s.relid)::regclass::text, c.relnamespace = 'pg_catalog'::regnamespace
FROM pg_stat_all_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname !~ '^pg_(toast|temp)' AND s.schemaname <> 'information_schema' AND NOT c.relisshared
  AND c.relname <> ALL ('{pg_statistic,pg_statistic_ext_data}')
"""
"""Statistics are what vacuum and analyze write; shared catalogs are every database's."""


_STAND = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       ARRAY(SELECT coalesce(format('%s, application %s, pid %s', a.usename, a.application_name, a.pid),
                             'a prepared transaction')
             FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
               AND (l.pid IS NULL OR coalesce(a.datname, current_database()) = current_database())
               AND coalesce(a.backend_type, '') <> 'autovacuum worker'
               AND (l.pid IS NOT NULL OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database()))),
       (SELECT stats_reset::text FROM pg_stat_database WHERE datname = current_database()),
       pg_postmaster_start_time()::text, clock_timestamp(),
       (SELECT coalesce(sum(tup_inserted + tup_updated + tup_deleted), 0)::bigint FROM pg_stat_database
        WHERE datname <> current_database()),
       (SELECT max(greatest(last_vacuum, last_autovacuum, last_analyze, last_autoanalyze))
        FROM pg_stat_all_tables),
       current_setting('track_counts') = 'on',
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND usename IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
        AND coalesce(application_name, '') NOT LIKE 'cutover%'
        AND (state IS DISTINCT FROM 'idle' OR clock_timestamp() - state_change < make_interval(secs => 10.5)))
"""
"""A transaction with a number holds the lock on it to its end, which everybody may see (backend_xid not everybody)."""

_PREPARED = """
SELECT format('prepared transaction %s of %s, since %s', gid, owner, prepared::timestamptz(0))
FROM pg_prepared_xacts WHERE database = current_database()
"""


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
        prepared = [str(told) for (told,) in connection.execute(_PREPARED)]
    assert row is not None  # noqa: S101 - one row, always
    at: datetime = row[5]
    writers = [who for who in row[2] if who != "a prepared transaction"]
    return WritePosition(
        database=describe(url),
        lsn=row[0] or "",
        next_xid=row[1],
        writers=len(writers) + len(prepared),
        counters={name: ins + upd + gone for name, ins, upd, gone, *_ in tables},
        files={name: int(file) for name, *_, file, _, own in tables if not own},
        sequences=dict(sequences),
        stats_reset=row[3] or "",
        started=row[4],
        at=at.astimezone(UTC).isoformat(),
        kinds={name: (ins, upd, gone) for name, ins, upd, gone, *_ in tables},
        roots={name: root for name, *_, root, _ in tables if root},
        open=(*writers, *prepared),
        elsewhere=row[6],
        upkeep=row[7].astimezone(UTC).isoformat() if row[7] else "",
        counting=row[8],
        untold=row[9],
    )


def movement(before: WritePosition, after: WritePosition) -> Movement:
    """What moved between two looks, as far as counters, files, sequences and transaction numbers tell."""
    blind = ""
    if before.started != after.started:
        blind = "the server was restarted in between"
    elif before.stats_reset != after.stats_reset:
        blind = "its statistics were reset in between"
    elif not after.counting:
        blind = "the server does not count (track_counts is off)"
    tables: dict[str, tuple[int, int, int]] = {}
    schema = large_objects = False
    for name, count in after.counters.items():
        if count == before.counters.get(name, 0) and after.kinds.get(name) == before.kinds.get(name, (0, 0, 0)):
            continue
        if name in _LARGE_OBJECTS:
            large_objects = True
        elif name not in after.files:
            schema = True
        else:
            new, old = after.kinds.get(name, (count, 0, 0)), before.kinds.get(name, (0, 0, 0))
            root = after.roots.get(name, name)
            sums = [a - b + c for a, b, c in zip(new, old, tables.get(root, (0, 0, 0)), strict=True)]
            tables[root] = (sums[0], sums[1], sums[2])
    rewritten = [n for n, f in before.files.items() if n not in after.files or after.files[n] != f]
    sequences = [name for name, value in after.sequences.items() if before.sequences.get(name) != value]
    taken = after.next_xid - before.next_xid
    moved = bool(tables or rewritten or sequences or schema or large_objects)
    explained = moved or after.elsewhere != before.elsewhere or after.upkeep > before.upkeep
    return Movement(
        tables=tables,
        rewritten=tuple(dict.fromkeys(before.roots.get(name, name) for name in rewritten)),
        sequences=tuple(sequences),
        schema=schema,
        large_objects=large_objects,
        open=tuple(after.open),
        blind=blind,
        unexplained=taken != 0 and (not explained or after.untold > 0),
        span=f"from {_moment(before)} to {_moment(after)}",
        taken=taken,
    )


def check_no_writes(before: WritePosition, after: WritePosition) -> list[Finding]:
    """Judge whether anything was written between two looks; names the tables.

    Finding id: FRZ-no-writes. PASS when no transaction took a number, or when numbers were taken (by vacuum, or in
    another database) and no table of this one counts a write. UNKNOWN, a blocker, when something was written after
    the first look: then the copy may lack it.
    """
    moved = movement(before, after)
    if moved.blind:
        return [
            finding(
                after.database,
                Status.UNKNOWN,
                f"{moved.blind}, {moved.span}",
                "The counters say nothing any more.",
                "Compare source and target once more: digests say what counters cannot.",
            )
        ]
    if not moved.any:
        return [finding(after.database, Status.PASS, f"{quiet(moved)}, {moved.span}")]
    return [
        finding(
            after.database,
            Status.UNKNOWN,
            f"{'; '.join(moved.words()[:20])}; {moved.span}",
            "What was written after the first look may not be in the copy.",
            STOP_THE_WRITER,
            tables=sorted({*moved.tables, *moved.rewritten}),
        )
    ]


def quiet(moved: Movement) -> str:
    """That nothing was written, in words."""
    if not moved.taken:
        return "no transaction wrote"
    return f"{moved.taken} transaction numbers were taken on this server, none wrote to a table here"


STOP_THE_WRITER = (
    "Find and stop the writer: SELECT pid, usename, application_name, state, query FROM pg_stat_activity WHERE "
    "backend_type = 'client backend'; SELECT * FROM pg_prepared_xacts;\n"
    "Then run 11_write_freeze again; empty the target, and run 12_data_migration and 13_data_integrity again."
)


def finding(
    subject: str,
    status: Status,
    observed: str,
    why: str = "",
    remedy: str = "",
    *,
    title: str = "Nothing was written to the source between two looks",
    tables: Sequence[str] = (),
    evidence: Sequence[str] = (),
) -> Finding:
    """FRZ-no-writes."""
    return Finding(
        id="FRZ-no-writes",
        title=title,
        status=status,
        severity=Severity.BLOCKER,
        subject=subject,
        expected="no write in any table",
        observed=observed,
        why=why,
        remedy=remedy,
        evidence=tuple(evidence),
        data={"tables": list(tables)} if tables else {},
    )


def _moment(position: WritePosition) -> str:
    at = datetime.fromisoformat(position.at) if position.at else None
    return (f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown time") + f" (WAL {position.lsn or 'unknown'})"


def _rows(counts: tuple[int, int, int]) -> str:
    words = zip(counts, ("inserted", "updated", "deleted"), strict=True)
    said = [f"{n:,} {'row' if n == 1 else 'rows'} {word}" for n, word in words if n]
    return ", ".join(said) or "counted anew"


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
