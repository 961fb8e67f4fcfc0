"""Every ending of a notebook is told truly, and no process of a kernel survives any of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_runs import RUNNER, lives, output, start_run, states, wait_for

from cutover.engine import execute
from cutover.errors import ExitCode

FAMILY = textwrap.dedent("""
    import os, subprocess, sys
    from pathlib import Path
    here = Path({folder!r})
    sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
    child = subprocess.Popen(sleep)
    apart = subprocess.Popen(sleep, start_new_session=True)
    orphan = "import subprocess as s, sys; print(s.Popen(sys.argv[1:], start_new_session=True, stdout=s.DEVNULL).pid)"
    lost = subprocess.run([sys.executable, "-c", orphan, *sleep], stdout=subprocess.PIPE, text=True).stdout
    (here / "pids.tmp").write_text(f"{{child.pid}} {{apart.pid}} {{lost}}")
    (here / "pids.tmp").rename(here / "pids")
""")
"""Starts a child, a child in a session of its own, and a process that has lost its parent."""


def family(folder: Path) -> list[int]:
    """The processes that a notebook started, once they are all there."""
    return [int(p) for p in wait_for(lambda: (folder / "pids").exists() and (folder / "pids").read_text()).split()]


@pytest.mark.parametrize(
    ("source", "state", "says"),
    [
        ("print('before'); 1 / 0", "failed", "ZeroDivisionError"),
        ("print('before'); import sys; sys.exit(0)", "failed", "left the notebook before its end"),
        ("print('before'); import sys; sys.exit(3)", "failed", "left the notebook before its end"),
        (
            "print('before', flush=True); import os, time; time.sleep(.3); os.kill(os.getpid(), 9)",
            "kernel-died",
            "SIGKILL",
        ),
        ("print('before'); input('well?')", "failed", "StdinNotImplementedError"),
        ("print('before', flush=True); import os, time; time.sleep(.3); os._exit(7)", "kernel-died", "exit code 7"),
    ],
    ids=["exception", "sys.exit(0)", "sys.exit(3)", "kernel killed", "a question", "kernel left"],
)
def test_what_breaks_in_a_cell_is_told(
    source: str, state: str, says: str, notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """Exit code 1, the true state of every cell, and what was shown before the end is kept."""
    result = execute([notebook("n", "1 + 1", source, "2 + 2")], migration, outputs=tmp_path / "out")
    saved = result.folder / "notebooks" / "n.ipynb"
    assert result.exit_code is ExitCode.BROKE
    assert states(saved) == ["completed", state, "not-run"]
    assert "before" in output(saved)
    assert says in result.headline
    assert nbformat.read(saved, as_version=4).metadata.papermill.exception is True
    assert result.steps[0].state == state


@pytest.mark.parametrize("limit", [{"cell_timeout_s": 1}, {"notebook_timeout_s": 1}], ids=["cell", "notebook"])
def test_a_timeout_is_told(
    limit: dict[str, Any], notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """The cell that was running is the one that timed out; a `finally` in it still ran."""
    slow = "import time\nprint('before', flush=True)\ntry:\n    time.sleep(60)\nfinally:\n    print('cleaned up')"
    result = execute([notebook("n", slow, "2 + 2")], migration, outputs=tmp_path / "out", **limit)
    saved = result.folder / "notebooks" / "n.ipynb"
    assert result.exit_code is ExitCode.BROKE
    assert states(saved) == ["timeout", "not-run"]
    assert "before" in output(saved)
    assert "cleaned up" in output(saved)


@pytest.mark.parametrize(
    ("number", "code", "state"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_is_told_and_ends_every_process(
    number: int, code: int, state: str, notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """A cancelled job leaves its partial output and a verdict behind, and nothing that runs."""
    waits = FAMILY.format(folder=str(tmp_path)) + "print('before', flush=True)\nimport time; time.sleep(60)"
    later = notebook("later", "1")
    run = start_run([notebook("n", waits, "2 + 2"), later], migration, tmp_path / "out", phase="day")
    pids = family(tmp_path)
    run.send_signal(number)
    _, err = run.communicate(timeout=30)
    assert run.returncode == code, err
    (folder,) = (tmp_path / "out").iterdir()
    assert states(folder / "notebooks" / "n.ipynb") == [state, "not-run"]
    assert "before" in output(folder / "notebooks" / "n.ipynb")
    assert f'"state": "{state}"' in (folder / "verdict.json").read_text()
    assert '"state": "not-run"' in (folder / "verdict.json").read_text()
    assert (folder / "manifest.json").exists()
    assert not [p for p in pids if lives(p)]


def test_a_kernel_that_ignores_an_interrupt_is_ended(
    notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """The grace is bounded: what does not listen is killed."""
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)"
    result = execute([notebook("n", deaf)], migration, outputs=tmp_path / "out", cell_timeout_s=1)
    assert states(result.folder / "notebooks" / "n.ipynb") == ["timeout"]


def test_a_process_with_an_empty_environment_is_found_by_its_descent(
    notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """It carries no mark, has a session of its own and has lost its parent: the kernel has adopted it."""
    bare = FAMILY.format(folder=str(tmp_path)).replace("DEVNULL).pid", "DEVNULL, env={}).pid")
    execute([notebook("n", bare)], migration, outputs=tmp_path / "out")
    assert not [p for p in family(tmp_path) if lives(p)]


def test_exit_handlers_of_a_kernel_run(
    notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """A notebook that completed leaves in order: what it registered for its exit is done."""
    handler = f"import atexit, time; atexit.register(lambda: (time.sleep(.2), open({str(tmp_path / 'left')!r}, 'w')))"
    execute([notebook("n", handler)], migration, outputs=tmp_path / "out")
    assert (tmp_path / "left").exists()


@pytest.mark.parametrize("ending", ["1", "import os; os.kill(os.getpid(), 9)"], ids=["completed", "kernel killed"])
def test_no_process_of_a_kernel_survives_it(
    ending: str, notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """Neither children, nor those with a session of their own, nor those that lost their parent."""
    execute([notebook("n", FAMILY.format(folder=str(tmp_path)), ending)], migration, outputs=tmp_path / "out")
    assert not [p for p in family(tmp_path) if lives(p)]


def test_no_process_of_a_kernel_survives_a_runner_that_was_killed(
    notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """SIGKILL leaves no time to clean up: the guard does it. The run says that it is not finished."""
    waits = FAMILY.format(folder=str(tmp_path)) + "import time; time.sleep(60)"
    run = start_run([notebook("n", waits)], migration, tmp_path / "out")
    pids = family(tmp_path)
    run.kill()
    run.communicate()
    wait_for(lambda: not [p for p in pids if lives(p)])
    (folder,) = (tmp_path / "out").iterdir()
    assert '"state": "running"' in (folder / "run.json").read_text()
    assert not (folder / "manifest.json").exists()
    assert not (folder / "verdict.json").exists()


@pytest.mark.parametrize(
    ("source", "code", "state"),
    [
        ("1 / 0", 1, "failed"),
        ("import sys; sys.exit(0)", 1, "failed"),
        ("import os; os.kill(os.getpid(), 9)", 138, "kernel-died"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGINT); import time; time.sleep(60)", 130, "interrupted"),
        ("import os, signal; os.kill(os.getppid(), signal.SIGTERM); import time; time.sleep(60)", 143, "terminated"),
    ],
    ids=["exception", "sys.exit(0)", "kernel killed", "SIGINT", "SIGTERM"],
)
def test_papermill_with_the_engine_tells_it_too(
    source: str, code: int, state: str, notebook: Callable[..., Path], tmp_path: Path
) -> None:
    """`papermill --engine cutover` alone: papermill's exit codes where they were true, ours where not."""
    papermill = Path(sys.executable).with_name("papermill")
    done = subprocess.run(
        [papermill, "--engine", "cutover", "--no-progress-bar", notebook("n", "1", source, "2"), tmp_path / "o.ipynb"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert states(tmp_path / "o.ipynb") == ["completed", state, "not-run"]


def test_papermill_with_the_engine_says_when_all_is_well(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 0, every cell completed, and neither a port nor a warning about one."""
    papermill = Path(sys.executable).with_name("papermill")
    source = "import sys; print(open(sys.argv[sys.argv.index('-f') + 1]).read())"
    done = subprocess.run(
        [papermill, "--engine", "cutover", "--log-output", notebook("n", source), tmp_path / "o.ipynb"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert states(tmp_path / "o.ipynb") == ["completed"]
    assert "ipc" in output(tmp_path / "o.ipynb")
    assert "without encryption" not in done.stderr


def test_a_full_disk_leaves_a_run_that_is_not_finished(
    notebook: Callable[..., Path], migration: dict[str, Any], tmp_path: Path
) -> None:
    """No file may grow over 20 KB here: the run breaks with exit code 1 and never claims to be complete."""
    small = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    small += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    asked = {"notebooks": [str(notebook("n", "print(50_000 * chr(120))"))], "params": migration, "outputs": "out"}
    script = [sys.executable, "-c", small + RUNNER, json.dumps(asked)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stdout
    (folder,) = (tmp_path / "out").iterdir()
    assert '"state": "running"' in (folder / "run.json").read_text()
    assert not (folder / "manifest.json").exists()
    assert states(folder / "notebooks" / "n.ipynb") == ["pending"]
    assert not [name for name in os.listdir(folder / "notebooks") if name.endswith(".tmp")]
