"""What the account holds already, as the variables of the blueprint; each is looked up when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cutover.aws.blueprint import Resource
from cutover.aws.requirements.account import Budgets, Trails
from cutover.aws.requirements.alarms import Alarms, Topic
from cutover.aws.requirements.answers import Absent, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.backups import DrReplica
from cutover.aws.requirements.balancer import Balancer, BlueTargetGroup, TargetGroup
from cutover.aws.requirements.certificate import Certificate
from cutover.aws.requirements.dns import Distribution, HealthChecks, Records, Zone
from cutover.aws.requirements.ecs import Cluster, Service, TaskDefinition
from cutover.aws.requirements.images import ReleaseImage, Repository
from cutover.aws.requirements.listeners import Listeners
from cutover.aws.requirements.network import FlowLogs, Subnets, Vpc
from cutover.aws.requirements.observability import Dashboard, LogGroup
from cutover.aws.requirements.rds import DbSubnetGroup, Instance
from cutover.aws.requirements.redis import CacheSubnetGroup, ReplicationGroup
from cutover.aws.requirements.review import Detectors, WebAcl
from cutover.aws.requirements.roles import ExecutionRole, OidcProviders, TaskRole
from cutover.aws.requirements.scaling import ScalingPolicies
from cutover.aws.requirements.secrets_manager import (
    AdminEmailSecret,
    AdminHashSecret,
    DatabaseSecret,
    OpenAiSecret,
    RedisSecret,
    SmtpSecrets,
)
from cutover.aws.requirements.security_groups import AlbGroup, EcsGroup, RdsGroup, RedisGroup
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.storage import Bucket
from cutover.aws.requirements.view import View

_SUBJECTS: dict[str, type[View]] = {
    "VPC": Vpc, "FLOW_LOGS": FlowLogs,
    "ALB_GROUP": AlbGroup, "ECS_GROUP": EcsGroup, "RDS_GROUP": RdsGroup, "REDIS_GROUP": RedisGroup,
    "EXECUTION_ROLE": ExecutionRole, "TASK_ROLE": TaskRole, "OIDC": OidcProviders, "REPORTS": Bucket,
    "RDS": Instance, "DB_SUBNETS": DbSubnetGroup, "DR_REPLICA": DrReplica,
    "QUEUE": ReplicationGroup, "CACHE_SUBNETS": CacheSubnetGroup,
    "DATABASE_SECRET": DatabaseSecret, "REDIS_SECRET": RedisSecret, "OPENAI_SECRET": OpenAiSecret,
    "EMAIL_SECRET": AdminEmailSecret, "HASH_SECRET": AdminHashSecret, "SMTP_SECRET": SmtpSecrets,
    "REPOSITORY": Repository, "IMAGE": ReleaseImage, "LOGS": LogGroup,
    "ZONE": Zone, "RECORD": Records, "HEALTH_CHECK": HealthChecks, "CERTIFICATE": Certificate,
    "DISTRIBUTION": Distribution, "BALANCER": Balancer, "TARGET_GROUP": TargetGroup,
    "BLUE_TARGET_GROUP": BlueTargetGroup, "CLUSTER": Cluster, "TASK_DEFINITION": TaskDefinition, "SERVICE": Service,
    "SCALING": ScalingPolicies, "TOPIC": Topic, "DASHBOARD": Dashboard, "TRAIL": Trails, "BUDGET": Budgets,
    "DETECTOR": Detectors,
}  # fmt: skip
"""The views whose subject is a variable's value."""


class Known:
    """The ids that are there, by variable; what could not be read is not among them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._found: dict[str, str | None] = {}

    def __call__(self, name: str) -> str | None:
        """The value of a variable; several ids are parted by blanks."""
        if name not in self._found:
            try:
                value = _look(name, self._stack)
            except (NotThere, Unreadable, NotApplicable, Absent):
                value = None
            self._found[name] = (" ".join(value) if isinstance(value, list) else str(value)) if value else None
        return self._found[name]

    def there(self, row: Resource) -> bool:
        """Whether the account has a resource of the blueprint."""
        return all(self(name) is not None for name in row.gives)


def _look(name: str, stack: Stack) -> Any:
    if name in _SUBJECTS:
        return stack.view(_SUBJECTS[name]).subject
    look = _OTHERS.get(name)
    return look(stack) if look else None


def _two(subnets: list[Any]) -> list[str]:
    return sorted(s["SubnetId"] for s in subnets) if len(subnets) >= 2 else []


def _every_alarm(stack: Stack) -> bool:
    """All planned alarms or none: putting one that is there already changes nothing."""
    a, alarms = stack.expect.alarms, stack.view(Alarms)
    there = {r.get("AlarmName") for kind in ("MetricAlarms", "CompositeAlarms") for r in alarms.get(kind) or []}
    return {a.cpu, a.database, a.latency, a.errors, a.rollback} <= there


_OTHERS: dict[str, Callable[[Stack], Any]] = {
    "PUBLIC": lambda stack: _two(stack.view(Subnets).public),
    "PRIVATE": lambda stack: _two(stack.view(Subnets).private),
    "LISTENERS": lambda stack: len(stack.view(Listeners).rows("Listeners")) >= 2,
    "ALARMS": _every_alarm,
    "WEB_ACL": lambda stack: stack.view(WebAcl).get("WebACL.ARN"),
}
