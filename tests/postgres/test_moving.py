"""A copy of a source that is written to: ranges are read again until they agree, and what never does is never PASS."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status, verdict
from cutover.postgres import Comparison, Selection, compare_moving
from cutover.postgres.integrity.ranges import ByRange
from cutover.progress import Progress
from cutover.rehearsal.postgres import Server

OnBoth = Callable[[str, str], tuple[str, str]]

TABLES = (
    "CREATE TABLE public.t (id int PRIMARY KEY, a text); CREATE TABLE public.log (line text); "
    "ALTER TABLE public.log REPLICA IDENTITY FULL; "
)
ROWS = (
    "INSERT INTO public.t SELECT n, 'v' || n FROM generate_series(1, 3000) n; "
    "INSERT INTO public.log SELECT 'l' || n % 50 FROM generate_series(1, 500) n; "
)


def _finding(comparison: Comparison, key: str) -> Finding:
    (found,) = (f for f in comparison.findings if f.id == key)
    return found


@contextmanager
def _writing(url: str, statements: str, *, pause_s: float = 0.01) -> Iterator[threading.Event]:
    """Somebody writes until the block ends, or the event is set."""
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(statements)  # type: ignore[arg-type]
                stop.wait(pause_s)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def replicated(pg17: Server, pg18: Server) -> Iterator[tuple[str, str]]:
    """A source of ROWS on a 17, and a subscriber of it on an 18 that holds them."""
    name = f"mov_{secrets.token_hex(4)}"
    for server in (pg17, pg18):
        server.create_database(name)
    source, target = pg17.url(name), pg18.url(name)
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute((TABLES + ROWS).encode())
        connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        connection.execute(
            psycopg.sql.SQL("CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION everything").format(
                psycopg.sql.Identifier(name), psycopg.sql.Literal(source)
            )
        )
        deadline = time.monotonic() + 60
        ready = "SELECT count(*) = 2 FROM pg_subscription_rel WHERE srsubstate = 'r'"
        while connection.execute(ready).fetchone() != (True,):
            assert time.monotonic() < deadline, "the copy does not come up"
            time.sleep(0.05)
    yield source, target
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute(f"DROP SUBSCRIPTION {name}".encode())
    for server in (pg17, pg18):
        server.drop_database(name)


def test_a_replica_agrees_while_the_source_is_written_to(replicated: tuple[str, str]) -> None:
    """Rows are added, changed and removed all the time; each range agrees at some look, in both tables."""
    write = (
        "UPDATE public.t SET a = a || '.' WHERE id = 7; INSERT INTO public.log VALUES ('new'); "
        "INSERT INTO public.t SELECT max(id) + 1, 'new' FROM public.t"
    )
    stop: list[threading.Event] = []

    def calm(progress: Progress) -> None:
        if progress.stage == "moving":
            stop[0].set()  # after the first look the writer rests, so that the bound is not what ends the test

    with _writing(replicated[0], write) as event:
        stop.append(event)
        comparison = compare_moving(*replicated, bound_s=60, settle_s=0.1, catalog=False, progress=calm)
    assert [t.name for t in comparison.tables if not t.identical] == []
    assert _finding(comparison, "INT-moving").status is Status.PASS
    assert verdict(comparison.findings).opens


def test_a_row_that_the_replica_lost_is_found_among_the_moving_ones(replicated: tuple[str, str]) -> None:
    """A row is deleted on the copy while another of the source is changed: the lost one stands still and is named."""
    with psycopg.connect(replicated[1], autocommit=True) as connection:
        connection.execute("DELETE FROM public.t WHERE id = 2500")
    stop: list[threading.Event] = []

    def calm(progress: Progress) -> None:
        if progress.stage == "moving" and progress.note.startswith("look 4"):
            stop[0].set()

    with _writing(replicated[0], "UPDATE public.t SET a = a || '.' WHERE id = 7") as event:
        stop.append(event)
        comparison = compare_moving(
            *replicated, bound_s=60, settle_s=0.05, patience_s=0.2, catalog=False, progress=calm
        )
    (table,) = (t for t in comparison.tables if t.name == "public.t")
    assert table.missing == 1
    assert [example.key for example in table.examples] == [{"id": "2500"}]
    assert _finding(comparison, "INT-rows:public.t").status is Status.FAIL
    assert _finding(comparison, "INT-rows:public.log").status is Status.PASS


def test_a_range_that_changes_at_every_look_is_not_compared_and_is_named(on_both: OnBoth) -> None:
    """The copy follows nobody, and the source changes between all looks: NOT_COMPARED with the key range, not PASS."""
    urls = on_both(TABLES + ROWS, TABLES + ROWS)

    def change(progress: Progress) -> None:
        if progress.stage == "moving":
            with psycopg.connect(urls[0], autocommit=True) as connection:
                connection.execute("UPDATE public.t SET a = a || '.' WHERE id = 7")

    with psycopg.connect(urls[0], autocommit=True) as connection:
        connection.execute("UPDATE public.t SET a = 'first' WHERE id = 7")
    comparison = compare_moving(*urls, bound_s=1.0, settle_s=0.05, catalog=False, progress=change)
    found = _finding(comparison, "INT-rows:public.t")
    assert found.status is Status.NOT_COMPARED
    assert "never agreed" in found.observed
    assert "id …–" in found.observed
    assert comparison.rounds >= 2
    assert _finding(comparison, "INT-rows:public.log").status is Status.PASS
    assert _finding(comparison, "INT-moving").status is Status.UNKNOWN
    assert not verdict(comparison.findings).opens


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ("UPDATE public.t SET a = 'x' WHERE id = 3000", (0, 0, 1)),
        ("DELETE FROM public.t WHERE id = 1", (1, 0, 0)),
        ("INSERT INTO public.t VALUES (99999, 'far away')", (0, 1, 0)),
        ("INSERT INTO public.t VALUES (-2147483648, 'far away')", (0, 1, 0)),
        ("UPDATE public.t SET a = NULL WHERE id BETWEEN 1000 AND 1999", (0, 0, 1000)),
    ],
)
def test_what_stands_still_and_differs_is_a_difference(
    on_both: OnBoth, change: str, counts: tuple[int, int, int]
) -> None:
    """On two sides at rest it takes three looks, and each row that differs is found, beyond the known keys too."""
    comparison = compare_moving(
        *on_both(TABLES + ROWS, TABLES + ROWS + change), settle_s=0.01, patience_s=0, catalog=False
    )
    (table,) = (t for t in comparison.tables if t.name == "public.t")
    assert (table.missing, table.extra, table.different) == counts
    assert comparison.rounds == 3
    assert _finding(comparison, "INT-rows:public.t").status is Status.FAIL
    assert _finding(comparison, "INT-moving").status is Status.FAIL


def test_a_table_without_a_key_is_watched_by_buckets(on_both: OnBoth) -> None:
    """One copy of a duplicate too few is found."""
    urls = on_both(TABLES + ROWS, TABLES + ROWS + "DELETE FROM public.log WHERE ctid = '(0,1)'")
    comparison = compare_moving(
        *urls, settle_s=0.01, patience_s=0, catalog=False, selection=Selection(tables=("public.log",))
    )
    assert [(t.name, t.missing) for t in comparison.tables] == [("public.log", 1)]


def test_a_side_that_is_lost_between_two_looks_is_never_equal(
    on_both: OnBoth, pg18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy can be reached at the first look only: what had not agreed by then is NOT_COMPARED, with the reason."""
    urls = on_both(TABLES + ROWS, TABLES + ROWS + "UPDATE public.t SET a = 'x' WHERE id = 9")
    from cutover.postgres.integrity import moving

    real, calls = moving.open_database, []

    def refused(*args: object, **more: object) -> object:
        calls.append(args)
        if len(calls) > 2:
            raise DatabaseError("The database is gone")
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(moving, "open_database", refused)
    comparison = compare_moving(*urls, bound_s=0.3, settle_s=0.05, catalog=False)
    found = _finding(comparison, "INT-rows:public.t")
    assert found.status is Status.NOT_COMPARED
    assert "The database is gone" in found.observed
    assert _finding(comparison, "INT-rows:public.log").status is Status.PASS


