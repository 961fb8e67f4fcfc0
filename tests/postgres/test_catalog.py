"""The catalog's findings: what is equal, what goes together, what is meant, what a role may not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
import pytest

from cutover.finding import Finding, Severity, Status
from cutover.postgres import Catalog, compare_catalogs, read_catalog


@pytest.fixture(scope="module")
def source(rich17: str) -> Catalog:
    """The source's catalog, read once."""
    return read_catalog(rich17)


def _mutated(url: str, statements: str) -> Catalog:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)
    return read_catalog(url)


def _wrong(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.status in (Status.FAIL, Status.MISSING) and f.id != "INT-catalog"]


def test_a_copy_without_a_change_is_equal(source: Catalog, rich17: str, copy_of: Callable[[str], str]) -> None:
    """No mutation, no difference, and the summary says how much was compared."""
    findings = compare_catalogs(source, read_catalog(copy_of(rich17)))
    assert not _wrong(findings)
    assert {f.status for f in findings} == {Status.PASS}
    assert findings[0].id == "INT-catalog"
    assert findings[0].data["objects"] > 90


def test_what_hangs_on_a_missing_table_is_not_named_again(
    source: Catalog, rich17: str, copy_of: Callable[[str], str]
) -> None:
    """A lost table is one finding, not one for each of its columns, indexes and constraints."""
    target = _mutated(copy_of(rich17), "DROP TABLE app.notes CASCADE")
    found = {f.id for f in _wrong(compare_catalogs(source, target))}
    assert found == {"INT-catalog-table:app.notes", "INT-catalog-publication:news"}


@dataclass(frozen=True)
class _Meant:
    kind: str
    object: str
    reason: str = "RDS owns it itself"


def test_a_declared_difference_is_shown_and_does_not_close(
    source: Catalog, rich17: str, copy_of: Callable[[str], str]
) -> None:
    """An owner that is declared as expected is WAIVED; the same owner undeclared closes the gate."""
    target = _mutated(copy_of(rich17), "ALTER TABLE app.bag OWNER TO pg_monitor")
    undeclared = compare_catalogs(source, target)
    assert any(f.closes_gate for f in undeclared)
    declared = compare_catalogs(source, target, [_Meant("owner", "*")])
    assert not any(f.closes_gate for f in declared)
    (waived,) = (f for f in declared if f.status is Status.WAIVED)
    assert "app.bag" in waived.observed
    assert "RDS owns it itself" in waived.why
    assert declared[0].status is Status.PASS


def test_a_declared_difference_that_is_not_there_is_told(source: Catalog) -> None:
    """A stale declaration is a low finding, so that the list does not rot."""
    findings = compare_catalogs(source, source, [_Meant("index", "app.gone")])
    (stale,) = _wrong(findings)
    assert stale.severity is Severity.LOW
    assert stale.id == "INT-expected:index:app.gone"


def test_a_live_source_may_be_ahead_in_its_sequences(
    source: Catalog, rich17: str, copy_of: Callable[[str], str]
) -> None:
    """Where the source is written to, a sequence that moved on is information; on a frozen one it closes the gate."""
    target = _mutated(copy_of(rich17), "SELECT setval('app.ticket', 200)")
    assert any(f.closes_gate for f in compare_catalogs(source, target))
    assert not any(f.closes_gate for f in compare_catalogs(source, target, live=True))


def test_an_unreadable_sequence_is_not_compared(rich17: str, copy_of: Callable[[str], str]) -> None:
    """A role that may not read sequences cannot say that they are equal."""
    url = copy_of(rich17)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS blind; CREATE ROLE blind LOGIN PASSWORD 'blindblind'")
    blind = url.replace(url.split("//")[1].split("@")[0], "blind:blindblind")
    try:
        findings = compare_catalogs(read_catalog(blind), read_catalog(blind))
        assert "INT-catalog-sequence-value:unread-source" in {f.id for f in findings if f.status is Status.NOT_COMPARED}
        assert findings[0].status is Status.UNKNOWN
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP ROLE blind")


def test_an_empty_database_is_not_equal_to_anything(fresh_database: Callable[..., str], pg17: object) -> None:
    """Two databases without a table give no PASS over all."""
    url = fresh_database(pg17)
    empty = read_catalog(url)
    findings = compare_catalogs(empty, empty)
    assert findings[0].id == "INT-catalog"
    assert findings[0].status is not Status.PASS
