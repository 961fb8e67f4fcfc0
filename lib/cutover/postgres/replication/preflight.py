"""What must hold on both sides before a replication is begun, and what it will not carry."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import describe, one_line, session
from cutover.postgres.replication.link import Connection, Link, link_state, published_tables

ELSE = "or take the other way: set `transfer: dump` in the parameters"
_USER = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover_restore')"
_NOT_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid "
    "AND d.deptype = 'e')"
)
LEAST_WAL_KEPT = 2**30
"""Bytes: a slot that is dropped after less of a lag than this will be dropped in the middle of an initial copy."""


def check_replication(link: Link) -> list[Finding]:
    """Look at both sides and say what stands in the way of a replication; changes nothing.

    Finding ids: REP-source, REP-target, REP-reach; of the source REP-wal-level, REP-rights, REP-publish, REP-slots,
    REP-senders, REP-wal-kept, REP-identity, REP-unlogged, REP-large-objects, REP-foreign, REP-ddl, REP-triggers; of
    the target REP-subscribe, REP-workers, REP-role; what is carried another way REP-sequences, REP-generated,
    REP-partitioned, REP-materialised.

    Args:
        link: a side of it that cannot be reached gives an UNKNOWN finding.
    """
    findings: list[Finding] = []
    running = False
    with suppress(DatabaseError):  # said below, for the side that it is
        running = not link_state(link).nothing
    for side, url, checks in (("source", link.source_url, _SOURCE), ("target", link.target_url, _TARGET)):
        try:
            with session(url) as connection:
                for check in checks:
                    findings += _looked(check, connection, describe(url), running)
        except DatabaseError as error:
            findings.append(
                Finding(
                    f"REP-{side}",
                    f"The {side} can be asked what it allows",
                    Status.UNKNOWN,
                    Severity.BLOCKER,
                    describe(url),
                    observed=error.what,
                    why="Nothing can be said about a database that cannot be reached.",
                    remedy=error.todo,
                )
            )
    findings.append(check_reach(link))
    return findings


def check_reach(link: Link) -> Finding:
    """Whether the target's server reaches the source and may replicate there: asked of the target itself.

    A subscription is made that copies nothing, starts nothing and is rolled back. Finding id: REP-reach.
    """
    title = "The target's server reaches the source and may replicate from it"
    statement = sql.SQL(
        "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} WITH "
        "(connect = true, create_slot = false, slot_name = NONE, enabled = false, copy_data = false)"
    ).format(sql.Identifier(f"{link.name}_reach"), sql.Literal(link.conninfo), link.identifier)
    status, observed = Status.PASS, "it connected, with the right to replicate"
    try:
        with psycopg.connect(link.target_url, application_name="cutover", connect_timeout=10) as connection:
            connection.execute("SET LOCAL default_transaction_read_only = off")
            connection.execute("SET TRANSACTION READ WRITE")
            connection.execute("SET LOCAL statement_timeout = '30s'")
            try:
                connection.execute(statement)
            finally:
                connection.rollback()
    except psycopg.errors.ConnectionFailure as error:
        status, observed = Status.FAIL, one_line(error, link.source_url)
    except psycopg.Error as error:
        status, observed = Status.UNKNOWN, one_line(error, link.source_url)
    good = status is Status.PASS
    return Finding(
        "REP-reach",
        title,
        status,
        Severity.BLOCKER,
        describe(link.target_url),
        "a replication connection from the target's server",
        observed,
        "" if good else "The target fetches the rows itself: what this machine reaches does not help it.",
        ""
        if good
        else "Let the target's subnets out to the source's port (NAT gateway, security group, pg_hba.conf), give the "
        f"source's role the right to replicate, set `source.replication_url` where the target needs another address; "
        f"{ELSE}.",
    )


def _looked(check: Any, connection: Connection, subject: str, running: bool) -> list[Finding]:
    """What a check found; a check that raises is UNKNOWN, not an end of all checks."""
    try:
        return [check(connection, subject, running)]
    except psycopg.Error as error:
        name = check.__name__.strip("_").replace("_", "-")
        title = str(check.__doc__).split("\n", 1)[0].rstrip(".")
        return [Finding(f"REP-{name}", title, Status.UNKNOWN, Severity.HIGH, subject, observed=one_line(error))]


def _say(
    key: str,
    title: str,
    good: bool,
    severity: Severity,
    subject: str,
    expected: str,
    observed: str,
    why: str,
    remedy: str,
    **data: Any,
) -> Finding:
    status = Status.PASS if good else Status.FAIL
    why, remedy = ("", "") if good else (why, remedy)
    return Finding(f"REP-{key}", title, status, severity, subject, expected, observed, why, remedy, data=data)


def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None  # noqa: S101 - queries of one row
    return tuple(row)


def _names(connection: Connection, query: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(query.encode())]


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# The source


def _wal_level(connection: Connection, subject: str, _: bool) -> Finding:
    """The source writes its log in enough detail to replicate from."""
    (level,) = _one(connection, "SELECT current_setting('wal_level')")
    return _say(
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
    user, superuser, replication, rds = _one(
        connection,
        "SELECT current_user::text, rolsuper, rolreplication, coalesce((SELECT pg_has_role(current_user, oid, 'USAGE') "
        "FROM pg_roles WHERE rolname IN ('rds_replication', 'rds_superuser') ORDER BY 1 DESC LIMIT 1), false) "
        "FROM pg_roles WHERE rolname = current_user",
    )
    held = [n for n, has in (("superuser", superuser), ("REPLICATION", replication), ("rds_replication", rds)) if has]
    return _say(
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
    (user, create) = _one(connection, "SELECT current_user::text, has_database_privilege(current_database(), 'CREATE')")
    foreign = _names(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND {_USER} "
        f"AND {_NOT_EXTENSION} AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
    )
    said = [] if create else ["no right to CREATE in the database"]
    said += [f"not the owner of {_listed(foreign)}"] if foreign else []
    return _say(
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
    most, used, sync = _one(
        connection,
        "SELECT current_setting('max_replication_slots')::int, (SELECT count(*)::int FROM pg_replication_slots), 2",
    )
    needed = 0 if running else 1 + sync
    return _say(
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
    most, used = _one(
        connection,
        "SELECT current_setting('max_wal_senders')::int, (SELECT count(*)::int FROM pg_stat_replication)",
    )
    needed = 0 if running else 3
    return _say(
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
    kept, shown = _one(
        connection,
        "SELECT CASE setting WHEN '-1' THEN -1 ELSE pg_size_bytes(current_setting(name)) END, current_setting(name) "
        "FROM pg_settings WHERE name = 'max_slot_wal_keep_size'",
    )
    return _say(
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


IDENTITY = (
    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
    f"WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND {_USER} AND {_NOT_EXTENSION} "
    "AND (c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE "
    "i.indrelid = c.oid AND i.indisprimary AND i.indisvalid) OR c.relreplident = 'i' AND NOT EXISTS (SELECT FROM "
    "pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)) ORDER BY 1"
)
"""Tables (partitions too) whose UPDATE and DELETE PostgreSQL refuses from the moment they are published."""


def _identity(connection: Connection, subject: str, _: bool) -> Finding:
    """Every table says which row is meant."""
    names = _names(connection, IDENTITY)
    return _say(
        "identity",
        "Every table has a replica identity",
        not names,
        Severity.BLOCKER,
        subject,
        "a primary key, or REPLICA IDENTITY",
        f"without: {_listed(names)}" if names else "every table has one",
        "From the moment such a table is published, the source refuses UPDATE and DELETE on it: users would notice.",
        "\n".join(f"ALTER TABLE {name} REPLICA IDENTITY FULL;  -- or add a primary key" for name in names)
        + "\nNotebook 08 offers this as a change of its own. On a large table that is updated often FULL is slow: "
        "add a key instead.",
        tables=names[:50],
    )


def _unlogged(connection: Connection, subject: str, _: bool) -> Finding:
    """No table is unlogged."""
    names = _names(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {_USER} ORDER BY 1",
    )
    return _say(
        "unlogged",
        "No table is kept out of the log",
        not names,
        Severity.HIGH,
        subject,
        "no UNLOGGED table",
        _listed(names) or "none",
        "What is not in the log does not replicate; the comparison at the fence would find its rows missing.",
        "\n".join(f"ALTER TABLE {name} SET LOGGED;" for name in names) + f"\n{ELSE}.",
        tables=names[:50],
    )


def _large_objects(connection: Connection, subject: str, _: bool) -> Finding:
    """There are no large objects."""
    (count,) = _one(connection, "SELECT count(*) FROM pg_largeobject_metadata")
    return _say(
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
    names = _names(connection, "SELECT ftrelid::regclass::text FROM pg_foreign_table ORDER BY 1")
    return _say(
        "foreign",
        "No table lies on another server",
        not names,
        Severity.MEDIUM,
        subject,
        "no foreign table",
        _listed(names) or "none",
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
    names = _names(
        connection,
        "SELECT format('%s on %s', quote_ident(t.tgname), t.tgrelid::regclass) FROM pg_trigger t "
        "WHERE NOT t.tgisinternal AND t.tgenabled IN ('R', 'A') ORDER BY 1",
    )
    return _say(
        "triggers",
        "No trigger fires a second time on the target",
        not names,
        Severity.HIGH,
        subject,
        "no trigger that is ENABLE REPLICA or ENABLE ALWAYS",
        _listed(names) or "none",
        "It would fire for every row that arrives, on top of what it did on the source: what it counts or writes "
        "would be there twice.",
        "\n".join(
            f"ALTER TABLE {name.rpartition(' on ')[2]} ENABLE TRIGGER {name.rpartition(' on ')[0]};  -- origin only"
            for name in names
        )
        + f"\n{ELSE}.",
    )


# The target


def _subscribe(connection: Connection, subject: str, _: bool) -> Finding:
    """Our role on the target may subscribe."""
    user, superuser, member, create, major, owns = _one(
        connection,
        "SELECT current_user::text, rolsuper, coalesce((SELECT bool_or(pg_has_role(current_user, oid, 'USAGE')) FROM "
        "pg_roles WHERE rolname IN ('pg_create_subscription', 'rds_superuser')), false), "
        "has_database_privilege(current_database(), 'CREATE'), current_setting('server_version_num')::int / 10000, "
        "(SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) "
        "FROM pg_roles WHERE rolname = current_user",
    )
    may = superuser or member
    lacking = [] if may else ["pg_create_subscription" if major >= 16 else "superuser (RDS: rds_superuser)"]
    lacking += [] if create else ["CREATE on the database"]
    lacking += [] if owns else ["ownership of the database"]
    return _say(
        "subscribe",
        "Our role on the target may subscribe",
        not lacking,
        Severity.BLOCKER,
        subject,
        "pg_create_subscription (PostgreSQL 16 and newer), CREATE on the database, and its ownership",
        f"{user} lacks {', '.join(lacking)}" if lacking else f"{user} may",
        "The subscription would be refused; who owns the database may keep other writers out of the copy.",
        f'As an administrator: GRANT pg_create_subscription TO "{user}"; GRANT CREATE ON DATABASE … TO "{user}"; '
        f'ALTER DATABASE … OWNER TO "{user}"; {ELSE}.',
    )


def _workers(connection: Connection, subject: str, running: bool) -> Finding:
    """The target has workers to spare."""
    logical, processes, used, origins, set_origins = _one(
        connection,
        "SELECT current_setting('max_logical_replication_workers')::int, current_setting('max_worker_processes')::int, "
        "(SELECT count(*)::int FROM pg_stat_activity WHERE backend_type NOT IN ('client backend', 'autovacuum worker', "
        "'autovacuum launcher', 'checkpointer', 'background writer', 'walwriter', 'walsender', 'startup', "
        "'archiver', 'io worker', 'slotsync worker', 'walsummarizer')), "
        "coalesce(current_setting('max_active_replication_origins', true), current_setting('max_replication_slots'))"
        "::int, (SELECT count(*)::int FROM pg_replication_origin)",
    )
    free = min(logical, processes - used)
    needed = 0 if running else 3
    enough = free >= needed and (running or origins - set_origins >= needed)
    return _say(
        "workers",
        "The target has workers to spare",
        enough,
        Severity.BLOCKER,
        subject,
        f"{needed} free workers and origins: one that follows, and one for each table that is copied",
        f"max_logical_replication_workers {logical}, {processes - used} of {processes} worker processes free, "
        f"{origins - set_origins} of {origins} origins free",
        "The subscription would be made and nothing would ever arrive.",
        "Raise max_logical_replication_workers, max_worker_processes and max_replication_slots (on RDS in the "
        "parameter group, with a reboot).",
    )


def _role(connection: Connection, subject: str, _: bool) -> Finding:
    """Triggers and foreign keys of the target stay quiet while rows arrive."""
    (role,) = _one(connection, "SELECT current_setting('session_replication_role')")
    return _say(
        "role",
        "Sessions of the target are ordinary ones",
        role == "origin",
        Severity.MEDIUM,
        subject,
        "session_replication_role = origin; the workers that apply set `replica` for themselves",
        f"session_replication_role = {role}",
        "The application's own triggers and foreign keys would not fire on the new home.",
        "ALTER ROLE … RESET session_replication_role; ALTER DATABASE … RESET session_replication_role;",
    )


# What is carried another way


def _sequences(connection: Connection, subject: str, _: bool) -> Finding:
    (count,) = _one(connection, f"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
                    f"WHERE c.relkind = 'S' AND c.relpersistence = 'p' AND {_USER}")  # fmt: skip
    return _told(
        "sequences",
        "Sequences stand where they stood",
        subject,
        f"{count:,} sequences: replication does not carry them, they are set to their exact values at the fence",
    )


def _generated(connection: Connection, subject: str, _: bool) -> Finding:
    names = _names(
        connection,
        "SELECT attrelid::regclass::text || '.' || quote_ident(attname) FROM pg_attribute a JOIN pg_class c "  # noqa: S608
        "ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attgenerated <> '' "
        f"AND NOT a.attisdropped AND NOT c.relispartition AND {_USER} ORDER BY 1",
    )
    return _told(
        "generated",
        "Generated columns arrive",
        subject,
        f"computed anew on the target, and compared at the fence: {_listed(names)}" if names else "there are none",
    )


def _partitioned(connection: Connection, subject: str, _: bool) -> Finding:
    names = _names(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind = 'p' AND NOT c.relispartition AND {_USER} ORDER BY 1",
    )
    return _told(
        "partitioned",
        "Partitioned tables arrive",
        subject,
        f"published by their roots (publish_via_partition_root): {_listed(names)}" if names else "there are none",
    )


def _materialised(connection: Connection, subject: str, _: bool) -> Finding:
    names = _names(connection, "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'm' ORDER BY 1")
    return _told(
        "materialised",
        "Materialised views are filled",
        subject,
        f"refreshed on the target when users are on it: {_listed(names)}" if names else "there are none",
    )


def _told(key: str, title: str, subject: str, observed: str) -> Finding:
    return Finding(f"REP-{key}", title, Status.NOT_APPLICABLE, Severity.LOW, subject, observed=observed)


_SOURCE = (
    _wal_level, _rights, _publish, _slots, _senders, _wal_kept, _identity, _unlogged, _large_objects, _foreign,
    _triggers, _ddl, _sequences, _generated, _partitioned, _materialised,
)  # fmt: skip
_TARGET = (_subscribe, _workers, _role)


def refused(link: Link) -> list[str]:
    """What would hurt the live source if it were published now, in words; [] when it may be."""
    with session(link.source_url) as connection:
        names = _names(connection, IDENTITY)
        tables = published_tables(connection)
    said = [f"no replica identity: {_listed(names)}"] if names else []
    return said if tables else [*said, "the source has no table to publish"]
