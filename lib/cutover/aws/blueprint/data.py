"""Database and queue (guide lines 122-192, 411-441, 670-706, corrected)."""

from __future__ import annotations

from typing import Any

from cutover.aws.blueprint.network import PRIVATE
from cutover.aws.blueprint.operation import Call, Change, Input, Let, Node, Wait, call, resource
from cutover.aws.blueprint.site import Site

DB_PARAMETERS, CACHE_PARAMETERS = "shadowtwin-pg", "shadowtwin-bullmq"
MAINTENANCE_WINDOW = "sun:05:00-sun:06:00"

_ENGINE = Input("ENGINE_MAJOR", "PostgreSQL's major version, at least the source's: 17")
TOKEN = Input("REDIS_TOKEN_FILE", "path of a file with the queue's password: 32-128 letters, digits and -, no newline")


def storage_limit_gib(allocated_gib: float) -> int:
    """How far storage may grow by itself (MaxAllocatedStorage): four times what is allocated."""
    return int(allocated_gib * 4)


def instance_change(name: str, **settings: Any) -> Call:
    """The call that changes settings of an instance that is there, named as the API names them."""
    given: dict[str, Any] = {"DBInstanceIdentifier": name, **settings}
    return call("rds", "modify_db_instance", **given, ApplyImmediately=True)


def _db_parameters(site: Site, region: str = "") -> list[Call]:
    force = {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}
    fixes = "" if region else "RDS-17"
    return [
        call("rds", "create_db_parameter_group", region=region, DBParameterGroupName=DB_PARAMETERS,
             DBParameterGroupFamily=f"postgres{site.engine_major}", Description="ShadowTwin", Tags=site.tags),
        call("rds", "modify_db_parameter_group", fixes=fixes, region=region, DBParameterGroupName=DB_PARAMETERS,
             Parameters=[force]),
    ]  # fmt: skip


@resource(
    "db-parameters",
    "the database's parameter group: TLS for every connection",
    fixes="",
    gives="DB_PARAMETERS",
    asks=(_ENGINE,),
    probe=lambda site: call("rds", "describe_db_parameter_groups", DBParameterGroupName=DB_PARAMETERS),
    found=DB_PARAMETERS,
)
def db_parameters(site: Site) -> list[Call]:
    """The default group cannot be changed."""
    return _db_parameters(site)


@resource("db-subnets", "the database's subnet group", fixes="RDS-22", needs="subnets", gives="DB_SUBNETS")
def db_subnets(site: Site) -> list[Call]:
    """Private subnets of two zones."""
    name = site.expect.rds.subnet_group
    again = Change("modify_db_subnet_group", {"DBSubnetGroupName": name}, {"RDS-22": "SubnetIds"})
    return [
        call("rds", "create_db_subnet_group", changes=(again,), DBSubnetGroupName=name,
             DBSubnetGroupDescription="ShadowTwin, private", SubnetIds=PRIVATE, Tags=site.tags)
    ]  # fmt: skip


DB_CLASS = "db.t3.medium"
"""The smallest class that the guide allows (lines 132, 151)."""

_DATABASE_SETTINGS: dict[str, str | dict[str, Any]] = {
    "RDS-04": "DBInstanceClass",
    "RDS-05": "AllocatedStorage",
    "RDS-06": "StorageType",
    "RDS-09": "MultiAZ",
    "RDS-13": "DeletionProtection",
    "RDS-14": "BackupRetentionPeriod",
    "RDS-40": "BackupRetentionPeriod",
    "RDS-15": "PreferredBackupWindow",
    "RDS-16": "PreferredMaintenanceWindow",
    "RDS-17": "DBParameterGroupName",
    "RDS-19": "PubliclyAccessible",
    "RDS-20": "VpcSecurityGroupIds",
    "RDS-25": "EnablePerformanceInsights",
    "RDS-26": "MonitoringInterval MonitoringRoleArn",
    "RDS-27": {"CloudwatchLogsExportConfiguration": {"EnableLogTypes": ["postgresql", "upgrade"]}},
    "RDS-28": {},
    "RDS-29": {"CACertificateIdentifier": "rds-ca-rsa2048-g1"},
    "RDS-31": "CopyTagsToSnapshot",
    "RDS-32": "AutoMinorVersionUpgrade",
    "RDS-33": "ManageMasterUserPassword",
}


