"""Notebook 12 run again after it closed, or was killed: what is done and proven is kept, and only the rest is done."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from cutover import postgres, runbook
from cutover.errors import ActionRefused, DatabaseError, GateClosed, InstrumentError
from cutover.finding import Finding, Status
from cutover.procedures.freeze import _before_the_copy
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.postgres import Server
from cutover.step import Journal, find_notebooks

CELLS = [
    "".join(cell["source"])
    for cell in json.loads((find_notebooks() / "12_data_migration.ipynb").read_text())["cells"]
    if cell["cell_type"] == "code"
][1:]
THINGS = """
CREATE TABLE public.things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
INSERT INTO public.things (name) SELECT 'thing ' || n FROM generate_series(1, 200) n
"""
REPORT = b"%PDF-1.7 a report"


class Night:
    """A small source and target, entered by ordinary roles of different names; the source is frozen.

    Attributes:
        source, target: URLs of the databases.
        reports: where the source's PDF reports lie.
        here: the source's Redis.
        seen: the findings of the last run of notebook 12.
    """

    def __init__(self, source: str, target: str, folder: Path, queues: vk.ValkeyServer, raw: dict[str, Any]) -> None:
        self.source, self.target, self.reports, self._raw = source, target, folder / "reports", raw
        self.here = redis.Redis.from_url(queues.url[:-1] + "2")
        self.there = redis.Redis.from_url(queues.url[:-1] + "3")
        self.seen: list[Finding] = []
        self.journal = folder / "state" / "shadowtwin-rehearsal.jsonl"

    def freeze(self) -> None:
        """What notebook 11 leaves: paused queues, and the place where the source's writes stand."""
        self.here.hset("bull:mail:meta", "paused", 1)
        step = runbook.begin("11_write_freeze", self._raw)
        step.remember("write-position", postgres.write_position(self.source, settle_s=0).to_dict())

    def run(self) -> str:
        """Notebook 12's own cells with apply; `GO`, or the name of what it ended with."""
        names: dict[str, Any] = {"migration": self._raw, "apply": True, "jobs": 1, "longest": 60.0}
        try:
            for number, cell in enumerate(CELLS):
                exec(compile(cell, f"12, cell {number}", "exec"), names)  # the notebook's own code
                if number == 0:
                    names["step"].identify("123456789012", "arn:aws:iam::123456789012:user/ada")
        except (GateClosed, ActionRefused, InstrumentError) as error:
            self.said = str(error)
            return type(error).__name__
        finally:
            self.seen = names["step"].run.findings()
        return "GO"

    def closed(self) -> set[str]:
        """The ids of what closed the last run's gate."""
        return {f.id for f in self.seen if f.closes_gate}

    def ids(self) -> list[Any]:
        """The oids of the target's tables: what is restored again has others."""
        with psycopg.connect(self.target) as connection:
            return connection.execute("SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetchall()


def sql(url: str, statement: str) -> None:
    """One statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def night(
    pg17: Server,
    pg18: Server,
    valkey: vk.ValkeyServer,
    migration: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Night]:
    """The source is frozen, its queue paused; a report is there, and nothing at the target."""
    name = f"night_{secrets.token_hex(4)}"
    urls = []
    for server, role in ((pg17, "keeper_of_old"), (pg18, "keeper_of_new")):
        server.create_role(role)
        server.create_database(name, role)
        urls.append(server.url(name, role))
    values = {"SOURCE_DATABASE_URL": urls[0], "TARGET_DATABASE_URL": urls[1]}
    values |= {"SOURCE_REDIS_URL": valkey.url[:-1] + "2", "TARGET_REDIS_URL": valkey.url[:-1] + "3"}
    for key, value in values.items():
        monkeypatch.setenv(key, value)
    migration |= {"environment": "rehearsal", "account_id": "123456789012", "aws_endpoint": "http://127.0.0.1:1"}
    migration |= {"backups": str(tmp_path / "backups"), "test_user": "env:X"}
    migration["source"] |= {"app_url": "http://127.0.0.1:1", "reports": f"file://{tmp_path}/reports"}
    migration["target"] = {"database_url": "env:TARGET_DATABASE_URL", "redis_url": "env:TARGET_REDIS_URL"}
    migration["target"] |= {"reports": f"file://{tmp_path}/arrived"}
    night = Night(urls[0], urls[1], tmp_path, valkey, migration)
    sql(night.source, THINGS)
    for one in (night.here, night.there):
        one.flushdb()
    night.here.hset("bull:mail:1", mapping={"name": "hello", "data": "{}", "opts": "{}", "timestamp": 1})
    night.here.zadd("bull:mail:delayed", {"1": 9_000_000_000_000 * 0x1000})
    night.reports.mkdir()
    (tmp_path / "arrived").mkdir()
    (night.reports / "one.pdf").write_bytes(REPORT)
    night.freeze()
    yield night
    for one in (night.here, night.there):
        one.flushdb()
        one.close()
    pg17.drop_database(name)
    pg18.drop_database(name)


def store_away(night: Night) -> Callable[[], None]:
    """The store of the reports cannot be reached."""
    away = night.reports.rename(night.reports.with_name("away"))
    return lambda: away.rename(night.reports) and None


def store_empty(night: Night) -> Callable[[], None]:
    """The store of the reports holds nothing."""
    (night.reports / "one.pdf").unlink()
    return lambda: (night.reports / "one.pdf").write_bytes(REPORT) and None


def one_unreadable(night: Night) -> Callable[[], None]:
    """One report leads nowhere."""
    (night.reports / "two.pdf").symlink_to("nowhere.pdf")

    def fix() -> None:
        (night.reports / "two.pdf").unlink()
        (night.reports / "two.pdf").write_bytes(REPORT)

    return fix


def queue_running(night: Night) -> Callable[[], None]:
    """A queue of the source is still at work."""
    night.here.hdel("bull:mail:meta", "paused")
    return night.freeze


def test_what_closed_on_a_file_or_a_queue_is_run_again_without_moving_the_database_twice(night: Night) -> None:
    """ "Run the copy again: it takes only what is missing" works word for word, however often it closed."""
    broken = {store_away: "InstrumentError", store_empty: "GateClosed", one_unreadable: "GateClosed"}
    moved: list[Any] = []
    for break_it, ended in (broken | {queue_running: "ActionRefused"}).items():
        fix = break_it(night)
        assert night.run() == ended
        assert {f.status for f in night.seen if f.id == "RST-kept"} == ({Status.PASS} if moved else set())
        moved = moved or night.ids()
        fix()
    assert night.run() == "GO", night.said
    assert night.ids() == moved != []
    for one in ("RST-kept", "RST-data", "OBJ-01", "OBJ-02", "QUE-05", "FRZ-no-writes"):
        assert {f.status for f in night.seen if f.id == one} == {Status.PASS}, one
    assert night.there.zcard("bull:mail:delayed") == 1
    assert (night.reports.parent / "arrived" / "two.pdf").read_bytes() == REPORT


def test_a_kill_before_the_journal_loses_nothing_and_a_write_since_is_not_hidden(night: Night) -> None:
    """The copy is on record before its mark goes. Users let in again: the copy lacks what they wrote, and 11 says so.

    A second freeze remembers a later position of the source's writes, which would have seen none of them.
    """
    assert night.run() == "GO"
    moved, lines = night.ids(), night.journal.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if json.loads(line)["kind"] == "change")
    assert json.loads(lines[number])["change"]["plan"]["action"] == "transfer"
    night.journal.write_text("\n".join(lines[:number]) + "\n")
    sql(night.source, "INSERT INTO public.things (name) VALUES ('written after the copy')")
    night.freeze()
    assert night.run() == "GateClosed"
    assert night.ids() == moved
    assert night.closed() == {"FRZ-no-writes"}
    assert "id=201" in night.said
    sql(night.target, "DROP TABLE public.things")
    assert night.run() == "GO", night.said


def test_a_copy_that_cannot_be_put_on_record_stays_marked_and_is_gone_on_with(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps the journal from being written: the mark outlives it, and the next run goes on."""
    write = Journal.write

    def full(self: Journal, kind: str, **values: Any) -> dict[str, Any]:
        if kind == "change-done":
            raise DatabaseError("No room is left.")
        return write(self, kind, **values)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", full)
        assert night.run() == "DatabaseError"
    moved = night.ids()
    assert postgres.check_unmarked(night.target)[0].status is Status.FAIL
    assert night.run() == "GO", night.said
    assert night.ids() == moved
    assert postgres.check_unmarked(night.target)[0].status is Status.PASS


def test_a_dump_that_an_interrupted_restore_began_is_held_against_its_own_freeze(night: Night, tmp_path: Path) -> None:
    """Killed in the restore, users let in and frozen again: going on with that dump would lose what they wrote."""
    step = runbook.begin("12_data_migration", night._raw, apply=True)
    held = postgres.dump(night.source, step.backup_folder("transfer"))
    sql(
        night.target,
        "CREATE SCHEMA cutover_restore; CREATE TABLE cutover_restore.phases (name text PRIMARY KEY, errors jsonb, "
        "seconds float8); CREATE TABLE cutover_restore.loaded (entry int PRIMARY KEY, name text, rows bigint); "
        f"COMMENT ON SCHEMA cutover_restore IS '{json.dumps({'identity': held.identity})}'",
    )
    sql(night.source, "INSERT INTO public.things (name) VALUES ('written after the dump')")
    night.freeze()
    assert night.run() == "GateClosed"
    assert night.closed() == {"FRZ-no-writes"}


@pytest.mark.parametrize(
    ("positions", "dump", "taken"),
    [
        ([(1, "0/10"), (2, "0/20")], None, 1),
        ([], None, None),
        ([(1, "0/10"), (2, "0/20")], (3, "0/30"), 1),
        ([(1, "0/10"), (2, "0/20"), (4, "0/40")], (3, "0/30"), 1),
        ([(1, "0/10"), (2, "1/0")], (3, "0/FFFFFFFF"), 0),
        ([(4, "0/40")], (3, "0/30"), None),
        ([(4, "0/10")], (3, "0/30"), None),
        ([(1, "0/10"), (4, "")], (3, ""), 0),
    ],
)
def test_the_source_is_held_against_the_latest_position_from_before_the_dump(
    positions: list[tuple[int, str]], dump: tuple[int, str] | None, taken: int | None
) -> None:
    """By the server's clock and its log; one from after it knows nothing of what was written in between."""
    known = [postgres.WritePosition("d", lsn, 0, 0, {}, at=_at(hour)) for hour, lsn in positions]
    made = {"result": {"dump": {"at": _at(dump[0]), "lsn": dump[1]}}} if dump else {}
    assert _before_the_copy(known, made) is (None if taken is None else known[taken])


def _at(hour: int) -> str:
    return f"2026-11-23T{hour:02}:00:00+00:00"
