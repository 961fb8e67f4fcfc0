"""Nothing that the stage starts outlives the one that started it, however that one ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from cutover.errors import StageError
from cutover.processes import family, left, reap, started
from cutover.rehearsal import places, processes

STUBBORN = """
import os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if len(sys.argv) > 1:
    subprocess.Popen([sys.executable, sys.argv[0]], start_new_session=True)
print("ready", flush=True)
time.sleep(300)
"""
"""A program that ends by SIGKILL only, and its child in a session of its own, where no signal to a group reaches it."""

OWNER = """
import json, os, sys, time
from pathlib import Path
from cutover.rehearsal import postgres, processes, valkey

kernel, ending, stubborn = sys.argv[1:]
if kernel == "without":
    processes._libc = None
book = processes.Reaper.of_this_process()
folder = book.claim(Path(stubborn).with_name("stage"))
folder.mkdir()
(folder / "something").write_text("to be removed")
database = postgres.start(folder / "postgres", major=17)
queue = valkey.start(folder / "valkey")
program = processes.spawn([sys.executable, stubborn, "child"], name="stubborn", log=folder / "stubborn.log")
while program.log.read_text().count("ready") < 2:
    time.sleep(0.01)
told = {"folders": [str(folder), str(database.data)], "book": str(book.book), "reaper": book.pid}
told["started"] = [database.process.pid, queue.process.pid, program.pid]
print(json.dumps(told), flush=True)
if ending == "falls off the end":
    sys.exit(0)
if ending == "os._exit":
    os._exit(0)
if ending == "raises":
    raise RuntimeError("on purpose")
time.sleep(300)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Callable[..., tuple[subprocess.Popen[str], dict[str, Any], list[psutil.Process]]]:
    """`owner(ending, kernel="with")` starts a process that starts a database, a queue and a stubborn family."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    (tmp_path / "owner.py").write_text(OWNER)

    def start(ending: str, kernel: str = "with") -> tuple[subprocess.Popen[str], dict[str, Any], list[psutil.Process]]:
        argv = [sys.executable, tmp_path / "owner.py", kernel, ending, tmp_path / "stubborn.py"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout
        told = json.loads(process.stdout.readline())
        born = [psutil.Process(pid) for pid in told["started"] if psutil.pid_exists(pid)]
        born += [child for one in born if one.is_running() for child in one.children(recursive=True)]
        return process, told, born

    return start


def eventually(what: Callable[[], bool], within_s: float = 20) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(process: psutil.Process) -> bool:
    """Whether it no longer runs; a zombie that waits for an absent parent counts as gone."""
    return started(process.pid) is None or not process.is_running()


@pytest.mark.parametrize("kernel", ["with", "without"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_leaves_no_process_and_no_folder(owner: Any, number: int, kernel: str) -> None:
    """With the kernel's help and, as on a Mac, without."""
    process, told, born = owner("waits", kernel)
    assert len(born) > 6  # PostgreSQL's own children and the stubborn grandchild are among them
    process.send_signal(number)
    process.wait(10)
    assert eventually(lambda: all(map(gone, born))), [p for p in born if not gone(p)]
    assert eventually(lambda: not any(Path(f).exists() for f in told["folders"]))
    assert eventually(lambda: not Path(told["book"]).exists())
    assert eventually(lambda: not psutil.pid_exists(told["reaper"]) or started(told["reaper"]) is None)


@pytest.mark.parametrize("ending", ["falls off the end", "os._exit", "raises"])
def test_an_owner_that_forgets_to_stop_leaves_nothing_either(owner: Any, ending: str) -> None:
    """An ending without a signal is cleared up behind in the same way."""
    process, told, born = owner(ending)
    process.wait(20)
    assert eventually(lambda: all(map(gone, born)))
    assert eventually(lambda: not any(Path(f).exists() for f in told["folders"]))


def test_what_the_reaper_could_not_clear_up_the_next_sweep_does(owner: Any) -> None:
    """Owner and reaper are killed together; the folders and the stubborn wait for the sweep."""
    process, told, born = owner("waits")
    os.kill(told["reaper"], signal.SIGKILL)
    assert eventually(lambda: started(told["reaper"]) is None)
    process.kill()
    process.wait(10)
    if sys.platform == "linux":  # the kernel alone ends all that do as they are told
        servers = [psutil.Process(pid) for pid in told["started"][:2] if psutil.pid_exists(pid)]
        assert eventually(lambda: all(map(gone, servers)))
        assert not all(map(gone, born))
    assert Path(told["folders"][0]).exists()
    assert Path(told["book"]) in processes.sweep()
    assert all(map(gone, born))
    assert not any(Path(f).exists() for f in told["folders"])
    assert not Path(told["book"]).exists()


