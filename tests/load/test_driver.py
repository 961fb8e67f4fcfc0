"""Real Locust runs against a small real server that is well, fails, drops connections or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import psutil
import pytest
from small_platform import ADMIN_LOGIN, LOGIN, Behaviour, serve

from cutover import load
from cutover.errors import LoadError, UsageError
from cutover.finding import Verdict
from cutover.judgement import LoadWatch, judge_load
from cutover.load.driver import LOCUSTFILE
from cutover.migration import Load, Triggers
from cutover.progress import Progress

TRIGGERS = Triggers.model_validate(
    {
        "error_rate": {"above": "5%", "window": "1s", "for": "2s"},
        "p95": {"above": "3s", "window": "1s", "for": "2s"},
        "stalled": {"in_flight": 20, "for": "2s"},
        "min_samples": 5,
    }
)


def _load(seconds: float, workers: int = 1, per_s: float = 40) -> Load:
    return Load(
        arrivals_per_s=per_s, duration=timedelta(seconds=seconds), warm_up=timedelta(seconds=1), workers=workers
    )


def _processes_of(folder: Path) -> list[psutil.Process]:
    """Processes whose environment names this run's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CUTOVER_LOAD_FOLDER") == str(folder) and process.status() != "zombie":
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _gone(folder: Path) -> bool:
    """Whether nothing of a run is left, within five seconds."""
    for _ in range(50):
        if not _processes_of(folder):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[load.LoadRun, Behaviour]]:
    """A run of two workers against a server that is well."""
    behaviour = Behaviour()
    with serve(behaviour) as url:
        folder = tmp_path_factory.mktemp("healthy")
        yield load.run(url, _load(4, workers=2), folder, login=LOGIN, admin_login=ADMIN_LOGIN, seed=1), behaviour


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[load.LoadRun, LoadWatch]]:
    """A run of at most a minute against a server that hangs for good after 3 s, watched; 30 places for requests."""
    watch = LoadWatch(TRIGGERS)
    with serve(Behaviour(hang_after_s=3)) as url:
        folder = tmp_path_factory.mktemp("hanging")
        yield load.run(url, _load(60), folder, login=LOGIN, stop_when=watch, concurrency=30), watch


def test_a_healthy_platform_may_continue(healthy: tuple[load.LoadRun, Behaviour]) -> None:
    """Every trigger judged, none fired, the log whole."""
    run, _ = healthy
    frame = run.read()
    judged = judge_load(frame, TRIGGERS)
    assert judged.verdict is Verdict.CONTINUE, judged.headline
    assert (run.exit_code, run.stopped_early, run.why) == (0, False, "complete")
    assert frame.attrs["truncated"] == ""
    assert set(frame.outcome) == {"ok"}


def test_every_request_that_the_platform_saw_is_in_the_log(healthy: tuple[load.LoadRun, Behaviour]) -> None:
    """No more, no fewer, from two processes with a file each."""
    run, behaviour = healthy
    frame = run.read()
    assert len(frame) == behaviour.asked
    assert frame.worker.nunique() == 2
    assert len(list(run.log.glob("*.arrows"))) == 2


def test_arrivals_come_at_the_rate_that_was_asked_for(healthy: tuple[load.LoadRun, Behaviour]) -> None:
    """160 expected of two workers together; six deviations of a Poisson count to either side."""
    frame = healthy[0].read()
    assert 84 < len(frame) < 240
    assert frame.due_s.max() - frame.due_s.min() < 4.5


def test_all_kinds_of_visitors_come(healthy: tuple[load.LoadRun, Behaviour]) -> None:
    """Anonymous, returning, reporting, administering."""
    seen = set(healthy[0].read().endpoint)
    assert {"GET /", "GET /api/twins", "POST /api/auth/login", "GET /api/admin/stats"} <= seen
    assert any("/api/reports" in endpoint for endpoint in seen)
    assert "GET /api/twins" in load.summary(healthy[0].read()).index


def test_a_platform_that_hangs_is_rolled_back_within_seconds(hanging: tuple[load.LoadRun, LoadWatch]) -> None:
    """Not passed, and not after a minute of timeouts: the load stops as soon as the stall has held."""
    run, watch = hanging
    assert run.stopped_early
    assert run.seconds < 30
    assert watch.judgement is not None
    assert watch.judgement.verdict is Verdict.ROLLBACK
    assert "TRG-stalled" in {f.id for f in watch.judgement.findings if f.status == "FAIL"}


