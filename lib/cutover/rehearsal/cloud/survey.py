"""What a look at the architecture asks and moto does not know: quotas, versions on offer, who changed what."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.responses import ActionResult
from moto.elasticache.responses import ElastiCacheResponse
from moto.rds.responses import RDSResponse
from moto.route53 import urls as route53_urls
from moto.route53.models import route53_backends
from moto.route53.responses import Route53
from moto.servicequotas.models import ServiceQuotasBackend

from cutover.rehearsal.cloud.extension import extend
from cutover.rehearsal.cloud.iam import DEPLOYER

_moto_quota = ServiceQuotasBackend.get_service_quota
FARGATE_VCPU = 140.0
"""The quota of the emulated account: a full roll-out of twenty tasks, and room for more."""
_READS = ("Describe", "Get", "List", "Lookup", "Filter", "Simulate", "Head", "Test")
_SOURCES = {"elbv2": "elasticloadbalancing", "cloudwatch": "monitoring", "application-autoscaling": "autoscaling"}
_journal: dict[str, Path] = {}


def install(state: Path) -> None:
    """Give moto's services these operations; `state` holds the journal of calls."""
    _journal["path"] = state / "calls.jsonl"
    extend(ServiceQuotasBackend, Quotas)
    extend(RDSResponse, Database)
    extend(ElastiCacheResponse, Queue)
    extend(ApplicationAutoScalingResponse, Scaling)
    extend(CloudTrailResponse, Trail)
    extend(Route53, Names)
    route53_urls.url_paths[r"{0}/(?P<api_version>[\d_-]+)/testdnsanswer$"] = Route53.dispatch


class Quotas:
    """Set on moto's `ServiceQuotasBackend`."""

    def get_service_quota(self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        """GetServiceQuota: Fargate's vCPU beside those that moto knows."""
        if (service_code, quota_code) != ("fargate", "L-3032A538"):
            known: dict[str, Any] = _moto_quota(self, service_code, quota_code)
            return known
        return {
            "ServiceCode": service_code,
            "QuotaCode": quota_code,
            "QuotaName": "Fargate On-Demand vCPU resource count",
            "Value": FARGATE_VCPU,
            "Adjustable": True,
            "GlobalQuota": False,
        }


class Database:
    """Set on moto's `RDSResponse`."""

    params: Any

    def describe_db_engine_versions(self: Any) -> Any:
        """DescribeDBEngineVersions: the version that is asked for is on offer."""
        engine, version = self.params.get("Engine", "postgres"), self.params.get("EngineVersion", "18.1")
        family = f"{engine}{version.split('.')[0]}"
        row = {"Engine": engine, "EngineVersion": version, "DBParameterGroupFamily": family, "Status": "available"}
        return ActionResult({"DBEngineVersions": [row]})

    def describe_orderable_db_instance_options(self: Any) -> Any:
        """DescribeOrderableDBInstanceOptions: every class, with gp3, in three zones."""
        zones = [{"Name": f"{self.region}{letter}"} for letter in "abc"]
        row = {
            "Engine": self.params.get("Engine"),
            "EngineVersion": self.params.get("EngineVersion"),
            "DBInstanceClass": self.params.get("DBInstanceClass"),
            "AvailabilityZones": zones,
            "MultiAZCapable": True,
            "StorageType": "gp3",
        }
        return ActionResult({"OrderableDBInstanceOptions": [row]})


class Queue:
    """Set on moto's `ElastiCacheResponse`."""

    params: Any

    def describe_cache_engine_versions(self: Any) -> Any:
        """DescribeCacheEngineVersions: Valkey and Redis OSS as ElastiCache offers them."""
        offered = {"valkey": ("7.2", "8.0", "8.1"), "redis": ("6.2", "7.0", "7.1")}
        wanted = self.params.get("Engine")
        rows = [
            {"Engine": engine, "EngineVersion": version, "CacheParameterGroupFamily": f"{engine}{version[0]}"}
            for engine, versions in offered.items()
            for version in versions
            if wanted in (None, engine)
        ]
        return ActionResult({"CacheEngineVersions": rows})


class Scaling:
    """Set on moto's `ApplicationAutoScalingResponse`."""

    def describe_scaling_activities(self: Any) -> str:
        """DescribeScalingActivities: nothing scales here by itself."""
        return json.dumps({"ScalingActivities": []})


class Trail:
    """Set on moto's `CloudTrailResponse`."""

    body: Any

    def lookup_events(self: Any) -> str:
        """LookupEvents: the changing calls of the emulator's journal; the journal names no resource."""
        asked = json.loads(self.body or "{}")
        start, end = float(asked.get("StartTime") or 0), float(asked.get("EndTime") or 2**40)
        found = []
        for line in _journal["path"].read_text().splitlines():
            call = json.loads(line)
            at = datetime.fromisoformat(call["at"])
            if call["operation"].startswith(_READS) or not start <= at.timestamp() <= end or call["status"] >= 400:
                continue
            source = _SOURCES.get(call["service"], call["service"])
            found.append(
                {
                    "EventId": call["request_id"] or line[:40],
                    "EventName": call["operation"],
                    "EventTime": at.astimezone(UTC).timestamp(),
                    "EventSource": f"{source}.amazonaws.com",
                    "ReadOnly": "false",
                    "Username": DEPLOYER if call["access_key"] == "rehearsal" else "stage",
                    "Resources": [],
                }
            )
        return json.dumps({"Events": found[::-1][:50]})


class Names:
    """Set on moto's `Route53`."""

    def test_dns_answer(self: Any) -> Any:
        """TestDNSAnswer: what the zone holds, an alias as the name that it stands for."""
        params = {k.lower(): v for k, v in self._get_params().items()}
        zone = route53_backends[self.current_account][self.partition].get_hosted_zone(params["hostedzoneid"])
        name, kind = params["recordname"].rstrip(".") + ".", params["recordtype"]
        mine = [r for r in zone.rrsets if r.name.rstrip(".") + "." == name and r.type == kind]
        data = [str(v) for r in mine for v in r.records] or [
            str(r.alias_target["DNSName"]) for r in mine if r.alias_target
        ]
        return ActionResult(
            {
                "Nameserver": "ns-1.emulator",
                "RecordName": name,
                "RecordType": kind,
                "RecordData": data,
                "ResponseCode": "NOERROR" if mine else "NXDOMAIN",
                "Protocol": "UDP",
            }
        )
