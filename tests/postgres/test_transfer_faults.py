"""What breaks a transfer in its middle: a clear error or a marked target, never a copy that passes for whole."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cutover.errors import ActionRefused, DatabaseError
from cutover.finding import Finding, Status
from cutover.postgres import Transfer, check_restore, compare, dump, find_tools, restore, verify_dump
from cutover.postgres.transfer.mark import ledger
from cutover.rehearsal.postgres import Server, start

Fresh = Callable[..., str]

ROWS = """
CREATE TABLE public.small (a int PRIMARY KEY);
INSERT INTO public.small SELECT generate_series(1, 100);
CREATE TABLE public.large (a int PRIMARY KEY, b text);
INSERT INTO public.large SELECT n, (SELECT string_agg(md5(n::text || m), '') FROM generate_series(1, 26) m)
    FROM generate_series(1, 12000) n;
"""


def _run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _of(findings: list[Finding], key: str) -> Finding:
    (found,) = (f for f in findings if f.id == key)
    return found


class Line:
    """A way to a server on which a connection breaks once so many bytes went over it; the server stays as it is."""

    def __init__(self, host: str, port: int, after: int, then: Callable[[], None]) -> None:
        self._there, self._after, self._then = (host, port), after, then
        self._open: list[socket.socket] = []
        self.broken, self.settled = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._there, timeout=10)
                far.settimeout(None)
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        carried = 0
        with suppress(OSError):
            while piece := one.recv(65536):
                carried += len(piece)
                if carried > self._after and not self.broken.is_set():
                    self.broken.set()
                    try:
                        self._then()
                    finally:
                        self.settled.set()
                    break
                other.sendall(piece)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End every connection and take no more."""
        for end in [self._listener, *self._open]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def _line(server: Server, url: str, then: Callable[[], None] = lambda: None) -> Iterator[tuple[str, Line]]:
    line = Line(server.host, server.port, 1_000_000, then)
    try:
        yield make_conninfo(url, host="127.0.0.1", port=line.port), line
    finally:
        line.close()


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of our own, to be restarted in the middle of things."""
    with start(tmp_path_factory.mktemp("frail"), major=18, settings={"fsync": "on"}) as server:
        yield server


@pytest.fixture
def source(frail: Server) -> Iterator[str]:
    """A database with a table that takes more than one look to read."""
    name = f"from_{secrets.token_hex(4)}"
    frail.create_database(name)
    _run(frail.url(name), ROWS)
    yield frail.url(name)
    frail.drop_database(name)


@pytest.fixture
def target(frail: Server) -> Iterator[str]:
    """An empty database."""
    name = f"into_{secrets.token_hex(4)}"
    frail.create_database(name)
    yield frail.url(name)
    frail.drop_database(name)


@pytest.mark.parametrize("how", ["connection", "server"])
def test_a_dump_that_lost_its_source_is_no_dump(frail: Server, source: str, tmp_path: Path, how: str) -> None:
    """The connection is lost, or the server restarted, in mid-table: an error, and nothing to restore from."""
    with _line(frail, source, frail.restart if how == "server" else lambda: None) as (url, line):
        with pytest.raises(DatabaseError, match="ended with exit code") as caught:
            dump(url, tmp_path / "d")
        assert line.settled.wait(60)
    assert "dump again" in caught.value.todo
    assert not (tmp_path / "d" / "dump.json").exists()
    assert verify_dump(tmp_path / "d")[0].status is Status.MISSING


@pytest.mark.parametrize("how", ["connection", "server"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_restore_that_lost_its_target_is_marked_and_goes_on(
    frail: Server, source: str, target: str, tmp_path: Path, how: str, jobs: int
) -> None:
    """In mid-table as well: told as lost rows, marked, and whole after it was resumed."""
    dump(source, tmp_path / "d")
    with _line(frail, target, frail.restart if how == "server" else lambda: None) as (url, line):
        done = restore(tmp_path / "d", url, jobs=jobs)
        assert line.settled.wait(60)
    assert done.marked
    assert done.stopped == "data"
    findings = check_restore(done)
    assert _of(findings, "RST-data").status is Status.FAIL
    assert _of(findings, "RST-tables").status is Status.FAIL
    with pytest.raises(DatabaseError, match="contains an unfinished restore"):
        restore(tmp_path / "d", target)
    assert not restore(tmp_path / "d", target, resume=True).marked
    assert [f.id for f in compare(source, target).findings if f.status is not Status.PASS] == []


@pytest.fixture
def tiny_disk(frail: Server, tmp_path: Path) -> Iterator[Path]:
    """A file system of 10 MB (an empty database takes most) that the server may write to, where one can be mounted."""
    folder = Path("/tmp") / f"cutover-disk-{secrets.token_hex(4)}"
    folder.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    mounted = (
        mounted
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    )
    try:
        if not mounted:
            pytest.skip("no file system can be mounted here")
        owner = frail.data.stat()
        (folder / "space").mkdir(mode=0o700)
        os.chown(folder / "space", owner.st_uid, owner.st_gid)
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder)


def test_a_full_disk_in_mid_restore_is_told_and_it_goes_on_once_there_is_room(
    frail: Server, source: str, tiny_disk: Path, tmp_path: Path
) -> None:
    """`No space left on device`: marked; with more room the restore goes on."""
    dump(source, tmp_path / "d")
    name = f"full_{secrets.token_hex(4)}"
    frail.execute(f"CREATE TABLESPACE {name} LOCATION '{tiny_disk / 'space'}'")
    try:
        frail.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
        url = frail.url(name)
        done = restore(tmp_path / "d", url)
        assert done.marked
        assert done.stopped == "data"
        assert "No space left on device" in _of(check_restore(done), "RST-data").observed
        subprocess.run(["mount", "-o", "remount,size=64m", str(tiny_disk)], check=True)
        again = restore(tmp_path / "d", url, resume=True)
        assert (again.marked, again.tables, again.stopped) == (False, 2, "")
        assert _of(compare(source, url).findings, "INT-rows:public.large").status is Status.PASS
    finally:
        frail.drop_database(name)
        frail.execute(f"DROP TABLESPACE {name}")


def test_a_dump_cut_by_a_byte_is_found_before_the_target_is_touched(source: str, target: str, tmp_path: Path) -> None:
    """No mark, no table: the target can take another dump at once."""
    folder = tmp_path / "d"
    dump(source, folder)
    victim = max((folder / "archive").glob("*.dat.gz"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(DatabaseError, match=r"is damaged: archive/.* bytes, not"):
        restore(folder, target)
    assert _run(target, "SELECT count(*) FROM pg_class WHERE relname IN ('small', 'large')") == [(0,)]
    assert _run(target, "SELECT count(*) FROM pg_namespace WHERE nspname = 'cutover_restore'") == [(0,)]


def test_a_dump_that_was_cut_while_it_was_written_does_not_read_back(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump says that all went well, but a table's file lacks its end, as on a disk that lies."""
    folder, tools = tmp_path / "bin", find_tools(18)
    folder.mkdir()
    (folder / "pg_dump").write_text(
        f'#!/bin/sh\n{tools.pg_dump} "$@" || exit 1\n[ "$1" = --version ] && exit 0\n'
        f"for file in {tmp_path}/d/archive/*.dat.gz; do\n"
        '  size=$(wc -c < "$file"); [ "$size" -gt 100000 ] && truncate -s 100000 "$file"\ndone\nexit 0\n'
    )
    (folder / "pg_restore").symlink_to(tools.pg_restore)
    (folder / "pg_dump").chmod(0o755)
    monkeypatch.setenv("CUTOVER_PG_BIN", str(folder))
    with pytest.raises(DatabaseError, match=r"does not read back: its end is missing"):
        dump(source, tmp_path / "d")
    assert not (tmp_path / "d" / "dump.json").exists()


