"""The picture of a watch while it goes on: one output of the notebook, drawn over again as windows come in.

Under `cutover run` nobody looks at it, and what is drawn last is what the next cell shows: nothing is drawn there.
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from typing import Any

import pandas as pd

from cutover.finding import Finding, Status
from cutover.judgement import Judgement
from cutover.migration import Triggers
from cutover.progress import in_kernel
from cutover.report import charts
from cutover.secrets import redact

EVERY_S = 10.0
"""Seconds between two drawings: CloudWatch has a new window once a minute."""
COLUMNS = ["start", "arrivals", "completed", "errors", "error_rate", "p50_s", "p95_s", "in_flight", "never_sent"]


def watch_windows(metrics: pd.DataFrame) -> pd.DataFrame:
    """CloudWatch's windows (`aws.read_metrics`) as those of a load, for `charts.load_windows`."""
    frame = metrics.reset_index(drop=True)
    frame.insert(0, "start", [at.timestamp() for at in metrics.index])
    frame["arrivals"] = frame["requests"]
    frame["completed"] = frame["requests"]
    frame["error_rate"] = frame["errors"] / frame["requests"]
    return frame.reindex(columns=COLUMNS)


def fired(findings: list[Finding]) -> list[tuple[datetime, str]]:
    """When triggers fired, and their short names."""
    moments = [
        (datetime.fromtimestamp(float(f.data["fired_at"]), UTC), f.id.removeprefix("TRG-").replace("-", " "))
        for f in findings
        if f.trigger and f.status is Status.FAIL and isinstance(f.data.get("fired_at"), int | float)
    ]
    return sorted(moments)


class Growing:
    """Draws what a watch has seen so far, at most every `every_s` seconds.

    Args:
        triggers: whose limits are drawn.
        show: what `IPython.display.display` is; found by itself in a kernel, None draws nothing.
        every_s: seconds between two drawings.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        triggers: Triggers,
        *,
        show: Callable[..., Any] | None = None,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._triggers, self._every_s, self._clock = triggers, every_s, clock
        self._show = show or _display()
        self._handle: Any = None
        self._due = float("-inf")

    def __call__(self, metrics: pd.DataFrame, judged: Judgement) -> None:
        """Draw, when it is time; a failure to draw never disturbs the watch."""
        if self._show is None or metrics.empty or self._clock() < self._due:
            return
        with suppress(Exception):
            png = io.BytesIO()
            figure = charts.load_windows(watch_windows(metrics), self._triggers, fired=fired(judged.findings))
            figure.savefig(png, format="png", bbox_inches="tight")
            data = base64.b64encode(png.getvalue()).decode()
            said = redact(f"So far {judged.headline}")
            alt = escape(said, quote=True)
            html = (
                f'<figure><img alt="{alt}" src="data:image/png;base64,{data}"><figcaption>{alt}</figcaption></figure>'
            )
            self._put(html, said)
        self._due = self._clock() + self._every_s

    def end(self, said: str) -> None:
        """The watch is over: what was drawn gives way to a line, for the next cell shows the whole picture."""
        if self._handle is not None:
            with suppress(Exception):
                self._put(f"<p>{escape(redact(said))}</p>", redact(said))

    def _put(self, html: str, text: str) -> None:
        data = {"text/html": html, "text/plain": text}
        if self._handle is None:
            assert self._show is not None  # noqa: S101 - asked before
            self._handle = self._show(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _display() -> Callable[..., Any] | None:
    if os.environ.get("CUTOVER_RUN") or not in_kernel():
        return None
    from IPython.display import display  # noqa: PLC0415 - not there outside of a kernel

    show: Callable[..., Any] = display
    return show
