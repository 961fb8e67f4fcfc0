"""CloudWatch alarms, the topic that carries them, the dashboard, and the logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

from cutover.aws.requirements.requirement import (
    BLOCKER,
    DAY,
    FAIL,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    at_least,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.stack import NotThere, Stack, Unreadable, View, parse_moment
from cutover.expectations import AlarmsExpectation, LogsExpectation


class Alarms(View):
    """Every alarm."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None at all is MISSING."""
        answer = stack.need("cloudwatch", "describe_alarms")
        if not answer.data.get("MetricAlarms") and not answer.data.get("CompositeAlarms"):
            raise NotThere("no alarm", remedy=put_alarm(stack, "cpu"), evidence=_names(answer.evidence))
        return cls(answer.data, "cloudwatch", answer)

    def named(self, name: str, remedy: str) -> View:
        """The metric alarm of that name.

        Raises:
            NotThere: there is none.
        """
        for row in self.get("MetricAlarms") or []:
            if row.get("AlarmName") == name:
                return View(row, str(row.get("AlarmArn") or name), self)
        raise NotThere(f"no alarm {name}", remedy=remedy, evidence=self.evidence)

    @property
    def metric_alarms(self) -> list[View]:
        """All metric alarms."""
        return [View(r, str(r.get("AlarmArn", "")), self) for r in self.get("MetricAlarms") or []]


def _names(evidence: str) -> tuple[str, ...]:
    return (evidence,) if evidence else ()


def put_alarm(stack: Stack, kind: str) -> str:
    """The command that puts one of the planned alarms, dimensions included (the guide forgets them)."""
    e, a = stack.expect, stack.expect.alarms
    topic = f"arn:aws:sns:{stack.migration.region}:{stack.migration.account_id}:{a.topic}"
    head = f"aws cloudwatch put-metric-alarm --alarm-actions {topic} --comparison-operator GreaterThanThreshold "
    common = f"--statistic Average --period {a.period_s} --evaluation-periods {a.evaluation_periods} "
    if kind == "cpu":
        return (
            head
            + common
            + (
                f"--alarm-name {a.cpu} --namespace AWS/ECS --metric-name CPUUtilization --threshold {a.cpu_above:g} "
                f"--dimensions Name=ClusterName,Value={e.ecs.cluster} Name=ServiceName,Value={e.ecs.service}"
            )
        )
    if kind == "database":
        return (
            head
            + common
            + (
                f"--alarm-name {a.database} --namespace AWS/RDS --metric-name DatabaseConnections "
                f"--threshold {a.connections_above:g} --dimensions Name=DBInstanceIdentifier,Value={e.rds.instance}"
            )
        )
    if kind == "latency":
        return head + (
            f"--alarm-name {a.latency} --namespace AWS/ApplicationELB --metric-name TargetResponseTime "
            f"--extended-statistic p95 --period 60 --evaluation-periods 1 --threshold {a.latency_above_s:g} "
            "--dimensions Name=LoadBalancer,Value=app/…"
        )
    return head + (
        f"--alarm-name {a.errors} --threshold {a.errors_above_percent:g} --evaluation-periods 5 --metrics file://ratio.json"
        "   # 100 * (HTTPCode_Target_5XX_Count + HTTPCode_ELB_5XX_Count) / RequestCount, period 60"
    )


class CpuAlarm(View):
    """The alarm on the service's CPU."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name."""
        found = stack.view(Alarms).named(stack.expect.alarms.cpu, put_alarm(stack, "cpu"))
        return cls(found.data, found.subject, found)


class ConnectionsAlarm(View):
    """The alarm on the database's connections."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name."""
        found = stack.view(Alarms).named(stack.expect.alarms.database, put_alarm(stack, "database"))
        return cls(found.data, found.subject, found)


def dimensions(alarm: View) -> dict[str, str]:
    """The dimensions of an alarm, by name."""
    return {d.get("Name", ""): d.get("Value", "") for d in alarm.get("Dimensions") or []}


