"""Workers of a load test as ECS tasks on Fargate: started from one image, read back, and stopped for certain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from cutover.action import Change, Plan
from cutover.aws.account import Account
from cutover.aws.actions.wait import look_until, pause_s
from cutover.aws.cost import Prices, fargate_listings
from cutover.aws.problem import Problem
from cutover.errors import ActionRefused, AwsError
from cutover.finding import Finding, Severity, Status
from cutover.migration import Fargate

AT_ONCE = 10
"""Tasks of one RunTask call, at most (the API's limit)."""
OVERRIDES = 8192
"""Characters of one call's overrides, at most (the API's limit)."""
CONTAINER = "load-worker"
_WHY = "stopped by cutover: the load is over"


class LoadWorkers:
    """Start the workers of one load, each a task, in the subnets and security groups of the ECS service.

    They carry `startedBy` of this run alone, by which they are found again and stopped, whoever lost count of them.
    Logins come to them as references to Secrets Manager, never as plain variables. Each ends by itself after `lives`.

    Args:
        account: whose cluster and service.
        fargate: image and size.
        count: how many.
        command: the worker's command in the image.
        environment: what it needs to know, no secret in it.
        secrets: variable -> `secretsmanager:name[#key]`.
        run: names this load; the same name is the same workers.
        lives: after this a task ends whatever happens here.
        timeout_s: how long the tasks may take to run.
        progress: told how many run.
    """

    name = "load-workers"

    def __init__(
        self,
        account: Account,
        fargate: Fargate,
        count: int,
        *,
        command: Sequence[str],
        environment: Mapping[str, str],
        secrets: Mapping[str, str],
        run: str,
        lives: timedelta,
        timeout_s: float = 300,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.account, self.fargate, self.count = account, fargate, count
        self.command, self.environment, self.secrets = list(command), dict(environment), dict(secrets)
        self.lives, self.timeout_s, self.progress = lives, timeout_s, progress
        expect = account.migration.expect
        self.cluster, self.service, self.group = expect.ecs.cluster, expect.ecs.service, expect.logs.group
        self.family = f"{account.migration.name}-load-worker"
        self.started_by = f"cutover-load-{hashlib.sha256(run.encode()).hexdigest()[:12]}"

    def plan(self) -> Plan:
        """What would be registered and started, and what it costs; empty when as many workers run already.

        Raises:
            AwsError: service, task definition or secret cannot be read.
            ActionRefused: a login that a task cannot read, or a load that no call can carry.
        """
        wanted = self._wanted()
        known = self._registered(wanted)
        running = self._tasks()
        missing = max(0, self.count - len(running))
        requests: list[dict[str, Any]] = []
        if missing and not known:
            requests.append({"call": "ecs.register_task_definition", "arguments": wanted})
        definition = known or f"the new revision of {self.family}"
        requests += [{"call": "ecs.run_task", "arguments": r} for r in self._runs(definition, missing)]
        minutes = self.lives.total_seconds() / 60
        return Plan(
            action=self.name,
            subject=self.family,
            summary=f"{self.count} load workers run already."
            if not missing
            else f"Start {missing} load workers on Fargate, {minutes:.0f} minutes at most; {self._cost(missing)}.",
            requests=tuple(requests),
            before={"running": len(running), "task_definition": known},
            after={"running": max(self.count, len(running)), "task_definition": known, "image": self.fargate.image},
            undo=f"stop every task that was started by {self.started_by}; deregister the revision if this made it",
            empty=not missing,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Register where needed, start, and wait until all run; on any failure stop what was started.

        Raises:
            AwsError: AWS refused, or a worker did not come to run: none is left then.
        """
        registered = ""
        if plan.empty:
            return {"changed": False, "tasks": self._tasks(), "started_by": self.started_by, "registered": ""}
        try:
            known = str(plan.before["task_definition"])
            for request in plan.requests:
                arguments = dict(request["arguments"])
                if request["call"] == "ecs.register_task_definition":
                    sent = self.account.change("ecs", "register_task_definition", **arguments)
                    registered = known = str(sent.data["taskDefinition"]["taskDefinitionArn"])
                    continue
                arguments["taskDefinition"] = known
                sent = self.account.change("ecs", "run_task", **arguments)
                refused = sent.data.get("failures") or []
                if refused:
                    said = "; ".join(str(f.get("reason") or f.get("detail")) for f in refused)
                    raise AwsError(f"ECS started too few load workers: {said}.", todo="try later, or with fewer")
            tasks = self._wait()
        except BaseException:
            with suppress(AwsError):  # the first error is the one to tell; `swept` finds what is left
                self._sweep(registered)
            raise
        return {"changed": True, "tasks": tasks, "started_by": self.started_by, "registered": registered}

    def verify(self, change: Change) -> list[Finding]:
        """Each of them runs, from the image that was asked for."""
        tasks = self._described(self._tasks())
        up = [t for t in tasks if t.get("lastStatus") == "RUNNING"]
        images = sorted({str(c.get("image", "")) for t in up for c in t.get("containers") or []} - {""})
        same = images == [self.fargate.image] or (not images and self._registered(self._wanted()) != "")
        look = f"aws ecs list-tasks --cluster {self.cluster} --started-by {self.started_by}"
        logs = f"aws logs tail {self.group} --log-stream-name-prefix load --since 10m"
        return [
            Finding.check(
                "LDW-01",
                "Every load worker runs",
                len(up) < self.count,
                severity=Severity.HIGH,
                subject=change.plan.subject,
                expected=f"{self.count} tasks RUNNING",
                observed=f"{len(up)} RUNNING" + "".join(f"; {_why_stopped(t)}" for t in tasks if t not in up),
                note="fewer workers send fewer visitors than the schedule says",
                remedy=f"{look}\n{logs}",
            ),
            Finding.check(
                "LDW-02",
                "The load workers run the image that was asked for",
                Status.PASS if up and same else Status.FAIL if up else Status.UNKNOWN,
                severity=Severity.HIGH,
                subject=change.plan.subject,
                expected=self.fargate.image,
                observed=", ".join(images) or ("the revision names it" if up else "no task runs"),
                note="another image may send other visitors",
                remedy=f"{look}\naws ecs describe-task-definition --task-definition {self.family}",
            ),
        ]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Stop every worker of this run, and deregister the revision if it was made for it.

        Raises:
            AwsError: AWS refused to tell or to stop one.
        """
        return self._sweep(str(change.result.get("registered", "")))

    def swept(self, change: Change | None = None) -> Finding:
        """LDW-03: nothing of this run is left. Stops what is; to be asked when everything is over, well or not."""
        remedy = (
            f"for t in $(aws ecs list-tasks --cluster {self.cluster} --started-by {self.started_by} "
            f"--query 'taskArns[]' --output text); do aws ecs stop-task --cluster {self.cluster} --task $t; done"
        )
        title, subject = "No load worker is left running", self.family
        try:
            stopped = self._sweep(str(change.result.get("registered", "")) if change else "")["stopped"]
            left = self._tasks()
        except AwsError as error:
            said, why = str(error), "it could not be asked; each ends by itself in time, and costs until then"
            return Finding("LDW-03", title, Status.UNKNOWN, Severity.HIGH, subject, "0", said, why, remedy)
        status = Status.FAIL if left else Status.PASS
        observed = f"{len(left)} left" if left else f"0; {len(stopped)} were stopped just now"
        why = "" if not left else "they cost money and may go on sending visitors"
        return Finding("LDW-03", title, status, Severity.HIGH, subject, "0", observed, why, remedy if left else "")

    def _runs(self, definition: str, missing: int) -> list[dict[str, Any]]:
        variables = [{"name": k, "value": v} for k, v in sorted(self.environment.items())]
        alone = ["timeout", "--signal=INT", "--kill-after=30", f"{self.lives.total_seconds():.0f}"]
        overrides = {
            "containerOverrides": [{"name": CONTAINER, "command": [*alone, *self.command], "environment": variables}]
        }
        if len(json.dumps(overrides)) > OVERRIDES:
            raise ActionRefused(
                f"The workers' settings are longer than the {OVERRIDES} characters that ECS takes.",
                why="a replayed log travels with them, arrival by arrival",
                todo="replay from machines of your own (cutover load-worker), or use another load.shape",
            )
        sizes = [min(AT_ONCE, missing - done) for done in range(0, missing, AT_ONCE)]
        return [
            {
                "cluster": self.cluster,
                "taskDefinition": definition,
                "launchType": "FARGATE",
                "count": size,
                "startedBy": self.started_by,
                "networkConfiguration": self._network(),
                "overrides": overrides,
                "tags": self._tags(),
            }
            for size in sizes
        ]

    def _wanted(self) -> dict[str, Any]:
        service = self._service()
        running = self.account.call(
            "ecs", "describe_task_definition", taskDefinition=str(service["taskDefinition"])
        ).require("the workers start by the execution role of the service's task definition")
        role = running["taskDefinition"].get("executionRoleArn")
        if not role:
            raise AwsError(
                f"The task definition of {self.service} has no execution role.",
                why="a task without one can read no secret and pull no image",
                todo="see TD-01 in notebook 02",
            )
        return {
            "family": self.family,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": self.fargate.cpu,
            "memory": self.fargate.memory,
            "executionRoleArn": str(role),
            "containerDefinitions": [
                {
                    "name": CONTAINER,
                    "image": self.fargate.image,
                    "essential": True,
                    "stopTimeout": 30,
                    "secrets": [{"name": k, "valueFrom": self._arn(v)} for k, v in sorted(self.secrets.items())],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": self.group,
                            "awslogs-region": self.account.migration.region,
                            "awslogs-stream-prefix": "load",
                        },
                    },
                }
            ],
        }

    def _arn(self, reference: str) -> str:
        if not reference.startswith("secretsmanager:"):
            raise ActionRefused(
                f"The load workers' login is {reference.partition(':')[0]}:…, which no ECS task can read.",
                why="a login in a plain variable would stand in the task definition, for everybody to read",
                todo="put it into Secrets Manager and say load.fargate.login: secretsmanager:name",
            )
        name, _, key = reference.removeprefix("secretsmanager:").partition("#")
        found = self.account.call("secretsmanager", "describe_secret", SecretId=name).require(
            f"is there a secret {name}?   aws secretsmanager create-secret --name {name} …"
        )
        return f"{found['ARN']}:{key}::" if key else str(found["ARN"])

    def _registered(self, wanted: Mapping[str, Any]) -> str:
        """The family's newest revision, when it is what is wanted."""
        answer = self.account.call("ecs", "describe_task_definition", fresh=True, taskDefinition=self.family)
        if not answer.ok and answer.problem is Problem.NOT_FOUND:
            return ""
        newest = answer.require()["taskDefinition"]
        if newest.get("status") != "ACTIVE" or any(newest.get(k) != v for k, v in wanted.items() if isinstance(v, str)):
            return ""
        theirs, ours = newest["containerDefinitions"][0], wanted["containerDefinitions"][0]
        return str(newest["taskDefinitionArn"]) if all(theirs.get(k) == v for k, v in ours.items()) else ""

    def _service(self) -> Mapping[str, Any]:
        answer = self.account.call("ecs", "describe_services", cluster=self.cluster, services=[self.service])
        rows = [s for s in answer.require().get("services") or [] if s.get("status") != "INACTIVE"]
        if not rows:
            raise AwsError(
                f"There is no service {self.service} in cluster {self.cluster}.",
                why="the load workers run in its network, by its execution role",
                todo="see SVC-01 in notebook 02, or join workers by hand: cutover load-worker",
            )
        return dict(rows[0])

    def _network(self) -> Mapping[str, Any]:
        network: Mapping[str, Any] = self._service().get("networkConfiguration") or {}
        if not network.get("awsvpcConfiguration"):
            raise AwsError(f"The service {self.service} has no network of its own (awsvpc).", todo="see notebook 02")
        return network

    def _tags(self) -> list[dict[str, str]]:
        return [{"key": "Project", "value": self.account.migration.name}, {"key": "Purpose", "value": "load-test"}]

    def _cost(self, count: int) -> str:
        prices, hours = Prices(self.account, self.account.migration.region), self.lives.total_seconds() / 3600
        vcpu_listing, gb_listing = fargate_listings(self.account.migration.region)
        vcpu, gb = prices.of("fargate vcpu", vcpu_listing), prices.of("fargate memory", gb_listing)
        if vcpu is None or gb is None:
            return f"what Fargate costs in {self.account.migration.region} is not known here"
        usd = count * hours * (int(self.fargate.cpu) / 1024 * vcpu.usd + int(self.fargate.memory) / 1024 * gb.usd)
        return f"at most {usd:.2f} USD ({vcpu.source}, {vcpu.day})"

    def _tasks(self) -> list[str]:
        """Those of this run that run or are about to, without those that end."""
        answer = self.account.call(
            "ecs", "list_tasks", fresh=True, cluster=self.cluster, startedBy=self.started_by, desiredStatus="RUNNING"
        )
        return sorted(str(arn) for arn in answer.require().get("taskArns") or [])

    def _described(self, arns: Sequence[str]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for start in range(0, len(arns), 100):
            answer = self.account.call(
                "ecs", "describe_tasks", fresh=True, cluster=self.cluster, tasks=list(arns[start : start + 100])
            )
            found += answer.require().get("tasks") or []
        return found

    def _wait(self) -> list[str]:
        def look() -> list[Mapping[str, Any]]:
            tasks = self._described(self._tasks())
            if self.progress:
                up = sum(t.get("lastStatus") == "RUNNING" for t in tasks)
                self.progress(f"{up} of {self.count} load workers run")
            return tasks

        tasks, ready = look_until(
            look,
            lambda seen: sum(t.get("lastStatus") == "RUNNING" for t in seen) >= self.count,
            timeout_s=self.timeout_s,
            every_s=pause_s(self.account, 5),
        )
        if not ready:
            said = "; ".join(_why_stopped(t) for t in tasks if t.get("lastStatus") != "RUNNING")
            raise AwsError(
                f"Of {self.count} load workers {len(tasks)} were left after {self.timeout_s:g} s, not all RUNNING.",
                why=said or "the others ended at once: image, secret or network",
                todo=f"aws logs tail {self.group} --log-stream-name-prefix load --since 10m",
            )
        return sorted(str(t["taskArn"]) for t in tasks)

    def _sweep(self, registered: str) -> dict[str, Any]:
        stopped = self._tasks()
        for arn in stopped:
            self.account.change("ecs", "stop_task", cluster=self.cluster, task=arn, reason=_WHY)
        if registered:
            self.account.change("ecs", "deregister_task_definition", taskDefinition=registered)
        return {"changed": bool(stopped or registered), "stopped": stopped, "deregistered": registered}


def _why_stopped(task: Mapping[str, Any]) -> str:
    name = str(task.get("taskArn", "")).rsplit("/", 1)[-1]
    said = [str(task.get("stoppedReason") or "")]
    said += [str(c.get("reason") or "") for c in task.get("containers") or []]
    return " ".join(filter(None, [name, str(task.get("lastStatus", "")), *said]))
