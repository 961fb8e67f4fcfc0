"""The cache is never half-made, and nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cutover.errors import StageError
from cutover.rehearsal import places

MAKER = """
import os, sys, time
from pathlib import Path
from cutover.rehearsal import places

def make(half):
    with open(sys.argv[1], "a") as note:
        note.write("made\\n")
    (half / "one").write_text("1")
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), 9)
    time.sleep(0.3)
    (half / "two").write_text("2")

print(places.made_once("thing", make))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of its own for one test."""
    monkeypatch.setenv("CUTOVER_PLACES", str(tmp_path / "places"))
    return tmp_path


def test_what_is_made_is_made_once(here: Path) -> None:
    """The second time it is only found."""
    calls = []

    def make(half: Path) -> None:
        calls.append(half)
        (half / "file").write_text("whole")

    first, second = places.made_once("thing", make), places.made_once("thing", make)
    assert first == second
    assert (first / "file").read_text() == "whole"
    assert len(calls) == 1


def test_a_maker_that_fails_leaves_nothing_and_is_asked_again(here: Path) -> None:
    """Half of it is never found under its name."""

    def fail(half: Path) -> None:
        (half / "file").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        places.made_once("thing", fail)
    made = places.made_once("thing", lambda half: (half / "file").touch())
    assert [p.name for p in made.iterdir()] == ["file"]
    assert list(made.parent.glob("*.half")) == []


def test_a_maker_that_is_killed_half_way_is_not_trusted(here: Path) -> None:
    """Nor is it in the way of the next one."""
    script = here / "maker.py"
    script.write_text(MAKER)
    died = subprocess.run([sys.executable, script, here / "note", "dies"], check=False)
    assert died.returncode == -signal.SIGKILL
    whole = subprocess.run([sys.executable, script, here / "note", "lives"], check=True, capture_output=True, text=True)
    assert sorted(p.name for p in Path(whole.stdout.strip()).iterdir()) == ["one", "two"]


def test_two_who_want_it_at_once_make_it_once(here: Path) -> None:
    """The second waits for the first."""
    script = here / "maker.py"
    script.write_text(MAKER)
    argv = [sys.executable, str(script), str(here / "note"), "lives"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = {process.communicate(timeout=60)[0] for process in both}
    assert len(found) == 1
    assert (here / "note").read_text() == "made\n"


def test_what_is_of_an_earlier_boot_or_unused_for_long_is_removed(here: Path) -> None:
    """The cache does not grow for ever, and what is in use stays."""
    used = places.made_once("used", lambda half: None)
    unused = places.made_once("unused", lambda half: None)
    os.utime(unused, (0, 0))
    earlier = used.with_name("thing-00000000")
    earlier.mkdir()
    places.made_once("another", lambda half: None)
    assert used.exists()
    assert not unused.exists()
    assert not earlier.exists()


def test_a_root_that_others_may_write_to_is_refused(here: Path) -> None:
    """Programs are started from it, by root too."""
    (here / "places").mkdir()
    (here / "places").chmod(0o777)
    with pytest.raises(StageError, match="not this user's own"):
        places.root()


def test_a_root_behind_a_link_is_refused(here: Path) -> None:
    """A link in a folder for all could lead anywhere."""
    (here / "elsewhere").mkdir()
    (here / "places").symlink_to(here / "elsewhere")
    with pytest.raises(StageError, match="not this user's own"):
        places.root()


def test_a_folder_below_a_private_one_is_not_reachable(tmp_path: Path) -> None:
    """Every folder on the way counts, the last one too; what does not exist yet does not."""
    inner = tmp_path / "inner"
    inner.mkdir()
    tmp_path.chmod(0o700)
    assert not places.reachable(inner / "later")
    assert places.reachable(Path("/"))
