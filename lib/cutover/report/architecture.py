"""The architecture as a picture, each part coloured, marked and labelled by its worst finding (guide lines 28-75)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutover.finding import Finding, Severity, Status
from cutover.report.charts import BLUE, GREEN, GREY, INK, VERMILION, WIDTH_IN, _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORANGE = "#E69F00"
_MARKS = "DejaVu Sans"
"""A font that has the marks; it comes with matplotlib."""


@dataclass(frozen=True, slots=True)
class Part:
    """One box: what it is called, where it stands (in boxes from the left and the top), whose findings it shows."""

    name: str
    column: float
    row: float
    chapters: tuple[str, ...]


PARTS = (
    Part("Name", 0, 1, ("DNS",)),
    Part("CloudFront", 1, 1, ("CDN",)),
    Part("Balancer", 2, 1, ("ALB", "TG", "LSN", "ACM")),
    Part("Tasks", 3, 1, ("ECS", "TD", "SVC", "ASG", "EC2")),
    Part("Database", 4, 0, ("RDS",)),
    Part("Queue", 4, 1, ("RED",)),
    Part("Reports", 4, 2, ("S3",)),
    Part("Network", 0, 3, ("NET", "SG")),
    Part("Secrets", 1, 3, ("SEC",)),
    Part("Images", 2, 3, ("ECR", "IMG", "CI")),
    Part("Alarms, logs", 3, 3, ("ALM", "DSH", "LOG", "POST")),
    Part("Account, roles", 4, 3, ("ACC", "IAM")),
    Part("Between parts", 2, 2, ("X",)),
)
CHAPTERS = frozenset(chapter for part in PARTS for chapter in part.chapters)
"""Letters before the dash of an id that some part shows."""
_ARROWS = ((0, 1), (1, 2), (2, 3), (3, 4), (3, 5), (3, 6))
_LOOKS: dict[str, tuple[str, str, str]] = {
    "wrong": (VERMILION, "✖", "////"),
    "missing": (VERMILION, "∅", "xxxx"),
    "unknown": (_ORANGE, "?", "...."),
    "lesser": (_ORANGE, "!", ""),
    "waived": (BLUE, "w", "\\\\\\\\"),
    "good": (GREEN, "✔", ""),
    "nothing": (GREY, "–", ""),
}
"""Colour, mark and hatching: no look stands on its colour alone."""
_WORDS = {
    "wrong": "wrong, and it closes the gate",
    "missing": "missing, and it closes the gate",
    "unknown": "could not be looked at, and it closes the gate",
    "lesser": "something lesser is open",
    "waived": "waived",
    "good": "as it should be",
    "nothing": "nothing due was looked at",
}
_HEAVY = {Severity.BLOCKER, Severity.HIGH}


@dataclass(frozen=True, slots=True)
class State:
    """What a part's findings come to: its look, how many are open and pass, and the ids of the worst."""

    look: str
    open: int
    passed: int
    worst: tuple[str, ...]

    @property
    def label(self) -> str:
        """The line below the name."""
        if self.worst:
            more = f" +{len(self.worst) - 2}" if len(self.worst) > 2 else ""
            return f"{', '.join(self.worst[:2])}{more}"
        return f"{self.passed} checked" if self.passed else "not looked at"


def states(findings: Sequence[Finding]) -> dict[str, State]:
    """The state of every part; a part without findings was not looked at, which is never good."""
    return {part.name: _state([f for f in findings if _chapter(f) in part.chapters]) for part in PARTS}


def picture(findings: Sequence[Finding]) -> Figure:
    """The architecture, from the visitor on the left to the data on the right, what carries it below."""
    with _style():
        from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

        found = states(findings)
        figure = Figure(figsize=(WIDTH_IN, 4.3))
        axes = figure.subplots()
        axes.set(xlim=(-0.1, 5.0), ylim=(3.85, -0.15))
        axes.axis("off")
        for start, end in _ARROWS:
            _arrow(axes, PARTS[start], PARTS[end])
        for part in PARTS:
            _box(axes, part, found[part.name])
        axes.set_title("The architecture, each part by its worst finding", loc="left")
        _legend(axes, {s.look for s in found.values()})
    return figure


def sentence(findings: Sequence[Finding]) -> str:
    """What the picture shows, in words."""
    found = states(findings)
    told = []
    for look in _LOOKS:
        names = [f"{n} ({s.label})" if s.worst else n for n, s in found.items() if s.look == look]
        if names:
            told.append(f"{_WORDS[look]}: {', '.join(names)}")
    return "; ".join(told) + "."


def _chapter(finding: Finding) -> str:
    return finding.id.partition("-")[0]


def _state(findings: list[Finding]) -> State:
    passed = sum(f.status is Status.PASS for f in findings)
    ways = (
        ("wrong", {Status.FAIL}, True),
        ("missing", {Status.MISSING}, True),
        ("unknown", {Status.UNKNOWN, Status.MANUAL, Status.NOT_COMPARED}, True),
        ("lesser", {Status.FAIL, Status.MISSING, Status.UNKNOWN, Status.MANUAL, Status.NOT_COMPARED}, False),
        ("waived", {Status.WAIVED}, False),
    )
    open_ = [f for f in findings if f.status in ways[3][1]]
    for look, statuses, heavy in ways:
        worst = [f for f in findings if f.status in statuses and (f.severity in _HEAVY or not heavy)]
        if worst:
            order = sorted(worst, key=lambda f: (list(Severity).index(f.severity), f.id))
            return State(look, len(open_), passed, tuple(f.id for f in order))
    return State("good" if passed else "nothing", 0, passed, ())


def _box(axes: Axes, part: Part, state: State) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - slow to import

    colour, mark, hatch = _LOOKS[state.look]
    corner, width, height = (part.column, part.row), 0.82, 0.72
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, facecolor=colour, alpha=0.16, linewidth=0))
    line = "--" if state.look == "missing" else "-"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, facecolor="none", edgecolor=colour,
                                  linewidth=2.0, linestyle=line))  # fmt: skip
    if hatch:
        axes.add_patch(FancyBboxPatch((part.column, part.row + height - 0.12), width, 0.12, boxstyle="square,pad=0",
                                      facecolor="none", edgecolor=colour, linewidth=0, hatch=hatch))  # fmt: skip
    middle = part.column + width / 2
    name = f"{mark}  {part.name}"
    axes.text(middle, part.row + 0.23, name, ha="center", va="center", fontsize=8.5, fontweight="bold",
              color=INK, family=_MARKS)  # fmt: skip
    axes.text(middle, part.row + 0.46, state.label, ha="center", va="center", fontsize=7.5, color=INK)


def _arrow(axes: Axes, start: Part, end: Part) -> None:
    axes.annotate("", xy=(end.column - 0.02, end.row + 0.36), xytext=(start.column + 0.84, start.row + 0.36),
                  arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 1.2})  # fmt: skip


def _legend(axes: Axes, seen: set[str]) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415 - slow to import

    shown = [look for look in _LOOKS if look in seen]
    handles = [Patch(facecolor=_LOOKS[k][0], alpha=0.5, label=f"{_LOOKS[k][1]}  {_WORDS[k]}") for k in shown]
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, -0.22),
        ncols=2,
        frameon=False,
        prop={"family": _MARKS, "size": 7.5},
    )
