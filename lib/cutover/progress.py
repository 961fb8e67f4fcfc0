"""How far a long piece of work is: one shape for all who tell, and one who shows it.

A bar in a notebook or on a terminal, plain lines where nobody watches. Every stage keeps its line, with what it took
once it is done.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from cutover.secrets import redact
from cutover.text import duration, size

EVERY_S = 5.0
"""Plain lines come so often, in seconds, and at the end of what took two or more; bars are drawn ten times as often."""
AFTER_S = 0.5
"""Seconds before a command's bar is drawn: short work draws none."""
MIME = "application/vnd.cutover.progress+json"
"""Marks the output that `cutover run` repeats as a line."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage of a long piece of work is.

    Attributes:
        stage: what goes on: `dump`, `restore`, `digest`, `copy`, `load`.
        done: units done so far.
        total: units in all, 0 when unknown.
        unit: what is counted: `tables`, `pieces`, `objects`, `seconds`.
        note: what was just finished or begun, such as a table's name.
        rows, rows_total: rows done and in all; the total is an estimate, 0 when unknown.
        bytes, bytes_total: bytes done and in all; the same.
        started: when the stage began, on the monotonic clock in seconds; 0 when nobody said.
        at: when this was told, on the same clock.
    """

    stage: str
    done: float
    total: float
    unit: str
    note: str = ""
    rows: int = 0
    rows_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    started: float = 0.0
    at: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the stage began; 0 when nobody said when."""
        return max(0.0, self.at - self.started) if self.started else 0.0

    @property
    def ended(self) -> bool:
        """Whether all of its units are done."""
        return self.total > 0 and self.done >= self.total

    @property
    def rate(self) -> float | None:
        """Bytes a second where they are counted, else rows, else units; None when not known yet."""
        return (self.bytes or self.rows or self.done) / self.elapsed_s if self.elapsed_s else None

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
    def seconds_left(self) -> float | None:
        """About how long it will still take at the rate so far; None when not known yet."""
        share = self.share
        return self.elapsed_s * (1 - share) / share if share and (self.elapsed_s or share == 1) else None

    @property
    def line(self) -> str:
        """All of it in words: how much, how fast, how long still."""
        of = f" of {self.total:,.0f}" if self.total else ""
        parts = [f"{self.done:,.0f}{of} {self.unit}"]
        if self.bytes:
            of = f" of {size(self.bytes_total)}" if self.bytes_total and not self.ended else ""
            parts.append(f"{size(self.bytes)}{of}")
        if self.rows:
            parts.append(f"{self.rows:,} rows")
        if self.ended:
            return f"{self.stage}: {', '.join(parts)} in {duration(self.elapsed_s)}"
        if self.elapsed_s > 1:
            if self.rate and (self.bytes or self.rows):
                parts.append(f"{size(self.rate)}/s" if self.bytes else f"{self.rate:,.0f} rows/s")
            if self.seconds_left:
                parts.append(f"about {duration(self.seconds_left)} left")
        return f"{self.stage}: {', '.join(parts)}" + (f" · {self.note}" if self.note else "")


Listener = Callable[[Progress], None]
"""Called from the thread that works (one at a time); it must be quick and must not raise."""


@dataclass(slots=True)
class Show:
    """A listener that remembers the stages, in their order, and lets them be drawn from time to time.

    Attributes:
        draw: called with all stages, and whether it is time for a plain line.
        every_s: seconds between two plain lines.
        after_s: seconds before anything is drawn.
        clock: seconds, monotonic.
        stages: how far each is, by name.
    """

    draw: Callable[[list[Progress], bool], None]
    every_s: float = EVERY_S
    after_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    stages: dict[str, Progress] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _drawn: float = float("-inf")
    _began: float | None = None
    _said: float = 0.0

    def __call__(self, told: Progress) -> None:
        """Take it in; a failure to draw never disturbs the work."""
        now = self.clock()
        with self._lock:
            first, stage = self._take(told, now)
            if self._began is None:
                self._began = self._said = now
            line = (stage.ended and stage.elapsed_s >= 0.4 * self.every_s) or now - self._said >= self.every_s
            due = first or stage.ended or line or now - self._drawn >= self.every_s / 10
            if not due or now - self._began < self.after_s:
                return
            self._drawn = now
            if line:
                self._said = now
            with suppress(Exception):
                self.draw(list(self.stages.values()), line)

    def _take(self, told: Progress, now: float) -> tuple[bool, Progress]:
        """Whether this is the first word of a stage, and the stage."""
        before = self.stages.get(told.stage)
        again = before is not None and before.ended and told.done < before.total
        if before is None or again:
            if before is not None:  # a second round: the first keeps its line
                self.stages[f"{told.stage} {len(self.stages)}"] = self.stages.pop(told.stage)
            name, began = f"{told.stage}, again" if again else told.stage, told.started or now
        else:
            name, began = before.stage, before.started
        stage = self.stages[told.stage] = replace(told, stage=name, started=began, at=max(now, began))
        return before is None or again, stage


def progress(step: Any = None, *, every_s: float = EVERY_S) -> Show:
    """A listener for whatever takes long: pass it as `progress=…`.

    Args:
        step: the notebook's step, or None outside of one.
        every_s: seconds between two plain lines.
    """
    if in_kernel():
        return Show(_Notebook(), every_s)
    return Show(_Terminal() if sys.stderr.isatty() else _plain, every_s)


@contextmanager
def transient(quiet: bool = False) -> Iterator[Listener]:
    """A listener for the length of a command's block; its bar is gone at the end, so that what follows stands alone."""
    if quiet or not sys.stderr.isatty():
        yield (lambda _: None) if quiet else Show(_plain, EVERY_S)
        return
    terminal = _Terminal(leave=False)
    try:
        yield Show(terminal, EVERY_S, AFTER_S)
    finally:
        terminal.close()


