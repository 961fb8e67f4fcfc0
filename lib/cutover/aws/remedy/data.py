"""Database, queue and secrets (guide lines 122-192, 411-486, 670-706, corrected)."""

from __future__ import annotations

from cutover.aws.remedy.command import aws, put
from cutover.aws.remedy.step import Input, Place, step

_PG, _CACHE = "shadowtwin-pg", "shadowtwin-bullmq"


def engine_major(place: Place) -> str:
    """PostgreSQL's major: the planned one, else the source's, else what a person gives."""
    known = place.e.rds.engine_major or place.stack.source_major or place.e.rds.source_major
    return str(known) if known else "$ENGINE_MAJOR"


_ENGINE = Input("ENGINE_MAJOR", "PostgreSQL's major version, at least the source's: 17")


def _parameters(place: Place) -> str:
    given = {"DBParameterGroupName": _PG, "DBParameterGroupFamily": f"postgres{engine_major(place)}",
             "Description": "ShadowTwin", "Tags": place.tags}  # fmt: skip
    force = {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "immediate"}
    return "\n".join([
        put("rds", "create_db_parameter_group", given),
        put("rds", "modify_db_parameter_group", {"DBParameterGroupName": _PG, "Parameters": [force]})])  # fmt: skip


@step("db-parameters", "the database's parameter group: TLS for every connection", mends="", gives="DB_PARAMETERS",
      asks=(_ENGINE,),
      probe=f"aws rds describe-db-parameter-groups --db-parameter-group-name {_PG} | grep -q {_PG}")  # fmt: skip
def db_parameters(place: Place) -> str:
    """The default group cannot be changed."""
    return _parameters(place)


@step("db-subnets", "the database's subnet group", mends="RDS-22", needs="subnets", gives="DB_SUBNETS")
def db_subnets(place: Place) -> str:
    """Private subnets of two zones."""
    return put("rds", "create_db_subnet_group", {
        "DBSubnetGroupName": place.e.rds.subnet_group, "DBSubnetGroupDescription": "ShadowTwin, private",
        "SubnetIds": place.ids("PRIVATE"), "Tags": place.tags})  # fmt: skip


@step(
    "database",
    "the PostgreSQL instance (10-20 minutes)",
    mends="RDS-01..21 RDS-23..33 RDS-40 RDS-41",
    needs="db-subnets db-parameters rds-group monitoring-role",
    gives="RDS",
    asks=(_ENGINE,),
)
def database(place: Place) -> str:
    """The master password is made and kept by RDS: it stands in no history and no file."""
    e = place.e.rds
    made = {
        "DBInstanceIdentifier": e.instance,
        "DBInstanceClass": e.classes[0] if e.classes else "db.t3.medium",
        "Engine": "postgres",
        "EngineVersion": engine_major(place),
        "DBName": e.database,
        "MasterUsername": e.master_user,
        "ManageMasterUserPassword": True,
        "Port": e.port,
        "AllocatedStorage": e.storage_gib,
        "MaxAllocatedStorage": e.storage_gib * 10,
        "StorageType": e.storage_type,
        "StorageEncrypted": True,
        "MultiAZ": e.multi_az,
        "DBSubnetGroupName": e.subnet_group,
        "VpcSecurityGroupIds": [place.id("RDS_GROUP")],
        "DBParameterGroupName": _PG,
        "PubliclyAccessible": False,
        "BackupRetentionPeriod": min(35, max(7, e.backup_retention_days)),
        "PreferredBackupWindow": e.backup_window,
        "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
        "DeletionProtection": True,
        "CopyTagsToSnapshot": True,
        "AutoMinorVersionUpgrade": True,
        "EnableCloudwatchLogsExports": ["postgresql", "upgrade"],
        "EnablePerformanceInsights": True,
        "MonitoringInterval": 60,
        "MonitoringRoleArn": place.role("rds-monitoring-role"),
        "Tags": place.tags,
    }
    return "\n".join([
        put("rds", "create_db_instance", made),
        f"aws rds wait db-instance-available --db-instance-identifier {e.instance}",
        "RDS=" + e.instance])  # fmt: skip


