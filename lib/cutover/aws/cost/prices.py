"""What AWS charges on demand: the Pricing API where it answers, else this dated table of us-east-1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from cutover.aws.account import Account

HOURS = 730.0
"""Hours in a month, as AWS's own calculator counts."""
AS_OF = date(2025, 6, 1)
"""The day of the table below."""
TABLE_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit costs.

    Attributes:
        usd: for one unit.
        unit: `hour`, `GB-month`, `GB`, …
        source: the page or the API that says so.
        day: when it said so.
    """

    usd: float
    unit: str
    source: str
    day: date


@dataclass(frozen=True, slots=True)
class Listing:
    """How a price is asked for: the Pricing API's service and filters. Empty filters are never asked."""

    service: str = ""
    filters: tuple[tuple[str, str], ...] = ()


def _page(name: str) -> str:
    return f"https://aws.amazon.com/{name}/pricing/"


_TABLE: dict[str, tuple[float, str, str]] = {
    "fargate vcpu": (0.04048, "vCPU-hour", _page("fargate")),
    "fargate memory": (0.004445, "GB-hour", _page("fargate")),
    "ec2 t3.small": (0.0208, "hour", "https://aws.amazon.com/ec2/pricing/on-demand/"),
    "ec2 t3.medium": (0.0416, "hour", "https://aws.amazon.com/ec2/pricing/on-demand/"),
    "ec2 t3.large": (0.0832, "hour", "https://aws.amazon.com/ec2/pricing/on-demand/"),
    "ec2 c6i.xlarge": (0.17, "hour", "https://aws.amazon.com/ec2/pricing/on-demand/"),
    "ec2 c6i.2xlarge": (0.34, "hour", "https://aws.amazon.com/ec2/pricing/on-demand/"),
    "ebs gp3": (0.08, "GB-month", _page("ebs")),
    "rds db.t3.medium": (0.072, "hour", _page("rds/postgresql")),
    "rds db.t3.large": (0.145, "hour", _page("rds/postgresql")),
    "rds db.m6g.large": (0.159, "hour", _page("rds/postgresql")),
    "rds db.r6g.large": (0.225, "hour", _page("rds/postgresql")),
    "rds db.r6g.xlarge": (0.45, "hour", _page("rds/postgresql")),
    "rds storage gp3": (0.115, "GB-month", _page("rds/postgresql")),
    "cache redis cache.t3.small": (0.034, "hour", _page("elasticache")),
    "cache redis cache.r6g.large": (0.206, "hour", _page("elasticache")),
    "cache redis cache.r6g.xlarge": (0.411, "hour", _page("elasticache")),
    "cache redis cache.r7g.large": (0.219, "hour", _page("elasticache")),
    "alb": (0.0225, "hour", _page("elasticloadbalancing")),
    "alb lcu": (0.008, "LCU-hour", _page("elasticloadbalancing")),
    "nat": (0.045, "hour", _page("vpc")),
    "nat data": (0.045, "GB", _page("vpc")),
    "ipv4": (0.005, "hour", _page("vpc")),
    "interface endpoint": (0.01, "hour and zone", _page("privatelink")),
    "cloudfront data": (0.085, "GB after the first 1,024 of a month", _page("cloudfront")),
    "s3 standard": (0.023, "GB-month", _page("s3")),
    "secret": (0.40, "month", _page("secrets-manager")),
    "log ingestion": (0.50, "GB", _page("cloudwatch")),
    "log storage": (0.03, "GB-month", _page("cloudwatch")),
    "alarm": (0.10, "month", _page("cloudwatch")),
    "composite alarm": (0.50, "month", _page("cloudwatch")),
    "metric": (0.30, "month", _page("cloudwatch")),
    "dashboard": (3.00, "month after the first three", _page("cloudwatch")),
    "zone": (0.50, "month", _page("route53")),
    "transfer out": (0.09, "GB after the first 100 of a month", "https://aws.amazon.com/ec2/pricing/on-demand/"),
    "transfer to the second region": (0.02, "GB", "https://aws.amazon.com/ec2/pricing/on-demand/"),
}
"""Public on-demand prices of us-east-1, without discount, free tier of a new account, or tax. ElastiCache for Valkey is
20 % below Redis OSS on nodes (ElastiCache's pricing page); nothing else is derived."""
_VALKEY = 0.8


def known_price(key: str) -> Price | None:
    """The table's price; None when it has none: an unknown price is never nothing."""
    if key.startswith("cache valkey "):
        redis = known_price(key.replace("valkey", "redis", 1))
        return redis and Price(round(redis.usd * _VALKEY, 5), redis.unit, redis.source, redis.day)
    row = _TABLE.get(key)
    return Price(row[0], row[1], row[2], AS_OF) if row else None


def fargate_listings(region: str) -> tuple[Listing | None, Listing | None]:
    """How the Pricing API is asked for Fargate's vCPU and GB hours; None where its spelling is not known."""
    prefix = {"us-east-1": "USE1", "us-west-2": "USW2"}.get(region, "")
    if not prefix:
        return None, None
    kinds = ("vCPU-Hours:perCPU", "GB-Hours")
    vcpu, gb = (Listing("AmazonECS", (("usagetype", f"{prefix}-Fargate-{kind}"),)) for kind in kinds)
    return vcpu, gb


class Prices:
    """Prices for one account's region; each asked once.

    Args:
        account: whose Pricing API is asked; None asks the table alone.
        region: where the things stand; the table speaks of us-east-1, and is used for no other region.
    """

    def __init__(self, account: Account | None, region: str) -> None:
        self._account, self._region = account, region
        self._silent = account is None

    def of(self, key: str, listing: Listing | None = None) -> Price | None:
        """The price of one unit, None when nobody knows it."""
        if listing and listing.filters and not self._silent and (asked := self._ask(listing)):
            return asked
        return known_price(key) if self._region == TABLE_REGION else None

    def _ask(self, listing: Listing) -> Price | None:
        assert self._account is not None  # noqa: S101 - by construction
        filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in listing.filters]
        filters.append({"Type": "TERM_MATCH", "Field": "regionCode", "Value": self._region})
        answer = self._account.call(
            "pricing", "get_products", region="us-east-1", ServiceCode=listing.service, Filters=filters, MaxResults=100
        )
        if not answer.ok:
            self._silent = True  # denied or not there: it will not speak for the next line either
            return None
        day = date.fromisoformat(answer.at[:10])
        found = {p for row in answer.data.get("PriceList", []) for p in _on_demand(row)}
        if len(found) != 1:  # none, or several tiers or editions: which one is meant is not ours to guess
            return None
        usd, unit = found.pop()
        return Price(usd, unit, f"AWS Price List API, {listing.service}", day)


def _on_demand(row: Any) -> list[tuple[float, str]]:
    """The prices in one product of the price list, which is JSON within JSON."""
    try:
        product: Mapping[str, Any] = json.loads(row) if isinstance(row, str) else row
        terms = product["terms"]["OnDemand"].values()
        rates = [r for term in terms for r in term["priceDimensions"].values()]
        return [(float(r["pricePerUnit"]["USD"]), str(r["unit"])) for r in rates if float(r["pricePerUnit"]["USD"]) > 0]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
