"""Records what the instruments say of each fault of the stand-in application, for the tests of the diagnosis.

    python tests/judgement/record_faults.py

A real application on a real PostgreSQL and a real Valkey, one fault at a time: load, health, flows, judged as in the
notebooks with short times. What it writes beside itself, `recorded_faults.json`, is read by `test_diagnosis.py`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd
from standin import LOGIN, StandIn, loaded_database, stand_in

from cutover import app, load
from cutover.finding import Finding, Status
from cutover.judgement import judge_load, judge_metrics
from cutover.migration import Load, Triggers
from cutover.rehearsal import postgres, valkey

FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "latency": {"latency_s": 0.8},
    "errors": {"error_rate": 0.5},
    "hang": {"hang": True},
    "hang under load": {"hang_after": 30},
    "broken sign-in": {"broken_flow": "login"},
    "broken twins": {"broken_flow": "twins"},
    "broken reports": {"broken_flow": "reports"},
    "lost database": {"lost_database": True},
    "lost queue": {"lost_queue": True},
    "dead": {"dead": True},
}
TRIGGERS = Triggers.model_validate(
    {
        "error_rate": {"above": "5%", "window": "1s", "for": "1s"},
        "p95": {"above": "500ms", "window": "2s", "for": "1s"},
        "stalled": {"in_flight": 5, "for": "1s"},
        "critical_flows": {"failing_for": "1s"},
        "database": {"unreachable_for": "1s"},
        "min_samples": 5,
    }
)
LOAD = Load.model_validate({"arrivals_per_s": 20, "duration": "7s", "warm_up": "1s", "workers": 1})
RECORDED = Path(__file__).with_name("recorded_faults.json")


def record(running: StandIn, fault: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Findings and error classes under one fault."""
    if fault.get("dead"):
        running.process.stop()
    else:
        running.set_faults(fault)
    run = load.run(running.base, LOAD, folder, login=LOGIN, seed=1, timeout_s=2.0)
    frame = run.read()
    findings = judge_load(frame, TRIGGERS).findings
    flows, health = [], []
    for _ in range(3):
        seen = app.probe_health(running.base, timeout_s=1)
        told = seen.checks.get("database")
        database = told == "healthy" if told else None
        health.append((time.time(), seen.ok, database, "; ".join(seen.problems), dict(seen.checks)))
        at = time.time()
        for flow in app.run_critical_flows(running.base, LOGIN, timeout_s=3):
            if flow.ok is not None:
                flows.append((at, flow.ok, flow.name, flow.seconds, f"{flow.step}: {flow.problem}"))
        time.sleep(0.8)
    live = judge_metrics(pd.DataFrame(), flows, health, TRIGGERS, at=time.time()).findings
    findings = [*findings, *(f for f in live if f.id in ("TRG-critical-flows", "TRG-database"))]
    findings += app.check_health(running.base, timeout_s=1)
    findings += app.check_critical_flows(running.base, LOGIN, timeout_s=3)
    errors = Counter(frame["outcome"].astype(str))
    for name in ("ok", "in_flight", "never_sent"):
        errors.pop(name, None)
    kept = [f for f in findings if f.status in (Status.PASS, Status.FAIL, Status.UNKNOWN)]
    return {"findings": [_scrubbed(f) for f in kept], "errors": dict(errors)}


def _scrubbed(finding: Finding) -> dict[str, Any]:
    """What the diagnosis reads of it; no address of the machine that recorded it."""
    raw = finding.to_dict()
    kept = {k: raw[k] for k in ("id", "title", "status", "severity", "observed", "trigger", "data") if k in raw}
    return json.loads(json.dumps(kept).replace("127.0.0.1", "app"))


def main() -> None:
    """Every fault, each with an application of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (
            postgres.start(folder / "pg", major=17) as server,
            valkey.start(folder / "valkey") as queue,
            loaded_database(server) as url,
        ):
            found = {}
            for number, (name, fault) in enumerate(FAULTS.items()):
                with stand_in(folder / f"app-{number}", url, f"{queue.url}/0") as running:
                    found[name] = record(running, fault, folder / f"load-{number}")
                print(
                    name, [(f["id"], f["status"]) for f in found[name]["findings"]], found[name]["errors"], flush=True
                )
    RECORDED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
