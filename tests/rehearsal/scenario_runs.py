"""Rehearsals as users type them, for the tests of scenarios: each of those has a file, so that two run at once."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

from cutover.rehearsal.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parent.parent.parent
PLANTED = "planted-Pa55phrase/with+signs"
CODES = {"GO": 0, "NO_GO": 3, "ROLLBACK": 3, "INCONCLUSIVE": 5}


def rehearse(outputs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`cutover rehearse` with its own outputs folder and a secret in the environment."""
    environment = os.environ | {"DEMO_API_PASSWORD": PLANTED, "CUTOVER_OUTPUTS": str(outputs)}
    environment.pop("CUTOVER_STAGE", None)
    command = [sys.executable, "-m", "cutover.cli", "rehearse", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800, check=False)


def evidence(outputs: Path) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """The one run's folder, its verdict and its findings."""
    (run,) = [p for p in outputs.iterdir() if p.is_dir() and p.name[:2] == "20"]
    findings = [json.loads(line) for line in (run / "findings.jsonl").read_text().splitlines()]
    return run, json.loads((run / "verdict.json").read_text()), findings


def ends_as_it_must(name: str, outputs: Path) -> None:
    """The verdict, the exit code, what decided it, a report that says so, and no secret anywhere."""
    scenario = SCENARIOS[name]
    done = rehearse(outputs, "--scenario", name, "--rows", "20000")
    assert done.returncode == CODES[scenario.ends], done.stdout[-4000:] + done.stderr[-4000:]
    run, verdict, findings = evidence(outputs)
    assert verdict["verdict"] == scenario.ends
    deciding = {finding["id"] for finding in verdict["deciding"]}
    assert deciding & set(scenario.decided_by), deciding
    report = (run / "report.html").read_text()
    what_happened = verdict["headline"].split(": ", 1)[1]
    assert html.escape(what_happened[:30]) in report[: report.index("</header>") if "</header>" in report else 9000]
    for notebook in scenario.notebooks[:1]:
        node = nbformat.read(run / "notebooks" / f"{notebook}.ipynb", as_version=4)
        assert all(c.execution_count for c in node.cells if c.cell_type == "code")
    assert (run / "junit.xml").exists()
    assert (run / "manifest.json").exists()
    assert findings
    for path in outputs.rglob("*"):
        if path.is_file():
            assert PLANTED.encode() not in path.read_bytes(), path
