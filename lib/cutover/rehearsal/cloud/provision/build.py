"""The stage's account: the blueprint's calls, made through boto3, and what only a rehearsal has beside them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cutover.aws.blueprint import BLUEPRINT, Call, Site, ordered
from cutover.aws.blueprint.boto import Builder
from cutover.errors import StageError
from cutover.rehearsal.cloud.elasticache import ADDRESS_TAG
from cutover.rehearsal.cloud.iam import DEPLOYER
from cutover.rehearsal.cloud.provision import access, literal
from cutover.rehearsal.cloud.provision.plan import ACCOUNT, REGION, Hands, Plan, bcrypt_shaped, manifest

_SMTP = {
    "SMTP_HOST": "127.0.0.1",
    "SMTP_PORT": "2525",
    "SMTP_USER": "shadowtwin",
    "SMTP_PASS": "rehearsal-only",
    "SMTP_FROM": "no-reply@shadowtwin.example",
}


def provision(endpoint: str, plan: Plan | None = None) -> dict[str, Any]:
    """Build the whole architecture in an empty emulated account.

    Args:
        endpoint: the emulator's URL.
        plan: what differs from stage to stage.

    Returns:
        Facts for the stage: ARNs and ids by name; `load_balancer_dns` is the name that the alias record will have.

    Raises:
        StageError: a call was refused, or the first release does not start.
    """
    hands = Hands(endpoint, plan or Plan())
    try:
        return _build(hands, hands.plan)
    except (BotoCoreError, ClientError) as error:
        raise StageError(
            f"The emulated account could not be built: {error}.",
            todo="look into calls.jsonl in the emulator's state folder; its last line is the call that was refused.",
        ) from error


def _build(hands: Hands, plan: Plan) -> dict[str, Any]:
    site = plan.site()
    builder = Builder(
        lambda service, region: hands.client(service, region or REGION),
        _given(plan),
        adapt=lambda call: _as_staged(call, plan),
    )
    values = builder.values
    before: dict[str, Callable[[], None]] = {
        "topic": lambda: values.update(ALERT_ENDPOINT=_inbox(hands)),
        "image": lambda: _push_images(hands, site),
        "rotation": lambda: values.update(
            ROTATION_LAMBDA=access.build_rotation(hands, site, values["PRIVATE"].split(), values["ECS_GROUP"])
        ),
        "task-definition": lambda: builder.run(BLUEPRINT["task-definition"].nodes(plan.site(plan.previous))),
    }
    hands.client("ec2").enable_ebs_encryption_by_default()
    for row in ordered(set(BLUEPRINT), site):
        if plan.literal and row.name in literal.FORGOTTEN:
            values |= dict.fromkeys(row.gives, values["ECS_GROUP"])  # the one group that the guide's queue can have
            continue
        before.get(row.name, lambda: None)()
        builder.run(row.nodes(site))
    _take_snapshot(hands, site)
    if plan.literal:
        literal.build_deployer(hands)  # as it is written, the service would never become stable
    else:
        access.build_deployer(hands, site, values["ZONE"])
        _wait_for_service(hands, site)
    return _facts(site, values)


def _given(plan: Plan) -> dict[str, str]:
    """What a person gives to the remedy's script."""
    given = {
        "ALERT_PROTOCOL": "sqs",  # it is confirmed by itself, where a mailbox would have to be read by a person
        "SOURCE_NAME": plan.source_name,
        "REDIS_TOKEN_FILE": plan.redis.password or "",
        "DATABASE_LOGIN_FILE": "shadowtwin_app:rehearsal-only",
        "OPENAI_KEY_FILE": str(plan.secrets.get("openai") or "sk-rehearsal-no-key-of-anyone"),
        "ADMIN_EMAIL_FILE": str(plan.secrets.get("admin_email") or "admin@shadowtwin.example"),
        "ADMIN_HASH_FILE": str(plan.secrets.get("admin_password_hash") or bcrypt_shaped("rehearsal")),
        "SMTP_FILE": json.dumps(plan.secrets.get("smtp") or _SMTP),
    }
    # The servers that really answer speak as they do, whatever RDS and ElastiCache would.
    urls = {"PRIVATE_FOLDER/database": plan.database_url, "PRIVATE_FOLDER/redis": plan.redis_url}
    return given | {name: url for name, url in urls.items() if url}


