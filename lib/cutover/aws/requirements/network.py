"""The VPC, its public and private subnets, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from cutover.aws.requirements.answers import Ask, NotThere, name_tag
from cutover.aws.requirements.requirement import (
    BLOCKER,
    FAIL,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    at_least,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import NetworkExpectation


class Vpc(View):
    """The stack's VPC, by its Name tag or its id."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """The default VPC is never taken for it."""
        wanted = stack.expect.network.vpc
        return Ask(
            "ec2",
            "describe_vpcs",
            what=f"VPC is named {wanted}",
            rows="Vpcs",
            match=lambda v: wanted in (v.get("VpcId"), name_tag(v)),
            subject="VpcId",
        )


class Subnets(View):
    """The VPC's subnets; public are those whose default route goes to an internet gateway."""

    needs = (Vpc,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Subnets with the route table that holds for each: its own, or the VPC's main one."""
        vpc = stack.view(Vpc)
        subnets, tables = stack.need("ec2", "describe_subnets"), stack.need("ec2", "describe_route_tables")
        mine = [s for s in subnets.data.get("Subnets", []) if s.get("VpcId") == vpc.subject]
        if not mine:
            raise NotThere(f"{vpc.subject} has no subnet")
        routes = [t for t in tables.data.get("RouteTables", []) if t.get("VpcId") == vpc.subject]
        rows = [{**s, "DefaultRoute": _default_route(s["SubnetId"], routes)} for s in mine]
        return cls({"Subnets": rows}, vpc.subject, vpc, subnets, tables)

    @property
    def public(self) -> list[Mapping[str, Any]]:
        """Subnets with a default route to an internet gateway."""
        return [s for s in self.rows("Subnets") if _gateway(s).startswith("igw-")]

    @property
    def private(self) -> list[Mapping[str, Any]]:
        """All others."""
        return [s for s in self.rows("Subnets") if not _gateway(s).startswith("igw-")]

    def ids(self, tier: str) -> set[str]:
        """The subnet ids of a tier, `public` or `private`."""
        return {str(s["SubnetId"]) for s in (self.public if tier == "public" else self.private)}

    def zones(self, ids: set[str]) -> set[str]:
        """The availability zones of these subnets."""
        return {str(s.get("AvailabilityZone")) for s in self.rows("Subnets") if s["SubnetId"] in ids}


def _default_route(subnet: str, tables: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    main: Mapping[str, Any] = {}
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet:
                return _default_of(table)
            if association.get("Main"):
                main = table
    return _default_of(main)


def _default_of(table: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((r for r in table.get("Routes", []) if r.get("DestinationCidrBlock") == "0.0.0.0/0"), {})


def _gateway(subnet: Mapping[str, Any]) -> str:
    return str(subnet["DefaultRoute"].get("GatewayId") or "")


@requirement("NET-01", title="The VPC exists", severity=BLOCKER, guide=84)
def vpc_is_available(vpc: Vpc) -> Outcome:
    """Everything stands in it."""
    return holds(vpc.text("State"), expected="available", remedy=f"aws ec2 describe-vpcs --vpc-ids {vpc.subject}")


@requirement("NET-02", title="Public and private subnets span the zones", severity=BLOCKER, guide=84)
def subnets_span_zones(subnets: Subnets, expect: NetworkExpectation) -> Outcome:
    """With one zone, its loss is the platform's loss, whatever Multi-AZ says."""
    seen = {tier: subnets.zones(subnets.ids(tier)) for tier in ("public", "private")}
    return judged(
        all(len(zones) >= expect.availability_zones for zones in seen.values()),
        expected=f"at least {expect.availability_zones} zones in each tier",
        observed=seen,
        remedy=f"aws ec2 create-subnet --vpc-id {subnets.subject} --availability-zone … --cidr-block …",
    )


@requirement("NET-03", title="Public subnets reach the internet gateway", severity=BLOCKER, guide=84)
def public_subnets_are_routed(subnets: Subnets) -> Outcome:
    """A balancer in a subnet without this route answers nobody."""
    live = [s["SubnetId"] for s in subnets.public if s["DefaultRoute"].get("State", "active") == "active"]
    return judged(
        bool(live) and len(live) == len(subnets.public),
        expected="0.0.0.0/0 to an internet gateway, active",
        observed=live or "no subnet has that route",
        remedy="aws ec2 create-route --route-table-id … --destination-cidr-block 0.0.0.0/0 --gateway-id igw-…",
    )


@requirement("NET-04", title="Private subnets have a route to the internet", severity=BLOCKER, guide=404)
def private_subnets_have_egress(subnets: Subnets) -> Outcome:
    """Tasks without public addresses fetch image and secrets and reach OpenAI through it; the guide never says so."""
    if not subnets.private:
        raise NotThere("no private subnet", remedy=f"aws ec2 create-subnet --vpc-id {subnets.subject} …")
    closed = [s["SubnetId"] for s in subnets.private if not _way_out(s)]
    return judged(
        not closed,
        expected="0.0.0.0/0 to a NAT gateway in every private subnet",
        observed=f"without one: {', '.join(closed)}" if closed else f"{len(subnets.private)} routed",
        remedy="aws ec2 create-route --route-table-id … --destination-cidr-block 0.0.0.0/0 --nat-gateway-id nat-…",
    )


def _way_out(subnet: Mapping[str, Any]) -> bool:
    route = subnet["DefaultRoute"]
    exits = ("NatGatewayId", "TransitGatewayId", "NetworkInterfaceId")
    return any(route.get(k) for k in exits) and route.get("State", "active") == "active"


def _of_vpc(stack: Stack, operation: str, rows: str, what: str, *, match: Callable[[Any], bool] | None = None) -> Ask:
    """A listing of EC2, of which the stack's VPC's are meant."""
    vpc = stack.view(Vpc)
    return Ask(
        "ec2",
        operation,
        what=f"{what} in {vpc.subject}",
        rows=rows,
        match=lambda r: r.get("VpcId") == vpc.subject and r.get("State") != "deleted" and (not match or match(r)),
        many=True,
        name=vpc.subject,
        after=(vpc,),
    )


class NatGateways(View):
    """The VPC's NAT gateways that are not deleted."""

    needs = (Vpc,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        return _of_vpc(
            stack,
            "describe_nat_gateways",
            "NatGateways",
            "NAT gateway",
        )


@requirement("NET-05", title="The NAT gateways are available", severity=HIGH, guide=404)
def nat_gateways_are_available(gateways: NatGateways) -> Outcome:
    """A gateway that failed looks like a container that hangs at start."""
    states = {g.get("NatGatewayId", ""): g.get("State", "") for g in gateways.rows("NatGateways")}
    return judged(
        all(s == "available" for s in states.values()),
        expected="all available",
        observed=states,
        remedy="aws ec2 describe-nat-gateways   # FailureMessage says why; one in each zone outlives a zone",
    )


@requirement("NET-06", title="Private subnets give no public addresses", severity=MEDIUM, guide=632)
def private_subnets_stay_private(subnets: Subnets) -> Outcome:
    """What gets a public address by accident is reachable by accident."""
    if not subnets.private:
        raise NotThere("no private subnet")
    public = [s["SubnetId"] for s in subnets.private if s.get("MapPublicIpOnLaunch")]
    return judged(
        not public,
        expected="none",
        observed=public,
        remedy="\n".join(
            f"aws ec2 modify-subnet-attribute --subnet-id {s} --no-map-public-ip-on-launch" for s in public
        ),
    )


class DnsHostnames(View):
    """The VPC's attribute enableDnsHostnames."""

    needs = (Vpc,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """One attribute."""
        vpc = stack.view(Vpc)
        wanted = {"VpcId": vpc.subject, "Attribute": "enableDnsHostnames"}
        return Ask("ec2", "describe_vpc_attribute", wanted, name=vpc.subject, after=(vpc,))


@requirement("NET-07", title="DNS resolution and DNS host names are enabled in the VPC", severity=MEDIUM, guide=84)
def dns_hostnames_are_on(attribute: DnsHostnames) -> Outcome:
    """The endpoints of RDS, ElastiCache and Secrets Manager are names."""
    return holds(attribute.flag("EnableDnsHostnames.Value"), expected=True)


class FlowLogs(View):
    """Flow logs of the VPC."""

    needs = (Vpc,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        vpc = stack.view(Vpc)
        return Ask(
            "ec2",
            "describe_flow_logs",
            what=f"flow log of {vpc.subject}",
            rows="FlowLogs",
            match=lambda f: f.get("ResourceId") == vpc.subject,
            many=True,
            name=vpc.subject,
            after=(vpc,),
        )


@requirement("NET-09", title="VPC flow logs are enabled", severity=LOW)
def flow_logs_are_active(logs: FlowLogs) -> Outcome:
    """A refused connection is found in them, or guessed at."""
    return holds({f.get("FlowLogStatus") for f in logs.rows("FlowLogs")}, expected={"ACTIVE"})


@requirement(
    "NET-11", title="Private subnets have free addresses for a full deployment", severity=MEDIUM, guide=542, absent=FAIL
)
def addresses_are_free(subnets: Subnets, expect: NetworkExpectation) -> Outcome:
    """Each task takes an address; a roll-out at full scale takes two for each."""
    if not subnets.private:
        raise NotThere("no private subnet")
    free = sum(int(s.get("AvailableIpAddressCount") or 0) for s in subnets.private)
    return at_least(free, expect.free_addresses, unit=" addresses", remedy="add larger private subnets")


class NetworkAcls(View):
    """The VPC's network ACLs."""

    needs = (Vpc,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """A VPC has one at least."""
        return _of_vpc(stack, "describe_network_acls", "NetworkAcls", "network ACL")


@requirement("NET-08", title="No network ACL blocks the stack's traffic", severity=LOW, guide=634)
def acls_let_traffic_through(acls: NetworkAcls, subnets: Subnets) -> Outcome:
    """A deny before the first allow looks like a security group that is right and does not work."""
    shut = []
    for acl in acls.rows("NetworkAcls"):
        mine = {a.get("SubnetId") for a in acl.get("Associations", [])} & {
            s["SubnetId"] for s in subnets.rows("Subnets")
        }
        for way in (False, True):
            entries = [e for e in acl.get("Entries", []) if bool(e.get("Egress")) is way and "CidrBlock" in e]
            first = min(entries, key=lambda e: int(e.get("RuleNumber", 32767)), default=None)
            if mine and (first is None or first.get("RuleAction") != "allow"):
                shut.append(f"{acl.get('NetworkAclId')} {'outbound' if way else 'inbound'}")
    return judged(
        not shut,
        expected="the first rule of each direction allows",
        observed=shut or f"{len(acls.rows('NetworkAcls'))} ACLs, none denies first",
        remedy="\n".join(f"aws ec2 describe-network-acls --network-acl-ids {s.split()[0]}" for s in shut),
    )


class Endpoints(View):
    """The VPC's endpoints."""

    needs = (Vpc,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        return _of_vpc(stack, "describe_vpc_endpoints", "VpcEndpoints", "VPC endpoint")


@requirement("NET-10", title="Image layers and reports reach S3 without the NAT gateway", severity=LOW, guide=404)
def s3_endpoint(endpoints: Endpoints, stack: Stack) -> Outcome:
    """Every image's layers lie in S3; a gateway endpoint costs nothing, the NAT gateway charges each gigabyte."""
    live = {
        str(e.get("ServiceName"))
        for e in endpoints.rows("VpcEndpoints")
        if str(e.get("State", "")).lower() == "available"
    }
    wanted = f"com.amazonaws.{stack.migration.region}.s3"
    return judged(wanted in live, expected=wanted, observed=live)