def html(stages: list[Progress]) -> str:
    """Every stage as a row: a bar that needs no script, and its line."""
    rows = ""
    for stage in stages:
        value = "" if stage.share is None else f'value="{stage.share:.4f}" '
        rows += (
            f'<tr><td style="text-align:left;padding-right:1em"><progress max="1" {value}'
            f'aria-label="{escape(stage.stage, quote=True)}"></progress></td>'
            f'<td style="text-align:left">{escape(redact(stage.line))}</td></tr>'
        )
    return f'<table role="presentation">{rows}</table>'


def line_in(output: Mapping[str, Any]) -> str:
    """The line that an output of a notebook wants to have repeated; "" for any other output."""
    data = output.get("data") or {}
    return str(data[MIME].get("line", "")) if isinstance(data.get(MIME), Mapping) else ""


def in_kernel() -> bool:
    """Whether this process is a notebook's kernel."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython  # noqa: PLC0415

    return getattr(get_ipython(), "kernel", None) is not None


class _Notebook:
    """One output that is drawn over again; the notebook that is saved holds the last."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, stages: list[Progress], line: bool) -> None:
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
    """A tqdm bar for each stage; with `leave`, what is done stays."""

    def __init__(self, *, leave: bool = True) -> None:
        self._leave = leave
        self._bars: dict[str, Any] = {}

    def __call__(self, stages: list[Progress], line: bool) -> None:
        from tqdm import tqdm  # noqa: PLC0415

        stage = stages[-1]
        bar = self._bars.get(stage.stage)
        if bar is None:
            if not self._leave:
                self.close()
            form = "{percentage:3.0f}%|{bar:12}| {desc}"
            bar = self._bars[stage.stage] = tqdm(
                total=1.0, bar_format=form, leave=self._leave, file=sys.stderr, dynamic_ncols=True
            )
        bar.set_description_str(redact(stage.line), refresh=False)
        bar.n = stage.share or 0.0
        bar.refresh()
        if stage.ended:
            self._bars.pop(stage.stage).close()

    def close(self) -> None:
        """The bars that are still drawn."""
        while self._bars:
            self._bars.popitem()[1].close()


def _plain(stages: list[Progress], line: bool) -> None:
    if line:
        print(redact(stages[-1].line), file=sys.stderr, flush=True)
