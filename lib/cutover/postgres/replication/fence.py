"""The switchover LSN: the source's last log position, waited for on the target; then sequences."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import sql

from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import describe, session
from cutover.postgres.freeze import check_refused
from cutover.postgres.replication.end import writer
from cutover.postgres.replication.link import Connection, Link, link_state
from cutover.progress import Listener, Progress

_SEQUENCES = "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) FROM pg_sequences ORDER BY 1"


@dataclass(frozen=True, slots=True)
class Fence:
    """A position of the source's log after which no user wrote.

    Attributes:
        lsn: every commit of a user lies before it.
        at: the source's clock, ISO 8601 UTC.
        replayed_s: seconds that the target needed to reach it; None until it has.
    """

    lsn: str
    at: str
    replayed_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def record_switchover_lsn(link: Link) -> Fence:
    """Mark the end of a frozen source's log, on its disk.

    Raises:
        ActionRefused: the source still takes writes, so no position is the last.
        DatabaseError: the source cannot be reached.
    """
    refused = check_refused(link.source_url)
    if refused.status is not Status.PASS:
        raise ActionRefused(
            f"{describe(link.source_url)} still takes writes: {refused.observed}.",
            why="a write after the switchover LSN would be lost.",
            todo=refused.remedy,
        )
    with writer(link.source_url) as connection:
        # Committed to disk, and every commit before it with it: a stream carries only what is on the source's disk.
        connection.execute("SET synchronous_commit = on")
        row = connection.execute(
            "SELECT pg_logical_emit_message(true, 'cutover', %s)::text, clock_timestamp()", (link.name,)
        ).fetchone()
    assert row is not None  # noqa: S101 - one row, always
    at: datetime = row[1]
    return Fence(str(row[0]), at.astimezone(UTC).isoformat())


def wait_replayed(link: Link, fence: Fence, *, timeout_s: float = 60.0, progress: Listener | None = None) -> Fence:
    """Wait until the target has committed everything before the switchover LSN; the fence with the time it took.

    Raises:
        DatabaseError: it did not within `timeout_s`, or a table does not stream.
    """
    clock = time.monotonic()
    while True:
        state = link_state(link)
        if state.streaming and state.replayed and _position(state.replayed) >= _position(fence.lsn):
            return Fence(fence.lsn, fence.at, round(time.monotonic() - clock, 3))
        waited = time.monotonic() - clock
        if waited > timeout_s:
            stuck = [f"{table} ({how})" for table, how in state.tables.items() if how != "streaming"]
            raise DatabaseError(
                f"{describe(link.target_url)} has not reached the switchover LSN {fence.lsn} after {waited:.0f} s: "
                "it is at "
                f"{state.replayed or 'no known position'}" + (f"; {', '.join(stuck[:6])}" if stuck else "")
                + (f"; failed attempts: {dict(state.errors)}" if any(state.errors.values()) else "") + ".",
                why="what lies between is not in the copy, and users are refused meanwhile.",
                todo="let users back in (the switch-over does so by itself), then see REP-errors and REP-lag in "
                "notebook 08.",
            )  # fmt: skip
        if progress:
            progress(Progress("catch-up", state.behind_bytes or 0, 0, "bytes", state.replayed))
        time.sleep(0.05)


def sync_sequences(link: Link) -> dict[str, int]:
    """Set every sequence of the target to exactly where the frozen source's stands; those that moved, with values.

    Raises:
        DatabaseError: one cannot be read or set.
    """
    with session(link.source_url) as connection:
        wanted = _values(connection)
    with writer(link.target_url) as connection:
        there = _values(connection)
        moved = {name: value for name, value in wanted.items() if there.get(name) != value}
        with connection.transaction():
            for name, (last, called) in moved.items():
                connection.execute("SELECT setval(%s::regclass, %s, %s)", (name, last, called))
    return {name: last for name, (last, _) in moved.items()}


def check_fence(fence: Mapping[str, Any], sequences: Mapping[str, int], subject: str) -> list[Finding]:
    """What was done at the switchover LSN, as findings REP-fence and REP-sequences."""
    seconds = fence.get("replayed_s")
    return [
        Finding.check(
            "REP-fence",
            "The copy holds everything up to the last write",
            seconds is None,
            severity=Severity.BLOCKER,
            subject=subject,
            expected=f"everything before {fence.get('lsn')} committed on the target",
            observed=f"{fence.get('lsn')} reached {seconds:.2f} s after it was recorded at {fence.get('at')}"
            if seconds is not None
            else "it was not reached",
            data={"lsn": fence.get("lsn"), **({"seconds": seconds} if seconds is not None else {})},
        ),
        Finding.check(
            "REP-sequences",
            "Every sequence was brought forward to where the source's stands",
            Status.PASS if seconds is not None else Status.UNKNOWN,
            severity=Severity.BLOCKER,
            subject=subject,
            expected="the source's own values",
            observed=f"{len(sequences)} set" if seconds is not None else "not reached",
            data={"sequences": len(sequences)},
        ),
    ]


def _values(connection: Connection) -> dict[str, tuple[int, bool]]:
    """Every sequence's last value, and whether it was handed out."""
    names = [str(row[0]) for row in connection.execute(_SEQUENCES)]
    if not names:
        return {}
    # Names come quoted from the server, so they are repeated as they are.
    query = sql.SQL("SELECT {}, last_value, is_called FROM {}")
    parts = [query.format(sql.Literal(name), sql.SQL(name)) for name in names]
    return {str(n): (int(v), bool(c)) for n, v, c in connection.execute(sql.SQL(" UNION ALL ").join(parts))}


def _position(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)
