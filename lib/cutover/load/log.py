"""Reads what was recorded: all at the end, or as it grows; whole, or up to the last whole batch of a killed process.

The frame's `attrs` say what the rows cannot:

    at              epoch seconds up to which everything that happened is in the frame
    horizon         epoch seconds up to which every visitor who was due is in the frame
    started         epoch seconds of the first worker's start
    warm_up_until   epoch seconds; what was due before is warm-up
    truncated       why the log is not whole, in words; empty when it is
    workers         how many logs were read
    arrivals_per_s  what was asked for
    late_s          how long after the first worker the last one started
    skew_s          by how much a worker's clock and the master's differ at most; 0 without a master
    generator       what the load generator says of itself (see `audit`)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cutover.errors import LoadError
from cutover.load.audit import Beat, audit
from cutover.load.recorder import OUTCOMES, SCHEMA
from cutover.load.rows import COLUMNS, Rows, Waiting
from cutover.load.settings import ABOUT_WORKERS

SUFFIX = ".arrows"
PIECE = 32 << 20
"""Bytes of a file that are read at once; a batch, half a second of one worker, is far smaller."""
__all__ = ["COLUMNS", "OUTCOMES", "LogReader", "read_log"]


def read_log(path: Path) -> pd.DataFrame:
    """Every request of a run, in the order in which it was due.

    Args:
        path: a run's folder, or the file of one worker.

    Returns:
        Columns `COLUMNS`; times in epoch seconds, NaN for what has not happened; `outcome` is one of `OUTCOMES`.

    Raises:
        LoadError: there is no log, or what is there is none.
    """
    reader = LogReader(path)
    reader.poll()
    if not reader.workers:
        raise LoadError(
            f"there is no load log in {path}",
            why="nothing was recorded, so nothing can be judged",
            todo="look at locust.log beside it for why the load never started",
        )
    return reader.frame(final=True)


class LogReader:
    """Follows the logs of a run while they are written.

    Args:
        path: the run's folder (new workers are found as they come), or one file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tails: dict[Path, _Tail] = {}
        self._rows = Rows()

    @property
    def workers(self) -> int:
        """How many logs have begun."""
        return sum(1 for tail in self._tails.values() if tail.about)

    @property
    def expected(self) -> int:
        """How many logs there should be, by what they say themselves."""
        return max((int(tail.about.get("workers", 1)) for tail in self._tails.values() if tail.about), default=1)

    @property
    def ended(self) -> bool:
        """Whether every log that should be there has its end marker."""
        return self.workers >= self.expected and all(tail.end for tail in self._tails.values())

    @property
    def alive_at(self) -> float:
        """Epoch seconds at which the most silent of the unfinished workers last wrote; infinity when none is left."""
        return min((tail.at for tail in self._tails.values() if tail.about and not tail.end), default=float("inf"))

    def poll(self) -> int:
        """Read what was added since the last time; returns the number of new rows.

        Raises:
            LoadError: a file that is no load log.
        """
        for path in sorted(self._path.glob(f"*{SUFFIX}")) if self._path.is_dir() else [self._path]:
            if path not in self._tails:
                self._tails[path] = _Tail(path, self._rows, len(self._tails))
        return sum(tail.poll() for tail in self._tails.values())

    def _skew_s(self) -> float:
        try:
            said = json.loads((self._path / ABOUT_WORKERS).read_text()) if self._path.is_dir() else {}
        except FileNotFoundError:
            return 0.0
        return max((abs(float(worker["skew_s"])) for worker in said.get("workers", {}).values()), default=0.0)

    def frame(self, *, final: bool = False) -> pd.DataFrame:
        """What was read so far. `final`: nothing will be added, so what has no end marker is truncated."""
        tails = [tail for tail in self._tails.values() if tail.about]
        names = [str(tail.about.get("worker", tail.path.stem)) for tail in self._tails.values()]
        waiting = [request for tail in tails for request in tail.waiting.values()]
        frame = self._rows.frame(names, waiting, last=final)
        frame.attrs.update(self._about(tails, frame, final=final))
        return frame

    def _about(self, tails: list[_Tail], frame: pd.DataFrame, *, final: bool) -> dict[str, Any]:
        unfinished = [tail for tail in tails if not tail.end]
        # Complete only up to where the slowest unfinished worker has written; a finished one has nothing to add.
        at = min((t.at for t in unfinished), default=max((t.at for t in tails), default=0.0))
        horizon = min((t.horizon for t in unfinished), default=max((t.horizon for t in tails), default=0.0))
        reasons = [tail.broken for tail in tails if tail.broken] if final else []
        if final:
            reasons += [f"{t.path.name} has no end: its process was killed or lost" for t in unfinished if not t.broken]
            if len(tails) < self.expected and self._path.is_dir():
                reasons.append(f"{len(tails)} of {self.expected} workers left a log")
        started = [float(t.about["started"]) for t in tails]
        warm_up = [float(t.about["started"]) + float(t.about.get("warm_up_s", 0)) for t in tails]
        return {
            "at": at,
            "horizon": min(at, horizon),
            "started": min(started, default=0.0),
            "warm_up_until": max(warm_up, default=0.0),
            "truncated": "; ".join(reasons),
            "late_s": max(started, default=0.0) - min(started, default=0.0),
            "skew_s": self._skew_s(),
            "workers": len(tails),
            "arrivals_per_s": max((float(t.about.get("arrivals_per_s", 0)) for t in tails), default=0.0),
            "generator": audit(frame, [tail.pulse for tail in tails]),
        }


