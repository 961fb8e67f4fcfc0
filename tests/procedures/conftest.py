"""Every test here has a home of its own, and may ask for a small migration in real parts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from night import ADMIN, DUE, OLD_NAME, REPORT, THINGS, VISITOR, Night, application
from owned import owned_database
from standin import client, emulator

from cutover.postgres import replication
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.postgres import Server


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """An empty working folder, no running stage, no run that is going on."""


@pytest.fixture(scope="session")
def cloud() -> Iterator[tuple[str, str]]:
    """Endpoint and hosted zone of an account with a load balancer."""
    with emulator() as endpoint:
        ec2, elb, route53 = (client(one, endpoint) for one in ("ec2", "elbv2", "route53"))
        subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
        elb.create_load_balancer(Name="shadowtwin-alb", Subnets=subnets)
        zone = route53.create_hosted_zone(Name="shadowtwin.example", CallerReference="n")["HostedZone"]["Id"]
        yield endpoint, zone


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vk.ValkeyServer]:
    """A Valkey of these tests' own: every queue in it is carried, and no application of another test works on it."""
    with vk.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def night(
    pg17: Server,
    pg18: Server,
    valkey: vk.ValkeyServer,
    cloud: tuple[str, str],
    migration: dict[str, Any],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Night]:
    """Users at the source, of which nothing is at the target yet; owners are ordinary roles of different names."""
    tag, (endpoint, zone) = secrets.token_hex(3), cloud
    record = {"Name": migration["hostname"], "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": OLD_NAME}]}
    with ExitStack() as stack:
        ours = stack.enter_context(owned_database(pg17, f"shop_owner_{tag}", f"reads_{tag}", THINGS))
        theirs = stack.enter_context(owned_database(pg18, f"platform_admin_{tag}", f"reads_{tag}"))
        ours.run("ALTER ROLE {owner} REPLICATION", admin=True)
        theirs.run("GRANT pg_create_subscription TO {owner}", admin=True)
        old, new = (stack.enter_context(application(side.url)) for side in (ours, theirs))
        queues = [valkey.url[:-1] + "2", valkey.url[:-1] + "3"]
        values = {"SOURCE_DATABASE_URL": ours.url, "TARGET_DATABASE_URL": theirs.url, "LOGIN": VISITOR, "ADMIN": ADMIN}
        for key, value in (values | {"SOURCE_REDIS_URL": queues[0], "TARGET_REDIS_URL": queues[1]}).items():
            monkeypatch.setenv(key, value)
        migration |= {"environment": "rehearsal", "account_id": "123456789012", "aws_endpoint": endpoint}
        migration |= {"backups": str(home / "backups"), "test_user": "env:LOGIN", "admin_user": "env:ADMIN"}
        migration |= {"transfer": "replicate"}
        migration["source"] |= {"app_url": old.url, "reports": f"file://{home}/reports"}
        migration["source"] |= {"maintenance": "/api/admin/maintenance"}
        migration["target"] = {"database_url": "env:TARGET_DATABASE_URL", "redis_url": "env:TARGET_REDIS_URL"}
        migration["target"] |= {"reports": f"file://{home}/arrived", "app_url": new.url}
        here, there = (stack.enter_context(redis.Redis.from_url(url, decode_responses=True)) for url in queues)
        for one in (here, there):
            one.flushdb()
            stack.callback(one.flushdb)
        here.hset("bull:mail:1", mapping={"name": "hello", "data": "{}", "opts": "{}", "timestamp": 1})
        here.zadd("bull:mail:delayed", {"1": DUE * 0x1000})
        here.hset("bull:mail:meta", "version", "bullmq:5")
        for name in ("reports", "arrived"):
            (home / name).mkdir()
        (home / "reports" / "one.pdf").write_bytes(REPORT)
        changes = [{"Action": "UPSERT", "ResourceRecordSet": record}]
        route53 = client("route53", endpoint)
        known = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        changes = [{"Action": "DELETE", "ResourceRecordSet": r} for r in known if r["Type"] == "A"] + changes
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        here_now = Night(
            migration, home, ours.url, theirs.url, (ours.admin, theirs.admin), here, there, old, new, endpoint, zone
        )
        stack.callback(lambda: replication.end_replication(here_now.link))
        yield here_now
