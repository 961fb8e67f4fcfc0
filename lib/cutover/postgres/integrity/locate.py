"""From buckets that differ to the rows and columns that do: only those buckets are read again.

Rows of a keyed relation are paired by key in one ordered pass over both sides; those of a relation without a key are
compared as multisets of hashes. Both sides stream from server-side cursors, so memory does not grow with the table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal

import psycopg
from psycopg import sql

from cutover.postgres.integrity.digest import Cut
from cutover.postgres.integrity.locate_queries import hashed_rows, keyed_rows, keyless_rows, of_buckets
from cutover.postgres.integrity.relations import Relation
from cutover.postgres.integrity.rowhash import Algorithm

Connection = psycopg.Connection[Any]
Difference = Literal["missing", "extra", "different"]

EXAMINED = 1000
"""Of so many differing rows of a table the differing columns are looked up."""

_BATCH = 2000
_COLUMNS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row that is not equal.

    Attributes:
        difference: `missing` on the target, `extra` on the target, or `different`.
        key: the key's columns and values as text; empty for a relation without a key.
        place: where the row stands on the side that has it (source first): leaf and ctid, in this snapshot.
        copies: how many equal rows this line stands for (without a key there may be several).
        columns: the columns that differ, where they were looked up.
        source, target: the values of those columns as text, cut at 200 characters; None unless values were asked for.
    """

    difference: Difference
    key: dict[str, str]
    place: str
    copies: int = 1
    columns: tuple[str, ...] = ()
    source: dict[str, str | None] | None = None
    target: dict[str, str | None] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, empty fields left out."""
        raw = {
            "difference": self.difference,
            "key": self.key,
            "place": self.place,
            "copies": self.copies if self.copies > 1 else None,
            "columns": list(self.columns),
            "source": self.source,
            "target": self.target,
        }
        return {name: value for name, value in raw.items() if value not in (None, [], {})}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> RowDifference:
        """What `to_dict` gave."""
        return cls(
            raw["difference"],
            dict(raw.get("key") or {}),
            str(raw.get("place") or ""),
            int(raw.get("copies") or 1),
            tuple(raw.get("columns") or ()),
            raw.get("source"),
            raw.get("target"),
        )

    def __str__(self) -> str:
        what = ", ".join(f"{k}={v}" for k, v in self.key.items()) or f"row at {self.place}"
        times = f" ×{self.copies}" if self.copies > 1 else ""
        return f"{what} {self.difference}{times}" + (f" in {', '.join(self.columns)}" if self.columns else "")


@dataclass(slots=True)
class Located:
    """All differences of one relation, counted; the first of them named."""

    missing: int = 0
    extra: int = 0
    different: int = 0
    examples: list[RowDifference] = field(default_factory=list)
    columns: Counter[str] = field(default_factory=Counter)
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a session inside the snapshot, and the relation there."""

    connection: Connection
    relation: Relation


Write = Callable[[RowDifference], None]


def locate(
    source: Side,
    target: Side,
    columns: Sequence[str],
    differing: Sequence[int],
    *,
    exact: Collection[str],
    cut: Cut,
    only: sql.Composable | None = None,
    algorithm: Algorithm = "hash",
    show: int = 20,
    values: bool = False,
    write: Write | None = None,
) -> Located:
    """Find every row that differs.

    Args:
        source, target: where to read.
        columns: the columns that are compared, which exist on both sides.
        differing: the buckets whose sums differ.
        exact: the columns that the digests hashed by a form of their own.
        cut: how rows were put into buckets.
        only: a condition on the row `t` that leads to those buckets; all rows are read by default.
        algorithm: the one that the digests used.
        show: how many rows to name in the result.
        values: put values into what is named and written, not only keys.
        write: called for every differing row, in order.

    Raises:
        psycopg.Error: a side could not be read to the end; then nothing may be concluded.
    """
    key = _common_key(source.relation, target.relation, columns)
    found = Located(key=key)
    query = keyed_rows if key else keyless_rows
    chosen = of_buckets(differing, cut.count)
    hashed = (hashed_rows(side.relation, columns, key, exact, cut, only, algorithm) for side in (source, target))
    queries = [query(rows, key, chosen) for rows in hashed]
    streams = [_stream(side.connection, queries[number], number) for number, side in enumerate((source, target))]
    with ThreadPoolExecutor(2) as pool:  # both servers sort at the same time
        firsts = [future.result() for future in [pool.submit(next, stream, None) for stream in streams]]
    rows = [_chain(first, stream) for first, stream in zip(firsts, streams, strict=True)]
    pairs = _pair_keyed(rows[0], rows[1], key) if key else _pair_keyless(rows[0], rows[1])
    pending: list[_Pending] = []
    looked = 0
    for difference, here, there in pairs:
        if difference.difference == "missing":
            found.missing += difference.copies
        elif difference.difference == "extra":
            found.extra += difference.copies
        else:
            found.different += 1
        look = difference.difference == "different" and looked < max(EXAMINED, show)
        looked += look
        pending.append(_Pending(difference, here, there, look))
        if len(pending) >= _COLUMNS_AT_ONCE:
            _flush(pending, source, target, columns, found, show=show, values=values, write=write)
    _flush(pending, source, target, columns, found, show=show, values=values, write=write)
    return found


