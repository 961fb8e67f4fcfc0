"""The mutation campaign on types: whatever a type tells apart, the comparison tells apart, at the right row and column.

Every type has a ladder of values that are easily taken for one another. A case is one table with one subtle change on
the target; hundreds of cases are compared at once. `make test` takes a sample of each type and of each change,
`make test-all` takes them all.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from ladders import EXTENSION_TYPES, LADDERS, UNORDERED, XML, databases, drop_schema, typed

from cutover.postgres import TableComparison, compare
from cutover.rehearsal.postgres import Server


@dataclass(frozen=True)
class Case:
    """One table on both sides, and what the comparison must say of it.

    Attributes:
        name: what is changed, in words.
        create: the table after its name: `(id int PRIMARY KEY, v text)`.
        source, target: the rows, as SQL.
        missing, extra, different: how many rows it must count.
        ids: the keys it must name; None where there is no key.
        columns: the columns it must name, where rows are different.
        more: further statements on both sides; `{t}` is the table.
        moved: the statement that makes the change on the target, after its rows are in; `{t}` is the table.
    """

    name: str
    create: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    missing: int = 0
    extra: int = 0
    different: int = 0
    ids: frozenset[str] | None = frozenset()
    columns: tuple[str, ...] = ()
    more: str = ""
    moved: str = ""

    def sql(self, table: str, side: int) -> str:
        """The statements that make it on one side; the target's rows are put in in another order."""
        rows = self.source if side == 0 else tuple(reversed(self.target))
        text = f"CREATE TABLE {table} {self.create};" + self.more.format(t=table)
        text += f"INSERT INTO {table} VALUES {', '.join(rows)};" if rows else ""
        return text + (self.moved.format(t=table) if side else "")

    def wrong(self, found: TableComparison | None) -> str:
        """What the comparison says wrongly; empty when it is right."""
        if found is None:
            return f"{self.name}: was not looked at"
        counts = (found.missing, found.extra, found.different)
        if counts != (self.missing, self.extra, self.different) or found.not_compared:
            return f"{self.name}: (missing, extra, different) = {counts}, {found.not_compared}"
        if any(counts) and self.ids is not None and {e.key.get("id") for e in found.examples} != self.ids:
            return f"{self.name}: at {[e.key for e in found.examples]}"
        wrong = [e.columns for e in found.examples if e.difference == "different" and e.columns != self.columns]
        return f"{self.name}: in columns {wrong}" if wrong else ""


def pairs(kind: str, ladder: Sequence[str]) -> Iterator[Case]:
    """One row holds another value on the target: every two values of the ladder, and NULL."""
    others = [*ladder, "NULL"]
    crowd = tuple(f"({100 + n}, {typed(value, kind)})" for n, value in enumerate(others * 2))
    for one, other in itertools.combinations(others, 2):
        yield Case(
            f"{kind}: {one} becomes {other}",
            f"(id int PRIMARY KEY, v {kind})",
            (*crowd, f"(7, {typed(one, kind)})"),
            (*crowd, f"(7, {typed(other, kind)})"),
            different=1,
            ids=frozenset({"7"}),
            columns=("v",),
        )


