"""What is in a queue, job by job: where each one stands, when it is due, and a digest of all that belongs to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import redis

from cutover.errors import InstrumentError
from cutover.queue.layout import SCAN, TRANSIENT, connect, find_queues, pattern, shown
from cutover.queue.memory import KEYS, BoundedReader, Weighed

_LISTS = {"wait": "waiting", "paused": "waiting", "active": "active"}
_SORTED = {
    "prioritized": "prioritized",
    "delayed": "delayed",
    "completed": "completed",
    "failed": "failed",
    "waiting-children": "waiting for its children",
}
_STATES = (*_LISTS, *_SORTED)
PARTS = frozenset({*_STATES, *TRANSIENT, "repeat", "meta", "id", "pc", "events"})
"""Names after the queue's that are no job's."""
FINISHED = frozenset({"completed", "failed"})
"""States of jobs that no worker takes up again by itself."""
_MARKER = re.compile(r"0:\d+")
"""What BullMQ before version 5 puts into `wait` to wake a worker: no job."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job, or one job scheduler.

    Attributes:
        id: its id; of a scheduler `repeat:ID`.
        name: what the application calls this kind of job.
        state: `waiting`, `delayed`, …; `nowhere` when it is in no list of the queue.
        place: its score (delayed: milliseconds since 1970 × 4096), or its position from the end that is worked first.
        digest: of its hash and of what belongs to it: logs, dependencies.
        whole: whether its hash is there; a worker that takes a job without one has neither its name nor its data.
    """

    id: str
    name: str
    state: str
    place: float
    digest: str
    whole: bool = True

    @property
    def due_ms(self) -> int | None:
        """When a delayed job is due, in milliseconds since 1970."""
        return int(self.place // 0x1000) if self.state == "delayed" else None

    @property
    def where(self) -> str:
        """State and place, in words."""
        if self.due_ms is not None:
            return f"due {datetime.fromtimestamp(self.due_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
        if self.state in ("waiting", "active"):
            return f"{self.state} at place {int(self.place) + 1}"
        return self.state if not self.place else f"{self.state} ({self.place:.0f})"

    def called(self, queue: str) -> str:
        """Queue, id and name, in words."""
        return f"{queue} job {self.id}" + (f" ({self.name})" if self.name else "")


@dataclass(frozen=True, slots=True)
class Contents:
    """All of one queue.

    Attributes:
        name: the queue.
        jobs: by id.
        schedulers: by id; `place` is when the next job is due, in milliseconds since 1970.
        paused: whether workers take no new jobs.
        last_id: the last number that was given to a job.
        ends: of the keys that belong to no job (`de:ID`, …), by what stands after the queue's name: whether they end
            by themselves.
    """

    name: str
    jobs: Mapping[str, Job] = field(default_factory=dict)
    schedulers: Mapping[str, Job] = field(default_factory=dict)
    paused: bool = False
    last_id: int = 0
    ends: Mapping[str, bool] = field(default_factory=dict)

    @property
    def hollow(self) -> list[Job]:
        """Jobs that stand in a list and have no hash."""
        return [job for job in self.jobs.values() if not job.whole]

    @property
    def empty(self) -> bool:
        """Whether it holds no job and no scheduler."""
        return not self.jobs and not self.schedulers

    @property
    def digest(self) -> str:
        """Of all jobs and schedulers and where they stand; the same on two servers when these are the same."""
        whole = hashlib.blake2b(digest_size=16)
        for job in sorted([*self.jobs.values(), *self.schedulers.values()], key=lambda job: job.id):
            whole.update(repr((job.id, job.state, job.place, job.digest)).encode())
        return whole.hexdigest()


def read_contents(redis_url: str, prefix: str = "bull", names: Iterable[str] | None = None) -> dict[str, Contents]:
    """Every queue under a prefix (or only those named), by name. Queues that stand still are read truly.

    No more is asked for at once than the server has room for.

    Raises:
        InstrumentError: Redis does not answer, refuses, or has less room than one value takes; or queues cannot be
            told apart.
    """
    with connect(redis_url, decode=False) as client, connect(redis_url) as finder:
        try:
            wanted = find_queues(finder, prefix) if names is None else sorted(names)
            return {name: _read(client, prefix, name) for name in wanted}
        except redis.RedisError as error:
            raise InstrumentError(f"The queues at {shown(redis_url)} cannot be read: {error}.") from error


def hollow_jobs(client: redis.Redis, prefix: str, name: str) -> list[Job]:
    """Jobs that stand in a list of the queue and have no hash, without reading any job. The client answers with bytes.

    Raises:
        TooLittleRoom: a list of ids takes more than the server has room for.
    """
    found: dict[str, tuple[str, float]] | None = None
    for _ in range(2):  # a queue that runs moves on while it is looked at: only what is so twice is so
        seen = _Seen(prefix, name)
        for key, kind, value in read_values(BoundedReader(client), [seen.key(part) for part in _STATES]):
            seen.take(key, kind, value)
        placed = {i: at for i, at in _places(seen.states).items() if found is None or i in found}
        found = {}
        for start in range(0, len(placed), KEYS):
            batch = list(placed)[start : start + KEYS]
            if client.exists(*map(seen.key, batch)) == len(batch):
                continue
            pipe = client.pipeline(transaction=False)
            for i in batch:
                pipe.exists(seen.key(i))
            found |= {i: placed[i] for i, there in zip(batch, pipe.execute(), strict=True) if not there}
    return [Job(i, "", *at, "", whole=False) for i, at in (found or {}).items()]


def keys_of(client: redis.Redis, prefix: str, name: str) -> Iterator[list[bytes]]:
    """Every key of one queue once, in batches. The client answers with bytes."""
    # SCAN may tell a key twice while the server rearranges itself.
    seen: set[bytes] = set()
    found = iter(client.scan_iter(match=pattern(prefix, name), count=SCAN))
    while batch := list(islice(found, KEYS)):
        fresh = [key for key in dict.fromkeys(batch) if key not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh


def part_of(key: bytes, prefix: str, name: str) -> str:
    """What stands after `prefix:queue:`."""
    return text(key)[len(f"{prefix}:{name}:") :]


def transient(part: str) -> bool:
    """Whether workers make this key anew."""
    return part in TRANSIENT or part.endswith(":lock")


def text(raw: bytes) -> str:
    """Bytes as text that can be shown and written, whatever they are."""
    return raw.decode("utf-8", "backslashreplace")


def read_values(reader: BoundedReader, keys: Iterable[bytes]) -> Iterator[tuple[bytes, str, Any]]:
    """Key, type and value of each key that is there, as much at once as the server has room for.

    A stream's value is left out.

    Raises:
        TooLittleRoom: one value takes more than the server has room for.
    """
    for portion in reader.portions(keys, only=frozenset(_READ)):
        yield from zip((o.key for o in portion), (o.kind for o in portion), values_of(reader, portion), strict=True)


def values_of(reader: BoundedReader, portion: Iterable[Weighed]) -> list[Any]:
    """The values of one portion, in one round trip; of a type that is not read only that it is there."""
    pipe = reader.client.pipeline(transaction=False)
    for one in portion:
        _READ.get(one.kind, _nothing)(pipe, one.key)
    return list(pipe.execute())


def _nothing(pipe: Any, key: bytes) -> Any:
    return pipe.exists(key)


_READ: Mapping[str, Callable[[Any, bytes], Any]] = {
    "string": lambda pipe, key: pipe.get(key),
    "hash": lambda pipe, key: pipe.hgetall(key),
    "list": lambda pipe, key: pipe.lrange(key, 0, -1),
    "set": lambda pipe, key: pipe.smembers(key),
    "zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
}


def _read(client: redis.Redis, prefix: str, name: str) -> Contents:
    reader, seen = BoundedReader(client), _Seen(prefix, name)
    for batch in keys_of(client, prefix, name):
        for key, kind, value in read_values(reader, batch):
            seen.take(key, kind, value)
    placed = _places(seen.states)
    if bare := [i for i in placed if i not in seen.hashes]:
        # A queue that runs moves on while it is read: only what still stands there without a hash has none.
        seen.states = {part: value for part, value in seen.states.items() if part not in _STATES}
        for key, kind, value in read_values(reader, [seen.key(part) for part in (*_STATES, *bare)]):
            seen.take(key, kind, value)
        still = _places(seen.states)
        placed = {i: at for i, at in placed.items() if i in seen.hashes or i in still}
    schedulers = {f"repeat:{text(i)}": next_ms for i, next_ms in seen.states.get("repeat") or ()}
    # A job is what stands in a state, and every job's hash that stands nowhere.
    jobs = {
        i: Job(
            i,
            seen.names.get(i, ""),
            *placed.get(i, ("nowhere", 0.0)),
            _with_parts(i, seen.digests),
            whole=i in seen.hashes,
        )
        for i in {*placed, *seen.stamped}
    }
    meta = seen.states.get("meta") or {}
    return Contents(
        name,
        jobs,
        {i: Job(i, seen.names.get(i, ""), "repeatable", at, seen.digests.get(i, "")) for i, at in schedulers.items()},
        paused=b"paused" in meta,
        last_id=int(seen.states.get("id") or 0),
        ends=_ends(client, seen, jobs),
    )


class _Seen:
    """What was read of one queue so far: digests of its keys, and the lists of its jobs."""

    def __init__(self, prefix: str, name: str) -> None:
        self._prefix, self._name = prefix, name
        self.digests: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.hashes: set[str] = set()
        self.stamped: set[str] = set()  # a job's hash has a time stamp, a scheduler's has none
        self.states: dict[str, Any] = {}

    def key(self, part: str) -> bytes:
        return f"{self._prefix}:{self._name}:{part}".encode()

    def take(self, key: bytes, kind: str, value: Any) -> None:
        part = part_of(key, self._prefix, self._name)
        if part in PARTS:
            self.states[part] = value
        elif not transient(part):
            self.digests[part] = _digest(kind, value)
            if kind == "hash":
                self.hashes.add(part)
                self.names[part] = text(value.get(b"name", b""))
                self.stamped |= {part} if b"timestamp" in value else set()


def _ends(client: redis.Redis, seen: _Seen, jobs: Mapping[str, Job]) -> dict[str, bool]:
    """Which keys that are no job's, nor belong to one, end by themselves."""
    parts = [part for part in seen.digests if part.partition(":")[0] not in jobs and part not in jobs]
    ends: dict[str, bool] = {}
    for start in range(0, len(parts), KEYS):
        pipe = client.pipeline(transaction=False)
        for part in parts[start : start + KEYS]:
            pipe.pttl(seen.key(part))
        told = zip(parts[start:], pipe.execute(), strict=False)
        ends |= {part: ttl != _FOR_EVER for part, ttl in told if ttl != _GONE}
    return ends