@resource(
    "database",
    "the PostgreSQL instance (10-20 minutes)",
    fixes="RDS-01..21 RDS-23..33 RDS-40 RDS-41",
    needs="db-subnets db-parameters rds-group monitoring-role",
    gives="RDS",
    asks=(_ENGINE,),
)
def database(site: Site) -> list[Node]:
    """The master password is made and kept by RDS: it stands in no history and no file."""
    e = site.expect.rds
    identity = {"DBInstanceIdentifier": e.instance}
    modify = Change("modify_db_instance", {**identity, "ApplyImmediately": True}, _DATABASE_SETTINGS)
    return [
        call(
            "rds",
            "create_db_instance",
            changes=(modify,),
            DBInstanceIdentifier=e.instance,
            DBInstanceClass=e.classes[0] if e.classes else DB_CLASS,
            Engine="postgres",
            EngineVersion=site.engine_major,
            DBName=e.database,
            MasterUsername=e.master_user,
            ManageMasterUserPassword=True,
            Port=e.port,
            AllocatedStorage=e.storage_gib,
            MaxAllocatedStorage=storage_limit_gib(e.storage_gib),
            StorageType=e.storage_type,
            StorageEncrypted=True,
            MultiAZ=e.multi_az,
            DBSubnetGroupName=e.subnet_group,
            VpcSecurityGroupIds=["$RDS_GROUP"],
            DBParameterGroupName=DB_PARAMETERS,
            PubliclyAccessible=False,
            BackupRetentionPeriod=min(35, max(7, e.backup_retention_days)),
            PreferredBackupWindow=e.backup_window,
            PreferredMaintenanceWindow=MAINTENANCE_WINDOW,
            DeletionProtection=True,
            CopyTagsToSnapshot=True,
            AutoMinorVersionUpgrade=e.minor_upgrades is not False,
            EnableCloudwatchLogsExports=["postgresql", "upgrade"],
            EnablePerformanceInsights=True,
            MonitoringInterval=60,
            MonitoringRoleArn=site.role("rds-monitoring-role"),
            Tags=site.tags,
        ),
        Wait("rds", "db_instance_available", identity),
        Let("RDS", e.instance),
    ]


@resource(
    "dr-replica",
    "the replica in the second region (in that region's default VPC: add --db-subnet-group-name for another)",
    fixes="RDS-38",
    needs="database",
    gives="DR_REPLICA",
    asks=(_ENGINE,),
    applies=lambda site: bool(site.expect.rds.dr_replica),
)
def dr_replica(site: Site) -> list[Call]:
    """An encrypted replica of another region wants a key of that region: the guide's command is refused."""
    e = site.expect.rds
    return [
        *_db_parameters(site, site.dr_region),
        call(
            "rds",
            "create_db_instance_read_replica",
            region=site.dr_region,
            DBInstanceIdentifier=e.dr_replica,
            SourceDBInstanceIdentifier=f"arn:aws:rds:{site.region}:{site.account}:db:{e.instance}",
            DBInstanceClass=e.classes[0] if e.classes else DB_CLASS,
            DBParameterGroupName=DB_PARAMETERS,
            KmsKeyId="alias/aws/rds",
            Tags=site.tags,
        ),
    ]


