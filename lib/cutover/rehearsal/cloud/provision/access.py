"""Roles of least privilege, the deployer, and the pipeline's identity provider (guide lines 97-120, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.aws.permissions import policy
from cutover.rehearsal.cloud.iam import DEPLOYER
from cutover.rehearsal.cloud.provision.plan import ACCOUNT, REGION, Hands, tags

EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"
TASK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/shadowtwinTaskRole"
SECRETS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shadowtwin/*"


def _allow(actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def build_roles(hands: Hands) -> None:
    """The service's roles: what ECS needs to start a task, and what the application needs while it runs."""
    iam = hands.client("iam")
    _role(iam, "ecsTaskExecutionRole", "ecs-tasks.amazonaws.com")
    iam.attach_role_policy(
        RoleName="ecsTaskExecutionRole",
        PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",
    )
    _inline(iam, "ecsTaskExecutionRole", "shadowtwin-secrets", _allow(["secretsmanager:GetSecretValue"], SECRETS))
    _role(iam, "shadowtwinTaskRole", "ecs-tasks.amazonaws.com")
    _inline(
        iam,
        "shadowtwinTaskRole",
        "shadowtwin-reports",
        _allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "arn:aws:s3:::shadowtwin-reports/*"),
        _allow(["s3:ListBucket"], "arn:aws:s3:::shadowtwin-reports"),
    )
    _role(iam, "rds-monitoring-role", "monitoring.rds.amazonaws.com")
    iam.attach_role_policy(
        RoleName="rds-monitoring-role",
        PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
    )
    _role(iam, "shadowtwin-rotation", "lambda.amazonaws.com")
    _inline(
        iam,
        "shadowtwin-rotation",
        "shadowtwin-rotation",
        _allow(["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"], SECRETS),
    )


def build_deployer(hands: Hands, zone: str) -> None:
    """The principal that the runbook runs as, and the provider through which the pipeline signs in without keys."""
    iam = hands.client("iam")
    iam.create_user(UserName=DEPLOYER, Tags=tags())
    for name in ("read", "write"):
        policy = iam.create_policy(
            PolicyName=f"shadowtwin-deploy-{name}",
            PolicyDocument=deployer_policy(name, zone),
            Description=f"ShadowTwin runbook: {name}",
            Tags=tags(),
        )
        iam.attach_user_policy(UserName=DEPLOYER, PolicyArn=policy["Policy"]["Arn"])
    iam.create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com",
        ClientIDList=["sts.amazonaws.com"],
        ThumbprintList=["6938fd4d98bab03faadb97b34396831e3780aea1"],
        Tags=tags(),
    )
    hands.made["deployer"] = iam.get_user(UserName=DEPLOYER)["User"]["Arn"]


def deployer_policy(name: str, zone: str) -> str:
    """docs/iam-policy.json for this account and the hosted zone `zone`: its statement to look, or those to act."""
    whole = policy(account=ACCOUNT, region=REGION, zone=zone)
    whole["Statement"] = [s for s in whole["Statement"] if (s["Sid"] == "Look") is (name == "read")]
    return json.dumps(whole, separators=(",", ":"))


def _role(iam: Any, name: str, service: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust), Tags=tags())


def _inline(iam: Any, role: str, name: str, *statements: dict[str, Any]) -> None:
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=_document(*statements))


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, separators=(",", ":"))
