"""Requirements over the provisioned account, an empty one, and recorded responses with something changed."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from typing import Any

import pytest
from aws_recordings import PASSWORD, Cloud, Counting, Recorded, Refusing, describe_migration

from cutover.aws import Account, Recording, check_identity, check_requirements
from cutover.aws.problem import Problem
from cutover.aws.remedy import fill
from cutover.aws.requirements import REGISTRY, Outcome, Phase, Requirement, Stack, check_stack, judge
from cutover.aws.requirements.answers import Absent, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.check import in_order
from cutover.aws.requirements.view import View
from cutover.errors import UsageError
from cutover.expectations import Expectations
from cutover.finding import Severity, Status, Verdict, verdict

BLOCKERS = [
    f"{chapter}-{number}"
    for chapter, numbers in {
        "ACC": "01 02",
        "NET": "01 02 03 04",
        "SG": "01 02 03 04 05",
        "RDS": "01 02 03 09 11 13 14 19 20 21 22 34 39",
        "RED": "01 02 03 04 06 07 12 16 17",
        "SEC": "01 02 03 04 05 10 11",
        "ECR": "01 05",
        "ACM": "01 02",
        "ALB": "01 02 03 04 05 06",
        "TG": "01 02 03 10 11",
        "LSN": "01 02 03 05",
        "ECS": "01",
        "TD": "01 02 03 04 05 06 08 10 11 12 14 16 17 18",
        "SVC": "01 02 03 04 05 06 07 08 09",
        "ASG": "01 03 04",
        "ALM": "01 02 05",
        "LOG": "01",
        "DNS": "01",
        "IAM": "01 02 03",
    }.items()
    for number in numbers.split()
]
"""The 94 blockers of the catalogue."""
CROSS = ["X-01", "X-02", "X-04", "X-05", "X-06", "X-12", "X-14"]

OF_THE_EMULATOR = {"ACC-06": Status.UNKNOWN}
"""What the emulator lacks of what is looked at before the move: AWS Health."""
UNTIL_THE_MOVE = {"X-11", "DSH-02", "X-16", "ACC-06", "DNS-01", *(f"POST-{n:02d}" for n in range(1, 11))}
"""What cannot be as it should be a day later in an account through which no visitor ever came."""

ABOUT_THE_ACCOUNT = {"ACC-01", "ACC-02", "ACC-03", "ACC-06", "ACC-08", "IAM-05", "IAM-07", "ECR-08"} | {
    f"POST-{n:02d}" for n in (5, 6, 7, 8, 9, 10)
}


def test_every_blocker_of_the_catalogue_is_registered() -> None:
    """Leaving one out would open the gate for what it guards."""
    assert [i for i in BLOCKERS if i not in REGISTRY] == []
    assert [i for i in BLOCKERS if REGISTRY[i].severity is not Severity.BLOCKER] == []
    assert [i for i in CROSS if i not in REGISTRY] == []


def test_every_requirement_says_what_it_claims_and_why() -> None:
    """At three in the morning a bare id helps nobody."""
    for rule in REGISTRY.values():
        assert len(rule.title) > 10, rule.id
        assert len((rule.check.__doc__ or "").strip()) > 15, rule.id


def test_the_provisioned_account_meets_every_requirement(account: Account) -> None:
    """The corrected architecture passes, but for what the emulator lacks, and none of that closes the gate."""
    findings = check_requirements(account, source_major=17)
    fine = {Status.PASS, Status.NOT_APPLICABLE, Status.NOT_DUE}
    others = {f.id: f.status for f in findings if f.status not in fine}
    assert others.items() <= OF_THE_EMULATOR.items()
    assert verdict(findings) is Verdict.GO
    assert sum(f.status is Status.PASS for f in findings) > 220


def test_an_empty_account_has_nothing(empty_cloud: Cloud) -> None:
    """No requirement passes because there is nothing to look at; what is not there is MISSING."""
    account = Account(describe_migration(empty_cloud.endpoint))
    findings = check_requirements(account, phase="review", source_major=17)
    others = {f.id: f.status for f in findings if f.status not in (Status.MISSING, Status.NOT_APPLICABLE)}
    assert set(others) <= ABOUT_THE_ACCOUNT
    assert sum(f.status is Status.MISSING for f in findings) > 200
    passed = {f.id for f in findings if f.status is Status.PASS}
    assert {"ACC-01", "ACC-08"} <= passed <= ABOUT_THE_ACCOUNT
    assert verdict(findings) is Verdict.NO_GO
    assert [f.id for f in findings if f.status is Status.MISSING and not f.observed] == []


def test_recorded_responses_give_the_same_findings_again(recorded: Recorded) -> None:
    """A run can be judged again, offline, from its raw files."""
    again = Recording.load(recorded.folder)
    stack = Stack(again, recorded.migration, recorded.now, Phase.REVIEW, 17)
    first = {f.id: (f.status, f.observed) for f in check_stack(stack)}
    second = {f.id: (f.status, f.observed) for f in check_stack(recorded.stack(phase=Phase.REVIEW))}
    assert {i for i in first if first[i] != second[i]} == {"DNS-01"}  # its TTL was changed in the second
    assert {i for i, (status, _) in first.items() if status is Status.UNKNOWN} <= UNTIL_THE_MOVE


RDS, TASK = "rds.describe_db_instances", "ecs.describe_task_definition"
ALB, TG, LSN = "elbv2.describe_load_balancers", "elbv2.describe_target_groups", "elbv2.describe_listeners"
RED, SVC = "elasticache.describe_replication_groups", "ecs.describe_services"
CONTAINER = "taskDefinition.containerDefinitions.name=shadowtwin"
HTTPS, HTTP = "Listeners.Port=443", "Listeners.Port=80"
GROUPS = "ec2.describe_security_groups"
DATABASE_URL = "secretsmanager.get_secret_value[shadowtwin/database]"
REDIS_URL = "secretsmanager.get_secret_value[shadowtwin/redis]"
OPEN = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
CURL = ["CMD-SHELL", "curl -f http://localhost:5000/api/health || exit 1"]

WRONG = [
    ("ACC-01", "sts.get_caller_identity", "Account", "999999999999"),
    ("NET-01", "ec2.describe_vpcs", "Vpcs.*.State", "pending"),
    ("NET-04", "ec2.describe_route_tables", "RouteTables.*.Routes.*.NatGatewayId", ...),
    ("NET-05", "ec2.describe_nat_gateways", "NatGateways.0.State", "failed"),
    ("SG-01", GROUPS, "SecurityGroups.GroupName=shadowtwin-alb-sg.IpPermissions", OPEN),
    ("SG-02", GROUPS, "SecurityGroups.GroupName=shadowtwin-alb-sg.IpPermissions", []),
    ("SG-03", GROUPS, "SecurityGroups.GroupName=shadowtwin-ecs-sg.IpPermissions", []),
    ("SG-04", GROUPS, "SecurityGroups.GroupName=shadowtwin-rds-sg.IpPermissions", OPEN),
    ("SG-05", GROUPS, "SecurityGroups.GroupName=shadowtwin-redis-sg.IpPermissions", []),
    ("SG-06", GROUPS, "SecurityGroups.GroupName=shadowtwin-rds-sg.IpPermissions", OPEN),
    ("SG-07", GROUPS, "SecurityGroups.GroupName=shadowtwin-rds-sg.VpcId", "vpc-default"),
    ("RDS-01", RDS, "DBInstances.0.DBInstanceStatus", "modifying"),
    ("RDS-02", RDS, "DBInstances.0.Engine", "mysql"),
    ("RDS-03", RDS, "DBInstances.0.EngineVersion", "15.7"),
    ("RDS-04", RDS, "DBInstances.0.DBInstanceClass", "db.t3.micro"),
    ("RDS-05", RDS, "DBInstances.0.AllocatedStorage", 20),
    ("RDS-07", RDS, "DBInstances.0.MaxAllocatedStorage", ...),
    ("RDS-09", RDS, "DBInstances.0.MultiAZ", False),
    ("RDS-11", RDS, "DBInstances.0.StorageEncrypted", False),
    ("RDS-11", RDS, "DBInstances.0.StorageEncrypted", ...),
    ("RDS-13", RDS, "DBInstances.0.DeletionProtection", False),
    ("RDS-14", RDS, "DBInstances.0.BackupRetentionPeriod", 0),
    ("RDS-16", RDS, "DBInstances.0.PreferredMaintenanceWindow", "sun:03:30-sun:04:30"),
    ("RDS-17", RDS, "DBInstances.0.DBParameterGroups.0.ParameterApplyStatus", "pending-reboot"),
    ("RDS-18", "rds.describe_db_parameters", "Parameters.ParameterName=rds\\.force_ssl.ParameterValue", "0"),
    ("RDS-19", RDS, "DBInstances.0.PubliclyAccessible", True),
    ("RDS-20", RDS, "DBInstances.0.VpcSecurityGroups.0.VpcSecurityGroupId", "sg-default"),
    ("RDS-24", RDS, "DBInstances.0.DBName", ...),
    ("RDS-28", RDS, "DBInstances.0.PendingModifiedValues", {"MultiAZ": True}),
    ("RDS-30", RDS, "DBInstances.0.LatestRestorableTime", "2020-01-01T00:00:00+00:00"),
    ("RDS-34", DATABASE_URL, "SecretFacts.host", "old.example"),
    ("RDS-39", "rds.describe_db_snapshots", "DBSnapshots.*.Status", "creating"),
    ("RDS-39", "rds.describe_db_snapshots", "DBSnapshots.*.SnapshotCreateTime", "2020-01-01T00:00:00+00:00"),
    ("RED-02", RED, "ReplicationGroups.0.AutomaticFailover", "disabled"),
    ("RED-04", RED, "ReplicationGroups.0.MemberClusters", ["one"]),
    ("RED-06", RED, "ReplicationGroups.0.AtRestEncryptionEnabled", False),
    ("RED-07", RED, "ReplicationGroups.0.TransitEncryptionEnabled", False),
    ("RED-16", "elasticache.describe_cache_clusters", "CacheClusters.0.SecurityGroups.0.SecurityGroupId", "sg-default"),
    ("RED-17", "elasticache.describe_cache_parameters", "Parameters.ParameterName=maxmemory-policy.ParameterValue",
     "volatile-lru"),
    ("SEC-01", "secretsmanager.describe_secret[shadowtwin/database]", "DeletedDate", "2026-01-01T00:00:00+00:00"),
    ("SEC-02", "secretsmanager.describe_secret[shadowtwin/redis]", "VersionIdsToStages", {}),
    ("SEC-10", DATABASE_URL, "SecretFacts.scheme", "mysql"),
    ("SEC-10", DATABASE_URL, "SecretFacts.sslmode", "disable"),
    ("SEC-11", REDIS_URL, "SecretFacts.scheme", "redis"),
    ("SEC-12", "secretsmanager.get_secret_value[admin-password-hash]", "SecretFacts", {"kind": "text"}),
    ("ECR-04", "ecr.describe_repositories", "repositories.0.imageTagMutability", "MUTABLE"),
    ("ECR-06", "ecr.describe_image_scan_findings", "imageScanFindings.findingSeverityCounts", {"CRITICAL": 1}),
    ("ACM-01", "acm.describe_certificate", "Certificate.Status", "PENDING_VALIDATION"),
    ("ACM-02", "acm.describe_certificate", "Certificate.SubjectAlternativeNames", ["other.example"]),
    ("ALB-01", ALB, "LoadBalancers.0.State.Code", "provisioning"),
    ("ALB-02", ALB, "LoadBalancers.0.Scheme", "internal"),
    ("ALB-04", ALB, "LoadBalancers.0.AvailabilityZones", []),
    ("ALB-05", ALB, "LoadBalancers.0.SecurityGroups", ["sg-default"]),
    ("TG-02", TG, "TargetGroups.0.TargetType", "instance"),
    ("TG-03", TG, "TargetGroups.0.HealthCheckPath", "/"),
    ("TG-08", TG, "TargetGroups.0.Matcher.HttpCode", "200-499"),
    ("TG-10", TG, "TargetGroups.0.LoadBalancerArns", []),
    ("TG-11", "elbv2.describe_target_health", "TargetHealthDescriptions.0.TargetHealth.State", "unhealthy"),
    ("LSN-01", LSN, f"{HTTPS}.Protocol", "HTTP"),
    ("LSN-02", LSN, f"{HTTPS}.DefaultActions", [{"Type": "fixed-response"}]),
    ("LSN-03", LSN, f"{HTTPS}.Certificates", []),
    ("LSN-04", LSN, f"{HTTPS}.SslPolicy", "ELBSecurityPolicy-2016-08"),
    ("LSN-04", LSN, f"{HTTPS}.SslPolicy", ...),
    ("LSN-05", LSN, f"{HTTP}.DefaultActions.0.RedirectConfig.StatusCode", "HTTP_302"),
    ("TD-09", TASK, f"{CONTAINER}.image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/shadowtwin:latest"),
    ("TD-08", TASK, f"{CONTAINER}.image", "docker.io/shadowtwin:1.0.0"),
    ("TD-11", TASK, f"{CONTAINER}.environment", [{"name": "NODE_ENV", "value": "development"}]),
    ("TD-12", TASK, f"{CONTAINER}.secrets", [{"name": "REDIS_URL", "valueFrom": "arn:aws:secretsmanager:x"}]),
    ("TD-14", "secretsmanager.describe_secret", "DeletedDate", "2026-01-01T00:00:00+00:00"),
    ("TD-15", TASK, f"{CONTAINER}.environment", [{"name": "SMTP_PASS", "value": "‹redacted›"}]),
    ("TD-17", TASK, f"{CONTAINER}.healthCheck", ...),
    ("TD-18", TASK, f"{CONTAINER}.healthCheck.command", CURL),
    ("SVC-02", SVC, "services.0.desiredCount", 1),
    ("SVC-03", SVC, "services.0.runningCount", 1),
    ("SVC-07", SVC, "services.0.networkConfiguration.awsvpcConfiguration.assignPublicIp", "ENABLED"),
    ("SVC-09", SVC, "services.0.deploymentConfiguration.minimumHealthyPercent", 50),
    ("SVC-10", SVC, "services.0.deploymentConfiguration.deploymentCircuitBreaker", ...),
    ("SVC-12", SVC, "services.0.deployments.0.rolloutState", "FAILED"),
    ("ASG-01", "application-autoscaling.describe_scalable_targets", "ScalableTargets.0.MaxCapacity", 4),
    ("ASG-03", "application-autoscaling.describe_scaling_policies",
     "ScalingPolicies.*.TargetTrackingScalingPolicyConfiguration.TargetValue", 95.0),
    ("ALM-01", "cloudwatch.describe_alarms", "MetricAlarms.AlarmName=shadowtwin-high-cpu.Threshold", 99.0),
    ("ALM-02", "cloudwatch.describe_alarms", "MetricAlarms.AlarmName=shadowtwin-high-cpu.Dimensions", []),
    ("ALM-05", "cloudwatch.describe_alarms", "MetricAlarms.AlarmName=shadowtwin-db-connections.Period", 60),
    ("ALM-12", "sns.list_subscriptions_by_topic", "Subscriptions.*.SubscriptionArn", "PendingConfirmation"),
    ("LOG-02", "logs.describe_log_groups", "logGroups.0.retentionInDays", ...),
    ("LOG-03", "logs.describe_log_streams", "logStreams.*.lastEventTimestamp", 1_500_000_000_000),
    ("DNS-01", "route53.list_resource_record_sets", "ResourceRecordSets.Type=CNAME.TTL", 300),
    ("S3-02", "s3.get_public_access_block", "PublicAccessBlockConfiguration.BlockPublicAcls", False),
    ("IAM-01", "iam.get_role", "Role.AssumeRolePolicyDocument.Statement.0.Principal.Service", "ec2.amazonaws.com"),
    ("IAM-02", "iam.list_attached_role_policies", "AttachedPolicies", []),
    ("IAM-03", "iam.simulate_principal_policy", "EvaluationResults.*.EvalDecision", "implicitDeny"),
    ("ACC-04", "budgets.describe_budgets", "Budgets.*.BudgetLimit", ...),
    ("ACC-07", "resourcegroupstaggingapi.get_resources", "ResourceTagMappingList", [{"ResourceARN": "arn:aws:rds:x"}]),
    ("NET-11", "ec2.describe_subnets", "Subnets.*.AvailableIpAddressCount", 3),
    ("RDS-10", RDS, "DBInstances.0.SecondaryAvailabilityZone", "us-east-1a"),
    ("RDS-33", RDS, "DBInstances.0.MasterUserSecret", ...),
    ("RED-13", RED, "ReplicationGroups.0.NodeGroups.*.NodeGroupMembers.*.PreferredAvailabilityZone", "us-east-1a"),
    ("RED-14", "elasticache.describe_cache_clusters", "CacheClusters.0.EngineVersion", "6.2.6"),
    ("SEC-06", "secretsmanager.describe_secret[shadowtwin/smtp]", "DeletedDate", "2026-01-01T00:00:00+00:00"),
    ("SEC-13", "secretsmanager.describe_secret[shadowtwin/database]", "VersionIdsToStages",
     {"a": ["AWSCURRENT"], "b": ["AWSPENDING"]}),
    ("SVC-18", "ecs.list_task_definitions", "taskDefinitionArns", ["arn:aws:ecs:x:task-definition/shadowtwin:2"]),
    ("ASG-02", "application-autoscaling.describe_scalable_targets",
     "ScalableTargets.0.SuspendedState.DynamicScalingOutSuspended", True),
    ("IAM-04", "iam.get_role_policy", "PolicyDocument.Statement", [{"Effect": "Allow", "Action": "*"}]),
    ("X-01", RDS, "DBInstances.0.Endpoint.Port", 6000),
    ("X-02", REDIS_URL, "SecretFacts.has_password", False),
    ("X-04", TG, "TargetGroups.0.Port", 8080),
    ("X-05", SVC, "services.0.networkConfiguration.awsvpcConfiguration.securityGroups", ["sg-default"]),
    ("X-06", RDS, "DBInstances.0.DBSubnetGroup.VpcId", "vpc-default"),
    ("X-12", "acm.describe_certificate", "Certificate.Status", "EXPIRED"),
    ("X-14", "cloudwatch.describe_alarms", "MetricAlarms.*.AlarmActions", []),
]  # fmt: skip


@pytest.mark.parametrize(("identifier", "selector", "path", "value"), WRONG, ids=[f"{w[0]} {w[2]}" for w in WRONG])
def test_a_wrong_setting_fails(recorded: Recorded, identifier: str, selector: str, path: str, value: Any) -> None:
    """Each passes as recorded, and fails with one field changed, saying what it expects and what it saw."""
    assert recorded.judge(identifier).status is Status.PASS
    finding = recorded.judge(identifier, recorded.changed(selector, path, value))
    assert finding.status is Status.FAIL
    assert finding.observed
    assert finding.why


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Problem.DENIED, "AccessDenied"),
        (Problem.THROTTLED, "Throttling"),
        (Problem.NOT_IMPLEMENTED, "500"),
        (Problem.NETWORK, "EndpointConnectionError"),
        (Problem.REFUSED, "SomethingNew"),
    ],
)
def test_what_cannot_be_looked_at_is_unknown(recorded: Recorded, problem: Problem, code: str) -> None:
    """Never PASS, never FAIL: an account that answers nothing gives UNKNOWN, with the reason, and no verdict."""
    stack = Stack(Refusing(problem, code), recorded.migration, recorded.now, Phase.REVIEW, 17)
    findings = {f.id: f for f in check_stack(stack)}
    assert {f.status for f in findings.values()} == {Status.UNKNOWN, Status.NOT_APPLICABLE}
    assert len(findings) == len(REGISTRY)
    assert all(code in f.observed for f in findings.values() if f.status is Status.UNKNOWN)
    assert verdict(findings.values()) is Verdict.INCONCLUSIVE


def test_what_aws_does_not_find_is_missing(recorded: Recorded) -> None:
    """Everything is MISSING, but what concerns the account itself."""
    reader = Refusing(Problem.NOT_FOUND, "NotFound", but=recorded.responses)
    stack = Stack(reader, recorded.migration, recorded.now, Phase.REVIEW, 17)
    others = {f.id: str(f.status) for f in check_stack(stack) if f.status is not Status.NOT_APPLICABLE}
    assert {i for i, status in others.items() if status == "PASS"} == {"ACC-01"}
    assert {i for i, status in others.items() if status not in ("PASS", "MISSING")} <= ABOUT_THE_ACCOUNT


def test_in_another_account_nothing_is_asked(recorded: Recorded) -> None:
    """STS names another account: one FAIL that says so, everything else UNKNOWN, and not one call more."""
    elsewhere = recorded.changed("sts.get_caller_identity", "Account", "999999999999")
    reader = Counting(elsewhere)
    findings = check_stack(Stack(reader, recorded.migration, recorded.now, Phase.REVIEW, 17))
    assert reader.asked == {"sts.get_caller_identity", "ec2.describe_availability_zones"}
    assert [f.id for f in findings if f.status is Status.FAIL] == ["ACC-01"]
    assert {f.status for f in findings} == {Status.FAIL, Status.UNKNOWN, Status.NOT_APPLICABLE, Status.PASS}
    assert {f.id for f in findings if f.status is Status.PASS} == {"ACC-08"}
    assert all("999999999999" in f.observed for f in findings if f.status is Status.UNKNOWN)


def test_in_a_region_that_is_not_enabled_nothing_is_asked(recorded: Recorded) -> None:
    """What it refuses would read like missing rights."""
    refused = recorded.failing("ec2.describe_availability_zones", Problem.DENIED, "AuthFailure")
    findings = check_stack(recorded.stack(refused, phase=Phase.REVIEW))
    assert {f.id for f in findings if f.status is Status.PASS} == {"ACC-01"}
    assert all("not enabled" in f.observed for f in findings if f.status is Status.UNKNOWN and f.id != "ACC-08")


class Tracing(Stack):
    """Remembers which views each view reads."""

    def view(self, kind: Any) -> Any:
        """As ever."""
        reading, touched = self.__dict__.setdefault("reading", []), self.__dict__.setdefault("touched", {})
        if reading:
            touched.setdefault(reading[-1], set()).add(kind)
        reading.append(kind)
        try:
            return super().view(kind)
        finally:
            reading.pop()


def test_a_view_reads_those_that_it_declares_and_no_other(recorded: Recorded) -> None:
    """They are read in that order: one that is not declared would be waited for by a thread that holds others up."""
    kinds = {kind for rule in REGISTRY.values() for kind in rule.views}
    plans = {}, {"compute": "ec2"}, {"expect": Expectations.model_validate({"redis": {"single_node": "one"}})}
    touched: dict[type[View], set[type[View]]] = {}
    for plan in plans:
        migration = recorded.migration.model_copy(update=plan)
        stack = Tracing(Recording(recorded.responses), migration, recorded.now, Phase.REVIEW, 17)
        for kind in kinds:
            with contextlib.suppress(NotThere, Unreadable, NotApplicable, Absent):
                stack.view(kind)
        for kind, needed in stack.__dict__["touched"].items():
            touched.setdefault(kind, set()).update(needed)
    assert {kind.__name__: needed for kind, needed in touched.items() if needed != set(kind.needs)} == {}
    assert {kind for kind in kinds if kind.needs} <= set(touched)
    assert len(touched) > 70


def test_each_requirement_is_one_finding_on_every_look(recorded: Recorded) -> None:
    """Whatever the account answers: every id once, in the guide's order."""
    wanted = [r.id for r in in_order(REGISTRY.values())]
    for reader in (recorded.responses, {}, recorded.failing("*", Problem.THROTTLED, "Throttling")):
        assert [f.id for f in check_stack(Stack(Recording(reader), recorded.migration, recorded.now))] == wanted


