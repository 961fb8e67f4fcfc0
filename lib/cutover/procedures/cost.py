"""What a month will cost and what the load needs, as notebook 03 shows it; and the load test's result, remembered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from cutover import aws
from cutover.aws import cost
from cutover.aws.cost import sizing
from cutover.aws.requirements import Stack
from cutover.aws.requirements.answers import Absent, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.ecs import TaskDefinition
from cutover.aws.requirements.instances import Machine
from cutover.aws.requirements.scaling import ScalableTarget
from cutover.aws.requirements.view import View
from cutover.finding import Finding, Status
from cutover.judgement import Judgement
from cutover.procedures.tables import columns_of, tabulate
from cutover.report import cost_chart as drawing
from cutover.step import Step

_LOAD = "load test"
_BASES = {"there": "there", "planned": "planned", "assumed": "assumed", "unread": "could not be read"}


def month(step: Step, account: aws.Account, traffic: Mapping[str, Any] | None = None) -> cost.Estimate:
    """The month's cost; kept as evidence, line by line.

    Args:
        step: the step.
        account: what is there.
        traffic: assumptions that differ from the guide's, such as {"cdn_gb": 300}.
    """
    found = cost.estimate(account, cost.Assumptions.of(traffic or {}))
    step.attach("raw/aws/cost.csv", cost_lines(found).to_csv())
    return found


def cost_lines(found: cost.Estimate) -> pd.DataFrame:
    """Every line: what, whether it is there, the price and where it is from, and the month at each count of tasks."""
    rows = []
    for line in found.lines:
        price = f"{line.price.usd:g} a {line.price.unit}" if line.price else "not known"
        source = f"{line.price.source}, {line.price.day:%Y-%m-%d}" if line.price else line.why
        usd = line.usd
        each = {f"{n} tasks, USD": "UNKNOWN" if usd is None else f"{usd[i]:,.2f}" for i, n in enumerate(found.tasks)}
        rows.append({"part": line.part, "what": line.what, "basis": _BASES.get(line.basis, line.basis), **each,
                     "price, USD": price, "source": source})  # fmt: skip
    return tabulate(rows, ["part", "what", "basis", *(f"{n} tasks, USD" for n in found.tasks), "price, USD", "source"])


def cost_beside_guide(found: cost.Estimate) -> pd.DataFrame:
    """The guide's table line by line, and what it leaves out."""
    parts = found.by_part()
    unknown = {line.part for line in found.unknown}
    rows = []
    for part in [*cost.GUIDE, *(p for p in parts if p not in cost.GUIDE)]:
        usd = parts.get(part)
        words, guide, _ = cost.GUIDE.get(part, ("not in the guide", 0.0, 0))
        sums = {f"{n} tasks, USD": _usd(usd[i] if usd else None, part in unknown) for i, n in enumerate(found.tasks)}
        rows.append({"part": part, "guide": words, "guide, USD": f"{guide:,.0f}" if guide else "—", **sums})
    total = {f"{n} tasks, USD": _usd(found.totals[i], bool(unknown)) for i, n in enumerate(found.tasks)}
    guide = sum(usd for _, usd, _ in cost.GUIDE.values())
    rows.append({"part": "total", "guide": "about 320", "guide, USD": f"{guide:,.0f}", **total})
    return tabulate(rows, ["part", "guide", "guide, USD", *total])


def _usd(value: float | None, lower: bool) -> str:
    if value is None:
        return "UNKNOWN"
    return f"{'at least ' if lower else ''}{value:,.2f}"


def cost_chart(found: cost.Estimate) -> Any:
    """The parts of the month beside the guide's."""
    guide = {part: usd for part, (_, usd, _) in cost.GUIDE.items()}
    return drawing.months(found.by_part(), found.tasks, guide, {line.part for line in found.unknown})


def check_cost(step: Step, found: cost.Estimate) -> list[Finding]:
    """Whether the month costs what was planned, and whether all of it is known."""
    return cost.check_cost(found, step.migration.expect.account.monthly_usd)


def remember_load(step: Step, judged: Judgement) -> None:
    """Keep how the load test ended, for the sizing, on whatever machine that runs."""
    frame = judged.windows
    if "completed" not in frame or not len(frame):
        return
    width = float(frame["start"].diff().median()) if len(frame) > 1 else math.nan
    rate = float(frame["completed"].median()) / width if width > 0 else math.nan
    passed = not any(f.trigger and f.status is not Status.PASS for f in judged.findings)
    kept = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "arrivals_per_s": float(step.migration.load.arrivals_per_s),
        "answered_per_s": rate,
        "p95_s": float(frame["p95_s"].max()),
        "error_rate": float(frame["error_rate"].max()),
        "passed": passed,
    }
    if not any(isinstance(v, float) and math.isnan(v) for v in kept.values()):  # half a result is none
        step.remember(_LOAD, kept)


def last_load(step: Step, tasks: int = 0) -> sizing.LoadResult | None:
    """The last load test of this migration; None when there is none on record.

    Args:
        step: the step.
        tasks: how many tasks stood behind it; 0 when nobody knows.
    """
    kept = step.recall(_LOAD)
    try:
        return sizing.LoadResult.from_dict({**kept, "tasks": tasks}) if kept else None
    except (KeyError, TypeError, ValueError):
        return None


def real_size(account: aws.Account) -> sizing.Real:
    """What the account runs, or what is planned where there is nothing yet."""
    stack = Stack(account, account.migration, datetime.now(UTC))
    e, m = stack.expect, account.migration

    def read(view: type[View], path: str, planned: Any) -> Any:
        try:
            return stack.view(view).get(path) or planned
        except (NotThere, NotApplicable, Unreadable, Absent):
            return planned

    return sizing.Real(
        m.compute,
        int(read(TaskDefinition, "cpu", e.ecs.cpu)),
        int(read(TaskDefinition, "memory", e.ecs.memory)),
        int(read(ScalableTarget, "MinCapacity", e.scaling.minimum)),
        int(read(ScalableTarget, "MaxCapacity", e.scaling.maximum)),
        str(read(Machine, "InstanceType", e.ec2.types[0])) if m.compute == "ec2" else "",
    )


def size_table(load: sizing.LoadResult | None) -> pd.DataFrame:
    """The guide's EC2 table with the row that this load needs."""
    rows = sizing.table(load)
    return tabulate(rows, columns_of(rows, "workload"))
