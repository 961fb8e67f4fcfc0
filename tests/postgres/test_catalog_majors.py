"""A restore without a change is no difference: within a major, across majors, whatever the two servers' settings."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cutover.finding import Finding, Status
from cutover.postgres import Catalog, compare_catalogs, read_catalog
from cutover.postgres.catalog import printed_by
from cutover.postgres.contents import leave_out_own_options
from cutover.rehearsal import data
from cutover.rehearsal.postgres import Server

Fresh = Callable[..., str]

EVERYTHING, EVERYTHING_18 = ((Path(__file__).parent / f"everything{suffix}.sql").read_text() for suffix in ("", "18"))

SHADOWTWIN = "\n".join((Path(data.__file__).parent / name).read_text() for name in ("schema.sql", "constraints.sql"))

SETTINGS = (
    {
        "TimeZone": "Asia/Kolkata",
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "sql_standard",
        "bytea_output": "escape",
        "lc_monetary": "C.UTF-8",
        "lc_time": "C",
        "extra_float_digits": "-3",
        "quote_all_identifiers": "on",
    },
    {
        "TimeZone": "America/St_Johns",
        "DateStyle": "German, MDY",
        "IntervalStyle": "iso_8601",
        "bytea_output": "hex",
        "lc_monetary": "C",
        "lc_numeric": "C.UTF-8",
        "extra_float_digits": "3",
        "search_path": "shop, public",
    },
)
"""What differs between the two sides of the comparisons below, as database settings."""


@dataclass(frozen=True)
class _Meant:
    kind: str
    object: str
    reason: str = "set by the test, differently on the two sides"


def _load(url: str, text: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())
    return url


def _set(url: str, settings: dict[str, str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            shown = value if name == "search_path" else f"'{value}'"
            connection.execute(f'ALTER DATABASE "{url.rsplit("/", 1)[1]}" SET {name} TO {shown}'.encode())


def _restored(source: str, target: str, tools: Path, folder: Path) -> None:
    archive = folder / "archive"
    subprocess.run([tools / "pg_dump", "-Fc", "-f", archive, source], check=True, capture_output=True)
    leave_out_own_options(archive)
    subprocess.run([tools / "pg_restore", "-e", "-d", target, archive], check=True, capture_output=True)


def _open(findings: list[Finding]) -> list[str]:
    return [f.id for f in findings if f.status not in (Status.PASS, Status.WAIVED)]


_MAJORS = ("15-18", "16-18", "17-17", "17-18", "18-18")


@pytest.mark.parametrize(
    ("majors", "text"),
    [
        *(pytest.param(majors, EVERYTHING, id=f"{majors}, everything") for majors in _MAJORS),
        pytest.param("17-18", SHADOWTWIN, id="17-18, ShadowTwin"),
        # PostgreSQL 16's wheel has none of ShadowTwin's extensions.
        *(
            pytest.param(majors, SHADOWTWIN, id=f"{majors}, ShadowTwin", marks=pytest.mark.campaign)
            for majors in ("15-18", "17-17", "18-18")
        ),
    ],
)
def test_a_restore_is_no_difference_whatever_the_majors_and_the_settings(
    majors: str, text: str, request: pytest.FixtureRequest, pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """Every kind of object restored, both sides with other formats for times and bytes: equal, nothing unknown."""
    servers = [request.getfixturevalue(f"pg{major}") for major in majors.split("-")]
    source, target = (fresh_database(server) for server in servers)
    if majors == "18-18" and text is EVERYTHING:
        _load(source, "CREATE EXTENSION btree_gist")
    for url, settings in zip((source, target), SETTINGS, strict=True):
        _set(url, settings)
    _load(source, text)
    if majors == "18-18" and text is EVERYTHING:
        _load(source, EVERYTHING_18)
    _restored(source, target, pg18.bin, tmp_path)
    ours, theirs = read_catalog(source), read_catalog(target)
    assert (ours.unread, theirs.unread) == ({}, {})
    # The C.UTF-8 of 15 and 16 is libc's, that of 17 and 18 PostgreSQL's own: a difference of the two databases indeed.
    meant = [_Meant("database setting", "*"), _Meant("database", "*")]
    forth = compare_catalogs(
        ours, theirs, meant[: 1 + (majors[0:2] in ("15", "16"))], deparsed=printed_by(target, ours, theirs)
    )
    assert {f.id: f.observed for f in forth if f.id in _open(forth)} == {}
    assert forth[0].data["objects"] > 100


@pytest.fixture
def two_majors(pg15: Server, pg18: Server, fresh_database: Fresh, tmp_path: Path) -> tuple[str, str, Catalog, Catalog]:
    """Views on 15 and restored on 18, which prints them otherwise; with the two catalogs."""
    text = (
        "CREATE TABLE t (a int, b int); CREATE TABLE u (a int, b int);"
        "CREATE VIEW v AS SELECT t.a FROM t WHERE t.b > 1;"
        "CREATE VIEW w AS SELECT t.a, u.b FROM t JOIN u ON t.b = u.b;"
    )
    source, target = _load(fresh_database(pg15), text), fresh_database(pg18)
    _restored(source, target, pg18.bin, tmp_path)
    return source, target, read_catalog(source), read_catalog(target)


def test_a_text_that_two_majors_print_otherwise_is_not_known_until_one_server_printed_both(
    two_majors: tuple[str, str, Catalog, Catalog],
) -> None:
    """Without the target's word for the source's text it is UNKNOWN: never equal, never different."""
    _, target, ours, theirs = two_majors
    assert ours.objects["view", "public.v"].attributes != theirs.objects["view", "public.v"].attributes
    alone = {f.id: f for f in compare_catalogs(ours, theirs, [_Meant("database", "*")])}
    assert alone["INT-catalog-view:public.v"].status is Status.UNKNOWN
    assert alone["INT-catalog"].status is Status.UNKNOWN
    assert "GRANT TEMPORARY" in alone["INT-catalog-view:public.v"].remedy
    printed = printed_by(target, ours, theirs)
    assert _open(compare_catalogs(ours, theirs, [_Meant("database", "*")], deparsed=printed)) == []
    assert read_catalog(target).objects.keys() == theirs.objects.keys(), "nothing stays behind on the target"


def test_a_view_that_looks_alike_and_asks_for_something_else_is_found_across_majors(
    two_majors: tuple[str, str, Catalog, Catalog],
) -> None:
    """`t.a, u.b` and `u.a, t.b` are the same letters without their tables' names: the server knows them apart."""
    _, target, ours, _ = two_majors
    _load(target, "CREATE OR REPLACE VIEW w AS SELECT u.a, t.b FROM t JOIN u ON t.b = u.b")
    theirs = read_catalog(target)
    seen = compare_catalogs(ours, theirs, [_Meant("database", "*")], deparsed=printed_by(target, ours, theirs))
    (found,) = (f for f in seen if f.id == "INT-catalog-view:public.w")
    assert found.status is Status.FAIL
    assert "on the target `SELECT u.a, ⏎ t.b`, on the source `SELECT t.a, ⏎ u.b`" in found.observed


