"""Watching a platform that just moved: metrics, the health contract and the critical flows, judged live."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from cutover import app, aws, judgement
from cutover.app.flows import sign_in
from cutover.errors import AwsError, CutoverError
from cutover.finding import Finding, Status, Verdict
from cutover.procedures.live_chart import Growing, watch_windows
from cutover.step import Context
from cutover.step.context import attach

_PROBE_TIMEOUT_S = 5.0
ACCEPTED_S = 60.0
"""Seconds to wait for the target's first accepted write; its pool must come back to a database that takes writes."""
_RESOLVERS_S = 65.0
"""A resolver may keep the old answer for its TTL, which is at most 60 s on the day (DNS-01)."""


@dataclass(frozen=True)
class Observed:
    """What a watch saw.

    Attributes:
        findings: one for each rollback trigger, and what else was seen.
        verdict: CONTINUE, ROLLBACK or INCONCLUSIVE.
        metrics: the windows, as `aws.read_metrics` gives them.
        flows: `(at, ok, name, seconds, message)`, at in epoch seconds.
        health: `(at, ok, database_ok, message, checks)`.
        seconds: how long it watched.
    """

    findings: list[Finding]
    verdict: Verdict
    metrics: pd.DataFrame
    flows: list[tuple[float, bool, str, float, str]]
    health: list[tuple[float, bool, bool | None, str, dict[str, str]]]
    seconds: float


@dataclass
class _Watcher:
    step: Context
    account: aws.Account
    url: str
    host: str | None = None
    flows: list[tuple[float, bool, str, float, str]] = field(default_factory=list)
    health: list[tuple[float, bool, bool | None, str, dict[str, str]]] = field(default_factory=list)

    def look_at_health(self) -> None:
        at = time.time()
        seen = app.probe_health(self.url, timeout_s=_PROBE_TIMEOUT_S, host=self.host)
        told = seen.checks.get("database")
        # Without an answer nothing is known of the database: a hang must not read as a lost one.
        database = told == "healthy" if told else None
        self.health.append((at, seen.ok, database, "; ".join(seen.problems), dict(seen.checks)))

    def look_at_flows(self) -> None:
        at = time.time()
        migration = self.step.migration
        login, admin = logins(self.step)
        timeout_s = min(10.0, migration.triggers.critical_flows.failing_for.total_seconds())
        for result in app.run_critical_flows(self.url, login, admin_login=admin, timeout_s=timeout_s, host=self.host):
            if result.ok is None:  # not walked: the flow it needs failed, and that one is judged
                continue
            message = f"{result.step}: {result.problem}" if result.problem else ""
            self.flows.append((at, result.ok, result.name, result.seconds, message))

    def look_at_metrics(self, start: datetime, end: datetime) -> pd.DataFrame:
        period_s = int(self.step.migration.triggers.p95.window.total_seconds())
        try:
            return aws.read_metrics(self.account, start=start, end=end, period_s=period_s)
        except AwsError as error:
            frame = pd.DataFrame()
            frame.attrs["error"] = str(error)
            return frame


def balancer_name(step: Context, account: aws.Account) -> str:
    """The load balancer's own DNS name.

    Raises:
        AwsError: there is no such balancer, or it cannot be looked at.
    """
    wanted = step.migration.target.load_balancer
    found = account.call("elbv2", "describe_load_balancers", Names=[wanted]).require()
    return str(found["LoadBalancers"][0]["DNSName"])


def target_url(step: Context, account: aws.Account) -> str:
    """How the balancer is reached without the public name: `target.app_url`, or its own DNS name over HTTPS."""
    migration = step.migration
    if migration.target.app_url:
        return step.migration.resolve(migration.target.app_url)
    return f"https://{balancer_name(step, account)}"


def target(step: Context, account: aws.Account) -> dict[str, str | None]:
    """Where and under which name the balancer is asked: arguments for `app`'s checks.

    Its certificate is for the public name, so that name is asked for at the balancer's own address.
    """
    host = None if step.migration.target.app_url else step.migration.hostname
    return {"base_url": target_url(step, account), "host": host}


