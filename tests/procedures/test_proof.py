"""What notebooks 12 and 13 say for everyone: the sentence of the proof, what it took, and which queues run again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis

from cutover import runbook
from cutover.action import Change, Plan
from cutover.finding import Finding, Severity, Status
from cutover.postgres import Comparison, TableComparison
from cutover.queue import CarryQueues, PauseQueues
from cutover.rehearsal import valkey as vk
from cutover.step import Step

INSTANT = {"id": "1", "lsn": "0/5A3C1F8", "at": "2026-11-23T17:20:03+00:00", "database": "app@db:5432/shadowtwin"}


@pytest.fixture
def step(migration: dict[str, Any]) -> Step:
    """Notebook 13 at work."""
    return runbook.begin("13_data_integrity", migration)


def compared(**changed: Status) -> Comparison:
    """Two tables and a materialised view, everything identical; findings with other statuses by id."""
    tables = [
        TableComparison("public.users", source_rows=300_000, target_rows=300_000),
        TableComparison("public.plans", source_rows=36, target_rows=36),
        TableComparison("public.daily", "materialized view", source_rows=7, target_rows=7),
    ]
    ids = {"INT_rows": Status.PASS, "INT_catalog": Status.PASS, "INT_sequences": Status.PASS} | changed
    findings = [
        Finding(i.replace("_", "-"), "Every row of every table has arrived", status, Severity.BLOCKER, observed="seen")
        for i, status in ids.items()
    ]
    return Comparison(findings, tables, 3.21, INSTANT, INSTANT, "hash")


def test_the_proof_is_one_sentence_for_everyone(step: Step) -> None:
    """Tables, rows, sequences, indexes, constraints, and the instant; what is made anew is not counted in."""
    said = runbook.pictures.proof(step, compared())
    assert said.text == (
        "All 2 tables, 300,036 rows, every sequence, index and constraint: identical, as of 2026-11-23 17:20:03 UTC."
    )
    assert "0/5A3C1F8" in said.small
    assert "3.2 s" in said.small


@pytest.mark.parametrize(
    "changed",
    [
        {"INT_rows": Status.FAIL},
        {"INT_catalog": Status.UNKNOWN},
        {"INT_sequences": Status.FAIL},
        {"INT_printing": Status.UNKNOWN},
        {"INT_left": Status.NOT_COMPARED},
    ],
)
def test_it_is_not_said_over_anything_that_was_not_proven(step: Step, changed: dict[str, Status]) -> None:
    """One finding that did not pass, and the comparison's sentence says that instead."""
    found = compared(**changed)
    said = runbook.pictures.proof(step, found)
    assert (said.proven, said.text) == (False, found.sentence())
    assert said.text.startswith(("Different: ", "Not comparable: "))
    assert ": identical" not in said.text


def test_it_is_not_said_over_rows_that_differ_nor_over_a_part_nor_over_nothing(step: Step) -> None:
    """Whatever the findings say."""
    one, part, nothing = compared(), compared(), compared()
    one.tables[0].different = 1
    nothing.tables.clear()
    part = Comparison(part.findings, part.tables, 1.0, INSTANT, INSTANT, "hash", left_out=("public.secret",))
    for comparison in (one, part, nothing):
        assert not runbook.pictures.proof(step, comparison).proven


def test_expected_differences_stand_in_the_sentence(step: Step) -> None:
    """Identical but for them, and how many."""
    found = compared()
    data = {"differences": [{"object": "table public.users"}, {"object": "table public.plans"}]}
    owners = Finding("INT-catalog-owner:declared", "Owners", Status.WAIVED, waived_from=Status.FAIL, data=data)
    found = replace(found, findings=[*found.findings, owners])
    assert "identical, but for 2 expected differences, as of" in runbook.pictures.proof(step, found).text
    assert runbook.pictures.proof(step, found).proven


def test_what_it_took_stands_beside_the_forecast(step: Step) -> None:
    """Part by part and together; without a trial it says so, and a plan took nothing."""
    measured = {"seconds": {"dump": 12.0, "data": 30.0}}
    change = Change(Plan("transfer", "a → b", "copy"), {"measured": measured}, "", 42.0)
    assert runbook.pictures.took(step, None) is None
    without = runbook.pictures.took(step, change)
    assert list(without["between"]) == ["no trial", "no trial", pytest.approx(float("nan"), nan_ok=True)]
    parts = [
        {"name": "dump", "measured_s": 1.0, "seconds": 10.0, "low_s": 8.0, "high_s": 13.0},
        {"name": "data", "measured_s": 2.0, "seconds": 28.0, "low_s": 20.0, "high_s": 40.0},
    ]
    step.remember("forecast", {"parts": parts})
    beside = runbook.pictures.took(step, change)
    assert list(beside.loc["together"]) == [42.0, 38.0, "28.0 and 53.0"]
    assert list(beside.loc["dump"]) == [12.0, 10.0, "8.0 and 13.0"]


@pytest.fixture
def queues(
    valkey: vk.ValkeyServer, migration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Step]:
    """`queues(name)`: a step of this notebook, on two databases of a server of their own."""
    source, target = valkey.url[:-1] + "0", valkey.url[:-1] + "1"
    monkeypatch.setenv("SOURCE_REDIS_URL", source)
    monkeypatch.setenv("TARGET_REDIS_URL", target)
    migration["source"]["redis_url"] = "env:SOURCE_REDIS_URL"
    migration["target"]["redis_url"] = "env:TARGET_REDIS_URL"
    return lambda name: runbook.begin(name, migration)


def test_what_our_freeze_paused_runs_again_and_what_stood_still_before_does_not(
    queues: Callable[[str], Step], valkey: vk.ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a freeze that was begun twice: the second one found its own pause."""
    monkeypatch.setattr("cutover.queue.CarryQueues.plan", lambda self: self._before)
    step = queues("12_data_migration")
    for found in ({"emails": False, "invoices": True}, {"emails": True, "invoices": True, "late": False}):
        plan = Plan(PauseQueues.name, "redis", "pause", before={"paused": found}, after={"paused": {}})
        step.journal.write("change-begun", plan=plan.to_dict(), approver="rehearsal")
    action = runbook.freeze.queues_change(step)
    assert isinstance(action, CarryQueues)
    assert action.plan() == {"emails": False, "invoices": True, "late": False}


def test_queues_that_were_not_carried_are_not_passed(queues: Callable[[str], Step], valkey: vk.ValkeyServer) -> None:
    """Carried over is what a journal says, and only then they are compared."""
    step = queues("13_data_integrity")
    name = f"bull:q{secrets.token_hex(3)}"
    with redis.Redis.from_url(valkey.url[:-1] + "0") as here:
        here.hset(f"{name}:meta", "paused", 1)
        here.hset(f"{name}:1", mapping={"name": "mail", "data": "{}", "opts": "{}", "timestamp": 1})
        here.rpush(f"{name}:wait", 1)
        try:
            (finding,) = runbook.freeze.compare_queues(step)
            plan = Plan(CarryQueues.name, "redis", "carry", before={"a": 1}, after={"a": 2})
            step.journal.write("change-begun", plan=plan.to_dict(), approver="rehearsal")
            found = {f.id: f.status for f in runbook.freeze.compare_queues(step)}
        finally:
            here.delete(f"{name}:meta", f"{name}:1", f"{name}:wait")
    assert (finding.status, finding.closes_gate) == (Status.UNKNOWN, True)
    assert found["QUE-05"] is Status.FAIL
