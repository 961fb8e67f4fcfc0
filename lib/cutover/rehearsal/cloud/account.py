"""The scheduler's hands in the emulated account: it starts tasks, registers targets, and shows what changed."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from moto.ec2.models import ec2_backends

from cutover.rehearsal.cloud import surroundings, views
from cutover.rehearsal.cloud.rollout import Deployment, Service, Task
from cutover.rehearsal.cloud.surroundings import Home
from cutover.rehearsal.cloud.tasks import Runtime

_ips = itertools.count(10)


class Account:
    """A `rollout.World`; `moto` holds moto's object for each service, by ARN."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.moto: dict[str, Any] = {}

    def launch(self, service: Service, deployment: Deployment) -> Task:
        """Pull the image, fetch the secrets, start the container: each as far as the emulator can refuse it."""
        moto = self.moto[service.arn]
        home = Home(moto._account_id, moto.region_name)
        subnets = deployment.revision.network["awsvpcConfiguration"]["subnets"]
        counts = {s: len([t for t in service.alive() if t.subnet == s]) for s in subnets}
        subnet = ec2_backends[home.account][home.region].get_subnet(min(subnets, key=lambda s: counts[s]))
        definition = moto._backend.describe_task_definition(deployment.revision.task_definition)
        task_id = uuid.uuid4().hex
        task = Task(
            id=task_id,
            arn=f"arn:aws:ecs:{home.region}:{home.account}:task/{moto.cluster_name}/{task_id}",
            deployment=deployment,
            task_definition=definition.arn,
            subnet=subnet.id,
            zone=subnet.availability_zone,
            private_ip=_address_in(subnet.cidr_block),
        )
        order = surroundings.order(home, task, definition, deployment.revision.load_balancers)
        task.running = surroundings.start(self.runtime, order)
        task.last_status = "PENDING"
        groups = deployment.revision.network["awsvpcConfiguration"].get("securityGroups", [])
        task.details = surroundings.attach(home, task, task.running, subnet, groups) | surroundings.container(
            definition
        )
        surroundings.write_log(home, task, definition, [f"task {task_id} started"])
        return task

    def register(self, service: Service, task: Task) -> None:
        """Into every target group of the revision."""
        self._targets(service, task, "register")

    def deregister(self, service: Service, task: Task) -> None:
        """Out of every target group of the revision."""
        self._targets(service, task, "deregister")

    def ended(self, service: Service, task: Task) -> None:
        """Give back the network interface and show the task's last words."""
        self._log(service, task)
        home = Home(self.moto[service.arn]._account_id, self.moto[service.arn].region_name)
        surroundings.detach(home, task)
        self.changed(service)

    def alarming(self, names: list[str]) -> list[str]:
        """Alarms in ALARM, by name."""
        return surroundings.alarms_ringing(names)

    def changed(self, service: Service) -> None:
        """Write the scheduler's state into moto's object, which answers DescribeServices."""
        moto = self.moto[service.arn]
        for task in service.tasks:
            self._log(service, task)
        views.show(moto, service)

    def _targets(self, service: Service, task: Task, what: str) -> None:
        home = Home(self.moto[service.arn]._account_id, self.moto[service.arn].region_name)
        for balancer in task.deployment.revision.load_balancers:
            if balancer.get("targetGroupArn") and task.running:
                surroundings.targets(home, balancer["targetGroupArn"], what, task.running.host, task.running.port)

    def _log(self, service: Service, task: Task) -> None:
        lines = task.running.new_output() if task.running else []
        if lines:
            moto = self.moto[service.arn]
            home = Home(moto._account_id, moto.region_name)
            surroundings.write_log(home, task, moto._backend.describe_task_definition(task.task_definition), lines)


def _address_in(cidr: str) -> str:
    return cidr.partition("/")[0].rsplit(".", 1)[0] + f".{10 + next(_ips) % 240}"
