"""Ending a replication: nothing of it stays, above all no slot, which would fill the source's disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from cutover.action import Change, Plan
from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import describe, one_line, session
from cutover.postgres.freeze import Freeze
from cutover.postgres.replication.link import Connection, Link, link_state

_SLOT_S = 15.0
"""Seconds until a slot whose reader was ended must be free."""


class EndReplication:
    """Drop subscription, slot and publication, and let others write into the target again; the rows stay.

    Args:
        link: source, target and the name of it all.
    """

    name = "end-replication"

    def __init__(self, link: Link) -> None:
        self._link = link

    def plan(self) -> Plan:
        """What of it there is."""
        link, state = self._link, link_state(self._link)
        there = {
            "publication": state.publication,
            "slot": state.slot,
            "subscription": state.subscription,
            "guard": state.guarded,
        }
        return Plan(
            self.name,
            link.subject,
            "drop the replication: " + ", ".join(k for k, v in there.items() if v)
            if any(there.values())
            else "there is no replication",
            (
                {"call": "sql", "arguments": {"at": "target", "statement": f"DROP SUBSCRIPTION {link.name}"}},
                {
                    "call": "sql",
                    "arguments": {"at": "source", "statement": f"SELECT pg_drop_replication_slot('{link.name}')"},
                },
                {"call": "sql", "arguments": {"at": "source", "statement": f"DROP PUBLICATION {link.name}"}},
            ),
            before=there,
            after=dict.fromkeys(there, False),
            undo="begin it anew with notebook 08, into an emptied target",
            empty=not any(there.values()),
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Drop what is there.

        Raises:
            DatabaseError: a side refused; the message says what is left and how it is removed by hand.
        """
        return end_replication(self._link)

    def verify(self, change: Change) -> list[Finding]:
        """Nothing is left on either side. Finding id: REP-end."""
        return [check_ended(self._link)]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Cannot be undone: what was written since is not in the copy."""
        raise ActionRefused(
            "A replication that was ended cannot be taken up again.",
            why="the source keeps nothing for it any more.",
            todo="empty the target and begin anew with notebook 08.",
        )


def end_replication(link: Link, *, guard: bool = True) -> dict[str, Any]:
    """Drop what there is of it, on both sides; safe to repeat.

    Args:
        link: source, target and the name of it all.
        guard: also let others write into the target again.

    Raises:
        DatabaseError: a side refused.
    """
    dropped: dict[str, Any] = {"subscription": _drop_subscription(link)}
    dropped |= _clear_source(link, dropped["subscription"])
    if guard and link_state(link).guarded:
        dropped["guard"] = allow_writes(link)
    return dropped


def pause_replication(link: Link) -> None:
    """Let nothing more arrive; the rest can be taken down when nobody waits. Safe to repeat.

    Raises:
        DatabaseError: the target refused.
    """
    _set_enabled(link, enabled=False)


def resume_replication(link: Link) -> None:
    """Let it go on where it was paused. Safe to repeat; nothing where there is none.

    Raises:
        DatabaseError: the target refused.
    """
    _set_enabled(link, enabled=True)


def _set_enabled(link: Link, *, enabled: bool) -> None:
    known = (
        "SELECT 1 FROM pg_subscription WHERE subname = %s AND subenabled <> %s "
        "AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with writer(link.target_url) as connection:
        if connection.execute(known, (link.name, enabled)).fetchone():
            word = sql.SQL("ENABLE" if enabled else "DISABLE")
            connection.execute(sql.SQL("ALTER SUBSCRIPTION {} {}").format(link.identifier, word))


def allow_writes(link: Link) -> bool:
    """Let others write into the target; their open sessions are ended, so that they come back as writers."""
    freeze = Freeze(link.target_url)
    plan = freeze.plan()
    freeze.undo(Change(plan, {}, "", 0.0))
    return True


def check_ended(link: Link) -> Finding:
    """Whether nothing of the replication is left on either side. Finding id: REP-end."""
    title = "Nothing of the replication is left"
    try:
        state = link_state(link)
        with session(link.source_url) as connection:
            slots = [str(r[0]) for r in connection.execute(
                "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = %s "
                "OR slot_name ~ '^pg_[0-9]+_sync_' AND NOT active AND database = current_database()", (link.name,)
            )]  # fmt: skip
    except DatabaseError as error:
        return Finding("REP-end", title, Status.UNKNOWN, Severity.HIGH, link.subject, observed=error.what)
    left = [k for k, v in (("publication", state.publication), ("subscription", state.subscription)) if v]
    left += [f"slot {name}" for name in slots]
    remedies = [f"On the source: SELECT pg_drop_replication_slot('{name}');" for name in slots]
    remedies += [f"On the source: DROP PUBLICATION {link.name};"] if state.publication else []
    remedies += [f"On the target: DROP SUBSCRIPTION {link.name};"] if state.subscription else []
    return Finding.check(
        "REP-end",
        title,
        left,
        severity=Severity.HIGH,
        subject=link.subject,
        expected="no publication, no slot, no subscription",
        observed=", ".join(left) or "none",
        why="A slot that nobody reads keeps the source's log until its disk is full.",
        remedy="\n".join(remedies),
    )


@contextmanager
def writer(url: str) -> Iterator[Connection]:
    """A session that may write where others may not: in the guarded target, or in the frozen source."""
    with session(url, readonly=False) as connection:
        connection.execute("SELECT set_config('default_transaction_read_only', 'off', false)")
        yield connection


def _drop_subscription(link: Link) -> int | None:
    """Drop it, with its slots when the target reaches the source; its number, or None when there was none."""
    with writer(link.target_url) as connection:
        row = connection.execute(
            "SELECT oid FROM pg_subscription WHERE subname = %s AND subdbid = (SELECT oid FROM pg_database "
            "WHERE datname = current_database())",
            (link.name,),
        ).fetchone()
        if row is None:
            return None
        # Disabled and cut from its slot first: then it can be dropped although the source may not be reachable.
        for statement in ("ALTER SUBSCRIPTION {} DISABLE", "ALTER SUBSCRIPTION {} SET (slot_name = NONE)"):
            connection.execute(sql.SQL(statement).format(link.identifier))
        connection.execute(sql.SQL("DROP SUBSCRIPTION {}").format(link.identifier))
        return int(row[0])


def _clear_source(link: Link, subscription: int | None) -> dict[str, Any]:
    """Drop the slots, of the stream and of tables that were being copied, and the publication."""
    with writer(link.source_url) as connection:
        names = [
            str(row[0])
            for row in connection.execute(
                "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = %s OR slot_name LIKE %s",
                (link.name, f"pg\\_{subscription or 0}\\_sync\\_%"),
            )
        ]
        for name in names:
            _drop_slot(connection, name, describe(link.source_url))
        connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(link.identifier))
    return {"slots": names, "publication": True}


def _drop_slot(connection: Connection, name: str, subject: str) -> None:
    """Drop a slot; its reader is ended when it does not go by itself."""
    deadline = time.monotonic() + _SLOT_S
    while True:
        try:
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
            )
            return
        except psycopg.errors.ObjectInUse as error:
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"The slot {name} on {subject} is still in use: {one_line(error)}",
                    why="a slot that stays keeps the source's log until its disk is full.",
                    todo="end its reader, whose active_pid stands in pg_replication_slots, then: "
                    f"SELECT pg_drop_replication_slot('{name}');",
                ) from error
            connection.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active",
                (name,),
            )
            time.sleep(0.1)
