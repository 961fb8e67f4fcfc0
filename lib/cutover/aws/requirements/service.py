"""The ECS service: where its tasks stand, how they are replaced, and whether they run."""

from __future__ import annotations

import re
from typing import Self

from cutover.aws.requirements.answers import Absent, Ask, NotThere, Unreadable
from cutover.aws.requirements.ecs import Cluster, Service, TaskDefinition
from cutover.aws.requirements.field import rows_of
from cutover.aws.requirements.network import Subnets
from cutover.aws.requirements.requirement import (
    BLOCKER,
    DAY,
    FAIL,
    HIGH,
    MEDIUM,
    PASS,
    Outcome,
    at_least,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.security_groups import EcsGroup
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import EcsExpectation

field = rows_of(__name__).field

_BAD_EVENT = re.compile(r"unable to|failed|unhealthy|error|deregistered .* due to|rolling back|stopped .* reason", re.I)
_NETWORK = "networkConfiguration.awsvpcConfiguration"


# fmt: off
field("SVC-01", Service, "status", equals="ACTIVE", severity=BLOCKER, guide=400,
      title="The service is active", why="It starts and replaces the tasks.")
field("SVC-02", Service, "desiredCount", at_least=lambda e: e.ecs.desired_count, unit=" tasks", severity=BLOCKER,
      guide=402, title="desiredCount is high enough", why="One task is an outage whenever it is replaced.")
field("SVC-07", Service, f"{_NETWORK}.assignPublicIp", equals="DISABLED", severity=BLOCKER, guide=404,
      title="Tasks have no public address", why="The way in is the balancer.")
field("SVC-11", Service, "deploymentConfiguration.alarms.enable", equals=True, severity=MEDIUM, guide=406, absent=FAIL,
      title="Deployment alarms stop a bad deployment",
      why="A release can be healthy and wrong: the alarms of the rollback criteria know it.")
field("SVC-14", Service, "healthCheckGracePeriodSeconds", at_least=lambda e: e.ecs.grace_period_s, unit=" s",
      severity=MEDIUM, guide=406, absent=FAIL, title="The health check grace period is set",
      why="The balancer would otherwise kill a task that is still starting.")
field("SVC-15", Service, "enableExecuteCommand", equals=False, severity=MEDIUM, absent=PASS,
      title="ECS Exec is disabled",
      why="ECS Exec is a door past every control; open it knowingly and for an hour.")
# fmt: on


@requirement("SVC-03", title="runningCount equals desiredCount", severity=BLOCKER, guide=753, due=DAY)
def running_count(service: Service, expect: EcsExpectation) -> Outcome:
    """A task that is pending for long cannot fetch its image, its secrets or an address."""
    running, wanted = service.number("runningCount"), service.number("desiredCount")
    return judged(
        running == wanted > 0 and service.number("pendingCount") == 0,
        expected=f"{max(wanted, expect.desired_count):g} running, none pending",
        observed=f"{running:g} of {wanted:g} running, {service.number('pendingCount'):g} pending",
        remedy=f"aws ecs describe-services --cluster {expect.cluster} --services {expect.service} "
        "--query 'services[0].events[:10]'",
    )


@requirement("SVC-04", title="The service runs on Fargate", severity=BLOCKER, guide=403)
def launch_type(service: Service) -> Outcome:
    """There are no instances for it otherwise."""
    providers = [p.get("capacityProvider") for p in service.get("capacityProviderStrategy") or []]
    if providers and "launchType" not in service.data:
        return judged(set(providers) <= {"FARGATE"}, expected="FARGATE", observed=providers)
    return holds(service.text("launchType"), expected="FARGATE")


@requirement("SVC-05", title="Tasks are in private subnets of two zones", severity=BLOCKER, guide=404)
def task_subnets(service: Service, subnets: Subnets, expect: EcsExpectation) -> Outcome:
    """In a public subnet without a public address a task reaches nothing; in one zone it falls with it."""
    ids = set(service.rows(f"{_NETWORK}.subnets"))
    outside, zones = ids - subnets.ids("private"), subnets.zones(ids)
    return judged(
        bool(ids) and not outside and len(zones) >= 2,
        expected="private subnets of at least two zones",
        observed=f"zones {', '.join(sorted(zones)) or 'none'}; not private: {', '.join(sorted(outside)) or 'none'}",
    )


@requirement("SVC-06", title="Tasks use the expected security group", severity=BLOCKER, guide=404)
def task_security_group(service: Service, group: EcsGroup, expect: EcsExpectation) -> Outcome:
    """Database and queue let only this group in."""
    return holds(
        service.rows(f"{_NETWORK}.securityGroups"),
        expected=[group.subject],
    )


@requirement("SVC-08", title="The service registers its tasks with the target group", severity=BLOCKER, guide=405)
def load_balancer(service: Service, expect: EcsExpectation) -> Outcome:
    """Without it no visitor reaches a task."""
    rows = service.rows("loadBalancers")
    if not rows:
        raise Absent("loadBalancers")
    seen = [[r.get("containerName"), r.get("containerPort")] for r in rows]
    return judged([expect.container, expect.port] in seen, expected=f"{expect.container} {expect.port}", observed=seen)


@requirement(
    "SVC-09", title="A deployment keeps every task until its successor is healthy", severity=BLOCKER, guide=406
)
def deployment_percents(service: Service, expect: EcsExpectation) -> Outcome:
    """With less than 100 % healthy, a roll-out takes capacity away while visitors are there."""
    seen = [service.number(f"deploymentConfiguration.{k}") for k in ("maximumPercent", "minimumHealthyPercent")]
    wanted = [expect.maximum_percent, expect.minimum_healthy_percent]
    return holds(seen, expected=wanted)


@requirement("SVC-10", title="The deployment circuit breaker rolls back", severity=HIGH, guide=406, absent=FAIL)
def circuit_breaker(service: Service, expect: EcsExpectation) -> Outcome:
    """Without a circuit breaker, ECS starts the broken release again and again."""
    base = "deploymentConfiguration.deploymentCircuitBreaker"
    return holds(
        [service.flag(f"{base}.enable"), service.flag(f"{base}.rollback")],
        expected=[True, True],
    )


@requirement("SVC-12", title="The last deployment is complete", severity=HIGH, guide=401, due=DAY)
def rollout_is_complete(service: Service) -> Outcome:
    """Two deployments at once are two releases at once."""
    rows = service.rows("deployments")
    if not rows:
        raise NotThere("the service has no deployment")
    states = [f"{d.get('status')} {d.get('rolloutState')}" for d in rows]
    failed = sum(int(d.get("failedTasks") or 0) for d in rows)
    return judged(
        states == ["PRIMARY COMPLETED"],
        expected="one deployment, PRIMARY COMPLETED",
        observed=f"{', '.join(states)}; {failed} failed tasks",
        remedy=f"aws ecs describe-services --services {service.text('serviceName')} --query 'services[0].deployments'",
    )


@requirement("SVC-13", title="The service's last events hold no error", severity=HIGH, guide=778, due=DAY)
def events(service: Service) -> Outcome:
    """A task that cannot be placed or keeps dying is told here first."""
    last = [str(e.get("message", "")) for e in service.rows("events")[:10]]
    if not last:
        raise Absent("events")
    bad = [m for m in last if _BAD_EVENT.search(m)]
    return judged(not bad, expected="no error in the last ten", observed=bad[:3] or f"{len(last)} events, none bad")


class Tasks(View):
    """The running tasks, each described."""

    needs = (Cluster, Service)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """No running task is MISSING."""
        cluster, service, e = stack.view(Cluster), stack.view(Service), stack.expect.ecs
        listing = stack.need("ecs", "list_tasks", cluster=e.cluster, serviceName=e.service)
        arns = listing.data.get("taskArns") or []
        if not arns:
            raise NotThere(
                "no task is running",
                remedy=f"aws ecs describe-services --cluster {e.cluster} --services {e.service} "
                "--query 'services[0].events[:10]'",
                evidence=(listing.evidence,) if listing.evidence else (),
            )
        answer = stack.need("ecs", "describe_tasks", cluster=e.cluster, tasks=sorted(arns)[:100])
        return cls({"tasks": answer.data.get("tasks") or []}, service.subject, cluster, service, listing, answer)


@requirement("SVC-16", title="Healthy tasks of the right revision run in two zones", severity=HIGH, guide=781, due=DAY)
def tasks_are_healthy(tasks: Tasks, service: Service) -> Outcome:
    """The service's counters do not say which revision runs, nor where."""
    rows = tasks.rows("tasks")
    if not rows:
        raise Unreadable("the listed tasks are not described")
    wanted = service.text("taskDefinition").rsplit("/", 1)[-1]
    good = [
        t
        for t in rows
        if t.get("lastStatus") == "RUNNING"
        and t.get("healthStatus") in ("HEALTHY", None)
        and str(t.get("taskDefinitionArn", "")).rsplit("/", 1)[-1] == wanted
    ]
    zones = {t.get("availabilityZone") for t in good}
    return judged(
        len(good) >= service.number("desiredCount") > 0 and len(zones) >= 2,
        expected=f"{service.number('desiredCount'):g} tasks RUNNING, HEALTHY, of {wanted}, in two zones",
        observed=f"{len(good)} of {len(rows)} are, in {len(zones)} zones",
        remedy=f"aws ecs describe-tasks --cluster {service.get('clusterArn')} --tasks …   # see stoppedReason",
    )


class Revisions(View):
    """The active revisions of the task definition's family."""

    needs = (TaskDefinition,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        task = stack.view(TaskDefinition)
        wanted = {"familyPrefix": stack.expect.ecs.task_definition, "status": "ACTIVE"}
        return Ask("ecs", "list_task_definitions", wanted, "active revision", rows="taskDefinitionArns", many=True,
                   name=task.subject, after=(task,))  # fmt: skip


@requirement("SVC-18", title="An older task definition revision exists for a rollback", severity=MEDIUM, guide=1094)
def older_revision(revisions: Revisions) -> Outcome:
    """A rollback of the application needs a revision that ran before."""
    return at_least(len(revisions.rows("taskDefinitionArns")), 2, unit=" revisions")


class ServiceDeployments(View):
    """The service's deployments, as ECS keeps them."""

    needs = (Service,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING: a service that was ever deployed has one."""
        service = stack.view(Service)
        wanted = {"cluster": stack.expect.ecs.cluster, "service": stack.expect.ecs.service}
        return Ask("ecs", "list_service_deployments", wanted, "deployment on record", rows="serviceDeployments",
                   many=True, name=service.subject, after=(service,))  # fmt: skip


@requirement("SVC-17", title="ECS keeps which release ran before", severity=MEDIUM, guide=1094)
def deployments_are_listed(deployments: ServiceDeployments) -> Outcome:
    """The guide looks for the previous release where, in steady state, there is none; this list has it."""
    states = [str(d.get("status")) for d in deployments.rows("serviceDeployments")]
    return judged("SUCCESSFUL" in states, expected="a SUCCESSFUL one", observed=states)
