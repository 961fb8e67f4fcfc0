"""`cutover compare`: integrity between any two PostgreSQL databases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cutover.cli.root import AsJson, app
from cutover.cli.words import code_of, print_out, say
from cutover.errors import UsageError


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
        print_out({"verdict": verdict, "findings": [f.to_dict() for f in result.findings]}, True)
    else:
        shown = finding.deciding(result.findings) or result.findings
        print_out([{"id": f.id, "status": str(f.status), "observed": f.observed} for f in shown], False)
        say(f"{verdict}: {result.rows_compared:,} rows in {len(result.tables)} tables, {result.seconds:.1f} s.")
    raise typer.Exit(code_of(verdict))
