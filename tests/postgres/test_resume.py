"""A restore that was interrupted goes on where it stopped, and is right; what is not ours is never dropped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status, Verdict, verdict
from cutover.postgres import Restore, Transfer, check_restore, compare, dump, restore
from cutover.progress import Progress
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]

STAGES = """
CREATE FUNCTION public.slow(a int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('test.slow', true) = 'on' THEN PERFORM pg_sleep(0.2); END IF;
    RETURN true;
END $$;
CREATE TABLE public.slow (a int CHECK (public.slow(a)));
INSERT INTO public.slow SELECT generate_series(1, 100);
CREATE TABLE public.wide (a int PRIMARY KEY, b text, UNIQUE (b));
INSERT INTO public.wide SELECT n, repeat('x', 200) || n FROM generate_series(1, 2000) n;
"""

VICTIM = """
import os, signal, sys
from pathlib import Path
from cutover.postgres import restore

def watch(step):
    if step.stage == sys.argv[3] and step.done >= int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

restore(Path(sys.argv[1]), sys.argv[2], owner=True, acl=True, progress=watch)
"""


def _run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _set(url: str, change: str) -> None:
    _run(url, f'ALTER DATABASE "{url.rsplit("/", 1)[1]}" {change}')


def _of(findings: list[Finding], key: str) -> Finding:
    (found,) = (f for f in findings if f.id == key)
    return found


def _killed(folder: Path, target: str, stage: str, after: int = 1) -> None:
    """Restore in a process of its own, which dies by SIGKILL once it has come that far."""
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(folder), target, stage, str(after)], timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def source(pg17: Server, rich17: str) -> Iterator[str]:
    """The rich database, and a table that takes its time to load where `test.slow` is on."""
    name = f"resume_{os.getpid()}"
    with psycopg.connect(pg17.url("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{rich17.rsplit("/", 1)[1]}"'.encode())
    _run(pg17.url(name), STAGES)
    yield pg17.url(name)
    pg17.drop_database(name)


@pytest.fixture(scope="module")
def dumped(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of it; not to be changed."""
    folder = tmp_path_factory.mktemp("resume") / "held"
    dump(source, folder)
    return folder


@pytest.fixture
def target(pg18: Server, fresh_database: Fresh) -> str:
    """An empty database in which the slow table loads slowly."""
    url = fresh_database(pg18)
    _set(url, "SET test.slow = 'on'")
    return url


def _resumed(folder: Path, target: str, source: str) -> Restore:
    """Resume, and prove that it is right."""
    _set(target, "RESET test.slow")
    done = restore(folder, target, owner=True, acl=True, resume=True)
    assert not done.marked, [error.to_dict() for error in done.errors]
    assert {f.status for f in check_restore(done)} == {Status.PASS}
    assert [f.id for f in compare(source, target).findings if f.status is not Status.PASS] == []
    return done


@pytest.mark.parametrize(("stage", "after"), [("schema", 20), ("restore", 4), ("indexes", 5), ("grants", 1)])
def test_a_restore_killed_in_any_phase_goes_on_and_is_right(
    source: str, dumped: Path, target: str, stage: str, after: int
) -> None:
    """SIGKILL of the whole process: tables that were loaded are kept, the rest is loaded, the result is equal."""
    if stage != "restore":
        _set(target, "RESET test.slow")
    _killed(dumped, target, stage, after)
    with pytest.raises(DatabaseError, match="contains an unfinished restore"):
        restore(dumped, target)
    done = _resumed(dumped, target, source)
    assert done.tables == done.tables_expected
    if stage == "restore":
        assert after <= done.kept < done.tables_expected
        assert "kept from the attempt" in _of(check_restore(done), "RST-tables").observed
    elif stage == "schema":
        assert done.kept == 0
    else:
        assert done.kept == done.tables_expected


def test_a_loaded_table_that_lost_a_row_since_is_loaded_again(source: str, dumped: Path, target: str) -> None:
    """The record says loaded; the count says otherwise, and the count is believed."""
    _killed(dumped, target, "restore", 4)
    ((name, rows),) = _run(target, "SELECT name, rows FROM cutover_restore.loaded WHERE rows > 1 LIMIT 1")
    _run(target, f"DELETE FROM {name} WHERE ctid = (SELECT min(ctid) FROM {name})")
    assert _run(target, f"SELECT count(*) FROM {name}") == [(int(str(rows)) - 1,)]
    done = _resumed(dumped, target, source)
    assert str(name) in done.table_seconds


def test_a_row_lost_after_all_were_loaded_refuses_to_go_on(dumped: Path, target: str) -> None:
    """Constraints may stand already, so nothing is emptied then: it is said, and the mark stays."""
    _set(target, "RESET test.slow")
    _killed(dumped, target, "indexes", 3)
    _run(target, "DELETE FROM public.wide WHERE a = 7")
    with pytest.raises(DatabaseError, match=r"no longer holds what was restored: public\.wide \(1999 rows, not 2000\)"):
        restore(dumped, target, resume=True)


def test_another_dump_does_not_go_on_with_it(source: str, dumped: Path, target: str, tmp_path: Path) -> None:
    """Two dumps are two instants; tables of both in one database would agree with neither."""
    _killed(dumped, target, "restore", 2)
    dump(source, tmp_path / "other")
    with pytest.raises(DatabaseError, match="not of this dump"):
        restore(tmp_path / "other", target, resume=True)


def test_rows_that_the_restore_did_not_load_are_never_dropped(dumped: Path, target: str) -> None:
    """Killed while it made the schema; somebody's table with a row in it stands there now."""
    _killed(dumped, target, "schema", 10)
    _run(target, "CREATE TABLE public.mine AS SELECT 1 AS a")
    with pytest.raises(DatabaseError, match=r"holds rows in public\.mine"):
        restore(dumped, target, resume=True)
    assert _run(target, "SELECT a FROM public.mine") == [(1,)]


def test_a_lost_grant_is_made_good_by_resuming(
    pg17: Server, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """A role is missing on the target: marked, named; made, then resumed: whole, nothing loaded twice."""
    here, there = fresh_database(pg17), fresh_database(pg18)
    role = f"reader_{os.getpid()}"
    for server in (pg17, pg18):
        server.execute(f"DROP ROLE IF EXISTS {role}")
    pg17.execute(f"CREATE ROLE {role}")
    _run(here, f"CREATE TABLE public.t AS SELECT 1 AS a; GRANT SELECT ON public.t TO {role}")
    try:
        action = Transfer(here, there, tmp_path / "d")
        plan = action.plan()
        assert not plan.before.get("resume")
        first = Restore.from_dict(action.apply(plan)["restore"])
        assert first.marked
        assert f'role "{role}" does not exist' in _of(check_restore(first), "RST-objects").observed
        pg18.execute(f"CREATE ROLE {role}")
        again = Transfer(here, there, tmp_path / "d-of-another-run")
        plan = again.plan()
        assert plan.before["resume"] == str(tmp_path / "d")
        assert "1 of 1 tables are loaded" in plan.summary
        second = Restore.from_dict(again.apply(plan)["restore"])
        assert (second.marked, second.kept, second.table_seconds) == (False, 1, {})
        assert verdict(compare(here, there).findings) is Verdict.GO
    finally:
        for url, server in ((here, pg17), (there, pg18)):
            _run(url, f"DROP OWNED BY {role}")
            server.execute(f"DROP ROLE {role}")


def test_two_restores_never_write_into_one_database(dumped: Path, target: str) -> None:
    """The second is refused while the first is at work, resumed or not."""
    _set(target, "RESET test.slow")
    refused: list[str] = []

    def meddle(step: Progress) -> None:
        if not refused and step.stage == "schema":
            with pytest.raises(DatabaseError, match="Another restore into") as caught:
                restore(dumped, target, resume=True)
            refused.append(str(caught.value))

    assert not restore(dumped, target, progress=meddle).marked
    assert refused