def test_behind_cloudfront_alone_the_balancer_takes_cloudfront_alone(recorded: Recorded) -> None:
    """SG-08 concerns only a platform whose name leads to CloudFront; SG-01 accepts either."""
    exclusive = Expectations.model_validate({"cdn": {"exclusive": True}})
    closed = recorded.changed(GROUPS, "SecurityGroups.GroupName=shadowtwin-alb-sg.IpPermissions", [
        {"IpProtocol": "tcp", "FromPort": p, "ToPort": p, "PrefixListIds": [{"PrefixListId": "pl-3b927c52"}]}
        for p in (80, 443)
    ])  # fmt: skip
    assert recorded.judge("SG-08").status is Status.NOT_APPLICABLE
    assert recorded.judge("SG-08", expect=exclusive).status is Status.FAIL
    assert recorded.judge("SG-08", closed, expect=exclusive).status is Status.PASS
    assert recorded.judge("SG-01", closed, expect=exclusive).status is Status.PASS


def test_a_maintenance_rule_may_stand_on_the_day_alone(recorded: Recorded) -> None:
    """A 503 for everyone is the freeze at T-1h, and an outage at T+24h."""
    rule = {"RuleArn": "arn:maintenance", "IsDefault": False,
            "Actions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}]}  # fmt: skip
    ruled = recorded.changed("elbv2.describe_rules", "Rules", [rule])
    assert recorded.judge("LSN-06", ruled, phase=Phase.DAY).status is Status.PASS
    assert recorded.judge("LSN-06", ruled, phase=Phase.PREPARE).status is Status.FAIL
    assert recorded.judge("LSN-06", ruled, phase=Phase.REVIEW).status is Status.FAIL


@pytest.mark.parametrize(
    ("selector", "problem", "identifier", "status"),
    [
        ("rds.describe_db_parameters", Problem.DENIED, "RDS-18", Status.UNKNOWN),
        ("rds.describe_pending_maintenance_actions", Problem.NOT_IMPLEMENTED, "RDS-41", Status.UNKNOWN),
        ("iam.simulate_principal_policy", Problem.NOT_IMPLEMENTED, "IAM-03", Status.UNKNOWN),
        ("s3.get_bucket_encryption", Problem.NOT_FOUND, "S3-03", Status.MISSING),
        ("ecr.describe_image_scan_findings", Problem.NOT_FOUND, "ECR-06", Status.MISSING),
    ],
)
def test_one_call_without_an_answer_concerns_its_own_requirement(
    recorded: Recorded, selector: str, problem: Problem, identifier: str, status: Status
) -> None:
    """The others are judged as before."""
    findings = recorded.findings(recorded.failing(selector, problem, "Code"))
    assert findings[identifier].status is status
    assert findings["RDS-11"].status is Status.PASS


def test_an_absent_field_is_unknown_unless_the_requirement_says_otherwise(recorded: Recorded) -> None:
    """An emulator's gap must not read like a wrong account, nor like a right one."""
    lost = recorded.changed(RDS, "DBInstances.0.CertificateDetails", ...)
    assert recorded.judge("RDS-29", lost).status is Status.UNKNOWN
    assert "CertificateDetails" in recorded.judge("RDS-29", lost).observed
    assert (
        recorded.judge("RDS-28", recorded.changed(RDS, "DBInstances.0.PendingModifiedValues", ...)).status
        is Status.PASS
    )


def test_a_check_that_raises_is_unknown(recorded: Recorded) -> None:
    """A mistake of ours is no verdict."""

    def broken() -> Outcome:
        """It breaks."""
        raise KeyError("mistake")

    rule = Requirement("T-1", "It breaks", Severity.BLOCKER, 0, Phase.PREPARE, Status.UNKNOWN, "test", broken)
    finding = judge(rule, recorded.stack())
    assert finding.status is Status.UNKNOWN
    assert "mistake" in finding.observed


def test_what_is_due_later_is_not_due(recorded: Recorded) -> None:
    """The snapshot of the day cannot be there a week before."""
    assert recorded.judge("RDS-39", phase=Phase.PREPARE).status is Status.NOT_DUE
    assert recorded.judge("RDS-39", phase=Phase.DAY).status is Status.PASS
    assert recorded.judge("RDS-39", phase=Phase.REVIEW).status is Status.PASS


def test_the_time_of_the_snapshot_counts(recorded: Recorded) -> None:
    """Ages are counted from the time that is given, not from the clock."""
    stack = recorded.stack()
    stack.now = recorded.now + timedelta(days=400)
    assert judge(REGISTRY["ACM-03"], stack).status is Status.FAIL
    assert recorded.judge("ACM-03").status is Status.PASS


def test_without_any_version_of_the_source_the_engine_is_unknown(recorded: Recorded) -> None:
    """ "At least the source's" needs the source's."""
    stack = recorded.stack()
    stack.source_major = None
    assert judge(REGISTRY["RDS-03"], stack).status is Status.UNKNOWN
    stack.source_major = 99
    assert judge(REGISTRY["RDS-03"], stack).status is Status.FAIL


@pytest.mark.parametrize(
    ("expect", "identifier", "status"),
    [
        ({"rds": {"engine_major": 12}}, "RDS-03", Status.FAIL),
        ({"rds": {"multi_az": False}}, "RDS-09", Status.NOT_APPLICABLE),
        ({"redis": {"transit_encryption": False}}, "RED-07", Status.NOT_APPLICABLE),
        ({"network": {"vpc": "another"}}, "NET-01", Status.MISSING),
        ({"rds": {"read_replica": "shadowtwin-read-replica"}}, "RDS-36", Status.UNKNOWN),
        ({"alb": {"blue_target_group": "shadowtwin-tg"}}, "TG-13", Status.PASS),
        ({"cdn": {"enabled": False}}, "CDN-01", Status.NOT_APPLICABLE),
        ({"dns": {"external": True}}, "DNS-01", Status.NOT_APPLICABLE),
    ],
)
def test_expectations_are_what_it_is_compared_with(
    recorded: Recorded, expect: dict[str, Any], identifier: str, status: Status
) -> None:
    """Names and sizes are the parameter file's (what was not recorded cannot be looked at)."""
    assert recorded.judge(identifier, expect=Expectations.model_validate(expect)).status is status


def test_on_instances_the_containers_do_not_apply(recorded: Recorded) -> None:
    """`compute: ec2` turns it round."""
    assert recorded.judge("ECS-01", compute="ec2").status is Status.NOT_APPLICABLE
    assert recorded.judge("TD-18", compute="ec2").status is Status.NOT_APPLICABLE
    assert recorded.judge("EC2-01").status is Status.NOT_APPLICABLE
    assert recorded.judge("EC2-01", compute="ec2").status is Status.UNKNOWN


def test_the_default_vpc_is_never_taken_for_the_stacks(recorded: Recorded) -> None:
    """Every account has a default one: it proves nothing."""
    assert recorded.judge("NET-01", recorded.changed("ec2.describe_vpcs", "Vpcs.*.Tags", [])).status is Status.MISSING


def test_no_password_is_in_a_finding_or_in_the_raw_files(recorded: Recorded) -> None:
    """What a requirement may know of a secret is its shape."""
    text = "".join(path.read_text() for path in recorded.folder.iterdir())
    assert "SecretFacts" in text
    assert "shadowtwin_app" in text
    assert PASSWORD not in text
    assert PASSWORD not in json.dumps([f.to_dict() for f in recorded.findings().values()])


def test_remedies_hold_the_real_names(recorded: Recorded) -> None:
    """A command that can be pasted: ids of this account, no placeholder for what is known."""
    stack = recorded.stack(recorded.changed(RDS, "DBInstances.0.DeletionProtection", False))
    (finding,) = fill([judge(REGISTRY["RDS-13"], stack)], stack)
    assert finding.remedy.startswith(
        "aws rds modify-db-instance --db-instance-identifier shadowtwin-prod --apply-immediately --deletion-protection"
    )
    assert finding.subject == "arn:aws:rds:us-east-1:123456789012:db:shadowtwin-prod"
    assert finding.evidence
    assert (recorded.folder / finding.evidence[0]).is_file()


def test_services_can_be_chosen_and_unknown_ones_are_refused(account: Account) -> None:
    """A mistyped name must not check nothing and look fine."""
    assert {f.id.split("-")[0] for f in check_requirements(account, services=["network"])} == {"NET"}
    with pytest.raises(UsageError, match="netwrok"):
        check_requirements(account, services=["netwrok"])
    with pytest.raises(UsageError, match="phase"):
        check_requirements(account, phase="tomorrow")


def test_the_wrong_account_is_a_blocker_of_its_own(cloud: Cloud) -> None:
    """STS decides, not the parameter file."""
    other = describe_migration(cloud.endpoint).model_copy(update={"account_id": "210987654321"})
    findings = {f.id: f for f in check_identity(Account(other))}
    assert findings["ACC-01"].status is Status.FAIL
    assert findings["ACC-01"].severity is Severity.BLOCKER
    assert findings["ACC-08"].status is Status.PASS


def test_without_an_answer_the_identity_is_unknown() -> None:
    """No endpoint, no verdict."""
    findings = check_identity(Account(describe_migration("http://127.0.0.1:9")))
    assert {f.status for f in findings} == {Status.UNKNOWN}
    assert all("network" in f.observed for f in findings)
