"""Load workers as tasks on Fargate: planned, started once, read back, and none left, whatever went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_recordings import Cloud

from cutover.action import Action, Change
from cutover.aws import Account, LoadWorkers
from cutover.errors import ActionRefused, AwsError
from cutover.finding import Status
from cutover.migration import Fargate

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/shadowtwin-load:1"
CLUSTER = "shadowtwin-cluster"
LOGIN = {"CUTOVER_LOAD_LOGIN": "secretsmanager:shadowtwin/smtp#SMTP_USER"}


def workers(account: Account, count: int = 3, **changes: Any) -> LoadWorkers:
    """An action over the guide's service."""
    given: dict[str, Any] = {
        "command": ["python", "-m", "locust", "--worker", "--master-host", "10.0.1.17"],
        "environment": {"CUTOVER_LOAD_ARRIVALS_PER_S": "50"},
        "secrets": LOGIN,
        "run": "20261123T120000Z-staging-05",
        "lives": timedelta(minutes=30),
        "timeout_s": 2,
    }
    return LoadWorkers(account, Fargate(image=IMAGE), count, **(given | changes))


def alive(account: Account, started_by: str) -> list[str]:
    """The tasks of a run that are meant to run."""
    answer = account.client("ecs").list_tasks(cluster=CLUSTER, startedBy=started_by, desiredStatus="RUNNING")
    return list(answer["taskArns"])


@pytest.fixture
def tidy(changing_account: Account) -> Iterator[Account]:
    """The account; no worker and no revision is left for the next test."""
    yield changing_account
    ecs = changing_account.client("ecs")
    for arn in ecs.list_tasks(cluster=CLUSTER, desiredStatus="RUNNING", family="shadowtwin-load-worker")["taskArns"]:
        ecs.stop_task(cluster=CLUSTER, task=arn)
    for arn in ecs.list_task_definitions(familyPrefix="shadowtwin-load-worker")["taskDefinitionArns"]:
        ecs.deregister_task_definition(taskDefinition=arn)


def test_the_plan_is_exact_priced_and_holds_no_login(tidy: Account) -> None:
    """The network is the service's, the login a reference, the end of each task is its own."""
    action = workers(tidy, 12)
    plan = action.plan()
    assert isinstance(action, Action)
    assert [r["call"] for r in plan.requests] == ["ecs.register_task_definition", "ecs.run_task", "ecs.run_task"]
    definition, first, second = (r["arguments"] for r in plan.requests)
    assert (first["count"], second["count"]) == (10, 2), "ECS takes ten at once"
    (container,) = definition["containerDefinitions"]
    assert container["image"] == IMAGE
    assert "environment" not in container
    (login,) = container["secrets"]
    assert login["valueFrom"].startswith("arn:aws:secretsmanager:")
    assert login["valueFrom"].endswith(":SMTP_USER::")
    assert first["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    (override,) = first["overrides"]["containerOverrides"]
    assert override["command"][:4] == ["timeout", "--signal=INT", "--kill-after=30", "1800"]
    # 12 tasks for half an hour, each 1 vCPU and 2 GB
    assert f"{12 * 0.5 * (0.04048 + 2 * 0.004445):.2f} USD" in plan.summary
    assert plan.hash == workers(tidy, 12).plan().hash
    assert not alive(tidy, action.started_by)


def test_workers_are_started_once_verified_and_stopped(tidy: Account) -> None:
    """A second time nothing happens; the way back leaves neither task nor revision."""
    action = workers(tidy)
    plan = action.plan()
    change = Change(plan, action.apply(plan), "", 0.0)
    assert len(alive(tidy, action.started_by)) == 3
    assert {f.id: f.status for f in action.verify(change)} == {"LDW-01": Status.PASS, "LDW-02": Status.PASS}
    again = action.plan()
    assert again.empty
    assert action.apply(again)["changed"] is False
    assert len(alive(tidy, action.started_by)) == 3
    undone = action.undo(change)
    assert len(undone["stopped"]) == 3
    assert alive(tidy, action.started_by) == []
    revisions = tidy.client("ecs").list_task_definitions(familyPrefix="shadowtwin-load-worker")
    assert revisions["taskDefinitionArns"] == []
    assert action.undo(change)["stopped"] == []
    assert {f.id: f.status for f in action.verify(change)}["LDW-01"] is Status.FAIL


def test_a_lost_worker_is_found_and_started_again_alone(tidy: Account) -> None:
    """By what runs, not by what was started."""
    action = workers(tidy)
    plan = action.plan()
    change = Change(plan, action.apply(plan), "", 0.0)
    tidy.client("ecs").stop_task(cluster=CLUSTER, task=alive(tidy, action.started_by)[0])
    assert action.verify(change)[0].observed.startswith("2 RUNNING")
    fixed = action.plan()
    assert [r["arguments"]["count"] for r in fixed.requests] == [1], "the revision is registered already"
    assert action.plan().before["task_definition"] == change.result["registered"]


def test_another_load_has_workers_of_its_own(tidy: Account) -> None:
    """One run's sweep leaves the other's alone."""
    ours, theirs = workers(tidy, 1), workers(tidy, 1, run="another")
    for action in (ours, theirs):
        action.apply(action.plan())
    assert ours.swept().status is Status.PASS
    assert alive(tidy, ours.started_by) == []
    assert len(alive(tidy, theirs.started_by)) == 1


def test_a_start_that_fails_half_way_leaves_nothing(changing: Cloud, tidy: Account) -> None:
    """The first ten are running when they cannot be described: they are stopped, and the revision goes."""
    action = workers(tidy, 11)
    plan = action.plan()
    changing.fault({"service": "ecs", "operation": "DescribeTasks", "error": "AccessDenied"})
    with pytest.raises(AwsError, match="DescribeTasks"):
        action.apply(plan)
    changing.fault()
    assert alive(tidy, action.started_by) == []
    assert tidy.client("ecs").list_task_definitions(familyPrefix="shadowtwin-load-worker")["taskDefinitionArns"] == []


def test_what_cannot_be_swept_is_not_called_swept(changing: Cloud, tidy: Account) -> None:
    """The remedy stops them by hand."""
    action = workers(tidy, 1)
    action.apply(action.plan())
    changing.fault({"service": "ecs", "operation": "StopTask", "error": "AccessDenied"})
    found = action.swept()
    changing.fault()
    assert found.status is Status.UNKNOWN
    assert f"--started-by {action.started_by}" in found.remedy


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"secrets": {"CUTOVER_LOAD_LOGIN": "env:LOGIN"}}, "no ECS task can read"),
        ({"environment": {"CUTOVER_LOAD_SCHEDULE": json.dumps(list(range(3000)))}}, "longer than"),
    ],
    ids=["a login that is no secret of AWS", "a schedule that no call can carry"],
)
def test_what_cannot_work_is_refused_before_anything_starts(tidy: Account, changes: dict[str, Any], says: str) -> None:
    """In words."""
    with pytest.raises(ActionRefused, match=says):
        workers(tidy, **changes).plan()


def test_a_secret_that_is_not_there_is_named(tidy: Account) -> None:
    """Before a task dies of it."""
    with pytest.raises(AwsError, match="no/such"):
        workers(tidy, secrets={"CUTOVER_LOAD_LOGIN": "secretsmanager:no/such"}).plan()
