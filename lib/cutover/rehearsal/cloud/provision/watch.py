"""Logs, topic, alarms, dashboard, budget and trail (guide lines 576-630, 708-731, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.rehearsal.cloud.provision.data import DATABASE, REDIS
from cutover.rehearsal.cloud.provision.plan import ACCOUNT, REGION, Hands, tags

_SERVICE = {"ClusterName": "shadowtwin-cluster", "ServiceName": "shadowtwin-service"}


def build_logs(hands: Hands) -> None:
    """The tasks' log group, kept thirty days, with a filter that counts errors."""
    logs = hands.client("logs")
    logs.create_log_group(logGroupName="/ecs/shadowtwin", tags={"Project": "shadowtwin"})
    logs.put_retention_policy(logGroupName="/ecs/shadowtwin", retentionInDays=30)
    logs.put_metric_filter(
        logGroupName="/ecs/shadowtwin",
        filterName="shadowtwin-errors",
        filterPattern="ERROR",
        metricTransformations=[
            {"metricName": "ApplicationErrors", "metricNamespace": "ShadowTwin", "metricValue": "1", "defaultValue": 0}
        ],
    )


def build_alarms(hands: Hands) -> None:
    """The guide's two alarms with dimensions, without which they never fire, and one for each rollback criterion."""
    topic = hands.client("sns").create_topic(Name="alerts", Tags=tags())["TopicArn"]
    hands.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=_inbox(hands), ReturnSubscriptionArn=True)
    hands.made["topic"] = topic
    balancer = hands.made["load_balancer"].split(":loadbalancer/")[1]
    group = hands.made["target_group"].rsplit(":", 1)[1]
    on_balancer = _dimensions({"LoadBalancer": balancer})
    _alarm(hands, "shadowtwin-high-cpu", "AWS/ECS", "CPUUtilization", 85.0, _dimensions(_SERVICE), Statistic="Average")
    _alarm(
        hands,
        "shadowtwin-db-connections",
        "AWS/RDS",
        "DatabaseConnections",
        80.0,
        _dimensions({"DBInstanceIdentifier": DATABASE}),
        Statistic="Average",
    )
    _alarm(
        hands,
        "shadowtwin-p95-latency",
        "AWS/ApplicationELB",
        "TargetResponseTime",
        3.0,
        on_balancer,
        ExtendedStatistic="p95",
        Period=60,
        EvaluationPeriods=1,
    )
    _alarm(
        hands,
        "shadowtwin-unhealthy-hosts",
        "AWS/ApplicationELB",
        "UnHealthyHostCount",
        0.0,
        _dimensions({"LoadBalancer": balancer, "TargetGroup": group}),
        Statistic="Maximum",
        Period=60,
    )
    cloudwatch = hands.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="shadowtwin-error-rate",
        AlarmDescription="Rollback criterion: more than 5 % of requests fail for 5 minutes",
        ActionsEnabled=True,
        AlarmActions=[topic],
        OKActions=[topic],
        EvaluationPeriods=5,
        DatapointsToAlarm=5,
        Threshold=5.0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        Metrics=[
            {"Id": "rate", "Expression": "100 * FILL(errors, 0) / requests", "Label": "errors, %", "ReturnData": True},
            _query("errors", "HTTPCode_Target_5XX_Count", on_balancer),
            _query("requests", "RequestCount", on_balancer),
        ],
        Tags=tags(),
    )
    criteria = ("shadowtwin-error-rate", "shadowtwin-p95-latency", "shadowtwin-unhealthy-hosts")
    cloudwatch.put_composite_alarm(
        AlarmName="shadowtwin-rollback",
        AlarmDescription="Any rollback criterion",
        AlarmRule=" OR ".join(f'ALARM("{name}")' for name in criteria),
        AlarmActions=[topic],
        ActionsEnabled=True,
        Tags=tags(),
    )


