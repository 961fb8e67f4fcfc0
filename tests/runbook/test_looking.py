"""What the rollback decision asks beside the findings, and how it is argued."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from standin import closed_port

from cutover.finding import Finding, Severity, Status
from cutover.judgement import MATRIX, Looks, diagnose
from cutover.procedures.decision import arguments
from cutover.procedures.symptoms import look_around
from cutover.rehearsal.postgres import Server
from cutover.rehearsal.valkey import ValkeyServer

FIRED = Finding("TRG-error-rate", "x", Status.FAIL, Severity.BLOCKER, observed="9 %", trigger=True)


def step(database: str, queue: str, folder: Path) -> Any:
    """As much of a step as is asked."""
    made = [{"change": {"plan": {"action": name}}} for name in ("transfer", "deploy-service")]
    return SimpleNamespace(
        migration=SimpleNamespace(target=SimpleNamespace(database_url=database, redis_url=queue)),
        journal=SimpleNamespace(entries=lambda kind: made if kind == "change" else []),
        resolve=lambda reference: reference,
        run=SimpleNamespace(path=folder),
    )


def test_database_and_queue_are_asked_themselves(pg17: Server, valkey: ValkeyServer, tmp_path: Path) -> None:
    """A sign of life from each, and the changes, the latest first."""
    looks = look_around(step(pg17.url(), valkey.url, tmp_path), [FIRED])
    assert looks.database_answers == (True, "SELECT 1 was answered")
    assert looks.queue_answers == (True, "PING was answered")
    assert list(looks.changes) == ["deploy-service", "transfer"]
    assert looks.errors == {}


def test_what_does_not_answer_is_said_with_its_message(tmp_path: Path) -> None:
    """It never fails: the decision is needed most when everything is down."""
    dead = closed_port()
    looks = look_around(step(f"postgresql://u:p@127.0.0.1:{dead}/x", f"redis://127.0.0.1:{dead}/0", tmp_path), [FIRED])
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
