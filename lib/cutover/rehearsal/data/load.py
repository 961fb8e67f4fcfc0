"""Loads ShadowTwin's schema and rows into a database, or starts a server that has them already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from cutover.errors import StageError
from cutover.rehearsal import places, postgres
from cutover.rehearsal.data.accounts import ADMIN, VISITOR
from cutover.rehearsal.data.rows import counts, tables

APP_ROLE = "shadowtwin_app"
READONLY_ROLE = "shadowtwin_readonly"
DATABASE = "shadowtwin"
_HERE = Path(__file__).parent


def load(
    url_superuser: str,
    *,
    rows: int = 300_000,
    app_role: str = APP_ROLE,
    readonly_role: str = READONLY_ROLE,
    seed: int = 1,
    visitor: tuple[str, str] | None = None,
    admin: tuple[str, str] | None = None,
) -> dict[str, int]:
    """Make ShadowTwin's schema in an empty database, all owned by `app_role`, and fill it.

    Args:
        url_superuser: the database, as superuser.
        rows: over all tables, at least 2,000; the same rows for the same `rows` and `seed`.
        app_role: becomes the database's owner; made when it is not there.
        readonly_role: may read everything; made when it is not there.
        seed: for other rows of the same kind.
        visitor: e-mail address and password of the test user.
        admin: the same of the administrator.

    Returns:
        Rows by table, `{"public.users": …}`.

    Raises:
        StageError: the database refused; it is as empty as before.
    """
    size = counts(rows)
    try:
        with psycopg.connect(url_superuser) as connection:
            connection.execute("SET timezone = 'UTC'")
            connection.execute("SET datestyle = 'ISO, MDY'")
            _roles(connection, app_role, readonly_role)
            connection.execute((_HERE / "schema.sql").read_bytes())
            for table in tables(rows, seed):
                # Frozen at once: no later vacuum rewrites them. PostgreSQL cannot do it through a partitioned table.
                frozen = "" if table.name in ("audit.log", "public.twin_metrics") else " WITH (FREEZE)"
                command = f"COPY {table.name} ({table.columns}) FROM STDIN{frozen}"
                with connection.cursor() as cursor, cursor.copy(command.encode()) as copy:
                    for chunk in table.chunks:
                        copy.write(chunk)
            connection.execute("SET LOCAL maintenance_work_mem = '128MB'")
            connection.execute((_HERE / "constraints.sql").read_bytes())
            _sequences(connection)
            _grants(connection, readonly_role)
            connection.execute("RESET ROLE")
        with psycopg.connect(url_superuser, autocommit=True) as connection:
            connection.execute("SET default_statistics_target = 20")  # a quarter of the time, and good enough
            connection.execute("ANALYZE")
    except psycopg.Error as error:
        raise StageError(f"ShadowTwin's data cannot be loaded: {error}.") from error
    for person, address in ((visitor, VISITOR), (admin, ADMIN)):
        if person:
            set_login(url_superuser, address, *person)
    return size


def start_loaded(
    folder: Path,
    *,
    major: int = 17,
    rows: int = 300_000,
    seed: int = 1,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: Mapping[str, str | int] | None = None,
    visitor: tuple[str, str] | None = None,
    admin: tuple[str, str] | None = None,
) -> postgres.Server:
    """Start a server whose database `shadowtwin` is loaded: made once for this size and seed, then copied.

    Arguments as for `postgres.start` and `load`. The roles have no password yet: `server.create_role` gives them one.
    """
    counts(rows)

    def make(half: Path) -> None:
        # Nothing replicates while it is made, and so COPY need not write the log.
        quick: dict[str, str | int] = {"wal_level": "minimal", "max_wal_senders": 0, "autovacuum": "off"}
        with postgres.start(half, major=major, settings=quick) as server:
            (half / "password").touch(mode=0o600)
            (half / "password").write_text(server.password())
            server.create_database(DATABASE)
            load(server.url(DATABASE), rows=rows, seed=seed)

    made = places.made_once(f"loaded-{postgres.version(major)}-{rows}-{seed}-{_fingerprint()}", make)
    server = postgres.start(
        folder, major=major, host=host, port=port, settings=settings, cluster=postgres.Cluster(made)
    )
    try:
        for person, address in ((visitor, VISITOR), (admin, ADMIN)):
            if person:
                set_login(server.url(DATABASE), address, *person)
    except BaseException:
        server.stop()
        raise
    return server


def set_login(url_superuser: str, user: str, email: str, password: str) -> None:
    """Give a user of the data another e-mail address and a password; no trigger takes note.

    The hash is bcrypt with the least cost, and the same for the same address and password.

    Raises:
        StageError: there is no such user.
    """
    import bcrypt  # noqa: PLC0415 - an extra

    salt = b"$2b$04$" + hashlib.sha256(email.encode()).hexdigest()[:21].encode() + b"e"
    hashed = bcrypt.hashpw(password.encode(), salt).decode()
    with psycopg.connect(url_superuser) as connection:
        connection.execute("SET LOCAL session_replication_role = replica")
        statement = "UPDATE public.users SET email = %s, password_hash = %s WHERE email = %s"
        if connection.execute(statement, [email, hashed, user]).rowcount != 1:
            raise StageError(f"The data have no user {user}.", todo="load them first.")


def _roles(connection: psycopg.Connection, app_role: str, readonly_role: str) -> None:
    for role, login in ((app_role, "LOGIN"), (readonly_role, "NOLOGIN")):
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
            connection.execute(sql.SQL(f"CREATE ROLE {{}} {login}").format(sql.Identifier(role)))
    app = sql.Identifier(app_role)
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, app))
    connection.execute(sql.SQL("SET ROLE {}").format(app))


def _sequences(connection: psycopg.Connection) -> None:
    """Let every sequence go on after the rows; the stand-alone one some after, as rolled-back inserts leave it."""
    owned = connection.execute(
        "SELECT d.objid::regclass::text, t.relnamespace::regnamespace::text, t.relname, a.attname FROM pg_depend d "
        "JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_class t ON t.oid = d.refobjid "
        "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
        "WHERE d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"
    ).fetchall()
    for sequence, schema, table, column in owned:
        told = sql.SQL("SELECT setval({}, coalesce(max({column}), 1), count(*) > 0) FROM {}").format(
            sql.Literal(sequence), sql.Identifier(schema, table), column=sql.Identifier(column)
        )
        connection.execute(told)
    connection.execute("SELECT setval('public.invoice_number', max(number) + 17) FROM public.invoices")


def _grants(connection: psycopg.Connection, readonly_role: str) -> None:
    role = sql.Identifier(readonly_role)
    for statement in (
        "GRANT USAGE ON SCHEMA public, audit, analytics TO {}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public, audit, analytics TO {}",
        "REVOKE SELECT ON public.users FROM {}",
        "GRANT SELECT (id, public_id, email, display_name, role, status, created_at) ON public.users TO {}",
        "REVOKE EXECUTE ON PROCEDURE public.expire_sessions(timestamp with time zone) FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {}",
    ):
        connection.execute(sql.SQL(statement).format(role))


def _fingerprint() -> str:
    """What the cached data depend on: every file of this package."""
    digest = hashlib.sha256()
    for file in sorted(p for p in _HERE.iterdir() if p.suffix in (".py", ".sql")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
