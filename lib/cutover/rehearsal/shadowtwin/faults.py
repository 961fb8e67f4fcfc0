"""The faults that a scenario injects into the application, read from a file while it runs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

STALE_S = 0.2


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong right now.

    Attributes:
        latency_s: seconds added to every request but health checks.
        error_rate: share of requests (but health checks) that answer 500, 0 to 1.
        hang: requests, health checks included, get no answer until this is lifted.
        hang_after: begin to hang once this many requests (health checks not counted) have come; 0 for never.
        broken_flow: `login` answers 500, `twins` gives another user's data, `reports` are never finished.
        lost_database: every query fails as if the connection were refused.
        lost_queue: every Redis command fails as if the connection were refused.
    """

    latency_s: float = 0.0
    error_rate: float = 0.0
    hang: bool = False
    hang_after: int = 0
    broken_flow: Literal["login", "twins", "reports"] | None = None
    lost_database: bool = False
    lost_queue: bool = False


class FaultsFile:
    """The faults of a JSON file, at most 0.2 s stale; a file that is missing or half written changes nothing."""

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        self._faults, self._read_at, self._stamp, self._owed = Faults(), 0.0, (0, 0, 0), 0.0
        self._requests = 0

    @property
    def now(self) -> Faults:
        """What goes wrong now."""
        if self._path and time.monotonic() - self._read_at > STALE_S:
            self._read_at = time.monotonic()
            self._read(self._path)
        return self._faults

    def count(self) -> Faults:
        """Count a request; what goes wrong with it."""
        faults = self.now
        self._requests += 1
        return faults

    def hangs(self) -> bool:
        """Whether nothing is answered now."""
        faults = self.now
        return faults.hang or 0 < faults.hang_after <= self._requests

    def next_fails(self) -> bool:
        """Whether the next request fails: an exact share of them, evenly spread, so that a short run is no luck."""
        self._owed += self.now.error_rate
        if self._owed >= 1:
            self._owed -= 1
            return True
        return False

    def _read(self, path: Path) -> None:
        try:
            stat = os.stat(path)
        except OSError:
            self._faults, self._stamp = Faults(), (0, 0, 0)
            return
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp == self._stamp:
            return
        try:
            raw = json.loads(path.read_text())
            known = {f.name for f in fields(Faults)}
            faults = Faults(**{k: v for k, v in raw.items() if k in known})
        except (OSError, ValueError, AttributeError):
            return
        self._faults, self._stamp, self._owed, self._requests = faults, stamp, 0.0, 0
