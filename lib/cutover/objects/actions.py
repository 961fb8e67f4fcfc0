"""Copying the PDF reports as an Action: planned by names, applied by content, verified by reading both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cutover.action import Change, Plan
from cutover.errors import ActionRefused
from cutover.finding import Finding
from cutover.objects.compare import compare
from cutover.objects.copy import copy
from cutover.objects.inventory import WORKERS, Inventory, inventory, list_objects
from cutover.objects.location import shown
from cutover.objects.opening import open_location
from cutover.progress import Listener


class CopyObjects:
    """Copy every object of `source` that is missing or different at `target`; nothing at the target is removed.

    Args:
        source, target: `file:///folder` or `s3://bucket/prefix`.
        endpoint: an AWS endpoint override.
        region: of the bucket.
        workers: objects that go at the same time.
        progress: called after each object.
    """

    name = "copy-objects"

    def __init__(
        self,
        source: str,
        target: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        workers: int = WORKERS,
        progress: Listener | None = None,
    ) -> None:
        self._source, self._target = source, target
        self._place: dict[str, Any] = {"endpoint": endpoint, "region": region}
        self._options: dict[str, Any] = self._place | {"workers": workers, "progress": progress}

    def plan(self) -> Plan:
        """How many objects are to be copied: by names and sizes; by content only when these are all the same."""
        here = list_objects(open_location(self._source, **self._place))
        there = list_objects(open_location(self._target, **self._place))
        todo = sorted(n for n, one in here.items() if n not in there or there[n].size != one.size or one.problem)
        if not todo and here:
            todo = _unequal(*self._both())
        size = sum(here[name].size for name in todo)
        return Plan(
            self.name,
            f"{self._source} → {self._target}",
            f"copy {len(todo)} of {len(here)} objects, {size:,} bytes"
            if todo
            else f"all {len(here)} objects are there already",
            ({"call": "s3 upload", "arguments": {"objects": len(todo), "first": [shown(n) for n in todo[:5]]}},)
            if todo
            else (),
            before={"source": len(here), "target": len(there)},
            after={"target": len({*here, *there})},
            undo="copies may be removed by hand; where the bucket is versioned, what was replaced is its older version",
            empty=not todo,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Copy."""
        return copy(self._source, self._target, **self._options).to_dict()

    def verify(self, change: Change) -> list[Finding]:
        """Both sides read again and compared by content."""
        return compare(*self._both())

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Copies are not removed by a program."""
        raise ActionRefused("Copied objects are not removed by a program.", todo="remove them by hand if they must go.")

    def _both(self) -> tuple[Inventory, Inventory]:
        here = inventory(self._source, **self._options, stage="read the source's")
        return here, inventory(self._target, **self._options, stage="read the target's")


def _unequal(here: Inventory, there: Inventory) -> list[str]:
    """Names of what a copy would change, or could not read."""
    names = {f for f in here.entries if here.entries[f] != there.entries.get(f)} | {*here.unread, *there.unread}
    said = {
        f
        for f, e in here.entries.items()
        if f in there.entries and not e.about.items() <= there.entries[f].about.items()
    }
    return sorted((names | said) & {*here.entries, *here.unread})
