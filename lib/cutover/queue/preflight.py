"""Whether queues can be read and copied without harm, looked at before any job is: names, room, policy, lost data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import redis

from cutover.errors import InstrumentError
from cutover.finding import Finding, Severity, Status
from cutover.queue.contents import FINISHED, Job, hollow_jobs
from cutover.queue.copying import GROWTH
from cutover.queue.layout import (
    MIXED,
    SCAN,
    TODO,
    WHY,
    connect,
    elsewhere,
    nested_queues,
    overlapping,
    pattern,
    queue_names,
    shown,
)
from cutover.queue.memory import KEYS, SHARE, BoundedReader, Memory
from cutover.text import size

SHOWN = 20
_LEAST = 64 * 2**10
"""Bytes that reading takes at once however small the values are."""
_AMPLE = 10
"""A Redis that evicts needs one part in so many of its memory free: the application goes on writing meanwhile."""
_ROOM = "give that Redis more memory (maxmemory, a larger plan or node), or remove finished jobs: await queue.clean(…)"
_RIGHTS = "allow the user INFO and MEMORY USAGE (ACL SETUSER … +info +memory|usage)"


@dataclass
class _Side:
    """What was looked at of one Redis; where it is full, sizes were not asked."""

    url: str
    memory: Memory = field(default_factory=Memory)
    evicted: int = 0
    names: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    keys: int = 0
    bytes: int = 0
    largest: tuple[int, str] = (0, "")
    unweighed: int = 0
    error: InstrumentError | None = None

    @property
    def full(self) -> bool:
        """Whether there is not even room for asking sizes."""
        return self.memory.room is not None and self.memory.room < SHARE * _LEAST

    @property
    def at_once(self) -> int | None:
        """Bytes of room that reading takes at most; None when that is not known."""
        value = max(self.largest[0], self.memory.used or 0) if self.unweighed else self.largest[0]
        return None if self.unweighed and self.memory.used is None else SHARE * max(value, _LEAST)

    @property
    def whole(self) -> int | None:
        """Bytes of all keys of its queues, or an upper bound; None when that is not known."""
        return self.memory.used if self.unweighed or self.full else self.bytes


def preflight(source_url: str, target_url: str, *, prefix: str = "bull", show: int = SHOWN) -> list[Finding]:
    """Look at both Redis servers before anything of the queues is read.

    Args:
        source_url: where the jobs are.
        target_url: where they are to be.
        prefix: BullMQ's key prefix.
        show: names of each kind; all are counted.

    Returns:
        QUE-10 (queues can be told apart), QUE-11 (the source has room for being read), QUE-12 (the target has room for
        the jobs), QUE-13 for each side (it refuses writes at its limit instead of evicting keys), QUE-14 (every job
        has its data). What cannot be asked is UNKNOWN. Where the source holds no queue at all, only QUE-10.
    """
    source = _look(source_url, prefix)
    findings = [_names(source, prefix, show)]
    if source.error is not None or not source.names or source.mixed:
        return findings
    target = _look(target_url, prefix)
    if target.error is not None or target.mixed:
        findings.append(_names(target, prefix, show))
    room = _source_room(source)
    findings += [room, _target_room(source, target), _policy(source, source.at_once)]
    if target.error is None:
        findings.append(_policy(target, _needed(source, target)))
    return [*findings, _data(source, prefix, show, readable=room.status is not Status.FAIL)]


def _data(source: _Side, prefix: str, show: int, *, readable: bool) -> Finding:
    if not readable:
        return _unknown_data(source, "its lists are not read: there is no room for it (QUE-11)", _ROOM)
    try:
        with connect(source.url, decode=False) as client:
            hollow = {name: hollow_jobs(client, prefix, name) for name in source.names}
    except redis.RedisError as error:
        return _unknown_data(source, f"its lists cannot be read: {error}", "run this step again")
    except InstrumentError as error:
        return _unknown_data(source, error.what, error.todo)
    return lost_data(hollow, prefix, shown(source.url), show)


def _unknown_data(source: _Side, why: str, remedy: str) -> Finding:
    return Finding("QUE-14", _DATA, Status.UNKNOWN, Severity.BLOCKER, shown(source.url), why=why, remedy=remedy)


_DATA = "Every job in a queue's lists has its data"


def lost_data(hollow: Mapping[str, Sequence[Job]], prefix: str, subject: str, show: int = SHOWN) -> Finding:
    """Finding QUE-14, of jobs without a hash by queue; medium when only finished ones lack theirs."""
    lost = [(queue, job) for queue in sorted(hollow) for job in hollow[queue]]
    wanted = any(job.state not in FINISHED for _, job in lost)
    named = [f"{job.called(queue)}, {job.where}" for queue, job in lost[:show]]
    more = f"; and {len(lost) - show} more" if len(lost) > show else ""
    remedy = [f"redis-cli -u … {_removal(prefix, queue, job)}" for queue, job in lost[:show]]
    return Finding.check(
        "QUE-14",
        _DATA,
        lost,
        severity=Severity.BLOCKER if wanted or not lost else Severity.MEDIUM,
        subject=subject,
        expected="a hash for each id",
        observed=f"{len(lost)} without: {'; '.join(named)}{more}" if lost else "a hash for each id",
        why="a worker that takes such an id has neither the job's name nor its data; nothing can be compared. Redis "
        "has evicted the hashes, or somebody deleted them.",
        remedy="\n".join(["What they were is lost; once somebody has noted the ids, remove them:", *remedy]),
        data={"count": len(lost), "named": named} if lost else {},
    )


def _removal(prefix: str, queue: str, job: Job) -> str:
    if job.state in ("waiting", "active"):
        parts = ("wait", "paused") if job.state == "waiting" else ("active",)
        return "; ".join(f"LREM {prefix}:{queue}:{part} 0 {job.id}" for part in parts)
    part = "waiting-children" if job.state.startswith("waiting ") else job.state
    return f"ZREM {prefix}:{queue}:{part} {job.id}"


def _look(url: str, prefix: str) -> _Side:
    side = _Side(url)
    try:
        with connect(url, decode=False) as client, connect(url) as finder:
            reader = BoundedReader(client)
            side.memory = reader.memory()
            side.evicted = _evicted(client)
            side.names = queue_names(finder, prefix)
            side.mixed = overlapping(side.names)
            if not side.names:
                side.others = elsewhere(url)
                side.keys = int(client.dbsize())
            elif not side.full:
                side.mixed = overlapping([*side.names, *nested_queues(finder, prefix)])
                _weigh(side, reader, prefix)
    except redis.RedisError as error:
        side.error = InstrumentError(f"{shown(url)} cannot be looked at: {error}.")
    except InstrumentError as error:
        side.error = error
    return side


def _weigh(side: _Side, reader: BoundedReader, prefix: str) -> None:
    keys = iter(reader.client.scan_iter(match=pattern(prefix), count=SCAN))
    while batch := list(islice(keys, KEYS)):
        for one in reader.weigh(batch):
            if one.kind in ("none", "stream"):
                continue
            if one.held is None or one.reply is None:
                side.unweighed += 1
                continue
            side.bytes += one.held
            side.largest = max(side.largest, (one.reply, one.key.decode("utf-8", "backslashreplace")))


def _evicted(client: redis.Redis) -> int:
    try:
        return int(client.info("stats").get("evicted_keys", 0))
    except redis.ResponseError:
        return 0


def _names(side: _Side, prefix: str, show: int) -> Finding:
    expected, remedy = "every queue under the prefix known by its keys", ""
    if side.error is not None:
        status, seen = Status.UNKNOWN, side.error.what
        why, remedy = side.error.why or "nothing is known of the jobs that wait there", side.error.todo or _RIGHTS
    elif side.mixed:
        status, why, remedy = Status.FAIL, WHY, TODO
        more = f"; and {len(side.mixed) - show} more pairs" if len(side.mixed) > show else ""
        seen = f"{MIXED}: {'; '.join(side.mixed[:show])}{more}"
    elif side.names:
        status, seen, why = Status.PASS, f"{len(side.names)} queues: {', '.join(side.names[:show])}", ""
    elif side.others:
        status, seen = Status.UNKNOWN, f"none under {prefix!r}; {'; '.join(side.others[:show])}"
        why, remedy = "jobs of queues that are not looked at would be left behind", "check redis_url and the prefix"
    else:
        status, seen, why = Status.NOT_APPLICABLE, f"none of {side.keys} keys is a queue's, under any prefix", _NO_QUEUE
    return Finding(
        "QUE-10", "Queues can be told apart", status, Severity.BLOCKER, shown(side.url), expected, seen, why, remedy
    )


_NO_QUEUE = "there is no queue, so nothing is drained, paused or copied"


def _source_room(side: _Side) -> Finding:
    largest, key = side.largest
    seen = _free(side.memory) + ("" if side.full else f"; the largest value takes {size(largest)} ({key})")
    why = (
        "what is asked for counts as the server's memory until it is received: its users' writes would be refused, or "
        "jobs evicted"
    )
    title = "The source's Redis has room for being read"
    return _room("QUE-11", title, side, side.at_once, seen, why, exact=not side.unweighed)


def _target_room(source: _Side, target: _Side) -> Finding:
    title = "The target's Redis has room for the jobs"
    if target.error is not None:
        return Finding("QUE-12", title, Status.UNKNOWN, Severity.BLOCKER, shown(target.url), why=target.error.what)
    needed = _needed(source, target)
    seen = f"{_free(target.memory)}; the source's queues take {'?' if source.whole is None else size(source.whole)}"
    why = "a Redis that is full refuses the rest of the jobs, or evicts"
    exact = not (source.unweighed or source.full or target.unweighed)
    return _room("QUE-12", title, target, needed, seen, why, exact=exact)


def _needed(source: _Side, target: _Side) -> int | None:
    """Bytes that the target needs: what it does not hold yet, and what one round trip takes."""
    if source.whole is None or source.at_once is None:
        return None
    return int(GROWTH * max(0, source.whole - target.bytes)) + min(
        source.at_once, SHARE * max(source.largest[0], _LEAST)
    )


def _room(identifier: str, title: str, side: _Side, needed: int | None, seen: str, why: str, *, exact: bool) -> Finding:
    """Whether there is enough; where `needed` is an upper bound, too little for it is not known to be too little."""
    room = side.memory.room
    if room is not None and needed is not None and room >= needed:
        status = Status.PASS
    else:
        status = Status.FAIL if room is not None and needed is not None and exact else Status.UNKNOWN
    if status is Status.UNKNOWN:
        why = f"{why}. Not all of it can be asked: memory and sizes are what this server does not tell".lstrip(". ")
    return Finding.check(
        identifier,
        title,
        status,
        severity=Severity.BLOCKER,
        subject=shown(side.url),
        expected="enough room" if needed is None else f"at least {size(needed)} free",
        observed=seen,
        why=why,
        remedy=_ROOM if status is Status.FAIL else _RIGHTS,
        data={"room": room, "needed": needed, "used": side.memory.used, "limit": side.memory.limit},
    )


def _policy(side: _Side, needed: int | None) -> Finding:
    """Whether it may forget jobs; a blocker where that is near."""
    memory = side.memory
    ample = (
        memory.room is not None
        and memory.limit is not None
        and needed is not None
        and memory.room >= max(needed, memory.limit // _AMPLE)
    )
    status = Status.FAIL if memory.evicts else Status.PASS if memory.policy else Status.UNKNOWN
    lost = f"; {side.evicted:,} keys evicted since it started" if side.evicted else ""
    return Finding.check(
        "QUE-13",
        "Redis refuses writes at its limit instead of evicting keys",
        status,
        severity=Severity.BLOCKER if memory.evicts and not ample else Severity.MEDIUM,
        subject=shown(side.url),
        expected="maxmemory-policy noeviction",
        observed=f"{memory.policy or 'not told'}; {_free(memory)}{lost}",
        why="jobs, locks and lists of a queue are evicted like any other key",
        remedy=f"CONFIG SET maxmemory-policy noeviction (or the service's setting); {_ROOM}",
    )


def _free(memory: Memory) -> str:
    if memory.room is None or memory.limit is None:
        return "how much is free is not told"
    of = "maxmemory" if memory.capped else "no maxmemory; the machine's memory"
    return f"{size(memory.room)} free of {size(memory.limit)} ({of})"


def closing(findings: Collection[Finding]) -> list[Finding]:
    """What forbids to read or to copy: seen to be wrong with names, room or policy."""
    return [f for f in findings if f.status is Status.FAIL and f.closes_gate and f.id != "QUE-14"]
