"""CloudWatch's numbers for the rollback criteria: as they are, and NaN where there are none."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from aws_recordings import Cloud

from cutover.aws import Account, read_metrics
from cutover.aws.metrics import COLUMNS
from cutover.errors import AwsError

BEGIN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)


def put(account: Account, cloud: Cloud, minute: int, metric: str, **data: Any) -> None:
    """One metric of the balancer in one minute after BEGIN."""
    balancer = cloud.facts["load_balancer"].partition(":loadbalancer/")[2]
    dimensions = [{"Name": "LoadBalancer", "Value": balancer}]
    if metric.endswith("HostCount"):
        dimensions.append({"Name": "TargetGroup", "Value": cloud.facts["target_group"].rpartition(":")[2]})
    at = BEGIN + timedelta(minutes=minute, seconds=5)
    row = {"MetricName": metric, "Timestamp": at, "Dimensions": dimensions, **data}
    account.client("cloudwatch").put_metric_data(Namespace="AWS/ApplicationELB", MetricData=[row])


@pytest.fixture(scope="module")
def frame(changing: Cloud) -> pd.DataFrame:
    """Minute 0 healthy, 1 with target errors, 2 silent, 3 errors of the balancer alone."""
    from aws_recordings import describe_migration

    account = Account(describe_migration(changing.endpoint))
    for minute in (0, 1):
        put(account, changing, minute, "RequestCount", Value=200.0)
        put(
            account, changing, minute, "TargetResponseTime", Values=[0.1 * n for n in range(1, 101)], Counts=[1.0] * 100
        )
        put(account, changing, minute, "ActiveConnectionCount", Value=7.0)
        put(account, changing, minute, "UnHealthyHostCount", Value=float(minute))
    put(account, changing, 1, "HTTPCode_Target_5XX_Count", Value=12.0)
    put(account, changing, 1, "HTTPCode_ELB_5XX_Count", Value=8.0)
    put(account, changing, 1, "HTTPCode_ELB_502_Count", Value=2.0)
    put(account, changing, 1, "HTTPCode_ELB_504_Count", Value=1.0)
    put(account, changing, 1, "HealthyHostCount", Value=2.0)
    put(account, changing, 3, "HTTPCode_ELB_5XX_Count", Value=40.0)
    account.client("cloudwatch").put_metric_data(
        Namespace="AWS/RDS",
        MetricData=[
            {
                "MetricName": "DatabaseConnections",
                "Timestamp": BEGIN + timedelta(seconds=5),
                "Value": 21.0,
                "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": "shadowtwin-prod"}],
            }
        ],
    )
    service = [
        {"Name": "ClusterName", "Value": "shadowtwin-cluster"},
        {"Name": "ServiceName", "Value": "shadowtwin-service"},
    ]
    for namespace, metric, value in (
        ("AWS/ECS", "CPUUtilization", 61.0),
        ("AWS/ECS", "MemoryUtilization", 44.0),
        ("ECS/ContainerInsights", "RunningTaskCount", 2.0),
    ):
        row = {"MetricName": metric, "Timestamp": BEGIN + timedelta(seconds=5), "Value": value, "Dimensions": service}
        account.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[row])
    return read_metrics(account, start=BEGIN + timedelta(seconds=20), end=BEGIN + timedelta(minutes=4), period_s=60)


def test_a_row_for_each_window_in_utc(frame: pd.DataFrame) -> None:
    """The index is the window's start, whole periods, the first one included."""
    assert list(frame.columns) == list(COLUMNS)
    assert frame.index.name == "start"
    assert list(frame.index) == [pd.Timestamp(BEGIN) + pd.Timedelta(minutes=n) for n in range(4)]
    assert str(frame.index.tz) == "UTC"


def test_the_numbers_are_cloudwatchs(frame: pd.DataFrame) -> None:
    """Sums, a real percentile, the most unhealthy hosts, the mean of connections."""
    first, second = frame.iloc[0], frame.iloc[1]
    assert (first.requests, first.in_flight, first.db_connections) == (200, 7, 21)
    assert first.p95_s == pytest.approx(9.5, abs=0.06)
    assert (second.errors, second.target_errors, second.balancer_errors) == (20, 12, 8)
    assert (second.unhealthy_hosts, second.healthy_hosts) == (1, 2)
    assert (first.cpu, first.memory, first.tasks) == (61, 44, 2)


def test_errors_of_the_balancer_count_above_and_below_the_line(frame: pd.DataFrame) -> None:
    """Of eight, three had found a target and are in RequestCount; five were turned away before."""
    assert frame.iloc[1].requests == 200 + 5


def test_no_errors_are_zero_only_where_there_were_requests(frame: pd.DataFrame) -> None:
    """The balancer publishes no error count when there is no error."""
    assert frame.iloc[0].errors == 0


def test_a_window_without_points_is_not_a_number(frame: pd.DataFrame) -> None:
    """No data is not zero errors, and not zero seconds."""
    assert frame.iloc[2].isna().all()
    assert math.isnan(frame.iloc[1].db_connections)


def test_errors_that_the_balancer_answers_itself_are_requests_too(frame: pd.DataFrame) -> None:
    """With no healthy target RequestCount is silent: the error rate is 100 %, not unknown."""
    assert (frame.iloc[3].requests, frame.iloc[3].errors) == (40, 40)


def test_it_is_one_batched_call(changing: Cloud, changing_account: Account) -> None:
    """All metrics, one GetMetricData."""
    before = len(changing.calls("cloudwatch", "GetMetricData"))
    read_metrics(changing_account, start=BEGIN, end=BEGIN + timedelta(minutes=2), period_s=60)
    assert len(changing.calls("cloudwatch", "GetMetricData")) == before + 1


def test_an_empty_span_is_an_empty_frame(changing_account: Account) -> None:
    """No window, no row."""
    assert read_metrics(changing_account, start=BEGIN, end=BEGIN, period_s=60).empty


def test_a_refusal_is_an_error_and_never_an_empty_frame(changing: Cloud, changing_account: Account) -> None:
    """Silence would read as calm."""
    changing.fault({"service": "cloudwatch", "operation": "GetMetricData", "error": "AccessDenied"})
    with pytest.raises(AwsError, match="GetMetricData"):
        read_metrics(changing_account, start=BEGIN, end=BEGIN + timedelta(minutes=2), period_s=60)
