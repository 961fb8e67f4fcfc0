"""One look at the architecture: every requirement, what mends each that does not hold, and the look itself kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from cutover.aws.account import Account
from cutover.aws.remedy import fill
from cutover.aws.requirements import Phase, Stack, check_stack
from cutover.aws.requirements.look import keep_look
from cutover.errors import UsageError
from cutover.finding import Finding
from cutover.progress import Listener


def check_requirements(
    account: Account,
    *,
    phase: str = "prepare",
    services: Iterable[str] | None = None,
    source_major: int | None = None,
    now: datetime | None = None,
    progress: Listener | None = None,
) -> list[Finding]:
    """Every requirement of the architecture, looked at now: exactly one Finding each, in the guide's order.

    The first call is STS; in another account than the planned one, nothing more is asked. Each distinct call is made
    once. Where the account keeps its responses, the look itself is kept beside them, so that `cutover recheck` can
    judge it again.

    Args:
        account: where to look; responses are cached and kept there.
        phase: `prepare`, `day` or `review`; what is due later is NOT_DUE.
        services: names of the requirement modules to run (`rds`, `network`, `cross`, …); all when None.
        source_major: the source's PostgreSQL major; without it (and `expect.rds.engine_major`) RDS-03 is UNKNOWN.
        now: the time ages are counted from; the clock's when None.
        progress: told of each view that was read (from the thread that read it).

    Raises:
        UsageError: an unknown phase or service.
    """
    try:
        due = Phase(phase)
    except ValueError as error:
        raise UsageError(f"There is no phase {phase!r}.", todo=f"one of {', '.join(Phase)}") from error
    stack = Stack(account, account.migration, now or datetime.now(UTC), due, source_major)
    chosen = None if services is None else list(services)
    findings = check_remedied(stack, services=chosen, progress=progress)
    if account.raw is not None:
        keep_look(account.raw, stack, findings, chosen)
    return findings


def check_remedied(
    stack: Stack, *, services: Iterable[str] | None = None, progress: Listener | None = None
) -> list[Finding]:
    """As `check_requirements`, over any reader: an account, or the recorded responses of an earlier look."""
    return fill(check_stack(stack, services=services, progress=progress), stack)
