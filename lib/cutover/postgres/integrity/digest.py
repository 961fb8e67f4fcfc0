"""Digests of rows computed inside the servers: two 64-bit hashes of each row's exact text, summed by bucket.

The text `ROW(columns by name)::text` tells apart what is told apart by any type's output (NULL, '' and 'NULL', 1.0 and
1.00, -0 and 0, a float's last bit), and where one column ends and the next begins. A sum counts duplicates, needs no
key and no order, and pieces of a table can be added. See `hashfn.c` (hash_bytes_extended) in PostgreSQL's sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from psycopg import sql

from cutover.postgres.integrity.relations import Leaf, Relation

Algorithm = Literal["hash", "sha256"]

SEEDS = (0, 8_675_309)
"""The seeds of the two hashes."""

_KNOWN = (
    ("", -6939563903564495251, -5834878809818669446),
    ("a", 3591986179850072241, -3469827248059207740),
    ('(1,"ab",,"")', -349112459350889472, 3837321308820845495),
)
"""Texts and their two hashes on a little-endian machine, PostgreSQL 16, 17 and 18."""

PIECE_PAGES = 4096
"""Tables above this many blocks (32 MiB) are read in several pieces at once."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a relation that one query reads: blocks `start` up to (not with) `end` of one leaf; None is the end."""

    relation: str
    leaf: Leaf
    start: int = 0
    end: int | None = None


@dataclass(slots=True)
class Digest:
    """The sums of one relation on one side: bucket to (rows, sum of the first hash, sum of the second)."""

    buckets: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in all buckets."""
        return sum(entry[0] for entry in self.buckets.values())

    def add(self, rows: Sequence[tuple[int, int, str, str]]) -> None:
        """Add what a piece gave."""
        for bucket, count, first, second in rows:
            old = self.buckets.get(bucket, (0, 0, 0))
            self.buckets[bucket] = (old[0] + count, old[1] + int(first), old[2] + int(second))

    def differing(self, other: Digest) -> list[int]:
        """The buckets that are not equal on both sides."""
        both = self.buckets.keys() | other.buckets.keys()
        return sorted(b for b in both if self.buckets.get(b) != other.buckets.get(b))


def bucket_count(rows: int) -> int:
    """How many buckets for a table of about so many rows: a power of two, about 64 rows in each, 16 to 16,384."""
    return min(16_384, max(16, 1 << max(0, rows // 64).bit_length()))


def pieces(relation: Relation, jobs: int) -> list[Piece]:
    """Cut a relation into the parts that are read at once: leaf by leaf, large leaves by ranges of blocks."""
    cut = []
    for leaf in relation.leaves:
        parts = min(jobs * 4, leaf.pages // PIECE_PAGES + 1) if jobs > 1 else 1
        step = -(-leaf.pages // parts) if parts > 1 else 0
        starts = [number * step for number in range(parts)]
        ends: list[int | None] = [*starts[1:], None]  # the last piece is open: the table may have grown since
        cut += [Piece(relation.name, leaf, start, end) for start, end in zip(starts, ends, strict=True)]
    return cut


def row_text(relation: Relation, columns: Sequence[str]) -> sql.Composable:
    """The exact text of the row `t`; in byte order, so that no collation has a say."""
    inside = sql.SQL(", ").join(relation.expression(column) for column in columns)
    return sql.SQL('ROW({})::text COLLATE "C"').format(inside)


def hashes(algorithm: Algorithm) -> tuple[sql.Composable, sql.Composable]:
    """SQL for the two hashes of the text `x`."""
    if algorithm == "hash":
        first, second = (sql.SQL("hashtextextended(x, {})").format(sql.Literal(seed)) for seed in SEEDS)
        return first, second
    # Slower, the same on every machine and in every encoding; it needs neither pgcrypto nor md5 (refused under FIPS).
    half = "('x' || substr(encode(sha256(convert_to(x, 'UTF8')), 'hex'), {}, 16))::bit(64)::bigint"
    return sql.SQL(half).format(sql.SQL("1")), sql.SQL(half).format(sql.SQL("17"))


def digest_query(
    relation: Relation, columns: Sequence[str], piece: Piece, *, buckets: int, algorithm: Algorithm
) -> sql.Composed:
    """The query that sums a piece: rows of (bucket, rows, sum, sum)."""
    first, second = hashes(algorithm)
    return sql.SQL(
        "SELECT (h1 & {mask})::int, count(*), sum(h1)::text, sum(h2)::text FROM (SELECT {first} AS h1, {second} AS h2 "
        "FROM (SELECT {text} AS x FROM ONLY {leaf} t {where} OFFSET 0) q OFFSET 0) h GROUP BY 1"
    ).format(
        mask=sql.Literal(buckets - 1),
        first=first,
        second=second,
        text=row_text(relation, columns),
        leaf=piece.leaf.identifier,
        where=_range(piece),
    )


def self_test(connection: psycopg.Connection[Any]) -> str:
    """Compare this server's hashes with known answers; empty when they agree, else what differs."""
    first, second = hashes("hash")
    for text, one, two in _KNOWN:
        query = sql.SQL('SELECT {}, {} FROM (SELECT %s::text COLLATE "C" AS x) q').format(first, second)
        try:
            with connection.transaction():
                row = connection.execute(query, (text,)).fetchone()
        except psycopg.Error as error:
            return f"hashtextextended is not available: {' '.join(str(error).split())}"
        if row != (one, two):
            return f"hashtextextended({text!r}) gives {row}, known is {(one, two)}"
    return ""


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


def _range(piece: Piece) -> sql.Composable:
    if piece.start == 0 and piece.end is None:
        return sql.SQL("")
    lower = sql.SQL("t.ctid >= {}::tid").format(sql.Literal(f"({piece.start},0)"))
    if piece.end is None:
        return sql.SQL("WHERE {}").format(lower)
    upper = sql.SQL("t.ctid < {}::tid").format(sql.Literal(f"({piece.end},0)"))
    return sql.SQL("WHERE {} AND {}").format(lower, upper)
