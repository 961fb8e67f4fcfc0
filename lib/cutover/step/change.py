"""The changes of a step: each is planned and shown, approved, made, read back, journaled and kept as evidence."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from cutover.action import Action, Approval, Change, Plan
from cutover.errors import ActionRefused, ApprovalNeeded
from cutover.finding import Finding, Severity, Status
from cutover.step import approval, display
from cutover.step.context import Context


@dataclass(frozen=True, slots=True)
class Caller:
    """Who STS says we are."""

    account: str
    arn: str


class Recorder(Context, Protocol):
    """A step that records findings, notes how it stands and knows who is at work."""

    @property
    def caller(self) -> Caller:
        """Who STS says we are."""
        ...

    def record(self, findings: Iterable[Finding], title: str | None = None) -> list[Finding]:
        """Show findings and keep them; return them as they stand."""
        ...

    def note(self, **values: Any) -> None:
        """Keep how the step stands."""
        ...


class AppliedChange(Change):
    """A change that a notebook has shown already."""

    __slots__ = ()

    def _ipython_display_(self) -> None:
        return


class Changes:
    """What one step changes.

    Args:
        step: the step.
        apply: whether changes may be made.

    Attributes:
        planned: what was planned and not made, a sentence each.
    """

    def __init__(self, step: Recorder, *, apply: bool) -> None:
        self._step, self._apply = step, apply
        self.planned: list[str] = []
        self._paths: dict[tuple[str, str], str] = {}

    def plan_only(self, what: str) -> None:
        """Note what is planned and not made."""
        self.planned.append(what)
        self._step.note(planned=self.planned)

    def carry_out(self, action: Action) -> Change | None:
        """Show an action's plan; with `apply`, an approval and the right account: make, verify and record it.

        Returns:
            What was done; None when it is only planned.

        Raises:
            ApprovalNeeded: the plan waits for a person; the run can be resumed.
            ActionRefused: the wrong account, or an approval that may not count.
        """
        plan = action.plan()
        path = self._path(plan)
        if plan.empty:
            return self._stands_already(action, plan, path)
        if not self._apply:
            self._write(path, plan, "planned")
            display.plan(plan, "planned, not made")
            self.plan_only(plan.summary)
            return None
        display.plan(plan, "to be made now")
        given = self._approve(plan, path)
        self._write(path, plan, "approved", given)
        change = self._make(action, plan, path, given)
        self._verify(action, change, plan)
        return change

    def _approve(self, plan: Plan, path: str) -> Approval:
        step, caller = self._step, self._step.caller
        if caller.account != step.migration.account_id:
            raise ActionRefused(
                f"STS says account {caller.account}, the parameters say {step.migration.account_id}.",
                why="a change would hit somebody else's platform.",
                todo="choose the right profile (AWS_PROFILE) or the right parameter file.",
            )
        try:
            return approval.require(
                plan, step.migration, step.journal, run=step.run.name, step=step.name, caller=caller.arn
            )
        except ApprovalNeeded as error:
            self._write(path, plan, "waiting")
            step.note(state="waiting", exit_code=int(error.exit_code), headline=error.what, next=[error.todo])
            raise

    def _make(self, action: Action, plan: Plan, path: str, given: Approval) -> Change:
        journal = self._step.journal
        journal.write("change-begun", plan=plan.to_dict(), approver=given.approver)
        started, clock = datetime.now(UTC).isoformat(), time.monotonic()
        try:
            result = action.apply(plan)
        except BaseException as error:
            journal.write("change-failed", plan_hash=plan.hash, error=f"{type(error).__name__}: {error}")
            self._write(path, plan, "failed", given, error=f"{type(error).__name__}: {error}")
            raise
        change = AppliedChange(plan, result, started, round(time.monotonic() - clock, 3))
        journal.write("change", change=change.to_dict())
        self._write(path, plan, "made", given, change=change.to_dict())
        return change

    def _stands_already(self, action: Action, plan: Plan, path: str) -> Change:
        """Nothing to do: what is wanted is there; it is verified all the same, by the ids of when it was made."""
        self._write(path, plan, "nothing to do")
        display.plan(plan, "nothing to do")
        before = self._step.journal.last_change(plan.action, plan.subject) or {}
        started = str(before.get("started") or datetime.now(UTC).isoformat())
        change = AppliedChange(plan, before.get("result", {}), started, float(before.get("seconds", 0.0)))
        self._verify(action, change, plan)
        return change

    def _verify(self, action: Action, change: Change, plan: Plan) -> None:
        try:
            findings = action.verify(change)
        except Exception as error:  # a look that fails is a finding, whatever it was that failed
            findings = [
                Finding(
                    f"VER-{action.name}",
                    f"{plan.summary.rstrip('.')}: it is so",
                    Status.UNKNOWN,
                    Severity.HIGH,
                    plan.subject,
                    "the change read back",
                    f"{type(error).__name__}: {error}",
                    "the change was made, but could not be verified",
                    "look at it by hand, then run this notebook again: a change that stands is only verified",
                )
            ]
        self._step.record(findings, title=f"{action.name}: read back")

    def _path(self, plan: Plan) -> str:
        key = (plan.action, plan.subject)
        if key not in self._paths:
            same = sum(action == plan.action for action, _ in self._paths)
            self._paths[key] = f"plan/{self._step.name}-{plan.action}{f'-{same + 1}' if same else ''}.json"
        return self._paths[key]

    def _write(self, path: str, plan: Plan, state: str, given: Approval | None = None, **more: Any) -> None:
        about = {"step": self._step.name, "state": state, "hash": plan.hash, "plan": plan.to_dict()}
        self._step.run.write(path, {**about, "approval": asdict(given) if given else None, **more})