@dataclass(frozen=True, slots=True)
class _Pending:
    """A difference with its places on both sides ("" where it is not), and whether its columns are to be looked up."""

    difference: RowDifference
    here: str
    there: str
    look: bool


def _common_key(source: Relation, target: Relation, columns: Sequence[str]) -> tuple[str, ...]:
    """The source's best candidate key whose columns are compared; else the target's; else none."""
    for relation in (source, target):
        for key in relation.keys:
            if set(key) <= set(columns):
                return key
    return ()


def _stream(connection: Connection, query: sql.Composed, number: int) -> Iterator[tuple[Any, ...]]:
    with connection.transaction(), connection.cursor(name=f"cutover_locate_{number}") as cursor:
        cursor.itersize = _BATCH
        cursor.execute(query)
        yield from cursor


def _chain(first: tuple[Any, ...] | None, rest: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    if first is not None:
        yield first
        yield from rest


Pairs = Iterator[tuple[RowDifference, str, str]]
"""A difference with its places on the source and on the target ("" where it is not)."""


@dataclass(slots=True)
class _Group:
    """Rows of one identity on one side: how many, and where the first one is."""

    copies: int = 0
    place: str = ""


def _groups(stream: Iterator[tuple[Any, ...]], width: int) -> Iterator[tuple[tuple[Any, ...], _Group]]:
    """Rows that agree in their first `width` columns, counted as they pass by."""
    for identity, rows in groupby(stream, itemgetter(*range(width))):
        group = _Group()
        for row in rows:
            group.copies += 1 if len(row) == width + 1 else row[width]
            group.place = group.place or row[-1]
        yield identity, group


def _merge(
    source: Iterator[tuple[Any, ...]], target: Iterator[tuple[Any, ...]], width: int
) -> Iterator[tuple[tuple[Any, ...], _Group, _Group]]:
    """Both ordered streams by their first `width` columns; no more than one group of a side is held."""
    streams = [_groups(stream, width) for stream in (source, target)]
    heads = [next(stream, None) for stream in streams]
    while heads[0] is not None or heads[1] is not None:
        identity = min(head[0] for head in heads if head is not None)
        both = [_Group(), _Group()]
        for side in (0, 1):
            head = heads[side]
            if head is not None and head[0] == identity:
                both[side] = head[1]
                heads[side] = next(streams[side], None)
        yield identity, both[0], both[1]


def _pair_keyed(source: Iterator[tuple[Any, ...]], target: Iterator[tuple[Any, ...]], key: tuple[str, ...]) -> Pairs:
    # A key may occur more than once where its constraint is broken or gone: equal rows cancel, the rest is paired.
    for text, rows in groupby(_merge(source, target, 3), lambda merged: merged[0][0]):
        name: dict[str, str] = {}
        left: list[str] = []
        right: list[str] = []
        for _, ours, theirs in rows:
            surplus = ours.copies - theirs.copies
            if not surplus:
                continue
            name = name or dict(zip(key, json.loads(bytes(text)), strict=True))
            waiting, place = (left, ours.place) if surplus > 0 else (right, theirs.place)
            room = max(0, min(abs(surplus), _WAITING - len(waiting)))
            waiting += [place] * room
            if abs(surplus) > room:
                yield _alone(name, surplus > 0, place, abs(surplus) - room)
        for mine, other in zip(left, right, strict=False):
            yield RowDifference("different", name, mine), mine, other
        for place in left[len(right) :]:
            yield _alone(name, True, place)
        for place in right[len(left) :]:
            yield _alone(name, False, place)


_WAITING = 1000
"""So many rows of one key wait to be paired; a key that is broken in more rows has the others counted one-sided."""


def _alone(key: dict[str, str], on_source: bool, place: str, copies: int = 1) -> tuple[RowDifference, str, str]:
    if on_source:
        return RowDifference("missing", key, place, copies), place, ""
    return RowDifference("extra", key, place, copies), "", place


def _pair_keyless(source: Iterator[tuple[Any, ...]], target: Iterator[tuple[Any, ...]]) -> Pairs:
    for _, ours, theirs in _merge(source, target, 2):
        surplus = ours.copies - theirs.copies
        if surplus:
            yield _alone({}, surplus > 0, ours.place if surplus > 0 else theirs.place, abs(surplus))


def _flush(
    pending: list[_Pending],
    source: Side,
    target: Side,
    columns: Sequence[str],
    found: Located,
    *,
    show: int,
    values: bool,
    write: Write | None,
) -> None:
    """Look up the differing columns of what is pending, then name and write it."""
    wanted = [(item.here, item.there) for item in pending if item.look]
    ours, theirs = (_columns_at(side, columns, [pair[n] for pair in wanted]) for n, side in enumerate((source, target)))
    for item in pending:
        line, here, there = item.difference, item.here, item.there
        if item.look and here in ours and there in theirs:
            pairs = zip(columns, ours[here], theirs[there], strict=True)
            names = tuple(name for name, one, other in pairs if one != other)
            found.columns.update(names)
            line = RowDifference("different", line.key, _place(source, here), columns=names)
        else:
            side, place = (source, here) if here else (target, there)
            line = RowDifference(line.difference, line.key, _place(side, place), line.copies)
        named = len(found.examples) < show
        if values and named:
            line = _with_values(line, source, target, columns, here, there)
        if named:
            found.examples.append(line)
        if write:
            write(line)
    pending.clear()


def _with_values(
    line: RowDifference, source: Side, target: Side, columns: Sequence[str], here: str, there: str
) -> RowDifference:
    shown = line.columns or tuple(columns)
    texts = [
        dict(zip(shown, found, strict=True))
        if place and (found := _columns_at(side, shown, [place], text=True).get(place))
        else None
        for side, place in ((source, here), (target, there))
    ]
    return RowDifference(line.difference, line.key, line.place, line.copies, line.columns, texts[0], texts[1])


def _columns_at(
    side: Side, columns: Sequence[str], places: Sequence[str], *, text: bool = False
) -> dict[str, list[Any]]:
    """By place, what each column of the row there is: a SHA-256 of its text, or its text cut at 200 characters."""
    found: dict[str, list[Any]] = {}
    # By the type's output function, as in the digest: a cast to text would strip the blanks of a char(n).
    form = "left(CASE num_nulls({0}) WHEN 0 THEN format('%s', {0}) END, 200)"
    one = sql.SQL(form if text else "sha256(convert_to(ROW({0})::text, 'UTF8'))")
    for number in {place.split(":", 1)[0] for place in places}:
        tids = [place.split(":", 1)[1] for place in places if place.split(":", 1)[0] == number]
        # No parameters: a name with a percent sign would be taken for one.
        query = sql.SQL("SELECT t.ctid::text, ARRAY[{}] FROM ONLY {} t WHERE t.ctid = ANY ({}::tid[])").format(
            sql.SQL(", ").join(one.format(side.relation.expression(column)) for column in columns),
            side.relation.leaves[int(number)].identifier,
            sql.Literal("{" + ",".join(f'"{tid}"' for tid in tids) + "}"),
        )
        with suppress(psycopg.DataError), side.connection.transaction():
            for tid, row in side.connection.execute(query):
                found[f"{number}:{tid}"] = list(row)
    return found


def _place(side: Side, place: str) -> str:
    number, tid = place.split(":", 1)
    leaf = side.relation.leaves[int(number)]
    return f"{leaf.schema}.{leaf.name} ctid {tid}"
