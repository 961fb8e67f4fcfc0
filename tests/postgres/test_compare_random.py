"""Random tables with one random change: found at its row and column; without a change: equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import sql

from cutover.postgres import compare

OnBoth = Callable[[str, str], tuple[str, str]]

TABLES = 20
"""Tables in one example: all of them are compared at once."""

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TYPES: dict[str, st.SearchStrategy[Any]] = {
    "int8": st.integers(-(2**63), 2**63 - 1),
    "int2": st.integers(-(2**15), 2**15 - 1),
    "text": _TEXT,
    "varchar(20)": _TEXT,
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=None).map(str).filter(lambda t: len(t) < 60),
    "float8": st.floats().map(repr),
    "float4": st.floats(width=32, allow_subnormal=False).map(repr),
    "bool": st.booleans(),
    "date": st.dates().map(str),
    "timestamptz": st.datetimes().map(lambda value: f"{value}+00"),
    "interval": st.integers(-(10**12), 10**12).map(lambda us: f"{us} microseconds"),
    "bytea": st.binary(max_size=9).map(lambda value: "\\x" + value.hex()),
    "uuid": st.uuids().map(str),
    "jsonb": st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | _TEXT.filter(lambda t: "\0" not in t),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
        max_leaves=4,
    ).map(lambda value: json.dumps(value, ensure_ascii=False)),
    "text[]": st.lists(st.none() | _TEXT, max_size=4),
    "int4range": st.tuples(st.integers(-9, 9), st.integers(0, 9)).map(lambda p: f"[{p[0]},{p[0] + p[1]})"),
    "bit varying": st.text("01", max_size=9),
    "inet": st.ip_addresses(v=4).map(str),
}


@dataclass(frozen=True)
class Case:
    """A table with its rows and what is changed on the target: `none`, `delete`, `insert`, `value` or `copy`."""

    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    keyed: bool
    change: str
    row: int
    column: int
    value: Any


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One random table and one random change."""
    types = tuple(draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4)))
    one = st.tuples(*(st.none() | TYPES[kind] for kind in types))
    rows = tuple(draw(st.lists(one, min_size=1, max_size=6)))
    column = draw(st.integers(0, len(types) - 1))
    return Case(
        types,
        rows,
        draw(st.booleans()),
        draw(st.sampled_from(["none", "delete", "insert", "value", "copy"])),
        draw(st.integers(0, len(rows) - 1)),
        column,
        draw(st.none() | TYPES[types[column]]),
    )


def _create(connection: psycopg.Connection[Any], name: str, case: Case) -> None:
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(case.types))
    key = "PRIMARY KEY" if case.keyed else ""
    connection.execute(f"CREATE TABLE public.{name} (id int {key}, {columns})".encode())
    holes = ", ".join(f"%s::{kind}" for kind in case.types)
    insert = f"INSERT INTO public.{name} VALUES (%s, {holes})".encode()
    with connection.cursor() as cursor:
        cursor.executemany(insert, [(n if case.keyed else 0, *row) for n, row in enumerate(case.rows)])


def _change(connection: psycopg.Connection[Any], name: str, case: Case) -> bool:
    """Make the change on the target; whether it is one (a value may be replaced by its equal)."""
    table = sql.Identifier("public", name)
    place = connection.execute(
        sql.SQL("SELECT ctid::text FROM {} ORDER BY ctid OFFSET %s LIMIT 1").format(table), (case.row,)
    ).fetchone()
    assert place is not None
    at = sql.SQL("ctid = {}::tid").format(sql.Literal(place[0]))
    if case.change == "delete":
        connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(table, at))
    elif case.change == "insert":
        connection.execute(sql.SQL("INSERT INTO {} (id) VALUES (999)").format(table))
    elif case.change == "copy":
        number = sql.SQL("1000" if case.keyed else "id")
        rest = sql.SQL(", ").join(sql.Identifier(f"c{n}") for n in range(len(case.types)))
        connection.execute(
            sql.SQL("INSERT INTO {0} SELECT {1}, {2} FROM {0} WHERE {3}").format(table, number, rest, at)
        )
    elif case.change == "value":
        column, kind = sql.Identifier(f"c{case.column}"), sql.SQL(case.types[case.column])  # type: ignore[arg-type]
        other = connection.execute(
            sql.SQL("SELECT {0}::text IS DISTINCT FROM %s::{1}::text FROM {2} WHERE {3}").format(
                column, kind, table, at
            ),
            (case.value,),
        ).fetchone()
        connection.execute(sql.SQL("UPDATE {} SET {} = %s::{} WHERE {}").format(table, column, kind, at), (case.value,))
        return bool(other and other[0])
    return case.change != "none"


def _check(sides: tuple[str, str], batch: list[Case]) -> None:
    changed = {}
    for side, url in enumerate(sides):
        with psycopg.connect(url, autocommit=False) as connection:
            connection.execute("SET extra_float_digits = 1; SET TimeZone = 'UTC'")
            for number, case in enumerate(batch):
                _create(connection, f"t{number}", case)
                if side == 1:
                    changed[f"public.t{number}"] = _change(connection, f"t{number}", case)
    found = {table.name: table for table in compare(*sides, catalog=False).tables}
    assert len(found) == len(batch)
    for number, case in enumerate(batch):
        table = found[f"public.t{number}"]
        counts = (table.missing, table.extra, table.different)
        if not changed[table.name]:
            assert table.identical, case
            continue
        wanted = {"delete": (1, 0, 0), "insert": (0, 1, 0), "copy": (0, 1, 0), "value": (1, 1, 0)}[case.change]
        if case.keyed and case.change == "value":
            wanted = (0, 0, 1)
            assert table.examples[0].columns == (f"c{case.column}",), case
        assert counts == wanted, case
        if case.keyed:
            key = {"insert": 999, "copy": 1000}.get(case.change, case.row)
            assert table.examples[0].key == {"id": str(key)}, case


def _run(on_both: OnBoth, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(cases(), min_size=TABLES, max_size=TABLES))
    def law(batch: list[Case]) -> None:
        clear = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        _check(on_both(clear, clear), batch)

    law()


def test_a_random_change_is_found_at_its_row_and_column(on_both: OnBoth) -> None:
    """Two hundred random tables, most with one change."""
    _run(on_both, 10)


@pytest.mark.campaign
def test_a_random_change_is_found_in_a_long_campaign(on_both: OnBoth) -> None:
    """Two thousand random tables."""
    _run(on_both, 100)
