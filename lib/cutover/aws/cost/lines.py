"""The lines of the month's cost, service by service: from what is really there, else as it is planned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cutover.aws.account import Account
from cutover.aws.cost.month import TASKS, Assumptions, Estimate, Line
from cutover.aws.cost.prices import HOURS, Listing, Prices, fargate_listings
from cutover.aws.requirements import Stack
from cutover.aws.requirements.alarms import Alarms
from cutover.aws.requirements.answers import Absent, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.backups import DrReplica, ReadReplica
from cutover.aws.requirements.balancer import Balancer
from cutover.aws.requirements.dns import Zone
from cutover.aws.requirements.ecs import TaskDefinition
from cutover.aws.requirements.instances import Machine
from cutover.aws.requirements.network import Endpoints, NatGateways
from cutover.aws.requirements.rds import Instance
from cutover.aws.requirements.redis import ReplicationGroup
from cutover.aws.requirements.secrets_manager import (
    AdminEmailSecret,
    AdminHashSecret,
    DatabaseSecret,
    OpenAiSecret,
    RedisSecret,
)
from cutover.aws.requirements.view import View


def estimate(
    account: Account,
    assumptions: Assumptions | None = None,
    *,
    tasks: tuple[int, ...] = TASKS,
    prices: Prices | None = None,
) -> Estimate:
    """The month's cost of what the account holds; what is not there yet is reckoned as planned.

    Args:
        account: read through the requirements' own views; nothing is asked twice.
        assumptions: traffic and volumes.
        tasks: at how many tasks.
        prices: where prices come from; the Pricing API and the table when None.
    """
    stack = Stack(account, account.migration, datetime.now(UTC))
    given = assumptions or Assumptions()
    book = _Book(stack, prices or Prices(account, account.region), tasks)
    _compute(book)
    _database(book, given)
    _queue(book)
    _edge(book, given)
    _network(book, given)
    _rest(book, given)
    return Estimate(tuple(book.lines), tasks, given, account.region)


class _Book:
    """Lines as they are written; what cannot be read becomes a line that says so."""

    def __init__(self, stack: Stack, prices: Prices, tasks: tuple[int, ...]) -> None:
        self.stack, self.prices, self.tasks = stack, prices, tasks
        self.lines: list[Line] = []

    def add(
        self, part: str, what: str, key: str, each: float | tuple[float, ...] | None, *, basis: str = "there",
        listing: Listing | None = None, times: float = 1.0, why: str = "",
    ) -> None:  # fmt: skip
        """One line: `each` units, the same at every count of tasks or one number for each; `times` as many."""
        many = each if each is None or isinstance(each, tuple) else (each,) * len(self.tasks)
        quantity = None if many is None else tuple(q * times for q in many)
        price = self.prices.of(key, listing)
        if price is None and not why:
            why = f"no price of {key} in {self.stack.migration.region} is known"
        self.lines.append(Line(part, what, basis, quantity, price, why))

    def find(self, kind: type[View]) -> tuple[View | None, str, str]:
        """A view, the basis (`there` or `planned`), and why it could not be read."""
        try:
            return self.stack.view(kind), "there", ""
        except NotThere:
            return None, "planned", ""
        except NotApplicable:
            return None, "none", ""
        except (Unreadable, Absent) as error:
            return None, "unread", str(getattr(error, "reason", error))


def _hours(book: _Book, part: str, what: str, key: str, found: tuple[View | None, str, str], count: float,
           listing: Listing | None = None) -> None:  # fmt: skip
    """So many things by the hour, unless they could not be read or do not concern this migration."""
    _, basis, why = found
    if basis == "none":
        return
    each = None if basis == "unread" else count * HOURS
    book.add(part, what, key, each, basis="planned" if basis == "unread" else basis, listing=listing, why=why)


def _compute(book: _Book) -> None:
    e, m = book.stack.expect, book.stack.migration
    if m.compute == "ec2":
        machine, basis, why = book.find(Machine)
        kind = str(machine.get("InstanceType")) if machine else e.ec2.types[0]
        each = None if basis == "unread" else tuple(n * HOURS for n in book.tasks)
        book.add("tasks", f"EC2 {kind}, one for each task", f"ec2 {kind}", each, basis=basis, why=why,
                 listing=Listing("AmazonEC2", (("instanceType", kind), ("operatingSystem", "Linux"),
                         ("tenancy", "Shared"), ("preInstalledSw", "NA"), ("capacitystatus", "Used"))))  # fmt: skip
        book.add("tasks", "their disks, 30 GB gp3", "ebs gp3", tuple(30.0 * n for n in book.tasks), basis="assumed")
        return
    task, basis, why = book.find(TaskDefinition)
    cpu = float(task.get("cpu") or e.ecs.cpu) if task else float(e.ecs.cpu)
    memory = float(task.get("memory") or e.ecs.memory) if task else float(e.ecs.memory)
    each_cpu = None if basis == "unread" else tuple(n * cpu / 1024 * HOURS for n in book.tasks)
    each_gb = None if basis == "unread" else tuple(n * memory / 1024 * HOURS for n in book.tasks)
    vcpu, gb = fargate_listings(m.region)
    book.add(
        "tasks", f"Fargate, {cpu / 1024:g} vCPU a task", "fargate vcpu", each_cpu, basis=basis, listing=vcpu, why=why
    )
    book.add(
        "tasks", f"Fargate, {memory / 1024:g} GB a task", "fargate memory", each_gb, basis=basis, listing=gb, why=why
    )


def _instance(kind: str, *, multi_az: bool) -> Listing:
    return Listing("AmazonRDS", (("instanceType", kind), ("databaseEngine", "PostgreSQL"),
                                 ("deploymentOption", "Multi-AZ" if multi_az else "Single-AZ")))  # fmt: skip


def _database(book: _Book, given: Assumptions) -> None:
    e = book.stack.expect.rds
    for part, view, words, planned in (
        ("database", Instance, "the instance", True),
        ("replicas", ReadReplica, "the read replica", bool(e.read_replica)),
        ("replicas", DrReplica, "the replica in the second region", bool(e.dr_replica)),
    ):
        if not planned:
            continue
        found, basis, why = book.find(view)
        kind = str(found.get("DBInstanceClass") or "") if found else ""
        kind = kind or (e.classes[0] if e.classes else "db.t3.medium")
        storage = float((found.get("AllocatedStorage") if found else None) or e.storage_gib)
        standby = bool(found.get("MultiAZ")) if found else view is Instance and e.multi_az
        two = "two zones" if standby else "one zone"
        each = None if basis == "unread" else HOURS
        listing = _instance(kind, multi_az=standby) if view is not DrReplica else None
        price = book.prices.of("", listing) if listing else None
        if price:  # the API's price is for both zones, the table's for one
            quantity = None if each is None else (each,) * len(book.tasks)
            book.lines.append(Line(part, f"{words}, {kind}, {two}", basis, quantity, price, why))
        else:
            book.add(
                part, f"{words}, {kind}, {two}", f"rds {kind}", each, basis=basis, why=why, times=2 if standby else 1
            )
        gb = None if basis == "unread" else storage
        book.add(part, f"its storage, {storage:g} GB gp3, {two}", "rds storage gp3", gb, basis=basis, why=why,
                 times=2 if standby else 1)  # fmt: skip
    if e.dr_replica:
        book.add("replicas", f"{given.replicated_gb:g} GB to the second region", "transfer to the second region",
                 given.replicated_gb, basis="assumed")  # fmt: skip


def _queue(book: _Book) -> None:
    e = book.stack.expect.redis
    found, basis, why = book.find(ReplicationGroup)
    kind = str(found.get("CacheNodeType") or "") if found else ""
    kind = kind or (e.node_types[0] if e.node_types else "cache.r6g.large")
    members = len(found.get("MemberClusters") or []) if found else e.members
    engine = str(found.get("Engine") or "redis").lower() if found else "redis"
    each = None if basis == "unread" else members * HOURS
    spelled = "Valkey" if engine == "valkey" else "Redis"
    listing = Listing("AmazonElastiCache", (("instanceType", kind), ("cacheEngine", spelled)))
    what = f"ElastiCache for {engine}, {members} × {kind}"
    book.add("queue", what, f"cache {engine} {kind}", each, basis=basis, why=why, listing=listing)


def _edge(book: _Book, given: Assumptions) -> None:
    e = book.stack.expect
    balancer = book.find(Balancer)
    _hours(book, "balancer", "the load balancer", "alb", balancer, 1)
    book.add("balancer", f"{given.lcu:g} capacity units", "alb lcu", given.lcu * HOURS, basis="assumed")
    if e.cdn.enabled:
        billed = max(0.0, given.cdn_gb - 1024)
        book.add(
            "cdn", f"CloudFront, {given.cdn_gb:g} GB, the first 1,024 free", "cloudfront data", billed, basis="assumed"
        )
    if not e.dns.external:
        _hours_free(book, "name", "the hosted zone", "zone", book.find(Zone), 1)


def _hours_free(book: _Book, part: str, what: str, key: str, found: tuple[View | None, str, str], count: float) -> None:
    """So many things by the month."""
    _, basis, why = found
    if basis != "none":
        book.add(part, what, key, None if basis == "unread" else count, basis=basis, why=why)


def _network(book: _Book, given: Assumptions) -> None:
    e = book.stack.expect
    gateways, basis, why = book.find(NatGateways)
    count = len(gateways.get("NatGateways") or []) if gateways else max(1, e.network.availability_zones)
    _hours(book, "network", f"{count} NAT gateways", "nat", (gateways, basis, why), count)
    book.add("network", f"{given.nat_gb:g} GB through them", "nat data", given.nat_gb, basis="assumed")
    balancer, its_basis, its_why = book.find(Balancer)
    zones = len(balancer.get("AvailabilityZones") or []) if balancer else 2
    unread = its_why or why
    _hours(book, "network", f"{count + zones} public IPv4 addresses (gateways, balancer)", "ipv4",
           (balancer, "unread" if unread else "planned" if "planned" in (basis, its_basis) else "there", unread),
           count + zones)  # fmt: skip
    endpoints, basis, why = book.find(Endpoints)
    rows: list[Any] = next((v for v in endpoints.data.values() if isinstance(v, list)), []) if endpoints else []
    interface = [r for r in rows if isinstance(r, Mapping) and r.get("VpcEndpointType") == "Interface"]
    if interface:
        places = sum(max(1, len(r.get("SubnetIds") or [])) for r in interface)
        _hours(
            book,
            "network",
            f"{len(interface)} interface endpoints",
            "interface endpoint",
            (endpoints, basis, why),
            places,
        )
    book.add("network", f"{given.out_gb:g} GB to visitors, the first 100 free", "transfer out",
             max(0.0, given.out_gb - 100), basis="assumed")  # fmt: skip


def _rest(book: _Book, given: Assumptions) -> None:
    e = book.stack.expect.secrets
    book.add("reports", f"{given.reports_gb:g} GB of reports", "s3 standard", given.reports_gb, basis="assumed")
    names = (DatabaseSecret, RedisSecret, OpenAiSecret, AdminEmailSecret, AdminHashSecret)
    looked = [book.find(n) for n in names]
    unread = next((why for _, basis, why in looked if basis == "unread"), "")
    count = len(names) + len(e.smtp)
    state = "unread" if unread else "there" if all(b == "there" for _, b, _ in looked) else "planned"
    _hours_free(book, "secrets", f"{count} secrets, and RDS's own", "secret", (None, state, unread), count + 1)
    alarms, basis, why = book.find(Alarms)
    simple = len((alarms and alarms.get("MetricAlarms")) or []) or 9
    composite = len((alarms and alarms.get("CompositeAlarms")) or []) or 1
    _hours_free(book, "monitoring", f"{simple} alarms", "alarm", (alarms, basis, why), simple)
    _hours_free(book, "monitoring", f"{composite} composite alarm", "composite alarm", (alarms, basis, why), composite)
    book.add("monitoring", f"{given.logs_gb:g} GB of log lines", "log ingestion", given.logs_gb, basis="assumed")
    book.add("monitoring", f"{given.logs_gb:g} GB of logs kept", "log storage", given.logs_gb, basis="assumed")
    book.add("monitoring", f"{given.metrics:g} custom metrics", "metric", given.metrics, basis="assumed")
