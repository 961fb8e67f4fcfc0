"""Carrying the queues over: what waits on the source, now or until later, is processed on the target."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import redis

from cutover.action import Change, Plan
from cutover.errors import ActionRefused, InstrumentError
from cutover.finding import Finding
from cutover.progress import Listener, Progress
from cutover.queue.compare import SHOWN, by_state, compare_queues, differences
from cutover.queue.contents import PARTS, Contents, keys_of, part_of, read_contents, transient
from cutover.queue.copying import Copier
from cutover.queue.layout import connect, elsewhere, shown
from cutover.queue.pause import resume
from cutover.queue.preflight import closing, preflight

LISTS_LAST = ("meta", "events")
"""Left out of the copy of a queue's keys: `meta` is written last, and `events` is a log of the past."""


class CarryQueues:
    """Copy every queue from one Redis to another: jobs in every state, their due times, order and schedulers.

    The source is only read. At the target a queue is held still until all of it is there, so that no worker takes a
    job whose data has not come yet; then it runs, unless it stood still at the source before the freeze. A second
    time nothing happens. A queue at the target that holds other jobs is never touched.

    Args:
        source_url: the source's Redis; its queues must be paused.
        target_url: the target's.
        prefix: BullMQ's key prefix, the same on both sides.
        paused_before: which queues stood still before the freeze; those that are paused now when left out.
        progress: told how many keys of each queue are copied (stage `carry`).
    """

    name = "carry-queues"

    def __init__(
        self,
        source_url: str,
        target_url: str,
        *,
        prefix: str = "bull",
        paused_before: Mapping[str, bool] | None = None,
        progress: Listener | None = None,
    ) -> None:
        self._source, self._target, self._prefix = source_url, target_url, prefix
        self._before, self._progress = paused_before, progress

    def plan(self) -> Plan:
        """Which queues are to be carried, with how many jobs.

        Raises:
            ActionRefused: queues cannot be told apart; a server has too little room to be read or written; the source
                has queues, but none under the prefix; one at the target holds jobs of its own.
        """
        self._refuse_unfit()
        source, target = self._read(self._source), self._read(self._target)
        if not source:
            return self._nothing()
        todo = [name for name in source if self._todo(source[name], target.get(name, Contents(name)))]
        # Completed jobs and those that come due change their state by themselves: the plan counts all of them.
        counts = {name: len(source[name].jobs) + len(source[name].schedulers) for name in sorted(source)}
        jobs = sum(counts[name] for name in todo)
        return Plan(
            action=self.name,
            subject=f"{shown(self._source)} → {shown(self._target)}",
            summary=f"carry over {jobs} jobs of {len(todo)} queues: {', '.join(todo)}"
            if todo
            else f"all {sum(counts.values())} jobs of {len(source)} queues are there already",
            requests=tuple({"call": "copy keys", "arguments": {"queue": f"{self._prefix}:{name}"}} for name in todo),
            before={"queues": {name: _held(target.get(name)) for name in sorted(source)}},
            after={"queues": counts, "paused": self._still(source)},
            undo="remove the carried queues from the target, as long as nobody has worked on them there",
            empty=not todo,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Copy, queue by queue; what broke off is taken up again by the next run.

        Raises:
            ActionRefused: a queue of the source is still at work; workers at the target would begin at once; a server
                does not answer or refuses (what is there already stays, held still).
        """
        source = self._read(self._source)
        self._refuse_moving(source)
        names = [str(request["arguments"]["queue"]).removeprefix(f"{self._prefix}:") for request in plan.requests]
        self._refuse_working(source, names)
        still = set(plan.after["paused"])
        carried: dict[str, Any] = {}
        try:
            with connect(self._source, decode=False) as here, connect(self._target, decode=False) as there:
                for name in names:
                    carried[name] = self._carry(here, there, name, stands_still=name in still)
        except (redis.RedisError, InstrumentError) as error:
            done = f" Carried so far: {', '.join(carried)}." if carried else ""
            said = error.what.rstrip(".") if isinstance(error, InstrumentError) else error
            raise ActionRefused(
                f"The queues cannot be carried from {shown(self._source)} to {shown(self._target)}: {said}.{done}",
                why="the queue that broke off stands still at the target, so that no half of it is worked on.",
                todo="run this step again: it goes on where it broke off",
            ) from error
        return {"queues": carried, "by_state": by_state(self._read(self._target).values())}

    def verify(self, change: Change) -> list[Finding]:
        """Findings QUE-05 to QUE-09: both sides read again and compared job by job."""
        return compare_queues(self._source, self._target, prefix=self._prefix, paused=list(change.plan.after["paused"]))

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Remove the carried queues from the target; the source has them all still.

        Raises:
            ActionRefused: somebody has worked on one of them at the target, or Redis does not answer.
        """
        carried: Mapping[str, Any] = change.result["queues"]
        removed = []
        target = self._read(self._target)
        for name, told in carried.items():
            now = target.get(name, Contents(name))
            if not now.empty and now.digest != told["digest"]:
                raise ActionRefused(
                    f"The queue {name} at {shown(self._target)} is not as it was carried over.",
                    why="jobs were processed or added there; removing them would lose or repeat work.",
                    todo=f"compare by hand: redis-cli -u … --scan --pattern '{self._prefix}:{name}:*'",
                )
        try:
            with connect(self._target, decode=False) as there:
                for name in carried:
                    self._clear(there, name)
                    there.delete(self._note(name))
                    removed.append(name)
        except (redis.RedisError, InstrumentError) as error:
            raise ActionRefused(
                f"The carried queues cannot be removed: {error}.", todo="run this again: what is gone stays gone"
            ) from error
        return {"removed": removed}

    def _refuse_unfit(self) -> None:
        """What forbids to read the source or to write to the target is named before any job is read."""
        if closed := closing(preflight(self._source, self._target, prefix=self._prefix)):
            raise ActionRefused("; ".join(f.sentence() for f in closed) + ".", why=closed[0].why, todo=closed[0].remedy)

    def _nothing(self) -> Plan:
        """The plan where the source holds no queue at all.

        Raises:
            ActionRefused: it may hold queues that are not looked at.
        """
        others = self._elsewhere()
        if others:
            raise ActionRefused(
                f"There is no queue under the prefix {self._prefix!r} at {shown(self._source)}; {'; '.join(others)}.",
                why="a wrong address or prefix would leave the real jobs behind.",
                todo="redis-cli -u … --scan --pattern '*:meta'",
            )
        return Plan(
            action=self.name,
            subject=f"{shown(self._source)} → {shown(self._target)}",
            summary="the source holds no queue: nothing to carry over",
            after={"queues": {}, "paused": []},
            empty=True,
        )

    def _elsewhere(self) -> list[str]:
        try:
            return elsewhere(self._source)[:SHOWN]
        except InstrumentError as error:
            raise ActionRefused(error.what, why=error.why, todo=error.todo) from error

    def _read(self, url: str) -> dict[str, Contents]:
        try:
            return read_contents(url, self._prefix)
        except InstrumentError as error:
            raise ActionRefused(error.what, why=error.why, todo=error.todo) from error

    def _still(self, source: Mapping[str, Contents]) -> list[str]:
        """The queues that are to stand still at the target."""
        before = self._before if self._before is not None else {name: queue.paused for name, queue in source.items()}
        return sorted(name for name in source if before.get(name, False))

    def _refuse_moving(self, source: Mapping[str, Contents]) -> None:
        running = [name for name, queue in source.items() if not queue.paused]
        if running:
            raise ActionRefused(
                f"Not paused at {shown(self._source)}: {', '.join(running)}.",
                why="a job that a worker takes during the copy would be done on both sides.",
                todo="run 11_write_freeze with apply: it pauses every queue",
            )
        busy = [f"{n} ({len(active)})" for n, q in source.items() if (active := _in_state(q, "active"))]
        if busy:
            raise ActionRefused(
                f"Jobs are being worked on at {shown(self._source)}: {', '.join(busy)}.",
                why="they would be done on both sides.",
                todo="run 11_write_freeze again, with a longer drain; it names jobs whose worker is gone",
            )

    def _refuse_working(self, source: Mapping[str, Contents], todo: list[str]) -> None:
        """Jobs that wait now would be started at once, by workers whose database nobody has compared yet."""
        still = self._still(source)
        ready = [n for n in todo if n not in still and (_in_state(source[n], "waiting", "prioritized"))]
        listening = [name for name in ready if self._workers(name)]
        if listening:
            raise ActionRefused(
                f"Jobs wait in {', '.join(listening)}, and workers already listen for them at {shown(self._target)}.",
                why="they would start at once, on data that is not proven yet.",
                todo="let the source finish them (11_write_freeze with a longer `drain`), or stop the target's "
                "workers first: aws ecs update-service --desired-count 0 …",
            )

    def _workers(self, name: str) -> bool:
        """Whether a worker listens for this queue at the target; where that cannot be looked at, none is known."""
        # Node's client gives the queue's name in base64, Python's as it is; one without a name waits for any queue.
        whole = f"{self._prefix}:{name}".split(":")
        parts = [(":".join(whole[:n]), ":".join(whole[n:])) for n in range(1, len(whole))]
        called = {f"{start}:{base64.b64encode(rest.encode()).decode()}" for start, rest in parts} | {":".join(whole)}
        try:
            with connect(self._target) as there:
                clients = there.client_list()
        except (redis.RedisError, InstrumentError):
            return False
        names = [str(c.get("name", "")) for c in clients if c.get("name") or str(c.get("cmd")).startswith("bzpopmin")]
        return any(one == "" or one.split(":w:")[0] in called for one in names)

    def _todo(self, here: Contents, there: Contents) -> bool:
        """Whether this queue is still to be carried.

        Raises:
            ActionRefused: the target holds jobs of its own.
        """
        found = differences({here.name: here}, {here.name: there})
        noted = self._noted(here.name)
        if noted.get("begun") and not found.extra:
            return True  # broke off half-way; it stood still all the time
        if not found.any and (noted or not here.empty):
            return False
        if there.empty and not noted:
            return True
        if noted and noted.get("digest") == there.digest:
            return True  # as we left it at an earlier attempt: the source has moved on since, nobody worked here
        raise ActionRefused(
            f"The queue {here.name} at {shown(self._target)} holds other jobs: "
            f"{'; '.join([*found.extra, *found.changed, *found.missing][:SHOWN])}.",
            why="jobs that were processed there would be done a second time, and jobs of its own would be mixed in.",
            todo="when nothing there is wanted: redis-cli -u … --scan --pattern "
            f"'{self._prefix}:{here.name}:*' | xargs redis-cli -u … UNLINK; redis-cli -u … DEL {self._note(here.name)}",
        )

    def _note(self, name: str) -> str:
        """Where the target remembers that, and as what, a queue was carried over: outside of BullMQ's keys."""
        return f"cutover:carried:{self._prefix}:{name}"

    def _noted(self, name: str) -> dict[str, Any]:
        try:
            with connect(self._target) as there:
                raw = there.get(self._note(name))
        except (redis.RedisError, InstrumentError) as error:
            raise ActionRefused(f"{shown(self._target)} cannot be read: {error}.") from error
        return dict(json.loads(str(raw))) if raw else {}

    def _carry(self, here: redis.Redis, there: redis.Redis, name: str, *, stands_still: bool) -> dict[str, Any]:
        meta = f"{self._prefix}:{name}:meta"
        there.set(self._note(name), json.dumps({"begun": datetime.now(UTC).isoformat()}))
        there.hset(meta, "paused", "1")
        there.delete(f"{self._prefix}:{name}:marker")
        self._clear(there, name, but=meta)
        copied, later = 0, []
        copier = Copier(here, there)
        for batch in keys_of(here, self._prefix, name):
            # Jobs first, the lists that workers look into last.
            first = [k for k in batch if part_of(k, self._prefix, name) not in PARTS and self._wanted(k, name)]
            later += [k for k in batch if part_of(k, self._prefix, name) in PARTS and self._wanted(k, name)]
            copied += copier.copy(first)
            if self._progress is not None:
                self._progress(Progress("carry", copied, 0, "keys", name))
        copied += copier.copy(later)
        fields: dict[Any, Any] = {k: v for k, v in here.hgetall(meta).items() if k != b"paused"}
        if fields:
            there.hset(meta, mapping=fields)
        now = read_contents(self._target, self._prefix, [name])[name]
        about = {"digest": now.digest, "from": shown(self._source), "at": datetime.now(UTC).isoformat()}
        # First the note: what a worker does from here on is work on a queue that was carried over whole.
        there.set(self._note(name), json.dumps(about))
        if not stands_still:
            resume(there, self._prefix, name)
        return {
            "jobs": len(now.jobs),
            "schedulers": len(now.schedulers),
            "keys": copied + 1,
            "gone": copier.gone,
            **about,
            "how": copier.how,
        }

    def _wanted(self, key: bytes, name: str) -> bool:
        part = part_of(key, self._prefix, name)
        return part not in LISTS_LAST and not transient(part)

    def _clear(self, there: redis.Redis, name: str, but: str = "") -> None:
        for batch in keys_of(there, self._prefix, name):
            if doomed := [key for key in batch if key != but.encode()]:
                there.unlink(*doomed)


def _in_state(queue: Contents, *states: str) -> list[str]:
    return [job.id for job in queue.jobs.values() if job.state in states]


def _held(queue: Contents | None) -> int:
    return 0 if queue is None else len(queue.jobs) + len(queue.schedulers)
