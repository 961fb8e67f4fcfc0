"""The ledger of runs: one line each, chained by the hash of the line before, so that a removed run is missed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cutover import files
from cutover.errors import CutoverError
from cutover.report.record import read

FIRST = "0" * 64
"""What the first line names as the hash of the line before."""
_PATIENCE_S = 30.0


def append_ledger(outputs: Path, run_folder: Path) -> dict[str, Any]:
    """Add a run's line to `outputs/ledger.jsonl`; two runs that end together come one after the other.

    Args:
        outputs: the folder that holds the runs.
        run_folder: the run's folder; its manifest, when it is there, is named by its SHA-256.

    Returns:
        The line: number, run, at, environment, phase, verdict, exit_code, manifest_sha256, previous.

    Raises:
        UsageError: there is no such run folder.
        CutoverError: another process held the ledger for half a minute.
        OSError: the line cannot be written.
    """
    record = read(Path(run_folder))
    path = Path(outputs) / "ledger.jsonl"
    manifest = record.folder / "manifest.json"
    with _alone(path):
        text = path.read_bytes() if path.exists() else b""
        lines = text.removesuffix(b"\n").split(b"\n") if text else []
        line = {
            "number": len(lines) + 1,
            "run": record.folder.name,
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "environment": record.environment,
            "phase": record.phase,
            "verdict": record.shown,
            "exit_code": record.exit_code,
            "manifest_sha256": files.sha256(manifest) if manifest.is_file() else None,
            "previous": _hash(lines[-1]) if lines else FIRST,
        }
        # A line that a kill left half written is ended first: it stays visible and stays part of the chain.
        start = b"\n" if text and not text.endswith(b"\n") else b""
        with path.open("ab") as file:
            file.write(start + json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    return line


def check_ledger(outputs: Path) -> list[str]:
    """What is wrong with the ledger, in sentences; nothing when every line follows from the one before.

    A run's manifest that is not the one it was entered with, or whose folder is gone, is named too. What the chain
    cannot show is that its last lines were cut off: compare the last line's hash with one that was kept elsewhere.
    """
    path = Path(outputs) / "ledger.jsonl"
    if not path.exists():
        return [f"{path.name} is not there."]
    text = path.read_bytes()
    problems = [] if text.endswith(b"\n") or not text else ["The last line of the ledger is half written."]
    previous = FIRST
    newest: dict[str, str | None] = {}
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n") if text else [], 1):
        try:
            entry = json.loads(line)
            stated, place, run = entry["previous"], entry["number"], str(entry["run"])
        except (ValueError, KeyError, TypeError):
            problems.append(f"Line {number} of the ledger cannot be read.")
            previous = _hash(line)
            continue
        if stated != previous:
            problems.append(f"Line {number} of the ledger ({run}) does not follow from the line before it.")
        if place != number:
            problems.append(f"Line {number} of the ledger ({run}) says it is line {place}.")
        newest[run] = entry.get("manifest_sha256")
        previous = _hash(line)
    for run, sealed in newest.items():
        folder = Path(outputs) / run
        if not folder.is_dir():
            problems.append(f"The run {run} is in the ledger, but its folder is gone.")
        elif sealed and not (folder / "manifest.json").is_file():
            problems.append(f"The run {run} has lost its manifest.json.")
        elif sealed and files.sha256(folder / "manifest.json") != sealed:
            problems.append(f"The manifest of {run} is not the one that was entered in the ledger.")
    return problems


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the ledger's lock; the operating system lets go of it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(".ledger.lock").open("a") as lock:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise CutoverError(
                        f"Another process has held {path} for {_PATIENCE_S:.0f} s.",
                        why="the ledger has one line a run, in order; two writers at once would break its chain.",
                        todo="see which run is still ending, then run `cutover report RUN` again.",
                    ) from None
                time.sleep(0.05)
        yield


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