def _as_staged(call: Call, plan: Plan) -> Call | None:
    """A call of the blueprint as the stage makes it: the servers' addresses, the TTL, the guide's mistakes."""
    addresses = {
        "create_db_instance": ("DBInstanceIdentifier", plan.database.hostname),
        "create_replication_group": ("ReplicationGroupId", plan.redis.hostname),
    }
    arguments = dict(call.arguments)
    name, host = addresses.get(call.operation, ("", None))
    if host:
        arguments["Tags"] = [*arguments["Tags"], {"Key": ADDRESS_TAG, "Value": f"{arguments[name]}@{host}"}]
    if call.operation == "change_resource_record_sets":
        (change,) = arguments["ChangeBatch"]["Changes"]
        record = change["ResourceRecordSet"]
        if record["Name"] == plan.hostname:
            change = {**change, "ResourceRecordSet": {**record, "TTL": plan.ttl_s}}
            arguments["ChangeBatch"] = {"Changes": [change]}
    staged = dataclasses.replace(call, arguments=arguments)
    return literal.as_written(staged) if plan.literal else staged


def _inbox(hands: Hands) -> str:
    """A queue that hears the alarms; its ARN."""
    sqs = hands.client("sqs")
    url = sqs.create_queue(QueueName="shadowtwin-alerts", tags={"Project": "shadowtwin"})["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _push_images(hands: Hands, site: Site) -> None:
    """Every release, each scanned."""
    plan = hands.plan
    latest = ("latest",) if plan.literal else ()
    for version in dict.fromkeys((plan.previous, plan.version, *plan.releases, *latest)):
        hands.client("ecr").put_image(
            repositoryName=site.expect.ecr.repository, imageManifest=manifest(version), imageTag=version
        )


def _take_snapshot(hands: Hands, site: Site) -> None:
    e = site.expect.rds
    hands.client("rds").create_db_snapshot(
        DBInstanceIdentifier=e.instance,
        DBSnapshotIdentifier=f"{e.snapshot_prefix}{datetime.now(UTC):%Y%m%d}",
        Tags=site.tags,
    )


def _wait_for_service(hands: Hands, site: Site, *, timeout_s: float = 60.0) -> None:
    """Until the first deployment is COMPLETED.

    Raises:
        StageError: it failed, or takes longer.
    """
    ecs, e, end = hands.client("ecs"), site.expect.ecs, time.monotonic() + timeout_s
    while time.monotonic() < end:
        service = ecs.describe_services(cluster=e.cluster, services=[e.service])["services"][0]
        states = [d["rolloutState"] for d in service["deployments"]]
        if states == ["COMPLETED"]:
            return
        if "FAILED" in states:
            break
        time.sleep(0.1)
    events = "\n".join(e["message"] for e in service["events"][:5])
    raise StageError(
        f"The first release did not start on the emulated ECS: {states}.",
        why=events,
        todo="look into the tasks' logs in the state folder: tasks/*.log",
    )


def _facts(site: Site, values: Mapping[str, str]) -> dict[str, Any]:
    """What the stage and its tests need to know, by name."""
    e = site.expect
    return {
        "vpc": values["VPC"],
        "public_subnets": values["PUBLIC"].split(),
        "private_subnets": values["PRIVATE"].split(),
        "ecs_group": values["ECS_GROUP"],
        "redis_group": values["REDIS_GROUP"],
        "database": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{e.rds.instance}",
        "certificate": values["CERTIFICATE"],
        "load_balancer": values["BALANCER"],
        "load_balancer_dns": values["BALANCER_NAME"],
        "target_group": values["TARGET_GROUP"],
        "blue_target_group": values["BLUE_TARGET_GROUP"],
        "topic": values["TOPIC"],
        "distribution": values["DISTRIBUTION"],
        "zone": values["ZONE"],
        "service": f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{e.ecs.cluster}/{e.ecs.service}",
        "task_definition": values["TASK_DEFINITION"],
        "deployer": f"arn:aws:iam::{ACCOUNT}:user/{DEPLOYER}",
    }
