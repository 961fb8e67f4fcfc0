"""Two accounts beside each other: all that the requirements ask, without what is another one in each account."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOT_BUILT = {
    "cloudtrail.lookup_events": "who did it",
    "cloudwatch.describe_alarm_history": "history",
    "ecs.describe_tasks": "what runs",
    "ecs.list_service_deployments": "history",
    "ecs.list_tasks": "what runs",
    "ecs.list_task_definitions": "the stage has a release to go back to",
    "elbv2.describe_target_health": "what runs",
    "iam.get_policy": "the stage's deployer",
    "iam.get_policy_version": "the stage's deployer",
    "iam.list_access_keys": "the stage's deployer",
    "iam.list_attached_user_policies": "the stage's deployer",
    "iam.list_groups_for_user": "the stage's deployer",
    "iam.list_user_policies": "the stage's deployer",
    "iam.list_users": "the stage's deployer",
    "iam.simulate_principal_policy": "the stage's deployer",
    "lambda.get_function_configuration": "a person's",
    "logs.filter_log_events": "what runs",
    "rds.describe_db_log_files": "what runs",
    "rds.describe_db_snapshots": "the day's",
    "sts.get_caller_identity": "who asks",
}
"""What differs between two accounts that are built alike, and why."""
_OTHERWISE = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z)?", "‹time›"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "‹uuid›"),
    (r"(secret:[^\"]+)-\w{6}\b", r"\1‹suffix›"),
    (r"function:[\w-]+", "function:‹a person's›"),
    (r"(scalable-target|scalingPolicy)[:/]\w+", r"\1/‹id›"),
    (r"\b[0-9a-f]{8,64}\b", "‹hex›"),
    (r"\b[A-Z0-9]{13,}\b", "‹id›"),
    (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "‹mac›"),
    (r"ip(?:-\d+){4}", "‹host›"),
    (r"\b(?:\d+\.){3}\d+\b(?!/)", "‹address›"),
    (r"[\w.-]+\.(?:rds|cache)\.amazonaws\.com", "‹address›"),
    (r"\w+\.cloudfront\.net", "‹address›"),
    (r"(task-definition/\w+):\d+", r"\1:‹revision›"),
    (r"\b(?:0\.9|1\.[01])\.0\b", "‹release›"),
]
_OF_THE_SERVERS = {"ReaderEndpoint", "sslmode"}
"""What the servers that stand for RDS and ElastiCache on a stage have, or have not."""
_OF_THE_STAGE = re.compile(r"emulator:address|arn:aws:(?:lambda|sqs):|:snapshot:|:user/|:policy/")
"""Rows of lists that only a stage has: the tag with a server's address, the deployer, the day's snapshot."""
_IDS = ("NatGatewayId", "RouteTableId", "GroupId", "SubnetId", "VpcId")


def answers(folder: Path) -> dict[str, str]:
    """By call, what the account answered, from the raw files of a look."""
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    names: dict[str, str] = {}
    for row in rows:
        _collect(row["data"], names)
    found = {}
    for row in rows:
        operation = f"{row['service']}.{row['operation']}"
        if operation not in NOT_BUILT:
            call = [operation, row["region"], row["arguments"]]
            said = [row["ok"], row["error_code"], row["data"]]
            found[json.dumps(_plain(call, names))] = json.dumps(_plain(said, names), indent=1, ensure_ascii=False)
    return found


def _collect(value: Any, names: dict[str, str]) -> None:
    """The names of resources by their ids, so that what depends on what is compared, too."""
    if isinstance(value, Mapping):
        tags = [t for t in value.get("Tags") or [] if isinstance(t, Mapping) and t.get("Key") == "Name"]
        identity = next((k for k in _IDS if k in value), None)
        if tags and identity:
            names[value[identity]] = f"‹{tags[0]['Value']}›"
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _collect(inner, names)


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    """Without what differs; lists as sets, in one order."""
    if isinstance(value, str):
        for identity, name in names.items():
            value = value.replace(identity, name)
        for pattern, instead in _OTHERWISE:
            value = re.sub(pattern, instead, value)
        return value
    if isinstance(value, Mapping):
        return {_plain(k, names): _plain(v, names) for k, v in sorted(value.items()) if k not in _OF_THE_SERVERS}
    if isinstance(value, list):
        kept = [v for v in value if not (isinstance(v, Mapping) and _of_the_stage(v))]
        rows = {json.dumps(p, sort_keys=True): p for p in (_plain(v, names) for v in kept)}
        return [rows[text] for text in sorted(rows)]
    return "‹time›" if isinstance(value, int | float) and value > 10**9 else value


def _of_the_stage(row: Mapping[str, Any]) -> bool:
    return bool(_OF_THE_STAGE.search(f"{row.get('Key')} {row.get('ResourceARN')}"))
