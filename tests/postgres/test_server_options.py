"""What a server writes for itself: no difference, and nothing that a transfer carries over or loses a table for."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status
from cutover.postgres import check_restore, dump, preflight, read_catalog, read_dump, restore, tools, verify_dump
from cutover.postgres.catalog import differences_between
from cutover.postgres.contents import leave_out_own_options
from cutover.postgres.replication import Link
from cutover.postgres.replication.schema import copy_schema_before
from cutover.postgres.server_options import without_own
from cutover.rehearsal.postgres import Server

SHOP = """
CREATE TABLE public.users (id bigint PRIMARY KEY, name text, "odd; name" text DEFAULT 'it''s;
ALTER TABLE ONLY public.users ALTER COLUMN id SET (pg_attver=7);');
ALTER TABLE public.users ALTER COLUMN name SET (n_distinct = 7, n_distinct_inherited = 3);
ALTER TABLE public.users SET (fillfactor = 80, toast.autovacuum_enabled = false);
CREATE TABLE public.events (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE VIEW public.names WITH (security_barrier) AS SELECT id, name FROM public.users;
CREATE MATERIALIZED VIEW public.counted AS SELECT count(*) AS many FROM public.users;
CREATE TYPE public.place AS (street text, town text);
CREATE INDEX users_name ON public.users (name) WITH (fillfactor = 70);
INSERT INTO public.users SELECT i, 'user ' || i FROM generate_series(1, 100) i;
INSERT INTO public.events SELECT i, date '2026-06-01' + i FROM generate_series(1, 50) i;
"""

TABLES = ["public.events", "public.events_1", "public.users"]

COLUMNS = """
UPDATE pg_attribute a SET attoptions = array['{name}=' || ({number} + a.attnum)] || a.attoptions
FROM pg_class c WHERE c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'c') AND a.attnum > 0
  AND c.relnamespace = 'public'::regnamespace
"""
"""As 15.20 does it to every column of a table, a view or a composite type."""

RELATIONS = """
UPDATE pg_class c SET reloptions = c.reloptions || array['{name}={number}']
WHERE c.relkind IN ('r', 'v', 'm') AND c.relnamespace = 'public'::regnamespace
   OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
"""

OWN = {
    "of columns": (COLUMNS, "pg_attver"),
    "of columns, another": (COLUMNS, "pg_next_thing"),
    "of relations": (RELATIONS, "pg_relver"),
}


@dataclass(frozen=True)
class Side:
    """A database, as its owner enters it, who is no superuser; `superuser` is what writes as the server would."""

    url: str
    superuser: str

    def execute(self, text: str, *, superuser: bool = False) -> list[tuple[object, ...]]:
        """Statements; the rows of the last one."""
        with psycopg.connect(self.superuser if superuser else self.url, autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> list[str]:
        """Its tables, by name."""
        query = (
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = "
            "'public'::regnamespace ORDER BY 1"
        )
        return [f"public.{str(name).removeprefix('public.')}" for (name,) in self.execute(query)]


Side_ = Callable[[Server, str], Side]


@pytest.fixture
def side() -> Iterator[Side_]:
    """`side(server, owner)`: a database of a new ordinary role whose name begins so; both dropped after the test."""
    made: list[tuple[Server, str, str]] = []

    def make(server: Server, owner: str) -> Side:
        role, name = f"{owner}_{secrets.token_hex(4)}", f"own_{secrets.token_hex(4)}"
        server.create_role(role, options="CREATEDB")
        url = server.create_database(name, role)
        made.append((server, name, role))
        return Side(url, make_conninfo(server.url(name), options="-c allow_system_table_mods=on"))

    yield make
    for server, name, role in made:
        server.drop_database(name)
        server.execute(f'DROP ROLE "{role}"')


def _different(source: Side, target: Side) -> list[str]:
    """What differs but for who owns it: the two roles have different names."""
    found = differences_between(read_catalog(source.url), read_catalog(target.url))
    return [one.words for one in found if one.kind not in ("owner", "acl", "role", "database", "schema")]


def _of(findings: list[Finding], key: str) -> Finding:
    (found,) = (f for f in findings if f.id == key)
    return found


@pytest.mark.parametrize("what", OWN)
def test_what_a_server_writes_for_itself_is_no_difference(what: str, pg17: Server, side: Side_) -> None:
    """Every column or relation has a number of the server's own on one side, another on the other: equal."""
    source, target = side(pg17, "shop"), side(pg17, "platform")
    statement, name = OWN[what]
    for one, number in ((source, 100), (target, 900)):
        one.execute(SHOP)
        one.execute(statement.format(name=name, number=number), superuser=True)
    assert _different(source, target) == []
    target.execute(
        "UPDATE pg_attribute SET attoptions = array_replace(attoptions, 'n_distinct=7', 'n_distinct=8') "
        "WHERE attrelid = 'public.users'::regclass",
        superuser=True,
    )
    assert len(_different(source, target)) == 1, "what a user has set beside it still counts"


def test_an_option_of_any_other_name_is_a_difference(pg17: Server, side: Side_) -> None:
    """Only the prefix that PostgreSQL reserves is the server's own; what nobody has seen before is told."""
    source, target = side(pg17, "shop"), side(pg17, "platform")
    for one in (source, target):
        one.execute("CREATE TABLE public.t (a int); CREATE VIEW public.v AS SELECT 1 AS a")
    for name in ("attver", "n_pg_version", "pgver"):
        target.execute(COLUMNS.format(name=name, number=1), superuser=True)
        assert [name in words for words in _different(source, target)] == [True, True]


@pytest.mark.parametrize("what", ["of columns", "of relations"])
def test_a_dump_by_a_client_that_does_not_know_them_loses_no_table(
    what: str, pg17: Server, pg18: Server, side: Side_, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preflight tries it and names the client; schema, rows and the user's options arrive, from the dump as it lies."""
    source, target = side(pg17, "shop"), side(pg18, "platform")
    statement, name = OWN[what]
    source.execute(SHOP)
    monkeypatch.setenv("CUTOVER_PG_BIN", str(pg17.bin))
    assert _of(preflight(source.url, target.url, scratch=False), "PRE-tools").status is Status.PASS
    source.execute(statement.format(name=name, number=100), superuser=True)

    findings = preflight(source.url, target.url)
    found = _of(findings, "PRE-tools")
    assert (found.status, found.closes_gate) == (Status.FAIL, False)
    assert name in found.observed
    assert "apt-get install postgresql-client-17" in found.remedy
    assert "dnf install postgresql17" in found.remedy
    assert {_of(findings, f"PRE-schema-{key}").status for key in ("data", "objects", "same")} == {Status.PASS}

    dump(source.url, tmp_path / "d")
    assert read_dump(tmp_path / "d").left_out.keys() == {name}
    verified = verify_dump(tmp_path / "d")
    assert {f.status for f in verified} == {Status.PASS}
    assert name in _of(verified, "DMP-finished").observed
    done = restore(tmp_path / "d", target.url)
    assert {f.status for f in check_restore(done)} == {Status.PASS}
    assert target.tables() == TABLES
    assert target.execute("SELECT count(*) FROM public.users") == [(100,)]
    assert _different(source, target) == []


def test_a_replicated_copy_gets_every_table_too(pg17: Server, pg18: Server, side: Side_) -> None:
    """The schema of a copy that follows goes another way, and leaves out the same."""
    source, target = side(pg17, "shop"), side(pg18, "platform")
    source.execute(SHOP)
    source.execute(COLUMNS.format(name="pg_attver", number=100), superuser=True)
    copy_schema_before(Link(source.url, target.url))
    assert target.tables() == TABLES


@pytest.mark.parametrize("client", ["its own", "17"])
def test_two_databases_of_the_systems_server_are_equal_and_transfer(
    client: str, pg15: Server, pg17: Server, pg18: Server, side: Side_, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PostgreSQL 15 as it is released: equal to a copy made later; its own client writes nothing of its own."""
    source, other, target = side(pg15, "shop"), side(pg15, "later"), side(pg18, "platform")
    for one in (source, other):
        one.execute(SHOP)
    own = source.execute("SELECT attoptions FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attnum = 1")
    assert _different(source, other) == []
    monkeypatch.setenv("CUTOVER_PG_BIN", str((pg15 if client == "its own" else pg17).bin))
    found = _of(preflight(source.url, target.url, scratch=False), "PRE-tools")
    knows = client == "its own" or own == [(None,)]
    assert found.status is (Status.PASS if knows else Status.FAIL)
    dumped = dump(source.url, tmp_path / "d")
    assert dict(dumped.left_out) == ({} if knows else {"pg_attver": 8})
    assert {f.status for f in check_restore(restore(tmp_path / "d", target.url))} == {Status.PASS}
    assert target.tables() == TABLES
    assert [words for words in _different(source, target) if "option" in words or "n_distinct" in words] == []


def test_a_client_that_cannot_be_tried_is_not_known_and_closes_nothing(
    pg17: Server, pg18: Server, side: Side_, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UNKNOWN, with pg_dump's words and without a password."""
    source, target = side(pg17, "shop"), side(pg18, "platform")
    source.execute(SHOP)
    source.execute(COLUMNS.format(name="pg_attver", number=100), superuser=True)
    _programs(tmp_path, "17.10", "echo 'pg_dump: error: no such luck' >&2; exit 1")
    monkeypatch.setenv("CUTOVER_PG_BIN", str(tmp_path))
    found = _of(preflight(source.url, target.url, scratch=False), "PRE-tools")
    assert (found.status, found.closes_gate) == (Status.UNKNOWN, False)
    assert "no such luck" in found.observed
    assert found.remedy


def _programs(folder: Path, version: str, rest: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pg_dump", "pg_restore"):
        script = f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "{name} (PostgreSQL) {version}"; exit 0; }}\n{rest}\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


def test_of_one_major_the_newest_minor_release_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever it lies, 15.20 is newer than 15.9, and fits a 15 better than a 16."""
    monkeypatch.setenv("PATH", str(_programs(tmp_path / "path", "15.9")))
    monkeypatch.delenv("CUTOVER_PG_BIN", raising=False)
    for version in ("15.18", "15.20", "15rc1", "16.1"):
        _programs(tmp_path / version / "bin", version)
    monkeypatch.setattr(tools, "_SYSTEMS", (f"{tmp_path}/*/bin",))
    assert tools.find_tools(15).version == "15.20"
    assert tools.find_tools(14).version == "15.20"
    assert tools.find_tools(16).major == 16


@pytest.mark.parametrize(
    ("definition", "left", "names"),
    [
        ("ALTER TABLE ONLY s.t ALTER COLUMN a SET (pg_attver=7);\n", "", ["pg_attver"]),
        (
            "CREATE TABLE t (\n a int\n);\nALTER TABLE ONLY t ALTER COLUMN a SET (pg_a=1, n_distinct=-0.5, pg_b=2);\n",
            "CREATE TABLE t ( a int ); ALTER TABLE ONLY t ALTER COLUMN a SET (n_distinct=-0.5 );",
            ["pg_a", "pg_b"],
        ),
        (
            'ALTER FOREIGN TABLE ONLY "a;\'b" ALTER COLUMN "SET (pg_x=1)" SET (pg_attver=7);\nSELECT 1;',
            "SELECT 1;",
            ["pg_attver"],
        ),
        (
            "CREATE TABLE t (\n a int\n)\nWITH (fillfactor='80', pg_x='a,b)', toast.pg_x='1', toast.vacuum='off');\n",
            "CREATE TABLE t ( a int ) WITH (fillfactor='80', toast.vacuum='off' );",
            ["pg_x", "pg_x"],
        ),
        ("CREATE VIEW v WITH (pg_x='1') AS\n SELECT 1;", "CREATE VIEW v AS SELECT 1;", ["pg_x"]),
        ("CREATE TABLE t (a text DEFAULT 'x; SET (pg_attver=7);');\n", None, []),
        ("CREATE TABLE t (a int)\nWITH (fillfactor='80');\nALTER TABLE t ALTER a SET (n_distinct=1);\n", None, []),
        ("CREATE VIEW v AS\n SELECT 'WITH (pg_x=1)'::text AS \"SET (pg_x=1)\";", None, []),
    ],
)
def test_only_the_servers_own_is_taken_out_of_a_definition(definition: str, left: str | None, names: list[str]) -> None:
    """The rest stays letter by letter, and the length with it; what stands in quotes is text."""
    kept, found = without_own(definition.encode())
    assert len(kept) == len(definition)
    assert found == names
    if left is None:
        assert kept.decode() == definition
    else:
        assert " ".join(kept.decode().split()) == left


def test_an_archive_of_a_format_that_is_not_known_is_not_touched(pg17: Server, side: Side_, tmp_path: Path) -> None:
    """A later pg_dump's contents, and contents that were cut: refused where it matters, else left alone."""
    source, archive = side(pg17, "shop"), tmp_path / "archive"
    source.execute(SHOP)

    def dumped() -> bytes:
        command = [pg17.bin / "pg_dump", "--schema-only", "--format=custom", f"--file={archive}", source.url]
        subprocess.run(command, check=True, capture_output=True)
        return archive.read_bytes()

    plain = dumped()
    archive.write_bytes(plain[:6] + b"\x63" + plain[7:])
    # The text of a default speaks of such an option, so the contents would have to be read.
    with pytest.raises(DatabaseError, match=r"version 1\.99\) is not known"):
        leave_out_own_options(archive)
    source.execute('ALTER TABLE public.users ALTER COLUMN "odd; name" DROP DEFAULT')
    plain = dumped()
    archive.write_bytes(plain[:6] + b"\x63" + plain[7:])
    assert leave_out_own_options(archive) == {}
    source.execute(COLUMNS.format(name="pg_attver", number=100), superuser=True)
    whole = dumped()
    for wrong in (whole[: len(whole) // 2], whole[:6] + b"\x63" + whole[7:]):
        archive.write_bytes(wrong)
        with pytest.raises(DatabaseError, match="is not known"):
            leave_out_own_options(archive)
        assert archive.read_bytes() == wrong
