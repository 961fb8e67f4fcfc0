"""Where a load test may go: never to the source, never to the day's database unless the parameters say so."""

from __future__ import annotations

from cutover.errors import UsageError
from cutover.postgres import describe
from cutover.runbook.step import Step


def load_target(step: Step) -> str:
    """The URL that may be loaded.

    Raises:
        UsageError: the parameters would send load where it must not go.
    """
    migration = step.migration
    source = step.resolve(migration.source.app_url)
    if migration.load.against == "target":
        if not migration.load.target_is_disposable:
            raise UsageError(
                "load.against: target would write the load's rows into the day's database.",
                why="those rows would be taken for ShadowTwin's own, or be lost with a roll-back.",
                todo="use against: staging; for a target that holds nothing of worth, add target_is_disposable: true.",
            )
        url = step.resolve(migration.target.app_url or f"https://{migration.hostname}")
    elif migration.staging is None:
        raise UsageError("load.against: staging, but the parameters have no `staging`.", todo="add staging.app_url.")
    else:
        url = step.resolve(migration.staging.app_url)
        day = [step.resolve(r) for r in (migration.source.database_url, migration.target.database_url)]
        if describe(step.resolve(migration.staging.database_url)) in {describe(d) for d in day}:
            raise UsageError(
                "staging.database_url is the source's or the day's database.",
                why="the load writes; its rows would stand among ShadowTwin's own.",
                todo="give staging a database of its own.",
            )
    if url.rstrip("/") == source.rstrip("/"):
        raise UsageError(f"The load would go to the source, {source}.", todo="correct staging.app_url.")
    return url
