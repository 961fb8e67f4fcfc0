"""The layer before moto: faults, journal, errors, and where it listens."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError
from clouds import Inside, empty  # noqa: F401 - a fixture

from cutover.errors import StageError, UsageError
from cutover.files import write_json
from cutover.rehearsal.cloud import Cloud


@pytest.fixture
def faults(empty: Inside) -> Any:  # noqa: F811
    """Sets faults; they are gone afterwards."""
    path = empty.state / "faults.json"
    yield lambda *wanted: write_json(path, list(wanted))
    path.unlink(missing_ok=True)


CALLS = {
    "ecs": lambda c: c.list_clusters(),
    "ec2": lambda c: c.describe_vpcs(),
    "rds": lambda c: c.describe_db_instances(),
    "s3": lambda c: c.list_buckets(),
    "route53": lambda c: c.list_hosted_zones(),
    "cloudwatch": lambda c: c.describe_alarms(),
    "lambda": lambda c: c.list_functions(),
    "elbv2": lambda c: c.describe_load_balancers(),
    "health": lambda c: c.describe_events(),
}


@pytest.mark.parametrize("service", [s for s in CALLS if s != "health"])
@pytest.mark.parametrize(
    ("error", "codes"),
    [
        ("AccessDenied", {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}),
        ("Throttling", {"Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown"}),
        ("InternalError", {"InternalFailure", "500"}),
        ("ServiceUnavailable", {"ServiceUnavailable"}),
    ],
)
def test_a_fault_reaches_the_client_as_that_services_error(
    empty: Inside,  # noqa: F811
    faults: Any,
    service: str,
    error: str,
    codes: set[str],
) -> None:
    """JSON, query, EC2 and REST protocols, each parsed by boto3 into a code."""
    faults({"service": service, "error": error})
    with pytest.raises(ClientError) as caught:
        CALLS[service](empty.client(service))
    assert caught.value.response["Error"]["Code"] in codes
    faults()
    CALLS[service](empty.client(service))


def test_a_fault_can_answer_in_place_of_the_service(empty: Inside, faults: Any) -> None:  # noqa: F811
    """Status 200, and a body that is none of AWS: botocore reads nothing in it."""
    faults({"service": "ecs", "operation": "ListClusters", "answer": "<html>", "times": 1})
    torn = empty.client("ecs").list_clusters()
    assert (torn["ResponseMetadata"]["HTTPStatusCode"], "clusterArns" in torn) == (200, False)
    assert "clusterArns" in empty.client("ecs").list_clusters()


def test_a_fault_strikes_only_what_it_names_and_as_often_as_it_says(empty: Inside, faults: Any) -> None:  # noqa: F811
    """Patterns for the operation; a count of times."""
    ecs = empty.client("ecs")
    faults({"service": "ecs", "operation": "List*", "error": "Throttling", "times": 2})
    ecs.describe_clusters()
    for _ in range(2):
        with pytest.raises(ClientError, match="Throttling"):
            ecs.list_clusters()
    ecs.list_clusters()


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("ecs", lambda c: c.list_services_by_namespace(namespace="x")),
        ("pricing", lambda c: c.describe_services()),
        ("health", lambda c: c.describe_events()),
    ],
)
def test_what_the_emulator_lacks_is_an_error_of_its_own(empty: Inside, service: str, call: Any) -> None:  # noqa: F811
    """Not an HTML page, and no code that could be taken for an answer."""
    with pytest.raises(ClientError) as caught:
        call(empty.client(service))
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_every_answer_names_the_emulator(empty: Inside, faults: Any) -> None:  # noqa: F811
    """Instruments tell an emulator from AWS by it, errors included."""
    header = empty.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]["server"]
    assert header == "moto/5.2.5"
    faults({"error": "InternalError"})
    assert requests.get(empty.endpoint, timeout=5).headers["server"] == "moto/5.2.5"


def test_the_journal_holds_every_call_and_no_body(empty: Inside, faults: Any) -> None:  # noqa: F811
    """Who called what, when, and how it ended; never a secret."""
    secrets = empty.client("secretsmanager")
    secrets.create_secret(Name="journal", SecretString="a-value-nobody-may-read")
    faults({"service": "secretsmanager", "error": "AccessDenied"})
    with pytest.raises(ClientError):
        secrets.get_secret_value(SecretId="journal")
    text = (empty.state / "calls.jsonl").read_text()
    rows = [row for row in map(json.loads, text.splitlines()) if row["service"] == "secretsmanager"]
    assert [(r["operation"], r["status"], r.get("error")) for r in rows[-2:]] == [
        ("CreateSecret", 200, None),
        ("GetSecretValue", 400, "AccessDeniedException"),
    ]
    assert rows[-1]["region"] == "us-east-1"
    assert rows[-1]["access_key"] == "testing"
    assert "a-value-nobody-may-read" not in text


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.com"])
def test_no_address_but_loopback_is_served(tmp_path: Path, host: str) -> None:
    """The emulator answers anyone who asks."""
    with pytest.raises(UsageError, match="loopback"):
        Cloud(tmp_path, host=host)


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    """With what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StageError, match="cannot listen"):
            Cloud(tmp_path, port=taken.getsockname()[1])
