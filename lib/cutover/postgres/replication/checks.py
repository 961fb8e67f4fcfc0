"""What the checks of a replication's two sides share: a query, its answer as a finding, the way out."""

from __future__ import annotations

from typing import Any

from cutover.finding import Finding, Severity, Status
from cutover.postgres.replication.link import Connection

ELSE = "or take the other way: set `transfer: dump` in the parameters"
USERS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover_restore')"
NOT_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid "
    "AND d.deptype = 'e')"
)


def one(connection: Connection, query: str) -> tuple[Any, ...]:
    """The one row of a query."""
    row = connection.execute(query.encode()).fetchone()
    assert row is not None  # noqa: S101 - queries of one row
    return tuple(row)


def names_of(connection: Connection, query: str) -> list[str]:
    """The first column of a query, as text."""
    return [str(row[0]) for row in connection.execute(query.encode())]


def listed(names: list[str], most: int = 12) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def told(key: str, title: str, subject: str, observed: str) -> Finding:
    """What is carried another way: said, and judged nowhere."""
    return Finding(f"REP-{key}", title, Status.NOT_APPLICABLE, Severity.LOW, subject, observed=observed)
