"""BullMQ's keys in Redis, as BullMQ 5 and its Python client lay them out, and a connection with short timeouts.

`prefix:queue:meta` (hash; field `paused`), `wait`, `active` and `paused` (lists), `prioritized`, `delayed`,
`completed`, `failed` and `waiting-children` (sorted sets), `ID` (a job's hash), `ID:lock` (held by its worker).
BullMQ up to 5 keeps the jobs of a paused queue in `paused`, later versions leave them in `wait`; both are counted.
`repeat` (sorted set) and `repeat:ID` (hash) are the job schedulers, which make repeatable jobs; `de:ID` keeps a
deduplicated job from being added twice.
"""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cutover.errors import InstrumentError
from cutover.secrets import redact
from cutover.urls import HOW_TO_WRITE, passwords_in, scheme_of, unreadable
from cutover.urls import shown as address

MOST_KEYS = 2_000_000
"""Keys that the search for queues walks through at most."""


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

    Raises:
        InstrumentError: there are more keys than can be walked through.
    """
    start, end = f"{prefix}:", ":meta"
    names: set[str] = set()
    # TYPE hash keeps a job that somebody named `meta` out only by its colon: queue names hold none (BullMQ refuses it).
    for walked, key in enumerate(client.scan_iter(match=f"{_escape(prefix)}:*:meta", count=5000, _type="hash")):
        name = str(key)[len(start) : -len(end)]
        if name and ":" not in name:
            names.add(name)
        if walked > MOST_KEYS:
            raise InstrumentError(f"More than {MOST_KEYS} keys look like queues under {prefix!r}.")
    return sorted(names)


def shown(redis_url: str) -> str:
    """The URL without its password and its options; of one that can be read in several ways, the scheme alone."""
    return address(redis_url)


def pattern(prefix: str, name: str) -> str:
    """What SCAN finds all keys of one queue by."""
    return f"{_escape(prefix)}:{_escape(name)}:*"


def _escape(text: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\^" else c for c in text)
