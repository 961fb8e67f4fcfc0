"""The dress rehearsal and its stage: `rehearse`, `stage`, `lab`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cutover.cli.output import conclude, print_out, say
from cutover.cli.root import AsJson, Outputs, ParamsFile, app
from cutover.errors import ExitCode, UsageError


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
        print_out([{"scenario": s.name, "ends": str(s.ends), "story": s.title} for s in SCENARIOS.values()], as_json)
        return
    result = run_rehearsal(scenario, fast=fast, rows=rows, outputs=outputs, say=say)
    conclude(result, as_json)
    if expect is not None:
        judged = (ExitCode.GO, ExitCode.CLOSED, ExitCode.INCONCLUSIVE)
        if str(result.verdict) == expect.upper() and result.exit_code in judged:
            say(f"The verdict is {result.verdict}, as expected.")
            raise typer.Exit(0)
        say(f"Expected {expect.upper()}, but it ended as {result.verdict} with exit code {int(result.exit_code)}.")
        raise typer.Exit(result.exit_code or ExitCode.CLOSED)
    raise typer.Exit(result.exit_code)


@app.command()
def stage(
    rows: Annotated[int, typer.Option(min=1000)] = 300_000,
    params: ParamsFile = Path("params/rehearsal.yml"),
) -> None:
    """Start the rehearsal stage and keep it until Ctrl-C, for notebooks in Lab and plain papermill."""
    from cutover.rehearsal.rehearse import keep_stage  # noqa: PLC0415

    keep_stage(params, rows=rows, say=say)


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

    raise typer.Exit(open_lab(jupyter, params, rows=rows, port=port, browser=browser, say=say))
