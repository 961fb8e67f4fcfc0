"""A relation cut into ranges of its key, so that a part of it can be read again by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql

from cutover.postgres.integrity.digest import bucket_count
from cutover.postgres.integrity.relations import Relation

_MANY = 64
"""More runs of ranges than this are not asked for one by one; the table is read as a whole."""


@dataclass(frozen=True, slots=True)
class ByRange:
    """Buckets by ranges of an integer column, `width` numbers each from `low` on; the first and the last are open.

    Rows in which the column is NULL are in the last.
    """

    column: str
    low: int
    width: int
    count: int

    def inner(self) -> sql.Composable:
        """The number of the range of the row `t`, with a comma before it."""
        # Compared before it is subtracted, so that no number is too far away.
        return sql.SQL(
            ", CASE WHEN t.{column} < {low} THEN 0 WHEN t.{column} < {high} "
            "THEN ((t.{column} - {low}::bigint) / {width}::bigint)::int ELSE {last} END AS k"
        ).format(
            column=sql.Identifier(self.column),
            low=sql.Literal(self.low),
            high=sql.Literal(self.low + self.width * self.count),
            width=sql.Literal(self.width),
            last=sql.Literal(self.count - 1),
        )

    def bucket(self) -> sql.Composable:
        """The number of the range."""
        return sql.SQL("k")

    def condition(self, buckets: Iterable[int]) -> sql.Composable | None:
        """Which rows `t` are in these ranges, for an index to answer; None where reading everything is better."""
        wanted = sorted(buckets)
        runs = _runs(wanted)
        if len(wanted) * 2 > self.count or len(runs) > _MANY:
            return None
        column = sql.SQL("t.{}").format(sql.Identifier(self.column))
        parts = []
        for first, last in runs:
            bounds = []
            if first > 0:
                bounds.append(sql.SQL("{} >= {}").format(column, sql.Literal(self.low + first * self.width)))
            if last < self.count - 1:
                bounds.append(sql.SQL("{} < {}").format(column, sql.Literal(self.low + (last + 1) * self.width)))
            part = sql.SQL(" AND ").join(bounds)
            parts.append(part if last < self.count - 1 else sql.SQL("{} OR {} IS NULL").format(part, column))
        return sql.SQL("({})").format(sql.SQL(" OR ").join(sql.SQL("({})").format(part) for part in parts))

    def words(self, buckets: Iterable[int], most: int = 8) -> str:
        """These ranges, for a person."""
        runs = _runs(sorted(buckets))
        said = []
        for first, last in runs[:most]:
            lower = "…" if first == 0 else str(self.low + first * self.width)
            upper = "…" if last == self.count - 1 else str(self.low + (last + 1) * self.width - 1)
            said.append(f"{lower}–{upper}")
        return f"{self.column} {', '.join(said)}" + (f" and {len(runs) - most} more" if len(runs) > most else "")


@dataclass(frozen=True, slots=True)
class ByKey:
    """Buckets by a hash of the key: a row stays in its bucket whatever is written to its other columns.

    By a hash of the whole row it would not: one that is missing for good could wander into a bucket that has agreed.
    """

    columns: tuple[str, ...]
    count: int

    def inner(self) -> sql.Composable:
        """The number of the bucket of the row `t`, with a comma before it; the same in every encoding."""
        return sql.SQL(
            ", (('x' || left(encode(sha256(convert_to(ROW({columns})::text, 'UTF8')), 'hex'), 8))::bit(32)::bigint "
            "& {mask})::int AS k"
        ).format(
            columns=sql.SQL(", ").join(sql.SQL("t.{}").format(sql.Identifier(column)) for column in self.columns),
            mask=sql.Literal(self.count - 1),
        )

    def bucket(self) -> sql.Composable:
        """The number of the bucket."""
        return sql.SQL("k")


def cut_by_key(source: Relation, target: Relation) -> ByKey | None:
    """Buckets of the source's first key whose columns have the same types on the target; None where there is none."""
    for key in source.keys:
        if all(target.columns.get(column) == source.columns[column] for column in key):
            return ByKey(key, bucket_count(source.estimated_rows))
    return None


def cut_by_range(connection: psycopg.Connection[Any], relation: Relation) -> ByRange | None:
    """Ranges of the first key that is one integer column; None where there is none, or no rows.

    Args:
        connection: a session that sees the relation.
        relation: what is to be cut.

    Raises:
        psycopg.Error: it cannot be read.
    """
    kinds = ("smallint", "integer", "bigint")
    column = next((k[0] for k in relation.keys if len(k) == 1 and relation.columns[k[0]] in kinds), None)
    if column is None or relation.kind == "large objects":
        return None
    bounds = [
        connection.execute(
            sql.SQL("SELECT min({0})::bigint, max({0})::bigint FROM ONLY {1}").format(
                sql.Identifier(column), leaf.identifier
            )
        ).fetchone()
        for leaf in relation.leaves
    ]
    known = [value for row in bounds if row for value in row if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    count = min(bucket_count(relation.estimated_rows), high - low + 1)
    width = -(-(high - low + 1) // count)
    # A range that ends beyond the numbers of a bigint could not be written down.
    return ByRange(column, low, width, count) if low + width * count < 2**63 else None


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    runs = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        runs.append((run[0], run[-1]))
    return runs
