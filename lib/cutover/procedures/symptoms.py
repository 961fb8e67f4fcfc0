"""What a diagnosis asks beside the findings: database and queue themselves, error classes, what changed last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from cutover import load, postgres
from cutover.errors import CutoverError
from cutover.finding import Finding, Status
from cutover.judgement import Looks
from cutover.queue.layout import connect
from cutover.step import Context

_ANSWER_S = 5


def look_around(step: Context, findings: Iterable[Finding], run: Path | None = None) -> Looks:
    """Ask the target's database and Redis for a sign of life, and read what the run has kept.

    It changes nothing and never fails: what cannot be asked from here is said not to answer, with the message.

    Args:
        step: whose target is asked.
        findings: what was seen.
        run: the folder of the run that they are of, whose load log tells the error classes; the step's own when None.
    """
    fired = any(f.trigger and f.status is Status.FAIL for f in findings)
    changes = [str(e["change"]["plan"]["action"]) for e in reversed(step.journal.entries("change"))]
    target = step.migration.target
    return Looks(
        errors=_errors((run or step.run.path) / "raw" / "load") if fired else {},
        changes=changes,
        database_answers=_database(step, target.database_url),
        queue_answers=_queue(step, target.redis_url),
    )


def _database(step: Context, reference: str) -> tuple[bool, str]:
    try:
        with postgres.connect(step.migration.resolve(reference), timeout_s=_ANSWER_S) as session:
            session.execute("SELECT 1")
    except (CutoverError, ValueError) as error:
        return False, str(getattr(error, "what", error))
    return True, "SELECT 1 was answered"


def _queue(step: Context, reference: str) -> tuple[bool, str]:
    try:
        with connect(step.migration.resolve(reference), timeout_s=_ANSWER_S):
            pass
    except (CutoverError, ValueError) as error:
        return False, str(getattr(error, "what", error))
    return True, "PING was answered"


def _errors(folder: Path) -> dict[str, int]:
    """Failed requests by class, from a run's load log; {} without one."""
    if not any(folder.rglob("*.arrows")):
        return {}
    try:
        outcomes = Counter(load.read_log(folder)["outcome"].astype(str))
    except CutoverError:
        return {}
    return {name: n for name, n in outcomes.items() if name not in ("ok", "in_flight", "never_sent")}
