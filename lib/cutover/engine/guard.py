"""Ends what a kernel leaves behind. As a script it watches its runner: when that vanishes, it cleans up.

Every process that a kernel starts inherits the kernel's mark in its environment, also when it makes a session of its
own or loses its parent; by the mark it is found. This file imports the standard library alone, so that it starts in
milliseconds; the runner writes `+ MARK` when a kernel starts, `- MARK` when nothing of it is left, and `folder PATH`
for the private folder that must go with the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "CUTOVER_KERNEL"
"""The environment variable by which a kernel's processes are known."""


def marked(token: str) -> list[int]:
    """The ids of the living processes whose environment carries this mark (Linux; elsewhere none are found)."""
    needle = f"{MARK}={token}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if needle in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def end(pids: Iterable[int], *, grace_s: float = 1.0) -> None:
    """SIGTERM, and SIGKILL for those still there after the grace; a process that is gone already is no error."""
    alive = set(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in list(alive):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                alive.discard(pid)
        deadline = time.monotonic() + grace_s
        while alive and time.monotonic() < deadline:
            alive = {pid for pid in alive if _lives(pid)}
            if alive:
                time.sleep(0.01)
        if not alive:
            return


def _lives(pid: int) -> bool:
    """Whether the process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        pass
    if sys.platform == "linux":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _watch() -> None:
    tokens: set[str] = set()
    folders: set[Path] = set()
    for line in sys.stdin:
        word, _, value = line.rstrip("\n").partition(" ")
        if word == "+":
            tokens.add(value)
        elif word == "-":
            tokens.discard(value)
        elif word == "folder":
            folders.add(Path(value))
    for token in tokens:
        end(marked(token))
        end(marked(token))  # what was started while the first round went on
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _watch()
