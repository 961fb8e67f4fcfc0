"""What there is to compare on one side: relations with their columns, keys and the physical pieces they are read in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from cutover.postgres.transfer import MARKER

Kind = Literal["table", "partitioned table", "materialized view", "extension table", "foreign table", "large objects"]

LARGE_OBJECTS = "large objects"
"""The name under which all large objects are compared, as rows of (oid, SHA-256 of the content)."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A physical table that holds rows of a relation: itself, or one of its partitions.

    Attributes:
        schema, name: unquoted.
        pages: its size in blocks now, without what lies in its TOAST table.
        bytes: its size with TOAST.
        rows: the planner's estimate, or a guess from its size; at least 0.
        oid, file: its number and the number of its file, in the snapshot; 0 for what is never rewritten.
    """

    schema: str
    name: str
    pages: int
    bytes: int = 0
    rows: int = 0
    oid: int = 0
    file: int = 0

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted, qualified name."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Relation:
    """Something that has rows.

    Attributes:
        name: qualified and quoted where it must be: `public.users`.
        kind: see `Kind`; materialised views and extensions' tables are advisory, for a restore makes them anew.
        columns: name to type, ordered by name.
        keys: candidate keys (primary key first), each a tuple of column names that are unique and not null.
        leaves: where the rows are.
        estimated_rows: the planner's estimate, at least 0.
        unreadable: why it cannot be read, empty when it can.
        populated: False for a materialised view without data.
        schema, plain_name: the same name without quotes: `public`, `public.users`.
    """

    name: str
    kind: Kind
    columns: dict[str, str]
    keys: tuple[tuple[str, ...], ...]
    leaves: tuple[Leaf, ...]
    estimated_rows: int
    unreadable: str = ""
    populated: bool = True
    schema: str = ""
    plain_name: str = ""

    @property
    def pages(self) -> int:
        """Blocks of all leaves."""
        return sum(leaf.pages for leaf in self.leaves)

    @property
    def bytes(self) -> int:
        """Bytes of all leaves, TOAST included."""
        return sum(leaf.bytes for leaf in self.leaves)

    @property
    def cannot(self) -> str:
        """Why there is nothing to read, empty when there is."""
        return self.unreadable or ("" if self.populated else "the materialised view has no data (WITH NO DATA)")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what it is, not where its rows lie."""
        return {
            "kind": self.kind,
            "columns": self.columns,
            "keys": [list(key) for key in self.keys],
            "estimated_rows": self.estimated_rows,
            "unreadable": self.unreadable,
            "populated": self.populated,
            "schema": self.schema,
            "plain_name": self.plain_name,
        }

    @classmethod
    def from_dict(cls, name: str, raw: Mapping[str, Any]) -> Relation:
        """What `to_dict` gave; it has no leaves, so it cannot be read."""
        keys = tuple(tuple(key) for key in raw["keys"])
        return cls(**{**raw, "name": name, "keys": keys, "leaves": ()})

    def expression(self, column: str) -> sql.Composable:
        """The SQL that reads a column of the row `t`."""
        if self.kind == "large objects" and column == "content":
            return sql.SQL("sha256(lo_get(t.oid))")
        return sql.SQL("t.{}").format(sql.Identifier(column))


_KINDS: dict[str, Kind] = {
    "r": "table",
    "p": "partitioned table",
    "m": "materialized view",
    "f": "foreign table",
}

_RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname),
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
       c.relrowsecurity AND (row_security_active(c.oid)), c.relispopulated, c.reltuples::float8,
       EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
               AND d.deptype = 'e')
       AND NOT EXISTS (SELECT FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS u(member, condition)
                       WHERE u.member = c.oid AND u.condition = '') AS of_extension
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't'
  AND (NOT c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid
                                       AND to_jsonb(i) ->> 'inhdetachpending' = 'true'))
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %s)
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
"""What an extension declares as configuration without a condition (pg_cron's jobs) is its user's, as for pg_dump.

A partition that DETACH CONCURRENTLY left half-way is in no tree any more (PostgreSQL 14 and newer), so it is read by
itself.
"""

_COLUMNS = """
SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a WHERE a.attrelid = ANY (%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attname COLLATE "C"
"""

_KEYS = """
SELECT i.indrelid::bigint, array_agg(a.attname ORDER BY k.place), i.indisprimary
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = ANY (%s::oid[]) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, i.indrelid, i.indisprimary, i.indnkeyatts
HAVING bool_and(a.attnotnull)
ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, i.indexrelid
"""

_LEAVES = """
SELECT r.root::bigint, n.nspname, c.relname, c.relkind::text, c.oid::bigint, c.relpages, c.reltuples::float8,
       c.relfilenode::bigint
FROM unnest(%s::oid[]) AS r(root)
CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(r.root) UNION SELECT r.root) AS tree(oid)
JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind <> 'p' ORDER BY 1, n.nspname COLLATE "C", c.relname COLLATE "C"
"""


