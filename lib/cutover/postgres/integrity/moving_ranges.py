"""The ranges of a relation that is written to while it is compared: which agreed once, and which stood still."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from cutover.postgres.integrity.digest import ByHash, Digest
from cutover.postgres.integrity.ranges import ByRange
from cutover.postgres.integrity.reading import Shape

STOOD_STILL = 3
"""A range that was read as often with the same content on each side, and differs, differs for good."""

Content = tuple[int, int, int]
"""What a range held on one side: rows and two sums."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A range that has not agreed: what each side held at the last look, for how many looks, and since when."""

    ours: Content
    theirs: Content
    looks: int = 0
    since: float = 0.0


UNSEEN = Seen((0, 0, 0), (0, 0, 0))


@dataclass
class Ranges:
    """The ranges of one relation.

    Attributes:
        shape: how they are read.
        open: those that have not agreed yet.
        patience_s: for so long a range that differs must stand still.
        looked: when the last look was, on the monotonic clock.
        rows: of those that agreed, at the look in which they did.
        failure: why it could not be read at the last look; empty when it could.
    """

    shape: Shape
    open: dict[int, Seen]
    patience_s: float
    looked: float = 0.0
    rows: int = 0
    failure: str = ""

    @property
    def total(self) -> int:
        """How many ranges there are."""
        return self.shape.cut.count

    @property
    def still(self) -> list[int]:
        """The ranges that differ, and did not change on either side while we looked."""
        return sorted(
            bucket
            for bucket, seen in self.open.items()
            if seen.looks >= STOOD_STILL and self.looked - seen.since >= self.patience_s
        )

    def narrowed(self) -> Shape:
        """How to read what is open, and no more where an index leads to it."""
        cut = self.shape.cut
        return replace(self.shape, only=cut.condition(self.open) if isinstance(cut, ByRange) else None)

    def take(self, ours: Digest, theirs: Digest) -> None:
        """One look at both sides."""
        self.looked = time.monotonic()
        if isinstance(self.shape.cut, ByHash):
            self.rows, self.open = 0, {n: self.open.get(n, UNSEEN) for n in range(self.total)}
        for bucket, seen in list(self.open.items()):
            here, there = _content(ours, bucket), _content(theirs, bucket)
            if here == there:
                self.rows += here[0]
                del self.open[bucket]
            elif seen.looks and (here, there) == (seen.ours, seen.theirs):
                self.open[bucket] = replace(seen, looks=seen.looks + 1)
            else:
                self.open[bucket] = Seen(here, there, 1, self.looked)


def _content(digest: Digest, bucket: int) -> Content:
    return digest.counts[bucket], digest.first[bucket], digest.second[bucket]
