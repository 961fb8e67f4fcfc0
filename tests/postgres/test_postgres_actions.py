"""What a migration changes in databases: planned, done, read back; and never the wrong database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cutover.action import Action, Change
from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Status, Verdict, verdict
from cutover.postgres import (
    BackUp,
    EmptyDatabase,
    Fingerprint,
    Transfer,
    TrialTransfer,
    check_unmarked,
    compare,
    dump,
    fingerprint,
    read_dump,
    same_database,
    trial_transfer,
)
from cutover.postgres.actions import _refuse_other_rows
from cutover.progress import Progress
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]

THINGS = """
CREATE SCHEMA side;
CREATE EXTENSION citext;
CREATE TYPE public.mood AS ENUM ('fine', 'tired');
CREATE TABLE public.things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name citext, mood public.mood);
CREATE TABLE side.notes (text text);
CREATE FUNCTION public.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
INSERT INTO public.things (name, mood) SELECT 'thing ' || n, 'fine' FROM generate_series(1, 500) n;
INSERT INTO side.notes VALUES ('a'), ('a'), (NULL);
"""


def do(action: Action) -> Change:
    """Plan and apply, as a step does."""
    plan = action.plan()
    return Change(plan, action.apply(plan), "2026-01-01T00:00:00Z", 0.0)


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    """One statement; its rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def source(pg17: Server, fresh_database: Fresh) -> str:
    """A small database with something of everything."""
    url = fresh_database(pg17)
    run(url, THINGS)
    return url


def test_emptying_drops_everything_and_a_second_time_nothing(pg18: Server, fresh_database: Fresh) -> None:
    """Types, functions, extensions and other schemas too."""
    url = fresh_database(pg18)
    run(url, THINGS)
    action = EmptyDatabase(url, never=[])
    change = do(action)
    assert verdict(action.verify(change)) is Verdict.GO
    assert action.plan().empty
    run(url, "CREATE TABLE left_over (a int)")
    assert not action.plan().empty
    assert [f.status for f in action.verify(change)] == [Status.FAIL]


def test_neither_source_nor_target_is_ever_emptied(pg18: Server, fresh_database: Fresh) -> None:
    """Whatever the parameters call it: refused before anything is planned."""
    url = fresh_database(pg18)
    with pytest.raises(ActionRefused, match="not a staging database"):
        EmptyDatabase(url, never=["postgresql://other@127.0.0.1:1/other", url])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql://a@127.0.0.1:5432/app", "postgresql://b@127.0.0.1/app", True),
        ("postgresql://a@127.0.0.1/app", "postgresql://b@localhost/app", True),
        ("postgresql://a@DB.example/app", "host=db.example dbname=app user=c", True),
        ("postgresql://a@127.0.0.1/app", "postgresql://a@127.0.0.1/other", False),
        ("postgresql://a@127.0.0.1:5432/app", "postgresql://a@127.0.0.1:5433/app", False),
        ("postgresql://a@127.0.0.1/app", "postgresql://a@127.0.0.2/app", False),
    ],
)
def test_a_database_is_known_whoever_connects_and_however_its_host_is_spelt(one: str, other: str, same: bool) -> None:
    """Another role or an alias of the host is no other database."""
    assert same_database(one, other) is same


