"""What moto lacks in the other services, asked through boto3."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import Inside, empty  # noqa: F401 - a fixture is used by its name

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def metric(name: str, stat: str, period: int = 60) -> dict[str, Any]:
    """A query for a metric of this file."""
    return {"Metric": {"Namespace": "Tests", "MetricName": name}, "Period": period, "Stat": stat}


@pytest.fixture(scope="module")
def cloudwatch(empty: Inside) -> Any:  # noqa: F811
    """1…100 as values with counts; requests and errors over three minutes, the last without errors."""
    client = empty.client("cloudwatch")
    values = [float(v) for v in range(1, 101)]
    data: list[dict[str, Any]] = [
        {"MetricName": "latency", "Timestamp": NOON, "Values": values, "Counts": [2.0] * 100},
        {
            "MetricName": "latency",
            "Timestamp": NOON + timedelta(seconds=7),
            "Value": 1000.0,
            "Dimensions": [{"Name": "d", "Value": "x"}],
        },
    ]
    for minute, (requests, errors) in enumerate([(100, 5), (200, 2), (50, None)]):
        at = NOON + timedelta(minutes=minute)
        data.append({"MetricName": "requests", "Timestamp": at, "Value": float(requests)})
        if errors is not None:
            data.append({"MetricName": "errors", "Timestamp": at, "Value": float(errors)})
    client.put_metric_data(Namespace="Tests", MetricData=data)
    return client


def ask(client: Any, *queries: dict[str, Any], minutes: int = 3) -> dict[str, list[float]]:
    """Values in the order of time, by id."""
    answer = client.get_metric_data(
        MetricDataQueries=list(queries),
        StartTime=NOON,
        EndTime=NOON + timedelta(minutes=minutes),
        ScanBy="TimestampAscending",
    )
    return {r["Id"]: r["Values"] for r in answer["MetricDataResults"]}


def test_get_metric_data_has_percentiles(cloudwatch: Any) -> None:
    """Over values with counts, of the series without dimensions alone."""
    found = ask(
        cloudwatch, *({"Id": s.lower(), "MetricStat": metric("latency", s)} for s in ("p95", "Average", "SampleCount"))
    )
    assert found == {"p95": [pytest.approx(95.05, abs=0.06)], "average": [50.5], "samplecount": [200.0]}


def test_get_metric_data_has_ratios(cloudwatch: Any) -> None:
    """The rollback criterion; what is only an operand is not returned."""
    found = ask(
        cloudwatch,
        {"Id": "rate", "Expression": "100 * FILL(e, 0) / r"},
        {"Id": "e", "MetricStat": metric("errors", "Sum"), "ReturnData": False},
        {"Id": "r", "MetricStat": metric("requests", "Sum"), "ReturnData": False},
    )
    assert found == {"rate": [5.0, 1.0, 0.0]}


def test_a_period_of_a_second_is_answered(cloudwatch: Any) -> None:
    """A rehearsal's windows are short."""
    stat = metric("latency", "Maximum", 1) | {
        "Metric": {"Namespace": "Tests", "MetricName": "latency", "Dimensions": [{"Name": "d", "Value": "x"}]}
    }
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": stat}], StartTime=NOON, EndTime=NOON + timedelta(minutes=1)
    )["MetricDataResults"][0]
    assert (answer["Timestamps"], answer["Values"]) == ([NOON + timedelta(seconds=7)], [1000.0])


def test_nothing_is_answered_where_there_is_no_data(cloudwatch: Any) -> None:
    """Empty, never zero."""
    assert ask(cloudwatch, {"Id": "m", "MetricStat": metric("nobody-sent-this", "p95")}) == {"m": []}


@pytest.mark.parametrize(
    "query", [{"Expression": "nobody + 1"}, {"Expression": "SEARCH('x')"}, {"MetricStat": metric("latency", "tm99")}]
)
def test_what_metric_math_cannot_do_is_refused(cloudwatch: Any, query: dict[str, Any]) -> None:
    """ValidationError, not an empty answer."""
    with pytest.raises(ClientError, match="ValidationError"):
        ask(cloudwatch, {"Id": "m", **query})


