"""The guide's architecture, as a reader of the account finds it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from clouds import Started, account  # noqa: F401 - a fixture is used by its name

from cutover.rehearsal.cloud.provision.access import deployer_policy
from cutover.rehearsal.cloud.provision.plan import bcrypt_shaped

DATABASE_URL = "postgresql://shadowtwin_app:not-a-secret@127.0.0.9:5432/shadowtwin"


@pytest.fixture(scope="module")
def ask(account: Started) -> Any:  # noqa: F811
    """`ask("rds", "describe_db_instances", …)`."""
    return lambda service, operation, region="us-east-1", **arguments: getattr(
        account.client(service, region), operation
    )(**arguments)


def test_the_database_is_as_planned_and_its_secret_leads_to_it(ask: Any) -> None:
    """Host and port of the secret's URL are the instance's endpoint: the server that really answers."""
    instance = ask("rds", "describe_db_instances", DBInstanceIdentifier="shadowtwin-prod")["DBInstances"][0]
    assert (instance["Engine"], instance["EngineVersion"].split(".")[0], instance["DBName"]) == (
        "postgres",
        "18",
        "shadowtwin",
    )
    flags = ("MultiAZ", "StorageEncrypted", "DeletionProtection", "PerformanceInsightsEnabled", "CopyTagsToSnapshot")
    assert all(instance[f] for f in flags)
    assert not instance["PubliclyAccessible"]
    assert instance["DBParameterGroups"][0]["DBParameterGroupName"] == "shadowtwin-pg"
    secret = ask("secretsmanager", "get_secret_value", SecretId="shadowtwin/database")["SecretString"]
    assert secret == DATABASE_URL
    assert f"@{instance['Endpoint']['Address']}:{instance['Endpoint']['Port']}/" in secret
    parameters = ask("rds", "describe_db_parameters", DBParameterGroupName="shadowtwin-pg")["Parameters"]
    assert {p["ParameterName"]: p.get("ParameterValue") for p in parameters}["rds.force_ssl"] == "1"
    replica = ask("rds", "describe_db_instances", region="us-west-2")["DBInstances"][0]
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == instance["DBInstanceArn"]


def test_the_queue_is_encrypted_and_never_forgets(ask: Any) -> None:
    """rediss exactly because transit encryption is on; a token because the URL has one."""
    group = ask("elasticache", "describe_replication_groups")["ReplicationGroups"][0]
    assert group["TransitEncryptionEnabled"]
    assert group["AuthTokenEnabled"]
    assert len(group["MemberClusters"]) == 2
    secret = ask("secretsmanager", "get_secret_value", SecretId="shadowtwin/redis")["SecretString"]
    assert re.fullmatch(r"rediss://:[^@]+@127\.0\.0\.9:6379/0", secret)
    assert group["NodeGroups"][0]["PrimaryEndpoint"] == {"Address": "127.0.0.9", "Port": 6379}


def test_the_service_runs_the_first_release_steadily(ask: Any, account: Started) -> None:  # noqa: F811
    """COMPLETED, two tasks, pinned image, no curl in the health check, an older revision to go back to."""
    names = {"cluster": "shadowtwin-cluster", "services": ["shadowtwin-service"]}
    service = ask("ecs", "describe_services", **names)["services"][0]
    assert [d["rolloutState"] for d in service["deployments"]] == ["COMPLETED"]
    assert service["runningCount"] == service["desiredCount"] == 2
    definition = ask("ecs", "describe_task_definition", taskDefinition=service["taskDefinition"])["taskDefinition"]
    container = definition["containerDefinitions"][0]
    assert container["image"].endswith("/shadowtwin:1.0.0")
    assert "curl" not in " ".join(container["healthCheck"]["command"])
    assert {"DATABASE_URL", "SMTP_HOST", "SMTP_FROM"} <= {s["name"] for s in container["secrets"]}
    assert len(ask("ecs", "list_task_definitions", familyPrefix="shadowtwin")["taskDefinitionArns"]) == 2
    health = ask("elbv2", "describe_target_health", TargetGroupArn=account.facts["target_group"])
    assert [h["TargetHealth"]["State"] for h in health["TargetHealthDescriptions"]] == ["healthy", "healthy"]
    assert len(json.loads((account.state / "targets.json").read_text())) == 2


def test_every_release_is_pushed_scanned_and_immovable(ask: Any) -> None:
    """Without findings, for there is nothing in the images."""
    repository = ask("ecr", "describe_repositories")["repositories"][0]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    images = ask("ecr", "describe_images", repositoryName="shadowtwin")["imageDetails"]
    assert {t for i in images for t in i["imageTags"]} == {"0.9.0", "1.0.0", "1.1.0"}
    assert len({i["imageDigest"] for i in images}) == 3
    found = ask("ecr", "describe_image_scan_findings", repositoryName="shadowtwin", imageId={"imageTag": "1.1.0"})
    assert found["imageScanStatus"]["status"] == "COMPLETE"
    assert found["imageScanFindings"]["findingSeverityCounts"] == {}


def test_the_name_points_to_the_old_home(ask: Any, account: Started) -> None:  # noqa: F811
    """TTL 300, as it was before anybody lowered it; the balancer's name is told to the stage."""
    records = ask("route53", "list_resource_record_sets", HostedZoneId=account.facts["zone"])["ResourceRecordSets"]
    public = next(r for r in records if r["Name"] == "app.shadowtwin.example.")
    assert (public["Type"], public["TTL"], public["ResourceRecords"]) == (
        "CNAME",
        300,
        [{"Value": "replit.shadowtwin.example"}],
    )
    balancer = ask("elbv2", "describe_load_balancers")["LoadBalancers"][0]
    assert account.facts["load_balancer_dns"] == balancer["DNSName"]
    certificate = ask("acm", "describe_certificate", CertificateArn=account.facts["certificate"])["Certificate"]
    assert (certificate["Status"], certificate["InUseBy"]) == ("ISSUED", [balancer["LoadBalancerArn"]])


