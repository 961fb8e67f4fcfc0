"""What the account holds already, as the shell variables of the remedy's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cutover.aws.requirements.stack import Absent, NotApplicable, NotThere, Stack, Unreadable
from cutover.aws.requirements.view_by_name import view

_GONE = (NotThere, Unreadable, NotApplicable, Absent)
_VIEWS = {
    "VPC": "Vpc", "FLOW_LOGS": "FlowLogs",
    "ALB_GROUP": "AlbGroup", "ECS_GROUP": "EcsGroup", "RDS_GROUP": "RdsGroup", "REDIS_GROUP": "RedisGroup",
    "EXECUTION_ROLE": "ExecutionRole", "TASK_ROLE": "TaskRole", "OIDC": "OidcProviders", "REPORTS": "Bucket",
    "RDS": "Instance", "DB_SUBNETS": "DbSubnetGroup", "DR_REPLICA": "DrReplica",
    "QUEUE": "ReplicationGroup", "CACHE_SUBNETS": "CacheSubnetGroup",
    "DATABASE_SECRET": "DatabaseSecret", "REDIS_SECRET": "RedisSecret", "OPENAI_SECRET": "OpenAiSecret",
    "EMAIL_SECRET": "AdminEmailSecret", "HASH_SECRET": "AdminHashSecret", "SMTP_SECRET": "SmtpSecrets",
    "REPOSITORY": "Repository", "IMAGE": "ReleaseImage", "LOGS": "LogGroup",
    "ZONE": "Zone", "RECORD": "Records", "CERTIFICATE": "Certificate", "DISTRIBUTION": "Distribution",
    "BALANCER": "Balancer", "TARGET_GROUP": "TargetGroup", "BLUE_TARGET_GROUP": "BlueTargetGroup",
    "CLUSTER": "Cluster", "TASK_DEFINITION": "TaskDefinition", "SERVICE": "Service", "SCALING": "ScalingPolicies",
    "TOPIC": "Topic", "DASHBOARD": "Dashboard", "TRAIL": "Trails", "BUDGET": "Budgets",
}  # fmt: skip


def known(stack: Stack) -> dict[str, str]:
    """The ids that are there, by shell variable; what could not be read is not among them."""
    found: dict[str, str] = {}

    def note(variable: str, look: Callable[[], Any]) -> None:
        try:
            value = look()
        except _GONE:
            return
        if value:
            found[variable] = " ".join(value) if isinstance(value, list) else str(value)

    for variable, name in _VIEWS.items():
        note(variable, lambda name=name: stack.view(view(name)).subject)  # type: ignore[misc]
    subnets: Any = view("Subnets")
    note("PUBLIC", lambda: _two(stack.view(subnets).public))
    note("PRIVATE", lambda: _two(stack.view(subnets).private))
    note("LISTENERS", lambda: len(stack.view(view("Listeners")).rows("Listeners")) >= 2)
    note("ALARMS", lambda: _every_alarm(stack))
    return found


def _two(subnets: list[Any]) -> list[str]:
    return sorted(s["SubnetId"] for s in subnets) if len(subnets) >= 2 else []


def _every_alarm(stack: Stack) -> bool:
    """All planned alarms or none: putting one that is there already changes nothing."""
    a, alarms = stack.expect.alarms, stack.view(view("Alarms"))
    there = {r.get("AlarmName") for kind in ("MetricAlarms", "CompositeAlarms") for r in alarms.get(kind) or []}
    return {a.cpu, a.database, a.latency, a.errors, a.rollback} <= there
