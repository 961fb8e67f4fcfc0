"""A copy that follows its source: begun, broken off and taken up again, watched, brought to a fence, ended."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from cutover.action import Action, Change
from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Finding, Status
from cutover.postgres import Freeze, compare
from cutover.postgres.replication import (
    EndReplication,
    GiveReplicaIdentity,
    Link,
    StartReplication,
    check_ended,
    check_fence,
    check_following,
    end_replication,
    fill_views,
    link_state,
    record_switchover_lsn,
    sync_sequences,
    wait_replayed,
)
from cutover.postgres.replication.schema import copy_schema_before
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]
Started = Callable[[], Link]

SCHEMA = """
CREATE TYPE public.mood AS ENUM ('calm', 'tired');
CREATE TABLE public.people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE,
    mood public.mood DEFAULT 'calm', name_length int GENERATED ALWAYS AS (length(name)) STORED);
CREATE TABLE public.notes (id serial PRIMARY KEY, person bigint NOT NULL REFERENCES public.people ON DELETE CASCADE,
    body text, at timestamptz DEFAULT now());
CREATE INDEX notes_person_idx ON public.notes (person);
CREATE TABLE public.seen (path text, n int);
ALTER TABLE public.seen REPLICA IDENTITY FULL;
CREATE TABLE public."Odd Name" ("a b" int PRIMARY KEY, "100%" text, "{}" text);
CREATE TABLE public.events (id int, day date, what text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
CREATE SEQUENCE public.invoice_number START 1000 INCREMENT 5;
CREATE FUNCTION public.count_note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.seen VALUES ('note', NEW.id); RETURN NEW; END $$;
CREATE TRIGGER notes_count AFTER INSERT ON public.notes FOR EACH ROW EXECUTE FUNCTION public.count_note();
CREATE MATERIALIZED VIEW public.busy AS SELECT person, count(*) AS many FROM public.notes GROUP BY 1;
INSERT INTO public.people (name) SELECT 'p' || i FROM generate_series(1, 300) i;
INSERT INTO public.notes (person, body) SELECT 1 + i % 300, repeat('x', i) FROM generate_series(1, 500) i;
INSERT INTO public.seen SELECT 'same', 1 FROM generate_series(1, 20);
INSERT INTO public."Odd Name" VALUES (1, 'x', 'y');
INSERT INTO public.events SELECT i, date '2026-06-20' + i % 20, 'e' FROM generate_series(1, 100) i;
SELECT nextval('public.invoice_number');
REFRESH MATERIALIZED VIEW public.busy;
"""

MORE = """
INSERT INTO public.people (name) SELECT 'late' || i FROM generate_series(1, 50) i;
UPDATE public.people SET mood = 'tired', name = name || '!' WHERE id % 7 = 0;
DELETE FROM public.people WHERE id % 11 = 0;
INSERT INTO public.notes (person, body) SELECT 1, 'more' FROM generate_series(1, 30);
DELETE FROM public.seen WHERE ctid IN (SELECT ctid FROM public.seen WHERE path = 'same' LIMIT 3);
UPDATE public.seen SET n = 2 WHERE ctid IN (SELECT ctid FROM public.seen WHERE path = 'same' LIMIT 2);
UPDATE public.events SET day = day + 30 WHERE id < 20;
TRUNCATE public."Odd Name";
INSERT INTO public."Odd Name" VALUES (7, '%', '{}');
SELECT nextval('public.invoice_number') FROM generate_series(1, 9);
"""


@pytest.fixture
def link(pg17: Server, pg18: Server, fresh_database: Fresh) -> Iterator[Link]:
    """A filled source and an empty target; whatever a test leaves of a replication is taken away."""
    source, target = fresh_database(pg17), fresh_database(pg18)
    run(source, SCHEMA)
    made = Link(source, target, name=f"cutover_{source.rsplit('/', 1)[1]}")
    yield made
    end_replication(made)


@pytest.fixture
def following(link: Link) -> Link:
    """The same, with the copy following."""
    assert begin(link)["tables"] == 5
    return link


@pytest.fixture(scope="module")
def steady(pg17: Server, pg18: Server) -> Iterator[Link]:
    """A copy that follows, shared by tests that leave it as it was."""
    name = f"steady_{secrets.token_hex(4)}"
    made = Link(*(server.create_database(name) for server in (pg17, pg18)), name=f"cutover_{name}")
    run(made.source_url, SCHEMA)
    begin(made)
    yield made
    end_replication(made)
    for server in (pg17, pg18):
        server.drop_database(name)


def run(url: str, text: str) -> None:
    """Statements, as superuser, past the guard that keeps others out."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT set_config('default_transaction_read_only', 'off', false)")
        connection.execute(text.encode())


