"""A check that is one query: it names offenders, and none is good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import one_line

Connection = psycopg.Connection[Any]

USER = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover_restore')"
"""Schemas of an application, where `n` is pg_namespace."""

_NAMED = 12


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that should not be there.

    Attributes:
        key: the finding's id without `PRE-`.
        title: what is claimed.
        severity: how serious it is.
        query: its first column names the offenders.
        why, remedy: what they cost and what to do; `{}` in the remedy is the first offender.
    """

    key: str
    title: str
    severity: Severity
    query: str
    why: str
    remedy: str


def look(connection: Connection, subject: str, check: Look, suffix: str = "") -> Finding:
    """Run one check. What cannot be asked is UNKNOWN, with the server's words.

    Args:
        connection: to the database, in autocommit.
        subject: what it is called in the finding.
        check: what to look for.
        suffix: of the finding's id, `-target` say.
    """
    try:
        names = [str(row[0]) for row in connection.execute(check.query.encode()).fetchall()]
    except psycopg.Error as error:
        return Finding(
            f"PRE-{check.key}{suffix}",
            check.title,
            Status.UNKNOWN,
            check.severity,
            subject,
            "none",
            "not readable",
            one_line(error),
            "Connect as a role that may read it, such as a member of pg_read_all_settings and pg_monitor.",
        )
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return Finding.check(
        f"PRE-{check.key}{suffix}",
        check.title,
        names,
        severity=check.severity,
        subject=subject,
        expected="none",
        observed=", ".join(names[:_NAMED]) + more or "none",
        why=check.why,
        remedy=check.remedy.replace("{}", "".join(names[:1])),
        data={"count": len(names), "names": names[:200]} if names else {},
    )
