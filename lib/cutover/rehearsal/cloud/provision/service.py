"""Image, certificate, balancer, and the ECS service with its scaling (guide lines 262-410, 494-574, corrected)."""

from __future__ import annotations

import json
import time
from typing import Any

from cutover.errors import StageError
from cutover.rehearsal.cloud.provision import literal
from cutover.rehearsal.cloud.provision.access import EXECUTION_ROLE, TASK_ROLE
from cutover.rehearsal.cloud.provision.plan import REGION, Hands, lower_tags, manifest, tags

HEALTH = (
    "node -e \"fetch('http://127.0.0.1:5000/api/health').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))\""
)
"""The container's own check: node:*-alpine has no curl, and `localhost` may be ::1 (guide line 384)."""

_SECRETS = {
    "DATABASE_URL": "database",
    "REDIS_URL": "redis",
    "OPENAI_API_KEY": "openai",
    "ADMIN_EMAIL": "admin-email",
    "ADMIN_PASSWORD_HASH": "admin-password-hash",
}
_SMTP = ("SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_PASS", "SMTP_FROM")


def build_images(hands: Hands) -> None:
    """An immutable repository with the releases in it, each scanned."""
    ecr = hands.client("ecr")
    ecr.create_repository(
        repositoryName="shadowtwin",
        imageTagMutability="MUTABLE" if hands.plan.literal else "IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration={"encryptionType": "AES256"},
        tags=tags(),
    )
    rule = {
        "rulePriority": 1,
        "description": "keep the last fifty releases",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50},
        "action": {"type": "expire"},
    }
    ecr.put_lifecycle_policy(repositoryName="shadowtwin", lifecyclePolicyText=json.dumps({"rules": [rule]}))
    filters = [{"filter": "*", "filterType": "WILDCARD"}]
    ecr.put_registry_scanning_configuration(
        scanType="BASIC", rules=[{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": filters}]
    )
    latest = ("latest",) if hands.plan.literal else ()
    for version in dict.fromkeys((hands.plan.previous, hands.plan.version, *hands.plan.releases, *latest)):
        ecr.put_image(repositoryName="shadowtwin", imageManifest=manifest(version), imageTag=version)


def build_balancer(hands: Hands) -> None:
    """Certificate, balancer, two equal target groups, and listeners that speak no old TLS."""
    made, plan = hands.made, hands.plan
    zone = plan.hostname.split(".", 1)[1]
    certificate = hands.client("acm").request_certificate(
        DomainName=plan.hostname,
        SubjectAlternativeNames=[plan.hostname, zone, f"www.{zone}"],
        ValidationMethod="DNS",
        Tags=tags(),
    )["CertificateArn"]
    elb = hands.client("elbv2")
    balancer = elb.create_load_balancer(
        Name="shadowtwin-alb",
        Subnets=made["public_subnets"],
        SecurityGroups=[made["alb_group"]],
        Scheme="internet-facing",
        Type="application",
        Tags=tags(),
    )["LoadBalancers"][0]
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Attributes=_attributes(
            {
                "deletion_protection.enabled": "true",
                "access_logs.s3.enabled": "true",
                "access_logs.s3.bucket": "shadowtwin-audit",
                "idle_timeout.timeout_seconds": "60",
                "routing.http.drop_invalid_header_fields.enabled": "true",
            }
        ),
    )
    groups = {"shadowtwin-tg": _target_group(elb, "shadowtwin-tg", made["vpc"])}
    blue = literal.build_blue(hands) if plan.literal else _target_group(elb, "shadowtwin-tg-blue", made["vpc"])
    groups["shadowtwin-tg-blue"] = blue
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=443,
        **({} if plan.literal else {"SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06"}),
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": groups["shadowtwin-tg"]}],
        Tags=tags(),
    )
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[
            {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
        ],
        Tags=tags(),
    )
    made |= {
        "certificate": certificate,
        "load_balancer": balancer["LoadBalancerArn"],
        "load_balancer_dns": balancer["DNSName"],
        "load_balancer_zone": balancer["CanonicalHostedZoneId"],
        "target_group": groups["shadowtwin-tg"],
        "blue_target_group": groups["shadowtwin-tg-blue"],
    }


def _target_group(elb: Any, name: str, vpc: str) -> str:
    """Both groups are made with the same settings: the guide's blue one is of type instance and asks `/`."""
    arn = elb.create_target_group(
        Name=name,
        Protocol="HTTP",
        Port=5000,
        VpcId=vpc,
        TargetType="ip",
        HealthCheckProtocol="HTTP",
        HealthCheckPath="/api/health",
        HealthCheckEnabled=True,
        HealthCheckIntervalSeconds=30,
        HealthCheckTimeoutSeconds=5,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=3,
        Matcher={"HttpCode": "200"},
        Tags=tags(),
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=_attributes({"deregistration_delay.timeout_seconds": "30"})
    )
    return str(arn)


