"""What must hold on both sides before a replication is begun, and what it will not carry."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import connect, describe, one_line, session
from cutover.postgres.replication.checks import ELSE, listed
from cutover.postgres.replication.identity import unidentified
from cutover.postgres.replication.link import Connection, Link, link_state, published_tables
from cutover.postgres.replication.source_checks import SOURCE_CHECKS
from cutover.postgres.replication.target_checks import TARGET_CHECKS


def check_replication(link: Link) -> list[Finding]:
    """Look at both sides and say what stands in the way of a replication; changes nothing.

    Finding ids: REP-source, REP-target, REP-reach; of the source REP-wal-level, REP-rights, REP-publish, REP-slots,
    REP-senders, REP-wal-kept, REP-identity, REP-comparable, REP-unlogged, REP-large-objects, REP-foreign,
    REP-triggers, REP-ddl; of the target REP-subscribe, REP-workers, REP-role; what is carried another way
    REP-sequences, REP-generated, REP-partitioned, REP-materialised.

    Args:
        link: a side of it that cannot be reached gives an UNKNOWN finding.
    """
    findings: list[Finding] = []
    running = False
    with suppress(DatabaseError):  # said below, for the side that it is
        running = not link_state(link).nothing
    for side, url, checks in (("source", link.source_url, SOURCE_CHECKS), ("target", link.target_url, TARGET_CHECKS)):
        try:
            with session(url) as connection:
                for check in checks:
                    findings += _looked(check, connection, describe(url), running)
        except DatabaseError as error:
            findings.append(
                Finding(
                    f"REP-{side}",
                    f"The {side} can be asked what it allows",
                    Status.UNKNOWN,
                    Severity.BLOCKER,
                    describe(url),
                    observed=error.what,
                    why="Nothing can be said about a database that cannot be reached.",
                    remedy=error.todo,
                )
            )
    findings.append(check_reach(link))
    return findings


def check_reach(link: Link) -> Finding:
    """Whether the target's server reaches the source and may replicate there: asked of the target itself.

    A subscription is made that copies nothing, starts nothing and is rolled back. Finding id: REP-reach.
    """
    title = "The target's server reaches the source and may replicate from it"
    statement = sql.SQL(
        "CREATE SUBSCRIPTION {} CONNECTION {} PUBLICATION {} WITH "
        "(connect = true, create_slot = false, slot_name = NONE, enabled = false, copy_data = false)"
    ).format(sql.Identifier(f"{link.name}_reach"), sql.Literal(link.conninfo), link.identifier)
    status, observed = Status.PASS, "it connected, with the right to replicate"
    try:
        with connect(link.target_url, readonly=False, autocommit=False) as connection:
            connection.execute("SET TRANSACTION READ WRITE")
            connection.execute("SET LOCAL statement_timeout = '30s'")
            try:
                connection.execute(statement)
            finally:
                connection.rollback()
    except DatabaseError as error:
        status, observed = Status.UNKNOWN, error.what
    except psycopg.errors.ConnectionFailure as error:
        status, observed = Status.FAIL, one_line(error, link.source_url)
    except psycopg.Error as error:
        status, observed = Status.UNKNOWN, one_line(error, link.source_url)
    return Finding.check(
        "REP-reach",
        title,
        status,
        severity=Severity.BLOCKER,
        subject=describe(link.target_url),
        expected="a replication connection from the target's server",
        observed=observed,
        why="The target fetches the rows itself: what this machine reaches does not help it.",
        remedy="Let the target's subnets out to the source's port (NAT gateway, security group, pg_hba.conf), give the "
        f"source's role the right to replicate, set `source.replication_url` where the target needs another address; "
        f"{ELSE}.",
    )


def _looked(check: Any, connection: Connection, subject: str, running: bool) -> list[Finding]:
    """What a check found; a check that raises is UNKNOWN, not an end of all checks."""
    try:
        return [check(connection, subject, running)]
    except psycopg.Error as error:
        name = check.__name__.removeprefix("check").strip("_").replace("_", "-")
        title = str(check.__doc__).split("\n", 1)[0].rstrip(".")
        return [Finding(f"REP-{name}", title, Status.UNKNOWN, Severity.HIGH, subject, observed=one_line(error))]


def refused(link: Link) -> list[str]:
    """What would hurt the live source if it were published now, in words; [] when it may be."""
    with session(link.source_url) as connection:
        found = unidentified(connection)
        tables = published_tables(connection)
    said = [f"no replica identity: {listed([f'{one.table} ({one.why})' for one in found])}"] if found else []
    return said if tables else [*said, "the source has no table to publish"]
