"""Copying reports: concurrent, in pieces, resumable (what is there and equal is left alone), checked on the way."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cutover.errors import InstrumentError
from cutover.objects.bucket import PART
from cutover.objects.inventory import WORKERS, each, list_objects
from cutover.objects.location import Listed, Location, Reader, Summary, faults, shown, told
from cutover.objects.opening import open_location
from cutover.progress import Listener, Progress

LARGE_AT_ONCE = 3
"""Objects of more than one part that go at the same time: each holds a part or two in memory."""

Outcome = Literal["copied", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did.

    Attributes:
        copied: objects that were written, and that the target then held in their size and SHA-256.
        skipped: objects that were there already, equal.
        bytes: of the copied ones.
        failed: objects that could not be copied, and why.
        unfinished: pieces of earlier copies that were cleared away.
        seconds: how long all of it took.
    """

    copied: int
    skipped: int
    bytes: int
    failed: Mapping[str, str] = field(default_factory=dict)
    unfinished: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every object is at the target."""
        return not self.failed

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"failed": dict(self.failed), "seconds": round(self.seconds, 3)}


def copy(
    source: str,
    target: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    workers: int = WORKERS,
    progress: Listener | None = None,
) -> CopyResult:
    """Copy every object that is missing or different at the target; nothing is deleted there.

    Args:
        source: `file:///folder` or `s3://bucket/prefix`.
        target: likewise.
        endpoint: S3's address when it is not AWS itself.
        region: of the buckets.
        workers: objects copied at the same time.
        progress: called after each object.

    Raises:
        UsageError: no such kind of location.
        InstrumentError: one of them cannot be listed. (An object that fails is in `failed`, the others go on.)
    """
    started = time.monotonic()
    origin = open_location(source, endpoint=endpoint, region=region)
    goal = open_location(target, endpoint=endpoint, region=region)
    listed = list_objects(origin)
    unfinished = goal.tidy(listed)
    there = _there(goal)
    large, stop = threading.BoundedSemaphore(LARGE_AT_ONCE), threading.Event()

    def one(item: Listed) -> tuple[Listed, Outcome, int, str]:
        if item.problem:
            return item, "failed", 0, item.problem
        try:
            if item.size < PART:
                return item, *_copy_one(origin, goal, item, there.get(item.name), stop)
            with large:
                return item, *_copy_one(origin, goal, item, there.get(item.name), stop)
        except faults() as error:
            return item, "failed", 0, told(error)

    counts: dict[Outcome, int] = {"copied": 0, "skipped": 0, "failed": 0}
    failed: dict[str, str] = {}
    copied_bytes, done_bytes, total = 0, 0, sum(item.size for item in listed.values())
    ordered = sorted(listed.values(), key=lambda item: item.name)
    try:
        for done, (item, outcome, size, why) in enumerate(each(one, ordered, workers), start=1):
            counts[outcome] += 1
            copied_bytes += size if outcome == "copied" else 0
            done_bytes += item.size
            if outcome == "failed":
                failed[shown(item.name)] = why
            if progress is not None:
                note = shown(item.name)
                progress(Progress("copy", done, len(listed), "objects", note, bytes=done_bytes, bytes_total=total))
    finally:
        stop.set()  # interrupted: what is under way breaks off at its next piece
    return CopyResult(
        copied=counts["copied"],
        skipped=counts["skipped"],
        bytes=copied_bytes,
        failed=failed,
        unfinished=unfinished,
        seconds=time.monotonic() - started,
    )


class _Watched:
    """A reader that keeps the SHA-256 and the number of the bytes that went through it."""

    def __init__(self, reader: Reader, stop: threading.Event) -> None:
        self._reader, self._stop, self._digest = reader, stop, hashlib.sha256()
        self.size, self.about, self.passed = reader.size, reader.about, 0

    def read(self, amount: int = -1) -> bytes:
        """The next bytes.

        Raises:
            OSError: the object changed, or the copy was interrupted.
        """
        if self._stop.is_set():
            raise OSError("the copy was interrupted")
        content = self._reader.read(amount)
        self._digest.update(content)
        self.passed += len(content)
        return content

    @property
    def sha256(self) -> str:
        """Of what went through, hexadecimal."""
        return self._digest.hexdigest()


def _there(place: Location) -> dict[str, Listed]:
    """What the target holds; a folder that is not there yet holds nothing."""
    try:
        return list_objects(place)
    except InstrumentError:
        if place.address.startswith("file:"):
            return {}
        raise


def _copy_one(
    origin: Location, goal: Location, item: Listed, there: Listed | None, stop: threading.Event
) -> tuple[Outcome, int, str]:
    name = item.name
    if there is not None and not there.problem and there.size == item.size:
        here = origin.summary(name)
        if _equal(here, goal.summary(name)):
            return "skipped", here.size, ""
    with origin.open(name) as reader:
        content = _Watched(reader, stop)
        goal.write(name, content)
    arrived = goal.summary(name)
    if (arrived.size, arrived.sha256) != (content.passed, content.sha256):
        return "failed", 0, "what lies at the target is not what was sent"
    return "copied", arrived.size, ""


def _equal(here: Summary, there: Summary) -> bool:
    """Whether a copy would change nothing."""
    said = all(there.about.get(key) == value for key, value in here.about.items())
    return said and (here.size, here.sha256) == (there.size, there.sha256)
