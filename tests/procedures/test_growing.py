"""The picture of a watch while it goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from cutover.judgement import judge_metrics
from cutover.migration import Triggers
from cutover.procedures.live_chart import Growing

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Outputs:
    """A notebook's output: what was shown first, and what took its place."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.made = 0

    def __call__(self, data: dict[str, str], **_: Any) -> Outputs:
        """As IPython's display."""
        self.made += 1
        self.shown.append(data["text/html"])
        return self

    def update(self, data: dict[str, str], **_: Any) -> None:
        """The same output, drawn over."""
        self.shown.append(data["text/html"])


def look(minutes: int) -> tuple[pd.DataFrame, Any]:
    """So many minutes of a healthy platform, judged."""
    index = pd.date_range(T0, periods=minutes, freq="60s")
    metrics = pd.DataFrame({"requests": 1000.0, "errors": 0.0, "p95_s": 0.2, "in_flight": 1.0}, index=index)
    return metrics, judge_metrics(metrics, [], [], Triggers(), at=T0.timestamp() + 60 * minutes)


def test_one_output_grows_and_gives_way_at_the_end() -> None:
    """Not a picture a poll: the next cell shows the whole."""
    now, output = [0.0], Outputs()
    growing = Growing(Triggers(), show=output, every_s=10, clock=lambda: now[0])
    growing(*look(2))
    growing(*look(2))  # too soon
    now[0] = 10.0
    growing(*look(3))
    assert output.made == 1
    first, second = output.shown
    assert first != second
    assert 'alt="So far INCONCLUSIVE' in first
    growing.end("Watched for 20 s.")
    assert output.shown[-1] == "<p>Watched for 20 s.</p>"
    assert output.made == 1


def test_without_a_notebook_nothing_is_drawn_and_a_failure_to_draw_disturbs_nothing() -> None:
    """The watch goes on either way."""
    growing = Growing(Triggers())
    growing(*look(2))
    growing.end("over")

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no display")

    Growing(Triggers(), show=broken)(*look(2))
