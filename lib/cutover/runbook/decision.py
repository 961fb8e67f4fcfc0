"""Going back: what fired, what it means, what it would cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cutover import postgres
from cutover.action import Change
from cutover.errors import CutoverError
from cutover.finding import Finding
from cutover.judgement import Diagnosis, diagnose
from cutover.runbook.looking import look_around
from cutover.runbook.outcome import NOTHING_DEPLOYED
from cutover.runbook.overview import _lines
from cutover.runbook.step import Step
from cutover.runbook.tables import tabulate

_KEY = "target-position-at-cutover"


def remember_cutover(step: Step, change: Change | None) -> None:
    """Note where the target stands at the switch of the name: what is written after it exists only on AWS.

    A second look at a name that is switched already notes nothing: the first switch counts.
    """
    if change is None or not change.result.get("changed") or change.plan.empty:
        return
    # At once: what sessions report a moment late was written before the switch, and would only be counted twice.
    position = postgres.write_position(step.resolve(step.migration.target.database_url), settle_s=0)
    step.remember(_KEY, position.to_dict())


def fired(step: Step) -> list[Finding]:
    """The failing findings of this run, or else of the latest run of this environment that has any; triggers first."""
    current = step.run.path
    runs = [p for p in sorted(current.parent.glob(f"*-{step.migration.environment}-*")) if p.is_dir() and p != current]
    for run in [current, *reversed(runs)]:
        if found := _failing(run):
            return sorted(found, key=lambda f: (f.undecided, not f.trigger, f.id))
        if run != current and (run / "findings.jsonl").exists():
            return []  # the newest run that looked at anything: an older failure is history
    return []


def _before_deploy(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ran before the latest deployment that brought another task definition than the one before it."""
    for entry in reversed(entries):
        plan = entry["plan"]
        before, after = plan.get("before", {}), plan.get("after", {})
        if plan["action"] == "deploy-service" and before.get("image") != after.get("image"):
            return dict(before)
    return {}


def _run_of(step: Step, findings: Sequence[Finding]) -> Path | None:
    """The folder of the run that these failing findings are of; None when it is gone."""
    current, wanted = step.run.path, {f.id for f in findings}
    runs = [p for p in current.parent.glob(f"*-{step.migration.environment}-*") if p.is_dir() and p != current]
    newest = [current, *sorted(runs, reverse=True)]
    return next((run for run in newest if wanted and wanted <= {f.id for f in _failing(run)}), None)


def _failing(run: Path) -> list[Finding]:
    return [f for f in _latest(run) if f.closes_gate]


def _latest(run: Path) -> list[Finding]:
    lines = _lines(run / "findings.jsonl")
    latest = {(line.get("step"), line["id"], line.get("subject")): Finding.from_dict(line) for line in lines}
    return list(latest.values())


def fired_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """What closed the gate, a row each: what was claimed, what was seen."""
    rows = [(f.id, f.title, str(f.status), f.observed or f.why) for f in findings]
    none = [("—", "no run on record has a closed gate", "", "")]
    return tabulate(rows or none, ["id", "claim", "status", "seen"])


def decide(step: Step, findings: Sequence[Finding]) -> Diagnosis:
    """Which way back the findings point to; kept as evidence with the command that goes it."""
    run = _run_of(step, findings)
    # What passed in the same run speaks against rows of the matrix.
    seen = [*findings, *(f for f in (_latest(run) if run else []) if not f.closes_gate)]
    looks = look_around(step, seen, run)
    diagnosis = diagnose(seen, after_cutover=step.recall(_KEY) is not None, looks=looks)
    step.attach("diagnosis.json", asdict(diagnosis) | {"command": way_back(step, diagnosis)})
    return diagnosis


def arguments(diagnosis: Diagnosis) -> pd.DataFrame:
    """Every row of the matrix, the most points first: what speaks for it, what against; and what nobody looked at."""
    rows = [
        {
            "row": argument.issue,
            "points": argument.points,
            "for": "; ".join(argument.speaks_for) or "—",
            "against": "; ".join(argument.speaks_against) or "—",
            "notebook": argument.notebook,
        }
        for argument in diagnosis.arguments
    ]
    rows += [{"row": "not looked at", "points": "", "for": u, "against": "", "notebook": ""} for u in diagnosis.unseen]
    return tabulate(rows, ["row", "points", "for", "against", "notebook"])


