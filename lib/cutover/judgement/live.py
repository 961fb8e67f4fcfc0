"""The rollback triggers over what can be seen of a live platform: CloudWatch's windows, critical flows, health.

CloudWatch's period is the window: it knows nothing shorter, no request in flight, and a p95 that is an estimate of
the load balancer's. `for` counts whole periods (five of a minute are five minutes). Probes come when they come: a
flow has failed for as long as from its first failure to its last with no success between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from cutover.finding import Finding, Severity, Status
from cutover.judgement.firing import DECIDE, clock, decide, trigger_finding
from cutover.judgement.hold import Held, hold
from cutover.judgement.verdict import Judgement
from cutover.migration import Triggers

LATE_PERIODS = 3
"""CloudWatch's points may come some minutes late: only what is older than this many periods is missed."""

FlowProbe = tuple[float | datetime, bool, str, float, str]
"""When, whether it worked, which flow, how many seconds it took, what it said."""
HealthProbe = tuple[float | datetime, bool, bool | None, str] | tuple[float | datetime, bool, bool | None, str, Any]
"""When, whether it was healthy, whether it reached its database (None: it did not say), what it said; and, where it is
known, the word of each check of the health body (none: it did not answer)."""
_TABLE = (
    "requests",
    "errors",
    "p95_s",
    "in_flight",
    "unhealthy_hosts",
    "db_connections",
    "target_errors",
    "balancer_errors",
    "healthy_hosts",
    "cpu",
    "memory",
    "tasks",
)
_SIGHT = {
    "arrivals": "requests",
    "p95_s": "response times",
    "unhealthy_hosts": "target health",
    "db_connections": "connections of the database",
    "cpu": "CPU of the tasks",
    "memory": "memory of the tasks",
    "tasks": "how many tasks run (Container Insights)",
}
"""What CloudWatch may be silent about, in words."""


def judge_metrics(
    metrics: pd.DataFrame,
    flows: Sequence[FlowProbe],
    health: Sequence[HealthProbe],
    triggers: Triggers,
    *,
    at: float | datetime,
) -> Judgement:
    """What the triggers say of a live platform.

    Args:
        metrics: as `aws.read_metrics` gives it: one row for each period, index its start in UTC; NaN where there is no
            data, and in columns that are not there.
        flows: the probes of critical flows so far, in any order.
        health: the probes of the health endpoint so far, in any order.
        triggers: thresholds, windows, holds.
        at: the moment of judging; what is later is not seen, a period that is not over neither.

    Returns:
        ROLLBACK when a trigger fired; CONTINUE when all were judged and none did; else INCONCLUSIVE.
    """
    now = _epoch(at)
    table = _table(metrics, now, triggers)
    flow_probes = sorted((p for p in ((_epoch(f[0]), *f[1:]) for f in flows) if p[0] <= now), key=lambda p: p[0])
    health_probes = sorted((p for p in ((_epoch(h[0]), *h[1:]) for h in health) if p[0] <= now), key=lambda p: p[0])
    findings = [
        _rate(table, triggers, now),
        _latency(table, triggers, now),
        _stalled(table, triggers, now, probed=bool(flow_probes)),
        _flows(flow_probes, triggers.critical_flows.failing_for.total_seconds(), now),
        _database(health_probes, triggers.database.unreachable_for.total_seconds(), now),
        _sight(table),
    ]
    return Judgement.over(findings, table.drop(columns=["end"]))


