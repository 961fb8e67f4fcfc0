"""VPC, subnets of two tiers over two zones, ways out, and the chain of security groups (guide lines 84, 636-668)."""

from __future__ import annotations

from typing import Any

from cutover.aws.blueprint.operation import Call, Let, Node, Wait, call, resource, several
from cutover.aws.blueprint.site import Site


@resource("vpc", "the VPC", fixes="NET-01 NET-07", gives="VPC")
def vpc(site: Site) -> list[Call]:
    """10.20.0.0/16: choose another range when it meets one of yours."""
    named = site.named("vpc", site.expect.network.vpc)
    on = {"Value": True}
    return [
        call("ec2", "create_vpc", into="VPC", query="Vpc.VpcId", CidrBlock="10.20.0.0/16", TagSpecifications=named),
        call("ec2", "modify_vpc_attribute", VpcId="$VPC", EnableDnsSupport=on),
        call("ec2", "modify_vpc_attribute", fixes="NET-07", VpcId="$VPC", EnableDnsHostnames=on),
    ]


@resource(
    "subnets",
    "public and private subnets over two zones, each with its way out",
    fixes="NET-02..06 NET-08 NET-11",
    needs="vpc",
    gives="PUBLIC PRIVATE",
)
def subnets(site: Site) -> list[Node]:
    """One NAT gateway in each zone: a single one falls with its zone, and takes the tasks of the other along."""
    named = site.named("internet-gateway", "shadowtwin-igw")
    nodes: list[Node] = [
        call("ec2", "create_internet_gateway", into="IGW", query="InternetGateway.InternetGatewayId",
             TagSpecifications=named),
        call("ec2", "attach_internet_gateway", InternetGatewayId="$IGW", VpcId="$VPC"),
        *_table(site, "PUBLIC_TABLE", "shadowtwin-public", GatewayId="$IGW"),
    ]  # fmt: skip
    letters = "ABCDEF"[: max(2, site.expect.network.availability_zones)]
    for number, letter in enumerate(letters):
        zone, outside, inside = f"{site.region}{letter.lower()}", f"PUBLIC_{letter}", f"PRIVATE_{letter}"
        nodes += [
            _subnet(site, outside, "public", f"10.20.{number}.0/24", zone),
            call("ec2", "modify_subnet_attribute", SubnetId=f"${outside}", MapPublicIpOnLaunch={"Value": True}),
            call("ec2", "associate_route_table", RouteTableId="$PUBLIC_TABLE", SubnetId=f"${outside}"),
            call("ec2", "allocate_address", into="ADDRESS", query="AllocationId", Domain="vpc",
                 TagSpecifications=site.named("elastic-ip", f"shadowtwin-nat-{zone}")),
            call("ec2", "create_nat_gateway", into="NAT", query="NatGateway.NatGatewayId", SubnetId=f"${outside}",
                 AllocationId="$ADDRESS", TagSpecifications=site.named("natgateway", f"shadowtwin-nat-{zone}")),
            Wait("ec2", "nat_gateway_available", {"NatGatewayIds": ["$NAT"]}),
            _subnet(site, inside, "private", f"10.20.{10 + number}.0/24", zone),
            *_table(site, "TABLE", f"shadowtwin-private-{zone}", NatGatewayId="$NAT"),
            call("ec2", "associate_route_table", RouteTableId="$TABLE", SubnetId=f"${inside}"),
        ]  # fmt: skip
    for tier in ("PUBLIC", "PRIVATE"):
        nodes.append(Let(tier, " ".join(f"${tier}_{letter}" for letter in letters)))
    return nodes


def _subnet(site: Site, variable: str, tier: str, cidr: str, zone: str) -> Call:
    named = site.named("subnet", f"shadowtwin-{tier}-{zone}")
    return call("ec2", "create_subnet", into=variable, query="Subnet.SubnetId", VpcId="$VPC", CidrBlock=cidr,
                AvailabilityZone=zone, TagSpecifications=named)  # fmt: skip


def _table(site: Site, variable: str, name: str, **target: Any) -> list[Call]:
    named = site.named("route-table", name)
    return [
        call("ec2", "create_route_table", into=variable, query="RouteTable.RouteTableId", VpcId="$VPC",
             TagSpecifications=named),
        call("ec2", "create_route", RouteTableId=f"${variable}", DestinationCidrBlock="0.0.0.0/0", **target),
    ]  # fmt: skip


