"""What the notebooks ask for by name: tools, where load may go, tables and tallies."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status
from cutover.migration import Migration
from cutover.procedures.load_test import load_target
from cutover.procedures.overview import lessons, planned_changes, snapshot_name, tally
from cutover.procedures.prerequisites import check_local_tools

PARAMS = Path(__file__).resolve().parent.parent.parent / "params" / "staging.yml"


def step(**changes: Any) -> Any:
    """As much of a step as these need: resolved addresses, no references."""
    raw = copy.deepcopy(yaml.safe_load(PARAMS.read_text())["migration"])
    raw["source"] |= {"app_url": "https://replit.example", "database_url": "postgresql://app@source/app"}
    raw["target"] |= {"database_url": "postgresql://app@target/app"}
    raw["staging"] = {"database_url": "postgresql://app@staging/app", "app_url": "https://staging.example"}
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if key:
            raw.setdefault(section, {})[key] = value
        else:
            raw[section] = value
    migration = Migration.model_validate(raw)
    return SimpleNamespace(migration=migration, resolve=lambda ref: ref, run=SimpleNamespace(name="20261123T120000Z-x"))


def test_load_goes_to_staging() -> None:
    """By default, and nowhere else."""
    assert load_target(step()) == "https://staging.example"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"staging__app_url": "https://replit.example/"}, "the source"),
        ({"staging__app_url": "https://REPLIT.example:443"}, "the source"),
        ({"staging__app_url": "https://app.staging.shadowtwin.example"}, "public name"),
        ({"staging__database_url": "postgresql://other@target/elsewhere"}, None),
        ({"staging__database_url": "postgresql://other@target/app"}, "production target"),
        ({"staging__database_url": "postgresql://app@target/app"}, "production target"),
        ({"staging__database_url": "postgresql://app@source/app"}, "production target"),
        ({"load__against": "target"}, "target_is_disposable"),
        ({"staging": None}, "no `staging`"),
    ],
)
def test_load_is_never_sent_where_it_would_hurt(changes: dict[str, Any], says: str | None) -> None:
    """The source's address, the production target database, a target that nobody called disposable."""
    if says is None:
        assert load_target(step(**changes))
        return
    with pytest.raises(UsageError, match=says):
        load_target(step(**changes))


def test_a_target_that_is_called_disposable_may_be_loaded() -> None:
    """In as many words."""
    chosen = step(load__against="target", load__target_is_disposable=True, target__app_url="https://alb.example")
    assert load_target(chosen) == "https://alb.example"


def test_a_client_older_than_the_source_is_missing() -> None:
    """No pg_dump is new enough for a major that does not exist yet."""
    (client,) = [f for f in check_local_tools(42) if f.id == "LOC-04"]
    assert client.status is Status.MISSING
    assert client.severity is Severity.BLOCKER
    (client,) = [f for f in check_local_tools(17) if f.id == "LOC-04"]
    assert client.status is Status.PASS


def test_a_tool_that_is_not_there_is_shown_and_closes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The AWS CLI runs remedies; looking does without."""
    (tmp_path / "docker").write_text("#!/bin/sh\necho Docker version 27.1\n")
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "node").write_text("#!/bin/sh\necho v18.0.0\n")
    (tmp_path / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    seen = {f.id: f for f in check_local_tools(17) if f.id != "LOC-04"}
    assert {k: str(v.status) for k, v in seen.items()} == {"LOC-01": "MISSING", "LOC-02": "PASS", "LOC-03": "FAIL"}
    assert not any(f.closes_gate for f in seen.values())


def test_a_tally_counts_by_service_and_status() -> None:
    """A row a service, a column a status that occurs."""
    findings = [
        Finding("RDS-01", "a", Status.PASS),
        Finding("RDS-02", "b", Status.FAIL),
        Finding("ALB-01", "c", Status.PASS),
    ]
    frame = tally(findings)
    assert frame.loc["RDS"].to_dict() == {"PASS": 1, "FAIL": 1}
    assert frame.loc["ALB"].to_dict() == {"PASS": 1, "FAIL": 0}


def test_lessons_are_wanted_until_somebody_writes_them() -> None:
    """MANUAL, low: the gate stays open, and the report says that they are missing."""
    assert lessons("  ")[0].status is Status.MANUAL
    assert lessons("freeze later")[0].status is Status.PASS


def test_planned_changes_are_read_from_a_run(tmp_path: Path) -> None:
    """In the order of the steps."""
    (tmp_path / "plan").mkdir()
    for name in ("14_deploy", "10_final_backup"):
        plan = {"summary": f"do {name}", "subject": "s", "undo": "u"}
        (tmp_path / "plan" / f"{name}-x.json").write_text(json.dumps({"step": name, "state": "planned", "plan": plan}))
    assert [row["step"] for row in planned_changes(tmp_path)] == ["10_final_backup", "14_deploy"]


def test_a_snapshot_carries_its_minute() -> None:
    """Two runs never share a name."""
    assert snapshot_name(step()) == "shadowtwin-pre-migration-202611231200"