def way_back(step: Step, diagnosis: Diagnosis) -> str:
    """The command for a way back, from what was recorded before each change; "" when nothing is decided.

    A person runs it. Where what was recorded is wanting, the command names it in angle brackets.
    """
    expect, journal = step.migration.expect, step.journal
    service = f"--cluster {expect.ecs.cluster} --service {expect.ecs.service}"
    redeploy = f"aws ecs update-service {service} --force-new-deployment"
    if diagnosis.notebook.startswith("91"):
        before = _before_deploy(journal.entries("change-begun"))
        if not before:
            return f"{NOTHING_DEPLOYED} by this migration yet: hold the release, mend it, and run this step again"
        last_good = before.get("task_definition") or "<the task definition that ran before>"
        return f"aws ecs update-service {service} --task-definition {last_good} --force-new-deployment"
    if diagnosis.notebook.startswith("92"):
        return (
            f"aws rds restore-db-instance-to-point-in-time --source-db-instance-identifier {expect.rds.instance} "
            f"--target-db-instance-identifier {expect.rds.instance}-restored --use-latest-restorable-time "
            f"--multi-az --deletion-protection --db-subnet-group-name <as the original> "
            f"--vpc-security-group-ids <as the original> --db-parameter-group-name <as the original>\n"
            f"then put the new endpoint into the secret {step.migration.target.database_url} and run: {redeploy}"
        )
    if diagnosis.notebook.startswith("93"):
        return (
            "aws secretsmanager update-secret-version-stage --secret-id <the secret> --version-stage AWSCURRENT "
            "--move-to-version-id <its AWSPREVIOUS version> --remove-from-version-id <its AWSCURRENT version>\n"
            f"{redeploy}"
        )
    if diagnosis.notebook.startswith("94"):
        return (
            "aws elbv2 modify-listener --listener-arn <the 443 listener> --default-actions "
            "Type=forward,TargetGroupArn=<the other target group, with healthy targets>"
        )
    if diagnosis.notebook.startswith("95"):
        before = journal.latest_plan("switch-dns").get("before", {})
        if not before:
            return "the name still points to Replit: end the maintenance mode there and lift the write freeze"
        batch = json.dumps(before.get("inverse", {}), separators=(",", ":"))
        zone = before.get("zone", "<zone>")
        return f"aws route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch '{batch}'"
    return ""


def advice(step: Step, diagnosis: Diagnosis) -> pd.DataFrame:
    """The way back, in rows that can be read aloud."""
    rows = [
        ("way back", diagnosis.method),
        ("command", way_back(step, diagnosis)),
        ("takes about", f"{diagnosis.minutes} minutes"),
        ("is lost by it", diagnosis.lost),
        ("why this one", diagnosis.why),
        ("otherwise", diagnosis.otherwise),
        ("who decides", step.migration.contacts.get("technical_lead", "the technical lead")),
    ]
    return tabulate(rows, ["", "rollback"])


def written_since_cutover(step: Step) -> pd.DataFrame:
    """Tuples inserted, updated and deleted on the target since the name was switched, by table."""
    remembered = step.recall(_KEY)
    if remembered is None:
        return tabulate([("(the name has not been switched: nothing would be lost)", 0)], _WRITTEN)
    before = postgres.WritePosition.from_dict(remembered)
    try:
        now = postgres.write_position(step.resolve(step.migration.target.database_url), settle_s=0)
    except CutoverError as error:
        return tabulate([(f"(not known: {error.what})", None)], _WRITTEN)
    rows = [
        (table, count - before.counters.get(table, 0))
        for table, count in sorted(now.counters.items())
        if count != before.counters.get(table, 0)
    ]
    return tabulate(rows or [("(nothing)", 0)], _WRITTEN)


_WRITTEN = ("table", "changes")
