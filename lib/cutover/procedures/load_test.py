"""Where a load test may go: never to the source, nor to the production target unless the parameters say so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from cutover.action import Change
from cutover.errors import UsageError
from cutover.finding import Finding
from cutover.judgement import Judgement, judge_baseline
from cutover.load import read_log, summary, worker
from cutover.postgres import same_database
from cutover.procedures.cost import remember_load
from cutover.procedures.pictures import load_course, percentiles_of
from cutover.report import load_pictures
from cutover.step import RunFolder, Step
from cutover.urls import shown

_PORTS = {"http": 80, "https": 443}
_WORKERS_OUTLIVE = timedelta(minutes=20)
"""Load workers may wait for the others for ten minutes, and finish what is under way."""
_NOWHERE = re.compile(r"^(0\.0\.0\.0|\[::\]|\*|localhost|127\.[0-9.]+|\[::1\]):")
"""Addresses at which a master can listen and that mean another machine elsewhere."""


def load_target(step: Step) -> str:
    """The URL that may be loaded.

    Raises:
        UsageError: the parameters would send load where it must not go.
    """
    migration = step.migration
    if migration.load.against == "target":
        if not migration.load.target_is_disposable:
            raise UsageError(
                "load.against: target would write the load's rows into the production target database.",
                why="those rows would be taken for ShadowTwin's own, or be lost with a roll-back.",
                todo="use against: staging; for a target that holds nothing of worth, add target_is_disposable: true.",
            )
        url = step.resolve(migration.target.app_url or f"https://{migration.hostname}")
    elif migration.staging is None:
        raise UsageError("load.against: staging, but the parameters have no `staging`.", todo="add staging.app_url.")
    else:
        url = step.resolve(migration.staging.app_url)
        staging = step.resolve(migration.staging.database_url)
        day = [step.resolve(r) for r in (migration.source.database_url, migration.target.database_url)]
        if any(same_database(staging, one) for one in day):
            raise UsageError(
                "staging.database_url is the source's or the production target database.",
                why="the load writes; its rows would stand among ShadowTwin's own.",
                todo="give staging a database of its own.",
            )
        public = [f"https://{migration.hostname}", step.resolve(migration.target.app_url or "")]
        if any(_place(url) == _place(one) for one in public if one):
            raise UsageError(
                f"staging.app_url is the public name or the day's target: {shown(url)}.",
                why="the load would hit the platform that users are on, or will be.",
                todo="give staging an address of its own.",
            )
    if _place(url) == _place(step.resolve(migration.source.app_url)):
        raise UsageError(f"The load would go to the source, {shown(url)}.", todo="correct staging.app_url.")
    return url


@contextmanager
def load_workers(step: Step) -> Iterator[Change | None]:
    """The workers that `load.fargate` asks for, as long as the load runs; none when it asks for none.

    Whatever happens inside, none is left afterwards: LDW-03 says so.

    Raises:
        UsageError: they may only be planned, or could not find their way to the master.
    """
    fargate = step.migration.load.fargate
    if fargate is None:
        yield None
        return
    from cutover import aws  # noqa: PLC0415 - most load tests need no account

    account = aws.Account(step.migration, raw=step.run.raw("aws"))
    workers = aws.LoadWorkers(account, fargate, step.migration.load.workers, **_of_a_worker(step))
    try:
        change = step.change(workers)
        if not step.apply:
            raise UsageError(
                "load.fargate asks for workers on ECS, and this run may only plan them.",
                why="without workers nobody would send anything.",
                todo="run this notebook with apply (cutover run 05_load_test --apply), or leave load.fargate out.",
            )
        yield change
    finally:
        if step.apply:
            step.record([workers.swept(change) if change else workers.swept()], title="Load workers")


def _of_a_worker(step: Step) -> dict[str, Any]:
    """Command, settings and logins of one worker in a container."""
    load = step.migration.load
    fargate = load.fargate
    assert fargate is not None  # noqa: S101 - the caller looked
    join = fargate.join or load.master or ""
    if _NOWHERE.match(join) and step.migration.environment != "rehearsal":
        raise UsageError(
            f"The load workers on ECS cannot reach their master at {join}.",
            why="there that address is their own container.",
            todo="say load.fargate.join: host:port, this machine's address within the VPC.",
        )
    # The logins that are put here are not used: the tasks read theirs from Secrets Manager.
    command, environment = worker(load, join, login="-:-")
    argv = ["python", *command[1:]]
    argv[argv.index("-f") + 1] = IN_IMAGE
    login = "CUTOVER_LOAD_LOGIN"
    plain = {k: v for k, v in environment.items() if "LOGIN" not in k}
    return {
        "command": argv,
        "environment": plain,
        "secrets": {login: fargate.login or step.migration.test_user},
        "run": f"{step.run.name}/{step.name}",
        "lives": load.duration + _WORKERS_OUTLIVE,
    }


IN_IMAGE = "/cutover/locustfiles/shadowtwin.py"
"""Where the image of locustfiles/Dockerfile has the visitors."""


def staging_database(step: Step) -> str:
    """The database of the trial transfer.

    Raises:
        UsageError: the parameters have none.
    """
    if step.migration.staging is None:
        raise UsageError(
            "The parameters have no `staging`, so there is nowhere for a trial copy.", todo="add staging.database_url."
        )
    return step.resolve(step.migration.staging.database_url)


def keep_load(step: Step, judged: Judgement, requests: pd.DataFrame) -> None:
    """Keep how a load test went: its numbers as evidence, its result in the journal for the sizing of 03.

    Args:
        step: notebook 05.
        judged: the windows, and what fired.
        requests: every request, as `load.read_log` gives them.
    """
    base = f"raw/load/{step.name}"
    step.attach(f"{base}-windows.csv", load_course(step, judged, requests).to_csv(index=False))
    step.attach(base + load_pictures.PERCENTILES, percentiles_of(requests).to_csv(index=False))
    step.attach(base + load_pictures.ENDPOINTS, summary(requests).reset_index().to_csv(index=False))
    remember_load(step, judged)


def compare_load(step: Step, frame: pd.DataFrame) -> list[Finding]:
    """The load beside that of `triggers.compare_to`; nothing when the parameters name no run.

    Raises:
        UsageError: there is no such run.
        LoadError: it holds no load log.
    """
    rule = step.migration.triggers.compare_to
    if rule is None:
        return []
    named = Path(rule.run)
    folder = named if named.is_dir() else RunFolder.find(rule.run, step.run.path.parent).path
    return judge_baseline(frame, read_log(folder / "raw" / "load"), rule, warm_up=step.migration.load.warm_up)


def _place(url: str) -> tuple[str, int | None]:
    """Host and port, as a browser would take them; the scheme makes no other place of it."""
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip(".").lower(), parts.port or _PORTS.get(parts.scheme)
