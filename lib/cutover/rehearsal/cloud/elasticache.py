"""ElastiCache as moto lacks it: parameter groups, the members of a replication group, and where its endpoint is."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, PaginatedResult
from moto.elasticache.exceptions import ElastiCacheException, InvalidParameterValueException
from moto.elasticache.models import CacheSubnetGroup, ElastiCacheBackend, ReplicationGroup
from moto.elasticache.responses import ElastiCacheResponse

from cutover.rehearsal.cloud.extension import extend

ADDRESS_TAG = "emulator:address"
"""A tag, `IDENTIFIER@HOST`, that says where on this machine the resource really answers: an emulator can know it from
nothing else. The identifier keeps a restored copy, which inherits tags, from claiming the original's server."""

_DEFAULTS = {
    "maxmemory-policy": "volatile-lru",
    "timeout": "0",
    "notify-keyspace-events": "",
    "reserved-memory-percent": "25",
    "appendonly": "no",
    "cluster-enabled": "no",
}
"""Parameters of the default group that matter to BullMQ (User Guide, "Valkey and Redis OSS parameters")."""


def tagged_address(tags: list[dict[str, str]], identifier: str) -> str | None:
    """The host in `identifier`'s address tag; None without one."""
    value = next((t["Value"] for t in tags if t["Key"] == ADDRESS_TAG), "")
    owner, _, host = value.partition("@")
    return host if owner == identifier and host else None


_moto_describe_clusters = ElastiCacheBackend.describe_cache_clusters
_moto_create_group = ElastiCacheBackend.create_replication_group
_moto_subnet_group = CacheSubnetGroup.__init__


def install() -> None:
    """Give moto's ElastiCache these operations."""
    extend(ElastiCacheResponse, Responses)
    extend(ElastiCacheBackend, Backend)

    def with_zones(self: Any, *args: Any, **kwargs: Any) -> None:
        _moto_subnet_group(self, *args, **kwargs)
        for subnet in self.subnets:
            zone = subnet.get("subnet_availability_zone")
            if isinstance(zone, str):
                subnet["subnet_availability_zone"] = {"Name": zone}

    setattr(CacheSubnetGroup, "__init__", with_zones)  # noqa: B010 - moto's method, replaced on purpose


class Backend:
    """Set on moto's `ElastiCacheBackend`."""

    replication_groups: Any
    cache_clusters: Any

    def create_replication_group(self: Any, **params: Any) -> ReplicationGroup:
        """All `NumCacheClusters` members, the transit mode, and the endpoint that the address tag names."""
        members = params.get("num_cache_clusters") or 1
        if params.get("cluster_mode") != "enabled" and members > 1 and not params.get("replicas_per_node_group"):
            params["replicas_per_node_group"] = members - 1
        if params.get("transit_encryption_enabled"):
            params["transit_encryption_mode"] = params.get("transit_encryption_mode") or "required"
        group: ReplicationGroup = _moto_create_group(self, **params)
        address = tagged_address(params.get("tags") or [], group.replication_group_id)
        if address and group.node_groups:
            endpoint = {"address": address, "port": group.port}
            group.node_groups[0] |= {"primary_endpoint": endpoint, "reader_endpoint": endpoint}
        return group

    def describe_cache_clusters(self: Any, cache_cluster_id: str | None) -> list[Any]:
        """The single clusters and the members of replication groups."""
        members = [m for g in self.replication_groups.values() for m in _members(g)]
        if cache_cluster_id:
            found = [m for m in members if m["CacheClusterId"] == cache_cluster_id]
            return found or [_single(c) for c in _moto_describe_clusters(self, cache_cluster_id)]
        return members + [_single(c) for c in _moto_describe_clusters(self, None)]


def _members(group: Any) -> list[dict[str, Any]]:
    return [
        {
            "CacheClusterId": member["cache_cluster_id"],
            "ARN": group.arn.replace(":replicationgroup:", ":cluster:").rsplit(":", 1)[0]
            + f":{member['cache_cluster_id']}",
            "ReplicationGroupId": group.replication_group_id,
            "PreferredAvailabilityZone": member["preferred_availability_zone"],
            "CacheNodes": [
                {
                    "CacheNodeId": "0001",
                    "CacheNodeStatus": "available",
                    "Endpoint": node_group["primary_endpoint"],
                    "CustomerAvailabilityZone": member["preferred_availability_zone"],
                }
            ],
            **_common(group),
            "SnapshotRetentionLimit": group.snapshot_retention_limit,
            "AuthTokenEnabled": group.auth_token_enabled,
            "AtRestEncryptionEnabled": group.at_rest_encryption_enabled,
            "TransitEncryptionMode": group.transit_encryption_mode,
        }
        for node_group in group.node_groups
        for member in node_group["node_group_members"]
    ]