def watch(step: Context, account: aws.Account, duration: timedelta) -> Observed:
    """Look every `watch.every` until `duration` is over or a trigger fires, then judge.

    The look ends early only for ROLLBACK: good news need the whole time.
    """
    began = datetime.now(UTC)
    ends = time.monotonic() + duration.total_seconds()
    every_s = step.migration.watch.every.total_seconds()
    # The flows write (a twin, a report): as often as the trigger needs them, not more.
    flows_every_s = max(every_s, step.migration.triggers.critical_flows.failing_for.total_seconds() / 3)
    at = target(step, account)
    watcher = _Watcher(step, account, str(at["base_url"]), at["host"])
    judged, metrics = None, pd.DataFrame()
    growing = Growing(step.migration.triggers)
    with ThreadPoolExecutor(max_workers=2) as pool:
        flows: Future[Any] | None = None
        flows_due = 0.0
        while True:
            tick = time.monotonic()
            if flows is None or (flows.done() and tick >= flows_due):
                if flows is not None:
                    flows.result()
                flows = pool.submit(watcher.look_at_flows)
                flows_due = tick + flows_every_s
            watcher.look_at_health()
            now = datetime.now(UTC)
            metrics = watcher.look_at_metrics(began, now)
            judged = _judge(step, metrics, watcher, now)
            growing(metrics, judged)
            if judged.verdict is Verdict.ROLLBACK or time.monotonic() >= ends:
                break
            time.sleep(max(0.05, min(every_s - (time.monotonic() - tick), ends - time.monotonic())))
        flows.result()
    if judged.verdict is not Verdict.ROLLBACK:
        judged = _judge(step, metrics, watcher, datetime.now(UTC))
    seconds = (datetime.now(UTC) - began).total_seconds()
    growing.end(f"Watched for {seconds:.0f} s. {judged.headline}")
    name = f"{step.name}-watch"
    attach(step, f"raw/load/{name}.csv", metrics.to_csv())
    if not metrics.empty:
        attach(step, f"raw/load/{step.name}-windows.csv", watch_windows(metrics).to_csv(index=False))
    attach(step, f"raw/load/{name}.json", {"flows": watcher.flows, "health": watcher.health, "seconds": seconds})
    return Observed(judged.findings, judged.verdict, metrics, watcher.flows, watcher.health, seconds)


def _judge(step: Context, metrics: pd.DataFrame, watcher: _Watcher, now: datetime) -> judgement.Judgement:
    triggers = step.migration.triggers
    return judgement.judge_metrics(metrics, list(watcher.flows), list(watcher.health), triggers, at=now.timestamp())


def check_name(step: Context, account: aws.Account) -> list[Finding]:
    """Whether every resolver answers the balancer's address for the public name, once its cached answer ran out."""
    resolvers = [step.migration.resolve(r) for r in step.migration.resolvers]
    wanted = balancer_name(step, account)
    ends = time.monotonic() + _RESOLVERS_S
    while True:
        findings = app.check_dns(step.migration.hostname, wanted, resolvers)
        if not any(f.closes_gate for f in findings) or time.monotonic() > ends:
            return findings
        time.sleep(1.0)


def check_public_name(step: Context, account: aws.Account) -> list[Finding]:
    """What a visitor meets: the name leads to the balancer, and behind it the platform is well."""
    findings = check_name(step, account)
    if any(f.closes_gate for f in findings):
        return findings
    login, admin = logins(step)
    url = target_url(step, account) if step.migration.target.app_url else f"https://{step.migration.hostname}"
    health = app.check_health(url, expected_version=step.migration.release.version)
    return [*findings, *health, *app.check_critical_flows(url, login, admin_login=admin)]


def logins(step: Context) -> tuple[str, str | None]:
    """The test user's login and the administrator's, where there is one."""
    admin = step.migration.admin_user
    return step.migration.resolve(step.migration.test_user), step.migration.resolve(admin) if admin else None


def first_accepted_write(step: Context, account: aws.Account, *, timeout_s: float = ACCEPTED_S) -> str:
    """Sign in behind the balancer until it works, which writes a session; when it did, "" when it never did."""
    at, (login, _) = target(step, account), logins(step)
    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        try:
            sign_in(str(at["base_url"]), login, timeout_s=5.0, host=at["host"])
        except (CutoverError, app.Unreachable):
            time.sleep(0.05)
            continue
        return datetime.now(UTC).isoformat()
    return ""


def watch_sentence(observed: Observed | None) -> str:
    """What the watch found, in a sentence (the alt text of its picture)."""
    if observed is None:
        return "Nothing was watched: this run shows the plan only."
    fired = [f.title for f in observed.findings if f.trigger and f.status is Status.FAIL]
    if fired:
        return f"{observed.verdict}: {'; '.join(fired)}, after {observed.seconds:.0f} s."
    return f"{observed.verdict}: no rollback trigger fired in {observed.seconds:.0f} s."
