"""Audit mode: one SHA-256 for each table that anybody can compute again with psql and sha256sum.

Sums of short hashes are ample against accident, not against somebody who chooses rows so that the sums agree. Here each
server gives the SHA-256 of every row's text, in order, by COPY, and the SHA-256 of that stream stands for the table:
whoever finds other rows with the same number has broken SHA-256. It costs a sort on both servers and 65 bytes of
network for each row, and it does not say which rows differ: `compare` does.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.files import write_json
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import describe
from cutover.postgres.integrity.findings import row_findings
from cutover.postgres.integrity.load_limits import LoadLimits
from cutover.postgres.integrity.matching import SIDES, match
from cutover.postgres.integrity.opening import open_database, refuse_itself, refuse_unmatched
from cutover.postgres.integrity.reading import Connection, Counter, Database, SessionPool, said
from cutover.postgres.integrity.relations import Relation
from cutover.postgres.integrity.results import Comparison, TableComparison
from cutover.postgres.integrity.rewritten import rewritten_since
from cutover.postgres.integrity.rowhash import row_sha256
from cutover.postgres.integrity.selection import Selection, left_out
from cutover.progress import Listener


def audit(
    source_url: str,
    target_url: str,
    *,
    jobs: int = 2,
    evidence: Path | None = None,
    progress: Listener | None = None,
    selection: Selection | None = None,
    load_limits: LoadLimits | None = None,
) -> Comparison:
    """Compare every table by a SHA-256 over the sorted SHA-256 of its rows.

    Args:
        source_url, target_url: the databases; each is read at one exported snapshot.
        jobs: tables that are read at the same time, each on both sides.
        evidence: a folder for `audit.json`: by table the rows, both numbers, and the command that computes them again.
        progress: told of every table.
        selection: what to compare; everything by default.
        load_limits: what it allows itself on both servers.

    Raises:
        DatabaseError: a side cannot be reached; or both are one database.
        UsageError: a pattern of the selection fits nothing on either side.
    """
    clock = time.monotonic()
    chosen, load_limits = selection or Selection(), load_limits or LoadLimits()
    with ExitStack() as stack:
        source = open_database(stack, source_url, "source", selection=chosen, load_limits=load_limits)
        target = open_database(stack, target_url, "target", selection=chosen, load_limits=load_limits)
        refuse_itself(source.server, target.server, describe(target_url))
        refuse_unmatched(source.unmatched, target.unmatched)
        sides = (source.database, target.database)
        found = match(sides[0].relations, sides[1].relations)
        sums: dict[str, dict[str, str]] = {name: {} for name in found.tables}
        work = deque((name, side) for name in found.shapes for side in sides if name in side.relations)
        count, crew = Counter("audit", "tables", progress, total=len(work)), SessionPool()

        def read() -> None:
            while not crew.stopping.is_set():
                try:
                    name, side = work.popleft()
                except IndexError:
                    return
                _one(found.tables[name], side, found.shapes[name].columns, sums[name], crew)
                count.step(name)

        crew.together([read] * min(max(1, jobs) * 2, len(work)))
        for side in sides:
            for name, why in rewritten_since(side.url, [r for n, r in side.relations.items() if sums[n]]).items():
                found.tables[name].not_compared = f"on the {side.where}: {why}"
        commands = {name: _command(sides[0].relations.get(name), s.columns) for name, s in found.shapes.items()}
    for name, table in found.tables.items():
        if len(set(sums[name].values())) > 1 and not table.not_compared:
            table.unlocated = "its SHA-256 differs: compare it to find the rows"
    tables = [found.tables[name] for name in sorted(found.tables)]
    subject = describe(target_url)
    doubts = "; ".join(filter(None, (source.server.doubts, target.server.doubts)))
    findings = row_findings(
        tables, describe(source_url), subject, doubts, chosen="" if chosen.everything else str(chosen)
    )
    omitted = sorted({*source.left_out, *target.left_out})
    kept = evidence / "audit.json" if evidence else None
    result = Comparison(
        findings=[_summary(tables, sums, subject, str(kept or "")), *findings, *left_out(chosen, omitted, subject)],
        tables=tables,
        seconds=time.monotonic() - clock,
        source=sides[0].snapshot.to_dict(),
        target=sides[1].snapshot.to_dict(),
        algorithm="SHA-256 over the sorted SHA-256 of the rows",
        left_out=tuple(omitted),
    )
    if kept:
        each = {t.name: {"rows": t.source_rows, **sums[t.name], "again": commands.get(t.name, "")} for t in tables}
        write_json(kept, result.to_dict() | {"sha256": each})
    return result


def _one(
    table: TableComparison, side: Database, columns: tuple[str, ...], sums: dict[str, str], crew: SessionPool
) -> None:
    connection: Connection | None = None
    clock = time.monotonic()
    try:
        connection = crew.enter(side.join())
        side.brake.wait(connection, crew.stopping)
        digest, rows = hashlib.sha256(), 0
        query = sql.SQL("COPY ({}) TO STDOUT").format(_query(side.relations[table.name], columns))
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(query) as stream:
            for block in stream:
                digest.update(block)
                rows += bytes(block).count(b"\n")
    except (psycopg.Error, DatabaseError) as error:
        table.not_compared = f"on the {side.where} it could not be read: {said(error, side.url)}"
        return
    finally:
        crew.leave(connection)
    sums[side.where] = digest.hexdigest()
    table.seconds += time.monotonic() - clock
    if side.where == SIDES[0]:
        table.source_rows = rows
    else:
        table.target_rows = rows


def _query(relation: Relation, columns: tuple[str, ...]) -> sql.Composable:
    value = row_sha256(relation, columns)
    reads = [sql.SQL("SELECT {} AS x FROM ONLY {} t").format(value, leaf.identifier) for leaf in relation.leaves]
    # In byte order, so that no collation has a say.
    return sql.SQL('SELECT x FROM ({}) q ORDER BY x COLLATE "C"').format(sql.SQL(" UNION ALL ").join(reads))


def _command(relation: Relation | None, columns: tuple[str, ...]) -> str:
    """How to compute the number again, with the settings that `connection.PINNED` names."""
    if relation is None or not relation.leaves:
        return ""
    return f"COPY ({_query(relation, columns).as_string(None)}) TO STDOUT  -- in psql -AtX, piped to sha256sum"


def _summary(tables: list[TableComparison], sums: dict[str, dict[str, str]], subject: str, kept: str) -> Finding:
    both = [name for name, pair in sums.items() if len(pair) == len(SIDES)]
    alike = [name for name in both if len(set(sums[name].values())) == 1]
    judged = [table for table in tables if not table.advisory]
    whole = judged and all(table.identical for table in judged)
    status = Status.PASS if whole else Status.FAIL if len(alike) < len(both) else Status.NOT_COMPARED
    everything = hashlib.sha256("".join(f"{n} {sums[n].get('source', '-')}\n" for n in sorted(sums)).encode())
    return Finding.check(
        "INT-audit",
        "Every table has the same SHA-256 on both sides",
        status,
        severity=Severity.BLOCKER,
        subject=subject,
        expected=f"{len(judged)} tables",
        observed=f"{len(alike)} of {len(sums)} have; the source's numbers together: sha256:{everything.hexdigest()}",
        why="What differs, or was not read, is named below.",
        remedy="Run the comparison: it names the rows.",
        evidence=(kept,) if kept else (),
    )
