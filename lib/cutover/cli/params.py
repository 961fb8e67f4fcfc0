"""Parameter files: `params check`, `params schema`, `params show`."""

from __future__ import annotations

from pathlib import Path

import typer

from cutover.cli.output import print_out, say
from cutover.cli.root import AsJson, app

params_app = typer.Typer(help="Parameter files: check, schema, show.", no_args_is_help=True)
app.add_typer(params_app, name="params")


@params_app.command("check")
def params_check(file: Path) -> None:
    """Refuse or accept a parameter file, every mistake with its line."""
    from cutover.params import load_params  # noqa: PLC0415

    loaded = load_params(file)
    for notice in loaded.notices:
        say(notice)
    migration = loaded.migration
    if migration.requirements:
        from cutover.aws.requirements import packages  # noqa: PLC0415

        for package in packages(migration.requirements):
            say(
                f"{package.name} {package.version}: {len(package.rules)} requirements, {', '.join(package.prefixes)}-…."
            )
    say(f"{file} is valid: {migration.name}, {migration.environment}, account {migration.account_id}.")


@params_app.command("schema")
def params_schema() -> None:
    """JSON Schema of a parameter file, for editors."""
    from cutover.params import schema  # noqa: PLC0415

    print_out(schema(), True)


@params_app.command("show")
def params_show(file: Path, as_json: AsJson = False) -> None:
    """Every parameter with its value (redacted) and where it came from."""
    from cutover.params import load_params  # noqa: PLC0415
    from cutover.params import show as origins  # noqa: PLC0415

    rows = origins(load_params(file))
    print_out([{"key": r.key, "value": r.value, "from": r.source} for r in rows], as_json)
