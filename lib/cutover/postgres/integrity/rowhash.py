"""One row, two 64-bit hashes, computed inside the server: SQL that tells apart whatever the row's text tells apart.

A value is hashed in the cheapest form that is exact. Integers, booleans, uuids and texts have a hash function of their
own that can be called from SQL and loses nothing: each column is hashed with a seed of its own, and the hashes are
XORed. Other numbers and times are hashed in the bytes that the server sends of them (numeric with its scale, a float's
every bit), and all else, together, by the text `ROW(…)::text`, which tells NULL, '' and 'NULL' apart, and where one
column ends and the next begins; these make one record, whose hash is XORed too. Forms are chosen per column, and only
where both sides have the same type; otherwise the text decides.

XOR, and `hash_record_extended` (which combines the columns' hashes as 31·r + h, rowtypes.c), are linear, so a sum over
rows would not see two values change places. The last step, `hashint8extended(a, b)` over the two hashes, is not linear
(hashfn.c: hash_bytes_uint32_extended).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from cutover.postgres.integrity.relations import Relation

Algorithm = Literal["hash", "sha256"]

SEEDS = (0, 8_675_309)
"""The seeds of the two hashes."""

_PLAIN = "{}"
_TEXT = '{}::text COLLATE "C"'
# concat() takes the type's own output function, whatever casts to text there are; it makes '' of NULL, hence CASE.
_OUTPUT = 'CASE WHEN {0} IS NULL THEN NULL ELSE concat({0}) END COLLATE "C"'
_FORMS = {
    **dict.fromkeys(("boolean", "smallint", "integer", "oid", "uuid", "date", "bytea"), _PLAIN),
    **dict.fromkeys(("text", "character varying"), _TEXT),
    **dict.fromkeys(("character", "bpchar", "json", "jsonb"), _OUTPUT),
    "bigint": "int8send({})",
    "numeric": "numeric_send({})",
    # A NaN may have any payload; text, and so a dump, has one NaN only.
    "real": "float4send(CASE WHEN {0} = 'NaN' THEN 'NaN' ELSE {0} END)",
    "double precision": "float8send(CASE WHEN {0} = 'NaN' THEN 'NaN' ELSE {0} END)",
    "timestamp without time zone": "timestamp_send({})",
    "timestamp with time zone": "timestamptz_send({})",
    "time without time zone": "time_send({})",
    "time with time zone": "timetz_send({})",
    "interval": "interval_send({})",
}
"""How a value of a built-in type is hashed; the names are format_type's, without modifiers.

The hash functions of bigint and of times fold 64 bits into 32, that of numeric does not see the scale, those of floats
take -0 for 0: so the bytes that these types send are hashed instead. A type of the user's own, whose number is another
on every server, is never here: format_type writes it with its schema.
"""


_DIRECT = {
    "boolean": "hashint4extended({0}::integer, {1})",
    "smallint": "hashint2extended({0}, {1})",
    "integer": "hashint4extended({0}, {1})",
    # The function folds 64 bits into 32; the seed, which it takes whole, carries all of them.
    "bigint": "hashint8extended({0}, {0} # ({1})::bigint)",
    "oid": "hashoidextended({0}, {1})",
    "uuid": "uuid_hash_extended({0}, {1})",
    "text": 'hashtextextended({0}::text COLLATE "C", {1})',
    "character varying": 'hashtextextended({0}::text COLLATE "C", {1})',
    # Without its padding, which its type says: every value of a character(n) is padded to n.
    "character(n)": 'hashbpcharextended({0} COLLATE "C", {1})',
}
"""Hash functions of a type that lose nothing, by a value and a seed; a record costs three times as much."""
_MOST_DIRECT = 200
"""More columns would nest the expression too deep; the others go into the record."""
_MODIFIERS = re.compile(r"\((\d+)(, ?-?\d+)?\)")


def form(kind: str) -> str:
    """How a value of this type is hashed, as a template of SQL; empty when its text decides."""
    return _FORMS.get(_MODIFIERS.sub("", kind), "")


def _direct(kind: str) -> str:
    bare = _MODIFIERS.sub("", kind)
    return _DIRECT.get("character(n)" if bare == "character" != kind else bare, "")


def row_text(relation: Relation, columns: Sequence[str]) -> sql.Composable:
    """The exact text of the row `t`; in byte order, so that no collation has a say."""
    inside = sql.SQL(", ").join(relation.expression(column) for column in columns)
    return sql.SQL('ROW({})::text COLLATE "C"').format(inside)


def row_sha256(relation: Relation, columns: Sequence[str]) -> sql.Composable:
    """SQL for the SHA-256 of the text of the row `t`, in hexadecimal: the same on every machine, in every encoding."""
    # It needs neither pgcrypto nor md5 (refused under FIPS).
    return sql.SQL("encode(sha256(convert_to({}, 'UTF8')), 'hex')").format(row_text(relation, columns))


@dataclass(frozen=True, slots=True)
class RowHash:
    """SQL for the hashes of a row, in two steps, so that nothing is computed twice.

    Attributes:
        inner: what is read of the row `t`, with names.
        raw: `a` and `b`, two 64-bit integers, from what `inner` named.
    """

    inner: sql.Composable
    raw: sql.Composable


def row_hash(relation: Relation, columns: Sequence[str], exact: Collection[str], algorithm: Algorithm) -> RowHash:
    """How a row is hashed.

    Args:
        relation: where it is read.
        columns: the columns, in the same order on both sides.
        exact: those of them that have the same type on both sides, one that has a form of its own.
        algorithm: how it is hashed.
    """
    if algorithm == "sha256":
        cut = [sql.SQL(f"('x' || substr(x, {at}, 16))::bit(64)::bigint") for at in (1, 17)]
        inner = sql.SQL("{} AS x").format(row_sha256(relation, columns))
        return RowHash(inner, sql.SQL("{} AS a, {} AS b").format(*cut))
    kinds = {column: _direct(relation.columns[column]) for column in columns if column in exact}
    alone = [column for column in columns if kinds.get(column)][:_MOST_DIRECT]
    values: list[sql.Composable] = [
        sql.SQL(form(relation.columns[column])).format(relation.expression(column))
        for column in columns
        if column in exact and column not in alone
    ]
    if others := [column for column in columns if column not in exact]:
        values.append(row_text(relation, others))
    read: list[sql.Composable] = []
    halves: list[sql.Composable] = []
    for name, seed, half in zip("pq", SEEDS, _HALVES, strict=True):
        terms = []
        for place, column in enumerate(columns):
            if column in alone:
                value = sql.SQL(kinds[column]).format(relation.expression(column), sql.Literal(_spread(place, half)))
                terms.append(sql.SQL("coalesce({}, {})").format(value, sql.Literal(_spread(~place, half))))
        parts: list[sql.Composable] = []
        if terms:
            read.append(sql.SQL("{} AS {}").format(sql.SQL(" # ").join(terms), sql.SQL(name)))
            parts.append(sql.SQL(name))
        if values or not terms:
            parts.append(sql.SQL("hash_record_extended(x, {})").format(sql.Literal(seed)))
        halves.append(sql.SQL(" # ").join(parts))
    if values or not alone:
        read.append(sql.SQL("ROW({}) AS x").format(sql.SQL(", ").join(values)))
    return RowHash(sql.SQL(", ").join(read), sql.SQL("{} AS a, {} AS b").format(*halves))


_HALVES = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)
"""Odd, with well-spread bits; multiplied by a column's place they give seeds that have nothing in common."""


