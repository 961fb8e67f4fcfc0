"""Connections to PostgreSQL with every setting pinned that shapes text, and errors that a person can act on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from cutover.errors import DatabaseError
from cutover.secrets import redact
from cutover.urls import HOW_TO_WRITE, holds_password, passwords_in, scheme_of, shown, unreadable

APPLICATION_NAME = "cutover"

PINNED = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",  # the shortest text that reads back as the same bits
    "bytea_output": "hex",
    "search_path": "",  # every name that the server prints is qualified
    "row_security": "off",  # rows that a policy would hide are an error, not an absence
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    "statement_timeout": "0",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "jit": "off",
    "cursor_tuple_fraction": "1",
    "max_parallel_workers_per_gather": "0",  # `jobs` alone says how many cores of a server we take
}
"""What every session of ours sets first; a setting that the server does not know is left out."""

READ_ONLY = "default_transaction_read_only"
TAKES_WRITES = f"-c {READ_ONLY}=off"
"""A start-up option. What is set in a session comes too late for a login event trigger (`ON login`, PostgreSQL 17)."""

_DIRECT = "the pooler in between takes no start-up options: give the server's own address (Neon: without -pooler)."

_HINTS: tuple[tuple[str, str], ...] = (
    ("startup parameter", _DIRECT),
    ("command-line options", _DIRECT),
    ("lock timeout", "something holds a lock on that object: see pg_stat_activity and pg_locks, then run again."),
    ("statement timeout", "the server ends long statements: raise statement_timeout for this role, and run again."),
    ("password authentication failed", "check the user and the password that the reference resolves to."),
    ("no password supplied", "the URL has no password: put it into the secret that the reference names."),
    ("definition of service", "name it in ~/.pg_service.conf, or in the file that PGSERVICEFILE names."),
    ("no pg_hba.conf entry", "the server refuses this user, address or lack of TLS: add sslmode=require, or a rule."),
    ("does not exist", "check the name that is not there (database, role or object); create what is missing."),
    ("connection refused", "is the server up, and is this its port? From a private network, see `via` in params."),
    ("could not translate host name", "check the host name; a private name resolves only inside its network."),
    ("name or service not known", "check the host name; a private name resolves only inside its network."),
    ("timeout", "a firewall or security group drops the packets: open port 5432 from here, or set `via` in params."),
    ("timed out", "a firewall or security group drops the packets: open port 5432 from here, or set `via` in params."),
    ("certificate verify failed", "give the server's CA: sslrootcert=…; for RDS its global bundle."),
    ("does not support ssl", "the server has no TLS: on loopback sslmode=disable will do, elsewhere switch TLS on."),
    ("too many clients", "wait for connections to be closed, lower `jobs`, or raise max_connections."),
    ("remaining connection slots", "wait for connections to be closed, lower `jobs`, or raise max_connections."),
    ("permission denied", "grant the right that is named, or connect as the owner."),
    ("read-only transaction", "the database is frozen (default_transaction_read_only) or a standby."),
    ("query would be affected by row-level security", "connect as the tables' owner or a role with BYPASSRLS."),
)


def connect(
    url: str, *, readonly: bool = True, autocommit: bool = True, timeout_s: int = 10, force: bool = True
) -> psycopg.Connection[TupleRow]:
    """A session with `PINNED` settings, named `cutover`.

    Where the session is refused, it is tried once more with `TAKES_WRITES`: a login event trigger that writes refuses
    every session of a frozen database but such a one. Not at first, because a trigger that writes only where it may
    would then write for each of our sessions.

    Args:
        url: `postgresql://…` or a libpq connection string.
        readonly: refuse writes in this session.
        autocommit: every statement by itself; otherwise a transaction begins with the first statement.
        timeout_s: seconds to wait for the server's answer.
        force: False: no second try.

    Raises:
        DatabaseError: no connection, or only by a pooler that lends sessions out by the transaction, or the URL can be
            read in several ways; the message holds no password and says what to look at.
    """
    readable(url)
    try:
        connection = _enter(url, timeout_s) if force else _open(url, timeout_s)
    except (psycopg.Error, ValueError) as error:
        raise explain(error, url, "cannot be reached") from error
    try:
        if connection.info.backend_pid != _backend(connection):  # something stands in between
            _refuse_pooler(url, timeout_s, connection)
        _pin(connection)
        _watch_the_client(connection)
        if readonly:
            connection.execute("SELECT set_config('default_transaction_read_only', 'on', false)")
        connection.autocommit = autocommit
    except psycopg.Error as error:
        connection.close()
        raise explain(error, url, "refused its first statement") from error
    except BaseException:
        connection.close()
        raise
    return connection


def forced(connection: psycopg.Connection[TupleRow]) -> bool:
    """Whether `connect` got this session only with `TAKES_WRITES`."""
    return TAKES_WRITES in connection.info.options


def start_up(url: str, option: str, *, timeout_s: int = 10) -> str:
    """Try a session with a start-up option `-c name=value`: "" when it was let in and the option holds, else why not.

    A pooler may refuse options (PgBouncer, RDS Proxy) or leave them out (PgBouncer's `ignore_startup_parameters`).
    """
    name, _, value = option.removeprefix("-c ").partition("=")
    try:
        with _open(url, timeout_s, option) as connection:
            row = connection.execute(
                "SELECT setting, source FROM pg_catalog.pg_settings WHERE name = %s", (name,)
            ).fetchone()
    except (psycopg.Error, ValueError) as error:
        return one_line(error, url)
    return "" if row == (value, "client") else f"the option {option} was left out on the way to the server"


def _enter(url: str, timeout_s: int) -> psycopg.Connection[TupleRow]:
    """An ordinary session; where it is refused, one with `TAKES_WRITES`."""
    try:
        return _open(url, timeout_s)
    except psycopg.errors.ConnectionTimeout:
        raise
    except psycopg.OperationalError as error:
        try:
            return _open(url, timeout_s, TAKES_WRITES)
        except psycopg.OperationalError as again:
            if str(again) == str(error):
                raise error from None
            raise psycopg.OperationalError(f"{error}; with {TAKES_WRITES} at its start: {again}") from error


def _open(url: str, timeout_s: int, option: str = "") -> psycopg.Connection[TupleRow]:
    # libpq takes PGOPTIONS only where the URL has no options of its own.
    beside = "" if not option or parameters(url).get("options") else os.environ.get("PGOPTIONS", "")
    return psycopg.connect(
        with_option(url, f"{beside} {option}".strip()),
        autocommit=True,
        application_name=APPLICATION_NAME,
        connect_timeout=timeout_s,
        keepalives=1,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
    )


def with_option(url: str, option: str) -> str:
    """The same connection with one more start-up option, beside those that it has; "" adds none."""
    if not option:
        return url
    return make_conninfo(url, options=f"{parameters(url).get('options', '')} {option}".strip())


@contextmanager
def session(url: str, *, readonly: bool = True, autocommit: bool = True) -> Iterator[psycopg.Connection[TupleRow]]:
    """`connect`, closed at the end, with every psycopg error turned into a DatabaseError.

    Raises:
        DatabaseError: no connection, or a statement failed.
    """
    connection = connect(url, readonly=readonly, autocommit=autocommit)
    try:
        yield connection
    except psycopg.Error as error:
        raise explain(error, url, "refused a statement") from error
    finally:
        connection.close()


def user_of(url: str) -> str:
    """The role by which a database is entered, as the server says.

    Raises:
        DatabaseError: no connection.
    """
    with session(url) as connection:
        return connection.info.user


def explain(error: Exception, url: str, what: str) -> DatabaseError:
    """A DatabaseError that names the database without its password, and hints at what to do."""
    text = one_line(error, url)
    lowered = text.lower()
    todo = next((hint for sign, hint in _HINTS if sign in lowered), "")
    return DatabaseError(f"The database {describe(url)} {what}: {text}", todo=todo)


def one_line(error: Exception, url: str = "") -> str:
    """An error's first line without secrets, for a message or a finding."""
    text = str(error).replace(url, describe(url)) if url else str(error)
    text = redact(text)  # before its spaces are joined: they may be of a password
    passwords = {parameters(url).get("password", ""), *passwords_in(url)} - {""} if url else set()
    for form in sorted(passwords | {quote(p, safe="") for p in passwords}, key=len, reverse=True):
        text = text.replace(form, "…")
    return redact(" ".join(text.split()) or type(error).__name__)[:600]


def describe(url: str) -> str:
    """`user@host:port/database`, or the service that stands for it; never a password, nor a URL that holds one.

    Of a URL that programs read differently only the scheme is told.
    """
    parsed = _parsed(url)
    if parsed is None:
        return shown(url) if scheme_of(url) else "…"
    known = {key: "…" if holds_password(value) else value for key, value in parsed.items()}
    if known.get("service") and not known.get("host"):
        return f"service {known['service']}" + (f"/{known['dbname']}" if known.get("dbname") else "")
    host, port = known.get("host", "localhost"), known.get("port", "5432")
    user = f"{known['user']}@" if known.get("user") else ""
    return f"{user}{host}:{port}/{known.get('dbname', '')}"


def same_database(one: str, other: str) -> bool:
    """Whether two URLs lead to one database, whoever connects and however the host is spelt; when in doubt, yes."""
    here, there = _parsed(one), _parsed(other)
    if here is None or there is None:
        return True
    if here.get("dbname", here.get("user")) != there.get("dbname", there.get("user")):
        return False
    if str(here.get("port", "5432")) != str(there.get("port", "5432")):
        return False
    hosts = [str(p.get("hostaddr") or p.get("host") or "localhost") for p in (here, there)]
    if hosts[0].lower() == hosts[1].lower():
        return True
    return bool(_addresses(hosts[0]) & _addresses(hosts[1]))


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return {host.lower()}


def parameters(url: str) -> dict[str, str]:
    """The connection's parameters, password included; empty when the text is none, or can be read in several ways."""
    return _parsed(url) or {}


def readable(url: str) -> dict[str, str]:
    """`parameters`, for what goes on to use them. libpq's own words about a string it cannot read quote it.

    Raises:
        DatabaseError: it is no connection string, or one that programs read differently; no part of it is told.
    """
    known = _parsed(url)
    if known is not None:
        return known
    redact.register(url, *passwords_in(url))
    if scheme_of(url):
        reason = unreadable(url) or "libpq does not know its scheme, or one of its options"
        raise DatabaseError(f"The database URL {describe(url)} cannot be used: {reason}.", todo=HOW_TO_WRITE)
    raise DatabaseError(
        "The database's connection string is neither a URL nor keywords that libpq knows.",
        todo="write postgresql://user@host:5432/database, or host=… dbname=… password='…' with \\' for a quote and "
        "\\\\ for a backslash inside the quotes.",
    )


def _parsed(url: str) -> dict[str, str] | None:
    if unreadable(url):
        return None
    try:
        known = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.Error:
        return None
    name = known.get("dbname", "")  # libpq would take a connection string there for the connection itself
    return None if "://" in name or holds_password(name) else known


def without_secrets(url: str, option: str = "") -> tuple[str, dict[str, str]]:
    """A connection string for a program's arguments, and the environment that carries the password beside it.

    Args:
        url: the database.
        option: a start-up option more, such as `TAKES_WRITES`.
    """
    readable(url)
    known = readable(with_option(url, option))
    environment = dict(os.environ) | {"PGAPPNAME": APPLICATION_NAME, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}
    # A local PGOPTIONS or PGSERVICE would change what the tools see and we do not.
    for name in ("PGOPTIONS", "PGSERVICE", "PGDATABASE", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD"):
        environment.pop(name, None)
    password = known.pop("password", None)
    known.pop("application_name", None)
    if password is not None:
        environment["PGPASSWORD"] = password
    return make_conninfo("", **known), environment


def with_database(url: str, database: str) -> str:
    """The same connection to another database of that server."""
    return make_conninfo("", **(readable(url) | {"dbname": database}))


WATCHED = {
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}
"""By these a server notices that we were killed, or that our machine is gone, and ends what it does for us."""


def _watch_the_client(connection: psycopg.Connection[TupleRow]) -> None:
    with suppress(psycopg.Error):  # not every platform can, and older servers do not know the first
        connection.execute(
            "SELECT set_config(v.name, v.value, false) FROM unnest(%s::text[], %s::text[]) AS v(name, value) "
            "JOIN pg_catalog.pg_settings s ON s.name = v.name",
            (list(WATCHED), list(WATCHED.values())),
        )


def _backend(connection: psycopg.Connection[TupleRow]) -> int:
    """The server process that answers, now."""
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def _refuse_pooler(url: str, timeout_s: int, connection: psycopg.Connection[TupleRow]) -> None:
    """Two sessions at once that one server process answers: a pooler lends it out by the transaction.

    What we set in a session (read-only, search_path, TimeZone) would then fall to the application's transactions.

    Raises:
        DatabaseError: it is so.
        psycopg.Error: a second session is not to be had.
    """
    with _open(url, timeout_s, TAKES_WRITES if forced(connection) else "") as other:
        shared = any(_backend(connection) == _backend(other) for _ in range(3))
    if shared:
        raise DatabaseError(
            f"{describe(url)} is a connection pooler that lends its sessions out by the transaction",
            why="the settings of our sessions (read-only among them) would fall to the application's, "
            "and two statements of ours might be answered under different ones.",
            todo="give the database's direct URL (Neon: the host without -pooler; Supabase: port 5432; "
            "PgBouncer: the server behind it, or a pool with pool_mode=session).",
        )


def _pin(connection: psycopg.Connection[TupleRow]) -> None:
    connection.execute(
        "SELECT set_config(s.name, v.value, false) FROM unnest(%s::text[], %s::text[]) AS v(name, value) "
        "JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(v.name)",
        (list(PINNED), list(PINNED.values())),
    )