def test_the_stored_log_gives_the_verdict_of_the_watch(hanging: tuple[load.LoadRun, LoadWatch]) -> None:
    """What hangs is in the log, and so are the visitors for whom no place was left."""
    run, _ = hanging
    frame = run.read()
    assert judge_load(frame, TRIGGERS).verdict is Verdict.ROLLBACK
    counts = frame.outcome.value_counts()
    assert counts["in_flight"] == 30
    assert counts["never_sent"] > 0
    assert frame.attrs["truncated"] == ""


def test_arrivals_go_on_while_the_platform_hangs(hanging: tuple[load.LoadRun, LoadWatch]) -> None:
    """A closed loop would ask no more: here the seconds of the hang have as many visitors as those before."""
    frame = hanging[0].read()
    at = float(frame.attrs["horizon"])
    last = ((frame.due_s > at - 2) & (frame.due_s <= at)).sum()
    assert last > 40


def test_nothing_of_a_run_is_left_running(hanging: tuple[load.LoadRun, LoadWatch]) -> None:
    """The whole process group is gone, and nothing holds the log."""
    assert not _processes_of(hanging[0].log)


def test_a_second_run_does_not_touch_the_first(healthy: tuple[load.LoadRun, Behaviour]) -> None:
    """A folder that holds a log is not written again: the next run takes a folder in it.

    That one meets dropped connections. They are errors and are not asked again: a client that retries would make
    a platform that drops every connection busier, and one that drops half of them look healthy.
    """
    run, _ = healthy
    before = {p.name: p.stat().st_size for p in run.log.glob("*.arrows")}
    behaviour = Behaviour(drop=True)
    with serve(behaviour) as url:
        again = load.run(url, _load(1.5, per_s=40), run.log, login=LOGIN)
    assert again.log.parent == run.log
    assert {p.name: p.stat().st_size for p in run.log.glob("*.arrows")} == before
    frame = again.read()
    assert set(frame.outcome) == {"connection"}
    assert behaviour.asked == len(frame)


def test_a_request_is_given_up_after_its_time_and_its_place_is_free_again(tmp_path: Path) -> None:
    """Ten places, 0.8 s each: were they not given back, nothing would be sent after the first ten."""
    with serve(Behaviour(hang_after_s=0.5)) as url:
        run = load.run(url, _load(3, per_s=30), tmp_path, login=LOGIN, timeout_s=0.8, concurrency=10)
    frame = run.read()
    late = frame[frame.outcome == "timeout"]
    assert len(late) > 15
    assert ((late.done_s - late.sent_s) < 1.3).all()
    assert ((late.done_s - late.sent_s) > 0.7).all()


def test_a_killed_group_leaves_a_log_that_reads_to_the_last_second(tmp_path: Path) -> None:
    """SIGKILL to Locust and its workers: the run ends by itself, the log says that it is cut."""
    killed: list[float] = []

    def kill(_: Progress) -> None:
        if not killed and sum(p.stat().st_size for p in tmp_path.glob("*.arrows")) > 4000:
            group = os.getpgid(_processes_of(tmp_path)[0].pid)
            assert group != os.getpgid(0)
            os.killpg(group, signal.SIGKILL)
            killed.append(time.time())

    with serve(Behaviour()) as url:
        run = load.run(url, _load(30), tmp_path, login=LOGIN, progress=kill)
    frame = run.read()
    assert run.exit_code == -signal.SIGKILL
    assert "before the load was complete" in run.why
    assert "killed or lost" in frame.attrs["truncated"]
    assert frame.attrs["at"] > killed[0] - 1.5
    assert len(frame) > 10
    assert judge_load(frame, TRIGGERS).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_load_ends_with_whoever_started_it(tmp_path: Path, number: signal.Signals) -> None:
    """Killed or interrupted: no load goes on without a driver, and the log is closed."""
    code = f"""
        from cutover import load
        from cutover.migration import Load
        from datetime import timedelta
        from pathlib import Path
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        what = Load(arrivals_per_s=20, duration=timedelta(seconds=120), warm_up=timedelta(seconds=1), workers=1)
        load.run(sys.argv[1], what, Path({str(tmp_path)!r}), login={LOGIN!r})
    """
    with serve(Behaviour()) as url:
        driver = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), url], stderr=subprocess.DEVNULL)
        try:
            for _ in range(300):
                if sum(p.stat().st_size for p in tmp_path.glob("*.arrows")) > 3000:
                    break
                time.sleep(0.1)
            driver.send_signal(number)
            assert driver.wait(15) != 0
        finally:
            driver.kill()
            driver.wait(10)
        assert _gone(tmp_path)
    assert not load.read_log(tmp_path).attrs["truncated"]


