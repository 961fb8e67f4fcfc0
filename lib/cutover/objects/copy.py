"""Copying reports: concurrent, resumable (what is there and equal is left alone), and verified by reading back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cutover.errors import InstrumentError
from cutover.objects.inventory import WORKERS, Progress, list_names
from cutover.objects.location import Location, faults, open_location


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did.

    Attributes:
        copied: objects that were written and read back equal.
        skipped: objects that were there already, equal.
        bytes: of the copied ones.
        failed: objects that could not be copied, and why.
        seconds: how long all of it took.
    """

    copied: int
    skipped: int
    bytes: int
    failed: Mapping[str, str] = field(default_factory=dict)
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
    progress: Progress | None = None,
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
    names, there = list_names(origin), _there(goal)
    results: list[tuple[str, Literal["copied", "skipped", "failed"], int, str]] = []

    def one(name: str) -> tuple[str, Literal["copied", "skipped", "failed"], int, str]:
        try:
            return _copy_one(origin, goal, name, there.get(name))
        except faults() as error:
            return name, "failed", 0, f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(workers, thread_name_prefix="copy") as pool:
        for done, result in enumerate(pool.map(one, sorted(names)), start=1):
            results.append(result)
            if progress is not None:
                progress(done, len(names))
    return CopyResult(
        copied=sum(outcome == "copied" for _, outcome, _, _ in results),
        skipped=sum(outcome == "skipped" for _, outcome, _, _ in results),
        bytes=sum(size for _, outcome, size, _ in results if outcome == "copied"),
        failed={name: why for name, outcome, _, why in results if outcome == "failed"},
        seconds=time.monotonic() - started,
    )


def _there(place: Location) -> dict[str, int]:
    """What the target holds; a folder that is not there yet holds nothing."""
    try:
        return list_names(place)
    except InstrumentError:
        if place.address.startswith("file:"):
            return {}
        raise


def _copy_one(
    origin: Location, goal: Location, name: str, size_there: int | None
) -> tuple[str, Literal["copied", "skipped", "failed"], int, str]:
    content = origin.read(name)
    digest = hashlib.sha256(content).hexdigest()
    if size_there == len(content) and goal.sha256(name) == (len(content), digest):
        return name, "skipped", len(content), ""
    goal.write(name, content)
    if hashlib.sha256(goal.read(name)).hexdigest() != digest:
        return name, "failed", 0, "what was read back is not what was written"
    return name, "copied", len(content), ""