def begin(link: Link) -> dict[str, object]:
    """Begin to follow; what came back."""
    action = StartReplication(link)
    return dict(action.apply(action.plan()))


def fence(link: Link) -> None:
    """Freeze, wait until the copy has it all, set the sequences."""
    freeze = Freeze(link.source_url)
    freeze.apply(freeze.plan())
    reached = wait_replayed(link, record_switchover_lsn(link), timeout_s=30)
    assert reached.replayed_s is not None
    sync_sequences(link)


def by_id(findings: list[Finding]) -> dict[str, Finding]:
    """Findings by their id."""
    return {f.id: f for f in findings}


def closing(findings: list[Finding]) -> set[str]:
    """What closes the gate."""
    return {f.id for f in findings if f.closes_gate}


def until(look: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition, bounded."""
    ends = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.1)


def test_a_copy_follows_every_kind_of_write_and_is_equal_at_the_fence(following: Link) -> None:
    """Partitions, keyless duplicates, generated columns, odd names, truncation; sequences by exact value."""
    run(following.source_url, MORE)
    fence(following)
    compared = compare(following.source_url, following.target_url)
    assert closing(compared.findings) == set()
    assert {t.name for t in compared.tables} >= {"public.events", "public.seen", 'public."Odd Name"'}
    assert all(t.identical for t in compared.tables if not t.advisory)


def test_doing_it_twice_changes_nothing(steady: Link) -> None:
    """The second plan is empty, and applying it all the same leaves everything as it is."""
    action = StartReplication(steady)
    assert isinstance(action, Action)
    before = link_state(steady)
    plan = action.plan()
    assert plan.empty
    result = action.apply(plan)
    after = link_state(steady)
    assert (after.tables, after.published, after.slot) == (before.tables, before.published, before.slot)
    assert closing(action.verify(Change(plan, result, "", 0.0))) == set()


def test_nobody_else_writes_into_the_copy_until_it_is_let_go(following: Link) -> None:
    """The guard refuses the application and lets the replication pass; ended, the target takes writes again."""
    insert = """INSERT INTO public."Odd Name" VALUES (99, 'early')"""
    with psycopg.connect(following.target_url) as app, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        app.execute(insert)
    end_replication(following)
    with psycopg.connect(following.target_url) as app:
        app.execute(insert)


@pytest.mark.parametrize("left", ["publication", "schema", "slot", "guard", "subscription"])
def test_it_goes_on_where_it_was_broken_off(link: Link, left: str) -> None:
    """Whatever a crash left behind, the next attempt ends in a copy that follows."""
    if left in ("publication", "slot"):
        run(link.source_url, f"CREATE PUBLICATION {link.name} FOR TABLE public.people")
    if left in ("schema", "slot", "guard", "subscription"):
        copy_schema_before(link)
    if left in ("slot", "subscription"):
        run(link.source_url, f"SELECT pg_create_logical_replication_slot('{link.name}', 'pgoutput')")
    if left == "guard":
        freeze = Freeze(link.target_url)
        freeze.apply(freeze.plan())
    if left == "subscription":
        tables = 'public.people, public.notes, public.seen, public."Odd Name", public.events'
        run(
            link.source_url,
            f"CREATE PUBLICATION {link.name} FOR TABLE {tables} WITH (publish_via_partition_root = true)",
        )
        run(
            link.target_url,
            f"CREATE SUBSCRIPTION {link.name} CONNECTION '{link.conninfo}' PUBLICATION {link.name} "
            f"WITH (create_slot = false, slot_name = '{link.name}')",
        )
    begin(link)
    assert closing(check_following(link)) == set()
    fence(link)
    assert closing(compare(link.source_url, link.target_url).findings) == set()


def test_a_table_without_identity_is_never_published_and_can_be_given_one(link: Link) -> None:
    """Published, the source would refuse its users' UPDATEs; with FULL it does not, and undo brings back what was."""
    run(link.source_url, "ALTER TABLE public.seen REPLICA IDENTITY DEFAULT")
    with pytest.raises(ActionRefused, match=r"public\.seen"):
        begin(link)
    assert link_state(link).nothing
    action = GiveReplicaIdentity(link.source_url)
    plan = action.plan()
    assert list(plan.after) == ["public.seen"]
    change = Change(plan, action.apply(plan), "", 0.0)
    assert closing(action.verify(change)) == set()
    assert action.plan().empty
    begin(link)
    run(link.source_url, "UPDATE public.seen SET n = 3")
    end_replication(link)
    action.undo(change)
    assert not action.plan().empty
    assert closing(action.verify(change)) == {"REP-identity"}


def test_a_target_that_holds_rows_is_refused(link: Link) -> None:
    """Two states are never mixed, and the source is as it was."""
    run(link.target_url, "CREATE TABLE public.people (id int); INSERT INTO public.people VALUES (1)")
    with pytest.raises(DatabaseError, match=r"public\.people hold rows"):
        begin(link)
    assert link_state(link).nothing


def test_a_fence_is_refused_while_the_source_takes_writes(steady: Link) -> None:
    """A position that is not the last proves nothing."""
    with pytest.raises(ActionRefused, match="still takes writes"):
        record_switchover_lsn(steady)


def test_a_copy_that_stands_still_does_not_reach_the_fence(following: Link) -> None:
    """Bounded, with its position; the finding says that it was not reached."""
    run(following.target_url, f"ALTER SUBSCRIPTION {following.name} DISABLE")
    freeze = Freeze(following.source_url)
    freeze.apply(freeze.plan())
    raised = record_switchover_lsn(following)
    with pytest.raises(DatabaseError, match="has not reached the switchover LSN"):
        wait_replayed(following, raised, timeout_s=0.5)
    assert closing(check_fence(raised.to_dict(), {}, "x")) == {"REP-fence", "REP-sequences"}


FRESH = "CREATE TABLE public.fresh (id int PRIMARY KEY)"
RESET = "ALTER DATABASE {target} RESET default_transaction_read_only"
GUARD = "ALTER DATABASE {target} SET default_transaction_read_only = on"


@pytest.mark.parametrize(
    ("where", "statement", "fixed", "identifier", "words"),
    [
        ("target", "ALTER SUBSCRIPTION {name} DISABLE", "ALTER SUBSCRIPTION {name} ENABLE", "REP-tables", "disabled"),
        ("source", FRESH, "DROP TABLE public.fresh", "REP-tables", "not published: public.fresh"),
        ("source", FRESH, "DROP TABLE public.fresh", "REP-schema", "public.fresh"),
        ("target", "DROP INDEX public.notes_person_idx", "CREATE INDEX notes_person_idx ON public.notes (person)",
         "REP-schema", "notes_person_idx"),
        ("target", RESET, GUARD, "REP-guard", "anybody"),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_between_is_named(
    steady: Link, where: str, statement: str, fixed: str, identifier: str, words: str
) -> None:
    """Each with its own finding, which closes the gate and has a remedy; fixed, it is open again."""
    names = {"name": steady.name, "target": steady.target_url.rsplit("/", 1)[1]}
    run(getattr(steady, f"{where}_url"), statement.format(**names))
    try:
        found = by_id(check_following(steady, settle_s=0))[identifier]
    finally:
        run(getattr(steady, f"{where}_url"), fixed.format(**names))
    assert found.closes_gate
    assert words in found.observed
    assert found.remedy
    assert closing(check_following(steady, settle_s=20)) == set()


def test_a_change_that_was_made_on_both_sides_is_said_and_closes_nothing(link: Link) -> None:
    """A release that migrates both schemas alike."""
    schema = begin(link)["schema"]
    for url in (link.target_url, link.source_url):
        run(url, "ALTER TABLE public.people ADD COLUMN age int")
    seen = by_id(check_following(link, since=schema))["REP-schema"]  # type: ignore[arg-type]
    assert seen.status is Status.PASS
    assert "source: column public.people.age: made" in seen.observed


def test_a_row_that_is_in_the_way_is_a_conflict_until_it_is_removed(following: Link) -> None:
    """The worker fails and is named; without the row it recovers by itself, and the comparison is equal."""
    run(following.target_url, """INSERT INTO public."Odd Name" VALUES (5, 'theirs')""")
    run(following.source_url, """INSERT INTO public."Odd Name" VALUES (5, 'ours')""")
    until(lambda: link_state(following).errors["apply"] > 0)
    seen = by_id(check_following(following, settle_s=0))
    assert seen["REP-conflicts"].status is Status.FAIL
    assert "insert exists" in seen["REP-conflicts"].observed
    run(following.target_url, """DELETE FROM public."Odd Name" WHERE "a b" = 5""")
    fence(following)
    assert closing(compare(following.source_url, following.target_url).findings) == set()


def test_a_copy_that_is_far_behind_closes_the_gate(following: Link) -> None:
    """A lock on the target holds it up; let go, it catches up."""
    with psycopg.connect(following.target_url) as holder:
        holder.execute("SET TRANSACTION READ WRITE")
        holder.execute("LOCK TABLE public.seen IN SHARE MODE")
        with psycopg.connect(following.source_url, autocommit=True) as users:
            for number in range(200):  # many commits: what one transaction holds counts from its commit on
                users.execute("INSERT INTO public.seen VALUES (repeat('x', 1000), %s)", (number,))
        until(lambda: (link_state(following).behind_bytes or 0) > 100_000)
        assert "REP-lag" in closing(check_following(following, settle_s=0, ready_bytes=50_000))
    assert closing(check_following(following, settle_s=30, ready_bytes=50_000)) == set()


def test_a_slot_that_is_gone_is_a_gap_that_nothing_fills(following: Link) -> None:
    """Said so, as a blocker; the end of it works all the same."""
    run(following.target_url, f"ALTER SUBSCRIPTION {following.name} DISABLE")
    until(lambda: not link_state(following).slot_active)
    run(following.source_url, f"SELECT pg_drop_replication_slot('{following.name}')")
    assert {"REP-slot", "REP-tables"} <= closing(check_following(following, settle_s=0))


def test_the_end_leaves_nothing_and_can_be_repeated(following: Link) -> None:
    """Publication, slot, subscription and guard go; a second time there is nothing to do; undo is refused."""
    action = EndReplication(following)
    assert isinstance(action, Action)
    assert check_ended(following).status is Status.FAIL
    plan = action.plan()
    change = Change(plan, action.apply(plan), "", 0.0)
    assert [f.status for f in action.verify(change)] == [Status.PASS]
    assert link_state(following).nothing
    assert action.plan().empty
    action.apply(plan)
    with pytest.raises(ActionRefused):
        action.undo(change)
    fill_views(following, again=True)


def test_an_end_in_the_middle_of_the_copy_leaves_no_slot(link: Link) -> None:
    """The slots of tables whose copy broke off go too: an orphan would fill the source's disk."""
    copy_schema_before(link)
    in_the_way = "INSERT INTO public.people (id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'theirs')"
    run(link.target_url, in_the_way)
    run(link.source_url, f"CREATE PUBLICATION {link.name} FOR TABLE public.people")
    run(link.source_url, f"SELECT pg_create_logical_replication_slot('{link.name}', 'pgoutput')")
    run(
        link.target_url,
        f"CREATE SUBSCRIPTION {link.name} CONNECTION '{link.conninfo}' PUBLICATION {link.name} "
        f"WITH (create_slot = false, slot_name = '{link.name}')",
    )
    until(lambda: link_state(link).errors["sync"] > 0)
    assert link_state(link).tables["public.people"] != "streaming"
    end_replication(link)
    assert check_ended(link).status is Status.PASS
    with psycopg.connect(link.source_url) as look:
        left = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
        assert look.execute(left).fetchone() == (0,)


def test_no_password_is_told(steady: Link) -> None:
    """Not in a plan, not in a finding, not in what is kept of the change."""
    secret = steady.source_url.split(":", 2)[2].split("@")[0]
    action = StartReplication(steady)
    told = [str(action.plan().to_dict()), str(link_state(steady).to_dict())]
    told += [str(f.to_dict()) for f in check_following(steady)]
    assert not [text for text in told if secret in text]
