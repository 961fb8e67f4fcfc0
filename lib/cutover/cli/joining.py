"""More machines under one load: `load-worker`."""

from __future__ import annotations

import os
import re
from typing import Annotated

import typer

from cutover.cli.output import say
from cutover.cli.root import ParamsFile, app
from cutover.errors import LoadError, UsageError


@app.command("load-worker")
def load_worker(
    params: ParamsFile,
    master: Annotated[
        str | None, typer.Option(help="host:port of the master; load.master of the parameters when left out")
    ] = None,
) -> None:
    """Join a load test on another machine: start this first, then notebook 05 there. Ends with its master.

    Arrivals, visitors and logins come from the same parameter file; what is recorded here is sent to the master.
    """
    from cutover.load import worker  # noqa: PLC0415
    from cutover.params import load_params  # noqa: PLC0415

    migration = load_params(params).migration
    where = master or migration.load.master
    if where is None:
        todo = "give --master HOST:PORT, and the same as load.master where the test runs"
        raise UsageError("The parameters name no master to join.", todo=todo)
    if not re.fullmatch(r".+:[0-9]{1,5}", where):
        raise UsageError(f"--master {where!r} is no host:port.", todo="for instance --master 10.0.1.17:5557")
    admin = migration.resolve(migration.admin_user) if migration.admin_user else None
    login = migration.resolve(migration.test_user)
    command, environment = worker(migration.load, where, login=login, admin_login=admin)
    say(f"Waiting for the master at {where}; one of {migration.load.workers} workers.")
    try:
        os.execve(command[0], command, os.environ | environment)  # noqa: S606 - our own interpreter
    except OSError as error:
        raise LoadError(f"Locust could not be started: {error}") from error
