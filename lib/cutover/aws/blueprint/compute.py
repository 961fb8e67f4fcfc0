"""Images, and the ECS service with its scaling (guide lines 262-410, 529-574, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.aws.blueprint.network import PRIVATE
from cutover.aws.blueprint.operation import Call, Change, Demand, Node, Say, Wait, call, resource
from cutover.aws.blueprint.site import Site

HEALTH = (
    "node -e \"fetch('http://127.0.0.1:{port}{path}').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))\""
)
"""The container's own check: node:*-alpine has no curl, and `localhost` may be ::1 (guide line 384)."""


def _on_ecs(site: Site) -> bool:
    return site.compute == "ecs"


@resource("repository", "the image repository, its tags immutable", fixes="ECR-01..04 ECR-07 ECR-08",
          gives="REPOSITORY")  # fmt: skip
def repository(site: Site) -> list[Call]:
    """With a mutable `latest`, a rollback fetches the image it wanted to leave."""
    name: dict[str, Any] = {"repositoryName": site.expect.ecr.repository}
    rule = {
        "rulePriority": 1,
        "description": "keep the last fifty releases",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50},
        "action": {"type": "expire"},
    }
    scan = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}
    changes = (
        Change("put_image_scanning_configuration", name, {"ECR-02": "imageScanningConfiguration"}),
        Change("put_image_tag_mutability", name, {"ECR-04": "imageTagMutability"}),
    )
    return [
        call("ecr", "create_repository", changes=changes, **name, imageTagMutability="IMMUTABLE",
             imageScanningConfiguration={"scanOnPush": True},
             encryptionConfiguration={"encryptionType": site.expect.ecr.encryption[0]}, tags=site.tags),
        call("ecr", "put_lifecycle_policy", fixes="ECR-07", **name, lifecyclePolicyText=json.dumps({"rules": [rule]})),
        call("ecr", "put_registry_scanning_configuration", fixes="ECR-08", scanType="BASIC", rules=[scan]),
    ]  # fmt: skip


@resource("cluster", "the ECS cluster, which the guide uses and never creates", fixes="ECS-01 ECS-02", gives="CLUSTER",
          applies=_on_ecs)  # fmt: skip
def cluster(site: Site) -> list[Call]:
    """With Container Insights: task count and memory are not in CloudWatch without it."""
    name = site.expect.ecs.cluster
    change = Change("update_cluster_settings", {"cluster": name}, {"ECS-02": "settings"})
    return [
        call("ecs", "create_cluster", changes=(change,), clusterName=name,
             settings=[{"name": "containerInsights", "value": "enabled"}], capacityProviders=["FARGATE"],
             tags=site.lower_tags)
    ]  # fmt: skip


@resource("image", "the release's image: it is built and pushed elsewhere, and the script stops until it is there",
          fixes="ECR-05 ECR-06", needs="repository", gives="IMAGE")  # fmt: skip
def image(site: Site) -> list[Node]:
    """A deployment of an image that is not there hangs in PROVISIONING until someone looks."""
    registry = f"{site.account}.dkr.ecr.{site.region}.amazonaws.com"
    name, _, digest = site.image.partition("@")
    identity = {"imageDigest": digest} if digest else {"imageTag": name.rsplit(":", 1)[-1]}
    look = call("ecr", "describe_images", repositoryName=site.expect.ecr.repository, imageIds=[identity])
    return [
        Demand(
            look,
            (
                f"The image {site.image} is not pushed yet. Build and push it:",
                f"  aws ecr get-login-password --region {site.region} | docker login --username AWS "
                f"--password-stdin {registry}",
                f"  docker build -t {name} . && docker push {name}",
                "Then check the account again (02) and let cutover remedy write what is left.",
            ),
        )
    ]


@resource(
    "task-definition",
    "the task definition: image pinned, secrets by their full ARN, a health check that exists in the image",
    fixes="TD-01..21 IAM-03 X-03 X-04 X-10",
    needs="image execution-role task-role logs database-secret redis-secret openai-secret email-secret hash-secret "
    "smtp-secret",
    gives="TASK_DEFINITION",
    applies=_on_ecs,
)
def task_definition(site: Site) -> list[Node]:
    """Nothing of it is secret: values stay in Secrets Manager."""
    e, s = site.expect.ecs, site.expect.secrets
    names = dict(zip(
        ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "ADMIN_EMAIL", "ADMIN_PASSWORD_HASH"),
        (s.database, s.redis, s.openai, s.admin_email, s.admin_password_hash), strict=True))  # fmt: skip
    injected = [{"name": n, "valueFrom": f"$ARN_{n}"} for n in e.secrets if n in names]
    looks = [_arn(f"ARN_{n}", names[n]) for n in e.secrets if n in names]
    if s.smtp:
        looks.append(_arn("ARN_SMTP", s.smtp[0]))
        injected += [{"name": n, "valueFrom": f"${{ARN_SMTP}}:{n}::"} for n in e.smtp]
    return [
        *looks,
        call(
            "ecs",
            "register_task_definition",
            into="TASK_DEFINITION",
            query="taskDefinition.taskDefinitionArn",
            family=e.task_definition,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu=e.cpu,
            memory=e.memory,
            executionRoleArn=site.role(e.execution_role),
            taskRoleArn=site.role(e.task_role),
            runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
            containerDefinitions=[_container(site, injected)],
            tags=site.lower_tags,
        ),
    ]


