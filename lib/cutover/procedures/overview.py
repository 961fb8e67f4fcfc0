"""Where a migration stands: the map of its notebooks, what its journal remembers, how its steps went."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from cutover import postgres
from cutover.action import Change
from cutover.aws import Account, Look, looks
from cutover.aws import drift as aws_drift
from cutover.finding import Finding, Severity, Status
from cutover.procedures.tables import columns_of, tabulate
from cutover.step import Step
from cutover.step.phases import WHEN, find_notebooks
from cutover.text import cut


def map_of(step: Step) -> pd.DataFrame:
    """One row a notebook: when it runs, what it is, how it ended last and where the evidence lies."""
    last = _last_steps(step.run.path.parent, step.migration.environment)
    rows = []
    for path in sorted(find_notebooks().glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        title = "".join(cells[0]["source"]).splitlines()[0].lstrip("# ")
        ended = last.get(path.stem, {})
        rows.append(
            {
                "when": WHEN.get(path.stem[:2], "on decision"),
                "notebook": path.stem,
                "title": re.sub(r"^\d+ · ", "", title),
                "last verdict": ended.get("verdict") or ended.get("state") or "never run",
                "at": ended.get("started", ""),
                "evidence": ended.get("run", ""),
            }
        )
    return tabulate(rows, ["notebook", "when", "title", "last verdict", "at", "evidence"])


def _last_steps(outputs: Path, environment: str) -> dict[str, dict[str, Any]]:
    """The last ending of each notebook in this environment, from the verdicts; unreadable runs are passed over."""
    last: dict[str, dict[str, Any]] = {}
    for path in sorted(outputs.glob(f"*-{environment}-*/verdict.json")):
        try:
            steps = json.loads(path.read_text()).get("steps", [])
        except (OSError, ValueError):
            continue
        for one in steps:
            if one.get("state") != "not-run":
                last[one["name"]] = {**one, "run": path.parent.name}
    return last


def state_of(step: Step) -> pd.DataFrame:
    """What the journal remembers, one row a key, long values shortened."""
    remembered = step.journal.everything()
    rows = [{"what": key, "value": _short(value)} for key, value in sorted(remembered.items())]
    return tabulate(rows or [{"what": "(nothing yet)", "value": ""}], ["what", "value"])


def contacts_of(step: Step) -> pd.DataFrame:
    """Who to call."""
    rows = [{"role": role.replace("_", " "), "contact": who} for role, who in step.migration.contacts.items()]
    return tabulate(rows, ["role", "contact"])


def table(rows: Iterable[Any], index: str | None = None) -> pd.DataFrame:
    """A table of dataclasses, findings or mappings; of none with its index alone."""
    told = [plain(row) for row in rows]
    return tabulate(told, columns_of(told, index), indexed=index is not None)


def plain(value: Any) -> Any:
    """A dataclass or finding as JSON-ready values."""
    if isinstance(value, Finding):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return json.loads(json.dumps(asdict(value), default=str))
    return dict(value) if isinstance(value, Mapping) else value


def tally(findings: Sequence[Finding]) -> pd.DataFrame:
    """How many findings of each status, a row for each service (the letters before the dash of an id)."""
    count = Counter((f.id.split("-")[0], str(f.status)) for f in findings)
    services = sorted({service for service, _ in count})
    statuses = [str(s) for s in Status if any(count[(service, str(s))] for service in services)]
    rows = [(service, *(count[(service, status)] for status in statuses)) for service in services]
    return tabulate(rows, ["service", *statuses])


def drift(step: Step, findings: Sequence[Finding], account: Account | None = None) -> pd.DataFrame:
    """What changed since the last whole look at the requirements in this environment, and who changed it."""
    before = _last_look(step.run.path.parent, step.migration.environment, step.run.path)
    if before is None:
        return tabulate([("—", "no earlier look is on record", "", "", "")], _DRIFT)
    changes = aws_drift(before, findings, account, now=datetime.now(UTC))
    rows = [(d.id, d.title, d.then, d.now, d.who) for d in changes]
    nothing = f"nothing has changed since {before.at:%Y-%m-%d %H:%M} UTC"
    return tabulate(rows or [("—", nothing, "", "", "")], _DRIFT)


_DRIFT = ("id", "requirement", "then", "now", "who")


def _last_look(outputs: Path, environment: str, current: Path) -> Look | None:
    """The newest whole look before the one just made; earlier steps of this run count."""
    runs = [p for p in sorted(outputs.glob(f"*-{environment}-*")) if p.is_dir() and p.name < current.name]
    for run, spare in [(current, 1), *((r, 0) for r in reversed(runs))]:
        whole = [look for look in looks(run / "raw" / "aws") if look.services is None]
        if len(whole) > spare:
            return whole[-1 - spare]
    return None


def timings(step: Step) -> pd.DataFrame:
    """How long each step of the migration took, newest run of each, with the write freeze as its own row."""
    last = _last_steps(step.run.path.parent, step.migration.environment)
    last |= {one["name"]: one for one in step.run.steps() if one.get("state") != "running"}
    rows = [
        {"step": name, "started": one.get("started", ""), "seconds": round(float(one.get("seconds") or 0), 1)}
        for name, one in sorted(last.items())
        if name[:2] not in ("00", "90")
    ]
    frozen = sum(row["seconds"] for row in rows if row["step"][:2] in ("11", "12", "13", "14", "15"))
    rows.append({"step": "users were kept out (11–15)", "started": "", "seconds": round(frozen, 1)})
    return tabulate(rows, ["step", "started", "seconds"])


def forecast(step: Step, trial: Change | None, *, production_bytes: int = 0) -> pd.DataFrame:
    """What the transfer of the day will take, part by part, from the trial's own times; remembered for the day.

    Args:
        step: the notebook's.
        trial: the applied `TrialTransfer`; None when it was only planned.
        production_bytes: size that the database will have on the day; 0: as it is now.
    """
    if trial is None:
        return tabulate([("(plan only)", None)], ["part", "seconds"])
    took = postgres.Measured.from_dict(trial.result["measured"])
    before = [postgres.Measured.from_dict(raw) for raw in (step.recall("trials") or [])]
    said = postgres.forecast(took, production_bytes or None, earlier=before)
    step.remember("trials", [replace(m, tables=()).to_dict() for m in (*before, took)][-_TRIALS:])
    step.remember("forecast", {"at": datetime.now(UTC).isoformat(timespec="seconds"), **said.to_dict()})
    return forecast_table(said)


_TRIALS = 5


def forecast_table(said: postgres.Forecast) -> pd.DataFrame:
    """A forecast as a table: a row for each part, then the whole, the write freeze at least."""
    rows = [(part.name, part.measured_s, part.seconds, part.low_s, part.high_s) for part in said.parts]
    whole = sum(part.measured_s for part in said.parts)
    rows.append(("the write freeze, at least", whole, said.seconds, said.low_s, said.high_s))
    columns = ["part", "trial, s", "on the day, s", "at best, s", "at worst, s"]
    return tabulate(rows, columns).round(1)


def forecast_findings(step: Step) -> list[Finding]:
    """What the remembered forecast rests on, and what it advises to change; nothing of it closes a gate."""
    raw = step.recall("forecast")
    title = "The forecast rests on a trial that was long and large enough"
    if not raw or "parts" not in raw:
        why, todo = "there was no trial", "run this notebook with apply"
        return [Finding("FOR-02", title, Status.UNKNOWN, Severity.LOW, "transfer", "a trial", "none", why, todo)]
    said = postgres.Forecast.from_dict(raw)
    advice = "\n".join(said.advice)
    words = f"{said.seconds:.0f} s, between {said.low_s:.0f} and {said.high_s:.0f}; {said.basis}"
    return [
        Finding(
            "FOR-02",
            title,
            Status.FAIL if said.thin else Status.PASS,
            Severity.LOW,
            "transfer",
            "at least 30 s and 256 MiB, from a copy of about the day's size",
            f"{'; '.join(said.thin)}. {words}" if said.thin else words,
            "plan the window by the upper end, and then some" if said.thin else "",
            ("Repeat the trial with a copy of the production database. " if said.thin else "") + advice,
            data={"seconds": said.seconds, "low_s": said.low_s, "high_s": said.high_s},
        )
    ]


def check_forecast(step: Step, change: Change | None) -> list[Finding]:
    """Whether the day's transfer took as long as the trial had forecast (FOR-01); it closes no gate."""
    if change is None:
        return [step.planned("the look at the forecast")]
    if "measured" not in change.result:
        title, why = "The transfer took no longer than was forecast", "a replicated copy was switched over: no dump"
        return [Finding("FOR-01", title, Status.NOT_APPLICABLE, Severity.LOW, "transfer", why=why)]
    return postgres.check_forecast(step.recall("forecast"), postgres.Measured.from_dict(change.result["measured"]))


