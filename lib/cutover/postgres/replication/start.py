"""Beginning a replication: publication, schema, slot, subscription, the initial copy, and the rest of the schema."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from cutover.action import Change, Plan
from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Finding
from cutover.postgres.catalog import Expected
from cutover.postgres.connection import describe, explain, session
from cutover.postgres.freeze import Freeze
from cutover.postgres.replication.end import allow_writes, end_replication, writer
from cutover.postgres.replication.identity import unidentified
from cutover.postgres.replication.link import STATES, Link, LinkState, link_state, published_tables, qualified
from cutover.postgres.replication.preflight import refused
from cutover.postgres.replication.schema import copy_schema_after, copy_schema_before, missing_objects, schema_of
from cutover.postgres.replication.source_checks import check_identity
from cutover.postgres.replication.user_writes import Refusal, refused_writes
from cutover.postgres.replication.watch import check_following
from cutover.progress import Listener, Progress

POLL_S = 0.2
COPY_S = 12 * 3600.0
"""Seconds that the initial copy may take before this process stops waiting; the servers go on by themselves."""
_TRIES = 3
"""A worker that failed so often on the same table will not succeed by itself."""


class GiveReplicaIdentity:
    """Let tables without a key say which row is meant: REPLICA IDENTITY FULL, until they have a key.

    Tables that it would not help (what is generated is not sent) are left alone, and are named by `verify`.

    Args:
        source_url: its role owns the tables.
    """

    name = "replica-identity"

    def __init__(self, source_url: str) -> None:
        self._url = source_url

    def plan(self) -> Plan:
        """Which tables have none."""
        with session(self._url) as connection:
            before = {one.table: one.setting for one in unidentified(connection) if one.full}
        return Plan(
            self.name,
            describe(self._url),
            f"log whole rows of {', '.join(before)} for UPDATE and DELETE"
            if before
            else "there is no table that whole rows would help",
            tuple({"call": "sql", "arguments": {"statement": s}} for s in self._statements(before, "FULL")),
            before=before,
            after=dict.fromkeys(before, "full"),
            undo="; ".join(self._undoing(before)),
            empty=not before,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Alter the tables, waiting at most five seconds for each lock: users' statements queue behind it."""
        self._alter(self._statements(plan.after, "FULL"))
        return {"tables": list(plan.after)}

    def verify(self, change: Change) -> list[Finding]:
        """Every table has an identity now. Finding id: REP-identity."""
        with session(self._url) as connection:
            return [check_identity(connection, describe(self._url))]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Back to what it was; refused while a replication runs, which needs it."""
        self._alter(self._undoing(change.plan.before))
        return {"tables": list(change.plan.before)}

    def _alter(self, statements: Iterable[str]) -> None:
        with session(self._url, readonly=False) as connection:
            connection.execute("SET lock_timeout = '5s'")
            for statement in statements:
                connection.execute(statement.encode())

    def _undoing(self, before: Mapping[str, Any]) -> list[str]:
        # Journals of earlier versions say "none" of what was DEFAULT.
        clauses = {name: "DEFAULT" if was == "none" else str(was) for name, was in before.items()}
        return [statement for name, clause in clauses.items() for statement in self._statements([name], clause)]

    @staticmethod
    def _statements(names: Iterable[str], kind: str) -> list[str]:
        # Names come quoted from the server (regclass), so they are repeated as they are.
        return [f"ALTER TABLE {name} REPLICA IDENTITY {kind}" for name in names]


class StartReplication:
    """Begin to follow the source, and wait until every table streams; safe to repeat after whatever broke it off.

    The target refuses everybody else's writes from now on: a row that the application wrote into the copy would
    collide with one that arrives.

    Args:
        link: source, target and the name of it all.
        jobs: parallel connections for building indexes after the copy.
        progress: told of tables and rows that arrive.
        copy_s: seconds to wait for the initial copy.
        expected: differences of the catalog that are meant.
    """

    name = "start-replication"

    def __init__(
        self,
        link: Link,
        *,
        jobs: int = 2,
        progress: Listener | None = None,
        copy_s: float = COPY_S,
        expected: Iterable[Expected] = (),
    ) -> None:
        self._link, self._jobs, self._progress, self._copy_s = link, jobs, progress, copy_s
        self._expected = tuple(expected)

    def plan(self) -> Plan:
        """What is made on which side; empty when every table streams already."""
        link = self._link
        state = link_state(link)
        with session(link.source_url) as connection:
            tables = published_tables(connection)
        done = state.streaming and state.guarded and not missing_objects(link)
        source, target = describe(link.source_url), describe(link.target_url)
        statements = [
            (source, _publication(link, tables).as_string(None)),
            (source, "EXPLAIN UPDATE …; EXPLAIN DELETE … of each table and partition, before the publication is kept"),
            (target, "pg_dump --schema-only | pg_restore: types, tables, functions and keys"),
            (target, "ALTER DATABASE … SET default_transaction_read_only = on; other sessions are ended"),
            (source, f"SELECT pg_create_logical_replication_slot('{link.name}', 'pgoutput')"),
            (target, f"CREATE SUBSCRIPTION {link.name} … PUBLICATION {link.name}; every row is copied, then followed"),
            (target, "pg_restore: indexes, foreign keys, triggers, views' data; ANALYZE"),
        ]
        return Plan(
            self.name,
            link.subject,
            f"{target} follows {source} already"
            if done
            else f"let {target} follow {source}: {len(tables)} tables are copied while users go on",
            tuple({"call": "sql", "arguments": {"at": at, "statement": s}} for at, s in statements),
            before={"following": done},
            after={"following": True},
            undo="subscription, slot and publication are dropped; the target keeps what has arrived and is emptied by "
            "hand; the source is as it was",
            empty=done,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Make what is not there yet, wait for the copy, make the rest; nothing is made twice.

        Raises:
            ActionRefused: publishing would make the live source refuse its users' writes, by the catalog or by the
                server's own word; nothing is published.
            DatabaseError: a side refused, or the copy does not get on; what is there stays, and this can be repeated.
        """
        link, clock = self._link, time.monotonic()
        if hurt := refused(link):
            raise ActionRefused(
                f"{describe(link.source_url)} cannot be published as it is: {'; '.join(hurt)}.",
                why="the source would refuse UPDATE and DELETE on these tables, or the copy would stop at the first.",
                todo="see REP-identity in notebook 08: its change gives them one, or it says what each needs.",
            )
        state = link_state(link)
        if not state.subscription:
            if state.guarded:
                allow_writes(link)  # of an earlier attempt; settings of the database are made before it
            copy_schema_before(link)
            self._guard()
            self._publish(state)
            self._subscribe(state)
        elif not state.guarded:
            self._guard()
        tables = self._await_copy()
        copied = time.monotonic() - clock
        errors = [e for e in copy_schema_after(link, jobs=self._jobs) if e.loss]
        if errors:
            raise DatabaseError(
                f"{len(errors)} objects could not be made in {describe(link.target_url)}: "
                + "; ".join(f"{e.kind} {e.object}: {e.message}" for e in errors[:5]),
                why="the copy follows, but it lacks them.",
                todo="fix what it says and run this step again: what is there already is left alone.",
            )
        self._analyze()
        return {
            "name": link.name,
            "tables": len(tables),
            "copy_seconds": round(copied, 3),
            "seconds": round(time.monotonic() - clock, 3),
            "lsn": link_state(link).source_lsn,
            "schema": schema_of(link),
        }

    def verify(self, change: Change) -> list[Finding]:
        """It follows: see `check_following`."""
        return check_following(self._link, expected=self._expected, since=change.result.get("schema"))

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Remove all of it from the source, and the subscription from the target."""
        return end_replication(self._link)

    def _guard(self) -> None:
        freeze = Freeze(self._link.target_url)
        freeze.apply(freeze.plan())

    def _publish(self, state: LinkState) -> None:
        """Make the publication, unless users of the source would be refused because of it: then there is none.

        Raises:
            ActionRefused: the server refuses UPDATE or DELETE in a table of it.
        """
        link = self._link
        drop = sql.SQL("DROP PUBLICATION {}").format(link.identifier)
        with session(link.source_url, readonly=False) as connection:
            tables = published_tables(connection)
            same = set(state.published) == {qualified(connection, *table) for table in tables}
            with connection.transaction():
                # Locks that VACUUM and DDL wait for, and users' statements behind those: not for long.
                connection.execute("SET LOCAL lock_timeout = '5s'")
                if state.publication and not same:
                    connection.execute(drop)
                if not state.publication or not same:
                    connection.execute(_publication(link, tables))
                hurt = refused_writes(connection, link.name)
                if hurt:
                    raise psycopg.Rollback
            if hurt:
                if state.publication:
                    connection.execute(drop)
                raise _refused_to_users(link, hurt)

    def _subscribe(self, state: LinkState) -> None:
        link = self._link
        with session(link.source_url, readonly=False) as connection:
            if state.slot and state.slot_wal == "lost":
                connection.execute("SELECT pg_drop_replication_slot(%s)", (link.name,))
            if not state.slot or state.slot_wal == "lost":
                connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (link.name,))
        statement = sql.SQL(
            "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} WITH (create_slot = false, slot_name = {}, "
            "copy_data = true, streaming = on)"
        ).format(link.identifier, sql.Literal(link.conninfo), link.identifier, sql.Literal(link.name))
        with writer(link.target_url) as connection:
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                raise explain(error, link.source_url, "cannot be followed by the target") from error

    def _await_copy(self) -> tuple[str, ...]:
        """Wait until every table streams; tells how far each has come."""
        link, deadline, seen = self._link, time.monotonic() + self._copy_s, link_state(self._link)
        first = seen.errors
        while not seen.streaming:
            failed = {k: seen.errors.get(k, 0) - first.get(k, 0) for k in ("apply", "sync")}
            stuck = [f"{table} ({state})" for table, state in seen.tables.items() if state != STATES["r"]]
            if max(failed.values()) >= _TRIES or time.monotonic() > deadline or not seen.enabled:
                raise DatabaseError(
                    f"The initial copy does not get on: {', '.join(stuck[:8]) or 'no table is known'}; "
                    f"{failed['sync']} failed attempts to copy, {failed['apply']} to apply.",
                    why="the worker tries again and again and fails each time; users of the source notice nothing, "
                    "but its log is kept until this is fixed or undone.",
                    todo="the target's server log says why (RDS: its error log); fix it and run this step again, or "
                    "undo the replication with `stop` in notebook 08.",
                )
            if self._progress:
                self._progress(_copying(link, seen))
            time.sleep(POLL_S)
            seen = link_state(link)
        if self._progress:
            self._progress(_copying(link, seen))
        return tuple(seen.tables)

    def _analyze(self) -> None:
        if self._progress:
            self._progress(Progress("analyze", 0, 1, "databases"))
        with writer(self._link.target_url) as connection:
            connection.execute("ANALYZE")


def _copying(link: Link, state: LinkState) -> Progress:
    """Tables that stream, of all; rows of those that are being copied now."""
    done = sum(one == STATES["r"] for one in state.tables.values())
    with session(link.target_url) as connection:
        under_way = connection.execute(
            "SELECT relid::regclass::text, tuples_processed FROM pg_stat_progress_copy WHERE datname = "
            "current_database() AND command = 'COPY FROM' ORDER BY 2 DESC"
        ).fetchall()
    note = ", ".join(f"{table}: {rows:,} rows" for table, rows in under_way[:3])
    return Progress("copy", done, len(state.tables), "tables", note)


def _refused_to_users(link: Link, hurt: Sequence[Refusal]) -> ActionRefused:
    more = f"; and {len(hurt) - 8} more" if len(hurt) > 8 else ""
    return ActionRefused(
        f"{describe(link.source_url)} is not published: with the publication the server refuses its users "
        f"{'; '.join(map(str, hurt[:8]))}{more}.",
        why="users of the live source would have been refused; the publication was rolled back before anybody was.",
        todo="give each of these tables a primary key that is not DEFERRABLE over columns that are not generated, or "
        "such a unique index over NOT NULL columns and ALTER TABLE … REPLICA IDENTITY USING INDEX …; where the words "
        "are about a right or a policy, connect as a role that may. Then run this step again, or take the other way: "
        "transfer: dump.",
    )


def _publication(link: Link, tables: Iterable[tuple[str, str]]) -> sql.Composed:
    names = sql.SQL(", ").join(sql.Identifier(schema, table) for schema, table in tables)
    return sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)").format(
        link.identifier, names
    )