def _table(metrics: pd.DataFrame, now: float, triggers: Triggers) -> pd.DataFrame:
    """Whole periods up to `now`, with their end; errors by arrivals as for a load log."""
    numbers = metrics.reindex(columns=list(_TABLE)).astype(float).sort_index()
    index = pd.DatetimeIndex(numbers.index)
    index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    starts = np.asarray((index - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1), dtype=np.float64)
    period = float(np.diff(starts).min()) if len(starts) > 1 else triggers.error_rate.window.total_seconds()
    table = numbers.rename(columns={"requests": "arrivals"}).reset_index(drop=True)
    table.insert(0, "start", starts)
    # The load balancer publishes its count of 5xx only when there were some.
    table["errors"] = table["errors"].where(table["errors"].notna() | ~(table["arrivals"] > 0), 0.0)
    table["error_rate"] = (table["errors"] / table["arrivals"]).where(table["arrivals"] > 0)
    table["end"] = starts + period
    table.attrs["period_s"] = period
    over = (table["end"] <= now + 1e-6).to_numpy()
    # Before its first point a metric that has just begun is not silent: it is not there yet.
    begun = (table["arrivals"].notna() | table["in_flight"].notna() | _sick(table)).to_numpy()
    return table[over & np.logical_or.accumulate(begun)].reset_index(drop=True)


def _sick(table: pd.DataFrame) -> pd.Series:
    """Whether a target was unhealthy, or none was healthy."""
    return (table["unhealthy_hosts"].fillna(0) > 0) | (table["healthy_hosts"] == 0)


def _sight(table: pd.DataFrame) -> Finding:
    """What a verdict from CloudWatch could not see: it closes no gate, it is to be read beside the verdict."""
    unseen = [words for name, words in _SIGHT.items() if not len(table) or table[name].isna().all()]
    period = float(table.attrs["period_s"])
    never = f"requests in flight, anything shorter than {period:g} s, and exact percentiles"
    return Finding.check(
        "LIVE-metrics",
        "CloudWatch has datapoints for every trigger metric",
        Status.UNKNOWN if unseen else Status.PASS,
        severity=Severity.LOW,
        expected="points of every metric",
        observed=f"no point of: {', '.join(unseen)}" if unseen else "points of every metric",
        note=f"CloudWatch never knows {never}; the probes of flows and health stand in for them",
        remedy="aws cloudwatch list-metrics --namespace AWS/ApplicationELB   # is it there, with these dimensions?",
        data={"unseen": unseen, "period_s": period},
    )


def _rate(table: pd.DataFrame, triggers: Triggers, now: float) -> Finding:
    rule = triggers.error_rate
    arrivals, errors = table["arrivals"].to_numpy(), table["errors"].to_numpy()
    # A thousandth of an error is below any count and above the rounding of the product.
    breach = errors - rule.above * arrivals > 1e-3 * (rule.above > 0)
    classes = {"target_5xx": table["target_errors"].sum(), "balancer_5xx": table["balancer_errors"].sum()}
    return _metric(
        table,
        triggers,
        now,
        "TRG-error-rate",
        f"Error rate does not exceed {rule.above * 100:g} % for {rule.hold.total_seconds():g} s",
        breach,
        table["error_rate"],
        rule.hold.total_seconds(),
        lambda v: f"{v:.2%} of requests failed",
        expected=f"at most {rule.above * 100:g} % of requests fail",
        threshold=rule.above,
        guide=936,
        more={"classes": {name: int(count) for name, count in classes.items() if count}},
    )


def _latency(table: pd.DataFrame, triggers: Triggers, now: float) -> Finding:
    rule = triggers.p95
    above = rule.above.total_seconds()
    return _metric(
        table,
        triggers,
        now,
        "TRG-p95",
        f"p95 does not exceed {above:g} s for {rule.hold.total_seconds():g} s",
        table["p95_s"].to_numpy() > above,
        table["p95_s"],
        rule.hold.total_seconds(),
        lambda v: f"p95 {v:.3f} s",
        expected=f"the load balancer's p95 is at most {above:g} s",
        threshold=above,
        guide=937,
    )


