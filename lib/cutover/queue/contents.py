"""What is in a queue, job by job: where each one stands, when it is due, and a digest of all that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import redis

from cutover.errors import InstrumentError
from cutover.queue.layout import TRANSIENT, connect, find_queues, pattern, shown

BATCH = 500
"""Keys asked for in one round trip."""
_LISTS = {"wait": "waiting", "paused": "waiting", "active": "active"}
_SORTED = {
    "prioritized": "prioritized",
    "delayed": "delayed",
    "completed": "completed",
    "failed": "failed",
    "waiting-children": "waiting for its children",
}
PARTS = frozenset({*_LISTS, *_SORTED, *TRANSIENT, "repeat", "meta", "id", "pc", "events"})
"""Names after the queue's that are no job's."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job, or one job scheduler.

    Attributes:
        id: its id; of a scheduler `repeat:ID`.
        name: what the application calls this kind of job.
        state: `waiting`, `delayed`, …; `nowhere` when it is in no list of the queue.
        place: its score (delayed: milliseconds since 1970 × 4096), or its position from the end that is worked first.
        digest: of its hash and of what belongs to it: logs, dependencies.
    """

    id: str
    name: str
    state: str
    place: float
    digest: str

    @property
    def due_ms(self) -> int | None:
        """When a delayed job is due, in milliseconds since 1970."""
        return int(self.place // 0x1000) if self.state == "delayed" else None


@dataclass(frozen=True, slots=True)
class Contents:
    """All of one queue.

    Attributes:
        name: the queue.
        jobs: by id.
        schedulers: by id; `place` is when the next job is due, in milliseconds since 1970.
        paused: whether workers take no new jobs.
        last_id: the last number that was given to a job.
    """

    name: str
    jobs: Mapping[str, Job] = field(default_factory=dict)
    schedulers: Mapping[str, Job] = field(default_factory=dict)
    paused: bool = False
    last_id: int = 0

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

    Raises:
        InstrumentError: Redis does not answer, or refuses.
    """
    with connect(redis_url, decode=False) as client, connect(redis_url) as finder:
        try:
            wanted = find_queues(finder, prefix) if names is None else sorted(names)
            return {name: _read(client, prefix, name) for name in wanted}
        except redis.RedisError as error:
            raise InstrumentError(f"The queues at {shown(redis_url)} cannot be read: {error}.") from error


def keys_of(client: redis.Redis, prefix: str, name: str) -> Iterator[list[bytes]]:
    """Every key of one queue once, in batches. The client answers with bytes."""
    # SCAN may tell a key twice while the server rearranges itself.
    seen: set[bytes] = set()
    found = iter(client.scan_iter(match=pattern(prefix, name), count=5000))
    while batch := list(islice(found, BATCH)):
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


def read_values(client: redis.Redis, keys: list[bytes]) -> list[tuple[str, Any]]:
    """Type and value of each key, two round trips for all; a stream's value is left out."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.type(key)
    kinds = [text(kind) for kind in pipe.execute()]
    pipe = client.pipeline(transaction=False)
    for key, kind in zip(keys, kinds, strict=True):
        read = _READ.get(kind, _nothing)
        read(pipe, key)
    return list(zip(kinds, pipe.execute(), strict=True))


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
    digests: dict[str, str] = {}
    names: dict[str, str] = {}
    stamped: set[str] = set()  # a job's hash has a time stamp, a scheduler's has none
    states: dict[str, Any] = {}
    for batch in keys_of(client, prefix, name):
        for key, (kind, value) in zip(batch, read_values(client, batch), strict=True):
            part = part_of(key, prefix, name)
            if part in PARTS:
                states[part] = value
            elif not transient(part) and kind != "none":
                digests[part] = _digest(kind, value)
                if kind == "hash":
                    names[part] = text(value.get(b"name", b""))
                    stamped |= {part} if b"timestamp" in value else set()
    placed = _places(states)
    schedulers = {f"repeat:{text(i)}": next_ms for i, next_ms in states.get("repeat") or ()}
    # A job is what stands in a state, and every job's hash that stands nowhere.
    jobs = {
        i: Job(i, names.get(i, ""), *placed.get(i, ("nowhere", 0.0)), _with_parts(i, digests))
        for i in {*placed, *stamped}
    }
    meta = states.get("meta") or {}
    return Contents(
        name,
        jobs,
        {i: Job(i, names.get(i, ""), "repeatable", at, digests.get(i, "")) for i, at in schedulers.items()},
        paused=b"paused" in meta,
        last_id=int(states.get("id") or 0),
    )


def _places(states: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    placed: dict[str, tuple[str, float]] = {}
    for part, state in _SORTED.items():
        placed |= {text(job): (state, score) for job, score in states.get(part) or ()}
    # The end of a list is worked off first; of the two lists of a paused queue, `paused` is the older.
    waiting = [*(states.get("wait") or ()), *(states.get("paused") or ())]
    for state, queue in (("waiting", waiting), ("active", states.get("active") or ())):
        placed |= {text(job): (state, float(at)) for at, job in enumerate(reversed(queue))}
    placed.pop("0:0", None)  # a marker of BullMQ before version 5
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
