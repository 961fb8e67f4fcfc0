"""Types, and for each a ladder of values that are easily taken for one another but are not the same."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from cutover.rehearsal.postgres import Server

SETUP = """
CREATE SCHEMA kinds;
CREATE TYPE kinds.mood AS ENUM ('sad', 'ok', 'OK', 'happy');
CREATE TYPE kinds.pair AS (a int, b text);
CREATE TYPE kinds.nested AS (p kinds.pair, q text[]);
CREATE TYPE kinds.span AS RANGE (subtype = float8);
CREATE DOMAIN kinds.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN kinds.label AS varchar(9);
"""
EXTENSIONS = ("hstore", "citext", "ltree", "cube", "seg", "isn")
EXTENSION_TYPES = ("hstore", "citext", "ltree", "cube", "seg", "issn")

TEXTS = (
    "''", "' '", "'NULL'", "'null'", r"E'\\N'", "'a'", "'A'", "'a '", "' a'", r"E'a\t'", r"E'a\n'", r"E'a\r\n'",
    r"U&'\00e1'", r"U&'a\0301'", r"U&'a\200d'", "'\"a\"'", "'(a)'", "'a,'", r"E'\\'", r"E'\\\\'", r"U&'\0430'",
)  # fmt: skip

LADDERS: dict[str, tuple[str, ...]] = {
    "text": TEXTS,
    "varchar(20)": TEXTS,
    "char(4)": ("''", "'x'", "'X'", "' x'", "'xy'", "'NULL'"),
    "bpchar": ("''", "'x'", "'x '", "'x  '", "'X'", "'NULL'"),
    '"char"': ("''", "'a'", "'A'", "' '"),
    "name": ("''", "'a'", "'A'", "'a '", "'NULL'"),
    "citext": ("'a'", "'A'", "''", "'a '", r"U&'\00e1'", r"U&'\00c1'", "'NULL'"),
    "bytea": (r"'\x'", r"'\x00'", r"'\x0000'", r"'\x01'", r"'\x80'", r"'\xff'", r"'\x5c4e'", r"'\x4e554c4c'"),
    "int2": ("0", "1", "-1", "2", "256", "32767", "-32768"),
    "int4": ("0", "1", "-1", "2", "65536", "2147483647", "-2147483648"),
    "int8": ("1", "4294967296", "0", "-1", "4294967297", "9223372036854775807", "9223372036854775806",
             "-9223372036854775808"),
    "numeric": ("0", "0.0", "0.00", "1", "1.0", "1.00", "-1", "10", "0.1", "0.10", "0.00000000000000000001",
                "12345678901234567890123456789.1", "12345678901234567890123456789.2", "'NaN'", "'Infinity'",
                "'-Infinity'"),
    "numeric(12,3)": ("0", "0.001", "-0.001", "1", "1.001", "123456789.123", "'NaN'"),
    "float4": ("0", "'-0'", "1", "1.0000001", "16777215", "16777216", "1e-45", "3.4028235e38", "'NaN'", "'Infinity'",
               "'-Infinity'"),
    "float8": ("0", "'-0'", "1", "1.0000000000000002", "0.9999999999999999", "0.3", "0.30000000000000004", "5e-324",
               "9007199254740992", "9007199254740994", "'NaN'", "'Infinity'", "'-Infinity'"),
    "money": ("0", "0.01", "-0.01", "1", "100", "92233720368547758.07"),
    "bool": ("true", "false"),
    "date": ("'2024-02-28'", "'2024-02-29'", "'2024-12-01'", "'2024-01-12'", "'0001-01-01'", "'0001-01-01 BC'",
             "'infinity'", "'-infinity'"),
    "time": ("'00:00:00.000001'", "'01:11:34.967296'",
             "'00:00'", "'24:00'", "'12:00'", "'12:00:00.000001'", "'12:00:00.00001'", "'23:59:59.999999'"),
    "timetz": ("'12:00+00'", "'13:00+01'", "'12:00+01'", "'12:00:00.000001+00'", "'12:00+00:00:01'", "'24:00+00'"),
    "timestamp": ("'2000-01-01 00:00:00.000001'", "'2000-01-01 01:11:34.967296'",
                  "'2024-01-01'", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.00001'", "'2024-03-31 02:30'",
                  "'2024-03-31 03:30'", "'0044-03-15'", "'0044-03-15 BC'", "'294276-12-31'", "'infinity'",
                  "'-infinity'"),
    "timestamptz": ("'2000-01-01 00:00:00.000001Z'", "'2000-01-01 01:11:34.967296Z'",
                    "'2024-01-01 00:00Z'", "'2024-01-01 00:00:00.000001Z'", "'2024-01-01 00:00+01'",
                    "'2024-10-27 00:30Z'", "'2024-10-27 01:30Z'", "'0044-03-15 00:00Z BC'", "'0044-03-15 00:00Z'",
                    "'infinity'", "'-infinity'"),
    "interval": ("'1 mon'", "'30 days'", "'0'", "'1 microsecond'", "'1 day'", "'24:00'", "'-1 mon'", "'-30 days'",
                 "'1 mon -30 days'", "'-1 mon 30 days'", "'1 day -24:00'", "'-1 day 24:00'", "'1 year'", "'360 days'"),
    "uuid": ("'00000000-0000-0000-0000-000000000000'", "'00000000-0000-0000-0000-000000000001'",
             "'10000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    "json": ("'null'", "'1'", "'1.0'", "'{\"a\":1}'", "'{\"a\": 1}'", "'{\"a\":1,\"a\":1}'", "'[1,2]'", "'[2,1]'",
             "'\"\"'", r"""'"\u0061"'""", "'\"a\"'"),
    "jsonb": ("'1'", "'1.0'", "'null'", "'\"1\"'", "'{\"a\": 1}'", "'{\"a\": 1.0}'", "'{\"A\": 1}'", "'{\"a\": null}'",
              "'{}'", "'[]'", "'[1, 2]'", "'[2, 1]'", "'\"\"'"),
    "jsonpath": ("'$.a'", "'$.A'", "'$.a[*]'", "'strict $.a'"),
    "text[]": ("'{}'", "'{NULL}'", "'{\"NULL\"}'", "'{\"\"}'", "'{a,b}'", "'{b,a}'", "'{\"a,b\"}'", "'{{a,b}}'",
               "'{{a},{b}}'", "'[0:1]={a,b}'", "'[2:3]={a,b}'"),
    "int4[]": ("'{}'", "'{0}'", "'{NULL}'", "'{1,2}'", "'{2,1}'", "'{12}'", "'[0:1]={1,2}'", "'{{1,2}}'",
               "'{{1},{2}}'"),
    "float8[]": ("'{0}'", "'{-0}'", "'{NaN}'", "'{0.3}'", "'{0.30000000000000004}'", "'{NULL}'"),
    "timestamptz[]": ("'{2024-01-01 00:00Z}'", "'{2024-01-01 00:00:00.000001Z}'", "'{infinity}'", "'{}'"),
    "bytea[]": (r"""'{"\\x00"}'""", r"""'{"\\x01"}'""", r"""'{"\\x"}'""", "'{}'"),
    "int4range": ("'empty'", "'[1,2)'", "'[1,3)'", "'[1,)'", "'(,1)'", "'(,)'"),
    "int8range": ("'empty'", "'[1,4294967297)'", "'[1,4294967298)'", "'(,)'"),
    "numrange": ("'empty'", "'[1,2)'", "'[1,2]'", "'(1,2)'", "'(1,2]'", "'[1.0,2)'", "'[1,)'"),
    "tsrange": ("'[2024-01-01,2024-01-02)'", "'[2024-01-01,2024-01-02]'", "'[2024-01-01 00:00:00.000001,2024-01-02)'",
                "'[2024-01-01,infinity)'", "'[2024-01-01,)'"),
    "tstzrange": ("'[2024-01-01Z,2024-01-02Z)'", "'[2024-01-01Z,2024-01-02 00:00:00.000001Z)'", "'(,)'"),
    "daterange": ("'[2024-01-01,2024-01-02)'", "'[2024-01-01,2024-01-03)'", "'[2024-01-01,)'", "'empty'"),
    "kinds.span": ("'[0,1)'", "'[-0,1)'", "'[0,1]'", "'[0,1.0000000000000002)'", "'empty'"),
    "int4multirange": ("'{}'", "'{[1,2)}'", "'{[1,3)}'", "'{[1,2),[3,4)}'", "'{(,)}'"),
    "nummultirange": ("'{}'", "'{[1,2)}'", "'{[1,2]}'", "'{[1.0,2)}'", "'{[1,2),[3,4)}'"),
    "tstzmultirange": ("'{}'", "'{[2024-01-01Z,2024-01-02Z)}'", "'{[2024-01-01Z,2024-01-02 00:00:00.000001Z)}'"),
    "kinds.pair": ("'(,)'", "'(1,)'", "'(,\"\")'", "'(1,\"\")'", "'(1,NULL)'", "'(1,a)'", "'(1,\"a \")'", "'(2,a)'"),
    "kinds.pair[]": ("'{}'", "'{NULL}'", "'{\"(,)\"}'", "'{\"(1,a)\"}'", "'{\"(1,A)\"}'"),
    "kinds.nested": ("'(,)'", "'(\"(,)\",)'", "'(\"(1,a)\",{})'", "'(\"(1,a)\",{NULL})'", "'(\"(1,a)\",\"{a,b}\")'"),
    "kinds.positive": ("1", "2", "10", "2147483647"),
    "kinds.label": ("''", "'a'", "'A'", "'a '", "'NULL'"),
    "kinds.mood": ("'sad'", "'ok'", "'OK'", "'happy'"),
    "kinds.mood[]": ("'{ok}'", "'{OK}'", "'{ok,sad}'", "'{}'"),
    "point": ("'(0,1)'", "'(1,0)'", "'(-0,1)'", "'(0,1.0000000000000002)'", "'(NaN,1)'", "'(Infinity,1)'"),
    "line": ("'{1,2,3}'", "'{2,4,6}'", "'{1,2,3.0000000000000004}'"),
    "lseg": ("'[(0,0),(1,1)]'", "'[(1,1),(0,0)]'", "'[(0,0),(1,1.0000000000000002)]'"),
    "box": ("'(1,1),(0,0)'", "'(1,1),(0,-0)'", "'(1,1.0000000000000002),(0,0)'"),
    "path": ("'[(0,0),(1,1)]'", "'((0,0),(1,1))'", "'[(1,1),(0,0)]'"),
    "polygon": ("'((0,0),(1,1),(1,0))'", "'((1,1),(1,0),(0,0))'", "'((0,0),(1,1))'"),
    "circle": ("'<(0,0),1>'", "'<(0,0),1.0000000000000002>'", "'<(0,-0),1>'", "'<(0,0),0>'"),
    "inet": ("'10.0.0.1'", "'10.0.0.1/24'", "'10.0.0.0/24'", "'::ffff:10.0.0.1'", "'::1'", "'::1/64'"),
    "cidr": ("'10.0.0.0/24'", "'10.0.0.0/25'", "'10.0.0.0/32'", "'::/0'", "'0.0.0.0/0'"),
    "macaddr": ("'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'", "'00:00:00:00:00:00'"),
    "macaddr8": ("'08:00:2b:01:02:03:04:05'", "'08:00:2b:01:02:03:04:06'", "'08:00:2b:ff:fe:03:04:05'"),
    "tsvector": ("''", "'a'", "'a:1'", "'a:1A'", "'a:2'", "'a:1,2'", "'''a b'''", "'a b'"),
    "tsquery": ("''", "'a'", "'a:*'", "'a:A'", "'a & b'", "'b & a'", "'a | b'", "'a <-> b'", "'a <2> b'", "'!a'"),
    "bit(4)": ("B'0000'", "B'0001'", "B'1000'", "B'1111'"),
    "bit varying": ("B''", "B'0'", "B'00'", "B'1'", "B'10'", "B'01'"),
    "hstore": ("''", "'a=>1'", "'a=>NULL'", "'a=>\"NULL\"'", "'a=>\"\"'", "'a=>1,b=>2'", "'a=>2,b=>1'", "'A=>1'"),
    "ltree": ("''", "'a'", "'a.b'", "'b.a'", "'A'"),
    "cube": ("'(1)'", "'(1,2)'", "'(1),(2)'", "'(1.0000000000000002)'"),
    "seg": ("'1'", "'1.0'", "'1..2'", "'~1'", "'1..'"),
    "issn": ("'1436-4522'", "'0317-8471'"),
    "pg_lsn": ("'0/0'", "'0/1'", "'1/0'", "'16/B374D848'"),
    "oid": ("0", "1", "4294967295"),
    "regclass": ("'pg_catalog.pg_class'", "'pg_catalog.pg_type'", "0"),
    "regtype": ("'int4'", "'int8'", "'text'", "'varchar'"),
    "regproc": ("'pg_catalog.now'", "'pg_catalog.pi'"),
    "regrole": ("'postgres'", "'pg_monitor'", "0"),
    "regnamespace": ("'pg_catalog'", "'public'"),
    "regconfig": ("'pg_catalog.simple'", "'pg_catalog.english'"),
    "xid": ("'0'", "'1'", "'4294967295'"),
    "xid8": ("'1'", "'4294967297'", "'18446744073709551615'"),
    "tid": ("'(0,1)'", "'(1,0)'", "'(0,10)'"),
    "pg_snapshot": ("'1:1:'", "'1:2:'", "'1:3:2'"),
    "int2vector": ("''", "'1'", "'1 2'", "'12'"),
    "refcursor": ("''", "'a'", "'NULL'"),
}  # fmt: skip
"""A type and values of it, in SQL, of which no two are the same.