@dataclass
class _Tail:
    """One worker's file, read up to the last whole batch."""

    path: Path
    rows: Rows
    number: int
    about: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0
    horizon: float = 0.0
    end: str = ""
    broken: str = ""
    pulse: list[Beat] = field(default_factory=list)
    _head: bytes = b""
    _offset: int = 0
    waiting: dict[int, Waiting] = field(default_factory=dict)

    def poll(self) -> int:
        """Read the whole batches that were added, a piece of the file at a time; a half one stays for the next time."""
        rows, before = 0, -1
        while before != self._offset:
            before = self._offset
            rows += self._poll_piece()
        return rows

    def _poll_piece(self) -> int:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(PIECE)
        except OSError as error:
            raise LoadError(f"the load log {self.path} cannot be read: {error}") from error
        if not data:
            return 0
        prefix = len(self._head)
        source = pa.BufferReader(self._head + data)
        try:
            stream = pa.ipc.open_stream(source)
        except (pa.ArrowInvalid, OSError) as error:
            if not self._looks_begun(data):
                raise LoadError(
                    f"{self.path} is not a load log: {error}", todo="give the folder of a load run, or one of its files"
                ) from error
            self.broken = f"{self.path.name} stops within its first lines"
            return 0
        if not self._head:
            self._begin(stream.schema, data[: source.tell()])
        rows, whole = 0, source.tell()
        self.broken = ""
        while True:
            try:
                batch, metadata = stream.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            except (pa.ArrowInvalid, OSError):
                self.broken = f"{self.path.name} stops in the middle of a batch: its process was killed"
                break
            whole = source.tell()
            rows += batch.num_rows
            self._take(batch, metadata or {})
        self._offset += whole - prefix
        return rows

    @staticmethod
    def _looks_begun(data: bytes) -> bool:
        return len(data) < 4096 and data[:4] == b"\xff\xff\xff\xff"[: len(data)]

    def _begin(self, schema: pa.Schema, head: bytes) -> None:
        about = (schema.metadata or {}).get(b"cutover")
        if about is None or schema.remove_metadata() != SCHEMA:
            raise LoadError(
                f"{self.path} is an Arrow stream, but not a load log of this version",
                todo="give the folder of a load run, or one of its files",
            )
        self.about = json.loads(about)
        self._head = head
        self.at = self.horizon = float(self.about["started"])

    def _take(self, batch: pa.RecordBatch, metadata: dict[bytes, bytes]) -> None:
        says = {k.decode(): v.decode() for k, v in metadata.items()}
        since = self.at
        self.at, self.horizon = float(says["at"]), float(says["horizon"])
        self.end = says.get("end", "")
        numbers = {name: float(says.get(name, 0)) for name in ("cpu", "lag", "rss", "files")}
        behind = float(says.get("behind", self.at - self.horizon))
        self.pulse.append(Beat(since, self.at, behind, **numbers))
        if not batch.num_rows:
            return
        waits = pc.equal(batch.column("outcome"), "in_flight")
        done = batch.filter(pc.invert(waits))
        if self.waiting:
            for seq in done.column("seq").to_pylist():
                self.waiting.pop(seq, None)
        if done.num_rows:
            self.rows.add(done, self.number)
        for row in batch.filter(waits).to_pylist():
            self.waiting[row["seq"]] = (row["due_s"], row["sent_s"], row["endpoint"], self.number)
