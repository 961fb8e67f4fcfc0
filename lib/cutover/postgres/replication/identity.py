"""What identifies a row to a replication, asked of the catalog as the server itself does, before anything is published.

A table of a publication whose rows are not identified refuses UPDATE and DELETE to its users (PostgreSQL,
`CheckCmdReplicaIdentity` in execReplication.c); one that is identified by what is not sent, or by columns that cannot
be compared, stops the stream at the first UPDATE.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cutover.postgres.replication.checks import NOT_EXTENSION, USERS
from cutover.postgres.replication.link import Connection

_REFUSES_GENERATED = 180000
"""From this version on the source refuses a whole row as identity when a column of it is generated (and not sent);
before, a target leaves such columns out when it looks for the row."""


@dataclass(frozen=True, slots=True)
class Unidentified:
    """A table, or a partition, whose rows a replication cannot identify.

    Attributes:
        table: its name, quoted, as the server writes it.
        why: what is wrong with its replica identity, in words.
        setting: REPLICA IDENTITY as it stands now: `DEFAULT`, `NOTHING`, `FULL` or `USING INDEX name`. An index that is
            gone cannot be named again and identifies as little as `NOTHING`.
        full: whether REPLICA IDENTITY FULL would do.
    """

    table: str
    why: str
    setting: str
    full: bool


_TABLES = f"""
SELECT c.oid::regclass::text, c.relkind::text, c.relreplident::text, current_setting('server_version_num')::int,
       pk.indexrelid IS NOT NULL, coalesce(pk.indimmediate, true),
       (SELECT quote_ident(k.relname) FROM pg_class k WHERE k.oid = key.indexrelid),
       ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''
             AND a.attnum = ANY ((key.indkey::int2[])[0:key.indnkeyatts - 1]) ORDER BY a.attnum),
       ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''
             AND a.attnum = ANY ((pk.indkey::int2[])[0:pk.indnkeyatts - 1]) ORDER BY a.attnum),
       ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''
             AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary
LEFT JOIN pg_index key ON key.indrelid = c.oid AND key.indisvalid AND key.indimmediate
     AND CASE c.relreplident WHEN 'd' THEN key.indisprimary WHEN 'i' THEN key.indisreplident ELSE false END
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND {USERS} AND {NOT_EXTENSION} ORDER BY 1
"""  # noqa: S608 - of constants
"""Every table with the index that identifies its rows, as `RelationGetReplicaIndex` chooses it: valid, immediate."""

_SETTINGS = {"d": "DEFAULT", "n": "NOTHING", "f": "FULL"}


def unidentified(connection: Connection) -> list[Unidentified]:
    """Tables (partitions too) that must not be published as they are."""
    found = []
    for name, kind, setting, version, primary, immediate, key, in_key, in_primary, generated in connection.execute(
        _TABLES.encode()
    ):
        whole = _whole_row(version, kind == "p", in_primary, generated)
        if setting == "f":
            why = whole
        elif key:
            why = f"its key holds a generated column, which is not sent: {', '.join(in_key)}" if in_key else ""
        elif setting == "d":
            deferred = "its primary key is not valid" if immediate else "its primary key is DEFERRABLE"
            why = deferred if primary else "no primary key"
        else:
            why = "REPLICA IDENTITY NOTHING" if setting == "n" else "the index of its replica identity is gone"
        if why:
            now = _SETTINGS.get(setting) or (f"USING INDEX {key}" if key else "NOTHING")
            found.append(Unidentified(str(name), why, now, full=not whole))
    return found


def _whole_row(version: int, partitioned: bool, in_primary: list[str], generated: list[str]) -> str:
    """What keeps REPLICA IDENTITY FULL from doing, in words; "" when it does.

    The target looks for the columns of its own primary key in what is sent, whatever the source's identity is
    (`logicalrep_rel_mark_updatable` in replication/logical/relation.c).
    """
    if in_primary:
        return f"its primary key holds a generated column, which is not sent: {', '.join(in_primary)}"
    if version >= _REFUSES_GENERATED and generated and not partitioned:
        return f"its whole row holds a generated column, which is not sent: {', '.join(generated)}"
    return ""


_WHOLE_ROWS = """
SELECT a.attrelid::regclass::text || '.' || quote_ident(a.attname), format_type(a.atttypid, NULL), a.atttypid
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND (c.relreplident = 'f' OR c.oid::regclass::text = ANY (%s))
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY c.oid::regclass::text, a.attnum
"""

_WITHOUT_EQUALITY = """
WITH RECURSIVE own AS (
    SELECT DISTINCT k.opcintype AS type FROM pg_opclass k JOIN pg_am m ON m.oid = k.opcmethod
    JOIN pg_type t ON t.oid = k.opcintype
    WHERE k.opcdefault AND m.amname IN ('btree', 'hash') AND t.typtype <> 'p'
), parts(whole, part) AS (
    SELECT w, w FROM unnest(%s::oid[]) w
    UNION
    SELECT p.whole, inner_type.part FROM parts p JOIN pg_type t ON t.oid = p.part CROSS JOIN LATERAL (
        SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL
        SELECT t.typelem WHERE t.typelem <> 0 AND t.typlen = -1 AND t.typtype = 'b' AND t.typcategory = 'A'
        UNION ALL
        SELECT a.atttypid FROM pg_attribute a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS inner_type(part) WHERE t.oid NOT IN (SELECT type FROM own)
)
SELECT DISTINCT p.whole FROM parts p JOIN pg_type t ON t.oid = p.part
WHERE t.typtype IN ('b', 'p') AND NOT (t.typelem <> 0 AND t.typlen = -1 AND t.typcategory = 'A')
  AND t.oid NOT IN (SELECT type FROM own)
  AND NOT EXISTS (SELECT FROM pg_cast k JOIN own ON own.type = k.casttarget
                  WHERE k.castsource = t.oid AND k.castmethod = 'b' AND k.castcontext = 'i')
"""
"""Types that hold, however deep (domain, array, composite), one for which `lookup_type_cache` knows no equality:
neither it nor what it is cast to without a change has a default operator class for btree or hash. Enums and ranges
always have one."""


def without_equality(connection: Connection, types: Collection[int]) -> set[int]:
    """Which of these types (oids) the server cannot compare for equality."""
    return {int(row[0]) for row in connection.execute(_WITHOUT_EQUALITY.encode(), (list(types),))}


def incomparable(connection: Connection) -> list[str]:
    """`table.column (type)` that cannot be compared, of tables identified by their whole row, now or once they must be.

    The target looks for the row that was changed by comparing every column of it.
    """
    lacking = [one.table for one in unidentified(connection) if one.full]
    columns = connection.execute(_WHOLE_ROWS.encode(), (lacking,)).fetchall()
    bad = without_equality(connection, {int(oid) for _, _, oid in columns})
    return [f"{name} ({type_name})" for name, type_name, oid in columns if int(oid) in bad]
