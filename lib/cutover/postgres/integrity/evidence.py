"""The file that names every differing row: one JSON object a line, whole or not there."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from cutover.postgres.integrity.locate import RowDifference


class DifferenceLog:
    """Collects differing rows from several threads; the file gets its name when the block ends well, if it has a line.

    Args:
        path: where it is to stand; None collects nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines = 0
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp") if path else None
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    def write(self, table: str, difference: RowDifference) -> None:
        """Append one row."""
        if self._temporary is None:
            return
        line = json.dumps({"table": table} | difference.to_dict(), ensure_ascii=False)
        with self._lock:
            if self._file is None:
                self._temporary.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._temporary.open("w", encoding="utf-8")
            self._file.write(line + "\n")
            self.lines += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None or self._temporary is None or self.path is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink(missing_ok=True)
