"""Name, certificate, balancer and content network (guide lines 32-35, 85-86, 494-527, 996-1006, corrected)."""

from __future__ import annotations

from typing import Any

from cutover.aws.blueprint.network import PUBLIC
from cutover.aws.blueprint.operation import UNIQUE, Call, Change, Each, Input, Let, Node, Say, Wait, call, resource
from cutover.aws.blueprint.site import Site

NO_CACHE, ALL_BUT_HOST = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "b689b0a8-53d0-40ab-baf2-68738e2966ac"
CACHE = "658327ea-f89d-4fab-a63d-7e88639e58f6"
"""CloudFront's managed policies CachingDisabled, AllViewerExceptHostHeader and CachingOptimized (Developer Guide)."""
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"

OLD_TTL_S = 300
"""How long the public name's record lives before the cutover (guide line 922)."""


def _in_route53(site: Site) -> bool:
    return not site.expect.dns.external


@resource("zone", "the hosted zone (the registrar must delegate to the name servers that it prints)",
          fixes="DNS-02", gives="ZONE", applies=_in_route53)  # fmt: skip
def zone(site: Site) -> list[Node]:
    """Until the parent delegates, nobody asks this zone, and no certificate is issued."""
    reference = f"{site.name}-{UNIQUE}"
    return [
        call("route53", "create_hosted_zone", into="ZONE", query="HostedZone.Id", Name=site.zone,
             CallerReference=reference),
        Let("ZONE", "$ZONE", after="/hostedzone/"),
        call("route53", "change_tags_for_resource", ResourceType="hostedzone", ResourceId="$ZONE", AddTags=site.tags),
        call("route53", "get_hosted_zone", show=True, query="DelegationSet.NameServers", Id="$ZONE"),
    ]  # fmt: skip


