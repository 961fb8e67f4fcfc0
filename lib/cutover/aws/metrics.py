"""The rollback criteria's numbers from CloudWatch: one batched call, and no point is ever made up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from cutover.aws.account import Account
from cutover.errors import AwsError

COLUMNS = (
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

_ALB, _RDS, _ECS, _INSIGHTS = "AWS/ApplicationELB", "AWS/RDS", "AWS/ECS", "ECS/ContainerInsights"


def read_metrics(account: Account, *, start: datetime, end: datetime, period_s: int) -> pd.DataFrame:
    """What the load balancer, the service and the database told CloudWatch.

    Args:
        account: whose balancer (`target.load_balancer`), target group and instance.
        start: first window's time; with a zone. It is rounded down to a whole period.
        end: windows that start before it are read; with a zone.
        period_s: length of a window, seconds (CloudWatch: 1, 5, 10, 30 or a multiple of 60; the balancer's are 60).

    Returns:
        A row for each window; index `start`, the window's beginning in UTC. Columns:
        `requests` and `errors` (counts), `p95_s` (target response time, s), `in_flight` (open connections),
        `unhealthy_hosts` and `healthy_hosts` (the most and the fewest seen), `db_connections` (mean);
        `target_errors` and `balancer_errors`, of which `errors` is the sum; `cpu` and `memory` of the service's tasks
        (the busiest, per cent of what they have), `tasks` (running; with Container Insights only).
        NaN where CloudWatch has no point: no data is not zero. Only `errors` is 0 where requests have data, for the
        balancer publishes no error count when there is no error. 5xx of the balancer itself count above and below the
        line: RequestCount leaves out what found no target, so they are added to `requests`, but for 502 and 504,
        which had one and are in it already (Elastic Load Balancing, "CloudWatch metrics for your ALB").
        CloudWatch lags by one to three minutes: the last rows of a real account are NaN until then.

    Raises:
        AwsError: the balancer cannot be found, or CloudWatch refused or answered in part.
    """
    begin = pd.Timestamp(start).tz_convert(UTC).floor(f"{period_s}s")
    windows = pd.date_range(
        begin, pd.Timestamp(end).tz_convert(UTC), freq=f"{period_s}s", inclusive="left", name="start"
    )
    if windows.empty:
        return pd.DataFrame(columns=list(COLUMNS), index=windows, dtype=float)
    answer = account.call(
        "cloudwatch",
        "get_metric_data",
        fresh=True,
        MetricDataQueries=_queries(account, period_s),
        StartTime=begin.to_pydatetime(),
        EndTime=(windows[-1] + pd.Timedelta(seconds=period_s)).to_pydatetime(),
        ScanBy="TimestampAscending",
    )
    data = answer.require("let the caller use cloudwatch:GetMetricData; without it no trigger can be judged")
    series = _series(data, windows, period_s)
    return _frame(series, windows)


def _queries(account: Account, period_s: int) -> list[dict[str, Any]]:
    migration = account.migration
    balancer = _arn(account, "describe_load_balancers", "LoadBalancers", migration.target.load_balancer)
    group = _arn(account, "describe_target_groups", "TargetGroups", migration.expect.alb.target_group)
    alb = {"LoadBalancer": balancer.partition(":loadbalancer/")[2]}
    both = {**alb, "TargetGroup": group.rpartition(":")[2]}
    database = {"DBInstanceIdentifier": migration.expect.rds.instance}
    service = {"ClusterName": migration.expect.ecs.cluster, "ServiceName": migration.expect.ecs.service}

    def query(identifier: str, namespace: str, metric: str, stat: str, dimensions: Mapping[str, str]) -> dict[str, Any]:
        named = [{"Name": k, "Value": v} for k, v in dimensions.items()]
        return {
            "Id": identifier,
            "ReturnData": True,
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": named},
                "Period": period_s,
                "Stat": stat,
            },
        }

    on_ecs = [
        query("cpu", _ECS, "CPUUtilization", "Maximum", service),
        query("memory", _ECS, "MemoryUtilization", "Maximum", service),
        query("tasks", _INSIGHTS, "RunningTaskCount", "Minimum", service),
    ]
    return [
        query("requests", _ALB, "RequestCount", "Sum", alb),
        query("target_errors", _ALB, "HTTPCode_Target_5XX_Count", "Sum", alb),
        query("balancer_errors", _ALB, "HTTPCode_ELB_5XX_Count", "Sum", alb),
        query("bad_gateway", _ALB, "HTTPCode_ELB_502_Count", "Sum", alb),
        query("gateway_timeout", _ALB, "HTTPCode_ELB_504_Count", "Sum", alb),
        query("p95_s", _ALB, "TargetResponseTime", "p95", alb),
        query("in_flight", _ALB, "ActiveConnectionCount", "Sum", alb),
        query("unhealthy_hosts", _ALB, "UnHealthyHostCount", "Maximum", both),
        query("healthy_hosts", _ALB, "HealthyHostCount", "Minimum", both),
        query("db_connections", _RDS, "DatabaseConnections", "Average", database),
        *(on_ecs if migration.compute == "ecs" else ()),
    ]


def _arn(account: Account, operation: str, key: str, name: str) -> str:
    rows = account.call("elbv2", operation, Names=[name]).require(f"is there a {name}? see notebook 02").get(key) or []
    if not rows:
        raise AwsError(f"There is no {name}.", why="its metrics are what the rollback triggers are judged by")
    return str(rows[0]["LoadBalancerArn" if key == "LoadBalancers" else "TargetGroupArn"])


def _series(data: Mapping[str, Any], windows: pd.DatetimeIndex, period_s: int) -> dict[str, pd.Series[float]]:
    found: dict[str, dict[pd.Timestamp, float]] = {}
    for result in data.get("MetricDataResults", []):
        state = result.get("StatusCode", "Complete")
        if state not in ("Complete", "PartialData"):
            raise AwsError(
                f"CloudWatch answered {state} for {result.get('Id')}.",
                why="what is missing would look like no traffic",
                todo="ask again; if it stays, see the Service Health Dashboard",
            )
        points = found.setdefault(str(result["Id"]), {})
        for moment, value in zip(result.get("Timestamps", []), result.get("Values", []), strict=True):
            points[pd.Timestamp(moment).tz_convert(UTC).floor(f"{period_s}s")] = float(value)
    return {k: pd.Series(v, dtype=float).reindex(windows) for k, v in found.items()}


def _frame(series: Mapping[str, pd.Series[float]], windows: pd.DatetimeIndex) -> pd.DataFrame:
    nothing = pd.Series(float("nan"), index=windows)
    requests = series.get("requests", nothing)
    target, own = series.get("target_errors", nothing), series.get("balancer_errors", nothing)
    errors = target.add(own, fill_value=0)
    errors = errors.where(errors.notna() | requests.isna(), 0.0)
    passed_on = series.get("bad_gateway", nothing).add(series.get("gateway_timeout", nothing), fill_value=0).fillna(0)
    turned_away = (own.fillna(0) - passed_on).clip(lower=0)
    whole = requests.fillna(0) + turned_away
    whole = whole.where(whole >= errors.fillna(0), errors)  # points of one minute may come at different moments
    frame = pd.DataFrame(index=windows, columns=list(COLUMNS), dtype=float)
    frame["requests"] = whole.where(requests.notna() | (errors > 0))
    frame["errors"] = errors
    frame["target_errors"], frame["balancer_errors"] = target, own
    for name in COLUMNS[2:6] + COLUMNS[8:]:
        frame[name] = series.get(name, nothing)
    return frame
