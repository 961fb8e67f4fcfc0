"""Roles of least privilege, the deployer, and the pipeline's identity provider (guide lines 97-120, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.rehearsal.cloud.iam import DEPLOYER
from cutover.rehearsal.cloud.provision.plan import ACCOUNT, REGION, Hands, tags

_READS = {
    "acm": ("DescribeCertificate", "ListCertificates"),
    "application-autoscaling": ("DescribeScalableTargets", "DescribeScalingActivities", "DescribeScalingPolicies"),
    "budgets": ("ViewBudget",),
    "ce": ("GetCostAndUsage", "GetCostForecast"),
    "cloudfront": ("GetDistribution", "GetDistributionConfig", "ListDistributions"),
    "cloudtrail": ("DescribeTrails", "LookupEvents"),
    "cloudwatch": ("DescribeAlarms", "DescribeAlarmHistory", "GetDashboard", "GetMetricData", "GetMetricStatistics", "ListMetrics"),
    "ec2": ("Describe*", "GetEbsEncryptionByDefault"),
    "ecr": ("DescribeImages", "DescribeImageScanFindings", "DescribeRepositories", "GetAuthorizationToken", "GetLifecyclePolicy", "GetRegistryScanningConfiguration"),
    "ecs": ("Describe*", "List*"),
    "elasticache": ("Describe*",),
    "elasticloadbalancing": ("Describe*",),
    "guardduty": ("ListDetectors",),
    "health": ("DescribeEvents",),
    "iam": ("GetInstanceProfile", "GetPolicy", "GetPolicyVersion", "GetRole", "GetRolePolicy", "GetUser", "GetUserPolicy", "ListAccessKeys", "ListAttachedRolePolicies", "ListAttachedUserPolicies", "ListOpenIDConnectProviders", "ListRolePolicies", "ListUserPolicies", "SimulatePrincipalPolicy"),
    "lambda": ("GetFunctionConfiguration",),
    "logs": ("DescribeLogGroups", "DescribeLogStreams", "DescribeMetricFilters", "FilterLogEvents", "GetQueryResults", "StartQuery"),
    "pricing": ("GetProducts",),
    "rds": ("Describe*",),
    "route53": ("GetChange", "GetHostedZone", "ListHealthChecks", "ListHostedZones", "ListHostedZonesByName", "ListResourceRecordSets", "TestDNSAnswer"),
    "s3": ("GetBucket*", "GetEncryptionConfiguration", "GetLifecycleConfiguration", "ListAllMyBuckets", "ListBucket"),
    "secretsmanager": ("DescribeSecret", "GetRandomPassword", "GetResourcePolicy", "ListSecrets", "ListSecretVersionIds"),
    "servicequotas": ("GetServiceQuota", "ListServiceQuotas"),
    "sns": ("GetTopicAttributes", "ListSubscriptionsByTopic", "ListTopics"),
    "sts": ("GetCallerIdentity",),
    "tag": ("GetResources",),
    "wafv2": ("ListWebACLs",),
}  # fmt: skip

_E, _A = f"{REGION}:{ACCOUNT}", ACCOUNT
EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"
TASK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/shadowtwinTaskRole"
SECRETS = f"arn:aws:secretsmanager:{_E}:secret:shadowtwin/*"


def _allow(actions: list[str], *resources: str, **condition: Any) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
    return statement | ({"Condition": condition} if condition else {})


def _writes(zone: str) -> list[dict[str, Any]]:
    """What the runbook changes, resource by resource."""
    service = f"arn:aws:ecs:{_E}:service/shadowtwin-cluster/*"
    return [
        _allow(["ecs:UpdateService", "ecs:StopServiceDeployment"], service, f"{service.replace('service/', 'service-deployment/')}"),
        _allow(["ecs:RegisterTaskDefinition"], "*"),
        _allow(["ecs:RunTask", "ecs:StopTask"], f"arn:aws:ecs:{_E}:task-definition/shadowtwin*", f"arn:aws:ecs:{_E}:task/shadowtwin-cluster/*"),
        _allow(["iam:PassRole"], EXECUTION_ROLE, TASK_ROLE, StringEqualsIfExists={"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
        _allow(
            ["rds:AddTagsToResource", "rds:CreateDBSnapshot", "rds:ModifyDBInstance", "rds:RebootDBInstance", "rds:RestoreDBInstanceFromDBSnapshot", "rds:RestoreDBInstanceToPointInTime"],
            f"arn:aws:rds:{_E}:db:shadowtwin-*",
            f"arn:aws:rds:{_E}:snapshot:shadowtwin-*",
            f"arn:aws:rds:{_E}:pg:shadowtwin-*",
            f"arn:aws:rds:{_E}:subgrp:shadowtwin-*",
        ),
        _allow(["elasticache:CreateSnapshot", "elasticache:ModifyReplicationGroup", "elasticache:TestFailover"], f"arn:aws:elasticache:{_E}:*:shadowtwin-*"),
        _allow(["route53:ChangeResourceRecordSets"], f"arn:aws:route53:::hostedzone/{zone}"),
        _allow(
            ["elasticloadbalancing:CreateRule", "elasticloadbalancing:DeleteRule", "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes"],
            f"arn:aws:elasticloadbalancing:{_E}:listener/app/shadowtwin-alb/*",
            f"arn:aws:elasticloadbalancing:{_E}:listener-rule/app/shadowtwin-alb/*",
            f"arn:aws:elasticloadbalancing:{_E}:targetgroup/shadowtwin-*",
        ),
        _allow(["application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget"], f"arn:aws:application-autoscaling:{_E}:scalable-target/*"),
        _allow(["cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions", "cloudwatch:PutCompositeAlarm", "cloudwatch:PutMetricAlarm", "cloudwatch:SetAlarmState"], f"arn:aws:cloudwatch:{_E}:alarm:shadowtwin-*"),
        _allow(["cloudwatch:PutDashboard"], f"arn:aws:cloudwatch::{_A}:dashboard/shadowtwin*"),
        _allow(["logs:PutMetricFilter", "logs:PutRetentionPolicy"], f"arn:aws:logs:{_E}:log-group:/ecs/shadowtwin*"),
        _allow(["sns:Publish"], f"arn:aws:sns:{_E}:alerts"),
        _allow(["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "secretsmanager:RotateSecret", "secretsmanager:UpdateSecretVersionStage"], SECRETS),
        _allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::shadowtwin-reports/*"),
        _allow(["ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"], f"arn:aws:ecr:{_E}:repository/shadowtwin"),
    ]  # fmt: skip


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
    reads = [f"{service}:{action}" for service, actions in _READS.items() for action in actions]
    for name, statements in (("read", [_allow(reads, "*")]), ("write", _writes(zone))):
        policy = iam.create_policy(
            PolicyName=f"shadowtwin-deploy-{name}",
            PolicyDocument=_document(*statements),
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


def _role(iam: Any, name: str, service: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust), Tags=tags())


def _inline(iam: Any, role: str, name: str, *statements: dict[str, Any]) -> None:
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=_document(*statements))


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, separators=(",", ":"))


