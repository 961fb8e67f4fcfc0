"""How many jobs each queue holds, and whether the queues have run empty."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import redis

from cutover.errors import InstrumentError
from cutover.finding import Finding, Severity, Status
from cutover.queue.layout import connect, elsewhere, find_queues, shown

GUIDE_LINE = 912
POLL_S = 0.25
SHOWN_JOBS = 10


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The jobs of one queue by state.

    Attributes:
        name: the queue.
        waiting: to be processed next, those of a paused queue and prioritised ones included.
        active: taken by a worker.
        delayed: to be processed later.
        completed: done and kept.
        failed: given up and kept.
        paused: whether workers take no new jobs.
        stalled: of the active ones, those whose worker is gone (no lock).
        prioritized: of the waiting ones, those with a priority.
        waiting_children: parents that wait for their children.
        repeatable: job schedulers.
    """

    name: str
    waiting: int
    active: int
    delayed: int
    completed: int
    failed: int
    paused: bool
    stalled: int = 0
    prioritized: int = 0
    waiting_children: int = 0
    repeatable: int = 0


def read_queues(redis_url: str, prefix: str = "bull") -> list[QueueDepth]:
    """The depth of every queue under a prefix, sorted by name; each queue is read in one transaction.

    Raises:
        InstrumentError: Redis does not answer.
    """
    with connect(redis_url) as client:
        try:
            return _read(client, prefix)
        except redis.RedisError as error:
            raise InstrumentError(f"The queues at {shown(redis_url)} cannot be read: {error}.") from error


def holds_none(redis_url: str, prefix: str = "bull") -> bool:
    """Whether a Redis holds no queue at all, under any prefix; False where that cannot be looked at."""
    try:
        return not read_queues(redis_url, prefix) and not elsewhere(redis_url)
    except InstrumentError:
        return False


