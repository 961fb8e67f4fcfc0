"""`cutover judge`: a stored log judged offline: the same verdict, other thresholds, an earlier run beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from test_cli import ROOT, cutover

from cutover.judgement import judge_load
from cutover.load import Recorder, read_log
from cutover.params import load_params

T0 = 1_800_000_000.0


class _Clock:
    """A clock that stands where it was put."""

    now = T0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    _Clock.now = T0
    monkeypatch.setattr("cutover.load.recorder.clock", _Clock())


def record(folder: Path, took_s: float, *, seconds: int = 100, close: bool = True) -> Path:
    """A log of 20 requests a second that all take so long."""
    _Clock.now = T0
    recorder = Recorder(folder / "worker-1.arrows", {"workers": 1, "warm_up_s": 0.0, "arrivals_per_s": 20.0})
    for k in range(seconds * 20):
        due = T0 + k / 20
        recorder.done(recorder.sent(due, due, "GET /"), due + took_s, "ok", 200, 1)
    recorder.next_due = T0 + seconds
    _Clock.now = T0 + seconds + took_s
    if close:
        recorder.close("complete")
    else:
        recorder.flush()
    return folder


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """The shipped parameters with triggers that a short log can meet."""
    raw = yaml.safe_load((ROOT / "params" / "staging.yml").read_text())
    raw["migration"]["load"]["warm_up"] = "0s"
    raw["migration"]["triggers"] |= {"error_rate": {"window": "10s", "for": "20s"}}
    raw["migration"]["triggers"] |= {"p95": {"above": "3s", "window": "10s", "for": "20s"}}
    path = tmp_path / "params.yml"
    path.write_text(json.dumps(raw))  # JSON is YAML, and keeps the quotes of the account id
    return path


@pytest.mark.parametrize(("took_s", "verdict", "code"), [(0.1, "CONTINUE", 0), (3.02, "ROLLBACK", 3)])
def test_the_verdict_is_the_librarys(tmp_path: Path, params: Path, took_s: float, verdict: str, code: int) -> None:
    """Word for word the findings of `judge_load`, and the exit code of the verdict."""
    log = record(tmp_path / "log", took_s)
    done = cutover("judge", str(log), "--params", str(params), "--json")
    assert done.returncode == code, done.stderr
    said = json.loads(done.stdout)
    assert said["verdict"] == verdict
    migration = load_params(params).migration
    judged = judge_load(read_log(log), migration.triggers, warm_up=migration.load.warm_up)
    assert said["findings"] == json.loads(json.dumps([f.to_dict() for f in judged.findings]))


def test_a_log_that_was_cut_off_is_inconclusive(tmp_path: Path, params: Path) -> None:
    """The process was killed: nothing fired in what is left, which proves nothing."""
    done = cutover("judge", str(record(tmp_path / "log", 0.1, close=False)), "--params", str(params))
    assert done.returncode == 5
    assert "INCONCLUSIVE" in done.stdout + done.stderr


@pytest.mark.parametrize(("took_s", "code"), [(0.1, 0), (0.2, 3)])
def test_an_earlier_log_stands_beside(tmp_path: Path, params: Path, took_s: float, code: int) -> None:
    """Twice as slow is below every threshold, and worse all the same."""
    now, then = record(tmp_path / "now", took_s), record(tmp_path / "then", 0.1)
    done = cutover("judge", str(now), "--params", str(params), "--compare-to", str(then))
    assert done.returncode == code, done.stdout + done.stderr
    assert "BASE-p95" in done.stdout


def test_no_log_is_said_and_nothing_judged(tmp_path: Path, params: Path) -> None:
    """An empty folder: what happened, and what to do."""
    done = cutover("judge", str(tmp_path), "--params", str(params))
    assert done.returncode != 0
    assert "no load log" in done.stderr
    assert "Traceback" not in done.stderr
