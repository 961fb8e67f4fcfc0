"""Whatever breaks while two databases are compared: a clear error or the right result, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from cutover.errors import DatabaseError, ExitCode
from cutover.postgres import Comparison, compare, connection
from cutover.postgres.integrity import digest, opening
from cutover.postgres.integrity.answer import Answer
from cutover.progress import Progress
from cutover.rehearsal import postgres as pg
from cutover.rehearsal.postgres import Server

OnBoth = Callable[[str, str], tuple[str, str]]

ROWS = 3000
EMPTY = (
    "CREATE TABLE public.t (id int PRIMARY KEY, a text);"
    "CREATE TABLE public.u (id int PRIMARY KEY); INSERT INTO public.u SELECT generate_series(1, 10);"
)
TABLES = EMPTY + f"INSERT INTO public.t SELECT n, 'value ' || n FROM generate_series(1, {ROWS}) n;"
LAST_ROW_LOST = TABLES + f"DELETE FROM public.t WHERE id = {ROWS};"


def outcome(urls: tuple[str, str], progress: Callable[[Progress], None]) -> tuple[ExitCode, Comparison | None]:
    """What `cutover compare` would exit with, and the comparison, if it came to one."""
    try:
        comparison = compare(*urls, jobs=2, catalog=False, progress=progress)
    except DatabaseError as error:
        return error.exit_code, None
    return Answer(comparison).code, comparison


def name_of(url: str) -> str:
    """The database's name."""
    return url.rsplit("/", 1)[1]


def once(act: Callable[[], None]) -> Callable[[Progress], None]:
    """A listener that acts when the first piece was read: in the middle of a table."""
    acted: list[bool] = []

    def listen(_: Progress) -> None:
        if not acted:
            acted.append(True)
            act()

    return listen


def terminate(server: Server, url: str, which: str) -> None:
    """End our sessions in a database."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND {which}".encode(),
            (name_of(url),),
        )


@pytest.mark.parametrize("which", ["true", "state <> 'idle in transaction'", "state = 'idle in transaction'"])
@pytest.mark.parametrize("side", [0, 1])
def test_a_lost_connection_never_makes_different_tables_equal(
    which: str, side: int, on_both: OnBoth, pg17: Server, pg18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All sessions, those that read, or those that hold the snapshot, in mid-table: different or not comparable."""
    monkeypatch.setattr(digest, "PIECE_PAGES", 1)
    urls = on_both(TABLES, LAST_ROW_LOST)
    code, comparison = outcome(urls, once(lambda: terminate((pg17, pg18)[side], urls[side], which)))
    assert code in (ExitCode.CLOSED, ExitCode.INCONCLUSIVE, ExitCode.BROKE)
    if code is ExitCode.CLOSED:
        assert comparison is not None
        assert [(t.name, t.missing) for t in comparison.tables if t.differs and not t.unlocated] in (
            [("public.t", 1)],
            [],
        )


