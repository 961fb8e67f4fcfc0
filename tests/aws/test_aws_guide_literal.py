"""The guide's commands as they are written, over prerequisites that are right: the findings name its mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aws_recordings import URLS, Cloud, describe_migration

from cutover.aws import Account, check_requirements
from cutover.finding import Finding, Status, Verdict, verdict

NAMED = {
    "E01": ("TD-18", "curl"),
    "E02": ("SEC-12", "no bcrypt hash"),
    "E06": ("TD-09", ":latest"),
    "E07": ("TG-13", "instance"),
    "E09": ("ALM-02", "nothing"),
    "E10": ("ALM-06", "nothing"),
    "E15": ("RED-09", "token False"),
    "E16": ("SEC-11", "redis"),
    "E17": ("RED-17", "volatile-lru"),
    "E19": ("RDS-24", "DBName"),
    "E24": ("SG-07", "vpc-"),
    "E25": ("SG-05", "no security group shadowtwin-redis-sg"),
    "E32": ("TD-13", "SMTP_HOST"),
    "E33": ("X-03", "no full ARN"),
    "E34": ("ACC-02", "application-autoscaling"),
    "O13": ("SVC-10", "false"),
    "O14": ("LSN-04", "2016-08"),
    "O19": ("IAM-05", "iam:PassRole"),
    "O23": ("ECR-04", "MUTABLE"),
    "O25": ("RDS-07", "MaxAllocatedStorage"),
}
"""The guide's errors, the requirement that names each, and a word of what it saw."""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Finding]]:
    """Everything that is said of an account that the guide built."""
    cloud = Cloud(tmp_path_factory.mktemp("literal") / "full", "--literal", *URLS)
    try:
        expect = {"rds": {"engine_major": 18}, "alb": {"blue_target_group": "shadowtwin-tg-blue"}}
        account = Account(describe_migration(cloud.endpoint, expect=expect))
        yield {f.id: f for f in check_requirements(account, source_major=17)}
    finally:
        cloud.stop()


@pytest.mark.parametrize(("error", "named"), NAMED.items())
def test_the_guides_own_error_is_named(findings: dict[str, Finding], error: str, named: tuple[str, str]) -> None:
    """By the requirement that is about it, with what is there instead, and with a remedy or a reason."""
    finding = findings[named[0]]
    assert finding.status in (Status.FAIL, Status.MISSING), error
    assert named[1] in finding.observed
    assert finding.remedy or finding.why


def test_what_the_guide_builds_is_no_go(findings: dict[str, Finding]) -> None:
    """The gate is closed by what was seen, not by what could not be."""
    assert verdict(findings.values()) is Verdict.NO_GO
    assert {i for i, f in findings.items() if f.status is Status.UNKNOWN} == {"ACC-06"}


def test_what_the_guide_does_right_still_passes(findings: dict[str, Finding]) -> None:
    """A checker that fails everything is no checker."""
    right = [
        "NET-01",
        "NET-04",
        "RDS-01",
        "RDS-11",
        "RDS-13",
        "RED-06",
        "RED-07",
        "TD-04",
        "SVC-07",
        "LSN-05",
        "ASG-01",
    ]
    assert {findings[i].status for i in right} == {Status.PASS}