def test_a_scratch_restore_of_the_schema_serves_as_the_reference(
    two_majors: tuple[str, str, Catalog, Catalog], pg18: Server, fresh_database: Fresh, tmp_path: Path
) -> None:
    """The catalog of the source's schema restored on the target's major prints every text as the target does."""
    source, _, ours, theirs = two_majors
    scratch = fresh_database(pg18)
    _restored(source, scratch, pg18.bin, tmp_path)
    seen = compare_catalogs(ours, theirs, [_Meant("database", "*")], deparsed=read_catalog(scratch))
    assert _open(seen) == []


CHANGES_18 = {
    "a virtual column": (
        "ALTER TABLE shop.users DROP whisper, ADD whisper text GENERATED ALWAYS AS (lower(name)) STORED",
        "column:shop.users.whisper",
        "has generated stored lower(name) on the target, virtual lower(name) on the source",
    ),
    "a check that is not enforced": (
        "ALTER TABLE shop.notes DROP CONSTRAINT wished, ADD CONSTRAINT wished CHECK (body <> 'no')",
        "constraint:shop.notes.wished",
        "is enforced on the target and NOT ENFORCED on the source",
    ),
    "a foreign key that is enforced": (
        "ALTER TABLE shop.notes ALTER CONSTRAINT notes_owner_fkey NOT ENFORCED",
        "constraint:shop.notes.notes_owner_fkey",
        "is NOT ENFORCED on the target: rows that break it are let in",
    ),
    "a NOT NULL that is not valid": (
        "ALTER TABLE shop.spare VALIDATE CONSTRAINT a_there",
        "column:shop.spare.a",
        "has a NOT NULL that is validated on the target and NOT VALID on the source",
    ),
    "a NOT NULL's name": (
        "ALTER TABLE shop.spare RENAME CONSTRAINT mine TO yours",
        "column:shop.spare.d",
        "has not null constraint yours on the target, mine on the source",
    ),
    "MAINTAIN": ("REVOKE MAINTAIN ON shop.bag FROM PUBLIC", "acl", "the target lacks PUBLIC MAINTAIN"),
}


def test_what_18_brought_is_compared(pg18: Server, fresh_database: Fresh) -> None:
    """Virtual columns, constraints that are not enforced, named and unvalidated NOT NULL, MAINTAIN: found."""
    url = fresh_database(pg18)
    for text in ("CREATE EXTENSION btree_gist", EVERYTHING, EVERYTHING_18):
        _load(url, text)
    before = read_catalog(url)
    for change, _, _ in CHANGES_18.values():
        _load(url, change)
    found = {f.id: f for f in compare_catalogs(before, read_catalog(url)) if f.status is not Status.PASS}
    assert found.keys() == {"INT-catalog", *(f"INT-catalog-{key}" for _, key, _ in CHANGES_18.values())}
    for _, key, words in CHANGES_18.values():
        assert words in found[f"INT-catalog-{key}"].observed
