"""What a source must allow before it is replicated, and what is not carried or carried another way."""

from __future__ import annotations

from cutover.finding import Finding, Severity, Status
from cutover.postgres.replication.checks import ELSE, NOT_EXTENSION, USERS, listed, names_of, one, told
from cutover.postgres.replication.identity import incomparable, unidentified
from cutover.postgres.replication.link import Connection

LEAST_WAL_KEPT = 2**30
"""Bytes: a slot that is dropped after less of a lag than this will be dropped in the middle of an initial copy."""


def _wal_level(connection: Connection, subject: str, _: bool) -> Finding:
    """The source writes its log in enough detail to replicate from."""
    (level,) = one(connection, "SELECT current_setting('wal_level')")
    return Finding.check(
        "REP-wal-level",
        "The source writes its log in enough detail to replicate from",
        level != "logical",
        severity=Severity.BLOCKER,
        subject=subject,
        expected="wal_level = logical",
        observed=f"wal_level = {level}",
        why="Without it no slot can be made; the change needs a restart of the source.",
        remedy="Own server: ALTER SYSTEM SET wal_level = logical; and restart. Neon (Replit): switch on logical "
        f"replication in the project's settings. RDS: rds.logical_replication = 1 and reboot. "
        f"{ELSE[0].upper()}{ELSE[1:]}.",
    )


def _rights(connection: Connection, subject: str, _: bool) -> Finding:
    """Our role on the source may replicate."""
    user, superuser, replication, rds = one(
        connection,
        "SELECT current_user::text, rolsuper, rolreplication, coalesce((SELECT pg_has_role(current_user, oid, 'USAGE') "
        "FROM pg_roles WHERE rolname IN ('rds_replication', 'rds_superuser') ORDER BY 1 DESC LIMIT 1), false) "
        "FROM pg_roles WHERE rolname = current_user",
    )
    held = [n for n, has in (("superuser", superuser), ("REPLICATION", replication), ("rds_replication", rds)) if has]
    return Finding.check(
        "REP-rights",
        "Our role on the source may replicate",
        not held,
        severity=Severity.BLOCKER,
        subject=subject,
        expected="the attribute REPLICATION, or membership of rds_replication",
        observed=f"{user}: {', '.join(held) or 'neither'}",
        why="The slot and the stream would be refused.",
        remedy=f'As an administrator: ALTER ROLE "{user}" REPLICATION;  (RDS: GRANT rds_replication TO "{user}";) '
        f"{ELSE}.",
    )


def _publish(connection: Connection, subject: str, _: bool) -> Finding:
    """Our role may publish every table of the source."""
    (user, create) = one(connection, "SELECT current_user::text, has_database_privilege(current_database(), 'CREATE')")
    foreign = names_of(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND {USERS} "
        f"AND {NOT_EXTENSION} AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
    )
    said = [] if create else ["no right to CREATE in the database"]
    said += [f"not the owner of {listed(foreign)}"] if foreign else []
    return Finding.check(
        "REP-publish",
        "Our role may publish every table of the source",
        said,
        severity=Severity.BLOCKER,
        subject=subject,
        expected="CREATE on the database, and ownership of every table",
        observed="; ".join(said) or "it may",
        why="A table that is not published does not arrive.",
        remedy=f'GRANT CREATE ON DATABASE … TO "{user}"; connect as the owner of the tables, or get its role; {ELSE}.',
        data={"tables": foreign[:50]},
    )


def _slots(connection: Connection, subject: str, running: bool) -> Finding:
    """The source has replication slots to spare."""
    most, used, sync = one(
        connection,
        "SELECT current_setting('max_replication_slots')::int, (SELECT count(*)::int FROM pg_replication_slots), 2",
    )
    needed = 0 if running else 1 + sync
    return Finding.check(
        "REP-slots",
        "The source has replication slots to spare",
        most - used < needed,
        severity=Severity.BLOCKER,
        subject=subject,
        expected=f"{needed} free: one that stays, and one for each table that is copied at the same time",
        observed=f"{most - used} of {most} free",
        why="The initial copy would wait for ever.",
        remedy=f"Drop slots that nobody uses (SELECT pg_drop_replication_slot('…')), or raise "
        f"max_replication_slots; {ELSE}.",
    )