@resource("flow-logs", "flow logs of refused connections", fixes="NET-09", needs="vpc audit", gives="FLOW_LOGS")
def flow_logs(site: Site) -> list[Call]:
    """A refused connection is found in them, or guessed at."""
    return [
        call("ec2", "create_flow_logs", ResourceType="VPC", ResourceIds=["$VPC"], TrafficType="REJECT",
             LogDestinationType="s3", LogDestination=f"arn:aws:s3:::{site.audit}",
             TagSpecifications=site.named("vpc-flow-log", "shadowtwin-flow-log"))
    ]  # fmt: skip


def _endpoints(site: Site) -> Call:
    return call("ec2", "describe_vpc_endpoints", Filters=[{"Name": "vpc-id", "Values": ["$VPC"]}])


@resource("endpoint", "S3 without the NAT gateway", fixes="NET-10", needs="subnets", gives="S3_ENDPOINT",
          probe=_endpoints, found="vpce-")  # fmt: skip
def endpoint(site: Site) -> list[Call]:
    """A gateway endpoint costs nothing; NAT charges every gigabyte. It works through the private route tables."""
    ours = [{"Name": "vpc-id", "Values": ["$VPC"]}]
    return [
        call("ec2", "describe_route_tables", into="TABLES", query="RouteTables[?Routes[?NatGatewayId]].RouteTableId",
             Filters=ours),
        call("ec2", "create_vpc_endpoint", VpcId="$VPC", ServiceName=f"com.amazonaws.{site.region}.s3",
             VpcEndpointType="Gateway", RouteTableIds=several("TABLES"),
             TagSpecifications=site.named("vpc-endpoint", "shadowtwin-s3")),
    ]  # fmt: skip


def _group(site: Site, variable: str, name: str, what: str) -> Call:
    named = site.named("security-group", name)
    return call("ec2", "create_security_group", into=variable, query="GroupId", GroupName=name, Description=what,
                VpcId="$VPC", TagSpecifications=named)  # fmt: skip


def _open(variable: str, port: int, **source: Any) -> Call:
    rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}
    return call("ec2", "authorize_security_group_ingress", GroupId=f"${variable}", IpPermissions=[rule])


@resource("alb-group", "the balancer's security group: 443, and 80 for the redirect", fixes="SG-01 SG-02", needs="vpc",
          gives="ALB_GROUP")  # fmt: skip
def alb_group(site: Site) -> list[Call]:
    """The guide's command has no --vpc-id: the group would land in the default VPC."""
    world = [{"CidrIp": "0.0.0.0/0", "Description": "the world"}]
    made = _group(site, "ALB_GROUP", site.expect.network.alb_group, "ShadowTwin balancer")
    return [made, *(_open("ALB_GROUP", port, IpRanges=world) for port in (443, 80))]


@resource("ecs-group", "the tasks' security group: from the balancer alone", fixes="SG-03", needs="alb-group",
          gives="ECS_GROUP")  # fmt: skip
def ecs_group(site: Site) -> list[Call]:
    """Closed, every health check fails; wider, TLS can be bypassed."""
    made = _group(site, "ECS_GROUP", site.expect.network.ecs_group, "ShadowTwin tasks")
    return [made, _open("ECS_GROUP", site.expect.ecs.port, UserIdGroupPairs=[{"GroupId": "$ALB_GROUP"}])]


@resource("rds-group", "the database's security group: from the tasks alone", fixes="SG-04", needs="ecs-group",
          gives="RDS_GROUP")  # fmt: skip
def rds_group(site: Site) -> list[Call]:
    """Closed, the application cannot start; wider, the data stands open."""
    made = _group(site, "RDS_GROUP", site.expect.network.rds_group, "ShadowTwin database")
    return [made, _open("RDS_GROUP", site.expect.rds.port, UserIdGroupPairs=[{"GroupId": "$ECS_GROUP"}])]


@resource("redis-group", "the queue's security group, which the guide omits", fixes="SG-05..07", needs="rds-group",
          gives="REDIS_GROUP")  # fmt: skip
def redis_group(site: Site) -> list[Call]:
    """Without it no job is ever queued."""
    made = _group(site, "REDIS_GROUP", site.expect.network.redis_group, "ShadowTwin queue")
    return [made, _open("REDIS_GROUP", site.expect.redis.port, UserIdGroupPairs=[{"GroupId": "$ECS_GROUP"}])]


PRIVATE, PUBLIC = several("PRIVATE"), several("PUBLIC")
"""The ids of all private, and of all public subnets."""
