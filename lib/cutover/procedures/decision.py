"""Going back: what fired, what it means, what it would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from cutover import aws, postgres
from cutover.action import Change
from cutover.errors import CutoverError
from cutover.finding import Finding
from cutover.judgement import Diagnosis, diagnose
from cutover.procedures.rollback_commands import Known, WayBack, fault_began, way_back_of
from cutover.procedures.symptoms import look_around
from cutover.procedures.tables import tabulate
from cutover.secrets import is_reference
from cutover.stage_file import running_stage
from cutover.step import Context, RunFolder
from cutover.step.context import attach
from cutover.step.evidence import read_findings

_KEY = "target-position-at-cutover"


def remember_cutover(step: Context, change: Change | None) -> None:
    """Note where the target stands at the switch of the name: what is written after it exists only on AWS.

    A second look at a name that is switched already notes nothing: the first switch counts.
    """
    if change is None or not change.result.get("changed") or change.plan.empty:
        return
    # At once: what sessions report a moment late was written before the switch, and would only be counted twice.
    position = postgres.write_position(step.migration.resolve(step.migration.target.database_url), settle_s=0)
    step.journal.remember(_KEY, position.to_dict())


def fired(step: Context) -> list[Finding]:
    """The failing findings of this run, or else of the latest run of this environment that has any; triggers first."""
    current = step.run.path
    runs = [p for p in sorted(current.parent.glob(f"*-{step.migration.environment}-*")) if p.is_dir() and p != current]
    for run in [current, *reversed(runs)]:
        if found := _failing(run):
            return sorted(found, key=lambda f: (f.undecided, not f.trigger, f.id))
        if run != current and (run / "findings.jsonl").exists():
            return []  # the newest run that looked at anything: an older failure is history
    return []


def _run_of(step: Context, findings: Sequence[Finding]) -> Path | None:
    """The folder of the run that these failing findings are of; None when it is gone."""
    current, wanted = step.run.path, {f.id for f in findings}
    runs = [p for p in current.parent.glob(f"*-{step.migration.environment}-*") if p.is_dir() and p != current]
    newest = [current, *sorted(runs, reverse=True)]
    return next((run for run in newest if wanted and wanted <= {f.id for f in _failing(run)}), None)


def _failing(run: Path) -> list[Finding]:
    return [f for f in _latest(run) if f.closes_gate]


def _latest(run: Path) -> list[Finding]:
    lines = read_findings(run)
    latest = {(line.get("step"), line["id"], line.get("subject")): Finding.from_dict(line) for line in lines}
    return list(latest.values())


def fired_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """What closed the gate, a row each: what was claimed, what was seen."""
    rows = [(f.id, f.title, str(f.status), f.observed or f.why) for f in findings]
    none = [("—", "no run on record has a closed gate", "", "")]
    return tabulate(rows or none, ["id", "claim", "status", "seen"])


def decide(step: Context, findings: Sequence[Finding]) -> Diagnosis:
    """Which way back the findings point to; kept as evidence with the command that goes it."""
    run = _run_of(step, findings)
    # What passed in the same run speaks against rows of the matrix.
    seen = [*findings, *(f for f in (_latest(run) if run else []) if not f.closes_gate)]
    looks = look_around(step, seen, run)
    diagnosis = diagnose(seen, after_cutover=step.journal.recall(_KEY) is not None, looks=looks)
    way = way_back(step, diagnosis, findings)
    attach(step, "diagnosis.json", asdict(diagnosis) | {"way_back": asdict(way), "next": way.lines()})
    return diagnosis


def arguments(diagnosis: Diagnosis) -> pd.DataFrame:
    """Every row of the matrix, the most points first: what speaks for it, what against; and what nobody looked at."""
    rows = [
        {
            "row": argument.issue,
            "points": argument.points,
            "for": "; ".join(argument.speaks_for) or "—",
            "against": "; ".join(argument.speaks_against) or "—",
        }
        for argument in diagnosis.arguments
    ]
    rows += [{"row": "not looked at", "points": "", "for": u, "against": ""} for u in diagnosis.unseen]
    return tabulate(rows, ["row", "points", "for", "against"])


def way_back(step: Context, diagnosis: Diagnosis, findings: Sequence[Finding] | None = None) -> WayBack:
    """The way back that a diagnosis names, with its commands made from what was recorded before each change.

    A person goes it. Where something was not recorded there is no command, and the way says what it lacks.

    Args:
        step: notebook 90.
        diagnosis: what was decided.
        findings: what fired; by default `fired(step)`.
    """
    seen = fired(step) if findings is None else findings
    recorded = aws.RecordedAnswers(run / "raw" / "aws" for run in _runs_of(step))
    fault = fault_began(seen, step.migration.triggers)
    return way_back_of(diagnosis.row, Known(step.migration, step.journal, recorded, fault))


def _runs_of(step: Context) -> list[Path]:
    """The folders of this migration's runs, this one's first; runs in another account, region or stage are not its."""
    current, ours = step.run, step.migration
    place = (ours.name, ours.account_id, ours.region, ours.aws_endpoint)
    since = _stage_began() if is_reference(ours.aws_endpoint or "") else ""

    def same(run: Path) -> bool:
        told = RunFolder(run).read("run.json")
        theirs = told.get("params") or {}
        there = tuple(theirs.get(key) for key in ("name", "account_id", "region", "aws_endpoint"))
        return there == place and str(told.get("started") or "") >= since

    runs = sorted(current.path.parent.glob(f"*-{ours.environment}-*"), reverse=True)
    return [current.path, *(run for run in runs if run.is_dir() and run != current.path and same(run))]


def _stage_began() -> str:
    """When the running rehearsal stage began: what ran before was another world under the same references."""
    return datetime.fromtimestamp(running_stage().path.stat().st_mtime, UTC).isoformat()


def advice(step: Context, diagnosis: Diagnosis) -> pd.DataFrame:
    """The way back, in rows that can be read aloud."""
    way = way_back(step, diagnosis)
    rows = [("way back", diagnosis.method), *(("command", command) for command in way.commands)]
    rows += [*(("lacking", lacking) for lacking in way.lacks), *(("note", note) for note in way.notes)]
    rows += [
        ("takes about", f"{diagnosis.minutes} minutes"),
        ("is lost by it", diagnosis.lost),
        ("why this one", diagnosis.why),
        ("otherwise", diagnosis.otherwise),
        ("who decides", step.migration.contacts.get("technical_lead", "the technical lead")),
    ]
    return tabulate(rows, ["", "rollback"])


def written_since_cutover(step: Context) -> pd.DataFrame:
    """Tuples inserted, updated and deleted on the target since the name was switched, by table."""
    remembered = step.journal.recall(_KEY)
    if remembered is None:
        return tabulate([("(the name has not been switched: nothing would be lost)", 0)], _WRITTEN)
    before = postgres.WritePosition.from_dict(remembered)
    try:
        now = postgres.write_position(step.migration.resolve(step.migration.target.database_url), settle_s=0)
    except CutoverError as error:
        return tabulate([(f"(not known: {error.what})", None)], _WRITTEN)
    rows = [
        (table, count - before.counters.get(table, 0))
        for table, count in sorted(now.counters.items())
        if count != before.counters.get(table, 0)
    ]
    return tabulate(rows or [("(nothing)", 0)], _WRITTEN)


_WRITTEN = ("table", "changes")
