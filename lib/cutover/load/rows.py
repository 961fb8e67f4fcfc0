"""The requests of a log in memory: one array a column, names as numbers, 30-odd bytes a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from cutover.load.recorder import OUTCOMES

_OUTCOMES = pa.array(OUTCOMES, pa.utf8())
_KINDS = {"due_s": np.float64, "sent_s": np.float64, "done_s": np.float64, "endpoint": np.int32, "outcome": np.int8}
_KINDS |= {"status": np.int16, "bytes": np.int64, "worker": np.int16}
COLUMNS = tuple(_KINDS)
_ROOM = 1 << 16

Waiting = tuple[float, float, str, int]
"""A request in flight: due, sent (epoch seconds), endpoint, number of the worker."""


class Rows:
    """What is done, as it comes."""

    def __init__(self) -> None:
        # One growing array a column: many small parts would leave the heap in pieces that nothing large fits into.
        self._columns = {name: np.empty(_ROOM, kind) for name, kind in _KINDS.items()}
        self._count = 0
        self._endpoints: dict[str, int] = {}

    def add(self, batch: pa.RecordBatch, worker: int) -> None:
        """Requests that are done, as the recorder wrote them."""
        endpoints = batch.column("endpoint").dictionary_encode()
        codes = np.array([self._code(name) for name in endpoints.dictionary.to_pylist()], dtype=np.int32)
        columns = {name: batch.column(name).to_numpy() for name in ("due_s", "sent_s", "done_s", "status", "bytes")}
        columns["endpoint"] = codes[endpoints.indices.to_numpy()]
        columns["outcome"] = pc.index_in(batch.column("outcome"), value_set=_OUTCOMES).to_numpy(zero_copy_only=False)
        columns["worker"] = np.full(batch.num_rows, worker)
        until = self._count + batch.num_rows
        for name, column in self._columns.items():
            if until > len(column):
                column.resize(until + until // 8, refcheck=False)  # what is added is zeroed, so it is in memory
            column[self._count : until] = columns[name]
        self._count = until

    def frame(self, workers: Sequence[str], waiting: Sequence[Waiting], *, last: bool) -> pd.DataFrame:
        """Everything in the order in which it was due.

        Args:
            workers: their names, by number.
            waiting: what is in flight.
            last: nothing is added or asked for again, so that the columns are let go one by one.
        """
        due, sent, names, numbers = zip(*waiting, strict=True) if waiting else ((), (), (), ())
        nan = np.full(len(waiting), np.nan)
        more: dict[str, Any] = {
            "due_s": due,
            "sent_s": sent,
            "done_s": nan,
            "endpoint": [self._code(name) for name in names],
            "outcome": np.full(len(waiting), OUTCOMES.index("in_flight")),
            "status": np.zeros(len(waiting)),
            "bytes": np.zeros(len(waiting)),
            "worker": numbers,
        }
        categories = {"endpoint": list(self._endpoints), "outcome": list(OUTCOMES), "worker": list(workers)}
        columns: dict[str, Any] = {}
        order = None
        for name, kind in _KINDS.items():
            whole = (self._columns.pop(name) if last else self._columns[name])[: self._count]
            if waiting:
                whole = np.concatenate([whole, np.array(more[name], dtype=kind)])
            if order is None:  # due_s is the first
                order = np.argsort(whole, kind="stable")
            whole = whole[order]
            columns[name] = (
                pd.Categorical.from_codes(whole, categories=pd.Index(categories[name])) if name in categories else whole
            )
        return pd.DataFrame(columns, copy=False)

    def _code(self, name: str) -> int:
        return self._endpoints.setdefault(name, len(self._endpoints))
