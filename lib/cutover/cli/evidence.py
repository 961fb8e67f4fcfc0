"""A run's evidence, looked at again without the world it came from: `report`, `verify`, `judge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cutover.cli.output import code_of, print_out, say
from cutover.cli.root import AsJson, Outputs, ParamsFile, RunName, app
from cutover.errors import ExitCode, UsageError


@app.command()
def report(run: RunName = "last", outputs: Outputs = Path("outputs")) -> None:
    """Draw a run's report and JUnit again."""
    from cutover.report import write, write_index, write_junit  # noqa: PLC0415
    from cutover.step import RunFolder  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    sealed = folder.read("manifest.json")
    if sealed and (wrong := folder.verify()):
        raise UsageError(
            f"{folder.name} is not as it was sealed: {wrong[0]}",
            todo="cutover verify names everything; nothing was drawn",
        )
    write_junit(folder.path)
    say(f"Report: {write(folder.path)}")
    if sealed:
        folder.seal()
    write_index(outputs)


@app.command()
def verify(run: RunName = "last", outputs: Outputs = Path("outputs"), as_json: AsJson = False) -> None:
    """Check a run against its manifest, and the ledger: every byte, no network."""
    from cutover.report import check_ledger  # noqa: PLC0415
    from cutover.step import RunFolder  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    ledger = check_ledger(outputs) if (outputs / "ledger.jsonl").exists() else []
    wrong = [*folder.verify(), *ledger]
    if as_json:
        print_out({"run": folder.name, "wrong": wrong}, True)
    else:
        for line in wrong:
            say(line)
        say(f"{folder.name}: " + (f"{len(wrong)} things are wrong." if wrong else "every file is as it was sealed."))
    raise typer.Exit(ExitCode.CLOSED if wrong else ExitCode.GO)


@app.command()
def judge(
    log: Annotated[Path, typer.Argument(help="a load log: a file, or the folder of all workers")],
    params: ParamsFile,
    compare_to: Annotated[Path | None, typer.Option(help="an earlier log that this one must not be worse than")] = None,
    as_json: AsJson = False,
) -> None:
    """The rollback triggers over a stored load log: the same verdict, offline; thresholds may be tried anew."""
    from cutover import judgement, load  # noqa: PLC0415
    from cutover.migration import CompareTo  # noqa: PLC0415
    from cutover.params import load_params  # noqa: PLC0415

    migration = load_params(params).migration
    frame, warm_up = load.read_log(log), migration.load.warm_up
    judged = judgement.judge_load(frame, migration.triggers, warm_up=warm_up)
    if compare_to is not None:
        rule = migration.triggers.compare_to or CompareTo(run=compare_to.name)
        beside = judgement.judge_baseline(frame, load.read_log(compare_to), rule, warm_up=warm_up)
        judged = judgement.Judgement.over([*judged.findings, *beside], judged.windows)
    if as_json:
        print_out({"verdict": judged.verdict, "findings": [f.to_dict() for f in judged.findings]}, True)
    else:
        print_out([{"id": f.id, "status": str(f.status), "observed": f.observed} for f in judged.findings], False)
        say(str(judged.verdict))
    raise typer.Exit(code_of(judged.verdict))
