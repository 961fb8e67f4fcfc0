"""Publishing never makes a live source refuse its users: asked of the catalog, and of the server before it is kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import yaml

from cutover.action import Change
from cutover.errors import ActionRefused
from cutover.finding import Status
from cutover.migration import Migration
from cutover.postgres import connect
from cutover.postgres.replication import (
    GiveReplicaIdentity,
    Link,
    StartReplication,
    end_replication,
    link_state,
)
from cutover.postgres.replication.identity import incomparable, unidentified, without_equality
from cutover.postgres.replication.schema import copy_schema_before
from cutover.postgres.replication.source_checks import check_identity
from cutover.postgres.replication.user_writes import refused_writes
from cutover.procedures.transfer import check_way
from cutover.rehearsal.postgres import Server

PARAMS = Path(__file__).resolve().parent.parent.parent / "params" / "staging.yml"

DEFERRED = "CREATE TABLE public.lists (pos int, label text, PRIMARY KEY (pos) DEFERRABLE)"
GENERATED_KEY = (
    "CREATE TABLE public.byyear (tenant int, day date, year int GENERATED ALWAYS AS (extract(year FROM day)) STORED, "
    "PRIMARY KEY (tenant, year))"
)
GENERATED_ROW = "CREATE TABLE public.sums (a int, b int, c int GENERATED ALWAYS AS (a + b) STORED)"
PARTITIONED = (
    "CREATE TABLE public.days (id int, day date, PRIMARY KEY (id, day) DEFERRABLE) PARTITION BY RANGE (day); "
    "CREATE TABLE public.days_a PARTITION OF public.days FOR VALUES FROM ('2026-01-01') TO ('2026-07-01'); "
    "CREATE TABLE public.days_b PARTITION OF public.days FOR VALUES FROM ('2026-07-01') TO ('2027-01-01') "
    "PARTITION BY LIST (id); CREATE TABLE public.days_b1 PARTITION OF public.days_b FOR VALUES IN (1)"
)
GONE = (
    "CREATE TABLE public.gone (a int NOT NULL); CREATE UNIQUE INDEX gone_a ON public.gone (a); "
    "ALTER TABLE public.gone REPLICA IDENTITY USING INDEX gone_a; DROP INDEX public.gone_a"
)


ARRIVED = """
SELECT (SELECT string_agg(label, '' ORDER BY pos) FROM public.lists),
       (SELECT count(*) FROM public.days WHERE extract(day FROM day) = 2)
"""


@dataclass
class Sides:
    """A source and an empty target, each entered by an ordinary role that owns it; the roles' names differ."""

    link: Link
    admin_url: str

    def run(self, text: str) -> None:
        """Statements of the application, on the source, by its own role."""
        with psycopg.connect(self.link.source_url, autocommit=True) as connection:
            connection.execute(text.encode())


Make = Callable[[Server, Server], Sides]


@pytest.fixture
def make() -> Iterator[Make]:
    """`make(source_server, target_server)`: two sides, taken away after the test with all that follows."""
    made: list[tuple[Link, list[tuple[Server, str, str]]]] = []

    def sides(source: Server, target: Server) -> Sides:
        mark, parts = secrets.token_hex(4), []
        for server, role, options, member in (
            (source, f"shop_{mark}", "REPLICATION", ()),
            (target, f"rds_{mark}", "", ("pg_create_subscription",)),
        ):
            server.create_role(role, options=options, member_of=member)
            parts.append((server, f"d_{role}", role))
        urls = [server.create_database(database, role) for server, database, role in parts]
        link = Link(urls[0], urls[1], name=f"cutover_{mark}")
        made.append((link, parts))
        return Sides(link, source.url(parts[0][1]))

    yield sides
    for link, parts in made:
        end_replication(link)
        for server, database, role in parts:
            server.drop_database(database)
            server.execute(f'DROP ROLE "{role}"')


def begin(link: Link) -> None:
    """Begin to follow."""
    action = StartReplication(link)
    action.apply(action.plan())


