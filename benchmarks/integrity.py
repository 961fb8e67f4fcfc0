"""What it costs to prove that every row arrived: `compare` against COPY, and against peers where they can be had.

    python benchmarks/integrity.py [--rows-scale 1] [--pairs 3] [--growth] [--no-peers]

Two servers (17 and 18) are started, and make the tables of `integrity_data` by themselves. Everything is measured in
turns within one run, so that a machine that slows down slows all of it; the tables give medians, and the median of the
turns' ratios with their smallest and largest. COPY is the sum over the tables of `COPY t TO '/dev/null'` on one
connection of the source. Beside the wall clock stands the processor time that each server itself took: the one thing
that another load on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import integrity_data
import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from cutover.rehearsal import postgres as pg

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "autovacuum": "off",
    "maintenance_work_mem": "256MB",
}

COMPARE = """
import json, resource, sys, time
from cutover.postgres import Selection, compare, fingerprint
what, source, target, jobs, tables = sys.argv[1:6]
began = time.perf_counter()
chosen = Selection(tables=tuple(f"public.{t}" for t in tables))
if what == "fingerprint":
    found = fingerprint(source, jobs=int(jobs), selection=chosen, catalog=False)
    rows, differ = found.rows, 0
else:
    found = compare(source, target, jobs=int(jobs), selection=chosen, catalog=False)
    rows = found.rows_compared
    differ = sum(t.missing + t.extra + t.different for t in found.tables)
    assert all(not t.not_compared and not t.unlocated for t in found.tables), found.to_dict()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": time.perf_counter() - began, "rows": rows, "differ": differ, "peak_mib": peak}))
"""


@dataclass(frozen=True)
class Run:
    """One measurement: wall seconds, processor seconds of either server, and what it found."""

    wall: float
    source: float
    target: float
    rows: int = 0
    differ: int | None = None
    peak_mib: float = 0.0


class Stage:
    """Two servers, and what is run against them."""

    def __init__(self, source: pg.Server, target: pg.Server, folder: Path) -> None:
        self.servers, self.folder = (source, target), folder

    def copy(self, url: str, tables: str) -> Run:
        """COPY of the tables to nowhere, on one connection."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET max_parallel_workers_per_gather = 0")

            def work() -> dict[str, float]:
                for table in tables:
                    connection.execute(f"COPY public.{table} TO '/dev/null'".encode())
                return {}

            return self._measure(work)

    def queries(self, urls: tuple[str, str], tables: str) -> Run:
        """pgcopydb's query over the tables, on both servers at once."""

        def ask(url: str) -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SET max_parallel_workers_per_gather = 0")
                for table in tables:
                    query = f"SELECT count(1), sum(hashtext(t::text)::bigint) FROM ONLY public.{table} t"
                    connection.execute(query.encode()).fetchall()

        def work() -> dict[str, float]:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(ask, urls))
            return {}

        return self._measure(work)

    def ours(self, what: str, urls: tuple[str, str], jobs: int, tables: str) -> Run:
        """Our comparison or fingerprint, in a process of its own; its time without the start of Python."""

        def work() -> dict[str, float]:
            command = [sys.executable, "-c", COMPARE, what, *urls, str(jobs), tables]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{what} ended with {done.returncode}:\n{done.stderr}")
            return json.loads(done.stdout)

        return self._measure(work)

    def program(self, command: list[str], accepted: set[int]) -> Run:
        """A peer's program, from start to end, with the most memory that its processes took together."""

        def work() -> dict[str, float]:
            with (self.folder / "peer.log").open("w") as log:
                began = time.perf_counter()
                process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)
                peak = 0.0
                while process.poll() is None:
                    peak = max(peak, _memory(process.pid))
                    time.sleep(0.02)
            if process.returncode not in accepted:
                raise OSError(f"{command[0]} ended with {process.returncode}: {_tail(self.folder / 'peer.log')}")
            return {"seconds": time.perf_counter() - began, "peak_mib": peak}

        return self._measure(work)

    def _measure(self, work: Callable[[], dict[str, float]]) -> Run:
        before = [_processor(server.process.pid) for server in self.servers]
        began = time.perf_counter()
        said = work()
        wall = said.pop("seconds", time.perf_counter() - began)
        time.sleep(0.05)  # sessions that ended are counted when the postmaster has seen it
        spent = [_processor(server.process.pid) - old for server, old in zip(self.servers, before, strict=True)]
        return Run(wall, *spent, **said)  # type: ignore[arg-type]