def test_get_metric_statistics_has_percentiles(cloudwatch: Any) -> None:
    """ExtendedStatistics, beside the plain ones."""
    points = cloudwatch.get_metric_statistics(
        Namespace="Tests",
        MetricName="latency",
        StartTime=NOON,
        EndTime=NOON + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
        ExtendedStatistics=["p50"],
    )["Datapoints"]
    assert [(p["Sum"], p["ExtendedStatistics"]) for p in points] == [(10100.0, {"p50": 50.5})]
    listed = cloudwatch.list_metrics(Namespace="Tests")["Metrics"]
    assert {m["MetricName"] for m in listed} == {"latency", "requests", "errors"}


def test_alarms_have_a_history_and_can_be_composed(cloudwatch: Any) -> None:
    """Who fired when."""
    plain = {"Namespace": "N", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    cloudwatch.put_metric_alarm(AlarmName="one", Threshold=1, ComparisonOperator="GreaterThanThreshold", **plain)
    cloudwatch.put_composite_alarm(AlarmName="any", AlarmRule='ALARM("one")')
    cloudwatch.set_alarm_state(AlarmName="one", StateValue="ALARM", StateReason="drill")
    history = cloudwatch.describe_alarm_history(AlarmName="one")["AlarmHistoryItems"]
    assert [h["HistoryItemType"] for h in history] == ["StateUpdate", "ConfigurationUpdate"]
    composed = cloudwatch.describe_alarms(AlarmNames=["any"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert composed[0]["AlarmRule"] == 'ALARM("one")'
    for asked in ({}, {"AlarmTypes": ["MetricAlarm"]}):
        told = cloudwatch.describe_alarms(**asked)
        assert "one" in [a["AlarmName"] for a in told["MetricAlarms"]]
        assert told["CompositeAlarms"] == []
    both = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm", "MetricAlarm"])
    assert both["MetricAlarms"]
    assert both["CompositeAlarms"]
    assert cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["MetricAlarms"] == []


def test_certificates_of_other_keys_are_listed_only_when_asked_for(empty: Inside) -> None:  # noqa: F811
    """ACM lists RSA keys of 1,024 and 2,048 bits by itself."""
    acm = empty.client("acm")
    for name, key in (
        ("plain", {}),
        ("curve", {"KeyAlgorithm": "EC_prime256v1"}),
        ("long", {"KeyAlgorithm": "RSA_4096"}),
    ):
        acm.request_certificate(DomainName=f"{name}.example.com", **key)

    def names(**asked: Any) -> set[str]:
        return {c["DomainName"].split(".")[0] for c in acm.list_certificates(**asked)["CertificateSummaryList"]}

    assert names() == {"plain"}
    assert names(Includes={"keyTypes": ["EC_prime256v1", "RSA_4096"]}) == {"curve", "long"}
    assert names(Includes={"keyTypes": ["EC_prime256v1"]}, CertificateStatuses=["REVOKED"]) == set()


@pytest.fixture(scope="module")
def cache(empty: Inside) -> Any:  # noqa: F811
    """A replication group with everything."""
    client, ec2 = empty.client("elasticache"), empty.client("ec2")
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]]
    client.create_cache_subnet_group(CacheSubnetGroupName="g", CacheSubnetGroupDescription="g", SubnetIds=subnets)
    client.create_cache_parameter_group(
        CacheParameterGroupName="p", CacheParameterGroupFamily="valkey8", Description="p"
    )
    client.modify_cache_parameter_group(
        CacheParameterGroupName="p",
        ParameterNameValues=[{"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}],
    )
    client.create_replication_group(
        ReplicationGroupId="queue",
        ReplicationGroupDescription="queue",
        NumCacheClusters=2,
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=True,
        Engine="valkey",
        EngineVersion="8.1",
        CacheParameterGroupName="p",
        CacheSubnetGroupName="g",
        SecurityGroupIds=["sg-1"],
        TransitEncryptionEnabled=True,
        Port=7001,
        Tags=[{"Key": "emulator:address", "Value": "queue@127.0.0.7"}],
    )
    return client


def test_a_replication_group_has_its_members_in_two_zones(cache: Any) -> None:
    """Each with version, group, subnet group and security group."""
    group = cache.describe_replication_groups(ReplicationGroupId="queue")["ReplicationGroups"][0]
    assert group["MemberClusters"] == ["queue-001", "queue-002"]
    assert group["TransitEncryptionMode"] == "required"
    assert group["NodeGroups"][0]["PrimaryEndpoint"] == {"Address": "127.0.0.7", "Port": 7001}
    members = [cache.describe_cache_clusters(CacheClusterId=m)["CacheClusters"][0] for m in group["MemberClusters"]]
    assert len({m["PreferredAvailabilityZone"] for m in members}) == 2
    for member in members:
        assert (member["EngineVersion"], member["CacheSubnetGroupName"]) == ("8.1", "g")
        assert member["SecurityGroups"] == [{"SecurityGroupId": "sg-1", "Status": "active"}]
        assert member["CacheParameterGroup"]["CacheParameterGroupName"] == "p"
    assert {c["CacheClusterId"] for c in cache.describe_cache_clusters()["CacheClusters"]} >= {"queue-001", "queue-002"}
    zones = cache.describe_cache_subnet_groups(CacheSubnetGroupName="g")["CacheSubnetGroups"][0]["Subnets"]
    assert len({z["SubnetAvailabilityZone"]["Name"] for z in zones}) == 2


@pytest.mark.parametrize(("group", "policy"), [("p", "noeviction"), ("default.valkey8", "volatile-lru")])
def test_parameter_groups_say_what_a_full_queue_does(cache: Any, group: str, policy: str) -> None:
    """The default evicts; ours does not."""
    pages = cache.get_paginator("describe_cache_parameters").paginate(CacheParameterGroupName=group)
    values = {p["ParameterName"]: p["ParameterValue"] for page in pages for p in page["Parameters"]}
    assert values["maxmemory-policy"] == policy


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda c: c.describe_cache_parameters(CacheParameterGroupName="none"), "CacheParameterGroupNotFound"),
        (lambda c: c.describe_cache_parameter_groups(CacheParameterGroupName="none"), "CacheParameterGroupNotFound"),
        (lambda c: c.describe_cache_clusters(CacheClusterId="none"), "CacheClusterNotFound"),
        (
            lambda c: c.create_cache_parameter_group(
                CacheParameterGroupName="p", CacheParameterGroupFamily="f", Description="d"
            ),
            "CacheParameterGroupAlreadyExists",
        ),
    ],
)
def test_what_is_not_there_is_said_so(cache: Any, call: Any, code: str) -> None:
    """With AWS's code, so that an instrument says MISSING."""
    with pytest.raises(ClientError) as caught:
        call(cache)
    assert caught.value.response["Error"]["Code"].startswith(code)


