"""The public name in Route 53, and CloudFront before it."""

from __future__ import annotations

from typing import Self

from cutover.aws.requirements.balancer import Balancer
from cutover.aws.requirements.requirement import (
    BLOCKER,
    HIGH,
    MEDIUM,
    Outcome,
    holds,
    judged,
    one_of,
    requirement,
)
from cutover.aws.requirements.stack import NotApplicable, NotThere, Phase, Stack, View
from cutover.expectations import CdnExpectation, DnsExpectation


class Zone(View):
    """The public hosted zone that holds the name."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The longest zone that is the name or ends it."""
        expect = stack.expect.dns
        if expect.external:
            raise NotApplicable("DNS lives outside Route 53 (expect.dns.external): see `dig` in the DNS notebook")
        answer = stack.need("route53", "list_hosted_zones")
        host = stack.migration.hostname.rstrip(".").lower()
        wanted = (expect.zone or "").rstrip(".").lower()
        found = [
            z
            for z in answer.data.get("HostedZones", [])
            if not (z.get("Config") or {}).get("PrivateZone") and _holds(z["Name"].rstrip(".").lower(), wanted, host)
        ]
        if not found:
            raise NotThere(
                f"no public hosted zone holds {host}",
                remedy=f"aws route53 create-hosted-zone --name {wanted or host.partition('.')[2]} --caller-reference …",
                evidence=(answer.evidence,) if answer.evidence else (),
            )
        best = max(found, key=lambda z: len(z["Name"]))
        return cls(best, str(best["Id"]).rsplit("/", 1)[-1], answer)


def _holds(zone: str, wanted: str, host: str) -> bool:
    return zone == wanted if wanted else host == zone or host.endswith("." + zone)


class Records(View):
    """The records of the public name."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        zone, host = stack.view(Zone), stack.migration.hostname.rstrip(".").lower()
        answer = stack.need("route53", "list_resource_record_sets", HostedZoneId=zone.subject)
        mine = [
            r
            for r in answer.data.get("ResourceRecordSets", [])
            if r["Name"].rstrip(".").lower() == host and r["Type"] in ("A", "AAAA", "CNAME")
        ]
        if not mine:
            raise NotThere(
                f"{host} has no record",
                remedy=f"aws route53 change-resource-record-sets --hosted-zone-id {zone.subject} --change-batch file://batch.json",
            )
        return cls({"records": mine}, host, zone, answer)


@requirement("DNS-01", title="The public name can be switched", severity=BLOCKER, guide=917)
def record_can_be_switched(records: Records, stack: Stack, expect: DnsExpectation) -> Outcome:
    """With a long TTL, resolvers keep sending visitors to the old home; the guide lowers it too late to matter."""
    rows = records.rows("records")
    seen = [
        f"{r['Type']} alias {r['AliasTarget'].get('DNSName')}"
        if r.get("AliasTarget")
        else f"{r['Type']} TTL {r.get('TTL')}"
        for r in rows
    ]
    slow = [r for r in rows if not r.get("AliasTarget") and int(r.get("TTL") or 0) > expect.ttl_s]
    if stack.phase is not Phase.DAY:
        return judged(True, expected="a record; its TTL is due on the day", observed=seen)
    return judged(
        not slow,
        expected=f"TTL of at most {expect.ttl_s} s, or an alias",
        observed=seen,
        remedy="lower it in notebook 07 and wait one old TTL",
    )


class HostedZone(View):
    """The zone's name servers."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By id."""
        zone = stack.view(Zone)
        answer = stack.need("route53", "get_hosted_zone", Id=zone.subject)
        return cls(answer.data, zone.subject, zone, answer)


@requirement("DNS-02", title="The zone has its name servers", severity=HIGH, guide=922)
def zone_has_name_servers(zone: HostedZone) -> Outcome:
    """The parent must delegate to exactly these; whether it does, the DNS probe asks the world."""
    servers = zone.rows("DelegationSet.NameServers")
    return judged(len(servers) >= 2, expected="at least two", observed=servers)


class Distribution(View):
    """The CloudFront distribution of the public name."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By its alias, or by its origin."""
        if not stack.expect.cdn.enabled:
            raise NotApplicable("expect.cdn.enabled is false")
        answer = stack.need("cloudfront", "list_distributions")
        rows = (answer.data.get("DistributionList") or {}).get("Items") or []
        host = stack.migration.hostname
        for row in rows:
            if host in ((row.get("Aliases") or {}).get("Items") or []):
                detail = stack.need("cloudfront", "get_distribution", Id=row["Id"])
                return cls(detail.data.get("Distribution") or {}, str(row["Id"]), answer, detail)
        raise NotThere(
            f"no distribution serves {host}",
            remedy="aws cloudfront create-distribution --distribution-config file://distribution.json"
            "   # or set expect.cdn.enabled: false",
            evidence=(answer.evidence,) if answer.evidence else (),
        )


@requirement("CDN-01", title="The distribution is deployed", severity=MEDIUM, guide=32)
def is_deployed(distribution: Distribution) -> Outcome:
    """A change that is still spreading answers differently in every city."""
    seen = [distribution.text("Status"), distribution.flag("DistributionConfig.Enabled")]
    return holds(seen, expected=["Deployed", True])


@requirement("CDN-02", title="The distribution speaks modern TLS", severity=MEDIUM, guide=71)
def minimum_tls(distribution: Distribution, expect: CdnExpectation) -> Outcome:
    """The default certificate's minimum is TLS 1.0."""
    return one_of(distribution.text("DistributionConfig.ViewerCertificate.MinimumProtocolVersion"), expect.minimum_tls)


@requirement("CDN-03", title="The distribution leads to the balancer over TLS", severity=MEDIUM, guide=71)
def origin(distribution: Distribution, alb: Balancer) -> Outcome:
    """Between CloudFront and the balancer the passwords pass too."""
    rows = distribution.rows("DistributionConfig.Origins.Items")
    names = [r.get("DomainName", "").lower() for r in rows]
    policies = [
        (r.get("CustomOriginConfig") or {}).get("OriginProtocolPolicy") for r in rows if r.get("CustomOriginConfig")
    ]
    return judged(
        alb.text("DNSName").lower() in names and all(p == "https-only" for p in policies) and bool(policies),
        expected=f"{alb.text('DNSName')}, https-only",
        observed=[*names, *policies],
    )
