"""Fingerprints, choices and manners of the comparison: what was, what is chosen, and what a server may be asked for."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from cutover.errors import DatabaseError
from cutover.finding import Finding, Status, verdict
from cutover.postgres import Comparison, Fingerprint, LoadLimits, Selection, audit, compare, fingerprint
from cutover.postgres.integrity import digest, locate, matching, rowhash
from cutover.postgres.integrity.digest import Digest
from cutover.progress import Progress
from cutover.rehearsal.postgres import Server

OnBoth = Callable[[str, str], tuple[str, str]]

ROWS = (
    "CREATE TABLE public.t (id int PRIMARY KEY, a text, n numeric); "
    "INSERT INTO public.t SELECT n, 'v' || n, n / 7.0 FROM generate_series(1, 20000) n; "
    "CREATE TABLE public.u (x int); INSERT INTO public.u VALUES (1), (1); "
    "CREATE SCHEMA IF NOT EXISTS public; "
)
DEAD = "postgresql://postgres:hunter2hunter2@127.0.0.1:1/x"


def _finding(comparison: Comparison, key: str) -> Finding:
    (found,) = (f for f in comparison.findings if f.id == key)
    return found


def _run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)  # type: ignore[arg-type]


def test_a_copy_is_compared_with_what_the_source_was(on_both: OnBoth, tmp_path: Path) -> None:
    """The source has moved on and is gone; its fingerprint, read from a file, says that the copy is whole."""
    urls = on_both(ROWS, ROWS)
    kept = Fingerprint.read(fingerprint(urls[0]).write(tmp_path / "fingerprint.json.gz"))
    assert kept.rows == 20_002
    _run(urls[0], "DELETE FROM public.t WHERE id < 100")
    comparison = compare(DEAD, urls[1], fingerprint=kept)
    assert verdict(comparison.findings).opens
    assert comparison.rows_compared == 20_002
    assert comparison.source == dict(kept.instant)


def test_what_the_copy_lacks_is_named_as_far_as_the_source_still_holds_it(on_both: OnBoth) -> None:
    """The row that is lost is named while the source is as it was; in parts that changed since, this is said."""
    urls = on_both(ROWS, ROWS + "DELETE FROM public.t WHERE id IN (5, 6); UPDATE public.t SET a = NULL WHERE id = 7")
    kept = fingerprint(urls[0], catalog=False)
    whole = compare(*urls, fingerprint=kept, catalog=False)
    (table,) = (t for t in whole.tables if t.name == "public.t")
    assert (table.missing, table.extra, table.different, table.unlocated) == (2, 0, 1, "")
    assert [e.key["id"] for e in table.examples] == ["5", "6", "7"]
    _run(urls[0], "DELETE FROM public.t WHERE id = 5; UPDATE public.t SET a = 'later' WHERE id > 19000")
    later = compare(*urls, fingerprint=kept, catalog=False)
    (table,) = (t for t in later.tables if t.name == "public.t")
    assert table.differs
    assert "the source has changed since the fingerprint" in table.unlocated
    assert "19500" not in json.dumps(table.to_dict())
    assert _finding(later, "INT-rows:public.t").status is Status.FAIL
    gone = compare(DEAD, urls[1], fingerprint=kept, catalog=False)
    found = _finding(gone, "INT-rows:public.t")
    assert found.status is Status.FAIL
    assert "could not be read again" in found.observed
    assert "hunter2" not in json.dumps(gone.to_dict())


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_damaged_fingerprint_is_refused(on_both: OnBoth, tmp_path: Path, suffix: str) -> None:
    """A file that lost a byte, that is none, or whose rows do not fit its digest is an error and never equal."""
    urls = on_both(ROWS, ROWS)
    path = fingerprint(urls[0]).write(tmp_path / f"f{suffix}")
    data = path.read_bytes()
    assert Fingerprint.read(path).to_dict() == json.loads(json.dumps(fingerprint(urls[0]).to_dict(), default=str)) | {
        "instant": Fingerprint.read(path).to_dict()["instant"],
        "relations": Fingerprint.read(path).to_dict()["relations"],
        "catalog": Fingerprint.read(path).to_dict()["catalog"],
    }
    for broken in (data[: len(data) // 2], data[:-3], b"{}", b""):
        path.write_bytes(broken)
        with pytest.raises(DatabaseError, match="cannot be read"):
            Fingerprint.read(path)
    with pytest.raises(DatabaseError, match="cannot be read"):
        Fingerprint.read(tmp_path / "nowhere.json")


def test_a_fingerprint_of_other_types_does_not_judge(on_both: OnBoth) -> None:
    """A column that has another type on the copy is hashed otherwise: NOT_COMPARED with both types, not different."""
    urls = on_both(
        "CREATE TABLE public.t (id int PRIMARY KEY, a int); INSERT INTO public.t VALUES (1, 1)",
        "CREATE TABLE public.t (id int PRIMARY KEY, a bigint); INSERT INTO public.t VALUES (1, 1)",
    )
    then = compare(*urls, fingerprint=fingerprint(urls[0]), catalog=False)
    found = _finding(then, "INT-rows:public.t")
    assert found.status is Status.NOT_COMPARED
    assert "a (integer and bigint)" in found.observed
    assert _finding(compare(*urls, catalog=False), "INT-rows:public.t").status is Status.PASS


def test_what_could_not_be_read_for_the_fingerprint_stays_not_compared(on_both: OnBoth) -> None:
    """A materialised view without data, and a table that timed out, are no equal ones later."""
    text = ROWS + "CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.u WITH NO DATA; "
    urls = on_both(text, text)
    kept = fingerprint(urls[0], load_limits=LoadLimits(statement_timeout_s=0.001), catalog=False)
    assert "statement timeout" in kept.failures["public.t"]
    comparison = compare(*urls, fingerprint=kept, catalog=False)
    assert _finding(comparison, "INT-rows:public.t").status is Status.NOT_COMPARED
    assert not verdict(comparison.findings).opens


def test_a_database_is_not_compared_with_itself(on_both: OnBoth) -> None:
    """It would always be equal, whatever was lost."""
    urls = on_both(ROWS, ROWS)
    with pytest.raises(DatabaseError, match="one and the same"):
        compare(urls[0], urls[0])
    with pytest.raises(DatabaseError, match="one and the same"):
        compare(urls[0], urls[0], fingerprint=fingerprint(urls[0]))


@pytest.mark.parametrize(
    ("selection", "compared"),
    [
        (Selection(tables=("public.t",)), ["public.t"]),
        (Selection(tables=("u",)), ["public.u"]),
        (Selection(exclude=("public.t*",)), ["public.u"]),
        (Selection(schemas=("pub*",), exclude=("u",)), ["public.t"]),
    ],
)
def test_what_is_left_out_by_choice_is_named(on_both: OnBoth, selection: Selection, compared: list[str]) -> None:
    """The chosen part is judged; the finding over all says that it is a part, and another what was left out."""
    urls = on_both(ROWS, ROWS)
    comparison = compare(*urls, selection=selection)
    assert [table.name for table in comparison.tables] == compared
    assert list(comparison.left_out) == sorted({"public.t", "public.u"} - set(compared))
    assert "chosen" in _finding(comparison, "INT-rows").title
    left = _finding(comparison, "INT-left-out")
    assert left.data["tables"] == list(comparison.left_out)
    assert left.status is Status.NOT_APPLICABLE


def test_a_statement_that_is_ended_by_the_server_leaves_its_table_out(on_both: OnBoth) -> None:
    """The timeout that manners demand: NOT_COMPARED with the reason, never equal."""
    comparison = compare(*on_both(ROWS, ROWS), catalog=False, load_limits=LoadLimits(statement_timeout_s=0.001))
    found = _finding(comparison, "INT-rows:public.t")
    assert found.status is Status.NOT_COMPARED
    assert "statement timeout" in found.observed
    assert not verdict(comparison.findings).opens


def _sessions(server: Server, database: str, statement: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(statement.encode(), (database,))


def test_a_session_that_is_lost_has_its_piece_read_again(
    on_both: OnBoth, pg18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The readers' sessions are ended once, the one that holds the snapshot is not: the answer is right."""
    monkeypatch.setattr(digest, "PIECE_PAGES", 4)
    urls = on_both(ROWS, ROWS + "UPDATE public.t SET a = 'x' WHERE id = 77")
    told: list[Progress] = []

    def end_readers(progress: Progress) -> None:
        if not told:
            _sessions(
                pg18,
                urls[1].rsplit("/", 1)[1],
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid, row_number() OVER (ORDER BY backend_start) AS nth "
                "FROM pg_stat_activity WHERE datname = %s AND application_name = 'cutover') s WHERE nth > 1",
            )
        told.append(progress)

    comparison = compare(*urls, jobs=2, catalog=False, progress=end_readers)
    (table,) = (t for t in comparison.tables if t.name == "public.t")
    assert (table.source_rows, table.target_rows, table.different, table.not_compared) == (20000, 20000, 1, "")


