"""The command `cutover`: thin, every command one call into the house."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from cutover.errors import CutoverError, ExitCode, UsageError

app = typer.Typer(
    name="cutover",
    help="Runbooks that move ShadowTwin to AWS, prove that everything arrived, and say how to go back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
params_app = typer.Typer(help="Parameter files: check, schema, show.", no_args_is_help=True)
app.add_typer(params_app, name="params")

ParamsFile = Annotated[Path, typer.Option("--params", "-f", help="the environment's parameter file")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Outputs = Annotated[Path, typer.Option("--outputs", envvar="CUTOVER_OUTPUTS", help="where runs are kept")]
RunName = Annotated[str, typer.Argument(help="a run's folder or name; `last` for the newest")]
Knobs = Annotated[list[str] | None, typer.Option("-p", metavar="KEY VALUE", help="a notebook's knob")]


@app.command()
def rehearse(
    scenario: Annotated[str, typer.Option(help="which story; --list names them")] = "clean",
    fast: Annotated[bool, typer.Option("--fast", help="fewer rows and shorter looks")] = False,
    expect: Annotated[str | None, typer.Option(help="exit 0 when the verdict is this one, 3 when not")] = None,
    rows: Annotated[int | None, typer.Option(min=1000, help="rows in ShadowTwin's database (300,000)")] = None,
    listing: Annotated[bool, typer.Option("--list", help="name the scenarios")] = False,
    outputs: Outputs = Path("outputs"),
    as_json: AsJson = False,
) -> None:
    """The whole migration on the embedded stage: no AWS account, nothing but this machine."""
    from cutover.finding import Verdict  # noqa: PLC0415
    from cutover.rehearsal.rehearse import rehearse as run_rehearsal  # noqa: PLC0415
    from cutover.rehearsal.scenarios import SCENARIOS  # noqa: PLC0415

    if expect is not None and expect.upper() not in Verdict.__members__:
        raise UsageError(f"There is no verdict {expect!r}.", todo=f"one of {', '.join(Verdict.__members__)}")
    if listing:
        _print([{"scenario": s.name, "ends": str(s.ends), "story": s.title} for s in SCENARIOS.values()], as_json)
        return
    result = run_rehearsal(scenario, fast=fast, rows=rows, outputs=outputs, say=_say)
    _conclude(result, as_json)
    if expect is not None:
        judged = (ExitCode.GO, ExitCode.CLOSED, ExitCode.INCONCLUSIVE)
        if str(result.verdict) == expect.upper() and result.exit_code in judged:
            _say(f"The verdict is {result.verdict}, as expected.")
            raise typer.Exit(0)
        _say(f"Expected {expect.upper()}, but it ended as {result.verdict} with exit code {int(result.exit_code)}.")
        raise typer.Exit(result.exit_code or ExitCode.CLOSED)
    raise typer.Exit(result.exit_code)


@app.command()
def run(
    what: Annotated[
        list[str], typer.Argument(metavar="NOTEBOOK…|PHASE", help="notebooks, or prepare|day|review|rollback")
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
    _conclude(result, as_json)
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
    from cutover.runbook import planned_changes  # noqa: PLC0415

    result = _execute(what, params, knob, outputs, apply=False, plan=True, only_changing=True)
    _print(planned_changes(result.folder), as_json)
    raise typer.Exit(result.exit_code if result.exit_code in (ExitCode.BROKE, ExitCode.USAGE) else 0)


@app.command()
def status(run: RunName = "last", outputs: Outputs = Path("outputs"), as_json: AsJson = False) -> None:
    """How far a run came, and how each step ended."""
    from cutover.runbook import RunFolder  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    about, verdict = folder.read("run.json"), folder.read("verdict.json")
    steps = verdict.get("steps") or folder.steps()
    word = verdict.get("verdict") or _unfinished(about)
    if as_json:
        _print({"run": folder.name, "verdict": word, "steps": steps, "headline": verdict.get("headline", "")}, True)
        return
    _say(f"{folder.name}: {word}")
    if verdict.get("headline"):
        _say(verdict["headline"])
    _print([{k: s.get(k, "") for k in ("name", "state", "verdict", "seconds")} for s in steps], False)


@app.command()
def approve(
    run: RunName,
    step: Annotated[str, typer.Argument(help="the notebook whose changes are approved")],
    note: Annotated[str, typer.Option(help="why, for the record")] = "",
    outputs: Outputs = Path("outputs"),
) -> None:
    """Approve the planned changes of one step, as the AWS caller that you are; bound to the plans' hashes."""
    from cutover.runbook import RunFolder  # noqa: PLC0415
    from cutover.runbook import approve as approve_step  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    for given in approve_step(folder.path, step, _caller(folder), note=note, outputs=outputs):
        _say(f"Approved by {given.approver}: plan {given.plan_hash[:12]}")
    _say(f"Go on with: cutover run … --resume {folder.name}")