def test_a_transfer_whose_dump_changed_on_disk_is_refused(source: str, target: str, tmp_path: Path) -> None:
    """Between two attempts somebody touched the dump: it is not gone on with."""
    folder = tmp_path / "d"
    held = dump(source, folder)
    with ledger(target, held, "now", resume=False):
        pass
    victim = max((folder / "archive").glob("*.dat.gz"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1])
    action = Transfer(source, target, tmp_path / "new")
    plan = action.plan()
    assert plan.before["resume"] == str(folder)
    with pytest.raises(ActionRefused, match="is not restored: Every file of the dump is as it was written"):
        action.apply(plan)


def test_a_table_that_we_may_not_read_stops_the_dump_and_is_named(source: str, frail: Server, tmp_path: Path) -> None:
    """pg_dump's own words, and what to grant."""
    password = frail.create_role("half_blind")
    _run(source, "GRANT SELECT ON public.small TO half_blind")
    with pytest.raises(DatabaseError, match="permission denied for table large") as caught:
        dump(make_conninfo(source, user="half_blind", password=password), tmp_path / "d")
    assert "GRANT SELECT" in caught.value.todo.upper()
    assert password not in str(caught.value)


def test_a_table_that_somebody_has_locked_is_not_waited_for_for_ever(source: str, tmp_path: Path) -> None:
    """An ALTER TABLE that was left open: an error that says so, not a dump that hangs in the freeze."""
    with psycopg.connect(source) as other:
        other.execute("LOCK TABLE public.small IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseError, match=r"LOCK TABLE public\.small") as caught:
            dump(source, tmp_path / "d", lock_wait_s=0.2)
    assert "pg_locks" in caught.value.todo


def test_a_role_like_the_master_user_of_rds_restores_everything(
    rich17: str, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """CREATEDB and CREATEROLE but no superuser: it owns the database, and every row and object arrives."""
    password = pg18.create_role("rds_like", options="NOSUPERUSER CREATEDB CREATEROLE")
    url = fresh_database(pg18, owner="rds_like")
    dump(rich17, tmp_path / "d")
    master = make_conninfo(url, user="rds_like", password=password)
    done = restore(tmp_path / "d", master, acl=True)
    # Only the default privileges of a role that it is no member of: named, and left out by choice.
    assert [(error.kind, error.cost) for error in done.errors] == [("DEFAULT ACL", "object")]
    done = restore(tmp_path / "d", master, acl=False, resume=True)
    assert not done.marked, [error.to_dict() for error in done.errors]
    assert done.kept == done.tables_expected
    assert {f.status for f in check_restore(done)} == {Status.PASS}
    owners = {row[0] for row in _run(url, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'app'")}
    assert owners == {"rds_like"}
    rows = [f for f in compare(rich17, master).findings if f.id.startswith("INT-rows")]
    assert {f.status for f in rows} == {Status.PASS}
