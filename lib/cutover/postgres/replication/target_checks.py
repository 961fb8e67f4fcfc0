"""What a target must allow before it can follow a source."""

from __future__ import annotations

from cutover.finding import Finding, Severity
from cutover.postgres.replication.checks import ELSE, one
from cutover.postgres.replication.link import Connection


def _subscribe(connection: Connection, subject: str, _: bool) -> Finding:
    """Our role on the target may subscribe."""
    user, superuser, member, create, major, owns = one(
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
    return Finding.check(
        "REP-subscribe",
        "Our role on the target may subscribe",
        lacking,
        severity=Severity.BLOCKER,
        subject=subject,
        expected="pg_create_subscription (PostgreSQL 16 and newer), CREATE on the database, and its ownership",
        observed=f"{user} lacks {', '.join(lacking)}" if lacking else f"{user} may",
        why="The subscription would be refused; who owns the database may keep other writers out of the copy.",
        remedy=f'As an administrator: GRANT pg_create_subscription TO "{user}"; GRANT CREATE ON DATABASE … TO '
        f'"{user}"; ALTER DATABASE … OWNER TO "{user}"; {ELSE}.',
    )


def _workers(connection: Connection, subject: str, running: bool) -> Finding:
    """The target has workers to spare."""
    logical, processes, used, origins, set_origins = one(
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
    return Finding.check(
        "REP-workers",
        "The target has workers to spare",
        not enough,
        severity=Severity.BLOCKER,
        subject=subject,
        expected=f"{needed} free workers and origins: one that follows, and one for each table that is copied",
        observed=f"max_logical_replication_workers {logical}, {processes - used} of {processes} worker processes free, "
        f"{origins - set_origins} of {origins} origins free",
        why="The subscription would be made and nothing would ever arrive.",
        remedy="Raise max_logical_replication_workers, max_worker_processes and max_replication_slots (on RDS in the "
        "parameter group, with a reboot).",
    )


def _role(connection: Connection, subject: str, _: bool) -> Finding:
    """Triggers and foreign keys of the target stay quiet while rows arrive."""
    (role,) = one(connection, "SELECT current_setting('session_replication_role')")
    return Finding.check(
        "REP-role",
        "Sessions of the target are ordinary ones",
        role != "origin",
        severity=Severity.MEDIUM,
        subject=subject,
        expected="session_replication_role = origin; the workers that apply set `replica` for themselves",
        observed=f"session_replication_role = {role}",
        why="The application's own triggers and foreign keys would not fire on the target.",
        remedy="ALTER ROLE … RESET session_replication_role; ALTER DATABASE … RESET session_replication_role;",
    )


TARGET_CHECKS = (_subscribe, _workers, _role)
