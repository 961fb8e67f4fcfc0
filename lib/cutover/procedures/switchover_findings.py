"""What a switch-over leaves behind: what it proved, remembered in the journal, and its own findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cutover.action import Action, Change, Plan
from cutover.errors import CutoverError
from cutover.finding import Finding, Severity, Status
from cutover.postgres import replication
from cutover.step import Journal

PROVEN_KEY = "replication-proven"
REFUSAL_KEY = "refusal-of-writes"


def proven_at_fence(journal: Journal, link: replication.Link) -> dict[str, Any]:
    """What notebook 12 proved of the replication that runs, or ran last; {} when nothing."""
    proven = dict(journal.recall(PROVEN_KEY) or {})
    return proven if proven.get("begun") == replication_begun(journal, link) else {}


def replication_begun(journal: Journal, link: replication.Link) -> str:
    """When the replication was begun: what was proven of an earlier one says nothing of this one."""
    made = journal.last_change(replication.StartReplication.name, link.subject) or {}
    return str(made.get("started", ""))


def refusal_finding(hostname: str, refusal: Mapping[str, Any], forecast: Mapping[str, Any] | None) -> Finding:
    """How long writes were refused, beside the trial's forecast for the other way. Finding id: RFS-01.

    Args:
        hostname: the public name.
        refusal: what `REFUSAL_KEY` holds: `way`, `from`, `to`, and `seconds` (None: not known).
        forecast: what the trial of notebook 04 foretold, with `seconds`; None without one.
    """
    seconds, way = refusal.get("seconds"), str(refusal.get("way"))
    by_dump = (forecast or {}).get("seconds")
    beside = f"; by dump and restore, at least {by_dump:.1f} s by the trial" if way != "dump" and by_dump else ""
    return Finding(
        "RFS-01",
        "How long users' writes were refused is known",
        Status.UNKNOWN if seconds is None else Status.PASS,
        Severity.MEDIUM,
        hostname,
        "from the first refused write to the first one thon the target took",
        (f"{seconds:.1f} s by `transfer: {way}`, from {refusal.get('from')} to {refusal.get('to')}" + beside)
        if seconds is not None
        else "the target accepted no write while it was looked at",
        "Visitors whose resolver still keeps the old answer are refused for up to the TTL longer.",
        data={k: v for k, v in {**refusal, "by_dump_at_least": by_dump}.items() if v is not None},
    )


def takes_writes(subject: str, *, guarded: bool) -> Finding:
    """Whether the target's database still refuses users' writes. Finding id: SWO-02."""
    return Finding(
        "SWO-02",
        "Target database accepts writes",
        Status.FAIL if guarded else Status.PASS,
        Severity.BLOCKER,
        subject,
        "default_transaction_read_only is not set",
        "it is on: users cannot write" if guarded else "it takes writes",
        remedy="ALTER DATABASE … RESET default_transaction_read_only; then end the application's sessions"
        if guarded
        else "",
    )


def taken_back(subject: str, error: BaseException, timeline: Mapping[str, float]) -> Finding:
    """The switch-over was undone: users are at the source. Finding id: SWO-01."""
    return Finding(
        "SWO-01",
        "Switchover to the target",
        Status.FAIL,
        Severity.BLOCKER,
        subject,
        "the copy proven at the switchover LSN, and the name switched",
        f"aborted and rolled back after {timeline.get('rolled back', 0):.1f} s: {str(error).splitlines()[0]}",
        "Users are on the source again, which accepts writes; the copy goes on following where it still can.",
        "Fix what is named, then run this notebook again; nothing was lost.",
        data={"timeline": dict(timeline)},
    )


def not_undone(action: Action, change: Change, error: Exception) -> Finding:
    """A part could not be undone, and what a person does at once. Finding id: SWO-undo-<action>."""
    return Finding(
        f"SWO-undo-{action.name}",
        f"{change.plan.summary.rstrip('.')}: undone",
        Status.FAIL,
        Severity.BLOCKER,
        change.plan.subject,
        "as it was before",
        f"{type(error).__name__}: {str(error).splitlines()[0]}",
        "Users are still refused.",
        f"By hand, at once: {change.plan.undo}",
    )


def behind_the_fence(subject: str, late: list[str]) -> Finding:
    """Rows that only the source has. Finding id: SWO-late."""
    return Finding(
        "SWO-late",
        "No writes on the source after the switchover LSN",
        Status.FAIL,
        Severity.BLOCKER,
        subject,
        "no write after the comparison",
        "; ".join(late[:10]),
        "These rows exist only on the source and were not replicated.",
        "Find the rows (the tables are named; the source is frozen) and insert them on the target by hand.",
    )


def views_not_filled(subject: str, error: CutoverError) -> Finding:
    """Materialised views are stale. Finding id: SWO-views."""
    return Finding(
        "SWO-views",
        "The materialised views hold what the tables held at the switch",
        Status.FAIL,
        Severity.MEDIUM,
        subject,
        "each refreshed",
        error.what,
        "They show what they held when the copy was begun.",
        "REFRESH MATERIALIZED VIEW … on the target's database",
    )


def carried(plan: Plan, error: CutoverError | None = None) -> Finding:
    """Whether the jobs were carried; with `error`, why not. Finding id: SWO-queues."""
    lost = error is not None
    return Finding(
        "SWO-queues",
        "Delayed jobs were carried over",
        Status.FAIL if lost else Status.PASS,
        Severity.HIGH,
        plan.subject,
        plan.summary,
        error.what if error is not None else plan.summary,
        "They are still in the source's queues, where no worker processes them." if lost else "",
        (error.todo or "See which jobs they are with read_queues, and add them on the target.") if error else "",
    )


def reports_copied(failed: Mapping[str, str]) -> Finding:
    """Whether every report arrived; `failed` by name. Finding id: SWO-reports."""
    return Finding(
        "SWO-reports",
        "The last PDF reports were copied",
        Status.FAIL if failed else Status.PASS,
        Severity.HIGH,
        "PDF reports",
        "every report that is missing or different",
        f"{len(failed)} failed: {', '.join(list(failed)[:5])}" if failed else "all of them",
    )