def _metric(
    table: pd.DataFrame,
    triggers: Triggers,
    now: float,
    identifier: str,
    title: str,
    breach: Any,
    values: pd.Series,
    hold_s: float,
    say: Callable[[float], str],
    *,
    expected: str,
    threshold: float,
    guide: int,
    more: dict[str, Any] | None = None,
) -> Finding:
    period = float(table.attrs["period_s"])
    least = triggers.min_samples
    enough = (table["arrivals"].to_numpy() >= least) & values.notna().to_numpy()
    ends = table["end"].tolist()
    held = hold(ends, decide(np.asarray(breach, dtype=bool), enough), max(0.0, hold_s - period), step_s=period)
    last = max((end for end, good in zip(ends, enough, strict=True) if good), default=None)
    held = _with_silence(held, now, last, period)
    at_fire = None if held.fired_at is None else float(values[table["end"] == held.fired_at].iloc[0])
    judged = values[enough]
    worst = float(judged.max()) if len(judged) else None
    return trigger_finding(
        identifier,
        title,
        held,
        LATE_PERIODS * period,
        hold_s,
        expected=expected,
        observed=say(at_fire) if at_fire is not None else f"at most: {say(worst or 0.0)}",
        guide=guide,
        least=least,
        data={"threshold": threshold, "value": at_fire, "worst": worst, "source": "CloudWatch", **(more or {})},
    )


def _with_silence(held: Held, now: float, last: float | None, period: float) -> Held:
    """`held`, with the time since the last point counted as silence too."""
    silence = held.silence_s if last is None else max(held.silence_s, now - last)
    return Held(held.fired_at, held.began_at, held.longest_s, held.open, held.decided, silence)


def _stalled(table: pd.DataFrame, triggers: Triggers, now: float, *, probed: bool) -> Finding:
    rule = triggers.stalled
    period, hold_s = float(table.attrs["period_s"]), rule.hold.total_seconds()
    waiting, sick = table["in_flight"], _sick(table)
    # Not told (NaN) is not none: metrics come minutes late, and connections wait for other reasons too. A period is
    # silent when a zero was told, or when it is old enough for its number to have come.
    told = table["arrivals"].notna() | (table["end"] < now - LATE_PERIODS * period)
    silent = told & ~(table["arrivals"] > 0)
    breach = (silent & (sick | (waiting >= rule.in_flight))).tolist()
    known = ((told & waiting.notna()) | (silent & sick)).tolist()
    looks = [bool(b) if k else None for b, k in zip(breach, known, strict=True)]
    held = hold(table["end"].tolist(), looks, max(0.0, hold_s - period), step_s=period)
    fields: dict[str, Any] = {
        "id": "TRG-stalled",
        "title": "The platform answers while requests wait",
        "severity": Severity.BLOCKER,
        "trigger": True,
        "expected": f"requests complete, or fewer than {rule.in_flight} wait and no target is unhealthy",
        "data": {"threshold": rule.in_flight, "hold_s": hold_s, "began_at": held.began_at, "fired_at": held.fired_at}
        | _targets(table),
    }
    if held.fired_at is not None:
        observed = f"no request completed up to {clock(held.fired_at)} while targets were unhealthy or requests waited"
        return Finding(status=Status.FAIL, observed=observed, remedy=DECIDE, **fields)
    if held.open:
        return Finding(status=Status.UNKNOWN, observed="no request completed in the last period", **fields)
    if held.decided:
        return Finding(status=Status.PASS, observed="requests completed in each period", **fields)
    if probed and bool((table["arrivals"] > 0).any()):
        why = "CloudWatch does not know requests in flight; the probes of critical flows show a hang instead"
        return Finding(status=Status.NOT_APPLICABLE, observed="not published", why=why, **fields)
    why = "neither metrics nor probes of critical flows can show a hang"
    return Finding(status=Status.UNKNOWN, observed="no data", why=why, **fields)


def _targets(table: pd.DataFrame) -> dict[str, Any]:
    """How many targets were unhealthy and healthy in the last period that says so."""
    told = table[table["unhealthy_hosts"].notna()]
    if not len(told):
        return {}
    last = told.iloc[-1]
    well = last["healthy_hosts"]
    return {
        "unhealthy_hosts": float(last["unhealthy_hosts"]),
        "healthy_hosts": None if np.isnan(well) else float(well),
    }


