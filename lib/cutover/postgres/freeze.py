"""The write freeze of a database: new sessions are read-only, old ones are ended, and a write is really refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from cutover.action import Change, Plan
from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import READ_ONLY, connect, describe, forced, one_line, session

SETTING = READ_ONLY


class Freeze:
    """Make a database refuse writes.

    `ALTER DATABASE … SET default_transaction_read_only = on` holds for new sessions only, so the other sessions of
    this database are ended (ours and the server's own are left alone); the application connects again, read-only.
    A session may still set it off for itself, and a transaction that was prepared before may be committed after:
    `second_look` is the proof that none did.

    Args:
        source_url: the database; the role must own it.
        terminate: end other sessions (otherwise those that are open may go on writing).
        wait_s: seconds to wait for a session to end.
    """

    name = "freeze-database"

    def __init__(self, source_url: str, *, terminate: bool = True, wait_s: float = 5.0) -> None:
        self.url, self.terminate, self.wait_s = source_url, terminate, wait_s

    def plan(self) -> Plan:
        """Look at the setting as it is stored now; change nothing."""
        with session(self.url) as connection:
            before = _stored(connection)
        requests: list[Mapping[str, Any]] = [{"call": "sql", "arguments": {"statement": self._statement("on")}}]
        if self.terminate:
            statement = "SELECT pg_terminate_backend(pid) for every other client session of this database"
            requests.append({"call": "sql", "arguments": {"statement": statement}})
        return Plan(
            action=self.name,
            subject=describe(self.url),
            summary="Refuse writes in the source database" + (" and end the sessions in it" if self.terminate else ""),
            requests=tuple(requests),
            before={SETTING: before},
            after={SETTING: "on"},
            # Frozen already, so by an earlier run of this step: the way back is the normal state, not "on" again.
            undo=self._statement(None if before == "on" else before),
            empty=before == "on" and not self.terminate,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Set it, then end the other sessions; returns how many ended and which could not be ended.

        Raises:
            DatabaseError: the setting was refused (the role does not own the database).
        """
        with session(self.url, readonly=False) as connection:
            self._set(connection, str(plan.after[SETTING]))
            since = connection.execute("SELECT clock_timestamp()::text").fetchone()
            ended, left = self._end_sessions(connection) if self.terminate else (0, [])
            unseen = [row[0] for row in connection.execute(_OTHERS, (None, "-infinity"))]
        told = {"since": since[0] if since else "", "ended": ended, "left": left, "unseen": unseen}
        return {SETTING: plan.after[SETTING], **told}

    def verify(self, change: Change) -> list[Finding]:
        """Try to write in a new session, and look for whoever the freeze does not reach.

        Finding ids: FRZ-refused, FRZ-old-sessions, FRZ-prepared, FRZ-exempt.
        """
        since, unseen = str(change.result.get("since", "")), list(change.result.get("unseen", ()))
        with session(self.url) as connection:
            unreached = [_prepared(connection, self.url), _exempt(connection, self.url)]
        return [check_refused(self.url), self._old_sessions(since, unseen), *unreached]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Set what was stored before; sessions that the freeze made read-only keep it until they connect again."""
        before = change.plan.before.get(SETTING)
        before = None if before == "on" else before
        with session(self.url, readonly=False) as connection:
            self._set(connection, None if before is None else str(before))
            ended, left = self._end_sessions(connection) if self.terminate else (0, [])
        return {SETTING: before, "ended": ended, "left": left}

    def _set(self, connection: psycopg.Connection[Any], value: str | None) -> None:
        # Once frozen, our own sessions start read-only too; this one may write.
        connection.execute("SELECT set_config('default_transaction_read_only', 'off', false)")
        connection.execute(self._statement(value))

    def _statement(self, value: str | None) -> str:
        with connect(self.url) as connection:
            database = sql.Identifier(connection.info.dbname)
        change = sql.SQL("SET {} = {}").format(sql.SQL(SETTING), sql.Literal(value)) if value else None
        reset = sql.SQL("RESET {}").format(sql.SQL(SETTING))
        return sql.SQL("ALTER DATABASE {} {}").format(database, change or reset).as_string(None)

    def _end_sessions(self, connection: psycopg.Connection[Any]) -> tuple[int, list[str]]:
        """End every other client session of this database; how many ended, and who could not be ended and why."""
        ended, left = 0, []
        for pid, who in connection.execute(_OTHERS, (None, "infinity")).fetchall():
            try:
                row = connection.execute(
                    "SELECT pg_terminate_backend(%s, %s)", (pid, int(self.wait_s * 1000))
                ).fetchone()
            except psycopg.Error as error:
                left.append(f"{who}: {one_line(error, self.url)}")
                continue
            ended += bool(row and row[0])
            if not row or not row[0]:
                left.append(f"{who}: did not end within {self.wait_s:g} s")
        return ended, left

    def _old_sessions(self, since: str, unseen: list[int]) -> Finding:
        with session(self.url) as connection:
            old = [str(row[1]) for row in connection.execute(_OTHERS, (unseen, since or "infinity"))]
        return Finding.check(
            "FRZ-old-sessions",
            "No session from before the freeze is still open",
            old,
            severity=Severity.HIGH,
            subject=describe(self.url),
            expected="none: such a session may go on writing",
            observed="; ".join(old[:10]) or "none",
            why="The setting holds for new sessions only.",
            remedy="Stop that program, or as its own role or a superuser: SELECT pg_terminate_backend(pid);",
        )


_OTHERS = (
    "SELECT pid, format('%%s from %%s, application %%s, pid %%s', usename, coalesce(host(client_addr), 'here'), "
    "application_name, pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND usename IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend' "
    "AND coalesce(application_name, '') NOT LIKE 'cutover%%' "
    "AND CASE WHEN backend_start IS NULL THEN pid = ANY (coalesce(%s::int[], ARRAY[pid])) "
    "ELSE backend_start < %s::timestamptz END"
)
"""Sessions from before a moment. Of another role's session this one may see no more than that it is there: it is from
before when its number was there already; with NULL for these numbers, all such are taken."""


def _prepared(connection: psycopg.Connection[Any], url: str) -> Finding:
    """A prepared transaction belongs to no session: its writes appear when somebody commits it, freeze or not."""
    rows = connection.execute(
        "SELECT gid, owner, prepared::timestamptz(0)::text FROM pg_prepared_xacts WHERE database = current_database() "
        "ORDER BY prepared"
    ).fetchall()
    end = "\n".join(sql.SQL("ROLLBACK PREPARED {};").format(sql.Literal(gid)).as_string(None) for gid, *_ in rows)
    return Finding.check(
        "FRZ-prepared",
        "No prepared transaction waits to be committed",
        rows,
        severity=Severity.HIGH,
        subject=describe(url),
        expected="none: it can be committed in the middle of the copy",
        observed="; ".join(f"{gid} of {owner}, since {since}" for gid, owner, since in rows[:10]) or "none",
        why="No session holds it and no freeze ends it.",
        remedy=f"Ask its transaction manager how it ended, then COMMIT PREPARED it, or:\n{end}",
    )


def _exempt(connection: psycopg.Connection[Any], url: str) -> Finding:
    """A setting of a role wins over the database's; a subscription writes without asking for it."""
    roles = connection.execute(
        "SELECT DISTINCT r.rolname FROM pg_db_role_setting d JOIN pg_roles r ON r.oid = d.setrole "
        "CROSS JOIN unnest(d.setconfig) s WHERE lower(split_part(s, '=', 1)) = %s "
        "AND lower(split_part(s, '=', 2)) IN ('off', 'false', 'no', '0', 'f', 'n') "
        "AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1",
        (SETTING,),
    ).fetchall()
    subscriptions = connection.execute(
        "SELECT subname FROM pg_stat_subscription s WHERE pid IS NOT NULL AND EXISTS (SELECT FROM pg_database d "
        "WHERE d.datname = current_database() AND d.oid = (SELECT datid FROM pg_stat_activity a WHERE a.pid = s.pid))"
    ).fetchall()
    names = [str(name) for (name,) in roles]
    told = [f"role {name} has {SETTING} = off" for name in names]
    told += [f"subscription {name} writes what another server sends" for (name,) in subscriptions]
    fix = [sql.SQL("ALTER ROLE {} RESET {};").format(sql.Identifier(n), sql.SQL(SETTING)) for n in names]
    fix += [sql.SQL("ALTER SUBSCRIPTION {} DISABLE;").format(sql.Identifier(str(name))) for (name,) in subscriptions]
    return Finding.check(
        "FRZ-exempt",
        "Nobody is exempt from the freeze",
        told,
        severity=Severity.HIGH,
        subject=describe(url),
        expected="no role with a setting of its own, no subscription that writes",
        observed="; ".join(told[:10]) or "none",
        why="It goes on writing while the database refuses everybody else.",
        remedy="\n".join(statement.as_string(None) for statement in fix),
    )


def check_refused(url: str) -> Finding:
    """Try to create a table in a new session (rolled back whatever happens); PASS when it is refused as read-only.

    PASS as well where an ordinary session is refused while one with `TAKES_WRITES` is let in: then a login event
    trigger that writes keeps everybody out.

    Finding id: FRZ-refused.
    """
    status, observed = Status.FAIL, "the write was accepted (and rolled back)"
    try:
        connection = connect(url, readonly=False, autocommit=False, force=False)
    except DatabaseError as error:
        status, observed = _shut(url), error.what
    else:
        try:
            connection.execute("CREATE TABLE public.cutover_write_probe (probe int)")
        except psycopg.errors.ReadOnlySqlTransaction as error:
            status, observed = Status.PASS, one_line(error, url)
        except psycopg.Error as error:
            # Refused for another reason (no right to create here): that says nothing about the freeze.
            status, observed = Status.UNKNOWN, one_line(error, url)
        finally:
            connection.rollback()
            connection.close()
    return Finding.check(
        "FRZ-refused",
        "A write in a new session is refused",
        status,
        severity=Severity.BLOCKER,
        subject=describe(url),
        expected="cannot execute … in a read-only transaction",
        observed=observed,
        why="Rows written from now on would be lost.",
        remedy="As the owner: ALTER DATABASE … SET default_transaction_read_only = on; then end the open sessions.",
    )


def _shut(url: str) -> Status:
    """PASS when it is the freeze that refuses sessions (a session with `TAKES_WRITES` is let in); else UNKNOWN."""
    try:
        with session(url) as connection:
            return Status.PASS if forced(connection) and _stored(connection) == "on" else Status.UNKNOWN
    except DatabaseError:
        return Status.UNKNOWN


def _stored(connection: psycopg.Connection[Any]) -> str | None:
    """The database's own value of the setting; None when it has none."""
    row = connection.execute(
        "SELECT split_part(s, '=', 2) FROM pg_db_role_setting d CROSS JOIN unnest(d.setconfig) s WHERE d.setrole = 0 "
        "AND d.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND split_part(s, '=', 1) = %s",
        (SETTING,),
    ).fetchone()
    return str(row[0]) if row else None
