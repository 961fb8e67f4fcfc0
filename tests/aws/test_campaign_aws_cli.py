"""The remedy script with the AWS CLI itself: an empty emulated account, made good by what a person would paste."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from aws_recordings import Cloud
from test_aws_remedy import INPUTS, OPEN, look, make_function, push_image

from cutover.aws import remedy
from cutover.finding import Status

pytestmark = pytest.mark.campaign


@pytest.fixture(scope="module")
def cli() -> Path:
    """The folder of `aws`: $CUTOVER_AWS_CLI, or an environment of its own that is made once and kept."""
    if named := os.environ.get("CUTOVER_AWS_CLI"):
        return Path(named)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cutover" / "awscli"
    if not (home / "bin" / "aws").exists():
        venv.create(home, with_pip=True)
        done = subprocess.run([home / "bin" / "python", "-m", "pip", "install", "-q", "awscli"], check=False)
        if done.returncode:
            pytest.skip("awscli cannot be installed here")
    return home / "bin"


def test_the_cli_understands_every_command(cli: Path, tmp_path: Path) -> None:
    """Two scripts, as the image is pushed between them; no blocker and no high row is left."""
    given = {"SOURCE_NAME": "replit.shadowtwin.example", "ALERT_PROTOCOL": "sqs",
             "ALERT_ENDPOINT": "arn:aws:sqs:us-east-1:123456789012:alerts"}  # fmt: skip
    for name, value in INPUTS.items():
        (tmp_path / name).write_text(value)
        given[name] = str(tmp_path / name)
    cloud = Cloud(tmp_path / "empty", "--empty")
    try:
        given["ROTATION_LAMBDA"] = make_function(cloud)
        (tmp_path / "bin").mkdir()
        wrapper = tmp_path / "bin" / "aws"  # AWS_ENDPOINT_URL does not reach every service of the CLI
        wrapper.write_text(f'#!/bin/sh\nexec {cli}/aws --endpoint-url {cloud.endpoint} "$@"\n')
        wrapper.chmod(0o755)
        for number in range(2):
            before, stack = look(cloud)
            (tmp_path / "fix.sh").write_text(remedy.script(before.values(), stack).text)
            environment = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), **given}
            environment |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
            ran = subprocess.run(
                ["bash", str(tmp_path / "fix.sh")],
                env=environment, capture_output=True, text=True, timeout=1200, check=False,
            )  # fmt: skip
            sys.stderr.write(ran.stderr)
            assert ran.returncode in ((1,) if number == 0 else (0, 3))
            if number == 0:
                push_image(cloud)
        after = look(cloud)[0]
    finally:
        cloud.stop()
    assert not [f.id for f in after.values() if f.status in OPEN and f.severity.closes]
    assert after["SVC-01"].status is Status.PASS
