"""Where a hostname leads, asked of named DNS servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.resolver

from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status

GUIDE_LINE = 922
LIFETIME_S = 5.0


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """What one resolver answered.

    Attributes:
        hostname: what was asked for, lower case, without the last dot.
        canonical_name: the end of the CNAME chain; the hostname itself for an alias or address record.
        addresses: its IPv4 addresses, sorted; empty when there are none.
        ttl_s: the smallest TTL left on the chain, seconds; None when nothing was answered.
        resolver: `address:port`, or `system`.
        problem: why there is no answer; empty when there is one.
        exists: False when the resolver says that the name does not exist (which is an answer).
    """

    hostname: str
    canonical_name: str
    addresses: tuple[str, ...]
    ttl_s: int | None
    resolver: str
    problem: str = ""
    exists: bool = True


def resolve_name(hostname: str, resolvers: Sequence[str] = (), *, lifetime_s: float = LIFETIME_S) -> DnsAnswer:
    """Ask the resolvers in turn until one answers, without any cache.

    Args:
        hostname: the name.
        resolvers: `address` or `address:port`; the system's when empty.
        lifetime_s: seconds for each resolver.

    Raises:
        UsageError: a resolver is not an address.
    """
    answers = [_ask(hostname, resolver, lifetime_s) for resolver in resolvers[:1] or (None,)]
    for resolver in resolvers[1:]:
        if not answers[-1].problem or not answers[-1].exists:
            break
        answers.append(_ask(hostname, resolver, lifetime_s))
    return answers[-1]


def check_dns(
    hostname: str,
    expected_target: str,
    resolvers: Sequence[str] = (),
    *,
    most_ttl_s: int | None = None,
    lifetime_s: float = LIFETIME_S,
) -> list[Finding]:
    """Finding APP-04, one for each resolver: the name leads to the target, by name or by the target's addresses.

    Args:
        hostname: the name that users know.
        expected_target: a DNS name (a load balancer's) or an address.
        resolvers: each is asked; the system's when empty.
        most_ttl_s: also demand that the answer lives at most this long.
        lifetime_s: seconds for each question.
    """
    findings = []
    for resolver in resolvers or (None,):
        answer = _ask(hostname, resolver, lifetime_s)
        target = _ask(expected_target, resolver, lifetime_s)
        findings.append(_finding(answer, target, expected_target, most_ttl_s))
    return findings


def _finding(answer: DnsAnswer, target: DnsAnswer, expected: str, most_ttl_s: int | None) -> Finding:
    wanted = expected.rstrip(".").lower()
    by_name = answer.canonical_name == wanted
    shared = set(answer.addresses) & (set(target.addresses) | {wanted})
    told = f"{answer.canonical_name} {', '.join(answer.addresses) or 'no address'}, TTL {answer.ttl_s} s"
    why = "users go where DNS leads, whatever was deployed"
    if answer.problem and answer.exists:
        status, told, why = Status.UNKNOWN, answer.problem, "the resolver gave no answer, so nothing was looked at"
    elif not answer.exists:
        status, told = Status.MISSING, answer.problem
    elif not answer.addresses or not (by_name or shared):
        status = Status.FAIL
        if target.problem and not by_name:
            status, why = Status.UNKNOWN, f"the target itself cannot be resolved here: {target.problem}"
    elif most_ttl_s is not None and answer.ttl_s is not None and answer.ttl_s > most_ttl_s:
        status, told = Status.FAIL, f"{told}, more than {most_ttl_s} s"
    else:
        status = Status.PASS
    return Finding.check(
        "APP-04",
        "Public name resolves to the expected target",
        status,
        severity=Severity.HIGH,
        subject=f"{answer.hostname} as {answer.resolver} answers",
        expected=expected + (f", TTL at most {most_ttl_s} s" if most_ttl_s is not None else ""),
        observed=told,
        note=why,
        remedy=f"dig +trace {answer.hostname}; wait for the old TTL to run out; then compare with the record: "
        "aws route53 list-resource-record-sets",
        guide=GUIDE_LINE,
        data={"addresses": list(answer.addresses), "ttl_s": answer.ttl_s, "resolver": answer.resolver},
    )


def _ask(hostname: str, server: str | None, lifetime_s: float) -> DnsAnswer:
    label, name = server or "system", hostname.rstrip(".").lower()
    try:
        resolver = _resolver(server, lifetime_s)
        answer = resolver.resolve(name, "A", raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN:
        return DnsAnswer(name, name, (), None, label, "the name does not exist (NXDOMAIN)", exists=False)
    except dns.exception.DNSException as error:
        return DnsAnswer(name, name, (), None, label, f"{type(error).__name__}: {error}")
    except OSError as error:
        return DnsAnswer(name, name, (), None, label, f"{label} cannot be asked: {error}")
    canonical = answer.canonical_name.to_text().rstrip(".").lower()
    addresses = tuple(sorted(str(record) for record in answer.rrset or ()))
    ttls = [section.ttl for section in answer.response.answer]
    return DnsAnswer(name, canonical, addresses, min(ttls, default=None), label)


def _resolver(server: str | None, lifetime_s: float) -> dns.resolver.Resolver:
    if server is None:
        resolver = dns.resolver.Resolver()
    else:
        resolver = dns.resolver.Resolver(configure=False)
        host, colon, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
        try:
            resolver.nameservers = [host]
            resolver.port = int(port) if colon else 53
        except ValueError as error:
            raise UsageError(
                f"{server!r} is no DNS server.", todo="write `address` or `address:port` under resolvers"
            ) from error
    resolver.lifetime, resolver.timeout, resolver.cache = lifetime_s, lifetime_s, None
    return resolver
