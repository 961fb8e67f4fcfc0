"""The pictures of a notebook: the load, the watch, the tables compared; each leaves its data as evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from cutover.finding import Finding, Status
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