The first two are those that are most easily confused: equal by the type's own operator, or in the 32 bits to which
PostgreSQL's hash of an int8 or a timestamp folds 64.
"""

XML = (
    "'<a/>'", "'<a></a>'", "'<a> </a>'", "'<a b=\"1\"/>'", "'<a b=''1''/>'", "'<a>&lt;</a>'", "'<a/><!-- -->'",
    "'a'", "''", "'<?xml version=\"1.0\" standalone=\"yes\"?><a/>'",
)  # fmt: skip
"""xml, for servers that are built with libxml."""

UNORDERED = {
    "json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle", "jsonpath", "xid", "pg_snapshot",
    "int2vector", "refcursor",
}  # fmt: skip
"""Types that cannot be a key, for want of an order (or of equality)."""


def typed(value: str, kind: str) -> str:
    """A value of a ladder as an expression of its type."""
    bare = re.fullmatch(r"[-+0-9.e]+|true|false", value)
    return f"CAST('{value}' AS {kind})" if bare else f"CAST({value} AS {kind})"


def drop_schema(url: str, schema: str) -> None:
    """Drop a schema of many tables in several transactions: a lock for each table would be too many for one."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND relkind IN ('r', 'p') AND NOT relispartition",
            (schema,),
        ).fetchall()
        names = [name for (name,) in tables]
        for start in range(0, len(names), 200):
            connection.execute(f"DROP TABLE IF EXISTS {', '.join(names[start : start + 200])} CASCADE".encode())
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


@contextmanager
def databases(source: Server, target: Server, *, extensions: bool = True) -> Iterator[tuple[str, str]]:
    """A new database on each of two servers, with the types and extensions that the ladders need."""
    both = [(server, f"types_{secrets.token_hex(4)}") for server in (source, target)]
    statements = "".join(f"CREATE EXTENSION {e};" for e in EXTENSIONS if extensions) + SETUP
    try:
        for server, name in both:
            server.create_database(name)
            with psycopg.connect(server.url(name), autocommit=True) as connection:
                connection.execute(statements.encode())
        yield both[0][0].url(both[0][1]), both[1][0].url(both[1][1])
    finally:
        for server, name in both:
            server.drop_database(name)
