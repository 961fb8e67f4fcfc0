"""How a trigger that was looked at for a while becomes a finding: when it began, when it fired, or why nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cutover.finding import Finding, Severity, Status
from cutover.judgement.hold import Held
from cutover.judgement.windows import Flags

DECIDE = "stop the load or the traffic, then open notebooks/90_rollback_decision.ipynb: it names the way back"


def trigger_finding(
    identifier: str,
    title: str,
    held: Held,
    window_s: float,
    hold_s: float,
    *,
    expected: str,
    observed: str,
    guide: int,
    least: int,
    data: dict[str, Any],
    worst: Held | None = None,
) -> Finding:
    """The finding that a trigger's looks amount to."""
    status, why = status_of(held, window_s, worst)
    if held.fired_at is not None and held.began_at is not None:
        observed += f" at {clock(held.fired_at)}; above since {clock(held.began_at)}"
    elif held.longest_s and status is Status.PASS:
        why = f"it was above for {held.longest_s:g} s at most"
    times = {"window_s": window_s, "hold_s": hold_s, "began_at": held.began_at, "fired_at": held.fired_at}
    looks = {"held_s": held.longest_s, "decided": held.decided, "silence_s": held.silence_s, "min_samples": least}
    return Finding(
        id=identifier,
        title=title,
        status=status,
        severity=Severity.BLOCKER,
        expected=expected,
        observed=observed if held.decided else "nothing that could be judged",
        why=why,
        remedy=remedy_of(status),
        guide=guide,
        trigger=True,
        data={**data, **times, **looks},
    )


def decide(breach: Flags, enough: Flags) -> list[bool | None]:
    """What each look says: a breach, none, or nothing because there were too few samples."""
    return [bool(b) if e else None for b, e in zip(breach, enough, strict=True)]


def remedy_of(status: Status) -> str:
    """What to do about a trigger with this status."""
    if status is Status.FAIL:
        return DECIDE
    if status is Status.UNKNOWN:
        return "let it run longer or with more arrivals (load.duration, load.arrivals_per_s), then judge again"
    return ""


def clock(epoch_s: float) -> str:
    """An epoch time for people, UTC to the tenth of a second."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(sep=" ", timespec="milliseconds")[:-8] + "Z"


def status_of(held: Held, window_s: float, worst: Held | None = None) -> tuple[Status, str]:
    """FAIL when it fired; UNKNOWN when it may yet, or when there was too little to see; else PASS; and why.

    Args:
        held: with requests in flight taken as well as they may still turn out.
        window_s: the silence that is too long.
        worst: with requests in flight taken as badly as they may.
    """
    if held.fired_at is not None:
        return Status.FAIL, ""
    if not held.decided:
        return Status.UNKNOWN, "no window had enough requests to judge"
    if held.open and held.began_at is not None:
        since = clock(held.began_at)
        return Status.UNKNOWN, f"it was above the threshold from {since} to the end of the data, not yet long enough"
    if worst is not None and (worst.open or worst.fired_at is not None):
        return Status.UNKNOWN, "requests in flight, or too few requests in a window, leave open whether it was above"
    if held.silence_s > window_s:
        return Status.UNKNOWN, f"for {held.silence_s:g} s on end there were too few requests to judge"
    return Status.PASS, ""
