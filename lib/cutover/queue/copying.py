"""Copying keys from one Redis to another: no more at once than both have room for, each with the end it had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import redis

from cutover.errors import InstrumentError
from cutover.queue.contents import text, values_of
from cutover.queue.memory import SHARE, BoundedReader, TooLittleRoom, Weighed
from cutover.text import size

_FOR_EVER = -1
"""What PTTL answers for a key without an end; -2 is one that is gone, 0 one that ends now."""
GROWTH = 1.2
"""What a copy may take more than its original: another version, other encodings, fragmentation."""


class Copier:
    """Copies keys as the server's own dump of them, or, where versions or rights do not allow it, by their type.

    Args:
        here: the source; answers with bytes.
        there: the target.

    Attributes:
        how: the way that is taken.
        gone: keys that were there when they were listed and not any more when they were read: they ended, or were
            deleted.
    """

    def __init__(self, here: redis.Redis, there: redis.Redis) -> None:
        self._here, self._there = BoundedReader(here), BoundedReader(there)
        self.how = "DUMP and RESTORE"
        self.gone = 0

    def copy(self, keys: list[bytes]) -> int:
        """Copy these keys over whatever is there; how many were written.

        Raises:
            TooLittleRoom: the source has no room for one value's answer, or the target none for what is written next.
        """
        written = 0
        for portion in self._here.portions(keys):
            self._refuse_full(portion)
            written += self._dumped(portion) if self.how == "DUMP and RESTORE" else self._by_type(portion)
        self.gone += len(keys) - written
        return written

    def _refuse_full(self, portion: list[Weighed]) -> None:
        """A target at its limit would refuse the rest, or evict what was copied before."""
        room, needed = self._there.memory().room, room_for(portion)
        if room is not None and room < needed:
            raise TooLittleRoom(
                f"The target's Redis has {size(room)} left, and the next {len(portion)} keys need {size(needed)}.",
                todo="give it more memory (maxmemory, a larger node), then run this step again",
            )

    def _dumped(self, portion: list[Weighed]) -> int:
        read = self._here.client.pipeline(transaction=False)
        read.time()
        for one in portion:
            read.dump(one.key)
            read.pttl(one.key)
        try:
            (seconds, micros), *told = _checked(read)
            write = self._there.client.pipeline(transaction=False)
            written = 0
            for one, dump, ttl in zip(portion, told[::2], told[1::2], strict=True):
                if dump is not None and _lives(ttl):
                    # An end is an instant: it must not move by the time that the copy takes.
                    ends = 0 if ttl == _FOR_EVER else seconds * 1000 + micros // 1000 + ttl
                    write.restore(one.key, ends, dump, replace=True, absttl=ends > 0)
                    written += 1
            _checked(write)
        except _NotAllowed:
            self.how = "by type"
            return self._by_type(portion)
        return written

    def _by_type(self, portion: list[Weighed]) -> int:
        values = values_of(self._here, portion)
        read = self._here.client.pipeline(transaction=False)
        read.time()
        for one in portion:
            read.pttl(one.key)
        (seconds, micros), *ttls = read.execute()
        write = self._there.client.pipeline(transaction=True)
        written = 0
        for one, value, ttl in zip(portion, values, ttls, strict=True):
            if value in (None, {}, [], set()) or not _lives(ttl):
                continue
            if one.kind not in _WRITE:
                raise InstrumentError(
                    f"{text(one.key)} is a {one.kind}, which cannot be copied by its type.",
                    why="the target refuses RESTORE, or the source DUMP.",
                    todo="allow both (ACL SETUSER … +dump +restore), or remove the key when nobody wants it",
                )
            write.delete(one.key)
            _WRITE[one.kind](write, one.key, value)
            if ttl != _FOR_EVER:
                write.pexpireat(one.key, seconds * 1000 + micros // 1000 + ttl)
            written += 1
        write.execute()
        return written


def room_for(portion: Iterable[Weighed]) -> int:
    """Bytes of room that the target needs for these keys, and for the largest of them on its way."""
    sizes = [(one.held or 0, one.reply or 0) for one in portion]
    return int(GROWTH * sum(held for held, _ in sizes)) + SHARE * max((reply for _, reply in sizes), default=0)


def _lives(ttl: int) -> bool:
    """Whether a key is to be written, by what PTTL said after its value was read."""
    return ttl == _FOR_EVER or ttl > 0


_WRITE: Mapping[str, Callable[[Any, bytes, Any], Any]] = {
    "string": lambda pipe, key, value: pipe.set(key, value),
    "hash": lambda pipe, key, value: pipe.hset(key, mapping=value),
    "list": lambda pipe, key, value: pipe.rpush(key, *value),
    "set": lambda pipe, key, value: pipe.sadd(key, *value),
    "zset": lambda pipe, key, value: pipe.zadd(key, dict(value)),
}


class _NotAllowed(Exception):
    """The server refuses DUMP or RESTORE as such: another version's format, no right, not offered."""


def _checked(pipe: Any) -> list[Any]:
    """The answers. (The client's own error would repeat the command, and so the jobs' data.)"""
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, redis.exceptions.NoPermissionError):
            raise _NotAllowed
        if isinstance(answer, redis.ResponseError):
            said = str(answer).lower()
            if "dump payload" in said or "unknown command" in said or "bad data format" in said:
                raise _NotAllowed from answer
            raise answer
    return answers
