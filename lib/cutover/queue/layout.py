"""BullMQ's keys in Redis, as BullMQ 5 and its Python client lay them out, and a connection with short timeouts.

`prefix:queue:meta` (hash; field `paused`), `wait`, `active` and `paused` (lists), `prioritized`, `delayed`,
`completed`, `failed` and `waiting-children` (sorted sets), `ID` (a job's hash), `ID:lock` (held by its worker).
BullMQ up to 5 keeps the jobs of a paused queue in `paused`, later versions leave them in `wait`; both are counted.
`repeat` (sorted set) and `repeat:ID` (hash) are the job schedulers, which make repeatable jobs; `de:ID` keeps a
deduplicated job from being added twice. BullMQ up to 4 allows colons in a queue's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cutover.errors import InstrumentError
from cutover.secrets import redact
from cutover.urls import HOW_TO_WRITE, passwords_in, scheme_of, unreadable
from cutover.urls import shown as address

MOST_KEYS = 2_000_000
"""Keys that the search for queues walks through at most."""


SCAN = 1000
"""Keys that SCAN walks through at once: their names are in the server's memory until they are received."""
SCHEMES = ("redis", "rediss", "unix")
"""The schemes that redis-py knows."""

TRANSIENT = frozenset({"marker", "stalled", "stalled-check", "limiter"})
"""Parts of a queue that its workers make anew: no job is in them. (A job's `ID:lock` is its worker's too.)"""


