"""What a real account answers: kinds left out unless asked for, roles with a path, states of work, torn answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_recordings import Cloud, Recorded, describe_migration, replaced

from cutover.aws import Account, Call, Response, check_requirements
from cutover.aws.actions import TakeSnapshot
from cutover.aws.answer import choices
from cutover.aws.problem import Problem
from cutover.aws.requirements import Recording, Stack, judge
from cutover.aws.requirements.requirement import REGISTRY
from cutover.aws.scrub import secret_facts
from cutover.errors import AwsError
from cutover.finding import Status

JSON_SERVICES = ("acm", "application-autoscaling", "cloudtrail", "cloudwatch", "ecr", "ecs", "logs", "secretsmanager")
IDENTITY_CENTER = "aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Administrator_0a1b2c3d4e5f6a7b"


@pytest.mark.parametrize("kind", ["EC_prime256v1", "EC_secp384r1", "RSA_4096", "RSA_2048"])
def test_a_certificate_of_any_key_type_is_found(changing: Cloud, kind: str) -> None:
    """ACM lists only RSA keys of up to 2,048 bits unless it is asked; a second certificate would be requested."""
    host = f"{kind.lower().replace('_', '-')}.shop.example"
    account = Account(describe_migration(changing.endpoint, hostname=host))
    acm = account.client("acm")
    arn = acm.request_certificate(DomainName=host, KeyAlgorithm=kind)["CertificateArn"]
    try:
        findings = {f.id: f for f in check_requirements(account, services=["certificate"])}
        assert findings["ACM-01"].status is not Status.MISSING
        assert findings["ACM-02"].status is Status.PASS
        listed = [c["DomainName"] for c in acm.list_certificates()["CertificateSummaryList"]]
        assert (host in listed) is (kind == "RSA_2048")
    finally:
        acm.delete_certificate(CertificateArn=arn)


def test_every_key_type_of_the_model_is_asked_for(recorded: Recorded) -> None:
    """A type that AWS adds is asked for with the next botocore, without a list kept by hand."""
    asked = [r.call.arguments for r in recorded.responses.values() if r.call.operation == "list_certificates"]
    assert [set(a["Includes"]["keyTypes"]) for a in asked] == [set(choices("acm", "KeyAlgorithm"))]
    assert {"RSA_4096", "EC_secp521r1"} <= set(choices("acm", "KeyAlgorithm"))


def test_composite_alarms_are_listed_and_counted_as_there(account: Account) -> None:
    """Without AlarmTypes AWS lists metric alarms only; the remedy would put an alarm that is there."""
    assert account.client("cloudwatch").describe_alarms()["CompositeAlarms"] == []
    findings = {f.id: f for f in check_requirements(account, services=["alarms"])}
    assert findings["ALM-10"].status is Status.PASS
    assert findings["ALM-01"].status is Status.PASS


def test_a_look_of_an_earlier_version_does_not_say_what_it_did_not_ask(recorded: Recorded) -> None:
    """Judged again, its metric alarms and certificates are what they were; the rest is UNKNOWN, not MISSING."""
    former = {}
    for response in recorded.responses.values():
        call = response.call
        if call.operation in ("describe_alarms", "list_certificates"):
            call = Call(call.service, call.operation, {}, call.region)
        told = {k: v for k, v in response.data.items() if call is response.call or k != "CompositeAlarms"}
        former[call.key] = replaced(response, call=call, data=told)
    findings = recorded.findings(former)
    assert findings["ALM-01"].status is Status.PASS
    assert findings["ALM-10"].status is Status.UNKNOWN
    assert findings["ACM-01"].status is Status.PASS
    none = {
        k: replaced(r, data={"CertificateSummaryList": []}) if r.call.operation == "list_certificates" else r
        for k, r in former.items()
    }
    assert recorded.judge("ACM-01", none).status is Status.UNKNOWN


class SignedIn(Recording):
    """The recorded account, in which the caller is a role's session; IAM simulates principals that exist."""

    def __init__(self, recorded: Recorded, path: str, *, read: bool = True) -> None:
        name = path.rsplit("/", 1)[-1]
        self.arn = f"arn:aws:iam::123456789012:role/{path}"
        self.session = f"arn:aws:sts::123456789012:assumed-role/{name}/ada@example.com"
        self.name, self.read = name, read
        super().__init__(recorded.changed("sts.get_caller_identity", "Arn", self.session))

    def call(self, service: str, operation: str, /, **arguments: Any) -> Response:
        """As IAM answers."""
        call = Call(service, operation, arguments)
        if operation == "get_role" and arguments["RoleName"] == self.name:
            if not self.read:
                return Response(
                    call, False, problem=Problem.DENIED, error_code="AccessDenied", message="no iam:GetRole"
                )
            return Response(call, True, {"Role": {"Arn": self.arn, "RoleName": self.name}})
        if operation == "simulate_principal_policy" and arguments["PolicySourceArn"] == self.arn:
            rows = [{"EvalActionName": name, "EvalDecision": "allowed"} for name in arguments["ActionNames"]]
            return Response(call, True, {"EvaluationResults": rows, "IsTruncated": False})
        if operation == "simulate_principal_policy":
            return Response(call, False, problem=Problem.NOT_FOUND, error_code="NoSuchEntity", message="no such role")
        return super().call(service, operation, **arguments)


