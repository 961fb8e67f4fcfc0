"""Ending a process with all that it started: by descent, by group, by mark, and when we are interrupted meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutover import processes

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
)
LEADER = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
if len(sys.argv) == 1:
    time.sleep(99)
"""


def leader(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], int]:
    """A process that leads a group, and its child, which SIGTERM does not end; with an argument it ends at once."""
    command = [sys.executable, "-c", LEADER, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=os.environ | environment
    )
    assert process.stdout
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("arguments", [(), ("leave",)])
def test_a_child_ends_with_its_leader_and_after_it(arguments: tuple[str, ...]) -> None:
    """Descent holds the child of one that lives, the group the child of one that is gone."""
    process, child = leader(*arguments)
    if arguments:
        process.wait(20)
    assert child in processes.family(process.pid)
    processes.end({process.pid: signal.SIGTERM}, timeout_s=0.2)
    process.wait(20)
    assert processes.started(child) is None


def test_whoever_is_interrupted_while_ending_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the time that is given to end politely: SIGKILL at once."""
    process, child = leader()
    monkeypatch.setattr(processes, "_gone", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        processes.end({process.pid: signal.SIGTERM}, timeout_s=60)
    process.wait(20)
    assert _eventually_gone(child)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The program that is told through its pipe what must not stay."""
    command = [sys.executable, "-I", "-S", processes.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as process:
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="a mark is read from /proc")
def test_what_bears_a_mark_goes_with_the_owner_and_what_was_unmarked_stays(
    guard: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Also what lost its parent; the folder too."""
    marked, child = leader("leave", PROCESSES_TEST="one")
    kept, other = leader(PROCESSES_TEST="two")
    (folder := tmp_path / "private").mkdir()
    told = [{"mark": "PROCESSES_TEST=one"}, {"mark": "PROCESSES_TEST=two"}, {"folder": str(folder)}]
    assert guard.stdin
    guard.stdin.writelines(json.dumps(entry) + "\n" for entry in [*told, {"unmark": "PROCESSES_TEST=two"}])
    guard.stdin.close()
    try:
        guard.wait(30)
        marked.wait(20)
        assert _eventually_gone(child)
        assert not folder.exists()
        assert processes.started(other) is not None
    finally:
        processes.end({kept.pid: signal.SIGKILL})
        kept.wait(20)


def _interrupted(*_: object) -> bool:
    raise KeyboardInterrupt


def _eventually_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while processes.started(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes.started(pid) is None
