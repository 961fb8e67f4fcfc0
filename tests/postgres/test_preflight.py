"""Preflight: each thing that would stand in the way of a transfer is named before it starts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status, verdict
from cutover.postgres import connect, preflight, server_facts
from cutover.postgres.connection import parameters
from cutover.postgres.preflight import scratch_catalog, scratch_restore, server
from cutover.postgres.preflight.pair import room, sorts
from cutover.postgres.preflight.query_checks import look
from cutover.postgres.preflight.server import pooler
from cutover.postgres.preflight.source import SOURCE
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]


@pytest.fixture
def pair(pg17: Server, pg18: Server, fresh_database: Fresh) -> tuple[str, str]:
    """An empty database of each major."""
    return fresh_database(pg17), fresh_database(pg18)


def _of(findings: list[Finding], key: str) -> Finding:
    (found,) = (f for f in findings if f.id == key)
    return found


def test_a_17_and_an_empty_18_are_ready(pair: tuple[str, str]) -> None:
    """Nothing stands in the way, and the facts are said."""
    with psycopg.connect(pair[0], autocommit=True) as connection:
        connection.execute("CREATE TABLE public.t (a int PRIMARY KEY)")
    findings = preflight(*pair, storage_bytes=2**40, dump_folder=Path("/"))
    assert [f.id for f in findings if f.status not in (Status.PASS, Status.NOT_APPLICABLE)] == []
    assert verdict(findings).opens
    facts = server_facts(pair[0])
    assert (facts.major, facts.encoding, facts.superuser, facts.tables) == (17, "UTF8", True, 1)
    assert "PostgreSQL 17" in _of(findings, "PRE-source").observed


@pytest.mark.parametrize(
    ("statements", "key", "named"),
    [
        ("CREATE UNLOGGED TABLE public.u (a int)", "PRE-unlogged", "public.u"),
        (
            "CREATE TABLE public.t (a int); ALTER TABLE public.t ADD CONSTRAINT k CHECK (a > 0) NOT VALID",
            "PRE-not-valid",
            "public.t.k",
        ),
        (
            "CREATE TABLE public.t (a int); CREATE INDEX broken ON public.t (a); "
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.broken'::regclass",
            "PRE-invalid-indexes",
            "public.broken",
        ),
        ("CREATE EXTENSION pgcrypto", "PRE-extensions", "pgcrypto"),
        ("SELECT pg_create_physical_replication_slot('orphan')", "PRE-slots", "orphan"),
        (
            "CREATE DOMAIN public.d AS int; ALTER DOMAIN public.d ADD CONSTRAINT dk CHECK (VALUE > 0) NOT VALID",
            "PRE-not-valid",
            "public.d.dk",
        ),
        (
            "CREATE COLLATION public.odd (LOCALE = 'C'); CREATE TABLE public.c (a text COLLATE public.odd); "
            "UPDATE pg_collation SET collnamespace = 'pg_catalog'::regnamespace WHERE collname = 'odd'",
            "PRE-collations",
            "odd",
        ),
        ("CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw", "PRE-foreign", "far"),
        (
            "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1' PUBLICATION p "
            "WITH (connect = false, slot_name = NONE)",
            "PRE-subscriptions",
            "feed",
        ),
        (
            "DROP ROLE IF EXISTS here_only; CREATE ROLE here_only; CREATE SCHEMA s AUTHORIZATION here_only",
            "PRE-roles",
            "here_only",
        ),
    ],
)
def test_an_obstacle_in_the_source_is_named(pair: tuple[str, str], statements: str, key: str, named: str) -> None:
    """One obstacle, one finding that is not PASS, with its name and what to do."""
    with psycopg.connect(pair[0], autocommit=True) as connection:
        connection.execute(statements.encode())
        try:
            found = _of(preflight(*pair, scratch=False), key)
        finally:
            if "SUBSCRIPTION" in statements:
                connection.execute("DROP SUBSCRIPTION feed")
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
            if "here_only" in statements:
                connection.execute("DROP OWNED BY here_only; DROP ROLE here_only")
    assert found.status is Status.FAIL
    assert named in found.observed
    assert found.remedy


def test_what_we_may_not_read_is_a_blocker(pair: tuple[str, str]) -> None:
    """A table without a grant, and one whose policy hides rows from us."""
    with psycopg.connect(pair[0], autocommit=True) as connection:
        connection.execute(
            "DROP ROLE IF EXISTS weak_one; CREATE ROLE weak_one LOGIN PASSWORD 'weakweak'; "
            "CREATE TABLE public.a (x int); CREATE TABLE public.b (x int); "
            "ALTER TABLE public.b ENABLE ROW LEVEL SECURITY; GRANT SELECT ON public.b TO weak_one"
        )
        weak = make_conninfo(pair[0], user="weak_one", password="weakweak")
        try:
            findings = preflight(weak, pair[1])
        finally:
            connection.execute("DROP OWNED BY weak_one; DROP ROLE weak_one")
    assert _of(findings, "PRE-readable").observed == "public.a"
    assert _of(findings, "PRE-hidden-rows").observed == "public.b"
    assert not verdict(findings).opens


def test_a_target_of_an_older_major_or_with_tables_is_refused(pair: tuple[str, str]) -> None:
    """18 into 17, and a target that is not empty."""
    with psycopg.connect(pair[0], autocommit=True) as connection:
        connection.execute("CREATE TABLE public.t (a int)")
    findings = preflight(pair[1], pair[0])
    assert _of(findings, "PRE-versions").status is Status.FAIL
    assert _of(findings, "PRE-target-empty").status is Status.FAIL


def test_a_database_that_cannot_be_reached_is_unknown(pair: tuple[str, str]) -> None:
    """No answer is UNKNOWN and closes the gate; the message holds no password."""
    findings = preflight(pair[0], "postgresql://u:secretsecret@127.0.0.1:1/x")
    found = _of(findings, "PRE-target")
    assert found.status is Status.UNKNOWN
    assert found.remedy
    assert "secretsecret" not in str(found)
    assert not verdict(findings).opens


def test_a_pooler_is_noticed() -> None:
    """A pooled address mixes sessions, so a snapshot cannot be held."""
    assert pooler("postgresql://u@ep-x-pooler.us-east-1.aws.neon.tech/db").status is Status.FAIL
    assert pooler("postgresql://u@ep-x.us-east-1.aws.neon.tech/db").status is Status.PASS


@pytest.mark.parametrize(
    ("change", "words", "todo"),
    [
        ({"password": "wrong-wrong"}, "password authentication failed", "user and the password"),
        ({"database": "nowhere"}, "does not exist", "name"),
        ({"port": "1"}, "refused", "port"),
        ({"tls": "require"}, "does not support SSL", "TLS"),
    ],
)
def test_a_refused_connection_says_why_and_what_to_do(
    pair: tuple[str, str], pg18: Server, change: dict[str, str], words: str, todo: str
) -> None:
    """Wrong password, wrong name, nobody there, no TLS: each with its hint, none with a password."""
    password = parameters(pair[1])["password"]
    url = f"postgresql://postgres:{change.get('password', password)}@127.0.0.1:{change.get('port', pg18.port)}"
    url = url.replace("127.0.0.1", pg18.host) + f"/{change.get('database', 'postgres')}"
    url += f"?sslmode={change['tls']}" if "tls" in change else ""
    with pytest.raises(DatabaseError) as caught:
        connect(url)
    assert words in str(caught.value)
    assert todo in caught.value.todo
    assert password not in str(caught.value)
    assert "wrong-wrong" not in str(caught.value)


def test_a_readonly_session_cannot_write(pair: tuple[str, str]) -> None:
    """Instruments that look cannot change."""
    with connect(pair[0]) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE public.t (a int)")


def _with(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


@pytest.mark.parametrize(
    ("side", "change", "key", "named"),
    [
        (
            "target",
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            "PRE-target-writable",
            "read_only is on",
        ),
        ("target", "ALTER DATABASE {} CONNECTION LIMIT 3", "PRE-connections-target", "CONNECTION LIMIT"),
        ("target", "ALTER DATABASE {} SET rds.extensions = 'plpgsql, hstore'", "PRE-extensions", "citext"),
        ("target", "SELECT lo_create(4711)", "PRE-target-empty", "large object 4711"),
        ("target", "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "PRE-target-empty", "f()"),
        ("target", "CREATE SCHEMA cutover_restore", "PRE-target-empty", "unfinished restore"),
        (
            "source",
            "UPDATE pg_extension SET extversion = '99.0' WHERE extname = 'citext'",
            "PRE-extension-versions",
            "citext",
        ),
    ],
)
def test_an_obstacle_in_either_side_is_named(
    pair: tuple[str, str], side: str, change: str, key: str, named: str
) -> None:
    """One obstacle, one finding that fails, with its name and what to do; without it, the same finding passes."""
    _with(pair[0], "CREATE EXTENSION citext")
    assert _of(preflight(*pair, scratch=False), key).status is Status.PASS
    url = pair[side == "target"]
    _with(url, change.format(url.rsplit("/", 1)[1]))
    found = _of(preflight(*pair, scratch=False), key)
    assert found.status is Status.FAIL
    assert named in found.observed
    assert found.remedy


def test_what_only_shows_while_it_is_open_is_named(pair: tuple[str, str], pg17: Server) -> None:
    """A prepared transaction, and one that has been open for long, each held open while we look."""
    long = "UPDATE pg_catalog.pg_class SET relname = relname WHERE false"
    with psycopg.connect(pair[0]) as idle:
        idle.execute(long.encode())
        title = next(check for check in SOURCE if check.key == "long-transactions")
        quick = replace(title, query=title.query.replace("interval '5 minutes'", "interval '0'"))
        with connect(pair[0]) as connection:
            found = look(connection, "source", quick)
            assert found.status is Status.FAIL
            assert f"pid {idle.info.backend_pid}, postgres, idle in transaction" in found.observed
            assert f"pid {idle.info.backend_pid}" in found.remedy
            assert look(connection, "source", title).status is Status.PASS
            prepared = next(check for check in SOURCE if check.key == "prepared")
            assert look(connection, "source", prepared).status is Status.PASS
            one = replace(
                prepared, query="SELECT 'gid-7' FROM (" + prepared.query + ") AS t RIGHT JOIN (SELECT 1) o ON true"
            )
            assert "ROLLBACK PREPARED 'gid-7'" in look(connection, "source", one).remedy


def test_a_query_that_is_refused_is_unknown(pair: tuple[str, str]) -> None:
    """No look, no pass."""
    broken = replace(SOURCE[0], query="SELECT rolpassword FROM pg_catalog.pg_nothing")
    with connect(pair[0]) as connection:
        found = look(connection, "source", broken)
    assert found.status is Status.UNKNOWN
    assert "pg_nothing" in found.why


def test_room_is_unknown_unless_told_and_too_little_is_said(pair: tuple[str, str]) -> None:
    """A server does not tell by SQL how large its disk is."""
    source, target = (server_facts(url) for url in pair)
    (unknown,) = room(source, target, None, None)
    assert (unknown.status, unknown.closes_gate) == (Status.UNKNOWN, False)
    (small,) = room(source, target, source.size_bytes, None)
    assert (small.status, small.closes_gate) == (Status.FAIL, True)
    assert room(source, target, 2 * source.size_bytes, None)[0].status is Status.PASS
    huge = replace(source, size_bytes=2**60)
    assert room(huge, target, None, Path("/nowhere/at/all"))[1].status is Status.FAIL


@pytest.mark.parametrize(
    ("here", "there", "used", "bad"),
    [
        (("db", "2.31", "2.31", "libc"), ("db", None, "2.31", "libc"), [], []),
        (("db", "2.28", "2.31", "libc"), ("db", None, "2.31", "libc"), [], ["PRE-collation-current"]),
        (("db", "2.31", "2.31", "libc"), ("db", None, "2.36", "libc"), [], ["PRE-collation-versions"]),
        (("db", "2.31", "2.31", "libc"), ("db", None, "153", "icu"), [], ["PRE-collation-versions"]),
        (
            ("db", "1", "1", "builtin"),
            ("db", None, "1", "builtin"),
            [("und-x-icu", "1", "2")],
            ["PRE-collation-current"],
        ),
        (("db", "1", "1", "builtin"), ("db", None, "1", "builtin"), [("sv_SE", "1", "1")], ["PRE-collations"]),
    ],
)
def test_another_sort_order_is_said(
    pair: tuple[str, str], here: tuple[str, ...], there: tuple[str, ...], used: list[tuple[str, ...]], bad: list[str]
) -> None:
    """Indexes built with an older version, another version or provider on the target, a collation that it lacks."""
    found = sorts(here, there, used, {"und-x-icu"}, server_facts(pair[1]))
    assert [f.id for f in found if f.status is not Status.PASS] == bad


@pytest.mark.parametrize(
    ("url", "tls", "status", "kept"),
    [
        ("postgresql://u@db.example/x?sslmode=verify-full", "TLSv1.3", Status.PASS, Status.PASS),
        ("postgresql://u@db.example/x?sslmode=require", "TLSv1.3", Status.PASS, Status.FAIL),
        ("postgresql://u@db.example/x", "TLSv1.3", Status.PASS, Status.FAIL),
        ("postgresql://u@db.example/x", "", Status.FAIL, Status.FAIL),
        ("postgresql://u@127.0.0.1/x", "", Status.NOT_APPLICABLE, Status.NOT_APPLICABLE),
    ],
)
def test_encryption_is_in_force_and_insisted_upon(
    pair: tuple[str, str], url: str, tls: str, status: Status, kept: Status
) -> None:
    """By pg_stat_ssl and by sslmode: `prefer` falls back to clear text without a word."""
    facts = replace(server_facts(pair[0]), tls=tls)
    assert [f.status for f in server.tls("source", url, facts)] == [status, kept]


def test_a_large_object_that_we_may_not_read_and_an_untrusted_extension(
    pair: tuple[str, str], pg17: Server, pg18: Server
) -> None:
    """A role without rights, on either side: each is named before pg_dump or pg_restore would stop at it."""
    name = f"weak_{secrets.token_hex(3)}"
    passwords = [server.create_role(name) for server in (pg17, pg18)]
    urls = [make_conninfo(u, user=name, password=p) for u, p in zip(pair, passwords, strict=True)]
    _with(pair[0], "SELECT lo_create(4712); CREATE SCHEMA closed; CREATE EXTENSION postgres_fdw")
    try:
        findings = preflight(urls[0], urls[1])
    finally:
        for server in (pg17, pg18):
            server.execute(f"DROP ROLE {name}")
    assert _of(findings, "PRE-large-objects").observed == "4712"
    assert _of(findings, "PRE-schemas-readable").observed == "closed"
    assert _of(findings, "PRE-extension-rights").observed == "not ours to install: postgres_fdw"
    assert "CREATE" in _of(findings, "PRE-target-writable").observed
    schema = _of(findings, "PRE-schema-data")
    assert schema.status is Status.UNKNOWN
    assert f'ALTER ROLE "{name}" CREATEDB' in schema.remedy
    assert not schema.closes_gate


def test_what_the_schema_would_lose_is_named_with_its_object(pair: tuple[str, str], pg17: Server) -> None:
    """A table whose type the target lacks, and a grant to a role that it lacks; no scratch database stays."""
    role = f"gone_{secrets.token_hex(3)}"
    _with(
        pair[0],
        f"CREATE ROLE {role}; CREATE EXTENSION pgcrypto; CREATE TABLE public.a (x int); "
        f"GRANT SELECT ON public.a TO {role}; "
        "CREATE TABLE public.b (x int, y bytea GENERATED ALWAYS AS (public.digest('x', 'sha256')) STORED)",
    )
    try:
        findings = preflight(*pair)
        by_choice = preflight(*pair, acl=False)
    finally:
        _with(pair[0], f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert "TABLE public.b" in _of(findings, "PRE-schema-data").observed
    objects = _of(findings, "PRE-schema-objects")
    assert "EXTENSION pgcrypto" in objects.observed
    assert f'role "{role}" does not exist' in objects.observed
    assert f'CREATE ROLE "{role}"' in objects.remedy
    assert objects.closes_gate
    assert role not in _of(by_choice, "PRE-schema-objects").observed
    assert _scratches(pair[1]) == []


def test_what_is_restored_is_what_it_was(rich17: str, pg18: Server, fresh_database: Fresh) -> None:
    """Over two majors, something of everything comes out the same: no false alarm, nothing lost."""
    target = fresh_database(pg18)
    findings = preflight(rich17, target, storage_bytes=2**40)
    schema = [f for f in findings if f.id.startswith("PRE-schema-")]
    assert {f.id for f in schema} == {"PRE-schema-data", "PRE-schema-objects", "PRE-schema-same"}
    assert [(f.id, f.observed) for f in schema if f.status is not Status.PASS] == []


def test_an_object_that_would_come_out_otherwise_is_named(pair: tuple[str, str]) -> None:
    """Restored without an error, and yet not the same: an invalid index of the source is valid on the target."""
    _with(
        pair[0],
        "CREATE TABLE public.t (a int); CREATE INDEX broken ON public.t (a); "
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.broken'::regclass",
    )
    found = _of(preflight(*pair), "PRE-schema-same")
    assert found.status is Status.FAIL
    assert "broken" in found.observed
    assert not found.closes_gate


def _scratches(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'cutover_scratch_%'").fetchall()
    return [str(row[0]) for row in rows]


def test_a_scratch_database_is_dropped_after_a_failure_and_after_a_kill(pair: tuple[str, str]) -> None:
    """By the block's end, whatever ends it; by the next run, where a kill had left one. Another's is left alone."""
    _with(pair[0], "CREATE TABLE public.t (a int)")
    with suppress(ZeroDivisionError), scratch_restore(*pair) as scratch:
        assert len(_scratches(pair[1])) == 1
        _with(scratch.url, "SELECT FROM public.t")
        raise ZeroDivisionError
    assert _scratches(pair[1]) == []
    left, busy = (f"cutover_scratch_{secrets.token_hex(6)}" for _ in range(2))
    other = f"cutover_scratch_of_{secrets.token_hex(3)}"
    with psycopg.connect(pair[1], autocommit=True) as connection:
        for name in (left, busy, other):
            connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            with psycopg.connect(make_conninfo(pair[1], dbname=busy)), scratch_restore(*pair):
                assert left not in _scratches(pair[1])
                assert {busy, other} <= set(_scratches(pair[1]))
        finally:
            for name in (left, busy, other):
                connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())


def test_the_scratch_catalog_is_the_schema_as_the_targets_major_prints_it(pair: tuple[str, str]) -> None:
    """Columns, indexes and views of the source, read from a server of the target's major."""
    _with(
        pair[0],
        "CREATE TABLE public.t (a int PRIMARY KEY, b text NOT NULL); CREATE VIEW public.v AS SELECT b FROM public.t",
    )
    with scratch_catalog(*pair) as catalog:
        assert catalog.major == 18
        assert {("table", "public.t"), ("view", "public.v")} <= set(catalog.objects)
    assert _scratches(pair[1]) == []