def _inbox(hands: Hands) -> str:
    """A queue as subscriber: it is confirmed by itself, where a mailbox would have to be read by a person."""
    sqs = hands.client("sqs")
    url = sqs.create_queue(QueueName="shadowtwin-alerts", tags={"Project": "shadowtwin"})["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _alarm(
    hands: Hands, name: str, namespace: str, metric: str, above: float, dimensions: list[dict[str, str]], **how: Any
) -> None:
    settings = {"Period": 300, "EvaluationPeriods": 2, "TreatMissingData": "notBreaching"} | how
    hands.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        AlarmDescription=f"{metric} above {above:g}",
        ActionsEnabled=True,
        AlarmActions=[hands.made["topic"]],
        OKActions=[hands.made["topic"]],
        Namespace=namespace,
        MetricName=metric,
        Dimensions=dimensions,
        Threshold=above,
        ComparisonOperator="GreaterThanThreshold",
        Tags=tags(),
        **settings,
    )


def _query(name: str, metric: str, dimensions: list[dict[str, str]]) -> dict[str, Any]:
    stat = {
        "Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": metric, "Dimensions": dimensions},
        "Period": 60,
        "Stat": "Sum",
    }
    return {"Id": name, "MetricStat": stat, "ReturnData": False}


def _dimensions(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": k, "Value": v} for k, v in values.items()]


def build_dashboard(hands: Hands) -> None:
    """One widget for each service."""
    balancer = hands.made["load_balancer"].split(":loadbalancer/")[1]
    metrics = {
        "ECS": [
            "AWS/ECS",
            "CPUUtilization",
            "ClusterName",
            _SERVICE["ClusterName"],
            "ServiceName",
            _SERVICE["ServiceName"],
        ],
        "RDS": ["AWS/RDS", "DatabaseConnections", "DBInstanceIdentifier", DATABASE],
        "Balancer": ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", balancer],
        "ElastiCache": ["AWS/ElastiCache", "CurrConnections", "CacheClusterId", f"{REDIS}-001"],
    }
    widgets = [
        {
            "type": "metric",
            "x": 12 * (number % 2),
            "y": 6 * (number // 2),
            "width": 12,
            "height": 6,
            "properties": {"title": title, "metrics": [metric], "region": REGION, "period": 60, "stat": "Average"},
        }
        for number, (title, metric) in enumerate(metrics.items())
    ]
    hands.client("cloudwatch").put_dashboard(DashboardName="shadowtwin", DashboardBody=json.dumps({"widgets": widgets}))


def build_guards(hands: Hands) -> None:
    """What watches from outside: a detector, a firewall before the balancer, a check of the public name."""
    hands.client("guardduty").create_detector(Enable=True, Tags={"Project": "shadowtwin"})
    waf = hands.client("wafv2")
    seen = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "shadowtwin"}
    rule = {
        "Name": "rate",
        "Priority": 1,
        "Statement": {"RateBasedStatement": {"Limit": 2000, "AggregateKeyType": "IP"}},
        "Action": {"Block": {}},
        "VisibilityConfig": seen,
    }
    acl = waf.create_web_acl(
        Name="shadowtwin",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        Rules=[rule],
        VisibilityConfig=seen,
        Tags=tags(),
    )["Summary"]["ARN"]
    waf.associate_web_acl(WebACLArn=acl, ResourceArn=hands.made["load_balancer"])
    hands.client("route53").create_health_check(
        CallerReference="shadowtwin",
        HealthCheckConfig={
            "Type": "HTTPS",
            "FullyQualifiedDomainName": hands.plan.hostname,
            "Port": 443,
            "ResourcePath": "/api/health",
        },
    )


def build_books(hands: Hands) -> None:
    """Budget and trail."""
    hands.client("budgets").create_budget(
        AccountId=ACCOUNT,
        Budget={
            "BudgetName": "shadowtwin-monthly",
            "BudgetLimit": {"Amount": "320", "Unit": "USD"},
            "TimeUnit": "MONTHLY",
            "BudgetType": "COST",
        },
    )
    trail = hands.client("cloudtrail")
    trail.create_trail(
        Name="shadowtwin-trail", S3BucketName="shadowtwin-audit", IsMultiRegionTrail=True, TagsList=tags()
    )
    trail.start_logging(Name="shadowtwin-trail")
