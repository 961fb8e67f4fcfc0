"""Trouble on each service in turn: the right UNKNOWNs, nothing else changed, no exception, no hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_recordings import URLS, Cloud, Recorded, describe_migration, replaced

from cutover.aws import Account, Response, check_requirements
from cutover.aws.problem import Problem
from cutover.aws.requirements import REGISTRY, Phase
from cutover.finding import Finding, Status

SERVICES = (
    "ec2", "rds", "elasticache", "secretsmanager", "ecr", "acm", "elbv2", "ecs", "application-autoscaling", "sns",
    "cloudwatch", "logs", "route53", "cloudfront", "s3", "iam", "lambda", "budgets", "cloudtrail", "guardduty",
    "wafv2", "resourcegroupstaggingapi", "service-quotas",
)  # fmt: skip
"""Every service that the emulator answers for, but STS: without it nothing is looked at."""
TROUBLES = {
    "denied": (Problem.DENIED, "AccessDenied"),
    "throttled": (Problem.THROTTLED, "Throttling"),
    "broken": (Problem.NOT_IMPLEMENTED, "500"),
    "silent": (Problem.NETWORK, "OutOfTime"),
}
LOOKED = {Status.PASS, Status.FAIL, Status.MISSING}


@pytest.fixture(scope="module")
def before(recorded: Recorded) -> dict[str, Finding]:
    """What is said while all is well."""
    return recorded.findings(phase=Phase.REVIEW)


def _matrix() -> list[Any]:
    """Each service with one trouble in `make test`, with all four in the campaign."""
    kinds = list(TROUBLES)
    pairs = [(s, kind, kinds[n % len(kinds)] == kind) for n, s in enumerate(SERVICES) for kind in kinds]
    return [pytest.param(s, k, marks=() if quick else pytest.mark.campaign, id=f"{s}-{k}") for s, k, quick in pairs]


@pytest.mark.parametrize(("service", "trouble"), _matrix())
def test_trouble_on_one_service_is_unknown_there_and_nothing_elsewhere(
    recorded: Recorded, before: dict[str, Finding], service: str, trouble: str
) -> None:
    """What stands on that service is UNKNOWN, with the call and the code; what does not is said as before."""
    problem, code = TROUBLES[trouble]
    changed = {k: _without(r, problem, code) if r.call.service == service else r for k, r in recorded.responses.items()}
    after = recorded.findings(changed, phase=Phase.REVIEW)
    mine = {r.evidence for r in recorded.responses.values() if r.call.service == service}
    flipped = {i for i, f in after.items() if f.status is not before[i].status}
    assert flipped
    assert {after[i].status for i in flipped} == {Status.UNKNOWN}
    assert all(code in after[i].observed or "NotRecorded" in after[i].observed for i in flipped)
    assert all(service in after[i].observed or mine & set(before[i].evidence) for i in flipped)
    standing = {i for i, f in before.items() if mine & set(f.evidence) and f.status in LOOKED}
    assert standing <= flipped


def _without(response: Response, problem: Problem, code: str) -> Response:
    return replaced(response, ok=False, data={}, problem=problem, error_code=code, message="as asked")


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An account with enough hands that one that sleeps keeps no other waiting."""
    started = Cloud(tmp_path_factory.mktemp("faults") / "full", "--threads", "64", *URLS)
    yield started
    started.stop()


@pytest.fixture
def look(patient: Cloud) -> Iterator[Callable[..., dict[str, Finding]]]:
    """A live look, with a limit for each call."""

    def looked(*faults: dict[str, Any], limit_s: float = 60.0, **options: Any) -> dict[str, Finding]:
        patient.fault(*faults)
        account = Account(describe_migration(patient.endpoint), limit_s=limit_s)
        return {f.id: f for f in check_requirements(account, phase="prepare", source_major=17, **options)}

    yield looked
    patient.fault()


def test_a_silent_service_is_waited_for_once(patient: Cloud) -> None:
    """Silence, live: a call ends at its limit, the rest of the service is not asked, the others answer."""
    patient.fault({"service": "rds", "delay_s": 60.0})
    try:
        account = Account(describe_migration(patient.endpoint), limit_s=5.0)
        findings = check_requirements(account, services=["rds", "backups", "storage"], source_major=17)
        spent = account.calls["rds"]
        later = account.call("rds", "describe_events")
    finally:
        patient.fault()
    stopped = [f for f in findings if f.id.startswith("RDS-") and f.status is not Status.NOT_DUE]
    assert {f.status for f in stopped} == {Status.UNKNOWN, Status.NOT_APPLICABLE}
    assert all("network" in f.observed for f in stopped if f.status is Status.UNKNOWN)
    assert {f.status for f in findings if f.id.startswith("S3-")} == {Status.PASS}
    assert "not asked: rds is silent" in later.message
    assert account.calls["rds"] == spent


def test_live_errors_are_told_as_the_recorded_ones(look: Callable[..., dict[str, Finding]]) -> None:
    """Denied, throttled and broken at once, each on a service of its own, in AWS's words."""
    after = look(
        {"service": "elasticache", "error": "AccessDenied"},
        {"service": "acm", "error": "Throttling"},
        {"service": "ecr", "error": "InternalError"},
        services=["redis", "certificate", "images", "storage"],
    )
    for identifier, word in (("RED-01", "denied"), ("ACM-01", "throttled"), ("ECR-01", "not implemented")):
        assert after[identifier].status is Status.UNKNOWN
        assert word in after[identifier].observed
    assert after["S3-02"].status is Status.PASS


@pytest.mark.campaign
@pytest.mark.parametrize("error", ["AccessDenied", "Throttling", "InternalError"])
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_refuses_live(look: Callable[..., dict[str, Finding]], service: str, error: str) -> None:
    """The full form: each error on each service, through the real client and its retries."""
    before = look()
    after = look({"service": service, "error": error})
    flipped = {i for i, f in after.items() if f.status is not before[i].status}
    assert {after[i].status for i in flipped} <= {Status.UNKNOWN}
    assert len(after) == len(REGISTRY)


def test_a_listing_that_breaks_off_is_unknown(patient: Cloud, tmp_path: Path) -> None:
    """The first page came, the second did not: half a list is no list."""
    account = Account(describe_migration(patient.endpoint))
    logs = account.client("logs")
    for number in range(60):
        logs.create_log_group(logGroupName=f"/ecs/shadowtwin/{number:03d}")
    try:
        assert (
            len(account.call("logs", "describe_log_groups", logGroupNamePrefix="/ecs/shadowtwin").data["logGroups"])
            == 61
        )
        pages: list[str] = []

        def second_fails(request: Any, **_: Any) -> None:
            pages.append(request.url)
            if len(pages) == 2:
                raise ConnectionResetError("cut off")

        logs.meta.events.register("before-send.cloudwatch-logs.DescribeLogGroups", second_fails)
        answer = account.call("logs", "describe_log_groups", fresh=True, logGroupNamePrefix="/ecs/shadowtwin")
        assert len(pages) >= 2
        assert not answer.ok
        assert answer.data == {}
        findings = {f.id: f for f in check_requirements(account, services=["observability"], source_major=17)}
        assert findings["LOG-01"].status is Status.UNKNOWN
    finally:
        for number in range(60):
            Account(account.migration).client("logs").delete_log_group(logGroupName=f"/ecs/shadowtwin/{number:03d}")
