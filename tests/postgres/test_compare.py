"""The comparison of rows: every difference that a type can show is found, at the right row and column."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status, verdict
from cutover.postgres import Comparison, TableComparison, compare, exported_snapshot
from cutover.postgres.connection import PINNED
from cutover.postgres.integrity import digest, rowhash
from cutover.postgres.integrity.locate import RowDifference
from cutover.rehearsal.postgres import Server

OnBoth = Callable[[str, str], tuple[str, str]]
Fresh = Callable[..., str]

PAIRS = {
    "column boundaries": ("text, text", "'ab', 'c'", "'a', 'bc'"),
    "column boundaries with commas": ("text, text", "'a,b', 'c'", "'a', 'b,c'"),
    "column boundaries with quotes": ("text, text", "'a\"', '\"b'", "'a', '\"\"b'"),
    "a pipe": ("text, text", "'a|b', 'c'", "'a', 'b|c'"),
    "NULL and empty": ("text", "NULL", "''"),
    "NULL and 'NULL'": ("text", "NULL", "'NULL'"),
    "NULL and '<null>'": ("text", "NULL", "'<null>'"),
    "NULL and backslash N": ("text", "NULL", "E'\\\\N'"),
    "NULL in the other column": ("text, text", "NULL, 'x'", "'x', NULL"),
    "a trailing space": ("text", "'x'", "'x '"),
    "a tab for a space": ("text", "'x y'", "E'x\\ty'"),
    "case": ("text", "'Straße'", "'straße'"),
    "composed and decomposed": ("text", "U&'\\00e9'", "U&'e\\0301'"),
    "padding of char": ("char(4), text", "'x', 'y'", "'x ', 'y '"),
    "minus zero": ("float8", "'-0'", "0"),
    "minus zero in float4": ("float4", "'-0'", "0"),
    "the last bit of a float8": ("float8", "0.3", "0.1::float8 + 0.2::float8"),
    "the last bit of a float4": ("float4", "16777215", "16777214"),
    "NaN and NULL": ("float8", "'NaN'", "NULL"),
    "infinities": ("float8", "'Infinity'", "'-Infinity'"),
    "the scale of a numeric": ("numeric", "1.0", "1.00"),
    "NaN in numeric": ("numeric", "'NaN'", "0"),
    "a large numeric": ("numeric", "12345678901234567890123456789.1", "12345678901234567890123456789.2"),
    "int8 beyond 32 bits": ("int8", "1", "4294967297"),
    "one microsecond": ("timestamp", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000002'"),
    "one microsecond with time zone": ("timestamptz", "'2024-01-01 00:00:00.000001Z'", "'2024-01-01 00:00:00Z'"),
    "infinite timestamps": ("timestamp", "'infinity'", "'-infinity'"),
    "a time's zone": ("timetz", "'12:00+00'", "'13:00+01'"),
    "BC": ("date", "'0001-01-01'", "'0001-01-01 BC'"),
    "a month and thirty days": ("interval", "'1 mon'", "'30 days'"),
    "a day and 24 hours": ("interval", "'1 day'", "'24:00:00'"),
    "jsonb's number": ("jsonb", "'1'", "'1.0'"),
    "jsonb null and NULL": ("jsonb", "'null'", "NULL"),
    "json's spaces": ("json", "'{\"a\":1}'", "'{\"a\": 1}'"),
    "an array's bounds": ("int[]", "'{1,2}'", "'[0:1]={1,2}'"),
    "NULL in an array": ("text[]", "'{NULL}'", "'{\"NULL\"}'"),
    "an empty array and NULL": ("int[]", "'{}'", "NULL"),
    "dimensions of an array": ("int[]", "'{{1,2}}'", "'{{1},{2}}'"),
    "a range's bounds": ("numrange", "'[1,2)'", "'[1,2]'"),
    "an empty range": ("int4range", "'empty'", "'[1,2)'"),
    "a multirange": ("int4multirange", "'{[1,3)}'", "'{[1,2)}'"),
    "bytea": ("bytea", "'\\x00'", "'\\x0000'"),
    "one bit": ("bit varying", "B'1'", "B'10'"),
    "money": ("money", "'1.00'", "'1.01'"),
    "a point": ("point", "'(0,1)'", "'(0,1.0000000000000002)'"),
    "an inet's mask": ("inet", "'10.0.0.1'", "'10.0.0.1/24'"),
    "a tsvector's weight": ("tsvector", "'a:1'", "'a:1A'"),
    "a boolean": ("bool", "true", "false"),
    "a uuid": (
        "uuid",
        "'00000000-0000-0000-0000-000000000001'",
        "'00000000-0000-0000-0000-000000000002'",
    ),
    "a name": ("name", "'a'", "'A'"),
    "the internal char": ('"char"', "'a'", "''"),
}


def _table(types: str, row: str) -> str:
    columns = ", ".join(f"c{n} {kind.strip()}" for n, kind in enumerate(types.split(",")))
    if "char(4)" in types:
        columns = "c0 char(4), c1 text"
    return (
        f"CREATE TABLE public.t (id int PRIMARY KEY, {columns}); INSERT INTO public.t VALUES (7, {row}); "
        f"INSERT INTO public.t SELECT n FROM generate_series(100, 120) n"
    )


def _only(comparison: Comparison, name: str = "public.t") -> TableComparison:
    (table,) = (t for t in comparison.tables if t.name == name)
    return table


def _finding(comparison: Comparison, key: str) -> Finding:
    (found,) = (f for f in comparison.findings if f.id == key)
    return found


@pytest.fixture(scope="module")
def pairs(two_sides: tuple[str, str]) -> dict[str, TableComparison]:
    """All of PAIRS compared at once, a table each: by the name of the pair."""
    names = {name: f"public.t{number}" for number, name in enumerate(PAIRS)}
    for side, url in enumerate(two_sides):
        tables = [_table(types, rows[side]).replace("public.t", names[name]) for name, (types, *rows) in PAIRS.items()]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(";".join(tables))  # type: ignore[arg-type]
    compared = {table.name: table for table in compare(*two_sides, catalog=False).tables}
    for url in two_sides:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return {name: compared[table] for name, table in names.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_of_values_that_look_alike_is_told_apart(name: str, pairs: dict[str, TableComparison]) -> None:
    """One row that differs in one value is found at its key and in its column; all other rows are equal."""
    table = pairs[name]
    assert (table.missing, table.extra, table.different) == (0, 0, 1)
    assert table.examples[0].key == {"id": "7"}
    assert set(table.examples[0].columns) <= {"c0", "c1"}
    assert table.examples[0].columns


def test_the_same_values_are_equal(on_both: OnBoth) -> None:
    """Every value of the test above, on a 17 and on an 18, shows no difference."""
    tables = [
        _table(types, row).replace("public.t", f"public.t{number}_{side}")
        for number, (types, *rows) in enumerate(PAIRS.values())
        for side, row in enumerate(rows)
    ]
    comparison = compare(*on_both(";".join(tables), ";".join(tables)), catalog=False)
    assert [table.name for table in comparison.tables if not table.identical] == []
    assert comparison.rows_compared == 22 * len(tables)
    assert verdict(comparison.findings).opens


@pytest.mark.parametrize("name", ["NULL and empty", "one microsecond", "the scale of a numeric", "column boundaries"])
def test_the_slow_safe_digest_tells_apart_as_well(name: str, on_both: OnBoth) -> None:
    """SHA-256 in place of the server's own hash finds the same rows."""
    types, one, other = PAIRS[name]
    urls = on_both(_table(types, one), _table(types, other))
    comparison = compare(*urls, catalog=False, algorithm="sha256")
    assert comparison.algorithm == "sha256"
    assert _only(comparison).different == 1


