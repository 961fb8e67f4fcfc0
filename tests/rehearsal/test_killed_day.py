"""A day whose process is killed, again and again, goes on with `--resume` to GO."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from scenario_runs import ROOT

from cutover.rehearsal.stage import Stage, start_stage

pytestmark = [pytest.mark.timeout(900), pytest.mark.campaign]

PARAMS = ROOT / "params" / "rehearsal.yml"
DAY = ("07_lower_ttl", "day")


def day(stage: Stage, outputs: Path, *more: str) -> subprocess.Popen[str]:
    """The notebooks of the day, with apply, in a process of their own."""
    environment = os.environ | {"CUTOVER_STAGE": str(stage.descriptor), "CUTOVER_OUTPUTS": str(outputs)}
    command = [sys.executable, "-m", "cutover.cli", "run", *DAY, "--params", str(PARAMS), "--apply", *more]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def deployments(stage: Stage) -> int:
    """How often the service was told to run something."""
    return (stage.folder / "cloud" / "calls.jsonl").read_text().count('"UpdateService"')


def killed(stage: Stage, outputs: Path, step: str, *more: str, when: Callable[[Stage], bool] = lambda _: True) -> str:
    """A day that is killed a moment after a step began, and after `when` holds; the run's name."""
    known = set(outputs.glob("20*"))
    running = day(stage, outputs, *more)
    while running.poll() is None:
        new = [path for path in outputs.glob("20*") if path not in known]
        if new and (new[0] / "steps" / f"{step}.json").exists() and when(stage):
            break
        time.sleep(0.05)
    time.sleep(0.3)
    running.kill()
    _, said = running.communicate()
    (folder,) = (path for path in outputs.glob("20*") if path not in known)
    assert not (folder / "verdict.json").exists(), said[-3000:]
    assert json.loads((folder / "steps" / f"{step}.json").read_text())["state"] == "running", said[-3000:]
    return folder.name


def test_a_day_that_is_killed_in_13_14_and_15_goes_on_where_it_was_and_ends_with_go(tmp_path: Path) -> None:
    """The database is moved once; each killed step is run again, and none that had completed before."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    migration = yaml.safe_load(PARAMS.read_text())["migration"]
    with start_stage(rows=20_000, visitors_per_s=6.0, migration=migration) as stage:
        runs = [killed(stage, outputs, "13_data_integrity")]
        so_far = deployments(stage)
        rolls_out = killed(
            stage, outputs, "14_deploy", "--resume", runs[-1], when=lambda stage: deployments(stage) > so_far
        )
        runs.append(rolls_out)
        runs.append(killed(stage, outputs, "15_dns_cutover", "--resume", runs[-1]))
        last = day(stage, outputs, "--resume", runs[-1])
        _, said = last.communicate()
        assert last.returncode == 0, said[-4000:]
    verdicts = [json.loads(path.read_text()) for path in outputs.glob("20*/verdict.json")]
    (verdict,) = verdicts
    by_run = {s["name"][:2]: s.get("run") for s in verdict["steps"]}
    first, second, third = runs
    expected = dict.fromkeys(("07", "10", "11", "12"), first) | {"13": second, "14": third, "15": None, "16": None}
    assert by_run == expected