def _spread(place: int, half: int) -> int:
    """A 64-bit seed of one column, for one of the two hashes."""
    whole = (place + 1 if place >= 0 else place) * half % 2**64
    return whole - 2**64 if whole >= 2**63 else whole


def mixed(algorithm: Algorithm) -> tuple[sql.Composable, sql.Composable]:
    """SQL for the two hashes that are summed, from `a` and `b`."""
    if algorithm == "hash":
        return sql.SQL("hashint8extended(a, b)"), sql.SQL("hashint8extended(b, a)")
    return sql.SQL("a"), sql.SQL("b")


def self_test(connection: psycopg.Connection[Any]) -> str:
    """Compare this server's hashes with known answers; empty when they agree, else what differs."""
    names = [f"c{number}" for number in range(len(_VALUES))]
    columns = {name: kind for name, (kind, _) in zip(names, _VALUES, strict=True)}
    relation = Relation("", "table", columns, (), (), 0)
    exact = {name for name, kind in columns.items() if form(kind)}
    literals = sql.SQL(", ").join(
        sql.SQL("{}::{} AS {}").format(sql.Literal(value), sql.SQL(kind), sql.Identifier(name))
        for name, (kind, value) in zip(names, _VALUES, strict=True)
    )
    first, second = mixed("hash")
    for choice, known in _KNOWN.items():
        chosen = {"all": names, "none": []}.get(choice, [f"c{choice}"])
        how = row_hash(relation, chosen, exact, "hash")
        query = sql.SQL("SELECT {}, {} FROM (SELECT {} FROM (SELECT {} FROM (SELECT {}) t OFFSET 0) q) z").format(
            first, second, how.raw, how.inner, literals
        )
        try:
            with connection.transaction():
                row = connection.execute(query).fetchone()
        except psycopg.Error as error:
            return f"its row hash is not available: {' '.join(str(error).split())}"
        if row != known:
            return f"its row hash of the known values ({choice}) gives {row}, known is {known}"
    return ""


_VALUES: tuple[tuple[str, str | None], ...] = (
    ("boolean", "t"),
    ("smallint", "-2"),
    ("integer", "123456789"),
    ("integer", None),
    ("bigint", "-4294967297"),
    ("oid", "4294967295"),
    ("uuid", "0e37df36-f698-11e6-8dd4-cb9ced3df976"),
    ("date", "1999-01-08"),
    ("bytea", "\\x00ff"),
    ("text", 'Straße, "quoted" \\'),
    ("text", ""),
    ("text", None),
    ("character varying(20)", "x "),
    ("character(4)", "x"),
    ("json", '{"a":  1}'),
    ("jsonb", '{"a": 1.0}'),
    ("numeric", "12345678901234567890.100"),
    ("numeric", "NaN"),
    ("real", "0.1"),
    ("double precision", "-0"),
    ("double precision", "NaN"),
    ("timestamp without time zone", "2024-02-29 12:34:56.000001"),
    ("timestamp with time zone", "infinity"),
    ("time without time zone", "23:59:59.999999"),
    ("time with time zone", "12:00:00+05:30"),
    ("interval", "1 mon -1 day 00:00:01"),
    ("integer[]", "[0:1]={1,NULL}"),
)
"""Values of every form, which every server must hash to the known answers."""

_KNOWN: dict[str, tuple[int, int]] = {
    "all": (341735656710882824, -5974316371909583545),
    "none": (4154612158245552303, 4154612158245552303),
    "0": (7174475078779098363, 3113934021899556039),
    "2": (-514740402147735365, -6425385213970529915),
    "4": (-4119342097560757832, 7761675999730643458),
    "6": (-2206259371299820039, -4536117820327474954),
    "9": (7027090803595449742, -6683687773709098693),
    "12": (6657552030160426064, -5224248114836084911),
    "16": (5665713330621352955, 1158101156269019779),
}
"""The hashes of all of `_VALUES` as one row, of the empty row, and of single values; PostgreSQL 16, 17 and 18."""
