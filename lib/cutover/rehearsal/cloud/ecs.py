"""ECS as moto lacks it: services whose deployments roll out, with tasks, history, revisions and a circuit breaker."""

from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ecs.exceptions import EcsClientException, ECSException, InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_api import state_manager

from cutover.rehearsal.cloud import surroundings, views
from cutover.rehearsal.cloud.account import Account
from cutover.rehearsal.cloud.extension import extend
from cutover.rehearsal.cloud.rollout import Revision, Service, Task
from cutover.rehearsal.cloud.scheduler import Scheduler
from cutover.rehearsal.cloud.tasks import NoProcesses, Runtime

_moto_create_service = EC2ContainerServiceResponse.create_service
_moto_delete_service = EC2ContainerServiceResponse.delete_service
_moto_list_tasks = EC2ContainerServiceBackend.list_tasks
_moto_describe_tasks = EC2ContainerServiceBackend.describe_tasks
_moto_stop_task = EC2ContainerServiceBackend.stop_task
_moto_requirements = EC2ContainerServiceBackend._calculate_task_resource_requirements


_account = Account(NoProcesses())
_scheduler: Scheduler | None = None


def install(runtime: Runtime | None = None, *, pace_s: float = 0.1) -> Scheduler:
    """Give moto's ECS these operations and start the scheduler; a second call replaces the runtime."""
    global _scheduler  # noqa: PLW0603 - moto's backends are global to the process too
    extend(EC2ContainerServiceResponse, Responses)
    extend(EC2ContainerServiceBackend, Backend)
    # Tasks of RunTask run until they are stopped: moto ends one a little more at each look.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 2**62})
    _account.runtime = runtime or NoProcesses()
    if _scheduler is None:
        _scheduler = Scheduler(_account, pace_s=pace_s)
    return _scheduler


def _running() -> Scheduler:
    if _scheduler is None:
        raise RuntimeError("install() comes first")
    return _scheduler