def test_ranges_name_their_ends_and_ask_for_no_more_than_is_open() -> None:
    """The first and the last range are open; runs are joined; most of the table is asked for as a whole."""
    cut = ByRange("id", 100, 10, 8)
    assert cut.words([0, 2, 3, 7]) == "id …–109, 120–139, 170–…"
    condition = cut.condition([2, 3])
    assert condition is not None
    assert condition.as_string(None) == '((t."id" >= 120 AND t."id" < 140))'
    assert cut.condition(range(6)) is None


@pytest.mark.parametrize(
    ("columns", "mark"),
    [("id uuid PRIMARY KEY", "by key"), ("id uuid", "without a key")],
    ids=["keyed by uuid", "without a key"],
)
def test_a_row_that_is_lost_for_good_and_written_to_all_the_time_is_never_equal(
    on_both: OnBoth, columns: str, mark: str
) -> None:
    """Its hash changes at every write, so it moves from bucket to bucket; it is missing in each of them."""
    make = f"CREATE TABLE public.u ({columns}, n int); "
    rows = "INSERT INTO public.u SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, 0 "
    rows += "FROM generate_series(1, 200) i; "
    urls = on_both(make + rows, make + rows + "DELETE FROM public.u WHERE id::text LIKE '%0007'")

    def write(progress: Progress) -> None:
        if progress.stage == "moving":
            with psycopg.connect(urls[0], autocommit=True) as connection:
                connection.execute("UPDATE public.u SET n = n + 1 WHERE id::text LIKE '%0007'")

    comparison = compare_moving(*urls, bound_s=1.0, settle_s=0.05, catalog=False, progress=write)
    assert _finding(comparison, "INT-rows:public.u").status in (Status.NOT_COMPARED, Status.FAIL), mark
    assert not verdict(comparison.findings).opens


@pytest.mark.parametrize(
    "later",
    ["CREATE TABLE public.late (id int PRIMARY KEY)", "ALTER TABLE public.t ADD COLUMN late int DEFAULT 1"],
    ids=["a table", "a column"],
)
def test_what_came_after_the_first_look_is_not_compared(on_both: OnBoth, later: str) -> None:
    """A migration of the schema ran on the source while we looked: the copy does not have it."""
    urls = on_both(TABLES + ROWS, TABLES + ROWS + "DELETE FROM public.t WHERE id = 7")

    def write(progress: Progress) -> None:
        if progress.stage == "moving" and progress.note.startswith("look 1:"):
            with psycopg.connect(urls[0], autocommit=True) as connection:
                connection.execute(later.encode())
            with psycopg.connect(urls[1], autocommit=True) as connection:
                connection.execute("INSERT INTO public.t VALUES (7, 'v7')")

    comparison = compare_moving(*urls, bound_s=5.0, settle_s=0.05, catalog=False, progress=write)
    name = "public.late" if "late (" in later else "public.t"
    found = _finding(comparison, f"INT-rows:{name}")
    assert found.closes_gate
    assert "first look" in found.observed
    assert not verdict(comparison.findings).opens
