"""Databases to compare: a source with something of everything, and copies of it."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cutover.rehearsal import postgres as pg
from cutover.rehearsal.postgres import Server

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()

EVERYTHING = (Path(__file__).parent / "everything.sql").read_text()
"""One of every kind of object, for any major from 15 on."""

_SYSTEM = ("/usr/lib/postgresql/*", "/usr/pgsql-*", "/opt/homebrew/opt/postgresql@*")
"""Where systems install PostgreSQL; no wheel has 15, and none has libxml."""


def system_programs(major: int | None = None) -> Path:
    """The folder with the programs of this machine's own PostgreSQL: of this major, or its newest; skips without one.

    CUTOVER_TEST_POSTGRES names the folder that has their `bin`, to try a release beside the installed one.
    """
    named = os.environ.get("CUTOVER_TEST_POSTGRES")
    homes = [Path(named)] if named else [home for pattern in _SYSTEM for home in Path("/").glob(pattern.lstrip("/"))]
    found = [(_version(home / "bin"), home / "bin") for home in homes if (home / "bin" / "initdb").exists()]
    fitting = [(version, programs) for version, programs in found if major in (None, version[0])]
    if not fitting:
        what = f"PostgreSQL {major}" if major else "PostgreSQL of its own"
        pytest.skip(f"this machine has no {what} (Debian 12: apt-get install postgresql-15)")
    return max(fitting)[1]


def _version(programs: Path) -> tuple[int, ...]:
    said = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True)
    return tuple(int(number) for number in re.findall(r"\d+", said.stdout.split()[2]))


@pytest.fixture(scope="session")
def pg15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The system's PostgreSQL 15; the test is skipped where there is none."""
    with pg.start(tmp_path_factory.mktemp("pg15"), major=15, programs=system_programs(15)) as server:
        yield server


@pytest.fixture(scope="session")
def system_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this machine's own PostgreSQL; skips where it has none (the wheels' have no libxml, Debian's has)."""
    programs = system_programs()
    with pg.start(tmp_path_factory.mktemp("system"), major=_version(programs)[0], programs=programs) as server:
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
