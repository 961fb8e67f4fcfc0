"""Two more pictures of a load: how slow the slowest were, and each endpoint with its own time and its visitors'.

Service time is what the platform took (from sent to done); response time is what visitors waited (from due to done).
Where the two part, requests queued before anybody served them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cutover.migration import Triggers
from cutover.report import wording
from cutover.report.charts import BLUE, GREY, INK, LABEL, WIDTH_IN, _legend, _style
from cutover.text import count, cut, duration

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PERCENTILES, ENDPOINTS = "-percentiles.csv", "-endpoints.csv"
"""Endings of the files in raw/load/, after the step's name."""
_POINTS = 160
_MOST_ENDPOINTS = 14


def percentile_table(response_s: Sequence[float], service_s: Sequence[float]) -> pd.DataFrame:
    """Response and service time by percentile, exact (nearest rank), as far out as the number of requests allows.

    Args:
        response_s, service_s: one value a request, seconds; NaN is left out.

    Returns:
        Columns percentile (0 to 100), response_s, service_s, requests (the same in each row).
    """
    import numpy as np  # noqa: PLC0415 - slow to import
    import pandas as pd  # noqa: PLC0415

    kinds = {"response_s": np.asarray(response_s, dtype=float), "service_s": np.asarray(service_s, dtype=float)}
    kinds = {name: np.sort(values[~np.isnan(values)]) for name, values in kinds.items()}
    count = len(kinds["response_s"])
    if not count:
        return pd.DataFrame({"percentile": [], "response_s": [], "service_s": [], "requests": []})
    out = np.linspace(0.0, math.log10(max(count, 2)), _POINTS)
    share = np.unique(np.concatenate([1 - 10.0**-out, [0.5, 0.9, 0.95, 0.99, 1.0]]))
    frame = pd.DataFrame({"percentile": share * 100})
    for name, values in kinds.items():
        rank = np.clip(np.ceil(share * len(values) - 1e-9).astype(int) - 1, 0, max(len(values) - 1, 0))
        frame[name] = values[rank] if len(values) else math.nan
    return frame.assign(requests=count)


def percentiles(table: pd.DataFrame, triggers: Triggers | None = None) -> Figure:
    """Seconds by percentile, each nine as wide as the last (the plot of HdrHistogram); the limit where p95 must be."""
    with _style():
        import numpy as np  # noqa: PLC0415 - slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415

        figure = Figure(figsize=(WIDTH_IN, 3.6))
        axes = figure.subplots()
        # The slowest of all stands at half a request, as no share of them was faster than all.
        least = 0.5 / float(table["requests"].max()) if len(table) else 0.5
        x = -np.log10(np.clip(1 - table["percentile"].to_numpy(dtype=float) / 100, least, 1))
        axes.plot(x, table["response_s"], color=BLUE, label="response time: what visitors wait")
        axes.plot(
            x, table["service_s"], color=GREY, linestyle=(0, (5, 2)), label="service time: what the platform takes"
        )
        most = max(1, math.ceil(float(x.max()))) if len(x) else 1
        marks = [p for p in (0, 50, 90, 95, 99, 99.9, 99.99, 99.999, 99.9999) if -math.log10(1 - p / 100) <= most]
        axes.set_xticks([-math.log10(1 - p / 100) for p in marks], [f"{p:g} %" for p in marks])
        top = float(np.nanmax(table[["response_s", "service_s"]].to_numpy(), initial=0.0)) if len(table) else 1.0
        if triggers:
            limit = triggers.p95.above.total_seconds()
            top = max(top, limit)
            at = -math.log10(0.05)
            axes.plot([at], [limit], marker="v", color=INK, markersize=9, zorder=6)
            axes.annotate(
                f"p95 must stay below {limit:g} s", (at, limit), xytext=(-8, 4), textcoords="offset points",
                ha="right", fontsize=9, fontweight="bold", color=INK,
            )  # fmt: skip
        axes.set(xlabel="share of requests that were faster", ylabel="seconds", ylim=(0, (top or 1.0) * 1.2))
        axes.set_title("How slow the slowest were")
        _legend(axes)
    return figure


def percentiles_alt(table: pd.DataFrame, triggers: Triggers | None = None) -> str:
    """What `percentiles` shows, in words."""
    if not len(table):
        return "No response time was recorded."
    said = [f"{name} {duration(_at(table, p))}" for p, name in ((50, "half within"), (95, "95 % within"))]
    if int(table["requests"].iloc[0]) >= 100:
        said.append(f"99 % within {duration(_at(table, 99))}")
    slowest = duration(float(table["response_s"].iloc[-1]))
    text = f"Of {count(int(table['requests'].iloc[0]), 'request')} {', '.join(said)}; the slowest waited {slowest}"
    if triggers:
        limit = triggers.p95.above.total_seconds()
        text += (
            f"; over the whole load p95 is {'above' if _at(table, 95) > limit else 'within'} the limit of {limit:g} s"
        )
    apart = _at(table, 95) - _at(table, 95, "service_s")
    if apart > max(0.05, 0.2 * _at(table, 95)):
        text += f". At 95 % visitors waited {duration(apart)} longer than the platform worked: requests queued"
    return text + "."


