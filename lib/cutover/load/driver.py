"""Runs Locust as a subprocess in a process group of its own, watches what it records, and stops it for certain.

Locust is never imported here: it patches the standard library, which breaks a Jupyter kernel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

import cutover
from cutover.errors import LoadError, UsageError
from cutover.files import write_whole
from cutover.load.log import SUFFIX, LogReader, read_log
from cutover.load.settings import Settings
from cutover.load.shapes import schedule
from cutover.migration import Load
from cutover.processes import end
from cutover.progress import Listener, Progress
from cutover.urls import read_url, shown

LOCUSTFILE = Path(cutover.__file__).resolve().parents[2] / "locustfiles" / "shadowtwin.py"
LOOK_EVERY_S = 0.5
START_WITHIN_S = 60.0
JOIN_WITHIN_S = 600.0
"""Workers on other machines are started by people, or by ECS."""
SILENT_AFTER_S = 10.0
"""A worker that has written nothing for this long is lost: it flushes every half second."""
STOP_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class LoadRun:
    """One run of load.

    Attributes:
        log: the folder with the logs of all workers, as `read_log` wants it.
        exit_code: Locust's own; negative is the signal that ended it.
        stopped_early: whether `stop_when` ended it.
        seconds: how long it took, start and stop of Locust included.
        started: epoch seconds.
        why: how it ended: "complete", "stopped early", or what went wrong.
    """

    log: Path
    exit_code: int
    stopped_early: bool
    seconds: float
    started: float
    why: str

    def read(self) -> pd.DataFrame:
        """The requests, as `read_log` gives them."""
        return read_log(self.log)


def run(
    base_url: str,
    load: Load,
    folder: Path,
    *,
    login: str,
    admin_login: str | None = None,
    stop_when: Callable[[pd.DataFrame], bool] | None = None,
    progress: Listener | None = None,
    timeout_s: float = 30.0,
    concurrency: int = 1000,
    seed: int | None = None,
    locustfile: Path = LOCUSTFILE,
) -> LoadRun:
    """Send visitors for `load.duration` (the warm-up included), as many a second as its shape says, and record them.

    Whether the address may be loaded at all is for the caller to decide.

    Args:
        base_url: http or https, without credentials.
        load: arrivals, duration, warm-up, workers (processes on this machine).
        folder: for the logs, and Locust's own output as `locust.log`; when it holds an earlier run's, a new folder
            in it is taken, so that nothing is overwritten or mixed.
        login: `email:password` of the visitors.
        admin_login: `email:password` of the administrator; without one no administrator visits.
        stop_when: called about twice a second with everything recorded so far; True ends the load.
        progress: called about twice a second with the seconds of load done and planned (stage `load`).
        timeout_s: a request is given up after this; keep it well above the p95 threshold.
        concurrency: requests at once over all workers; an arrival beyond it is recorded as never sent.
        seed: makes the arrivals repeatable.
        locustfile: whose visitors come.

    Returns:
        A LoadRun. A lost worker or a killed Locust is no error: the log says that it is truncated.

    Raises:
        UsageError: an address, a login or a load that cannot work.
        LoadError: Locust did not start.
    """
    settings = _settings(base_url, load, login, admin_login, timeout_s, concurrency, seed)
    if not locustfile.is_file():
        raise LoadError(f"the locustfile {locustfile} is not there", todo="run from a checkout, or give locustfile=")
    arrivals = schedule(load)
    folder = _fresh(folder)
    plan = write_whole(folder.resolve() / "schedule.json", arrivals.to_json())
    settings = dataclasses.replace(settings, folder=str(folder.resolve()), schedule=f"@{plan}")
    started, began = time.time(), time.monotonic()
    group = _Group(_command(base_url, settings.workers, load.master, locustfile), settings, folder / "locust.log")
    try:
        within = START_WITHIN_S if load.master is None else JOIN_WITHIN_S
        why = _watch(group, LogReader(folder), settings, stop_when, progress, within)
    finally:
        exit_code = group.stop()
    return LoadRun(folder, exit_code, why == "stopped early", time.monotonic() - began, started, why)


def _settings(
    base_url: str,
    load: Load,
    login: str,
    admin_login: str | None,
    timeout_s: float,
    concurrency: int,
    seed: int | None,
) -> Settings:
    try:
        read_url(base_url)
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"load goes to http:// or https:// addresses only, not to {shown(base_url)!r}")
    if parts.username or parts.password:
        raise UsageError(
            "the address to load carries credentials",
            why="it would stand in process lists and logs",
            todo="give the address without them, and the visitors' login as a reference",
        )
    if ":" not in login or (admin_login is not None and ":" not in admin_login):
        raise UsageError(
            "a login must read `email:password`", todo="look at test_user and admin_user in the parameters"
        )
    if load.warm_up >= load.duration:
        raise UsageError(
            f"the warm-up ({load.warm_up}) is not shorter than the whole load ({load.duration})",
            why="nothing would be left to judge",
            todo="make load.duration longer: it includes the warm-up",
        )
    return Settings(
        arrivals_per_s=load.arrivals_per_s,
        duration_s=load.duration.total_seconds(),
        warm_up_s=load.warm_up.total_seconds(),
        workers=load.workers,
        timeout_s=timeout_s,
        concurrency=concurrency,
        seed=-1 if seed is None else seed,
        login=login,
        admin_login=admin_login or "",
    )


def _fresh(folder: Path) -> Path:
    """`folder`, made; or the first of `again-2`, `again-3`, … in it when another run has left its log there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob(f"*{SUFFIX}")) and not (folder / "locust.log").exists():
        return folder
    for number in itertools.count(2):
        again = folder / f"again-{number}"
        with contextlib.suppress(FileExistsError):
            again.mkdir()
            return again
    raise AssertionError("unreachable")


