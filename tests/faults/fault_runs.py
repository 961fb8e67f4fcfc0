"""Runs one row of the table as it is run in earnest, and says what the watch and the stored log made of it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from fault_table import WARM_UP_S, Fault
from standin import ADMIN, ROWS, VISITOR, StandIn, stand_in

from cutover import load
from cutover.finding import Status
from cutover.judgement import Judgement, LoadWatch, judge_load
from cutover.migration import Load, Triggers
from cutover.progress import Listener, Progress
from cutover.rehearsal import postgres as pg
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.data import load as fill

HERE = Path(__file__).parent
VISITORS = HERE / "fault_visitors.py"
LOGIN = "visitor@shadowtwin.example:correct horse"
LOOK_S = 0.1


@dataclass(frozen=True)
class Said:
    """What was said of one run.

    Attributes:
        run: the run.
        frame: its stored log.
        watch: the one that judged it live.
        live: its last judgement.
        stored: the judgement of the stored log.
    """

    run: load.LoadRun
    frame: pd.DataFrame
    watch: LoadWatch
    live: Judgement
    stored: Judgement


def plan(fault: Fault, rules: Triggers, **more: object) -> Load:
    """The load of a row: evenly spaced visitors, from before the fault until its end."""
    span = timedelta(seconds=fault.seconds(rules))
    given = {"shape": "constant", "arrivals_per_s": fault.per_s, "duration": span, "workers": 1}
    return Load(**(given | {"warm_up": timedelta(seconds=WARM_UP_S)} | more))  # type: ignore[arg-type]


def send(
    url: str,
    planned: Load,
    folder: Path,
    rules: Triggers,
    *,
    progress: Listener | None = None,
    login: str = LOGIN,
    locustfile: Path = VISITORS,
    **more: object,
) -> Said:
    """Send the load with the watch on, and judge what was stored."""
    watch = LoadWatch(rules)
    run = load.run(
        url, planned, folder, login=login, stop_when=watch, progress=progress, locustfile=locustfile,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip
    assert watch.judgement is not None, "nothing was judged"
    frame = run.read()
    return Said(run, frame, watch, watch.judgement, judge_load(frame, rules))


def fired(judged: Judgement) -> set[str]:
    """The triggers that fired."""
    return {f.id for f in judged.findings if f.status is Status.FAIL}


def fires_at(frame: pd.DataFrame, rules: Triggers, findings: tuple[str, ...], *, after: float) -> float:
    """The first moment, epoch seconds of the log's clock, up to which the log says that one of these triggers fired.

    What an instrument can know at a moment is what happened until then: the log is cut there and judged again. Hence
    the moment does not depend on how busy the machine was that looked.
    """
    for at in np.arange(after, float(frame.attrs["at"]) + LOOK_S, LOOK_S):
        if fired(judge_load(frame, rules, at=float(at))) & set(findings):
            return float(at)
    return float("inf")


@dataclass
class Killer:
    """Kills something once when the load has run for so long; for `progress`.

    Attributes:
        kill: what to do.
        at_s: seconds of load.
        killed_at: when it was done, epoch seconds; 0 before.
    """

    kill: Callable[[], None]
    at_s: float
    killed_at: float = 0.0

    def __call__(self, told: Progress) -> None:
        """Told how many seconds of load are done."""
        if not self.killed_at and told.done >= self.at_s:
            self.killed_at = time.time()
            self.kill()


def kill_one_worker(folder: Path) -> None:
    """SIGKILL to one process that writes a log of this run."""
    pid = int(next(iter(sorted(folder.glob("worker-*.arrows")))).stem.removeprefix("worker-"))
    assert psutil.Process(pid).environ().get("CUTOVER_LOAD_FOLDER") == str(folder)
    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def home(folder: Path) -> Iterator[tuple[StandIn, pg.Server, vk.ValkeyServer]]:
    """The stand-in ShadowTwin on a database and a queue of its own, which may be killed."""
    with pg.start(folder / "pg", major=17) as database, vk.start(folder / "vk") as queue:
        database.create_database("shadowtwin")
        fill(database.url("shadowtwin"), rows=ROWS, visitor=VISITOR, admin=ADMIN)
        with stand_in(folder / "app", database.url("shadowtwin"), queue.url) as app:
            yield app, database, queue
