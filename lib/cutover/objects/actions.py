"""Copying the PDF reports as an Action: planned by names, applied by content, verified by reading both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cutover.action import Change, Plan
from cutover.errors import ActionRefused
from cutover.finding import Finding
from cutover.objects.compare import compare
from cutover.objects.copy import copy
from cutover.objects.inventory import inventory


class CopyObjects:
    """Copy every object of `source` that is missing or different at `target`; nothing at the target is removed.

    Args:
        source, target: `file:///folder` or `s3://bucket/prefix`.
        endpoint: an AWS endpoint override.
        region: of the bucket.
    """

    name = "copy-objects"

    def __init__(self, source: str, target: str, *, endpoint: str | None = None, region: str | None = None) -> None:
        self._source, self._target = source, target
        self._options: dict[str, Any] = {"endpoint": endpoint, "region": region}

    def plan(self) -> Plan:
        """How many objects are to be copied."""
        here = inventory(self._source, **self._options)
        there = inventory(self._target, **self._options)
        todo = sorted(name for name, entry in here.entries.items() if there.entries.get(name) != entry)
        return Plan(
            self.name,
            f"{self._source} → {self._target}",
            f"copy {len(todo)} of {len(here.entries)} objects",
            ({"call": "s3.put_object", "arguments": {"objects": len(todo), "first": todo[:5]}},) if todo else (),
            before={"source": len(here.entries), "target": len(there.entries)},
            after={"target": len({*here.entries, *there.entries})},
            undo="copies may be removed by hand; where the bucket is versioned, what was replaced is its older version",
            empty=not todo,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Copy."""
        return copy(self._source, self._target, **self._options).to_dict()

    def verify(self, change: Change) -> list[Finding]:
        """Both sides read again and compared by content."""
        here = inventory(self._source, **self._options)
        return compare(here, inventory(self._target, **self._options))

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Copies are not removed by a program."""
        raise ActionRefused("Copied objects are not removed by a program.", todo="remove them by hand if they must go.")