def _single(cluster: Any) -> dict[str, Any]:
    zone = cluster.preferred_availability_zone
    endpoint = {"Address": f"{cluster.cache_cluster_id}.0001.use1.cache.amazonaws.com", "Port": cluster.port}
    return {
        "CacheClusterId": cluster.cache_cluster_id,
        "ARN": cluster.arn,
        "PreferredAvailabilityZone": zone,
        "CacheNodes": [{"CacheNodeId": "0001", "CacheNodeStatus": "available", "Endpoint": endpoint}],
        **_common(cluster),
    }


def _default_group(one: Any) -> str:
    """What ElastiCache takes where no group is named (API reference, CacheParameterGroupName)."""
    return f"default.{one.engine}{str(one.engine_version).split('.')[0]}"


def _common(one: Any) -> dict[str, Any]:
    return {
        "CacheClusterStatus": "available",
        "CacheNodeType": one.cache_node_type,
        "Engine": one.engine,
        "EngineVersion": one.engine_version,
        "NumCacheNodes": 1,
        "CacheSubnetGroupName": one.cache_subnet_group_name,
        "SecurityGroups": [{"SecurityGroupId": g, "Status": "active"} for g in one.security_group_ids or []],
        "CacheParameterGroup": {
            "CacheParameterGroupName": one.cache_parameter_group_name or _default_group(one),
            "ParameterApplyStatus": "in-sync",
            "CacheNodeIdsToReboot": [],
        },
        "TransitEncryptionEnabled": bool(one.transit_encryption_enabled),
        "AutoMinorVersionUpgrade": bool(one.auto_minor_version_upgrade),
        "PreferredMaintenanceWindow": one.preferred_maintenance_window,
        "PendingModifiedValues": {},
    }


class Responses:
    """Set on moto's `ElastiCacheResponse`."""

    _get_param: Any
    _get_params: Any
    region: str
    current_account: str
    elasticache_backend: Any

    def create_cache_parameter_group(self: Any) -> Any:
        """CreateCacheParameterGroup."""
        params = self._get_params()
        groups = _groups(self.elasticache_backend)
        name = params["CacheParameterGroupName"]
        if name in groups:
            raise ElastiCacheException(
                "CacheParameterGroupAlreadyExists", f"Cache parameter group {name} already exists."
            )
        groups[name] = {
            "CacheParameterGroupName": name,
            "CacheParameterGroupFamily": params["CacheParameterGroupFamily"],
            "Description": params["Description"],
            "IsGlobal": False,
            "ARN": f"arn:aws:elasticache:{self.region}:{self.current_account}:parametergroup:{name}",
            "values": {},
        }
        return ActionResult({"CacheParameterGroup": groups[name]})

    def describe_cache_parameter_groups(self: Any) -> Any:
        """DescribeCacheParameterGroups."""
        name = self._get_param("CacheParameterGroupName")
        found = [_group(self.elasticache_backend, name)] if name else list(_groups(self.elasticache_backend).values())
        return PaginatedResult({"CacheParameterGroups": found})

    def modify_cache_parameter_group(self: Any) -> Any:
        """ModifyCacheParameterGroup: parameters that the family has, and no others."""
        group = _group(self.elasticache_backend, self._get_param("CacheParameterGroupName"))
        for one in self._get_param("ParameterNameValues") or []:
            if one["ParameterName"] not in _DEFAULTS:
                raise InvalidParameterValueException(f"Invalid parameter: {one['ParameterName']}")
            group["values"][one["ParameterName"]] = one["ParameterValue"]
        return ActionResult({"CacheParameterGroupName": group["CacheParameterGroupName"]})

    def describe_cache_parameters(self: Any) -> Any:
        """DescribeCacheParameters: those that matter here, with where each value comes from."""
        group = _group(self.elasticache_backend, self._get_param("CacheParameterGroupName"))
        source = self._get_param("Source")
        parameters = [
            {
                "ParameterName": name,
                "ParameterValue": group["values"].get(name, default),
                "Source": "user" if name in group["values"] else "system",
                "DataType": "string",
                "IsModifiable": True,
            }
            for name, default in _DEFAULTS.items()
        ]
        return PaginatedResult({"Parameters": [p for p in parameters if source in (None, p["Source"])]})

    def describe_update_actions(self: Any) -> Any:
        """DescribeUpdateActions: the emulated account has none."""
        return ActionResult({"UpdateActions": []})


def _groups(backend: Any) -> dict[str, dict[str, Any]]:
    if not hasattr(backend, "parameter_groups"):
        backend.parameter_groups = {}
    found: dict[str, dict[str, Any]] = backend.parameter_groups
    return found


def _group(backend: Any, name: str) -> dict[str, Any]:
    if name.startswith("default."):
        family = name.removeprefix("default.")
        return {"CacheParameterGroupName": name, "CacheParameterGroupFamily": family, "IsGlobal": False, "values": {}}
    if name not in _groups(backend):
        raise ElastiCacheException("CacheParameterGroupNotFound", f"CacheParameterGroup {name} not found.")
    return _groups(backend)[name]
