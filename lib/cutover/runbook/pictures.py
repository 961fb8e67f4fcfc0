"""The pictures of a notebook: the load, the watch, the tables compared; each leaves its data as evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

import pandas as pd

from cutover.action import Change
from cutover.finding import Finding, Status, deciding
from cutover.judgement import Judgement
from cutover.postgres import Comparison
from cutover.report import charts
from cutover.runbook.step import Step
from cutover.runbook.watching import Observed

_COLUMNS = ["start", "arrivals", "completed", "errors", "error_rate", "p50_s", "p95_s", "in_flight", "never_sent"]


def load_chart(step: Step, judged: Judgement) -> Any:
    """Response time, errors and arrivals of a load test, with the limits and the moment a trigger fired."""
    frame = judged.windows.reindex(columns=_COLUMNS)
    step.attach(f"raw/load/{step.name}-windows.csv", frame.to_csv(index=False))
    from cutover.runbook.costing import remember_load  # noqa: PLC0415 - it reads AWS, which this picture does not

    remember_load(step, judged)
    return charts.load_windows(frame, step.migration.triggers, fired=_fired(judged.findings))


def watch_chart(step: Step, observed: Observed | None) -> Any:
    """The same picture from CloudWatch's windows."""
    if observed is None or observed.metrics.empty:
        return pd.DataFrame([{"watched": "nothing: no metrics"}])
    frame = observed.metrics.reset_index(drop=True)
    frame.insert(0, "start", [at.timestamp() for at in observed.metrics.index])
    frame["arrivals"] = frame["completed"] = frame["requests"]
    frame["error_rate"] = frame["errors"] / frame["requests"]
    frame = frame.reindex(columns=_COLUMNS)
    step.attach(f"raw/load/{step.name}-windows.csv", frame.to_csv(index=False))
    return charts.load_windows(frame, step.migration.triggers, fired=_fired(observed.findings))


def tables_chart(step: Step, comparison: Comparison) -> Any:
    """Rows by table on both sides, those that differ first."""
    return charts.tables(_rows(comparison))


def tables_sentence(comparison: Comparison) -> str:
    """What the comparison found, in a sentence."""
    return charts.tables_alt(_rows(comparison))


def proof(step: Step, comparison: Comparison) -> Sentence:
    """What the comparison proves, in the sentence for everyone; or, as plainly, that it does not."""
    whole = [table for table in comparison.tables if not table.advisory]
    same = {f.id for f in comparison.findings if f.status is Status.PASS}
    proven = bool(whole) and all(table.identical for table in whole) and same >= _PROOF
    if not proven or comparison.left_out or any(f.closes_gate for f in comparison.findings):
        closed = deciding(comparison.findings)
        said = closed[0].sentence() if closed else tables_sentence(comparison).rstrip(".")
        return Sentence(f"Not proven. {said}.", _took(step, comparison), proven=False)
    declared = len(step.migration.expected_differences)
    but = f", but for {declared} declared {'difference' if declared == 1 else 'differences'}" if declared else ""
    said = f"All {len(whole):,} tables, {sum(t.source_rows or 0 for t in whole):,} rows, every sequence, index and "
    at = datetime.fromisoformat(comparison.source["at"]).astimezone(UTC)
    return Sentence(
        f"{said}constraint: identical{but}, as of {at:%Y-%m-%d %H:%M:%S} UTC.", _took(step, comparison), proven=True
    )


_PROOF = {"INT-rows", "INT-catalog", "INT-sequences"}
"""Findings that the sentence of the proof speaks of; each must have passed."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence that stands by itself, with a smaller one under it."""

    text: str
    small: str
    proven: bool

    def __str__(self) -> str:
        return f"{self.text}\n{self.small}"

    def to_html(self) -> str:
        """Large, with a bar at its side; the words carry the meaning, not the colour."""
        colour = "#005a8c" if self.proven else "#a83c00"
        return (
            f'<div role="status" style="border-left:6px solid {colour};padding:6px 16px;margin:6px 0">'
            f'<div style="font-size:1.35em;line-height:1.35">{escape(self.text)}</div>'
            f'<div style="color:#595959;margin-top:4px">{escape(self.small)}</div></div>'
        )


def _took(step: Step, comparison: Comparison) -> str:
    where = f" at WAL position {comparison.source['lsn']}" if comparison.source.get("lsn") else ""
    said = f"Source{where}; every row by its digest, computed on both servers in {comparison.seconds:.1f} s"
    part = _forecast_parts(step).get("compare")
    return f"{said} (forecast: {part['low_s']:.1f} to {part['high_s']:.1f} s)." if part else f"{said}."


def took(step: Step, change: Change | None) -> pd.DataFrame | None:
    """What the transfer took, part by part, beside what the trial's forecast said; None when it was only planned."""
    measured = (change.result.get("measured") if change else None) or {}
    if not measured:
        return None
    foreseen = _forecast_parts(step)
    rows = [
        {
            "part": name,
            "took, s": seconds,
            "forecast, s": part["seconds"] if part else None,
            "between": f"{part['low_s']:.1f} and {part['high_s']:.1f}" if part else "no trial",
        }
        for name, seconds in measured["seconds"].items()
        for part in [foreseen.get(name)]
    ]
    total = {"part": "together", "took, s": sum(measured["seconds"].values())}
    known = [foreseen[name] for name in measured["seconds"] if name in foreseen]
    if known:
        low, high = (sum(part[name] for part in known) for name in ("low_s", "high_s"))
        total |= {"forecast, s": sum(part["seconds"] for part in known), "between": f"{low:.1f} and {high:.1f}"}
    return pd.DataFrame([*rows, total]).set_index("part").round(1)


def _forecast_parts(step: Step) -> dict[str, dict[str, Any]]:
    """The remembered forecast, by part; {} when there was no trial."""
    return {str(part["name"]): dict(part) for part in (step.recall("forecast") or {}).get("parts", ())}


def _rows(comparison: Comparison) -> list[charts.TableRow]:
    return [
        charts.TableRow(t.name, t.source_rows or 0, t.target_rows or 0, t.missing + t.extra + t.different)
        for t in comparison.tables
    ]


def _fired(findings: list[Finding]) -> list[tuple[datetime, str]]:
    moments = [
        (datetime.fromtimestamp(float(f.data["fired_at"]), UTC), f.id.removeprefix("TRG-").replace("-", " "))
        for f in findings
        if f.trigger and f.status is Status.FAIL and isinstance(f.data.get("fired_at"), int | float)
    ]
    return sorted(moments)
