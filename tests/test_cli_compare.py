"""`cutover compare` as a user meets it: what it says, with which exit code, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import psycopg
import pytest

from cutover.cli import main
from cutover.rehearsal.postgres import Server

SCHEMA = """
CREATE SCHEMA audit;
CREATE TABLE public.users (id serial PRIMARY KEY, email text UNIQUE, born date);
INSERT INTO public.users (email, born) SELECT 'u' || n || '@example.com', date '1990-01-01' + n
    FROM generate_series(1, 1000) n;
CREATE TABLE public.orders (id int PRIMARY KEY, total numeric(10,2) CHECK (total >= 0));
INSERT INTO public.orders SELECT n, n * 1.5 FROM generate_series(1, 200) n;
CREATE TABLE audit.log (said text);
INSERT INTO audit.log SELECT 'line ' || n % 7 FROM generate_series(1, 110) n;
"""

Done = subprocess.CompletedProcess
Change = Callable[[str], str]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`cutover` in this process, with its exit code and what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["cutover", *map(str, arguments)]))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        stack.enter_context(mock.patch.object(signal, "signal"))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        ended = stack.enter_context(pytest.raises(SystemExit))
        main()
    return Done(list(map(str, arguments)), int(str(ended.value.code)), out.getvalue(), err.getvalue())


def run_alone(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as a user runs it."""
    command = [sys.executable, "-m", "cutover.cli", *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def compare(source: str, target: str, *options: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`cutover compare` with both URLs in the environment."""
    return run("compare", "env:SIDE_A", "env:SIDE_B", *options, SIDE_A=source, SIDE_B=target, **environment)


def execute(url: str, *statements: str) -> None:
    """Statements, each by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture(scope="module")
def originals(pg17: Server, pg18: Server) -> Iterator[tuple[str, str]]:
    """The same three tables on a 17 and on an 18; not to be changed."""
    name = f"cmp_{secrets.token_hex(4)}"
    for server in (pg17, pg18):
        execute(server.create_database(name), SCHEMA)
    yield pg17.url(name), pg18.url(name)
    for server in (pg17, pg18):
        server.drop_database(name)


@pytest.fixture
def source(originals: tuple[str, str]) -> str:
    """The source's URL."""
    return originals[0]


@pytest.fixture
def changed(originals: tuple[str, str], pg18: Server) -> Iterator[Change]:
    """`changed(sql)`: the URL of a copy of the target in which that was done."""
    made: list[str] = []

    def make(text: str = "SELECT 1") -> str:
        name = f"cmp_{secrets.token_hex(4)}"
        with psycopg.connect(pg18.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {originals[1].rsplit('/', 1)[1]}".encode())
        made.append(name)
        execute(pg18.url(name), text)
        return pg18.url(name)

    yield make
    for name in made:
        pg18.drop_database(name)


THREE = (
    "DELETE FROM users WHERE id IN (7, 8); UPDATE users SET email = 'new' WHERE id = 9; INSERT INTO orders VALUES (999)"
)


def test_equal_databases_are_one_sentence_and_exit_code_zero(originals: tuple[str, str]) -> None:
    """The sentence that a stakeholder may repeat: tables, rows, the rest, and as of when."""
    done = run_alone("compare", "env:SIDE_A", "env:SIDE_B", SIDE_A=originals[0], SIDE_B=originals[1])
    assert done.returncode == 0, done.stderr
    headline = done.stdout.splitlines()[0]
    assert re.fullmatch(
        r"All 3 tables, 1,310 rows, every sequence, index and constraint: identical, "
        r"as of 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\.",
        headline,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 4


def test_differences_are_named_by_table_row_and_column(source: str, changed: Change) -> None:
    """Exit code 3; values stay masked; as many rows as asked for."""
    done = compare(source, changed(THREE), "--show", "2")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("Different: 2 tables (4 rows); 1 of 3 tables identical, as of ")
    assert "public.users   2 missing, 1 different of 1,000 → 998 rows" in done.stdout
    assert "  id=7   only on the source" in done.stdout
    assert "  and 1 more; --evidence DIR names them all" in done.stdout
    assert "  id=999   only on the target" in done.stdout
    assert "@example.com" not in done.stdout
    assert "audit.log" not in done.stdout


def test_values_are_shown_when_they_are_asked_for(source: str, changed: Change) -> None:
    """Both sides' values of the differing column, so that NULL and blanks are told apart."""
    target = changed(
        "UPDATE users SET email = 'u1@example.com ' WHERE id = 1; UPDATE orders SET total = NULL WHERE id = 3"
    )
    text = compare(source, target, "--values").stdout
    assert "  id=1   differs in email\n      email: 'u1@example.com' → 'u1@example.com '" in text
    assert "      total: '4.50' → NULL" in text


def test_a_table_or_an_index_less_is_a_difference(source: str, changed: Change) -> None:
    """The catalog is compared in both directions, and said in few words."""
    done = compare(source, changed("DROP TABLE audit.log; ALTER TABLE users DROP CONSTRAINT users_email_key"))
    assert done.returncode == 3
    assert "audit.log" in done.stdout
    assert "it does not exist on the target" in done.stdout
    assert "users_email_key" in done.stdout


def test_json_says_all_of_it(source: str, changed: Change) -> None:
    """The result, the exit code, every table and every finding; values only on request."""
    done = compare(source, changed(THREE), "--json")
    told = json.loads(done.stdout)
    assert (told["result"], told["exit_code"], done.returncode) == ("different", 3, 3)
    tables = {table["name"]: table for table in told["tables"]}
    assert (tables["public.users"]["missing"], tables["public.users"]["different"]) == (2, 1)
    assert tables["audit.log"]["identical"]
    assert told["headline"].startswith("Different: ")
    assert "@example.com" not in done.stdout
    assert json.loads(compare(source, changed(), "--json").stdout)["result"] == "equal"


def test_junit_is_red_where_the_exit_code_is(source: str, changed: Change, tmp_path: Path) -> None:
    """A case for each finding; what is advisory is skipped."""
    cases = {"SELECT 1": 0, "DELETE FROM orders WHERE id = 3": 2, "COMMENT ON TABLE users IS 'x'": 0}
    for text, failures in cases.items():
        done = compare(source, changed(text), "--junit", tmp_path / "new" / "junit.xml")
        root = ET.parse(tmp_path / "new" / "junit.xml").getroot()
        assert int(root.get("failures", "")) == len(root.findall(".//failure")) == failures
        assert done.returncode == (3 if failures else 0)
    assert [skipped.get("message") for skipped in root.iter("skipped")]


def test_evidence_holds_every_differing_key(source: str, changed: Change, tmp_path: Path) -> None:
    """However few are shown."""
    done = compare(source, changed("DELETE FROM users WHERE id <= 300"), "--evidence", tmp_path, "--show", "1")
    lines = [json.loads(line) for line in (tmp_path / "differences.jsonl").read_text().splitlines()]
    assert {int(line["key"]["id"]) for line in lines} == set(range(1, 301))
    assert f"and 299 more in {tmp_path / 'differences.jsonl'}" in done.stdout
    assert json.loads((tmp_path / "comparison.json").read_text())["tables"]


@pytest.mark.parametrize(
    ("options", "code", "tables"),
    [
        (["--schema", "audit"], 0, {"audit.log"}),
        (["--schema", "pub*"], 3, {"public.orders", "public.users"}),
        (["--table", "users", "--table", "audit.*"], 3, {"audit.log", "public.users"}),
        (["--table", "public.o?ders"], 3, {"public.orders"}),
        (["--exclude", "users", "--exclude", "public.orders"], 0, {"audit.log"}),
        (["--schema", "public", "--exclude", "orders"], 3, {"public.users"}),
    ],
)
def test_filters_choose_what_is_compared(
    options: list[str], code: int, tables: set[str], source: str, changed: Change
) -> None:
    """What was left out is named, and the sentence does not claim the whole database."""
    done = compare(source, changed(THREE), "--json", *options)
    told = json.loads(done.stdout)
    assert (done.returncode, {table["name"] for table in told["tables"]}) == (code, tables)
    assert set(told["left_out"]) == {"audit.log", "public.orders", "public.users"} - tables
    assert code or "chosen" in told["headline"]


@pytest.mark.parametrize("options", [["--table", "user"], ["--schema", "Public"], ["--exclude", "public.user"]])
def test_a_pattern_that_fits_nothing_is_refused(options: list[str], originals: tuple[str, str]) -> None:
    """A mistyped table would be passed over in silence."""
    done = compare(*originals, *options)
    assert done.returncode == 2
    assert f"Nothing on either side fits '{options[1]}'" in done.stderr
    assert done.stdout == ""


def test_rows_alone_leave_the_catalog_out_and_say_so(source: str, changed: Change) -> None:
    """An index less is not seen then, and not claimed either."""
    done = compare(source, changed("ALTER TABLE users DROP CONSTRAINT users_email_key"), "--rows-only")
    assert done.returncode == 0, done.stdout
    assert "(rows alone; the catalog was not compared)" in done.stdout
    assert "index" not in done.stdout


def test_an_advisory_difference_is_shown_and_counts_only_when_strict(source: str, changed: Change) -> None:
    """A comment changes no answer of the database: exit code 0 with a word on it, 3 with --strict."""
    target = changed("COMMENT ON TABLE users IS 'people'")
    done = compare(source, target)
    assert done.returncode == 0
    assert "identical, but for 1 advisory difference" in done.stdout.splitlines()[0]
    assert "Comment of table public.users" in done.stdout
    assert compare(source, target, "--strict").returncode == 3


def test_the_audit_takes_sha256(source: str, changed: Change) -> None:
    """Of every row, and it finds the same."""
    done = compare(source, changed(THREE), "--audit", "--json")
    told = json.loads(done.stdout)
    assert (told["algorithm"], told["exit_code"]) == ("sha256", 3)


def test_a_table_that_may_not_be_read_is_not_comparable(source: str, changed: Change, pg18: Server) -> None:
    """Exit code 5 and the grant that fixes it; without that table, by choice, it is equal."""
    role = f"reader_{secrets.token_hex(3)}"
    grants = f"GRANT USAGE ON SCHEMA audit TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public, audit TO {role};"
    pg18.create_role(role)
    target = changed(f"{grants} REVOKE SELECT ON public.orders FROM {role}")
    url = pg18.url(urlsplit(target).path[1:], role)
    try:
        done = compare(source, url, "--rows-only")
        assert done.returncode == 5, done.stdout
        assert done.stdout.startswith("Not comparable: public.orders; 2 of 3 tables identical")
        assert "GRANT SELECT ON public.orders" in done.stdout
        assert compare(source, url, "--rows-only", "--exclude", "orders").returncode == 0
        with psycopg.connect(target):  # somebody else's session, of which the role may not see what it does
            done = compare(source, url, "--rows-only", "--exclude", "orders", "--max-load", "9")
        assert (done.returncode, "GRANT pg_read_all_stats" in done.stdout) == (5, True)
    finally:
        execute(target, f"DROP OWNED BY {role}")
        execute(pg18.url(), f"DROP ROLE {role}")


def _broken(url: str, what: str) -> str:
    parts = urlsplit(url)
    user, password, host = parts.username, parts.password, f"{parts.hostname}:{parts.port}"
    return {
        "nobody listens": f"postgresql://{user}:{password}@127.0.0.1:1{parts.path}",
        "wrong password": f"postgresql://{user}:not-the-password@{host}{parts.path}",
        "no such user": f"postgresql://nobody_here:{password}@{host}{parts.path}",
        "no such database": f"postgresql://{user}:{password}@{host}/no_such_database",
        "no such host": f"postgresql://{user}:{password}@no-such-host.invalid{parts.path}",
    }[what]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("nobody listens", "is the server up"),
        ("wrong password", "check the user and the password"),
        ("no such user", "check the user and the password"),
        ("no such database", "check the name that is not there"),
        ("no such host", "check the host name"),
    ],
)
def test_a_side_that_cannot_be_reached_is_an_error(what: str, says: str, originals: tuple[str, str]) -> None:
    """Exit code 1, what to do, and no password."""
    broken = _broken(originals[1], what)
    done = compare(originals[0], broken)
    assert done.returncode == 1, done.stdout + done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert str(urlsplit(broken).password) not in done.stderr


def test_one_database_on_both_sides_is_an_error(originals: tuple[str, str]) -> None:
    """However its host is spelt: it would be compared with itself."""
    done = compare(originals[0], originals[0].replace("127.0.0.1", "localhost") + "?application_name=other")
    assert done.returncode == 1
    assert "one and the same database" in done.stderr


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("mysql://root@127.0.0.1/app", "no PostgreSQL database"),
        ("postgresql+psycopg2://app@127.0.0.1/app", "leave out +psycopg2"),
        ("app", "no PostgreSQL database"),
        ("", "no PostgreSQL database"),
        ("postgresql://app:hunter2-hunter2@127.0.0.1/app", "A password stands in the command line"),
        ("host=127.0.0.1 dbname=app password=hunter2-hunter2", "A password stands in the command line"),
        ("env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE is not set"),
        ("file:/no/such/file", "/no/such/file cannot be read"),
        ("env:WRONG_KIND", "no PostgreSQL database"),
    ],
)
def test_what_is_no_database_is_wrong_usage(given: str, says: str, source: str) -> None:
    """Exit code 2, an example, and never the password."""
    done = run("compare", given, "env:SIDE", SIDE=source, WRONG_KIND="redis://:hunter2-hunter2@127.0.0.1/0")
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_passwords_come_from_files_and_services_as_libpq_has_them(originals: tuple[str, str], tmp_path: Path) -> None:
    """`file:`, a service of pg_service.conf, and ~/.pgpass beside a URL without a password."""
    parts = [urlsplit(url) for url in originals]
    secret = tmp_path / "url"
    secret.write_text(originals[0] + "\n")
    services, passwords = tmp_path / "services", tmp_path / "pgpass"
    services.write_text(f"[copy]\nhost={parts[1].hostname}\nport={parts[1].port}\ndbname={parts[1].path[1:]}\n")
    passwords.write_text("".join(f"{p.hostname}:{p.port}:*:{p.username}:{p.password}\n" for p in parts))
    passwords.chmod(0o600)
    known = {"PGSERVICEFILE": str(services), "PGPASSFILE": str(passwords)}
    done = run("compare", f"file:{secret}", "service=copy user=postgres", **known)
    assert done.returncode == 0, done.stderr
    assert "target: service copy" in done.stdout
    bare = f"postgresql://postgres@{parts[0].hostname}:{parts[0].port}{parts[0].path}"
    assert run("compare", bare, "service=copy user=postgres", **known).returncode == 0
    unknown = run("compare", bare, "service=other", **known)
    assert (unknown.returncode, "pg_service.conf" in unknown.stderr) == (1, True)