def read_relations(connection: psycopg.Connection[Any]) -> dict[str, Relation]:
    """Every relation with rows of its own, by name: tables, partitioned tables as a whole, materialised views.

    Args:
        connection: a session of ours (`search_path` empty), inside the snapshot that is to be compared.
    """
    heads = connection.execute(_RELATIONS, (MARKER,)).fetchall()
    oids = [head[0] for head in heads]
    columns: dict[int, dict[str, str]] = {oid: {} for oid in oids}
    for oid, column, kind in connection.execute(_COLUMNS, (oids,)):
        columns[oid][column] = kind
    keys: dict[int, list[tuple[str, ...]]] = {oid: [] for oid in oids}
    for oid, names, _ in connection.execute(_KEYS, (oids,)):
        keys[oid].append(tuple(names))
    leaves: dict[int, list[Leaf]] = {oid: [] for oid in oids}
    foreign: dict[int, str] = {}
    physical = connection.execute(_LEAVES, (oids,)).fetchall()
    sizes = _sizes(connection, [row[4] for row in physical if row[3] in ("r", "m")])
    for oid, schema, name, relkind, leaf, relpages, tuples, file in physical:
        if relkind == "f":
            foreign[oid] = (
                "its rows live on another server; what it is, the catalog compares"
                if leaf == oid
                else f"its partition {schema}.{name} is a foreign table, whose rows live on another server"
            )
            continue
        pages, size = sizes.get(leaf, (relpages, relpages * 8192))
        rows = int(tuples) if tuples >= 0 else pages * 64
        leaves[oid].append(Leaf(schema, name, pages, size, rows, leaf, file))
    found: dict[str, Relation] = {}
    for oid, schema, plain, relkind, name, readable, hidden, populated, _, of_extension in heads:
        unreadable = foreign.get(oid, "")
        if not readable and relkind != "f":
            unreadable = f"this role may not read it: GRANT SELECT ON {name} TO the role that compares"
        elif hidden:
            unreadable = (
                "a row-level security policy would hide rows from this role: connect as its owner, or where the "
                "policy is FORCEd upon the owner too, as a role with BYPASSRLS"
            )
        found[name] = Relation(
            name=name,
            kind="extension table" if of_extension else _KINDS[relkind],
            columns=columns[oid],
            keys=tuple(keys[oid]),
            leaves=tuple(leaves[oid]),
            estimated_rows=sum(leaf.rows for leaf in leaves[oid]),
            unreadable=unreadable,
            populated=populated,
            schema=schema,
            plain_name=f"{schema}.{plain}",
        )
    objects = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
    if objects and objects[0]:
        found[LARGE_OBJECTS] = Relation(
            name=LARGE_OBJECTS,
            kind="large objects",
            columns={"content": "bytea", "oid": "oid"},
            keys=(("oid",),),
            leaves=(Leaf("pg_catalog", "pg_largeobject_metadata", 0, 0, int(objects[0])),),
            estimated_rows=int(objects[0]),
            schema="pg_catalog",
            plain_name=LARGE_OBJECTS,
        )
    return found


def _sizes(connection: psycopg.Connection[Any], oids: list[int]) -> dict[int, tuple[int, int]]:
    """Blocks and bytes (with TOAST) by table, as of now; empty when a lock is in the way: the planner's will do."""
    try:
        with connection.transaction():
            rows = connection.execute(
                "SELECT oid::bigint, pg_relation_size(oid, 'main') / current_setting('block_size')::int, "
                "pg_table_size(oid) FROM unnest(%s::oid[]) AS t(oid)",
                (oids,),
            ).fetchall()
    except psycopg.Error:
        return {}
    return {oid: (int(pages or 0), int(size or 0)) for oid, pages, size in rows}


def lock(connection: psycopg.Connection[Any], relations: dict[str, Relation]) -> None:
    """Take the weakest lock on every table, as pg_dump does, so that none is rewritten or truncated under the snapshot.

    A lock that is not granted is passed over: reading that table will then say what is wrong.
    """
    tables = [
        leaf.identifier
        for relation in relations.values()
        if relation.kind in ("table", "partitioned table", "extension table") and not relation.unreadable
        for leaf in relation.leaves
    ]
    for start in range(0, len(tables), 200):
        _lock(connection, tables[start : start + 200])


def _lock(connection: psycopg.Connection[Any], tables: list[sql.Identifier]) -> None:
    names = sql.SQL(", ").join(tables)
    try:
        with connection.transaction():
            connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(names))
    except psycopg.Error:
        if connection.closed:
            raise
        if len(tables) > 1:  # one table that is not to be had must not keep its neighbours from being locked
            _lock(connection, tables[: len(tables) // 2])
            _lock(connection, tables[len(tables) // 2 :])
