"""What everything stands in: buckets, network, security groups, roles (guide lines 84, 97-120, 636-668, corrected)."""

from __future__ import annotations

import json
from typing import Any

from cutover.aws.remedy.command import aws, put
from cutover.aws.remedy.step import Place, step


def document(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def report_bucket(place: Place) -> str:
    """The bucket of `target.reports`, unless the expectations name another."""
    return place.e.s3.bucket or place.m.target.reports.removeprefix("s3://").split("/")[0]


def audit_bucket(place: Place) -> str:
    """The bucket for trails and access logs; named after the account, for bucket names are the whole world's."""
    return f"{place.m.name}-audit-{place.m.account_id}"


def _bucket(place: Place, bucket: str, *statements: dict[str, Any]) -> str:
    home = (
        {} if place.m.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": place.m.region}}
    )
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}
    expiry = {
        "ID": "old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    arns = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    tls = {"Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": arns,
           "Condition": {"Bool": {"aws:SecureTransport": "false"}}}  # fmt: skip
    settings: list[tuple[str, dict[str, Any]]] = [
        ("create_bucket", home),
        ("put_public_access_block", {"PublicAccessBlockConfiguration": dict.fromkeys(closed, True)}),
        ("put_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
        ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [expiry]}}),
        ("put_bucket_policy", {"Policy": document(tls, *statements)}),
        ("put_bucket_tagging", {"Tagging": {"TagSet": place.tags}}),
    ]
    return "\n".join(put("s3", operation, {"Bucket": bucket, **given}) for operation, given in settings)


@step("reports", "the bucket of the reports, private, versioned, over TLS alone", mends="S3-01..06", gives="REPORTS")
def reports(place: Place) -> str:
    """The guide names the bucket and never makes it."""
    return _bucket(place, report_bucket(place))


@step("audit", "the bucket of trails and access logs", mends="", gives="AUDIT",
      probe="aws s3api head-bucket --bucket {audit}")  # fmt: skip
def audit(place: Place) -> str:
    """CloudTrail, the balancer and flow logs write there."""
    bucket = audit_bucket(place)
    arns = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    services = ["cloudtrail.amazonaws.com", "delivery.logs.amazonaws.com",
                "logdelivery.elasticloadbalancing.amazonaws.com"]  # fmt: skip
    deliver = {"Sid": "Deliver", "Effect": "Allow", "Principal": {"Service": services},
               "Action": ["s3:GetBucketAcl", "s3:PutObject"], "Resource": arns,
               "Condition": {"StringEquals": {"aws:SourceAccount": place.m.account_id}}}  # fmt: skip
    return _bucket(place, bucket, deliver)


@step("vpc", "the VPC", mends="NET-01 NET-07", gives="VPC")
def vpc(place: Place) -> str:
    """10.20.0.0/16: choose another range when it meets one of yours."""
    name = place.e.network.vpc
    made = {"CidrBlock": "10.20.0.0/16", "TagSpecifications": place.named("vpc", name)}
    lines = [aws("ec2", "create_vpc", made, query="Vpc.VpcId", into="VPC")]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        lines.append(aws("ec2", "modify_vpc_attribute", {"VpcId": "$VPC", attribute: {"Value": True}}))
    return "\n".join(lines)


@step(
    "subnets",
    "public and private subnets over two zones, each with its way out",
    mends="NET-02..06 NET-08 NET-11",
    needs="vpc",
    gives="PUBLIC PRIVATE",
)
def subnets(place: Place) -> str:
    """One NAT gateway in each zone: a single one falls with its zone, and takes the tasks of the other along."""
    vpc = place.id("VPC")
    lines = [
        aws("ec2", "create_internet_gateway", {"TagSpecifications": place.named("internet-gateway", "shadowtwin-igw")},
            query="InternetGateway.InternetGatewayId", into="IGW"),
        aws("ec2", "attach_internet_gateway", {"InternetGatewayId": "$IGW", "VpcId": vpc}),
        *_table(place, "PUBLIC_TABLE", "shadowtwin-public", GatewayId="$IGW"),
        "PUBLIC='' PRIVATE=''",
    ]  # fmt: skip
    for number in range(max(2, place.e.network.availability_zones)):
        zone = f"{place.m.region}{'abcdef'[number]}"
        address = {"Domain": "vpc", "TagSpecifications": place.named("elastic-ip", f"shadowtwin-nat-{zone}")}
        gateway = {"SubnetId": "$OUTSIDE", "AllocationId": "$ADDRESS",
                   "TagSpecifications": place.named("natgateway", f"shadowtwin-nat-{zone}")}  # fmt: skip
        lines += [
            _subnet(place, "OUTSIDE", "public", f"10.20.{number}.0/24", zone),
            aws("ec2", "modify_subnet_attribute", {"SubnetId": "$OUTSIDE", "MapPublicIpOnLaunch": {"Value": True}}),
            put("ec2", "associate_route_table", {"RouteTableId": "$PUBLIC_TABLE", "SubnetId": "$OUTSIDE"}),
            aws("ec2", "allocate_address", address, query="AllocationId", into="ADDRESS"),
            aws("ec2", "create_nat_gateway", gateway, query="NatGateway.NatGatewayId", into="NAT"),
            'aws ec2 wait nat-gateway-available --nat-gateway-ids "$NAT"',
            _subnet(place, "INSIDE", "private", f"10.20.{10 + number}.0/24", zone),
            *_table(place, "TABLE", f"shadowtwin-private-{zone}", NatGatewayId="$NAT"),
            put("ec2", "associate_route_table", {"RouteTableId": "$TABLE", "SubnetId": "$INSIDE"}),
            'PUBLIC="$PUBLIC $OUTSIDE" PRIVATE="$PRIVATE $INSIDE"',
        ]
    return "\n".join(lines)


