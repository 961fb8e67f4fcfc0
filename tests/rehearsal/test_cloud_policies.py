"""Evaluation of IAM policies."""

from __future__ import annotations

from typing import Any

import pytest

from cutover.rehearsal.cloud.policies import decide

SERVICE = "arn:aws:ecs:us-east-1:123456789012:service/c/s"


def policy(
    effect: str = "Allow", action: Any = "ecs:UpdateService", resource: Any = "*", **more: Any
) -> dict[str, Any]:
    """A policy of one statement."""
    return {"Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]}


@pytest.mark.parametrize(
    ("policies", "resource", "expected"),
    [
        ([policy()], SERVICE, "allowed"),
        ([policy(action="ecs:Update*")], SERVICE, "allowed"),
        ([policy(action="ECS:updateservice")], SERVICE, "allowed"),
        ([policy(action=["s3:*", "ecs:*"])], SERVICE, "allowed"),
        ([policy(action="ecs:Describe*")], SERVICE, "implicitDeny"),
        ([], SERVICE, "implicitDeny"),
        ([policy(resource="arn:aws:ecs:*:*:service/c/*")], SERVICE, "allowed"),
        ([policy(resource="arn:aws:ecs:*:*:service/other/*")], SERVICE, "implicitDeny"),
        ([policy(resource="arn:aws:ecs:us-east-1:123456789012:service/c/s")], "*", "implicitDeny"),
        ([policy(), policy("Deny", action="*")], SERVICE, "explicitDeny"),
        ([policy(), policy("Deny", resource="arn:aws:ecs:*:*:service/other/*")], SERVICE, "allowed"),
        ([{"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}], SERVICE, "allowed"),
        ([{"Statement": {"Effect": "Allow", "NotAction": "ecs:*", "Resource": "*"}}], SERVICE, "implicitDeny"),
        ([{"Statement": {"Effect": "Allow", "Action": "*", "NotResource": "*service/c/*"}}], SERVICE, "implicitDeny"),
    ],
)
def test_actions_and_resources(policies: list[dict[str, Any]], resource: str, expected: str) -> None:
    """Explicit deny, then allow, then implicit deny; wildcards; actions in any case, resources in theirs."""
    assert decide(policies, "ecs:UpdateService", resource)[0] == expected


@pytest.mark.parametrize(
    ("effect", "condition", "context", "expected"),
    [
        ("Allow", {"StringEquals": {"iam:PassedToService": "ecs"}}, {"iam:passedtoservice": ["ecs"]}, "allowed"),
        ("Allow", {"StringEquals": {"iam:PassedToService": "ecs"}}, {"iam:passedtoservice": ["ec2"]}, "implicitDeny"),
        ("Allow", {"StringEquals": {"iam:PassedToService": "ecs"}}, {}, "implicitDeny"),
        ("Allow", {"StringEqualsIfExists": {"iam:PassedToService": "ecs"}}, {}, "allowed"),
        ("Allow", {"StringLike": {"k": "a*"}}, {"k": ["abc"]}, "allowed"),
        ("Allow", {"StringNotEquals": {"k": "a"}}, {"k": ["b"]}, "allowed"),
        ("Allow", {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*"}}, {"aws:sourcearn": ["arn:aws:sns:x"]}, "allowed"),
        ("Allow", {"Null": {"k": "true"}}, {}, "allowed"),
        ("Allow", {"DateGreaterThan": {"aws:CurrentTime": "2020"}}, {"aws:currenttime": ["2026"]}, "implicitDeny"),
        ("Deny", {"Bool": {"aws:SecureTransport": "false"}}, {"aws:securetransport": ["true"]}, "implicitDeny"),
        ("Deny", {"Bool": {"aws:SecureTransport": "false"}}, {"aws:securetransport": ["false"]}, "explicitDeny"),
        ("Deny", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:sourceip": ["10.1.1.1"]}, "explicitDeny"),
    ],
)
def test_conditions(effect: str, condition: dict[str, Any], context: dict[str, list[str]], expected: str) -> None:
    """What cannot be told never widens: an allow does not hold, a deny does."""
    assert decide([policy(effect, Condition=condition)], "ecs:UpdateService", SERVICE, context)[0] == expected
