"""Pausing every queue globally, as BullMQ itself does it, and resuming exactly those that were paused here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from cutover.action import Change, Plan
from cutover.errors import ActionRefused, InstrumentError
from cutover.finding import Finding, Severity, Status
from cutover.queue.depth import check_drained, read_queues
from cutover.queue.layout import connect, elsewhere, shown

GUIDE_LINE = 912

# BullMQ's pause: the flag in `meta` keeps workers from taking jobs, and without the marker they are not woken. BullMQ
# up to 5 also renames `wait` to `paused`. Doing so here too is right for both: its resume renames `paused` back over
# `wait` (jobs left in `wait` would be lost), and later versions' resume still moves `paused` back into `wait`.
_PAUSE = """
if redis.call('HEXISTS', KEYS[3], 'paused') == 1 then return 0 end
if redis.call('EXISTS', KEYS[1]) == 1 then
  if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('RENAME', KEYS[1], KEYS[2])
  else
    while redis.call('LLEN', KEYS[1]) > 0 do redis.call('LPUSH', KEYS[2], redis.call('RPOP', KEYS[1])) end
  end
end
redis.call('HSET', KEYS[3], 'paused', 1)
redis.call('DEL', KEYS[6])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 10000, '*', 'event', 'paused')
return 1
"""

# BullMQ's resume; jobs that a later version added to `wait` meanwhile stay behind those that waited before the pause.
_RESUME = """
if redis.call('HEXISTS', KEYS[3], 'paused') == 0 then return 0 end
redis.call('HDEL', KEYS[3], 'paused')
if redis.call('EXISTS', KEYS[2]) == 1 then
  if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('RENAME', KEYS[2], KEYS[1])
  else
    while redis.call('LLEN', KEYS[2]) > 0 do redis.call('RPUSH', KEYS[1], redis.call('LPOP', KEYS[2])) end
  end
end
if redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[5]) > 0 then
  redis.call('ZADD', KEYS[6], 0, '0')
else
  local first = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', KEYS[6], tonumber(first[2]) / 0x1000, '1') end
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 10000, '*', 'event', 'resumed')
return 1
"""
_KEYS = ("wait", "paused", "meta", "events", "prioritized", "marker", "delayed")


def resume(client: redis.Redis, prefix: str, name: str) -> bool:
    """Let a queue run as BullMQ does, and wake its workers; whether it stood still."""
    keys = [f"{prefix}:{name}:{part}" for part in _KEYS]
    return bool(client.eval(_RESUME, len(keys), *keys))


class PauseQueues:
    """Pauses every queue under a prefix; workers finish the job they have and take no new one.

    Args:
        redis_url: where the queues are.
        prefix: BullMQ's key prefix.
        settle_s: seconds that jobs under way when the pause came may take to end.
    """

    name = "pause-queues"

    def __init__(self, redis_url: str, *, prefix: str = "bull", settle_s: float = 0.0) -> None:
        self._url, self._prefix, self._settle_s = redis_url, prefix, settle_s

    def plan(self) -> Plan:
        """Which queues are there, and which of them are paused already; no depths, they change by themselves.

        Raises:
            ActionRefused: Redis does not answer, queues cannot be told apart, or none is under the prefix while there
                may be others.
        """
        try:
            queues = read_queues(self._url, self._prefix)
            others = [] if queues else elsewhere(self._url)
        except InstrumentError as error:
            raise ActionRefused(error.what, why=error.why, todo=error.todo) from error
        if others:
            raise ActionRefused(
                f"There is no queue under the prefix {self._prefix!r} at {shown(self._url)}; {'; '.join(others[:10])}.",
                why="a wrong address or prefix would leave the real queues running.",
                todo="redis-cli -u … --scan --pattern '*:meta'",
            )
        before = {q.name: q.paused for q in queues}
        running = [name for name, paused in before.items() if not paused]
        return Plan(
            action=self.name,
            subject=shown(self._url),
            summary=f"pause {len(running)} of {len(queues)} queues: {', '.join(running)}"
            if running
            else f"all {len(queues)} queues are paused already"
            if queues
            else "there is no queue to pause",
            requests=tuple({"call": "BullMQ pause", "arguments": {"queue": name}} for name in running),
            before={"paused": before},
            after={"paused": dict.fromkeys(before, True)},
            undo=f"resume {', '.join(running) or 'nothing'}; what was paused before stays paused",
            empty=not running,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Pause; a queue that is paused already is left alone.

        Raises:
            ActionRefused: Redis does not answer or refuses.
        """
        before: Mapping[str, bool] = plan.before["paused"]
        changed = self._each([name for name, paused in before.items() if not paused], _PAUSE)
        return {"paused": changed}

    def verify(self, change: Change) -> list[Finding]:
        """Finding QUE-04: every queue is paused, also one that appeared after the plan; and QUE-01 after the pause."""
        try:
            queues = read_queues(self._url, self._prefix)
        except InstrumentError as error:
            return [self._finding(Status.UNKNOWN, "nothing could be looked at", error.what)]
        planned = set(change.plan.after["paused"])
        if not queues and not planned:
            return [self._finding(Status.NOT_APPLICABLE, "no queue", "there is no queue to pause")]
        running = sorted({q.name for q in queues if not q.paused} | (planned - {q.name for q in queues}))
        if running:
            return [self._finding(Status.FAIL, f"not paused: {', '.join(running)}", "")]
        # A job that was taken between the last look and the pause is still at work.
        at_work = [f for f in check_drained(self._url, self._settle_s, prefix=self._prefix) if f.id == "QUE-01"]
        return [self._finding(Status.PASS, f"paused: {', '.join(q.name for q in queues)}", ""), *at_work]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Resume exactly the queues that `apply` paused.

        Raises:
            ActionRefused: Redis does not answer or refuses.
        """
        return {"resumed": self._each(list(change.result["paused"]), _RESUME)}

    def _each(self, names: list[str], script: str) -> list[str]:
        changed = []
        try:
            with connect(self._url) as client:
                run = client.register_script(script)
                for name in names:
                    if run(keys=[f"{self._prefix}:{name}:{part}" for part in _KEYS]):
                        changed.append(name)
        except (redis.RedisError, InstrumentError) as error:
            done = f" Changed so far: {', '.join(changed)}." if changed else ""
            raise ActionRefused(
                f"The queues at {shown(self._url)} cannot be changed: {error}.{done}",
                todo="run this step again: what is done already is left alone",
            ) from error
        return changed

    def _finding(self, status: Status, observed: str, why: str) -> Finding:
        return Finding(
            id="QUE-04",
            title="Every queue is paused",
            status=status,
            severity=Severity.BLOCKER,
            subject=shown(self._url),
            expected="no worker can take a job",
            observed=observed,
            why=why or "a job that starts during the transfer writes into a database that is being left",
            remedy=""
            if status in (Status.PASS, Status.NOT_APPLICABLE)
            else "run this step again; or per queue: await queue.pause()",
            guide=GUIDE_LINE,
        )
