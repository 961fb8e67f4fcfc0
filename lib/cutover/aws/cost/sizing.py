"""The guide's sizing tables held against a load test: what this load needs, and the headroom left (lines 249-257)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from cutover.finding import Finding, Severity, Status

RESERVE = 0.3
"""Room kept above the tested load: target tracking scales out at 70 % (guide line 551), which leaves as much."""
THINK_S = 10.0
"""Seconds between two requests of one visitor, to turn the guide's users into requests (Little's law)."""


@dataclass(frozen=True, slots=True)
class Size:
    """A row of the guide's EC2 table; `users` is the most that it is recommended for, None without a bound."""

    workload: str
    type: str
    vcpu: int
    memory_gb: int
    users: int | None


EC2 = (
    Size("Development", "t3.small", 2, 2, 0),
    Size("Small production", "t3.medium", 2, 4, 100),
    Size("Medium production", "t3.large", 2, 8, 500),
    Size("Large production", "c6i.xlarge", 4, 8, None),
    Size("ELITE workloads", "c6i.2xlarge", 8, 16, None),
)
TASK = (1024, 2048)
"""CPU units and MiB of a task (guide lines 335-336)."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How the last load test ended.

    Attributes:
        arrivals_per_s: requests due in a second.
        answered_per_s: requests answered in a second, the median of the windows.
        p95_s: the slowest window's.
        error_rate: the worst window's share.
        passed: whether no rollback trigger would have fired.
        tasks: how many tasks (or instances) stood behind the tested address; None when nobody said.
        at: when, ISO 8601.
    """

    arrivals_per_s: float
    answered_per_s: float
    p95_s: float
    error_rate: float
    passed: bool
    tasks: int | None = None
    at: str = ""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """From the journal.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        tasks = raw.get("tasks")
        return cls(
            float(raw["arrivals_per_s"]),
            float(raw["answered_per_s"]),
            float(raw["p95_s"]),
            float(raw["error_rate"]),
            bool(raw["passed"]),
            int(tasks) if tasks else None,
            str(raw.get("at", "")),
        )

    @property
    def users(self) -> float:
        """Visitors at once that make so many requests (Little's law, `THINK_S` between two requests)."""
        return self.arrivals_per_s * (THINK_S + (0.0 if math.isnan(self.p95_s) else self.p95_s))


@dataclass(frozen=True, slots=True)
class Real:
    """What the account holds, or what is planned where it holds nothing yet."""

    compute: str
    cpu: int
    memory_mib: int
    minimum: int
    maximum: int
    instance_type: str = ""


def suited(users: float) -> Size:
    """The smallest row of the guide's table for so many users; nothing is recommended on Development."""
    return next(s for s in EC2 if s.users is None or users < s.users)


def check_size(load: LoadResult | None, real: Real) -> list[Finding]:
    """SIZ-01: the tasks carry the load with room. SIZ-02: a task has its planned size. SIZ-03: so has an instance."""
    return [_carries(load, real), _task(real), _machine(load, real)]


def table(load: LoadResult | None) -> list[dict[str, Any]]:
    """The guide's EC2 table with the row that this load needs."""
    need = suited(load.users) if load else None
    return [
        {
            "workload": s.workload,
            "type": s.type,
            "vCPU": s.vcpu,
            "memory, GB": s.memory_gb,
            "users, at most": "testing" if s.users == 0 else s.users or "no bound",
            "this load": "not known" if load is None else "needs this" if s is need else "",
        }
        for s in EC2
    ]


def _carries(load: LoadResult | None, real: Real) -> Finding:
    def finding(status: Status, observed: str, remedy: str = "", **data: Any) -> Finding:
        return Finding(
            "SIZ-01", "The tasks carry the load, with room", status, Severity.MEDIUM, f"{real.compute}, {real.minimum}"
            f" to {real.maximum}", f"the tested load and {RESERVE:.0%} more within the service's bounds", observed,
            "a service that is full at its greatest size has no answer to a busy day", remedy, 249, data=data,
        )  # fmt: skip

    if load is None:
        return finding(Status.UNKNOWN, "no load test is on record", "run 05_load_test, then this notebook again")
    if not load.passed:
        return finding(Status.FAIL, f"the load test of {load.arrivals_per_s:g} requests a second was not passed",
                       "fix what 05_load_test names, or raise cpu and memory of the task")  # fmt: skip
    if load.tasks is None:
        seen = f"{load.answered_per_s:g} requests a second were answered, by how many tasks is not known"
        return finding(Status.UNKNOWN, seen, "give tasks_behind_test: how many tasks staging ran during 05_load_test")
    each = load.answered_per_s / load.tasks
    if each <= 0:
        return finding(Status.UNKNOWN, "nothing was answered in a whole window", "run 05_load_test for longer")
    need = math.ceil(load.arrivals_per_s * (1 + RESERVE) / each)
    room = each * real.maximum / load.arrivals_per_s - 1
    seen = (
        f"{need} tasks for {load.arrivals_per_s:g} requests a second with {RESERVE:.0%} in reserve, at {each:.3g} a "
        f"task (at least: the test did not go to the limit); {real.maximum} tasks leave {room:.0%} of headroom"
    )
    if need > real.minimum:
        seen += f"; the service starts at {real.minimum}, so it scales out at once"
    remedy = "" if need <= real.maximum else f"raise expect.scaling.maximum to {need}, or give a task more CPU"
    return finding(Status.PASS if need <= real.maximum else Status.FAIL, seen, remedy, needed=need,
                   headroom=round(room, 3), per_task=round(each, 3))  # fmt: skip


def _task(real: Real) -> Finding:
    good = real.cpu >= TASK[0] and real.memory_mib >= TASK[1]
    other = real.compute != "ecs"
    return Finding(
        "SIZ-02", "A task is at least as large as the guide's",
        Status.NOT_APPLICABLE if other else Status.PASS if good else Status.FAIL, Severity.LOW, "the task definition",
        f"at least {TASK[0]} CPU units and {TASK[1]} MiB", f"{real.cpu} and {real.memory_mib}",
        "compute is ec2" if other else "the guide's numbers, its prices and its scaling rest on this size",
        "" if good or other else "give the task definition more, or test this size with 05_load_test and say so", 335,
    )  # fmt: skip


def _machine(load: LoadResult | None, real: Real) -> Finding:
    def finding(status: Status, expected: str, observed: str, why: str, remedy: str = "") -> Finding:
        return Finding("SIZ-03", "The instance type is large enough for the users", status, Severity.MEDIUM,
                       real.instance_type or "instances", expected, observed, why, remedy, 249)  # fmt: skip

    why = "the guide's table goes by users at once"
    if real.compute != "ec2":
        return finding(Status.NOT_APPLICABLE, "", "", "compute is ecs: the platform runs in containers")
    if load is None:
        return finding(
            Status.UNKNOWN, "", "no load test is on record", why, "run 05_load_test, then this notebook again"
        )
    need = suited(load.users)
    order = [s.type for s in EC2]
    expected = f"{need.type} or larger for {load.users:,.0f} users ({THINK_S:g} s between two requests of one)"
    if real.instance_type not in order:
        return finding(Status.UNKNOWN, expected, f"{real.instance_type} is not in the guide's table", why)
    good = order.index(real.instance_type) >= order.index(need.type)
    remedy = "" if good else f"replace the instances with {need.type} (guide line 249)"
    return finding(Status.PASS if good else Status.FAIL, expected, real.instance_type, why, remedy)