def turns(pairs: int, measures: dict[str, Callable[[], Run]]) -> dict[str, list[Run]]:
    """Every measure once in each turn, every other turn backwards; one turn before to warm up."""
    found: dict[str, list[Run]] = {name: [] for name in measures}
    for turn in range(pairs + 1):
        names = list(measures) if turn % 2 else list(measures)[::-1]
        for name in names:
            run = measures[name]()
            if turn:
                found[name].append(run)
        print(f"  turn {turn} of {pairs}", file=sys.stderr)
    return found


def table(found: dict[str, list[Run]], base: str, aims: dict[str, str]) -> None:
    """Medians, and the ratios to `base` within each turn."""
    print("| what | wall, s | ratio to COPY (smallest–largest) | aim | source's CPU ratio | client peak, MiB | found |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        ratios = sorted(run.wall / other.wall for run, other in zip(runs, found[base], strict=True))
        cpu = statistics.median(r.source / max(o.source, 0.01) for r, o in zip(runs, found[base], strict=True))
        last = runs[-1]
        rows = "" if last.differ is None else f"{last.rows:,} rows, {last.differ} differ"
        peak = f"{max(run.peak_mib for run in runs):.0f}" if last.peak_mib else ""
        print(
            f"| {name} | {statistics.median(run.wall for run in runs):.2f} | **{statistics.median(ratios):.2f}** "
            f"({ratios[0]:.2f}–{ratios[-1]:.2f}) | {aims.get(name, '')} | {cpu:.2f} | {peak} | {rows} |"
        )
    print()


def identical(stage: Stage, urls: tuple[str, str], pairs: int, changed: str, peers: bool) -> None:
    """The tables one by one and together, with more sessions, with ten changed rows, and the peers beside them."""
    for tables, aim in (("a", "≤ 2.1"), ("m", "≤ 1.8"), ("n", "")):
        print(f"### Table {tables.upper()}\n")
        measures = {
            f"COPY {tables} to nowhere": lambda t=tables: stage.copy(urls[0], t),
            "fingerprint, 1 job": lambda t=tables: stage.ours("fingerprint", urls, 1, t),
            "fingerprint, 2 jobs": lambda t=tables: stage.ours("fingerprint", urls, 2, t),
            "compare, 1 job": lambda t=tables: stage.ours("compare", urls, 1, t),
        }
        table(turns(pairs, measures), f"COPY {tables} to nowhere", {"fingerprint, 1 job": aim, "compare, 1 job": aim})
    print("### A, M and N together\n")
    differing = (urls[0], changed)
    measures = {"COPY to nowhere": lambda: stage.copy(urls[0], "amn")}
    for jobs in (1, 2, 4):
        measures[f"identical, {jobs} jobs"] = lambda j=jobs: stage.ours("compare", urls, j, "amn")
        measures[f"changed rows, {jobs} jobs"] = lambda j=jobs: stage.ours("compare", differing, j, "amn")
    if peers:
        measures |= pgcopydb(stage, urls)
    found = turns(pairs, measures)
    table(found, "COPY to nowhere", {})
    for jobs in (1, 2, 4):
        pairs_of = zip(found[f"changed rows, {jobs} jobs"], found[f"identical, {jobs} jobs"], strict=True)
        ratio = statistics.median(one.wall / other.wall for one, other in pairs_of)
        print(f"- {jobs} jobs: locating takes {ratio:.2f} × the identical run (aim ≤ 2)")
        for peer in (f"pgcopydb compare data, {jobs} jobs", QUERY if jobs == 1 else ""):
            if peer in found:
                both = zip(found[f"identical, {jobs} jobs"], found[peer], strict=True)
                ratio = statistics.median(one.wall / other.wall for one, other in both)
                print(f"- {jobs} jobs: identical takes {ratio:.2f} × {peer} (aim ≤ 1.0)")
    print()


def pgcopydb(stage: Stage, urls: tuple[str, str]) -> dict[str, Callable[[], Run]]:
    """`pgcopydb compare data` when it is on the path and has that command; its query alone in any case."""
    found: dict[str, Callable[[], Run]] = {QUERY: lambda: stage.queries(urls, "amn")}
    program = shutil.which("pgcopydb")
    if program is None:
        print("pgcopydb is not on the path: its query alone is measured.\n")
        return found
    known = subprocess.run([program, "help"], capture_output=True, text=True, check=False)
    if "compare" not in known.stdout + known.stderr:
        said = subprocess.run([program, "version"], capture_output=True, text=True, check=False)
        version = (said.stdout + said.stderr).strip().splitlines()[:1]
        print(f"This pgcopydb ({' '.join(version)}) has no `compare data`: its query alone is measured.\n")
        return found

    def run(jobs: int) -> Run:
        work = Path(tempfile.mkdtemp(dir=stage.folder))
        command = [program, "compare", "data", "--dir", str(work), "--source", urls[0], "--target", urls[1]]
        return stage.program([*command, "--jobs", str(jobs)], {0})

    try:
        run(1)
    except OSError as error:
        print(f"pgcopydb does not compare here: {error}\n")
        return found
    return found | {f"pgcopydb compare data, {jobs} jobs": lambda j=jobs: run(j) for jobs in (1, 2, 4)}


QUERY = "pgcopydb's query, 1 connection a side"
"""One 32-bit hash of the row's text, summed: what `pgcopydb compare data` asks each server for each table."""


def reladiff(stage: Stage, urls: tuple[str, str], changed: str, pairs: int) -> None:
    """reladiff on A, in an environment of its own."""
    print("### reladiff, table A\n")
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cutover-benchmarks" / "reladiff"
    program = home / "bin" / "reladiff"
    try:
        if not program.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
            install = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "reladiff[postgresql]==0.6.0"]
            subprocess.run(install, check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(home, ignore_errors=True)
        print(f"reladiff could not be installed ({type(error).__name__}): not measured.\n")
        return
    columns = ["-k", "aid", "-c", "bid", "-c", "abalance", "-c", "filler", "-j", "2"]

    def run(target: str) -> Run:
        return stage.program([str(program), _uri(urls[0]), "a", _uri(target), "a", *columns], {0})

    try:
        measures = {
            "COPY a to nowhere": lambda: stage.copy(urls[0], "a"),
            "compare, 2 jobs": lambda: stage.ours("compare", urls, 2, "a"),
            "compare, 2 jobs, ten changed": lambda: stage.ours("compare", (urls[0], changed), 2, "a"),
            "reladiff -j 2": lambda: run(urls[1]),
            "reladiff -j 2, ten changed": lambda: run(changed),
        }
        table(turns(pairs, measures), "COPY a to nowhere", {})
    except OSError as error:
        print(f"reladiff does not run here: {error}\n")


def growth(stage: Stage, scale: float) -> None:
    """Table A of one, two, five and ten million rows: the time for a million rows must not grow."""
    print(
        "### Growth (table A, compare, 2 jobs)\n\n| rows | wall, s | µs a row | client peak, MiB |\n|---|---|---|---|"
    )
    for millions in (1, 2, 5, 10):
        rows = max(1000, round(millions * 1_000_000 * scale))
        name = f"growth_{millions}"
        urls = both(stage.servers, name, scale, "a", rows)
        runs = [stage.ours("compare", urls, 2, "a") for _ in range(3)]
        best = min(run.wall for run in runs)
        print(f"| {rows:,} | {best:.2f} | {best / rows * 1e6:.2f} | {max(r.peak_mib for r in runs):.0f} |")
        for server in stage.servers:
            server.drop_database(name)
    print()


def both(
    servers: tuple[pg.Server, pg.Server], name: str, scale: float, tables: str, rows: int | None = None
) -> tuple[str, str]:
    """The same database on both servers."""
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(integrity_data.create, server, name, scale, tables, rows) for server in servers]
        return made[0].result(), made[1].result()


