"""Runs requirements over an account or a recording: every one becomes a Finding, whatever happens on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from cutover.aws.account import WORKERS, Account, Call
from cutover.aws.requirements.requirement import REGISTRY, Requirement
from cutover.aws.requirements.stack import Absent, NotApplicable, NotThere, Phase, Stack, Unreadable
from cutover.errors import UsageError
from cutover.finding import Finding, Status

_log = logging.getLogger(__name__)


def check_requirements(
    account: Account,
    *,
    phase: str = "prepare",
    services: Iterable[str] | None = None,
    source_major: int | None = None,
    now: datetime | None = None,
) -> list[Finding]:
    """Every requirement of the architecture, looked at now: one Finding each, in the order of the registry.

    Args:
        account: where to look; responses are cached and kept there.
        phase: `prepare`, `day` or `review`; what is due later is NOT_DUE.
        services: names of the requirement modules to run (`rds`, `network`, `cross`, …); all when None.
        source_major: the source's PostgreSQL major; without it (and `expect.rds.engine_major`) RDS-03 is UNKNOWN.
        now: the time ages are counted from; the clock's when None.

    Raises:
        UsageError: an unknown phase or service.
    """
    try:
        due = Phase(phase)
    except ValueError as error:
        raise UsageError(f"There is no phase {phase!r}.", todo=f"one of {', '.join(Phase)}") from error
    stack = Stack(account, account.migration, now or datetime.now(UTC), due, source_major)
    account.prefetch(first_calls(stack))
    return check_stack(stack, services=services)


def check_identity(account: Account) -> list[Finding]:
    """ACC-01: STS's account is the planned one. ACC-08: the region answers. Before anything else."""
    stack = Stack(account, account.migration, datetime.now(UTC))
    return [judge(REGISTRY[identifier], stack) for identifier in ("ACC-01", "ACC-08")]


def check_stack(stack: Stack, *, services: Iterable[str] | None = None) -> list[Finding]:
    """As `check_requirements`, over any reader: an account, or the recorded responses of an earlier run."""
    known = list(dict.fromkeys(r.service for r in REGISTRY.values()))
    wanted = list(known if services is None else services)
    strange = sorted(set(wanted) - set(known))
    if strange:
        raise UsageError(f"There are no requirements of {', '.join(strange)}.", todo=f"known: {', '.join(known)}")
    chosen = sorted((r for r in REGISTRY.values() if r.service in wanted), key=lambda r: _order(r.id))
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="requirements") as pool:
        findings = list(pool.map(lambda r: judge(r, stack), chosen))
    if services is not None:
        return findings
    from cutover.aws.remedy import fill  # noqa: PLC0415 - it stands above the requirements

    return fill(findings, stack)


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


def first_calls(stack: Stack) -> list[Call]:
    """What can be asked before anything is known: names from the expectations, and plain listings."""
    e = stack.expect
    names = [
        e.secrets.database,
        e.secrets.redis,
        e.secrets.openai,
        e.secrets.admin_email,
        e.secrets.admin_password_hash,
    ]
    calls = [
        Call("rds", "describe_db_instances", {"DBInstanceIdentifier": e.rds.instance}),
        Call("elasticache", "describe_replication_groups", {"ReplicationGroupId": e.redis.replication_group}),
        Call("ecs", "describe_clusters", {"clusters": [e.ecs.cluster], "include": ["SETTINGS"]}),
        Call("ecs", "describe_services", {"cluster": e.ecs.cluster, "services": [e.ecs.service]}),
        Call("elbv2", "describe_load_balancers", {"Names": [stack.migration.target.load_balancer]}),
        Call("elbv2", "describe_target_groups", {"Names": [e.alb.target_group]}),
        Call("cloudwatch", "describe_alarms"),
        Call("logs", "describe_log_groups", {"logGroupNamePrefix": e.logs.group}),
        Call("route53", "list_hosted_zones"),
        Call("acm", "list_certificates"),
        Call("ecr", "describe_repositories", {"repositoryNames": [e.ecr.repository]}),
        Call("iam", "get_role", {"RoleName": e.ecs.execution_role}),
        Call("iam", "get_role", {"RoleName": e.ecs.task_role}),
        Call("sns", "list_topics"),
        Call("sts", "get_caller_identity"),
        Call("rds", "describe_db_subnet_groups", {"DBSubnetGroupName": e.rds.subnet_group}),
        Call("elasticache", "describe_cache_subnet_groups", {"CacheSubnetGroupName": e.redis.subnet_group}),
    ]
    calls += [
        Call("ec2", operation)
        for operation in ("describe_vpcs", "describe_subnets", "describe_route_tables", "describe_security_groups")
    ]
    calls += [Call("secretsmanager", "describe_secret", {"SecretId": name}) for name in (*names, *e.secrets.smtp)]
    calls += [Call("secretsmanager", "get_secret_value", {"SecretId": name}) for name in names]
    return calls
