"""Secrets: five of the guide, and one for the mail server that it demands and never creates (lines 443-486)."""

from __future__ import annotations

from collections.abc import Callable

from cutover.aws.blueprint.data import TOKEN
from cutover.aws.blueprint.operation import ENCODED, Call, Input, Node, Write, call, resource
from cutover.aws.blueprint.site import Site


def _secret(site: Site, name: str, file: str) -> Call:
    return call("secretsmanager", "create_secret", Name=name, SecretString=f"file://${file}", Tags=site.tags)


@resource(
    "database-secret",
    "the secret DATABASE_URL, of the application's own role",
    fixes="SEC-01 SEC-10 SEC-13 SEC-14 RDS-34 X-01",
    needs="database",
    gives="DATABASE_SECRET",
    asks=(Input("DATABASE_LOGIN_FILE", "path of a file with `role:password` of the application, percent-encoded"),),
)
def database_secret(site: Site) -> list[Node]:
    """The host is read from RDS: a hand would copy an old one."""
    e = site.expect.rds
    return [
        call("rds", "describe_db_instances", into="HOST", query="DBInstances[0].Endpoint.Address",
             DBInstanceIdentifier=e.instance),
        Write("database", f"postgresql://{{}}@{{}}:{e.port}/{e.database}?sslmode=require",
              ("file://$DATABASE_LOGIN_FILE", "$HOST")),
        _secret(site, site.expect.secrets.database, "PRIVATE_FOLDER/database"),
    ]  # fmt: skip


@resource(
    "redis-secret",
    "the secret REDIS_URL, over TLS",
    fixes="SEC-02 SEC-09 SEC-11 RED-12 X-02",
    needs="queue",
    gives="REDIS_SECRET",
    asks=(TOKEN,),
)
def redis_secret(site: Site) -> list[Node]:
    """`rediss`: with the guide's `redis` the connection hangs on an encrypted Redis. A token may have a `#` in it."""
    e = site.expect.redis
    token = (f"{ENCODED}file://$REDIS_TOKEN_FILE",) if e.auth and e.transit_encryption else ()
    url = f"{'rediss' if e.transit_encryption else 'redis'}://{':{}@' if token else ''}{{}}:{e.port}/0"
    return [
        call("elasticache", "describe_replication_groups", into="HOST",
             query="ReplicationGroups[0].NodeGroups[0].PrimaryEndpoint.Address",
             ReplicationGroupId=e.replication_group),
        Write("redis", url, (*token, "$HOST")),
        _secret(site, site.expect.secrets.redis, "PRIVATE_FOLDER/redis"),
    ]  # fmt: skip


def _from_file(row: str, name: str, fixes: str, gives: str, asked: Input, secret: Callable[[Site], str]) -> None:
    """A secret that a person has: from a file, for what stands on a command line, every user of the machine can read.

    In double quotes the shell would eat a hash's `$2b$12$`, too (the guide's line 470).
    """
    resource(row, f"the secret {name}", fixes=fixes, gives=gives, asks=(asked,))(
        lambda site: [_secret(site, secret(site), asked.name)]
    )


_from_file("openai-secret", "OPENAI_API_KEY", "SEC-03", "OPENAI_SECRET",
           Input("OPENAI_KEY_FILE", "path of a file with the OpenAI key"),
           lambda site: site.expect.secrets.openai)  # fmt: skip
_from_file("email-secret", "ADMIN_EMAIL", "SEC-04", "EMAIL_SECRET",
           Input("ADMIN_EMAIL_FILE", "path of a file with the administrator's address"),
           lambda site: site.expect.secrets.admin_email)  # fmt: skip
_from_file("hash-secret", "ADMIN_PASSWORD_HASH", "SEC-05 SEC-12", "HASH_SECRET",
           Input("ADMIN_HASH_FILE", "path of a file with the bcrypt hash, cost 12, no newline"),
           lambda site: site.expect.secrets.admin_password_hash)  # fmt: skip


@resource(
    "smtp-secret",
    "the secret with the five SMTP_ settings",
    fixes="SEC-06",
    gives="SMTP_SECRET",
    asks=(Input("SMTP_FILE", "path of a JSON file with SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASS, SMTP_FROM"),),
    applies=lambda site: bool(site.expect.secrets.smtp),
)
def smtp_secret(site: Site) -> list[Call]:
    """The guide requires them and never creates them."""
    return [_secret(site, name, "SMTP_FILE") for name in site.expect.secrets.smtp]


_ROTATION = Input(
    "ROTATION_LAMBDA", "ARN of the function that rotates the database's secret (it must know a URL)", optional=True
)


@resource("rotation", "the rotation of the database's password, not at once", fixes="SEC-07 SEC-08",
          needs="database-secret", gives="ROTATION", asks=(_ROTATION,))  # fmt: skip
def rotation(site: Site) -> list[Call]:
    """--no-rotate-immediately: the default rotates at once, on a live database."""
    e = site.expect.secrets
    return [
        call("secretsmanager", "rotate_secret", SecretId=e.database, RotationLambdaARN="$ROTATION_LAMBDA",
             RotationRules={"AutomaticallyAfterDays": e.rotation_days}, RotateImmediately=False)
    ]  # fmt: skip