def _senders(connection: Connection, subject: str, running: bool) -> Finding:
    """The source has walsenders to spare."""
    most, used = one(
        connection,
        "SELECT current_setting('max_wal_senders')::int, (SELECT count(*)::int FROM pg_stat_replication)",
    )
    needed = 0 if running else 3
    return Finding.check(
        "REP-senders",
        "The source has walsenders to spare",
        most - used < needed,
        severity=Severity.BLOCKER,
        subject=subject,
        expected=f"{needed} free",
        observed=f"{most - used} of {most} free",
        why="The stream would be refused.",
        remedy=f"Raise max_wal_senders (needs a restart), or end a replica that is not needed; {ELSE}.",
    )


def _wal_kept(connection: Connection, subject: str, _: bool) -> Finding:
    """The source keeps its log for as long as the copy may take."""
    kept, shown = one(
        connection,
        "SELECT CASE setting WHEN '-1' THEN -1 ELSE pg_size_bytes(current_setting(name)) END, current_setting(name) "
        "FROM pg_settings WHERE name = 'max_slot_wal_keep_size'",
    )
    return Finding.check(
        "REP-wal-kept",
        "The source keeps its log for as long as the copy may take",
        0 <= kept < LEAST_WAL_KEPT,
        severity=Severity.HIGH,
        subject=subject,
        expected="max_slot_wal_keep_size = -1, or at least 1 GB",
        observed=f"max_slot_wal_keep_size = {shown}"
        + (": no limit, so watch the source's disk while it is copied" if kept < 0 else ""),
        why="A slot that falls behind by more is dropped, and everything begins anew.",
        remedy=f"ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; SELECT pg_reload_conf(); {ELSE}.",
        data={"bytes": int(kept)},
    )


_KEY = (
    "a primary key that is not DEFERRABLE, over columns that are not generated; or such a unique index over NOT NULL "
    "columns and ALTER TABLE … REPLICA IDENTITY USING INDEX …"
)


def check_identity(connection: Connection, subject: str, _: bool = False) -> Finding:
    """Every table says which row is meant. Finding id: REP-identity.

    Its data: `tables`, and of them `by_key`, those that REPLICA IDENTITY FULL would not help.
    """
    found = unidentified(connection)
    by_key = [one.table for one in found if not one.full]
    remedy = [f"ALTER TABLE {one.table} REPLICA IDENTITY FULL;  -- or add a primary key" for one in found if one.full]
    if remedy:
        remedy.append(
            "Notebook 08 offers this as a change of its own. On a large table that is updated often FULL is slow: "
            "add a key instead."
        )
    if by_key:
        remedy.append(f"{listed(by_key)}: FULL would not do. Give it {_KEY}; {ELSE}.")
    return Finding.check(
        "REP-identity",
        "Every table has a replica identity",
        found,
        severity=Severity.BLOCKER,
        subject=subject,
        expected="a primary key that is not DEFERRABLE, of columns that are not generated; or REPLICA IDENTITY",
        observed=f"without: {listed([f'{one.table} ({one.why})' for one in found])}"
        if found
        else "every table has one",
        why="From the moment such a table is published, the source refuses UPDATE and DELETE on it, and users notice; "
        "or the copy stops at the first of them, where what identifies a row is not sent.",
        remedy="\n".join(remedy),
        data={"tables": [one.table for one in found][:50], "by_key": by_key[:50]},
    )


def _comparable(connection: Connection, subject: str, _: bool) -> Finding:
    """Rows of tables without a key can be told apart."""
    names = incomparable(connection)
    return Finding.check(
        "REP-comparable",
        "Rows of tables without a key can be told apart",
        names,
        severity=Severity.HIGH,
        subject=subject,
        expected="no column, in a table whose replica identity is its whole row, of a type that knows no equality",
        observed=listed(names) or "none",
        why="The first UPDATE or DELETE on such a table stops the copy: its row cannot be found.",
        remedy=f"Give the table {_KEY}; {ELSE}.",
        data={"columns": names[:50]},
    )


def _unlogged(connection: Connection, subject: str, _: bool) -> Finding:
    """No table is unlogged."""
    names = names_of(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {USERS} ORDER BY 1",
    )
    return Finding.check(
        "REP-unlogged",
        "No table is kept out of the log",
        names,
        severity=Severity.HIGH,
        subject=subject,
        expected="no UNLOGGED table",
        observed=listed(names) or "none",
        why="What is not in the log does not replicate: its rows would be missing at the switchover LSN.",
        remedy="\n".join(f"ALTER TABLE {name} SET LOGGED;" for name in names) + f"\n{ELSE}.",
        data={"tables": names[:50]},
    )