@step(
    "dr-replica",
    "the replica in the second region (in that region's default VPC: add --db-subnet-group-name for another)",
    mends="RDS-38",
    needs="database",
    gives="DR_REPLICA",
    asks=(_ENGINE,),
    applies=lambda place: bool(place.e.rds.dr_replica),
)
def dr_replica(place: Place) -> str:
    """An encrypted replica of another region wants a key of that region: the guide's command is refused."""
    e, m = place.e.rds, place.m
    made = {
        "DBInstanceIdentifier": e.dr_replica,
        "SourceDBInstanceIdentifier": f"arn:aws:rds:{m.region}:{m.account_id}:db:{e.instance}",
        "DBInstanceClass": e.classes[0] if e.classes else "db.t3.medium",
        "DBParameterGroupName": _PG,
        "KmsKeyId": "alias/aws/rds",
        "Tags": place.tags,
    }
    group = _parameters(place).replace("aws rds ", f"aws --region {m.dr_region} rds ")
    replica = put("rds", "create_db_instance_read_replica", made)
    return group + "\n" + replica.replace("aws rds ", f"aws --region {m.dr_region} rds ")


@step("cache-subnets", "the queue's subnet group", mends="RED-21", needs="subnets", gives="CACHE_SUBNETS")
def cache_subnets(place: Place) -> str:
    """Private subnets of two zones."""
    return put("elasticache", "create_cache_subnet_group", {
        "CacheSubnetGroupName": place.e.redis.subnet_group, "CacheSubnetGroupDescription": "ShadowTwin, private",
        "SubnetIds": place.ids("PRIVATE"), "Tags": place.tags})  # fmt: skip


@step("cache-parameters", "the queue's parameter group: a full queue refuses instead of forgetting", mends="",
      gives="CACHE_PARAMETERS",

      probe=f"aws elasticache describe-cache-parameter-groups --cache-parameter-group-name {_CACHE} "
      f"| grep -q {_CACHE}")  # fmt: skip
def cache_parameters(place: Place) -> str:
    """BullMQ loses jobs with ElastiCache's default, volatile-lru."""
    value = [{"ParameterName": "maxmemory-policy", "ParameterValue": place.e.redis.maxmemory_policy}]
    return "\n".join([
        put("elasticache", "create_cache_parameter_group", {
            "CacheParameterGroupName": _CACHE, "CacheParameterGroupFamily": "valkey8", "Description": "BullMQ",
            "Tags": place.tags}),
        put("elasticache", "modify_cache_parameter_group", {
            "CacheParameterGroupName": _CACHE, "ParameterNameValues": value})])  # fmt: skip


_TOKEN = Input("REDIS_TOKEN_FILE", "path of a file with the queue's password: 32-128 letters, digits and -, no newline")


@step(
    "queue",
    "the replication group that holds the queues (10 minutes)",
    mends="RED-01..11 RED-13..17",
    needs="cache-subnets cache-parameters redis-group",
    gives="QUEUE",
    asks=(_TOKEN,),
)
def queue(place: Place) -> str:
    """Encrypted both ways, with a password, over two zones."""
    e = place.e.redis
    made = {
        "ReplicationGroupId": e.replication_group,
        "ReplicationGroupDescription": "ShadowTwin queue",
        "AutomaticFailoverEnabled": True,
        "MultiAZEnabled": True,
        "NumCacheClusters": max(2, e.members),
        "CacheNodeType": e.node_types[0] if e.node_types else "cache.r6g.large",
        "Engine": "valkey",
        "EngineVersion": "8.1",
        "CacheParameterGroupName": _CACHE,
        "CacheSubnetGroupName": e.subnet_group,
        "SecurityGroupIds": [place.id("REDIS_GROUP")],
        "Port": e.port,
        "SnapshotRetentionLimit": max(1, e.snapshot_retention_days),
        "AtRestEncryptionEnabled": True,
        "TransitEncryptionEnabled": True,
        "TransitEncryptionMode": "required",
        "Tags": place.tags,
    }
    create = aws("elasticache", "create_replication_group", made)
    lines = [create + ' --auth-token "file://$REDIS_TOKEN_FILE" > /dev/null',
             f"aws elasticache wait replication-group-available --replication-group-id {e.replication_group}",
             "QUEUE=" + e.replication_group]  # fmt: skip
    return "\n".join(lines)


_ENCODE = (
    'python3 -c \'import sys, urllib.parse; print(urllib.parse.quote(sys.stdin.read().strip("\\n"), safe=""), end="")\''
)


def _secret(place: Place, name: str, file: str) -> str:
    made = aws("secretsmanager", "create_secret", {"Name": name, "Tags": place.tags}, query="ARN")
    return made + f' --secret-string "file://{file}" > /dev/null'


