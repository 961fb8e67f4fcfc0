"""What must hold before a dump is taken: versions, extensions, rights, room, and what a restore would stumble over."""

from __future__ import annotations

from typing import Any

import psycopg

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import describe, parameters, session
from cutover.postgres.facts import ServerFacts, server_facts
from cutover.postgres.tools import find_tools
from cutover.postgres.transfer import unfinished_restore

Connection = psycopg.Connection[Any]

_USER = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover_restore')"


def preflight(source_url: str, target_url: str, *, jobs: int = 2) -> list[Finding]:
    """Look at both databases and say what stands in the way of a transfer; changes nothing.

    Finding ids: PRE-source, PRE-target (reached, and what they are), PRE-versions, PRE-tools, PRE-encoding,
    PRE-collation, PRE-extensions, PRE-roles, PRE-target-empty, PRE-connections-SIDE, PRE-tls-SIDE, PRE-pooler,
    PRE-readable, PRE-hidden-rows, PRE-long-transactions, PRE-prepared, PRE-invalid-indexes, PRE-not-valid, PRE-slots,
    PRE-unlogged; SIDE is source or target.

    Args:
        source_url, target_url: the databases; one that cannot be reached gives an UNKNOWN finding.
        jobs: sessions that the transfer and the comparison will open on each side.
    """
    findings: list[Finding] = []
    facts: dict[str, ServerFacts] = {}
    for side, url in (("source", source_url), ("target", target_url)):
        try:
            facts[side] = server_facts(url)
        except DatabaseError as error:
            findings.append(
                Finding(
                    id=f"PRE-{side}",
                    title=f"The {side} database answers",
                    status=Status.UNKNOWN,
                    severity=Severity.BLOCKER,
                    subject=describe(url),
                    observed=error.what,
                    why="Nothing can be said about a database that cannot be reached.",
                    remedy=error.todo,
                )
            )
            continue
        findings.append(_reached(side, facts[side]))
        findings += [_connections(side, facts[side], jobs), _tls(side, url, facts[side])]
    if "source" in facts:
        findings += [_tools(facts["source"]), _pooler(source_url)]
        with session(source_url) as connection:
            findings += [_look(connection, facts["source"], *check) for check in _SOURCE_CHECKS]
    if len(facts) == 2:
        findings += _both(facts["source"], facts["target"], source_url, target_url)
    return findings


def _reached(side: str, facts: ServerFacts) -> Finding:
    return Finding(
        id=f"PRE-{side}",
        title=f"The {side} database answers",
        status=Status.PASS,
        severity=Severity.BLOCKER,
        subject=facts.described,
        observed=f"PostgreSQL {facts.version}, {facts.size_bytes / 2**20:,.1f} MiB, {facts.tables} tables, "
        f"about {facts.rows_estimated:,} rows, as {facts.user}",
        data={"major": facts.major, "bytes": facts.size_bytes, "tables": facts.tables},
    )


def _both(source: ServerFacts, target: ServerFacts, source_url: str, target_url: str) -> list[Finding]:
    newer = target.major >= source.major
    findings = [
        Finding(
            id="PRE-versions",
            title="The target's PostgreSQL is at least as new as the source's",
            status=Status.PASS if newer else Status.FAIL,
            severity=Severity.BLOCKER,
            subject=target.described,
            expected=f"at least {source.major}",
            observed=target.version,
            why="" if newer else "A dump does not restore into an older major.",
            remedy="" if newer else f"Create the target with engine version {source.major} or newer.",
        ),
        _same(
            "encoding", "encoding", source.encoding, target.encoding, target, "Text may not fit, or change its bytes."
        ),
        _same(
            "collation",
            "collation",
            f"{source.collation} ({source.provider})",
            f"{target.collation} ({target.provider})",
            target,
            "Sort order and what unique indexes hold equal may differ.",
        ),
    ]
    with session(source_url) as ours, session(target_url) as theirs:
        findings.append(_extensions(source, target, theirs))
        findings.append(_roles(ours, theirs, target))
        unfinished = unfinished_restore(theirs)
        objects = theirs.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
            f"WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {_USER} AND NOT EXISTS (SELECT FROM pg_depend d "
            "WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
        ).fetchone()
    count = int(objects[0]) if objects else 0
    empty = count == 0 and unfinished is None
    findings.append(
        Finding(
            id="PRE-target-empty",
            title="The target database is empty",
            status=Status.PASS if empty else Status.FAIL,
            severity=Severity.HIGH,
            subject=target.described,
            expected="no table, view or sequence",
            observed=f"{count} relations" + ("; the mark of a restore that did not end well" if unfinished else ""),
            why="" if empty else "A restore over existing objects mixes two states; it will be refused.",
            remedy="" if empty else "Drop and create the target database again once nothing in it is needed.",
        )
    )
    return findings