@resource("cache-subnets", "the queue's subnet group", fixes="RED-21", needs="subnets", gives="CACHE_SUBNETS")
def cache_subnets(site: Site) -> list[Call]:
    """Private subnets of two zones."""
    name = site.expect.redis.subnet_group
    again = Change("modify_cache_subnet_group", {"CacheSubnetGroupName": name}, {"RED-21": "SubnetIds"})
    return [
        call("elasticache", "create_cache_subnet_group", changes=(again,), CacheSubnetGroupName=name,
             CacheSubnetGroupDescription="ShadowTwin, private", SubnetIds=PRIVATE, Tags=site.tags)
    ]  # fmt: skip


@resource(
    "cache-parameters",
    "the queue's parameter group: maxmemory-policy is noeviction",
    fixes="",
    gives="CACHE_PARAMETERS",
    probe=lambda site: call("elasticache", "describe_cache_parameter_groups", CacheParameterGroupName=CACHE_PARAMETERS),
    found=CACHE_PARAMETERS,
)
def cache_parameters(site: Site) -> list[Call]:
    """BullMQ loses jobs with ElastiCache's default, volatile-lru."""
    e = site.expect.redis
    policy = [{"ParameterName": "maxmemory-policy", "ParameterValue": e.maxmemory_policy}]
    return [
        call("elasticache", "create_cache_parameter_group", CacheParameterGroupName=CACHE_PARAMETERS,
             CacheParameterGroupFamily=f"{e.engine}{e.engine_version.split('.')[0]}", Description="BullMQ",
             Tags=site.tags),
        call("elasticache", "modify_cache_parameter_group", fixes="RED-17", CacheParameterGroupName=CACHE_PARAMETERS,
             ParameterNameValues=policy),
    ]  # fmt: skip


_QUEUE_SETTINGS: dict[str, str | dict[str, Any]] = {
    "RED-02": "AutomaticFailoverEnabled",
    "RED-03": "MultiAZEnabled",
    "RED-05": "CacheNodeType",
    "RED-07": {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "preferred"},
    "RED-08": {"TransitEncryptionMode": "required"},
    "RED-09": {"AuthToken": "file://$REDIS_TOKEN_FILE", "AuthTokenUpdateStrategy": "SET"},
    "RED-11": "SnapshotRetentionLimit",
    "RED-16": "SecurityGroupIds",
    "RED-17": "CacheParameterGroupName",
}


@resource(
    "queue",
    "the replication group that holds the queues (10 minutes)",
    fixes="RED-01..11 RED-13..17",
    needs="cache-subnets cache-parameters redis-group",
    gives="QUEUE",
    asks=(TOKEN,),
)
def queue(site: Site) -> list[Node]:
    """Encrypted both ways, with a password, over two zones, unless this environment is planned without."""
    e = site.expect.redis
    identity = {"ReplicationGroupId": e.replication_group}
    modify = Change("modify_replication_group", {**identity, "ApplyImmediately": True}, _QUEUE_SETTINGS)
    strict: dict[str, Any] = {"TransitEncryptionMode": "required"} if e.transit_encryption else {}
    if e.auth and e.transit_encryption:
        strict["AuthToken"] = "file://$REDIS_TOKEN_FILE"
    return [
        call(
            "elasticache",
            "create_replication_group",
            changes=(modify,),
            ReplicationGroupId=e.replication_group,
            ReplicationGroupDescription="ShadowTwin queue",
            AutomaticFailoverEnabled=True,
            MultiAZEnabled=True,
            NumCacheClusters=max(2, e.members),
            CacheNodeType=e.node_types[0] if e.node_types else "cache.r6g.large",
            Engine=e.engine,
            EngineVersion=e.engine_version,
            CacheParameterGroupName=CACHE_PARAMETERS,
            CacheSubnetGroupName=e.subnet_group,
            SecurityGroupIds=["$REDIS_GROUP"],
            Port=e.port,
            SnapshotRetentionLimit=max(1, e.snapshot_retention_days),
            AtRestEncryptionEnabled=True,
            TransitEncryptionEnabled=e.transit_encryption,
            **strict,
            Tags=site.tags,
        ),
        Wait("elasticache", "replication_group_available", identity),
        Let("QUEUE", e.replication_group),
    ]
