"""Logs, alarms, dashboard, books and guards (guide lines 576-634, 708-731, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.aws.blueprint.operation import UNIQUE, Call, Input, Let, Node, call, resource
from cutover.aws.blueprint.site import Site

UNHEALTHY = "shadowtwin-unhealthy-hosts"


@resource("logs", "the tasks' log group, kept for its time", fixes="LOG-01 LOG-02 LOG-05 LOG-06 X-10", gives="LOGS")
def logs(site: Site) -> list[Call]:
    """A task whose log group is missing does not start."""
    name = site.expect.logs.group
    count = {"metricName": "ApplicationErrors", "metricNamespace": "ShadowTwin", "metricValue": "1", "defaultValue": 0}
    return [
        call("logs", "create_log_group", logGroupName=name, tags=site.tag_map),
        call("logs", "put_retention_policy", fixes="LOG-02", logGroupName=name,
             retentionInDays=site.expect.logs.retention_days),
        call("logs", "put_metric_filter", fixes="LOG-06", logGroupName=name, filterName="shadowtwin-errors",
             filterPattern="ERROR", metricTransformations=[count]),
    ]  # fmt: skip


_ENDPOINT = Input("ALERT_ENDPOINT", "who hears the alarms: a mail address, or with ALERT_PROTOCOL=sqs|https|… another")
_PROTOCOL = Input("ALERT_PROTOCOL", "how they are told", default="email")


@resource("topic", "the topic that carries the alarms (a mail address must be confirmed by a click)", fixes="ALM-12",
          gives="TOPIC", asks=(_ENDPOINT, _PROTOCOL))  # fmt: skip
def topic(site: Site) -> list[Call]:
    """An alarm that nobody hears is a coloured line."""
    return [
        call("sns", "create_topic", into="TOPIC", query="TopicArn", Name=site.expect.alarms.topic, Tags=site.tags),
        call("sns", "subscribe", fixes="ALM-12", TopicArn="$TOPIC", Protocol="$ALERT_PROTOCOL",
             Endpoint="$ALERT_ENDPOINT"),
    ]  # fmt: skip


def _dimensions(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": k, "Value": v} for k, v in values.items()]


_BALANCER = {"LoadBalancer": "$ON_BALANCER"}


def _query(name: str, metric: str) -> dict[str, Any]:
    what = {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": _dimensions(_BALANCER)}
    return {"Id": name, "MetricStat": {"Metric": what, "Period": 60, "Stat": "Sum"}, "ReturnData": False}


@resource(
    "alarms",
    "the alarms, each with its dimensions, one for each rollback criterion",
    fixes="ALM-01..11 X-14 X-07",
    needs="topic balancer target-group",
    gives="ALARMS",
)
def alarms(site: Site) -> list[Node]:
    """The guide's two have no dimensions: AWS publishes no such metrics, and they never fire."""
    a = site.expect.alarms
    told: dict[str, Any] = {"ActionsEnabled": True, "AlarmActions": ["$TOPIC"], "OKActions": ["$TOPIC"]}
    slow = {"Period": a.period_s, "EvaluationPeriods": a.evaluation_periods, "Statistic": "Average"}
    service = {"ClusterName": site.expect.ecs.cluster, "ServiceName": site.expect.ecs.service}
    instance = {"DBInstanceIdentifier": site.expect.rds.instance}
    hosts = {**_BALANCER, "TargetGroup": "targetgroup/$ON_GROUP"}
    failing = {"Id": "rate", "Expression": "100 * FILL(errors, 0) / requests", "Label": "errors, %", "ReturnData": True}

    def alarm(name: str, what: str, above: float, fixes: str, /, **how: Any) -> Call:
        return call("cloudwatch", "put_metric_alarm", fixes=fixes, AlarmName=name, AlarmDescription=what, **told,
                    ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching", Threshold=above,
                    Tags=site.tags, **how)  # fmt: skip

    def watching(name: str, metric: str, above: float, on: dict[str, str], fixes: str, /, **how: Any) -> Call:
        namespace, _, of = metric.rpartition("/")
        return alarm(name, f"{of} above {above:g}", above, fixes, Namespace=namespace, MetricName=of,
                     Dimensions=_dimensions(on), **how)  # fmt: skip

    rule = " OR ".join(f'ALARM("{n}")' for n in (a.errors, a.latency, UNHEALTHY))
    return [
        Let("ON_BALANCER", "$BALANCER", after=":loadbalancer/"),
        Let("ON_GROUP", "$TARGET_GROUP", after=":targetgroup/"),
        watching(a.cpu, "AWS/ECS/CPUUtilization", a.cpu_above, service, "ALM-01..03 ALM-09", **slow),
        watching(a.database, "AWS/RDS/DatabaseConnections", a.connections_above, instance, "ALM-05 ALM-06 ALM-09",
                 **slow),
        watching(a.latency, "AWS/ApplicationELB/TargetResponseTime", a.latency_above_s, _BALANCER, "ALM-07",
                 ExtendedStatistic="p95", Period=60, EvaluationPeriods=1),
        watching(UNHEALTHY, "AWS/ApplicationELB/UnHealthyHostCount", 0, hosts, "", Statistic="Maximum", Period=60,
                 EvaluationPeriods=2),
        alarm(a.errors, f"more than {a.errors_above_percent:g} % of requests fail for 5 minutes",
              a.errors_above_percent, "ALM-08", EvaluationPeriods=5, DatapointsToAlarm=5,
              Metrics=[failing, _query("errors", "HTTPCode_Target_5XX_Count"), _query("requests", "RequestCount")]),
        call("cloudwatch", "put_composite_alarm", fixes="ALM-10", AlarmName=a.rollback,
             AlarmDescription="Any rollback criterion", AlarmRule=rule, **told, Tags=site.tags),
    ]  # fmt: skip


