"""Which process it is, all that it started, and how they are ended together; and who cleans up when nobody else can.

As a program this file outlives its owner, whose pipe is its standard input: when that closes, the owner is gone,
however it went, and what it left is ended and removed. `python processes.py BOOK` reads in a book what must go; without
a book it is told through the pipe. Both hold a JSON object on each line: `{"process": pid, "started": …, "signal": n}`,
`{"gone": pid}`, `{"mark": "NAME=value"}`, `{"unmark": …}`, `{"folder": path}`, `{"kept": path}`. Only the standard
library is imported, so that it starts in milliseconds.
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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

POLITE_S = 1.0
"""How long processes are given to end by themselves before SIGKILL, in seconds."""

_PROC = Path("/proc")
_LINUX = (_PROC / "self" / "stat").exists()


def started(pid: int) -> str | None:
    """When the process began, as the system tells it, or None when there is none (a zombie is none).

    With the pid it identifies a process for good: pids are used again, pids with their start are not.
    """
    if _LINUX:
        fields = _stat(pid)
        return fields[19] if fields else None
    import psutil  # noqa: PLC0415 - what Linux tells needs none

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


def family(*pids: int) -> dict[int, str]:
    """The processes, their groups and all that descend from either, each with its start.

    PostgreSQL's backends leave their parent's group, and workers outlive their leader: neither alone holds all.
    """
    table = _table()
    found = {pid for pid, (_, group, _) in table.items() if pid in pids or group in pids}
    while more := {pid for pid, (parent, _, _) in table.items() if parent in found} - found:
        found |= more
    return {pid: table[pid][2] for pid in found}


def marked(mark: str) -> list[int]:
    """The living processes that have `NAME=value` in their environment (Linux; elsewhere none are found).

    Whatever a process starts inherits it, also in a session of its own and without its parent.
    """
    found = []
    for pid in _pids() if _LINUX else ():
        with contextlib.suppress(OSError):
            if pid != os.getpid() and mark.encode() in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def end(pids: Mapping[int, int], *, timeout_s: float = POLITE_S) -> None:
    """End processes with their families: each by its own signal first (`{pid: signal}`), then by SIGKILL.

    Returns when all are gone, or a second after SIGKILL at the latest; who is interrupted here kills at once.
    """
    members, over = family(*pids), False
    try:
        for pid, number in pids.items():
            _signal(pid, number)
        over = _gone(members, timeout_s)
    finally:
        if not over:
            members |= family(*pids)
            for pid in pids:
                _signal(pid, signal.SIGKILL)
            for member, begun in members.items():
                if started(member) == begun:
                    with contextlib.suppress(OSError):
                        os.kill(member, signal.SIGKILL)
    if not over:
        _gone(members, 1.0)


def left(lines: Iterable[str]) -> tuple[dict[int, int], list[Path], list[str]]:
    """What a book still holds: processes that live, each with the signal that ends it; folders; marks.

    A last line that was torn by the owner's death is passed over.
    """
    processes: dict[int, int] = {}
    folders: dict[str, None] = {}
    marks: dict[str, None] = {}
    for line in lines:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if "process" in entry and started(entry["process"]) == entry["started"]:
            processes[entry["process"]] = entry["signal"]
        if "folder" in entry:
            folders[entry["folder"]] = None
        if "mark" in entry:
            marks[entry["mark"]] = None
        processes.pop(entry.get("gone", 0), None)
        folders.pop(entry.get("kept", ""), None)
        marks.pop(entry.get("unmark", ""), None)
    return processes, [Path(f) for f in folders], list(marks)


def clear(processes: Mapping[int, int], folders: Iterable[Path], marks: Iterable[str] = ()) -> None:
    """End every process and whatever bears a mark, then remove every folder."""
    if processes:
        end(processes)
    for _ in range(2):  # what was started while the first round went on
        if bearers := {pid: signal.SIGTERM for mark in marks for pid in marked(mark)}:
            end(bearers)
    for folder in folders:
        for _ in range(5):
            if not folder.exists():
                break
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                time.sleep(0.1)


def reap(book: Path) -> None:
    """Clear up all that stands in the book, then remove the book."""
    clear(*left(book.read_text().splitlines()))
    book.unlink(missing_ok=True)


def main(book: Path | None) -> None:
    """Wait for the owner to go, then clear up behind it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if book is None:
        clear(*left(list(sys.stdin)))
        return
    owner = int(book.name.split("-")[0])
    with book.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # A process that the owner forked may keep the pipe open: so the parent is looked at, too.
        while os.getppid() == owner:
            if select.select([0], [], [], 0.5)[0] and not os.read(0, 1024):
                break
        reap(book)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, group, …; none of what is gone or a zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def _table() -> dict[int, tuple[int, int, str]]:
    """Every living process: its parent, its group, its start."""
    if _LINUX:
        return {pid: (int(f[1]), int(f[2]), f[19]) for pid in _pids() if (f := _stat(pid))}
    import psutil  # noqa: PLC0415

    table = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                table[process.pid] = (process.ppid(), os.getpgid(process.pid), repr(process.create_time()))
    return table


def _signal(pid: int, number: int) -> None:
    """To the group that the process leads, else to the process."""
    try:
        os.killpg(pid, number)
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _gone(members: Mapping[int, str], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(started(member) == begun for member, begun in members.items()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
