"""The least that the runbook's caller must be allowed: one statement to look, and one for each kind of change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cutover.expectations import Expectations

RECORD = Path(__file__).with_name("permissions.json")
"""The actions behind every call of Cutover's source; `.ci/iam_policy.py` writes it and docs/iam-policy.json anew."""

_UNSCOPED = {"ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition", "secretsmanager:GetRandomPassword"}
"""Actions for which IAM knows no resource."""


def recorded() -> dict[str, list[str]]:
    """The actions as they were generated.

    Raises:
        OSError, ValueError: the record is not there or broken.
    """
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def resources(
    action: str, expect: Expectations, *, account: str, region: str, zone: str, name: str = "shadowtwin",
    bucket: str = "shadowtwin-reports", balancer: str = "shadowtwin-alb",
) -> list[str]:  # fmt: skip
    """The ARNs that an action is needed on.

    Raises:
        KeyError: nobody has said so yet.
    """
    if action in _UNSCOPED:
        return ["*"]
    e, home = expect, f"{region}:{account}"
    if action == "iam:PassRole":
        return [f"arn:aws:iam::{account}:role/{r}" for r in (e.ecs.execution_role, e.ecs.task_role)]
    by_service: dict[str, list[str]] = {
        "ecs": [
            f"arn:aws:ecs:{home}:{kind}/{e.ecs.cluster}/*" for kind in ("service", "service-deployment", "task")
        ] + [f"arn:aws:ecs:{home}:task-definition/{f}:*" for f in (e.ecs.task_definition, f"{name}-load-worker")],
        "rds": [f"arn:aws:rds:{home}:db:{name}-*", f"arn:aws:rds:{home}:snapshot:{name}-*",
                f"arn:aws:rds:{home}:pg:{name}-*", f"arn:aws:rds:{home}:subgrp:{name}-*"],
        "elasticache": [f"arn:aws:elasticache:{home}:replicationgroup:{e.redis.replication_group}",
                        f"arn:aws:elasticache:{home}:snapshot:{name}-*"],
        "route53": [f"arn:aws:route53:::hostedzone/{zone}"],
        "elasticloadbalancing": [f"arn:aws:elasticloadbalancing:{home}:{kind}/{rest}" for kind, rest in (
            ("loadbalancer", f"app/{balancer}/*"), ("listener", f"app/{balancer}/*"),
            ("listener-rule", f"app/{balancer}/*"), ("targetgroup", f"{name}-*"))],
        "application-autoscaling": [f"arn:aws:application-autoscaling:{home}:scalable-target/*"],
        "cloudwatch": [f"arn:aws:cloudwatch:{home}:alarm:{name}-*", f"arn:aws:cloudwatch::{account}:dashboard/{name}*"],
        "logs": [f"arn:aws:logs:{home}:log-group:{e.logs.group}*"],
        "sns": [f"arn:aws:sns:{home}:{e.alarms.topic}"],
        "secretsmanager": [f"arn:aws:secretsmanager:{home}:secret:{name}/*"],
        "s3": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "lambda": [f"arn:aws:lambda:{home}:function:{name}-*"],
        "ssm": [f"arn:aws:ssm:{home}:*"],
        "events": [f"arn:aws:events:{home}:rule/{name}-*"],
        "cloudfront": [f"arn:aws:cloudfront::{account}:distribution/*"],
    }  # fmt: skip
    return by_service[action.partition(":")[0]]


def policy(
    actions: Mapping[str, Iterable[str]] | None = None,
    expect: Expectations | None = None,
    *,
    account: str = "ACCOUNT_ID",
    region: str = "REGION",
    zone: str = "ZONE_ID",
    **names: str,
) -> dict[str, Any]:
    """The policy document: a statement `Look`, and one for the changes of each service, on this stack's resources.

    Args:
        actions: `looks` and `changes`; the recorded ones when None.
        expect: names of the stack.
        account, region, zone: placeholders stay where they are not given.
        names: as `resources` takes them.
    """
    given, e = actions or recorded(), expect or Expectations()
    grouped: dict[str, list[str]] = {}
    for action in given["changes"]:
        arns = resources(action, e, account=account, region=region, zone=zone, **names)
        grouped.setdefault(json.dumps(arns), []).append(action)
    statements: list[dict[str, Any]] = [
        {"Sid": "Look", "Effect": "Allow", "Action": sorted(given["looks"]), "Resource": "*"}
    ]
    for on, same in sorted(grouped.items(), key=lambda item: item[1]):
        anywhere = "Anywhere" if len(same) > 1 and json.loads(on) == ["*"] else ""
        statement = {
            "Sid": _sid(same) + anywhere,
            "Effect": "Allow",
            "Action": sorted(same),
            "Resource": json.loads(on),
        }
        if same == ["iam:PassRole"]:
            statement["Condition"] = {"StringEqualsIfExists": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
        statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


def _sid(actions: list[str]) -> str:
    service, _, verb = actions[0].partition(":")
    word = "".join(part.capitalize() for part in service.split("-"))
    return "Act" + word + (verb if len(actions) == 1 else "")