def _same(key: str, word: str, ours: str, theirs: str, target: ServerFacts, why: str) -> Finding:
    same = ours == theirs
    return Finding(
        id=f"PRE-{key}",
        title=f"Both databases have the same {word}",
        status=Status.PASS if same else Status.FAIL,
        severity=Severity.BLOCKER if key == "encoding" else Severity.MEDIUM,
        subject=target.described,
        expected=ours,
        observed=theirs,
        why="" if same else why,
        remedy="" if same else "CREATE DATABASE … TEMPLATE template0 ENCODING … LOCALE …; as the source has them.",
    )


def _extensions(source: ServerFacts, target: ServerFacts, connection: Connection) -> Finding:
    offered = {str(row[0]) for row in connection.execute("SELECT name FROM pg_available_extensions")}
    absent = sorted(source.extensions.keys() - offered)
    return Finding(
        id="PRE-extensions",
        title="The target offers every extension that the source uses",
        status=Status.FAIL if absent else Status.PASS,
        severity=Severity.BLOCKER,
        subject=target.described,
        expected=", ".join(f"{name} {version}" for name, version in sorted(source.extensions.items())),
        observed=f"not offered: {', '.join(absent)}" if absent else "all are offered",
        why="Tables that use its types cannot be restored, and their rows are lost." if absent else "",
        remedy="Install it, choose an engine version that has it, or take it out of the source." if absent else "",
    )


def _roles(ours: Connection, theirs: Connection, target: ServerFacts) -> Finding:
    needed = {
        str(row[0])
        for row in ours.execute(
            "SELECT DISTINCT r.rolname FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid WHERE d.dbid = (SELECT "
            "oid FROM pg_database WHERE datname = current_database()) AND d.refclassid = 'pg_authid'::regclass"
        )
    }
    there = {str(row[0]) for row in theirs.execute("SELECT rolname FROM pg_roles")}
    absent = sorted(needed - there)
    return Finding(
        id="PRE-roles",
        title="The roles that own objects or hold grants exist on the target",
        status=Status.FAIL if absent else Status.PASS,
        severity=Severity.MEDIUM,
        subject=target.described,
        expected=", ".join(sorted(needed)) or "none needed",
        observed=f"missing: {', '.join(absent)}" if absent else "all exist",
        why="Ownership and grants of these roles cannot be restored." if absent else "",
        remedy="\n".join(f'CREATE ROLE "{name}" LOGIN;' for name in absent),
    )


def _connections(side: str, facts: ServerFacts, jobs: int) -> Finding:
    free, needed = facts.max_connections - facts.used_connections - 3, jobs * 2 + 2
    enough = free >= needed
    return Finding(
        id=f"PRE-connections-{side}",
        title=f"The {side} has connections to spare",
        status=Status.PASS if enough else Status.FAIL,
        severity=Severity.HIGH,
        subject=facts.described,
        expected=f"at least {needed} free",
        observed=f"{free} of {facts.max_connections} free",
        why="" if enough else "The transfer would be refused in its middle.",
        remedy="" if enough else "Close idle sessions, lower `jobs`, or raise max_connections.",
    )


def _tls(side: str, url: str, facts: ServerFacts) -> Finding:
    host = parameters(url).get("host", "localhost")
    local = host.startswith(("127.", "/")) or host in ("localhost", "::1")
    status = Status.PASS if facts.tls else Status.NOT_APPLICABLE if local else Status.FAIL
    return Finding(
        id=f"PRE-tls-{side}",
        title=f"The connection to the {side} is encrypted",
        status=status,
        severity=Severity.HIGH,
        subject=facts.described,
        expected="TLS",
        observed=facts.tls or "no TLS",
        why="The server is on this machine." if status is Status.NOT_APPLICABLE else "",
        remedy="Add sslmode=verify-full and sslrootcert to the URL." if status is Status.FAIL else "",
    )


def _pooler(url: str) -> Finding:
    known = parameters(url)
    pooled = "-pooler" in known.get("host", "") or known.get("port") == "6432"
    return Finding(
        id="PRE-pooler",
        title="The source is reached directly, not through a connection pooler",
        status=Status.FAIL if pooled else Status.PASS,
        severity=Severity.HIGH,
        subject=describe(url),
        expected="the server's own address",
        observed=f"{known.get('host', '')}:{known.get('port', '5432')}",
        why="A pooler mixes sessions, so a snapshot cannot be held and settings leak." if pooled else "",
        remedy="Take `-pooler` out of the host name, or use the server's own port." if pooled else "",
    )