def changes(kind: str, ladder: Sequence[str]) -> Iterator[Case]:
    """All the other changes, with the first two values of the ladder."""
    a, b = (typed(value, kind) for value in ladder[:2])
    crowd = tuple(f"({100 + n}, {typed(value, kind)}, {n})" for n, value in enumerate(ladder))
    bare = tuple(f"({typed(value, kind)}, {n})" for n, value in enumerate(ladder))
    keyed, keyless = f"(id int PRIMARY KEY, v {kind}, n int)", f"(v {kind}, n int)"

    def case(name: str, create: str, source: tuple[str, ...], target: tuple[str, ...], **wanted: object) -> Case:
        return Case(f"{kind}: {name}", create, source, target, **wanted)  # type: ignore[arg-type]

    yield case("nothing is changed", keyed, crowd, crowd)
    yield case("nothing is changed, no key", keyless, bare * 2, bare * 2)
    yield case(
        "two rows swap their values",
        keyed,
        (*crowd, f"(1, {a}, 1)", f"(2, {b}, 1)"),
        (*crowd, f"(1, {b}, 1)", f"(2, {a}, 1)"),
        different=2,
        ids=frozenset({"1", "2"}),
        columns=("v",),
    )
    yield case(
        "two columns swap their values",
        f"(id int PRIMARY KEY, v {kind}, w {kind})",
        (f"(1, {a}, {b})", f"(2, {a}, {b})"),
        (f"(1, {a}, {b})", f"(2, {b}, {a})"),
        different=1,
        ids=frozenset({"2"}),
        columns=("v", "w"),
    )
    yield case(
        "NULL moves to the next column",
        f"(id int PRIMARY KEY, v {kind}, w {kind})",
        (f"(1, {a}, NULL)",),
        (f"(1, NULL, {a})",),
        different=1,
        ids=frozenset({"1"}),
        columns=("v", "w"),
    )
    yield case(
        "a pair that makes up for itself",
        keyed,
        (*crowd, f"(1, {a}, 5)", f"(2, {b}, 6)"),
        (*crowd, f"(1, {b}, 6)", f"(2, {a}, 5)"),
        different=2,
        ids=frozenset({"1", "2"}),
        columns=("n", "v"),
    )
    yield case(
        "a pair of duplicates is another pair, no key",
        keyless,
        (*bare, *[f"({a}, 99)"] * 2),
        (*bare, *[f"({b}, 99)"] * 2),
        missing=2,
        extra=2,
        ids=None,
    )
    yield case(
        "a pair of duplicates is NULL, no key",
        keyless,
        (*bare, *[f"({a}, 99)"] * 2),
        (*bare, *["(NULL, 99)"] * 2),
        missing=2,
        extra=2,
        ids=None,
    )
    yield case("a copy is lost, no key", keyless, (*bare, *bare, *bare), (*bare, *bare, *bare[1:]), missing=1, ids=None)
    yield case("a copy is added, no key", keyless, bare, (*bare, bare[0]), extra=1, ids=None)
    yield case("a row is lost", keyed, (*crowd, f"(7, {a}, 1)"), crowd, missing=1, ids=frozenset({"7"}))
    yield case("a row is added", keyed, crowd, (*crowd, f"(7, {a}, 1)"), extra=1, ids=frozenset({"7"}))
    yield case(
        "a row gets another key",
        keyed,
        (*crowd, f"(7, {a}, 1)"),
        (*crowd, f"(8, {a}, 1)"),
        missing=1,
        extra=1,
        ids=frozenset({"7", "8"}),
    )
    yield case(
        "a row moves to another partition",
        f"(id int PRIMARY KEY, v {kind}) PARTITION BY RANGE (id)",
        (f"(1, {a})", f"(2, {a})"),
        (f"(1, {a})", f"(2, {a})"),
        more="CREATE TABLE {t}_p PARTITION OF {t} FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE {t}_q PARTITION OF {t} FOR VALUES FROM (50) TO (100);",
        moved="UPDATE {t} SET id = 52 WHERE id = 2;",
        missing=1,
        extra=1,
        ids=frozenset({"2", "52"}),
    )
    yield case(
        "a value changes in one of several partitions",
        f"(id int PRIMARY KEY, v {kind}) PARTITION BY HASH (id)",
        tuple(f"({n}, {a})" for n in range(9)),
        tuple(f"({n}, {b if n == 5 else a})" for n in range(9)),
        more="".join(
            f"CREATE TABLE {{t}}_{n} PARTITION OF {{t}} FOR VALUES WITH (MODULUS 3, REMAINDER {n});" for n in range(3)
        ),
        different=1,
        ids=frozenset({"5"}),
        columns=("v",),
    )
    yield case(
        "a row moves from a child to its parent",
        f"(id int PRIMARY KEY, v {kind})",
        (),
        (f"(1, {a})",),
        more="CREATE TABLE {t}_child (PRIMARY KEY (id)) INHERITS ({t});",
        extra=1,
        ids=frozenset({"1"}),
    )
    if kind in UNORDERED:
        return
    distinct = f"(id {kind} PRIMARY KEY, n int)"
    # What the type's own equality calls the same (1 and 1.0) cannot stand in one key twice.
    yield case("a key of this type is lost", distinct, (f"({a}, 1)",), (), missing=1, ids=None)
    yield case("a key of this type is another", distinct, (f"({a}, 1)",), (f"({b}, 1)",), missing=1, extra=1, ids=None)
    yield case(
        "a value beside a key of this type",
        distinct,
        (f"({a}, 1)",),
        (f"({a}, 2)",),
        different=1,
        ids=None,
        columns=("n",),
    )


