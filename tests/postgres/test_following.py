"""The second look at a frozen source: what was written after the copy's instant is named, by table and row."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cutover.action import Change
from cutover.finding import Finding, Status
from cutover.postgres import Fingerprint, Freeze, WritePosition, fingerprint, second_look, write_position
from cutover.rehearsal.postgres import Server, start

SCHEMA = """
CREATE TABLE public.users (id serial PRIMARY KEY, name text);
INSERT INTO public.users (name) SELECT 'user ' || i FROM generate_series(1, 50) i;
CREATE TABLE public."Odd [name]" (a text);
INSERT INTO public."Odd [name]" VALUES ('x');
CREATE TABLE public.events (at int, what text) PARTITION BY RANGE (at);
CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM (0) TO (100);
INSERT INTO public.events VALUES (1, 'a');
CREATE UNLOGGED TABLE public.cache (a int);
SELECT lo_from_bytea(4711, 'large');
"""


@dataclass
class Frozen:
    """A source, a copy of it, and what was known when the copy was made."""

    source: str
    copy: str
    before: WritePosition
    taken: Fingerprint

    def write(self, *statements: str) -> None:
        """Each in a transaction of its own, past the freeze."""
        with psycopg.connect(self.source, autocommit=True) as writer:
            writer.execute("SET default_transaction_read_only = off")
            for statement in statements:
                writer.execute(statement.encode())

    def look(self, evidence: Path | None = None, *, known: bool = True) -> Finding:
        """The look under test."""
        (found,) = second_look(
            self.source,
            self.before,
            self.taken if known else None,
            target_url=self.copy,
            settle_s=0,
            evidence=evidence,
        )
        return found


@pytest.fixture
def frozen(pg17: Server, fresh_database: Callable[..., str], copy_of: Callable[[str], str]) -> Frozen:
    """Frozen, copied, fingerprinted; nothing has been written since."""
    source = fresh_database(pg17)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(SCHEMA)
    copy = copy_of(source)
    action = Freeze(source)
    action.apply(action.plan())
    before = write_position(source, settle_s=0)
    return Frozen(source, copy, WritePosition.from_dict(before.to_dict()), fingerprint(source))


def test_a_quiet_source_passes_without_being_read_again(frozen: Frozen) -> None:
    """No transaction took a number."""
    found = frozen.look()
    assert found.status is Status.PASS
    assert "read again" not in found.observed


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["INSERT INTO public.users (id, name) VALUES (99, 'late')"], ["public.users: 1 new", "new id=99"]),
        (["UPDATE public.users SET name = 'x' WHERE id = 7"], ["public.users: 1 changed", "changed id=7 (name)"]),
        (["DELETE FROM public.users WHERE id = 8"], ["public.users: 1 gone", "gone id=8"]),
        (["INSERT INTO public.events VALUES (2, 'b')"], ["public.events: 1 new"]),
        (["""INSERT INTO public."Odd [name]" VALUES ('y')"""], ['public."Odd [name]": 1 new']),
        (["TRUNCATE public.users"], ["public.users: 50 gone"]),
        (["SELECT nextval('public.users_id_seq')"], ["public.users_id_seq"]),
        (["CREATE TABLE public.late (a int)"], ["public.late"]),
        (["ALTER TABLE public.users ADD COLUMN late int DEFAULT 1"], ["public.users.late"]),
        (["DROP TABLE public.cache"], ["public.cache"]),
        (["CREATE INDEX late ON public.users (name)"], ["late"]),
        (["SELECT lo_put(4711, 0, 'L')"], ["large objects: 1 changed"]),
        (
            ["INSERT INTO public.users (id, name) VALUES (99, 'late')", "SELECT pg_stat_reset()"],
            ["public.users: 1 new", "new id=99"],
        ),
        (["TRUNCATE public.users", "SELECT pg_stat_reset()"], ["public.users: 50 gone"]),
        (
            ["SET track_counts = off", "DELETE FROM public.users WHERE id = 8"],
            ["public.users: 1 gone", "gone id=8"],
        ),
    ],
    ids=lambda value: value[0][:60] if isinstance(value, list) else None,
)
def test_a_write_after_the_copy_is_named_by_table_and_row(
    frozen: Frozen, tmp_path: Path, statements: list[str], named: list[str]
) -> None:
    """By a superuser, through the freeze; whatever became of the counters. INCONCLUSIVE, and what to do."""
    frozen.write(*statements)
    found = frozen.look(tmp_path)
    assert found.status is Status.UNKNOWN
    assert found.closes_gate
    assert found.remedy
    for part in named:
        assert part in found.observed


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            ["UPDATE public.users SET name = 'x' WHERE id = 7", "UPDATE public.users SET name = 'user 7' WHERE id = 7"],
            "public.users: 2 rows updated",
        ),
        (["BEGIN; DELETE FROM public.users; ROLLBACK"], "public.users: 50 rows deleted"),
        (["CREATE TEMP TABLE scratch (a int)"], "the schema was written to"),
        (["VACUUM FULL public.users"], "public.users: truncated, rewritten or dropped"),
        (["SELECT pg_stat_reset()"], "its statistics were reset"),
        (
            ["ALTER SYSTEM RESET work_mem", "SELECT pg_stat_reset_single_table_counters('public.users'::regclass)"],
            "reset",
        ),
        (["SELECT pg_current_xact_id()"], "nothing says for what"),
    ],
    ids=lambda value: value[0][:60] if isinstance(value, list) else None,
)
def test_what_moved_and_holds_what_it_held_is_said_and_is_no_difference(
    frozen: Frozen, statements: list[str], said: str
) -> None:
    """Counters move, the digest is the same: GO, with the reason."""
    frozen.write(*statements)
    found = frozen.look()
    assert found.status is Status.PASS, found.observed
    assert said in found.observed
    assert "read again" in found.observed


def test_an_owner_who_sees_no_passwords_decides_all_the_same(
    pg17: Server, fresh_database: Callable[..., str], copy_of: Callable[[str], str]
) -> None:
    """Whoever owns the database on a managed service never sees a role's password: that is no sign of a write."""
    role = f"owner_{secrets.token_hex(4)}"
    with psycopg.connect(pg17.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'".encode())
    source = fresh_database(pg17, role)
    mine = psycopg.conninfo.make_conninfo(source, user=role, password=role)
    with psycopg.connect(mine, autocommit=True) as owner:
        owner.execute("CREATE TABLE public.users (id serial PRIMARY KEY); INSERT INTO public.users DEFAULT VALUES")
    frozen = Frozen(mine, copy_of(source), write_position(mine, settle_s=0), fingerprint(mine))
    frozen.write("CREATE TABLE public.passing (a int)", "DROP TABLE public.passing")
    found = frozen.look()
    assert found.status is Status.PASS, found.observed
    frozen.write("CREATE TABLE public.stays (a int)")
    assert "stays" in frozen.look().observed
    frozen.write("DROP TABLE public.users, public.stays")


def test_an_analyze_is_explained_and_nothing_is_read_again(frozen: Frozen) -> None:
    """It takes a transaction number, as autovacuum does any night."""
    frozen.write("ANALYZE public.users")
    found = frozen.look()
    assert found.status is Status.PASS
    assert "none wrote to a table here" in found.observed


def test_a_session_that_switched_the_freeze_off_for_itself_is_found(frozen: Frozen) -> None:
    """SET transaction_read_only is every user's own to say."""
    with psycopg.connect(frozen.source) as writer:
        writer.execute("SET transaction_read_only = off")
        writer.execute("UPDATE public.users SET name = 'sneaked' WHERE id = 3")
    found = frozen.look()
    assert found.status is Status.UNKNOWN
    assert "changed id=3 (name)" in found.observed


def test_a_prepared_transaction_closes_the_gate_before_and_after_it_is_committed(pg17: Server, tmp_path: Path) -> None:
    """No session holds it, no freeze ends it, and its rows appear when somebody says COMMIT PREPARED."""
    with start(tmp_path / "two-phase", major=17, settings={"max_prepared_transactions": "4"}) as server:
        server.create_database("source")
        server.create_database("copy")
        source = server.url("source")
        for url in (source, server.url("copy")):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(SCHEMA)
        gid = f"order-{secrets.token_hex(3)}"
        with psycopg.connect(source, autocommit=True) as writer:
            writer.execute("BEGIN")
            writer.execute("INSERT INTO public.users (id, name) VALUES (99, 'prepared')")
            writer.execute(f"PREPARE TRANSACTION '{gid}'".encode())
        action = Freeze(source)
        plan = action.plan()
        refused = {f.id: f for f in action.verify(Change(plan, action.apply(plan), "", 0.0))}
        assert refused["FRZ-prepared"].status is Status.FAIL
        assert gid in refused["FRZ-prepared"].observed
        assert f"ROLLBACK PREPARED '{gid}'" in refused["FRZ-prepared"].remedy
        frozen = Frozen(source, server.url("copy"), write_position(source, settle_s=0), fingerprint(source))
        waiting = frozen.look()
        assert waiting.status is Status.UNKNOWN
        assert gid in waiting.observed
        frozen.write(f"COMMIT PREPARED '{gid}'")
        found = frozen.look()
        assert found.status is Status.UNKNOWN
        assert "new id=99" in found.observed


def test_a_long_running_writer_from_before_the_freeze_is_found_when_it_commits(frozen: Frozen) -> None:
    """Its transaction was open all the time: first as one that is open, then by its row."""
    with psycopg.connect(frozen.source, application_name="nightly-import") as writer:
        writer.execute("SET TRANSACTION READ WRITE")
        writer.execute("INSERT INTO public.users (id, name) VALUES (99, 'late')")
        before = write_position(frozen.source, settle_s=0)
        assert before.writers == 1
        frozen = Frozen(frozen.source, frozen.copy, before, frozen.taken)
        open_still = frozen.look()
        assert open_still.status is Status.UNKNOWN
        assert "nightly-import" in open_still.observed
        writer.commit()
    found = frozen.look()
    assert found.status is Status.UNKNOWN
    assert "new id=99" in found.observed


def test_what_was_written_before_the_copys_instant_is_in_it(frozen: Frozen) -> None:
    """Between the freeze and the dump: the counters moved, and the copy has it."""
    frozen.write("INSERT INTO public.users (id, name) VALUES (99, 'before the dump')")
    frozen.taken = fingerprint(frozen.source)
    found = frozen.look()
    assert found.status is Status.PASS
    assert "1 row inserted" in found.observed


def test_a_table_that_grew_by_its_statistics_alone_is_the_same(frozen: Frozen) -> None:
    """Another estimate of its rows means other buckets, not other rows."""
    frozen.write("UPDATE public.users SET name = name", "ANALYZE public.users")
    with psycopg.connect(frozen.source, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("UPDATE pg_class SET reltuples = 100000 WHERE oid = 'public.users'::regclass")
    assert frozen.look().status is Status.PASS


def test_without_a_fingerprint_a_movement_stays_undecided(frozen: Frozen) -> None:
    """Counters alone never make a difference harmless."""
    frozen.write("UPDATE public.users SET name = name WHERE id = 1")
    found = frozen.look(known=False)
    assert found.status is Status.UNKNOWN
    assert "public.users: 1 row updated" in found.observed


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own."""
    with start(tmp_path / "crash", major=17) as server:
        yield server


def test_a_crash_makes_it_read_everything_again(crashing: Server) -> None:
    """The counters of a crashed server are gone, and so are the rows of unlogged tables."""
    crashing.create_database("source")
    crashing.create_database("copy")
    source = crashing.url("source")
    for url in (source, crashing.url("copy")):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA + "INSERT INTO public.cache VALUES (1);")
    frozen = Frozen(source, crashing.url("copy"), write_position(source, settle_s=0), fingerprint(source))
    with psycopg.connect(source, autocommit=True) as writer:
        writer.execute("INSERT INTO public.users (id, name) VALUES (99, 'late')")
        writer.execute("CHECKPOINT")
    crashing.crash()
    crashing.restart()
    found = frozen.look()
    assert found.status is Status.UNKNOWN
    assert "new id=99" in found.observed
    assert "public.cache: other rows than at the copy's instant (1 then, 0 now)" in found.observed


def test_a_writer_whose_counts_are_not_told_yet_is_not_explained_away(frozen: Frozen) -> None:
    """It wrote twice within a second and sits in a transaction; an analyze took numbers as well."""
    with psycopg.connect(frozen.source, autocommit=True) as writer:
        writer.execute("SET default_transaction_read_only = off")
        writer.execute("SELECT count(*) FROM public.users")  # tells its counts; the next ones wait for a second
        writer.execute("UPDATE public.users SET name = 'sneaked' WHERE id = 3")
        writer.execute("BEGIN")
        frozen.write("ANALYZE public.users")
        found = frozen.look()
    assert found.status is Status.UNKNOWN, found.observed
    assert "changed id=3 (name)" in found.observed


def test_large_objects_that_are_all_gone_since_the_copy_are_a_difference(frozen: Frozen) -> None:
    """There is nothing left of them to be read, and the copy has them."""
    frozen.write("SELECT lo_unlink(4711)")
    found = frozen.look()
    assert found.status is Status.UNKNOWN, found.observed
    assert "large objects" in found.observed
