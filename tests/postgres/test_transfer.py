"""Dump and restore: whole or refused, verified by reading back, every error of a restore accounted for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status, verdict
from cutover.postgres import (
    Restore,
    check_restore,
    compare,
    dump,
    exported_snapshot,
    preflight,
    read_dump,
    restore,
    tools,
    verify_dump,
)
from cutover.postgres.connection import parameters
from cutover.postgres.transfer.errors import read_errors
from cutover.progress import Progress
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]


@pytest.fixture(scope="module")
def dumped(rich17: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of the rich database; not to be changed."""
    folder = tmp_path_factory.mktemp("dump") / "held"
    dump(rich17, folder)
    return folder


def _of(findings: list[Finding], key: str) -> Finding:
    (found,) = (f for f in findings if f.id == key)
    return found


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_restore_from_17_into_18_is_equal_in_everything(
    rich17: str, dumped: Path, pg18: Server, fresh_database: Fresh, jobs: int
) -> None:
    """Across majors, dump and restore give no difference in the catalog, in a sequence or in a row: no false alarm."""
    target = fresh_database(pg18)
    done = restore(dumped, target, jobs=jobs, owner=True, acl=True)
    assert done.exit_code == 0
    assert not done.marked
    assert {f.status for f in check_restore(done)} == {Status.PASS}
    comparison = compare(rich17, target)
    assert [f.id for f in comparison.findings if f.status is not Status.PASS] == []
    assert comparison.rows_compared > 1000
    assert verdict(comparison.findings).opens


def test_a_restore_from_17_into_17_is_equal_in_everything(
    rich17: str, dumped: Path, pg17: Server, fresh_database: Fresh
) -> None:
    """Within one major as well."""
    target = fresh_database(pg17)
    restore(dumped, target, owner=True, acl=True)
    assert [f.id for f in compare(rich17, target).findings if f.status is not Status.PASS] == []


