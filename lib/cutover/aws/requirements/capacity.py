"""Whether all that may run at once has room: connections to the database, vCPU in the quota, free addresses."""

from __future__ import annotations

from cutover.aws.requirements.account import Quota
from cutover.aws.requirements.alarms import ConnectionsAlarm
from cutover.aws.requirements.answers import Unreadable
from cutover.aws.requirements.ecs import Service, TaskDefinition
from cutover.aws.requirements.network import Subnets
from cutover.aws.requirements.rds import Instance, Parameters
from cutover.aws.requirements.requirement import HIGH, MEDIUM, Outcome, judged, requirement
from cutover.aws.requirements.scaling import ScalableTarget
from cutover.aws.requirements.stack import Stack

_MEMORY_GIB = {
    "db.t3.micro": 1, "db.t3.small": 2, "db.t3.medium": 4, "db.t3.large": 8, "db.t4g.medium": 4, "db.t4g.large": 8,
    "db.m5.large": 8, "db.m6g.large": 8, "db.m6g.xlarge": 16, "db.m7g.large": 8, "db.m7g.xlarge": 16,
    "db.r5.large": 16, "db.r6g.large": 16, "db.r6g.xlarge": 32, "db.r6g.2xlarge": 64, "db.r7g.large": 16,
    "db.r7g.xlarge": 32,
}  # fmt: skip
"""Memory of RDS's instance classes (RDS User Guide, "DB instance classes", hardware specifications)."""
_BYTES_A_CONNECTION = 9_531_392
"""RDS's default of max_connections is LEAST(DBInstanceClassMemory / 9531392, 5000) (RDS User Guide, "Quotas")."""
_FOR_THE_CLASS = 0.9
"""Part of the memory that DBInstanceClassMemory is: the system's own share is taken off."""
RESERVED = 10
"""Connections that stay for superusers and RDS itself."""


def max_connections(rds: Instance, parameters: Parameters) -> int:
    """The instance's max_connections: the parameter group's where it is a number, else RDS's formula.

    Raises:
        Unreadable: the class's memory is not known here.
    """
    said = str(parameters.data["values"].get("max_connections") or "")
    if said.isdigit():
        return int(said)
    kind = rds.text("DBInstanceClass")
    if kind not in _MEMORY_GIB:
        raise Unreadable(f"the memory of {kind} is not known here: set max_connections in its parameter group")
    return min(int(_MEMORY_GIB[kind] * 2**30 * _FOR_THE_CLASS / _BYTES_A_CONNECTION), 5000)


@requirement("X-07", title="The database has connections for every task", severity=HIGH, guide=542)
def connections_suffice(
    target: ScalableTarget, rds: Instance, parameters: Parameters, alarm: ConnectionsAlarm, stack: Stack
) -> Outcome:
    """At full scale the last tasks would otherwise be refused; and an alarm outside normal and full never helps."""
    pool, limit = stack.expect.ecs.pool, max_connections(rds, parameters) - RESERVED
    least, most = target.number("MinCapacity") * pool, target.number("MaxCapacity") * pool
    rings = alarm.number("Threshold")
    bad = [] if most <= limit else [f"{most:g} connections at full scale, {limit} to be had"]
    bad += [] if least < rings < limit else [f"the alarm rings at {rings:g}, outside {least:g} to {limit}"]
    return judged(
        not bad,
        expected=f"{most:g} connections of {target.number('MaxCapacity'):g} tasks, an alarm between normal and full",
        observed=bad or f"{limit} to be had, the alarm at {rings:g}",
        remedy=rds.modify(DBInstanceClass="<a larger one>") + "   # or a smaller pool, or RDS Proxy",
    )


@requirement("X-08", title="Quota and subnets cover a deployment at full scale", severity=MEDIUM, guide=542)
def rollout_has_room(
    target: ScalableTarget, service: Service, task: TaskDefinition, quota: Quota, subnets: Subnets
) -> Outcome:
    """A roll-out under full load runs twice the tasks: it is then that the quota or the last address is missed."""
    factor = service.number("deploymentConfiguration.maximumPercent") / 100
    tasks = target.number("MaxCapacity") * factor
    vcpu = tasks * task.number("cpu") / 1024
    free = sum(int(s.get("AvailableIpAddressCount") or 0) for s in subnets.private)
    bad = (
        []
        if vcpu <= quota.number("Quota.Value")
        else [f"{vcpu:g} vCPU wanted, {quota.number('Quota.Value'):g} allowed"]
    )
    bad += [] if tasks <= free else [f"{tasks:g} addresses wanted, {free} free"]
    return judged(
        not bad,
        expected=f"{vcpu:g} vCPU and {tasks:g} addresses",
        observed=bad or f"{quota.number('Quota.Value'):g} vCPU, {free} addresses",
        remedy="aws service-quotas request-service-quota-increase --service-code fargate "
        f"--quota-code L-3032A538 --desired-value {vcpu:g}",
    )
