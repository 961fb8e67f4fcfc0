"""What recording and judging cost: Locust's throughput with both on, as a ratio to bare Locust in the same run.

    python benchmarks/load_overhead.py [--pairs 5] [--seconds 6] [--processes 1 2]

A server that does nothing but answer, 20 users who never wait (Locust's closed model, FastHttpUser), once bare and
once recorded, with the triggers judged twice a second beside it, in turn. Two processes and a server on two cores
disturb each other: that row is for the eye. `--judge` instead times the judging of a stored log of ten million rows.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cutover.judgement import LoadWatch
from cutover.load import LogReader, Recorder, recorder
from cutover.migration import Triggers

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
BARE = """
from locust import FastHttpUser, task
class Bare(FastHttpUser):
    @task
    def ask(self):
        self.client.get("/")
"""
RECORDED = """
from locust import task
from cutover.load.inside_locust import RecordedUser
class Recorded(RecordedUser):
    @task
    def ask(self):
        self.call("GET", "/")
"""


class _Answer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


def serve(port: int) -> None:
    """Answer until killed."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Answer, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(forever())


@contextmanager
def server() -> Iterator[str]:
    """The address of a server in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(port)])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def throughput(url: str, kind: str, processes: int, seconds: int, judged: bool) -> float:
    """Requests a second over one run of Locust, by Locust's own count."""
    folder = Path(tempfile.mkdtemp(prefix="cutover-bench-"))
    try:
        (folder / "file.py").write_text(kind)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CUTOVER_")}
        if judged:
            environment["CUTOVER_LOAD_FOLDER"] = str(folder)
        command = [sys.executable, "-m", "locust", "-f", str(folder / "file.py"), "--headless", "--only-summary"]
        command += ["--host", url, "-u", "20", "-r", "20", "-t", f"{seconds}s", "--csv", str(folder / "out")]
        command += ["--processes", str(processes)] if processes > 1 else []
        locust = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if judged:
            reader, watch = LogReader(folder), LoadWatch(Triggers())
            while locust.poll() is None:
                began = time.monotonic()
                reader.poll()
                if reader.workers:
                    watch(reader.frame())
                time.sleep(max(0.5, time.monotonic() - began))
        locust.wait(seconds + 60)
        line = (folder / "out_stats.csv").read_text().splitlines()[-1].split(",")
        return float(line[9])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def overhead(pairs: int, seconds: int, processes: list[int]) -> None:
    """Print the table of ratios."""
    print("| processes | bare, requests/s | recorded and judged, requests/s | ratio (smallest to largest) |")
    print("|---|---|---|---|")
    with server() as url:
        for count in processes:
            both: list[tuple[float, float]] = []
            for number in range(pairs):
                runs = [(BARE, False), (RECORDED, True)]
                done = {
                    kind: throughput(url, kind, count, seconds, judged) for kind, judged in runs[:: 1 - number % 2 * 2]
                }
                both.append((done[BARE], done[RECORDED]))
            ratios = [ours / bare for bare, ours in both]
            bare, ours = (statistics.median(side) for side in zip(*both, strict=True))
            spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"| {count} | {bare:,.0f} | {ours:,.0f} | **{statistics.median(ratios):.3f}** {spread} |")


JUDGE = """
import resource, sys, time
from pathlib import Path
began = time.perf_counter()
from cutover.judgement import judge_load
from cutover.load import read_log
from cutover.migration import Triggers
frame = read_log(Path(sys.argv[1]))
read = time.perf_counter() - began
judged = judge_load(frame, Triggers())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(len(frame), judged.verdict, round(read, 2), round(time.perf_counter() - began, 2), peak)
"""


def judge(rows: int) -> None:
    """Time and memory of judging a stored log of so many rows."""
    folder = Path(tempfile.mkdtemp(prefix="cutover-bench-"))
    try:
        store(folder, rows)
        done = subprocess.run([sys.executable, "-c", JUDGE, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        count, verdict, read, seconds, mib = done.stdout.split()
        print("| rows | verdict | reading, s | reading and judging, s | peak memory, MiB |\n|---|---|---|---|---|")
        print(f"| {int(count):,} | {verdict} | {read} | {seconds} | {mib} |")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def store(folder: Path, rows: int) -> None:
    """A log of lognormal answers at 2,500 requests a second, one in a hundred failed, as the recorder writes it."""
    rng, start, now = np.random.default_rng(1), 1_700_000_000.0, [1_700_000_000.0]
    recorder.clock = lambda: now[0]
    log = Recorder(folder / "worker-1.arrows", {"workers": 1, "warm_up_s": 30.0, "arrivals_per_s": 2500.0})
    due = (start + np.cumsum(rng.exponential(1 / 2500, rows))).tolist()
    took, failed = rng.lognormal(-2, 0.8, rows).tolist(), (rng.random(rows) < 0.01).tolist()
    for k, (at, span, bad) in enumerate(zip(due, took, failed, strict=True)):
        log.done(log.sent(at, at + 0.0005, "GET /api/twins"), at + span, "http_5xx" if bad else "ok", 200, 900)
        if k % 1250 == 0:
            now[0] = log.next_due = at
            log.flush()
    now[0] = log.next_due = due[-1] + 1
    log.close("complete")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--judge", type=int, metavar="ROWS", help="judge a stored log of so many rows instead")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
    elif given.judge:
        judge(given.judge)
    else:
        overhead(given.pairs, given.seconds, given.processes)


if __name__ == "__main__":
    main()
