"""Tiny notebooks, parameters that pass, and a home of its own for every test."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import notebook_runs
import pytest

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


@pytest.fixture(autouse=True)
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
