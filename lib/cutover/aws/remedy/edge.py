"""Name, certificate, balancer and content network (guide lines 32-35, 85-86, 494-527, 996-1006, corrected)."""

from __future__ import annotations

from typing import Any

from cutover.aws.remedy.command import aws, put
from cutover.aws.remedy.foundation import audit_bucket
from cutover.aws.remedy.step import Input, Place, step

_NO_CACHE, _ALL_BUT_HOST = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "b689b0a8-53d0-40ab-baf2-68738e2966ac"
_CACHE = "658327ea-f89d-4fab-a63d-7e88639e58f6"
"""CloudFront's managed policies CachingDisabled, AllViewerExceptHostHeader and CachingOptimized (Developer Guide)."""


def zone_name(place: Place) -> str:
    """The hosted zone: the planned one, else the name without its first label."""
    return place.e.dns.zone or place.m.hostname.partition(".")[2]


def _in_route53(place: Place) -> bool:
    return not place.e.dns.external


@step("zone", "the hosted zone (the registrar must delegate to the name servers that it prints)",
      mends="DNS-02", gives="ZONE", applies=_in_route53)  # fmt: skip
def zone(place: Place) -> str:
    """Until the parent delegates, nobody asks this zone, and no certificate is issued."""
    made = {"Name": zone_name(place), "CallerReference": f"{place.m.name}-$(date +%s)"}
    made_id = aws("route53", "create_hosted_zone", made, query="HostedZone.Id", into="ZONE")
    return "\n".join([
        made_id, "ZONE=${ZONE##*/}",
        'aws route53 get-hosted-zone --id "$ZONE" --query DelegationSet.NameServers --output text >&2'])  # fmt: skip