@pytest.mark.parametrize("its_reaper", ["lives", "was killed"])
def test_a_sweep_leaves_the_living_alone(owner: Any, its_reaper: str) -> None:
    """Another stage on this machine goes on."""
    process, told, born = owner("waits")
    if its_reaper == "was killed":
        os.kill(told["reaper"], signal.SIGKILL)
        assert eventually(lambda: started(told["reaper"]) is None)
    processes.sweep()
    assert not any(map(gone, born))
    assert all(Path(f).exists() for f in told["folders"])
    process.kill()
    process.wait(10)
    assert eventually(lambda: bool(processes.sweep()) or not Path(told["book"]).exists())
    assert eventually(lambda: all(map(gone, born)))


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    """The kernel's parent-death signal goes by thread; a pool's threads come and go."""
    with ThreadPoolExecutor(1) as pool:
        process = pool.submit(lambda: processes.spawn(["sleep", "60"], name="sleep", log=tmp_path / "log")).result()
    time.sleep(0.2)
    assert process.alive
    assert process.stop() == -signal.SIGTERM


def test_stopping_ends_the_whole_family_of_a_stubborn_process(tmp_path: Path) -> None:
    """SIGKILL follows, and reaches a grandchild in another session."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    process = processes.spawn(
        [sys.executable, tmp_path / "stubborn.py", "child"], name="stubborn", log=tmp_path / "log"
    )
    assert eventually(lambda: process.tail().count("ready") == 2)
    born = [psutil.Process(pid) for pid in family(process.pid)]
    assert len(born) == 2
    assert process.stop(timeout_s=0.1) == -signal.SIGKILL
    assert eventually(lambda: all(map(gone, born)), 2)


def test_the_log_has_both_streams_and_the_exit_code_is_told(tmp_path: Path) -> None:
    """Standard output and standard error, in order; the log is appended to."""
    argv = [sys.executable, "-c", "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)"]
    for _ in range(2):
        process = processes.spawn(argv, name="speaker", log=tmp_path / "log")
        process.handle.wait(20)
        assert process.stop() == 7
    assert process.tail() == "out\nerr\nout\nerr"


def test_a_program_that_is_not_there_is_a_readable_error(tmp_path: Path) -> None:
    """It names what was to be started."""
    with pytest.raises(StageError, match="the thing cannot be started"):
        processes.spawn([tmp_path / "nothing"], name="the thing", log=tmp_path / "log")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become someone else")
def test_a_child_of_root_can_run_as_nobody_without_roots_groups(tmp_path: Path) -> None:
    """User, group and supplementary groups all change."""
    process = processes.spawn(
        ["sh", "-c", "id -u; id -g; id -G"], name="who", log=tmp_path / "log", user="nobody", cwd=Path("/")
    )
    process.handle.wait(20)
    user, group = processes.ids("nobody")
    assert process.tail().split() == [str(user), str(group), str(group)]


def test_a_user_that_does_not_exist_is_a_readable_error(tmp_path: Path) -> None:
    """Rather than a number that belongs to nobody."""
    with pytest.raises(StageError, match="no user 'nobody-of-that-name'"):
        processes.spawn(["true"], name="true", log=tmp_path / "log", user="nobody-of-that-name")


def test_a_process_that_took_over_a_pid_is_not_ended(tmp_path: Path) -> None:
    """Pids are used again: the book has when each process began."""
    with processes.spawn(["sleep", "60"], name="sleep", log=tmp_path / "log") as innocent:
        book = tmp_path / "book"
        entry = {"process": innocent.pid, "started": "some other time", "signal": int(signal.SIGKILL)}
        book.write_text(json.dumps(entry) + "\n")
        reap(book)
        assert innocent.alive
        assert not book.exists()


def test_a_book_that_was_torn_in_its_last_line_is_still_worked_off(tmp_path: Path) -> None:
    """The owner may be killed while it writes."""
    folder, kept = tmp_path / "folder", tmp_path / "kept"
    folder.mkdir()
    kept.mkdir()
    lines = [{"folder": str(folder)}, {"folder": str(kept)}, {"kept": str(kept)}]
    (tmp_path / "book").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"proc')
    reap(tmp_path / "book")
    assert not folder.exists()
    assert kept.exists()


def test_a_folder_that_is_removed_in_time_is_struck_from_the_book(tmp_path: Path) -> None:
    """So that its name may be used again by another."""
    book = processes.Reaper.of_this_process()
    folder = book.claim(tmp_path / "mine")
    folder.mkdir()
    assert folder in left(book.book.read_text().splitlines())[1]
    book.remove(folder)
    assert not folder.exists()
    assert folder not in left(book.book.read_text().splitlines())[1]


def test_a_fork_of_the_owner_has_a_book_of_its_own() -> None:
    """What the fork starts is not written into its parent's book."""
    mine = processes.Reaper.of_this_process().book
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, str(processes.Reaper.of_this_process().book).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = Path(os.read(read, 4096).decode())
    os.close(read)
    os.close(write)
    assert theirs != mine
    assert eventually(lambda: not theirs.exists())
    assert mine.exists()
    assert theirs.parent == places.root() / "books"
