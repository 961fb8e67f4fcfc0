"""Emulators for the tests: an empty one in this process, and a provisioned one in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from emulator_process import EmulatorProcess

SESSION = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1")


def client(endpoint: str, service: str, region: str = "us-east-1") -> Any:
    """A client that asks once."""
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={})
    return SESSION.client(service, region_name=region, endpoint_url=endpoint, config=config)


class Started(EmulatorProcess):
    """An emulator in a process of its own."""

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """A client of this emulator."""
        return client(self.endpoint, service, region)


class Inside:
    """An empty emulator in this process; its state is moto's, which is global."""

    def __init__(self, state: Path) -> None:
        from cutover.rehearsal.cloud import Cloud

        self.cloud = Cloud(state)
        self.state, self.endpoint = state, self.cloud.endpoint
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """A client of this emulator."""
        if service not in self._clients:
            self._clients[service] = client(self.endpoint, service)
        return self._clients[service]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """An account with nothing of ours in it (tests name their things apart)."""
    inside = Inside(tmp_path_factory.mktemp("empty-cloud"))
    yield inside
    inside.cloud.stop()


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The guide's architecture; nobody changes it."""
    started = Started(
        tmp_path_factory.mktemp("account"),
        "--database-url",
        "postgresql://shadowtwin_app:not-a-secret@127.0.0.9:5432/shadowtwin",
        "--redis-url",
        "rediss://:not-a-secret@127.0.0.9:6379/0",
    )
    yield started
    started.stop()


def until(what: Any, *, patience_s: float = 20.0) -> Any:
    """Wait until `what()` is true and return it."""
    end = time.monotonic() + patience_s
    while not (found := what()) and time.monotonic() < end:
        time.sleep(0.05)
    assert found, "it did not come about"
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
