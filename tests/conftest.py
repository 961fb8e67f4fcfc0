"""What every test may ask for: real servers, one of each for a session; parameters that pass; tiny notebooks."""

from __future__ import annotations

import copy
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import notebook_runs
import pytest

from cutover.rehearsal import postgres as pg
from cutover.rehearsal import processes
from cutover.rehearsal import valkey as vk

_LONG = "test_scenario_"
"""Files with a rehearsal each, which take minutes: they come first, so that the last one does not keep all waiting."""


MIGRATION: dict[str, Any] = {
    "name": "shadowtwin",
    "environment": "staging",
    "account_id": "012345678901",
    "region": "us-east-1",
    "dr_region": "us-west-2",
    "hostname": "app.shadowtwin.example",
    "contacts": {"technical_lead": "Ada, ext. 100"},
    "source": {
        "database_url": "env:SOURCE_DATABASE_URL",
        "redis_url": "env:SOURCE_REDIS_URL",
        "app_url": "https://shadowtwin.example",
        "reports": "file:///srv/reports",
    },
    "target": {
        "database_url": "secretsmanager:shadowtwin/database",
        "redis_url": "secretsmanager:shadowtwin/redis",
        "reports": "s3://shadowtwin-reports",
    },
    "release": {"image": "shadowtwin:1.1.0", "version": "1.1.0"},
    "test_user": "env:SHADOWTWIN_TEST_LOGIN",
    "state": "state",
}


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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, no running stage, no run that is going on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CUTOVER_RUN", "CUTOVER_STEP", "CUTOVER_PLAN", "CUTOVER_STAGE", "CUTOVER_OUTPUTS"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    while notebook_runs.RUNS:
        run = notebook_runs.RUNS.pop()
        if run.poll() is None:
            run.terminate()
            run.communicate()


@pytest.fixture
def migration() -> dict[str, Any]:
    """Parameters that pass, to be changed at will."""
    return copy.deepcopy(MIGRATION)


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """`notebook(name, cell, …)` writes a notebook whose first cell declares the parameters."""

    def write(name: str, *cells: str, parameters: str = "migration: dict = {}") -> Path:
        first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        rest = [nbformat.v4.new_code_cell(c) for c in cells]
        about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[first, *rest], metadata=about), path)
        return path

    return write
