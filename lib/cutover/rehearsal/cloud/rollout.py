"""What the ECS service scheduler knows: services, their deployments and tasks, and the history of roll-outs."""

from __future__ import annotations

import itertools
import math
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from cutover.rehearsal.cloud.tasks import Running

_numbers = itertools.count(1_000_000_000_000_000_001, 7_919)


def now() -> datetime:
    """This instant, UTC."""
    return datetime.now(UTC)


class TaskFailedToStart(Exception):
    """A task cannot start: no such image, a secret that does not resolve, no log group."""


@dataclass(slots=True, eq=False)
class Revision:
    """What a deployment brings out (an ECS service revision)."""

    arn: str
    task_definition: str
    created: datetime
    network: dict[str, Any]
    load_balancers: list[dict[str, Any]]


@dataclass(slots=True, eq=False)
class ServiceDeployment:
    """The history's entry of one roll-out, its rollback included (an ECS service deployment)."""

    arn: str
    target: Revision
    source: Revision | None
    created: datetime
    status: str = "IN_PROGRESS"
    reason: str = ""
    finished: datetime | None = None
    updated: datetime = field(default_factory=now)
    rollback: dict[str, Any] | None = None
    failures: int = 0

    def set(self, status: str, reason: str = "", *, over: bool = False) -> None:
        """Move on to `status`; `over` when nothing follows."""
        self.status, self.reason, self.updated = status, reason, now()
        self.finished = self.updated if over else None


@dataclass(slots=True, eq=False)
class Deployment:
    """One of a service's deployments: the first is PRIMARY, the others are on their way out."""

    revision: Revision
    history: ServiceDeployment
    id: str = field(default_factory=lambda: f"ecs-svc/{next(_numbers)}")
    state: str = "IN_PROGRESS"
    reason: str = ""
    failed: int = 0
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    is_rollback: bool = False
    not_before: float = 0.0

    def set(self, state: str, reason: str) -> None:
        """Change the roll-out's state."""
        self.state, self.reason, self.updated = state, reason, now()


@dataclass(slots=True, eq=False)
class Task:
    """A task of a service."""

    id: str
    arn: str
    deployment: Deployment
    task_definition: str
    subnet: str
    zone: str
    private_ip: str
    running: Running | None = None
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    health: str = "UNKNOWN"
    created: datetime = field(default_factory=now)
    started: datetime | None = None
    stopped: datetime | None = None
    stop_code: str = ""
    stopped_reason: str = ""
    registered: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether it still counts."""
        return self.last_status != "STOPPED"

    @property
    def healthy(self) -> bool:
        """Whether it serves."""
        return self.last_status == "RUNNING" and self.health == "HEALTHY"


class World(Protocol):
    """What the scheduler does to the rest of the account."""

    def launch(self, service: Service, deployment: Deployment) -> Task:
        """Start one task; raises TaskFailedToStart."""
        ...

    def register(self, service: Service, task: Task) -> None:
        """Put a healthy task into the service's target groups."""
        ...

    def deregister(self, service: Service, task: Task) -> None:
        """Take it out again."""
        ...

    def ended(self, service: Service, task: Task) -> None:
        """The task is over: release what it held."""
        ...

    def alarming(self, names: list[str]) -> list[str]:
        """Which of these alarms are in ALARM."""
        ...

    def changed(self, service: Service) -> None:
        """The service's state changed: show it."""
        ...


@dataclass(slots=True, eq=False)
class Service:
    """A service as the scheduler sees it."""

    name: str
    arn: str
    desired: int
    configuration: dict[str, Any]
    make_revision: Any
    deployments: list[Deployment] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    history: list[ServiceDeployment] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    last_good: Revision | None = None
    steady: bool = False

    @property
    def primary(self) -> Deployment:
        """The deployment that is wanted."""
        return self.deployments[0]

    def say(self, message: str) -> None:
        """Add an event, newest first; AWS keeps the last hundred."""
        self.events.insert(
            0, {"id": str(uuid.uuid4()), "createdAt": now(), "message": f"(service {self.name}) {message}"}
        )
        del self.events[100:]

    def alive(self, deployment: Deployment | None = None) -> list[Task]:
        """Tasks that count: all, or one deployment's."""
        return [
            t for t in self.tasks if t.alive and t.desired_status == "RUNNING" and deployment in (None, t.deployment)
        ]

    @property
    def breaker_threshold(self) -> int:
        """Failed tasks after which the circuit breaker opens."""
        return min(200, max(3, math.ceil(self.desired * 0.5)))