def test_users_of_the_source_go_on_whatever_their_keys_are(make: Make, pg17: Server, pg18: Server) -> None:
    """A deferrable key is refused, then given an identity: UPDATE and DELETE are taken all the while, and arrive."""
    sides = make(pg17, pg18)
    sides.run(f"{DEFERRED}; {PARTITIONED}; INSERT INTO public.lists SELECT i, 'x' FROM generate_series(1, 9) i")
    with pytest.raises(ActionRefused, match=r"public\.lists \(its primary key is DEFERRABLE\)"):
        begin(sides.link)
    assert link_state(sides.link).nothing
    sides.run("UPDATE public.lists SET label = 'y' WHERE pos = 1")
    action = GiveReplicaIdentity(sides.link.source_url)
    plan = action.plan()
    names = ["public.days", "public.days_a", "public.days_b", "public.days_b1", "public.lists"]
    assert sorted(plan.after) == names
    change = Change(plan, action.apply(plan), "", 0.0)
    assert [f.status for f in action.verify(change)] == [Status.PASS]
    begin(sides.link)
    sides.run(
        "UPDATE public.lists SET label = 'z' WHERE pos = 2; DELETE FROM public.lists WHERE pos = 3; "
        "INSERT INTO public.days VALUES (1, '2026-08-01'), (1, '2026-02-01'); UPDATE public.days SET day = day + 1"
    )
    with psycopg.connect(sides.link.target_url, autocommit=True) as connection:
        ends = time.monotonic() + 30
        while connection.execute(ARRIVED).fetchone() != ("yzxxxxxx", 2):
            assert time.monotonic() < ends, link_state(sides.link)
            time.sleep(0.1)
    assert not any(link_state(sides.link).errors.values())


@pytest.mark.parametrize(
    ("major", "statements", "by_full", "by_key"),
    [
        (17, DEFERRED, ["public.lists"], []),
        (17, GENERATED_KEY, [], ["public.byyear"]),
        (18, GENERATED_KEY, [], ["public.byyear"]),
        (17, f"{GENERATED_KEY}; ALTER TABLE public.byyear REPLICA IDENTITY FULL", [], ["public.byyear"]),
        (17, f"{GENERATED_ROW}; ALTER TABLE public.sums REPLICA IDENTITY FULL", [], []),
        (18, f"{GENERATED_ROW}; ALTER TABLE public.sums REPLICA IDENTITY FULL", [], ["public.sums"]),
        (17, GENERATED_ROW, ["public.sums"], []),
        (18, GENERATED_ROW, [], ["public.sums"]),
        (18, "CREATE TABLE public.v (a int, b int GENERATED ALWAYS AS (a) VIRTUAL)", [], ["public.v"]),
        (17, GONE, ["public.gone"], []),
    ],
)
def test_what_does_not_identify_a_row_is_named_with_what_would(
    request: pytest.FixtureRequest, fresh_database: Callable[..., str], major: int, statements: str,
    by_full: list[str], by_key: list[str],
) -> None:  # fmt: skip
    """REPLICA IDENTITY FULL where it would do, a key of what is sent where it would not; the change gives only that."""
    url = fresh_database(request.getfixturevalue(f"pg{major}"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())
    with connect(url) as connection:
        found = check_identity(connection, "source")
    assert found.closes_gate is bool(by_full or by_key)
    assert found.data.get("tables", []) == [*by_full, *by_key]
    assert found.data.get("by_key", []) == by_key
    assert all(f"ALTER TABLE {name} REPLICA IDENTITY FULL" in found.remedy for name in by_full)
    assert ("FULL would not do" in found.remedy) is bool(by_key)
    assert list(GiveReplicaIdentity(url).plan().after) == by_full


KINDS = f"""
{DEFERRED}; {GENERATED_KEY}; {GENERATED_ROW}; ALTER TABLE public.sums REPLICA IDENTITY FULL; {PARTITIONED};
CREATE TABLE public.good (id int PRIMARY KEY, a text);
CREATE TABLE public."Odd ""Name" ("a b" int);
CREATE TABLE public.empty ();
CREATE TABLE public.computed (b int GENERATED ALWAYS AS (1) STORED);
CREATE TABLE public.numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
CREATE TABLE public.parent (id int PRIMARY KEY); CREATE TABLE public.child () INHERITS (public.parent);
CREATE TABLE public.ledger (id int PRIMARY KEY, a int); REVOKE ALL ON public.ledger FROM CURRENT_USER;
CREATE TABLE public.archive (id int); REVOKE UPDATE, DELETE ON public.archive FROM CURRENT_USER;
CREATE TABLE public.ruled (id int PRIMARY KEY); CREATE RULE r AS ON DELETE TO public.ruled DO INSTEAD NOTHING;
CREATE TABLE public.log (what text); ALTER TABLE public.log REPLICA IDENTITY FULL;
CREATE FUNCTION public.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER each AFTER UPDATE OR DELETE ON public.good FOR EACH STATEMENT EXECUTE FUNCTION public.fires();
"""  # noqa: E501 - one statement a line


@pytest.mark.parametrize("major", [17, 18])
def test_the_server_is_asked_what_it_would_do_and_nothing_is_done(
    request: pytest.FixtureRequest, make: Make, pg18: Server, major: int
) -> None:
    """As the owner, an ordinary role: each answer is that to the statement itself, no trigger fires, no lock stays."""
    sides = make(request.getfixturevalue(f"pg{major}"), pg18)
    sides.run(KINDS)
    tables = (
        'lists, byyear, sums, days, good, "Odd ""Name", empty, computed, numbered, parent, ledger, archive, ruled, log'
    )
    with connect(sides.link.source_url, readonly=False) as connection, connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL search_path = public")
        connection.execute(f"CREATE PUBLICATION p FOR TABLE {tables} WITH (publish_via_partition_root = true)".encode())
        connection.execute("SET LOCAL search_path = ''")
        found = {(one.table, one.statement) for one in refused_writes(connection, "p")}
        locked = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowExclusiveLock' "
            "AND relation >= 16384"
        ).fetchone()
        assert connection.execute("SELECT count(*) FROM public.log").fetchone() == (0,)
        said = {
            (name, statement.split()[0])
            for name, statement in _statements(connection)
            if _refuses(connection, name, statement)
        }
    assert found == said
    assert locked == (0,)
    refused = {"lists", "days_a", "days_b1", '"Odd ""Name"', "computed", "archive", "child", "empty"}
    refused |= {"byyear", "sums"} if major == 18 else set()
    assert {name for name, _ in found} == {f"public.{name}" for name in refused}


