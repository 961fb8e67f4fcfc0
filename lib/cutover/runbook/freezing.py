"""The write freeze across application, queues and database: how it is made, and how it is proven to hold."""

from __future__ import annotations

import time
from dataclasses import replace

from cutover import app, objects, postgres
from cutover.action import Action
from cutover.finding import Finding, Severity, Status
from cutover.runbook.step import Step

POSITION_KEY = "write-position"
_RECONNECT_S = 15.0
"""The freeze ended the application's sessions: its pool needs a moment before its health check speaks for it again."""
_LOOK_S = 2.0
"""Seconds between the two looks of the proof."""


def maintenance(step: Step, *, enabled: bool) -> Action | None:
    """The source application's maintenance switch, or None where a person switches it."""
    source, migration = step.migration.source, step.migration
    if source.maintenance is None or migration.admin_user is None:
        return None
    admin = step.resolve(migration.admin_user)
    return app.MaintenanceMode(step.resolve(source.app_url), source.maintenance, admin, enabled)


def check_frozen(step: Step) -> list[Finding]:
    """A visitor is refused, and for two seconds no table changes; where the source stands is remembered."""
    migration = step.migration
    source = step.resolve(migration.source.database_url)
    login = step.resolve(migration.test_user)
    url = step.resolve(migration.source.app_url)
    _wait_until_well(url)
    findings = app.check_maintenance(url, login)
    before = postgres.write_position(source)
    time.sleep(_LOOK_S)
    now = postgres.write_position(source, since=before)
    step.remember(POSITION_KEY, now.to_dict())
    step.attach("raw/postgres/write-position.json", now.to_dict())
    return [*findings, *postgres.check_no_writes(before, now)]


def _wait_until_well(url: str) -> None:
    """Wait, bounded, for a healthy answer; whether there is one is for the check that follows to say."""
    ends = time.monotonic() + _RECONNECT_S
    while time.monotonic() < ends and not app.probe_health(url).ok:
        time.sleep(0.5)


def check_still_frozen(step: Step) -> list[Finding]:
    """Whether the source stands where the freeze left it; a write since then is named by its table."""
    remembered = step.recall(POSITION_KEY)
    if remembered is None:
        return [
            Finding(
                "FRZ-00",
                "Nothing was written to the source since the freeze",
                Status.UNKNOWN,
                Severity.BLOCKER,
                "source database",
                "a write position from 11_write_freeze",
                "none is remembered for this migration",
                "without it, nobody knows whether the copy is complete",
                "run 11_write_freeze with apply, then this step again",
            )
        ]
    before = postgres.WritePosition.from_dict(remembered)
    source = step.resolve(step.migration.source.database_url)
    return postgres.check_no_writes(before, postgres.write_position(source, since=before))


def compare_reports(step: Step) -> list[Finding]:
    """The PDF reports on both sides, by content."""
    where = report_locations(step)
    here = objects.inventory(str(where["source"]), endpoint=where["endpoint"], region=where["region"])
    there = objects.inventory(str(where["target"]), endpoint=where["endpoint"], region=where["region"])
    findings = objects.compare(here, there)
    if step.migration.transfer != "replicate" or step.recall("replication-proven") is None:
        return findings
    why = "users are at the new home already, and order reports there"
    return [replace(f, status=Status.NOT_APPLICABLE, why=why, remedy="") if f.id == "OBJ-03" else f for f in findings]


def report_locations(step: Step) -> dict[str, str | None]:
    """Source and target of the PDF reports, and how S3 is reached: arguments for `objects`."""
    migration = step.migration
    return {
        "source": step.resolve(migration.source.reports),
        "target": step.resolve(migration.target.reports),
        "endpoint": migration.endpoint,
        "region": migration.region,
    }