def test_an_error_in_the_callers_judge_stops_the_load(tmp_path: Path) -> None:
    """The error reaches the caller, and nothing is left running."""

    def broken(_: pd.DataFrame) -> bool:
        raise RuntimeError("the judge broke")

    with serve(Behaviour()) as url, pytest.raises(RuntimeError, match="the judge broke"):
        load.run(url, _load(60), tmp_path, login=LOGIN, stop_when=broken)
    assert _gone(tmp_path)


def test_a_run_from_a_thread_sees_errors_and_wrong_content_and_reports_progress(tmp_path: Path) -> None:
    """500, and 200 with a page instead of a PDF; a notebook may run the load beside something else."""
    seen: list[Progress] = []
    with serve(Behaviour(wrong_pdf=True, fail_every=5)) as url:
        thread = threading.Thread(
            target=load.run,
            args=(url, _load(3, per_s=80), tmp_path),
            kwargs={"login": LOGIN, "seed": 4, "progress": seen.append},
        )
        thread.start()
        thread.join(30)
    assert seen
    assert all(0 <= told.done <= told.total == 3 for told in seen)
    assert seen[-1].line.startswith("load: ")
    frame = load.read_log(tmp_path)
    pdf = frame[frame.endpoint == "GET /api/reports/ID/pdf"]
    assert len(pdf)
    assert "check" in set(pdf.outcome) <= {"check", "http_5xx"}
    assert set(frame[frame.endpoint == "GET /"].outcome) == {"ok", "http_5xx"}
    assert (frame.outcome == "http_5xx").sum() == pytest.approx(len(frame) / 5, abs=2)


def test_the_locustfile_runs_under_plain_locust(tmp_path: Path) -> None:
    """In Locust's closed model, recorded when asked to, with no driver and no settings but a login."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CUTOVER_")}
    environment |= {"CUTOVER_LOAD_LOGIN": LOGIN, "CUTOVER_LOAD_FOLDER": str(tmp_path)}
    with serve(Behaviour()) as url:
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", url]
        ended = subprocess.run(
            [*command, "-u", "8", "-r", "8", "-t", "2s"], env=environment, capture_output=True, timeout=60, check=False
        )
    assert ended.returncode == 0, ended.stderr[-2000:]
    frame = load.read_log(tmp_path)
    assert len(frame) >= 8
    assert (frame.due_s == frame.sent_s).all()
    assert "OpenArrivals" not in ended.stderr.decode()


@pytest.mark.parametrize("url", ["ftp://example.com", "127.0.0.1:5000", "http://", "", "http://me:word@127.0.0.1:1"])
def test_an_address_that_may_not_be_loaded_is_refused(tmp_path: Path, url: str) -> None:
    """Before anything is started or written."""
    with pytest.raises(UsageError):
        load.run(url, _load(2), tmp_path / "none", login=LOGIN)
    assert not (tmp_path / "none").exists()


def test_a_load_that_is_all_warm_up_is_refused(tmp_path: Path) -> None:
    """Nothing would be left to judge."""
    with pytest.raises(UsageError, match="warm-up"):
        load.run("http://127.0.0.1:1", _load(1), tmp_path, login=LOGIN)


def test_a_login_without_a_password_is_refused(tmp_path: Path) -> None:
    """It would count as an error of the platform."""
    with pytest.raises(UsageError, match="email:password"):
        load.run("http://127.0.0.1:1", _load(2), tmp_path, login="me@example.com")


def test_a_locustfile_that_does_not_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    """What Locust printed, and not an empty log."""
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('the locustfile broke')\n")
    with pytest.raises(LoadError, match="the locustfile broke"):
        load.run("http://127.0.0.1:1", _load(2), tmp_path / "log", login=LOGIN, locustfile=broken)


def test_no_secret_is_written(healthy: tuple[load.LoadRun, Behaviour]) -> None:
    """Neither in the logs nor in what Locust printed."""
    for path in healthy[0].log.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert LOGIN.split(":")[1].encode() not in content
            assert ADMIN_LOGIN.split(":")[1].encode() not in content