def worker(
    load: Load, master: str, *, login: str, admin_login: str | None = None, locustfile: Path = LOCUSTFILE
) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of one worker that joins a master on another machine.

    Args:
        load: the same as the master's.
        master: `host:port`.
        login, admin_login: the visitors'; they stand in the environment, never in the command.
        locustfile: whose visitors come.

    Raises:
        UsageError: a login or a load that cannot work.
    """
    settings = _settings("http://master.decides", load, login, admin_login, 30.0, 1000, None)
    settings = dataclasses.replace(settings, schedule=schedule(load).to_json())
    host, _, port = master.rpartition(":")
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--worker"]
    return [*command, "--master-host", host, "--master-port", port, "OpenArrivals"], settings.environment()


def _command(base_url: str, workers: int, master: str | None, locustfile: Path) -> list[str]:
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary"]
    command += ["--host", base_url.rstrip("/"), "-u", str(workers), "-r", str(workers), "--exit-code-on-error", "0"]
    if master is not None:
        host, _, port = master.rpartition(":")
        command += ["--master", "--master-bind-host", host, "--master-bind-port", port]
        command += ["--expect-workers", str(workers), "--expect-workers-max-wait", f"{JOIN_WITHIN_S:.0f}"]
    elif workers > 1:
        command += ["--processes", str(workers), "--master-bind-host", "127.0.0.1", "--master-host", "127.0.0.1"]
        port = str(_free_port())
        command += ["--master-bind-port", port, "--master-port", port, "--expect-workers-max-wait", "30"]
    return [*command, "OpenArrivals"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _watch(
    group: _Group,
    reader: LogReader,
    settings: Settings,
    stop_when: Callable[[pd.DataFrame], bool] | None,
    progress: Listener | None,
    within_s: float,
) -> str:
    """Look until the load is over; returns why it is."""
    began = time.monotonic()
    first: float | None = None
    while True:
        looked = time.monotonic()
        reader.poll()
        if first is None and reader.workers >= settings.workers:
            first = looked
        if progress is not None:
            done_s = min(looked - (first or looked), settings.duration_s)
            progress(Progress("load", done_s, settings.duration_s, "seconds", started=first or looked))
        if stop_when is not None and reader.workers and stop_when(reader.frame()):
            return "stopped early"
        if reader.workers and reader.ended:
            return "complete"
        code = group.exit_code
        if code is not None:
            if not reader.workers:
                raise LoadError(f"Locust ended with {code} before it sent anything", why=group.last_words())
            return f"Locust ended with {code} before the load was complete"
        if first is None and looked - began > within_s:
            if not reader.workers:
                raise LoadError(f"Locust sent nothing within {within_s:g} s", why=group.last_words())
            return f"only {reader.workers} of {settings.workers} workers started"
        if first is not None and looked - first > settings.duration_s + settings.timeout_s + 2 * SILENT_AFTER_S:
            return "the load did not end in time"
        if reader.workers and time.time() - reader.alive_at > SILENT_AFTER_S:
            return f"a worker has written nothing for {SILENT_AFTER_S:g} s"
        # Reading and judging a long log takes time: never more than half of this processor's.
        time.sleep(max(LOOK_EVERY_S, time.monotonic() - looked))


class _Group:
    """Locust and all its workers: one process group, ended together whatever happens here."""

    def __init__(self, command: list[str], settings: Settings, log: Path) -> None:
        self._log = log
        ours, theirs = os.pipe()
        self._lifeline = theirs
        environment = os.environ | dataclasses.replace(settings, lifeline=ours).environment()
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=[ours],
                    start_new_session=True,
                )
        except OSError as error:
            os.close(theirs)
            raise LoadError(f"Locust could not be started: {error}") from error
        finally:
            os.close(ours)

    @property
    def exit_code(self) -> int | None:
        """Locust's exit code, None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """The end of what Locust printed."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "Locust's last words: " + (" | ".join(text.strip().splitlines()[-8:]) or "none")

    def stop(self) -> int:
        """SIGINT, then SIGKILL, to Locust and all its workers, each within bounds; returns Locust's exit code."""
        try:
            end({self._process.pid: signal.SIGINT}, timeout_s=STOP_WITHIN_S)
        finally:
            os.close(self._lifeline)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(STOP_WITHIN_S)
        return -signal.SIGKILL