def _setting(alarm: View) -> list[Any]:
    keys = ("Namespace", "MetricName", "Statistic", "Period", "Threshold", "ComparisonOperator", "EvaluationPeriods")
    values = [alarm.need(k) for k in keys]
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


@requirement("ALM-01", title="The CPU alarm is set", severity=BLOCKER, guide=594)
def cpu_alarm(alarm: CpuAlarm, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """Nobody looks at a dashboard at night."""
    wanted = ["AWS/ECS", "CPUUtilization", "Average", expect.period_s, expect.cpu_above, "GreaterThanThreshold",
              expect.evaluation_periods]  # fmt: skip
    return holds(_setting(alarm), expected=wanted, remedy=put_alarm(stack, "cpu"))


@requirement("ALM-02", title="The CPU alarm watches our service", severity=BLOCKER, guide=594)
def cpu_alarm_dimensions(alarm: CpuAlarm, stack: Stack) -> Outcome:
    """The guide's alarm has no dimensions: ECS publishes no such metric, and the alarm never fires."""
    wanted = {"ClusterName": stack.expect.ecs.cluster, "ServiceName": stack.expect.ecs.service}
    return holds(dimensions(alarm), expected=wanted, remedy=put_alarm(stack, "cpu"))


class Topic(View):
    """The topic that carries the alarms, with its subscriptions."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name; no topic is MISSING."""
        name = stack.expect.alarms.topic
        listing = stack.need("sns", "list_topics")
        arn = next((t["TopicArn"] for t in listing.data.get("Topics", []) if t["TopicArn"].endswith(f":{name}")), None)
        if arn is None:
            raise NotThere(
                f"no topic {name}", remedy=f"aws sns create-topic --name {name}", evidence=_names(listing.evidence)
            )
        answer = stack.need("sns", "list_subscriptions_by_topic", TopicArn=arn)
        return cls(answer.data, arn, listing, answer)

    @property
    def confirmed(self) -> list[Mapping[str, Any]]:
        """Subscriptions that somebody confirmed."""
        pending = ("PendingConfirmation", "Deleted", "")
        return [s for s in self.get("Subscriptions") or [] if s.get("SubscriptionArn", "") not in pending]


@requirement("ALM-03", title="The CPU alarm tells somebody", severity=HIGH, guide=603)
def alarm_action(alarm: CpuAlarm, topic: Topic, stack: Stack) -> Outcome:
    """An alarm without an action is a coloured line."""
    return judged(
        alarm.flag("ActionsEnabled") and topic.subject in alarm.rows("AlarmActions"),
        expected=f"enabled, {topic.subject}",
        observed=[alarm.flag("ActionsEnabled"), *alarm.rows("AlarmActions")],
        remedy=put_alarm(stack, "cpu"),
    )


@requirement("ALM-04", title="The CPU alarm gets data", severity=HIGH, guide=594, due=DAY)
def alarm_state(alarm: CpuAlarm) -> Outcome:
    """INSUFFICIENT_DATA after traffic means that it watches nothing."""
    return holds(alarm.text("StateValue"), expected="OK", remedy="look at its dimensions and at the metric itself")


@requirement("ALM-05", title="The connections alarm is set", severity=BLOCKER, guide=606)
def connections_alarm(alarm: ConnectionsAlarm, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """A pool that leaks connections ends in refused sign-ins."""
    wanted = ["AWS/RDS", "DatabaseConnections", "Average", expect.period_s, expect.connections_above,
              "GreaterThanThreshold", expect.evaluation_periods]  # fmt: skip
    return holds(_setting(alarm), expected=wanted, remedy=put_alarm(stack, "database"))


@requirement("ALM-06", title="The connections alarm watches our instance", severity=HIGH, guide=606)
def connections_alarm_dimensions(alarm: ConnectionsAlarm, stack: Stack) -> Outcome:
    """Without the dimension it adds up every database of the account."""
    wanted = {"DBInstanceIdentifier": stack.expect.rds.instance}
    return holds(dimensions(alarm), expected=wanted, remedy=put_alarm(stack, "database"))


def latency_alarms(alarms: Alarms) -> list[View]:
    """Alarms on the balancer's p95."""
    return [
        a
        for a in alarms.metric_alarms
        if a.get("MetricName") == "TargetResponseTime" and a.get("ExtendedStatistic") == "p95"
    ]


def error_alarms(alarms: Alarms) -> list[View]:
    """Alarms on a ratio of 5xx answers to requests."""
    found = []
    for alarm in alarms.metric_alarms:
        names = {
            str(((m.get("MetricStat") or {}).get("Metric") or {}).get("MetricName")) for m in alarm.get("Metrics") or []
        }
        if "RequestCount" in names and any("5XX" in n for n in names):
            found.append(alarm)
    return found


@requirement("ALM-07", title="An alarm stands for the p95 criterion", severity=HIGH, guide=937)
def latency_alarm(alarms: Alarms, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """The guide rolls back when p95 exceeds 3 s and gives nothing that measures it."""
    found = latency_alarms(alarms)
    if not found:
        raise NotThere("no alarm on p95 of TargetResponseTime", remedy=put_alarm(stack, "latency"))
    levels = [a.number("Threshold") for a in found]
    return judged(
        expect.latency_above_s in levels and all(dimensions(a).get("LoadBalancer") for a in found),
        expected=f"p95 above {expect.latency_above_s:g} s of our balancer",
        observed=[f"above {n:g} s, {dimensions(a) or 'no dimensions'}" for n, a in zip(levels, found, strict=True)],
        remedy=put_alarm(stack, "latency"),
    )


@requirement("ALM-08", title="An alarm stands for the error-rate criterion", severity=HIGH, guide=936)
def error_alarm(alarms: Alarms, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """The guide rolls back at 5 % errors and gives nothing that measures it."""
    found = error_alarms(alarms)
    if not found:
        raise NotThere("no alarm on 5xx answers as a share of requests", remedy=put_alarm(stack, "errors"))
    levels = {a.number("Threshold") for a in found}
    wanted = {expect.errors_above_percent, expect.errors_above_percent / 100}
    return judged(
        bool(levels & wanted),
        expected=f"above {expect.errors_above_percent:g} % of requests",
        observed=levels,
        remedy=put_alarm(stack, "errors"),
    )


@requirement("ALM-09", title="Alarms say what missing data means", severity=MEDIUM)
def missing_data(cpu: CpuAlarm, connections: ConnectionsAlarm) -> Outcome:
    """`missing`, the default, freezes the alarm in its last state when the thing itself is gone."""
    seen = {a.text("AlarmName"): a.get("TreatMissingData") or "missing" for a in (cpu, connections)}
    return judged(
        all(v in ("breaching", "notBreaching") for v in seen.values()),
        expected="breaching or notBreaching, on purpose",
        observed=seen,
        remedy="aws cloudwatch put-metric-alarm … --treat-missing-data breaching",
    )


@requirement("ALM-12", title="Somebody hears the alarms", severity=HIGH, guide=603)
def topic_has_subscribers(topic: Topic) -> Outcome:
    """An unconfirmed subscription is silence."""
    if not topic.get("Subscriptions"):
        raise NotThere(
            f"nobody subscribes to {topic.subject}",
            remedy=f"aws sns subscribe --topic-arn {topic.subject} --protocol email --notification-endpoint …",
        )
    return at_least(
        len(topic.confirmed),
        1,
        unit=" confirmed subscriptions",
        remedy="follow the link in the confirmation mail",
    )


class Dashboard(View):
    """The dashboard."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name."""
        name = stack.expect.alarms.dashboard
        remedy = f"aws cloudwatch put-dashboard --dashboard-name {name} --dashboard-body file://dashboard.json"
        answer = stack.need(
            "cloudwatch", "get_dashboard", DashboardName=name, missing=f"no dashboard {name}", remedy=remedy
        )
        try:
            body = json.loads(str(answer.data.get("DashboardBody") or "{}"))
        except ValueError as error:
            raise Unreadable(f"the body of dashboard {name} is no JSON") from error
        return cls({"body": body}, name, answer)


@requirement("DSH-01", title="The dashboard shows tasks, database, balancer and queue", severity=MEDIUM, guide=581)
def dashboard(board: Dashboard) -> Outcome:
    """On the day, everyone looks at one page."""
    text = json.dumps(board.data)
    lacking = [n for n in ("AWS/ECS", "AWS/RDS", "AWS/ApplicationELB", "AWS/ElastiCache") if n not in text]
    return judged(not lacking, expected="all four", observed=f"lacks {', '.join(lacking)}" if lacking else "all four")


class LogGroup(View):
    """The application's log group."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By its exact name."""
        name = stack.expect.logs.group
        answer = stack.need("logs", "describe_log_groups", logGroupNamePrefix=name)
        for row in answer.data.get("logGroups") or []:
            if row.get("logGroupName") == name:
                return cls(row, name, answer)
        raise NotThere(
            f"no log group {name}",
            remedy=f"aws logs create-log-group --log-group-name {name}",
            evidence=_names(answer.evidence),
        )


@requirement("LOG-01", title="The log group exists", severity=BLOCKER, guide=622)
def log_group(group: LogGroup) -> Outcome:
    """A task whose log group is missing does not start."""
    return judged(bool(group.text("logGroupName")), expected=group.subject, observed=group.text("logGroupName"))


@requirement("LOG-02", title="Logs are kept for their time", severity=HIGH, guide=623, absent=FAIL)
def retention(group: LogGroup, expect: LogsExpectation) -> Outcome:
    """Without a retention they are kept, and paid for, for ever."""
    return holds(
        group.number("retentionInDays"),
        expected=expect.retention_days,
        remedy=f"aws logs put-retention-policy --log-group-name {group.subject} "
        f"--retention-in-days {expect.retention_days}",
    )


class LogStreams(View):
    """The newest log streams."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        group = stack.view(LogGroup)
        answer = stack.need(
            "logs",
            "describe_log_streams",
            logGroupName=group.subject,
            orderBy="LastEventTime",
            descending=True,
            limit=5,
        )
        if not answer.data.get("logStreams"):
            raise NotThere(f"{group.subject} has no stream", remedy=f"aws logs tail {group.subject}")
        return cls(answer.data, group.subject, group, answer)


@requirement("LOG-03", title="Tasks are writing to the log", severity=HIGH, guide=784, due=DAY)
def fresh_lines(streams: LogStreams, stack: Stack, expect: LogsExpectation) -> Outcome:
    """A silent log is a task that does not run, or one that cannot be examined."""
    times = [s.get("lastEventTimestamp") for s in streams.rows("logStreams")]
    newest = max((parse_moment(t) for t in times if t), default=None)
    if newest is None:
        raise NotThere(f"{streams.subject} holds no line")
    return judged(
        stack.now - newest < timedelta(minutes=expect.fresh_minutes),
        expected=f"a line of the last {expect.fresh_minutes} minutes",
        observed=f"{newest:%Y-%m-%d %H:%M} UTC",
        remedy=f"aws logs tail {streams.subject} --since 30m",
    )


class MetricFilters(View):
    """Metric filters of the log group."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        group = stack.view(LogGroup)
        answer = stack.need("logs", "describe_metric_filters", logGroupName=group.subject)
        if not answer.data.get("metricFilters"):
            raise NotThere(
                f"{group.subject} has no metric filter",
                remedy=f"aws logs put-metric-filter --log-group-name {group.subject} …",
            )
        return cls(answer.data, group.subject, group, answer)


@requirement("LOG-06", title="Errors in the log are counted", severity=LOW)
def metric_filter(filters: MetricFilters) -> Outcome:
    """A line that nobody counts is a line that nobody reads."""
    return at_least(len(filters.rows("metricFilters")), 1, unit=" filters")
