"""What lies at a location: every object's size and the SHA-256 of its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cutover.errors import InstrumentError
from cutover.objects.location import Location, faults, open_location

WORKERS = 8
Progress = Callable[[int, int], None]
"""Called with how many objects are done and how many there are."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its size in bytes and the SHA-256 of its content, hexadecimal."""

    size: int
    sha256: str


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


def inventory(
    location: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    workers: int = WORKERS,
    progress: Progress | None = None,
) -> Inventory:
    """Read everything at a location.

    Args:
        location: `file:///folder` or `s3://bucket/prefix`.
        endpoint: S3's address when it is not AWS itself.
        region: of the bucket.
        workers: objects read at the same time.
        progress: called after each object.

    Raises:
        UsageError: no such kind of location.
        InstrumentError: it cannot be listed. (An object that cannot be read is in `unread`.)
    """
    place = open_location(location, endpoint=endpoint, region=region)
    names = sorted(list_names(place))
    entries: dict[str, Entry] = {}
    unread: dict[str, str] = {}
    for done, (name, entry, problem) in enumerate(_read_all(place, names, workers), start=1):
        if entry is not None:
            entries[name] = entry
        else:
            unread[name] = problem
        if progress is not None:
            progress(done, len(names))
    return Inventory(place.address, entries, unread)


def list_names(place: Location) -> dict[str, int]:
    """Every object's name and size.

    Raises:
        InstrumentError: it cannot be listed.
    """
    try:
        return dict(place.list())
    except InstrumentError:
        raise
    except faults() as error:
        raise InstrumentError(
            f"{place.address} cannot be listed: {error}.",
            why="what cannot be listed cannot be copied or compared.",
            todo="check the address and the rights (s3:ListBucket, s3:GetObject)",
        ) from error


def _read_all(place: Location, names: list[str], workers: int) -> list[tuple[str, Entry | None, str]]:
    def read(name: str) -> tuple[str, Entry | None, str]:
        try:
            return name, Entry(*place.sha256(name)), ""
        except faults() as error:
            return name, None, f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(workers, thread_name_prefix="inventory") as pool:
        return list(pool.map(read, names))
