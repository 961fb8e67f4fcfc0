"""The public name in Route 53, and CloudFront before it."""

from __future__ import annotations

from typing import Self

from cutover.aws.requirements.answers import Ask, NotApplicable, NotThere
from cutover.aws.requirements.balancer import Balancer
from cutover.aws.requirements.requirement import (
    BLOCKER,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.stack import Phase, Stack
from cutover.aws.requirements.view import View
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
                evidence=(answer.evidence,) if answer.evidence else (),
            )
        best = max(found, key=lambda z: len(z["Name"]))
        return cls(best, str(best["Id"]).rsplit("/", 1)[-1], answer)


CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
"""Id of the managed policy CachingDisabled (CloudFront Developer Guide)."""


def _holds(zone: str, wanted: str, host: str) -> bool:
    return zone == wanted if wanted else host == zone or host.endswith("." + zone)


class Records(View):
    """The records of the public name."""

    needs = (Zone,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        zone, host = stack.view(Zone), stack.migration.hostname.rstrip(".").lower()
        return Ask(
            "route53",
            "list_resource_record_sets",
            {"HostedZoneId": zone.subject},
            f"record of {host}",
            rows="ResourceRecordSets",
            match=lambda r: r["Name"].rstrip(".").lower() == host and r["Type"] in ("A", "AAAA", "CNAME"),
            many=True,
            name=host,
            after=(zone,),
        )


@requirement("DNS-01", title="The public name can be switched", severity=BLOCKER, guide=917)
def record_can_be_switched(records: Records, stack: Stack, expect: DnsExpectation) -> Outcome:
    """With a long TTL, resolvers keep sending visitors to the source; the guide lowers it too late to matter."""
    rows = records.rows("ResourceRecordSets")
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

    needs = (Zone,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By id."""
        zone = stack.view(Zone)
        return Ask("route53", "get_hosted_zone", {"Id": zone.subject}, name=zone.subject, after=(zone,))


@requirement("DNS-02", title="The zone has its name servers", severity=HIGH, guide=922)
def zone_has_name_servers(zone: HostedZone) -> Outcome:
    """The parent must delegate to exactly these; whether it does, the DNS probe asks the world."""
    servers = zone.rows("DelegationSet.NameServers")
    return judged(len(servers) >= 2, expected="at least two", observed=servers)


class Answer(View):
    """What Route 53 would answer for the public name, asked past every resolver."""

    needs = (Zone, Records)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """For the type that the record has."""
        zone, records = stack.view(Zone), stack.view(Records)
        kind = str(records.rows("ResourceRecordSets")[0]["Type"])
        wanted = {"HostedZoneId": zone.subject, "RecordName": records.subject, "RecordType": kind}
        return Ask("route53", "test_dns_answer", wanted, always=True, name=records.subject, after=(zone, records))


@requirement("DNS-03", title="The zone answers for the public name", severity=MEDIUM, guide=922)
def zone_answers(answer: Answer) -> Outcome:
    """What stands in the zone and what it answers can differ: an alias to a thing that is gone answers nothing."""
    code, data = answer.text("ResponseCode"), answer.get("RecordData") or []
    return judged(code == "NOERROR" and bool(data), expected="NOERROR, with data", observed=[code, *data])


class HealthChecks(View):
    """The account's health checks that ask the public name."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Advisory: none is MISSING, of low severity."""
        if stack.expect.dns.external:
            raise NotApplicable("DNS lives outside Route 53 (expect.dns.external)")
        host = stack.migration.hostname.rstrip(".").lower()
        return Ask(
            "route53",
            "list_health_checks",
            what=f"health check of {host}",
            rows="HealthChecks",
            match=lambda c: (c.get("HealthCheckConfig") or {}).get("FullyQualifiedDomainName", "").lower() == host,
            many=True,
            name=host,
        )


@requirement("DNS-04", title="A Route 53 health check exists", severity=LOW)
def health_check(checks: HealthChecks, stack: Stack) -> Outcome:
    """All alarms of the guide look from inside: a broken name or certificate rings none of them."""
    seen = {str((c.get("HealthCheckConfig") or {}).get("ResourcePath", "")) for c in checks.rows("HealthChecks")}
    return judged(stack.expect.alb.health_path in seen, expected=stack.expect.alb.health_path, observed=seen)


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
            evidence=(answer.evidence,) if answer.evidence else (),
        )


@requirement("CDN-01", title="The distribution is deployed", severity=MEDIUM, guide=32)
def is_deployed(distribution: Distribution) -> Outcome:
    """A change that is still spreading answers differently in every city."""
    seen = [distribution.text("Status"), distribution.flag("DistributionConfig.Enabled")]
    return holds(seen, expected=["Deployed", True])


@requirement("CDN-02", title="The distribution speaks modern TLS", severity=MEDIUM, guide=71)
def minimum_tls(distribution: Distribution, expect: CdnExpectation) -> Outcome:
    """The default certificate's minimum is TLS 1.0, and without a redirect http:// stays http://."""
    version = distribution.text("DistributionConfig.ViewerCertificate.MinimumProtocolVersion")
    viewers = distribution.text("DistributionConfig.DefaultCacheBehavior.ViewerProtocolPolicy")
    return judged(
        version in expect.minimum_tls and viewers in ("redirect-to-https", "https-only"),
        expected=f"one of {', '.join(expect.minimum_tls)}, redirect-to-https",
        observed=[version, viewers],
        remedy=f"aws cloudfront update-distribution --id {distribution.subject} --distribution-config file://config.json",
    )


@requirement(
    "CDN-03", title="The distribution leads to the balancer over TLS, the API uncached", severity=MEDIUM, guide=71
)
def origin(distribution: Distribution, alb: Balancer) -> Outcome:
    """Passwords pass there too; and an answer of the API that is cached is shown to the wrong person."""
    rows = distribution.rows("DistributionConfig.Origins.Items")
    names = [str(r.get("DomainName", "")).lower() for r in rows]
    api = [
        b for b in distribution.get("DistributionConfig.CacheBehaviors.Items") or [] if b.get("PathPattern") == "/api/*"
    ]
    cached = [b for b in api if b.get("CachePolicyId") != CACHING_DISABLED and float(b.get("MaxTTL") or 1) > 0]
    caching = "/api/* is cached" if cached else "/api/* is not cached" if api else "nothing is said of /api/*"
    policies = [
        (r.get("CustomOriginConfig") or {}).get("OriginProtocolPolicy") for r in rows if r.get("CustomOriginConfig")
    ]
    return judged(
        alb.text("DNSName").lower() in names
        and all(p == "https-only" for p in policies)
        and bool(policies)
        and bool(api)
        and not cached,
        expected=f"{alb.text('DNSName')}, https-only, /api/* not cached",
        observed=[*names, *policies, caching],
    )
