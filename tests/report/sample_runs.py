"""Realistic run folders, built on disk: what a run of the house leaves behind, in each of its endings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cutover.finding import Finding, Severity, Status, deciding, verdict

START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DAY = (
    ("10_final_backup", 41.2),
    ("11_write_freeze", 12.8),
    ("12_data_migration", 38.4),
    ("13_data_integrity", 22.1),
    ("14_deploy", 31.0),
    ("15_dns_cutover", 64.3),
    ("16_validation", 92.7),
)
TABLES = (
    ("public.audit_log", 120_204),
    ("public.conversations", 61_200),
    ("public.messages", 96_417),
    ("public.reports", 8_100),
    ("public.sessions", 14_032),
    ("public.subscriptions", 2_900),
    ("public.twins", 4_800),
    ("public.users", 3_200),
    ("public.jobs", 1_555),
    ("public.plan", 0),
)
MIGRATION: dict[str, Any] = {
    "name": "shadowtwin",
    "environment": "staging",
    "account_id": "210987654321",
    "region": "eu-central-1",
    "hostname": "app.shadowtwin.example",
    "contacts": {"technical_lead": "Ada Jensen, +45 5555 0142", "devops": "Rui Sousa, on call: #migration"},
    "triggers": {
        "error_rate": {"above": "5%", "window": "1m", "for": "5m"},
        "p95": {"above": "3s", "window": "1m", "for": "1m"},
        "stalled": {"in_flight": 20, "for": "10s"},
    },
    "waivers": [
        {
            "id": "ACC-05",
            "reason": "CloudTrail is kept by the organisation's own account",
            "approved_by": "Mia Okafor, security",
            "until": "2026-12-31",
        }
    ],
}


def build(
    outputs: Path,
    findings: Iterable[tuple[str, Finding]],
    *,
    phase: str = "day",
    environment: str = "staging",
    steps: Iterable[tuple[str, float]] = DAY,
    stop_at: str | None = None,
    state: str = "gate-closed",
    headline: str = "",
    next_steps: Iterable[str] = (),
    began: datetime = START,
    live: bool = False,
) -> Path:
    """A whole run folder; the steps after `stop_at` did not run, and it ended in `state`."""
    folder = outputs / f"{began:%Y%m%dT%H%M%SZ}-{environment}-{phase}"
    folder.mkdir(parents=True)
    findings = list(findings)
    seen = [f for _, f in findings]
    word = verdict(seen, live=live)
    rows, at, over = [], began, False
    for name, seconds in steps:
        this = "not-run" if over else state if name == stop_at else "completed"
        over = over or name == stop_at
        row: dict[str, Any] = {"name": name, "state": this}
        if this != "not-run":
            row |= {"seconds": seconds, "started": at.isoformat(), "verdict": str(word) if name == stop_at else "GO"}
            at += timedelta(seconds=seconds + 1)
            _notebook(folder, name)
        rows.append(row)
    ends = {r["name"]: datetime.fromisoformat(r["started"]) for r in rows if "started" in r}
    lines = [
        json.dumps(f.to_dict() | {"step": step, "at": (ends.get(step, began) + timedelta(seconds=3)).isoformat()})
        for step, f in findings
    ]
    (folder / "findings.jsonl").write_text("\n".join(lines) + "\n" if lines else "")
    code = {"GO": 0, "CONTINUE": 0, "INCONCLUSIVE": 5}.get(str(word), 3)
    said = {
        "verdict": str(word),
        "exit_code": code,
        "headline": headline,
        "deciding": [f.to_dict() for f in deciding(seen)],
        "next": list(next_steps),
        "steps": rows,
    }
    (folder / "verdict.json").write_text(json.dumps(said, indent=2))
    (folder / "run.json").write_text(json.dumps(run_facts(folder.name, phase, environment, began, at, steps), indent=2))
    return folder


def run_facts(
    name: str, phase: str, environment: str, began: datetime, ended: datetime, steps: Iterable[tuple[str, float]]
) -> dict[str, Any]:
    """What run.json holds."""
    return {
        "id": name,
        "phase": phase,
        "environment": environment,
        "started": began.isoformat(),
        "finished": ended.isoformat(),
        "commit": "9f3c2ab41d7e5b60a8c1",
        "dirty": False,
        "lock_sha256": "7c1e" * 16,
        "params": {"migration": MIGRATION | {"environment": environment}},
        "params_sha256": "a90b" * 16,
        "caller": {"account": "210987654321", "arn": "arn:aws:sts::210987654321:assumed-role/migration/rui"},
        "versions": {"python": "3.11.2", "cutover": "0.1.0", "postgresql_source": "17.10", "postgresql_target": "18.6"},
        "notebooks": [f"notebooks/{n}.ipynb" for n, _ in steps],
    }


def passing() -> list[tuple[str, Finding]]:
    """What a clean day sees."""
    seen = [
        ("10_final_backup", _passed("BKP-01", "The dump can be read back", "41 tables, 1,204 entries in its list")),
        ("10_final_backup", _passed("BKP-02", "The snapshot is available", "shadowtwin-final-20261123, 100 %")),
        ("11_write_freeze", _passed("FRZ-01", "Writes are refused by the application", "503, Retry-After: 120")),
        ("11_write_freeze", _passed("FRZ-02", "Nothing was written for two seconds", "LSN 0/5A3C1F8 both times")),
        ("12_data_migration", _passed("TRF-01", "Every object was restored", "0 errors, 3 expected differences")),
        ("14_deploy", _passed("DEP-01", "The service runs the tested image", "shadowtwin:42, 3 of 3 tasks healthy")),
        ("14_deploy", _passed("FLOW-login", "A visitor can sign in", "200 in 0.09 s")),
        ("15_dns_cutover", _passed("DNS-01", "The name leads to the target", "4 of 4 resolvers, TTL 60 s")),
        ("16_validation", _passed("TRG-error-rate", "Error rate stays below 5 %", "0.2 % at most", trigger=True)),
        ("16_validation", _passed("TRG-p95", "p95 stays below 3 s", "0.9 s at most", trigger=True)),
    ]
    seen += [
        ("13_data_integrity", _passed("INT-01", "Every row is identical", f"{rows:,} rows, equal digests", name))
        for name, rows in TABLES
    ]
    waived = Finding(
        "ACC-05",
        "CloudTrail records every region",
        Status.WAIVED,
        Severity.HIGH,
        "account 210987654321",
        "a multi-region trail that is logging",
        "no trail in this account",
        waived_from=Status.FAIL,
    )
    later = Finding("RDS-22", "A snapshot of today exists", Status.NOT_DUE, Severity.HIGH, why="it is taken at T-2h")
    off = Finding("EC2-03", "An AMI is pinned", Status.NOT_APPLICABLE, Severity.LOW, why="compute: ecs uses no AMI")
    quota = Finding(
        "ACC-03",
        "The Fargate quota suffices for 20 tasks",
        Status.UNKNOWN,
        Severity.MEDIUM,
        "L-3032A538",
        "at least 20 vCPU",
        "servicequotas:GetServiceQuota is denied to this role",
        "a deployment doubles the tasks for some minutes",
        "aws service-quotas get-service-quota --service-code fargate --quota-code L-3032A538",
    )
    return [*seen, *(("10_final_backup", f) for f in (waived, later, off, quota))]


def go(outputs: Path, *, pictures: bool = True) -> Path:
    """A clean migration day; without `pictures` it has no load and no comparison, and is drawn faster."""
    folder = build(
        outputs,
        passing(),
        headline=f"GO: all {len(DAY)} steps completed and no gate is closed.",
        next_steps=[
            "Keep the old platform in maintenance mode until the review at T+24 h.",
            "Tomorrow at 14:00 UTC run `cutover run review --params params/staging.yml`.",
        ],
    )
    write_plans(folder)
    if pictures:
        write_tables(folder, {})
        write_load(folder, "16_validation", minutes=30)
    return folder


def lost_rows(outputs: Path) -> Path:
    """Rows vanished during the import; the integrity step names them."""
    lost = Finding(
        "INT-03",
        "Rows are identical: public.messages",
        Status.FAIL,
        Severity.BLOCKER,
        "public.messages",
        "96,417 rows, digest 5be1…c04",
        "96,380 rows; 37 missing, the first: id 88121, 88122, 88130, 88164, 88171 …",
        "These are messages that visitors wrote; after the switch of the name nobody could get them back from the old "
        "home without a second migration.",
        "Look at the missing rows, then restore that table again:\n"
        "psql \"$SOURCE\" -c 'SELECT * FROM public.messages WHERE id IN (88121, 88122, 88130)'\n"
        'pg_restore --data-only --table=messages --dbname "$TARGET" raw/postgres/dump\n'
        "Run `13_data_integrity` again; do not deploy before it passes.",
        guide=905,
        evidence=("raw/postgres/comparison.json", "raw/postgres/missing-public.messages.csv"),
        data={"missing": 37},
    )
    foreign = Finding(
        "INT-07",
        "Every foreign key holds",
        Status.FAIL,
        Severity.HIGH,
        "public.reports.message_id",
        "0 orphans",
        "4 reports point to messages that are not there",
        "Opening one of these reports fails with an error.",
        "It follows from INT-03; fix that first.",
    )
    kept = [(s, f) for s, f in passing() if s[:2] < "14" and f.subject != "public.messages"]
    folder = build(
        outputs,
        [*kept, ("13_data_integrity", lost), ("13_data_integrity", foreign)],
        stop_at="13_data_integrity",
        headline="NO_GO: 37 of 96,417 rows of public.messages did not arrive at the target",
        next_steps=[
            "Leave the old platform in maintenance mode; the name still points to it, nothing is lost yet.",
            "Restore `public.messages` as described under INT-03 and run `13_data_integrity` again.",
            "If that takes longer than 45 minutes, end the freeze: users go back to the old platform.",
        ],
        began=START + timedelta(hours=1),
    )
    write_tables(folder, {"public.messages": 37})
    (folder / "raw/postgres/missing-public.messages.csv").write_text("id\n88121\n88122\n")
    return folder


def hang(outputs: Path, environment: str = "production") -> Path:
    """The application stops answering after the switch: a rollback trigger fires."""
    stalled = Finding(
        "TRG-stalled",
        "Requests are answered",
        Status.FAIL,
        Severity.BLOCKER,
        "https://app.shadowtwin.example",
        "at least one answer in any 10 s while 20 or more requests wait",
        "no answer for 14.2 s while 611 requests were waiting",
        "For visitors the platform is down. An application that hangs raises no error by itself: the error rate was "
        "still 0 % when this fired.",
        "Open `90_rollback_decision`. Application bug after a deployment: return to the last good task definition.",
        guide=936,
        evidence=("raw/load/16_validation-windows.csv",),
        trigger=True,
        data={"fired_at": (began := START + timedelta(hours=2, minutes=21)).isoformat()},
    )
    slow = Finding(
        "TRG-p95",
        "p95 stays below 3 s",
        Status.FAIL,
        Severity.BLOCKER,
        "https://app.shadowtwin.example",
        "below 3 s in every window of 60 s",
        "at least 52 s in the last 2 windows (requests in flight count at their age)",
        "Visitors give up long before.",
        "As for TRG-stalled.",
        trigger=True,
        data={"fired_at": (began + timedelta(seconds=52)).isoformat()},
    )
    kept = [(s, f) for s, f in passing() if not f.trigger]
    folder = build(
        outputs,
        [*kept, ("16_validation", stalled), ("16_validation", slow)],
        environment=environment,
        stop_at="16_validation",
        headline="ROLLBACK at 16_validation: the application stopped answering; 611 requests were waiting",
        next_steps=[
            "cutover run notebooks/90_rollback_decision.ipynb --params params/production.yml   # names the way back; "
            "nothing is rolled back by itself",
            "It will name the way back: application rollback to shadowtwin:41, 5 to 10 minutes.",
            "Tell the contacts below. Visitors have been without answers since 14:21:00 UTC.",
        ],
        began=START + timedelta(hours=2),
        live=True,
    )
    write_tables(folder, {})
    write_load(folder, "16_validation", minutes=24, began=START + timedelta(hours=2), hangs_at=21)
    write_plans(folder)
    return folder


def missing_infrastructure(outputs: Path) -> Path:
    """An empty account: nothing is there."""
    wanted = {
        "NET": ("VPC exists", "Public and private subnets in two zones", "Private subnets reach the internet"),
        "RDS": ("Instance shadowtwin-prod is available", "Storage is encrypted", "Backups are kept 7 days or longer"),
        "RED": ("Replication group is available", "Encryption in transit is on"),
        "ECS": ("Cluster is active", "Service runs 3 tasks", "Task definition pins an image"),
        "ALB": ("Load balancer is active", "HTTPS listener has a certificate", "Target group checks /api/health"),
        "IAM": ("Task role exists", "Execution role may read the secrets"),
    }
    seen = [
        (
            "02_provisioning_checks",
            Finding(
                f"{room}-{n:02d}",
                title,
                Status.MISSING,
                Severity.BLOCKER if n < 3 else Severity.HIGH,
                f"{room.lower()} in eu-central-1",
                title[:1].lower() + title[1:],
                "not there",
                "The platform cannot run without it.",
                f"aws {room.lower()} create-something --name shadowtwin --region eu-central-1",
                guide=83 + n,
                evidence=(f"raw/aws/{room.lower()}.describe.json",),
            ),
        )
        for room, titles in wanted.items()
        for n, title in enumerate(titles, 1)
    ]
    account = [
        ("01_prerequisites", _passed("ACC-01", "The account is the planned one", "210987654321")),
        ("01_prerequisites", _passed("PG-01", "The target's major is at least the source's", "18 after 17")),
    ]
    folder = build(
        outputs,
        [*account, *seen],
        phase="prepare",
        steps=(
            ("01_prerequisites", 4.1),
            ("02_provisioning_checks", 9.6),
            ("04_data_sync_test", 40.0),
            ("05_load_test", 610.0),
        ),
        stop_at="02_provisioning_checks",
        began=START - timedelta(days=7),
    )
    for room in wanted:
        _write(folder / f"raw/aws/{room.lower()}.describe.json", json.dumps({"ok": True, "data": {}, "at": "…"}))
    return folder


def killed(outputs: Path) -> Path:
    """A run that was killed in the middle: no verdict, a findings line cut off, no time of ending."""
    folder = build(outputs, [f for f in passing() if f[0] < "14"], began=START - timedelta(days=1))
    (folder / "verdict.json").unlink()
    run = json.loads((folder / "run.json").read_text())
    del run["finished"]
    (folder / "run.json").write_text(json.dumps(run))
    with (folder / "findings.jsonl").open("a") as file:
        file.write('{"id": "INT-01", "title": "Every row is ident')
    return folder


def write_tables(folder: Path, lost: dict[str, int]) -> None:
    """raw/postgres/comparison.json: rows by table; `lost` says how many are missing at the target."""
    rows = [
        {
            "name": name,
            "source_rows": many,
            "target_rows": many - lost.get(name, 0),
            "missing": lost.get(name, 0),
            "extra": 0,
            "different": 0,
            "seconds": 0.2,
        }
        for name, many in TABLES
    ]
    _write(folder / "raw/postgres/comparison.json", json.dumps({"tables": rows}))


def write_load(
    folder: Path, step: str, *, minutes: int, began: datetime = START, hangs_at: int | None = None, every_s: int = 10
) -> None:
    """raw/load/<step>-windows.csv: an ordinary load, or one that stops being answered at a minute."""
    header = "start,arrivals,completed,errors,error_rate,p50_s,p95_s,in_flight,never_sent"
    lines = [header]
    for n in range(minutes * 60 // every_s):
        minute = n * every_s / 60
        arrivals = 500 + round(30 * math.sin(n / 3.7) + 22 * math.cos(n * 1.9))
        p95 = 0.62 + 0.13 * math.sin(n / 5) + 0.09 * math.cos(n * 2.3)
        done, waiting, rate = arrivals, 6, max(0.0, 0.0015 * math.cos(n * 1.7))
        if hangs_at is not None and minute >= hangs_at:
            age = (minute - hangs_at) * 60 + every_s
            p95, done, waiting, rate = age * 0.95, 0, round(50 * age), 0.0
        start = began.timestamp() + n * every_s
        lines.append(f"{start},{arrivals},{done},{round(rate * done)},{rate},{p95 * 0.3},{p95},{waiting},0")
    _write(folder / f"raw/load/{step}-windows.csv", "\n".join(lines) + "\n")


def write_plans(folder: Path) -> None:
    """plan/*.json: a change that was approved and applied, one that was only planned."""
    ttl = {
        "action": "lower-ttl",
        "subject": "app.shadowtwin.example",
        "summary": "Lower the TTL of app.shadowtwin.example from 300 s to 60 s.",
        "requests": [{"call": "route53.change_resource_record_sets", "arguments": {"ttl": 60}}],
        "before": {"ttl_s": 300, "record": "CNAME"},
        "after": {"ttl_s": 60, "record": "CNAME"},
        "undo": "set the TTL back to 300 s",
        "empty": False,
    }
    change = {"plan": ttl, "result": {"change_id": "C2682N5HXP0BZ4"}, "started": "2026-11-23T12:04:11Z", "seconds": 2.4}
    approval = {"plan_hash": "ab" * 32, "approver": "arn:aws:iam::210987654321:user/ada", "at": "2026-11-23T12:03:50Z"}
    _write(
        folder / "plan/lower-ttl.json",
        json.dumps({"step": "07_lower_ttl", "state": "made", "plan": ttl, "approval": approval, "change": change}),
    )
    switch = ttl | {
        "action": "switch-dns",
        "summary": "Point app.shadowtwin.example to the load balancer.",
        "before": {"target": "replit.shadowtwin.example"},
        "after": {"target": "shadowtwin-alb-123.eu-central-1.elb.amazonaws.com"},
        "undo": "point it back to replit.shadowtwin.example",
    }
    _write(folder / "plan/switch-dns.json", json.dumps(switch))


def _passed(number: str, title: str, observed: str, subject: str = "", *, trigger: bool = False) -> Finding:
    return Finding(number, title, Status.PASS, Severity.BLOCKER, subject, observed=observed, trigger=trigger)


def _notebook(folder: Path, name: str) -> None:
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [f"# {name}"]}
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    _write(folder / f"notebooks/{name}.ipynb", json.dumps(book))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


EVERY = (
    ("go", go),
    ("lost_rows", lost_rows),
    ("hang", hang),
    ("missing_infrastructure", missing_infrastructure),
    ("killed", killed),
)
