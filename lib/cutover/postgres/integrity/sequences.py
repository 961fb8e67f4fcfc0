"""Sequences against the data that they number: one that stands behind hands out a number that exists already."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg import sql

from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import describe, one_line, session
from cutover.postgres.transfer import MARKER

_FED = """
SELECT DISTINCT n.nspname, s.relname, tn.nspname, t.relname, a.attname, q.seqincrement,
       quote_ident(tn.nspname) || '.' || quote_ident(t.relname)
FROM (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND d.refobjsubid > 0
    UNION SELECT d.refobjid, f.adrelid, f.adnum FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
) fed
JOIN pg_sequence q ON q.seqrelid = fed.sequence
JOIN pg_class s ON s.oid = fed.sequence JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_class t ON t.oid = fed.relation AND t.relkind IN ('r', 'p') AND NOT t.relispartition
JOIN pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = fed.number AND NOT a.attisdropped
WHERE a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
  AND s.relpersistence <> 't' AND n.nspname <> %s
ORDER BY 1, 2, 3, 4, 5
"""
"""Sequences and the integer columns that they feed: owned by, identity, or named in a default."""


def check_sequences(url: str, *, tables: Collection[str] | None = None) -> list[Finding]:
    """Compare where every sequence stands with the largest (smallest, when it counts down) value in its columns.

    Args:
        url: the database.
        tables: only those that feed these tables (`public.users`, quoted where it must be); all by default.

    Finding ids: INT-sequences over all, INT-sequence:NAME for each that lags or cannot be read.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    findings: list[Finding] = []
    with session(url) as connection:
        fed = connection.execute(_FED, (MARKER,)).fetchall()
        if tables is not None:
            fed = [row for row in fed if row[6] in tables]
        for row in fed:
            finding = _check(connection, row, describe(url))
            if finding is not None:
                findings.append(finding)
    lagging = sum(f.status is Status.FAIL for f in findings)
    unknown = len(findings) - lagging
    status = Status.FAIL if lagging else Status.UNKNOWN if unknown else Status.PASS
    summary = Finding.check(
        "INT-sequences",
        "Every sequence stands beyond the values in its columns",
        status,
        severity=Severity.BLOCKER,
        subject=describe(url),
        expected="the next value is new to its column",
        observed=f"{len(fed) - len(findings)} of {len(fed)} stand beyond; {lagging} lag, {unknown} could not be read",
        why="The first insert after the cutover would fail on a duplicate key, or store a number twice.",
        remedy="\n".join(f.remedy for f in findings if f.remedy),
        data={"sequences": len(fed), "lagging": lagging},
    )
    return [summary, *findings]


def _check(connection: psycopg.Connection[Any], row: tuple[Any, ...], subject: str) -> Finding | None:
    schema, name, table_schema, table, column, increment, _ = row
    sequence = sql.Identifier(schema, name)
    query = sql.SQL(
        "SELECT s.last_value, s.is_called, (SELECT {extreme}(t.{column}) FROM {table} t), {literal}::regclass::text, "
        "{relation}::regclass::text FROM {sequence} s"
    ).format(
        extreme=sql.SQL("max" if increment > 0 else "min"),
        column=sql.Identifier(column),
        table=sql.Identifier(table_schema, table),
        literal=sql.Literal(sequence.as_string(None)),
        relation=sql.Literal(sql.Identifier(table_schema, table).as_string(None)),
        sequence=sequence,
    )
    try:
        answer = connection.execute(query).fetchone()
    except psycopg.Error as error:
        return Finding(
            id=f"INT-sequence:{schema}.{name}",
            title=f"Sequence {schema}.{name} stands beyond {table_schema}.{table}.{column}",
            status=Status.UNKNOWN,
            severity=Severity.BLOCKER,
            subject=subject,
            observed=one_line(error),
            why="The sequence or its table could not be read.",
            remedy="Connect as the owner of the database, or grant SELECT on both.",
        )
    if answer is None or answer[2] is None:
        return None
    last, called, extreme, quoted, relation = answer
    upcoming = last + increment if called else last
    beyond = upcoming > extreme if increment > 0 else upcoming < extreme
    if beyond:
        return None
    return Finding(
        id=f"INT-sequence:{quoted}",
        title=f"Sequence {quoted} stands beyond {relation}.{column}",
        status=Status.FAIL,
        severity=Severity.BLOCKER,
        subject=subject,
        expected=f"a next value beyond {extreme}",
        observed=f"the next value is {upcoming}",
        why="The first insert after the cutover would fail on a duplicate key, or store a number twice.",
        remedy=f"SELECT setval({sql.Literal(quoted).as_string(None)}, {extreme});",
        data={"next": int(upcoming), "extreme": int(extreme)},
    )
