"""Clients of AWS: the emulator's know nothing of the user, and none follows an endpoint that nobody named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cutover import aws_session

LIB = Path(aws_session.__file__).parent


def test_the_emulator_gets_dummy_credentials_and_no_set_up_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys of the environment nor its proxy."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    client = aws_session.client("s3", region="eu-west-1", endpoint="http://127.0.0.1:1", connect_s=1, attempts=2)
    assert client._request_signer._credentials.access_key == aws_session.DUMMY
    assert client.meta.endpoint_url == "http://127.0.0.1:1"
    config = client.meta.config
    assert (config.connect_timeout, config.retries["total_max_attempts"], config.proxies) == (1, 2, {})
    assert config.s3["addressing_style"] == "path"


def test_aws_is_asked_as_the_user_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's credentials, and AWS's own address whatever the environment says."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    client = aws_session.client("sts", region="us-east-1")
    assert client._request_signer._credentials.access_key == "AKIAREAL"
    assert client.meta.endpoint_url.endswith("amazonaws.com")


def test_no_client_is_made_by_hand() -> None:
    """One module makes them all; the stage's builder, whose caller is the account's owner, has a session of its own."""
    by_hand = [p for p in LIB.rglob("*.py") if "boto3.client(" in p.read_text() or "boto3.Session(" in p.read_text()]
    names = {str(p.relative_to(LIB)) for p in by_hand}
    assert names == {"aws_session.py", "rehearsal/cloud/provision/plan.py"}


def test_boto3_is_not_imported_before_the_first_client() -> None:
    """It takes half a second, which a command that needs no AWS does not wait for."""
    code = "import sys, cutover.aws_session, cutover.secrets, cutover.cli; assert 'boto3' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
