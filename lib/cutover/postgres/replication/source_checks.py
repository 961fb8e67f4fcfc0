"""What a source must allow before it is replicated, and what is not carried or carried another way."""

from __future__ import annotations

from cutover.finding import Finding, Severity, Status
from cutover.postgres.replication.checks import ELSE, NOT_EXTENSION, USERS, listed, names_of, one, say, told
from cutover.postgres.replication.identity import incomparable, unidentified
from cutover.postgres.replication.link import Connection

LEAST_WAL_KEPT = 2**30
"""Bytes: a slot that is dropped after less of a lag than this will be dropped in the middle of an initial copy."""


def _wal_level(connection: Connection, subject: str, _: bool) -> Finding:
    """The source writes its log in enough detail to replicate from."""
    (level,) = one(connection, "SELECT current_setting('wal_level')")
    return say(
        "wal-level",
        "The source writes its log in enough detail to replicate from",
        level == "logical",
        Severity.BLOCKER,
        subject,
        "wal_level = logical",
        f"wal_level = {level}",
        "Without it no slot can be made; the change needs a restart of the source.",
        "Own server: ALTER SYSTEM SET wal_level = logical; and restart. Neon (Replit): switch on logical replication "
        f"in the project's settings. RDS: rds.logical_replication = 1 and reboot. {ELSE[0].upper()}{ELSE[1:]}.",
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
    return say(
        "rights",
        "Our role on the source may replicate",
        bool(held),
        Severity.BLOCKER,
        subject,
        "the attribute REPLICATION, or membership of rds_replication",
        f"{user}: {', '.join(held) or 'neither'}",
        "The slot and the stream would be refused.",
        f'As an administrator: ALTER ROLE "{user}" REPLICATION;  (RDS: GRANT rds_replication TO "{user}";) {ELSE}.',
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
    return say(
        "publish",
        "Our role may publish every table of the source",
        not said,
        Severity.BLOCKER,
        subject,
        "CREATE on the database, and ownership of every table",
        "; ".join(said) or "it may",
        "A table that is not published does not arrive.",
        f'GRANT CREATE ON DATABASE … TO "{user}"; connect as the owner of the tables, or get its role; {ELSE}.',
        tables=foreign[:50],
    )


def _slots(connection: Connection, subject: str, running: bool) -> Finding:
    """The source has replication slots to spare."""
    most, used, sync = one(
        connection,
        "SELECT current_setting('max_replication_slots')::int, (SELECT count(*)::int FROM pg_replication_slots), 2",
    )
    needed = 0 if running else 1 + sync
    return say(
        "slots",
        "The source has replication slots to spare",
        most - used >= needed,
        Severity.BLOCKER,
        subject,
        f"{needed} free: one that stays, and one for each table that is copied at the same time",
        f"{most - used} of {most} free",
        "The initial copy would wait for ever.",
        f"Drop slots that nobody uses (SELECT pg_drop_replication_slot('…')), or raise max_replication_slots; {ELSE}.",
    )


def _senders(connection: Connection, subject: str, running: bool) -> Finding:
    """The source has walsenders to spare."""
    most, used = one(
        connection,
        "SELECT current_setting('max_wal_senders')::int, (SELECT count(*)::int FROM pg_stat_replication)",
    )
    needed = 0 if running else 3
    return say(
        "senders",
        "The source has walsenders to spare",
        most - used >= needed,
        Severity.BLOCKER,
        subject,
        f"{needed} free",
        f"{most - used} of {most} free",
        "The stream would be refused.",
        f"Raise max_wal_senders (needs a restart), or end a replica that is not needed; {ELSE}.",
    )


def _wal_kept(connection: Connection, subject: str, _: bool) -> Finding:
    """The source keeps its log for as long as the copy may take."""
    kept, shown = one(
        connection,
        "SELECT CASE setting WHEN '-1' THEN -1 ELSE pg_size_bytes(current_setting(name)) END, current_setting(name) "
        "FROM pg_settings WHERE name = 'max_slot_wal_keep_size'",
    )
    return say(
        "wal-kept",
        "The source keeps its log for as long as the copy may take",
        kept < 0 or kept >= LEAST_WAL_KEPT,
        Severity.HIGH,
        subject,
        "max_slot_wal_keep_size = -1, or at least 1 GB",
        f"max_slot_wal_keep_size = {shown}"
        + (": no limit, so watch the source's disk while it is copied" if kept < 0 else ""),
        "A slot that falls behind by more is dropped, and everything begins anew.",
        f"ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; SELECT pg_reload_conf(); {ELSE}.",
        bytes=int(kept),
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
    return say(
        "identity",
        "Every table has a replica identity",
        not found,
        Severity.BLOCKER,
        subject,
        "a primary key that is not DEFERRABLE, of columns that are not generated; or REPLICA IDENTITY",
        f"without: {listed([f'{one.table} ({one.why})' for one in found])}" if found else "every table has one",
        "From the moment such a table is published, the source refuses UPDATE and DELETE on it, and users notice; or "
        "the copy stops at the first of them, where what identifies a row is not sent.",
        "\n".join(remedy),
        tables=[one.table for one in found][:50],
        by_key=by_key[:50],
    )


def _comparable(connection: Connection, subject: str, _: bool) -> Finding:
    """Rows of tables without a key can be told apart."""
    names = incomparable(connection)
    return say(
        "comparable",
        "Rows of tables without a key can be told apart",
        not names,
        Severity.HIGH,
        subject,
        "no column, in a table whose replica identity is its whole row, of a type that knows no equality",
        listed(names) or "none",
        "The first UPDATE or DELETE on such a table stops the copy: its row cannot be found.",
        f"Give the table {_KEY}; {ELSE}.",
        columns=names[:50],
    )


def _unlogged(connection: Connection, subject: str, _: bool) -> Finding:
    """No table is unlogged."""
    names = names_of(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {USERS} ORDER BY 1",
    )
    return say(
        "unlogged",
        "No table is kept out of the log",
        not names,
        Severity.HIGH,
        subject,
        "no UNLOGGED table",
        listed(names) or "none",
        "What is not in the log does not replicate; the comparison at the fence would find its rows missing.",
        "\n".join(f"ALTER TABLE {name} SET LOGGED;" for name in names) + f"\n{ELSE}.",
        tables=names[:50],
    )


def _large_objects(connection: Connection, subject: str, _: bool) -> Finding:
    """There are no large objects."""
    (count,) = one(connection, "SELECT count(*) FROM pg_largeobject_metadata")
    return say(
        "large-objects",
        "There are no large objects",
        count == 0,
        Severity.HIGH,
        subject,
        "none",
        f"{count:,} large objects" if count else "none",
        "Logical replication does not carry them; the comparison at the fence would find them missing.",
        f"Move them into a bytea column; {ELSE}.",
        count=int(count),
    )


def _foreign(connection: Connection, subject: str, _: bool) -> Finding:
    """No table lies on another server."""
    names = names_of(connection, "SELECT ftrelid::regclass::text FROM pg_foreign_table ORDER BY 1")
    return say(
        "foreign",
        "No table lies on another server",
        not names,
        Severity.MEDIUM,
        subject,
        "no foreign table",
        listed(names) or "none",
        "Its definition is copied, its rows stay where they are; the target must reach that server too.",
        "See to it that the target reaches the foreign server.",
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
    return say(
        "triggers",
        "No trigger fires a second time on the target",
        not names,
        Severity.HIGH,
        subject,
        "no trigger that is ENABLE REPLICA or ENABLE ALWAYS",
        listed(names) or "none",
        "It would fire for every row that arrives, on top of what it did on the source: what it counts or writes "
        "would be there twice.",
        "\n".join(
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
        f"{count:,} sequences: replication does not carry them, they are set to their exact values at the fence",
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
        f"computed anew on the target, and compared at the fence: {listed(names)}" if names else "there are none",
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
