"""The write freeze across application, queues and database: how it is made, and how it is proven to hold."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cutover import app, objects, postgres, queue
from cutover.action import Action
from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.migration import Migration
from cutover.procedures.switchover_findings import PROVEN_KEY
from cutover.progress import Listener
from cutover.step import Context, Journal
from cutover.step.context import attach

POSITION_KEY = "write-position"
_RECONNECT_S = 15.0
"""The freeze ended the application's sessions: its pool needs a moment before its health check speaks for it again."""
_LOOK_S = 2.0
"""Seconds between the two looks of the proof."""


def maintenance(step: Context, *, enabled: bool) -> Action | None:
    """The source application's maintenance switch, or None where a person switches it."""
    source, migration = step.migration.source, step.migration
    if source.maintenance is None or migration.admin_user is None:
        return None
    admin = migration.resolve(migration.admin_user)
    return app.MaintenanceMode(migration.resolve(source.app_url), source.maintenance, admin, enabled)


def check_frozen(step: Context) -> list[Finding]:
    """A visitor is refused, and for two seconds no table changes; where the source stands is remembered."""
    migration = step.migration
    source = migration.resolve(migration.source.database_url)
    login = migration.resolve(migration.test_user)
    url = migration.resolve(migration.source.app_url)
    _wait_until_well(url)
    findings = app.check_maintenance(url, login)
    before = postgres.write_position(source)
    time.sleep(_LOOK_S)
    now = postgres.write_position(source, since=before)
    step.journal.remember(POSITION_KEY, now.to_dict())
    attach(step, "raw/postgres/write-position.json", now.to_dict())
    return [*findings, *postgres.check_no_writes(before, now)]


def _wait_until_well(url: str) -> None:
    """Wait, bounded, for a healthy answer; whether there is one is for the check that follows to say."""
    ends = time.monotonic() + _RECONNECT_S
    while time.monotonic() < ends and not app.probe_health(url).ok:
        time.sleep(0.5)


def check_still_frozen(step: Context, *, jobs: int = 2, progress: Listener | None = None) -> list[Finding]:
    """Whether the source holds anything that the copy does not have; a write since then is named, table and rows.

    Args:
        step: notebook 12 or 13.
        jobs: sessions that read again what moved.
        progress: told of it.
    """
    remembered = [e["value"] for e in step.journal.entries("remember") if e["key"] == POSITION_KEY]
    made = transfer_made(step) if step.migration.transfer == "dump" else {}
    before = _before_the_copy([postgres.WritePosition.from_dict(r) for r in remembered], made)
    if before is None:
        return [_no_position(late=bool(remembered))]
    migration = step.migration
    source, target = (migration.resolve(side.database_url) for side in (migration.source, migration.target))
    evidence = step.run.raw("postgres") / f"{step.name}-since-the-copy"
    return postgres.second_look(
        source, before, fingerprint_of(step), target_url=target, jobs=jobs, evidence=evidence, progress=progress
    )


def _no_position(*, late: bool) -> Finding:
    """FRZ-00, with `late` where 11 has run, but only after the copy had been dumped."""
    again = (
        "empty the target, and run 12_data_migration and 13_data_integrity again" if late else "then this step again"
    )
    return Finding(
        "FRZ-00",
        "Nothing was written to the source since the freeze",
        Status.UNKNOWN,
        Severity.BLOCKER,
        "source database",
        "a write position from 11_write_freeze" + (", from before the copy was dumped" if late else ""),
        "the copy was dumped before all that are remembered" if late else "none is remembered for this migration",
        "without it, nobody knows whether the copy is complete",
        f"run 11_write_freeze with apply, {again}",
    )


def _before_the_copy(
    positions: Sequence[postgres.WritePosition], made: Mapping[str, Any]
) -> postgres.WritePosition | None:
    """The latest position from before the dump that was restored; before any transfer the latest of all.

    A later one would hide what users wrote between the dump and it: 11 may be run again, with or without users let in
    between, and 12 then keeps the copy that is there, or goes on with the dump that an interrupted restore began.
    """
    dumped = made.get("result", {}).get("dump")
    if not dumped:
        return positions[-1] if positions else None
    at, lsn = datetime.fromisoformat(str(dumped["at"])), _log_position(str(dumped["lsn"]))
    known = [p for p in positions if p.at and datetime.fromisoformat(p.at) <= at]
    earlier = [p for p in known if not lsn or _log_position(p.lsn) <= lsn]
    return earlier[-1] if earlier else None


