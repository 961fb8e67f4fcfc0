"""Digests of relations computed inside the servers: the hashes of all rows, summed by bucket.

A sum counts duplicates, needs no key and no order, and pieces of a table can be added.
"""

from __future__ import annotations

import base64
import binascii
import sys
import zlib
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg import sql

from cutover.postgres.integrity.relations import Leaf, Relation
from cutover.postgres.integrity.rowhash import Algorithm, mixed, row_hash

PIECE_PAGES = 4096
"""Tables above this many blocks (32 MiB), TOAST included, are read in several pieces."""

_WHOLE = 1 << 64


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a relation that one query reads: blocks `start` up to (not with) `end` of one leaf; None is the end.

    `rows` and `bytes` are estimates of what it holds.
    """

    relation: str
    leaf: Leaf
    start: int = 0
    end: int | None = None
    rows: int = 0
    bytes: int = 0


class Digest:
    """The sums of one relation on one side: for each bucket its rows and the sums of both hashes, modulo 2^64.

    Sums of full 64-bit hashes lose nothing by the modulus, and 24 bytes a bucket keep thousands of tables in memory.
    """

    __slots__ = ("counts", "first", "second")

    def __init__(self, buckets: int) -> None:
        empty = bytes(8 * buckets)
        self.counts, self.first, self.second = array("Q", empty), array("Q", empty), array("Q", empty)

    @property
    def rows(self) -> int:
        """Rows in all buckets."""
        return sum(self.counts)

    def add(self, rows: Iterable[tuple[int, int, str, str]]) -> None:
        """Add what a piece gave: (bucket, rows, sum, sum)."""
        counts, ones, twos = self.counts, self.first, self.second
        for bucket, count, first, second in rows:
            counts[bucket] += count
            ones[bucket] = (ones[bucket] + int(first)) % _WHOLE
            twos[bucket] = (twos[bucket] + int(second)) % _WHOLE

    def differing(self, other: Digest) -> list[int]:
        """The buckets that are not equal on both sides.

        Raises:
            ValueError: the digests have not the same buckets, so they say nothing of each other.
        """
        pairs = [(getattr(self, name), getattr(other, name)) for name in self.__slots__]
        if len(self.counts) != len(other.counts):
            raise ValueError(f"{len(self.counts)} buckets are compared with {len(other.counts)}")
        if all(one == two for one, two in pairs):
            return []
        return [b for b in range(len(self.counts)) if any(one[b] != two[b] for one, two in pairs)]

    def to_text(self) -> str:
        """All sums, compressed, as text for a file."""
        raw = b"".join(_little_endian(getattr(self, name)).tobytes() for name in self.__slots__)
        return base64.b64encode(zlib.compress(raw, 1)).decode()

    @classmethod
    def from_text(cls, text: str) -> Digest:
        """What `to_text` gave.

        Raises:
            ValueError: the text is damaged.
        """
        try:
            raw = zlib.decompress(base64.b64decode(text, validate=True))
        except (binascii.Error, zlib.error) as error:
            raise ValueError(f"a damaged digest: {error}") from error
        if not raw or len(raw) % 24:
            raise ValueError(f"a damaged digest of {len(raw)} bytes")
        digest, size = cls(len(raw) // 24), len(raw) // 3
        for number, name in enumerate(cls.__slots__):
            setattr(digest, name, _little_endian(array("Q", raw[number * size : (number + 1) * size])))
        return digest


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers = array("Q", numbers)
        numbers.byteswap()
    return numbers


def bucket_count(rows: int) -> int:
    """How many buckets for a table of about so many rows: a power of two, about 512 rows in each, 16 to 4,096.

    More would be looked up in memory instead of in the processor's cache, for every row.
    """
    return min(4_096, max(16, 1 << max(0, rows // 512).bit_length()))


def pieces(relation: Relation, jobs: int) -> list[Piece]:
    """Cut a relation into the parts that one query reads: leaf by leaf, large leaves by ranges of blocks."""
    cut = []
    for leaf in relation.leaves:
        size = max(leaf.bytes, leaf.pages * 8192)
        # Few enough that their answers cost little beside the reading, enough that all sessions end together.
        parts = max(1, min(leaf.pages, size // (PIECE_PAGES * 8192) + 1, max(jobs * 4, size // _LARGEST)))
        step = -(-leaf.pages // parts) if parts > 1 else 0
        starts = [number * step for number in range(parts) if number == 0 or number * step < leaf.pages]
        ends: list[int | None] = [*starts[1:], None]  # the last piece is open: the table may have grown since
        rows, share = leaf.rows // len(starts), size // len(starts)
        cut += [Piece(relation.name, leaf, start, end, rows, share) for start, end in zip(starts, ends, strict=True)]
    return cut


_LARGEST = 1 << 30
"""No piece is larger than about this many bytes, so that a timeout, a lost session or a stop costs little."""


@dataclass(frozen=True, slots=True)
class ByHash:
    """Buckets by the low bits of a hash: they need no key."""

    count: int

    def inner(self) -> sql.Composable:
        """What is read of the row `t` for it, beside its value."""
        return sql.SQL("")

    def bucket(self) -> sql.Composable:
        """The bucket of a row with the hash `a`."""
        return sql.SQL("(a & {})::int").format(sql.Literal(self.count - 1))


class Cut(Protocol):
    """How the rows of a relation are cut into buckets."""

    @property
    def count(self) -> int:
        """How many buckets there are."""

    def inner(self) -> sql.Composable:
        """Columns of the row `t` that the bucket depends on, beside its value, each with a comma before it."""

    def bucket(self) -> sql.Composable:
        """The bucket, from those columns and the hash `a`; 0 to `count` - 1."""


def digest_query(
    relation: Relation,
    columns: Sequence[str],
    piece: Piece,
    *,
    exact: Collection[str],
    cut: Cut,
    algorithm: Algorithm,
    only: sql.Composable | None = None,
) -> sql.Composed:
    """The query that sums a piece: rows of (bucket, rows, sum, sum).

    Args:
        relation, columns: what is read.
        piece: the blocks that are read.
        exact: the columns that are hashed by a form of their own (see `rowhash`).
        cut: how rows are put into buckets.
        algorithm: how they are hashed.
        only: a condition on the row `t`; all rows by default.
    """
    how, (first, second) = row_hash(relation, columns, exact, algorithm), mixed(algorithm)
    inner = cut.inner()
    conditions = [condition for condition in (_range(piece), only) if condition is not None]
    # OFFSET 0 keeps the planner from computing the value twice.
    return sql.SQL(
        "SELECT {bucket}, count(*), sum({first})::text, sum({second})::text FROM (SELECT {raw}{names} "
        "FROM (SELECT {value}{inner} FROM ONLY {leaf} t {where} OFFSET 0) q OFFSET 0) z GROUP BY 1"
    ).format(
        bucket=cut.bucket(),
        first=first,
        second=second,
        raw=how.raw,
        names=sql.SQL(", k") if inner.as_string(None) else inner,
        inner=inner,
        value=how.inner,
        leaf=piece.leaf.identifier,
        where=sql.SQL("WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL(""),
    )


PRINTED = (
    "SELECT ROW('1.00'::numeric, '-0'::float8, '0.1'::float8 + '0.2'::float8, 'NaN'::float4, "
    "'2024-02-29 12:34:56.000001+02'::timestamptz, '1 mon -1 day 00:00:01'::interval, '\\x00ff'::bytea, "
    "NULL::text, ''::text, ' a,\"b\\'::text, '[0:1]={1,NULL}'::int[], '{\"a\": 1.0}'::jsonb, '12.50'::numeric::money, "
    "'1999-01-08'::date, 'infinity'::timestamp, '(1,)'::int4range, true)::text"
)
"""Values of many types as one row; what it must print is `PRINTED_ANSWER`."""

PRINTED_ANSWER = (
    '(1.00,-0,0.30000000000000004,NaN,"2024-02-29 10:34:56.000001+00","1 mon -1 days +00:00:01","\\\\x00ff",,"",'
    '" a,""b\\\\","[0:1]={1,NULL}","{""a"": 1.0}",$12.50,1999-01-08,infinity,"[2,)",t)'
)


def print_test(connection: psycopg.Connection[Any]) -> str:
    """Whether this session prints values of many types in the known way; empty when it does, else what it printed."""
    try:
        with connection.transaction():
            row = connection.execute(PRINTED).fetchone()
    except psycopg.Error as error:
        return " ".join(str(error).split())
    return "" if row is not None and row[0] == PRINTED_ANSWER else f"printed {row and row[0]}"


def _range(piece: Piece) -> sql.Composable | None:
    if piece.start == 0 and piece.end is None:
        return None
    lower = sql.SQL("t.ctid >= {}::tid").format(sql.Literal(f"({piece.start},0)"))
    if piece.end is None:
        return lower
    upper = sql.SQL("t.ctid < {}::tid").format(sql.Literal(f"({piece.end},0)"))
    return sql.SQL("{} AND {}").format(lower, upper)
