"""The way of the transfer that the parameters name: one dump in the write freeze, or a copy that follows its source."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from cutover import app, aws, objects, postgres
from cutover.action import Action, Change, Plan
from cutover.errors import CutoverError, DatabaseError, UsageError
from cutover.finding import Finding, Severity, Status
from cutover.migration import Migration
from cutover.postgres import replication
from cutover.procedures.freeze import check_queues, fingerprint_of, report_locations, transfer_made
from cutover.procedures.switchover import Limits, SwitchOver
from cutover.procedures.switchover_findings import REFUSAL_KEY, proven_at_fence, refusal_finding
from cutover.procedures.tables import columns_of, tabulate
from cutover.procedures.ttl import check_ttl_lowered
from cutover.procedures.watch import first_accepted_write, logins, target
from cutover.progress import Listener
from cutover.step import Context, Journal
from cutover.step.context import attach, backup_folder
from cutover.step.phases import notebooks_of

_START = replication.StartReplication.name
_WATCH_S = 1.0
_PAUSED = ("REP-tables", "REP-lag")
"""What a paused copy fails by."""
FINGERPRINT = "source.fingerprint.json.gz"
"""Beside the dump: the digests of the source's every row at the dump's own instant."""


def link_of(migration: Migration) -> replication.Link:
    """The replication of this migration: its two ends and its name."""
    reach = migration.source.replication_url
    return replication.Link(
        migration.resolve(migration.source.database_url),
        migration.resolve(migration.target.database_url),
        migration.resolve(reach) if reach else "",
        f"cutover_{migration.name}_{migration.environment}".replace("-", "_")[:50],
        acl=migration.restore.acl,
    )


def replicates(migration: Migration) -> bool:
    """Whether the parameters say `transfer: replicate`."""
    return migration.transfer == "replicate"


def restored_of(migration: Migration) -> postgres.Restored:
    """How the target was made, by either way: what the parameters leave out of it is no difference."""
    if replicates(migration):
        return link_of(migration).restored
    chosen = migration.restore
    return postgres.Restored(owner=chosen.owner, acl=chosen.acl, role=chosen.role)


def require_transfer(step: Context, way: str) -> None:
    """Refuse a notebook that belongs to the other way of the transfer, before it has done anything.

    Args:
        step: the notebook's.
        way: `dump` or `replicate`, for which it is made.

    Raises:
        UsageError: the parameters say the other one.
    """
    said = step.migration.transfer
    if said == way:
        return
    instead = (
        "12_data_migration refuses users' writes itself, for seconds: a freeze before it keeps them out for nothing."
    )
    raise UsageError(
        f"{step.name} is for `transfer: {way}`, and the parameters say `transfer: {said}`.",
        why=instead if said == "replicate" else "there is no copy that follows its source.",
        todo=f"with `transfer: {said}` the day is {', '.join(notebooks_of('day', said))} (cutover run day …)",
    )


def check_way(step: Context, *, stop: bool = False) -> list[Finding]:
    """Whether the way that the parameters name can be gone; for the dump the preflight of notebook 01 is enough.

    Args:
        step: notebook 01 or 08.
        stop: the replication is to be ended, so nothing need be fit for it.

    Returns:
        Tables without a replica identity are NOT_DUE where a change of notebook 08 gives them one before it publishes.
    """
    if stop or not replicates(step.migration):
        return [_not_wanted("REP-00", "The source and the target can replicate", step.migration)]
    findings = replication.check_replication(link_of(step.migration))
    why = "notebook 08 gives them one, as a change of its own, before anything is published"
    return [
        replace(f, status=Status.NOT_DUE, why=why)
        if f.id == "REP-identity" and f.status is Status.FAIL and not f.data.get("by_key")
        else f
        for f in findings
    ]


def follow_change(
    step: Context, *, jobs: int = 2, stop: bool = False, progress: Listener | None = None
) -> Action | None:
    """What begins the replication, or with `stop` ends it; None when the parameters take the other way."""
    link = link_of(step.migration)
    if stop:
        return replication.EndReplication(link)
    if not replicates(step.migration):
        return None
    expected = step.migration.expected_differences
    return replication.StartReplication(link, jobs=jobs, progress=progress, expected=expected)


def identity_change(step: Context) -> Action | None:
    """What gives tables without a key a replica identity; None when the parameters take the other way."""
    return replication.GiveReplicaIdentity(link_of(step.migration).source_url) if replicates(step.migration) else None


def reports_change(step: Context, *, progress: Listener | None = None) -> Action | None:
    """What copies the PDF reports; None for a replicated copy, whose switch-over does it before and in the freeze."""
    if replicates(step.migration):
        return None
    return objects.CopyObjects(**report_locations(step.migration), progress=progress)


def check_followed(
    step: Context, *, stop: bool = False, settle_s: float = 5.0, progress: Listener | None = None
) -> list[Finding]:
    """Whether the copy follows its source now, and whether the schema is what it was when it was begun."""
    link = link_of(step.migration)
    if stop:
        return [replication.check_ended(link)]
    begun = step.journal.last_change(_START, link.subject) or {}
    return replication.check_following(
        link,
        settle_s=settle_s,
        expected=step.migration.expected_differences,
        since=begun.get("result", {}).get("schema"),
        progress=progress,
    )


def watch_lag(step: Context, seconds: float) -> pd.DataFrame:
    """How far the copy was behind, once a second: bytes of the source's log, seconds where the source tells."""
    link, ends, rows = link_of(step.migration), time.monotonic() + seconds, []
    while True:
        seen = replication.lag_of(link)
        rows.append({"at": f"{datetime.now(UTC):%H:%M:%S}", **seen})
        if time.monotonic() >= ends:
            break
        time.sleep(min(_WATCH_S, max(0.05, ends - time.monotonic())))
    attach(step, "lag.json", rows)
    return tabulate(rows, columns_of(rows, "at"))


