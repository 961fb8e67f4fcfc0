"""The rehearsal's DNS server: answers from the emulated Route 53, so that changing a record moves the visitors.

    python -m cutover.rehearsal.dns --host H --port P --aws-endpoint URL --zone shadowtwin.example --homes JSON

It is authoritative and recursive at once, as a resolver that has just asked: CNAME chains are followed, an alias A
record answers with the addresses of its target, TTLs are the recorded ones (an alias has its target's: 60 s, as for a
load balancer). `--homes` maps canonical names, which no zone here holds, to addresses: `{"name": "127.0.0.1:8080"}`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from cutover import aws_session
from cutover.signals import stop_event

STALE_S = 0.5
"""Records read from Route 53 serve for this long."""
ALIAS_TTL_S = 60
LONGEST_CHAIN = 8


class Unavailable(Exception):
    """Route 53 does not answer: the server says SERVFAIL, never an old or empty answer."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record set of the zone; `alias` is the DNS name that an alias record points to."""

    name: str
    kind: str
    ttl_s: int
    values: tuple[str, ...] = ()
    alias: str | None = None


class Zone:
    """The records of one hosted zone, read again when they are older than half a second."""

    def __init__(self, endpoint: str, name: str, *, region: str = "us-east-1") -> None:
        self._endpoint, self.name, self._region = endpoint, canonical(name), region
        self._records: dict[tuple[str, str], Record] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()
        self._client: Any = None

    def find(self, name: str, kind: str) -> Record | None:
        """The record set of this name and kind.

        Raises:
            Unavailable: Route 53 does not answer.
        """
        return self._fresh().get((canonical(name), kind))

    def has(self, name: str) -> bool:
        """Whether any record, of whatever kind, has this name."""
        return any(key[0] == canonical(name) for key in self._fresh())

    def contains(self, name: str) -> bool:
        """Whether the name lies in this zone."""
        return canonical(name) == self.name or canonical(name).endswith(f".{self.name}")

    def soa(self) -> Record | None:
        """The zone's SOA record, for negative answers."""
        return self._fresh().get((self.name, "SOA"))

    def _fresh(self) -> dict[tuple[str, str], Record]:
        with self._lock:
            if time.monotonic() - self._read_at > STALE_S:
                try:
                    self._records = self._read()
                except Exception as error:  # botocore and urllib3 raise of many kinds; all mean the same here
                    raise Unavailable(f"{type(error).__name__}: {error}") from error
                self._read_at = time.monotonic()
            return self._records

    def _read(self) -> dict[tuple[str, str], Record]:
        client = self._route53()
        listed = client.list_hosted_zones_by_name(DNSName=self.name)["HostedZones"]
        zones = [z for z in listed if canonical(z["Name"]) == self.name]
        public = [z for z in zones if not z.get("Config", {}).get("PrivateZone")] or zones
        records: dict[tuple[str, str], Record] = {}
        if public:
            pages = client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=public[0]["Id"])
            for raw in (r for page in pages for r in page["ResourceRecordSets"]):
                if raw.get("Weight") == 0:
                    continue
                alias = raw.get("AliasTarget", {}).get("DNSName")
                record = Record(
                    name=canonical(raw["Name"]),
                    kind=raw["Type"],
                    ttl_s=int(raw.get("TTL", ALIAS_TTL_S)),
                    values=tuple(value["Value"] for value in raw.get("ResourceRecords", ())),
                    alias=canonical(alias) if alias else None,
                )
                records.setdefault((record.name, record.kind), record)
        return records

    def _route53(self) -> Any:
        if self._client is None:
            self._client = aws_session.client(
                "route53", region=self._region, endpoint=self._endpoint, connect_s=1, read_s=2, attempts=1
            )
        return self._client


def canonical(name: str) -> str:
    """Lower case, without the last dot, Route 53's octal escapes (`\\052` for `*`) undone."""
    return name.replace("\\052", "*").rstrip(".").lower()


def answer(query: dns.message.Message, zone: Zone, homes: dict[str, str]) -> dns.message.Message:
    """The response to one query: the chain from the name that was asked for to its addresses.

    Args:
        query: one question.
        zone: where records come from.
        homes: address (a port after it is ignored) for each canonical name outside the zone.
    """
    response = dns.message.make_response(query, recursion_available=True)
    if len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    question = query.question[0]
    name = question.name.to_text()
    try:
        response.set_rcode(_Chain(response, dns.rdatatype.to_text(question.rdtype), zone, homes).follow(name))
        if not response.answer and (soa := zone.soa()) is not None:
            # The emulator's SOA is not always one; an answer without it is still an answer.
            with contextlib.suppress(dns.exception.DNSException):
                _add(response.authority, zone.name, soa.ttl_s, "SOA", soa.values)
    except (Unavailable, dns.exception.DNSException):
        response.answer.clear()
        response.set_rcode(dns.rcode.SERVFAIL)
    else:
        if zone.contains(name):
            response.flags |= dns.flags.AA
    return response


