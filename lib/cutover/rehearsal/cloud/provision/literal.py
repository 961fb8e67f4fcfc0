"""The guide's commands as they are written, over prerequisites that are right: what they leave wrong (Plan.literal).

Numbers are lines of the guide. Only what the emulator can represent is here; each piece replaces what the corrected
build would have given.
"""

from __future__ import annotations

import json
from typing import Any

from cutover.rehearsal.cloud.iam import DEPLOYER
from cutover.rehearsal.cloud.provision.plan import ACCOUNT, REGION, Hands

CURL = "curl -f http://localhost:5000/api/health || exit 1"
"""The container's health check (384); node:*-alpine has no curl."""
MANGLED_HASH = "b2-bcrypt-hash"
"""What the shell leaves of `"$2b$12$your-bcrypt-hash"` in double quotes (470)."""
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


def instance(wanted: dict[str, Any]) -> dict[str, Any]:
    """create-db-instance without database name, growth and parameter group (131-144)."""
    forgotten = ("DBName", "MaxAllocatedStorage", "DBParameterGroupName", "ManageMasterUserPassword",
                 "EnableCloudwatchLogsExports", "EnablePerformanceInsights", "CopyTagsToSnapshot")  # fmt: skip
    kept = {k: v for k, v in wanted.items() if k not in forgotten}
    return kept | {"BackupRetentionPeriod": 7, "MasterUserPassword": "rehearsal-only"}


def replication_group(wanted: dict[str, Any]) -> dict[str, Any]:
    """create-replication-group without parameter group, token and snapshots (430-441); encrypted, all the same."""
    forgotten = ("CacheParameterGroupName", "AuthToken", "SnapshotRetentionLimit")
    return {k: v for k, v in wanted.items() if k not in forgotten} | {"TransitEncryptionEnabled": True}


def secrets(values: dict[str, str]) -> dict[str, str]:
    """The five secrets (452-470): redis:// beside encryption, a mangled hash, no mail server."""
    redis = "redis://" + values["redis"].split("://", 1)[1]
    kept = {k: v for k, v in values.items() if k != "smtp"}
    return kept | {"redis": redis, "admin-password-hash": MANGLED_HASH}


def container(wanted: dict[str, Any], repository: str) -> dict[str, Any]:
    """The container (341-389): `:latest`, curl, five secrets by partial ARNs, neither user nor version."""
    forgotten = ("user", "readonlyRootFilesystem", "stopTimeout")
    names = {s["name"]: s["valueFrom"] for s in wanted["secrets"] if not s["name"].startswith("SMTP_")}
    secrets = [{"name": n, "valueFrom": arn.rsplit("-", 1)[0]} for n, arn in names.items()]
    return {k: v for k, v in wanted.items() if k not in forgotten} | {
        "image": f"{repository}:latest",
        "environment": [e for e in wanted["environment"] if e["name"] != "APP_VERSION"],
        "secrets": secrets,
        "healthCheck": {**wanted["healthCheck"], "command": ["CMD-SHELL", CURL]},
    }


def service(wanted: dict[str, Any]) -> dict[str, Any]:
    """create-service (400-406): neither circuit breaker nor alarms nor a grace period."""
    kept = {k: v for k, v in wanted.items() if k != "healthCheckGracePeriodSeconds"}
    return kept | {"deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100}}


def build_blue(hands: Hands) -> str:
    """The blue target group (1135-1139): no target type, no health path."""
    answer = hands.client("elbv2").create_target_group(
        Name="shadowtwin-tg-blue", Protocol="HTTP", Port=5000, VpcId=hands.made["vpc"]
    )
    return str(answer["TargetGroups"][0]["TargetGroupArn"])


def build_alarms(hands: Hands) -> None:
    """Two alarms without dimensions (594-615); none for the rollback criteria."""
    topic = hands.client("sns").create_topic(Name="alerts")["TopicArn"]
    hands.made["topic"] = topic
    for name, namespace, metric, above in (
        ("shadowtwin-high-cpu", "AWS/ECS", "CPUUtilization", 85.0),
        ("shadowtwin-db-connections", "AWS/RDS", "DatabaseConnections", 80.0),
    ):
        hands.client("cloudwatch").put_metric_alarm(
            AlarmName=name, Namespace=namespace, MetricName=metric, Statistic="Average", Period=300, Threshold=above,
            ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=2, AlarmActions=[topic],
        )  # fmt: skip


def build_deployer(hands: Hands) -> None:
    """The principal with the guide's own policy."""
    iam = hands.client("iam")
    iam.create_user(UserName=DEPLOYER)
    iam.put_user_policy(UserName=DEPLOYER, PolicyName="guide", PolicyDocument=json.dumps(POLICY))
    hands.made["deployer"] = f"arn:aws:iam::{ACCOUNT}:user/{DEPLOYER}"
    hands.made.setdefault("region", REGION)
