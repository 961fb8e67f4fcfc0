"""The notebooks under plain papermill, under `cutover run` and on a stage without parameters: the same findings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cutover.rehearsal.stage import Stage, start_stage

ROOT = Path(__file__).resolve().parent.parent.parent
PARAMS = ROOT / "params" / "rehearsal.yml"

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A small stage that nobody visits."""
    migration = yaml.safe_load(PARAMS.read_text())["migration"]
    with start_stage(rows=2000, visitors_per_s=0, migration=migration) as running:
        yield running


def run(stage: Stage, outputs: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command that finds the stage and keeps its runs in `outputs`."""
    environment = os.environ | {"CUTOVER_STAGE": str(stage.descriptor), "CUTOVER_OUTPUTS": str(outputs)}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def findings(outputs: Path) -> set[tuple[str, str, str]]:
    """Id, subject and status of all findings of the one run in `outputs`."""
    (path,) = outputs.glob("20*/findings.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {(f["id"], f.get("subject", ""), f["status"]) for f in lines}


@pytest.mark.parametrize("name", ["01_prerequisites", "02_provisioning_checks"])
def test_the_same_findings_however_a_notebook_is_run(name: str, stage: Stage, tmp_path: Path) -> None:
    """Plain papermill with the file, `cutover run`, and papermill without parameters beside a running stage."""
    notebook = f"notebooks/{name}.ipynb"
    ways = {
        "papermill": ["papermill", notebook, str(tmp_path / "a.ipynb"), "-f", str(PARAMS)],
        "cutover": ["cutover.cli", "run", name, "--params", str(PARAMS)],
        "attached": ["papermill", notebook, str(tmp_path / "b.ipynb"), "--engine", "cutover"],
    }
    seen = {}
    for way, command in ways.items():
        done = run(stage, tmp_path / way, *command)
        assert done.returncode == 0, (way, done.stdout[-2000:], done.stderr[-2000:])
        seen[way] = findings(tmp_path / way)
    assert len(seen["papermill"]) > 20
    assert seen["papermill"] == seen["cutover"] == seen["attached"]


def test_a_plan_shows_every_change_and_makes_none(stage: Stage, tmp_path: Path) -> None:
    """`cutover plan day`: a row a change; databases and DNS are as before."""
    before = (stage.folder / "cloud" / "calls.jsonl").stat().st_size
    done = run(stage, tmp_path, "cutover.cli", "plan", "day", "--params", str(PARAMS), "--json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    planned = json.loads(done.stdout)
    assert {row["step"][:2] for row in planned} >= {"10", "11", "12", "14", "15"}
    assert {row["state"] for row in planned} == {"planned"}
    with (stage.folder / "cloud" / "calls.jsonl").open() as calls:
        calls.seek(before)
        made = {json.loads(line)["operation"] for line in calls}
    assert not {
        op
        for op in made
        if op.startswith(("Create", "Update", "Change", "Register", "Delete")) and op != "GetMetricData"
    }


def test_status_tells_how_far_a_run_came(stage: Stage, tmp_path: Path) -> None:
    """By name or `last`, as a table or as JSON."""
    assert run(stage, tmp_path, "cutover.cli", "run", "00", "--params", str(PARAMS)).returncode in (0, 5)
    told = json.loads(run(stage, tmp_path, "cutover.cli", "status", "--json").stdout)
    assert [step["name"] for step in told["steps"]] == ["00_start_here"]
    assert run(stage, tmp_path, "cutover.cli", "verify").returncode == 0
    (report,) = tmp_path.glob("20*/report.html")
    report.write_text(report.read_text() + " ")
    assert run(stage, tmp_path, "cutover.cli", "verify").returncode == 3
