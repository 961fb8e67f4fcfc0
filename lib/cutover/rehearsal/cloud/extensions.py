"""All that is added to moto, set in one go."""

from __future__ import annotations

from pathlib import Path

from cutover.rehearsal.cloud import balancers, cloudwatch, ecs, elasticache, gaps, iam, rds, survey
from cutover.rehearsal.cloud.scheduler import Scheduler
from cutover.rehearsal.cloud.tasks import Runtime

_installed = False


def install(state: Path, runtime: Runtime | None = None) -> Scheduler:
    """Extend moto's classes (once a process) and set what belongs to this emulator: its folder and its runtime."""
    global _installed  # noqa: PLW0603 - moto's classes are global to the process too
    balancers.install(state)
    if not _installed:
        for module in (cloudwatch, elasticache, gaps, iam, rds):
            module.install()
        survey.install(state)
        _installed = True
    return ecs.install(runtime)
