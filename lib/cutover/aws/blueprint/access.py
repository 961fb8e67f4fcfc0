"""Roles of least privilege, and the pipeline's identity provider (guide lines 97-120, corrected)."""

from __future__ import annotations

from cutover.aws.blueprint.operation import Call, call, resource
from cutover.aws.blueprint.site import Site
from cutover.aws.blueprint.storage import document


def _role(site: Site, name: str, service: str) -> Call:
    trust = document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})
    return call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=trust, Tags=site.tags)


def _attach(role: str, policy: str, fixes: str = "") -> Call:
    arn = f"arn:aws:iam::aws:policy/service-role/{policy}"
    return call("iam", "attach_role_policy", fixes=fixes, RoleName=role, PolicyArn=arn)


@resource("execution-role", "the role that fetches image and secrets", fixes="IAM-01..03", gives="EXECUTION_ROLE")
def execution_role(site: Site) -> list[Call]:
    """The policy names this migration's secrets, not `*`."""
    name = site.expect.ecs.execution_role
    arn = f"arn:aws:secretsmanager:{site.region}:{site.account}:secret:{site.name}/*"
    read = document({"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": arn})
    return [
        _role(site, name, "ecs-tasks.amazonaws.com"),
        _attach(name, site.expect.iam.execution_policy, "IAM-02"),
        call("iam", "put_role_policy", fixes="IAM-03", RoleName=name, PolicyName=f"{site.name}-secrets",
             PolicyDocument=read),
    ]  # fmt: skip


@resource("task-role", "the role that the application acts with", fixes="IAM-04", gives="TASK_ROLE")
def task_role(site: Site) -> list[Call]:
    """The reports, and nothing else."""
    name, bucket = site.expect.ecs.task_role, f"arn:aws:s3:::{site.reports}"
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    allowed = document(
        {"Effect": "Allow", "Action": objects, "Resource": f"{bucket}/*"},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": bucket},
    )
    return [
        _role(site, name, "ecs-tasks.amazonaws.com"),
        call("iam", "put_role_policy", fixes="IAM-04", RoleName=name, PolicyName=f"{site.name}-reports",
             PolicyDocument=allowed),
    ]  # fmt: skip


@resource("monitoring-role", "the role of enhanced monitoring", fixes="", gives="MONITORING_ROLE",
          probe=lambda site: call("iam", "get_role", RoleName="rds-monitoring-role"))  # fmt: skip
def monitoring_role(site: Site) -> list[Call]:
    """RDS writes the operating system's metrics with it."""
    return [
        _role(site, "rds-monitoring-role", "monitoring.rds.amazonaws.com"),
        _attach("rds-monitoring-role", "AmazonRDSEnhancedMonitoringRole"),
    ]


@resource("pipeline", "the provider through which the pipeline signs in without a key", fixes="IAM-06", gives="OIDC")
def pipeline(site: Site) -> list[Call]:
    """The guide's workflow keeps a key that never ends."""
    return [
        call("iam", "create_open_id_connect_provider", Url=f"https://{site.expect.iam.oidc_provider}",
             ClientIDList=["sts.amazonaws.com"], Tags=site.tags)
    ]  # fmt: skip
