"""What the rollback decision asks beside the findings, and how it is argued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from night import Context
from standin import closed_port

from cutover.action import Change, Plan
from cutover.finding import Finding, Severity, Status
from cutover.judgement import MATRIX, Looks, diagnose
from cutover.params import from_dict
from cutover.procedures.decision import arguments
from cutover.procedures.symptoms import look_around
from cutover.rehearsal.postgres import Server
from cutover.rehearsal.valkey import ValkeyServer
from cutover.step import Journal, RunFolder
from cutover.step.journal import FileStore

FIRED = Finding("TRG-error-rate", "x", Status.FAIL, Severity.BLOCKER, observed="9 %", trigger=True)


def step(raw: dict[str, Any], database: str, queue: str, folder: Path) -> Context:
    """A step after two changes."""
    raw |= {"environment": "rehearsal", "account_id": "123456789012", "aws_endpoint": "http://127.0.0.1:1"}
    raw["source"] |= {"app_url": "http://127.0.0.1:1", "database_url": database, "redis_url": queue}
    raw["target"] |= {"database_url": database, "redis_url": queue}
    journal = Journal(FileStore(folder / "journal.jsonl"))
    for name in ("transfer", "deploy-service"):
        journal.write("change", change=Change(Plan(name, "a", "b"), {}, "", 0.0).to_dict())
    return Context("90_rollback_decision", from_dict(raw, "the test").migration, journal, RunFolder(folder))


def test_database_and_queue_are_asked_themselves(
    pg17: Server, valkey: ValkeyServer, migration: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign of life from each, and the changes, the latest first."""
    monkeypatch.setenv("DATABASE", pg17.url())
    monkeypatch.setenv("QUEUE", valkey.url)
    looks = look_around(step(migration, "env:DATABASE", "env:QUEUE", tmp_path), [FIRED])
    assert looks.database_answers == (True, "SELECT 1 was answered")
    assert looks.queue_answers == (True, "PING was answered")
    assert list(looks.changes) == ["deploy-service", "transfer"]
    assert looks.errors == {}


def test_what_does_not_answer_is_said_with_its_message(
    migration: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never fails: the decision is needed most when everything is down."""
    dead = closed_port()
    monkeypatch.setenv("DATABASE", f"postgresql://u:p@127.0.0.1:{dead}/x")
    monkeypatch.setenv("QUEUE", f"redis://127.0.0.1:{dead}/0")
    looks = look_around(step(migration, "env:DATABASE", "env:QUEUE", tmp_path), [FIRED])
    for answer in (looks.database_answers, looks.queue_answers):
        assert answer is not None
        ok, said = answer
        assert not ok
        assert said


def test_every_row_is_argued_and_what_nobody_looked_at_is_a_row_too() -> None:
    """For somebody who disagrees."""
    table = arguments(diagnose([FIRED], looks=Looks(changes=["deploy-service"])))
    assert set(table.index) == {row.issue for row in MATRIX.values()} | {"not looked at"}
    assert table.index[0] == "Application bug"
    assert "+1 the release was changed last" in table.iloc[0]["for"]
    assert "targets' health" in table.loc["not looked at", "for"]