@pytest.mark.parametrize("path", [IDENTITY_CENTER, "deploy/pipeline/shop-deployer", "plain-deployer"])
def test_a_role_with_a_path_is_simulated_by_its_own_name(recorded: Recorded, path: str) -> None:
    """STS leaves the path out; a login by Identity Center always has one."""
    stack = Stack(SignedIn(recorded, path), recorded.migration, recorded.now)
    finding = judge(REGISTRY["ACC-02"], stack)
    assert finding.status is Status.PASS, finding.observed


def test_a_role_that_may_not_be_read_is_unknown_and_says_why(recorded: Recorded) -> None:
    """Without its path no simulation means anything."""
    stack = Stack(SignedIn(recorded, IDENTITY_CENTER, read=False), recorded.migration, recorded.now)
    finding = judge(REGISTRY["ACC-02"], stack)
    assert finding.status is Status.UNKNOWN
    assert "path of the role AWSReservedSSO_Administrator" in finding.observed
    assert "iam.get_role: denied" in finding.observed


RDS, RED = "rds.describe_db_instances", "elasticache.describe_replication_groups"
AT_WORK = (
    "storage-optimization", "backing-up", "configuring-enhanced-monitoring", "configuring-iam-database-auth",
    "configuring-log-exports", "storage-config-upgrade", "storage-initialization",
)  # fmt: skip
OUT_OF_WORK = (
    "stopped", "failed", "storage-full", "incompatible-parameters", "incompatible-network", "restore-error",
    "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable", "rebooting", "upgrading",
)  # fmt: skip


@pytest.mark.parametrize(
    ("identifier", "selector", "path", "state", "status"),
    [
        *(("RDS-01", RDS, "DBInstances.0.DBInstanceStatus", state, Status.PASS) for state in AT_WORK),
        *(("RDS-01", RDS, "DBInstances.0.DBInstanceStatus", state, Status.FAIL) for state in OUT_OF_WORK),
        ("RDS-01", RDS, "DBInstances.0.DBInstanceStatus", "a-state-of-next-year", Status.UNKNOWN),
        ("RED-01", RED, "ReplicationGroups.0.Status", "snapshotting", Status.PASS),
        ("RED-01", RED, "ReplicationGroups.0.Status", "create-failed", Status.FAIL),
        ("RED-01", RED, "ReplicationGroups.0.Status", "a-state-of-next-year", Status.UNKNOWN),
    ],
)
def test_a_resource_at_work_is_there_and_its_state_is_shown(
    recorded: Recorded, identifier: str, selector: str, path: str, state: str, status: Status
) -> None:
    """Storage is optimised for hours while the instance serves; what a state means that nobody knows is not guessed."""
    finding = recorded.judge(identifier, recorded.changed(selector, path, state))
    assert finding.status is status
    assert state in finding.observed


@pytest.mark.parametrize(
    ("states", "ends"), [(["backing-up", "backing-up", "available"], ""), (["stopped"], "stopped")]
)
def test_a_snapshot_waits_until_one_can_be_made(
    changing_account: Account, monkeypatch: pytest.MonkeyPatch, states: list[str], ends: str
) -> None:
    """RDS refuses one of an instance that is backed up just now."""
    action = TakeSnapshot(changing_account, f"shadowtwin-waits-{len(states)}", timeout_s=30)
    plan = action.plan()
    seen: list[str] = []

    def at_work(parsed: dict[str, Any], **_: Any) -> None:
        seen.append(states[min(len(seen), len(states) - 1)])
        parsed["DBInstances"][0]["DBInstanceStatus"] = seen[-1]

    events = changing_account.client("rds").meta.events
    events.register("after-call.rds.DescribeDBInstances", at_work)
    try:
        if ends:
            with pytest.raises(AwsError, match=ends):
                action.apply(plan)
        else:
            assert action.apply(plan)["status"] == "available"
            assert seen == states
            changing_account.client("rds").delete_db_snapshot(DBSnapshotIdentifier=action.identifier)
    finally:
        events.unregister("after-call.rds.DescribeDBInstances", at_work)