def check_ready(step: Context) -> list[Finding]:
    """Before a switch-over refuses users: the copy is close behind, queues can be carried, release and name wait."""
    if not replicates(step.migration) or proven_at_fence(step.journal, link_of(step.migration)).get("released"):
        return [_not_wanted("SWO-00", "A replicated copy is ready for the switch-over", step.migration)]
    account = aws.Account(step.migration, raw=step.run.raw("aws"))
    at, version = target(step, account), step.migration.release.version
    return [
        *_check_followed_again(step),
        *check_queues(step),
        *app.check_health(str(at["base_url"]), host=at["host"], expected_version=version),
        *aws.check_requirements(account, phase="day", services=["dns"]),
        *check_ttl_lowered(step),
    ]


def _check_followed_again(step: Context) -> list[Finding]:
    """Whether the copy follows; where an attempt that was killed has paused it, the next one lets it go on."""
    link, paused = link_of(step.migration), False
    if proven_at_fence(step.journal, link):
        with suppress(DatabaseError):  # told by what follows
            state = replication.link_state(link)
            paused = state.subscription and not state.enabled
    if not paused:
        return check_followed(step)
    why = "an attempt that broke off has paused the copy; this one lets it go on first, and waits for it"
    return [
        replace(f, status=Status.NOT_DUE, why=why, remedy="") if f.id in _PAUSED and f.closes_gate else f
        for f in check_followed(step, settle_s=0.0)
    ]


def transfer_change(
    step: Context,
    *,
    jobs: int = 2,
    longest: float = 60.0,
    drain: float = 20.0,
    progress: Listener | None = None,
) -> Action:
    """What moves the data on the day: dump and restore in the freeze, or the switch-over of the replicated copy.

    Args:
        step: notebook 12.
        jobs: parallel connections.
        longest: seconds that a switch-over may refuse writes before it lets users back in.
        drain: seconds that jobs under way may take to end, in a switch-over.
        progress: told how far it is.
    """
    migration = step.migration
    if replicates(migration):
        account = aws.Account(migration, raw=step.run.raw("aws"))
        return SwitchOver(
            step, account, link_of(migration), jobs=jobs, limits=Limits(longest, drain), progress=progress
        )
    source, goal = (migration.resolve(side.database_url) for side in (migration.source, migration.target))
    return postgres.Transfer(
        source,
        goal,
        backup_folder(step, "transfer"),
        jobs=jobs,
        progress=progress,
        fingerprint=Path(FINGERPRINT),
        **migration.restore.model_dump(),
        earlier=transfer_made(step).get("result"),
        done=lambda plan, result: _note_done(step.journal, plan, result),
    )


def _note_done(journal: Journal, plan: Plan, result: Mapping[str, Any]) -> None:
    """The copy is whole: on record before its mark goes, so that no instant is left in which neither tells of it."""
    change = Change(plan, result, str(result["dump"]["started"]), round(sum(result["measured"]["seconds"].values()), 3))
    journal.write("change-done", change=change.to_dict())


