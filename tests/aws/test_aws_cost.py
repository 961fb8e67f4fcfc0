"""A month's cost: counted from what is there, priced by the API or a dated table, never guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from aws_recordings import Recorded

from cutover.aws import Call, Problem, Response
from cutover.aws.cost import GUIDE, Assumptions, Estimate, check_cost, estimate
from cutover.aws.cost.prices import HOURS, Listing, Price, Prices, known_price
from cutover.errors import UsageError
from cutover.finding import Status


class Replaying:
    """An account that answers from a recording; the price list as a test says."""

    def __init__(self, recorded: Recorded, responses: Mapping[str, Response] | None = None, **products: Any) -> None:
        self.migration, self.region = recorded.migration, recorded.migration.region
        self._stack = recorded.stack(responses)
        self.products = products
        self.asked: list[str] = []
        self.empty = responses is not None and all(r.problem is Problem.NOT_FOUND for r in responses.values())

    def call(self, service: str, operation: str, /, **arguments: Any) -> Response:
        """The recorded answer."""
        if service == "pricing":
            self.asked.append(arguments["ServiceCode"])
            rows = self.products.get(arguments["ServiceCode"])
            call = Call(service, operation, arguments)
            if rows is None:
                return Response(call, False, problem=Problem.DENIED, error_code="AccessDenied")
            return Response(call, True, {"PriceList": rows}, at="2026-11-23T10:00:00+00:00")
        answer = self._stack.reader.call(service, operation, **arguments)
        if self.empty and answer.error_code == "NotRecorded":  # asked only where the usual way there leads nowhere
            return Response(answer.call, False, problem=Problem.NOT_FOUND, error_code="NotFound")
        return answer


def reckon(recorded: Recorded, responses: Mapping[str, Response] | None = None, **options: Any) -> Estimate:
    """The estimate of a recording with the table alone."""
    account: Any = Replaying(recorded, responses)
    return estimate(account, prices=Prices(None, recorded.migration.region), **options)


def product(*usd: float) -> str:
    """One product of the price list."""
    rates = {str(n): {"unit": "Hrs", "pricePerUnit": {"USD": f"{u:.10f}"}} for n, u in enumerate(usd)}
    return json.dumps({"terms": {"OnDemand": {"t": {"priceDimensions": rates}}}})


def test_the_month_is_counted_from_what_is_there(recorded: Recorded) -> None:
    """Two tasks of 1 vCPU and 2 GB, a database in two zones, two cache nodes, two gateways."""
    found = reckon(recorded)
    by_part = found.by_part()
    tasks = by_part["tasks"]
    assert tasks == pytest.approx([n * HOURS * (0.04048 + 2 * 0.004445) for n in (2, 10, 20)], abs=0.02)
    assert by_part["database"][0] == pytest.approx(2 * (0.072 * HOURS + 100 * 0.115), abs=0.02)  # type: ignore[index]
    assert by_part["queue"][0] == pytest.approx(2 * 0.206 * 0.8 * HOURS, abs=0.02)  # type: ignore[index]
    assert {line.basis for line in found.lines if line.part == "network"} == {"there", "assumed"}
    assert not found.unknown
    assert found.totals == pytest.approx([sum(u[n] for u in by_part.values() if u) for n in range(3)], abs=0.05)


@pytest.mark.parametrize(
    ("selector", "path", "value", "part"),
    [
        ("rds.describe_db_instances", "DBInstances.0.DBInstanceClass", "db.r6g.large", "database"),
        ("rds.describe_db_instances", "DBInstances.0.AllocatedStorage", 500, "database"),
        ("rds.describe_db_instances", "DBInstances.0.MultiAZ", False, "database"),
        ("elasticache.describe_replication_groups", "ReplicationGroups.0.CacheNodeType", "cache.r6g.xlarge", "queue"),
        ("elasticache.describe_replication_groups", "ReplicationGroups.0.Engine", "redis", "queue"),
        ("ecs.describe_task_definition", "taskDefinition.cpu", "2048", "tasks"),
        ("ecs.describe_task_definition", "taskDefinition.memory", "4096", "tasks"),
    ],
)
def test_another_size_costs_another_sum(recorded: Recorded, selector: str, path: str, value: Any, part: str) -> None:
    """Each class, count and size is read, not assumed; nothing else moves."""
    before, after = reckon(recorded).by_part(), reckon(recorded, recorded.changed(selector, path, value)).by_part()
    assert after[part] != before[part]
    assert {p for p in before if before[p] != after[p]} <= {part, "replicas"}


def test_an_unknown_price_is_unknown_and_never_nothing(recorded: Recorded) -> None:
    """A class that the table lacks: its line has no sum, the total says that it is a lower bound, and a finding why."""
    odd = recorded.changed("rds.describe_db_instances", "DBInstances.0.DBInstanceClass", "db.x9.huge")
    found = reckon(recorded, odd)
    assert [line.usd for line in found.unknown if "db.x9.huge" in line.what] == [None] * len(found.unknown)
    assert found.unknown
    assert "at least" in found.sentence
    first, second = check_cost(found, 10_000)
    assert (first.status, second.status) == (Status.UNKNOWN, Status.UNKNOWN)
    assert "db.x9.huge" in second.observed


def test_what_could_not_be_read_is_unknown(recorded: Recorded) -> None:
    """Denied is not absent, and not free."""
    denied = recorded.failing("elasticache.describe_replication_groups", Problem.DENIED, "AccessDenied")
    found = reckon(recorded, denied)
    assert found.by_part()["queue"] is None
    assert "AccessDenied" in check_cost(found, 900)[1].observed


def test_what_is_not_there_yet_is_reckoned_as_planned(recorded: Recorded) -> None:
    """An account at T-7d is not free."""
    nothing = recorded.failing("*", Problem.NOT_FOUND, "NotFound")
    found = reckon(recorded, nothing)
    assert {line.basis for line in found.lines if line.part in ("tasks", "database", "queue")} == {"planned"}
    assert found.totals[0] > 500


def test_another_region_has_no_prices_of_this_one() -> None:
    """The table speaks of us-east-1."""
    assert Prices(None, "eu-central-1").of("nat") is None
    assert Prices(None, "us-east-1").of("nat") == known_price("nat")


def test_the_api_is_believed_before_the_table(recorded: Recorded) -> None:
    """One price: taken, with its day. Several, or none: the table. A refusal: not asked again."""
    listing = Listing("AmazonRDS", (("instanceType", "db.t3.medium"),))
    account: Any = Replaying(recorded, AmazonRDS=[product(0.5)])
    assert Prices(account, "us-east-1").of("rds db.t3.medium", listing) == Price(
        0.5, "Hrs", "AWS Price List API, AmazonRDS", date(2026, 11, 23)
    )
    for rows in ([product(0.5, 0.6)], [product(0.5), product(0.7)], [], ["no json"], [product(0.0)]):
        account = Replaying(recorded, AmazonRDS=rows)
        assert Prices(account, "us-east-1").of("rds db.t3.medium", listing) == known_price("rds db.t3.medium")
    refusing: Any = Replaying(recorded)
    prices = Prices(refusing, "us-east-1")
    for _ in range(3):
        assert prices.of("rds db.t3.medium", listing) == known_price("rds db.t3.medium")
    assert refusing.asked == ["AmazonRDS"]


def test_every_price_has_its_source_and_its_day() -> None:
    """A number without a source is a rumour."""
    from cutover.aws.cost.prices import _TABLE

    for key in _TABLE:
        price = known_price(key)
        assert price
        assert price.usd > 0
        assert price.source.startswith("https://aws.amazon.com/")
        assert price.day.year >= 2025
    assert known_price("cache valkey cache.r6g.large").usd == pytest.approx(0.206 * 0.8)  # type: ignore[union-attr]
    assert known_price("nothing of the kind") is None


def test_the_guides_table_is_the_guides() -> None:
    """Its eight lines and their sum."""
    assert sum(usd for _, usd, _ in GUIDE.values()) == 322
    assert len(GUIDE) == 8


def test_the_budget_is_held_against_the_least() -> None:
    """Over it: FAIL; under it: PASS; nobody stated one: not applicable."""
    line = Estimate((), (2, 10, 20), Assumptions(), "us-east-1")
    assert check_cost(line, 1)[0].status is Status.PASS
    assert check_cost(line, -1)[0].status is Status.FAIL
    assert check_cost(line, None)[0].status is Status.NOT_APPLICABLE


def test_assumptions_change_their_lines(recorded: Recorded) -> None:
    """300 GB through the gateways are not 50."""
    more = reckon(recorded, assumptions=Assumptions.of({"nat_gb": 300, "cdn_gb": 2024, "out_gb": 200}))
    before = reckon(recorded)
    assert more.totals[0] - before.totals[0] == pytest.approx(250 * 0.045 + 1000 * 0.085 + 100 * 0.09, abs=0.05)


@pytest.mark.parametrize("given", [{"gb": 1}, {"nat_gb": -1}, {"nat_gb": "5"}, {"nat_gb": float("nan")}, {"lcu": True}])
def test_an_assumption_that_is_none_is_refused(given: dict[str, Any]) -> None:
    """With the names that are known."""
    with pytest.raises(UsageError):
        Assumptions.of(given)