class Responses:
    """Set on moto's `EC2ContainerServiceResponse`."""

    _get_param: Any
    _get_params: Any
    ecs_backend: Any

    def create_service(self: Any) -> Any:
        """CreateService, with the settings that moto drops, and a first deployment."""
        cluster = self._get_param("cluster", "default")
        name = self._get_param("serviceName")
        with contextlib.suppress(ECSException):
            existing = self.ecs_backend._get_service(cluster, name)
            if existing.status == "ACTIVE":
                raise InvalidParameterException("Creation of service was not idempotent.")
        _moto_create_service(self)
        moto = self.ecs_backend._get_service(cluster, name)
        params = self._get_params()
        _settings(moto, params)
        moto.created_at = datetime.now(UTC)
        moto.platform_version = params.get("platformVersion") or "LATEST"
        if moto.launch_type != "FARGATE" or not moto.network_configuration or not moto.task_definition:
            return ActionResult({"service": moto})  # tasks on instances: as moto has them
        service = Service(moto.name, moto.arn, moto.desired_count, moto.deployment_configuration, None)
        with _running().lock:
            _account.moto[moto.arn] = moto
            _running().add(service, _revision(moto, moto.task_definition))
        return ActionResult({"service": moto})

    def update_service(self: Any) -> Any:
        """UpdateService: a new deployment where task definition, network or balancers change, or on request."""
        params = self._get_params()
        moto = self.ecs_backend._get_service(params.get("cluster", "default"), params["service"].split("/")[-1])
        service = _running().services.get(moto.arn)
        wanted = params.get("taskDefinition")
        definition = self.ecs_backend.describe_task_definition(wanted).arn if wanted else None
        if definition and self.ecs_backend.describe_task_definition(definition).status != "ACTIVE":
            raise EcsClientException("TaskDefinition is inactive")
        _settings(moto, params)
        if service is None:
            moto.task_definition = definition or moto.task_definition
            moto.desired_count = params.get("desiredCount", moto.desired_count)
            return ActionResult({"service": moto})
        with _running().lock:
            service.configuration = moto.deployment_configuration
            if params.get("desiredCount") is not None and params["desiredCount"] != service.desired:
                _running().scale(service, int(params["desiredCount"]))
            current = service.primary.revision
            network = params.get("networkConfiguration") or current.network
            balancers = params.get("loadBalancers")
            changed = (
                (definition is not None and definition != current.task_definition)
                or network != current.network
                or (balancers is not None and balancers != current.load_balancers)
            )
            if changed or params.get("forceNewDeployment"):
                revision = _revision(moto, definition or current.task_definition)
                revision.network = network
                revision.load_balancers = current.load_balancers if balancers is None else balancers
                _running().deploy(service, revision)
            else:
                views.show(moto, service)
        return ActionResult({"service": moto})

    def delete_service(self: Any) -> Any:
        """DeleteService stops the tasks too."""
        answer: Any = _moto_delete_service(self)
        moto = answer.result["service"]
        service = _running().services.get(moto.arn)
        if service is not None:
            _running().remove(service)
        return answer

    def list_tasks(self: Any) -> Any:
        """ListTasks: a service's tasks and those of RunTask, by every filter that the API has."""
        params = self._get_params()
        found = _tasks(self.ecs_backend, params.get("cluster", "default"))
        status = params.get("desiredStatus", "RUNNING")
        found = [(s, t) for s, t in found if t.desired_status == status]
        if params.get("serviceName"):
            found = [(s, t) for s, t in found if s.name == params["serviceName"].split("/")[-1]]
        if params.get("family"):
            found = [(s, t) for s, t in found if f"/{params['family']}:" in t.task_definition]
        if params.get("startedBy"):
            found = [(s, t) for s, t in found if t.deployment.id == params["startedBy"]]
        arns = [t.arn for _, t in found]
        if not params.get("serviceName"):
            single = _moto_list_tasks(
                self.ecs_backend,
                params.get("cluster", "default"),
                params.get("containerInstance"),
                params.get("family"),
                params.get("startedBy"),
                None,
                status,
            )
            arns += [t.task_arn for t in single]
        return ActionResult({"taskArns": arns})

    def describe_tasks(self: Any) -> Any:
        """DescribeTasks, with the failures that moto leaves out."""
        cluster = self._get_param("cluster", "default")
        asked = list(self._get_param("tasks") or [])
        if not asked:
            raise InvalidParameterException("Tasks cannot be empty.")
        known = {t.id: views.task_view(_account.moto[s.arn], s, t) for s, t in _tasks(self.ecs_backend, cluster)}
        answers: list[Any] = []
        failures = []
        for one in asked:
            task_id = one.split("/")[-1]
            if task_id in known:
                answers.append(known[task_id])
                continue
            single = _moto_describe_tasks(self.ecs_backend, cluster, [one])
            answers += single
            if not single:
                failures.append({"arn": one, "reason": "MISSING"})
        return ActionResult({"tasks": answers, "failures": failures})

    def stop_task(self: Any) -> Any:
        """StopTask: the service starts another one in its place."""
        cluster, one = self._get_param("cluster", "default"), self._get_param("task")
        for service, task in _tasks(self.ecs_backend, cluster):
            if task.id == one.split("/")[-1]:
                _running().stop_task(service, task, self._get_param("reason") or "Task stopped by user")
                return ActionResult({"task": views.task_view(_account.moto[service.arn], service, task)})
        return ActionResult({"task": _moto_stop_task(self.ecs_backend, cluster, one, self._get_param("reason"))})

    def list_service_deployments(self: Any) -> Any:
        """ListServiceDeployments, newest first."""
        params = self._get_params()
        moto = self.ecs_backend._get_service(params.get("cluster", "default"), params["service"].split("/")[-1])
        service = _running().services.get(moto.arn)
        states = params.get("status") or []
        found = [h for h in (service.history if service else []) if not states or h.status in states]
        return ActionResult(
            {
                "serviceDeployments": [
                    {
                        "serviceDeploymentArn": h.arn,
                        "serviceArn": moto.arn,
                        "clusterArn": moto.cluster_arn,
                        "createdAt": h.created,
                        "startedAt": h.created,
                        "finishedAt": h.finished,
                        "targetServiceRevisionArn": h.target.arn,
                        "status": h.status,
                        "statusReason": h.reason or None,
                    }
                    for h in found[: int(params.get("maxResults") or 100)]
                ]
            }
        )

    def describe_service_deployments(self: Any) -> Any:
        """DescribeServiceDeployments."""
        answers, failures = [], []
        for arn in self._get_param("serviceDeploymentArns") or []:
            found = [(s, h) for s in _running().services.values() for h in s.history if h.arn == arn]
            if not found:
                failures.append({"arn": arn, "reason": "MISSING"})
            for service, history in found:
                answers.append(views.history_view(_account.moto[service.arn], service, history))
        return ActionResult({"serviceDeployments": answers, "failures": failures})

    def describe_service_revisions(self: Any) -> Any:
        """DescribeServiceRevisions."""
        answers, failures = [], []
        for arn in self._get_param("serviceRevisionArns") or []:
            found = [(s, h.target) for s in _running().services.values() for h in s.history if h.target.arn == arn]
            if not found:
                failures.append({"arn": arn, "reason": "MISSING"})
            for service, revision in found[:1]:
                moto = _account.moto[service.arn]
                definition = self.ecs_backend.describe_task_definition(revision.task_definition)
                answers.append(
                    {
                        "serviceRevisionArn": revision.arn,
                        "serviceArn": service.arn,
                        "clusterArn": moto.cluster_arn,
                        "taskDefinition": revision.task_definition,
                        "launchType": moto.launch_type,
                        "platformVersion": "1.4.0",
                        "platformFamily": "Linux",
                        "loadBalancers": revision.load_balancers,
                        "networkConfiguration": revision.network,
                        "containerImages": surroundings.images(definition),
                        "createdAt": revision.created,
                    }
                )
        return ActionResult({"serviceRevisions": answers, "failures": failures})

    def stop_service_deployment(self: Any) -> Any:
        """StopServiceDeployment: ROLLBACK (the default) goes back to the last good revision, ABORT does not."""
        arn, kind = self._get_param("serviceDeploymentArn"), self._get_param("stopType") or "ROLLBACK"
        for service in _running().services.values():
            for history in service.history:
                if history.arn != arn:
                    continue
                if service.primary.history is not history or history.status != "IN_PROGRESS":
                    raise ECSException("ConflictException", f"The service deployment {arn} is not in progress.")
                reason = f"Service deployment {'rolled back' if kind == 'ROLLBACK' else 'stopped'} by user."
                _running().end_deployment(service, rollback=kind == "ROLLBACK", reason=reason)
                return ActionResult({"serviceDeploymentArn": arn})
        raise ECSException("ServiceDeploymentNotFoundException", f"Service deployment {arn} was not found.")