def boundaries() -> Iterator[Case]:
    """Where one column ends and the next begins, whatever stands at the border."""
    for mark in ("", ",", '"', "(", ")", "|", "\\", " ", "\t", '","', '""'):
        for one, other in ((("a" + mark, "b"), ("a", mark + "b")), (("a" + mark + "b", ""), ("a", mark + "b"))):
            if one == other:
                continue
            rows = [f"(1, $${x}$$, $${y}$$)" for x, y in (one, other)]
            yield Case(
                f"text: {one} becomes {other}",
                "(id int PRIMARY KEY, v text, w text)",
                (rows[0],),
                (rows[1],),
                different=1,
                ids=frozenset({"1"}),
                columns=tuple(c for c, x, y in zip("vw", one, other, strict=True) if x != y),
            )


def cases_of(kind: str, ladder: Sequence[str]) -> list[Case]:
    """All cases of one type."""
    return [*changes(kind, ladder), *pairs(kind, ladder), *(boundaries() if kind == "text" else ())]


def sample() -> list[Case]:
    """Of every type the most easily confused pair, another pair, and two changes: each change is met by many types."""
    taken: list[Case] = []
    for number, (kind, ladder) in enumerate(LADDERS.items()):
        several, two = list(changes(kind, ladder)), list(pairs(kind, ladder))
        taken += [several[(2 * number + n) % len(several)] for n in range(2)]
        taken += [two[0], two[1 + number % (len(two) - 1)]]
    return [*taken, *itertools.islice(boundaries(), 0, None, 3)]


@contextmanager
def tables_of(
    sides: tuple[str, str], cases: Sequence[Case]
) -> Iterator[Callable[[Sequence[TableComparison]], list[str]]]:
    """Every case's table on both sides; gives what tells, of what was compared, what was said wrongly."""
    schema = f"cases_{secrets.token_hex(4)}"

    def wrong(compared: Sequence[TableComparison]) -> list[str]:
        found = {table.name: table for table in compared}
        return [line for n, case in enumerate(cases) if (line := case.wrong(found.get(f"{schema}.t{n}")))]

    try:
        for side, url in enumerate(sides):
            text = "".join(case.sql(f"{schema}.t{n}", side) for n, case in enumerate(cases))
            with psycopg.connect(url, autocommit=True, options="-c search_path=public,kinds") as connection:
                connection.execute(f"CREATE SCHEMA {schema}".encode())
                connection.execute(text.encode())
        yield wrong
    finally:
        for url in sides:
            drop_schema(url, schema)


def compare_cases(sides: tuple[str, str], cases: Sequence[Case]) -> list[str]:
    """Compare all cases at once; what was said wrongly."""
    with tables_of(sides, cases) as wrong:
        return wrong(compare(*sides, catalog=False, jobs=2).tables)


