"""Clears up behind an owner that died: ends the processes and removes the folders that stand in its book.

A book is an append-only file with a JSON object on each line: `{"process": pid, "started": …, "signal": n}`,
`{"gone": pid}`, `{"folder": path}`, `{"kept": path}`. This file runs as a program, `python reaper.py BOOK`, whose
standard input is a pipe from the owner: when it closes, the owner is gone, however it went.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil

POLITE_S = 1.0
"""How long processes are given to end by themselves before SIGKILL, in seconds."""


def started(pid: int) -> str | None:
    """When the process began, as the system tells it, or None when there is none (a zombie is none).

    With the pid it identifies a process for good: pids are used again, pids with their start are not.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if after_name[0] in "ZX" else after_name[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def family(pid: int) -> dict[int, str]:
    """The process and all that descend from it, each with its start. PostgreSQL's backends leave their parent's group,
    so a group alone does not hold them."""
    members = [pid]
    with contextlib.suppress(psutil.Error):
        members += [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return {member: begun for member in members if (begun := started(member))}


def end(pids: dict[int, int], *, timeout_s: float = POLITE_S) -> None:
    """End processes with their families: each by its own signal first (`{pid: signal}`), then by SIGKILL.

    Returns when all are gone, or a second after SIGKILL at the latest.
    """
    members: dict[int, str] = {}
    for pid in pids:
        members |= family(pid)
    for pid, number in pids.items():
        _signal_group(pid, number)
    if _wait(members, timeout_s):
        return
    for pid in pids:
        members |= family(pid)
        _signal_group(pid, signal.SIGKILL)
    for member, begun in members.items():
        if started(member) == begun:
            with contextlib.suppress(OSError):
                os.kill(member, signal.SIGKILL)
    _wait(members, 1.0)


def read(book: Path) -> tuple[dict[int, int], list[Path]]:
    """What the book still holds: processes that live, each with the signal that ends it, and folders.

    A last line that was torn by the owner's death is passed over.
    """
    processes: dict[int, int] = {}
    folders: dict[str, None] = {}
    for line in book.read_text().splitlines():
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if "process" in entry and started(entry["process"]) == entry["started"]:
            processes[entry["process"]] = entry["signal"]
        if "folder" in entry:
            folders[entry["folder"]] = None
        processes.pop(entry.get("gone", 0), None)
        folders.pop(entry.get("kept", ""), None)
    return processes, [Path(f) for f in folders]


def reap(book: Path) -> None:
    """End every process and remove every folder of the book, then the book."""
    processes, folders = read(book)
    if processes:
        end(processes)
    for folder in folders:
        for _ in range(5):
            if not folder.exists():
                break
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                time.sleep(0.1)
    book.unlink(missing_ok=True)


def main(book: Path) -> None:
    """Wait for the owner (our parent) to go, then clear up behind it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    owner = int(book.name.split("-")[0])
    with book.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # A process that the owner forked may keep the pipe open: so the parent is looked at, too.
        while os.getppid() == owner:
            if select.select([0], [], [], 0.5)[0] and not os.read(0, 1024):
                break
        reap(book)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, number)


def _wait(members: dict[int, str], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(started(m) == begun for m, begun in members.items()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
