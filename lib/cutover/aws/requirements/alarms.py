"""CloudWatch alarms, and the topic that carries them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

from cutover.aws.requirements.answers import Ask, NotThere, parse_moment
from cutover.aws.requirements.requirement import (
    BLOCKER,
    DAY,
    HIGH,
    MEDIUM,
    Outcome,
    at_least,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import AlarmsExpectation


class Alarms(View):
    """Every alarm."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """All of them; none at all is MISSING for each that is asked for. AWS lists composite ones only when asked."""
        return Ask(
            "cloudwatch", "describe_alarms", {"AlarmTypes": ["CompositeAlarm", "MetricAlarm"]}, name="cloudwatch"
        )

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The answer; of one that was asked for metric alarms alone, nothing is said of composite ones."""
        found = cls.ask(stack)
        answer = stack.need(found.service, found.operation, **found.arguments)
        told = "AlarmTypes" in answer.call.arguments or answer.data.get("CompositeAlarms")
        kept = {k: v for k, v in answer.data.items() if told or k != "CompositeAlarms"}
        return cls(kept, found.name, answer)

    def named(self, name: str) -> View:
        """The metric alarm of that name.

        Raises:
            NotThere: there is none.
        """
        for row in self.get("MetricAlarms") or []:
            if row.get("AlarmName") == name:
                return View(row, str(row.get("AlarmArn") or name), self)
        raise NotThere(f"no alarm {name}", evidence=self.evidence)

    @property
    def metric_alarms(self) -> list[View]:
        """All metric alarms."""
        return [View(r, str(r.get("AlarmArn", "")), self) for r in self.get("MetricAlarms") or []]