def connect(redis_url: str, *, timeout_s: float = 5.0, decode: bool = True) -> redis.Redis:
    """A client that answers or raises within `timeout_s`.

    Args:
        redis_url: `redis://` or `rediss://`.
        timeout_s: for each answer.
        decode: answer with text; otherwise with the bytes as they are.

    Raises:
        InstrumentError: the URL is none of Redis or can be read in several ways, or nobody answers there.
    """
    why = unreadable(redis_url) or ("" if scheme_of(redis_url) in SCHEMES else "it does not begin with rediss://")
    if why:  # redis-py's own words would quote a part of it
        redact.register(redis_url, *passwords_in(redis_url))
        raise InstrumentError(f"The Redis URL {shown(redis_url)} cannot be used: {why}.", todo=HOW_TO_WRITE)
    try:
        client: redis.Redis = redis.Redis.from_url(
            redis_url,
            decode_responses=decode,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        client.ping()
    except TypeError:  # redis-py names in it an option that it does not know: a tail of ?password=a&b
        raise InstrumentError(
            f"The URL of Redis at {shown(redis_url)} has an option that redis-py does not know.", todo=HOW_TO_WRITE
        ) from None
    except (redis.RedisError, ValueError, OSError) as error:
        raise InstrumentError(
            f"Redis at {shown(redis_url)} does not answer: {error}.",
            why="without it nothing is known of the jobs that wait.",
            todo="check the address, the password, TLS (rediss://) and the security groups: redis-cli -u … ping",
        ) from error
    return client


def find_queues(client: redis.Redis, prefix: str) -> list[str]:
    """The names of all queues under a prefix, sorted: every queue has a `meta` hash once a job was added.

    Args:
        client: answers with text.
        prefix: BullMQ's key prefix.

    Raises:
        InstrumentError: there are more keys than can be walked through, or queues that cannot be told apart.
    """
    names = queue_names(client, prefix)
    if mixed := overlapping(names):
        raise InstrumentError(f"Queues under the prefix {prefix!r} {MIXED}: {'; '.join(mixed)}.", why=WHY, todo=TODO)
    return names


MIXED = "cannot be told apart"
WHY = (
    "the keys of the longer name look like jobs of the shorter one: they would be copied as its jobs, while workers go "
    "on with them, and every job would be done on both sides."
)
TODO = "let the workers finish one queue of each pair, then remove it (await queue.obliterate()) or rename it"


def queue_names(client: redis.Redis, prefix: str) -> list[str]:
    """The same names, also where queues cannot be told apart."""
    start, end = f"{prefix}:", ":meta"
    keys: set[str] = set()
    for walked, key in enumerate(client.scan_iter(match=f"{_escape(prefix)}:*:meta", count=5000, _type="hash")):
        keys.add(str(key))
        if walked > MOST_KEYS:
            raise InstrumentError(f"More than {MOST_KEYS} keys look like queues under {prefix!r}.")
    keys -= _holding(client, {key for key in keys if ":" in key[len(start) : -len(end)]}, ["timestamp"])  # jobs
    return sorted(key[len(start) : -len(end)] for key in keys if len(key) > len(start + end))


def nested_queues(client: redis.Redis, prefix: str) -> list[str]:
    """Names with a colon under a prefix whose keys are a queue's by type, whether or not it has a `meta` hash."""
    start = f"{prefix}:"
    return sorted(key.removeprefix(start) for key in _look_like_queues(client, f"{_escape(prefix)}:*:*:[a-z]*"))


def overlapping(names: Iterable[str]) -> list[str]:
    """The pairs of queues of which one's name and a colon begin the other's: their keys look alike; in words."""
    known = set(names)
    parts = ((name, name.split(":")) for name in sorted(known))
    starts = ((name, ":".join(part[:n])) for name, part in parts for n in range(1, len(part)))
    return [f"{start} and {name}" for name, start in starts if start in known]


def elsewhere(redis_url: str) -> list[str]:
    """What may be queues in a Redis, under whatever prefix, and databases beside this one that hold keys; in words.

    Asked where no queue is under the prefix that was named: only an empty answer means that there is none.

    Raises:
        InstrumentError: it does not answer, or refuses.
    """
    with connect(redis_url) as client:
        try:
            found = [f"keys like a queue's: {key}:*" for key in _look_like_queues(client, "*:[a-z]*")]
            mine = f"db{client.connection_pool.connection_kwargs.get('db') or 0}"
            others = [name for name in client.info("keyspace") if name.startswith("db") and name != mine]
        except redis.RedisError as error:
            raise InstrumentError(f"{shown(redis_url)} cannot be searched for queues: {error}.") from error
    return [*found, *(f"{name} of the same server holds keys" for name in others)]


_KINDS = {"wait": "list", "paused": "list", "active": "list", "events": "stream", "meta": "hash"} | dict.fromkeys(
    ("prioritized", "delayed", "completed", "failed", "waiting-children"), "zset"
)
"""The type by which a queue's own key is known: a job's key of the same ending (`ID:failed`) is of another."""


def _look_like_queues(client: redis.Redis, match: str) -> list[str]:
    """What stands before the last part of each key that is one of a queue's own, by name and type."""
    walk = (str(key) for key in client.scan_iter(match=match, count=SCAN))
    named = (key for key in walk if key.rpartition(":")[2] in _KINDS)
    found: set[str] = set()
    while batch := list(islice(named, 500)):
        pipe = client.pipeline(transaction=False)
        for key in batch:
            pipe.type(key)
        kinds = zip(batch, pipe.execute(), strict=True)
        keys = {key for key, kind in kinds if kind == _KINDS[key.rpartition(":")[2]]}
        hashes = {key for key in keys if key.endswith(":meta")}
        found |= {key.rpartition(":")[0] for key in keys - hashes | (hashes & _holding(client, hashes, _META))}
    return sorted(found)


_META = ("opts.maxLenEvents", "paused", "concurrency")
"""Fields of which BullMQ writes at least one into a queue's `meta`."""


def _holding(client: redis.Redis, hashes: Iterable[str], fields: Iterable[str]) -> set[str]:
    """Those of some hashes that have one of these fields."""
    asked, wanted = sorted(hashes), list(fields)
    pipe = client.pipeline(transaction=False)
    for key in asked:
        pipe.hmget(key, wanted)
    return {key for key, values in zip(asked, pipe.execute(), strict=True) if any(v is not None for v in values)}


def shown(redis_url: str) -> str:
    """The URL without its password and its options; of one that can be read in several ways, the scheme alone."""
    return address(redis_url)


def pattern(prefix: str, name: str = "") -> str:
    """What SCAN finds all keys of one queue by, or of every queue under a prefix."""
    return f"{_escape(prefix)}:{_escape(name)}:*" if name else f"{_escape(prefix)}:*"


def _escape(text: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\^" else c for c in text)