def _arn(variable: str, name: str) -> Call:
    return call("secretsmanager", "describe_secret", into=variable, query="ARN", SecretId=name)


def _container(site: Site, injected: list[dict[str, str]]) -> dict[str, Any]:
    e = site.expect.ecs
    interval, timeout, retries, start = e.health_check
    environment = {**e.environment, "APP_VERSION": site.version}
    return {
        "name": e.container,
        "image": site.image,
        "essential": True,
        "user": "1001",
        "readonlyRootFilesystem": True,
        "stopTimeout": 30,
        "portMappings": [{"containerPort": e.port, "hostPort": e.port, "protocol": "tcp"}],
        "environment": [{"name": k, "value": v} for k, v in environment.items()],
        "secrets": injected,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": site.expect.logs.group,
                "awslogs-region": site.region,
                "awslogs-stream-prefix": site.expect.logs.stream_prefix,
            },
        },
        "healthCheck": {
            "command": ["CMD-SHELL", HEALTH.format(port=e.port, path=site.expect.alb.health_path)],
            "interval": interval,
            "timeout": timeout,
            "retries": retries,
            "startPeriod": start,
        },
    }


@resource(
    "service",
    "the service, whose failed roll-outs roll back",
    fixes="SVC-01..17 TG-11 X-05 X-06 X-11 X-13 LOG-03",
    needs="task-definition cluster subnets ecs-group listeners alarms redis-group",
    gives="SERVICE",
    applies=_on_ecs,
)
def service(site: Site) -> list[Node]:
    """Logs, secrets, listener and alarms are there by now: in the guide's order its first tasks die."""
    e = site.expect.ecs
    network = {"subnets": PRIVATE, "securityGroups": ["$ECS_GROUP"], "assignPublicIp": "DISABLED"}
    balancer = {"targetGroupArn": "$TARGET_GROUP", "containerName": e.container, "containerPort": e.port}
    alarms = {"alarmNames": [site.expect.alarms.errors, site.expect.alarms.latency], "enable": True, "rollback": True}
    settings = {
        "SVC-02": "desiredCount",
        **dict.fromkeys(("SVC-05", "SVC-06", "SVC-07"), "networkConfiguration"),
        **dict.fromkeys(("SVC-09", "SVC-10", "SVC-11"), "deploymentConfiguration"),
        "SVC-14": "healthCheckGracePeriodSeconds",
        "SVC-15": "enableExecuteCommand",
    }
    return [
        call(
            "ecs",
            "create_service",
            changes=(Change("update_service", {"cluster": e.cluster, "service": e.service}, settings),),
            cluster=e.cluster,
            serviceName=e.service,
            taskDefinition="$TASK_DEFINITION",
            desiredCount=e.desired_count,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": network},
            loadBalancers=[balancer],
            deploymentConfiguration={
                "maximumPercent": e.maximum_percent,
                "minimumHealthyPercent": e.minimum_healthy_percent,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "alarms": alarms,
            },
            healthCheckGracePeriodSeconds=e.grace_period_s,
            enableExecuteCommand=False,
            propagateTags="SERVICE",
            tags=site.lower_tags,
        ),
        Wait(
            "ecs",
            "services_stable",
            {"cluster": e.cluster, "services": [e.service]},
            otherwise="SVC-03: the tasks do not run yet: "
            f"aws ecs describe-services --cluster {e.cluster} --services {e.service}",
        ),
    ]


@resource("scaling", "two to twenty tasks, by CPU and memory", fixes="ASG-01..05 X-09", needs="service",
          gives="SCALING", applies=_on_ecs)  # fmt: skip
def scaling(site: Site) -> list[Call]:
    """Target tracking makes its own alarms."""
    e = site.expect.scaling
    target: dict[str, Any] = {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{site.expect.ecs.cluster}/{site.expect.ecs.service}",
        "ScalableDimension": "ecs:service:DesiredCount",
    }

    def follow(name: str, metric: str, value: float, fixes: str) -> Call:
        how = {
            "TargetValue": value,
            "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
            "ScaleOutCooldown": e.scale_out_cooldown_s,
            "ScaleInCooldown": e.scale_in_cooldown_s,
        }
        return call("application-autoscaling", "put_scaling_policy", fixes=fixes, **target, PolicyName=name,
                    PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=how)  # fmt: skip

    active = {"DynamicScalingInSuspended": False, "DynamicScalingOutSuspended": False}
    resume = Change("register_scalable_target", target, {"ASG-02": {"SuspendedState": active}})
    return [
        call("application-autoscaling", "register_scalable_target", fixes="ASG-01", changes=(resume,), **target,
             MinCapacity=e.minimum, MaxCapacity=e.maximum, Tags=site.tag_map),
        follow(e.cpu_policy, "ECSServiceAverageCPUUtilization", e.cpu_target, "ASG-03 X-09"),
        follow(e.memory_policy, "ECSServiceAverageMemoryUtilization", e.memory_target, "ASG-04"),
    ]  # fmt: skip


@resource("tags", "the project's tag, which every resource of this script gets", fixes="ACC-07",
          needs="database service listeners", gives="RDS SERVICE LISTENERS", applies=_on_ecs)  # fmt: skip
def tags(site: Site) -> list[Node]:
    """Cost, drift and clean-up are counted by it."""
    return [Say(f"What this script makes carries Project={site.expect.account.project_tag}.")]