@pytest.fixture(scope="module")
def sides(pg17: Server, pg18: Server) -> Iterator[tuple[str, str]]:
    """A database on a 17 and one on an 18, with the types and extensions that the ladders need."""
    with databases(pg17, pg18) as made:
        yield made


def test_a_sample_of_every_type_and_of_every_change_is_found(sides: tuple[str, str]) -> None:
    """Three hundred tables, one change in each: found, at its row and in its column; none where there is none."""
    cases = sample()
    assert len(cases) >= 300
    assert compare_cases(sides, cases) == []


def test_the_values_of_a_ladder_are_told_apart_by_the_type_itself(sides: tuple[str, str]) -> None:
    """The campaign claims differences only where the type's binary form differs too: no case is an idle one."""
    with psycopg.connect(sides[1], autocommit=True, options="-c search_path=public,kinds") as connection:
        for kind, ladder in LADDERS.items():
            query = " UNION ALL ".join(f"SELECT {typed(value, kind)}" for value in ladder).encode()
            try:
                cursor = connection.cursor(binary=True).execute(query)
            except psycopg.errors.UndefinedFunction:
                cursor = connection.execute(query)  # it has no binary form
            assert cursor.pgresult is not None
            assert len({cursor.pgresult.get_value(n, 0) for n in range(len(ladder))}) == len(ladder), kind


@pytest.mark.campaign
@pytest.mark.parametrize("first", range(0, len(LADDERS), 6))
def test_every_change_of_every_type_is_found(first: int, sides: tuple[str, str]) -> None:
    """All cases of six types."""
    chosen = list(LADDERS.items())[first : first + 6]
    cases = [case for kind, ladder in chosen for case in cases_of(kind, ladder)]
    wrong = []
    for start in range(0, len(cases), 400):
        wrong += compare_cases(sides, cases[start : start + 400])
    assert wrong == []


def test_the_campaign_has_two_thousand_cases() -> None:
    """What `make test-all` runs in this file."""
    cases = [case for kind, ladder in LADDERS.items() for case in cases_of(kind, ladder)]
    assert len(cases) >= 2000
    assert len({case.name for case in cases}) == len(cases)
    assert all(re.search(r"^[^:]+: ", case.name) for case in cases)