def test_tables_that_were_read_over_again_are_counted_once(
    on_both: OnBoth, pg18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When reading goes on after lost connections, every row is counted once; else nothing is called equal."""
    monkeypatch.setattr(digest, "PIECE_PAGES", 1)
    urls = on_both(TABLES, TABLES)
    code, comparison = outcome(urls, once(lambda: terminate(pg18, urls[1], "state <> 'idle in transaction'")))
    assert code in (ExitCode.GO, ExitCode.INCONCLUSIVE)
    if code is ExitCode.GO:
        assert comparison is not None
        assert [(t.source_rows, t.target_rows) for t in comparison.tables] == [(ROWS, ROWS), (10, 10)]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A PostgreSQL 18 that may be stopped and started."""
    with pg.start(tmp_path, major=18) as server:
        yield server


@pytest.mark.parametrize("way", ["restart", "crash"])
def test_a_server_that_restarts_is_an_error_or_not_comparable(
    way: str, own_server: Server, pg17: Server, fresh_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order or as in a power cut: never equal, though both sides hold the same."""
    monkeypatch.setattr(digest, "PIECE_PAGES", 1)
    urls = fresh_database(pg17), own_server.create_database("copy")
    for url in urls:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLES.encode())
    code, _ = outcome(urls, once(own_server.restart if way == "restart" else own_server.crash))
    assert code in (ExitCode.INCONCLUSIVE, ExitCode.BROKE)


def test_statements_that_take_too_long_are_told(on_both: OnBoth) -> None:
    """What reads rows waits for somebody's lock beyond its time: its table is not comparable, and nothing is equal."""
    urls = on_both(TABLES, TABLES)
    with psycopg.connect(urls[1]) as blocker:
        blocker.execute("LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        done = start(urls, "--statement-timeout", "0.3", "--lock-timeout", "1", "--jobs", "1", "--rows-only")
        out, err = done.communicate(timeout=120)
    assert done.returncode in (ExitCode.INCONCLUSIVE, ExitCode.BROKE), out + err
    assert "statement timeout" in out + err
    assert "Traceback" not in err


def start(urls: tuple[str, str], *options: str) -> subprocess.Popen[str]:
    """`cutover compare` in a process of its own."""
    command = [sys.executable, "-m", "cutover.cli", "compare", "env:SIDE_A", "env:SIDE_B", *options]
    environment = {**os.environ, "SIDE_A": urls[0], "SIDE_B": urls[1]}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def sessions(url: str, more: str = "true") -> int:
    """How many of our sessions there are in a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND application_name LIKE 'cutover%' AND {more}".encode()
        ).fetchone()
    return int(row[0]) if row else 0


def wait_for(seen: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition, not forever."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def end(process: subprocess.Popen[str], number: signal.Signals, urls: tuple[str, str], code: int) -> None:
    """Send a signal; the process ends with that code, and no session of it is left on the servers."""
    try:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, out + err
    assert "identical" not in out
    assert "Traceback" not in err
    wait_for(lambda: sum(map(sessions, urls)) == 0, "sessions were left on the servers")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_comparison_that_is_ended_while_a_server_works_for_it_leaves_no_session(
    number: signal.Signals, code: int, on_both: OnBoth
) -> None:
    """The server waits for a lock that somebody keeps, and lets go of it when nobody is there to be answered."""
    urls = on_both(TABLES, TABLES)
    with psycopg.connect(urls[1]) as blocker:
        blocker.execute("LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        process = start(urls, "--lock-timeout", "600", "--jobs", "1")
        wait_for(lambda: sessions(urls[1], "wait_event_type = 'Lock'") > 0, "it does not wait for the lock")
        end(process, number, urls, code)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_comparison_that_is_ended_while_it_reads_leaves_no_session(
    number: signal.Signals, code: int, on_both: OnBoth
) -> None:
    """All of its sessions are open, and wait for a busy server to be at leisure."""
    urls = on_both(TABLES, TABLES)
    busy = psycopg.connect(urls[1], autocommit=True)
    try:
        busy.pgconn.send_query(b"SELECT pg_sleep(600)")
        process = start(urls, "--max-load", "0", "--jobs", "2")
        wait_for(lambda: sessions(urls[1], "state LIKE 'idle in transaction%'") >= 2, "it does not begin to read")
        end(process, number, urls, code)
    finally:
        busy.cancel_safe()
        busy.close()


CHANGES = {
    "emptied": "TRUNCATE public.t",
    "rewritten": "ALTER TABLE public.t ALTER COLUMN a TYPE varchar USING 'same'",
    "dropped": "DROP TABLE public.t",
    "replaced": "DROP TABLE public.t; CREATE TABLE public.t (id int PRIMARY KEY, a text)",
    "a column less": "ALTER TABLE public.t DROP COLUMN a",
    "vacuumed full": "VACUUM FULL public.t",
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("side", [0, 1])
def test_a_table_that_is_changed_before_it_is_locked_is_never_equal(
    name: str, side: int, on_both: OnBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the snapshot, before the lock: the other side holds what the change leaves, not what the snapshot saw."""
    texts = (TABLES, EMPTY) if side == 0 else (EMPTY, TABLES)
    if name == "vacuumed full":  # it changes nothing, so the rows may be read, but then all of them
        texts = (TABLES, LAST_ROW_LOST)
    urls = on_both(*texts)
    real = opening.lock

    def late(session: psycopg.Connection[object], relations: object) -> None:
        if session.info.dbname == name_of(urls[side]) and session.info.port == _port(urls[side]):
            with psycopg.connect(urls[side], autocommit=True) as other:
                for statement in CHANGES[name].split("; "):
                    other.execute(statement.encode())
        real(session, relations)  # type: ignore[arg-type]

    monkeypatch.setattr(opening, "lock", late)
    code, _ = outcome(urls, lambda _: None)
    assert code in (ExitCode.CLOSED, ExitCode.INCONCLUSIVE)


def _port(url: str) -> int:
    return urlsplit(url).port or 5432


def test_a_table_cannot_be_changed_while_it_is_compared(on_both: OnBoth, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weakest lock is held on every table to the end, as pg_dump does: a TRUNCATE waits, a write does not."""
    monkeypatch.setattr(digest, "PIECE_PAGES", 1)
    urls = on_both(TABLES, TABLES)
    refused: list[str] = []

    def change() -> None:
        with psycopg.connect(urls[1], autocommit=True) as other:
            other.execute("SET lock_timeout = '50ms'")
            try:
                other.execute("TRUNCATE public.u")
            except psycopg.errors.LockNotAvailable:
                refused.append("TRUNCATE")
            other.execute("DELETE FROM public.u")

    code, _ = outcome(urls, once(change))
    assert code is ExitCode.GO
    assert refused == ["TRUNCATE"]


def test_a_pooler_that_lends_sessions_by_the_transaction_is_refused(
    on_both: OnBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One server process answers two sessions: our settings would fall to the application, so we set none."""
    urls = on_both(TABLES, TABLES)
    monkeypatch.setattr(connection, "_backend", lambda _: 4711)
    with pytest.raises(DatabaseError, match="pooler") as caught:
        connection.connect(urls[0])
    assert "direct URL" in caught.value.todo


def test_a_proxy_that_only_hides_the_process_is_accepted(on_both: OnBoth, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each session has a server process of its own, under another number than the proxy said."""
    urls = on_both(TABLES, TABLES)
    real = connection._backend
    monkeypatch.setattr(connection, "_backend", lambda session: real(session) + 1)
    with connection.connect(urls[0]) as session:
        assert session.execute("SHOW TimeZone").fetchone() == ("UTC",)
