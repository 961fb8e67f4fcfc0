"""The rehearsal's DNS: what Route 53 holds is what a visitor is told, and never anything older."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from standin import client, closed_port, emulator, listening, until

from cutover.rehearsal import processes
from cutover.rehearsal.dns import Resolver, Zone, canonical

ZONE = "shadowtwin.example"
APP, OLD = "app.shadowtwin.example", "replit.shadowtwin.example"
ALB = "shadowtwin-alb-1.us-east-1.elb.amazonaws.com"
HOMES = {OLD: "127.0.0.10:8080", ALB: "127.0.0.20:8080"}


class Names:
    """A hosted zone of the emulator."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.route53 = client("route53", endpoint)
        self.zone = self.route53.create_hosted_zone(Name=ZONE, CallerReference="1")["HostedZone"]["Id"]

    def change(self, action: str, **record: Any) -> None:
        """Change one record set."""
        changes = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        self.route53.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=changes)

    def cname(self, name: str, target: str, ttl: int = 300) -> None:
        """Point a name to another."""
        self.change("UPSERT", Name=name, Type="CNAME", TTL=ttl, ResourceRecords=[{"Value": target}])

    def alias(self, name: str, target: str) -> None:
        """Make a name an alias of a load balancer."""
        alias = {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": target, "EvaluateTargetHealth": True}
        self.change("UPSERT", Name=name, Type="A", AliasTarget=alias)


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    """The zone, before the cutover: the public name leads to the source."""
    with emulator() as endpoint:
        zone = Names(endpoint)
        zone.cname(APP, OLD)
        yield zone


@pytest.fixture(scope="module")
def port(names: Names) -> Iterator[int]:
    """A running resolver."""
    resolver = Resolver("127.0.0.1", 0, Zone(names.endpoint, ZONE), HOMES)
    resolver.start()
    yield resolver.port
    resolver.stop()


def ask(port: int, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
    """One question, one answer."""
    query = dns.message.make_query(name, kind)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, "127.0.0.1", timeout=5, port=port)


def told(answer: dns.message.Message) -> list[str]:
    """The answer's records as text."""
    return [f"{rrset.name} {rrset.ttl} {r.rdtype.name} {r}" for rrset in answer.answer for r in rrset]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_a_chain_ends_at_the_old_home(port: int, tcp: bool) -> None:
    """The CNAME with its recorded TTL, then the home's address."""
    answer = ask(port, "APP.shadowtwin.example.", tcp=tcp)
    assert told(answer) == [f"APP.shadowtwin.example. 300 CNAME {OLD}.", f"{OLD}. 60 A 127.0.0.10"]
    assert answer.flags & dns.flags.AA


def test_a_change_of_the_record_moves_the_name_within_a_second(names: Names, port: int) -> None:
    """From the CNAME to an alias of the load balancer, whose own name an alias does not show; and back."""
    name = "moving.shadowtwin.example"
    names.cname(name, OLD, ttl=60)
    until(lambda: told(ask(port, name))[-1:] == [f"{OLD}. 60 A 127.0.0.10"], within_s=2)
    names.change("DELETE", Name=name, Type="CNAME", TTL=60, ResourceRecords=[{"Value": OLD}])
    names.alias(name, ALB)
    until(lambda: told(ask(port, name)) == [f"{name}. 60 A 127.0.0.20"], within_s=2)
    names.alias(name, f"dualstack.{ALB}")
    assert told(ask(port, name)) == [f"{name}. 60 A 127.0.0.20"]


def test_an_address_record_is_answered_as_it_stands(names: Names, port: int) -> None:
    """All its values, its own TTL; an alias of it inside the zone as well."""
    names.change("UPSERT", Name="w3.shadowtwin.example", Type="A", TTL=17, ResourceRecords=[{"Value": "127.0.0.7"}])
    names.alias("apex.shadowtwin.example", "w3.shadowtwin.example")
    until(lambda: told(ask(port, "w3.shadowtwin.example")) == ["w3.shadowtwin.example. 17 A 127.0.0.7"])
    assert told(ask(port, "apex.shadowtwin.example")) == ["apex.shadowtwin.example. 17 A 127.0.0.7"]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nowhere.shadowtwin.example", "A", dns.rcode.NXDOMAIN),
        ("elsewhere.example.org", "A", dns.rcode.NXDOMAIN),
        (OLD, "AAAA", dns.rcode.NOERROR),
        (ZONE, "TXT", dns.rcode.NOERROR),
    ],
)
def test_what_is_not_there_is_told_apart(port: int, name: str, kind: str, code: dns.rcode.Rcode) -> None:
    """A name that does not exist is NXDOMAIN; one without this kind of record is an empty answer."""
    answer = ask(port, name, kind)
    assert (answer.rcode(), answer.answer) == (code, [])


def test_a_circle_of_names_is_a_failure_not_a_hang(names: Names, port: int) -> None:
    """A loop of CNAMEs ends in SERVFAIL."""
    names.cname("a.shadowtwin.example", "b.shadowtwin.example")
    names.cname("b.shadowtwin.example", "a.shadowtwin.example")
    until(lambda: ask(port, "a.shadowtwin.example").rcode() == dns.rcode.SERVFAIL)


def test_without_route_53_nothing_old_is_told() -> None:
    """SERVFAIL, so that a visitor's resolver tries again."""
    resolver = Resolver("127.0.0.1", 0, Zone(f"http://127.0.0.1:{closed_port()}", ZONE), HOMES)
    resolver.start()
    try:
        assert ask(resolver.port, APP).rcode() == dns.rcode.SERVFAIL
    finally:
        resolver.stop()


@pytest.mark.parametrize("wire", [b"", b"\x00", b"\xff" * 40], ids=["empty", "short", "noise"])
def test_noise_is_ignored_and_the_next_question_answered(port: int, wire: bytes) -> None:
    """One bad packet must not end the stage's DNS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(wire, ("127.0.0.1", port))
    assert ask(port, APP).answer


def test_the_program_answers_and_ends_on_sigterm(names: Names, tmp_path: Path) -> None:
    """`python -m cutover.rehearsal.dns` says where it listens."""
    argv = [sys.executable, "-m", "cutover.rehearsal.dns", "--aws-endpoint", names.endpoint, "--zone", ZONE]
    argv += ["--homes", f'{{"{OLD}": "127.0.0.10:1"}}']
    with processes.spawn(argv, name="dns", log=tmp_path / "log") as process:
        port = int(listening(process).rpartition(":")[2])
        assert ask(port, APP).answer
        assert process.stop() == 0


def test_a_name_has_one_spelling() -> None:
    """Case, the last dot and Route 53's escape for an asterisk."""
    assert canonical("\\052.ShadowTwin.example.") == "*.shadowtwin.example"
