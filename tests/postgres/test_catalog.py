"""The catalog: every single change of a schema is found, in both directions, and none is found where there is none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import psycopg
import pytest

from cutover.finding import Finding, Severity, Status
from cutover.postgres import Catalog, compare_catalogs, connect, read_catalog
from cutover.postgres.catalog import read_catalog_in


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


MUTATIONS = {
    # The 34 on which other tools were measured.
    "a foreign key dropped": (
        "ALTER TABLE app.notes DROP CONSTRAINT notes_owner_fkey",
        "constraint:app.notes.notes_owner_fkey",
    ),
    "a foreign key not valid": (
        "ALTER TABLE app.notes DROP CONSTRAINT notes_owner_fkey, ADD CONSTRAINT notes_owner_fkey FOREIGN KEY (owner) "
        "REFERENCES app.users ON DELETE CASCADE NOT VALID",
        "constraint:app.notes.notes_owner_fkey",
    ),
    "a check dropped": ("ALTER TABLE app.users DROP CONSTRAINT not_poor", "constraint:app.users.not_poor"),
    "a trigger dropped": ("DROP TRIGGER touch ON app.users", "trigger:app.users.touch"),
    "a trigger disabled": ("ALTER TABLE app.users DISABLE TRIGGER touch", "trigger:app.users.touch"),
    "a view dropped": ("DROP VIEW app.adults", "view:app.adults"),
    "a view's body": (
        "CREATE OR REPLACE VIEW app.adults AS SELECT u.id, u.name FROM app.users u WHERE u.born < '2001-01-01'",
        "view:app.adults",
    ),
    "a function dropped": ("DROP FUNCTION app.double(int)", "function:app.double(integer)"),
    "a function's body": (
        "CREATE OR REPLACE FUNCTION app.double(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x * 3'",
        "function:app.double(integer)",
    ),
    "a column's type": ("ALTER TABLE app.bag ALTER weight TYPE bigint", "column:app.bag.weight"),
    "a timestamp's precision": ("ALTER TABLE app.users ALTER changed TYPE timestamptz(6)", "column:app.users.changed"),
    "NOT NULL dropped": ("ALTER TABLE app.users ALTER name DROP NOT NULL", "column:app.users.name"),
    "a default changed": ("ALTER TABLE app.users ALTER name SET DEFAULT 'somebody'", "column:app.users.name"),
    "a column dropped": ("ALTER TABLE app.users DROP COLUMN home", "column:app.users.home"),
    "a column more": ("ALTER TABLE app.bag ADD COLUMN more text", "column:app.bag.more"),
    "a table more": ("CREATE TABLE app.more (x int)", "table:app.more"),
    "a table missing": ("DROP TABLE app.cache", "table:app.cache"),
    "an index dropped": ("DROP INDEX app.users_born", "index:app.users_born"),
    "an index invalid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.users_lower'::regclass",
        "index:app.users_lower",
    ),
    "a sequence behind": ("SELECT setval('app.notes_id_seq', 3)", "sequence-value:app.notes_id_seq"),
    "a sequence's increment": ("ALTER SEQUENCE app.ticket INCREMENT 1", "sequence:app.ticket"),
    "an owner": ("ALTER TABLE app.bag OWNER TO pg_monitor", "owner"),
    "a grant": ("REVOKE SELECT ON app.notes FROM PUBLIC", "acl"),
    "row-level security": ("ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY", "table:app.notes"),
    "unlogged": ("ALTER TABLE app.bag SET UNLOGGED", "table:app.bag"),
    "an extension": ("CREATE EXTENSION pg_trgm SCHEMA app", "extension:pg_trgm"),
    "a comment": ("COMMENT ON TABLE app.users IS 'Folk'", "comment:table app.users"),
    "a replica identity": ("ALTER TABLE app.bag REPLICA IDENTITY FULL", "table:app.bag"),
    "an enum's label": ("ALTER TYPE app.mood ADD VALUE 'glad' BEFORE 'happy'", "type:app.mood"),
    "a column's collation": ('ALTER TABLE app.bag ALTER word TYPE text COLLATE "POSIX"', "column:app.bag.word"),
    "a partition detached": ("ALTER TABLE app.events DETACH PARTITION app.events_old", "table:app.events_old"),
    "a materialised view emptied": (
        "REFRESH MATERIALIZED VIEW app.totals WITH NO DATA",
        "materialized-view:app.totals",
    ),
    "a storage option": ("ALTER TABLE app.notes SET (fillfactor = 70)", "table:app.notes"),
    "a database's setting": ("ALTER DATABASE {database} SET work_mem = '8MB'", "database-setting:work_mem"),
    # What those tools were not even asked.
    "a domain's check": (
        "ALTER DOMAIN app.email DROP CONSTRAINT has_at; "
        "ALTER DOMAIN app.email ADD CONSTRAINT has_at CHECK (VALUE <> '')",
        "type:app.email",
    ),
    "a policy's expression": ("ALTER POLICY own ON app.notes USING (owner = 2)", "policy:app.notes.own"),
    "a statistics object": ("DROP STATISTICS app.bag_stats", "statistics:app.bag_stats"),
    "a publication": ("ALTER PUBLICATION news SET TABLE app.bag", "publication:news"),
    "an event trigger": (
        "CREATE FUNCTION app.ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; "
        "CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION app.ev()",
        "event-trigger:watch",
    ),
    "a generated expression": (
        "ALTER TABLE app.users DROP COLUMN shout, ADD COLUMN shout text GENERATED ALWAYS AS (lower(name)) STORED",
        "column:app.users.shout",
    ),
    "an identity's kind": ("ALTER TABLE app.users ALTER id SET GENERATED BY DEFAULT", "column:app.users.id"),
    "a range type": ("DROP TYPE app.span; CREATE TYPE app.span AS RANGE (subtype = float4)", "type:app.span"),
    "an aggregate": (
        "DROP AGGREGATE app.first(text); "
        "CREATE AGGREGATE app.first(text) (SFUNC = app.first_of, STYPE = text, INITCOND = 'x')",
        "aggregate:app.first(text)",
    ),
    "an operator": ("DROP OPERATOR app.=~ (int, int)", "operator:app.=~(integer,integer)"),
    "a cast": ("DROP CAST (int AS app.mood)", "cast:integer AS app.mood"),
    "a text search configuration": (
        "ALTER TEXT SEARCH CONFIGURATION app.english ALTER MAPPING FOR word WITH app.plain",
        "text-search-configuration:app.english",
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM PUBLIC",
        "default-privileges:of postgres in schema app on tables",
    ),
    "a large object's grants": ("GRANT SELECT ON LARGE OBJECT 777 TO PUBLIC", "acl"),
    "a large object": ("SELECT lo_unlink(777)", "large-object:777"),
    "a composite type": ("ALTER TYPE app.address ADD ATTRIBUTE land text", "type:app.address"),
    "a rule disabled": ("ALTER TABLE app.bag DISABLE RULE keep", "rule:app.bag.keep"),
    "foreign key triggers disabled": (
        "ALTER TABLE app.notes DISABLE TRIGGER ALL",
        "constraint:app.notes.notes_owner_fkey",
    ),
    "a column's grant": ("GRANT UPDATE (body) ON app.notes TO PUBLIC", "acl"),
    "a column's comment": ("COMMENT ON COLUMN app.users.email IS NULL", "comment:column app.users.email"),
    "an owned sequence": ("ALTER SEQUENCE app.notes_id_seq OWNED BY NONE", "sequence:app.notes_id_seq"),
    "inheritance": ("ALTER TABLE app.derived NO INHERIT app.base", "table:app.derived"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_single_change_is_found_and_named(name: str, source: Catalog, rich17: str) -> None:
    """One change on the target gives a finding with the object's name, and the reverse gives one too."""
    statements, expected = MUTATIONS[name]
    with closing(connect(rich17, readonly=False, autocommit=False)) as connection:
        # The change is never committed; a sequence, which knows no transaction, is set back.
        connection.execute(statements.format(database=rich17.rsplit("/", 1)[1]).encode())
        target = read_catalog_in(connection, "the target")
        connection.rollback()
        connection.execute("SELECT setval('app.notes_id_seq', 500)")
    findings = compare_catalogs(source, target)
    found = {f.id for f in _wrong(findings)}
    assert f"INT-catalog-{expected}" in found
    assert all(f.remedy for f in _wrong(findings)), "every difference says how it is mended"
    back = {f.id for f in _wrong(compare_catalogs(target, source))}
    assert f"INT-catalog-{expected}" in back


def test_a_copy_without_a_change_is_equal(source: Catalog, rich17: str, copy_of: Callable[[str], str]) -> None:
    """No mutation, no difference, and the summary says how much was compared."""
    findings = compare_catalogs(source, read_catalog(copy_of(rich17)))
    assert not _wrong(findings)
    assert {f.status for f in findings} == {Status.PASS}
    assert findings[0].id == "INT-catalog"
    assert findings[0].data["objects"] > 160


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