def test_a_restore_from_16_into_18_is_equal_in_everything(
    pg16: Server, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """Over two majors: NOT NULL constraints, statistics targets and views are stored or printed otherwise."""
    source, target = fresh_database(pg16), fresh_database(pg18)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute((Path(__file__).parent / "schema.sql").read_text().encode())
    dump(source, tmp_path / "d")
    assert restore(tmp_path / "d", target, owner=True, acl=True).exit_code == 0
    comparison = compare(source, target)
    # C.UTF-8 is libc's on 16 and PostgreSQL's own on 18: a real difference of the two databases, and the only one.
    assert [f.id for f in comparison.findings if f.status is not Status.PASS] == ["INT-catalog-database:database"]
    assert verdict(comparison.findings).opens


def test_rows_that_vanish_on_the_way_are_named(rich17: str, dumped: Path, pg18: Server, fresh_database: Fresh) -> None:
    """The check of the tests above fails when it must: three rows deleted after the restore."""
    target = fresh_database(pg18)
    restore(dumped, target, owner=True, acl=True)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("DELETE FROM app.notes WHERE id IN (5, 6, 7)")
    comparison = compare(rich17, target)
    found = _of(comparison.findings, "INT-rows:app.notes")
    assert found.status is Status.FAIL
    assert found.data["missing"] == 3
    assert "id=5 missing; id=6 missing; id=7 missing" in found.observed
    assert not verdict(comparison.findings).opens


def test_a_dump_says_what_it_is_and_reads_back(rich17: str, dumped: Path) -> None:
    """dump.json holds the instant, the program, every file's SHA-256 and every table, and no password."""
    held = read_dump(dumped)
    assert held.tool.startswith("pg_dump 17")
    assert held.snapshot
    assert "/" in held.lsn
    assert ("app", "users") in held.tables
    assert held.size_bytes > 1000
    password = parameters(rich17)["password"]
    assert password not in (dumped / "dump.json").read_text()
    assert {f.id: f.status for f in verify_dump(dumped)} == dict.fromkeys(
        ("DMP-finished", "DMP-files", "DMP-contents"), Status.PASS
    )


def test_a_dump_at_a_given_snapshot_does_not_see_what_came_later(
    pg17: Server, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """Dump and comparison share one instant while the source goes on."""
    source, target = fresh_database(pg17), fresh_database(pg18)
    with psycopg.connect(source, autocommit=True) as writer:
        writer.execute("CREATE TABLE public.t (id serial PRIMARY KEY); INSERT INTO public.t DEFAULT VALUES")
        with exported_snapshot(source) as instant:
            writer.execute("INSERT INTO public.t DEFAULT VALUES")
            held = dump(source, tmp_path / "d", snapshot=instant)
            restore(tmp_path / "d", target)
            comparison = compare(source, target, source_snapshot=instant)
    assert held.snapshot == instant.id
    assert _of(comparison.findings, "INT-rows:public.t").data["rows_target"] == 1
    assert verdict(comparison.findings).opens


def _damage(folder: Path, how: str) -> None:
    data = max((folder / "archive").glob("*.dat.gz"), key=lambda path: path.stat().st_size)
    content = data.read_bytes()
    if how == "a byte less":
        data.write_bytes(content[:-1])
    elif how == "a byte changed":
        data.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    elif how == "a file gone":
        data.unlink()
    elif how == "a file more":
        (folder / "archive" / "9999.dat.gz").write_bytes(b"x")
    elif how == "no table of contents":
        (folder / "archive" / "toc.dat").unlink()
    elif how == "killed before its end":
        (folder / "dump.json").unlink()


@pytest.mark.parametrize(
    ("how", "key"),
    [
        ("a byte less", "DMP-files"),
        ("a byte changed", "DMP-files"),
        ("a file gone", "DMP-files"),
        ("a file more", "DMP-files"),
        ("no table of contents", "DMP-contents"),
        ("killed before its end", "DMP-finished"),
    ],
)
def test_a_damaged_dump_is_recognised(dumped: Path, tmp_path: Path, how: str, key: str) -> None:
    """One byte less, changed, a file gone or added, or a dump that was killed: never verified."""
    copy = Path(shutil.copytree(dumped, tmp_path / "copy"))
    _damage(copy, how)
    findings = verify_dump(copy)
    assert key in {f.id for f in findings if f.status is not Status.PASS}
    assert not verdict(findings).opens


def test_a_dump_that_lost_a_table_is_recognised(dumped: Path, tmp_path: Path) -> None:
    """dump.json names a table whose rows are not in the archive."""
    copy = Path(shutil.copytree(dumped, tmp_path / "copy"))
    raw = json.loads((copy / "dump.json").read_text())
    raw["tables"].append(["app", "forgotten"])
    (copy / "dump.json").write_text(json.dumps(raw))
    found = _of(verify_dump(copy), "DMP-contents")
    assert found.status is Status.FAIL
    assert "app.forgotten" in found.observed


def test_a_dump_into_a_folder_that_is_not_empty_is_refused(rich17: str, tmp_path: Path) -> None:
    """Files of two dumps are never mixed."""
    (tmp_path / "old").write_text("x")
    with pytest.raises(DatabaseError, match="not empty"):
        dump(rich17, tmp_path)


def test_a_dump_that_pg_dump_refuses_leaves_no_record(rich17: str, tmp_path: Path) -> None:
    """A role without rights: pg_dump's words are in the error, and the folder does not pass for a dump."""
    with psycopg.connect(rich17, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN PASSWORD 'weakweakweak'")
    weak = make_conninfo(rich17, user="weak", password="weakweakweak")
    try:
        with pytest.raises(DatabaseError, match="permission denied") as caught:
            dump(weak, tmp_path / "d")
    finally:
        with psycopg.connect(rich17, autocommit=True) as connection:
            connection.execute("DROP ROLE weak")
    assert "weakweakweak" not in str(caught.value)
    assert verify_dump(tmp_path / "d")[0].status is Status.MISSING
    with pytest.raises(DatabaseError, match="no finished dump"):
        restore(tmp_path / "d", rich17)


def test_a_password_stands_in_no_argument(rich17: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `ps` shows of pg_dump holds no password: it goes by the environment."""
    fake = tmp_path / "bin"
    fake.mkdir()
    for name in ("pg_dump", "pg_restore"):
        script = (
            '#!/bin/sh\n[ "$1" = --version ] && { echo "x (PostgreSQL) 99.1"; exit 0; }\n'
            f'echo "$@" > {tmp_path}/argv; echo "$PGPASSWORD" > {tmp_path}/env; exit 1\n'
        )
        (fake / name).write_text(script)
        (fake / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("CUTOVER_PG_BIN", str(fake))
    with pytest.raises(DatabaseError):
        dump(rich17, tmp_path / "d")
    password = parameters(rich17)["password"]
    assert password not in (tmp_path / "argv").read_text()
    assert password == (tmp_path / "env").read_text().strip()
    assert "--snapshot=" in (tmp_path / "argv").read_text()


def test_a_target_that_is_not_empty_is_refused(dumped: Path, pg18: Server, fresh_database: Fresh) -> None:
    """A table, a function, a type or a schema stands in the way; an extension's objects do not."""
    target = fresh_database(pg18)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION citext")
        connection.execute("CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    with pytest.raises(DatabaseError, match=r"not empty: function public\.mine\(\)"):
        restore(dumped, target)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("DROP FUNCTION public.mine()")
    assert not restore(dumped, target).marked


def test_a_restore_that_was_killed_leaves_its_mark(
    dumped: Path, pg18: Server, fresh_database: Fresh, rich17: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_restore is killed in its middle: the loss is told, the mark stays, and nobody restores or compares over it."""
    target = fresh_database(pg18)
    killed: list[int] = []

    def kill(step: Progress) -> None:
        if step.stage == "restore" and not killed:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                words = entry.read_bytes().split(b"\0") if entry.exists() else []
                if words and words[0].endswith(b"pg_restore") and target.rsplit("/", 1)[1].encode() in b" ".join(words):
                    killed.append(int(entry.parent.name))
                    os.kill(killed[-1], signal.SIGKILL)

    if not Path("/proc/self/cmdline").exists():
        pytest.skip("finds the program through /proc")
    done = restore(dumped, target, jobs=1, progress=kill)
    assert killed
    assert done.marked
    assert _of(check_restore(done), "RST-data").status is Status.FAIL
    with pytest.raises(DatabaseError, match="contains an unfinished restore"):
        restore(dumped, target)
    assert _of(preflight(rich17, target), "PRE-target-empty").status is Status.FAIL
    summary = _of(compare(rich17, target).findings, "INT-catalog")
    assert summary.status is Status.FAIL
    assert "unfinished restore" in summary.observed


def test_a_missing_role_loses_a_grant_and_a_missing_table_its_rows(
    pg17: Server, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """pg_restore exits 1 for both; one is an object lost, the other data, and each is named."""
    source, target = fresh_database(pg17), fresh_database(pg18)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(
            "DROP ROLE IF EXISTS only_here; CREATE ROLE only_here; CREATE EXTENSION pgcrypto; "
            "CREATE TABLE public.a (x int); GRANT SELECT ON public.a TO only_here; "
            "CREATE TABLE public.b (x int, y bytea GENERATED ALWAYS AS (public.digest('x', 'sha256')) STORED); "
            "INSERT INTO public.b VALUES (1)"
        )
    dump(source, tmp_path / "d")
    try:
        done = restore(tmp_path / "d", target, acl=True)
    finally:
        with psycopg.connect(source, autocommit=True) as connection:
            connection.execute("DROP OWNED BY only_here; DROP ROLE only_here")
    assert done.exit_code == 1
    assert done.marked
    assert (done.stopped, list(done.phases)) == ("schema", ["schema"])
    findings = check_restore(done)
    assert "TABLE public.b" in _of(findings, "RST-data").observed
    assert "EXTENSION" in _of(findings, "RST-objects").observed
    assert "stopped after the phase 'schema'" in _of(findings, "RST-tables").observed
    assert Restore.from_dict(json.loads(json.dumps(done.to_dict()))).errors == done.errors
    extensions = _of(preflight(source, fresh_database(pg18)), "PRE-extensions")
    assert extensions.status is Status.FAIL
    assert "pgcrypto" in extensions.observed


def test_the_databases_own_settings_are_moved_too(
    pg17: Server, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """pg_dump leaves ALTER DATABASE … SET out; the restore applies them, but never the source's freeze."""
    source, target = fresh_database(pg17), fresh_database(pg18)
    name = sql.Identifier(source.rsplit("/", 1)[1])
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.t (a int)")
        for change in (
            "work_mem = '7MB'",
            'search_path = public, "$user"',
            "default_transaction_read_only = on",
            "app.tenant = 'it''s me'",
        ):
            connection.execute(sql.SQL("ALTER DATABASE {} SET {}").format(name, sql.SQL(change)))  # type: ignore[arg-type]
    dump(source, tmp_path / "d")
    restore(tmp_path / "d", target)
    with psycopg.connect(target) as connection:
        shown = [connection.execute(f"SHOW {key}").fetchone() for key in ("work_mem", "search_path", "app.tenant")]  # type: ignore[arg-type]
        assert [row and row[0] for row in shown] == ["7MB", 'public, "$user"', "it's me"]
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
    assert verdict(compare(source, target).findings).opens


def test_a_role_may_own_what_is_restored(dumped: Path, pg18: Server, fresh_database: Fresh) -> None:
    """With `role`, the application's role owns the objects although another one connects."""
    target = fresh_database(pg18)
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS app_owner; CREATE ROLE app_owner SUPERUSER")
    restore(dumped, target, role="app_owner")
    with psycopg.connect(target, autocommit=True) as connection:
        owner = connection.execute(
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'app.users'::regclass"
        ).fetchone()
        connection.execute("DROP OWNED BY app_owner CASCADE")
        connection.execute("DROP ROLE app_owner")
    assert owner == ("app_owner",)


def test_progress_counts_every_table(rich17: str, pg18: Server, fresh_database: Fresh, tmp_path: Path) -> None:
    """Dump and restore tell of each table, up to all of them."""
    seen: list[Progress] = []
    held = dump(rich17, tmp_path / "d", progress=seen.append)
    restore(tmp_path / "d", fresh_database(pg18), progress=seen.append)
    for stage in ("dump", "restore"):
        last = [step for step in seen if step.stage == stage][-1]
        assert last.done == last.total == len(held.tables)
        assert (last.bytes, last.rows) == (last.bytes_total, last.rows_total)
    assert last.rows == held.rows
    assert last.bytes == held.data_bytes
    assert {step.stage for step in seen} == {"dump", "schema", "restore", "indexes", "grants", "analyze"}


@pytest.mark.parametrize(
    ("lines", "cost"),
    [
        (
            [
                "pg_restore: from TOC entry 5; 2615 2200 SCHEMA public pg_database_owner",
                'pg_restore: error: could not execute query: ERROR:  schema "public" already exists',
                "Command was: CREATE SCHEMA public;",
            ],
            "harmless",
        ),
        (
            [
                "pg_restore: from TOC entry 9; 0 0 COMMENT EXTENSION citext ",
                "pg_restore: error: could not execute query: ERROR:  must be owner of extension citext",
                "Command was: COMMENT ON EXTENSION citext IS 'x';",
            ],
            "harmless",
        ),
        (
            [
                "pg_restore: error: could not execute query: "
                'ERROR:  unrecognized configuration parameter "transaction_timeout"',
                "Command was: SET transaction_timeout = 0;",
            ],
            "harmless",
        ),
        (
            [
                "pg_restore: from TOC entry 77; 1259 1 INDEX public users_email postgres",
                "pg_restore: error: could not execute query: ERROR:  could not create unique index",
                "DETAIL:  Key is duplicated.",
                "Command was: CREATE UNIQUE INDEX users_email ON public.users USING btree (email);",
            ],
            "object",
        ),
        (
            [
                "pg_restore: from TOC entry 78; 0 2 TABLE DATA public users postgres",
                'pg_restore: error: COPY failed for table "users": ERROR:  disk full',
            ],
            "data",
        ),
        (["pg_restore: error: worker process failed: exit code 137"], "data"),
        (["something that nobody has seen"], "data"),
        (
            [
                "pg_restore: from TOC entry 3; 1259 3 TABLE public t postgres",
                'pg_restore: error: could not execute query: ERROR:  must be able to SET ROLE "x"',
                "Command was: ALTER TABLE public.t OWNER TO x;",
            ],
            "object",
        ),
    ],
)
def test_each_error_of_pg_restore_is_classified(lines: list[str], cost: str) -> None:
    """Harmless, an object or data: what is not understood counts as data."""
    (error,) = read_errors(lines, 1)
    assert error.cost == cost
    assert error.message


def test_tools_of_the_lowest_fitting_major_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """17 for a 17, 18 for an 18; none new enough is an error that says what was found and what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUTOVER_PG_BIN", raising=False)
    assert tools.find_tools(17).major == 17
    assert tools.find_tools(18).major == 18
    with pytest.raises(DatabaseError, match=r"No pg_dump and pg_restore of version 99.*found: .*18\."):
        tools.find_tools(99)
    chosen = tools.find_tools(18).bin
    monkeypatch.setenv("CUTOVER_PG_BIN", str(chosen))
    assert tools.find_tools(16).bin == chosen
    monkeypatch.setenv("CUTOVER_PG_BIN", str(tmp_path))
    with pytest.raises(DatabaseError, match="none at all"):
        tools.find_tools(16)


def test_a_newer_version_of_an_extension_is_no_difference_and_is_told(
    pg17: Server, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """18 brings a newer citext than 17: shown, not a difference; the other way round it closes the gate."""
    source, target = fresh_database(pg17), fresh_database(pg18)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(
            "CREATE EXTENSION citext; CREATE TABLE public.t (a public.citext); INSERT INTO public.t VALUES ('A')"
        )
    dump(source, tmp_path / "d")
    restore(tmp_path / "d", target)
    forth = compare(source, target).findings
    assert [f.id for f in forth if f.status is not Status.PASS] == []
    assert "newer on the target" in _of(forth, "INT-catalog-extension").observed
    back = _of(compare(target, source).findings, "INT-catalog-extension:citext")
    assert back.status is Status.FAIL
    assert back.closes_gate


def test_what_a_failed_statement_holds_of_secrets_and_rows_is_left_out() -> None:
    """A user mapping's password, a connection string, the values of a row that COPY refused."""
    lines = [
        "pg_restore: from TOC entry 1; 0 0 USER MAPPING app",
        "pg_restore: error: could not execute query: ERROR:  server does not exist",
        "Command was: CREATE USER MAPPING FOR app SERVER far OPTIONS (password 'swordfish-9', \"user\" 'me');",
        'pg_restore: error: COPY failed for table "users": ERROR:  invalid input syntax',
        'CONTEXT:  COPY users, line 3, column email: "someone@example.com"',
    ]
    told = str([error.to_dict() for error in read_errors(lines, 1)])
    assert "swordfish-9" not in told
    assert "someone@example.com" not in told
    assert "USER MAPPING" in told
