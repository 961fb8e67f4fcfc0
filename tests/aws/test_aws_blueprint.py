"""The blueprint: every call, and every command that a finding proposes, is one that botocore's model knows."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import jmespath
import pytest
from aws_cli import arguments_of
from aws_recordings import Counting, Recorded, describe_migration
from botocore.validate import ParamValidator
from breaks import BREAKS

from cutover.aws.blueprint import BLUEPRINT, Call, Site, again
from cutover.aws.blueprint.data import storage_limit_gib
from cutover.aws.blueprint.operation import Demand, Each, Node, Wait, filled, variables
from cutover.aws.checks import check_remedied
from cutover.aws.problem import Problem
from cutover.aws.remedy import fill, runnable, script
from cutover.aws.requirements import REGISTRY, Stack, judge
from cutover.expectations import Expectations
from cutover.finding import Finding, Status

SITES = {
    "as expected": {},
    "on EC2": {"compute": "ec2"},
    "elsewhere": {"region": "eu-west-1", "dr_region": "eu-central-1"},
    "its DNS outside": {"expect": {"dns": {"external": True}, "acm": {"also_covers": ["www.shadowtwin.example"]}}},
    "plain": {"expect": {"redis": {"transit_encryption": False, "engine": "redis", "engine_version": "7.1"},
                         "alb": {"blue_target_group": "shadowtwin-tg-blue"}, "secrets": {"smtp": []}}},
}  # fmt: skip


def site(name: str) -> Site:
    """One of the sites."""
    changes = dict(SITES[name])
    changes["expect"] = Expectations.model_validate(changes.get("expect", {}))
    return Site.of(describe_migration("http://127.0.0.1:9", **changes), 17)


@cache
def client(service: str) -> Any:
    """A client that calls nobody."""
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1")
    return session.client(service)  # type: ignore[call-overload]


def calls(nodes: list[Node]) -> Iterator[Call]:
    """Every call of some nodes, those that change a thing later, too."""
    for node in nodes:
        match node:
            case Call():
                yield node
                for change in node.changes:
                    for identifier in change.settings:
                        for _, fixing in again(identifier, site("as expected")):
                            yield from (n for n in fixing if isinstance(n, Call))
            case Each():
                yield from (node.look, node.do)
            case Demand():
                yield node.look


def faults(service: str, operation: str, arguments: dict[str, Any]) -> str:
    """What botocore's model finds wrong with a call; "" when it is well formed."""
    methods = client(service).meta.method_to_api_mapping
    if operation not in methods:
        return f"{service} has no {operation}"
    shape = client(service).meta.service_model.operation_model(methods[operation]).input_shape
    return str(ParamValidator().validate(arguments, shape).generate_report()) if shape else ""


@pytest.mark.parametrize("where", SITES)
def test_every_call_is_one_of_the_api(where: str) -> None:
    """Names and types of all parameters; what is taken from an answer is in the answer's shape; waiters exist."""
    for row in BLUEPRINT.values():
        nodes = list(row.nodes(site(where)))
        for call in [*calls(nodes), *([row.probe(site(where))] if row.probe else [])]:
            given = filled(dict(call.arguments), lambda name: f"what-{name}-is-in-this-account")
            assert not faults(call.service, call.operation, given), (row.name, call)
            if call.query:
                operation = client(call.service).meta.method_to_api_mapping[call.operation]
                answer = client(call.service).meta.service_model.operation_model(operation).output_shape
                assert jmespath.compile(call.query)
                assert re.split(r"[.\[]", call.query)[0] in answer.members, call
        for wait in (n for n in nodes if isinstance(n, Wait)):
            assert wait.waiter in client(wait.service).waiter_names, wait


def test_the_validation_sees_a_wrong_call() -> None:
    """A name that the API does not have, and a value of another type."""
    assert "AllocatedStorag" in faults("rds", "create_db_instance", {"AllocatedStorag": 1})
    assert "Invalid type" in faults("ec2", "create_vpc", {"CidrBlock": 10})
    assert faults("rds", "create_database", {})


def test_every_requirement_that_the_blueprint_names_is_one() -> None:
    """Rows, calls and changes; each variable is given by a row, a call before it, or a person."""
    given = {i.name for r in BLUEPRINT.values() for i in r.asks} | {"UNIQUE", "PRIVATE_FOLDER", "NAME", "VALUE"}
    given |= {name for r in BLUEPRINT.values() for name in r.gives}
    for row in BLUEPRINT.values():
        nodes = list(row.nodes(site("as expected")))
        made = [n for n in nodes if isinstance(n, Call)]
        named = set(row.fixes).union(*(c.fixes for c in made), *(ch.settings for c in made for ch in c.changes))
        assert named <= set(REGISTRY), row.name
        here = given | {c.into for c in made} | {str(getattr(n, "name", "")) for n in nodes}
        assert set(variables([dict(c.arguments) for c in calls(nodes)])) <= here, row.name


