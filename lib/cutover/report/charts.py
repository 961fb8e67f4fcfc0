"""The pictures, in one style: how the load went, what was compared, how long each step took; with their alt texts.

Every function returns a matplotlib Figure made without pyplot, so it neither needs a display nor touches a notebook's
state. matplotlib is imported when the first picture is drawn.
"""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutover.migration import Triggers
from cutover.report import wording
from cutover.report.record import StepEnd, parse_time
from cutover.text import count, cut, duration

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cutover.postgres import Comparison, TableComparison

STYLE = Path(__file__).with_name("cutover.mplstyle")
WIDTH_IN = 8.8
LABEL = 34
"""Characters of a label beside a bar."""
BLUE, VERMILION, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#8c96a3", "#1c2430"
_PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
_MOST_TABLES = 16
_MOST_POINTS = 2_000
_TONES = {"good": GREEN, "bad": VERMILION, "doubt": "#E69F00", "quiet": "#c9cfd7"}


def load_windows(
    frame: pd.DataFrame, triggers: Triggers | None = None, *, fired: Sequence[tuple[datetime, str]] = ()
) -> Figure:
    """Response time, error rate and arrivals over time, with the limits and the moment at which one was crossed.

    Args:
        frame: a row per window: start (epoch seconds), arrivals, completed, errors, error_rate (share), p50_s, p95_s,
            in_flight, never_sent, and scheduled (arrivals that were planned) where there was a schedule; NaN where
            there is nothing to say. What is lacking is left out of the picture.
        triggers: the limits to draw; none when None.
        fired: when a trigger fired, and its name.
    """
    with _style():
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import
        from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

        data = _thinned(frame)
        start = float(data["start"].min()) if len(data) else 0.0
        minutes = (data["start"] - start) / 60
        by_minute = len(data) == 0 or float(minutes.max()) >= 3
        x = minutes if by_minute else minutes * 60
        figure = Figure(figsize=(WIDTH_IN, 5.6))
        latency, errors, traffic = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2])
        for axes in (latency, errors, traffic):
            axes.margins(x=0.01)

        _line(latency, x, data, "p50_s", colour=GREY, label="half of the requests (p50)")
        _line(latency, x, data, "p95_s", colour=BLUE, label="95 of 100 requests (p95)")
        _headroom(latency, highest(data, "p95_s"), triggers.p95.above.total_seconds() if triggers else None)
        steep = triggers and (highest(data, "p95_s") or 0.0) > 6 * triggers.p95.above.total_seconds()
        latency.set(ylabel="seconds, log scale" if steep else "seconds", title="Response time")
        if steep:
            latency.set_yscale("log")
            latency.set_ylim(max(0.01, (highest(data, "p50_s", least=True) or 0.1) * 0.6), None)
            latency.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        if triggers:
            hold = duration(triggers.p95.hold.total_seconds())
            _limit(
                latency,
                triggers.p95.above.total_seconds(),
                f"limit {triggers.p95.above.total_seconds():g} s for {hold}",
            )
        _legend(latency)

        if "error_rate" in data:
            errors.fill_between(x, data["error_rate"] * 100, color=VERMILION, alpha=0.18, linewidth=0)
            _line(errors, x, data.assign(error_pc=data["error_rate"] * 100), "error_pc", colour=VERMILION)
        _headroom(
            errors, (highest(data, "error_rate") or 0.0) * 100, triggers.error_rate.above * 100 if triggers else None
        )
        errors.set(ylabel="errors, %", title="Error rate (share of requests)")
        if triggers:
            hold = duration(triggers.error_rate.hold.total_seconds())
            _limit(errors, triggers.error_rate.above * 100, f"limit {triggers.error_rate.above * 100:g} % for {hold}")

        width_s = _window_s(data)
        rates = data.assign(**{k: data[k] / width_s for k in ("scheduled", "arrivals", "completed") if k in data})
        if "scheduled" in rates and rates["scheduled"].notna().any():
            traffic.plot(x, rates["scheduled"], color=INK, linewidth=1.1, linestyle=(0, (1, 1.5)), label="scheduled")
        _line(traffic, x, rates, "arrivals", colour=GREY, label="arriving")
        _line(traffic, x, rates, "completed", colour=GREEN, label="answered")
        traffic.set(ylabel="requests per s", title="Traffic", ylim=(0, None))
        traffic.set_xlabel(f"{'minutes' if by_minute else 'seconds'} since {wording.clock(parse_time(start))} UTC")
        _legend(traffic)

        for number, (at, name) in enumerate(fired):
            where = (at.timestamp() - start) / (60 if by_minute else 1)
            for axes in (latency, errors, traffic):
                axes.axvline(where, color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
            late = len(x) and where > float(x.max()) * 0.6
            latency.annotate(
                f"{name} fired, {wording.clock(at)}", (where, 0.84 - 0.12 * number), xycoords=("data", "axes fraction"),
                xytext=(-5 if late else 5, 0), textcoords="offset points", ha="right" if late else "left",
                fontsize=9, fontweight="bold", color=INK, bbox=_PLATE, zorder=6,
            )  # fmt: skip
    return figure


def load_alt(
    frame: pd.DataFrame, triggers: Triggers | None = None, *, fired: Sequence[tuple[datetime, str]] = ()
) -> str:
    """What `load_windows` shows, in words."""
    if not len(frame):
        return "No window of load was recorded."
    parts = []
    slowest, worst = highest(frame, "p95_s"), highest(frame, "error_rate")
    if slowest is not None:
        limit = f", limit {triggers.p95.above.total_seconds():g} s" if triggers else ""
        parts.append(f"The slowest window's p95 was {duration(slowest)}{limit}")
    else:
        parts.append("No response time could be measured")
    if worst is not None:
        limit = f", limit {triggers.error_rate.above * 100:g} %" if triggers else ""
        parts.append(f"the worst window's error rate was {wording.percent(worst)}{limit}")
    if "scheduled" in frame and frame["scheduled"].sum() > 0:
        came, due = float(frame["arrivals"].sum()), float(frame["scheduled"].sum())
        if due - came > max(0.02 * due, 4 * math.sqrt(due)):  # chance alone moves the count of a Poisson load by less
            parts.append(f"only {wording.percent(came / due)} of the scheduled arrivals came")
    parts += [f"{name} fired at {wording.clock(at)} UTC" for at, name in fired]
    ending = "" if fired else ("; no rollback trigger is recorded to have fired" if triggers else "")
    return f"{'; '.join(parts)}{ending}. {count(len(frame), 'window')}."


def tables(comparison: Comparison) -> Figure:
    """Rows by table on both sides, the tables that differ first and marked, then the largest."""
    rows = comparison.counted
    with _style():
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import
        from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

        shown = _ordered(rows)[:_MOST_TABLES]
        figure = Figure(figsize=(WIDTH_IN, 1.25 + 0.34 * max(1, len(shown))))
        axes = figure.subplots()
        places = range(len(shown))
        here, there = [r.source_rows or 0 for r in shown], [r.target_rows or 0 for r in shown]
        axes.barh([p - 0.19 for p in places], here, 0.34, color="#b9c1cb", label="source")
        axes.barh([p + 0.19 for p in places], there, 0.34, label="target",
                  color=[VERMILION if r.differs else BLUE if r.identical else "white" for r in shown],
                  edgecolor=["none" if r.differs or r.identical else GREY for r in shown],
                  hatch=["" if r.differs or r.identical else "////" for r in shown])  # fmt: skip
        widest = max([1, *here, *there])
        for place, row in zip(places, shown, strict=True):
            text = count(there[place])
            if row.differs:
                off = f"{count(row.off)} differ" if row.off else "differs, not located"
                text = f"{text} of {count(here[place])}: {off}"
            elif not row.identical:
                text = f"not on the {row.absent}" if row.absent else "not compared"
            axes.text(
                max(here[place], there[place]) + widest * 0.012, place, text, va="center", fontsize=9,
                fontweight="normal" if row.identical else "bold", color="#4a5462" if row.identical else "#a63c00",
            )  # fmt: skip
        axes.set_yticks(list(places), [cut(r.name, LABEL) for r in shown], parse_math=False)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, widest * (1.42 if any(not r.identical for r in shown) else 1.16))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
        axes.xaxis.set_major_locator(_whole_numbers())
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.set_xlabel("rows")
        axes.set_title("Rows by table" + (f", {len(shown)} of {len(rows)} tables" if len(rows) > len(shown) else ""))
        handles = [axes.patches[0], axes.patches[len(shown)]] if shown else []
        if handles:
            figure.legend(handles, ["source", "target"], loc="outside upper right", ncols=2)
    return figure


