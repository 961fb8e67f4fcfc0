"""Processes that never outlive the one that started them, and folders that never outlive it either.

Three nets, each for what slips through the one before: the kernel ends a child when its parent dies (Linux), the
`Reaper` ends what the parent had written into its book, and `sweep` does the same for the books of earlier crashes.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import json
import os
import platform
import pwd
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from cutover.errors import StageError
from cutover.processes import POLITE_S, end, reap, started
from cutover.processes import __file__ as helper
from cutover.rehearsal import places

_Popen = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the stage, the leader of its own session and group.

    Attributes:
        name: what it is, for messages.
        log: the file with its standard output and standard error.
        handle: the subprocess.
    """

    name: str
    log: Path
    handle: _Popen
    polite: int = signal.SIGTERM

    @property
    def pid(self) -> int:
        """Its process id, which is its group's id too."""
        return self.handle.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.handle.poll() is None

    def stop(self, timeout_s: float = 5.0, *, polite: int | None = None) -> int:
        """End it and all that it started; the exit code (negative: the signal that ended it).

        Args:
            timeout_s: seconds between the polite signal and SIGKILL.
            polite: the signal that asks it to end.
        """
        if self.alive:
            end({self.pid: self.polite if polite is None else polite}, timeout_s=timeout_s)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.handle.wait(1.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        Reaper.of_this_process().gone(self)
        code = self.handle.poll()
        return -signal.SIGKILL if code is None else code

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def spawn(
    argv: Sequence[str | Path],
    *,
    name: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | int | None = None,
    cwd: Path | None = None,
    polite: int = signal.SIGTERM,
) -> Process:
    """Start a process that ends when this one does, however this one ends.

    Args:
        argv: program and arguments.
        name: what it is, for messages.
        log: file for its output, appended to.
        env: its whole environment; this process's own when left out.
        user: name or id of the user to run as (root only); groups follow.
        cwd: its working folder.
        polite: the signal that asks it to end (also what the kernel sends when this process dies).

    Raises:
        StageError: it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    book = Reaper.of_this_process()
    parent = os.getpid()
    account = _account(user)

    def start() -> _Popen:
        with log.open("ab") as output:
            return subprocess.Popen(
                [os.fspath(a) for a in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                user=account[0] if account else None,
                group=account[1] if account else None,
                extra_groups=[] if account else None,
                preexec_fn=lambda: _die_with(parent, polite),  # noqa: PLW1509 - two system calls, nothing that locks
            )

    try:
        handle = _Spawner.of_this_process().run(start)
    except (OSError, subprocess.SubprocessError) as error:
        raise StageError(f"{name} cannot be started: {error}.", todo=f"try it by hand: {argv[0]}") from error
    process = Process(name, log, handle, polite)
    book.started(process)
    return process


class Reaper:
    """Keeps the book of what must not outlive this process, and the helper that reads it when this process is gone.

    One for each process: `Reaper.of_this_process()`. `spawn` enters processes by itself; folders are entered by hand.
    """

    _mine: Reaper | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.owner = os.getpid()
        folder = places.root() / "books"
        folder.mkdir(mode=0o700, exist_ok=True)
        self.book = folder / f"{self.owner}-{started(self.owner)}-{_where()}"
        self.book.touch(mode=0o600)
        self._file = self.book.open("a", buffering=1)
        self._helper = subprocess.Popen(
            [sys.executable, "-I", helper, str(self.book)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        atexit.register(self._close)

    @classmethod
    def of_this_process(cls) -> Reaper:
        """This process's reaper, started at the first call."""
        with cls._lock:
            if cls._mine is None or cls._mine.owner != os.getpid():
                cls._mine = cls()
            return cls._mine

    @property
    def pid(self) -> int:
        """The helper's process id."""
        return self._helper.pid

    def started(self, process: Process) -> None:
        """Enter a process; its whole family ends with this process."""
        begun = started(process.pid)
        if begun:
            self._write({"process": process.pid, "started": begun, "signal": process.polite})

    def gone(self, process: Process) -> None:
        """Strike a process that has been stopped."""
        self._write({"gone": process.pid})

    def claim(self, folder: Path) -> Path:
        """Enter a folder that is removed when this process is gone; it need not exist yet."""
        self._write({"folder": str(folder.absolute())})
        return folder

    def keep(self, folder: Path) -> None:
        """Strike a folder: it is removed already, or shall stay."""
        self._write({"kept": str(folder.absolute())})

    def remove(self, folder: Path) -> None:
        """Remove a claimed folder now."""
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            self.keep(folder)

    def _write(self, entry: dict[str, object]) -> None:
        if self.owner == os.getpid():
            self._file.write(json.dumps(entry) + "\n")

    def _close(self) -> None:
        """At an orderly end: what still stands in the book goes now, by the helper."""
        if self.owner == os.getpid() and self._helper.stdin:
            self._helper.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._helper.wait(POLITE_S + 2)


def sweep() -> list[Path]:
    """Clear up behind owners that died together with their reapers; the books that were processed."""
    folder = places.root() / "books"
    done = []
    for book in sorted(folder.glob("*-*-*")) if folder.is_dir() else []:
        owner, begun, where = book.name.split("-", 2)
        if where != _where() or started(int(owner)) == begun:
            continue
        with contextlib.suppress(OSError), book.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            reap(book)
            done.append(book)
    return done


def unprivileged() -> str | None:
    """The user for servers that refuse to run as root: `nobody` for root, None (stay who you are) for all others."""
    return "nobody" if os.geteuid() == 0 else None


def ids(user: str | int | None) -> tuple[int, int]:
    """User and group id of a user; this process's own for None."""
    return _account(user) or (os.geteuid(), os.getegid())


def _account(user: str | int | None) -> tuple[int, int] | None:
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user) if isinstance(user, str) else pwd.getpwuid(user)
    except KeyError:
        return (65534, 65534) if user in ("nobody", 65534) else _no_user(user)
    return entry.pw_uid, entry.pw_gid


def _no_user(user: str | int) -> tuple[int, int]:
    raise StageError(f"This machine has no user {user!r}.", todo="name one that it has, or start as an ordinary user.")


class _Spawner:
    """One thread that starts every child and lives as long as the process.

    The kernel's parent-death signal is sent when the *thread* that forked ends: children that were started by a pool's
    thread would die with the pool.
    """

    _mine: _Spawner | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._work: queue.SimpleQueue[tuple[Callable[[], _Popen], Future[_Popen]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    @classmethod
    def of_this_process(cls) -> _Spawner:
        with cls._lock:
            if cls._mine is None or cls._mine.owner != os.getpid():
                cls._mine = cls()
            return cls._mine

    def run(self, work: Callable[[], _Popen]) -> _Popen:
        """What `work` returns or raises, done by the one thread."""
        done: Future[_Popen] = Future()
        self._work.put((work, done))
        return done.result()

    def _serve(self) -> None:
        while True:
            work, done = self._work.get()
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)


def _where() -> str:
    """The machine and, on Linux, the process namespace: pids of another one mean nothing here."""
    try:
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        space = "0"
    return f"{platform.node().replace('/', '_')}-{space}"


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with(parent: int, number: int) -> None:
    """In the child, before its program begins. After the change of user, which would clear the setting."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)