def test_a_snapshot_that_is_lost_ends_what_can_be_compared(
    on_both: OnBoth, pg18: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All sessions of a side are ended: what was not read by then is NOT_COMPARED, and why no one can go on is said."""
    monkeypatch.setattr(digest, "PIECE_PAGES", 4)
    urls = on_both(ROWS, ROWS)

    def end_all(_: Progress) -> None:
        _sessions(
            pg18,
            urls[1].rsplit("/", 1)[1],
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
        )

    comparison = compare(*urls, jobs=2, catalog=False, progress=end_all)
    found = _finding(comparison, "INT-rows:public.t")
    assert found.status is Status.NOT_COMPARED
    assert "that instant cannot be seen again" in found.observed
    assert not verdict(comparison.findings).opens


@contextmanager
def _busy(url: str) -> Iterator[None]:
    """A session that is active until the block ends."""
    with psycopg.connect(url, autocommit=True) as connection, psycopg.connect(url, autocommit=True) as other:

        def work() -> None:
            try:
                connection.execute("SELECT pg_sleep(60)")
            except psycopg.errors.QueryCanceled:
                return

        thread = threading.Thread(target=work)
        thread.start()
        pid, deadline = connection.info.backend_pid, time.monotonic() + 20
        while other.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone() != ("active",):
            assert time.monotonic() < deadline
        try:
            yield
        finally:
            other.execute("SELECT pg_cancel_backend(%s)", (pid,))
            thread.join()


def test_a_busy_server_is_left_alone(on_both: OnBoth) -> None:
    """Above the load that is allowed nothing is read, and when that lasts it is NOT_COMPARED; below it all is."""
    urls = on_both(ROWS, ROWS)
    with _busy(urls[1]):
        waited = compare(*urls, catalog=False, load_limits=LoadLimits(max_load=0, max_wait_s=0.5))
        allowed = compare(*urls, catalog=False, load_limits=LoadLimits(max_load=50))
    assert _finding(waited, "INT-rows:public.t").status is Status.NOT_COMPARED
    assert "busy" in _finding(waited, "INT-rows:public.t").observed
    assert verdict(allowed.findings).opens


def test_progress_counts_rows_and_bytes_to_their_end(on_both: OnBoth) -> None:
    """Rows and bytes grow up to their totals, and the time left becomes nothing."""
    told: list[Progress] = []
    compare(*on_both(ROWS, ROWS), catalog=False, progress=told.append)
    assert [p.rows for p in told] == sorted(p.rows for p in told)
    assert told[-1].rows == 2 * 20_002
    assert told[-1].bytes == told[-1].bytes_total > 0
    assert told[-1].share == 1.0
    assert told[-1].seconds_left == 0.0
    assert told[-1].rate is not None


def test_a_key_that_is_broken_in_many_rows_is_paired_in_bounds(
    on_both: OnBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key stands a thousand times on the target: every row is counted once, and few of them are held."""
    monkeypatch.setattr(locate, "_WAITING", 10)
    urls = on_both(
        "CREATE TABLE public.t (id int PRIMARY KEY, a int); INSERT INTO public.t VALUES (1, 0), (2, 0)",
        "CREATE TABLE public.t (id int, a int); INSERT INTO public.t SELECT 1, n FROM generate_series(1, 1000) n; "
        "INSERT INTO public.t SELECT 2, 0 FROM generate_series(1, 500)",
    )
    (table,) = compare(*urls, catalog=False).tables
    assert (table.missing, table.extra, table.different) == (0, 1498, 1)


def test_a_row_that_moved_to_another_partition_is_found(on_both: OnBoth) -> None:
    """Its key changed, so it is missing under the old one and extra under the new one."""
    text = (
        "CREATE TABLE public.t (id int, a text, PRIMARY KEY (id)) PARTITION BY RANGE (id); "
        "CREATE TABLE public.p1 PARTITION OF public.t FOR VALUES FROM (0) TO (50); "
        "CREATE TABLE public.p2 PARTITION OF public.t FOR VALUES FROM (50) TO (1000); "
        "INSERT INTO public.t SELECT n, 'v' FROM generate_series(1, 90) n; "
    )
    (table,) = compare(*on_both(text, text + "UPDATE public.t SET id = 99 WHERE id = 7"), catalog=False).tables
    assert (table.missing, table.extra, table.different) == (1, 1, 0)
    assert {(e.key["id"], e.place.split()[0]) for e in table.examples} == {("7", "public.p1"), ("99", "public.p2")}


def test_rows_of_a_parent_and_its_heir_are_told_apart(on_both: OnBoth) -> None:
    """With inheritance the same row in the child instead of the parent is another thing."""
    text = "CREATE TABLE public.t (a int); CREATE TABLE public.child () INHERITS (public.t); "
    text += "INSERT INTO public.{} VALUES (1)"
    found = {t.name: t for t in compare(*on_both(text.format("t"), text.format("child")), catalog=False).tables}
    assert (found["public.t"].missing, found["public.child"].extra) == (1, 1)


def test_columns_of_two_types_are_compared_by_their_text(on_both: OnBoth) -> None:
    """int and bigint, text and varchar: the catalogue says so, the rows are equal; another value is found."""
    values = "INSERT INTO public.t VALUES (1, '{}', '2024-01-01')"
    one = "CREATE TABLE public.t (id int PRIMARY KEY, a text, d date); " + values
    two = "CREATE TABLE public.t (id bigint PRIMARY KEY, a varchar(9), d date); " + values
    urls = on_both(one.format("x"), two.format("x"))
    assert compare(*urls, catalog=False).tables[0].identical
    _run(urls[1], "UPDATE public.t SET a = 'y'")
    assert compare(*urls, catalog=False).tables[0].differing_columns == {"a": 1}


def test_every_form_tells_what_its_text_tells() -> None:
    """A type is hashed by a form of its own only when it is built in; a user's type never is."""
    assert rowhash.form("numeric(12,2)") == "numeric_send({})"
    assert rowhash.form("timestamp(3) with time zone") == "timestamptz_send({})"
    for text in ("integer[]", "public.integer", 'public."date"', "interval day to second", "money", "xml", "citext"):
        assert rowhash.form(text) == ""


@pytest.mark.parametrize(
    "changed", ["(1, 'y', 1), (2, 'x', 2)", "(1, 'x', 2), (2, 'y', 1)", "(1, 'y', 2), (2, 'x', 1)"]
)
def test_a_sum_over_all_rows_sees_values_change_places(
    on_both: OnBoth, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """In one bucket, so that only the sum can tell: the row's hash must not be linear in its columns' hashes."""
    monkeypatch.setattr(matching, "bucket_count", lambda rows: 1)
    text = "CREATE TABLE public.t (id int PRIMARY KEY, a text, b int); INSERT INTO public.t VALUES {}"
    urls = on_both(text.format("(1, 'x', 1), (2, 'y', 2)"), text.format(changed))
    assert compare(*urls, catalog=False).tables[0].different == 2


@pytest.mark.parametrize("kind", ["boolean", "smallint", "integer", "bigint", "oid", "uuid", "text", "character(40)"])
def test_columns_that_change_alike_do_not_cancel_out(
    on_both: OnBoth, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Columns' hashes are XORed: two columns that hold the same value must not, nor NULL in both of them."""
    monkeypatch.setattr(matching, "bucket_count", lambda rows: 1)
    one, two = {
        "boolean": ("t", "f"),
        "uuid": ("0e37df36-f698-11e6-8dd4-cb9ced3df976", "0e37df36-f698-11e6-8dd4-cb9ced3df977"),
    }.get(kind, ("5", "6"))
    text = f"CREATE TABLE public.t (id int PRIMARY KEY, a {kind}, b {kind}); INSERT INTO public.t VALUES "
    rows = [f"(1, '{one}', '{one}')", f"(2, NULL, '{one}')", "(3, NULL, NULL)", f"(4, '{one}', '{two}')"]
    changed = [f"(1, '{two}', '{two}')", f"(2, '{one}', NULL)", f"(3, '{one}', '{one}')", f"(4, '{two}', '{one}')"]
    found = compare(*on_both(text + ", ".join(rows), text + ", ".join(changed)), catalog=False).tables[0]
    assert (found.different, found.differing_columns) == (4, {"a": 4, "b": 4})


def test_a_table_of_many_columns_is_hashed_to_the_last(on_both: OnBoth) -> None:
    """Columns above the number that is hashed one by one are hashed too, and the expression is not nested too deep."""
    names = [f"c{n} int DEFAULT {n}" for n in range(1000)]
    text = f"CREATE TABLE public.t (id int PRIMARY KEY, {', '.join(names)}); "
    text += "INSERT INTO public.t SELECT n FROM generate_series(1, 9) n; "
    urls = on_both(text, text + "UPDATE public.t SET c7 = -1 WHERE id = 2; UPDATE public.t SET c999 = -1 WHERE id = 5")
    assert compare(*urls, catalog=False).tables[0].differing_columns == {"c7": 1, "c999": 1}


def test_digests_keep_their_sums_in_a_file() -> None:
    """Sums modulo 2^64 survive being written, and digests of other buckets are not compared."""
    one = Digest(16)
    one.add([(3, 2, "-5", str(2**70)), (15, 1, "7", "-1")])
    assert Digest.from_text(one.to_text()).differing(one) == []
    one.add([(3, 1, "0", "0")])
    assert Digest.from_text(one.to_text()).rows == 4
    with pytest.raises(ValueError, match="buckets"):
        one.differing(Digest(32))


def test_the_audit_gives_one_number_that_two_tools_compute_again(on_both: OnBoth, tmp_path: Path) -> None:
    """Equal tables have one SHA-256, that of the sorted SHA-256 of their rows; a duplicate too few changes it."""
    urls = on_both(ROWS, ROWS)
    equal = audit(*urls, evidence=tmp_path)
    assert verdict(equal.findings).opens
    assert equal.rows_compared == 20_002
    kept = json.loads((tmp_path / "audit.json").read_text())["sha256"]["public.u"]
    rows = hashlib.sha256(b"(1)").hexdigest() + "\n"
    assert kept["source"] == kept["target"] == hashlib.sha256((rows * 2).encode()).hexdigest()
    _run(urls[1], "DELETE FROM public.u WHERE ctid = '(0,1)'")
    less = audit(*urls)
    assert _finding(less, "INT-audit").status is Status.FAIL
    assert _finding(less, "INT-rows:public.u").status is Status.FAIL
    assert _finding(less, "INT-rows:public.t").status is Status.PASS


def test_an_audit_that_could_not_read_everything_is_no_pass(on_both: OnBoth) -> None:
    """A table that timed out is NOT_COMPARED."""
    found = audit(*on_both(ROWS, ROWS), load_limits=LoadLimits(statement_timeout_s=0.001))
    assert _finding(found, "INT-rows:public.t").status is Status.NOT_COMPARED
    assert _finding(found, "INT-audit").status is not Status.PASS
    assert not verdict(found.findings).opens


@pytest.mark.parametrize(
    ("condition", "status"),
    [("", Status.FAIL), ("WHERE id > 1000", Status.PASS)],
    ids=["all rows are the user's", "the extension's own rows are among them"],
)
def test_rows_that_a_user_keeps_in_an_extensions_table_are_judged(
    on_both: OnBoth, condition: str, status: Status
) -> None:
    """As jobs of pg_cron: pg_dump carries them, so one that is not there is lost."""
    make = (
        "CREATE EXTENSION hstore SCHEMA public; CREATE TABLE public.t (id int); "
        "CREATE TABLE public.job (id int PRIMARY KEY, what text); INSERT INTO public.job VALUES (1, 'nightly'); "
        "ALTER EXTENSION hstore ADD TABLE public.job; UPDATE pg_extension SET extcondition = "
        f"ARRAY['{condition}'], extconfig = ARRAY['public.job'::regclass::oid] WHERE extname = 'hstore'; "
    )
    comparison = compare(*on_both(make, make + "DELETE FROM public.job"), catalog=False)
    assert _finding(comparison, "INT-rows").status is status
    assert verdict(comparison.findings).opens is (status is Status.PASS)


def test_a_fingerprint_without_digest_or_reason_is_refused(on_both: OnBoth, tmp_path: Path) -> None:
    """Somebody edited the file: a table whose digest is gone has no claim to make."""
    urls = on_both(ROWS, ROWS)
    path = fingerprint(urls[0]).write(tmp_path / "f.json")
    raw = json.loads(path.read_text())
    raw["relations"]["public.u"] |= {"digest": None, "rows": None}
    path.write_text(json.dumps(raw))
    with pytest.raises(DatabaseError, match="neither a digest nor a reason"):
        Fingerprint.read(path)


def test_a_fingerprint_without_a_catalog_leaves_the_catalog_not_compared(on_both: OnBoth) -> None:
    """The function that is missing was never looked for, and that is said."""
    urls = on_both(ROWS + "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", ROWS)
    comparison = compare(*urls, fingerprint=fingerprint(urls[0], catalog=False))
    assert _finding(comparison, "INT-rows").status is Status.PASS
    assert _finding(comparison, "INT-catalog").status is Status.NOT_COMPARED
    assert not verdict(comparison.findings).opens


def test_a_choice_of_tables_claims_nothing_of_the_catalogs_rest(on_both: OnBoth) -> None:
    """A function belongs to no table, so it was not looked at: the title speaks of what was chosen."""
    urls = on_both(ROWS + "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", ROWS)
    comparison = compare(*urls, selection=Selection(tables=("public.t",)))
    found = _finding(comparison, "INT-catalog")
    assert found.title == "The chosen tables are made of the same objects as on the source"
    assert "chosen: tables public.t" in found.observed


def test_a_partition_whose_detaching_broke_off_is_still_compared(on_both: OnBoth) -> None:
    """DETACH CONCURRENTLY that waited in vain leaves it in no tree: its rows are seen through nobody but itself."""
    make = (
        "CREATE TABLE public.p (a int) PARTITION BY LIST (a); "
        "CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES IN (1); INSERT INTO public.p VALUES (1); "
    )
    urls = on_both(make, make + "DELETE FROM public.p1")
    with psycopg.connect(urls[0]) as reader, psycopg.connect(urls[0], autocommit=True) as owner:
        reader.execute("SELECT FROM public.p")
        owner.execute("SET statement_timeout = '500ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            owner.execute("ALTER TABLE public.p DETACH PARTITION public.p1 CONCURRENTLY")
    comparison = compare(*urls, catalog=False)
    assert not verdict(comparison.findings).opens
    (lost,) = (table for table in comparison.tables if table.name == "public.p1")
    assert lost.source_rows == 1
