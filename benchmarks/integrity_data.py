"""The tables of the integrity benchmark, generated inside the servers: A (pgbench_accounts), M (mixed), N (no key).

At scale 1: A has 5 million rows, M 2 million (about 550 MB), N one million with duplicates. Every value is a function
of the row's number, so that two servers make the same rows by themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from cutover.rehearsal.postgres import Server

ROWS = {"a": 5_000_000, "m": 2_000_000, "n": 1_000_000}
"""Rows at scale 1."""

_TABLES = {
    "a": (
        "CREATE TABLE a (aid int NOT NULL, bid int, abalance int, filler char(84)) WITH (fillfactor = 100)",
        "INSERT INTO a SELECT i, i / 100000 + 1, 0, '' FROM generate_series(1, {rows}) i",
        "ALTER TABLE a ADD PRIMARY KEY (aid)",
    ),
    "m": (
        "CREATE TABLE m (id bigint NOT NULL, uid uuid, email text, name varchar(80), score float8, "
        "amount numeric(12,2), "
        "active bool, created timestamptz, day date, span interval, tags text[], meta jsonb, raw bytea, note text)",
        "INSERT INTO m SELECT i, md5(i::text)::uuid, 'user' || i || '@example.com', 'Name ' || (i * 7919 % 100003), "
        "sin(i), (i * 104729 % 100000000) / 100.0, i % 3 = 0, "
        "'2024-01-01Z'::timestamptz + i * interval '1.000001 s', '2020-01-01'::date + (i % 2000)::int, "
        "make_interval(days => (i % 400)::int, secs => i % 86400), ARRAY['t' || i % 17, 'u' || i % 5], "
        "jsonb_build_object('n', i, 'plan', 'p' || i % 4, 'ok', i % 2 = 0), decode(md5((i * 3)::text), 'hex'), "
        "CASE WHEN i % 5 = 0 THEN NULL ELSE left(repeat(md5((i * 5)::text), 3), 20 + (i % 70)::int) END "
        "FROM generate_series(1::bigint, {rows}) i",
        "ALTER TABLE m ADD PRIMARY KEY (id)",
    ),
    "n": (
        "CREATE TABLE n (at timestamptz, level text, line text)",
        "INSERT INTO n SELECT '2024-01-01Z'::timestamptz + (i / 2 % 300000) * interval '1 s', "
        "(ARRAY['info', 'warning', 'error'])[1 + i / 2 % 3], 'request ' || md5((i / 2 % 300000)::text) "
        "FROM generate_series(1, {rows}) i",
    ),
}

CHANGES = {
    "a": (
        "UPDATE a SET abalance = 1 WHERE aid IN ({rows} / 7, {rows} / 5, {rows} / 3, {rows} / 2, {rows} - 1)",
        "DELETE FROM a WHERE aid IN (11, {rows} / 9, {rows} / 4)",
        "INSERT INTO a VALUES ({rows} + 1, 1, 0, ''), ({rows} + 2, 1, 0, 'x')",
    ),
    "m": (
        "UPDATE m SET created = created + interval '1 microsecond' WHERE id IN ({rows} / 3, {rows} / 2)",
        "UPDATE m SET note = '' WHERE id IN ({rows} / 5 / 5 * 5, {rows} / 7 / 5 * 5)",
        "UPDATE m SET amount = amount + 0.01 WHERE id IN ({rows} / 9, {rows} / 11)",
        "UPDATE m SET meta = jsonb_set(meta, '{{n}}', '1.0') WHERE id IN (1, {rows} / 13)",
        "UPDATE m SET name = name || ' ' WHERE id IN ({rows} - 1, {rows} - 2)",
    ),
    # One pair of equal rows replaced by another pair of equal rows: XOR and a count see nothing.
    "n": (
        "WITH gone AS (DELETE FROM n WHERE ctid IN (SELECT ctid FROM n WHERE at = '2024-01-01 00:01:00Z' ORDER BY ctid "
        "LIMIT 2)) INSERT INTO n SELECT '2024-01-01 00:01:00Z', 'info', 'another' FROM generate_series(1, 2)",
    ),
}
"""Ten changed rows in A and in M, and one pair replaced in N."""


def create(server: Server, database: str, scale: float, tables: str = "amn", rows: int | None = None) -> str:
    """A database with the tables; its URL."""
    server.create_database(database)
    run(server.url(database), _TABLES, scale, tables, rows)
    return server.url(database)


def change(url: str, scale: float, tables: str = "amn") -> None:
    """Change the rows of CHANGES."""
    run(url, CHANGES, scale, tables)


def run(url: str, statements: dict[str, tuple[str, ...]], scale: float, tables: str, rows: int | None = None) -> None:
    """Run statements of some tables, then vacuum, so that no hint bit is left to be set while we measure."""
    count: Callable[[str], int] = lambda table: rows or max(1000, round(ROWS[table] * scale))  # noqa: E731
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = public; SET TimeZone = UTC")
        for table in tables:
            for statement in statements[table]:
                connection.execute(statement.format(rows=count(table)).encode())
            connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}".encode())