def _attributes(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in values.items()]


def build_service(hands: Hands) -> None:
    """Cluster, task definition and service. Logs, secrets and groups are there by now: the guide makes them later."""
    made, ecs = hands.made, hands.client("ecs")
    ecs.create_cluster(
        clusterName="shadowtwin-cluster",
        settings=[{"name": "containerInsights", "value": "enabled"}],
        capacityProviders=["FARGATE"],
        tags=lower_tags(),
    )
    revisions = [_register(hands, version) for version in (hands.plan.previous, hands.plan.version)]
    wanted = {
        "cluster": "shadowtwin-cluster",
        "serviceName": "shadowtwin-service",
        "taskDefinition": revisions[-1],
        "desiredCount": 2,
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": made["private_subnets"],
                "securityGroups": [made["ecs_group"]],
                "assignPublicIp": "DISABLED",
            }
        },
        "loadBalancers": [
            {"targetGroupArn": made["target_group"], "containerName": "shadowtwin", "containerPort": 5000}
        ],
        "deploymentConfiguration": {
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            "alarms": {
                "alarmNames": ["shadowtwin-error-rate", "shadowtwin-p95-latency"],
                "enable": True,
                "rollback": True,
            },
        },
        "healthCheckGracePeriodSeconds": 60,
        "enableExecuteCommand": False,
        "propagateTags": "SERVICE",
        "tags": lower_tags(),
    }
    service = ecs.create_service(**(literal.service(wanted) if hands.plan.literal else wanted))["service"]
    made |= {"service": service["serviceArn"], "task_definition": revisions[-1]}


def wait_for_service(hands: Hands, *, timeout_s: float = 60.0) -> None:
    """Until the first deployment is COMPLETED.

    Raises:
        StageError: it failed, or takes longer.
    """
    ecs, end = hands.client("ecs"), time.monotonic() + timeout_s
    while time.monotonic() < end:
        service = ecs.describe_services(cluster="shadowtwin-cluster", services=["shadowtwin-service"])["services"][0]
        states = [d["rolloutState"] for d in service["deployments"]]
        if states == ["COMPLETED"]:
            return
        if "FAILED" in states:
            break
        time.sleep(0.1)
    events = "\n".join(e["message"] for e in service["events"][:5])
    raise StageError(
        f"The first release did not start on the emulated ECS: {states}.",
        why=events,
        todo="look into the tasks' logs in the state folder: tasks/*.log",
    )


def _register(hands: Hands, version: str) -> str:
    """One revision; its image is pinned to a tag that cannot move."""
    arns = hands.made["secrets"]
    smtp = [] if hands.plan.literal else [{"name": name, "valueFrom": f"{arns['smtp']}:{name}::"} for name in _SMTP]
    container: dict[str, Any] = {
        "name": "shadowtwin",
        "image": f"{hands.plan.repository}:{version}",
        "essential": True,
        "user": "1001",
        "readonlyRootFilesystem": True,
        "stopTimeout": 30,
        "portMappings": [{"containerPort": 5000, "hostPort": 5000, "protocol": "tcp"}],
        "environment": [
            {"name": "NODE_ENV", "value": "production"},
            {"name": "PORT", "value": "5000"},
            {"name": "APP_VERSION", "value": version},
        ],
        "secrets": [{"name": name, "valueFrom": arns[key]} for name, key in _SECRETS.items()] + smtp,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": "/ecs/shadowtwin",
                "awslogs-region": REGION,
                "awslogs-stream-prefix": "ecs",
            },
        },
        "healthCheck": {
            "command": ["CMD-SHELL", HEALTH],
            "interval": 30,
            "timeout": 5,
            "retries": 3,
            "startPeriod": 60,
        },
    }
    definition = hands.client("ecs").register_task_definition(
        family="shadowtwin",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="1024",
        memory="2048",
        executionRoleArn=EXECUTION_ROLE,
        taskRoleArn=TASK_ROLE,
        runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        containerDefinitions=[literal.container(container, hands.plan.repository) if hands.plan.literal else container],
        tags=lower_tags(),
    )
    return str(definition["taskDefinition"]["taskDefinitionArn"])


def build_scaling(hands: Hands) -> None:
    """Two to twenty tasks, by CPU and memory."""
    scaling = hands.client("application-autoscaling")
    target = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/shadowtwin-cluster/shadowtwin-service",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    scaling.register_scalable_target(**target, MinCapacity=2, MaxCapacity=20, Tags={"Project": "shadowtwin"})
    for name, metric, value in (
        ("shadowtwin-cpu-scaling", "ECSServiceAverageCPUUtilization", 70.0),
        ("shadowtwin-memory-scaling", "ECSServiceAverageMemoryUtilization", 75.0),
    ):
        scaling.put_scaling_policy(
            **target,
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": value,
                "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
                "ScaleOutCooldown": 60,
                "ScaleInCooldown": 300,
            },
        )