def _tools(source: ServerFacts) -> Finding:
    title = "pg_dump and pg_restore are new enough for the source"
    try:
        tools = find_tools(source.major)
    except DatabaseError as error:
        return Finding(
            "PRE-tools", title, Status.MISSING, Severity.BLOCKER, observed=error.what, why=error.why, remedy=error.todo
        )
    return Finding(
        "PRE-tools",
        title,
        Status.PASS,
        Severity.BLOCKER,
        expected=f"at least {source.major}",
        observed=tools.version,
    )


_SOURCE_CHECKS: tuple[tuple[str, str, Severity, str, str, str], ...] = (
    (
        "readable",
        "We may read every table of the source",
        Severity.BLOCKER,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind IN ('r', 'p', 'm', 'S') AND c.relpersistence <> 't' AND {_USER} "
        "AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') "
        "ELSE has_table_privilege(c.oid, 'SELECT') END ORDER BY 1",
        "pg_dump stops at the first table that it may not read.",
        "Connect as the owner, or GRANT SELECT on what is named.",
    ),
    (
        "hidden-rows",
        "No row-level security policy hides rows from us",
        Severity.BLOCKER,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relrowsecurity AND row_security_active(c.oid) AND {_USER} ORDER BY 1",
        "Rows that we cannot see would be lost; pg_dump refuses such a table.",
        "Connect as the tables' owner, or as a role with BYPASSRLS.",
    ),
    (
        "long-transactions",
        "No transaction has been open for more than five minutes",
        Severity.MEDIUM,
        "SELECT format('pid %s, %s, since %s', pid, usename, date_trunc('second', xact_start)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - interval '5 minutes'",
        "What it writes is not in the dump, and it may hold locks that the dump waits for.",
        "Let it end, or SELECT pg_terminate_backend(pid).",
    ),
    (
        "prepared",
        "No prepared transaction is waiting",
        Severity.HIGH,
        "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()",
        "Its writes are in no dump, and may be committed at any time later.",
        "COMMIT PREPARED '…' or ROLLBACK PREPARED '…'.",
    ),
    (
        "invalid-indexes",
        "Every index is valid",
        Severity.MEDIUM,
        "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid OR NOT indisready ORDER BY 1",
        "A restore builds it anew as a valid one, or fails when its rows are not unique.",
        "REINDEX INDEX CONCURRENTLY …, or drop it.",
    ),
    (
        "not-valid",
        "Every constraint is validated",
        Severity.MEDIUM,
        "SELECT conrelid::regclass::text || '.' || quote_ident(conname) FROM pg_constraint WHERE NOT convalidated",
        "Existing rows may break it; it is restored as NOT VALID.",
        "ALTER TABLE … VALIDATE CONSTRAINT …, or accept it.",
    ),
    (
        "slots",
        "No replication slot is orphaned",
        Severity.MEDIUM,
        "SELECT slot_name::text FROM pg_replication_slots WHERE NOT active",
        "An inactive slot keeps the write-ahead log until the disk is full.",
        "SELECT pg_drop_replication_slot('…').",
    ),
    (
        "unlogged",
        "No table is unlogged",
        Severity.LOW,
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "  # noqa: S608
        f"WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {_USER} ORDER BY 1",
        "Its rows are lost at a crash and are not on a replica.",
        "ALTER TABLE … SET LOGGED, if its rows matter.",
    ),
)
"""Checks of the source: id, title, severity, a query that names offenders, why they matter, what to do."""


def _look(
    connection: Connection,
    facts: ServerFacts,
    key: str,
    title: str,
    severity: Severity,
    query: str,
    why: str,
    remedy: str,
) -> Finding:
    try:
        names = [str(row[0]) for row in connection.execute(query)]
    except psycopg.Error as error:
        words = " ".join(str(error).split())
        return Finding(f"PRE-{key}", title, Status.UNKNOWN, severity, facts.described, "none", words, "Not readable.")
    return Finding(
        id=f"PRE-{key}",
        title=title,
        status=Status.FAIL if names else Status.PASS,
        severity=severity,
        subject=facts.described,
        expected="none",
        observed=", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") or "none",
        why=why if names else "",
        remedy=remedy if names else "",
        data={"count": len(names)} if names else {},
    )
