"""The public name, before the cutover, and the content network (guide lines 32-35, 85-86, 922)."""

from __future__ import annotations

import uuid
from typing import Any

from cutover.rehearsal.cloud.provision.plan import Hands

_NO_CACHE, _ALL_BUT_HOST = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "b689b0a8-53d0-40ab-baf2-68738e2966ac"
"""Ids of the managed policies CachingDisabled and AllViewerExceptHostHeader (CloudFront Developer Guide)."""
_CACHE = "658327ea-f89d-4fab-a63d-7e88639e58f6"
"""Id of the managed policy CachingOptimized."""


def build_name(hands: Hands) -> str:
    """The zone, with the public name pointing to the old home for five minutes at a time; the zone's id."""
    plan, route53 = hands.plan, hands.client("route53")
    name = plan.hostname.split(".", 1)[1]
    zone = route53.create_hosted_zone(Name=name, CallerReference=str(uuid.uuid4()))
    zone_id = str(zone["HostedZone"]["Id"]).rsplit("/", 1)[-1]
    route53.change_tags_for_resource(
        ResourceType="hostedzone", ResourceId=zone_id, AddTags=[{"Key": "Project", "Value": "shadowtwin"}]
    )
    certificate = hands.client("acm").describe_certificate(CertificateArn=hands.made["certificate"])["Certificate"]
    proofs = {
        (r["Name"], r["Value"])
        for o in certificate.get("DomainValidationOptions", [])
        if (r := o.get("ResourceRecord")) and r.get("Type") == "CNAME"
    }
    changes = [_cname(plan.hostname, plan.source_name, plan.ttl_s)] + [_cname(n, v, 300) for n, v in sorted(proofs)]
    route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})
    hands.made["zone"] = zone_id
    return zone_id


def _cname(name: str, value: str, ttl_s: int) -> dict[str, Any]:
    record = {"Name": name, "Type": "CNAME", "TTL": ttl_s, "ResourceRecords": [{"Value": value}]}
    return {"Action": "UPSERT", "ResourceRecordSet": record}


def build_distribution(hands: Hands) -> None:
    """CloudFront before the balancer: TLS 1.2 and later, the API never cached."""
    origin = {
        "Id": "alb",
        "DomainName": hands.made["load_balancer_dns"],
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
    api = {**common, "PathPattern": "/api/*", "CachePolicyId": _NO_CACHE, "OriginRequestPolicyId": _ALL_BUT_HOST}
    answer = hands.client("cloudfront").create_distribution_with_tags(
        DistributionConfigWithTags={
            "DistributionConfig": {
                "CallerReference": str(uuid.uuid4()),
                "Comment": "ShadowTwin",
                "Enabled": True,
                "Aliases": {"Quantity": 1, "Items": [hands.plan.hostname]},
                "Origins": {"Quantity": 1, "Items": [origin]},
                "DefaultCacheBehavior": {**common, "CachePolicyId": _CACHE},
                "CacheBehaviors": {"Quantity": 1, "Items": [api]},
                "ViewerCertificate": {
                    "ACMCertificateArn": hands.made["certificate"],
                    "SSLSupportMethod": "sni-only",
                    "MinimumProtocolVersion": "TLSv1.2_2021",
                },
            },
            "Tags": {"Items": [{"Key": "Project", "Value": "shadowtwin"}]},
        }
    )["Distribution"]
    hands.made |= {"distribution": answer["Id"], "distribution_domain": answer["DomainName"]}