def compare_databases(
    step: Context, *, jobs: int = 2, show: int = 20, progress: Listener | None = None
) -> postgres.Comparison:
    """Every object and row of the target against the source as of the dump's own instant.

    Without a fingerprint of that instant the source is read as it is now. Once users write on the target of a
    replicated copy, it is the comparison that notebook 12 made.

    Args:
        step: notebook 13.
        jobs: parallel connections on each side.
        show: differing rows named for each table.
        progress: told of every piece.
    """
    migration = step.migration
    if not replicates(migration) or not proven_at_fence(step.journal, link_of(migration)).get("released"):
        source, goal = (migration.resolve(side.database_url) for side in (migration.source, migration.target))
        expected, evidence = migration.expected_differences, step.run.raw("postgres")
        return postgres.compare(
            source,
            goal,
            jobs=jobs,
            show=show,
            evidence=evidence,
            expected=expected,
            fingerprint=fingerprint_of(step),
            live=False,  # the source is frozen: where its sequences stand is part of the proof
            progress=progress,
            restored=restored_of(migration),
        )
    kept = _kept_comparison(step)
    return replace(kept, findings=[_proven(step, kept), *kept.findings])


def _kept_comparison(step: Context) -> postgres.Comparison:
    """The comparison at the switchover LSN, from the folder of the run that made it, or this one; else an empty one."""
    made = str(proven_at_fence(step.journal, link_of(step.migration)).get("run", ""))
    for folder in (step.run.path.parent / made, step.run.path):
        with suppress(OSError, ValueError):
            return postgres.Comparison.from_dict(
                json.loads((folder / "raw" / "postgres" / "comparison.json").read_text())
            )
    return postgres.Comparison([], [], 0.0, {}, {}, "")


def _proven(step: Context, kept: postgres.Comparison) -> Finding:
    """What notebook 12 proved at the switchover LSN; UNKNOWN where its comparison is not on this machine."""
    proven = proven_at_fence(step.journal, link_of(step.migration))
    title, fence, run = "The copy was proven at the switchover LSN", proven["fence"], proven["run"]
    status = Status.PASS if kept.findings else Status.UNKNOWN
    return Finding(
        "SWO-03",
        title,
        status,
        Severity.BLOCKER,
        step.migration.name,
        "every object and every row compared while nobody wrote",
        f"at {fence['lsn']}, {fence['at']}, in the run {run}",
        "" if status is Status.PASS else "the comparison itself is not on this machine, and cannot be made again",
        "" if status is Status.PASS else f"bring the folder of the run {run} here, beside this run's",
    )


def check_flows(step: Context, account: aws.Account) -> list[Finding]:
    """The critical flows behind the balancer; while the copy follows they cannot write, and are walked in 15."""
    at = target(step, account)
    login, admin = logins(step)
    try:
        following = replicates(step.migration) and replication.link_state(link_of(step.migration)).guarded
    except CutoverError:
        following = False
    if not following:
        return app.check_critical_flows(str(at["base_url"]), host=at["host"], login=login, admin_login=admin)
    why = "the database follows the source and takes nobody's writes; they are walked as soon as it does"
    return [Finding("FLW-00", "The critical flows work", Status.NOT_DUE, Severity.HIGH, str(at["base_url"]), why=why)]


def check_refusal(step: Context, account: aws.Account) -> list[Finding]:
    """How long users' writes were refused, from the first thing that refused them to the target's first write."""
    migration = step.migration
    known = step.journal.recall(REFUSAL_KEY) if replicates(migration) else None
    if known is None:
        begun = [
            entry
            for entry in step.journal.entries("change-begun")
            if entry["plan"]["action"] in ("maintenance-on", postgres.Freeze.name) and not entry["plan"]["empty"]
        ]
        last = [e for e in begun if e["plan"]["action"] == "maintenance-on"] or begun
        accepted = first_accepted_write(step, account) if last else ""
        began = str(last[-1]["at"]) if last else ""
        span = datetime.fromisoformat(accepted) - datetime.fromisoformat(began) if accepted and began else None
        seconds = round(span.total_seconds(), 3) if span is not None else None
        known = {"way": migration.transfer, "from": began, "to": accepted, "seconds": seconds}
        if seconds is not None:
            step.journal.remember(REFUSAL_KEY, known)
    return [refusal_finding(migration.hostname, known, step.journal.recall("forecast"))]


def _not_wanted(identifier: str, title: str, migration: Migration) -> Finding:
    why = f"transfer: {migration.transfer}, and nothing is to be replicated here"
    return Finding(identifier, title, Status.NOT_APPLICABLE, Severity.LOW, migration.name, why=why)