@app.command()
def report(run: RunName = "last", outputs: Outputs = Path("outputs")) -> None:
    """Draw a run's report and JUnit again."""
    from cutover.report import write, write_index, write_junit  # noqa: PLC0415
    from cutover.runbook import RunFolder  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    sealed = folder.read("manifest.json")
    if sealed and (wrong := folder.verify()):
        raise UsageError(
            f"{folder.name} is not as it was sealed: {wrong[0]}",
            todo="cutover verify names everything; nothing was drawn",
        )
    write_junit(folder.path)
    _say(f"Report: {write(folder.path)}")
    if sealed:
        folder.seal()
    write_index(outputs)


@app.command()
def verify(run: RunName = "last", outputs: Outputs = Path("outputs"), as_json: AsJson = False) -> None:
    """Check a run against its manifest, and the ledger: every byte, no network."""
    from cutover.report import check_ledger  # noqa: PLC0415
    from cutover.runbook import RunFolder  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    ledger = check_ledger(outputs) if (outputs / "ledger.jsonl").exists() else []
    wrong = [*folder.verify(), *ledger]
    if as_json:
        _print({"run": folder.name, "wrong": wrong}, True)
    else:
        for line in wrong:
            _say(line)
        _say(f"{folder.name}: " + (f"{len(wrong)} things are wrong." if wrong else "every file is as it was sealed."))
    raise typer.Exit(ExitCode.CLOSED if wrong else ExitCode.GO)


@app.command()
def compare(
    source: Annotated[str, typer.Argument(help="a URL without password (PGPASSFILE), or env:NAME, file:/path")],
    target: Annotated[str, typer.Argument(help="likewise")],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="connections to each server")] = 2,
    show: Annotated[int, typer.Option(min=0, help="differing rows named for each table")] = 20,
    evidence: Annotated[Path | None, typer.Option(help="folder for the keys of all differing rows")] = None,
    as_json: AsJson = False,
) -> None:
    """Every object and every row of two PostgreSQL databases, both ways: exit 0 when identical, 3 when not."""
    from cutover import finding, postgres  # noqa: PLC0415
    from cutover.secrets import password_in, resolve  # noqa: PLC0415

    if password_in(source) or password_in(target):
        raise UsageError(
            "A password stands in the command line, where every user of this machine can read it.",
            todo="give env:NAME or file:/path, or leave it out and use PGPASSFILE",
        )

    result = postgres.compare(resolve(source), resolve(target), jobs=jobs, show=show, evidence=evidence)
    verdict = finding.verdict(result.findings)
    if as_json:
        _print({"verdict": verdict, "findings": [f.to_dict() for f in result.findings]}, True)
    else:
        shown = finding.deciding(result.findings) or result.findings
        _print([{"id": f.id, "status": str(f.status), "observed": f.observed} for f in shown], False)
        _say(f"{verdict}: {result.rows_compared:,} rows in {len(result.tables)} tables, {result.seconds:.1f} s.")
    raise typer.Exit(_code(verdict))


@app.command()
def judge(
    log: Annotated[Path, typer.Argument(help="a load log: a file, or the folder of all workers")],
    params: ParamsFile,
    as_json: AsJson = False,
) -> None:
    """The rollback triggers over a stored load log: the same verdict, offline."""
    from cutover import judgement, load  # noqa: PLC0415
    from cutover.runbook import load_params  # noqa: PLC0415

    migration = load_params(params).migration
    judged = judgement.judge_load(load.read_log(log), migration.triggers, warm_up=migration.load.warm_up)
    if as_json:
        _print({"verdict": judged.verdict, "findings": [f.to_dict() for f in judged.findings]}, True)
    else:
        _print([{"id": f.id, "status": str(f.status), "observed": f.observed} for f in judged.findings], False)
        _say(str(judged.verdict))
    raise typer.Exit(_code(judged.verdict))


@app.command()
def stage(
    rows: Annotated[int, typer.Option(min=1000)] = 300_000,
    params: ParamsFile = Path("params/rehearsal.yml"),
) -> None:
    """Start the rehearsal stage and keep it until Ctrl-C, for notebooks in Lab and plain papermill."""
    from cutover.rehearsal.rehearse import keep_stage  # noqa: PLC0415

    keep_stage(params, rows=rows, say=_say)


@app.command()
def lab(
    jupyter: Annotated[Path, typer.Option(help="the jupyter program (`make lab` gives its own)")] = Path("jupyter"),
    rows: Annotated[int, typer.Option(min=1000)] = 300_000,
    params: ParamsFile = Path("params/rehearsal.yml"),
    port: Annotated[int, typer.Option(help="of JupyterLab")] = 8888,
    browser: Annotated[bool, typer.Option(help="open a browser")] = True,
) -> None:
    """JupyterLab beside a running rehearsal stage; both end together."""
    from cutover.rehearsal.rehearse import open_lab  # noqa: PLC0415

    raise typer.Exit(open_lab(jupyter, params, rows=rows, port=port, browser=browser, say=_say))


@params_app.command("check")
def params_check(file: Path) -> None:
    """Refuse or accept a parameter file, every mistake with its line."""
    from cutover.runbook import load_params  # noqa: PLC0415

    migration = load_params(file).migration
    _say(f"{file} is valid: {migration.name}, {migration.environment}, account {migration.account_id}.")