@contextmanager
def stage() -> Iterator[Stage]:
    """Two servers in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            pg.start(folder / "source", major=17, settings=SETTINGS) as source,
            pg.start(folder / "target", major=18, settings=SETTINGS) as target,
        ):
            yield Stage(source, target, folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows-scale", type=float, default=1.0, help="1 is 5, 2 and 1 million rows")
    parser.add_argument("--pairs", type=int, default=3, help="turns")
    parser.add_argument("--growth", action="store_true", help="also 1 to 10 million rows")
    parser.add_argument("--no-peers", action="store_true", help="neither pgcopydb nor reladiff")
    given = parser.parse_args()
    with stage() as here:
        urls = both(here.servers, "bench", given.rows_scale, "amn")
        here.servers[1].execute("CREATE DATABASE changed TEMPLATE bench")
        changed = here.servers[1].url("changed")
        integrity_data.change(changed, given.rows_scale)
        identical(here, urls, given.pairs, changed, not given.no_peers)
        if not given.no_peers:
            reladiff(here, urls, changed, given.pairs)
        if given.growth:
            growth(here, given.rows_scale)


def _processor(postmaster: int) -> float:
    """Processor seconds of a server: its processes that are there, and those that ended."""
    process = psutil.Process(postmaster)
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _memory(pid: int) -> float:
    """MiB of a process and its children."""
    total = 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 2**20


def _uri(url: str) -> str:
    known = conninfo_to_dict(url)
    return f"postgresql://{known['user']}:{known['password']}@{known['host']}:{known['port']}/{known['dbname']}"


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-600:]


if __name__ == "__main__":
    main()