@resource(
    "dashboard", "one page with tasks, database, balancer and queue", fixes="DSH-01", needs="alarms", gives="DASHBOARD"
)
def dashboard(site: Site) -> list[Node]:
    """On the day, everyone looks at one page."""
    e = site.expect
    metrics = {
        "ECS": ["AWS/ECS", "CPUUtilization", "ClusterName", e.ecs.cluster, "ServiceName", e.ecs.service],
        "RDS": ["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", e.rds.instance],
        "Balancer": ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", "$ON_BALANCER"],
        "ElastiCache": ["AWS/ElastiCache", "CurrConnections", "CacheClusterId", f"{e.redis.replication_group}-001"],
    }
    widgets = []
    for number, (title, metric) in enumerate(metrics.items()):
        shown = {"title": title, "metrics": [metric], "region": site.region, "period": 60, "stat": "Average"}
        place = {"x": 12 * (number % 2), "y": 6 * (number // 2), "width": 12, "height": 6}
        widgets.append({"type": "metric", **place, "properties": shown})
    return [
        Let("ON_BALANCER", "$BALANCER", after=":loadbalancer/"),
        call("cloudwatch", "put_dashboard", fixes="DSH-01", DashboardName=e.alarms.dashboard,
             DashboardBody=json.dumps({"widgets": widgets})),
    ]  # fmt: skip


@resource("budget", "a budget over the month's cost", fixes="ACC-04", gives="BUDGET",
          applies=lambda site: site.expect.account.budget)  # fmt: skip
def budget(site: Site) -> list[Call]:
    """Without one, a forgotten restore is noticed on the invoice."""
    limit = {
        "BudgetName": f"{site.name}-monthly",
        "BudgetLimit": {"Amount": f"{site.expect.account.monthly_usd:g}", "Unit": "USD"},
        "TimeUnit": "MONTHLY",
        "BudgetType": "COST",
    }
    return [call("budgets", "create_budget", fixes="ACC-04", AccountId=site.account, Budget=limit)]


@resource("trail", "a trail of every region", fixes="ACC-05", needs="audit", gives="TRAIL")
def trail(site: Site) -> list[Call]:
    """Who changed what in the night of the migration is answered here or nowhere."""
    name = f"{site.name}-trail"
    return [
        call("cloudtrail", "create_trail", Name=name, S3BucketName=site.audit, IsMultiRegionTrail=True,
             TagsList=site.tags),
        call("cloudtrail", "start_logging", Name=name),
    ]  # fmt: skip


@resource("detector", "GuardDuty in this region", fixes="POST-11", gives="DETECTOR")
def detector(site: Site) -> list[Call]:
    """A new public address is tried within the hour."""
    return [call("guardduty", "create_detector", Enable=True, Tags=site.tag_map)]


@resource("firewall", "a web ACL before the balancer: 2,000 requests from one address in five minutes", fixes="POST-12",
          needs="balancer", gives="WEB_ACL")  # fmt: skip
def firewall(site: Site) -> list[Call]:
    """The guide names it and never makes it; sign-in forms are what it is for."""
    seen = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": site.name}
    rule = {
        "Name": "rate",
        "Priority": 1,
        "Statement": {"RateBasedStatement": {"Limit": 2000, "AggregateKeyType": "IP"}},
        "Action": {"Block": {}},
        "VisibilityConfig": seen,
    }
    return [
        call("wafv2", "create_web_acl", into="WEB_ACL", query="Summary.ARN", Name=site.name, Scope="REGIONAL",
             DefaultAction={"Allow": {}}, Rules=[rule], VisibilityConfig=seen, Tags=site.tags),
        call("wafv2", "associate_web_acl", WebACLArn="$WEB_ACL", ResourceArn="$BALANCER"),
    ]  # fmt: skip


@resource("health-check", "a check of the public name from outside", fixes="DNS-04", gives="HEALTH_CHECK",
          applies=lambda site: not site.expect.dns.external)  # fmt: skip
def health_check(site: Site) -> list[Call]:
    """All alarms of the guide look from inside: a broken name or certificate rings none of them."""
    asked = {
        "Type": "HTTPS",
        "FullyQualifiedDomainName": site.hostname,
        "Port": 443,
        "ResourcePath": site.expect.alb.health_path,
    }
    return [
        call("route53", "create_health_check", fixes="DNS-04", CallerReference=f"{site.name}-{UNIQUE}",
             HealthCheckConfig=asked)
    ]  # fmt: skip
