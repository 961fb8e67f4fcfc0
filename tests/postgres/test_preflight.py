"""Preflight: each thing that would stand in the way of a transfer is named before it starts."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status, verdict
from cutover.postgres import connect, preflight, server_facts
from cutover.postgres.connection import parameters
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
    findings = preflight(*pair)
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
            found = _of(preflight(*pair), key)
        finally:
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
    from cutover.postgres.preflight import _pooler

    assert _pooler("postgresql://u@ep-x-pooler.us-east-1.aws.neon.tech/db").status is Status.FAIL
    assert _pooler("postgresql://u@ep-x.us-east-1.aws.neon.tech/db").status is Status.PASS


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
