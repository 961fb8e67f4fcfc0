"""Where a name leads: asked of real DNS servers, told apart from what could not be asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standin import client, closed_port, emulator

from cutover.app import check_dns, resolve_name
from cutover.errors import UsageError
from cutover.finding import Status
from cutover.rehearsal.dns import Resolver, Zone

APP, OLD = "app.shadowtwin.example", "replit.shadowtwin.example"
ALB, OTHER = "shadowtwin-alb-1.us-east-1.elb.amazonaws.com", "other-1.us-east-1.elb.amazonaws.com"


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    """A DNS server: app → replit by CNAME (TTL 300), new → the load balancer by alias."""
    with emulator() as endpoint:
        route53 = client("route53", endpoint)
        zone = route53.create_hosted_zone(Name="shadowtwin.example", CallerReference="n")["HostedZone"]["Id"]
        alias = {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": ALB, "EvaluateTargetHealth": False}
        records = [
            {"Name": APP, "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": OLD}]},
            {"Name": "new.shadowtwin.example", "Type": "A", "AliasTarget": alias},
        ]
        changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
        homes = {OLD: "127.0.0.10:1", ALB: "127.0.0.20:1", OTHER: "127.0.0.21:1"}
        server = Resolver("127.0.0.1", 0, Zone(endpoint, "shadowtwin.example"), homes)
        server.start()
        yield f"127.0.0.1:{server.port}"
        server.stop()


def test_a_chain_is_followed_to_its_end(resolver: str) -> None:
    """Canonical name, addresses, and the smallest TTL of the chain."""
    answer = resolve_name("APP.shadowtwin.example.", [resolver])
    assert (answer.hostname, answer.canonical_name, answer.addresses) == (APP, OLD, ("127.0.0.10",))
    assert (answer.ttl_s, answer.resolver, answer.problem) == (60, resolver, "")


@pytest.mark.parametrize(
    ("name", "target", "status"),
    [
        (APP, OLD, Status.PASS),
        (APP, ALB, Status.FAIL),
        ("new.shadowtwin.example", ALB, Status.PASS),
        ("new.shadowtwin.example", "127.0.0.20", Status.PASS),
        ("new.shadowtwin.example", OTHER, Status.FAIL),
        ("new.shadowtwin.example", "no-such.elb.amazonaws.com", Status.UNKNOWN),
        ("nowhere.shadowtwin.example", ALB, Status.MISSING),
    ],
)
def test_the_name_leads_to_its_target_or_not(resolver: str, name: str, target: str, status: Status) -> None:
    """By its canonical name, or for an alias, which shows none, by the target's addresses."""
    (finding,) = check_dns(name, target, [resolver])
    assert finding.status is status
    assert bool(finding.remedy) == (status is not Status.PASS)


def test_a_ttl_that_is_too_long_is_a_fail(resolver: str) -> None:
    """When one is demanded."""
    assert check_dns(APP, OLD, [resolver], most_ttl_s=60)[0].status is Status.PASS
    (finding,) = check_dns(APP, OLD, [resolver], most_ttl_s=59)
    assert finding.status is Status.FAIL
    assert "more than 59 s" in finding.observed


def test_a_server_that_does_not_answer_is_unknown(resolver: str) -> None:
    """Each resolver is a finding of its own; one that is away hides no other."""
    away = f"127.0.0.1:{closed_port()}"
    lost, found = check_dns(APP, OLD, [away, resolver], lifetime_s=1)
    assert (lost.status, found.status) == (Status.UNKNOWN, Status.PASS)
    assert resolve_name(APP, [away, resolver], lifetime_s=1).addresses == ("127.0.0.10",)
    assert resolve_name(APP, [away], lifetime_s=1).problem


def test_a_server_that_fails_is_unknown() -> None:
    """SERVFAIL is no answer."""
    server = Resolver("127.0.0.1", 0, Zone(f"http://127.0.0.1:{closed_port()}", "shadowtwin.example"), {})
    server.start()
    try:
        (finding,) = check_dns(APP, OLD, [f"127.0.0.1:{server.port}"], lifetime_s=2)
    finally:
        server.stop()
    assert finding.status is Status.UNKNOWN


@pytest.mark.parametrize("server", ["no.name.example", "127.0.0.1:port", ""])
def test_a_resolver_must_be_an_address(server: str) -> None:
    """Names of DNS servers would need DNS."""
    with pytest.raises(UsageError, match="no DNS server"):
        resolve_name(APP, [server])
