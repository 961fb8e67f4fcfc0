"""Progress: a bar in a notebook, on a terminal, and plain lines where nobody watches."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import notebook_runs as runs
import pytest

from cutover.engine import Event, execute
from cutover.progress import Progress, Show, html, line_in, progress, transient

pytestmark = pytest.mark.usefixtures("home")


def told(stage: str = "dump", done: int = 0, total: int = 0, unit: str = "tables") -> Progress:
    """What any instrument tells."""
    return Progress(stage, done, total, unit)


def after(seconds: float, stage: str, done: int, total: int, unit: str, **more: Any) -> Progress:
    """A stage that began so many seconds ago."""
    return Progress(stage, done, total, unit, started=1000.0, at=1000.0 + seconds, **more)


MIB = 1 << 20


@pytest.mark.parametrize(
    ("stage", "line", "share"),
    [
        (after(0, "dump", 0, 0, "tables"), "dump: 0 tables", None),
        (after(0.5, "copy", 2, 40, "objects"), "copy: 2 of 40 objects", 0.05),
        (
            after(10, "dump", 4, 20, "tables", bytes=25 * MIB, bytes_total=100 * MIB, note="public.messages"),
            "dump: 4 of 20 tables, 25.0 MiB of 100 MiB, 2.5 MiB/s, about 30 s left · public.messages",
            0.25,
        ),
        (
            after(100, "digest", 10, 80, "pieces", rows=1_000_000, rows_total=4_000_000),
            "digest: 10 of 80 pieces, 1,000,000 rows, 10,000 rows/s, about 5 min left",
            0.25,
        ),
        (after(7290, "dump", 20, 20, "tables", bytes=3 << 30), "dump: 20 of 20 tables, 3.0 GiB in 2 h 01 min", 1.0),
    ],
)
def test_a_stage_says_how_much_how_fast_and_how_long_still(stage: Progress, line: str, share: float | None) -> None:
    """In words that need no bar; what nobody knows is left out."""
    assert stage.line == line
    assert stage.share == share


def test_lines_come_seldom_and_the_end_of_a_stage_always() -> None:
    """One every five seconds, a bar more often, and the last word always; what is over at once says no line."""
    now, drawn = [0.0], []
    show = Show(lambda stages, line: drawn.append((now[0], stages[-1].done, line)), 5.0, clock=lambda: now[0])
    for tenth in range(101):
        now[0] = tenth / 10
        show(told(done=tenth, total=100))
    assert [at for at, _, line in drawn if line] == [5.0, 10.0]
    assert 15 <= len(drawn) <= 25
    assert drawn[-1] == (10.0, 100, True)
    show(told("schema", done=0, total=3))
    show(told("schema", done=3, total=3))
    assert drawn[-1] == (10.0, 3, False)


def test_a_second_stage_has_a_line_of_its_own_and_a_failure_to_draw_disturbs_nobody() -> None:
    """Dump, then restore: both stay; the work never fails over its bar."""
    shown: list[list[str]] = []

    def draw(stages: list[Progress], line: bool) -> None:
        shown.append([stage.stage for stage in stages])
        raise RuntimeError("no screen")

    show = Show(draw)
    show(told("dump", 1, 1))
    show(told("restore", 0, 5))
    assert shown == [["dump"], ["dump", "restore"]]


def test_a_stage_that_begins_again_leaves_the_first_ones_line() -> None:
    """Rows are read once more where they differ: that all of them were read still stands there."""
    show = Show(lambda stages, line: None)
    for done, total in ((25, 25), (1, 2), (2, 2)):
        show(told("digest", done, total, "pieces"))
    assert [stage.line.partition(" in ")[0] for stage in show.stages.values()] == [
        "digest: 25 of 25 pieces",
        "digest, again: 2 of 2 pieces",
    ]


def test_the_bar_is_html_without_script_and_holds_no_markup_of_others() -> None:
    """A table's name may be anything."""
    text = html([after(1, "dump", 1, 2, "tables", note="<script>")])
    assert "<progress" in text
    assert 'value="0.5000"' in text
    assert "<script>" not in text


WORK = """
import threading
from cutover.progress import Progress, progress
show = progress(every_s=0.0)
def work():
    for done in range(1, 4):
        show(Progress("dump", done, 3, "tables", "public.t"))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_in_a_headless_run_the_lines_reach_whoever_runs_it(
    notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """From a thread of the kernel to the event; the saved notebook holds the last state alone."""
    path = notebook("10_long", runs.BEGIN.format(name="10_long"), WORK)
    events: list[Event] = []
    result = execute([path], migration, outputs=tmp_path / "outputs", on_event=events.append)
    lines = [event.text for event in events if event.kind == "progress"]
    assert [line.partition(" in ")[0] for line in lines] == [
        "dump: 1 of 3 tables · public.t",
        "dump: 2 of 3 tables · public.t",
        "dump: 3 of 3 tables",
    ]
    outputs = runs.cells(result.folder / "notebooks" / path.name)[1]["outputs"]
    assert len(outputs) == 1
    assert "3 of 3 tables" in outputs[0]["data"]["text/plain"]
    assert line_in(outputs[0]).startswith("dump: 3 of 3")


def test_without_a_terminal_it_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a pipeline's log; on standard error, for standard output may be JSON."""
    show = progress(every_s=0.0)
    show(told(done=1, total=2))
    show(told(done=2, total=2))
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.partition(" in ")[0] for line in said.err.splitlines()] == [
        "dump: 1 of 2 tables",
        "dump: 2 of 2 tables",
    ]


def test_on_a_terminal_it_is_a_bar() -> None:
    """Drawn over itself, with the share done."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    work = WORK.replace("progress(every_s=0.0)", "progress()").split("thread = ")[0] + "work()"
    subprocess.run([sys.executable, "-c", work], stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    text = said.decode()
    assert "\r" in text
    assert re.search(r"100%\|\S+\| dump: 3 of 3 tables in", text)


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_commands_bar_is_gone_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the share that is done while it lasts; short work draws none."""
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    with transient() as listener:
        listener(told("digest", 3, 12, "pieces"))
    assert screen.getvalue() == ""
    monkeypatch.setattr("cutover.progress.AFTER_S", 0.0)
    with transient() as listener:
        listener(after(10, "digest", 3, 12, "pieces"))
        listener(after(10, "locate", 1, 4, "tables"))
    assert "25%" in screen.getvalue()
    assert "digest: 3 of 12 pieces" in screen.getvalue()
    assert screen.getvalue().rstrip(" ").endswith("\r")


def test_without_a_terminal_a_command_says_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No more often than agreed, and nothing at all when it is to be quiet."""
    with transient() as listener:
        listener(told("digest", 3, 12, "pieces"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("cutover.progress.EVERY_S", 0.0)
    with transient() as listener:
        listener(told("digest", 5, 12, "pieces"))
    assert capsys.readouterr().err == "digest: 5 of 12 pieces\n"
    with transient(quiet=True) as listener:
        listener(told("digest", 5, 12, "pieces"))
    assert capsys.readouterr().err == ""