@params_app.command("schema")
def params_schema() -> None:
    """JSON Schema of a parameter file, for editors."""
    from cutover.runbook import schema  # noqa: PLC0415

    _print(schema(), True)


@params_app.command("show")
def params_show(file: Path, as_json: AsJson = False) -> None:
    """Every parameter with its value (redacted) and where it came from."""
    from cutover.runbook import load_params, show  # noqa: PLC0415

    rows = show(load_params(file))
    _print([{"key": r.key, "value": r.value, "from": r.source} for r in rows], as_json)


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
    from cutover.runbook import PHASES, execute, find_notebooks  # noqa: PLC0415

    folder = find_notebooks()
    named = [name for word in what for name in PHASES.get(word, (word,))]
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
    from cutover.runbook.execute import describe  # noqa: PLC0415

    if line := describe(event):
        _say(line)


def _caller(folder: Any) -> str:
    """Who approves: the STS caller; in a pipeline (CI is set) what it says in CUTOVER_APPROVER, not for production."""
    named = os.environ.get("CUTOVER_APPROVER")
    if named and os.environ.get("CI"):
        return named
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        return str(boto3.client("sts", region_name="us-east-1").get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"STS does not say who you are: {error}.", todo="sign in to AWS, then approve") from error


def _conclude(result: Any, as_json: bool) -> None:
    """Say how it ended, whatever can or cannot be written any more."""
    from cutover.report import append_ledger  # noqa: PLC0415

    try:
        append_ledger(result.folder.parent, result.folder)
    except OSError as error:
        _say(f"The ledger could not be written: {error.strerror or error}.")
    if as_json:
        steps = [step.to_dict() for step in result.steps]
        told = {"verdict": str(result.verdict), "exit_code": int(result.exit_code), "headline": result.headline}
        _print({"run": str(result.folder), **told, "next": list(result.next), "steps": steps}, True)
        return
    _say("")
    _say(result.headline or str(result.verdict))
    for line in result.next:
        _say(f"  next: {line}")
    if (result.folder / "report.html").exists():
        _say(f"Report: {result.folder / 'report.html'}")


def _code(verdict: Any) -> ExitCode:
    if verdict.opens:
        return ExitCode.GO
    return ExitCode.INCONCLUSIVE if verdict == "INCONCLUSIVE" else ExitCode.CLOSED


def _say(line: str) -> None:
    from cutover.secrets import redact  # noqa: PLC0415

    sys.stderr.write(redact(line) + "\n")  # one write: lines of several threads stay whole
    sys.stderr.flush()


def _print(value: Any, as_json: bool) -> None:
    from cutover.secrets import redact  # noqa: PLC0415

    if as_json:
        print(redact(json.dumps(value, indent=2, default=str, ensure_ascii=False)))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    rows = value if isinstance(value, list) else [value]
    if not rows:
        print("(nothing)")
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(redact(str(row.get(column, ""))) for column in rows[0]))
    Console(soft_wrap=False).print(table)


def main() -> None:
    """Run the command; every error is one readable message, its exit code the truth."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    from cutover.secrets import redact  # noqa: PLC0415

    redact.register_environment()
    try:
        ended = app(_joined(sys.argv[1:]), standalone_mode=False)
        code = ended if isinstance(ended, int) else 0  # typer returns what `typer.Exit` was raised with
    except CutoverError as error:
        if debug:
            traceback.print_exc()
        _say(f"{'' if isinstance(error, UsageError) else type(error).__name__ + ': '}{error}")
        code = int(error.exit_code)
    except KeyboardInterrupt:
        _say("Interrupted.")
        code = ExitCode.INTERRUPTED
    except typer.Abort:
        _say("Interrupted.")
        code = ExitCode.INTERRUPTED
    except OSError as error:
        if debug:
            traceback.print_exc()
        _say(f"{error.strerror or error}: {error.filename or 'no file named'}")
        _say("What to do: make room or give a folder that may be written, then run again.")
        code = ExitCode.BROKE
    except Exception as error:
        if debug:
            traceback.print_exc()
        elif hasattr(error, "exit_code") and hasattr(error, "show"):
            error.show()
            raise SystemExit(ExitCode.USAGE) from None
        _say(f"Something broke: {type(error).__name__}: {error}")
        _say("What to do: run it again with --debug and show the lines to whoever keeps Cutover.")
        code = ExitCode.BROKE
    sys.stdout.flush()
    raise SystemExit(int(code))


def _joined(words: list[str]) -> list[str]:
    """`-p KEY VALUE`, as papermill has it, made one word for the parser, which takes options of one value only.

    Raises:
        UsageError: a key without a value.
    """
    joined, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        joined.append(word)
        if word == "-p":
            if len(rest) < 2:
                raise UsageError("-p needs a key and a value.", todo="for instance: -p jobs 4")
            if rest[1].startswith("--"):
                raise UsageError(f"-p {rest[0]} has no value.", todo="a key and a value, for instance: -p jobs 4")
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stderr.write("Terminated: stopping what was started …\n")
    raise SystemExit(128 + number)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
