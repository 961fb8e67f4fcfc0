"""One session, cached and concurrent reads, every response kept, every trouble described."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aws_recordings import PASSWORD, Cloud, describe_migration
from botocore.parsers import ResponseParserError

from cutover.aws import Account, Call, Problem, check_requirements
from cutover.aws.problem import describe_error, problem_of
from cutover.aws.scrub import scrub, secret_facts
from cutover.errors import AwsError
from cutover.finding import Status
from cutover.secrets import MASK, redact


def test_the_same_read_by_many_threads_is_made_once(changing: Cloud) -> None:
    """Twenty threads, one call in the emulator's journal."""
    account = Account(describe_migration(changing.endpoint))
    before = len(changing.calls("sns", "ListTopics"))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: account.call("sns", "list_topics"), range(20)))
    assert len(changing.calls("sns", "ListTopics")) == before + 1
    assert len({id(a) for a in answers}) == 1
    account.call("sns", "list_topics", fresh=True)
    account.forget("sns")
    account.call("sns", "list_topics")
    assert len(changing.calls("sns", "ListTopics")) == before + 3


def test_all_requirements_are_asked_with_few_calls(changing: Cloud) -> None:
    """The requirements share their calls: none is made twice, and all stay within the budget."""
    account = Account(describe_migration(changing.endpoint))
    journal = changing.state / "calls.jsonl"
    before = len(journal.read_text().splitlines())
    findings = check_requirements(account, phase="review")
    made = len(journal.read_text().splitlines()) - before
    assert made <= 140 < 0.6 * len(findings)
    assert account.budget.startswith(f"{made} calls")


def test_a_listing_is_read_to_its_end(changing_account: Account) -> None:
    """A thing on the second page is there as well."""
    logs = changing_account.client("logs")
    for number in range(60):
        logs.create_log_group(logGroupName=f"/pages/{number:03d}")
    answer = changing_account.call("logs", "describe_log_groups", logGroupNamePrefix="/pages/")
    assert len(answer.data["logGroups"]) == 60
    assert (
        len(
            changing_account.call("logs", "describe_log_groups", logGroupNamePrefix="/pages/", limit=5).data[
                "logGroups"
            ]
        )
        == 5
    )


@pytest.mark.parametrize(
    ("fault", "problem"),
    [("AccessDenied", Problem.DENIED), ("Throttling", Problem.THROTTLED), ("InternalError", Problem.NOT_IMPLEMENTED)],
)
@pytest.mark.parametrize(
    ("service", "operation"), [("rds", "describe_db_instances"), ("ecs", "list_clusters"), ("ec2", "describe_vpcs")]
)
def test_trouble_is_told_apart(
    changing: Cloud, changing_account: Account, service: str, operation: str, fault: str, problem: Problem
) -> None:
    """Denied, throttled to the end, broken: on the query, the JSON and the EC2 protocol."""
    changing.fault({"service": service, "error": fault})
    answer = changing_account.call(service, operation)
    assert not answer.ok
    assert answer.problem is problem
    assert answer.error_code
    with pytest.raises(AwsError, match=operation):
        answer.require()


def test_a_throttle_that_passes_is_not_seen(changing: Cloud, changing_account: Account) -> None:
    """One retry later the answer is there."""
    changing.fault({"service": "ecs", "error": "Throttling", "times": 1})
    assert changing_account.call("ecs", "list_clusters").ok


def test_a_denied_call_makes_its_requirements_unknown(changing: Cloud, changing_account: Account) -> None:
    """Live, as from the recording: UNKNOWN with AWS's own code, and the gate is closed."""
    changing.fault({"service": "elasticache", "error": "AccessDenied"})
    findings = check_requirements(changing_account, services=["redis"])
    assert {f.status for f in findings} == {Status.UNKNOWN, Status.NOT_APPLICABLE}
    assert all("AccessDenied" in f.observed for f in findings if f.status is Status.UNKNOWN)


def test_what_is_not_there_and_what_is_not_implemented(account: Account) -> None:
    """An absent instance is an answer about the account; an unknown operation is none."""
    assert account.call("rds", "describe_db_instances", DBInstanceIdentifier="nobody").problem is Problem.NOT_FOUND
    assert account.call("ecs", "describe_task_definition", taskDefinition="nobody").problem is Problem.NOT_FOUND
    assert account.call("compute-optimizer", "get_enrollment_status").problem is Problem.NOT_IMPLEMENTED
    assert account.call("rds", "no_such_operation").problem is Problem.REFUSED


def test_an_endpoint_that_is_gone_is_a_network_problem() -> None:
    """Not a missing account."""
    answer = Account(describe_migration("http://127.0.0.1:9")).identity()
    assert answer.problem is Problem.NETWORK


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("DBInstanceNotFound", Problem.NOT_FOUND),
        ("NoSuchEntity", Problem.NOT_FOUND),
        ("404", Problem.NOT_FOUND),
        ("InvalidVpcID.NotFound", Problem.NOT_FOUND),
        ("AccessDeniedException", Problem.DENIED),
        ("ExpiredTokenException", Problem.DENIED),
        ("UnauthorizedOperation", Problem.DENIED),
        ("ThrottlingException", Problem.THROTTLED),
        ("RequestLimitExceeded", Problem.THROTTLED),
        ("500", Problem.NOT_IMPLEMENTED),
        ("InternalFailure", Problem.NOT_IMPLEMENTED),
        ("ValidationError", Problem.REFUSED),
    ],
)
def test_codes_of_aws_are_sorted(code: str, problem: Problem) -> None:
    """Each service has its own words for it."""
    assert problem_of(code) is problem


