"""Going on with an interrupted restore: what is kept, what is emptied, what is built already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.postgres.archive import Dump, Entry, TableData
from cutover.postgres.connection import describe, session
from cutover.postgres.transfer.mark import MARKER, Unfinished, objects_in


def begin_data_again(
    url: str, held: Dump, before: Unfinished | None, jobs: int, *, empty: bool
) -> tuple[set[int], list[str]]:
    """Count the rows of every table that the record calls loaded; empty all others, and all large objects.

    A COPY is one statement, so a table holds all rows of the dump or none of them; the record is written after it, in
    the same server's log, so it is never more durable than the rows. The count guards against what neither covers:
    somebody else's writes, and unlogged tables, which a crash empties.

    Args:
        url: the target.
        held: the dump that is being restored.
        before: the record.
        jobs: tables counted at a time.
        empty: truncate what is not kept; otherwise nothing is changed.

    Returns:
        the archive's entries of the tables that are kept, and the names of those recorded that hold something else.
    """
    recorded = before.loaded if before else {}
    tables = [table for table in held.data if table.entry in recorded]
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        counts = list(pool.map(lambda table: _count(url, table), tables))
    pairs = list(zip(tables, counts, strict=True))
    kept = {table.entry for table, count in pairs if count == table.rows}
    wrong = [f"{t.schema}.{t.name} ({count} rows, not {t.rows})" for t, count in pairs if count != t.rows]
    if empty:
        with session(url, readonly=False) as connection:
            for table in held.data:
                if table.entry not in kept:
                    name = sql.Identifier(table.schema, table.name)
                    connection.execute(sql.SQL("TRUNCATE ONLY {}").format(name))
            if held.tool_major >= _LARGE_OBJECTS_ARE_DATA:
                connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    return kept, wrong


_LARGE_OBJECTS_ARE_DATA = 17
"""Since then pg_dump makes large objects in the data section; before, with the schema, and loads over them."""


def empty_again(url: str, note: Mapping[str, Any], entries: Sequence[Entry]) -> None:
    """Drop what an interrupted *schema* phase made, in a database that was empty when it began and holds no row.

    Args:
        url: the target.
        note: what its mark says.
        entries: of the dump; an extension that is not among them was there before, and stays.

    Raises:
        DatabaseError: a table has a row, so it is not what that phase left; or something does not go.
    """
    with session(url, readonly=False) as connection:
        tables = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %s) "
            "AND NOT (c.relkind = 'm' AND NOT c.relispopulated) AND NOT EXISTS (SELECT FROM pg_depend d "
            "WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')",
            (MARKER,),
        ).fetchall()
        for schema, name in tables:
            row = connection.execute(
                sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(str(schema), str(name)))
            ).fetchone()
            if row and row[0]:
                raise DatabaseError(
                    f"The target {describe(url)} holds rows in {schema}.{name}, which the interrupted restore "
                    f"(started {note.get('started', 'unknown')}) did not load.",
                    why="they are somebody's, and resuming would drop them.",
                    todo="drop and create the database again once nothing in it is needed, then restore.",
                )
        dumped = {entry.text.removeprefix("EXTENSION - ").strip() for entry in entries}
        own = connection.execute(
            "SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        ).fetchall()
        stays = [(str(name), str(schema)) for name, schema in own if name not in dumped and schema != "pg_catalog"]
        for statement in [] if stays else drop_everything(connection, keep=(MARKER,)):
            connection.execute(statement)
        left = objects_in(connection)
    if left or stays:
        raise DatabaseError(
            f"The target {describe(url)} could not be emptied: "
            f"{', '.join([*left, *(f'extension {name}' for name, _ in stays)][:5])}.",
            why="the interrupted restore had come no further than the schema, and must begin anew.",
            todo="drop and create the database again, then restore.",
        )


def drop_everything(connection: psycopg.Connection[Any], *, keep: Sequence[str] = ()) -> list[sql.Composed]:
    """The statements that empty a database of all that this role may drop; `public` is made as initdb makes it.

    Args:
        connection: to the database.
        keep: schemas that stay.
    """
    extensions = connection.execute(
        "SELECT extname FROM pg_extension e WHERE extname <> 'plpgsql' AND pg_has_role(e.extowner, 'USAGE') ORDER BY 1"
    ).fetchall()
    schemas = connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' "
        "AND nspname <> ALL (%s) ORDER BY 1",
        (list(keep),),
    ).fetchall()
    publications = connection.execute(
        "SELECT pubname FROM pg_publication WHERE pg_has_role(pubowner, 'USAGE') ORDER BY 1"
    ).fetchall()
    triggers = connection.execute(
        "SELECT evtname FROM pg_event_trigger WHERE pg_has_role(evtowner, 'USAGE') ORDER BY 1"
    ).fetchall()
    drops = [sql.SQL("DROP EVENT TRIGGER {}").format(sql.Identifier(str(name))) for (name,) in triggers]
    drops += [sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(str(name))) for (name,) in publications]
    drops += [sql.SQL("DROP EXTENSION {} CASCADE").format(sql.Identifier(str(name))) for (name,) in extensions]
    drops += [sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(str(name))) for (name,) in schemas]
    drops.append(sql.SQL("SELECT lo_unlink(oid) FROM pg_largeobject_metadata").format())
    if ("public",) in [tuple(row) for row in schemas]:
        public = sql.Identifier("public")
        drops.append(sql.SQL("CREATE SCHEMA {}").format(public))
        drops.append(sql.SQL("ALTER SCHEMA {} OWNER TO pg_database_owner").format(public))
        drops.append(sql.SQL("GRANT USAGE ON SCHEMA {} TO PUBLIC").format(public))
        drops.append(sql.SQL("COMMENT ON SCHEMA {} IS 'standard public schema'").format(public))
    return drops


def already_built(url: str, entries: Sequence[Entry]) -> set[int]:
    """Which of these entries are indexes or constraints that stand in the target; each was made by one statement."""
    with session(url) as connection:
        indexes = connection.execute(
            "SELECT n.nspname || ' ' || c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND i.indisready"
        ).fetchall()
        constraints = connection.execute(
            "SELECT n.nspname || ' ' || c.relname || ' ' || k.conname FROM pg_constraint k "
            "JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname !~ '^pg_' AND k.contype IN ('p', 'u', 'x', 'f')"
        ).fetchall()
    there = {f"INDEX {name}" for (name,) in indexes}
    there |= {f"{kind} {name}" for (name,) in constraints for kind in ("CONSTRAINT", "FK CONSTRAINT")}
    return {entry.id for entry in entries if entry.text.rsplit(" ", 1)[0] in there}


def _count(url: str, table: TableData) -> int:
    with session(url) as connection:
        name = sql.Identifier(table.schema, table.name)
        row = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(name)).fetchone()
    return int(row[0]) if row else -1
