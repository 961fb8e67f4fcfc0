"""The stage comes up whole, and leaves nothing behind, however its owner ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
import requests

from cutover.secrets import password_in

pytestmark = [pytest.mark.timeout(300)]

OWNER = """
import sys, time
from cutover.rehearsal.stage import start_stage
stage = start_stage(rows=2000, visitors_per_s=2)
print("UP", stage.descriptor, stage.folder, flush=True)
time.sleep(120)
"""


def start(tmp_path: Path) -> tuple[subprocess.Popen[str], Path, Path]:
    """A process that owns a stage; its descriptor and folder."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, env=environment)
    assert owner.stdout is not None
    line = owner.stdout.readline().split()
    assert line, "the stage did not come up"
    return owner, Path(line[1]), Path(line[2])


def family(folder: Path) -> list[psutil.Process]:
    """Every process that has the stage's folder in its command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def gone(folder: Path, seconds: float = 20) -> bool:
    """Whether no process and no file of the stage is left, within a bound."""
    for _ in range(int(seconds * 10)):
        if not family(folder) and not folder.exists():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_however_the_owner_ends(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, a terminated job, a crash."""
    owner, descriptor, folder = start(tmp_path)
    try:
        assert descriptor.exists()
        assert len(family(folder)) >= 4
        owner.send_signal(number)
        owner.wait(30)
        assert gone(folder), [p.cmdline() for p in family(folder)]
        assert not descriptor.exists()
    finally:
        owner.kill()


def test_every_part_of_a_stage_answers(tmp_path: Path) -> None:
    """Both homes, both databases, the queues, the cloud, the balancer: real servers on loopback."""
    owner, descriptor, folder = start(tmp_path)
    try:
        values = json.loads(descriptor.read_text())["values"]
        assert descriptor.stat().st_mode & 0o077 == 0
        for home in ("source", "target", "staging"):
            health = requests.get(values[f"{home}.app_url"] + "/api/health", timeout=10)
            assert health.status_code == 200, (home, health.text)
            assert health.json()["checks"] == {"database": "healthy", "redis": "healthy", "memory": "healthy"}
            redis.from_url(values[f"{home}.redis_url"]).ping()
            with psycopg.connect(values[f"{home}.database_url"]) as connection:
                assert connection.info.server_version // 10000 == (17 if home == "source" else 18)
            assert password_in(values[f"{home}.database_url"])
    finally:
        owner.terminate()
        owner.wait(30)
    assert gone(folder)
