"""What is to be fixed, as a script: `remedy`."""

from __future__ import annotations

from pathlib import Path

import typer

from cutover.cli.output import print_out, say
from cutover.cli.root import AsJson, Outputs, RunName, app
from cutover.errors import ExitCode


@app.command()
def remedy(
    run: RunName = "last",
    outputs: Outputs = Path("outputs"),
    as_json: AsJson = False,
) -> None:
    """The ordered script that fixes what a run found FAIL or MISSING: `cutover remedy RUN > fix.sh`. Never run here."""
    from cutover.procedures.remedy import remedy_of  # noqa: PLC0415

    found = remedy_of(run, outputs)
    if as_json:
        asks = [{"name": i.name, "what": i.what} for i in found.asks]
        print_out(
            {"fixes": found.fixes, "if_given": found.if_given, "by_hand": found.by_hand, "asks": asks}, True
        )  # fmt: skip
        raise typer.Exit(ExitCode.GO)
    print(found.text, end="")
    total = len(found.fixes) + len(found.if_given) + len(found.by_hand)
    if not total:
        say("Nothing that this run looked at is FAIL or MISSING: the script fixes nothing. 02 looks at everything.")
        raise typer.Exit(ExitCode.GO)
    say(f"Fixes {len(found.fixes)} of {total}" + (f", {len(found.if_given)} more if given" if found.if_given else ""))
    say("Read it before you run it: bash fix.sh. Cutover runs nothing of it.")
