"""What an ECS task touches besides ECS: its image, secrets, log stream, network interface, target groups and alarms."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.elbv2.models import elbv2_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends

from cutover.errors import StageError
from cutover.rehearsal.cloud import balancers
from cutover.rehearsal.cloud.rollout import Task, TaskFailedToStart
from cutover.rehearsal.cloud.tasks import Order, Running, Runtime

_ECR = re.compile(r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)(?::([^@]+))?(?:@(.+))?$")


@dataclass(frozen=True, slots=True)
class Home:
    """An account and a region."""

    account: str
    region: str


def order(home: Home, task: Task, definition: Any, load_balancers: Sequence[dict[str, Any]]) -> Order:
    """All that the task's container needs, looked up as the ECS agent would.

    Raises:
        TaskFailedToStart: the image is not in ECR, a secret does not resolve, or the log group is not there.
    """
    container = definition.container_definitions[0]
    _pull(container["image"])
    _log_group(home, container)
    environment = {e["name"]: e["value"] for e in container.get("environment") or []}
    environment |= {s["name"]: _secret(home, s["valueFrom"]) for s in container.get("secrets") or []}
    ports = container.get("portMappings") or [{"containerPort": 80}]
    group = next(
        (
            elbv2_backends[home.account][home.region].target_groups[b["targetGroupArn"]]
            for b in load_balancers
            if b.get("targetGroupArn") in elbv2_backends[home.account][home.region].target_groups
        ),
        None,
    )
    return Order(
        task_id=task.id,
        private_ip=task.private_ip,
        container_port=int(ports[0]["containerPort"]),
        environment=environment,
        health_path=str(getattr(group, "health_check_path", None) or "/"),
        check_every_s=float(getattr(group, "health_check_interval_seconds", None) or 30),
        unhealthy_after=int(getattr(group, "unhealthy_threshold_count", None) or 3),
    )


def start(runtime: Runtime, wanted: Order) -> Running:
    """Start it.

    Raises:
        TaskFailedToStart: the runtime could not.
    """
    try:
        return runtime.start(wanted)
    except (OSError, StageError) as error:
        raise TaskFailedToStart(f"CannotStartContainerError: {error}") from error


def images(definition: Any) -> list[dict[str, str | None]]:
    """The images of a revision, with digests as far as ECR knows them."""
    return [
        {"containerName": c["name"], "image": c["image"], "imageDigest": _digest(c["image"])}
        for c in definition.container_definitions
    ]


def container(definition: Any) -> dict[str, Any]:
    """The parts of DescribeTasks that come from the definition."""
    first = definition.container_definitions[0]
    return {
        "cpu": str(definition.cpu or "256"),
        "memory": str(definition.memory or "512"),
        "container": {
            "containerArn": f"{definition.arn.replace(':task-definition/', ':container/')}/{uuid.uuid4()}",
            "name": first["name"],
            "image": first["image"],
            "imageDigest": _digest(first["image"]),
            "runtimeId": uuid.uuid4().hex,
        },
    }


def attach(home: Home, task: Task, running: Running, subnet: Any, groups: list[str]) -> dict[str, Any]:
    """A network interface in the task's subnet, as awsvpc mode makes one."""
    eni = ec2_backends[home.account][home.region].create_network_interface(
        subnet, task.private_ip, group_ids=groups, description=f"arn:aws:ecs:attachment/{task.id}"
    )
    eni.status = "in-use"
    task.private_ip = running.host
    details = {
        "subnetId": subnet.id,
        "networkInterfaceId": eni.id,
        "macAddress": eni.mac_address,
        "privateIPv4Address": running.host,
    }
    return {
        "eni": eni.id,
        "attachment": {
            "id": str(uuid.uuid4()),
            "type": "ElasticNetworkInterface",
            "status": "ATTACHED",
            "details": [{"name": k, "value": v} for k, v in details.items()],
        },
    }


def detach(home: Home, task: Task) -> None:
    """Give the network interface back."""
    with contextlib.suppress(Exception):  # moto's error where the whole account was reset meanwhile
        ec2_backends[home.account][home.region].delete_network_interface(task.details["eni"])


def targets(home: Home, arn: str, what: str, host: str, port: int) -> None:
    """Register or deregister one target, and tell the balancer."""
    group = elbv2_backends[home.account][home.region].target_groups.get(arn)
    if group is None:
        return
    with contextlib.suppress(Exception):  # moto refuses to deregister what somebody deregistered by hand
        getattr(group, what)([{"Id": host, "Port": port}])
    balancers.changed()


def alarms_ringing(names: list[str]) -> list[str]:
    """Those alarms, of any region, that are in ALARM."""
    return [
        alarm.name
        for backend in cloudwatch_backends[DEFAULT_ACCOUNT_ID].values()
        for alarm in backend.alarms.values()
        if alarm.name in names and alarm.state_value == "ALARM"
    ]


def write_log(home: Home, task: Task, definition: Any, lines: list[str]) -> None:
    """Lines into the task's stream, `prefix/container/task-id`; nowhere when the container has no awslogs."""
    first = definition.container_definitions[0]
    options = (first.get("logConfiguration") or {}).get("options") or {}
    group = options.get("awslogs-group")
    backend = logs_backends[home.account][options.get("awslogs-region", home.region)]
    if not group or group not in backend.groups:
        return
    stream = f"{options.get('awslogs-stream-prefix', 'ecs')}/{first['name']}/{task.id}"
    backend.ensure_log_stream(group, stream)
    now = int(time.time() * 1000)
    backend.put_log_events(group, stream, [{"timestamp": now, "message": line[:100_000]} for line in lines])


def _pull(image: str) -> None:
    if _ECR.match(image) and _digest(image) is None:
        raise TaskFailedToStart(f"CannotPullContainerError: pull image manifest has been retried: {image}: not found")


def _digest(image: str) -> str | None:
    """The digest of an image in ECR; None when it is not there, or elsewhere."""
    parts = _ECR.match(image)
    if not parts:
        return None
    account, region, name, tag, digest = parts.groups()
    repository = ecr_backends[account][region].repositories.get(name)
    for one in repository.images if repository else []:
        found = str(one.get_image_digest())
        if (digest and found == digest) or (not digest and (tag or "latest") in one.image_tags):
            return found
    return None


def _log_group(home: Home, container: dict[str, Any]) -> None:
    options = (container.get("logConfiguration") or {}).get("options") or {}
    group = options.get("awslogs-group")
    region = options.get("awslogs-region", home.region)
    if (
        group
        and options.get("awslogs-create-group") != "true"
        and group not in logs_backends[home.account][region].groups
    ):
        raise TaskFailedToStart(
            f"ResourceInitializationError: failed to validate logger args: the log group {group} does not exist"
        )


def _secret(home: Home, value_from: str) -> str:
    """`arn[:json-key:stage:version]` or a name, as the value."""
    name, key = value_from, ""
    if value_from.startswith("arn:"):
        parts = value_from.split(":")
        name, key = ":".join(parts[:7]), parts[7] if len(parts) > 7 else ""
    try:
        found = secretsmanager_backends[home.account][home.region].get_secret_value(name, "", "AWSCURRENT")
        value = str(found["SecretString"])
        return str(json.loads(value)[key]) if key else value
    except Exception as error:  # moto has a class of error for each way in which a secret is not there
        raise TaskFailedToStart(
            f"ResourceInitializationError: unable to pull secrets or registry auth: {name}: {error}"
        ) from error