def test_a_trial_empties_staging_and_keeps_an_earlier_dump(
    source: str, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """Twice in a row: what the first left is dropped, its dump is kept, each is judged by what it saw."""
    staging = fresh_database(pg18)
    for _ in range(2):
        action = TrialTransfer(source, staging, tmp_path / "trial", never=["postgresql://x@127.0.0.1:1/x"])
        change = do(action)
        assert verdict(action.verify(change)) is Verdict.GO
        assert set(change.result["seconds"]) == {"dump", "restore", "comparison"}
        assert change.result["measured"]["seconds"]["compare"] > 0
    assert (tmp_path / "trial" / "dump.json").exists()
    assert (tmp_path / "trial-2" / "dump.json").exists()


def test_a_backup_is_read_back_and_a_damaged_one_is_found(source: str, tmp_path: Path) -> None:
    """One flipped byte."""
    action = BackUp(source, tmp_path / "backup")
    change = do(action)
    assert verdict(action.verify(change)) is Verdict.GO
    assert action.plan().empty
    victim = max((tmp_path / "backup" / "archive").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    assert verdict(action.verify(change)) is Verdict.NO_GO


def test_a_transfer_moves_everything_and_refuses_a_target_that_is_not_empty(
    source: str, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """The second transfer into the same target would mix two states."""
    target = fresh_database(pg18)
    action = Transfer(source, target, tmp_path / "one")
    assert verdict(action.verify(do(action))) is Verdict.GO
    assert run(target, "SELECT count(*) FROM public.things") == [(500,)]
    with pytest.raises(DatabaseError, match="not empty"):
        do(Transfer(source, target, tmp_path / "two"))


def test_a_trial_is_compared_as_of_one_instant(
    source: str, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """Rows that come while it runs belong to neither side."""
    target = fresh_database(pg18)
    grown = []

    def grow(_: Any) -> None:
        grown.append(run(source, "INSERT INTO public.things (name) VALUES ('late')"))

    trial = trial_transfer(source, target, tmp_path / "trial", progress=grow)
    assert grown
    assert verdict(trial.findings) is Verdict.GO, [f for f in trial.findings if f.closes_gate]
    assert run(target, "SELECT count(*) FROM public.things WHERE name = 'late'")[0][0] < len(grown)


def test_a_transfer_takes_the_sources_digests_at_the_dumps_own_instant(
    source: str, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """Users write on while it dumps: the copy equals the fingerprint, not the source as it is now."""
    target = fresh_database(pg18)
    grown = []

    def grow(step: Progress) -> None:
        if step.stage == "dump":
            grown.append(run(source, "INSERT INTO public.things (name) VALUES ('late')"))

    action = Transfer(source, target, tmp_path / "one", fingerprint=Path("source.json.gz"), progress=grow)
    change = do(action)
    assert grown
    assert verdict(action.verify(change)) is Verdict.GO
    where = Path(change.result["fingerprint"])
    assert where == tmp_path / "one" / "source.json.gz"
    taken = Fingerprint.read(where)
    held = read_dump(tmp_path / "one")
    assert (taken.instant["id"], taken.instant["lsn"]) == (held.snapshot, held.lsn)
    assert held.rows == taken.rows
    assert run(source, "SELECT count(*) FROM public.things")[0][0] > 500
    compared = compare(source, target, fingerprint=taken)
    assert [f.id for f in compared.findings if f.id.startswith("INT-rows") and f.status is not Status.PASS] == []


def test_a_dump_with_other_rows_than_the_source_is_refused(source: str, tmp_path: Path) -> None:
    """Counted in the dump's files, and by the server at the same instant: they must agree."""
    held = dump(source, tmp_path / "d")
    taken = fingerprint(source)
    _refuse_other_rows(held, taken)
    fewer = tuple(replace(table, rows=table.rows - 1) if table.name == "notes" else table for table in held.data)
    with pytest.raises(ActionRefused, match=r"side\.notes 2 rows, the source 3"):
        _refuse_other_rows(replace(held, data=fewer), taken)


def test_a_marked_target_is_not_trusted(pg18: Server, fresh_database: Fresh) -> None:
    """What stands before deploy and cutover: no mark passes, a mark fails, no answer is not known."""
    url = fresh_database(pg18)
    assert verdict(check_unmarked(url)) is Verdict.GO
    run(url, "CREATE SCHEMA cutover_restore")
    assert verdict(check_unmarked(url)) is Verdict.NO_GO
    assert verdict(check_unmarked("postgresql://u@127.0.0.1:1/x")) is Verdict.INCONCLUSIVE


def test_emptying_leaves_no_large_object_publication_or_event_trigger(pg18: Server, fresh_database: Fresh) -> None:
    """They belong to no schema, and would stand in the way of the next trial."""
    url = fresh_database(pg18)
    run(
        url,
        "CREATE FUNCTION public.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; "
        "CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION public.e(); CREATE PUBLICATION p; "
        "SELECT lo_create(815)",
    )
    action = EmptyDatabase(url, never=[])
    assert verdict(action.verify(do(action))) is Verdict.GO
    assert action.plan().empty


def test_the_owner_of_a_database_may_empty_it_without_being_a_superuser(pg18: Server, fresh_database: Fresh) -> None:
    """As on RDS; the schema `public` is afterwards as a new database has it."""
    pg18.create_role("trial_owner")
    url = fresh_database(pg18, owner="trial_owner")
    fresh = run(url, "SELECT nspowner::regrole::text, nspacl::text FROM pg_namespace WHERE nspname = 'public'")
    run(url, "CREATE TABLE things (a int); CREATE EXTENSION citext")
    action = EmptyDatabase(url, never=[])
    assert verdict(action.verify(do(action))) is Verdict.GO
    after = run(url, "SELECT nspowner::regrole::text, nspacl::text FROM pg_namespace WHERE nspname = 'public'")
    assert after == fresh
