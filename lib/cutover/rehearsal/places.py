"""Where the stage may put things: one folder for a user, with a cache that is never half-made and throw-away folders.

PostgreSQL refuses to run as root, and the user it runs as instead cannot enter a private home: so root's folder lies
under `/var/tmp`, readable by all; an ordinary user's lies in `$XDG_CACHE_HOME/cutover`. `CUTOVER_PLACES` moves it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from cutover.errors import StageError

UNUSED_FOR_S = 30 * 24 * 3600
"""Entries of the cache that nobody used for this long (seconds) are removed when a new one is made."""

_WAIT_FOR_MAKER_S = 120


def root() -> Path:
    """The folder that holds all of the stage's caches, books and throw-away folders; made when it is not there.

    Raises:
        StageError: the folder belongs to someone else, or cannot be made.
    """
    named = os.environ.get("CUTOVER_PLACES")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    shared = Path("/var/tmp" if Path("/var/tmp").is_dir() else tempfile.gettempdir())  # noqa: S108 - checked below
    of_user = shared / f"cutover-{os.geteuid()}"
    if named:
        return _own(Path(named))
    if os.geteuid() == 0:
        return _own(of_user)
    try:
        return _own(base / "cutover")
    except StageError:
        return _own(of_user)


def reachable(path: Path) -> bool:
    """Whether every user may walk to `path` (its last part need not exist yet)."""
    parents = [p for p in (path, *path.absolute().parents) if p.exists()]
    return all(p.stat().st_mode & stat.S_IXOTH for p in parents)


def new_name(kind: str) -> Path:
    """A path for a throw-away folder of this kind that nobody else has; the folder is not made."""
    folder = root() / "scratch"
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder / f"{kind}-{os.getpid()}-{secrets.token_hex(4)}"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The cached folder `name`; `make(empty_folder)` fills it the first time.

    It appears under its name whole or not at all: it is made beside and renamed, so a kill half-way leaves nothing that
    would be trusted. Two processes that want it at once make it once. Entries do not outlive a reboot, because what
    was renamed before a loss of power need not have reached the disk.
    """
    cache = root() / "cache"
    cache.mkdir(mode=0o755, exist_ok=True)
    made = cache / f"{name}-{_boot()}"
    if not made.is_dir():
        with _lock(cache / f".{made.name}.lock"):
            if not made.is_dir():
                _make(made, make)
                _evict(cache)
    with contextlib.suppress(OSError):
        os.utime(made)
    return made


def _make(made: Path, make: Callable[[Path], None]) -> None:
    half = made.with_name(f".{made.name}.{secrets.token_hex(4)}.half")
    half.mkdir(mode=0o755)
    try:
        make(half)
        half.rename(made)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise


def _evict(cache: Path) -> None:
    """Remove what is half-made by the dead, of an earlier boot, or unused for long."""
    now = time.time()
    for entry in cache.iterdir():
        try:
            age_s = now - entry.stat().st_mtime
        except OSError:
            continue
        half = entry.name.endswith(".half") and age_s > 2 * _WAIT_FOR_MAKER_S
        whole = not entry.name.startswith(".") and (not entry.name.endswith(_boot()) or age_s > UNUSED_FOR_S)
        if half or whole:
            shutil.rmtree(entry, ignore_errors=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time; a holder that takes too long is not waited for (the work is then done twice)."""
    with path.open("a") as file:
        deadline = time.monotonic() + _WAIT_FOR_MAKER_S
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
        yield


def _own(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        facts = folder.lstat()
    except OSError as error:
        raise StageError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if facts.st_uid != os.geteuid() or not stat.S_ISDIR(facts.st_mode) or facts.st_mode & stat.S_IWOTH:
        raise StageError(
            f"The folder {folder} is not this user's own.",
            why="programs are started from it, so nobody else may be able to write there.",
            todo=f"remove it, or name another: export CUTOVER_PLACES={folder.with_name(folder.name + '-mine')}",
        )
    return folder


def _boot() -> str:
    try:
        told = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        told = str(int(psutil.boot_time()))
    return hashlib.sha256(told.encode()).hexdigest()[:8]
