"""How far a long piece of work is: a bar in a notebook or on a terminal, plain lines where nobody watches.

What tells of itself is anything with `stage`, `done`, `total` and `unit` (and, where it knows them, `bytes`, `rows` and
their totals): a dump, a comparison, a copy of files. Every stage keeps its line, with what it took once it is done.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol

from cutover.secrets import redact

EVERY_S = 5.0
"""Plain lines come so often, in seconds, and at the end of what took two or more; bars are drawn ten times as often."""
MIME = "application/vnd.cutover.progress+json"
"""Marks the output that `cutover run` repeats as a line."""


class Told(Protocol):
    """The least that a listener is told."""

    @property
    def stage(self) -> str:
        """What goes on: `dump`, `restore`, `digest`, `copy`."""
        ...

    @property
    def done(self) -> int:
        """Units done."""
        ...

    @property
    def total(self) -> int:
        """Units in all; 0 when nobody knows."""
        ...

    @property
    def unit(self) -> str:
        """What is counted: `tables`, `pieces`, `objects`."""
        ...


@dataclass(slots=True)
class Stage:
    """One stage, as far as it has come."""

    name: str
    began: float
    told: float
    done: int = 0
    total: int = 0
    unit: str = ""
    bytes: int = 0
    bytes_total: int = 0
    rows: int = 0
    rows_total: int = 0
    note: str = ""

    @property
    def seconds(self) -> float:
        """Since it began."""
        return max(0.0, self.told - self.began)

    @property
    def share(self) -> float | None:
        """0 to 1: by bytes where they are counted, else by rows, else by units; None when nobody knows."""
        if self.ended:
            return 1.0
        for done, total in ((self.bytes, self.bytes_total), (self.rows, self.rows_total), (self.done, self.total)):
            if total > 0:
                return min(1.0, done / total)
        return None

    @property
    def ended(self) -> bool:
        """Whether all of its units are done."""
        return self.total > 0 and self.done >= self.total

    @property
    def line(self) -> str:
        """All of it in words: how much, how fast, how long still."""
        parts = [f"{self.done:,} of {self.total:,} {self.unit}" if self.total else f"{self.done:,} {self.unit}"]
        if self.bytes:
            of = f" of {_size(self.bytes_total)}" if self.bytes_total and not self.ended else ""
            parts.append(f"{_size(self.bytes)}{of}")
        if self.rows:
            parts.append(f"{self.rows:,} rows")
        if self.ended:
            return f"{self.name}: {', '.join(parts)} in {_time(self.seconds)}"
        if self.seconds > 1 and (moved := self.bytes or self.rows):
            rate = moved / self.seconds
            parts.append(f"{_size(rate)}/s" if self.bytes else f"{rate:,.0f} rows/s")
        share = self.share
        if share and self.seconds > 1:
            parts.append(f"about {_time(self.seconds * (1 - share) / share)} left")
        return f"{self.name}: {', '.join(parts)}" + (f" · {self.note}" if self.note else "")


@dataclass(slots=True)
class Show:
    """A listener that remembers the stages, in their order, and lets them be drawn from time to time.

    Attributes:
        draw: called with all stages, and whether it is time for a plain line.
        stages: by name.
        clock: seconds, monotonic.
    """

    draw: Callable[[list[Stage], bool], None]
    every_s: float = EVERY_S
    clock: Callable[[], float] = time.monotonic
    stages: dict[str, Stage] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _drawn: float = float("-inf")
    _said: float | None = None

    def __call__(self, told: Told) -> None:
        """Take it in; a failure to draw never disturbs the work."""
        now = self.clock()
        with self._lock:
            stage = self._stage(told, now)
            first, over = stage.told == stage.began, stage.ended
            if self._said is None:
                self._said = now
            line = (over and stage.seconds >= 0.4 * self.every_s) or now - self._said >= self.every_s
            if not (first or over or line or now - self._drawn >= self.every_s / 10):
                return
            self._drawn = now
            if line:
                self._said = now
            with suppress(Exception):
                self.draw(list(self.stages.values()), line)

    def _stage(self, told: Told, now: float) -> Stage:
        stage = self.stages.get(told.stage)
        if stage is None or (stage.ended and told.done < stage.total):
            began = float(getattr(told, "started", 0.0) or now)
            if stage is not None:  # a second round: the first keeps its line
                self.stages[f"{told.stage} {len(self.stages)}"] = self.stages.pop(told.stage)
            name = told.stage if stage is None else f"{told.stage}, again"
            stage = self.stages[told.stage] = Stage(name, began, began)
        stage.told = max(now, stage.told)
        stage.done, stage.total, stage.unit = told.done, told.total, told.unit
        for name in ("bytes", "bytes_total", "rows", "rows_total"):
            setattr(stage, name, int(getattr(told, name, 0) or 0))
        stage.note = str(getattr(told, "note", ""))
        return stage


def progress(step: Any = None, *, every_s: float = EVERY_S) -> Show:
    """A listener for whatever takes long: pass it as `progress=…`.

    Args:
        step: the notebook's step, or None outside of one.
        every_s: seconds between two plain lines.
    """
    if _in_kernel():
        return Show(_Notebook(), every_s)
    if sys.stderr.isatty():
        return Show(_Terminal(), every_s)
    return Show(_plain, every_s)


def html(stages: list[Stage]) -> str:
    """Every stage as a row: a bar that needs no script, and its line."""
    rows = ""
    for stage in stages:
        value = "" if stage.share is None else f'value="{stage.share:.4f}" '
        rows += (
            f'<tr><td style="text-align:left;padding-right:1em"><progress max="1" {value}'
            f'aria-label="{escape(stage.name, quote=True)}"></progress></td>'
            f'<td style="text-align:left">{escape(redact(stage.line))}</td></tr>'
        )
    return f'<table role="presentation">{rows}</table>'


def line_in(output: Mapping[str, Any]) -> str:
    """The line that an output of a notebook wants to have repeated; "" for any other output."""
    data = output.get("data") or {}
    return str(data[MIME].get("line", "")) if isinstance(data.get(MIME), Mapping) else ""


class _Notebook:
    """One output that is drawn over again; the notebook that is saved holds the last."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, stages: list[Stage], line: bool) -> None:
        from IPython.display import display  # noqa: PLC0415 - not there outside of a kernel

        show: Any = display
        said = stages[-1].line if line else ""
        data = {
            "text/plain": redact("\n".join(s.line for s in stages)),
            "text/html": html(stages),
            MIME: {"line": redact(said)},
        }
        if self._handle is None:
            self._handle = show(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class _Terminal:
    """A tqdm bar for each stage."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}

    def __call__(self, stages: list[Stage], line: bool) -> None:
        from tqdm import tqdm  # noqa: PLC0415

        stage = stages[-1]
        bar = self._bars.get(stage.name)
        if bar is None:
            form = "{percentage:3.0f}%|{bar:12}| {desc}"
            bar = self._bars[stage.name] = tqdm(total=1.0, bar_format=form, leave=True, dynamic_ncols=True)
        bar.set_description_str(redact(stage.line), refresh=False)
        bar.n = stage.share or 0.0
        bar.refresh()
        if stage.ended:
            self._bars.pop(stage.name).close()


def _plain(stages: list[Stage], line: bool) -> None:
    if line:
        print(redact(stages[-1].line), file=sys.stderr, flush=True)


def _in_kernel() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython  # noqa: PLC0415

    return getattr(get_ipython(), "kernel", None) is not None


def _size(amount: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:,.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:,.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
