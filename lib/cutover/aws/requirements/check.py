"""Runs requirements over an account or a recording: every one becomes a Finding, whatever happens on the way."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import count

from cutover.aws.account import Account
from cutover.aws.requirements.answers import Absent, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.packages import packages
from cutover.aws.requirements.requirement import REGISTRY, Requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.errors import UsageError
from cutover.finding import Finding, Status
from cutover.progress import Listener, Progress

_log = logging.getLogger(__name__)


def check_identity(account: Account) -> list[Finding]:
    """ACC-01: STS's account is the planned one. ACC-08: the region answers. Before anything else."""
    stack = Stack(account, account.migration, datetime.now(UTC))
    return [judge(REGISTRY[identifier], stack) for identifier in ("ACC-01", "ACC-08")]


def check_stack(
    stack: Stack, *, services: Iterable[str] | None = None, progress: Listener | None = None
) -> list[Finding]:
    """Every requirement, or those of some modules: exactly one Finding each, in the guide's order.

    Args:
        stack: an account, or the recorded responses of an earlier look.
        services: names of the requirement modules to run (`rds`, `network`, `cross`, …), or of packages that the
            parameters name under `requirements`; all when None.
        progress: told of each view that was read (from the thread that read it).

    Raises:
        UsageError: an unknown service; a package that cannot be taken (`packages`).
    """
    own = stack.migration.requirements
    known = [*dict.fromkeys(r.service for r in REGISTRY.values()), *own]
    wanted = list(known if services is None else services)
    strange = sorted(set(wanted) - set(known))
    if strange:
        raise UsageError(f"There are no requirements of {', '.join(strange)}.", todo=f"known: {', '.join(known)}")
    chosen = in_order(r for r in REGISTRY.values() if r.service in wanted)
    chosen += [r for package in packages(n for n in own if n in wanted) for r in package.rules]
    stack.closed = why_closed(stack)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="requirements") as pool:
        kinds = list(dict.fromkeys(k for r in chosen if r.due.reached(stack.phase) for k in r.views))
        read = partial(_read, stack, len(kinds), count(1), progress)
        list(pool.map(read, sorted(kinds, key=_depth)))
        return list(pool.map(lambda r: judge(r, stack), chosen))


def why_closed(stack: Stack) -> str:
    """Why nothing of this account is looked at: it is not the planned one, or nobody says whose it is. "" when it is.

    The region, too: one that is not enabled refuses every call, which would read like missing rights.
    """
    told = stack.ask("sts", "get_caller_identity")
    if not told.ok:
        return f"sts.get_caller_identity: {told.problem} ({told.error_code}: {told.message}); sign in first"
    if told.data.get("Account") != stack.migration.account_id:
        return f"the credentials are of account {told.data.get('Account')}, not of {stack.migration.account_id}"
    zones = stack.ask("ec2", "describe_availability_zones")
    if not zones.ok and _DISABLED.search(zones.error_code):
        return f"region {stack.migration.region} is not enabled ({zones.error_code}: {zones.message})"
    return ""


_DISABLED = re.compile(r"AuthFailure|OptInRequired|InvalidClientTokenId|UnrecognizedClient")
"""What a region that is not enabled answers to credentials that are good elsewhere."""

THREADS = 24
"""More than calls at a time: most of them wait, for a call or for a view that another one reads."""


def _read(stack: Stack, total: int, done: Iterator[int], progress: Listener | None, kind: type[View]) -> None:
    """Read one view, whatever comes of it: the requirements that need it will say."""
    with contextlib.suppress(Exception):
        stack.view(kind)
    if progress:
        progress(Progress("requirements", next(done), total, "resources", kind.__name__))


def _depth(kind: type[View]) -> int:
    """How many views are read one after the other before this one: those on which others wait come first."""
    return max((_depth(needed) + 1 for needed in kind.needs), default=0)


_CHAPTERS = {
    chapter: place
    for place, chapter in enumerate(
        [
            *("ACC", "NET", "SG", "RDS", "RED", "SEC", "ECR", "ACM", "ALB", "TG", "LSN", "ECS", "TD", "SVC", "ASG"),
            *("ALM", "DSH", "LOG", "DNS", "CDN", "S3", "IAM", "EC2", "POST", "IMG", "CI", "X"),
        ]
    )
}
"""The guide's order."""


def in_order(rules: Iterable[Requirement]) -> list[Requirement]:
    """Requirements in the guide's order."""
    return sorted(rules, key=lambda r: _order(r.id))


def _order(identifier: str) -> tuple[int, int]:
    chapter, _, number = identifier.rpartition("-")
    return _CHAPTERS[chapter], int(number)


def judge(rule: Requirement, stack: Stack) -> Finding:
    """One requirement over a stack. Never raises: a predicate that does is UNKNOWN, with what it raised."""

    def finding(status: Status, **words: object) -> Finding:
        reason = " ".join((rule.check.__doc__ or "").split())
        texts = {k: v for k, v in words.items() if v}
        return Finding(
            rule.id,
            rule.title,
            status,
            rule.severity,
            guide=rule.guide,
            **{"why": reason, **texts},  # type: ignore[arg-type]
        )

    if not rule.due.reached(stack.phase):
        return finding(Status.NOT_DUE, expected=f"due in phase {rule.due}", observed=f"phase {stack.phase}")
    subject = ""
    evidence: tuple[str, ...] = ()
    try:
        given, views = rule.arguments(stack)
        subject = next((v.subject for v in views), "")
        evidence = tuple(dict.fromkeys(name for v in views for name in v.evidence))
        outcome = rule.check(**given)
    except NotApplicable as reason:
        return finding(Status.NOT_APPLICABLE, why=str(reason))
    except NotThere as error:
        return finding(
            Status.MISSING,
            subject=subject,
            expected="it exists",
            observed=error.what,
            remedy=error.remedy,
            evidence=evidence or error.evidence,
        )
    except Unreadable as error:
        return finding(
            Status.UNKNOWN,
            subject=subject,
            observed=f"could not be read: {error.reason}",
            remedy="let the caller read it, or wait until the service answers, and run again",
            evidence=evidence or error.evidence,
        )
    except Absent as error:
        return finding(
            rule.absent,
            subject=subject,
            observed=f"the answer has no {error.path}",
            remedy="" if rule.absent is Status.PASS else f"look at {error.path} of {subject or 'it'} in the console",
            evidence=evidence,
        )
    except Exception as error:  # a predicate's own mistake must not become a verdict
        _log.exception("requirement %s raised", rule.id)
        return finding(Status.UNKNOWN, subject=subject, observed=f"the check raised {error!r}", evidence=evidence)
    return finding(
        Status.PASS if outcome.ok else Status.FAIL,
        subject=outcome.subject or subject,
        expected=outcome.expected,
        observed=outcome.observed,
        why=outcome.why,
        remedy="" if outcome.ok else outcome.remedy,
        evidence=evidence,
    )
