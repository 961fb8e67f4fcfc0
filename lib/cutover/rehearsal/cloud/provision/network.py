"""VPC, subnets of two tiers over two zones, ways out, and the chain of security groups (guide lines 84, 636-668)."""

from __future__ import annotations

from typing import Any

from cutover.rehearsal.cloud.provision.plan import REGION, ZONES, Hands, tags


def build(hands: Hands) -> None:
    """Everything that the other parts stand in."""
    ec2 = hands.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=_named("vpc", "shadowtwin-vpc"))["Vpc"]["VpcId"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=vpc, **{attribute: {"Value": True}})
    gateway = ec2.create_internet_gateway(TagSpecifications=_named("internet-gateway", "shadowtwin-igw"))
    igw = gateway["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
    public_table = _table(ec2, vpc, "shadowtwin-public", GatewayId=igw)
    public, private = [], []
    for number, zone in enumerate(ZONES):
        outside = _subnet(ec2, vpc, f"10.20.{number}.0/24", zone, "public")
        ec2.modify_subnet_attribute(SubnetId=outside, MapPublicIpOnLaunch={"Value": True})
        ec2.associate_route_table(RouteTableId=public_table, SubnetId=outside)
        address = ec2.allocate_address(Domain="vpc", TagSpecifications=_named("elastic-ip", f"shadowtwin-nat-{zone}"))
        nat = ec2.create_nat_gateway(
            SubnetId=outside,
            AllocationId=address["AllocationId"],
            TagSpecifications=_named("natgateway", f"shadowtwin-nat-{zone}"),
        )["NatGateway"]["NatGatewayId"]
        inside = _subnet(ec2, vpc, f"10.20.{10 + number}.0/24", zone, "private")
        table = _table(ec2, vpc, f"shadowtwin-private-{zone}", NatGatewayId=nat)
        ec2.associate_route_table(RouteTableId=table, SubnetId=inside)
        public.append(outside)
        private.append(inside)
    hands.made |= {"vpc": vpc, "public_subnets": public, "private_subnets": private}
    ec2.create_flow_logs(
        ResourceType="VPC",
        ResourceIds=[vpc],
        TrafficType="REJECT",
        LogDestinationType="s3",
        LogDestination="arn:aws:s3:::shadowtwin-audit",
        TagSpecifications=_named("vpc-flow-log", "shadowtwin-flow-log"),
    )
    ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        VpcEndpointType="Gateway",
        TagSpecifications=_named("vpc-endpoint", "shadowtwin-s3"),
    )
    ec2.enable_ebs_encryption_by_default()
    _groups(hands, ec2, vpc)


def _groups(hands: Hands, ec2: Any, vpc: str) -> None:
    """world → balancer → tasks → database and queue; the guide forgets the queue's, and --vpc-id on all of them."""
    made, literal = hands.made, hands.plan.literal
    where = {} if literal else {"VpcId": vpc}
    for name in ("alb", "ecs", "rds") if literal else ("alb", "ecs", "rds", "redis"):
        made[f"{name}_group"] = ec2.create_security_group(
            GroupName=f"shadowtwin-{name}-sg",
            Description=f"ShadowTwin {name}",
            **where,
            TagSpecifications=_named("security-group", f"shadowtwin-{name}-sg"),
        )["GroupId"]
    for port in (443, 80):
        _allow(ec2, made["alb_group"], port, IpRanges=[{"CidrIp": "0.0.0.0/0", "Description": "the world"}])
    _allow(ec2, made["ecs_group"], 5000, UserIdGroupPairs=[{"GroupId": made["alb_group"]}])
    database_port, redis_port = hands.plan.database.port or 5432, hands.plan.redis.port or 6379
    _allow(ec2, made["rds_group"], database_port, UserIdGroupPairs=[{"GroupId": made["ecs_group"]}])
    if not literal:
        _allow(ec2, made["redis_group"], redis_port, UserIdGroupPairs=[{"GroupId": made["ecs_group"]}])
    made.setdefault("redis_group", made["ecs_group"])


def _allow(ec2: Any, group: str, port: int, **source: Any) -> None:
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])


def _subnet(ec2: Any, vpc: str, cidr: str, zone: str, tier: str) -> str:
    subnet = ec2.create_subnet(
        VpcId=vpc,
        CidrBlock=cidr,
        AvailabilityZone=zone,
        TagSpecifications=_named("subnet", f"shadowtwin-{tier}-{zone}"),
    )
    return str(subnet["Subnet"]["SubnetId"])


def _table(ec2: Any, vpc: str, name: str, **target: str) -> str:
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=_named("route-table", name))
    found = str(table["RouteTable"]["RouteTableId"])
    ec2.create_route(RouteTableId=found, DestinationCidrBlock="0.0.0.0/0", **target)
    return found


def _named(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tags(Name=name)}]