def test_a_busy_server_is_waited_for_and_then_said_to_be_busy(originals: tuple[str, str]) -> None:
    """--max-load reads nothing while others are at work; what was not read is not equal."""
    busy = psycopg.connect(originals[1], autocommit=True)
    thread = threading.Thread(target=_work, args=(busy,))
    thread.start()
    try:
        with psycopg.connect(originals[1], autocommit=True) as look:
            for _ in range(1000):
                if look.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600%'").fetchone():
                    break
        done = compare(*originals, "--max-load", "0", "--max-wait", "0")
        assert done.returncode == 5, done.stdout
        assert "1 active sessions" in done.stdout
        assert compare(*originals, "--max-load", "1").returncode == 0
    finally:
        busy.cancel_safe()
        thread.join(30)
        busy.close()


def _work(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("SELECT pg_sleep(600)")


def test_a_fingerprint_stands_for_the_source_as_it_was(
    source: str, pg17: Server, changed: Change, tmp_path: Path
) -> None:
    """The source moves on; the copy is still equal to what it was, and a lost row is still found."""
    name = f"moving_{secrets.token_hex(4)}"
    with psycopg.connect(pg17.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {urlsplit(source).path[1:]}".encode())
    moving, file = pg17.url(name), tmp_path / "then.json.gz"
    try:
        taken = run("fingerprint", "env:SIDE", file, SIDE=moving)
        assert (taken.returncode, "1,310 rows of 3 relations" in taken.stderr) == (0, True), taken.stderr
        execute(moving, "INSERT INTO users (email) SELECT 'late' || n FROM generate_series(1, 9) n")
        assert compare(moving, changed(), "--rows-only").returncode == 3
        then = compare(moving, changed(), "--fingerprint", file)
        assert then.returncode == 0, then.stdout
        lost = compare(moving, changed("DELETE FROM orders WHERE id = 17"), "--fingerprint", file)
        assert (lost.returncode, "id=17   only on the source" in lost.stdout) == (3, True)
        file.write_bytes(file.read_bytes()[:-40])
        damaged = compare(moving, changed(), "--fingerprint", file)
        assert (damaged.returncode, "cannot be read" in damaged.stderr) == (1, True)
    finally:
        pg17.drop_database(name)
