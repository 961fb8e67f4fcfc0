"""How much room a Redis has, and reading from it no more at once than that room allows.

What a client has asked for and not yet received lies in the server's memory and counts against `maxmemory`: a reply
that is larger than the room has other clients' writes refused, or keys evicted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from cutover.errors import InstrumentError
from cutover.text import size

MOST = 4 * 2**20
"""Bytes of values that are asked for in one round trip at most."""
UNSURE = 2**20
"""The same where the server does not say how much room it has."""
SHARE = 4
"""A round trip asks for at most this part of the room: a value is there up to three times while the server writes it
out (compressed, serialised, as the reply)."""
KEYS = 500
"""Keys asked about in one round trip."""
_OVERHEAD = 512
"""Bytes that a reply adds to a small value: lengths, and numbers that the server keeps in fewer bytes than digits."""
_FIELD = 32
"""Bytes that a hash takes for each field beside its name and value."""
_LIST = 3
"""A list of numbers keeps five bytes for each and answers with about fifteen."""


class TooLittleRoom(InstrumentError):
    """A value does not fit into the room that a Redis has left."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a Redis says of its memory; None where it does not say.

    Attributes:
        used: bytes that count against the limit.
        limit: `maxmemory` in bytes, or where none is set the machine's whole memory.
        capped: whether `maxmemory` is set.
        policy: `maxmemory_policy`; "" when not told.
    """

    used: int | None = None
    limit: int | None = None
    capped: bool = False
    policy: str = ""

    @classmethod
    def of(cls, info: Any) -> Memory:
        """From the answer to INFO; all unknown when that was refused."""
        if not isinstance(info, Mapping) or "used_memory" not in info:
            return cls()
        used = max(0, int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict") or 0))
        cap = info.get("maxmemory")
        limit = cap or info.get("total_system_memory") if cap is not None else None
        return cls(used, int(limit) if limit else None, bool(cap), str(info.get("maxmemory_policy") or ""))

    @property
    def room(self) -> int | None:
        """Bytes until the limit."""
        return None if self.used is None or self.limit is None else max(0, self.limit - self.used)

    @property
    def evicts(self) -> bool:
        """Whether it forgets keys at its limit instead of refusing writes."""
        return self.capped and self.policy not in ("", "noeviction")

    @property
    def at_once(self) -> int:
        """Bytes of values that may be asked for in one round trip."""
        return UNSURE if self.room is None else min(MOST, self.room // SHARE)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A key and how large it is.

    Attributes:
        key: the key.
        kind: its type; `none` when it is gone.
        held: bytes of memory that it takes; None when that cannot be asked.
    """

    key: bytes
    kind: str
    held: int | None

    @property
    def reply(self) -> int | None:
        """Bytes that an answer with its value takes, at most about."""
        return None if self.held is None else self.held * (_LIST if self.kind == "list" else 1) + _OVERHEAD


class BoundedReader:
    """Asks for sizes before it asks for values, and for no more at once than the server has room for.

    Args:
        client: answers with bytes.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._ways = [self._by_script, self._by_commands, self._by_parts]  # the first is left when it is refused

    def memory(self) -> Memory:
        """The server's memory now."""
        try:
            return Memory.of(self.client.info("memory"))
        except redis.ResponseError:  # not offered, or no right to it
            return Memory()

    def weigh(self, keys: Iterable[bytes]) -> list[Weighed]:
        """Type and size of each key; no value is asked for."""
        wanted = list(keys)
        while wanted:
            try:
                return self._ways[0](wanted)
            except redis.ResponseError:  # not offered, or no right to it
                if len(self._ways) == 1:
                    raise
                self._ways.pop(0)
        return []

    def portions(self, keys: Iterable[bytes], *, only: Collection[str] | None = None) -> Iterator[list[Weighed]]:
        """The keys that are there, in portions of which each may be read in one round trip.

        Args:
            keys: the keys.
            only: the types that are read; a key of another one takes no room. All of them when left out.

        Raises:
            TooLittleRoom: one value takes more than the server has room for.
        """
        wanted = list(keys)
        for start in range(0, len(wanted), KEYS):
            waiting = [one for one in self.weigh(wanted[start : start + KEYS]) if one.kind != "none"]
            waiting = [one if only is None or one.kind in only else replace(one, held=0) for one in waiting]
            while waiting:
                taken = _fitting(waiting, self.memory())
                yield waiting[:taken]
                waiting = waiting[taken:]

    def _by_script(self, keys: list[bytes]) -> list[Weighed]:
        """One short answer for all of them."""
        told = self.client.eval(_WEIGH, len(keys), *keys).split()
        return [
            Weighed(key, kind.decode(), int(size)) for key, kind, size in zip(keys, told[::2], told[1::2], strict=True)
        ]

    def _by_commands(self, keys: list[bytes]) -> list[Weighed]:
        """Without scripts."""
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            pipe.type(key)
            pipe.memory_usage(key, samples=0)
        told = pipe.execute()
        return [
            Weighed(key, kind.decode(), size or 0) for key, kind, size in zip(keys, told[::2], told[1::2], strict=True)
        ]

    def _by_parts(self, keys: list[bytes]) -> list[Weighed]:
        """Without MEMORY USAGE: by the lengths of texts and of hashes' fields, which hold what jobs carry."""
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            pipe.type(key)
        kinds = [kind.decode() for kind in pipe.execute()]
        for key, kind in zip(keys, kinds, strict=True):
            pipe.strlen(key) if kind == "string" else pipe.hkeys(key) if kind == "hash" else pipe.exists(key)
        told = pipe.execute()
        for key, kind, names in zip(keys, kinds, told, strict=True):
            for name in names if kind == "hash" else ():
                pipe.hstrlen(key, name)
        lengths = iter(pipe.execute())
        weighed = []
        for key, kind, part in zip(keys, kinds, told, strict=True):
            held = {"none": 0, "string": part}.get(kind)
            if kind == "hash":
                held = sum(len(name) + _FIELD + next(lengths) for name in part)
            weighed.append(Weighed(key, kind, held))
        return weighed


_WEIGH = """
local told = {}
for i, key in ipairs(KEYS) do
  told[2 * i - 1] = redis.call('TYPE', key).ok
  told[2 * i] = redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) or 0
end
return table.concat(told, ' ')
"""
"""Asked key by key, the answers alone would take as long to read as the jobs."""


def _fitting(waiting: list[Weighed], memory: Memory) -> int:
    """How many of these keys, from the first, may be read at once; one whose size is not known is read alone."""
    first = waiting[0]
    if memory.room is not None and first.reply is not None and first.reply > memory.room // SHARE:
        raise TooLittleRoom(
            f"{first.key.decode('utf-8', 'backslashreplace')} takes {size(first.reply)}, and this Redis has room for "
            f"{size(memory.room)} more.",
            why="its reply counts as the server's memory: other clients' writes would be refused, or keys evicted.",
            todo="give that Redis more memory (maxmemory, a larger plan or node), or remove what nobody wants any more",
        )
    total = first.reply
    if total is None:
        return 1
    for taken, one in enumerate(waiting[1:], 1):
        if one.reply is None or total + one.reply > memory.at_once:
            return taken
        total += one.reply
    return len(waiting)
