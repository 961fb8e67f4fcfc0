"""How a comparison keeps out of the way of a server that is at work."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from cutover.errors import DatabaseError
from cutover.postgres.connection import one_line

_ACTIVE = (
    "SELECT count(*) FILTER (WHERE state = 'active' AND backend_type = 'client backend' "
    "AND application_name NOT LIKE 'cutover%'), "
    # Of others' sessions a role without the right sees the database and the user alone.
    "count(*) FILTER (WHERE backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL) "
    "FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
)
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What a comparison allows itself on a server.

    Attributes:
        statement_timeout_s: the server ends one of our statements after so long; its table is then NOT_COMPARED.
            None leaves statements to end by themselves; they are short, for large tables are read in pieces.
        lock_timeout_s: the same for a lock that is not granted; a person's statement never waits long behind ours.
        max_load: begin no piece while more other sessions than this are active on the server; None does not look.
            It wants a role that may see others' sessions (pg_monitor or pg_read_all_stats).
        max_wait_s: wait for a busy server no longer than this, in all; what was not read by then is NOT_COMPARED.
        idle: the share of its time that each of our sessions rests between pieces, 0 (never) to 0.9.
    """

    statement_timeout_s: float | None = None
    lock_timeout_s: float = 5.0
    max_load: int | None = None
    max_wait_s: float = 1800.0
    idle: float = 0.0

    def settle(self, connection: psycopg.Connection[Any], *, reads_rows: bool = True) -> None:
        """Set the timeouts for the transaction that is open in a session; for statements only where it reads rows."""
        statement_s = self.statement_timeout_s if reads_rows else None
        for name, seconds in (("lock_timeout", self.lock_timeout_s), ("statement_timeout", statement_s)):
            if seconds is not None:
                value = f"{max(1, round(seconds * 1000))}ms"
                connection.execute("SELECT set_config(%s, %s, true)", (name, value))


class Throttle:
    """Holds the sessions of one side back while its server is busy, and lets them rest between pieces."""

    def __init__(self, load_limits: LoadLimits) -> None:
        self.load_limits = load_limits
        self.waited_s = 0.0
        self._lock = threading.Lock()
        self._looked = 0.0

    def wait(self, connection: psycopg.Connection[Any], stopping: threading.Event) -> None:
        """Return when the server is at leisure, or somebody says stop.

        Raises:
            DatabaseError: it stayed busy for `max_wait_s`, or does not tell this role how busy it is.
        """
        limit = self.load_limits.max_load
        if limit is None:
            return
        with self._lock:  # one session looks for all; the others wait with it
            if time.monotonic() - self._looked < _LOOK_S:
                return
            while not stopping.is_set():
                active = _active(connection)
                if active <= limit:
                    break
                if self.waited_s >= self.load_limits.max_wait_s:
                    raise DatabaseError(
                        f"The server was busy for {self.waited_s:.0f} s: {active} active sessions, "
                        f"and {limit} is the most that was allowed",
                        todo="compare at a quieter hour, or allow a higher load.",
                    )
                stopping.wait(_LOOK_S)
                self.waited_s += _LOOK_S
            self._looked = time.monotonic()

    def rest(self, worked_s: float, stopping: threading.Event) -> None:
        """Rest in proportion to the work that was done."""
        share = min(0.9, max(0.0, self.load_limits.idle))
        if share:
            stopping.wait(worked_s * share / (1 - share))


def _active(connection: psycopg.Connection[Any]) -> int:
    try:
        with connection.transaction():
            # Within a transaction the view would be the one of its first look.
            connection.execute("SELECT pg_stat_clear_snapshot()")
            row = connection.execute(_ACTIVE).fetchone()
    except psycopg.Error as error:
        raise DatabaseError(f"The server does not tell its load: {one_line(error)}") from error
    active, hidden = row or (0, 0)
    if hidden:
        raise DatabaseError(
            f"The server hides from this role whether {hidden} other sessions are active, so its load is not known: "
            "GRANT pg_read_all_stats TO the role that compares",
            todo="Grant that, or compare without a limit of load.",
        )
    return int(active)
