"""The switch-over of a replicated copy: proven at the switchover LSN, or rolled back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scenario_runs import evidence, rehearse

from cutover.rehearsal.faults import VICTIM
from cutover.rehearsal.visitors import refusal

pytestmark = [pytest.mark.timeout(900)]


def test_a_replicated_cutover_loses_nothing_and_says_how_long_writes_were_refused(tmp_path: Path) -> None:
    """Visitors write throughout; every row is compared while nobody writes; nothing of it stays on the source."""
    outputs = tmp_path / "outputs"
    done = rehearse(outputs, "--scenario", "replicated", "--rows", "20000")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    run, verdict, findings = evidence(outputs)
    assert {step["state"] for step in verdict["steps"]} == {"completed"}
    at_the_fence = {f["id"]: f for f in findings if f["step"] == "12_data_migration"}
    rows = [f for name, f in at_the_fence.items() if name.startswith("INT-rows:")]
    assert len(rows) >= 10
    assert {f["status"] for f in rows} == {"PASS"}
    assert sum(f["data"]["rows_source"] for f in rows) >= 18_000
    wanted = ("REP-fence", "REP-sequences", "REP-end", "FRZ-no-writes", "SWO-02", "INT-catalog", "INT-sequences")
    assert {at_the_fence[name]["status"] for name in wanted} == {"PASS"}
    assert refusal(run / "raw" / "load" / "visitors.jsonl", "amazonaws") is not None
    told = next(f for f in findings if f["id"] == "RFS-01")
    assert told["data"]["way"] == "replicate"
    # How long exactly depends on the machine (benchmarks/refusal.py); longer than this it would have been rolled back.
    assert 0 < told["data"]["seconds"] < 60 + 30
    assert "Writes refused" in (run / "report.html").read_text()


def test_a_copy_that_differs_is_found_at_the_fence_and_users_go_back(tmp_path: Path) -> None:
    """The switch-over takes itself back: the source takes writes again, and the copy is still there to look at."""
    outputs = tmp_path / "outputs"
    done = rehearse(outputs, "--scenario", "replicated-differs", "--rows", "20000")
    assert done.returncode == 3, done.stdout[-4000:] + done.stderr[-4000:]
    run, verdict, findings = evidence(outputs)
    deciding = {finding["id"] for finding in verdict["deciding"]}
    assert {"SWO-01", f"INT-rows:public.{VICTIM}"} <= deciding, deciding
    assert not [f["id"] for f in findings if f["id"].startswith("SWO-undo")]
    visits = [json.loads(line) for line in (run / "raw" / "load" / "visitors.jsonl").read_text().splitlines()]
    assert {v["home"] for v in visits if v["home"]} == {"replit.shadowtwin.example"}
    turned_away = [v["sent_s"] for v in visits if v["outcome"] == "http_5xx"]
    assert any(v["outcome"] == "ok" and v["sent_s"] > max(turned_away) for v in visits)
