"""Databases to compare: a source with something of everything, and copies of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cutover.rehearsal import places
from cutover.rehearsal import postgres as pg
from cutover.rehearsal.postgres import Server
from cutover.rehearsal.processes import Reaper

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text()
"""One of every kind of object, for any major from 15 on."""

_SYSTEM_15 = ("/usr/lib/postgresql/15", "/usr/pgsql-15", "/opt/homebrew/opt/postgresql@15")
"""Where systems install PostgreSQL 15; no wheel has it."""


@pytest.fixture(scope="session")
def pg15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The system's PostgreSQL 15; the test is skipped where there is none."""
    home = next((Path(folder) for folder in _SYSTEM_15 if (Path(folder) / "bin" / "initdb").exists()), None)
    if home is None:
        pytest.skip("this system has no PostgreSQL 15 (Debian 12: apt install postgresql)")
    folder = Reaper.of_this_process().claim(places.new_name("cluster15"))
    folder.mkdir(mode=0o755)
    with pytest.MonkeyPatch.context() as patch:
        wheels = pg.install
        patch.setattr(pg, "install", lambda major: home if major == 15 else wheels(major))
        try:
            cluster = pg.initialise(folder, 15)
            with pg.start(tmp_path_factory.mktemp("pg15"), major=15, cluster=cluster) as server:
                yield server
        finally:
            Reaper.of_this_process().remove(folder)


@pytest.fixture(scope="session")
def system_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this machine's own PostgreSQL; skips where it has none (the wheels' have no libxml, Debian's has)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("this machine has no PostgreSQL of its own in /usr/lib/postgresql")
    programs = found[-1].parent
    with pg.start(tmp_path_factory.mktemp("system"), major=int(programs.parts[-2]), programs=programs) as server:
        yield server


@pytest.fixture(scope="module")
def rich17(pg17: Server) -> Iterator[str]:
    """A PostgreSQL 17 database with the schema of schema.sql; not to be changed."""
    name = f"rich_{secrets.token_hex(4)}"
    pg17.create_database(name)
    with psycopg.connect(pg17.url(name), autocommit=True) as connection:
        connection.execute(SCHEMA)
    yield pg17.url(name)
    pg17.drop_database(name)


@pytest.fixture(scope="module")
def everything17(pg17: Server) -> Iterator[str]:
    """A PostgreSQL 17 database with the schema of everything.sql; not to be changed."""
    name = f"everything_{secrets.token_hex(4)}"
    pg17.create_database(name)
    with psycopg.connect(pg17.url(name), autocommit=True) as connection:
        connection.execute(EVERYTHING.encode())
    yield pg17.url(name)
    pg17.drop_database(name)


@pytest.fixture
def copy_of(pg17: Server) -> Iterator[Callable[[str], str]]:
    """`copy_of(url)`: the URL of a physical copy of a database of pg17, dropped after the test."""
    made: list[str] = []

    def make(url: str) -> str:
        name = f"copy_{secrets.token_hex(4)}"
        with psycopg.connect(pg17.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{url.rsplit("/", 1)[1]}"')
        made.append(name)
        return pg17.url(name)

    yield make
    for name in made:
        pg17.drop_database(name)


@pytest.fixture(scope="module")
def two_sides(pg17: Server, pg18: Server) -> Iterator[tuple[str, str]]:
    """Two empty databases, one of each major, shared by a module's tests; each test clears away what it made."""
    name = f"side_{secrets.token_hex(4)}"
    for server in (pg17, pg18):
        server.create_database(name)
    yield pg17.url(name), pg18.url(name)
    for server in (pg17, pg18):
        server.drop_database(name)


@pytest.fixture
def on_both(two_sides: tuple[str, str]) -> Iterator[Callable[[str, str], tuple[str, str]]]:
    """`on_both(source_sql, target_sql)` runs each on its side; the schema public is emptied afterwards."""

    def run(source_sql: str, target_sql: str) -> tuple[str, str]:
        for url, text in zip(two_sides, (source_sql, target_sql), strict=True):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(text)
        return two_sides

    yield run
    for url in two_sides:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