def lessons(text: str) -> list[Finding]:
    """The lessons learnt, as evidence; MANUAL while nobody has written them."""
    status = Status.PASS if text.strip() else Status.MANUAL
    return [
        Finding(
            "REV-01",
            "Lessons learnt are written down",
            status,
            Severity.LOW,
            "this migration",
            "a few sentences by those who took part",
            text.strip() or "nothing yet",
            "what went well and what did not is forgotten in a week",
            "run this notebook again with -p lessons '…'",
            927,
        )
    ]


def _short(value: Any, most: int = 160) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return cut(text, most)


def planned_changes(folder: Path) -> list[dict[str, Any]]:
    """Every planned change of a run, a row each, in the order of the steps."""
    rows = []
    for path in sorted((folder / "plan").glob("*.json")):
        about = json.loads(path.read_text())
        plan = about["plan"]
        rows.append(
            {
                "step": about["step"],
                "change": plan["summary"],
                "of": plan["subject"],
                "state": about["state"],
                "undo": plan["undo"],
            }
        )
    return rows


def snapshot_name(step: Step) -> str:
    """Name of the RDS snapshot of this run: its minute is in it, so two runs never share one."""
    stamp = re.sub(r"\D", "", step.run.name)[:12] or f"{datetime.now(UTC):%Y%m%d%H%M}"
    return f"{step.migration.name}-pre-migration-{stamp}"
