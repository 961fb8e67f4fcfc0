"""The TTL of the public name: what it was, and from when on every resolver has forgotten it."""

from __future__ import annotations

from datetime import UTC, datetime

from cutover.action import Change
from cutover.finding import Finding, Severity, Status
from cutover.step import Context, Step

_KEY = "ttl"


def remember_ttl(step: Step, change: Change | None) -> list[Finding]:
    """Keep the old TTL and the earliest safe cutover in the journal, for the day and for the review."""
    if change is None:
        return [step.planned("lowering the TTL")]
    if change.result.get("changed"):
        kept = {key: change.result[key] for key in ("old_ttl_s", "earliest_cutover")}
        step.remember(_KEY, kept)
    return check_ttl_lowered(step)


def check_ttl_lowered(step: Context, now: datetime | None = None) -> list[Finding]:
    """Whether one old TTL has passed since the TTL was lowered: before, resolvers still keep the old answer.

    What nobody recorded is UNKNOWN and shown; the record's own TTL is a requirement (DNS-01) and closes the gate.
    """
    now = now or datetime.now(UTC)
    remembered = step.journal.recall(_KEY)
    title = "Every resolver has forgotten the answer with the old TTL"
    why = "until one old TTL has passed since it was lowered, some users stay on the source after the switch"
    if not remembered:
        return [
            Finding(
                "X-18",
                title,
                Status.UNKNOWN,
                Severity.MEDIUM,
                step.migration.hostname,
                "the time at which the TTL was lowered",
                "nobody recorded it here: it was low already, or was lowered elsewhere",
                why,
                "ask who lowered it, and when",
                917,
            )
        ]
    earliest = datetime.fromisoformat(str(remembered["earliest_cutover"]))
    due = now >= earliest
    return [
        Finding(
            "X-18",
            title,
            Status.PASS if due else Status.NOT_DUE if step.name.startswith("07") else Status.FAIL,
            Severity.HIGH,
            step.migration.hostname,
            f"the switch no earlier than {earliest:%Y-%m-%d %H:%M} UTC",
            f"it is {now:%Y-%m-%d %H:%M} UTC; the old TTL was {remembered['old_ttl_s']} s",
            why,
            "" if due else f"wait until {earliest:%H:%M} UTC",
            917,
        )
    ]