def _log_position(lsn: str) -> int:
    """`0/5A3C1F8` as a number of bytes; 0 where the server did not tell, so that the clock alone decides."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16) if low else 0


def transfer_made(step: Context) -> dict[str, Any]:
    """The latest transfer by dump and restore between this migration's databases, as its change; {} for none."""
    sides = (step.migration.source, step.migration.target)
    subject = " → ".join(postgres.describe(step.migration.resolve(side.database_url)) for side in sides)
    return step.journal.last_change(postgres.Transfer.name, subject) or {}


def fingerprint_of(step: Context) -> postgres.Fingerprint | None:
    """What the source held at the instant of the dump that was restored; None when none is at hand."""
    where = str(transfer_made(step).get("result", {}).get("fingerprint") or "")
    try:
        return postgres.Fingerprint.read(Path(where)) if where else None
    except DatabaseError:
        return None


def check_queues(step: Context) -> list[Finding]:
    """Whether the queues can be read and carried over without harm to what they lie in; nothing of them is read yet."""
    return queue.preflight(*_redis(step.migration))


def queues_change(step: Context) -> Action | None:
    """What carries the queues over, as they stood before the freeze; None where the switch-over does it itself."""
    migration = step.migration
    if migration.transfer == "replicate":
        return None
    source, target = _redis(migration)
    return queue.CarryQueues(source, target, paused_before=paused_before(step.journal))


def paused_before(journal: Journal) -> dict[str, bool] | None:
    """Which queues stood still before the freeze, by name; None where none was begun since the last was undone.

    A queue that any attempt at the freeze found running was paused by us, and is to run again.
    """
    found: list[Mapping[str, bool]] = []
    for entry in journal.entries():
        if entry.get("kind") == "change-begun" and entry["plan"]["action"] == queue.PauseQueues.name:
            found.append(entry["plan"]["before"]["paused"])
        elif entry.get("kind") == "undo" and entry["action"] == queue.PauseQueues.name:
            found.clear()
    return {name: all(one.get(name, True) for one in found) for one in found for name in one} if found else None


def _redis(migration: Migration) -> tuple[str, str]:
    return migration.resolve(migration.source.redis_url), migration.resolve(migration.target.redis_url)


def _begun(journal: Journal, action: str) -> list[dict[str, Any]]:
    return [e for e in journal.entries("change-begun") if e["plan"]["action"] == action]


def compare_queues(step: Context) -> list[Finding]:
    """The queues on both sides, job by job; not due before they were carried over, unless the source holds none."""
    source, target = _redis(step.migration)
    if step.migration.transfer == "replicate":
        why = "the switch-over carried and compared them before it let users in: they order jobs there now"
        return [replace(_not_carried(why), status=Status.NOT_APPLICABLE)]
    if _begun(step.journal, queue.CarryQueues.name) or queue.holds_none(source):
        return queue.compare_queues(source, target)
    return [_not_carried("they have not been carried over yet: run 12_data_migration with apply")]


def _not_carried(why: str) -> Finding:
    title = "Every job of the source's queues is at the target"
    return Finding("QUE-05", title, Status.UNKNOWN, Severity.BLOCKER, "the job queues", why=why, remedy=why)


def compare_reports(step: Context, *, progress: Listener | None = None) -> list[Finding]:
    """The PDF reports on both sides, by content; both inventories are kept as evidence."""
    where = report_locations(step.migration)
    found: dict[str, objects.Inventory] = {}
    for side in ("source", "target"):
        found[side] = objects.inventory(
            str(where[side]),
            endpoint=where["endpoint"],
            region=where["region"],
            progress=progress,
            stage=f"read the {side}'s",
        )
        attach(step, f"raw/objects/{side}.json", found[side].to_dict())
    findings = objects.compare(found["source"], found["target"])
    if step.migration.transfer != "replicate" or step.journal.recall(PROVEN_KEY) is None:
        return findings
    why = "users are on the target already, and order reports there"
    return [replace(f, status=Status.NOT_APPLICABLE, why=why, remedy="") if f.id == "OBJ-03" else f for f in findings]


def report_locations(migration: Migration) -> dict[str, Any]:
    """Source and target of the PDF reports, and how S3 is reached: arguments for `objects`."""
    return {
        "source": migration.resolve(migration.source.reports),
        "target": migration.resolve(migration.target.reports),
        "endpoint": migration.endpoint,
        "region": migration.region,
    }