def _record(place: Place, name: str, value: str, ttl_s: int) -> str:
    record = {"Name": name, "Type": "CNAME", "TTL": ttl_s, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
    return put("route53", "change_resource_record_sets", {"HostedZoneId": place.id("ZONE"), "ChangeBatch": batch})


@step("record", "the public name, still leading to the old home", mends="DNS-01", needs="zone", gives="RECORD",
      applies=_in_route53,
      asks=(Input("SOURCE_NAME", "the name that visitors reach today, such as shadowtwin.replit.app"),))  # fmt: skip
def record(place: Place) -> str:
    """The cutover switches this record; it must be there, and lead to Replit, before the zone is delegated."""
    return _record(place, place.m.hostname, "$SOURCE_NAME", 300)


@step("certificate", "the certificate, validated by its record", mends="ACM-01..03 ACM-05", needs="zone record",
      gives="CERTIFICATE")  # fmt: skip
def certificate(place: Place) -> str:
    """Validation by DNS renews itself; one by mail is forgotten."""
    names = [place.m.hostname, *place.e.acm.also_covers]
    made: dict[str, Any] = {"DomainName": place.m.hostname, "SubjectAlternativeNames": names,
                            "ValidationMethod": "DNS", "Tags": place.tags}  # fmt: skip
    proof = "Certificate.DomainValidationOptions[].ResourceRecord.[Name,Value]"
    lines = [aws("acm", "request_certificate", made, query="CertificateArn", into="CERTIFICATE")]
    shown = aws("acm", "describe_certificate", {"CertificateArn": "$CERTIFICATE"}, query=proof)
    if _in_route53(place):
        wait = aws("acm", "describe_certificate", {"CertificateArn": "$CERTIFICATE"},
                   query="length(Certificate.DomainValidationOptions[?ResourceRecord])")  # fmt: skip
        lines += [
            f'until [ "$({wait})" != 0 ]; do sleep 3; done   # ACM needs a few seconds to name the records',
            f"{shown} | sort -u | while read -r NAME VALUE; do",
            _record(place, "$NAME", "$VALUE", 300),
            "done",
        ]
    else:
        lines += [
            "echo 'Put these records where your DNS lives; the wait below ends when ACM sees them:' >&2",
            f"{shown} >&2",
        ]
    return "\n".join([*lines, 'aws acm wait certificate-validated --certificate-arn "$CERTIFICATE"'])


@step(
    "balancer",
    "the load balancer",
    mends="ALB-01..10",
    needs="subnets alb-group audit",
    gives="BALANCER",
)
def balancer(place: Place) -> str:
    """In the public subnets, protected, with its access log."""
    attributes = {
        "deletion_protection.enabled": "true",
        "access_logs.s3.enabled": "true",
        "access_logs.s3.bucket": audit_bucket(place),
        "idle_timeout.timeout_seconds": str(place.e.alb.idle_timeout_s),
        "routing.http.drop_invalid_header_fields.enabled": "true",
    }
    made = {"Name": place.m.target.load_balancer, "Subnets": place.ids("PUBLIC"),
            "SecurityGroups": [place.id("ALB_GROUP")], "Scheme": place.e.alb.scheme, "Type": "application",
            "Tags": place.tags}  # fmt: skip
    return "\n".join([
        aws("elbv2", "create_load_balancer", made, query="LoadBalancers[0].LoadBalancerArn", into="BALANCER"),
        'aws elbv2 wait load-balancer-available --load-balancer-arns "$BALANCER"',
        put("elbv2", "modify_load_balancer_attributes", {
            "LoadBalancerArn": "$BALANCER", "Attributes": _attributes(attributes)})])  # fmt: skip


def _attributes(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in values.items()]


def _target_group(place: Place, name: str, variable: str) -> str:
    e = place.e.alb
    made = {
        "Name": name,
        "Protocol": "HTTP",
        "Port": place.e.ecs.port,
        "VpcId": place.id("VPC"),
        "TargetType": "ip" if place.m.compute == "ecs" else "instance",
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPath": e.health_path,
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": e.health_interval_s,
        "HealthCheckTimeoutSeconds": e.health_timeout_s,
        "HealthyThresholdCount": e.healthy_threshold,
        "UnhealthyThresholdCount": e.unhealthy_threshold,
        "Matcher": {"HttpCode": e.matcher},
        "Tags": place.tags,
    }
    delay = {"deregistration_delay.timeout_seconds": str(min(30, e.deregistration_delay_s))}
    return "\n".join([
        aws("elbv2", "create_target_group", made, query="TargetGroups[0].TargetGroupArn", into=variable),
        put("elbv2", "modify_target_group_attributes", {
            "TargetGroupArn": f"${variable}", "Attributes": _attributes(delay)})])  # fmt: skip


@step("target-group", "the target group", mends="TG-01..09 TG-12", needs="vpc", gives="TARGET_GROUP")
def target_group(place: Place) -> str:
    """Targets are addresses, health is the application's."""
    return _target_group(place, place.e.alb.target_group, "TARGET_GROUP")


@step("blue-target-group", "the second target group, like the first", mends="TG-13 X-15", needs="vpc",
      gives="BLUE_TARGET_GROUP", applies=lambda place: bool(place.e.alb.blue_target_group))  # fmt: skip
def blue_target_group(place: Place) -> str:
    """The guide's is of type instance and asks `/`: nothing could register with it."""
    return _target_group(place, str(place.e.alb.blue_target_group), "BLUE_TARGET_GROUP")


@step(
    "listeners",
    "HTTPS on 443, and 80 that redirects",
    mends="LSN-01..07 TG-10 ACM-04 X-12",
    needs="balancer target-group certificate",
    gives="LISTENERS",
)
def listeners(place: Place) -> str:
    """The TLS policy is named: the API's default still speaks TLS 1.0."""
    forward = {
        "LoadBalancerArn": place.id("BALANCER"),
        "Protocol": "HTTPS",
        "Port": 443,
        "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "Certificates": [{"CertificateArn": place.id("CERTIFICATE")}],
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": place.id("TARGET_GROUP")}],
        "Tags": place.tags,
    }
    away = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    redirect = {"LoadBalancerArn": place.id("BALANCER"), "Protocol": "HTTP", "Port": 80, "DefaultActions": [away],
                "Tags": place.tags}  # fmt: skip
    return "\n".join([put("elbv2", "create_listener", forward), put("elbv2", "create_listener", redirect)])


@step("distribution", "CloudFront before the balancer (5 minutes)", mends="CDN-01..05", needs="listeners",
      gives="DISTRIBUTION", applies=lambda place: place.e.cdn.enabled)  # fmt: skip
def distribution(place: Place) -> str:
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
    common = {"TargetOriginId": "alb", "ViewerProtocolPolicy": "redirect-to-https", "AllowedMethods": allowed,
              "Compress": True}  # fmt: skip
    api = {**common, "PathPattern": "/api/*", "CachePolicyId": _NO_CACHE, "OriginRequestPolicyId": _ALL_BUT_HOST}
    tls = {"ACMCertificateArn": place.id("CERTIFICATE"), "SSLSupportMethod": "sni-only",
           "MinimumProtocolVersion": place.e.cdn.minimum_tls[0]}  # fmt: skip
    config = {
        "CallerReference": f"{place.m.name}-$(date +%s)",
        "Comment": "ShadowTwin",
        "Enabled": True,
        "Aliases": {"Quantity": 1, "Items": [place.m.hostname]},
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {**common, "CachePolicyId": _CACHE},
        "CacheBehaviors": {"Quantity": 1, "Items": [api]},
        "ViewerCertificate": tls,
    }
    balancer_name = aws("elbv2", "describe_load_balancers", {"Names": [place.m.target.load_balancer]},
                        query="LoadBalancers[0].DNSName", into="BALANCER_NAME")  # fmt: skip
    made = {"DistributionConfigWithTags": {"DistributionConfig": config, "Tags": {"Items": place.tags}}}
    return "\n".join([
        balancer_name,
        aws("cloudfront", "create_distribution_with_tags", made, query="Distribution.Id", into="DISTRIBUTION"),
        'aws cloudfront wait distribution-deployed --id "$DISTRIBUTION"'])  # fmt: skip
