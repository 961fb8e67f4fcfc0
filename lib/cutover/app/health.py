"""The health contract of the guide (lines 945-992), probed in depth: a 200 alone proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cutover.app.exchange import Reply, Unreachable, fetch
from cutover.finding import Finding, Severity, Status

PATH = "/api/health"
GUIDE_LINE = 945
MOST_SKEW = timedelta(minutes=5)
"""A timestamp further off than this is a cached answer, or a clock that breaks signed requests to AWS."""
_CHECKS = {"database": ("healthy",), "redis": ("healthy",), "memory": ("healthy", "warning")}


@dataclass(frozen=True, slots=True)
class Health:
    """What one probe of /api/health gave.

    Attributes:
        ok: the whole contract holds.
        reached: an answer came at all.
        http_status: of the answer; None when none came.
        seconds: how long the answer took, or how long was waited for it.
        version: the release that answered, when it says so.
        checks: each check's word.
        problems: what breaks the contract, one sentence each; empty exactly when `ok`.
        unknown: nothing could be looked at (the name cannot be resolved).
        at: when the probe began, UTC.
    """

    ok: bool
    reached: bool
    http_status: int | None
    seconds: float
    version: str | None = None
    checks: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unknown: bool = False
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


def probe_health(base_url: str, *, timeout_s: float = 5.0, host: str | None = None) -> Health:
    """Ask once, and hold the answer against the contract.

    Args:
        base_url: the application's address, `http://host:port`.
        timeout_s: seconds for the whole exchange (the load balancer allows 5, guide line 1002).
        host: the Host header when it is not the URL's.
    """
    at = datetime.now(UTC)
    try:
        reply = fetch("GET", base_url.rstrip("/") + PATH, timeout_s=timeout_s, host=host)
    except Unreachable as error:
        waited = (datetime.now(UTC) - at).total_seconds()
        return Health(False, False, None, waited, problems=(str(error),), unknown=error.kind == "name", at=at)
    problems, version, checks = _read(reply, at)
    return Health(not problems, True, reply.status, reply.seconds, version, checks, tuple(problems), at=at)


def check_health(
    base_url: str, *, timeout_s: float = 5.0, expected_version: str | None = None, host: str | None = None
) -> list[Finding]:
    """Findings APP-01 (the contract) and, when a version is expected, APP-06 (the release that answers).

    Args:
        base_url: as for `probe_health`.
        timeout_s: as for `probe_health`.
        expected_version: what `version` must be, exactly.
        host: as for `probe_health`.
    """
    health = probe_health(base_url, timeout_s=timeout_s, host=host)
    findings = [_contract(base_url, health, timeout_s)]
    if expected_version is not None:
        findings.append(_release(base_url, health, expected_version))
    return findings


def _read(reply: Reply, now: datetime) -> tuple[list[str], str | None, dict[str, str]]:
    if reply.status in (301, 302, 307, 308):
        return [f"answers with a redirect to {reply.headers.get('location', '?')}"], None, {}
    raw = reply.json()
    if not isinstance(raw, dict):
        return [f"the body is not the JSON object of the contract ({reply.words})"], None, {}
    problems = [] if reply.status == 200 else [f"HTTP {reply.status} instead of 200"]
    if raw.get("status") != "healthy":
        problems.append(f"status is {raw.get('status')!r}, not 'healthy'")
    checks = raw.get("checks")
    told = {str(k): str(v) for k, v in checks.items()} if isinstance(checks, dict) else {}
    if not isinstance(checks, dict):
        problems.append("it names no checks: an endpoint that looks at nothing proves nothing")
    else:
        problems += _problems_of_checks(told)
    version = raw.get("version")
    if not isinstance(version, str) or not version or version == "unknown":
        problems.append(f"version is {version!r}: nobody can tell which release answers (set APP_VERSION)")
        version = None
    problems += _problems_of_timestamp(raw.get("timestamp"), now)
    return problems, version, told


def _problems_of_checks(checks: Mapping[str, str]) -> list[str]:
    problems = []
    for name, good in _CHECKS.items():
        word = checks.get(name)
        if word is None:
            problems.append(f"the check of {name} is missing")
        elif word == "not_configured":
            problems.append(f"{name} is not configured: nothing was checked, and the job queue needs it")
        elif word not in good:
            problems.append(f"{name} is {word}")
    return problems


def _problems_of_timestamp(raw: Any, now: datetime) -> list[str]:
    try:
        at = datetime.fromisoformat(str(raw).replace("Z", "+00:00"))
    except ValueError:
        return [f"timestamp {raw!r} is no ISO 8601 time"]
    if at.tzinfo is None:
        return [f"timestamp {raw!r} has no time zone"]
    off = abs(at - now)
    if off > MOST_SKEW:
        return [f"timestamp is {off.total_seconds():.0f} s away from now: a cached answer, or a wrong clock"]
    return []


def _contract(base_url: str, health: Health, timeout_s: float) -> Finding:
    status = Status.UNKNOWN if health.unknown else Status.PASS if health.ok else Status.FAIL
    told = ", ".join(f"{name} {word}" for name, word in health.checks.items())
    return Finding.check(
        "APP-01",
        "The health check answers the whole contract",
        status,
        severity=Severity.BLOCKER,
        subject=base_url.rstrip("/") + PATH,
        expected=f"HTTP 200 within {timeout_s:g} s, JSON with status healthy, a version, a timestamp of now, and "
        "healthy checks of database and redis",
        observed="; ".join(health.problems) if health.problems else f"HTTP 200 in {health.seconds:.2f} s, {told}",
        note="the load balancer and the container decide by this answer whom to keep alive"
        if not health.unknown
        else "the name leads nowhere from here, so nothing was looked at",
        remedy=_remedy(base_url, health),
        guide=GUIDE_LINE,
        data={
            "seconds": round(health.seconds, 3),
            "http_status": health.http_status,
            "version": health.version,
            "checks": dict(health.checks),
        },
    )


def _remedy(base_url: str, health: Health) -> str:
    look = f"curl -sv --max-time 5 {base_url.rstrip('/')}{PATH}"
    if health.unknown:
        return f"check the address and the resolver from this machine, then: {look}"
    if not health.reached:
        return f"{look}\nthen the application's log: is the process running, and has it reached its database?"
    if health.checks.get("database") == "unhealthy":
        return f"{look}\nthe application cannot query its database: check DATABASE_URL, security groups, connections"
    if health.checks.get("redis") in ("unhealthy", "not_configured"):
        return f"{look}\nthe application cannot reach Redis: check REDIS_URL (rediss:// with TLS), security groups"
    return f"{look}\ncompare with the contract in the deployment guide, lines 945-992"


def _release(base_url: str, health: Health, expected: str) -> Finding:
    seen = health.version is not None
    status = Status.UNKNOWN if not seen else Status.PASS if health.version == expected else Status.FAIL
    return Finding.check(
        "APP-06",
        "The release that answers is the one that was tested",
        status,
        severity=Severity.BLOCKER,
        subject=base_url.rstrip("/") + PATH,
        expected=expected,
        observed=health.version or "no version was told",
        note="an old task, or another image under the same tag, answers just as readily"
        if seen
        else "; ".join(health.problems),
        remedy="compare the running task definition's image with the release: aws ecs describe-services, then "
        "aws ecs describe-task-definition; APP_VERSION must be set by the release",
        guide=GUIDE_LINE,
    )
