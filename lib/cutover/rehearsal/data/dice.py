"""The dice behind ShadowTwin's rows: streams of values that depend on a seed and a table's name only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Lines = list[str]
Integers = npt.NDArray[np.int64]

_FROM_S = 1_740_787_200  # 2025-03-01 UTC
_TO_S = 1_793_404_800  # 2026-10-31 UTC


class Dice:
    """One table's stream of values.

    Attributes:
        size: how many rows every table gets.
        seed: the seed of all.
    """

    def __init__(self, size: dict[str, int], seed: int, name: str) -> None:
        self.size, self.seed = size, seed
        self.numbers = np.random.Generator(
            np.random.PCG64(int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8]))
        )

    def whole(self, low: int, high: int, n: int) -> list[int]:
        """Integers from `low` to `high`, `high` excluded."""
        return [int(v) for v in self.numbers.integers(low, high, n).tolist()]

    def few(self, low: int, high: int, n: int) -> list[int]:
        """As `whole`, but small ones far more often: a few users do most."""
        return [int(v) for v in (low + (high - low) * self.numbers.random(n) ** 3).astype(np.int64).tolist()]

    def pick(self, values: Sequence[str], n: int) -> Lines:
        """Any of the values."""
        return [values[i] for i in self.numbers.integers(0, len(values), n).tolist()]

    def sometimes(self, values: Sequence[str], other: str, n: int, *, share: float) -> Lines:
        """Any of the values in `share` of the rows, `other` in the rest."""
        there = (self.numbers.random(n) < share).tolist()
        return [v if t else other for v, t in zip(self.pick(values, n), there, strict=True)]

    def every(self, step: int, odd: Sequence[str], others: Sequence[str], start: int) -> Lines:
        """The odd values in turn in every `step`-th row, so that a small load has each of them; else the others."""
        return [odd[i // step % len(odd)] if i % step == 0 else other for i, other in enumerate(others, start=start)]

    def uuids(self, n: int) -> Lines:
        """Version 4 UUIDs."""
        text = self.numbers.bytes(16 * n).hex()
        parts = (text[i : i + 32] for i in range(0, 32 * n, 32))
        return [f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}" for h in parts]

    def hexes(self, length: int, n: int) -> Lines:
        """bytea of `length` bytes, as COPY wants it."""
        text = self.numbers.bytes(length * n).hex()
        return ["\\\\x" + text[i : i + 2 * length] for i in range(0, 2 * length * n, 2 * length)]

    def instants(self, n: int, *, ordered: bool = True) -> Integers:
        """Microseconds since 1970, between the product's first day and the last before the migration."""
        drawn = self.numbers.integers(_FROM_S * 1_000_000, _TO_S * 1_000_000, n)
        return np.sort(drawn) if ordered else drawn

    def user_ids(self, n: int) -> list[int]:
        """Ids of users, busy ones more often."""
        return [user_id(i) for i in self.few(0, self.size["public.users"], n)]


def user_id(index: int) -> int:
    """The id of the user with this index: every fiftieth id is a gap, as deletions leave them."""
    return 1 + index + index // 49


def spread(start: int, end: int, total: int) -> Integers:
    """Microseconds for the rows `start` to `end` of `total`, evenly from the first day to the last."""
    step = (_TO_S - _FROM_S) * 1_000_000 // total
    return _FROM_S * 1_000_000 + np.arange(start, end, dtype=np.int64) * step + 123_457


def text(instants: Integers) -> Lines:
    """ISO 8601 without a zone; the session that loads is in UTC."""
    return [str(v) for v in np.datetime_as_string(instants.astype("datetime64[us]")).tolist()]


def days(instants: Integers) -> Lines:
    """The date of each."""
    return [str(v) for v in np.datetime_as_string(instants.astype("datetime64[us]").astype("datetime64[D]")).tolist()]
