"""Load workers as a notebook has them: only when asked for, only with apply, and swept whatever happens."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from cutover import aws
from cutover.errors import UsageError
from cutover.finding import Finding
from cutover.migration import Load
from cutover.procedures.load_test import _of_a_worker, load_workers

FARGATE = {"image": "repository/shadowtwin-load:1", "join": "10.0.1.17:5557", "login": "secretsmanager:load/login"}


def step(*, apply: bool = False, environment: str = "staging", **fargate: Any) -> Any:
    """As much of a step as the workers need."""
    given = {k: v for k, v in (FARGATE | fargate).items() if v is not None}
    load = Load.model_validate({"master": "0.0.0.0:5557", "workers": 3, "fargate": given})
    migration = SimpleNamespace(load=load, environment=environment, test_user="env:LOGIN", name="shadowtwin")
    recorded: list[Finding] = []
    return SimpleNamespace(
        migration=migration,
        run=SimpleNamespace(name="20261123T120000Z-staging-05", raw=lambda _: None),
        name="05_load_test",
        apply=apply,
        recorded=recorded,
        record=lambda findings, title: recorded.extend(findings),
        change=lambda action: SimpleNamespace(result={"registered": "arn:1"}) if apply else None,
    )


class Workers:
    """Remembers what it was made of, and whether it was swept."""

    made: dict[str, Any]
    swept_with: list[Any]

    def __init__(self, account: Any, fargate: Any, count: int, **given: Any) -> None:
        Workers.made, Workers.swept_with = {"count": count, **given}, []

    def swept(self, change: Any = None) -> str:
        """LDW-03."""
        Workers.swept_with.append(change)
        return "LDW-03"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "LoadWorkers", Workers)
    monkeypatch.setattr(aws, "Account", lambda *_, **__: None)


def test_nothing_happens_when_no_workers_are_asked_for() -> None:
    """The default: no account is needed for a load test."""
    quiet = SimpleNamespace(migration=SimpleNamespace(load=Load()))
    with load_workers(quiet) as change:
        assert change is None


def test_the_workers_know_their_master_and_no_login() -> None:
    """The command is the image's, the login a reference."""
    with load_workers(step(apply=True)):
        pass
    made = Workers.made
    assert made["count"] == 3
    assert made["command"][:4] == ["python", "-m", "locust", "-f"]
    assert "/cutover/locustfiles/shadowtwin.py" in made["command"]
    assert made["command"][made["command"].index("--master-host") + 1] == "10.0.1.17"
    assert not [name for name in made["environment"] if "LOGIN" in name]
    assert made["secrets"] == {"CUTOVER_LOAD_LOGIN": "secretsmanager:load/login"}


def test_whatever_goes_wrong_inside_they_are_swept() -> None:
    """With the change, so that the revision goes too."""
    begun = step(apply=True)
    with suppress(KeyboardInterrupt), load_workers(begun):
        raise KeyboardInterrupt
    assert len(Workers.swept_with) == 1
    assert Workers.swept_with[0] is not None
    assert begun.recorded == ["LDW-03"]


def test_without_apply_they_are_planned_and_the_load_is_not_sent() -> None:
    """A load that waits for workers that nobody starts would say nothing."""
    with pytest.raises(UsageError, match="only plan"), load_workers(step()):
        raise AssertionError("the load was sent")


@pytest.mark.parametrize("join", [None, "127.0.0.1:5557", "localhost:5557"])
def test_an_address_that_means_another_machine_there_is_refused(join: str | None) -> None:
    """The master listens at 0.0.0.0; a task that calls there calls itself."""
    with pytest.raises(UsageError, match="cannot reach their master"):
        _of_a_worker(step(join=join))


def test_workers_without_a_master_are_refused_in_the_parameters() -> None:
    """And an image that moves, and a login that no task can read."""
    for wrong in ({"fargate": FARGATE}, {"master": "a:1", "fargate": FARGATE | {"image": "x:latest"}}):
        with pytest.raises(ValueError, match=r"load\.master|pin a tag"):
            Load.model_validate(wrong)
    with pytest.raises(ValueError, match="secretsmanager:name"):
        Load.model_validate({"master": "a:1", "fargate": FARGATE | {"login": "env:LOGIN"}})