_FOR_EVER, _GONE = -1, -2
"""What PTTL answers for a key without an end, and for one that is not there."""


def _places(states: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    placed: dict[str, tuple[str, float]] = {}
    for part, state in _SORTED.items():
        placed |= {text(job): (state, score) for job, score in states.get(part) or ()}
    # The end of a list is processed first; of the two lists of a paused queue, `paused` is the older.
    waiting = [*(states.get("wait") or ()), *(states.get("paused") or ())]
    waiting = [job for job in waiting if not _MARKER.fullmatch(text(job))]
    for state, queue in (("waiting", waiting), ("active", states.get("active") or ())):
        placed |= {text(job): (state, float(at)) for at, job in enumerate(reversed(queue))}
    return placed


def _with_parts(job: str, digests: Mapping[str, str]) -> str:
    """The digest of a job with what belongs to it."""
    whole = [digests.get(job, "")]
    whole += [f"{part}={digests[f'{job}:{part}']}" for part in _BELONGS if f"{job}:{part}" in digests]
    return "+".join(whole)


_BELONGS = ("logs", "dependencies", "processed", "failed", "unsuccessful", "dependents")


def _digest(kind: str, value: Any) -> str:
    """128 bits over a value, with the length before each piece, so that no two values look the same."""
    pieces: Iterable[Any]
    match kind:
        case "hash":
            pieces = (piece for pair in sorted(value.items()) for piece in pair)
        case "set":
            pieces = sorted(value)
        case "zset":
            pieces = (piece for member, score in sorted(value) for piece in (member, repr(score).encode()))
        case "list":
            pieces = value
        case _:
            pieces = (value if isinstance(value, bytes) else b"",)
    whole = hashlib.blake2b(kind.encode(), digest_size=16)
    for piece in pieces:
        whole.update(len(piece).to_bytes(8))
        whole.update(piece)
    return whole.hexdigest()