def _flows(probes: Sequence[tuple[float, bool, str, float, str]], hold_s: float, now: float) -> Finding:
    names = sorted({probe[2] for probe in probes})
    series: dict[str, list[tuple[float, bool | None, str]]] = {
        n: [(p[0], not p[1], p[4]) for p in probes if p[2] == n] for n in names
    }
    last = {p[2]: p[1] for p in probes}
    return _probed(
        "TRG-critical-flows",
        "Every critical flow works",
        series,
        hold_s,
        now,
        guide=938,
        what="critical flow",
        more={"flows": last},
    )


def _database(probes: Sequence[Any], hold_s: float, now: float) -> Finding:
    series: dict[str, list[tuple[float, bool | None, str]]] = {}
    if probes:
        series["database"] = [(p[0], None if p[2] is None else not p[2], p[3]) for p in probes]
    last = probes[-1] if probes and len(probes[-1]) > 4 else None
    more = {"checks": dict(last[4]), "health_answered": bool(last[4])} if last else {}
    return _probed(
        "TRG-database",
        "The application reaches its database",
        series,
        hold_s,
        now,
        guide=939,
        what="health probe",
        more=more,
    )


def _probed(
    identifier: str,
    title: str,
    series: dict[str, list[tuple[float, bool | None, str]]],
    hold_s: float,
    now: float,
    *,
    guide: int,
    what: str,
    more: dict[str, Any],
) -> Finding:
    """One finding over several series of probes: the worst of them speaks."""
    status, observed, why = Status.UNKNOWN, "", f"no {what} was made"
    data: dict[str, Any] = {"hold_s": hold_s, "threshold": hold_s, **more}
    order = {Status.FAIL: 2, Status.UNKNOWN: 1, Status.PASS: 0}
    worst = -1
    for name, probes in series.items():
        found, text, reason, held = _one(name, probes, hold_s, now)
        if order[found] > worst:
            worst, status, observed, why = order[found], found, text, reason
            data |= {"subject": name, "began_at": held.began_at, "fired_at": held.fired_at, "held_s": held.longest_s}
    return Finding(
        id=identifier,
        title=title,
        status=status,
        severity=Severity.BLOCKER,
        subject=", ".join(series),
        expected=f"no failure that lasts for {hold_s:g} s",
        observed=observed or "nothing",
        why=why,
        remedy=DECIDE if status is Status.FAIL else "",
        guide=guide,
        trigger=True,
        data=data,
    )


def _one(
    name: str, probes: list[tuple[float, bool | None, str]], hold_s: float, now: float
) -> tuple[Status, str, str, Held]:
    times, bad = [p[0] for p in probes], [p[1] for p in probes]
    held = hold(times, bad, hold_s)
    message = next((text for _, failed, text in reversed(probes) if failed), "")
    decided = [t for t, failed in zip(times, bad, strict=True) if failed is not None]
    if held.fired_at is not None and held.began_at is not None:
        text = f"{name} failed from {clock(held.began_at)} to {clock(held.fired_at)}: {message}"
        return Status.FAIL, text, "", held
    if held.open and held.began_at is not None:
        text = f"{name} fails since {clock(held.began_at)}: {message}"
        return Status.UNKNOWN, text, f"it does not yet fail for {hold_s:g} s", held
    if not decided:
        return Status.UNKNOWN, f"{name}: no probe said anything", "it could not be looked at", held
    patience = max(hold_s, LATE_PERIODS * float(np.median(np.diff(decided))) if len(decided) > 1 else 0.0)
    if now - decided[-1] > patience:
        return Status.UNKNOWN, f"{name} was last seen at {clock(decided[-1])}", "nothing was seen since", held
    return Status.PASS, f"{name} worked in the last of {len(decided)} probes", "", held


def _epoch(at: float | datetime) -> float:
    return at.timestamp() if isinstance(at, datetime) else float(at)