def test_a_server_that_hashes_otherwise_is_compared_with_sha256(
    on_both: OnBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the known answers are not given, the slower path is taken by itself."""
    urls = on_both(_table("text", "'a'"), _table("text", "'b'"))
    monkeypatch.setattr(rowhash, "_KNOWN", {"all": (1, 2)})
    comparison = compare(*urls, catalog=False)
    assert comparison.algorithm == "sha256"
    assert _only(comparison).different == 1


def test_a_server_that_prints_otherwise_is_never_trusted(on_both: OnBoth, monkeypatch: pytest.MonkeyPatch) -> None:
    """When values are not printed in the known way, the verdict is not GO."""
    urls = on_both(_table("text", "'a'"), _table("text", "'a'"))
    monkeypatch.setattr(digest, "PRINTED_ANSWER", "something else")
    comparison = compare(*urls, catalog=False)
    assert _finding(comparison, "INT-printing").status is Status.UNKNOWN
    assert not verdict(comparison.findings).opens


def test_different_session_settings_of_the_two_databases_do_not_matter(
    on_both: OnBoth, two_sides: tuple[str, str]
) -> None:
    """TimeZone, DateStyle, IntervalStyle, bytea_output and extra_float_digits of a side change no text of ours."""
    text = (
        "CREATE TABLE public.t (id int PRIMARY KEY, a timestamptz, b interval, c bytea, d float8, e date); "
        "INSERT INTO public.t VALUES (1, '2024-05-06 07:08:09.1+02', "
        "'1 mon 2 days 03:04:05', '\\x01ff', 0.1, '2024-05-06')"
    )
    urls = on_both(text, text)
    changed = {
        "TimeZone": "Asia/Tokyo",
        "DateStyle": "German, DMY",
        "IntervalStyle": "iso_8601",
        "bytea_output": "escape",
        "extra_float_digits": "-5",
        "search_path": "pg_catalog, public",
    }
    name = two_sides[1].rsplit("/", 1)[1]
    with psycopg.connect(two_sides[1], autocommit=True) as connection:
        for setting, value in changed.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(name),
                    sql.SQL(setting),
                    sql.Literal(value) if setting != "search_path" else sql.SQL(value),
                )
            )
        try:
            assert _only(compare(*urls, catalog=False)).identical
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))


def test_a_replaced_pair_of_duplicates_in_a_table_without_a_key_is_found(on_both: OnBoth) -> None:
    """Two equal rows replaced by two other equal rows: XOR and count see nothing, a sum does."""
    base = "CREATE TABLE public.t (a text); INSERT INTO public.t SELECT 'w' || n % 5 FROM generate_series(1, 50) n; "
    urls = on_both(base + "INSERT INTO public.t VALUES ('x'), ('x')", base + "INSERT INTO public.t VALUES ('y'), ('y')")
    table = _only(compare(*urls, catalog=False))
    assert (table.source_rows, table.target_rows) == (52, 52)
    assert (table.missing, table.extra, table.different) == (2, 2, 0)
    assert {(e.difference, e.copies) for e in table.examples} == {("missing", 2), ("extra", 2)}
    assert all("public.t ctid (" in e.place for e in table.examples)


def test_one_copy_too_few_of_a_duplicate_is_counted(on_both: OnBoth) -> None:
    """Four copies against three: one is missing, not four."""
    text = "CREATE TABLE public.t (a int); INSERT INTO public.t SELECT 1 FROM generate_series(1, {}) n"
    table = _only(compare(*on_both(text.format(4), text.format(3)), catalog=False))
    assert (table.missing, table.extra) == (1, 0)


def test_values_swapped_between_two_rows_are_found(on_both: OnBoth) -> None:
    """A compensating pair: every column holds the same values as before, in other rows."""
    text = "CREATE TABLE public.t (id int PRIMARY KEY, a text, b int); INSERT INTO public.t VALUES {}"
    urls = on_both(text.format("(1, 'x', 1), (2, 'y', 2)"), text.format("(1, 'y', 1), (2, 'x', 2)"))
    table = _only(compare(*urls, catalog=False))
    assert table.different == 2
    assert table.differing_columns == {"a": 2}


def test_missing_extra_and_different_rows_are_counted_exactly_and_written_down(on_both: OnBoth, tmp_path: Path) -> None:
    """Of 5,000 rows 700 are deleted, 30 added and 1,100 changed: all are in the evidence, the first are named."""
    text = (
        "CREATE TABLE public.t (id int PRIMARY KEY, a text); "
        "INSERT INTO public.t SELECT n, 'v' || n FROM generate_series(1, 5000) n;"
    )
    change = (
        "DELETE FROM public.t WHERE id <= 700; INSERT INTO public.t SELECT n, 'v' FROM generate_series(6001, 6030) n; "
        "UPDATE public.t SET a = a || '!' WHERE id BETWEEN 1001 AND 2100"
    )
    comparison = compare(*on_both(text, text + change), catalog=False, evidence=tmp_path, show=5)
    table = _only(comparison)
    assert (table.missing, table.extra, table.different) == (700, 30, 1100)
    assert len(table.examples) == 5
    assert comparison.differences is not None
    lines = [json.loads(line) for line in comparison.differences.read_text().splitlines()]
    assert len(lines) == 1830
    assert {line["table"] for line in lines} == {"public.t"}
    assert {int(line["key"]["id"]) for line in lines if line["difference"] == "different"} == set(range(1001, 2101))
    assert {int(line["key"]["id"]) for line in lines if line["difference"] == "missing"} == set(range(1, 701))
    kept = json.loads((tmp_path / "comparison.json").read_text())
    assert kept["tables"][0]["missing"] == 700
    finding = _finding(comparison, "INT-rows:public.t")
    assert finding.status is Status.FAIL
    assert finding.data["rows_source"] == 5000
    assert "700 missing, 30 extra, 1,100 different" in finding.observed


def test_values_are_masked_unless_they_are_asked_for(on_both: OnBoth) -> None:
    """Keys and column names are shown; values, which may be personal, only on request."""
    urls = on_both(_table("text", "'secret one'"), _table("text", "'secret two'"))
    masked = compare(*urls, catalog=False)
    assert "secret" not in json.dumps(masked.to_dict())
    shown = _only(compare(*urls, catalog=False, values=True)).examples[0]
    assert shown == RowDifference(
        "different", {"id": "7"}, shown.place, 1, ("c0",), {"c0": "secret one"}, {"c0": "secret two"}
    )


def test_composite_and_text_keys_name_the_row(on_both: OnBoth) -> None:
    """A key of several columns with awkward text is given column by column."""
    text = (
        'CREATE TABLE public."T x" ("a b" text, n int, v text, PRIMARY KEY ("a b", n)); '
        "INSERT INTO public.\"T x\" VALUES ('q\"u,ot''e', 1, 'v'), ('é', 2, '{}')"
    )
    comparison = compare(*on_both(text.format("x"), text.format("y")), catalog=False)
    table = _only(comparison, 'public."T x"')
    assert table.key == ("a b", "n")
    assert table.examples[0].key == {"a b": "é", "n": "2"}


def test_a_broken_key_on_the_target_is_paired_without_losing_a_row(on_both: OnBoth) -> None:
    """The target lost its primary key and has a row twice: one extra row, and no crash."""
    urls = on_both(
        "CREATE TABLE public.t (id int PRIMARY KEY, a int); INSERT INTO public.t VALUES (1, 1), (2, 2)",
        "CREATE TABLE public.t (id int, a int); INSERT INTO public.t VALUES (1, 1), (2, 2), (2, 2), (NULL, 3)",
    )
    table = _only(compare(*urls, catalog=False))
    assert (table.missing, table.extra, table.different) == (0, 2, 0)


def test_columns_in_another_order_are_no_difference(on_both: OnBoth) -> None:
    """Columns are compared by name, as an inherited table's may be restored in another order."""
    urls = on_both(
        "CREATE TABLE public.t (a int, b int); INSERT INTO public.t VALUES (1, 2)",
        "CREATE TABLE public.t (b int, a int); INSERT INTO public.t VALUES (2, 1)",
    )
    assert _only(compare(*urls, catalog=False)).identical


def test_a_column_named_as_its_table_is_read_as_a_row(on_both: OnBoth) -> None:
    """`t.t` names a column where there is one: all of the row is compared nevertheless."""
    text = "CREATE TABLE public.t (t text, id int PRIMARY KEY); INSERT INTO public.t VALUES ('same', {})"
    table = _only(compare(*on_both(text.format(1), text.format(2)), catalog=False))
    assert (table.missing, table.extra) == (1, 1)


def test_partitions_are_compared_as_one_table(on_both: OnBoth) -> None:
    """Other partitions with the same rows are equal rows; a row less in one is found under the parent's name."""
    base = "CREATE TABLE public.t (id int, a text, PRIMARY KEY (id)) PARTITION BY RANGE (id); "
    one = base + "CREATE TABLE public.p1 PARTITION OF public.t FOR VALUES FROM (0) TO (1000); "
    two = base + (
        "CREATE TABLE public.p1 PARTITION OF public.t FOR VALUES FROM (0) TO (50); "
        "CREATE TABLE public.p2 PARTITION OF public.t FOR VALUES FROM (50) TO (1000); "
    )
    rows = "INSERT INTO public.t SELECT n, 'v' FROM generate_series(1, 99) n; "
    urls = on_both(one + rows, two + rows)
    assert _only(compare(*urls, catalog=False)).identical
    with psycopg.connect(urls[1], autocommit=True) as connection:
        connection.execute("DELETE FROM public.t WHERE id = 77")
    table = _only(compare(*urls, catalog=False))
    assert (table.kind, table.missing) == ("partitioned table", 1)
    assert table.examples[0].key == {"id": "77"}


def test_a_large_table_is_read_in_pieces(on_both: OnBoth, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of blocks in several sessions give the same sums as one: nothing is read twice or left out."""
    monkeypatch.setattr(digest, "PIECE_PAGES", 4)
    text = (
        "CREATE TABLE public.t (id int PRIMARY KEY, a text); "
        "INSERT INTO public.t SELECT n, repeat('x', 90) FROM generate_series(1, 6000) n;"
    )
    more = "DELETE FROM public.t WHERE id % 3 = 0; VACUUM public.t"
    seen: list[int] = []
    urls = on_both(text, text)
    equal = compare(*urls, jobs=3, catalog=False, progress=lambda p: seen.append(p.total))
    assert _only(equal).identical
    assert _only(equal).source_rows == 6000
    assert seen[0] == 24
    with psycopg.connect(urls[1], autocommit=True) as connection:
        for statement in more.split("; "):
            connection.execute(statement)  # type: ignore[arg-type]
    table = _only(compare(*urls, jobs=3, catalog=False))
    assert (table.target_rows, table.missing, table.extra) == (4000, 2000, 0)


def test_generated_columns_and_stale_materialised_views_are_looked_at(on_both: OnBoth) -> None:
    """A materialised view that differs is advisory: shown, and it does not close the gate."""
    text = (
        "CREATE TABLE public.t (id int PRIMARY KEY, b int GENERATED ALWAYS AS (id * 2) STORED); "
        "INSERT INTO public.t VALUES (1); CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.t; "
    )
    urls = on_both(
        text,
        text + "INSERT INTO public.t VALUES (2); REFRESH MATERIALIZED VIEW public.m; DELETE FROM public.t WHERE id = 2",
    )
    comparison = compare(*urls, catalog=False)
    assert _only(comparison).identical
    view = _finding(comparison, "INT-rows:public.m")
    assert view.status is Status.FAIL
    assert not view.closes_gate
    assert verdict(comparison.findings).opens


def test_large_objects_are_compared(on_both: OnBoth, two_sides: tuple[str, str]) -> None:
    """A large object whose content differs by a byte is found by its number."""
    urls = on_both("SELECT lo_from_bytea(4711, '\\x0001')", "SELECT lo_from_bytea(4711, '\\x0002')")
    try:
        comparison = compare(*urls, catalog=False)
        table = _only(comparison, "large objects")
        assert table.different == 1
        assert table.examples[0].key == {"oid": "4711"}
        assert not verdict(comparison.findings).opens
    finally:
        for url in two_sides:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SELECT lo_unlink(4711)")


def test_a_table_on_one_side_only_closes_the_gate(on_both: OnBoth) -> None:
    """Missing on the target is MISSING, extra on the target is FAIL, and neither is passed over."""
    urls = on_both(
        "CREATE TABLE public.t (a int); CREATE TABLE public.gone (a int)",
        "CREATE TABLE public.t (a int); CREATE TABLE public.new (a int)",
    )
    comparison = compare(*urls, catalog=False)
    assert _finding(comparison, "INT-rows:public.gone").status is Status.MISSING
    assert _finding(comparison, "INT-rows:public.new").status is Status.FAIL
    assert not verdict(comparison.findings).opens


def test_a_column_on_one_side_only_is_not_compared(on_both: OnBoth) -> None:
    """The common columns are compared; the verdict over the other is never GO."""
    urls = on_both(
        "CREATE TABLE public.t (id int PRIMARY KEY, a int, lost text); INSERT INTO public.t VALUES (1, 1, 'x')",
        "CREATE TABLE public.t (id int PRIMARY KEY, a int); INSERT INTO public.t VALUES (1, 1)",
    )
    comparison = compare(*urls, catalog=False)
    found = _finding(comparison, "INT-rows:public.t")
    assert found.status is Status.NOT_COMPARED
    assert "lost" in found.observed
    assert not verdict(comparison.findings).opens


def _limited(urls: tuple[str, str], statements: str) -> tuple[str, str]:
    """The target as a role without rights, after some statements of its owner."""
    with psycopg.connect(urls[1], autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN PASSWORD 'limited-pw'")
        connection.execute("GRANT USAGE ON SCHEMA public TO limited")
        connection.execute(statements)  # type: ignore[arg-type]
    return urls[0], urls[1].replace(urls[1].split("//")[1].split("@")[0], "limited:limited-pw")


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ("SELECT 1", "may not read"),
        ("GRANT SELECT ON public.t TO limited; ALTER TABLE public.t ENABLE ROW LEVEL SECURITY", "row-level security"),
        ("GRANT SELECT (id) ON public.t TO limited", "may not read"),
    ],
)
def test_a_table_that_may_not_be_read_is_not_compared(on_both: OnBoth, statements: str, reason: str) -> None:
    """No right, hidden rows, or a part of the columns only: NOT_COMPARED with the reason, never equal."""
    text = (
        "CREATE TABLE public.t (id int PRIMARY KEY, a int); INSERT INTO public.t VALUES (1, 1); "
        "CREATE TABLE public.u (x int)"
    )
    urls = on_both(text, text)
    try:
        comparison = compare(*_limited(urls, statements + "; GRANT SELECT ON public.u TO limited"), catalog=False)
        found = _finding(comparison, "INT-rows:public.t")
        assert found.status is Status.NOT_COMPARED
        assert reason in found.observed
        assert _finding(comparison, "INT-rows:public.u").status is Status.PASS
        assert not verdict(comparison.findings).opens
    finally:
        with psycopg.connect(urls[1], autocommit=True) as connection:
            connection.execute("DROP OWNED BY limited; DROP ROLE limited")


def test_a_table_that_is_locked_is_left_out_alone(on_both: OnBoth, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is not given back in time leaves its table out, with the reason; the others are compared."""
    good = "CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1); CREATE TABLE public.u (a int); "
    urls = on_both(good, good)
    with psycopg.connect(urls[1], autocommit=False) as blocker:
        blocker.execute("LOCK TABLE public.u IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setitem(PINNED, "lock_timeout", "100ms")
        comparison = compare(*urls, catalog=False)
    assert _finding(comparison, "INT-rows:public.u").status is Status.NOT_COMPARED
    assert "lock timeout" in _finding(comparison, "INT-rows:public.u").observed
    assert _finding(comparison, "INT-rows:public.t").status is Status.PASS


def test_nothing_to_compare_is_not_a_pass(two_sides: tuple[str, str]) -> None:
    """Two empty databases: the verdict is not GO."""
    comparison = compare(*two_sides, catalog=False)
    assert comparison.tables == []
    assert not verdict(comparison.findings).opens


def test_the_source_is_seen_as_of_the_given_snapshot(on_both: OnBoth) -> None:
    """Rows that are written after the dump's snapshot are no difference to the copy of it."""
    text = "CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t VALUES (1)"
    urls = on_both(text, text)
    with exported_snapshot(urls[0]) as instant:
        with psycopg.connect(urls[0], autocommit=True) as connection:
            connection.execute("INSERT INTO public.t VALUES (2)")
        then = compare(*urls, source_snapshot=instant, catalog=False)
        assert _only(then).identical
        assert then.source["id"] == instant.id
    assert _only(compare(*urls, catalog=False)).missing == 1


def test_a_sequence_that_lags_behind_its_table_closes_the_gate(on_both: OnBoth) -> None:
    """The target's sequence would hand out a number that exists: a blocker, with the setval that fixes it."""
    text = "CREATE TABLE public.t (id serial PRIMARY KEY); INSERT INTO public.t SELECT FROM generate_series(1, 9); "
    urls = on_both(text, text + "SELECT setval('public.t_id_seq', 4)")
    comparison = compare(*urls)
    lagging = _finding(comparison, "INT-sequence:public.t_id_seq")
    assert lagging.status is Status.FAIL
    with psycopg.connect(urls[1], autocommit=True) as connection:
        connection.execute(lagging.remedy)  # type: ignore[arg-type]
    assert verdict(compare(*urls).findings).opens


def test_a_lost_server_is_an_error_and_never_equal(on_both: OnBoth) -> None:
    """A target that does not answer is an error that holds no password."""
    urls = on_both("CREATE TABLE public.t (a int)", "CREATE TABLE public.t (a int)")
    dead = "postgresql://postgres:hunter2hunter2@127.0.0.1:1/x"
    with pytest.raises(DatabaseError) as caught:
        compare(urls[0], dead)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


def test_sessions_that_are_killed_in_the_middle_are_not_compared(
    on_both: OnBoth, pg18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target's sessions are ended while it is read: no table counts as equal."""
    text = (
        "CREATE TABLE public.t (id int PRIMARY KEY, a text); "
        "INSERT INTO public.t SELECT n, 'x' FROM generate_series(1, 1000) n"
    )
    urls = on_both(text, text)
    name = urls[1].rsplit("/", 1)[1]

    def kill(_: object) -> None:
        with psycopg.connect(pg18.url("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                (name,),
            )

    monkeypatch.setattr(digest, "PIECE_PAGES", 1)
    comparison = compare(*urls, jobs=2, catalog=False, progress=kill)
    assert _finding(comparison, "INT-rows:public.t").status is Status.NOT_COMPARED
    assert not verdict(comparison.findings).opens
