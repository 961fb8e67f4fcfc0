"""What DescribeServices, DescribeTasks and their kin answer, computed from the scheduler's state."""

from __future__ import annotations

from typing import Any

from cutover.rehearsal.cloud.rollout import Deployment, Service, ServiceDeployment, Task
from cutover.rehearsal.cloud.tasks import State


def show(moto: Any, service: Service) -> None:
    """Write what DescribeServices answers into `moto`, the service as moto keeps it."""
    alive = [t for t in service.tasks if t.alive]
    moto.deployments = [_deployment(moto, service, d, primary=d is service.primary) for d in service.deployments]
    moto.desired_count = service.desired
    moto.running_count = len([t for t in alive if t.last_status in ("RUNNING", "DEPROVISIONING")])
    moto.pending_count = len([t for t in alive if t.last_status in ("PROVISIONING", "PENDING")])
    moto.task_definition = service.primary.revision.task_definition
    moto.events = service.events
    moto.current_service_revisions = [{"arn": d.revision.arn} for d in service.deployments]
    moto.load_balancers = service.primary.revision.load_balancers
    moto.network_configuration = service.primary.revision.network


def _deployment(moto: Any, service: Service, deployment: Deployment, *, primary: bool) -> dict[str, Any]:
    tasks = [t for t in service.tasks if t.alive and t.deployment is deployment]
    return {
        "id": deployment.id,
        "status": "PRIMARY" if primary else "ACTIVE",
        "taskDefinition": deployment.revision.task_definition,
        "desiredCount": service.desired if primary else 0,
        "runningCount": len([t for t in tasks if t.last_status == "RUNNING"]),
        "pendingCount": len([t for t in tasks if t.last_status in ("PROVISIONING", "PENDING")]),
        "failedTasks": deployment.failed,
        "createdAt": deployment.created,
        "updatedAt": deployment.updated,
        "launchType": moto.launch_type,
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": deployment.revision.network,
        "rolloutState": deployment.state,
        "rolloutStateReason": deployment.reason,
    }


def task_view(moto: Any, service: Service, task: Task) -> dict[str, Any]:
    """One task of DescribeTasks; `moto` is its service as moto keeps it."""
    container = {
        **task.details["container"],
        "taskArn": task.arn,
        "lastStatus": task.last_status,
        "healthStatus": task.health,
        "networkInterfaces": [
            {"attachmentId": task.details["attachment"]["id"], "privateIpv4Address": task.private_ip}
        ],
    }
    if task.stop_code and task.running is not None and task.running.state is State.STOPPED:
        container["exitCode"] = 1 if task.stop_code == "EssentialContainerExited" else 0
    return {
        "taskArn": task.arn,
        "clusterArn": moto.cluster_arn,
        "taskDefinitionArn": task.task_definition,
        "group": f"service:{service.name}",
        "startedBy": task.deployment.id,
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "availabilityZone": task.zone,
        "lastStatus": task.last_status,
        "desiredStatus": task.desired_status,
        "healthStatus": task.health,
        "connectivity": "CONNECTED",
        "cpu": task.details["cpu"],
        "memory": task.details["memory"],
        "createdAt": task.created,
        "startedAt": task.started,
        "stoppedAt": task.stopped,
        "stopCode": task.stop_code or None,
        "stoppedReason": task.stopped_reason or None,
        "enableExecuteCommand": moto.enable_execute_command,
        "attachments": [task.details["attachment"]],
        "containers": [container],
        "version": 1,
        "tags": [],
    }


def history_view(moto: Any, service: Service, history: ServiceDeployment) -> dict[str, Any]:
    """One entry of DescribeServiceDeployments."""
    breaker = service.configuration.get("deploymentCircuitBreaker") or {}
    counts = [t for t in service.tasks if t.alive and t.deployment.history is history]
    revision = {
        "arn": history.target.arn,
        "requestedTaskCount": service.desired,
        "runningTaskCount": len([t for t in counts if t.last_status == "RUNNING"]),
        "pendingTaskCount": len([t for t in counts if t.last_status in ("PROVISIONING", "PENDING")]),
    }
    status = "DISABLED"
    if breaker.get("enable"):
        status = "TRIGGERED" if history.failures >= service.breaker_threshold else "MONITORING"
        status = "MONITORING_COMPLETE" if history.finished and status == "MONITORING" else status
    return {
        "serviceDeploymentArn": history.arn,
        "serviceArn": service.arn,
        "clusterArn": moto.cluster_arn,
        "createdAt": history.created,
        "startedAt": history.created,
        "finishedAt": history.finished,
        "updatedAt": history.updated,
        "sourceServiceRevisions": [{"arn": history.source.arn}] if history.source else [],
        "targetServiceRevision": revision,
        "status": history.status,
        "statusReason": history.reason or None,
        "deploymentConfiguration": service.configuration,
        "rollback": history.rollback,
        "deploymentCircuitBreaker": {
            "status": status,
            "failureCount": history.failures,
            "threshold": service.breaker_threshold,
        },
    }
