"""What the comparison of rows says, in findings: one for each relation and one over all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cutover.finding import Finding, Severity, Status

if TYPE_CHECKING:
    from cutover.postgres.integrity.results import TableComparison


def row_findings(
    tables: Sequence[TableComparison],
    source: str,
    target: str,
    doubts: str = "",
    evidence: str = "",
    chosen: str = "",
) -> list[Finding]:
    """The findings over all relations: `INT-rows` first, then `INT-rows:NAME` for each, what differs before the rest.

    Args:
        tables: what was compared.
        source, target: `user@host:port/database`.
        doubts: what is doubtful about how the servers print values; empty when nothing is.
        evidence: the file with all differing rows, if there is one.
        chosen: what was chosen to be compared; empty when that is everything.
    """
    each = [_table(table, source, target, evidence) for table in tables]
    each.sort(key=lambda finding: finding.status is Status.PASS)
    findings = [_summary(tables, each, target, evidence, chosen)]
    if doubts:
        findings.append(
            Finding(
                id="INT-printing",
                title="Both servers print values in the known way",
                status=Status.UNKNOWN,
                severity=Severity.BLOCKER,
                subject=target,
                observed=doubts,
                why="Rows are compared by the text of their values, so one that prints otherwise cannot be judged.",
                remedy="Compare with algorithm sha256 on servers of PostgreSQL 14 or newer; report the text above.",
            )
        )
    return [*findings, *each]


def _table(table: TableComparison, source: str, target: str, evidence: str) -> Finding:
    status, severity = _status(table), Severity.LOW if table.advisory else Severity.BLOCKER
    counts = f"{_count(table.source_rows)} rows on the source, {_count(table.target_rows)} on the target"
    observed = counts
    if table.missing or table.extra or table.different:
        observed += f": {table.missing:,} missing, {table.extra:,} extra, {table.different:,} different"
        if table.differing_columns:
            observed += " (in " + ", ".join(f"{c}: {n:,}" for c, n in list(table.differing_columns.items())[:8]) + ")"
        named = "; ".join(str(example) for example in table.examples)
        observed += f". First: {named}" if named else ""
    if table.unlocated:
        observed += f". {table.unlocated[0].upper()}{table.unlocated[1:]}"
    if table.not_compared:
        observed += f". Not compared: {table.not_compared}"
    return Finding(
        id=f"INT-rows:{table.name}",
        title=_title(table),
        status=status,
        severity=severity,
        subject=target,
        expected=f"the same {_count(table.source_rows)} rows as on {source}",
        observed=observed,
        why=_why(table, status),
        remedy=_remedy(table, status),
        evidence=(evidence,) if evidence and table.examples else (),
        data={
            "rows_source": table.source_rows,
            "rows_target": table.target_rows,
            "missing": table.missing,
            "extra": table.extra,
            "different": table.different,
            "seconds": round(table.seconds, 4),
        },
    )


def _status(table: TableComparison) -> Status:
    if table.differs:
        return Status.FAIL
    if table.kind == "foreign table" and table.source_rows is None and not table.absent:
        return Status.NOT_APPLICABLE
    if table.identical:
        return Status.PASS
    if table.absent:
        return Status.MISSING if table.absent == "target" else Status.FAIL
    # NOT_COMPARED always closes the gate, which contents that are made anew must not.
    return Status.UNKNOWN if table.advisory else Status.NOT_COMPARED


def _title(table: TableComparison) -> str:
    if table.kind == "large objects":
        return "Large objects are the same on both sides"
    text = f"{table.kind} {table.name} holds the same rows on both sides"
    return text[0].upper() + text[1:]


def _why(table: TableComparison, status: Status) -> str:
    if status is Status.PASS:
        return ""
    if table.kind == "materialized view":
        return (
            "A restore fills materialised views anew from their tables, so they may differ from stale ones: advisory."
        )
    if table.kind == "foreign table":
        return "A foreign table holds no rows of its own."
    if table.kind == "extension table":
        return "An extension owns this table and fills it itself: advisory."
    if status is Status.NOT_COMPARED:
        return "What was not compared may be lost, and nobody would know."
    if status is Status.MISSING:
        return "All of its rows are lost."
    return "Data was lost, added or changed on the way." if table.source_rows is not None else "Nobody sent it there."


def _remedy(table: TableComparison, status: Status) -> str:
    if status is Status.PASS:
        return ""
    if table.kind == "materialized view":
        return f"REFRESH MATERIALIZED VIEW {table.name};  -- on both sides, then compare again"
    if status in (Status.NOT_COMPARED, Status.UNKNOWN):
        return f"Fix what is named ({table.not_compared[:200]}), then compare again."
    look = ""
    first = next((example for example in table.examples if example.key), None)
    if first is not None:
        where = " AND ".join(f"\"{k}\" = '{v}'" for k, v in first.key.items())
        look = f"Look at one on both sides:\n  SELECT * FROM {table.name} WHERE {where};\n"  # noqa: S608 - words
    # pg_restore takes names as they are, without SQL's quotes.
    schema, _, name = (part.strip('"').replace('""', '"') for part in table.name.rpartition("."))
    again = (
        f"Load the table again from a dump that was taken while writes were refused:\n"
        f"  TRUNCATE {table.name};  -- refused where other tables refer to it: then add CASCADE, and load those too\n"
        f"  pg_restore --data-only --schema={schema} --table={name} --dbname=TARGET DUMP/archive"
    )
    if status is Status.MISSING:
        again = f"pg_restore --schema={schema} --table={name} --no-owner --dbname=TARGET DUMP/archive"
    return look + again


def _summary(
    tables: Sequence[TableComparison], each: Sequence[Finding], target: str, evidence: str, chosen: str
) -> Finding:
    judged = [f for f, advisory in ((f, f.severity is Severity.LOW) for f in each) if not advisory]
    wrong = [f for f in judged if f.status in (Status.FAIL, Status.MISSING)]
    open_ones = [f for f in judged if f.status in (Status.NOT_COMPARED, Status.UNKNOWN)]
    whole = [table for table in tables if not table.advisory]
    rows = sum(table.source_rows or 0 for table in whole if table.target_rows is not None)
    status = Status.FAIL if wrong else Status.NOT_COMPARED if open_ones else Status.PASS
    if not whole:
        status = Status.UNKNOWN
    lost, extra, changed = (sum(getattr(t, name) for t in whole) for name in ("missing", "extra", "different"))
    observed = f"chosen: {chosen}; " if chosen else ""
    observed += f"{sum(t.identical for t in whole)} of {len(whole)} tables identical, {rows:,} rows compared"
    counts = ((lost, "missing"), (extra, "extra"), (changed, "different"))
    told = [f"{number:,} {word}" for number, word in counts if number]
    observed += f"; rows: {', '.join(told)}" if told else ""
    observed += f"; {len(open_ones)} not compared" if open_ones else ""
    why = "Named below: " + ", ".join(f.id.removeprefix("INT-rows:") for f in (wrong or open_ones)[:12])
    if status is Status.UNKNOWN:
        why = "Nothing on either side is what was chosen" if chosen else "There is no table on either side"
        why += ", so nothing was compared."
    return Finding.check(
        "INT-rows",
        "Every row of every chosen table has arrived" if chosen else "Every row of every table has arrived",
        status,
        severity=Severity.BLOCKER,
        subject=target,
        expected=f"{len(whole)} tables identical",
        observed=observed,
        why=why,
        remedy="What is wrong is named table by table (INT-rows:TABLE), each with what fixes it.",
        evidence=(evidence,) if evidence else (),
        data={"tables": len(whole), "rows": rows, "missing": lost, "extra": extra, "different": changed},
    )


def _count(rows: int | None) -> str:
    return "unknown" if rows is None else f"{rows:,}"