def tables_alt(comparison: Comparison) -> str:
    """What `tables` shows, in words: the comparison's sentence, and the tables that are not identical by name."""
    differ = [_difference(r) for r in comparison.counted if r.differs]
    blind = [r.name for r in comparison.counted if not r.differs and not r.identical]
    said = comparison.sentence()
    said += f" Not equal: {wording.listing(differ, 4)}." if differ else ""
    return said + (f" Not compared: {wording.listing(blind, 4)}." if blind else "")


def timeline(steps: Sequence[StepEnd]) -> Figure:
    """Each step as a bar from its beginning to its end, with its ending in words; what did not run has no bar."""
    with _style():
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

        begun = [s.started.timestamp() for s in steps if s.started]
        zero = min(begun, default=0.0)
        spans, clock = [], zero
        for step in steps:
            begin = step.started.timestamp() if step.started else clock
            spans.append((begin - zero, step.seconds or 0.0))
            clock = begin + (step.seconds or 0.0)
        total = max([a + b for a, b in spans], default=0.0) or 1.0
        unit, name = (3600.0, "hours") if total > 7200 else (60.0, "minutes") if total > 180 else (1.0, "seconds")
        figure = Figure(figsize=(WIDTH_IN, 1.0 + 0.31 * max(1, len(steps))))
        axes = figure.subplots()
        for place, (step, (begin, taken)) in enumerate(zip(steps, spans, strict=True)):
            word, _, tone = wording.ending(step.state, step.verdict)
            ran = step.state != "not-run"
            if ran:
                least = max(taken, total * 0.004)
                axes.barh(place, least / unit, 0.58, left=begin / unit, color=_TONES[tone], edgecolor="white")
            text = duration(step.seconds) if step.state == "completed" else f"{word.lower()}"
            if ran and step.state != "completed" and step.seconds is not None:
                text = f"{text}, {duration(step.seconds)}"
            late = ran and (begin + taken) > total * 0.72
            inside = late and begin < total * 0.3
            edge = begin if late and not inside else begin + taken
            colour = "black" if inside else "#a63c00" if tone == "bad" else "#5d6875"
            axes.annotate(
                text, (edge / unit if ran else 0, place), xytext=(-5 if late else 5, 0), textcoords="offset points",
                va="center", ha="right" if late else "left", fontsize=9, color=colour,
                fontweight="bold" if tone == "bad" else "normal",
            )  # fmt: skip
        axes.set_yticks(range(len(steps)), [cut(wording.step_title(s.name), LABEL) for s in steps], parse_math=False)
        axes.set_ylim(max(len(steps), 1) - 0.4, -0.6)
        axes.set_xlim(0, total * 1.02 / unit)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        since = f" since {wording.clock(parse_time(zero))} UTC" if begun else ""
        axes.set_xlabel(f"{name}{since}")
    return figure