def _document(*actions: str) -> str:
    """A policy that allows actions on everything."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_the_simulator_knows_users_roles_groups_and_sessions(empty: Inside) -> None:  # noqa: F811
    """Own, attached and group policies; an assumed role is its role; an unknown principal is an error."""
    iam = empty.client("iam")
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="own", PolicyDocument=_document("s3:Get*"))
    attached = iam.create_policy(PolicyName="attached", PolicyDocument=_document("ecs:*"))["Policy"]["Arn"]
    iam.attach_user_policy(UserName="u", PolicyArn=attached)
    iam.create_group(GroupName="g")
    iam.put_group_policy(GroupName="g", PolicyName="groups", PolicyDocument=_document("rds:*"))
    iam.add_user_to_group(UserName="u", GroupName="g")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName="r", PolicyName="own", PolicyDocument=_document("s3:*"))

    def decisions(arn: str, *actions: str) -> list[str]:
        answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=list(actions))
        return [r["EvalDecision"] for r in answer["EvaluationResults"]]

    user = "arn:aws:iam::123456789012:user/u"
    wanted = ("s3:GetObject", "ecs:UpdateService", "rds:X", "s3:PutObject")
    assert decisions(user, *wanted) == ["allowed", "allowed", "allowed", "implicitDeny"]
    for arn in ("arn:aws:iam::123456789012:role/r", "arn:aws:sts::123456789012:assumed-role/r/session"):
        assert decisions(arn, "s3:PutObject", "ecs:UpdateService") == ["allowed", "implicitDeny"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        decisions("arn:aws:iam::123456789012:user/nobody", "s3:GetObject")
    custom = iam.simulate_custom_policy(PolicyInputList=[_document("s3:*")], ActionNames=["s3:PutObject", "ecs:X"])
    assert [r["EvalDecision"] for r in custom["EvaluationResults"]] == ["allowed", "implicitDeny"]


def test_a_database_answers_where_its_tag_says_and_a_copy_does_not(empty: Inside) -> None:  # noqa: F811
    """A restored instance inherits tags; it must not claim the original's server."""
    rds = empty.client("rds")
    common = {
        "DBInstanceClass": "db.t3.medium",
        "Engine": "postgres",
        "MasterUsername": "u",
        "MasterUserPassword": "p" * 9,
    }
    tag = {"Key": "emulator:address", "Value": "real@127.0.0.8"}
    made = rds.create_db_instance(
        DBInstanceIdentifier="real",
        AllocatedStorage=100,
        StorageType="gp3",
        MultiAZ=True,
        Tags=[tag],
        Port=5001,
        **common,
    )
    assert made["DBInstance"]["Endpoint"] == {"Address": "127.0.0.8", "Port": 5001} | {
        k: v for k, v in made["DBInstance"]["Endpoint"].items() if k not in ("Address", "Port")
    }
    rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier="real", TargetDBInstanceIdentifier="copy", UseLatestRestorableTime=True
    )
    seen = {d["DBInstanceIdentifier"]: d for d in rds.describe_db_instances()["DBInstances"]}
    assert seen["copy"]["Endpoint"]["Address"].endswith(".rds.amazonaws.com")
    real = seen["real"]
    assert real["PendingModifiedValues"] == {}
    assert real["SecondaryAvailabilityZone"] != real["AvailabilityZone"]
    assert real["CertificateDetails"]["ValidTill"] > datetime.now(UTC) + timedelta(days=365)
    assert real["Iops"] == 3000
    assert rds.describe_pending_maintenance_actions()["PendingMaintenanceActions"] == []


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        (None, False),
    ],
)
def test_bucket_policies_are_read_with_their_conditions(empty: Inside, condition: Any, allowed: bool) -> None:  # noqa: F811
    """A TLS-only bucket takes objects; a bucket that denies does not."""
    s3, name = empty.client("s3"), f"bucket-{abs(hash(str(condition)))}"
    s3.create_bucket(Bucket=name)
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{name}/*"}
    statement |= {"Condition": condition} if condition else {}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    if allowed:
        s3.put_object(Bucket=name, Key="report.pdf", Body=b"%PDF")
        assert s3.get_object(Bucket=name, Key="report.pdf")["Body"].read() == b"%PDF"
    else:
        with pytest.raises(ClientError, match=r"403|AccessDenied"):
            s3.put_object(Bucket=name, Key="report.pdf", Body=b"%PDF")


def test_targets_are_told_apart_by_port(empty: Inside) -> None:  # noqa: F811
    """Where only 127.0.0.1 exists, all tasks share an address."""
    elb, vpc = empty.client("elbv2"), empty.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    arn = elb.create_target_group(Name="ports", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")["TargetGroups"][
        0
    ]["TargetGroupArn"]
    targets = [{"Id": "127.0.0.1", "Port": port} for port in (5001, 5002)]
    elb.register_targets(TargetGroupArn=arn, Targets=targets)
    elb.deregister_targets(TargetGroupArn=arn, Targets=targets[:1])

    def states(**which: Any) -> list[tuple[int, str]]:
        found = elb.describe_target_health(TargetGroupArn=arn, **which)["TargetHealthDescriptions"]
        return [(d["Target"]["Port"], d["TargetHealth"]["State"]) for d in found]

    assert states() == [(5002, "healthy")]
    assert states(Targets=targets) == [(5001, "unused"), (5002, "healthy")]
    with pytest.raises(ClientError, match="InvalidTarget"):
        elb.deregister_targets(TargetGroupArn=arn, Targets=targets[:1])