def _statements(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """An UPDATE (where there is a column) and a DELETE of every ordinary table."""
    rows = connection.execute(
        "SELECT c.oid::regclass::text, (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = c.oid "
        "AND attnum = 1) FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    updates = [(t, f"UPDATE ONLY {t} SET {column} = DEFAULT WHERE false") for t, column in rows if column]
    return [*updates, *((t, f"DELETE FROM ONLY {t} WHERE false") for t, _ in rows)]


def _refuses(connection: psycopg.Connection, table: str, statement: str) -> bool:
    """Whether the statement itself is refused (rolled back), to an owner that has every right."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"GRANT ALL ON {table} TO CURRENT_USER; {statement}".encode())
    except psycopg.Error:
        return True
    return False


@pytest.mark.parametrize("there", [False, True])
def test_what_only_the_server_knows_is_refused_before_it_is_published(
    make: Make, pg17: Server, pg18: Server, there: bool
) -> None:
    """A column list of another publication that leaves the key out; also where an earlier attempt left ours behind."""
    sides = make(pg17, pg18)
    sides.run("CREATE TABLE public.t (id int PRIMARY KEY, a int); CREATE PUBLICATION narrow FOR TABLE public.t (a)")
    if there:
        sides.run(f"CREATE PUBLICATION {sides.link.name} FOR TABLE public.t")
    with pytest.raises(ActionRefused, match=r"UPDATE on public\.t: .*does not cover the replica identity"):
        begin(sides.link)
    assert link_state(sides.link).nothing
    sides.run("DROP PUBLICATION narrow; UPDATE public.t SET a = 1")


def test_a_partition_of_another_owner_is_asked_through_its_root(make: Make, pg17: Server, pg18: Server) -> None:
    """Its owner may be a role of a maintenance job; users reach it through the root."""
    sides = make(pg17, pg18)
    sides.run(PARTITIONED)
    with psycopg.connect(sides.admin_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE public.days_a OWNER TO CURRENT_USER")
    with connect(sides.link.source_url, readonly=False) as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE PUBLICATION p FOR TABLE public.days")
        found = {one.table: one.words for one in refused_writes(connection, "p")}
    assert sorted(found) == ["public.days", "public.days_b1"]
    assert 'table "days_a"' in found["public.days"]


def test_a_lock_that_is_not_to_be_had_is_no_answer(make: Make, pg17: Server, pg18: Server) -> None:
    """Neither a refusal nor a pass: raised, so that nothing is published."""
    sides = make(pg17, pg18)
    sides.run("CREATE TABLE public.t (id int PRIMARY KEY)")
    with psycopg.connect(sides.link.source_url) as other, connect(sides.link.source_url, readonly=False) as connection:
        connection.execute("CREATE PUBLICATION p FOR TABLE public.t")
        other.execute("LOCK TABLE public.t IN SHARE MODE")
        connection.execute("SET lock_timeout = '20ms'")
        with connection.transaction(force_rollback=True), pytest.raises(psycopg.errors.LockNotAvailable):
            refused_writes(connection, "p")


def test_columns_that_cannot_be_compared_are_named_however_deep_they_lie(
    make: Make, pg17: Server, pg18: Server
) -> None:
    """Arrays, domains, composites and ranges down to their base types; what can be compared is not named."""
    sides = make(pg17, pg18)
    sides.run(
        "CREATE DOMAIN public.doc AS json; CREATE TYPE public.pair AS (a int, b public.doc); "
        "CREATE DOMAIN public.pairs AS public.pair[]; CREATE TYPE public.mood AS ENUM ('calm'); "
        "CREATE TYPE public.plain AS (a text[], m public.mood); CREATE TYPE public.span AS RANGE (subtype = text); "
        "CREATE TABLE public.bad (a json, b json[], c public.doc, d public.pair, e public.pairs, f xml, g point[], "
        "h pg_snapshot, i jsonpath); "
        "CREATE TABLE public.fine (a jsonb, b public.plain[], c public.span, d int4multirange, e varchar(3), f name, "
        "g inet, h public.mood[], i xid); ALTER TABLE public.fine REPLICA IDENTITY FULL; "
        "CREATE TABLE public.keyed (id int PRIMARY KEY, a json)"
    )
    with connect(sides.link.source_url) as connection:
        found = incomparable(connection)
    assert [name.split(" ")[0] for name in found] == [f"public.bad.{letter}" for letter in "abcdefghi"]
    assert "public.bad.e (public.pairs)" in found


def test_a_type_has_equality_exactly_where_the_server_finds_one(request: pytest.FixtureRequest, pg17: Server) -> None:
    """Every type of a server, asked of the catalog, and by a DISTINCT over it."""
    with psycopg.connect(pg17.url(), autocommit=True) as connection:
        types = connection.execute(
            "SELECT oid, format_type(oid, NULL) FROM pg_type WHERE typtype <> 'p' AND typisdefined"
        ).fetchall()
        without = without_equality(connection, [oid for oid, _ in types])
        refused = set()
        for oid, name in types:
            try:
                connection.execute(f"EXPLAIN SELECT DISTINCT NULL::{name}".encode())
            except psycopg.errors.UndefinedFunction:
                refused.add(oid)
    assert refused
    assert without == refused


def test_an_index_that_identifies_rows_is_there_before_the_rows(make: Make, pg17: Server, pg18: Server) -> None:
    """Else the first UPDATE that arrives finds no row by it, and the copy stops."""
    sides = make(pg17, pg18)
    sides.run(
        'CREATE TABLE public.t (a int NOT NULL, b int); CREATE UNIQUE INDEX "t a" ON public.t (a); '
        'CREATE INDEX other ON public.t (b); ALTER TABLE public.t REPLICA IDENTITY USING INDEX "t a"'
    )
    copy_schema_before(sides.link)
    with psycopg.connect(sides.link.target_url) as connection:
        there = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'i' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert unidentified(connection) == []
    assert there == [("t a",)]


def test_what_was_there_is_there_again_after_undo(make: Make, pg17: Server, pg18: Server) -> None:
    """Also NOTHING, and an index by its name, where it holds a generated column; a journal of before says none."""
    sides = make(pg17, pg18)
    sides.run(
        "CREATE TABLE public.a (x int); CREATE TABLE public.b (x int); ALTER TABLE public.b REPLICA IDENTITY NOTHING; "
        "CREATE TABLE public.c (x int, y int GENERATED ALWAYS AS (x + 1) STORED NOT NULL); "
        'CREATE UNIQUE INDEX "c y" ON public.c (y); ALTER TABLE public.c REPLICA IDENTITY USING INDEX "c y"'
    )
    action = GiveReplicaIdentity(sides.link.source_url)
    plan = action.plan()
    assert plan.before == {"public.a": "DEFAULT", "public.b": "NOTHING", "public.c": 'USING INDEX "c y"'}
    change = Change(plan, action.apply(plan), "", 0.0)
    assert action.plan().empty
    action.undo(change)
    assert action.plan().before == plan.before
    action.undo(Change(replace(plan, before={"public.b": "none"}), {}, "", 0.0))
    assert action.plan().before["public.b"] == "DEFAULT"


@pytest.mark.parametrize(("statements", "status"), [(DEFERRED, Status.NOT_DUE), (GENERATED_KEY, Status.FAIL)])
def test_only_what_a_change_of_the_notebook_mends_is_not_due_yet(
    make: Make, pg17: Server, pg18: Server, statements: str, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What REPLICA IDENTITY FULL would not help closes the gate before anything is changed."""
    sides = make(pg17, pg18)
    sides.run(statements)
    raw = yaml.safe_load(PARAMS.read_text())["migration"] | {"transfer": "replicate"}
    for side, url in (("source", sides.link.source_url), ("target", sides.link.target_url)):
        raw[side] |= {"database_url": f"env:{side.upper()}_DATABASE"}
        monkeypatch.setenv(f"{side.upper()}_DATABASE", url)
    step: Any = SimpleNamespace(migration=Migration.model_validate(raw))
    (found,) = (f for f in check_way(step) if f.id == "REP-identity")
    assert found.status is status
    assert found.closes_gate is (status is Status.FAIL)