class CpuAlarm(View):
    """The alarm on the service's CPU."""

    needs = (Alarms,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name."""
        found = stack.view(Alarms).named(stack.expect.alarms.cpu)
        return cls(found.data, found.subject, found)


class ConnectionsAlarm(View):
    """The alarm on the database's connections."""

    needs = (Alarms,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name."""
        found = stack.view(Alarms).named(stack.expect.alarms.database)
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
    return holds(_setting(alarm), expected=wanted)


@requirement("ALM-02", title="The CPU alarm watches our service", severity=BLOCKER, guide=594)
def cpu_alarm_dimensions(alarm: CpuAlarm, stack: Stack) -> Outcome:
    """The guide's alarm has no dimensions: ECS publishes no such metric, and the alarm never fires."""
    wanted = {"ClusterName": stack.expect.ecs.cluster, "ServiceName": stack.expect.ecs.service}
    return holds(dimensions(alarm), expected=wanted)


class Topic(View):
    """The topic that carries the alarms, with its subscriptions."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name; no topic is MISSING."""
        name = stack.expect.alarms.topic
        listing = stack.need("sns", "list_topics")
        arn = next((t["TopicArn"] for t in listing.data.get("Topics", []) if t["TopicArn"].endswith(f":{name}")), None)
        if arn is None:
            evidence = (listing.evidence,) if listing.evidence else ()
            raise NotThere(f"no topic {name}", evidence=evidence)
        answer = stack.need("sns", "list_subscriptions_by_topic", TopicArn=arn)
        return cls(answer.data, arn, listing, answer)

    @property
    def confirmed(self) -> list[Mapping[str, Any]]:
        """Subscriptions that somebody confirmed."""
        pending = ("PendingConfirmation", "Deleted", "")
        return [s for s in self.get("Subscriptions") or [] if s.get("SubscriptionArn", "") not in pending]


@requirement("ALM-03", title="CPU alarm has an action", severity=HIGH, guide=603)
def alarm_action(alarm: CpuAlarm, topic: Topic, stack: Stack) -> Outcome:
    """An alarm without an action is a coloured line."""
    return judged(
        alarm.flag("ActionsEnabled") and topic.subject in alarm.rows("AlarmActions"),
        expected=f"enabled, {topic.subject}",
        observed=[alarm.flag("ActionsEnabled"), *alarm.rows("AlarmActions")],
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
    return holds(_setting(alarm), expected=wanted)


@requirement("ALM-06", title="The connections alarm watches our instance", severity=HIGH, guide=606)
def connections_alarm_dimensions(alarm: ConnectionsAlarm, stack: Stack) -> Outcome:
    """Without the dimension it adds up every database of the account."""
    wanted = {"DBInstanceIdentifier": stack.expect.rds.instance}
    return holds(dimensions(alarm), expected=wanted)


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


@requirement("ALM-07", title="Alarm exists for the p95 trigger", severity=HIGH, guide=937)
def latency_alarm(alarms: Alarms, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """The guide rolls back when p95 exceeds 3 s and gives nothing that measures it."""
    found = latency_alarms(alarms)
    if not found:
        raise NotThere("no alarm on p95 of TargetResponseTime")
    levels = [a.number("Threshold") for a in found]
    return judged(
        expect.latency_above_s in levels and all(dimensions(a).get("LoadBalancer") for a in found),
        expected=f"p95 above {expect.latency_above_s:g} s of our balancer",
        observed=[f"above {n:g} s, {dimensions(a) or 'no dimensions'}" for n, a in zip(levels, found, strict=True)],
    )


@requirement("ALM-08", title="Alarm exists for the error-rate trigger", severity=HIGH, guide=936)
def error_alarm(alarms: Alarms, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """The guide rolls back at 5 % errors and gives nothing that measures it."""
    found = error_alarms(alarms)
    if not found:
        raise NotThere("no alarm on 5xx answers as a share of requests")
    levels = {a.number("Threshold") for a in found}
    wanted = {expect.errors_above_percent, expect.errors_above_percent / 100}
    return judged(
        bool(levels & wanted),
        expected=f"above {expect.errors_above_percent:g} % of requests",
        observed=levels,
    )


@requirement("ALM-09", title="Alarms state how missing data is treated", severity=MEDIUM)
def missing_data(cpu: CpuAlarm, connections: ConnectionsAlarm) -> Outcome:
    """`missing`, the default, freezes the alarm in its last state when the thing itself is gone."""
    seen = {a.text("AlarmName"): a.get("TreatMissingData") or "missing" for a in (cpu, connections)}
    return judged(
        all(v in ("breaching", "notBreaching") for v in seen.values()),
        expected="breaching or notBreaching, on purpose",
        observed=seen,
    )


@requirement("ALM-12", title="Alarm actions have a confirmed subscriber", severity=HIGH, guide=603)
def topic_has_subscribers(topic: Topic) -> Outcome:
    """An unconfirmed subscription is silence."""
    if not topic.get("Subscriptions"):
        raise NotThere(f"nobody subscribes to {topic.subject}")
    return at_least(
        len(topic.confirmed),
        1,
        unit=" confirmed subscriptions",
        remedy="follow the link in the confirmation mail",
    )


@requirement("ALM-10", title="A composite alarm covers every rollback trigger", severity=MEDIUM, guide=935)
def rollback_alarm(alarms: Alarms, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """At three in the morning one line must be red, not one of five; deployments can be stopped by it, too."""
    row = next((a for a in alarms.rows("CompositeAlarms") if a.get("AlarmName") == expect.rollback), None)
    if row is None:
        raise NotThere(f"no composite alarm {expect.rollback}", evidence=alarms.evidence)
    rule = str(row.get("AlarmRule"))
    lacking = [name for name in (expect.errors, expect.latency) if name not in rule]
    return judged(
        not lacking and row.get("ActionsEnabled") is not False and bool(row.get("AlarmActions")),
        expected=f"{expect.errors} and {expect.latency} in its rule, and somebody told",
        observed=f"lacks {', '.join(lacking)}" if lacking else f"{rule}, tells {len(row.get('AlarmActions') or [])}",
    )


class AlarmHistory(View):
    """The state changes of the rollback criteria's alarms in the last day."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is an answer: no alarm changed its state."""
        since = (stack.now - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
        wanted = {"HistoryItemType": "StateUpdate", "StartDate": since.isoformat()}
        return Ask("cloudwatch", "describe_alarm_history", wanted, name="cloudwatch")


@requirement("ALM-11", title="No trigger's alarm fired in the last day", severity=MEDIUM, due=DAY)
def alarms_are_quiet(history: AlarmHistory, alarms: Alarms, expect: AlarmsExpectation, stack: Stack) -> Outcome:
    """An alarm that rang and fell silent again is what a look at its state does not show."""
    ours = {expect.cpu, expect.database, expect.latency, expect.errors}
    if not ours & {a.get("AlarmName") for a in alarms.metric_alarms}:
        raise NotThere("none of the criteria's alarms: nothing could have rung")
    since = stack.now - timedelta(days=1)
    rang = [
        f"{i.get('AlarmName')} {i.get('Timestamp')}"
        for i in history.rows("AlarmHistoryItems")
        if i.get("AlarmName") in ours
        and str(i.get("HistorySummary", "")).endswith("to ALARM")
        and parse_moment(i.get("Timestamp"), "Timestamp") > since
    ]
    return judged(
        not rang,
        expected="none to ALARM",
        observed=rang or "none",
        remedy="aws cloudwatch describe-alarm-history --history-item-type StateUpdate",
    )
