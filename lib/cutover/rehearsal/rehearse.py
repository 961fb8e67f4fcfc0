"""The dress rehearsal: a stage, the notebooks of a scenario on it, the faults before their steps, the report."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cutover.engine import Event, RunResult, execute
from cutover.engine.execute import describe
from cutover.errors import UsageError
from cutover.files import write_json
from cutover.params import load_params
from cutover.rehearsal.scenarios import SCENARIOS, Scenario
from cutover.rehearsal.stage import Stage, start_stage
from cutover.report import hand_over
from cutover.signals import way_out
from cutover.step import find_notebooks

ROWS = 300_000
_FAST: Mapping[str, Any] = {"rows": 30_000, "load": {"duration": "7s", "warm_up": "2s"}}

Say = Callable[[str], None]


def rehearse(
    name: str,
    *,
    fast: bool = False,
    rows: int | None = None,
    outputs: Path = Path("outputs"),
    params: Path | None = None,
    say: Say = lambda _: None,
) -> RunResult:
    """Run a scenario from nothing to a report; nothing is left running.

    Args:
        name: of the scenario.
        fast: fewer rows and a shorter load.
        rows: in ShadowTwin's database; 300,000 when left out.
        outputs: where the run's folder is made.
        params: the rehearsal's parameter file.
        say: told what happens, one line at a time.

    Raises:
        UsageError: no such scenario, or the parameters are refused.
        StageError: the stage did not come up.
    """
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise UsageError(f"There is no scenario {name!r}.", todo=f"choose one of: {', '.join(SCENARIOS)}")
    try:
        outputs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder {outputs} cannot be used: {error.strerror}.", todo="give another one with --outputs"
        ) from error
    notebooks = find_notebooks()
    raw = _migration(params or notebooks.parent / "params" / "rehearsal.yml", fast=fast) | dict(scenario.migration)
    rows = rows or (_FAST["rows"] if fast else ROWS)
    say(f"Rehearsing {scenario.name}: {scenario.title}.")
    visitors = 6.0 if scenario.visitors else 0.0
    with (
        way_out(),
        start_stage(
            rows=rows, empty_cloud=scenario.empty_cloud, visitors_per_s=visitors, migration=raw, say=say
        ) as stage,
    ):
        return execute(
            [notebooks / f"{one}.ipynb" for one in scenario.notebooks],
            raw,
            apply=True,
            outputs=outputs,
            phase="rehearsal",
            finish=lambda folder: _hand_over(folder, stage),
            on_event=lambda event: _on_event(event, scenario, stage, say),
            environment={"CUTOVER_STAGE": str(stage.descriptor)},
            scenario=scenario.name,
            on_rollback=notebooks / "90_rollback_decision.ipynb",
        )


def keep_stage(params: Path, *, rows: int = ROWS, say: Say = lambda _: None) -> None:
    """Start a stage and keep it until SIGINT or SIGTERM."""
    with way_out(), start_stage(rows=rows, migration=load_params(params).raw, say=say) as stage:
        say(f"export CUTOVER_STAGE={stage.descriptor}")
        say(f"papermill notebooks/02_provisioning_checks.ipynb out.ipynb -f {params}")
        say("Ctrl-C stops the stage.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("Stopping the stage …")


def open_lab(
    jupyter: Path, params: Path, *, rows: int = ROWS, port: int = 8888, browser: bool = True, say: Say = lambda _: None
) -> int:
    """JupyterLab beside a stage, on loopback; its exit code. Both end together.

    Raises:
        UsageError: there is no such JupyterLab.
    """
    raw = load_params(params).raw
    with way_out(), start_stage(rows=rows, migration=raw, say=say) as stage:
        command = [str(jupyter), "lab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
        command += [
            f"--ServerApp.root_dir={Path.cwd()}",
            "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb",
        ]
        command += [] if browser else ["--no-browser"]
        command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        kernels = stage.folder / "jupyter"
        _write_kernelspec(kernels)
        environment = os.environ | {"CUTOVER_STAGE": str(stage.descriptor), "JUPYTER_PATH": str(kernels)}
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except FileNotFoundError as error:
            raise UsageError(f"There is no program {jupyter}.", todo="make lab sets one up.") from error
        except KeyboardInterrupt:
            return 0


def _write_kernelspec(folder: Path) -> None:
    """Kernels of Lab run in *this* environment, the lean one of the pipeline, wherever Lab itself is installed."""
    about = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3 (Cutover)",
        "language": "python",
        "metadata": {"debugger": True},
    }
    write_json(folder / "kernels" / "python3" / "kernel.json", about)


def _migration(params: Path, *, fast: bool) -> dict[str, Any]:
    raw: dict[str, Any] = copy.deepcopy(load_params(params).raw)
    if fast:
        raw.setdefault("load", {}).update(_FAST["load"])
    return raw


def _hand_over(folder: Path, stage: Stage) -> Path:
    """The visitors' log is evidence too: what they felt of the move."""
    log = stage.folder / "visitors.jsonl"
    if log.exists():
        (folder / "raw" / "load").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, folder / "raw" / "load" / "visitors.jsonl")
    return hand_over(folder)


def _on_event(event: Event, scenario: Scenario, stage: Stage, say: Say) -> None:
    """Say what happens, and let the fault that belongs before a notebook begin."""
    if event.kind == "started":
        fault = scenario.before.get(event.notebook)
        if fault is not None:
            fault(stage)
    if line := describe(event):
        say(line)
