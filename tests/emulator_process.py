"""The stage's AWS emulator as a process that ends with the test run, however that ends."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from cutover.rehearsal import processes


class EmulatorProcess:
    """`python -m cutover.rehearsal.cloud`, up to its `ready` line.

    Attributes:
        state: its folder.
        facts: what it says of itself once it is ready.
        endpoint: its address.
    """

    def __init__(self, state: Path, *arguments: str, patience_s: float = 120) -> None:
        self.state = state
        argv = [sys.executable, "-m", "cutover.rehearsal.cloud", "--state", str(state), *arguments]
        self.process = processes.spawn(argv, name="emulator", log=state.parent / f"{state.name}.log")
        line = self._ready(patience_s)
        if not line:
            self.stop()
            raise AssertionError(f"not ready:\n{self.process.tail()}")
        self.facts: dict[str, Any] = json.loads(line.removeprefix("ready "))
        self.endpoint: str = self.facts["endpoint"]

    def stop(self) -> int:
        """End it and wait; its exit code."""
        return self.process.stop(20)

    def _ready(self, patience_s: float) -> str:
        end = time.monotonic() + patience_s
        while time.monotonic() < end and self.process.alive:
            lines = self.process.log.read_text(errors="replace").splitlines(keepends=True)
            for line in lines:
                if line.startswith("ready ") and line.endswith("\n"):
                    return line.strip()
            time.sleep(0.02)
        return ""
