"""Whether two databases are equal: one verdict and one sentence for the command, the notebook and the report."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cutover import postgres, report, runbook
from cutover.postgres import Comparison, TableComparison
from cutover.postgres.integrity.answer import Answer
from cutover.rehearsal.postgres import Server
from cutover.report import facts, record, story

SHOP = """
CREATE TABLE public.users (id int PRIMARY KEY, name text);
INSERT INTO public.users SELECT n, 'user ' || n FROM generate_series(1, 10) n;
CREATE TABLE public.reports (id int PRIMARY KEY, body text);
INSERT INTO public.reports SELECT n, 'report ' || n FROM generate_series(1, 6) n;
CREATE MATERIALIZED VIEW public.daily AS SELECT count(*) FROM public.users;
"""
Sides = tuple[str, str]


@pytest.fixture(scope="module")
def roles(pg17: Server, pg18: Server) -> Iterator[tuple[str, str]]:
    """Two ordinary roles, of other names on the two sides."""
    made = (f"replit_{secrets.token_hex(3)}", f"aws_{secrets.token_hex(3)}")
    for server, role in zip((pg17, pg18), made, strict=True):
        server.create_role(role)
    yield made
    for server, role in zip((pg17, pg18), made, strict=True):
        server.execute(f"DROP ROLE {role}")


@pytest.fixture
def sides(pg17: Server, pg18: Server, roles: tuple[str, str], fresh_database: Callable[..., str]) -> Sides:
    """The same two tables and a materialised view on both sides, each owned and entered by an ordinary role."""
    urls = []
    for server, role in zip((pg17, pg18), roles, strict=True):
        url = server.url(fresh_database(server, role).rsplit("/", 1)[1], role)
        execute(url, SHOP)
        urls.append(url)
    return urls[0], urls[1]


def execute(url: str, text: str) -> None:
    """Some statements, each in its own transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())


@pytest.fixture
def told(migration: dict[str, Any], sides: Sides) -> Callable[..., dict[str, str]]:
    """`told(…)`: what the command, the notebook, its picture and the report say of one comparison of rows."""

    def say(**how: Any) -> dict[str, str]:
        step = runbook.begin("13_data_integrity", migration)
        comparison = postgres.compare(*sides, catalog=False, evidence=step.run.raw("postgres"), **how)
        step.record(comparison.findings)
        run = record.read(step.run.path)
        backing = facts.gather(run)
        return {
            "sentence": comparison.sentence(),
            "command": Answer(comparison).headline,
            "notebook": runbook.pictures.proof(step, comparison).text,
            "picture": runbook.pictures.tables_sentence(comparison),
            "report": next(line for line in story.happened(run, backing) if line.startswith("Data: ")),
            "number": story.numbers(run, backing)[0].meaning,
        }

    return say


def shared(told: dict[str, str]) -> None:
    """Everybody says the one sentence."""
    assert told["command"] == told["notebook"] == told["sentence"]
    assert told["picture"].startswith(told["sentence"])
    assert told["report"].lower() == f"data: {told['picture']}".lower()


def test_equal_databases_are_one_sentence_to_everybody(told: Callable[..., dict[str, str]]) -> None:
    """What is made anew (a materialised view) is no table to any of them."""
    said = told()
    shared(said)
    assert said["sentence"].startswith("All 2 tables, 16 rows: identical, as of 20")
    assert said["number"] == "in 2 tables: 2 identical"


def test_a_table_that_could_not_be_read_is_equal_to_nobody(
    told: Callable[..., dict[str, str]], sides: Sides, roles: tuple[str, str]
) -> None:
    """One table is refused to the role on the target."""
    execute(sides[1], f"REVOKE SELECT ON public.reports FROM {roles[1]}")
    said = told()
    shared(said)
    assert said["sentence"].startswith("Not comparable: public.reports; 1 of 2 tables identical, as of ")
    assert said["picture"].endswith("Not compared: public.reports.")
    assert said["number"] == "in 2 tables: 1 identical, 1 not compared"


def test_a_table_whose_differing_rows_were_not_found_is_equal_to_nobody(
    told: Callable[..., dict[str, str]], sides: Sides, roles: tuple[str, str], pg17: Server
) -> None:
    """The source lets nobody in after its fingerprint was taken: the digests differ, and no row can be named."""
    then = postgres.fingerprint(sides[0])
    pg17.execute(f"ALTER ROLE {roles[0]} NOLOGIN")
    execute(sides[1], "UPDATE public.users SET name = 'other' WHERE id = 3")
    said = told(fingerprint=then)
    pg17.execute(f"ALTER ROLE {roles[0]} LOGIN")
    shared(said)
    assert said["sentence"].startswith("Different: 1 table; 1 of 2 tables identical, as of ")
    assert "Not equal: public.users (rows not located)." in said["picture"]


