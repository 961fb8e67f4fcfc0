"""Going back: what fired, what it means, what it would cost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cutover import postgres
from cutover.finding import Finding, Status
from cutover.judgement import Diagnosis
from cutover.runbook.overview import _lines
from cutover.runbook.step import Step

_KEY = "target-position-at-cutover"


def remember_cutover(step: Step) -> None:
    """Note where the target stands at the switch of the name: what is written after it exists only on AWS."""
    # At once: what sessions report a moment late was written before the switch, and would only be counted twice.
    position = postgres.write_position(step.resolve(step.migration.target.database_url), settle_s=0)
    step.remember(_KEY, position.to_dict())


def fired(step: Step) -> list[Finding]:
    """The failing findings of this run, or else of the latest run of this environment that has any; triggers first."""
    current = step.run.path
    runs = [p for p in sorted(current.parent.glob(f"*-{step.migration.environment}-*")) if p.is_dir() and p != current]
    for run in [current, *reversed(runs)]:
        found = [f for f in _failing(run) if f.closes_gate]
        if found:
            return sorted(found, key=lambda f: (not f.trigger, f.id))
    return []


def _failing(run: Path) -> list[Finding]:
    latest = {(line.get("step"), line["id"]): Finding.from_dict(line) for line in _lines(run / "findings.jsonl")}
    return [f for f in latest.values() if f.status in {Status.FAIL, Status.MISSING, Status.UNKNOWN}]


def advice(step: Step, diagnosis: Diagnosis) -> pd.DataFrame:
    """The way back, in rows that can be read aloud."""
    rows = [
        ("way back", diagnosis.method),
        ("notebook", diagnosis.notebook),
        ("takes about", f"{diagnosis.minutes} minutes"),
        ("why", diagnosis.why),
        ("who decides", step.migration.contacts.get("technical_lead", "the technical lead")),
    ]
    return pd.DataFrame(rows, columns=["", "rollback"]).set_index("")


def written_since_cutover(step: Step) -> pd.DataFrame:
    """Tuples inserted, updated and deleted on the target since the name was switched, by table."""
    remembered = step.recall(_KEY)
    if remembered is None:
        return pd.DataFrame([{"table": "(the name has not been switched: nothing would be lost)", "changes": 0}])
    before = postgres.WritePosition.from_dict(remembered)
    now = postgres.write_position(step.resolve(step.migration.target.database_url))
    rows = [
        {"table": table, "changes": count - before.counters.get(table, 0)}
        for table, count in sorted(now.counters.items())
        if count != before.counters.get(table, 0)
    ]
    return pd.DataFrame(rows or [{"table": "(nothing)", "changes": 0}]).set_index("table")