def _subnet(place: Place, variable: str, tier: str, cidr: str, zone: str) -> str:
    made = {"VpcId": place.id("VPC"), "CidrBlock": cidr, "AvailabilityZone": zone,
            "TagSpecifications": place.named("subnet", f"shadowtwin-{tier}-{zone}")}  # fmt: skip
    return aws("ec2", "create_subnet", made, query="Subnet.SubnetId", into=variable)


def _table(place: Place, variable: str, name: str, **target: str) -> list[str]:
    made = {"VpcId": place.id("VPC"), "TagSpecifications": place.named("route-table", name)}
    route = {"RouteTableId": f"${variable}", "DestinationCidrBlock": "0.0.0.0/0", **target}
    return [
        aws("ec2", "create_route_table", made, query="RouteTable.RouteTableId", into=variable),
        put("ec2", "create_route", route),
    ]


@step("flow-logs", "flow logs of refused connections", mends="NET-09", needs="vpc audit", gives="FLOW_LOGS")
def flow_logs(place: Place) -> str:
    """A refused connection is found in them, or guessed at."""
    return put("ec2", "create_flow_logs", {
        "ResourceType": "VPC", "ResourceIds": [place.id("VPC")], "TrafficType": "REJECT", "LogDestinationType": "s3",
        "LogDestination": f"arn:aws:s3:::{audit_bucket(place)}",
        "TagSpecifications": place.named("vpc-flow-log", "shadowtwin-flow-log")})  # fmt: skip


@step("endpoint", "S3 without the NAT gateway", mends="NET-10", needs="vpc", gives="S3_ENDPOINT",
      probe="aws ec2 describe-vpc-endpoints --filters Name=vpc-id,Values=$VPC "
      "--query VpcEndpoints[0].VpcEndpointId --output text | grep -q vpce-")  # fmt: skip
def endpoint(place: Place) -> str:
    """A gateway endpoint costs nothing; NAT charges every gigabyte."""
    return put("ec2", "create_vpc_endpoint", {
        "VpcId": place.id("VPC"), "ServiceName": f"com.amazonaws.{place.m.region}.s3", "VpcEndpointType": "Gateway",
        "TagSpecifications": place.named("vpc-endpoint", "shadowtwin-s3")})  # fmt: skip


def _group(place: Place, variable: str, name: str, what: str) -> str:
    made = {"GroupName": name, "Description": what, "VpcId": place.id("VPC"),
            "TagSpecifications": place.named("security-group", name)}  # fmt: skip
    return aws("ec2", "create_security_group", made, query="GroupId", into=variable)


def _open(place: Place, variable: str, port: int, source: dict[str, Any]) -> str:
    rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **source}
    return put("ec2", "authorize_security_group_ingress", {"GroupId": f"${variable}", "IpPermissions": [rule]})


@step("alb-group", "the balancer's security group: 443, and 80 for the redirect", mends="SG-01 SG-02", needs="vpc",
      gives="ALB_GROUP")  # fmt: skip
