"""One look at the architecture: every requirement, what fixes each that does not hold, and the look itself kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from cutover.aws.account import Account
from cutover.aws.remedy import fill
from cutover.aws.requirements import Phase, Stack, check_stack
from cutover.aws.requirements.look import Look, keep_look
from cutover.aws.requirements.packages import installed
from cutover.errors import UsageError
from cutover.finding import Finding, Status
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
        services: names of the requirement modules to run (`rds`, `network`, `cross`, …), or of packages that the
            parameters name under `requirements`; all when None.
        source_major: the source's PostgreSQL major; without it (and `expect.rds.engine_major`) RDS-03 is UNKNOWN.
        now: the time ages are counted from; the clock's when None.
        progress: told of each view that was read (from the thread that read it).

    Raises:
        UsageError: an unknown phase or service; a package of the parameters that cannot be taken.
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


def check_again(look: Look, stack: Stack) -> list[Finding]:
    """The findings of an earlier look, judged again over what it stood on, in its order.

    What a package judged that is not installed here, or holds the requirement no longer, is UNKNOWN.

    Args:
        look: the earlier look.
        stack: its own (`look.stack`).

    Raises:
        UsageError: a package that is installed cannot be taken.
    """
    named = stack.migration.requirements
    here = {name: version for name in named if (version := installed(name))}
    migration = stack.migration.model_copy(update={"requirements": tuple(here)})
    same = Stack(stack.reader, migration, stack.now, stack.phase, stack.source_major)
    services = None if look.services is None else [s for s in look.services if s in here or s not in named]
    again = {f.id: f for f in check_remedied(same, services=services)}
    before = {f.id: f for f in look.findings}
    for package in look.packages:
        now = f"{package.name} {here[package.name]} is" if package.name in here else "no version of it is"
        again |= {
            identifier: replace(
                before[identifier],
                status=Status.UNKNOWN,
                observed=f"not judged again: {package.name} {package.version} judged it, and {now} installed here",
                remedy=f"install {package.name} {package.version} beside Cutover, then cutover recheck",
            )
            for identifier in package.ids
            if identifier not in again
        }
    place = {identifier: number for number, identifier in enumerate(before)}
    return sorted(again.values(), key=lambda f: place.get(f.id, len(place)))
