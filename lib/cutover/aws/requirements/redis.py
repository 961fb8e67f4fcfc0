"""The ElastiCache replication group that holds BullMQ's queues."""

from __future__ import annotations

import re
from typing import Self

from cutover.aws.requirements.answers import Absent, Ask, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.field import rows_of
from cutover.aws.requirements.network import Subnets
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
    serves,
)
from cutover.aws.requirements.security_groups import RedisGroup
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.aws.states import GROUP
from cutover.expectations import RedisExpectation

field = rows_of(__name__).field


class ReplicationGroup(View):
    """The replication group."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By its id."""
        if stack.expect.redis.single_node:
            raise NotApplicable("the queue is a single node (expect.redis.single_node): no replication group")
        name = stack.expect.redis.replication_group
        return Ask(
            "elasticache",
            "describe_replication_groups",
            {"ReplicationGroupId": name},
            f"replication group {name}",
            rows="ReplicationGroups",
            subject="ARN",
            name=name,
        )

    @property
    def name(self) -> str:
        """The id."""
        return self.text("ReplicationGroupId")

    @property
    def primary(self) -> str:
        """The address of the primary; of the configuration endpoint in cluster mode."""
        return str(self.get("NodeGroups.0.PrimaryEndpoint.Address") or self.text("ConfigurationEndpoint.Address"))


@requirement("RED-01", title="The replication group is available", severity=BLOCKER, guide=430)
def is_available(redis: ReplicationGroup) -> Outcome:
    """Without the queue no report is made."""
    return serves(
        redis.text("Status"),
        GROUP,
        remedy=f"aws elasticache wait replication-group-available --replication-group-id {redis.name}",
    )


# fmt: off
field("RED-02", ReplicationGroup, "AutomaticFailover", equals="enabled", severity=BLOCKER, guide=432,
      title="Failover is automatic", why="A lost primary would otherwise stop the queue until someone wakes.")
field("RED-03", ReplicationGroup, "MultiAZ", equals="enabled", severity=BLOCKER, guide=433, absent=FAIL,
      title="Multi-AZ is enabled for the replication group", why="Failover within a lost zone fails too.")
field("RED-04", ReplicationGroup, "MemberClusters", at_least=lambda e: e.redis.members, unit=" members",
      severity=BLOCKER, guide=434, title="The replication group has its members",
      why="A primary without a replica has nothing to fail over to.",
      remedy=lambda redis, e: f"aws elasticache increase-replica-count --replication-group-id {redis.name} "
      f"--new-replica-count {max(e.redis.members - 1, 1)} --apply-immediately")
field("RED-05", ReplicationGroup, "CacheNodeType", one_of=lambda e: e.redis.node_types, severity=HIGH, guide=435,
      title="The node type is one of the planned",
      why="noeviction refuses writes when the memory is full: size is what keeps the queue open.")
field("RED-06", ReplicationGroup, "AtRestEncryptionEnabled", equals=True, severity=BLOCKER, guide=440, absent=FAIL,
      title="The queue is encrypted at rest", why="It cannot be switched on later: jobs hold customers' data.",
      remedy="create the group again with --at-rest-encryption-enabled and move the queues")
field("RED-10", ReplicationGroup, "ClusterEnabled", equals=lambda e: e.redis.cluster_mode, severity=MEDIUM, guide=426,
      title="Cluster mode is what the application expects",
      why="BullMQ with cluster mode on needs a hash-tagged prefix, or its scripts fail.")
field("RED-11", ReplicationGroup, "SnapshotRetentionLimit", at_least=lambda e: e.redis.snapshot_retention_days,
      unit=" days", severity=MEDIUM, title="Snapshots of the queue are kept",
      why="A flushed queue is otherwise gone for good.")
# fmt: on


@requirement("RED-07", title="The queue is encrypted in transit", severity=BLOCKER, guide=441, absent=FAIL)
def transit_encryption(redis: ReplicationGroup, expect: RedisExpectation) -> Outcome:
    """AUTH needs it, and jobs hold customers' data."""
    if not expect.transit_encryption:
        raise NotApplicable("expect.redis.transit_encryption is false: this environment speaks plain Redis")
    return holds(redis.flag("TransitEncryptionEnabled"), expected=True)


@requirement("RED-08", title="Unencrypted connections are refused", severity=MEDIUM, guide=441)
def transit_mode(redis: ReplicationGroup, expect: RedisExpectation) -> Outcome:
    """In mode `preferred` a client may still speak in clear."""
    if not expect.transit_encryption:
        raise NotApplicable("expect.redis.transit_encryption is false")
    return holds(redis.text("TransitEncryptionMode"), expected="required")