def alb_group(place: Place) -> str:
    """The guide's command has no --vpc-id: the group would land in the default VPC."""
    world = {"IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "the world"}]}
    return "\n".join([_group(place, "ALB_GROUP", place.e.network.alb_group, "ShadowTwin balancer"),
                      *(_open(place, "ALB_GROUP", port, world) for port in (443, 80))])  # fmt: skip


def _from(place: Place, variable: str) -> dict[str, Any]:
    return {"UserIdGroupPairs": [{"GroupId": place.id(variable)}]}


@step("ecs-group", "the tasks' security group: from the balancer alone", mends="SG-03", needs="alb-group",
      gives="ECS_GROUP")  # fmt: skip
def ecs_group(place: Place) -> str:
    """Closed, every health check fails; wider, TLS can be bypassed."""
    return "\n".join([_group(place, "ECS_GROUP", place.e.network.ecs_group, "ShadowTwin tasks"),
                      _open(place, "ECS_GROUP", place.e.ecs.port, _from(place, "ALB_GROUP"))])  # fmt: skip


@step("rds-group", "the database's security group: from the tasks alone", mends="SG-04", needs="ecs-group",
      gives="RDS_GROUP")  # fmt: skip
def rds_group(place: Place) -> str:
    """Closed, the application cannot start; wider, the data stands open."""
    return "\n".join([_group(place, "RDS_GROUP", place.e.network.rds_group, "ShadowTwin database"),
                      _open(place, "RDS_GROUP", place.e.rds.port, _from(place, "ECS_GROUP"))])  # fmt: skip


@step("redis-group", "the queue's security group, which the guide forgets", mends="SG-05..07", needs="rds-group",
      gives="REDIS_GROUP")  # fmt: skip
def redis_group(place: Place) -> str:
    """Without it no job is ever queued."""
    return "\n".join([_group(place, "REDIS_GROUP", place.e.network.redis_group, "ShadowTwin queue"),
                      _open(place, "REDIS_GROUP", place.e.redis.port, _from(place, "ECS_GROUP"))])  # fmt: skip


def _role(place: Place, name: str, service: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return put("iam", "create_role", {
        "RoleName": name, "AssumeRolePolicyDocument": document(trust), "Tags": place.tags})  # fmt: skip


def _attach(role: str, policy: str) -> str:
    arn = f"arn:aws:iam::aws:policy/service-role/{policy}"
    return aws("iam", "attach_role_policy", {"RoleName": role, "PolicyArn": arn})


@step("execution-role", "the role that fetches image and secrets", mends="IAM-01..03", gives="EXECUTION_ROLE")
def execution_role(place: Place) -> str:
    """The policy names this migration's secrets, not `*`."""
    name, m = place.e.ecs.execution_role, place.m
    arn = f"arn:aws:secretsmanager:{m.region}:{m.account_id}:secret:{m.name}/*"
    read = {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": arn}
    return "\n".join([
        _role(place, name, "ecs-tasks.amazonaws.com"),
        _attach(name, place.e.iam.execution_policy),
        aws("iam", "put_role_policy",
            {"RoleName": name, "PolicyName": f"{m.name}-secrets", "PolicyDocument": document(read)})])  # fmt: skip


@step("task-role", "the role that the application acts with", mends="IAM-04", gives="TASK_ROLE")
def task_role(place: Place) -> str:
    """The reports, and nothing else."""
    name, bucket = place.e.ecs.task_role, report_bucket(place)
    allow = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
         "Resource": f"arn:aws:s3:::{bucket}/*"},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": f"arn:aws:s3:::{bucket}"},
    ]  # fmt: skip
    return "\n".join([
        _role(place, name, "ecs-tasks.amazonaws.com"),
        aws("iam", "put_role_policy", {
            "RoleName": name, "PolicyName": f"{place.m.name}-reports",
            "PolicyDocument": document(*allow)})])  # fmt: skip


@step("monitoring-role", "the role of enhanced monitoring", mends="", gives="MONITORING_ROLE",
      probe="aws iam get-role --role-name rds-monitoring-role")  # fmt: skip
def monitoring_role(place: Place) -> str:
    """RDS writes the operating system's metrics with it."""
    return "\n".join([
        _role(place, "rds-monitoring-role", "monitoring.rds.amazonaws.com"),
        _attach("rds-monitoring-role", "AmazonRDSEnhancedMonitoringRole")])  # fmt: skip


@step("pipeline", "the provider through which the pipeline signs in without a key", mends="IAM-06", gives="OIDC")
def pipeline(place: Place) -> str:
    """The guide's workflow keeps a key that never ends."""
    return put("iam", "create_open_id_connect_provider", {
        "Url": f"https://{place.e.iam.oidc_provider}", "ClientIDList": ["sts.amazonaws.com"],
        "Tags": place.tags})  # fmt: skip