@dataclass(frozen=True, slots=True)
class _Chain:
    """Follows one question through the zone and adds what it passes to the response."""

    response: dns.message.Message
    kind: str
    zone: Zone
    homes: dict[str, str]

    def follow(self, name: str) -> dns.rcode.Rcode:
        """Add the chain's records; NXDOMAIN only when its last name is nowhere, SERVFAIL when it has no end."""
        for _ in range(LONGEST_CHAIN):
            if self._outside(name):
                return self._home(name, name)
            record = self.zone.find(name, self.kind)
            if record is not None and record.alias is not None:
                return self._alias(name, record.alias)
            if record is not None:
                _add(self.response.answer, name, record.ttl_s, self.kind, record.values)
                return dns.rcode.NOERROR
            link = self.zone.find(name, "CNAME")
            if link is None or not link.values:
                return dns.rcode.NOERROR if self.zone.has(name) else dns.rcode.NXDOMAIN
            _add(self.response.answer, name, link.ttl_s, "CNAME", (link.values[0].rstrip(".") + ".",))
            name = link.values[0]
        return dns.rcode.SERVFAIL

    def _alias(self, owner: str, target: str) -> dns.rcode.Rcode:
        """An alias shows no name of its target: the target's addresses stand under the name that was asked for."""
        for _ in range(LONGEST_CHAIN):
            if self._outside(target):
                return self._home(owner, target)
            record = self.zone.find(target, self.kind)
            if record is None:
                return dns.rcode.NOERROR
            if record.alias is None:
                _add(self.response.answer, owner, record.ttl_s, self.kind, record.values)
                return dns.rcode.NOERROR
            target = record.alias
        return dns.rcode.SERVFAIL

    def _outside(self, name: str) -> bool:
        return not self.zone.contains(name) or canonical(name) in self.homes

    def _home(self, owner: str, target: str) -> dns.rcode.Rcode:
        # Route 53's console writes an alias to a load balancer with this prefix.
        home = self.homes.get(canonical(target)) or self.homes.get(canonical(target).removeprefix("dualstack."))
        if home is None:
            return dns.rcode.NXDOMAIN
        if self.kind == "A":
            _add(self.response.answer, owner, ALIAS_TTL_S, "A", (home.rpartition(":")[0] or home,))
        return dns.rcode.NOERROR


def _add(section: list[dns.rrset.RRset], name: str, ttl_s: int, kind: str, values: tuple[str, ...]) -> None:
    owner = name if name.endswith(".") else f"{name}."
    section.append(dns.rrset.from_text(owner, ttl_s, "IN", kind, *values))


class Resolver:
    """Serves UDP and TCP on one address, each in a thread."""

    def __init__(self, host: str, port: int, zone: Zone, homes: dict[str, str]) -> None:
        self._zone, self._homes = zone, {canonical(name): home for name, home in homes.items()}
        self._udp, self._tcp = _bind(host, port)
        self.port = int(self._udp.getsockname()[1])
        self._halt = threading.Event()
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._serve_udp, self._serve_tcp)]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Answer no more, and free the address."""
        self._halt.set()
        for thread in self._threads:
            thread.join(timeout=3)
        self._udp.close()
        self._tcp.close()

    def _respond(self, wire: bytes, *, most: int) -> bytes | None:
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        if query.flags & dns.flags.QR:
            return None
        return answer(query, self._zone, self._homes).to_wire(max_size=most)

    def _serve_udp(self) -> None:
        while not self._halt.is_set():
            try:
                wire, client = self._udp.recvfrom(4096)
                response = self._respond(wire, most=1232)
                if response is not None:
                    self._udp.sendto(response, client)
            except TimeoutError:
                continue
            except Exception as error:
                if not self._halt.is_set():
                    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def _serve_tcp(self) -> None:
        while not self._halt.is_set():
            try:
                connection, _ = self._tcp.accept()
                with connection:
                    connection.settimeout(2)
                    (length,) = struct.unpack("!H", _exactly(connection, 2))
                    response = self._respond(_exactly(connection, length), most=65535)
                    if response is not None:
                        connection.sendall(struct.pack("!H", len(response)) + response)
            except TimeoutError:
                continue
            except Exception as error:
                if not self._halt.is_set():
                    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same port; a free one when `port` is 0.

    Raises:
        OSError: the address is taken or not ours.
    """
    for attempt in range(20):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            udp.bind((host, port))
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((host, udp.getsockname()[1]))
            tcp.listen(64)
        except OSError:
            udp.close()
            tcp.close()
            if port or attempt == 19:
                raise
            continue
        udp.settimeout(0.25)
        tcp.settimeout(0.25)
        return udp, tcp
    raise OSError(f"no free port on {host}")


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("the client closed in the middle of a query")
        data += part
    return data


def main() -> int:
    """Serve until SIGTERM or SIGINT; prints `listening` and the address."""
    parser = argparse.ArgumentParser(prog="python -m cutover.rehearsal.dns", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--aws-endpoint", required=True)
    parser.add_argument("--zone", required=True)
    parser.add_argument("--homes", type=json.loads, default={}, help='{"canonical name": "address:port"}')
    arguments = parser.parse_args()
    stop = stop_event()
    try:
        zone = Zone(arguments.aws_endpoint, arguments.zone)
        resolver = Resolver(arguments.host, arguments.port, zone, arguments.homes)
    except OSError as error:
        print(f"cannot listen on {arguments.host}:{arguments.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    resolver.start()
    print(f"listening {arguments.host}:{resolver.port}", flush=True)
    stop.wait()
    resolver.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
