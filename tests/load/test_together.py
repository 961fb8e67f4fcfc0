"""Several workers under a master: by hand from elsewhere, their rows and their histograms, and what a bad one means."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from small_platform import ADMIN_LOGIN, LOGIN, Behaviour, serve
from test_cli import ROOT, cutover

from cutover import load
from cutover.finding import Verdict
from cutover.judgement import judge_load
from cutover.load.driver import _free_port
from cutover.load.live import KEPT_SECONDS, PRECISION, LiveView, Sketch
from cutover.load.summary import nearest_rank
from cutover.migration import Load, Triggers

TRIGGERS = Triggers.model_validate(
    {"error_rate": {"window": "1s", "for": "2s"}, "p95": {"window": "1s", "for": "2s"}, "min_samples": 5}
)


@contextmanager
def workers(plan: Load, folder: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers as a person starts them on other machines: they know the master, and no folder of the run."""
    assert plan.master is not None
    command, environment = load.worker(plan, plan.master, login=LOGIN, admin_login=ADMIN_LOGIN)
    assert not any(LOGIN.split(":")[1] in part for part in command)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CUTOVER_")} | environment
    clean["TMPDIR"] = str(folder)
    started = [
        subprocess.Popen(command, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait(10)


def plan_of(seconds: float, count: int = 2) -> Load:
    """A load that workers from elsewhere share."""
    return Load(
        arrivals_per_s=60,
        duration=timedelta(seconds=seconds),
        warm_up=timedelta(seconds=1),
        workers=count,
        master=f"127.0.0.1:{_free_port()}",
    )


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[load.LoadRun, Behaviour, Path]]:
    """A run of two workers that were started by hand."""
    plan, elsewhere = plan_of(5), tmp_path_factory.mktemp("elsewhere")
    behaviour = Behaviour()
    with serve(behaviour) as url, workers(plan, elsewhere, 2):
        yield load.run(url, plan, tmp_path_factory.mktemp("joint"), login=LOGIN), behaviour, elsewhere


def test_rows_from_other_machines_are_all_there(joint: tuple[load.LoadRun, Behaviour, Path]) -> None:
    """Every request that the platform saw, from both workers, whole, and the verdict rests on them."""
    run, behaviour, _ = joint
    frame = run.read()
    assert run.why == "complete"
    assert frame.attrs["truncated"] == ""
    assert len(frame) == behaviour.asked > 100
    assert frame.worker.nunique() == 2
    judged = judge_load(frame, TRIGGERS)
    assert judged.verdict is Verdict.CONTINUE, judged.headline


def test_the_masters_percentiles_agree_with_those_of_the_rows(joint: tuple[load.LoadRun, Behaviour, Path]) -> None:
    """Within the histogram's stated precision, and of as many requests."""
    run, *_ = joint
    frame = run.read()
    said = json.loads((run.log / "workers.json").read_text())
    took = (frame.done_s - frame.due_s).to_numpy()
    assert said["requests"] == len(took)
    for percent in (50, 95, 99):
        exact = nearest_rank(took, percent)
        assert said[f"p{percent}_s"] == pytest.approx(exact, rel=1.2 * PRECISION, abs=1e-6)
    assert len(said["workers"]) == 2
    assert frame.attrs["skew_s"] < 0.5


def test_what_was_sent_along_is_not_left_behind(joint: tuple[load.LoadRun, Behaviour, Path]) -> None:
    """The worker's own copy goes when the master has every byte."""
    assert not list(joint[2].glob("cutover-load-*"))


def test_a_lost_worker_makes_the_run_inconclusive(tmp_path: Path) -> None:
    """SIGKILL to one of two while the platform is well: nothing fired, and nobody says CONTINUE."""
    plan = plan_of(30)
    with serve(Behaviour()) as url, workers(plan, tmp_path, 2) as started:
        folder = tmp_path / "run"

        def kill() -> None:
            for _ in range(300):
                if sum(p.stat().st_size for p in folder.glob("*.arrows")) > 8000:
                    break
                time.sleep(0.1)
            started[0].send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        run = load.run(url, plan, folder, login=LOGIN)
        killer.join(40)
    frame = run.read()
    assert "written nothing" in run.why
    judged = judge_load(frame, TRIGGERS)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "LOAD-log" in {f.id for f in judged.findings}


@pytest.mark.parametrize(("attrs", "says"), [({"skew_s": 0.7}, "0.70 s off"), ({"late_s": 6.0}, "6.0 s after")])
def test_a_clock_that_is_off_or_a_late_worker_makes_it_inconclusive(
    joint: tuple[load.LoadRun, Behaviour, Path], attrs: dict[str, float], says: str
) -> None:
    """And says why."""
    frame = joint[0].read()
    frame.attrs.update(attrs)
    judged = judge_load(frame, TRIGGERS)
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert says in judged.headline


def test_merged_histograms_keep_their_precision_over_any_service() -> None:
    """Lognormal over five decades, from three workers in reports of any size."""
    rng = np.random.default_rng(11)
    took = rng.lognormal(-4, 2.0, 30_000)
    view = LiveView()
    for part in np.array_split(took, 90):
        sketch = Sketch()
        sketch.add(part, np.full(len(part), 1000.5), np.zeros(len(part), bool))
        view.add("worker", sketch.drain(), clock=1.0, now=1.2)
        assert sketch.drain() == []
    for percent in (50, 90, 95, 99):
        assert view.percentile(percent) == pytest.approx(nearest_rank(took, percent), rel=1.2 * PRECISION)
    assert view.workers["worker"].skew_s == pytest.approx(0.2)


def test_the_masters_memory_does_not_grow_with_the_run() -> None:
    """A day of seconds: the last quarter of an hour one by one, the rest in the total."""
    view = LiveView()
    sketch = Sketch()
    sketch.add(np.array([0.1, 0.2]), np.array([0.5, 0.5]), np.array([False, True]))
    told = sketch.drain()
    for second in range(86_400 // 40):
        told[0][0] = second
        view.add("worker", told, clock=float(second), now=float(second))
    assert len(view.seconds) == KEPT_SECONDS
    assert min(view.seconds) == 86_400 // 40 - KEPT_SECONDS
    assert (view.requests, view.errors) == (2 * 86_400 // 40, 86_400 // 40)


def test_a_worker_is_started_from_the_same_parameters(tmp_path: Path) -> None:
    """`cutover load-worker`: logins in the environment only; without a master it says what to give."""
    said = cutover("load-worker", "--params", "params/staging.yml")
    assert said.returncode == 2
    assert "--master HOST:PORT" in said.stderr
    plan = plan_of(3, count=1)
    raw = yaml.safe_load((ROOT / "params" / "staging.yml").read_text())
    raw["migration"] |= {"test_user": "env:VISITOR", "load": json.loads(plan.model_dump_json(exclude_none=True))}
    raw["migration"]["load"] |= {"duration": "3s", "warm_up": "1s"}
    raw["migration"].pop("admin_user")
    params = tmp_path / "params.yml"
    params.write_text(json.dumps(raw))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CUTOVER_")}
    environment |= {"VISITOR": LOGIN, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "cutover.cli", "load-worker", "--params", str(params)]
    with serve(Behaviour()) as url:
        joined = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        try:
            run = load.run(url, plan, tmp_path / "run", login=LOGIN)
            assert run.why == "complete"
            assert joined.wait(30) is not None
        finally:
            joined.kill()
            joined.communicate(timeout=10)
    assert len(run.read()) > 60
