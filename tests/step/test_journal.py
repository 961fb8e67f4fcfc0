"""The journal: lines that are only added, on a disk or in S3, and read by whoever comes after."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from moto import mock_aws

from cutover.action import Approval
from cutover.errors import AwsError, UsageError
from cutover.step import Journal
from cutover.step.s3journal import S3Store


@pytest.fixture(params=["folder", "s3"])
def state(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place for a journal: a folder, then a bucket."""
    if request.param == "folder":
        yield "outputs/state"
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        import boto3

        # S3 looks and puts in one step; moto does not, so its calls are made one after the other.
        one, make = threading.Lock(), BaseClient._make_api_call

        def alone(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
            with one:
                return make(client, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", alone)
        boto3.client("s3").create_bucket(Bucket="runs")
        yield "s3://runs/state"


def opened(state: str, run: str = "r1") -> Journal:
    """The journal at this place, as one run opens it."""
    return Journal.open(state, "shadowtwin", "staging", run=run, step="07_lower_ttl")


def test_what_is_remembered_is_recalled_by_another_run(state: str) -> None:
    """The latest value holds; every earlier one stays in the journal."""
    opened(state).remember("old-ttl", 300)
    opened(state).remember("old-ttl", {"ttl": 600})
    assert opened(state, "r2").recall("old-ttl") == {"ttl": 600}
    assert opened(state).recall("absent", "none") == "none"
    assert opened(state).everything() == {"old-ttl": {"ttl": 600}}
    assert [e["value"] for e in opened(state).entries("remember")] == [300, {"ttl": 600}]
    assert opened(state).entries()[0]["run"] == "r1"


def test_an_approval_is_found_by_its_plan(state: str) -> None:
    """By the hash alone: a changed plan has none."""
    opened(state).approve(Approval("abc", "arn:grace", "now", "CHG-7"), subject="zone")
    found = opened(state).approval("abc")
    assert found is not None
    assert (found.approver, found.note) == ("arn:grace", "CHG-7")
    assert opened(state).approval("abd") is None


def test_the_last_change_of_a_thing_is_found(state: str) -> None:
    """By action and subject: undo and verification start from there."""
    for ttl in (60, 30):
        plan = {"action": "set-ttl", "subject": "zone", "after": {"ttl": ttl}}
        opened(state).write("change", change={"plan": plan, "result": {"ttl": ttl}})
    found = opened(state).last_change("set-ttl", "zone")
    assert found is not None
    assert found["result"] == {"ttl": 30}
    assert opened(state).last_change("set-ttl", "other") is None


def test_two_environments_keep_apart(state: str) -> None:
    """Nothing of staging is recalled in production."""
    opened(state).remember("old-ttl", 300)
    assert Journal.open(state, "shadowtwin", "production").recall("old-ttl") is None


def test_writers_at_the_same_time_lose_no_line(state: str) -> None:
    """Each line is there, whole."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: opened(state).remember(f"k{n}", n), range(16)))
    assert opened(state).everything() == {f"k{n}": n for n in range(16)}
    assert opened(state).torn == 0


@pytest.mark.parametrize("torn", ['{"kind": "remember", "key": "k", "val', "[1]\n", "\0\0\0\0"])
def test_a_torn_line_spoils_itself_alone(torn: str, home: Path) -> None:
    """A machine went down while it wrote: the line is counted, what comes before and after it holds."""
    opened("state").remember("before", 1)
    path = home / "state" / "shadowtwin-staging.jsonl"
    with path.open("a") as file:
        file.write(torn)
    opened("state").remember("after", 2)
    assert opened("state").everything() == {"before": 1, "after": 2}
    assert opened("state").torn == 1


def test_a_line_is_there_when_its_writer_is_killed_right_after(home: Path) -> None:
    """Written at once, not when the process ends in order."""
    script = (
        "import os\nfrom cutover.step import Journal\n"
        "Journal.open('state', 'shadowtwin', 'staging').remember('k', 1)\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert opened("state").recall("k") == 1


def test_a_place_that_is_none_is_refused() -> None:
    """A folder or a bucket, nothing else."""
    with pytest.raises(UsageError, match="no place for a journal"):
        opened("https://example.com/state")


def test_a_bucket_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rights that it needs."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws(), pytest.raises(AwsError, match="s3:PutObject"):
        S3Store("s3://absent/state").append("x")
    with mock_aws(), pytest.raises(AwsError, match="cannot be used"):
        list(S3Store("s3://absent/state").read())
