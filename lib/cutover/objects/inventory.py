"""What lies at a location: every object's size and the SHA-256 of its content."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cutover.errors import InstrumentError
from cutover.objects.location import Listed, Location, faults, shown, told
from cutover.objects.opening import open_location
from cutover.progress import Listener, Progress

WORKERS = 8
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its size in bytes, the SHA-256 of its content (hexadecimal), and what is said of it (headers)."""

    size: int
    sha256: str
    about: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All objects of a location.

    Attributes:
        address: the location.
        entries: by name.
        unread: objects that could not be read, and why.
    """

    address: str
    entries: Mapping[str, Entry]
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The size of all objects together."""
        return sum(entry.size for entry in self.entries.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: name to size and SHA-256, sorted; for the evidence."""
        return {
            "address": self.address,
            "objects": {
                shown(name): {"bytes": e.size, "sha256": e.sha256, **e.about}
                for name, e in sorted(self.entries.items())
            },
            "unread": {shown(name): why for name, why in sorted(self.unread.items())},
        }


def inventory(
    location: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    workers: int = WORKERS,
    progress: Listener | None = None,
    stage: str = "read",
) -> Inventory:
    """Read everything at a location.

    Args:
        location: `file:///folder` or `s3://bucket/prefix`.
        endpoint: S3's address when it is not AWS itself.
        region: of the bucket.
        workers: objects read at the same time.
        progress: called after each object.
        stage: what this reading is called there.

    Raises:
        UsageError: no such kind of location.
        InstrumentError: it cannot be listed. (An object that cannot be read is in `unread`.)
    """
    place = open_location(location, endpoint=endpoint, region=region)
    listed = list_objects(place)
    total, read_bytes = sum(one.size for one in listed.values()), 0
    entries: dict[str, Entry] = {}
    unread: dict[str, str] = {}

    def read(one: Listed) -> tuple[Listed, Entry | None, str]:
        if one.problem:
            return one, None, one.problem
        try:
            found = place.summary(one.name)
        except faults() as error:
            return one, None, told(error)
        return one, Entry(found.size, found.sha256, found.about), ""

    for done, (one, entry, problem) in enumerate(each(read, sorted(listed.values(), key=_name), workers), start=1):
        if entry is not None:
            entries[one.name] = entry
        else:
            unread[one.name] = problem
        read_bytes += one.size
        if progress is not None:
            note = shown(one.name)
            progress(Progress(stage, done, len(listed), "objects", note, bytes=read_bytes, bytes_total=total))
    return Inventory(place.address, entries, unread)


def list_objects(place: Location) -> dict[str, Listed]:
    """Every object by its name.

    Raises:
        InstrumentError: it cannot be listed.
    """
    try:
        return {one.name: one for one in place.list()}
    except InstrumentError:
        raise
    except faults() as error:
        raise InstrumentError(
            f"{place.address} cannot be listed: {error}.",
            why="what cannot be listed cannot be copied or compared.",
            todo="check the address and the rights (s3:ListBucket, s3:GetObject)",
        ) from error


def each(work: Callable[[T], R], things: Iterable[T], workers: int) -> Iterator[R]:
    """`work` on each thing, `workers` at a time; results in order, and never more than a few ahead of the reader."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="objects") as pool:
        try:
            for thing in things:
                waiting.append(pool.submit(work, thing))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def _name(one: Listed) -> str:
    return one.name
