"""The pictures of a notebook: the load, the watch, the tables compared. Drawing one changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from cutover import load
from cutover.action import Change
from cutover.errors import CutoverError
from cutover.judgement import Judgement
from cutover.postgres import Comparison, Equality
from cutover.procedures.live_chart import COLUMNS, fired, watch_windows
from cutover.procedures.tables import tabulate
from cutover.procedures.watch import Observed
from cutover.report import charts, load_pictures
from cutover.step import Step


def load_chart(step: Step, judged: Judgement, requests: pd.DataFrame | None = None) -> Any:
    """Response time, errors and arrivals of a load test, with the limits and the moment a trigger fired.

    Args:
        step: whose triggers and schedule they are.
        judged: the windows, and what fired.
        requests: every request, as `load.read_log` gives them; with them the schedule is drawn beside what arrived.
    """
    frame = load_course(step, judged, requests)
    return charts.load_windows(frame, step.migration.triggers, fired=fired(judged.findings))


def show_load(step: Step, judged: Judgement, requests: pd.DataFrame) -> None:
    """The load's course, its percentiles and its endpoints, each with the sentence that says what it shows."""
    triggers = step.migration.triggers
    step.show(load_chart(step, judged, requests), alt=judged.headline)
    table, endpoints = percentiles_of(requests), load.summary(requests).reset_index()
    step.show(load_pictures.percentiles(table, triggers), alt=load_pictures.percentiles_alt(table, triggers))
    step.show(load_pictures.endpoints(endpoints, triggers), alt=load_pictures.endpoints_alt(endpoints))


def load_course(step: Step, judged: Judgement, requests: pd.DataFrame | None = None) -> pd.DataFrame:
    """The windows of a load as they are drawn, with what was scheduled where that is on record."""
    frame = judged.windows.reindex(columns=COLUMNS)
    if requests is not None and (planned := _scheduled(step, frame, requests)) is not None:
        frame["scheduled"] = planned
    return frame


def percentiles_of(requests: pd.DataFrame) -> pd.DataFrame:
    """Response and service time by percentile, of every request that was sent."""
    sent = requests[requests["sent_s"].notna()]
    # What still waits counts at its age, a lower bound: left out, the slowest of all would be missing.
    done = sent["done_s"].fillna(float(requests.attrs.get("at", sent["sent_s"].max())))
    return load_pictures.percentile_table(
        (done - sent["due_s"]).to_numpy().tolist(), (done - sent["sent_s"]).to_numpy().tolist()
    )


def _scheduled(step: Step, frame: pd.DataFrame, requests: pd.DataFrame) -> list[float] | None:
    """How many arrivals each window was to have; None without a schedule on record."""
    files = sorted(step.run.raw("load").rglob("schedule.json"), key=lambda path: path.stat().st_mtime)
    if not files or not len(frame) or "started" not in requests.attrs:
        return None
    try:
        schedule = load.Schedule.from_json(files[-1].read_text())
    except (CutoverError, OSError):
        return None
    begun, end = float(requests.attrs["started"]), float(requests.attrs.get("horizon", requests.attrs.get("at", 0)))
    starts = frame["start"].tolist()
    width = starts[1] - starts[0] if len(starts) > 1 else max(0.0, end - starts[0])
    return [schedule.expected(s - begun, max(s, min(s + width, end)) - begun) for s in starts]


def watch_chart(step: Step, observed: Observed | None) -> Any:
    """The same picture from CloudWatch's windows."""
    if observed is None or observed.metrics.empty:
        return tabulate([("nothing: no metrics",)], ["watched"])
    frame = watch_windows(observed.metrics)
    return charts.load_windows(frame, step.migration.triggers, fired=fired(observed.findings))


def tables_chart(step: Step, comparison: Comparison) -> Any:
    """Rows by table on both sides, those that differ first."""
    return charts.tables(comparison)


def tables_sentence(comparison: Comparison) -> str:
    """What the picture of the tables shows, in words."""
    return charts.tables_alt(comparison)


def proof(step: Step, comparison: Comparison) -> Sentence:
    """What the comparison proves, in its own sentence for everyone; or, as plainly, what it does not."""
    proven = comparison.verdict() is Equality.EQUAL and comparison.whole
    return Sentence(comparison.sentence(), _took(step, comparison), proven=proven)


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
    return tabulate([*rows, total], ["part", "took, s", "forecast, s", "between"]).round(1)


def _forecast_parts(step: Step) -> dict[str, dict[str, Any]]:
    """The remembered forecast, by part; {} when there was no trial."""
    return {str(part["name"]): dict(part) for part in (step.recall("forecast") or {}).get("parts", ())}