def test_a_web_page_instead_of_an_answer_is_no_verdict() -> None:
    """That is what an emulator says where it has nothing."""
    assert describe_error(ResponseParserError("html"))[0] is Problem.NOT_IMPLEMENTED


def test_the_rehearsal_never_reads_the_users_credentials(changing: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile, keys and an endpoint in the environment change nothing: the dummy ones are sent."""
    monkeypatch.setenv("AWS_PROFILE", "the-companys-production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9")
    assert Account(describe_migration(changing.endpoint)).call("sns", "list_topics").ok
    assert changing.calls("sns", "ListTopics")[-1]["access_key"] == "rehearsal"


def test_the_emulator_names_itself(account: Account) -> None:
    """A waiver of the rehearsal is bound to its version."""
    assert account.emulator == "5.2.5"


def test_every_response_is_kept_with_its_request(account: Account, tmp_path: Path) -> None:
    """Call, arguments, request id and time; errors too."""
    keeping = Account(account.migration, raw=tmp_path)
    good = keeping.call("rds", "describe_db_instances", DBInstanceIdentifier="shadowtwin-prod")
    bad = keeping.call("rds", "describe_db_instances", DBInstanceIdentifier="nobody")
    kept = json.loads((tmp_path / good.evidence).read_text())
    assert good.evidence.startswith("rds.describe_db_instances.")
    assert kept["arguments"] == {"DBInstanceIdentifier": "shadowtwin-prod"}
    assert kept["request_id"] == good.request_id != ""
    assert kept["data"]["DBInstances"][0]["Engine"] == "postgres"
    assert json.loads((tmp_path / bad.evidence).read_text())["error_code"] == bad.error_code


def test_a_read_again_keeps_what_was_read_before(account: Account, tmp_path: Path) -> None:
    """Evidence is never overwritten by a later look."""
    keeping = Account(account.migration, raw=tmp_path)
    names = [keeping.call("sns", "list_topics", fresh=True).evidence for _ in range(3)]
    assert len(set(names)) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_the_value_of_a_secret_never_leaves_the_account(account: Account, tmp_path: Path) -> None:
    """Its shape does; the value is in neither the data nor the file, and the redactor knows it from then on."""
    keeping = Account(account.migration, raw=tmp_path)
    answer = keeping.call("secretsmanager", "get_secret_value", SecretId="shadowtwin/database")
    assert answer.data["SecretString"] == MASK
    assert answer.data["SecretFacts"]["database"] == "shadowtwin"
    assert answer.data["SecretFacts"]["has_password"] is True
    assert PASSWORD not in (tmp_path / answer.evidence).read_text() + repr(answer)
    assert PASSWORD not in redact(f"password={PASSWORD}")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("postgresql://u:hunter22@h:5433/d?sslmode=require",
         {"kind": "url", "host": "h", "port": 5433, "database": "d", "user": "u", "sslmode": "require"}),
        ("redis://h", {"kind": "url", "scheme": "redis", "has_password": False, "port": None}),
        ('{"engine":"postgres","host":"h","port":5432,"dbname":"d","username":"u","password":"hunter22"}',
         {"kind": "json", "scheme": "postgresql", "host": "h", "port": 5432, "has_password": True}),
        ("$2b$12$" + "a" * 53, {"kind": "bcrypt", "bcrypt_cost": 12}),
        ("b2-bcrypt-hash", {"kind": "text", "looks_like_bcrypt": False}),
        ("admin@example.com", {"kind": "email"}),
        ("postgresql://h:notaport/d", {"kind": "text"}),
        ('["a"]', {"kind": "text"}),
    ],
)  # fmt: skip
def test_the_shape_of_a_secret(text: str, facts: dict[str, object]) -> None:
    """What a requirement may know: where it leads, never what it is."""
    seen = secret_facts(text)
    assert facts.items() <= seen.items()
    assert "hunter22" not in json.dumps(seen)


def test_secrets_in_other_responses_are_taken_out() -> None:
    """Variables in clear, URLs with a password, a Lambda's environment; names and ordinary values stay."""
    response = {
        "environment": [
            {"name": "SMTP_PASS", "value": "s3cr3t-value"},
            {"name": "NODE_ENV", "value": "production"},
            {"name": "LINK", "value": "postgresql://u:hunter22x@h/d"},
        ],
        "secrets": [{"name": "API_KEY", "valueFrom": "arn:aws:secretsmanager:x"}],
        "Environment": {"Variables": {"TOKEN": "t0ken-value", "MODE": "fast"}},
        "AuthTokenEnabled": True,
        "NextToken": "page-two",
    }
    seen = scrub(response)
    text = json.dumps(seen)
    assert not any(secret in text for secret in ("s3cr3t-value", "hunter22x", "t0ken-value"))
    assert seen["environment"][1] == {"name": "NODE_ENV", "value": "production"}
    assert seen["secrets"][0]["valueFrom"] == "arn:aws:secretsmanager:x"
    assert seen["NextToken"] == "page-two"
    assert seen["Environment"]["Variables"]["MODE"] == "fast"


def test_two_calls_differ_by_arguments_and_region() -> None:
    """The cache must not mix them up."""
    first = Call("rds", "describe_db_instances", {"DBInstanceIdentifier": "a"})
    assert first.key != Call("rds", "describe_db_instances", {"DBInstanceIdentifier": "b"}).key
    assert first.key != Call("rds", "describe_db_instances", {"DBInstanceIdentifier": "a"}, "us-west-2").key
    assert first.key == Call("rds", "describe_db_instances", {"DBInstanceIdentifier": "a"}).key
