"""A month's cost as a table of lines, beside the guide's own (guide lines 708-731), and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cutover.aws.cost.prices import Price
from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status

TASKS = (2, 10, 20)
"""At how many tasks the month is reckoned: the service's bounds, and between."""

GUIDE: dict[str, tuple[str, float, int]] = {
    "tasks": ("ECS Fargate: 2 tasks, 1 vCPU, 2GB", 75, 716),
    "database": ("RDS PostgreSQL: db.t3.medium, Multi-AZ", 150, 717),
    "queue": ("ElastiCache Redis: cache.t3.small", 25, 718),
    "balancer": ("ALB: standard usage", 30, 719),
    "cdn": ("CloudFront: 100GB transfer", 15, 720),
    "reports": ("S3: 50GB storage", 2, 721),
    "secrets": ("Secrets Manager: 10 secrets", 5, 722),
    "monitoring": ("CloudWatch: logs + metrics", 20, 723),
}
"""The guide's own table: what it reckons with, USD a month, the line."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What no API tells before the platform runs; the guide's numbers where it gives some.

    Attributes:
        lcu: load balancer capacity units in use, on average.
        cdn_gb: GB that CloudFront sends in a month.
        out_gb: GB that leave AWS from the balancer and the tasks in a month.
        nat_gb: GB through the NAT gateways in a month.
        reports_gb: GB of reports kept.
        logs_gb: GB of log lines in a month.
        metrics: custom metrics, Container Insights' included.
        replicated_gb: GB that go to the second region in a month.
    """

    lcu: float = 1.0
    cdn_gb: float = 100.0
    out_gb: float = 50.0
    nat_gb: float = 50.0
    reports_gb: float = 50.0
    logs_gb: float = 10.0
    metrics: float = 30.0
    replicated_gb: float = 20.0

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Assumptions:
        """From a notebook's knob.

        Raises:
            UsageError: an unknown name, or what is no number of at least 0.
        """
        known = set(cls.__dataclass_fields__)
        for name, value in given.items():
            good = (
                isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
            )
            if name not in known or not good:
                raise UsageError(
                    f"The assumption {name}: {value!r} is not known." if name not in known else f"{name}: {value!r}?",
                    todo=f"numbers of at least 0 for {', '.join(sorted(known))}",
                )
        return replace(cls(), **{k: float(v) for k, v in given.items()})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the estimate.

    Attributes:
        part: the group it belongs to (`GUIDE`'s keys, or one that the guide has not).
        what: in words, with class and count.
        basis: `there`, `planned` (not there yet: as expected), or `assumed`.
        quantity: units a month at 2, 10 and 20 tasks; None when it could not be read.
        price: of one unit; None when nobody knows it.
        why: why something is not known.
    """

    part: str
    what: str
    basis: str
    quantity: tuple[float, ...] | None
    price: Price | None
    why: str = ""

    @property
    def known(self) -> bool:
        """Whether it can be reckoned."""
        return self.quantity is not None and self.price is not None

    @property
    def usd(self) -> tuple[float, ...] | None:
        """USD a month at 2, 10 and 20 tasks; None when it is not known, never 0."""
        if self.quantity is None or self.price is None:
            return None
        usd = self.price.usd
        return tuple(round(q * usd, 2) for q in self.quantity)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A month's cost."""

    lines: tuple[Line, ...]
    tasks: tuple[int, ...]
    assumptions: Assumptions
    region: str

    @property
    def unknown(self) -> tuple[Line, ...]:
        """Lines that could not be reckoned; the total is then a lower bound."""
        return tuple(line for line in self.lines if not line.known)

    @property
    def totals(self) -> tuple[float, ...]:
        """USD a month at 2, 10 and 20 tasks, of what is known."""
        return tuple(round(sum(u[n] for line in self.lines if (u := line.usd)), 2) for n in range(len(self.tasks)))

    def by_part(self) -> dict[str, tuple[float, ...] | None]:
        """USD by part; None where nothing of it is known."""
        found: dict[str, tuple[float, ...] | None] = {}
        for line in self.lines:
            before, now = found.get(line.part), line.usd
            found[line.part] = (
                tuple(a + b for a, b in zip(before, now, strict=True)) if before and now else now or before
            )
        return found

    @property
    def sentence(self) -> str:
        """What it says, in one sentence."""
        least = "at least " if self.unknown else ""
        each = ", ".join(f"{least}{u:,.0f} USD at {n} tasks" for n, u in zip(self.tasks, self.totals, strict=True))
        guide = sum(usd for _, usd, _ in GUIDE.values())
        left = f"; {len(self.unknown)} lines are not known" if self.unknown else ""
        return f"A month costs {each}; the guide says {guide:,.0f} at 2{left}."


def check_cost(found: Estimate, budget_usd: float | None) -> list[Finding]:
    """CST-01: the month costs no more than was planned. CST-02: nothing in it is unknown.

    Args:
        found: the estimate.
        budget_usd: what the month may cost at the service's least number of tasks; None when nobody says.
    """
    least, most = found.totals[0], found.totals[-1]
    bound = "at least " if found.unknown else ""
    seen = f"{bound}{least:,.0f} USD at {found.tasks[0]} tasks, {most:,.0f} at {found.tasks[-1]}"
    over = budget_usd is not None and least > budget_usd
    status = Status.NOT_APPLICABLE if budget_usd is None else Status.FAIL if over else Status.PASS
    if budget_usd is not None and not over and found.unknown:
        status = Status.UNKNOWN
    first = Finding(
        "CST-01", "The month costs no more than planned", status, Severity.LOW, found.region,
        f"at most {budget_usd:,.0f} USD at {found.tasks[0]} tasks" if budget_usd is not None else "no plan is stated",
        seen, "a cost that was not planned is found on the invoice, a month later",
        "raise expect.account.monthly_usd knowingly, or choose smaller classes" if over else "", 727,
        data={"usd": list(found.totals), "tasks": list(found.tasks)},
    )  # fmt: skip
    reasons = "; ".join(dict.fromkeys(f"{line.what}: {line.why}" for line in found.unknown))
    second = Finding(
        "CST-02", "Every line of the estimate is known", Status.UNKNOWN if found.unknown else Status.PASS, Severity.LOW,
        found.region, "a price and a quantity for each line", reasons or f"{len(found.lines)} lines",
        "an unknown price is left out of the total, which is then a lower bound",
        "let the caller use pricing:GetProducts, or look the price up" if found.unknown else "", 712,
    )  # fmt: skip
    return [first, second]
