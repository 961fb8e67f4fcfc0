"""Database, queue, secrets and buckets (guide lines 122-192, 411-486, 670-706, corrected)."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cutover.rehearsal.cloud.elasticache import ADDRESS_TAG
from cutover.rehearsal.cloud.provision import literal
from cutover.rehearsal.cloud.provision.plan import ACCOUNT, DR_REGION, REGION, ZONES, Hands, bcrypt_shaped, tags

DATABASE = "shadowtwin-prod"
REDIS = "shadowtwin-redis-cluster"


def build_database(hands: Hands) -> None:
    """RDS, as the guide's production table wants it; its endpoint is the server that really answers."""
    rds, plan = hands.client("rds"), hands.plan
    family = "postgres" + plan.engine_version.split(".")[0]
    rds.create_db_subnet_group(
        DBSubnetGroupName="shadowtwin-db-subnet",
        DBSubnetGroupDescription="ShadowTwin, private",
        SubnetIds=hands.made["private_subnets"],
        Tags=tags(),
    )
    for region in (REGION, DR_REGION):
        where = hands.client("rds", region)
        where.create_db_parameter_group(
            DBParameterGroupName="shadowtwin-pg", DBParameterGroupFamily=family, Description="ShadowTwin", Tags=tags()
        )
        where.modify_db_parameter_group(
            DBParameterGroupName="shadowtwin-pg",
            Parameters=[{"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}],
        )
    host = plan.database.hostname
    wanted = {
        "DBInstanceIdentifier": DATABASE,
        "DBInstanceClass": "db.t3.medium",
        "Engine": "postgres",
        "EngineVersion": plan.engine_version,
        "DBName": "shadowtwin",
        "MasterUsername": "shadowtwin_admin",
        "ManageMasterUserPassword": True,
        "Port": plan.database.port or 5432,
        "AllocatedStorage": 100,
        "MaxAllocatedStorage": 1000,
        "StorageType": "gp3",
        "StorageEncrypted": True,
        "MultiAZ": True,
        "DBSubnetGroupName": "shadowtwin-db-subnet",
        "VpcSecurityGroupIds": [hands.made["rds_group"]],
        "DBParameterGroupName": "shadowtwin-pg",
        "PubliclyAccessible": False,
        "BackupRetentionPeriod": 35,
        "PreferredBackupWindow": "03:00-04:00",
        "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
        "DeletionProtection": True,
        "CopyTagsToSnapshot": True,
        "AutoMinorVersionUpgrade": True,
        "EnableCloudwatchLogsExports": ["postgresql", "upgrade"],
        "EnablePerformanceInsights": True,
        "MonitoringInterval": 60,
        "MonitoringRoleArn": f"arn:aws:iam::{ACCOUNT}:role/rds-monitoring-role",
        "Tags": tags(**({ADDRESS_TAG: f"{DATABASE}@{host}"} if host else {})),
    }
    instance = rds.create_db_instance(**(literal.instance(wanted) if plan.literal else wanted))["DBInstance"]
    hands.made |= {"database": instance["DBInstanceArn"], "database_endpoint": instance["Endpoint"]}
    hands.client("rds", DR_REGION).create_db_instance_read_replica(
        DBInstanceIdentifier="shadowtwin-dr-replica",
        SourceDBInstanceIdentifier=instance["DBInstanceArn"],
        DBInstanceClass="db.t3.medium",
        DBParameterGroupName="shadowtwin-pg",
        KmsKeyId=f"arn:aws:kms:{DR_REGION}:{ACCOUNT}:alias/aws/rds",
        Tags=tags(),
    )
    rds.create_db_snapshot(
        DBInstanceIdentifier=DATABASE,
        DBSnapshotIdentifier=f"shadowtwin-pre-migration-{datetime.now(UTC):%Y%m%d}",
        Tags=tags(),
    )


def build_queue(hands: Hands) -> None:
    """ElastiCache: two members in two zones, `noeviction` for BullMQ (guide-review: the default group evicts)."""
    cache, plan = hands.client("elasticache"), hands.plan
    engine, version = plan.redis_engine
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="shadowtwin-cache-subnet",
        CacheSubnetGroupDescription="ShadowTwin, private",
        SubnetIds=hands.made["private_subnets"],
        Tags=tags(),
    )
    cache.create_cache_parameter_group(
        CacheParameterGroupName="shadowtwin-bullmq",
        CacheParameterGroupFamily=f"{engine}{version.split('.')[0]}",
        Description="BullMQ: a full queue refuses instead of forgetting",
        Tags=tags(),
    )
    cache.modify_cache_parameter_group(
        CacheParameterGroupName="shadowtwin-bullmq",
        ParameterNameValues=[{"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}],
    )
    host, encrypted = plan.redis.hostname, plan.redis.scheme == "rediss"
    wanted = dict(
        ReplicationGroupId=REDIS,
        ReplicationGroupDescription="ShadowTwin queue",
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=True,
        NumCacheClusters=2,
        PreferredCacheClusterAZs=list(ZONES),
        CacheNodeType="cache.r6g.large",
        Engine=engine,
        EngineVersion=version,
        CacheParameterGroupName="shadowtwin-bullmq",
        CacheSubnetGroupName="shadowtwin-cache-subnet",
        SecurityGroupIds=[hands.made["redis_group"]],
        Port=plan.redis.port or 6379,
        SnapshotRetentionLimit=7,
        AtRestEncryptionEnabled=True,
        TransitEncryptionEnabled=encrypted,
        **({"TransitEncryptionMode": "required"} if encrypted else {}),
        **({"AuthToken": plan.redis.password} if plan.redis.password else {}),
        Tags=tags(**({ADDRESS_TAG: f"{REDIS}@{host}"} if host else {})),
    )
    wanted = literal.replication_group(wanted) if plan.literal else wanted
    group = cache.create_replication_group(**wanted)["ReplicationGroup"]
    hands.made["redis_endpoint"] = group["NodeGroups"][0]["PrimaryEndpoint"]


def build_secrets(hands: Hands) -> None:
    """Five secrets of the guide and one JSON object for SMTP, which it demands and never creates."""
    plan, given = hands.plan, hands.plan.secrets
    values = {
        "database": plan.database_url
        or _url("postgresql", "shadowtwin_app", hands.made["database_endpoint"], "shadowtwin"),
        "redis": plan.redis_url or _url("rediss", "", hands.made["redis_endpoint"], "0"),
        "openai": str(given.get("openai") or "sk-rehearsal-no-key-of-anyone"),
        "admin-email": str(given.get("admin_email") or "admin@shadowtwin.example"),
        "admin-password-hash": str(given.get("admin_password_hash") or bcrypt_shaped("rehearsal")),
        "smtp": json.dumps(
            given.get("smtp")
            or {
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": "2525",
                "SMTP_USER": "shadowtwin",
                "SMTP_PASS": "rehearsal-only",
                "SMTP_FROM": "no-reply@shadowtwin.example",
            }
        ),
    }
    values = literal.secrets(values) if plan.literal else values
    client = hands.client("secretsmanager")
    hands.made["secrets"] = {
        name: client.create_secret(Name=f"shadowtwin/{name}", SecretString=value, Tags=tags())["ARN"]
        for name, value in values.items()
    }
    if plan.literal:
        return
    function = hands.client("lambda").create_function(
        FunctionName="shadowtwin-rotate-database",
        Runtime="python3.12",
        Role=f"arn:aws:iam::{ACCOUNT}:role/shadowtwin-rotation",
        Handler="rotate.handler",
        Code={"ZipFile": _zip("rotate.py", "def handler(event, context):\n    return event\n")},
        VpcConfig={"SubnetIds": hands.made["private_subnets"], "SecurityGroupIds": [hands.made["ecs_group"]]},
        Tags={"Project": "shadowtwin"},
    )["FunctionArn"]
    client.rotate_secret(
        SecretId="shadowtwin/database",
        RotationLambdaARN=function,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )


def build_buckets(hands: Hands) -> None:
    """The report bucket, private and versioned, and one for trails and logs."""
    s3 = hands.client("s3")
    for bucket in ("shadowtwin-reports", "shadowtwin-audit"):
        s3.create_bucket(Bucket=bucket)
        closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(closed, True))
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [_expiry()]})
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(_tls_only(bucket)))
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags()})


def _expiry() -> dict[str, Any]:
    return {
        "ID": "old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }


def _tls_only(bucket: str) -> dict[str, Any]:
    statements: list[dict[str, Any]] = [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    if bucket.endswith("-audit"):
        services = (
            "cloudtrail.amazonaws.com",
            "delivery.logs.amazonaws.com",
            "logdelivery.elasticloadbalancing.amazonaws.com",
        )
        statements.append(
            {
                "Sid": "Deliver",
                "Effect": "Allow",
                "Principal": {"Service": list(services)},
                "Action": ["s3:GetBucketAcl", "s3:PutObject"],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def _url(scheme: str, user: str, endpoint: dict[str, Any], path: str) -> str:
    password = quote("rehearsal-only", safe="")
    return f"{scheme}://{user}:{password}@{endpoint['Address']}:{endpoint['Port']}/{path}"


def _zip(name: str, text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), text)
    return file.getvalue()
