"""The one shape of anything changed: an Action plans, applies, verifies and can be undone; a Change is its record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from cutover.finding import Finding


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action would do, exactly, before it does it.

    Attributes:
        action: the action's name, `deploy-service`.
        subject: what it changes.
        summary: one sentence for a tired engineer.
        requests: the exact calls, in order: `{"call": "ecs.update_service", "arguments": {...}}`; no secret in clear.
        before: the state now, as far as it matters for the change and for undoing it.
        after: the state that is wanted, in the same keys.
        undo: how it is undone, in words.
        empty: nothing to do: the wanted state is there already.
    """

    action: str
    subject: str
    summary: str
    requests: tuple[Mapping[str, Any], ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    undo: str = ""
    empty: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "action": self.action,
            "subject": self.subject,
            "summary": self.summary,
            "requests": [dict(r) for r in self.requests],
            "before": dict(self.before),
            "after": dict(self.after),
            "undo": self.undo,
            "empty": self.empty,
        }

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON: what an approval is bound to."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """What an applied action did: enough to judge it and to undo it.

    Attributes:
        plan: the plan that was applied.
        result: what came back, JSON types only, no secret (ids, states, request ids).
        started: ISO 8601 UTC.
        seconds: how long `apply` took.
    """

    plan: Plan
    result: Mapping[str, Any]
    started: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "plan": self.plan.to_dict(),
            "result": dict(self.result),
            "started": self.started,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Approval:
    """Who let a plan pass: bound to the plan's hash, so that a changed plan needs a new one."""

    plan_hash: str
    approver: str
    at: str
    note: str = ""


@runtime_checkable
class Action(Protocol):
    """A change that can be planned, applied, verified and undone. Doing it twice changes nothing the second time."""

    name: str

    def plan(self) -> Plan:
        """Look, and say exactly what would be done; change nothing."""
        ...

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Do what the plan says and return what came back (ids, states); no secret in it."""
        ...

    def verify(self, change: Change) -> list[Finding]:
        """Read back and judge by id and state, not by a waiter alone."""
        ...

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Undo it from what was recorded before."""
        ...
