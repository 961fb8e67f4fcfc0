"""What the runner costs: `cutover run` against plain `papermill`, for one and for five empty notebooks.

    python benchmarks/runner_overhead.py [--pairs 7] [--command "cutover run {notebooks} --params {params}"]

Pairs are run in turn (papermill, ours, ours, papermill, …), so that a machine that slows down slows both. The table
gives the median of each side and the median of the ratios of the pairs, with their smallest and largest.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
PARAMS = """\
migration:
  name: shadowtwin
  environment: staging
  account_id: "012345678901"
  region: us-east-1
  dr_region: us-west-2
  hostname: app.shadowtwin.example
  contacts: {technical_lead: "benchmark"}
  source:
    database_url: env:SOURCE_DATABASE_URL
    redis_url: env:SOURCE_REDIS_URL
    app_url: https://shadowtwin.example
    reports: file:///srv/reports
  target:
    database_url: env:TARGET_DATABASE_URL
    redis_url: env:TARGET_REDIS_URL
    reports: s3://shadowtwin-reports
  release: {image: "shadowtwin:1.1.0", version: 1.1.0}
  test_user: env:SHADOWTWIN_TEST_LOGIN
  state: state
"""


def empty_notebook(path: Path) -> Path:
    """A notebook with one cell, which does nothing."""
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": ["pass"]}
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": [cell], "metadata": about, "nbformat": 4, "nbformat_minor": 5}))
    return path


def seconds(commands: list[list[str]], folder: Path, accepted: set[int]) -> float:
    """Wall time of the commands, one after the other."""
    began = time.perf_counter()
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode not in accepted:
            raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return time.perf_counter() - began


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--command", default=f"{BIN / 'cutover'} run {{notebooks}} --params {{params}}")
    given = parser.parse_args()
    print("| notebooks | plain papermill, s | ours, s | ratio (smallest–largest) | aim |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        (folder / "params.yml").write_text(PARAMS)
        for count, aim in ((1, 1.0), (5, 0.6)):
            paths = [empty_notebook(folder / "notebooks" / f"{n:02}_empty.ipynb") for n in range(count)]
            plain = [[str(BIN / "papermill"), str(p), f"out-{p.name}"] for p in paths]
            words = given.command.format(notebooks=" ".join(map(str, paths)), params="params.yml")
            ours = [shlex.split(words)]
            # An empty notebook judges nothing: INCONCLUSIVE, exit code 5, is what is right for it.
            measure = {"plain": (plain, {0}), "ours": (ours, {0, 5})}
            seconds(*_of(measure["plain"], folder)), seconds(*_of(measure["ours"], folder))
            pairs = []
            for turn in range(given.pairs):
                order = ("plain", "ours") if turn % 2 == 0 else ("ours", "plain")
                taken = {side: seconds(*_of(measure[side], folder)) for side in order}
                pairs.append((taken["plain"], taken["ours"]))
            ratios = sorted(b / a for a, b in pairs)
            a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
            spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
            print(f"| {count} | {a:.2f} | {b:.2f} | **{statistics.median(ratios):.2f}** ({spread}) | ≤ {aim} |")


def _of(side: tuple[list[list[str]], set[int]], folder: Path) -> tuple[list[list[str]], Path, set[int]]:
    return side[0], folder, side[1]


if __name__ == "__main__":
    main()