def broken(recorded: Recorded) -> Iterator[Finding]:
    """What is found where one attribute after the other is broken, and of an account that lacks everything."""
    for one in BREAKS:
        if one.of != "ecs" or isinstance(one.value, Problem):
            continue
        try:
            answers = recorded.changed(one.call, one.path, one.value)
        except AssertionError:  # not asked of this account
            continue
        stack = recorded.stack(answers)
        yield from fill([judge(REGISTRY[one.id], stack)], stack)
    gone = recorded.failing("*", Problem.NOT_FOUND, "NotFound") | {
        k: r for k, r in recorded.responses.items() if r.call.service == "sts"
    }
    yield from check_remedied(recorded.stack(gone))


def test_every_proposed_command_is_one_of_the_cli(recorded: Recorded) -> None:
    """With values in place of what a person fills in: options and types are those of the API."""
    found: dict[str, str] = {}
    fixed = 0
    for finding in broken(recorded):
        if finding.status not in (Status.FAIL, Status.MISSING):
            continue
        for command in runnable(finding.remedy):
            fixed += 1
            words = shlex.split(command.removesuffix(" > /dev/null"))[1:]
            if words[0] == "--region":
                words = words[2:]
            service, operation, arguments = arguments_of(words, client)
            wrong = faults(service, operation, arguments)
            if wrong:
                found[finding.id] = f"{command}: {wrong}"
    assert found == {}
    assert fixed > 60


def test_every_script_is_bash(recorded: Recorded, tmp_path: Path) -> None:
    """Whatever is wrong, alone: the quoting and nesting of each command, as `bash -n` reads it."""
    file = tmp_path / "all.sh"
    stack = recorded.stack()
    file.write_text("\n".join(script([finding], stack).text for finding in broken(recorded)))
    read = subprocess.run(["bash", "-n", str(file)], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


def test_a_partial_look_proposes_what_a_full_one_does(recorded: Recorded) -> None:
    """The text of a finding's remedy does not depend on what else was looked at; little more is asked for it."""
    changed = recorded.changed("rds.describe_db_instances[shadowtwin-prod]", "DBInstances.0.MultiAZ", False)
    changed |= recorded.changed("s3.get_bucket_versioning", "Status", ...) and {
        k: r for k, r in recorded.failing("s3.head_bucket", Problem.NOT_FOUND, "404").items()
        if r.call.operation == "head_bucket"
    }  # fmt: skip
    whole = {f.id: f for f in check_remedied(recorded.stack(changed))}
    for service in ("rds", "storage"):
        reader = Counting(changed)
        stack = Stack(reader, recorded.migration, recorded.now, recorded.stack().phase, 17)
        part = check_remedied(stack, services=[service])
        assert [f.remedy for f in part] == [whole[f.id].remedy for f in part]
        assert len(reader.asked) < 30
    modify = "aws rds modify-db-instance --db-instance-identifier shadowtwin-prod --apply-immediately --multi-az"
    assert whole["RDS-09"].remedy.startswith(modify)
    assert "aws s3api create-bucket --bucket shadowtwin-reports" in whole["S3-01"].remedy


def test_what_was_said_three_times_is_said_once(recorded: Recorded) -> None:
    """Storage may grow to four times its size; the queue's parameter group is of the engine that is expected."""
    rows = {name: [n for n in BLUEPRINT[name].nodes(site("plain")) if isinstance(n, Call)] for name in BLUEPRINT}
    assert rows["database"][0].arguments["MaxAllocatedStorage"] == storage_limit_gib(100) == 400
    assert rows["cache-parameters"][0].arguments["CacheParameterGroupFamily"] == "redis7"
    assert rows["queue"][0].arguments["EngineVersion"] == "7.1"
    small = recorded.changed("rds.describe_db_instances[shadowtwin-prod]", "DBInstances.0.MaxAllocatedStorage", 100)
    (growth,) = [f for f in check_remedied(recorded.stack(small), services=["rds"]) if f.id == "RDS-07"]
    assert "--max-allocated-storage 400 " in growth.remedy
    evicting = recorded.changed("elasticache.describe_cache_parameters",
                                "Parameters.ParameterName=maxmemory-policy.ParameterValue", "volatile-lru")  # fmt: skip
    (policy,) = [f for f in check_remedied(recorded.stack(evicting), services=["redis"]) if f.id == "RED-17"]
    assert '"CacheParameterGroupFamily": "valkey8"' in policy.remedy
