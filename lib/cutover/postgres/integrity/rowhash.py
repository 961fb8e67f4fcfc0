"""One row, two 64-bit hashes, computed inside the server: SQL that tells apart whatever the row's text tells apart.

A value is hashed in the cheapest form that is exact: integers as they are, numbers and times in the bytes that the
server sends of them (numeric with its scale, a float's every bit), text by its bytes; all else, together, by the text
`ROW(…)::text`, which tells NULL, '' and 'NULL' apart, and where one column ends and the next begins. Forms are chosen
per column, and only where both sides have the same type; otherwise the text decides.

`hash_record_extended` combines the columns' hashes as 31·r + h (record_recv's neighbour in rowtypes.c), which is
linear, so a sum over rows would not see two values change places. The last step, `hashint8extended(a, b)` over the two
linear hashes, is not linear (hashfn.c: hash_bytes_uint32_extended).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
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


def form(kind: str) -> str:
    """How a value of this type is hashed, as a template of SQL; empty when its text decides."""
    return _FORMS.get(re.sub(r"\(\d+(, ?-?\d+)?\)", "", kind), "")


def row_text(relation: Relation, columns: Sequence[str]) -> sql.Composable:
    """The exact text of the row `t`; in byte order, so that no collation has a say."""
    inside = sql.SQL(", ").join(relation.expression(column) for column in columns)
    return sql.SQL('ROW({})::text COLLATE "C"').format(inside)


def row_value(
    relation: Relation, columns: Sequence[str], exact: Collection[str], algorithm: Algorithm
) -> sql.Composable:
    """SQL for what is hashed of the row `t`.

    Args:
        relation: where it is read.
        columns: the columns, in the same order on both sides.
        exact: those of them that have the same type on both sides, one that has a form of its own.
        algorithm: how it is hashed.
    """
    if algorithm == "sha256":
        # The same on every machine and in every encoding; it needs neither pgcrypto nor md5 (refused under FIPS).
        return sql.SQL("encode(sha256(convert_to({}, 'UTF8')), 'hex')").format(row_text(relation, columns))
    values: list[sql.Composable] = [
        sql.SQL(form(relation.columns[column])).format(relation.expression(column))
        for column in columns
        if column in exact
    ]
    others = [column for column in columns if column not in exact]
    if others:
        values.append(row_text(relation, others))
    return sql.SQL("ROW({})").format(sql.SQL(", ").join(values))


def raw_hashes(algorithm: Algorithm) -> sql.Composable:
    """SQL for `a` and `b`, two 64-bit integers, from the value `x` of `row_value`."""
    if algorithm == "hash":
        halves = [sql.SQL("hash_record_extended(x, {})").format(sql.Literal(seed)) for seed in SEEDS]
    else:
        halves = [sql.SQL(f"('x' || substr(x, {at}, 16))::bit(64)::bigint").format() for at in (1, 17)]
    return sql.SQL("{} AS a, {} AS b").format(*halves)


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
        query = sql.SQL("SELECT {}, {} FROM (SELECT {} FROM (SELECT {} AS x FROM (SELECT {}) t OFFSET 0) q) z").format(
            first, second, raw_hashes("hash"), row_value(relation, chosen, exact, "hash"), literals
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
    "all": (1921592183016153752, -534286335783143575),
    "none": (4154612158245552303, 4154612158245552303),
    "2": (-4844859118930403119, 2372337588735027371),
    "9": (-7525906236619780924, 7901191887214746954),
    "16": (5665713330621352955, 1158101156269019779),
}
"""The hashes of all of `_VALUES` as one row, of the empty row, and of single values; PostgreSQL 16, 17 and 18."""
