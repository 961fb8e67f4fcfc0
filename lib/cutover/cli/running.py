"""Notebooks run headless, and what is known of a run: `run`, `plan`, `status`, `approve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cutover import aws_session
from cutover.cli.output import conclude, print_out, say
from cutover.cli.root import AsJson, Knobs, Outputs, ParamsFile, RunName, app
from cutover.errors import ExitCode, UsageError


@app.command()
def run(
    what: Annotated[
        list[str], typer.Argument(metavar="NOTEBOOK…|PHASE", help="notebooks, or prepare|replicate|day|review|rollback")
    ],
    params: ParamsFile,
    knob: Knobs = None,
    apply: Annotated[bool, typer.Option("--apply", help="make the changes; without it they are only shown")] = False,
    resume: Annotated[str | None, typer.Option(help="go on with this run")] = None,
    outputs: Outputs = Path("outputs"),
    as_json: AsJson = False,
) -> None:
    """Notebooks, headless, one after the other until a gate closes; evidence is kept whatever happens."""
    result = _execute(what, params, knob, outputs, apply=apply, resume=resume)
    conclude(result, as_json)
    raise typer.Exit(result.exit_code)


@app.command()
def plan(
    what: Annotated[list[str], typer.Argument(metavar="NOTEBOOK…|PHASE")],
    params: ParamsFile,
    knob: Knobs = None,
    outputs: Outputs = Path("outputs"),
    as_json: AsJson = False,
) -> None:
    """Every change that a run would make, as a table; makes none."""
    from cutover.procedures.overview import planned_changes  # noqa: PLC0415

    result = _execute(what, params, knob, outputs, apply=False, plan=True, only_changing=True)
    print_out(planned_changes(result.folder), as_json)
    raise typer.Exit(result.exit_code if result.exit_code in (ExitCode.BROKE, ExitCode.USAGE) else 0)


@app.command()
def status(run: RunName = "last", outputs: Outputs = Path("outputs"), as_json: AsJson = False) -> None:
    """How far a run came, and how each step ended."""
    from cutover.engine.outcome import steps_of  # noqa: PLC0415
    from cutover.step import RunFolder  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    about, verdict = folder.read("run.json"), folder.read("verdict.json")
    steps = steps_of(folder)
    word = verdict.get("verdict") or _unfinished(about)
    if as_json:
        print_out({"run": folder.name, "verdict": word, "steps": steps, "headline": verdict.get("headline", "")}, True)
        return
    say(f"{folder.name}: {word}")
    if verdict.get("headline"):
        say(verdict["headline"])
    print_out([{k: s.get(k, "") for k in ("name", "state", "verdict", "seconds")} for s in steps], False)


@app.command()
def approve(
    run: RunName,
    step: Annotated[str, typer.Argument(help="the notebook whose changes are approved")],
    note: Annotated[str, typer.Option(help="why, for the record")] = "",
    outputs: Outputs = Path("outputs"),
) -> None:
    """Approve the planned changes of one step, as the AWS caller that you are; bound to the plans' hashes."""
    from cutover.step import RunFolder  # noqa: PLC0415
    from cutover.step import approve as approve_step  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    for given in approve_step(folder.path, step, _caller(folder), note=note, outputs=outputs):
        say(f"Approved by {given.approver}: plan {given.plan_hash[:12]}")
    say(f"Go on with: cutover run … --resume {folder.name}")


def _unfinished(about: dict[str, Any]) -> str:
    """What is to be said of a run without a verdict: it goes on, or whoever ran it is gone."""
    import platform  # noqa: PLC0415

    import psutil  # noqa: PLC0415

    if about.get("host") != platform.node():
        return "no verdict yet, as far as this machine can tell"
    alive = psutil.pid_exists(int(about.get("pid") or 0))
    return "no verdict yet: it is running" if alive else "no verdict: it was killed before its end; --resume goes on"


def _execute(
    what: list[str],
    params: Path,
    knobs: list[str] | None,
    outputs: Path,
    *,
    only_changing: bool = False,
    **options: Any,
) -> Any:
    from cutover.engine import execute  # noqa: PLC0415
    from cutover.params import load_params  # noqa: PLC0415
    from cutover.step import find_notebooks  # noqa: PLC0415
    from cutover.step.phases import notebooks_of  # noqa: PLC0415

    folder = find_notebooks()
    transfer = load_params(params).migration.transfer
    named = [name for word in what for name in notebooks_of(word, transfer)]
    notebooks = [path if (path := Path(name)).suffix else _notebook(folder, name) for name in named]
    if only_changing:  # a plan looks at what would be changed; it sends no load and walks no flows
        notebooks = [path for path in notebooks if not path.exists() or "apply: bool" in path.read_text()] or notebooks[
            :1
        ]
    phase = what[0] if len(what) == 1 else "selection"
    given = dict(pair.split("=", 1) for pair in knobs or [])
    return execute(
        notebooks, params, knobs=given, outputs=outputs, phase=phase, finish=_hand_over, on_event=_event, **options
    )


def _hand_over(run_folder: Path) -> Path:
    """Draw the report; imported here, when the kernels are at work already."""
    from cutover.report import hand_over  # noqa: PLC0415

    return hand_over(run_folder)


def _notebook(folder: Path, name: str) -> Path:
    """`13`, `13_data_integrity` or a path."""
    if "/" in name:
        return Path(name)
    found = sorted(folder.glob(f"{name}*.ipynb"))
    if len(found) == 1:
        return found[0]
    return folder / f"{name}.ipynb"


def _event(event: Any) -> None:
    from cutover.engine.execute import describe  # noqa: PLC0415

    if line := describe(event):
        say(line)


def _caller(folder: Any) -> str:
    """Who approves: the STS caller; in a pipeline (CI is set) what it says in CUTOVER_APPROVER, not for production."""
    named = os.environ.get("CUTOVER_APPROVER")
    if named and os.environ.get("CI"):
        return named
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        return str(aws_session.client("sts", region="us-east-1").get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"STS does not say who you are: {error}.", todo="sign in to AWS, then approve") from error
