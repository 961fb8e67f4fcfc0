"""What a look at all requirements costs: 80 ms added to each call, beside a naive read of the same calls.

    python benchmarks/aws_requirements.py [--delay 0.08] [--prowler prowler]

Three times in turn on one emulated account: every requirement, and then the same distinct calls one after the other,
each by a client of its own session, as a first script does it. The table gives the medians and the ratio of the pairs.
Prowler, where it is installed, scans the same account once; it is not asked for the same things.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from cutover.aws import Account, Call, check_requirements
from cutover.migration import Migration

RUNS = 3
DUMMY = {"aws_access_key_id": "rehearsal", "aws_secret_access_key": "rehearsal"}


class Slow(Account):
    """An account whose every attempt takes `delay_s` longer, as a network of that latency would make it."""

    delay_s = 0.08

    def client(self, service: str, *, region: str | None = None) -> Any:
        """The client, slowed once."""
        client = super().client(service, region=region)
        client.meta.events.register(
            "before-send.*", lambda **_: time.sleep(self.delay_s) or None, unique_id="benchmark-delay"
        )
        return client


def migration(endpoint: str) -> Migration:
    """A rehearsal's migration against the emulator."""
    nowhere = {"database_url": "stage:x", "redis_url": "stage:x", "reports": "file:///srv/reports"}
    return Migration.model_validate(
        {
            "name": "shadowtwin",
            "environment": "rehearsal",
            "account_id": "123456789012",
            "region": "us-east-1",
            "dr_region": "us-west-2",
            "hostname": "app.shadowtwin.example",
            "contacts": {"technical_lead": "benchmark"},
            "source": {**nowhere, "app_url": "http://127.0.0.1:1"},
            "target": {**nowhere, "reports": "s3://shadowtwin-reports"},
            "release": {
                "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/shadowtwin:1.1.0",
                "version": "1.1.0",
            },
            "test_user": "env:TEST_LOGIN",
            "aws_endpoint": endpoint,
        }
    )


def emulator(state: Path) -> tuple[subprocess.Popen[str], str]:
    """The emulator with the corrected architecture, and its endpoint."""
    command = [sys.executable, "-m", "cutover.rehearsal.cloud", "--state", str(state), "--threads", "16"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 120)
    line = process.stdout.readline() if ready else ""
    if not line.startswith("ready "):
        process.kill()
        raise SystemExit("the emulator did not start")
    return process, json.loads(line.removeprefix("ready "))["endpoint"]


def ours(endpoint: str, raw: Path, delay_s: float) -> tuple[float, int, int]:
    """Seconds, requirements and calls of one look."""
    Slow.delay_s = delay_s
    began = time.perf_counter()
    account = Slow(migration(endpoint), raw=raw)
    findings = check_requirements(account, phase="review", source_major=17)
    return time.perf_counter() - began, len(findings), account.calls.total()


def naive(endpoint: str, calls: list[Call], delay_s: float) -> float:
    """Seconds for the same calls, one after the other, a session for each client."""
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    began = time.perf_counter()
    clients: dict[tuple[str, str], Any] = {}
    for call in calls:
        key = (call.service, call.region or "us-east-1")
        if key not in clients:
            clients[key] = boto3.Session(region_name=key[1], **DUMMY).client(
                call.service, endpoint_url=endpoint, config=config
            )
        time.sleep(delay_s)
        try:
            getattr(clients[key], call.operation)(**call.arguments)
        except Exception:
            continue
    return time.perf_counter() - began


def asked(raw: Path) -> list[Call]:
    """The distinct calls of a look, from its raw files."""
    rows = [json.loads(p.read_text()) for p in sorted(raw.glob("*.json"))]
    return [Call(r["service"], r["operation"], r["arguments"], r["region"]) for r in rows]


def prowler(command: str, endpoint: str) -> float | None:
    """Seconds of one scan by Prowler, None where it is not installed."""
    found = shutil.which(command)
    if not found:
        return None
    env = {**os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    began = time.perf_counter()
    services = ["rds", "ecs", "elbv2", "ec2", "secretsmanager", "s3", "iam", "cloudwatch", "ecr", "elasticache"]
    subprocess.run([found, "aws", "-f", "us-east-1", "-s", *services], env=env, capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--delay", type=float, default=0.08, help="seconds added to each call")
    parser.add_argument("--prowler", default="prowler", help="Prowler's command, where it is installed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process, endpoint = emulator(folder / "cloud")
        try:
            pairs = []
            count = calls = 0
            for number in range(RUNS):
                raw = folder / f"raw{number}"
                quick, count, calls = ours(endpoint, raw, given.delay)
                pairs.append((quick, naive(endpoint, asked(raw), given.delay)))
            scan = prowler(given.prowler, endpoint)
        finally:
            process.terminate()
            process.wait(timeout=30)
    ratios = [slow / quick for quick, slow in pairs]
    print("| requirements | calls | this, s | naive, s | ratio (smallest–largest) | aim |")
    print("|---|---|---|---|---|---|")
    quick, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"| {count} | {calls} | {quick:.2f} | {slow:.2f} "
        f"| **{statistics.median(ratios):.1f}** ({min(ratios):.1f}–{max(ratios):.1f}) | ≤ 3 s, ≤ 140 calls |"
    )
    print("Prowler: not installed" if scan is None else f"Prowler, ten services, without the delay: {scan:.1f} s")


if __name__ == "__main__":
    main()