def endpoints(table: pd.DataFrame, triggers: Triggers | None = None) -> Figure:
    """A row for each endpoint, the slowest first: p95 of service beside p95 of response, requests and errors in words.

    Args:
        table: as `load.summary` gives it (index or column `endpoint`), the row `all` included.
        triggers: whose limit is drawn; those of single endpoints too.
    """
    with _style():
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

        rows = _rows(table)[:_MOST_ENDPOINTS]
        figure = Figure(figsize=(WIDTH_IN, 1.35 + 0.42 * max(1, len(rows))))
        axes = figure.subplots()
        places = range(len(rows))
        response = [row["response_p95_s"] for row in rows]
        service = [row["service_p95_s"] for row in rows]
        axes.barh([p + 0.19 for p in places], response, 0.34, color=BLUE, label="response time, p95")
        axes.barh([p - 0.19 for p in places], service, 0.34, color="#b9c1cb", hatch="//", edgecolor="white",
                  label="service time, p95")  # fmt: skip
        finite = [v for v in (*response, *service) if math.isfinite(v)]
        widest = max([*finite, triggers.p95.above.total_seconds() if triggers else 0.0, 1e-3])
        for place, row in zip(places, rows, strict=True):
            share = row["errors"] / row["requests"] if row["requests"] else 0.0
            text = f"{row['response_p95_s']:.2f} s · {count(int(row['requests']), 'request')}"
            text += f" · {wording.percent(share)} failed" if row["errors"] else ""
            edge = max([v for v in (row["response_p95_s"], row["service_p95_s"]) if math.isfinite(v)], default=0.0)
            axes.text(edge + widest * 0.012, place, text, va="center", fontsize=9,
                      fontweight="bold" if row["errors"] else "normal", color=INK)  # fmt: skip
        if triggers:
            limit = triggers.p95.above.total_seconds()
            axes.axvline(limit, color="#D55E00", linewidth=1.2, linestyle=(0, (2, 2)), zorder=0)
            axes.annotate(f"limit {limit:g} s", (limit, 0), xycoords=("data", "axes fraction"), xytext=(-4, 4),
                          textcoords="offset points", ha="right", fontsize=9, color="#a63c00")  # fmt: skip
        axes.set_yticks(list(places), [cut(str(row["endpoint"]), LABEL) for row in rows], parse_math=False)
        axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
        axes.set_xlim(0, widest * 1.7)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.set(xlabel="seconds", title="Each endpoint")
        if rows:
            figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def endpoints_alt(table: pd.DataFrame) -> str:
    """What `endpoints` shows, in words."""
    rows = [row for row in _rows(table) if row["endpoint"] != "all"]
    if not rows:
        return "No endpoint was asked."
    slowest = rows[0]
    text = f"The slowest of {count(len(rows), 'endpoint')} is {slowest['endpoint']}: "
    text += f"95 % within {duration(slowest['response_p95_s'])}"
    apart = slowest["response_p95_s"] - slowest["service_p95_s"]
    if apart > max(0.05, 0.2 * slowest["response_p95_s"]):
        text += f", of which the platform worked {duration(slowest['service_p95_s'])}"
    failing = sorted((row for row in rows if row["errors"]), key=lambda row: -row["errors"])
    named = wording.listing([f"{row['endpoint']} ({int(row['errors']):,})" for row in failing], 4)
    return f"{text}. " + (f"Requests failed at {named}." if failing else "No request failed.")


def beside(windows: Path) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """The percentiles and the endpoints that were kept beside a load's windows; None where there are none."""
    import pandas as pd  # noqa: PLC0415 - slow to import, and most runs have no load

    found: list[pd.DataFrame | None] = []
    needed = ({"percentile", "response_s", "service_s", "requests"}, {"endpoint", "requests", "errors",
              "response_p95_s", "service_p95_s"})  # fmt: skip
    for ending, columns in zip((PERCENTILES, ENDPOINTS), needed, strict=True):
        path = windows.with_name(windows.name.removesuffix("-windows.csv") + ending)
        try:
            frame = pd.read_csv(path)
            numbers = sorted(columns - {"endpoint"})
            frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
        except (OSError, ValueError, KeyError):
            frame = pd.DataFrame()
        found.append(frame if len(frame) else None)
    return found[0], found[1]


def _at(table: pd.DataFrame, percent: float, column: str = "response_s") -> float:
    """The value at a percentile: the first row that is at least as far out."""
    far = table[table["percentile"] >= percent - 1e-9]
    return float((far if len(far) else table.tail(1))[column].iloc[0])


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """By p95 of response, slowest first; all of them together at the end."""
    frame = table.reset_index() if "endpoint" not in table else table
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    return sorted(
        rows, key=lambda r: (r["endpoint"] == "all", -(r["response_p95_s"] if r["response_p95_s"] > 0 else 0))
    )