def timeline_alt(steps: Sequence[StepEnd]) -> str:
    """What `timeline` shows, in words."""
    if not steps:
        return "No step is recorded."
    done = [s for s in steps if s.state == "completed"]
    stopped = [s for s in steps if s.state not in {"completed", "not-run"}]
    text = f"{len(done)} of {count(len(steps), 'step')} completed"
    if stopped:
        text += "; " + "; ".join(
            f"{wording.step_title(s.name)}: {wording.ending(s.state)[0].lower()}" for s in stopped[:4]
        )
    timed = [s for s in steps if s.seconds]
    if timed:
        longest = max(timed, key=lambda s: s.seconds or 0)
        text += f". The longest was {wording.step_title(longest.name)} with {duration(longest.seconds)}"
    return text + "."


def highest(frame: pd.DataFrame, column: str, *, least: bool = False) -> float | None:
    """The highest (or least) value of a column; None when the column is not there or holds no number."""
    value = float(frame[column].min() if least else frame[column].max()) if column in frame and len(frame) else math.nan
    return value if math.isfinite(value) else None


def svg(figure: Figure) -> bytes:
    """The figure as an SVG whose text is drawn, so it looks the same on every machine; the same bytes each time."""
    target = io.BytesIO()
    with _style():
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": "cutover"})
    return target.getvalue()


