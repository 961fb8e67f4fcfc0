"""The requirements of the architecture: a list of them, and a stored look judged again, offline."""

from __future__ import annotations

from pathlib import Path

import typer

from cutover.cli.output import code_of, print_out, say
from cutover.cli.root import AsJson, Outputs, RunName, app
from cutover.errors import ExitCode, UsageError
from cutover.finding import Finding


@app.command()
def recheck(run: RunName = "last", outputs: Outputs = Path("outputs"), as_json: AsJson = False) -> None:
    """Judge a run's requirements again from its stored responses, at the time of the run: no network, no AWS."""
    from cutover.aws.checks import check_again  # noqa: PLC0415
    from cutover.aws.requirements import looks  # noqa: PLC0415
    from cutover.finding import verdict  # noqa: PLC0415
    from cutover.judgement import apply_waivers  # noqa: PLC0415
    from cutover.params import from_dict  # noqa: PLC0415
    from cutover.step import RunFolder  # noqa: PLC0415

    folder = RunFolder.find(run, outputs)
    wrong = folder.verify() if folder.read("manifest.json") else []
    if wrong:
        raise UsageError(
            f"{folder.name} is not as it was sealed: {wrong[0]}",
            why="what is judged again must be what was seen.",
            todo="cutover verify names everything; nothing was judged",
        )
    kept = looks(folder.path / "raw" / "aws")
    if not kept:
        raise UsageError(
            f"{folder.name} holds no look at the requirements.", todo="cutover run 02_provisioning_checks makes one"
        )
    migration = from_dict(folder.read("run.json").get("params") or {}, f"run.json of {folder.name}").migration
    rows: list[dict[str, object]] = []
    differing: list[str] = []
    found: list[Finding] = []
    for look in kept:
        stack = look.stack(migration)
        again = check_again(look, stack)
        emulator = stack.ask("sts", "get_caller_identity").emulator
        found += apply_waivers(again, migration, now=look.at, emulator=emulator)
        one, other = [_judged(f) for f in look.findings], [_judged(f) for f in again]
        different = [str(f["id"]) for f, g in zip(one, other, strict=False) if f != g]
        differing += different if len(one) == len(other) else ["another number of requirements"]
        rows.append(
            {
                "at": f"{look.at:%Y-%m-%d %H:%M:%S} UTC",
                "phase": str(look.phase),
                "requirements": len(again),
                "calls": len(look.responses),
                "again": f"different: {', '.join(different)}" if different else "identical",
            }
        )
    word = verdict(found)
    if as_json:
        findings = [f.to_dict() for f in found]
        print_out(
            {"run": folder.name, "verdict": str(word), "looks": rows, "differing": differing, "findings": findings},
            True,
        )
    else:
        print_out(rows, False)
        say(f"{folder.name}: " + (f"{len(differing)} findings differ." if differing else "every finding is as it was."))
        say(str(word))
    raise typer.Exit(ExitCode.BROKE if differing else code_of(word))


def _judged(finding: Finding) -> dict[str, object]:
    """What was found of what; another version may word it otherwise."""
    return {"id": finding.id, "status": finding.status, "severity": finding.severity, "subject": finding.subject}


@app.command()
def requirements(as_json: AsJson = False) -> None:
    """List every requirement of the architecture."""
    from cutover.aws.requirements import REGISTRY  # noqa: PLC0415
    from cutover.aws.requirements.check import in_order  # noqa: PLC0415

    rows = [
        {"id": r.id, "severity": str(r.severity), "due": str(r.due), "guide": r.guide or "", "requirement": r.title}
        for r in in_order(REGISTRY.values())
    ]
    print_out(rows, as_json)
