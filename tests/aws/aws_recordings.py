"""Emulators in processes of their own, and responses recorded from one, to be judged with something changed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from emulator_process import EmulatorProcess

from cutover.aws import Call, Response
from cutover.aws.problem import Problem
from cutover.aws.requirements import REGISTRY, Phase, Recording, Stack, check_stack, judge
from cutover.finding import Finding
from cutover.migration import Migration

PASSWORD = "pl4nted-p4ssword"


class Cloud(EmulatorProcess):
    """An emulator, its journal of calls, and faults for it."""

    def calls(self, service: str, operation: str) -> list[dict[str, Any]]:
        """What the emulator's journal holds of an operation (in the API's spelling)."""
        lines = (self.state / "calls.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines if line]
        return [r for r in rows if r["service"] == service and r["operation"] == operation]

    def fault(self, *faults: Mapping[str, Any]) -> None:
        """Make calls fail; none takes every fault away."""
        target = self.state / "faults.json"
        target.unlink(missing_ok=True)
        if faults:
            temporary = target.with_suffix(".new")
            temporary.write_text(json.dumps(list(faults)))
            temporary.replace(target)


def describe_migration(endpoint: str, **changes: Any) -> Migration:
    """A rehearsal's migration against one emulator."""
    raw: dict[str, Any] = {
        "name": "shadowtwin",
        "environment": "rehearsal",
        "account_id": "123456789012",
        "region": "us-east-1",
        "dr_region": "us-west-2",
        "hostname": "app.shadowtwin.example",
        "contacts": {"technical_lead": "Test"},
        "source": {
            "database_url": "stage:source.database_url",
            "redis_url": "stage:source.redis_url",
            "app_url": "http://127.0.0.1:1",
            "reports": "file:///srv/reports",
        },
        "target": {
            "database_url": "secretsmanager:shadowtwin/database",
            "redis_url": "secretsmanager:shadowtwin/redis",
            "reports": "s3://shadowtwin-reports",
        },
        "release": {"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/shadowtwin:1.1.0", "version": "1.1.0"},
        "test_user": "env:TEST_LOGIN",
        "backups": "stage:backups",
        "aws_endpoint": endpoint,
    }
    known = set(Migration.model_fields)
    return Migration.model_validate({k: v for k, v in (raw | changes).items() if k in known})


_SECRETS = json.dumps({"openai": f"sk-{PASSWORD}-openai"})
URLS = (
    "--database-url",
    f"postgresql://shadowtwin_app:{PASSWORD}@127.0.0.9:5432/shadowtwin",
    "--redis-url",
    f"rediss://:{PASSWORD}@127.0.0.9:6379/0",
    "--secrets",
    _SECRETS,
)


@dataclass
class Recorded:
    """The responses of one whole look at the provisioned account, to be judged again with something changed."""

    migration: Migration
    folder: Path
    responses: dict[str, Response]
    now: datetime

    def stack(
        self, responses: Mapping[str, Response] | None = None, *, phase: Phase = Phase.DAY, **changes: Any
    ) -> Stack:
        """A stack over these responses, or changed ones."""
        migration = self.migration.model_copy(update=changes)
        return Stack(Recording(responses or self.responses), migration, self.now, phase, 17)

    def judge(self, identifier: str, responses: Mapping[str, Response] | None = None, **options: Any) -> Finding:
        """One requirement's finding."""
        return judge(REGISTRY[identifier], self.stack(responses, **options))

    def findings(self, responses: Mapping[str, Response] | None = None, **options: Any) -> dict[str, Finding]:
        """Every requirement's finding, by id."""
        return {f.id: f for f in check_stack(self.stack(responses, **options))}

    def changed(self, selector: str, path: str, value: Any) -> dict[str, Response]:
        """The responses with one field changed.

        Args:
            selector: `rds.describe_db_instances`, or `secretsmanager.describe_secret[shadowtwin/redis]` to choose by
                an argument.
            path: dotted; a number is an index, `name=x` the row in which `name` is `x`, `*` every row.
            value: the new value; `...` takes the field away.
        """
        operation, _, argument = selector.partition("[")
        found = {
            k: r
            for k, r in self.responses.items()
            if f"{r.call.service}.{r.call.operation}" == operation
            and (not argument or argument.rstrip("]") in json.dumps(dict(r.call.arguments)))
        }
        assert found, f"nothing recorded of {selector}"
        return self.responses | {k: replaced(r, data=_set(r.data, path, value)) for k, r in found.items()}

    def failing(self, selector: str, problem: Problem, code: str) -> dict[str, Response]:
        """The responses with the calls of an operation (or `*`, all) without an answer."""
        return {
            k: replaced(r, ok=False, data={}, problem=problem, error_code=code, message="as asked")
            if selector in ("*", f"{r.call.service}.{r.call.operation}")
            else r
            for k, r in self.responses.items()
        }


class Counting(Recording):
    """Remembers which operations were asked."""

    def __init__(self, responses: Mapping[str, Response]) -> None:
        super().__init__(responses)
        self.asked: set[str] = set()

    def call(self, service: str, operation: str, /, **arguments: Any) -> Response:
        """The recorded response."""
        self.asked.add(f"{service}.{operation}")
        return super().call(service, operation, **arguments)


class Refusing(Recording):
    """Answers every call with the same problem; STS as it is recorded in `but`."""

    def __init__(self, problem: Problem, code: str, but: Mapping[str, Response] | None = None) -> None:
        super().__init__(but or {})
        self.problem, self.code, self.but = problem, code, but

    def call(self, service: str, operation: str, /, **arguments: Any) -> Response:
        """No answer."""
        if self.but and service == "sts":
            return super().call(service, operation, **arguments)
        call = Call(service, operation, arguments)
        return Response(call, False, problem=self.problem, error_code=self.code, message="as asked")


def replaced(response: Response, **changes: Any) -> Response:
    """A response with some of its attributes changed."""
    return Response(**{name: getattr(response, name) for name in Response.__slots__} | changes)


def _set(data: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    whole = copy.deepcopy(dict(data))
    parts = re.split(r"(?<!\\)\.", path)
    targets: list[Any] = [whole]
    for part in parts[:-1]:
        targets = [step for target in targets for step in _step(target, part.replace("\\.", "."))]
    assert targets, f"nothing at {path}"
    last = parts[-1].replace("\\.", ".")
    for target in targets:
        if value is ...:
            target.pop(last, None)
        elif isinstance(target, list):
            target[int(last)] = value
        else:
            target[last] = value
    return whole


def _step(target: Any, part: str) -> list[Any]:
    if isinstance(target, list):
        if part == "*":
            return list(target)
        if "=" in part:
            name, _, wanted = part.partition("=")
            return [row for row in target if str(row.get(name)) == wanted]
        return [target[int(part)]]
    return [target.setdefault(part, {})]