def _bare(kinds: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The ladders that need no extension."""
    return {kind: ladder for kind, ladder in kinds.items() if kind not in EXTENSION_TYPES}


def test_every_change_of_xml_is_found(system_postgres: Server) -> None:
    """The embedded servers are built without libxml, so this one runs where the machine has a PostgreSQL with it."""
    with databases(system_postgres, system_postgres, extensions=False) as both:
        with psycopg.connect(both[0], autocommit=True) as connection:
            try:
                connection.execute("SELECT '<a/>'::xml")
            except psycopg.errors.FeatureNotSupported:
                pytest.skip("this machine's PostgreSQL is built without libxml")
        assert compare_cases(both, cases_of("xml", XML)) == []


@pytest.mark.campaign
def test_types_are_told_apart_from_an_older_major_to_the_newest(pg16: Server, pg18: Server) -> None:
    """Each change of each type that needs no extension, and one pair of its values, from 16 to 18."""
    chosen = [
        case for kind, ladder in _bare(LADDERS).items() for case in [*changes(kind, ladder), *pairs(kind, ladder)]
    ]
    with databases(pg16, pg18, extensions=False) as both:
        wrong = [line for n in range(0, len(chosen), 400) for line in compare_cases(both, chosen[n : n + 400 : 3])]
    assert wrong == []


@pytest.mark.campaign
def test_types_are_told_apart_from_the_systems_major_to_the_newest(system_postgres: Server, pg18: Server) -> None:
    """The same from this machine's own PostgreSQL."""
    chosen = [
        case for kind, ladder in _bare(LADDERS).items() for case in [*changes(kind, ladder), *pairs(kind, ladder)]
    ]
    with databases(system_postgres, pg18, extensions=False) as both:
        wrong = [line for n in range(0, len(chosen), 400) for line in compare_cases(both, chosen[n : n + 400 : 3])]
    assert wrong == []


SETTINGS = {
    "TimeZone": "Asia/Tokyo",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "lc_monetary": "C.UTF-8",
    "lc_numeric": "C.UTF-8",
    "lc_time": "C.UTF-8",
    "xmlbinary": "hex",
    "xmloption": "document",
    "array_nulls": "off",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "default_text_search_config": "pg_catalog.german",
    "timezone_abbreviations": "Australia",
    "default_transaction_isolation": "serializable",
    "client_encoding": "LATIN1",
    "row_security": "off",
    "idle_in_transaction_session_timeout": "1s",
    "enable_seqscan": "off",
    "synchronize_seqscans": "on",
}
"""What a database or a role may set that shapes text, or would end our statements."""

PRINTED = """
CREATE TABLE kinds.printed (
    id int PRIMARY KEY, at timestamptz DEFAULT '2024-05-06 07:08:09+00', every interval DEFAULT '1 mon 2 days 03:04:05',
    raw bytea DEFAULT '\\x01ff', price money DEFAULT 12.5, ratio float8 DEFAULT 0.1::float8 + 0.2::float8,
    CHECK (at > '1999-12-31 23:59:59+00'), CHECK (every < interval '9 years'), said text DEFAULT E'a\\\\b'
);
CREATE VIEW kinds.late AS SELECT id, 'ä' AS mark FROM kinds.printed
    WHERE at > '2024-01-08 00:00:00+00'::timestamptz AND every > '1 day 02:00'::interval;
CREATE INDEX ON kinds.printed (id) WHERE at > '2024-07-01 12:00:00+00'::timestamptz;
CREATE TABLE kinds.parts (at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE kinds.part PARTITION OF kinds.parts FOR VALUES FROM ('2024-01-01 00:00Z') TO ('2025-01-01 00:00Z');
INSERT INTO kinds.printed (id) VALUES (1);
INSERT INTO kinds.parts VALUES ('2024-12-31 23:30Z');
"""


@contextmanager
def odd_settings(server: Server, whose: str) -> Iterator[None]:
    """All of `SETTINGS` for a database or a role."""
    try:
        for setting, value in SETTINGS.items():
            server.execute(f"ALTER {whose} SET {setting} = '{value}'")
        yield
    finally:
        server.execute(f"ALTER {whose} RESET ALL")


@pytest.mark.parametrize("of", ["the source's database", "the target's database", "the target's role"])
def test_settings_of_one_side_change_no_answer(of: str, pg17: Server, pg18: Server) -> None:
    """Equal is equal, rows and catalog, whatever one side sets; and a difference is found at its row and column."""
    cases = [list(changes(kind, ladder))[2 * (n % 2)] for n, (kind, ladder) in enumerate(LADDERS.items())]
    server = pg17 if of == "the source's database" else pg18
    role = f"odd_{secrets.token_hex(4)}"
    with databases(pg17, pg18) as both:
        for url in both:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(PRINTED.encode())
        name = both[server is pg18].rsplit("/", 1)[1]
        reader, whose = both, f"DATABASE {name}"
        if of == "the target's role":
            server.create_role(role, options="SUPERUSER")
            reader, whose = (both[0], server.url(name, role)), f"ROLE {role}"
        try:
            with tables_of(both, cases) as wrong, odd_settings(server, whose):
                compared = compare(*reader)
                assert wrong(compared.tables) == []
        finally:
            if of == "the target's role":
                server.execute(f"DROP ROLE {role}")
    beside = [
        f for f in compared.findings if f.closes_gate and not f.id.startswith("INT-rows") and f.id != "INT-catalog"
    ]
    # That one side has settings of its own is a difference, and (but for the cases' tables) the only one.
    said = [f.sentence() for f in beside if "cases_" not in f.sentence()]
    assert [line for line in said if "setting" not in line.lower()] == []
