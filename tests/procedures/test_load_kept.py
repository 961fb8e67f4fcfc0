"""A load test's result is kept by one call; drawing it writes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cutover import judgement, runbook
from cutover.procedures.pictures import watch_chart
from cutover.procedures.watch import Observed
from cutover.step import Step

T0 = 1_800_000_000.0


@pytest.fixture
def step(migration: dict[str, Any]) -> Step:
    """Notebook 05 at work."""
    return runbook.begin("05_load_test", migration)


def requests(seconds: int = 180, per_s: int = 10) -> pd.DataFrame:
    """A steady load, each request answered after a tenth of a second."""
    due = T0 + np.arange(seconds * per_s) / per_s
    frame = pd.DataFrame({"due_s": due, "sent_s": due, "done_s": due + 0.1, "endpoint": "GET /", "outcome": "ok"})
    frame = frame.assign(status=200, bytes=1, worker="worker-1")
    frame.attrs.update({"at": T0 + seconds, "horizon": T0 + seconds, "started": T0, "warm_up_until": T0})
    return frame


def written(step: Step) -> tuple[list[str], int]:
    """The files of the run, and how many lines its journal has."""
    files = sorted(p.relative_to(step.run.path).as_posix() for p in step.run.path.rglob("*") if p.is_file())
    return files, len(step.journal.entries())


def test_drawing_a_load_writes_nothing(step: Step) -> None:
    """Whoever leaves a picture out loses no result, and whoever draws it twice makes none."""
    frame = requests()
    judged = judgement.judge_load(frame, step.migration.triggers)
    before = written(step)
    runbook.pictures.load_chart(step, judged, frame)
    runbook.pictures.show_load(step, judged, frame)
    metrics = pd.DataFrame({"requests": [60.0]}, index=pd.DatetimeIndex([pd.Timestamp(T0, unit="s", tz="UTC")]))
    metrics = metrics.reindex(columns=["requests", "errors", "p95_s", "in_flight"])
    watch_chart(step, Observed([], judged.verdict, metrics, [], [], 1.0))
    assert written(step) == before


def test_a_kept_load_is_evidence_and_is_remembered_for_the_sizing(step: Step) -> None:
    """The numbers behind the pictures in the run, the result in the journal."""
    frame = requests()
    runbook.load_test.keep_load(step, judgement.judge_load(frame, step.migration.triggers), frame)
    files, lines = written(step)
    assert {f"raw/load/05_load_test-{one}.csv" for one in ("windows", "percentiles", "endpoints")} <= set(files)
    assert lines == 1
    last = runbook.cost.last_load(step, 3)
    assert last is not None
    assert last.answered_per_s == pytest.approx(10.0)
