"""The corrected architecture with everything that a requirement can look at, recorded in its three variants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aws_recordings import Cloud, Recorded, describe_migration, replaced
from breaks import Break

from cutover.aws import Account, Call, Response
from cutover.aws.problem import Problem
from cutover.aws.requirements import REGISTRY, Phase, Recording, Stack, check_stack, judge
from cutover.finding import Finding, Status
from cutover.migration import Migration

DOCKERFILE = """\
FROM node:24-alpine AS builder
WORKDIR /app
COPY package*.json ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:24-alpine AS production
WORKDIR /app
COPY package*.json ./
RUN npm ci --omit=dev
COPY --from=builder /app/dist ./dist
USER node
EXPOSE 5000
ENV NODE_ENV=production
CMD ["node", "dist/index.cjs"]
"""
SHA = "0" * 40
WORKFLOW = f"""\
name: Deploy
on:
  push: {{branches: [develop, staging]}}
  workflow_dispatch: {{}}
env:
  AWS_REGION: us-east-1
  ECR_REPOSITORY: shadowtwin
  ECS_CLUSTER: shadowtwin-cluster
  ECS_SERVICE: shadowtwin-service
permissions: {{id-token: write, contents: read}}
concurrency: deploy
jobs:
  test:
    steps: [{{uses: actions/checkout@{SHA}}}]
  deploy:
    needs: test
    environment: production
    steps:
      - uses: aws-actions/configure-aws-credentials@{SHA}
        with: {{role-to-assume: "arn:aws:iam::123456789012:role/deploy"}}
      - uses: aws-actions/amazon-ecs-deploy-task-definition@{SHA}
        with: {{wait-for-service-stability: true}}