def _record(name: str, value: str, ttl_s: int) -> Call:
    record = {"Name": name, "Type": "CNAME", "TTL": ttl_s, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    return call("route53", "change_resource_record_sets", HostedZoneId="$ZONE", ChangeBatch=batch)


@resource(
    "record",
    "the public name, still leading to the source",
    fixes="DNS-01",
    needs="zone",
    gives="RECORD",
    asks=(Input("SOURCE_NAME", "the name that visitors reach today, such as shadowtwin.replit.app"),),
    applies=_in_route53,
)
def record(site: Site) -> list[Call]:
    """The cutover switches this record; it must be there, and lead to Replit, before the zone is delegated."""
    return [_record(site.hostname, "$SOURCE_NAME", OLD_TTL_S)]


@resource("certificate", "the certificate, validated by its record", fixes="ACM-01..03 ACM-05", needs="zone record",
          gives="CERTIFICATE")  # fmt: skip
def certificate(site: Site) -> list[Node]:
    """Validation by DNS renews itself; one by mail is forgotten."""
    names = [site.hostname, *site.expect.acm.also_covers]
    proofs = "Certificate.DomainValidationOptions[].ResourceRecord.[Name,Value]"
    look = call("acm", "describe_certificate", show=True, query=proofs, CertificateArn="$CERTIFICATE")
    validate: list[Node] = (
        [Each(look, ("NAME", "VALUE"), _record("$NAME", "$VALUE", 300))]
        if _in_route53(site)
        else [Say("Put these records where your DNS lives; the wait below ends when ACM sees them:"), look]
    )
    return [
        call("acm", "request_certificate", into="CERTIFICATE", query="CertificateArn", DomainName=site.hostname,
             SubjectAlternativeNames=names, ValidationMethod="DNS", Tags=site.tags),
        *validate,
        Wait("acm", "certificate_validated", {"CertificateArn": "$CERTIFICATE"}),
    ]  # fmt: skip


@resource(
    "balancer",
    "the load balancer",
    fixes="ALB-01..10",
    needs="subnets alb-group audit",
    gives="BALANCER",
)
def balancer(site: Site) -> list[Node]:
    """In the public subnets, protected, with its access log."""
    attributes = {
        "deletion_protection.enabled": "true",
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": site.audit,
        "idle_timeout.timeout_seconds": str(site.expect.alb.idle_timeout_s),
        "routing.http.drop_invalid_header_fields.enabled": "true",
    }
    arn: dict[str, Any] = {"LoadBalancerArn": "$BALANCER"}
    looked_at = {
        "ALB-07": "deletion_protection.enabled",
        "ALB-10": "routing.http.drop_invalid_header_fields.enabled",
    }
    single = {i: {"Attributes": _attributes({key: attributes[key]})} for i, key in looked_at.items()}
    group = Change("set_security_groups", arn, {"ALB-05": "SecurityGroups"})
    attribute = Change("modify_load_balancer_attributes", arn, single)
    return [
        call("elbv2", "create_load_balancer", into="BALANCER", query="LoadBalancers[0].LoadBalancerArn",
             changes=(group,), Name=site.balancer, Subnets=PUBLIC, SecurityGroups=["$ALB_GROUP"],
             Scheme=site.expect.alb.scheme, Type="application", Tags=site.tags),
        Wait("elbv2", "load_balancer_available", {"LoadBalancerArns": ["$BALANCER"]}),
        call("elbv2", "modify_load_balancer_attributes", changes=(attribute,), **arn,
             Attributes=_attributes(attributes)),
    ]  # fmt: skip


def _attributes(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in values.items()]


_HEALTH_SETTINGS: dict[str, str | dict[str, Any]] = {
    "TG-03": "HealthCheckPath",
    "TG-04": "HealthCheckIntervalSeconds",
    "TG-05": "HealthCheckTimeoutSeconds",
    "TG-06": "HealthyThresholdCount",
    "TG-07": "UnhealthyThresholdCount",
    "TG-08": "Matcher",
    "TG-09": "HealthCheckProtocol HealthCheckEnabled",
}


def _target_group(site: Site, name: str, variable: str, fixes: str) -> list[Call]:
    """A target group; `fixes` are the requirements that look at its attributes."""
    e = site.expect.alb
    arn: dict[str, Any] = {"TargetGroupArn": f"${variable}"}
    settings = _HEALTH_SETTINGS if variable == "TARGET_GROUP" else {}
    delay = {"deregistration_delay.timeout_seconds": str(min(30, e.deregistration_delay_s))}
    return [
        call(
            "elbv2",
            "create_target_group",
            into=variable,
            query="TargetGroups[0].TargetGroupArn",
            changes=(Change("modify_target_group", arn, settings),),
            Name=name,
            Protocol="HTTP",
            Port=site.expect.ecs.port,
            VpcId="$VPC",
            TargetType="ip" if site.compute == "ecs" else "instance",
            HealthCheckProtocol="HTTP",
            HealthCheckPath=e.health_path,
            HealthCheckEnabled=True,
            HealthCheckIntervalSeconds=e.health_interval_s,
            HealthCheckTimeoutSeconds=e.health_timeout_s,
            HealthyThresholdCount=e.healthy_threshold,
            UnhealthyThresholdCount=e.unhealthy_threshold,
            Matcher={"HttpCode": e.matcher},
            Tags=site.tags,
        ),
        call("elbv2", "modify_target_group_attributes", fixes=fixes, **arn, Attributes=_attributes(delay)),
    ]


@resource("target-group", "the target group", fixes="TG-01..09 TG-12", needs="vpc", gives="TARGET_GROUP")
def target_group(site: Site) -> list[Call]:
    """Targets are addresses, health is the application's."""
    return _target_group(site, site.expect.alb.target_group, "TARGET_GROUP", "TG-12")


@resource("blue-target-group", "the second target group, like the first", fixes="TG-13 X-15", needs="vpc",
          gives="BLUE_TARGET_GROUP", applies=lambda site: bool(site.expect.alb.blue_target_group))  # fmt: skip
def blue_target_group(site: Site) -> list[Call]:
    """The guide's is of type instance and asks `/`: nothing could register with it."""
    return _target_group(site, str(site.expect.alb.blue_target_group), "BLUE_TARGET_GROUP", "")


@resource(
    "listeners",
    "HTTPS on 443, and 80 that redirects",
    fixes="LSN-01..07 TG-10 ACM-04 X-12",
    needs="balancer target-group certificate",
    gives="LISTENERS",
)
def listeners(site: Site) -> list[Call]:
    """The TLS policy is named: the API's default still speaks TLS 1.0."""
    forward = {"Type": "forward", "TargetGroupArn": "$TARGET_GROUP"}
    away = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    return [
        call("elbv2", "create_listener", LoadBalancerArn="$BALANCER", Protocol="HTTPS", Port=443, SslPolicy=TLS_POLICY,
             Certificates=[{"CertificateArn": "$CERTIFICATE"}], DefaultActions=[forward], Tags=site.tags),
        call("elbv2", "create_listener", LoadBalancerArn="$BALANCER", Protocol="HTTP", Port=80, DefaultActions=[away],
             Tags=site.tags),
    ]  # fmt: skip


@resource("distribution", "CloudFront before the balancer (5 minutes)", fixes="CDN-01..03", needs="listeners",
          gives="DISTRIBUTION", applies=lambda site: site.expect.cdn.enabled)  # fmt: skip
def distribution(site: Site) -> list[Node]:
    """The API is never cached, TLS is 1.2 or later on both sides. The certificate must be one of us-east-1."""
    origin = {
        "Id": "alb",
        "DomainName": "$BALANCER_NAME",
        "CustomOriginConfig": {
            "HTTPPort": 80,
            "HTTPSPort": 443,
            "OriginProtocolPolicy": "https-only",
            "OriginSslProtocols": {"Quantity": 1, "Items": ["TLSv1.2"]},
        },
    }
    methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    allowed = {"Quantity": 7, "Items": methods, "CachedMethods": {"Quantity": 2, "Items": ["GET", "HEAD"]}}
    common = {
        "TargetOriginId": "alb",
        "ViewerProtocolPolicy": "redirect-to-https",
        "AllowedMethods": allowed,
        "Compress": True,
    }
    api = {**common, "PathPattern": "/api/*", "CachePolicyId": NO_CACHE, "OriginRequestPolicyId": ALL_BUT_HOST}
    tls = {
        "ACMCertificateArn": "$CERTIFICATE",
        "SSLSupportMethod": "sni-only",
        "MinimumProtocolVersion": site.expect.cdn.minimum_tls[0],
    }
    config = {
        "CallerReference": f"{site.name}-{UNIQUE}",
        "Comment": "ShadowTwin",
        "Enabled": True,
        "Aliases": {"Quantity": 1, "Items": [site.hostname]},
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {**common, "CachePolicyId": CACHE},
        "CacheBehaviors": {"Quantity": 1, "Items": [api]},
        "ViewerCertificate": tls,
    }
    return [
        call("elbv2", "describe_load_balancers", into="BALANCER_NAME", query="LoadBalancers[0].DNSName",
             Names=[site.balancer]),
        call("cloudfront", "create_distribution_with_tags", into="DISTRIBUTION", query="Distribution.Id",
             DistributionConfigWithTags={"DistributionConfig": config, "Tags": {"Items": site.tags}}),
        Wait("cloudfront", "distribution_deployed", {"Id": "$DISTRIBUTION"}),
    ]  # fmt: skip
