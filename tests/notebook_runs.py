"""Helpers of the tests of runs: what an executed notebook says, which processes live, a run in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

BEGIN = "from cutover import runbook\nfrom cutover.finding import Finding, Severity, Status\n"
BEGIN += "step = runbook.begin('{name}', migration)"


def cells(path: Path) -> list[Any]:
    """The code cells of an executed notebook, without the one that papermill injected."""
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    kept = [c for c in nb.cells if c.cell_type == "code" and "injected-parameters" not in c.metadata.get("tags", [])]
    return kept[1:]


def states(path: Path) -> list[str]:
    """The state of each cell after the parameters."""
    return [c.metadata["papermill"]["status"] for c in cells(path)]


def output(path: Path) -> str:
    """Everything that an executed notebook shows, as text."""
    return json.dumps([c.get("outputs", []) for c in cells(path)], ensure_ascii=False)


def wait_for(condition: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Wait until `condition` gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def lives(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


RUNS: list[subprocess.Popen[str]] = []
"""Every run that a test started; `home` ends what a failed test left."""

RUNNER = """
import json, sys
from pathlib import Path
from cutover.engine import execute
asked = json.loads(sys.argv[1])
asked["outputs"] = Path(asked["outputs"])
result = execute(asked.pop("notebooks"), asked.pop("params"), **asked)
print(json.dumps({"folder": str(result.folder), "headline": result.headline}))
sys.exit(int(result.exit_code))
"""


def start_run(notebooks: list[Path], params: dict[str, Any], outputs: Path, **asked: Any) -> subprocess.Popen[str]:
    """A run in a process of its own, as `cutover run` is one."""
    text = json.dumps(
        {"notebooks": [str(n) for n in notebooks], "params": params, "outputs": str(outputs), **asked}, default=str
    )
    run = subprocess.Popen(
        [sys.executable, "-c", RUNNER, text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    RUNS.append(run)
    return run
