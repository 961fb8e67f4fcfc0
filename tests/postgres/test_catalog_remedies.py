"""The statements by kind of object: a misspelt kind would quietly be dropped and created again, or left to the dump."""

from __future__ import annotations

from cutover.postgres.catalog.alter_code import CODE
from cutover.postgres.catalog.alter_relations import RELATIONS
from cutover.postgres.catalog.alter_server import SERVER
from cutover.postgres.catalog.code_queries import code_queries
from cutover.postgres.catalog.model import extension_version
from cutover.postgres.catalog.relation_queries import relation_queries
from cutover.postgres.catalog.server_queries import server_queries
from cutover.postgres.catalog.statements import STATEMENTS, STATEMENTS_IN_DATABASE

READ = {*relation_queries(18), *code_queries(18), *server_queries(18), "sequence value"}


def test_every_table_speaks_of_kinds_that_the_catalog_reads() -> None:
    """No key of a table of statements is a kind that is never read."""
    for table in (RELATIONS, CODE, SERVER, STATEMENTS, STATEMENTS_IN_DATABASE):
        assert set(table) <= READ


def test_every_kind_stands_in_one_table() -> None:
    """No table hides another's statement for the same kind."""
    altered, made = [*RELATIONS, *CODE, *SERVER], [*STATEMENTS, *STATEMENTS_IN_DATABASE]
    assert len(altered) == len(set(altered))
    assert len(made) == len(set(made))


def test_every_kind_can_be_made_but_by_the_dump() -> None:
    """Kinds without a statement that makes them are those that only the dump, or its owner's grants, can bring."""
    only_elsewhere = {
        "database",
        "default privileges",
        "grant beside",
        "large object",
        "operator class",
        "operator family",
    }
    assert READ - {*STATEMENTS, *STATEMENTS_IN_DATABASE} == only_elsewhere


def test_versions_of_extensions_compare_as_numbers() -> None:
    """1.10 is newer than 1.9."""
    assert extension_version("1.10") > extension_version("1.9")