"""
USER_DATA = (
    "#!/bin/bash\nnpm ci\nnpm run build\nnpm prune --omit=dev\npm2 startup\npm2 start dist/index.cjs\npm2 save\n"
)
EXPECT = {
    "ecs": {
        "rds": {"engine_major": 18, "read_replica": "shadowtwin-read-replica"},
        "alb": {"blue_target_group": "shadowtwin-tg-blue"},
    },
    "ec2": {"rds": {"engine_major": 18}},
    "node": {"rds": {"engine_major": 18}, "redis": {"single_node": "shadowtwin-redis"}},
}
"""What each variant expects."""


def furnish(cloud: Cloud) -> None:
    """Make what the stage itself does not need: a replica, an instance, a single node, a day of metrics."""
    account = Account(describe_migration(cloud.endpoint))
    facts, client = cloud.facts, account.client
    client("rds").create_db_instance_read_replica(
        DBInstanceIdentifier="shadowtwin-read-replica", SourceDBInstanceIdentifier="shadowtwin-prod"
    )
    client("elasticache").create_cache_cluster(
        CacheClusterId="shadowtwin-redis",
        CacheNodeType="cache.t3.small",
        NumCacheNodes=1,
        Engine="redis",
        EngineVersion="7.0",
        SecurityGroupIds=[facts["redis_group"]],
    )
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam, ec2, name = client("iam"), client("ec2"), "ShadowTwinEC2Role"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    machine = ec2.run_instances(
        ImageId=ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"],
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        SubnetId=facts["private_subnets"][0],
        SecurityGroupIds=[facts["ecs_group"]],
        IamInstanceProfile={"Name": name},
        MetadataOptions={"HttpTokens": "required"},
        UserData=USER_DATA,
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, "Encrypted": True}}],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "shadowtwin-app"}]}],
    )["Instances"][0]["InstanceId"]
    elb = client("elbv2")
    group = elb.create_target_group(
        Name="shadowtwin-machines", Protocol="HTTP", Port=5000, VpcId=facts["vpc"], TargetType="instance",
        HealthCheckPath="/api/health", HealthCheckIntervalSeconds=30, HealthCheckTimeoutSeconds=5,
        HealthyThresholdCount=2, UnhealthyThresholdCount=3, Matcher={"HttpCode": "200"},
    )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": machine}])
    _publish(account, facts)


def _publish(account: Account, facts: Mapping[str, Any]) -> None:
    balancer = {"LoadBalancer": facts["load_balancer"].partition(":loadbalancer/")[2]}
    service = {"ClusterName": "shadowtwin-cluster", "ServiceName": "shadowtwin-service"}
    rows = [
        ("AWS/ApplicationELB", "RequestCount", balancer, 1000.0),
        ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", balancer, 2.0),
        ("AWS/ApplicationELB", "TargetResponseTime", balancer, 0.3),
        ("AWS/ECS", "CPUUtilization", service, 20.0),
        ("AWS/RDS", "DatabaseConnections", {"DBInstanceIdentifier": "shadowtwin-prod"}, 20.0),
        ("AWS/ElastiCache", "CurrConnections", {"CacheClusterId": "shadowtwin-redis-cluster-001"}, 4.0),
    ]
    at = datetime.now(UTC) - timedelta(minutes=1)
    for namespace, name, dimensions, value in rows:
        about = {"MetricName": name, "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()]}
        account.client("cloudwatch").put_metric_data(
            Namespace=namespace, MetricData=[{**about, "Timestamp": at, "Value": value}]
        )


def variant(endpoint: str, name: str, files: Path) -> Migration:
    """The migration of one variant."""
    expect: dict[str, Any] = dict(EXPECT[name])
    if name == "ecs":
        (files / "Dockerfile").write_text(DOCKERFILE)
        (files / "deploy.yml").write_text(WORKFLOW)
        expect["build"] = {"dockerfile": str(files / "Dockerfile"), "workflow": str(files / "deploy.yml")}
    if name == "ec2":
        expect["alb"] = {"target_group": "shadowtwin-machines"}
    release = {"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/shadowtwin:1.0.0", "version": "1.0.0"}
    compute = "ec2" if name == "ec2" else "ecs"
    return describe_migration(endpoint, expect=expect, release=release, compute=compute)


@dataclass
class Variant:
    """One recorded variant, and of each requirement what it asks and what it says as recorded."""

    recorded: Recorded
    asked: dict[str, set[str]] = field(default_factory=dict)
    baseline: dict[str, Finding] = field(default_factory=dict)

    @classmethod
    def record(cls, endpoint: str, name: str, folder: Path) -> Variant:
        """Look once, then once more offline, to learn which calls each requirement stands on."""
        migration, raw, now = variant(endpoint, name, folder), folder / name, datetime.now(UTC)
        check_stack(Stack(Account(migration, raw=raw), migration, now, Phase.REVIEW, 17))
        responses = {r.call.key: r for r in map(_read, sorted(raw.glob("*.json")))}
        found = cls(Recorded(migration, raw, responses, now))
        found.recorded.responses = found.recorded.changed(
            "route53.list_resource_record_sets", "ResourceRecordSets.Type=CNAME.TTL", 60
        )
        for rule in REGISTRY.values():
            listener = Listening(found.recorded.responses)
            found.baseline[rule.id] = judge(rule, Stack(listener, migration, now, Phase.REVIEW, 17))
            found.asked[rule.id] = listener.heard
        return found

    def broken(self, one: Break) -> dict[str, Response]:
        """The responses with one attribute broken."""
        if one.value is Problem.NOT_FOUND:
            hit = {k: r for k, r in self.recorded.responses.items() if _meets(r, one.call)}
            assert hit, one
            gone = {"ok": False, "data": {}, "problem": Problem.NOT_FOUND, "error_code": "404", "message": "not found"}
            return self.recorded.responses | {k: replaced(r, **gone) for k, r in hit.items()}
        return self.recorded.changed(one.call, one.path, one.value)

    def flipped(self, one: Break) -> dict[str, Finding]:
        """Every requirement whose status changes when one attribute is broken."""
        responses, phase = self.broken(one), Phase(one.phase)
        touched = {k for k, r in responses.items() if self.recorded.responses[k] is not r}
        stack = Stack(Recording(responses), self.recorded.migration, self.recorded.now, phase, 17)
        before = self.baseline
        if phase is not Phase.REVIEW:
            whole = Stack(Recording(self.recorded.responses), self.recorded.migration, self.recorded.now, phase, 17)
            before = {i: judge(REGISTRY[i], whole) for i, keys in self.asked.items() if keys & touched}
        again = {i: judge(REGISTRY[i], stack) for i, keys in self.asked.items() if keys & touched}
        return {i: f for i, f in again.items() if f.status is not before[i].status}


class Listening(Recording):
    """Remembers what was asked of it."""

    def __init__(self, responses: Mapping[str, Response]) -> None:
        super().__init__(responses)
        self.heard: set[str] = set()

    def call(self, service: str, operation: str, /, **arguments: Any) -> Response:
        """The recorded response."""
        region = arguments.get("region")
        named = {k: v for k, v in arguments.items() if k not in ("region", "fresh")}
        self.heard.add(Call(service, operation, named, region).key)
        return super().call(service, operation, **arguments)


def _meets(response: Response, selector: str) -> bool:
    operation, _, argument = selector.partition("[")
    said = f"{response.call.service}.{response.call.operation}"
    return said == operation and (not argument or argument.rstrip("]") in json.dumps(dict(response.call.arguments)))


def _read(path: Path) -> Response:
    return Response.from_dict(json.loads(path.read_text()), evidence=path.name)


def representable(variants: Mapping[str, Variant]) -> dict[str, str]:
    """The requirements that pass in some variant of the emulated account, with that variant."""
    found: dict[str, str] = {}
    for name, one in variants.items():
        for identifier, finding in one.baseline.items():
            if finding.status is Status.PASS:
                found.setdefault(identifier, name)
    return found
