"""BullMQ's queues as ShadowTwin leaves them on a busy day: jobs waiting, under way, delayed, completed and failed.

Written key by key in BullMQ 5's layout (https://docs.bullmq.io/guide/architecture), not through its client: jobs that
are under way or have ended would need a worker to get there.
"""

from __future__ import annotations

import json
import time
from typing import Any

import redis

from cutover.rehearsal.data.reports import COUNT, report_id

PREFIX = "bull"
JOBS = {
    "reports": {"completed": COUNT, "failed": 4, "active": 3, "wait": 12, "delayed": 3},
    "emails": {"completed": 200, "failed": 9, "active": 2, "wait": 25, "delayed": 8},
}
"""How many jobs of each state each queue gets. The reports' jobs are those of the rows in the database."""


def fill_queues(redis_url: str, *, seed: int = 1, now_s: float | None = None) -> dict[str, dict[str, int]]:
    """Write the queues `reports` and `emails`; what these queues held before is gone.

    Args:
        redis_url: the server.
        seed: that of the rows.
        now_s: the time the jobs are reckoned from, in seconds since 1970; the present when left out. Everything else
            is the same at each call.

    Returns:
        Jobs by queue and state: `JOBS`.
    """
    now_ms = int((time.time() if now_s is None else now_s) * 1000)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        for queue, states in JOBS.items():
            old = list(client.scan_iter(f"{PREFIX}:{queue}:*", count=1000))
            with client.pipeline(transaction=True) as pipe:
                if old:
                    pipe.delete(*old)
                _fill(pipe, queue, states, seed, now_ms)
                pipe.execute()
    return {queue: dict(states) for queue, states in JOBS.items()}


def _fill(pipe: Any, queue: str, states: dict[str, int], seed: int, now_ms: int) -> None:
    base = f"{PREFIX}:{queue}"
    pipe.hset(f"{base}:meta", mapping={"opts.maxLenEvents": "10000", "version": "bullmq:5.34.0"})
    order = [state for state, n in states.items() for _ in range(n)]
    pipe.set(f"{base}:id", len(order))
    for index, state in enumerate(order):
        number, job = str(index + 1), _job(queue, index, state, seed, now_ms - (len(order) - index) * 7_000)
        pipe.hset(f"{base}:{number}", mapping=job)
        if state in ("completed", "failed"):
            pipe.zadd(f"{base}:{state}", {number: job["finishedOn"]})
        elif state == "delayed":
            # The score carries the instant in its high bits and the order within one millisecond in its low twelve.
            pipe.zadd(f"{base}:delayed", {number: (job["timestamp"] + job["delay"]) * 0x1000 + index % 0x1000})
        else:
            pipe.lpush(f"{base}:{state}", number)
    pipe.zadd(f"{base}:marker", {"0": 0})
    pipe.xadd(f"{base}:events", {"event": "waiting", "jobId": str(len(order))}, maxlen=10_000)


def _job(queue: str, index: int, state: str, seed: int, added_ms: int) -> dict[str, Any]:
    delay_ms = 3_600_000 * (1 + index % 48) if state == "delayed" else 0
    options = {"attempts": 3, "backoff": {"type": "exponential", "delay": 1000}, "removeOnComplete": {"count": 1000}}
    name, data = _work(queue, index, seed)
    job: dict[str, Any] = {
        "name": name,
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
        "opts": json.dumps(options | ({"delay": delay_ms} if delay_ms else {}), separators=(",", ":")),
        "timestamp": added_ms,
        "delay": delay_ms,
        "priority": 0,
    }
    if state in ("active", "completed", "failed"):
        job |= {"processedOn": added_ms + 40, "ats": 1, "atm": 3 if state == "failed" else 1}
    if state == "completed":
        job |= {"finishedOn": added_ms + 1_900, "returnvalue": json.dumps({"ok": True})}
    if state == "failed":
        told = "Timeout after 30 s"
        job |= {"finishedOn": added_ms + 91_000, "failedReason": told, "stacktrace": json.dumps([f"Error: {told}"] * 3)}
    return job


def _work(queue: str, index: int, seed: int) -> tuple[str, dict[str, Any]]:
    if queue == "emails":
        kinds = ("welcome", "report-ready", "invoice")
        return "send-email", {"to": f"user{index}@example.com", "template": kinds[index % 3], "name": "Zoë 🚀"}
    # As content.reports deals them out: with a file, queued, running, and of the rest every third has failed.
    states = JOBS["reports"]
    failed = index - states["completed"]
    running = failed - states["failed"]
    waiting = running - states["active"]
    row = index
    if failed >= 0:
        row = COUNT + 20 + 3 * failed
    if running >= 0:
        row = COUNT + 15 + running
    if waiting >= 0:
        row = COUNT + waiting
    return "generate-report", {"reportId": report_id(row, seed), "userId": 2, "twinId": str(1 + row % 12)}
