"""The command itself and what its groups share: the typer application, and options that mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="cutover",
    help="Runbooks that move ShadowTwin to AWS, prove that everything arrived, and say how to go back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ParamsFile = Annotated[Path, typer.Option("--params", "-f", help="the environment's parameter file")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Outputs = Annotated[Path, typer.Option("--outputs", envvar="CUTOVER_OUTPUTS", help="where runs are kept")]
RunName = Annotated[str, typer.Argument(help="a run's folder or name; `last` for the newest")]
Knobs = Annotated[list[str] | None, typer.Option("-p", metavar="KEY VALUE", help="a notebook's knob")]