@pytest.mark.parametrize(
    ("identifier", "name", "url"),
    [
        ("SEC-10", "shadowtwin/database", "postgresql://app:half/other-half@db.example:5432/shadowtwin"),
        ("SEC-11", "shadowtwin/redis", "rediss://:half#other-half@cache.example:6379/0"),
    ],
)
def test_a_secret_whose_password_is_not_encoded_is_named_with_the_way_to_write_it(
    recorded: Recorded, identifier: str, name: str, url: str
) -> None:
    """The guide rotates with `openssl rand -base64 32`, which gives a slash about half the time."""
    torn = recorded.changed(f"secretsmanager.get_secret_value[{name}]", "SecretFacts", secret_facts(url))
    finding = recorded.judge(identifier, torn)
    assert finding.status is Status.FAIL
    assert "%2F" in finding.remedy
    assert "half" not in str(finding.to_dict())


TORN = '{"services": [{"serviceName": "shadow'


@pytest.mark.parametrize("body", ["", "{}", TORN, "<html>proxy</html>", "[]", "null"])
def test_a_torn_or_foreign_body_is_no_answer(changing: Cloud, changing_account: Account, body: str) -> None:
    """A proxy's page, a cut connection: `{}` to botocore, and "there is none" to whoever reads on."""
    changing.fault({"service": "ecs", "operation": "Describe*", "answer": body})
    answer = changing_account.call("ecs", "describe_services", services=["shadowtwin-service"])
    assert answer.problem is Problem.BROKEN
    assert answer.data == {}


def test_a_service_whose_answers_are_torn_is_unknown_and_nothing_of_it_is_missing(
    changing: Cloud, changing_account: Account
) -> None:
    """Live, through the requirements."""
    changing.fault({"service": "ecs", "operation": "Describe*", "answer": TORN})
    findings = check_requirements(changing_account, services=["service"], source_major=17)
    told = [f for f in findings if f.status is Status.UNKNOWN]
    assert {f.status for f in findings} <= {Status.UNKNOWN, Status.NOT_DUE, Status.NOT_APPLICABLE}
    assert told
    assert all("broken answer" in f.observed for f in told)


def test_stored_answers_that_hold_nothing_are_unknown(recorded: Recorded) -> None:
    """Judged again, a torn answer of an earlier version is no absence either: all JSON services at once."""
    torn = {
        k: replaced(r, data={}) if r.call.service in JSON_SERVICES and r.ok else r
        for k, r in recorded.responses.items()
    }
    before, after = recorded.findings(), recorded.findings(torn)
    flipped = {i: f.status for i, f in after.items() if f.status is not before[i].status}
    assert len(flipped) > 80
    assert set(flipped.values()) == {Status.UNKNOWN}, {i: s for i, s in flipped.items() if s is not Status.UNKNOWN}


@pytest.mark.parametrize(
    ("identifier", "operation", "member"),
    [
        ("SVC-01", "ecs.describe_services", "services"),
        ("TD-09", "ecs.describe_task_definition", "taskDefinition"),
        ("ACM-01", "acm.list_certificates", "CertificateSummaryList"),
        ("LOG-01", "logs.describe_log_groups", "logGroups"),
        ("ASG-01", "application-autoscaling.describe_scalable_targets", "ScalableTargets"),
        ("RDS-39", "rds.describe_db_snapshots", "DBSnapshots"),
    ],
)
def test_a_stored_answer_without_what_was_asked_for_is_unknown(
    recorded: Recorded, identifier: str, operation: str, member: str
) -> None:
    """`failures: []` beside it makes no answer of it."""
    finding = recorded.judge(identifier, recorded.changed(operation, member, ...))
    assert finding.status is Status.UNKNOWN
    assert f"has no {member}" in finding.observed


@pytest.fixture
def cut() -> Iterator[Callable[[bytes], str]]:
    """A server that promises more than it sends, and closes."""
    server = socket.create_server(("127.0.0.1", 0))
    sent: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(sent[0])

    threading.Thread(target=serve, daemon=True).start()

    def endpoint(answer: bytes) -> str:
        sent.append(answer)
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield endpoint
    server.close()


@pytest.mark.parametrize("promised", [3000, None])
def test_an_answer_that_is_shorter_than_it_says_is_no_answer(cut: Callable[[bytes], str], promised: int | None) -> None:
    """Whether its length was told or not."""
    body = json.dumps({"services": [{"serviceName": "shadowtwin-service"}], "failures": []}).encode()[:-20]
    length = f"Content-Length: {promised}\r\n".encode() if promised else b""
    endpoint = cut(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n" + length + b"\r\n" + body)
    account = Account(describe_migration(endpoint), limit_s=5)
    answer = account.call("ecs", "describe_services", services=["shadowtwin-service"])
    assert not answer.ok
    assert answer.problem in (Problem.BROKEN, Problem.NETWORK)


def test_a_change_whose_answer_is_torn_is_not_taken_for_done(changing: Cloud, changing_account: Account) -> None:
    """It may have been carried out: that is what the error says."""
    changing.fault({"service": "ecs", "operation": "UpdateService", "answer": '{"service": {"ser'})
    with pytest.raises(AwsError, match="may have been carried out"):
        changing_account.change("ecs", "update_service", cluster="shadowtwin-cluster", service="shadowtwin-service")