def data_uri(figure: Figure) -> str:
    """The figure as a `data:` address for an HTML picture."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure)).decode()


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib  # noqa: PLC0415 - slow to import

    with warnings.catch_warnings(), matplotlib.rc_context(fname=STYLE):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """At most `_MOST_POINTS` windows, the worst of each group kept, so a week of load still draws in a second."""
    ordered = frame.sort_values("start").reset_index(drop=True)
    group = -(-len(ordered) // _MOST_POINTS) or 1
    if group == 1:
        return ordered
    how = dict.fromkeys(ordered.columns, "max") | {"start": "min"}
    how |= {c: "mean" for c in ("scheduled", "arrivals", "completed") if c in ordered}
    return ordered.groupby(ordered.index // group).agg(how)


def _window_s(frame: pd.DataFrame) -> float:
    steps = frame["start"].diff().dropna()
    width = float(steps.median()) if len(steps) else 1.0
    return width if width > 0 else 1.0


def _line(axes: Axes, x: Any, frame: pd.DataFrame, column: str, *, colour: str, label: str = "") -> None:
    if column in frame:
        dots = "o" if len(frame) < 12 else ""
        axes.plot(x, frame[column], color=colour, label=label, marker=dots, markersize=3.5)


def _legend(axes: Axes) -> None:
    """The names of the lines, above the plot at the right, where no line can run through them."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderaxespad=0)


def _limit(axes: Axes, value: float, text: str) -> None:
    axes.axhline(value, color=VERMILION, linewidth=1.2, linestyle=(0, (2, 2)))
    axes.annotate(
        text, (0, value), xycoords=("axes fraction", "data"), xytext=(4, 4), textcoords="offset points",
        fontsize=9, color="#a63c00", bbox=_PLATE,
    )  # fmt: skip


def _headroom(axes: Axes, top: float | None, limit: float | None) -> None:
    top = max(top or 0.0, limit or 0.0) or 1.0
    axes.set_ylim(0, top * 1.28)


def _ordered(rows: Sequence[TableComparison]) -> list[TableComparison]:
    return sorted(rows, key=lambda r: (not r.differs, r.identical, -(r.source_rows or 0), r.name))


def _difference(row: TableComparison) -> str:
    if not row.off:
        return f"{row.name} (rows not located)"
    if row.source_rows == row.target_rows:
        return f"{row.name} ({count(row.off)} of {count(row.source_rows, 'row')} not equal)"
    return f"{row.name} ({row.target_rows or 0:,} of {count(row.source_rows or 0, 'row')})"


def _whole_numbers() -> Any:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - slow to import

    return MaxNLocator(nbins=6, integer=True)