def check_drained(
    redis_url: str,
    timeout_s: float,
    *,
    prefix: str = "bull",
    carried: bool = False,
    progress: Callable[[Sequence[QueueDepth]], None] | None = None,
) -> list[Finding]:
    """Wait, at most `timeout_s`, until the queues have run empty; then findings QUE-01 to QUE-03.

    A queue that is paused has run empty when no job is active; one that is not, when none waits either.

    Args:
        redis_url: the source's Redis.
        timeout_s: seconds.
        prefix: BullMQ's key prefix.
        carried: what is left is carried over to the target (`CarryQueues`): nothing that waits is lost.
        progress: called with the depths after each look.

    Returns:
        QUE-01 (no job is active), QUE-02 (no job waits), QUE-03 (no job is delayed); a blocker, high and medium.
        With `carried`, QUE-02 and QUE-03 are NOT_DUE for what is left: the carrying over is judged by its own findings.
        UNKNOWN when Redis does not answer, or when no queue is under the prefix but there may be others; one
        NOT_APPLICABLE when it holds no queue at all.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            queues = read_queues(redis_url, prefix)
        except InstrumentError as error:
            return [_unknown(redis_url, str(error.what))]
        if progress is not None:
            progress(queues)
        if all(_empty(q) for q in queues) or time.monotonic() >= deadline:
            break
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))
    if not queues:
        return [_no_queue(redis_url, prefix)]
    return [_active(redis_url, prefix, queues, timeout_s), *_left_behind(redis_url, queues, carried)]


def _read(client: redis.Redis, prefix: str) -> list[QueueDepth]:
    depths = []
    for name in find_queues(client, prefix):
        key = f"{prefix}:{name}:"
        pipe = client.pipeline(transaction=True)
        for part in ("wait", "paused", "active"):
            pipe.llen(key + part)
        for part in ("prioritized", "delayed", "completed", "failed", "waiting-children", "repeat"):
            pipe.zcard(key + part)
        pipe.hexists(key + "meta", "paused")
        pipe.lrange(key + "active", 0, 9_999)
        wait, held, active, prioritized, delayed, completed, failed, parents, repeat, paused, ids = pipe.execute()
        locks: list[Any] = []
        for start in range(0, len(ids), 500):
            locks += client.mget([f"{key}{job}:lock" for job in ids[start : start + 500]])
        depths.append(
            QueueDepth(
                name=name,
                waiting=wait + held + prioritized,
                active=active,
                delayed=delayed,
                completed=completed,
                failed=failed,
                paused=bool(paused),
                stalled=sum(lock is None for lock in locks),
                prioritized=prioritized,
                waiting_children=parents,
                repeatable=repeat,
            )
        )
    return depths


def _empty(queue: QueueDepth) -> bool:
    return queue.active == 0 and (queue.paused or queue.waiting == 0)


def _active(redis_url: str, prefix: str, queues: Sequence[QueueDepth], timeout_s: float) -> Finding:
    busy = [q for q in queues if q.active]
    stalled = sum(q.stalled for q in busy)
    told = ", ".join(f"{q.name}: {q.active} active" + (f" ({q.stalled} stalled)" if q.stalled else "") for q in busy)
    example = "".join(q.name for q in busy[:1])
    remedy = f"redis-cli -u … LRANGE {prefix}:{example}:active 0 {SHOWN_JOBS - 1}; then wait for their workers"
    if stalled:
        remedy += "; a stalled job has lost its worker and moves back only when some worker of its queue runs"
    return Finding.check(
        "QUE-01",
        "No job is being worked on",
        busy,
        severity=Severity.BLOCKER,
        subject=shown(redis_url),
        expected=f"0 active jobs within {timeout_s:g} s",
        observed=told or f"0 active in {len(queues)} queues: {', '.join(q.name for q in queues)}",
        note="a worker that is still running writes into the database while it is exported",
        remedy=remedy,
        guide=GUIDE_LINE,
        data={"queues": [asdict(q) for q in queues]},
    )


def _left_behind(redis_url: str, queues: Sequence[QueueDepth], carried: bool) -> list[Finding]:
    waiting = {q.name: q.waiting + q.waiting_children for q in queues if q.waiting or q.waiting_children}
    delayed = {q.name: q.delayed for q in queues if q.delayed}
    paused = [q.name for q in queues if q.paused and q.name in waiting]
    hint = f" Paused, so nobody processses them: {', '.join(paused)}." if paused else ""
    return [
        _behind(redis_url, "QUE-02", waiting, carried, "let the workers finish them." + hint),
        _behind(
            redis_url,
            "QUE-03",
            delayed,
            carried,
            "add them again on the target after the cutover, or accept that they are dropped.",
        ),
    ]


def _behind(redis_url: str, identifier: str, left: dict[str, int], carried: bool, remedy: str) -> Finding:
    later = "they are carried over to the target once its database is filled; QUE-05 to QUE-08 say whether all came"
    status = Status.PASS if not left else Status.NOT_DUE if carried else Status.FAIL
    return Finding(
        id=identifier,
        title="No job waits" if identifier == "QUE-02" else "No job is put off until later",
        status=status,
        severity=Severity.HIGH if identifier == "QUE-02" else Severity.MEDIUM,
        subject=shown(redis_url),
        expected="0 jobs" + (", or carried over" if carried else ""),
        observed=", ".join(f"{name}: {count}" for name, count in left.items()) or "0 jobs",
        why=later if carried else "the queue is not copied: what is in it at the cutover is never processed again",
        remedy=remedy if status is Status.FAIL else "",
        guide=GUIDE_LINE,
        data={"jobs": left},
    )


def _no_queue(redis_url: str, prefix: str) -> Finding:
    nowhere = f"there is no queue under the prefix {prefix!r}"
    try:
        others = elsewhere(redis_url)
    except InstrumentError as error:
        return _unknown(redis_url, f"{nowhere}; {error.what}")
    if others:
        return _unknown(redis_url, f"{nowhere}; {'; '.join(others[:SHOWN_JOBS])}")
    why = f"{nowhere}, nor any key that looks like a queue's: nothing is drained"
    return replace(_unknown(redis_url, why), status=Status.NOT_APPLICABLE, observed="no queue", remedy="")


def _unknown(redis_url: str, why: str) -> Finding:
    return Finding(
        id="QUE-01",
        title="No job is being worked on",
        status=Status.UNKNOWN,
        severity=Severity.BLOCKER,
        subject=shown(redis_url),
        expected="0 active jobs",
        observed="nothing could be looked at",
        why=why,
        remedy="check source.redis_url and BullMQ's prefix: redis-cli -u … --scan --pattern '*:meta'",
        guide=GUIDE_LINE,
    )
