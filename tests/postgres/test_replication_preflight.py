"""What stands in the way of a replication: each obstacle is put there, and is named with its remedy."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from cutover.finding import Finding, Status
from cutover.postgres.replication import Link, check_replication, link_state
from cutover.rehearsal import postgres as pg
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]


@pytest.fixture(scope="module")
def meagre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A source that was not made for it, and a target with a single worker."""
    few: dict[str, str | int] = {"wal_level": "replica", "max_replication_slots": 1, "max_wal_senders": 1}
    few |= {"max_slot_wal_keep_size": "64MB"}
    one: dict[str, str | int] = {"max_logical_replication_workers": 1}
    with (
        pg.start(tmp_path_factory.mktemp("few"), major=17, settings=few) as source,
        pg.start(tmp_path_factory.mktemp("one"), major=18, settings=one) as target,
    ):
        yield source, target


@pytest.fixture
def link(pg17: Server, pg18: Server, fresh_database: Fresh) -> Link:
    """A source with one table and an empty target."""
    made = Link(fresh_database(pg17), fresh_database(pg18), name="cutover_preflight")
    run(made.source_url, "CREATE TABLE public.t (id int PRIMARY KEY)")
    return made


def run(url: str, text: str) -> None:
    """Statements, as superuser."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


def by_id(link: Link) -> dict[str, Finding]:
    """The findings by their id."""
    return {f.id: f for f in check_replication(link)}


def test_two_servers_that_can_do_it_pass_and_nothing_is_changed(link: Link) -> None:
    """No finding closes the gate, and neither side has anything of a replication."""
    seen = by_id(link)
    assert [f.id for f in seen.values() if f.closes_gate] == []
    assert seen["REP-reach"].status is Status.PASS
    assert link_state(link).nothing


@pytest.mark.parametrize("identifier", ["REP-wal-level", "REP-slots", "REP-senders", "REP-wal-kept", "REP-workers"])
def test_what_the_servers_are_not_set_up_for_is_named(meagre: tuple[Server, Server], identifier: str) -> None:
    """Each with the setting that would do, and the other way of the transfer."""
    link = Link(*(server.url() for server in meagre))
    found = by_id(link)[identifier]
    assert found.closes_gate
    assert found.remedy


@pytest.mark.parametrize(
    ("statement", "identifier", "words"),
    [
        ("CREATE TABLE public.nokey (a int)", "REP-identity", "ALTER TABLE public.nokey REPLICA IDENTITY FULL"),
        ("ALTER TABLE public.t REPLICA IDENTITY NOTHING", "REP-identity", "public.t"),
        ("CREATE TABLE public.j (a json)", "REP-comparable", "USING INDEX"),
        ("CREATE UNLOGGED TABLE public.quick (id int PRIMARY KEY)", "REP-unlogged", "SET LOGGED"),
        ("SELECT lo_create(0)", "REP-large-objects", "transfer: dump"),
        (
            "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER g "
            "BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f(); "
            "ALTER TABLE public.t ENABLE ALWAYS TRIGGER g",
            "REP-triggers",
            "ALTER TABLE public.t ENABLE TRIGGER g",
        ),
    ],
)
def test_what_would_not_be_carried_is_named_with_its_remedy(
    link: Link, statement: str, identifier: str, words: str
) -> None:
    """What a replication leaves behind, or would do twice."""
    run(link.source_url, statement)
    found = by_id(link)[identifier]
    assert found.closes_gate
    assert words in found.remedy


def test_roles_without_the_rights_are_named(link: Link, pg17: Server, pg18: Server) -> None:
    """On the source the right to replicate and the tables; on the target the right to subscribe."""
    name = f"poor_{secrets.token_hex(3)}"
    for server in (pg17, pg18):
        server.create_role(name)
    databases = [url.rsplit("/", 1)[1] for url in (link.source_url, link.target_url)]
    poor = Link(pg17.url(databases[0], name), pg18.url(databases[1], name), name=link.name)
    try:
        seen = by_id(poor)
    finally:
        for server in (pg17, pg18):
            server.execute(f'DROP ROLE "{name}"')
    assert {"REP-rights", "REP-publish", "REP-subscribe"} <= {f.id for f in seen.values() if f.closes_gate}
    assert "GRANT rds_replication" in seen["REP-rights"].remedy
    assert "public.t" in seen["REP-publish"].observed


def test_a_source_that_the_target_does_not_reach_is_found_from_there(link: Link) -> None:
    """We reach it, the target's server does not; asked of the target itself, and nothing is left there."""
    closed = str(pg.free_port("127.0.0.1"))
    port = link.source_url.rsplit(":", 1)[1].split("/")[0]
    found = by_id(replace(link, reach_url=link.source_url.replace(port, closed)))["REP-reach"]
    assert found.status is Status.FAIL
    assert "refused" in found.observed
    with psycopg.connect(link.target_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_subscription").fetchone() == (0,)


def test_a_side_that_cannot_be_asked_is_unknown(link: Link) -> None:
    """Never a pass."""
    port = link.source_url.rsplit(":", 1)[1].split("/")[0]
    seen = by_id(replace(link, source_url=link.source_url.replace(port, str(pg.free_port("127.0.0.1")))))
    assert seen["REP-source"].status is Status.UNKNOWN
    assert not [f for f in seen.values() if f.id == "REP-wal-level"]
