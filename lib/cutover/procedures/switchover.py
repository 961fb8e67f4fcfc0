"""The switch-over of a replicated copy: writers are stopped, the copy is proven, and they continue on the target.

One change with one approval, because users are refused while it lasts: a person asked in its middle would keep them
out. Whatever fails before the target accepts writes is rolled back automatically, and users go on where they were.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cutover import aws, objects, postgres, queue
from cutover.action import Action, Change, Plan
from cutover.errors import ActionRefused, CutoverError, DatabaseError
from cutover.finding import Finding
from cutover.postgres import replication
from cutover.postgres.position import movement
from cutover.procedures.decision import remember_cutover
from cutover.procedures.freeze import POSITION_KEY, maintenance, paused_before, report_locations
from cutover.procedures.switchover_findings import (
    PROVEN_KEY,
    REFUSAL_KEY,
    behind_the_fence,
    carried,
    not_undone,
    proven_at_fence,
    refusal_finding,
    replication_begun,
    reports_copied,
    taken_back,
    takes_writes,
    views_not_filled,
)
from cutover.procedures.watch import first_accepted_write
from cutover.progress import Listener
from cutover.step import Context

_APPROVER = "as a part of the switch-over"


class RolledBack(Exception):
    """The switch-over cannot go on; what was done is undone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, seconds.

    Attributes:
        refusal: writes are refused for no longer than this before the target takes them, or users go back.
        drain: jobs under way may take so long to end.
    """

    refusal: float = 60.0
    drain: float = 20.0


@dataclass(slots=True)
class _Progressing:
    """What a switch-over has done so far."""

    began: float
    from_at: str = ""
    done: list[tuple[Action, Change]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    timeline: dict[str, float] = field(default_factory=dict)
    jobs: Plan | None = None
    released: bool = False

    def mark(self, what: str) -> None:
        self.timeline[what] = round(time.monotonic() - self.began, 3)


class SwitchOver:
    """Stop the writers, wait for the copy, prove it, let the writers continue on the target.

    Args:
        step: where it is at work; its parts are journaled as changes of their own, so that each has its way back.
        account: where the name is switched.
        link: the replication.
        jobs: parallel connections of the comparison, on each side.
        show: differing rows named for each table.
        limits: how long users may be refused.
        progress: told how far the catch-up and the comparison are.
    """

    name = "switch-over"

    def __init__(
        self,
        step: Context,
        account: aws.Account,
        link: replication.Link,
        *,
        jobs: int = 2,
        show: int = 20,
        limits: Limits = Limits(),
        progress: Listener | None = None,
    ) -> None:
        self._step, self._account, self._link = step, account, link
        self._jobs, self._show, self._limits, self._progress = jobs, show, limits, progress
        self._parts: list[tuple[Action, Plan]] = []
        self._findings: list[Finding] | None = None

    def plan(self) -> Plan:
        """Every part's own requests, in their order; empty when the name is switched and nothing follows any more."""
        link = self._link
        self._parts = [(action, action.plan()) for action in self._actions()]
        state = replication.link_state(link)
        switched = self._parts[-1][1].empty and state.nothing and not state.guarded
        own = (
            "wait for the switchover LSN; sequences to their exact values",
            "compare every object and row at the switchover LSN; users go back to the source when anything differs",
            f"DROP SUBSCRIPTION {link.name}; pg_drop_replication_slot('{link.name}'); DROP PUBLICATION {link.name}",
            "let the target database accept writes",
        )
        requests = [request for _, plan in self._parts[:-1] for request in plan.requests]
        requests += [{"call": "replication", "arguments": {"step": one}} for one in own]
        requests += list(self._parts[-1][1].requests)
        return Plan(
            self.name,
            link.subject,
            "the switchover is complete"
            if switched
            else f"move the writers: refused from the maintenance mode to the switch of the name, at most "
            f"{self._limits.refusal:g} s, or users go back",
            tuple(requests),
            before={action.name: dict(plan.before) for action, plan in self._parts},
            after={action.name: dict(plan.after) for action, plan in self._parts},
            undo="until the target accepts writes: by itself, users continue on the source and the copy goes on "
            "following; after that: the way back of notebook 90, and what users wrote on the target is lost",
            empty=switched,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Do it all, or roll it all back; never half.

        Raises:
            ActionRefused: nothing follows the source, so there is nothing to switch to.
        """
        proven = self._resumable()
        if not proven:
            # What is copied before need not be copied while users wait.
            objects.copy(**report_locations(self._step.migration))
        run = _Progressing(time.monotonic(), str(proven.get("from", "")), released=bool(proven))
        try:
            if not proven:
                self._fence_and_prove(run)
            self._release(run)
        except BaseException as error:
            if run.released:
                raise
            self._roll_back(run, error)
            if not isinstance(error, (RolledBack, CutoverError)):
                raise
            self._findings = [*run.findings, taken_back(self._link.subject, error, run.timeline)]
            return {"switched": False, "reason": str(error), "timeline": run.timeline}
        refusal = self._first_write(run)
        self._end(run)
        views = self._fill_views(run)
        forecast = self._step.journal.recall("forecast")
        told = refusal_finding(self._step.migration.hostname, refusal, forecast)
        self._findings = [*run.findings, *self._after(), told]
        return {"switched": True, "timeline": run.timeline, "refusal": refusal, "views": views}

    def verify(self, change: Change) -> list[Finding]:
        """What was seen at the switchover LSN and after it; for one of an earlier run, what can be seen now."""
        return self._findings if self._findings is not None else self._after()

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Not by a program: see notebook 90."""
        raise ActionRefused(
            "Cannot undo a completed switchover automatically: the target has accepted writes.",
            why="what users wrote on the target is not on the source.",
            todo="open notebooks/90_rollback_decision.ipynb: it names the way back and what it costs.",
        )

    def _actions(self) -> list[Action]:
        step = self._step
        turned_away = maintenance(step, enabled=True)
        redis = self._redis()[0]
        parts: list[Action] = [turned_away] if turned_away is not None else []
        parts += [queue.PauseQueues(redis), postgres.Freeze(self._link.source_url)]
        return [*parts, aws.SwitchDns(self._account, step.migration.target.load_balancer)]

    def _resumable(self) -> dict[str, Any]:
        """What an earlier attempt proved before it let the copy go and broke off: only its end is wanted; or {}.

        Raises:
            ActionRefused: nothing follows the source.
        """
        proven = proven_at_fence(self._step.journal, self._link)
        if proven.get("released"):
            return proven  # users may write on the target already: never back, never compared again
        if replication.link_state(self._link).subscription:
            return {}
        raise ActionRefused(
            f"{self._link.subject}: nothing follows the source.",
            why="there is no copy to switch to.",
            todo="run 08_replication with apply, or take the other way: transfer: dump.",
        )

    def _written_since(self, proven: Mapping[str, Any]) -> list[str]:
        """What of users moved on the source since the fence; that publication and slot went is not users' doing."""
        before = postgres.WritePosition.from_dict(proven["position"])
        now = postgres.write_position(self._link.source_url, since=before, settle_s=0)
        return replace(movement(before, now), schema=False).words()

    def _fence_and_prove(self, run: _Progressing) -> None:
        """Everything up to the point where the target may take writes; raises RolledBack when it may not."""
        step, link = self._step, self._link
        run.from_at = datetime.now(UTC).isoformat()
        replication.resume_replication(link)  # an attempt that was killed may have paused it
        for action, plan in self._parts[:-1]:
            if action.name == queue.PauseQueues.name:
                redis = self._redis()[0]
                self._require(run, queue.check_drained(redis, min(self._limits.drain, self._left(run)), carried=True))
            run.done.append((action, self._make(action, plan)))
            run.mark(action.name)
        freeze, frozen = run.done[-1]
        self._require(run, freeze.verify(frozen))
        fence = replication.record_switchover_lsn(link)
        fence = replication.wait_replayed(link, fence, timeout_s=self._left(run), progress=self._progress)
        sequences = replication.sync_sequences(link)
        run.mark("fence reached")
        position = postgres.write_position(link.source_url, settle_s=0)  # nobody is left who could report late
        with ThreadPoolExecutor(max_workers=1) as beside:
            copied = beside.submit(objects.copy, **report_locations(self._step.migration))
            # Refused while it can still be rolled back, where the target's queues hold other jobs.
            jobs = beside.submit(self._carry().plan)
            compared = self._compare()
            failed, run.jobs = copied.result().failed, jobs.result()
        run.mark("compared")
        after = postgres.write_position(link.source_url, since=position, settle_s=0)
        self._require(run, [
            *compared.findings,
            *replication.check_fence(fence.to_dict(), sequences, link.subject),
            *postgres.check_no_writes(position, after),
            reports_copied(failed),
        ])  # fmt: skip
        self._left(run)
        begun = replication_begun(step.journal, link)
        proven = {"fence": fence.to_dict(), "position": position.to_dict(), "run": step.run.name, "begun": begun}
        step.journal.remember(PROVEN_KEY, proven | {"from": run.from_at})

    def _release(self, run: _Progressing) -> None:
        """Let the copy take writes, carry jobs that wait for later, switch the name: no way back from here."""
        step, link = self._step, self._link
        jobs = run.jobs or self._carry().plan()
        replication.pause_replication(link)
        step.journal.remember(PROVEN_KEY, proven_at_fence(step.journal, link) | {"released": True})
        run.released = True
        replication.allow_writes(link)
        run.mark("target accepts writes")
        try:
            self._make(self._carry(), jobs)
        except CutoverError as error:  # the jobs are safe on the source; users wait
            run.findings.append(carried(jobs, error))
        else:  # not compared again: the target's workers are at them already
            run.findings.append(carried(jobs))
        action, plan = self._parts[-1]
        change = self._make(action, plan)
        remember_cutover(step, change)
        run.mark(action.name)

    def _end(self, run: _Progressing) -> None:
        """With users on the target: the replication is removed, and nothing was written after the switchover LSN."""
        step, link = self._step, self._link
        proven = proven_at_fence(step.journal, link)
        if late := self._written_since(proven):
            run.findings.append(behind_the_fence(link.subject, late))
        replication.end_replication(link, guard=False)
        step.journal.remember(POSITION_KEY, postgres.write_position(link.source_url, settle_s=0).to_dict())
        run.mark("replication ended")
        action, plan = self._parts[-1]
        made = step.journal.last_change(plan.action, plan.subject) or {}
        run.findings += action.verify(Change(plan, made.get("result", {}), str(made.get("started", "")), 0.0))

    def _carry(self) -> queue.CarryQueues:
        source, goal = self._redis()
        return queue.CarryQueues(source, goal, paused_before=paused_before(self._step.journal))

    def _redis(self) -> tuple[str, str]:
        migration = self._step.migration
        return migration.resolve(migration.source.redis_url), migration.resolve(migration.target.redis_url)

    def _compare(self) -> postgres.Comparison:
        return postgres.compare(
            self._link.source_url,
            self._link.target_url,
            jobs=self._jobs,
            show=self._show,
            evidence=self._step.run.raw("postgres"),
            expected=self._step.migration.expected_differences,
            progress=self._progress,
            restored=self._link.restored,
        )

    def _left(self, run: _Progressing) -> float:
        """Seconds until users go back.

        Raises:
            RolledBack: none are left.
        """
        left = self._limits.refusal - (time.monotonic() - run.began)
        if left <= 0:
            raise RolledBack(f"writes were refused for {self._limits.refusal:g} s, the most that was allowed")
        return left

    def _require(self, run: _Progressing, findings: list[Finding]) -> None:
        run.findings += findings
        closed = [f for f in findings if f.closes_gate]
        if closed:
            more = f" (and {len(closed) - 1} more)" if len(closed) > 1 else ""
            raise RolledBack(closed[0].sentence() + more)

    def _make(self, action: Action, plan: Plan) -> Change:
        """One part, journaled and kept as evidence like any change: it must have its own way back."""
        step = self._step
        step.journal.write("change-begun", plan=plan.to_dict(), approver=_APPROVER)
        started, clock = datetime.now(UTC).isoformat(), time.monotonic()
        result: Mapping[str, Any] = {"changed": False} if plan.empty else action.apply(plan)
        change = Change(plan, result, started, round(time.monotonic() - clock, 3))
        step.journal.write("change", change=change.to_dict())
        self._keep(action, plan, "nothing to do" if plan.empty else "made", change=change.to_dict())
        return change

    def _roll_back(self, run: _Progressing, error: BaseException) -> None:
        """Undo what was done, the last first; a part that cannot be undone does not keep the others from it."""
        for action, made in reversed(run.done):
            change = self._as_begun(action, made)
            if change is None:
                continue
            try:
                result = action.undo(change)
            except Exception as failed:
                run.findings.append(not_undone(action, change, failed))
                continue
            self._step.journal.write("undo", action=action.name, subject=change.plan.subject, result=dict(result))
            self._keep(action, change.plan, "undone", change=change.to_dict(), error=str(error))
        with suppress(DatabaseError):  # it goes on following where it can; notebook 08 tells when it does not
            replication.resume_replication(self._link)
        run.mark("rolled back")

    def _as_begun(self, action: Action, change: Change) -> Change | None:
        """The change to undo: where nothing was left to do, that of an earlier attempt which was killed; or None."""
        if not change.plan.empty:
            return change
        begun = [e for e in self._step.journal.entries("change-begun") if e["plan"]["action"] == action.name]
        undone = [e["at"] for e in self._step.journal.entries("undo") if e["action"] == action.name]
        ours = [e for e in begun if not e["plan"]["empty"] and e["approver"] == _APPROVER]
        if not ours or any(at > ours[-1]["at"] for at in undone):
            return None
        plan = Plan(**ours[-1]["plan"])
        paused = [name for name, before in dict(plan.before.get("paused") or {}).items() if not before]
        return Change(plan, {"paused": paused}, "", 0.0)

    def _keep(self, action: Action, plan: Plan, state: str, **more: Any) -> None:
        about = {"step": self._step.name, "state": state, "hash": plan.hash, "plan": plan.to_dict(), **more}
        self._step.run.write(f"plan/{self._step.name}-{self.name}-{action.name}.json", about)

    def _first_write(self, run: _Progressing) -> dict[str, Any]:
        """From the first refused write to the first one thon the target took: signing in writes a session."""
        accepted = first_accepted_write(self._step, self._account)
        if accepted:
            run.mark("first write accepted")
        seconds = run.timeline.get("first write accepted")
        refusal = {"way": "replicate", "from": run.from_at, "to": accepted, "seconds": seconds}
        self._step.journal.remember(REFUSAL_KEY, refusal)
        return refusal

    def _fill_views(self, run: _Progressing) -> list[str]:
        try:
            views = replication.fill_views(self._link, again=True)
        except CutoverError as error:
            run.findings.append(views_not_filled(self._link.subject, error))
            return []
        run.mark("materialised views filled")
        return views

    def _after(self) -> list[Finding]:
        """What can be seen of it afterwards: nothing is left, nobody is refused."""
        guarded = replication.link_state(self._link).guarded
        return [replication.check_ended(self._link), takes_writes(self._link.subject, guarded=guarded)]
