"""Brings the ECS service to a release: the running task definition with another image and APP_VERSION."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cutover.action import Change, Plan
from cutover.aws.account import Account
from cutover.aws.actions.wait import look_until, pause_s
from cutover.aws.problem import describe_error
from cutover.aws.scrub import scrub
from cutover.errors import ActionRefused, AwsError
from cutover.finding import Finding, Severity, Status

_REGISTERED = (
    "family", "taskRoleArn", "executionRoleArn", "networkMode", "containerDefinitions", "volumes",
    "placementConstraints", "requiresCompatibilities", "cpu", "memory", "pidMode", "ipcMode", "proxyConfiguration",
    "inferenceAccelerators", "ephemeralStorage", "runtimePlatform", "enableFaultInjection",
)  # fmt: skip
"""What of a described task definition may be registered again."""


class DeployService:
    """Deploy an image and a version to the service, and judge it by the deployment's own id.

    `services_stable` succeeds after a circuit breaker rolled back, and `deployments[1]` is absent in the steady state:
    so the PRIMARY deployment's id, task definition and rolloutState are what is read, and the previous task definition
    is recorded before.

    Args:
        account: whose service.
        image: the release's image, pinned.
        version: what /api/health shall answer as its version.
        timeout_s: how long a roll-out may take.
        progress: told each state that is seen (`IN_PROGRESS, 1 of 2 running`).
    """

    name = "deploy-service"

    def __init__(
        self,
        account: Account,
        image: str,
        version: str,
        *,
        timeout_s: float = 1800,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.account, self.image, self.version = account, image, version
        self.timeout_s, self.progress = timeout_s, progress
        expect = account.migration.expect.ecs
        self.cluster, self.service, self.container = expect.cluster, expect.service, expect.container

    def plan(self) -> Plan:
        """What would be registered and updated; empty when the release runs already.

        Raises:
            AwsError: service or task definition cannot be read.
            ActionRefused: the task definition has no container of that name.
        """
        service = self._service()
        current = self._definition(str(service["taskDefinition"]))
        wanted = self._wanted(current)
        arn = str(current["taskDefinitionArn"])
        reuse = arn if _same(current, wanted) else self._registered_already(str(current["family"]), wanted)
        primary = _primary(service)
        there = reuse == arn and primary.get("taskDefinition") == arn and primary.get("rolloutState") == "COMPLETED"
        requests: list[dict[str, Any]] = []
        if not reuse:
            requests.append({"call": "ecs.register_task_definition", "arguments": scrub(wanted)})
        if not there:
            requests.append(
                {
                    "call": "ecs.update_service",
                    "arguments": {
                        "cluster": self.cluster,
                        "service": self.service,
                        "taskDefinition": reuse or f"the new revision of {current['family']}",
                    },
                }
            )
        before = {"task_definition": arn, **self._release_of(current)}
        return Plan(
            action=self.name,
            subject=str(service.get("serviceArn") or self.service),
            summary=f"{self.service} runs {self.version} already."
            if there
            else f"Bring {self.service} from {before['version'] or 'an unnamed version'} to {self.version}.",
            requests=tuple(requests),
            before=before,
            after={"task_definition": reuse or "", "image": self.image, "version": self.version},
            undo=f"back to {arn}",
            empty=there,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Register if it differs, update the service, and follow the deployment to its end or the timeout.

        Raises:
            AwsError: AWS refused.
            ActionRefused: the service runs another task definition than when it was planned.
        """
        if plan.empty:
            return self._state(
                str(plan.before["task_definition"]), str(_primary(self._service()).get("id", "")), changed=False
            )
        running = str(self._definition(str(self._service()["taskDefinition"]))["taskDefinitionArn"])
        if running != plan.before["task_definition"]:
            raise ActionRefused(
                f"{self.service} runs {running} now, not {plan.before['task_definition']} as when this was planned.",
                why="the approval was given for another change",
                todo="run the notebook again: it plans anew",
            )
        target = str(plan.after["task_definition"])
        if not target:
            # Read again unredacted, by the recorded revision: the plan holds no secret, and a revision never changes.
            wanted = self._wanted(self._definition(str(plan.before["task_definition"])))
            registered = self.account.change("ecs", "register_task_definition", **wanted)
            target = str(registered.data["taskDefinition"]["taskDefinitionArn"])
        return self._roll_out(target)

    def verify(self, change: Change) -> list[Finding]:
        """The PRIMARY deployment is ours and complete, its container is the release, and its targets are healthy.

        Where the release was found running and no deployment of it is on record (whoever began it was killed before
        its end), the PRIMARY one is judged by its task definition.
        """
        service = self._service()
        primary = _primary(service)
        deployment, target = str(change.result.get("deployment", "")), str(change.result.get("task_definition", ""))
        if change.plan.empty and target != change.plan.before["task_definition"]:
            deployment, target = str(primary.get("id", "")), str(change.plan.before["task_definition"])
        definition = self._definition(str(primary.get("taskDefinition") or service["taskDefinition"]))
        release = self._release_of(definition)
        events = [str(e.get("message")) for e in (service.get("events") or [])[:3]]
        look = f"aws ecs describe-services --cluster {self.cluster} --services {self.service}   # its events say why"

        def finding(identifier: str, title: str, ok: bool, expected: str, observed: str, why: str) -> Finding:
            return Finding.check(
                identifier,
                title,
                not ok,
                severity=Severity.BLOCKER,
                subject=change.plan.subject,
                expected=expected,
                observed=observed,
                note=why,
                remedy=f"{look}\nundo this step, or deploy again",
            )

        failed = int(primary.get("failedTasks") or 0)
        return [
            finding(
                "DEP-01",
                "The service runs the deployment that was asked for",
                primary.get("id") == deployment and primary.get("taskDefinition") == target,
                f"PRIMARY {deployment}, {target}",
                f"PRIMARY {primary.get('id')}, {primary.get('taskDefinition')}",
                "after a roll-back by the circuit breaker the service is stable too, on the old release",
            ),
            finding(
                "DEP-02",
                "The roll-out is complete and no task failed",
                primary.get("rolloutState") == "COMPLETED" and failed == 0,
                "COMPLETED, 0 failed tasks",
                f"{primary.get('rolloutState')}, {failed} failed tasks; "
                + (str(primary.get("rolloutStateReason") or "") or " / ".join(events)),
                "a roll-out in progress is two releases at once",
            ),
            finding(
                "DEP-03",
                "The running container is the release",
                release["image"] == self.image and release["version"] == self.version,
                f"{self.image}, APP_VERSION {self.version}",
                f"{release['image']}, APP_VERSION {release['version'] or 'not set'}",
                "what was tested is what must run",
            ),
            self._targets(int(service.get("desiredCount") or 0), change.plan.subject, look),
        ]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Back to the task definition that was recorded before; nothing when it runs already.

        Raises:
            AwsError: AWS refused.
        """
        previous = str(change.plan.before["task_definition"])
        primary = _primary(self._service())
        if primary.get("taskDefinition") == previous and primary.get("rolloutState") == "COMPLETED":
            return self._state(previous, str(primary.get("id", "")), changed=False)
        return self._roll_out(previous)

    def _roll_out(self, target: str) -> dict[str, Any]:
        updated = self.account.change(
            "ecs", "update_service", cluster=self.cluster, service=self.service, taskDefinition=target
        )
        deployment = str(_primary(updated.data["service"]).get("id", ""))
        _, ended = look_until(
            self._service,
            lambda service: self._ended(service, deployment),
            timeout_s=self.timeout_s,
            every_s=pause_s(self.account),
        )
        self._await_targets()
        self.account.forget("ecs")
        self.account.forget("elbv2")
        state = self._state(target, deployment, changed=True)
        return {**state, "timed_out": not ended, "request_id": updated.request_id, "at": updated.at}

    def _ended(self, service: Mapping[str, Any], deployment: str) -> bool:
        primary = _primary(service)
        if self.progress:
            running = f"{primary.get('runningCount', 0)} of {primary.get('desiredCount', 0)} running"
            self.progress(f"{primary.get('rolloutState')}, {running}")
        rolled_back = primary.get("id") != deployment
        return rolled_back or primary.get("rolloutState") in ("COMPLETED", "FAILED")

    def _await_targets(self) -> None:
        """A complete roll-out's targets may still be `initial` for one health interval."""
        wanted = int(self._service().get("desiredCount") or 0)
        look_until(
            self._target_states,
            lambda states: states is None or sum(s == "healthy" for s in states) >= wanted,
            timeout_s=min(self.timeout_s, 120),
            every_s=pause_s(self.account, 5),
        )

    def _target_states(self) -> list[str] | None:
        name = self.account.migration.expect.alb.target_group
        groups = self.account.call("elbv2", "describe_target_groups", Names=[name])
        if not groups.ok or not groups.data.get("TargetGroups"):
            return None
        arn = groups.data["TargetGroups"][0]["TargetGroupArn"]
        health = self.account.call("elbv2", "describe_target_health", fresh=True, TargetGroupArn=arn)
        if not health.ok:
            return None
        return [d["TargetHealth"]["State"] for d in health.data.get("TargetHealthDescriptions", [])]

    def _targets(self, wanted: int, subject: str, look: str) -> Finding:
        states = self._target_states()
        healthy = sum(s == "healthy" for s in states or ())
        sick = [s for s in states or () if s not in ("healthy", "draining")]
        good = states is not None and healthy >= wanted > 0 and not sick
        return Finding.check(
            "DEP-04",
            "The balancer finds the new tasks healthy",
            Status.UNKNOWN if states is None else Status.PASS if good else Status.FAIL,
            severity=Severity.BLOCKER,
            subject=subject,
            expected=f"{wanted} healthy targets",
            observed="the target group could not be read" if states is None else ", ".join(states) or "no target",
            note="a task that ECS calls running answers no visitor until the balancer finds it healthy",
            remedy=look,
        )

    def _state(self, target: str, deployment: str, *, changed: bool) -> dict[str, Any]:
        primary = _primary(self._service())
        return {
            "changed": changed,
            "task_definition": target,
            "deployment": deployment,
            "primary": str(primary.get("id", "")),
            "rollout": str(primary.get("rolloutState", "")),
            "failed_tasks": int(primary.get("failedTasks") or 0),
            "seen_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _service(self) -> Mapping[str, Any]:
        answer = self.account.call(
            "ecs", "describe_services", fresh=True, cluster=self.cluster, services=[self.service]
        )
        rows = [s for s in answer.require().get("services") or [] if s.get("status") != "INACTIVE"]
        if not rows:
            raise AwsError(
                f"There is no service {self.service} in cluster {self.cluster}.",
                why="there is nothing to deploy to",
                todo="see SVC-01 in notebook 02 for the command that creates it",
            )
        return dict(rows[0])

    def _definition(self, name: str) -> dict[str, Any]:
        """A task definition with its values in clear: never recorded, never shown."""
        try:
            answer = self.account.client("ecs").describe_task_definition(taskDefinition=name)
        except Exception as error:
            problem, code, message = describe_error(error)
            raise AwsError(f"The task definition {name} cannot be read: {problem}, {code}: {message}") from error
        scrub(answer["taskDefinition"])  # registers what is secret in it, before anything can print it
        return dict(answer["taskDefinition"])

    def _registered_already(self, family: str, wanted: Mapping[str, Any]) -> str:
        """The family's newest revision when it is what is wanted: an interrupted run registered it."""
        newest = self._definition(family)
        return str(newest["taskDefinitionArn"]) if _same(newest, wanted) else ""

    def _wanted(self, current: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {k: copy.deepcopy(current[k]) for k in _REGISTERED if current.get(k) not in (None, [], {})}
        container = _container(wanted, self.container)
        container["image"] = self.image
        variables = [v for v in container.get("environment") or [] if v["name"] != "APP_VERSION"]
        container["environment"] = [*variables, {"name": "APP_VERSION", "value": self.version}]
        return wanted

    def _release_of(self, definition: Mapping[str, Any]) -> dict[str, str]:
        container = _container(definition, self.container)
        variables = {v["name"]: v["value"] for v in container.get("environment") or []}
        return {"image": str(container.get("image", "")), "version": str(variables.get("APP_VERSION", ""))}


def _container(definition: Mapping[str, Any], name: str) -> dict[str, Any]:
    for container in definition.get("containerDefinitions") or []:
        if container.get("name") == name:
            found: dict[str, Any] = container
            return found
    raise ActionRefused(
        f"{definition.get('taskDefinitionArn') or definition.get('family')} has no container {name}.",
        todo="set expect.ecs.container to the application's container",
    )


def _primary(service: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((d for d in service.get("deployments") or [] if d.get("status") == "PRIMARY"), {})


def _same(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two definitions are the same release: the order of variables does not count."""

    def essence(definition: Mapping[str, Any]) -> dict[str, Any]:
        kept = {k: copy.deepcopy(definition[k]) for k in _REGISTERED if definition.get(k) not in (None, [], {})}
        for container in kept.get("containerDefinitions", []):
            container["environment"] = sorted(container.get("environment") or [], key=lambda v: str(v["name"]))
        return kept

    return essence(current) == essence(wanted)