def test_a_table_that_is_not_there_is_a_difference_to_everybody(
    told: Callable[..., dict[str, str]], sides: Sides
) -> None:
    """Missing on the target; that is a field of the table, not a sentence to be read."""
    execute(sides[1], "DROP TABLE public.reports")
    said = told()
    shared(said)
    assert said["sentence"].startswith("Different: 1 table; 1 of 2 tables identical, as of ")


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        ({}, "equal"),
        ({"target_rows": None, "not_compared": "permission denied"}, "not comparable"),
        ({"target_rows": None}, "not comparable"),
        ({"unlocated": "its digests differ, but could not be located"}, "different"),
        ({"target_rows": 9}, "different"),
        ({"missing": 1, "target_rows": 9}, "different"),
    ],
)
def test_a_stored_comparison_is_judged_by_the_same_rule(stored: dict[str, Any], verdict: str) -> None:
    """Of an earlier version, whose tables do not say themselves whether they are identical."""
    table = {"name": "public.users", "kind": "table", "source_rows": 10, "target_rows": 10} | stored
    beside = {"name": "public.daily", "kind": "materialized view", "source_rows": 1, "target_rows": 2}
    found = Comparison.from_dict({"tables": [table, beside]})
    assert found.verdict() == verdict
    assert found.tables[0].identical is (verdict == "equal")
    assert bool(found.tables[0].why) is not found.tables[0].identical


@pytest.mark.parametrize("broken", [{}, {"tables": {}}, {"tables": [7]}, {"tables": [{"name": "t"}]}])
def test_a_comparison_that_cannot_be_read_whole_is_refused(broken: dict[str, Any]) -> None:
    """A table that is passed over in silence would make the others look like all."""
    with pytest.raises(ValueError, match="table"):
        Comparison.from_dict(broken)


def test_what_was_written_down_reads_back_and_says_the_same(sides: Sides) -> None:
    """With every field; also `identical` and `why`, for whoever reads the file."""
    execute(sides[1], "DELETE FROM public.users WHERE id = 4")
    comparison = postgres.compare(*sides)
    kept = json.loads(json.dumps(comparison.to_dict()))
    assert Comparison.from_dict(kept).to_dict() | {"seconds": 0} == kept | {"seconds": 0}
    assert kept["sentence"] == comparison.sentence()
    tables = {t["name"]: t for t in kept["tables"]}
    assert (tables["public.users"]["identical"], tables["public.users"]["why"]) == (False, "1 missing")
    assert (tables["public.reports"]["identical"], tables["public.reports"]["why"]) == (True, "")


def test_what_a_run_said_of_a_table_is_not_mended_by_reading_it() -> None:
    """A table that the run did not find identical is not called so by a reader that lacks the reason."""
    raw = TableComparison("t", source_rows=1, target_rows=1).to_dict() | {"identical": False, "why": "said elsewhere"}
    table = TableComparison.from_dict(raw)
    assert (table.identical, table.why) == (False, "said elsewhere")


def test_a_failure_that_is_waived_does_not_become_all_identical(migration: dict[str, Any], home: Path) -> None:
    """The run is GO by a waiver; its headline claims nothing of the data."""
    table = TableComparison("public.users", source_rows=10, target_rows=9, missing=1)
    folder = home / "20261123T120000Z-staging-day"
    (folder / "raw" / "postgres").mkdir(parents=True)
    kept = Comparison([], [table], 1.0, {}, {}, "hash").to_dict()
    (folder / "raw" / "postgres" / "comparison.json").write_text(json.dumps(kept))
    waived = {"id": "INT-rows", "title": "Rows", "status": "WAIVED", "waived_from": "FAIL", "severity": "blocker"}
    passed = {"id": "BKP-01", "title": "Backup", "status": "PASS"}
    lines = [json.dumps(f | {"step": "13_data_integrity", "at": "2026-11-23T12:00:00Z"}) for f in (waived, passed)]
    (folder / "findings.jsonl").write_text("\n".join(lines))
    (folder / "run.json").write_text(json.dumps({"finished": "2026-11-23T13:00:00Z"}))
    said = {"verdict": "GO", "exit_code": 0, "headline": "GO: all hold."}
    said |= {"steps": [{"name": "13_data_integrity", "state": "completed", "verdict": "GO"}]}
    (folder / "verdict.json").write_text(json.dumps(said))
    read = record.read(folder)
    assert story.headline(read, facts.gather(read)) == "all hold."
    assert "identical; all hold" not in report.write(folder).read_text()