class Backend:
    """Set on moto's `EC2ContainerServiceBackend`."""

    @staticmethod
    def _calculate_task_resource_requirements(task_definition: Any) -> dict[str, Any]:
        """On Fargate memory is the task's, not the container's: moto stops at its absence."""
        for container in task_definition.container_definitions:
            if not {"memory", "memoryReservation", "Memory", "MemoryReservation"} & set(container):
                container["memory"] = int(task_definition.memory or 512)
        answer: dict[str, Any] = _moto_requirements(task_definition)
        return answer


def _settings(moto: Any, params: dict[str, Any]) -> None:
    """What moto's CreateService and UpdateService drop; absent on an update means unchanged."""
    before = getattr(moto, "deployment_configuration", None) or {"maximumPercent": 200, "minimumHealthyPercent": 100}
    breaker = {"deploymentCircuitBreaker": {"enable": False, "rollback": False}}
    moto.deployment_configuration = {
        "strategy": "ROLLING",
        **breaker,
        **before,
        **(params.get("deploymentConfiguration") or {}),
    }
    for attribute, key, default in (
        ("health_check_grace_period_seconds", "healthCheckGracePeriodSeconds", 0),
        ("enable_execute_command", "enableExecuteCommand", False),
        ("enable_ecs_managed_tags", "enableECSManagedTags", False),
        ("availability_zone_rebalancing", "availabilityZoneRebalancing", "ENABLED"),
    ):
        if params.get(key) is not None:
            setattr(moto, attribute, params[key])
        elif not hasattr(moto, attribute):
            setattr(moto, attribute, default)


def _revision(moto: Any, definition: str) -> Revision:
    arn = moto.arn.replace(":service/", ":service-revision/", 1) + f"/{uuid.uuid4().int % 10**19}"
    network = dict(moto.network_configuration)
    return Revision(arn, definition, datetime.now(UTC), network, list(moto.load_balancers))


def _tasks(backend: Any, cluster: str) -> list[tuple[Service, Task]]:
    cluster_arn = backend._get_cluster(cluster).arn
    with _running().lock:
        return [
            (service, task)
            for service in _running().services.values()
            if _account.moto[service.arn].cluster_arn == cluster_arn
            for task in service.tasks
        ]