@step(
    "database-secret",
    "the secret DATABASE_URL, of the application's own role",
    mends="SEC-01 SEC-10 SEC-13 SEC-14 RDS-34 X-01",
    needs="database",
    gives="DATABASE_SECRET",
    asks=(Input("DATABASE_LOGIN_FILE", "path of a file with `role:password` of the application, percent-encoded"),),
)
def database_secret(place: Place) -> str:
    """The host is read from RDS: a hand would copy an old one."""
    e = place.e.rds
    endpoint = aws("rds", "describe_db_instances", {"DBInstanceIdentifier": e.instance},
                   query="DBInstances[0].Endpoint.Address", into="HOST")  # fmt: skip
    return "\n".join([
        endpoint,
        f"printf 'postgresql://%s@%s:{e.port}/{e.database}?sslmode=require' "
        '"$(cat "$DATABASE_LOGIN_FILE")" "$HOST" > "$PRIVATE_FOLDER/database"',
        _secret(place, place.e.secrets.database, "$PRIVATE_FOLDER/database")])  # fmt: skip


@step(
    "redis-secret",
    "the secret REDIS_URL, over TLS",
    mends="SEC-02 SEC-09 SEC-11 RED-12 X-02",
    needs="queue",
    gives="REDIS_SECRET",
    asks=(_TOKEN,),
)
def redis_secret(place: Place) -> str:
    """`rediss`: with the guide's `redis` the connection hangs on an encrypted queue. A token may have a `#` in it."""
    e = place.e.redis
    endpoint = aws("elasticache", "describe_replication_groups", {"ReplicationGroupId": e.replication_group},
                   query="ReplicationGroups[0].NodeGroups[0].PrimaryEndpoint.Address", into="HOST")  # fmt: skip
    return "\n".join([
        endpoint,
        f"printf 'rediss://:%s@%s:{e.port}/0' "
        f'"$({_ENCODE} < "$REDIS_TOKEN_FILE")" "$HOST" > "$PRIVATE_FOLDER/redis"',
        _secret(place, place.e.secrets.redis, "$PRIVATE_FOLDER/redis")])  # fmt: skip


@step("openai-secret", "the secret OPENAI_API_KEY", mends="SEC-03", gives="OPENAI_SECRET",
      asks=(Input("OPENAI_KEY_FILE", "path of a file with the OpenAI key"),))  # fmt: skip
def openai_secret(place: Place) -> str:
    """From a file: what stands on a command line, every user of the machine can read."""
    return _secret(place, place.e.secrets.openai, "$OPENAI_KEY_FILE")


@step("email-secret", "the secret ADMIN_EMAIL", mends="SEC-04", gives="EMAIL_SECRET",
      asks=(Input("ADMIN_EMAIL_FILE", "path of a file with the administrator's address"),))  # fmt: skip
def email_secret(place: Place) -> str:
    """The administrator's address."""
    return _secret(place, place.e.secrets.admin_email, "$ADMIN_EMAIL_FILE")


@step("hash-secret", "the secret ADMIN_PASSWORD_HASH", mends="SEC-05 SEC-12", gives="HASH_SECRET",
      asks=(Input("ADMIN_HASH_FILE", "path of a file with the bcrypt hash, cost 12, no newline"),))  # fmt: skip
def hash_secret(place: Place) -> str:
    """From a file: in double quotes the shell would eat `$2b$12$` (the guide's line 470)."""
    return _secret(place, place.e.secrets.admin_password_hash, "$ADMIN_HASH_FILE")


@step("smtp-secret", "the secret with the five SMTP_ settings", mends="SEC-06", gives="SMTP_SECRET",
      asks=(Input("SMTP_FILE", "path of a JSON file with SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASS, SMTP_FROM"),),
      applies=lambda place: bool(place.e.secrets.smtp))  # fmt: skip
def smtp_secret(place: Place) -> str:
    """The guide requires them and never creates them."""
    return "\n".join(_secret(place, name, "$SMTP_FILE") for name in place.e.secrets.smtp)


_ROTATION = Input(
    "ROTATION_LAMBDA", "ARN of the function that rotates the database's secret (it must know a URL)", True
)


@step("rotation", "the rotation of the database's password, not at once", mends="SEC-07 SEC-08",
      needs="database-secret", gives="ROTATION", asks=(_ROTATION,))  # fmt: skip
def rotation(place: Place) -> str:
    """--no-rotate-immediately: the default rotates at once, on a live database."""
    call = aws("secretsmanager", "rotate_secret", {
        "SecretId": place.e.secrets.database, "RotationLambdaARN": "$ROTATION_LAMBDA",
        "RotationRules": {"AutomaticallyAfterDays": place.e.secrets.rotation_days},
        "RotateImmediately": False}, into="-")  # fmt: skip
    return call