def test_the_caller_is_the_deployer_and_may_do_only_what_the_run_needs(ask: Any, account: Started) -> None:  # noqa: F811
    """Its rights are on the stack's resources; nothing else, and no role but the service's two is passed."""
    arn = ask("sts", "get_caller_identity")["Arn"]
    assert arn == account.facts["deployer"] == "arn:aws:iam::123456789012:user/shadowtwin-deployer"

    def decision(action: str, resource: str = "*") -> str:
        answer = ask(
            "iam", "simulate_principal_policy", PolicySourceArn=arn, ActionNames=[action], ResourceArns=[resource]
        )
        return str(answer["EvaluationResults"][0]["EvalDecision"])

    assert decision("ecs:UpdateService", account.facts["service"]) == "allowed"
    assert decision("ecs:DescribeServices") == "allowed"
    assert decision("iam:PassRole", "arn:aws:iam::123456789012:role/shadowtwinTaskRole") == "allowed"
    assert decision("iam:PassRole", "arn:aws:iam::123456789012:role/admin") == "implicitDeny"
    assert decision("ecs:UpdateService", "arn:aws:ecs:us-east-1:123456789012:service/other/x") == "implicitDeny"
    assert decision("rds:DeleteDBInstance", account.facts["database"]) == "implicitDeny"
    assert decision("iam:CreateUser") == "implicitDeny"


@pytest.mark.parametrize("name", ["read", "write"])
def test_the_deployers_policies_fit_into_iam(name: str) -> None:
    """6,144 characters without white space, no service whole, every placeholder filled."""
    text = deployer_policy(name, "Z0000000000000000000")
    assert len(text) <= 6144
    actions = [a for s in json.loads(text)["Statement"] for a in s["Action"]]
    assert not [a for a in actions if a.endswith(":*") or a == "*"]
    assert "ACCOUNT" not in text
    assert "REGION" not in text
    assert "ZONE" not in text


def test_alarms_have_dimensions_and_a_confirmed_subscriber(ask: Any, account: Started) -> None:  # noqa: F811
    """One for each rollback criterion, too."""
    alarms = {a["AlarmName"]: a for a in ask("cloudwatch", "describe_alarms")["MetricAlarms"]}
    assert {d["Name"] for d in alarms["shadowtwin-high-cpu"]["Dimensions"]} == {"ClusterName", "ServiceName"}
    assert alarms["shadowtwin-p95-latency"]["ExtendedStatistic"] == "p95"
    assert any(m.get("Expression") for m in alarms["shadowtwin-error-rate"]["Metrics"])
    subscriptions = ask("sns", "list_subscriptions_by_topic", TopicArn=account.facts["topic"])["Subscriptions"]
    assert subscriptions[0]["SubscriptionArn"].startswith("arn:")


def test_the_report_bucket_takes_objects_though_it_wants_tls(ask: Any) -> None:
    """The emulator's port stands for the HTTPS endpoint."""
    ask("s3", "put_object", Bucket="shadowtwin-reports", Key="reports/1.pdf", Body=b"%PDF-1.4")
    policy = json.loads(ask("s3", "get_bucket_policy", Bucket="shadowtwin-reports")["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_rotation_is_planned_and_nothing_is_pending(ask: Any) -> None:
    """It was not begun on a live database."""
    secret = ask("secretsmanager", "describe_secret", SecretId="shadowtwin/database")
    assert secret["RotationEnabled"]
    assert secret["RotationRules"] == {"AutomaticallyAfterDays": 30}
    assert list(secret["VersionIdsToStages"].values()) == [["AWSCURRENT"]]


def test_a_made_up_hash_has_the_shape_of_one() -> None:
    """So that an instrument that looks at shapes has one to look at."""
    assert re.fullmatch(r"\$2[aby]\$12\$[./A-Za-z0-9]{53}", bcrypt_shaped("x"))
