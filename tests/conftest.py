"""What every test may ask for: real servers, one of each for a session."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable, Iterator

import pytest

from cutover.rehearsal import postgres as pg
from cutover.rehearsal import processes
from cutover.rehearsal import valkey as vk

_LONG = "test_scenario_"
"""Files with a rehearsal each, which take minutes: they come first, so that the last one does not keep all waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones begin at once. (`--dist loadfile` keeps a file's tests, and its servers, on one worker.)"""
    items.sort(key=lambda item: not item.path.name.startswith(_LONG))


def pytest_configure() -> None:
    """Ctrl-C reaches what the tests start, also where they run in the background (a shell has it ignored there)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _clear_up_behind_crashed_sessions() -> None:
    processes.sweep()


@pytest.fixture(scope="session")
def pg16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pg.Server]:
    """A PostgreSQL 16 without extensions, for tests across majors."""
    with pg.start(tmp_path_factory.mktemp("pg16"), major=16) as server:
        yield server


@pytest.fixture(scope="session")
def pg17(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pg.Server]:
    """A PostgreSQL 17: the source's kind."""
    with pg.start(tmp_path_factory.mktemp("pg17"), major=17) as server:
        yield server


@pytest.fixture(scope="session")
def pg18(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pg.Server]:
    """A PostgreSQL 18: the target's kind."""
    with pg.start(tmp_path_factory.mktemp("pg18"), major=18) as server:
        yield server


@pytest.fixture
def fresh_database() -> Iterator[Callable[..., str]]:
    """`fresh_database(server, owner=None)`: the superuser's URL of a new empty database, dropped after the test."""
    made: list[tuple[pg.Server, str]] = []

    def make(server: pg.Server, owner: str | None = None) -> str:
        name = f"t_{secrets.token_hex(5)}"
        server.create_database(name, owner)
        made.append((server, name))
        return server.url(name)

    yield make
    for server, name in made:
        server.drop_database(name)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vk.ValkeyServer]:
    """A Valkey. Tests that write take a key prefix or a database (0 to 3) of their own."""
    with vk.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server
