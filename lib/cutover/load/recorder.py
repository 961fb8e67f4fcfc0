"""Writes down every request of one process as it happens: an Arrow IPC stream that reads up to its last whole batch.

A request is written when it is done. One that still waits when a batch is flushed is written once as `in_flight`, and
again when it is done: the last row of a request counts. Each batch carries the time up to which it is complete, so a
reader knows what is silence and what is merely not written yet. The last batch says that it is the last, because a
file cut off between two batches would otherwise read like a finished one.

Parquet would lose everything with its footer when the process is killed.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa

Floats = npt.NDArray[np.float64]

OUTCOMES = ("ok", "http_5xx", "http_4xx", "timeout", "connection", "check", "in_flight", "never_sent")
_CODES = {name: code for code, name in enumerate(OUTCOMES)}
_NAMES = pa.array(OUTCOMES, pa.utf8())

SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("due_s", pa.float64()),
        ("sent_s", pa.float64()),
        ("done_s", pa.float64()),
        ("endpoint", pa.utf8()),
        ("outcome", pa.utf8()),
        ("status", pa.int32()),
        ("bytes", pa.int64()),
    ]
)
"""One row as it lies in the file. Times are epoch seconds, NaN for what has not happened."""

_pack = struct.Struct("=qdddqiii").pack
_ROWS = np.dtype(
    [
        ("seq", "i8"),
        ("due_s", "f8"),
        ("sent_s", "f8"),
        ("done_s", "f8"),
        ("bytes", "i8"),
        ("endpoint", "i4"),
        ("outcome", "i4"),
        ("status", "i4"),
    ]
)
"""A row until it is written, packed: one call and no object for the garbage collector, where every request pays."""

EPOCH = time.time() - time.perf_counter()
_NAN = float("nan")


def clock() -> float:
    """Epoch seconds that never run backwards: the wall clock at import, carried on by the monotonic one."""
    return EPOCH + time.perf_counter()


class _Codes(dict[str, int]):
    """A number for each name, in the order of their coming."""

    def __missing__(self, name: str) -> int:
        self[name] = code = len(self)
        return code


class Recorder:
    """The log of one process. Not for several threads; greenlets of one thread are fine.

    Args:
        path: the file; it must not exist, so that two processes can never share one. None records nothing.
        about: what the file says of its run (`Settings.public()` and the like); no secret.

    Attributes:
        next_due: when the next visitor is due, epoch seconds; None before the first.
        all_came: nobody else is due: time goes on, and nobody is behind.
        on_done: told at each flush of what is done: response times, ends (seconds), whether it failed.
        lag_s: how late the event loop was at worst since the last flush; the caller measures it.
        open: what waits for its answer, by number and in the order of sending: due, sent, endpoint, and what the caller
            keeps with it.
        closed: whether the end marker is written.

    Raises:
        FileExistsError: another process writes there.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self._file = -1
        self._buffer = io.BytesIO()
        self._started = clock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            metadata = {"cutover": json.dumps({**about, "worker": path.stem, "started": self._started})}
            self._writer = pa.ipc.new_stream(self._buffer, SCHEMA.with_metadata(metadata))
        self._endpoints = _Codes()
        self._seq = 0
        self._rows = bytearray()
        self.open: dict[int, tuple[float, float, str, Any]] = {}
        self._announced: set[int] = set()
        self._cpu, self._cpu_at = time.process_time(), self._started
        self._process = psutil.Process()
        self.next_due: float | None = None
        self.all_came = False
        self.lag_s = 0.0
        self.on_done: Callable[[Floats, Floats, npt.NDArray[np.bool_]], None] | None = None
        self.closed = False

    def sent(self, due_s: float, sent_s: float, endpoint: str, with_it: Any = None) -> int:
        """A request leaves; returns its number for `done`."""
        self._seq = seq = self._seq + 1
        self.open[seq] = (due_s, sent_s, endpoint, with_it)
        return seq

    def done(self, seq: int, done_s: float, outcome: str, status: int, size: int) -> None:
        """The request `seq` has its outcome (one of `OUTCOMES`), its HTTP status (0 for none) and its bytes."""
        due_s, sent_s, endpoint, _ = self.open.pop(seq)
        if self._announced:
            self._announced.discard(seq)
        self._rows += _pack(seq, due_s, sent_s, done_s, size, self._endpoints[endpoint], _CODES[outcome], status)

    def never_sent(self, due_s: float, endpoint: str) -> None:
        """A visitor was due, and every place for a request was taken."""
        self._seq += 1
        self._row(self._seq, due_s, _NAN, endpoint, "never_sent")

    def flush(self, end: str = "") -> None:
        """Write what came since the last time, and what newly waits; an empty batch still says "alive at"."""
        now = clock()
        if self._file < 0:
            self._rows.clear()
            return
        for seq, (due_s, sent_s, endpoint, _) in self.open.items():
            if seq not in self._announced:
                self._announced.add(seq)
                self._row(seq, due_s, sent_s, endpoint, "in_flight")
        rows = np.frombuffer(bytes(self._rows), _ROWS)
        self._rows.clear()
        cpu = time.process_time()
        share = (cpu - self._cpu) / max(now - self._cpu_at, 1e-6)
        # Whoever is due next is not here yet: the horizon ends just before, or a replay would see one visitor more.
        horizon = now if self.next_due is None else min(now, math.nextafter(self.next_due, 0.0))
        about = {
            "at": repr(now),
            "horizon": repr(horizon),
            "behind": repr(0.0 if self.all_came else now - horizon),
            "cpu": f"{share:.3f}",
            "lag": f"{self.lag_s:.4f}",
            "end": end,
        }
        about |= {"rss": str(self._process.memory_info().rss), "files": str(self._process.num_fds())}
        self._writer.write_batch(self._batch(rows), custom_metadata=about)
        self._write()
        self._cpu, self._cpu_at, self.lag_s = cpu, now, 0.0
        if self.on_done is not None and len(rows):
            over = rows[~np.isnan(rows["done_s"])]
            self.on_done(over["done_s"] - over["due_s"], over["done_s"], over["outcome"] != _CODES["ok"])

    def close(self, reason: str) -> None:
        """Write the rest and the end marker (`reason`: "complete", "stopped", …); the second time does nothing."""
        if self.closed:
            return
        self.closed = True
        if self._file < 0:
            return
        self.flush(end=reason)
        self._writer.close()
        self._write()
        os.close(self._file)

    def _write(self) -> None:
        data = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        while data:  # a whole batch in one call where the system allows: a reader seldom sees a half
            data = data[os.write(self._file, data) :]

    def _row(self, seq: int, due: float, sent: float, name: str, outcome: str) -> None:
        self._rows += _pack(seq, due, sent, _NAN, 0, self._endpoints[name], _CODES[outcome], 0)

    def _batch(self, rows: npt.NDArray[Any]) -> pa.RecordBatch:
        names = {"endpoint": pa.array(self._endpoints, pa.utf8()), "outcome": _NAMES}
        columns = {name: pa.array(np.ascontiguousarray(rows[name])) for name in SCHEMA.names}
        columns |= {name: values.take(columns[name]) for name, values in names.items()}
        return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)