@requirement("RED-09", title="Redis AUTH is enabled", severity=HIGH, guide=1081)
def auth(redis: ReplicationGroup, expect: RedisExpectation) -> Outcome:
    """The guide rotates a Redis password that it never sets."""
    if not expect.auth:
        raise NotApplicable("expect.redis.auth is false")
    users = redis.get("UserGroupIds") or []
    return judged(
        bool(users) or redis.flag("AuthTokenEnabled"),
        expected="an AUTH token or a user group",
        observed=f"token {redis.get('AuthTokenEnabled')}, user groups {len(users)}",
    )


@requirement("RED-13", title="Primary and replica are in different zones", severity=HIGH, guide=433)
def zones_differ(redis: ReplicationGroup) -> Outcome:
    """Two nodes in one zone fall together."""
    zones = {
        m.get("PreferredAvailabilityZone")
        for g in redis.rows("NodeGroups")
        for m in g.get("NodeGroupMembers", [])
        if m.get("PreferredAvailabilityZone")
    }
    if not zones:
        raise Absent("NodeGroups[].NodeGroupMembers[].PreferredAvailabilityZone")
    return at_least(len(zones), 2, unit=" zones")


class Members(View):
    """The member clusters, each described."""

    needs = (ReplicationGroup,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """One call for each member."""
        redis = stack.view(ReplicationGroup)
        names = redis.rows("MemberClusters")
        if not names:
            raise NotThere(f"{redis.name} has no members")
        answers = [stack.need("elasticache", "describe_cache_clusters", CacheClusterId=n) for n in names]
        rows = [row for a in answers for row in a.data.get("CacheClusters", [])]
        if not rows:
            raise NotThere(f"no member of {redis.name} is described")
        return cls({"members": rows}, redis.subject, redis, *answers)

    def values(self, path: str) -> set[str]:
        """The members' values of one field.

        Raises:
            Absent: a member has none.
        """
        return {View(m, "").text(path) for m in self.rows("members")}


@requirement("RED-14", title="The engine's version is the planned one", severity=HIGH, guide=437)
def engine_version(members: Members, expect: RedisExpectation) -> Outcome:
    """BullMQ needs 6.2 at least, and the test was made with this one."""
    versions = members.values("EngineVersion")
    majors = {int(v.split(".")[0]) for v in versions if re.match(r"\d+\.", v)}
    if not majors:
        raise Unreadable(f"no version in {versions}")
    return judged(min(majors) >= expect.engine_major, expected=f"{expect.engine_major} or later", observed=versions)


@requirement("RED-15", title="The members are in their subnet group", severity=HIGH, guide=438)
def subnet_group(members: Members, expect: RedisExpectation) -> Outcome:
    """In other subnets the tasks may not reach them."""
    return holds(members.values("CacheSubnetGroupName"), expected={expect.subnet_group})


@requirement("RED-16", title="The nodes use the expected security group", severity=BLOCKER, guide=439)
def security_group(members: Members, group: RedisGroup) -> Outcome:
    """With another group, the rules that were checked are not the ones that hold."""
    used = {g.get("SecurityGroupId", "") for m in members.rows("members") for g in View(m, "").rows("SecurityGroups")}
    return holds(used, expected={group.subject})


class CacheParameters(View):
    """The parameters of the members' group."""

    needs = (Members,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """All pages of the group."""
        members = stack.view(Members)
        name = sorted(members.values("CacheParameterGroup.CacheParameterGroupName"))[0]
        answer = stack.need("elasticache", "describe_cache_parameters", CacheParameterGroupName=name)
        values = {p.get("ParameterName"): p.get("ParameterValue") for p in answer.data.get("Parameters", [])}
        return cls({"values": values}, name, members, answer)


@requirement("RED-17", title="maxmemory-policy is noeviction", severity=BLOCKER, guide=70)
def maxmemory_policy(parameters: CacheParameters, expect: RedisExpectation) -> Outcome:
    """BullMQ's keys must never be evicted; ElastiCache's default is volatile-lru, and CONFIG SET is blocked."""
    policy = parameters.data["values"].get("maxmemory-policy")
    if policy is None:
        raise Absent("maxmemory-policy")
    return holds(policy, expected=expect.maxmemory_policy)


class CacheSubnetGroup(View):
    """The cache subnet group."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        name = stack.expect.redis.subnet_group
        return Ask(
            "elasticache",
            "describe_cache_subnet_groups",
            {"CacheSubnetGroupName": name},
            f"cache subnet group {name}",
            rows="CacheSubnetGroups",
            name=name,
        )


@requirement("RED-21", title="The cache subnet group spans two zones", severity=HIGH, guide=438)
def subnet_group_spans_zones(group: CacheSubnetGroup, subnets: Subnets) -> Outcome:
    """A replica goes to another zone only if the group has one."""
    ids = {s.get("SubnetIdentifier", "") for s in group.rows("Subnets")}
    zones = {s.get("SubnetAvailabilityZone", {}).get("Name") for s in group.rows("Subnets")} - {None, ""}
    zones = zones or subnets.zones(ids)
    return judged(len(zones) >= 2, expected="at least two zones", observed=zones)


class UpdateActions(View):
    """What AWS wants to update in the replication group."""

    needs = (ReplicationGroup,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """An empty list for a group that exists is an answer."""
        redis = stack.view(ReplicationGroup)
        wanted = {
            "ReplicationGroupIds": [redis.name],
            "UpdateActionStatus": ["not-applied", "waiting-to-start", "in-progress", "scheduled"],
        }
        return Ask("elasticache", "describe_update_actions", wanted, name=redis.subject, after=(redis,))


@requirement("RED-22", title="No important service update waits", severity=LOW)
def no_update_waits(updates: UpdateActions, redis: ReplicationGroup) -> Outcome:
    """AWS applies it in the maintenance window, and the primary fails over meanwhile."""
    serious = [
        f"{u.get('ServiceUpdateName')} ({u.get('ServiceUpdateSeverity')})"
        for u in updates.rows("UpdateActions")
        if u.get("ServiceUpdateSeverity") in ("critical", "important")
    ]
    return judged(
        not serious,
        expected="none",
        observed=serious or "none",
        remedy=f"aws elasticache batch-apply-update-action --replication-group-ids {redis.name} "
        "--service-update-name <the name above>",
    )


class EngineVersions(View):
    """Whether the members' version is still offered."""

    needs = (Members,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By engine; versions are compared by their major and minor part."""
        members = stack.view(Members)
        version = ".".join(sorted(members.values("EngineVersion"))[0].split(".")[:2])
        return Ask(
            "elasticache",
            "describe_cache_engine_versions",
            {"Engine": sorted(members.values("Engine"))[0]},
            f"version {version} on offer any more",
            rows="CacheEngineVersions",
            match=lambda v: str(v.get("EngineVersion", "")).startswith(version),
            name=version,
            after=(members,),
        )


@requirement("RED-23", title="The engine's version is still on offer", severity=LOW, guide=437)
def version_is_offered(versions: EngineVersions) -> Outcome:
    """A version that AWS has withdrawn is upgraded by force, and no group can be made with it again."""
    seen = f"{versions.text('Engine')} {versions.text('EngineVersion')}"
    return judged(bool(versions.text("EngineVersion")), expected=f"{versions.subject} is on offer", observed=seen)


class SingleNode(View):
    """The guide's development variant: one node without a replica."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Only where it is what this environment plans."""
        name = stack.expect.redis.single_node
        if not name:
            raise NotApplicable("the queue is a replication group (expect.redis.single_node names no single node)")
        return Ask(
            "elasticache",
            "describe_cache_clusters",
            {"CacheClusterId": name, "ShowCacheNodeInfo": True},
            f"cache cluster {name}",
            rows="CacheClusters",
            subject="ARN",
            name=name,
            remedy=f"aws elasticache create-cache-cluster --cache-cluster-id {name} --engine redis --num-cache-nodes 1 "
            f"--cache-node-type {stack.expect.redis.single_node_type} --engine-version 7.0 "
            f"--security-group-ids <{stack.expect.network.redis_group}>",
        )


@requirement("RED-18", title="The single node is as planned", severity=MEDIUM, guide=417)
def single_node(node: SingleNode, expect: RedisExpectation) -> Outcome:
    """The development variant of the guide: what was tested on it holds for its size and version."""
    seen = [node.text("CacheNodeType"), node.number("NumCacheNodes"), node.text("EngineVersion").split(".")[0]]
    return holds(seen, expected=[expect.single_node_type, 1, str(expect.engine_major)])


@requirement("RED-19", title="The single node uses the expected security group", severity=MEDIUM, guide=423)
def single_node_group(node: SingleNode, group: RedisGroup) -> Outcome:
    """With another group, the rules that were checked are not the ones that hold."""
    used = {str(g.get("SecurityGroupId")) for g in node.rows("SecurityGroups")}
    return holds(used, expected={group.subject})


@requirement("RED-20", title="The single node has an endpoint", severity=MEDIUM, guide=418)
def single_node_endpoint(node: SingleNode) -> Outcome:
    """The application's REDIS_URL must name it."""
    address = node.text("CacheNodes.0.Endpoint.Address")
    return judged(bool(address), expected="an address", observed=address)
