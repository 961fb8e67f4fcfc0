"""The whole migration when everything goes well."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from scenario_runs import evidence

from cutover.rehearsal.rehearse import rehearse as run_in_process
from cutover.rehearsal.scenarios import SCENARIOS

pytestmark = [pytest.mark.timeout(900)]


def test_a_clean_rehearsal_does_all_the_work_and_writes_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GO stands on work that was done; passwords of database URLs, logins and AWS secrets appear nowhere.

    The passwords of the stage are made recognisable: they stand in the database URLs, in Secrets Manager (database,
    redis, openai) and in the logins of the critical flows, and every notebook uses them.
    """
    mark = "Pl4ntedPa55"
    marked = SimpleNamespace(token_urlsafe=lambda _: mark + os.urandom(6).hex())
    marked.token_hex = marked.token_urlsafe
    monkeypatch.setattr("cutover.rehearsal.stage.secrets", marked)
    outputs = tmp_path / "outputs"
    lines: list[str] = []
    result = run_in_process("clean", fast=True, rows=20_000, outputs=outputs, say=lines.append)
    assert result.exit_code == 0, "\n".join(lines)
    run, verdict, findings = evidence(outputs)
    steps = {step["name"]: step for step in verdict["steps"]}
    assert set(steps) == set(SCENARIOS["clean"].notebooks)
    assert {step["state"] for step in steps.values()} == {"completed"}
    rows = [f for f in findings if f["id"].startswith("INT-rows:") and f["step"] == "13_data_integrity"]
    assert len(rows) >= 10
    assert all(f["status"] == "PASS" for f in rows)
    assert sum(f["data"]["rows_source"] for f in rows) >= 18_000
    unknown = [f["id"] for f in findings if f["status"] == "UNKNOWN" and f["severity"] in ("blocker", "high")]
    assert unknown == []
    assert len(list((run / "plan").glob("*.json"))) >= 8
    forms = [mark.encode(), *(base64.b64encode(b"x" * n + mark.encode())[4:-4] for n in range(3))]
    for path in outputs.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(form in content for form in forms), path
