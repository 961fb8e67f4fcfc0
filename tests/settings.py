"""A change for tests: a setting in a file, planned, made, verified and rolled back like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cutover.action import Change, Plan
from cutover.finding import Finding, Severity, Status


class SetTtl:
    """Sets `ttl` in a JSON file."""

    name = "set-ttl"

    def __init__(self, path: Path, ttl: int) -> None:
        self.path, self.ttl = Path(path), ttl

    def _now(self) -> int | None:
        return json.loads(self.path.read_text())["ttl"] if self.path.exists() else None

    def plan(self) -> Plan:
        """What would be written."""
        return Plan(
            action=self.name,
            subject=self.path.name,
            summary=f"Set the TTL to {self.ttl} s.",
            requests=({"call": "file.write", "arguments": {"ttl": self.ttl}},),
            before={"ttl": self._now()},
            after={"ttl": self.ttl},
            undo=f"Set it back to {self._now()} s.",
            empty=self._now() == self.ttl,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Write it."""
        self.path.write_text(json.dumps({"ttl": self.ttl}))
        return {"written": True}

    def verify(self, change: Change) -> list[Finding]:
        """Read it back."""
        status = Status.PASS if self._now() == self.ttl and change.result["written"] else Status.FAIL
        return [Finding("TTL-01", "The TTL is set", status, Severity.HIGH, self.path.name, observed=str(self._now()))]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Write what was there before."""
        self.path.write_text(json.dumps(dict(change.plan.before)))
        return {"written": True}
