"""The picture of the month's cost: each part at each count of tasks, the guide's beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cutover.report.charts import GREY, INK, WIDTH_IN, _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999", "#004D40",
            "#332288", "#882255")  # fmt: skip
"""Okabe and Ito's palette and three of Tol's: told apart by colour-blind readers too; each is hatched besides."""
_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo", "--", "**", "||", "OO")
_LEAST = 0.035


def months(
    parts: Mapping[str, tuple[float, ...] | None],
    tasks: Sequence[int],
    guide: Mapping[str, float],
    unknown: set[str] | frozenset[str] = frozenset(),
) -> Figure:
    """A bar for the guide and one for each count of tasks, stacked by part, largest below.

    Args:
        parts: USD a month by part, at each count of tasks; None where it is not known.
        tasks: the counts.
        guide: USD a month by part, as the guide has them.
        unknown: parts of which something is not known: the bars are then lower bounds.
    """
    with _style():
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

        figure = Figure(figsize=(WIDTH_IN, 4.6))
        axes = figure.subplots()
        names = ["the guide,\n2 tasks", *(f"{n} tasks" for n in tasks)]
        known = {name: usd for name, usd in parts.items() if usd and max(usd) > 0}
        order = sorted(known, key=lambda name: -known[name][0])
        below = [0.0] * len(names)
        tops = [sum(guide.values()), *(sum(u[n] for u in known.values()) for n in range(len(tasks)))]
        for number, part in enumerate([*order, *(p for p in guide if p not in known)]):
            values = [guide.get(part, 0.0), *known.get(part, (0.0,) * len(tasks))]
            colour = _COLOURS[number % len(_COLOURS)]
            axes.bar(names, values, 0.62, bottom=below, color=colour, edgecolor="white", linewidth=0.6, label=part,
                     hatch=_HATCHES[number % len(_HATCHES)], alpha=0.92)  # fmt: skip
            for place, (value, base) in enumerate(zip(values, below, strict=True)):
                if value > _LEAST * max(tops):
                    plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
                    axes.text(place, base + value / 2, f"{part} {value:,.0f}", ha="center", va="center", fontsize=8,
                              color=INK, bbox=plate)  # fmt: skip
            below = [b + v for b, v in zip(below, values, strict=True)]
        least = "at least " if unknown else ""
        for place, top in enumerate(tops):
            words = f"{least if place else ''}{top:,.0f}"
            axes.text(place, top + max(tops) * 0.012, words, ha="center", va="bottom", fontweight="bold", fontsize=10)
        axes.axhline(sum(guide.values()), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(ylabel="USD a month", title="What a month costs", ylim=(0, max(tops) * 1.1))
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, frameon=False, reverse=True)
        axes.grid(axis="x", visible=False)
    return figure
