"""Several workers and their master: what a worker reports with Locust's own reports, and what the master makes of it.

Every second a worker tells its clock and a histogram of what was done. A worker on another machine, where the run's
folder is not, also sends the rows themselves: the master writes them as if they had been recorded beside it, so that
they are judged while they come and the verdict rests on rows, not on sketches. Imported inside Locust only.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import gevent
import locust.runners
from locust import events

from cutover.files import write_json
from cutover.load.live import LiveView, Sketch
from cutover.load.recorder import Recorder, clock
from cutover.load.settings import ABOUT_WORKERS

REPORT_EVERY_S = 1.0
CHUNK = 4 << 20
"""Bytes of rows in one report at most: a burst is sent over several."""


class Reporter:
    """One worker's side.

    Args:
        recorder: whose requests it tells of.
        rows_from: the recorder's file when the rows are to be sent along, None when the master sees the file itself.
    """

    def __init__(self, recorder: Recorder, rows_from: Path | None) -> None:
        self._sketch = Sketch()
        self._recorder, self._rows_from, self._sent = recorder, rows_from, 0
        recorder.on_done = self._sketch.add

    def report(self, client_id: str, data: dict[str, Any]) -> None:
        """Put what is new into Locust's report."""
        del client_id
        said: dict[str, Any] = {"clock": clock(), "told": self._sketch.drain()}
        if self._rows_from is not None:
            with self._rows_from.open("rb") as file:
                file.seek(self._sent)
                rows = file.read(CHUNK)
            self._sent += len(rows)
            said["rows"] = rows
            if self._recorder.closed and not rows:
                shutil.rmtree(self._rows_from.parent)
                self._rows_from = None
        data["cutover"] = said


class Collector:
    """The master's side.

    Args:
        folder: the run's folder: what workers send is written there, and `workers.json` once a second.
    """

    def __init__(self, folder: Path) -> None:
        self.view = LiveView()
        self._folder = folder

    def collect(self, client_id: str, data: dict[str, Any]) -> None:
        """Take one report."""
        said = data.get("cutover")
        if said is None:
            return
        name = "worker-" + re.sub(r"[^0-9a-zA-Z]", "", client_id)[-12:]
        self.view.add(name, said["told"], clock=float(said["clock"]), now=clock())
        if said.get("rows"):
            with (self._folder / f"{name}.arrows").open("ab", buffering=0) as file:
                file.write(said["rows"])

    def write(self) -> None:
        """What is known of the workers, and the percentiles so far."""
        write_json(self._folder / ABOUT_WORKERS, self.view.to_dict())

    def write_for_ever(self) -> None:
        """Once a second, until the process ends."""
        while True:
            gevent.sleep(REPORT_EVERY_S)
            self.write()


def begin_reporting(recorder: Recorder, rows_from: Path | None) -> None:
    """Tell the master of this recorder's requests from now on."""
    events.report_to_master.add_listener(Reporter(recorder, rows_from).report)  # type: ignore[no-untyped-call]


def begin_collecting(environment: Any, folder: str) -> None:
    """In the master's process: write down what the workers report."""
    if not folder or not isinstance(environment.runner, locust.runners.MasterRunner):
        return
    collector = Collector(Path(folder))
    events.worker_report.add_listener(collector.collect)  # type: ignore[no-untyped-call]
    events.quitting.add_listener(lambda **_: collector.write())  # type: ignore[no-untyped-call]
    gevent.spawn(collector.write_for_ever)


def is_worker(environment: Any) -> bool:
    """Whether this process has a master."""
    return isinstance(environment.runner, locust.runners.WorkerRunner)


def report_often() -> None:
    """Locust's workers report every three seconds by themselves."""
    locust.runners.WORKER_REPORT_INTERVAL = float(os.environ.get("CUTOVER_LOAD_REPORT_EVERY_S", REPORT_EVERY_S))