def _large_objects(connection: Connection, subject: str, _: bool) -> Finding:
    """There are no large objects."""
    (count,) = one(connection, "SELECT count(*) FROM pg_largeobject_metadata")
    return Finding.check(
        "REP-large-objects",
        "There are no large objects",
        count != 0,
        severity=Severity.HIGH,
        subject=subject,
        expected="none",
        observed=f"{count:,} large objects" if count else "none",
        why="Logical replication does not carry them; the comparison at the switchover LSN would find them missing.",
        remedy=f"Move them into a bytea column; {ELSE}.",
        data={"count": int(count)},
    )


def _foreign(connection: Connection, subject: str, _: bool) -> Finding:
    """No table lies on another server."""
    names = names_of(connection, "SELECT ftrelid::regclass::text FROM pg_foreign_table ORDER BY 1")
    return Finding.check(
        "REP-foreign",
        "No table lies on another server",
        names,
        severity=Severity.MEDIUM,
        subject=subject,
        expected="no foreign table",
        observed=listed(names) or "none",
        why="Its definition is copied, its rows stay where they are; the target must reach that server too.",
        remedy="See to it that the target reaches the foreign server.",
    )


def _ddl(connection: Connection, subject: str, _: bool) -> Finding:
    """Nobody will change the schema until the switch."""
    return Finding(
        "REP-ddl",
        "Nobody changes the schema until the switch",
        Status.NOT_APPLICABLE,
        Severity.MEDIUM,
        subject,
        "no release that migrates the schema between notebooks 08 and 12",
        "DDL is not replicated; the schemas of both sides are compared at every look, and a change is named",
    )


def _triggers(connection: Connection, subject: str, _: bool) -> Finding:
    """No trigger fires a second time on the target."""
    names = names_of(
        connection,
        "SELECT format('%s on %s', quote_ident(t.tgname), t.tgrelid::regclass) FROM pg_trigger t "
        "WHERE NOT t.tgisinternal AND t.tgenabled IN ('R', 'A') ORDER BY 1",
    )
    return Finding.check(
        "REP-triggers",
        "No trigger fires a second time on the target",
        names,
        severity=Severity.HIGH,
        subject=subject,
        expected="no trigger that is ENABLE REPLICA or ENABLE ALWAYS",
        observed=listed(names) or "none",
        why="It would fire for every row that arrives, on top of what it did on the source: what it counts or writes "
        "would be there twice.",
        remedy="\n".join(
            f"ALTER TABLE {name.rpartition(' on ')[2]} ENABLE TRIGGER {name.rpartition(' on ')[0]};  -- origin only"
            for name in names
        )
        + f"\n{ELSE}.",
    )


# What is carried another way


def _sequences(connection: Connection, subject: str, _: bool) -> Finding:
    (count,) = one(connection, f"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
                    f"WHERE c.relkind = 'S' AND c.relpersistence = 'p' AND {USERS}")  # fmt: skip
    return told(
        "sequences",
        "Sequences stand where they stood",
        subject,
        f"{count:,} sequences: not replicated; set to their exact values at the switchover LSN",
    )


def _generated(connection: Connection, subject: str, _: bool) -> Finding:
    names = names_of(
        connection,
        "SELECT attrelid::regclass::text || '.' || quote_ident(attname) FROM pg_attribute a JOIN pg_class c "  # noqa: S608
        "ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attgenerated <> '' "
        f"AND NOT a.attisdropped AND NOT c.relispartition AND {USERS} ORDER BY 1",
    )
    return told(
        "generated",
        "Generated columns arrive",
        subject,
        f"computed anew on the target, and compared at the switchover LSN: {listed(names)}"
        if names
        else "there are none",
    )


def _partitioned(connection: Connection, subject: str, _: bool) -> Finding:
    names = names_of(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind = 'p' AND NOT c.relispartition AND {USERS} ORDER BY 1",
    )
    return told(
        "partitioned",
        "Partitioned tables arrive",
        subject,
        f"published by their roots (publish_via_partition_root): {listed(names)}" if names else "there are none",
    )


def _materialised(connection: Connection, subject: str, _: bool) -> Finding:
    names = names_of(connection, "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'm' ORDER BY 1")
    return told(
        "materialised",
        "Materialised views are filled",
        subject,
        f"refreshed on the target when users are on it: {listed(names)}" if names else "there are none",
    )


SOURCE_CHECKS = (
    _wal_level, _rights, _publish, _slots, _senders, _wal_kept, check_identity, _comparable, _unlogged, _large_objects,
    _foreign, _triggers, _ddl, _sequences, _generated, _partitioned, _materialised,
)  # fmt: skip
