"""The guide's commands as they are written, over prerequisites that are right: what they leave wrong (Plan.literal).

Numbers are lines of the guide. Only what the emulator can represent is here; each piece is put in the place of a call
of the blueprint.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from cutover.aws.blueprint import Call
from cutover.rehearsal.cloud.iam import DEPLOYER
from cutover.rehearsal.cloud.provision.plan import Hands

CURL = "curl -f http://localhost:5000/api/health || exit 1"
"""The container's health check (384); node:*-alpine has no curl."""
MANGLED_HASH = "b2-bcrypt-hash"
"""What the shell leaves of `"$2b$12$your-bcrypt-hash"` in double quotes (470)."""
FORGOTTEN = frozenset({"redis-group", "rotation", "pipeline"})
"""Resources that the guide needs and never makes."""
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                *(f"{s}:*" for s in ("ec2", "ecs", "ecr", "rds", "elasticache", "elasticloadbalancing", "s3")),
                *(f"{s}:*" for s in ("secretsmanager", "cloudwatch", "logs")),
                "iam:PassRole",
            ],
            "Resource": "*",
        }
    ],
}
"""Ten services whole, and PassRole on every role (97-120)."""

Arguments = Mapping[str, Any]


def as_written(call: Call) -> Call | None:
    """A call of the blueprint as the guide writes it; None where it has no such call."""
    change = _WRITTEN.get(call.operation)
    arguments = change(call.arguments) if change else call.arguments
    return None if arguments is None else dataclasses.replace(call, arguments=arguments)


def _without(*names: str, **instead: Any) -> Callable[[Arguments], Arguments]:
    return lambda wanted: {k: v for k, v in wanted.items() if k not in names} | instead


def _target_group(wanted: Arguments) -> Arguments:
    """The blue one (1135-1139) has no target type and no health path."""
    kept = ("Name", "Protocol", "Port", "VpcId")
    return {k: wanted[k] for k in kept} if wanted["Name"].endswith("-blue") else wanted


def _task_definition(wanted: Arguments) -> Arguments:
    """The container (341-389): `:latest`, curl, five secrets by partial ARNs, neither user nor version."""
    (container,) = wanted["containerDefinitions"]
    forgotten = ("user", "readonlyRootFilesystem", "stopTimeout")
    secrets = [s for s in container["secrets"] if not s["name"].startswith("SMTP_")]
    written = {k: v for k, v in container.items() if k not in forgotten} | {
        "image": container["image"].rsplit(":", 1)[0] + ":latest",
        "environment": [e for e in container["environment"] if e["name"] != "APP_VERSION"],
        "secrets": [{**s, "valueFrom": s["valueFrom"].rsplit("-", 1)[0]} for s in secrets],
        "healthCheck": {**container["healthCheck"], "command": ["CMD-SHELL", CURL]},
    }
    return {**wanted, "containerDefinitions": [written]}


def _secret(wanted: Arguments) -> Arguments:
    """The secrets (452-470): redis:// beside encryption, a mangled hash."""
    text = MANGLED_HASH if wanted["Name"].endswith("-hash") else wanted["SecretString"]
    return {**wanted, "SecretString": text.replace("rediss://", "redis://", 1)}


def _alarm(wanted: Arguments) -> Arguments | None:
    """Two alarms without dimensions (594-615); none for the rollback criteria."""
    if wanted["AlarmName"] not in ("shadowtwin-high-cpu", "shadowtwin-db-connections"):
        return None
    kept = ("AlarmName", "Namespace", "MetricName", "Statistic", "Period", "Threshold", "ComparisonOperator",
            "EvaluationPeriods", "AlarmActions")  # fmt: skip
    return {k: wanted[k] for k in kept}


_WRITTEN: Mapping[str, Callable[[Arguments], Arguments | None]] = {
    "create_security_group": _without("VpcId"),
    "create_db_instance": _without(
        "DBName", "MaxAllocatedStorage", "DBParameterGroupName", "ManageMasterUserPassword",
        "EnableCloudwatchLogsExports", "EnablePerformanceInsights", "CopyTagsToSnapshot",
        BackupRetentionPeriod=7, MasterUserPassword="rehearsal-only"),
    "create_replication_group": _without(
        "CacheParameterGroupName", "AuthToken", "SnapshotRetentionLimit", TransitEncryptionEnabled=True),
    "create_repository": lambda wanted: {**wanted, "imageTagMutability": "MUTABLE"},
    "create_target_group": _target_group,
    "modify_target_group_attributes": lambda wanted: None if "-blue/" in wanted["TargetGroupArn"] else wanted,
    "create_secret": _secret,
    "create_listener": _without("SslPolicy"),
    "register_task_definition": _task_definition,
    "create_service": _without(
        "healthCheckGracePeriodSeconds",
        deploymentConfiguration={"maximumPercent": 200, "minimumHealthyPercent": 100}),
    "create_topic": _without("Tags"),
    "subscribe": lambda wanted: None,
    "put_metric_alarm": _alarm,
    "put_composite_alarm": lambda wanted: None,
}  # fmt: skip
"""By operation: database and queue without names, growth, parameter groups and token (131-144, 430-441); the groups
without a VPC, the listener without a TLS policy, a service without circuit breaker, alarms and grace (400-406)."""


def build_deployer(hands: Hands) -> None:
    """The principal with the guide's own policy."""
    iam = hands.client("iam")
    iam.create_user(UserName=DEPLOYER)
    iam.put_user_policy(UserName=DEPLOYER, PolicyName="guide", PolicyDocument=json.dumps(POLICY))
