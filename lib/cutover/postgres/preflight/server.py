"""Each side by itself: reached, how, with what rights, with how many connections to spare."""

from __future__ import annotations

import psycopg

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.connection import READ_ONLY, describe, one_line, parameters, start_up
from cutover.postgres.facts import ServerFacts
from cutover.postgres.preflight.query_checks import Connection
from cutover.text import size

_KEPT = 3
_BY_NAME = ("require", "verify-ca", "verify-full")


def reached(side: str, facts: ServerFacts) -> Finding:
    """`PRE-source`, `PRE-target`: what it is."""
    return Finding(
        id=f"PRE-{side}",
        title=f"The {side} database answers",
        status=Status.PASS,
        severity=Severity.BLOCKER,
        subject=facts.described,
        observed=f"PostgreSQL {facts.version}, {size(facts.size_bytes)}, {facts.tables} tables, "
        f"about {facts.rows_estimated:,} rows, as {facts.user}",
        data={"major": facts.major, "bytes": facts.size_bytes, "tables": facts.tables},
    )


def not_reached(side: str, url: str, error: DatabaseError) -> Finding:
    """The same when nobody answers."""
    return Finding(
        id=f"PRE-{side}",
        title=f"The {side} database answers",
        status=Status.UNKNOWN,
        severity=Severity.BLOCKER,
        subject=describe(url),
        observed=error.what,
        why="Nothing can be said about a database that cannot be reached.",
        remedy=error.todo,
    )


def connections(side: str, facts: ServerFacts, connection: Connection, jobs: int) -> Finding:
    """`PRE-connections-SIDE`: of the server, of the database and of the role, whichever is the least."""
    row = connection.execute(
        "SELECT d.datconnlimit, r.rolconnlimit, current_setting('reserved_connections', true)::int, "
        "(SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid), "
        "(SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid) "
        "FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = session_user"
    ).fetchone()
    of_database, of_role, reserved, in_database, as_role = row or (-1, -1, 0, 0, 0)
    limits = {"max_connections": (facts.max_connections - _KEPT - int(reserved or 0), facts.used_connections)}
    if of_database >= 0:
        limits["the database's CONNECTION LIMIT"] = (int(of_database), int(in_database))
    if of_role >= 0:
        limits[f"the CONNECTION LIMIT of {facts.user}"] = (int(of_role), int(as_role))
    which, (limit, used) = min(limits.items(), key=lambda item: item[1][0] - item[1][1])
    free, needed = limit - used, jobs * 2 + 2
    raised = "raise max_connections" if which == "max_connections" else f"raise {which} (ALTER … CONNECTION LIMIT -1)"
    return Finding.check(
        f"PRE-connections-{side}",
        f"The {side} has connections to spare",
        free < needed,
        severity=Severity.HIGH,
        subject=facts.described,
        expected=f"at least {needed} free",
        observed=f"{free} of {limit} free, by {which}",
        why="The transfer would be refused in its middle.",
        remedy=f"Close idle sessions, lower `jobs`, or {raised}.",
    )


def tls(side: str, url: str, facts: ServerFacts) -> list[Finding]:
    """`PRE-tls-SIDE`: encrypted now, by pg_stat_ssl; `PRE-tls-kept-SIDE`: and never without it, by sslmode."""
    known = parameters(url)
    host, mode = known.get("host", "localhost"), known.get("sslmode", "prefer")
    local = host.startswith(("127.", "/")) or host in ("localhost", "::1")
    status = Status.PASS if facts.tls else Status.NOT_APPLICABLE if local else Status.FAIL
    insists, knows = mode in _BY_NAME, mode == "verify-full"
    kept = Status.NOT_APPLICABLE if local and not facts.tls else Status.PASS if knows else Status.FAIL
    here = "The server is on this machine." if Status.NOT_APPLICABLE in (status, kept) else ""
    why = (
        "Anybody on the way may pose as the server: encryption alone does not say with whom."
        if insists
        else "Without `require`, a server that offers no TLS is spoken to in clear, password and rows."
    )
    return [
        Finding(
            id=f"PRE-tls-{side}",
            title=f"The connection to the {side} is encrypted",
            status=status,
            severity=Severity.HIGH,
            subject=facts.described,
            expected="TLS",
            observed=facts.tls or "no TLS",
            why=here,
            remedy="Add sslmode=verify-full and sslrootcert to the URL." if status is Status.FAIL else "",
        ),
        Finding(
            id=f"PRE-tls-kept-{side}",
            title=f"The {side} is never spoken to without TLS, nor by another's certificate",
            status=kept,
            severity=Severity.MEDIUM,
            subject=facts.described,
            expected="sslmode=verify-full",
            observed=f"sslmode={mode}",
            why=why if kept is Status.FAIL else here,
            remedy="Add sslmode=verify-full&sslrootcert=… to the URL (RDS: global-bundle.pem; others: system)."
            if kept is Status.FAIL
            else "",
        ),
    ]


def pooler(url: str, refused: str = "") -> Finding:
    """`PRE-pooler`: the source is spoken to directly, by its name and by what it does with a start-up option.

    Args:
        url: the source.
        refused: why a session with a start-up option was refused, in words; "" when it was let in.
    """
    known = parameters(url)
    pooled = "-pooler" in known.get("host", "") or known.get("port") == "6432"
    address = f"{known.get('host', '')}:{known.get('port', '5432')}"
    direct = "Take `-pooler` out of the host name, or use the server's own address and port"
    return Finding.check(
        "PRE-pooler",
        "The source is reached directly, not through a connection pooler",
        pooled or refused,
        severity=Severity.HIGH,
        subject=describe(url),
        expected="the server's own address, which takes start-up options",
        observed=f"{address}; {refused}" if refused else address,
        why="Where a login trigger refuses every session of a frozen database, only a start-up option lets us in to "
        "end the freeze."
        if refused
        else "A pooler mixes sessions, so a snapshot cannot be held and settings leak.",
        remedy=f"{direct}, before the freeze: give the direct URL as `source.database_url`."
        if refused
        else f"{direct}.",
    )


_LOGIN_TRIGGERS = """
SELECT evtname, quote_ident(evtname), evtowner::regrole::text FROM pg_event_trigger
WHERE evtevent = 'login' AND evtenabled <> 'D' ORDER BY 1
"""


def login_triggers(url: str, connection: Connection, refused: str = "") -> Finding:
    """`PRE-login-triggers`: nothing of the source writes when somebody logs in (event triggers `ON login`, 17).

    What one does for other roles is not known, so an enabled one is never a pass. Whether it would keep us out of a
    frozen database is tried with a session that is read-only from its start.

    Args:
        url: the source.
        connection: to it.
        refused: why it takes no start-up option, as for `pooler`.
    """
    title, expected = "No event trigger of the source fires at login", "none that is enabled"
    try:
        found = connection.execute(_LOGIN_TRIGGERS).fetchall()
    except psycopg.Error as error:
        unread = one_line(error, url)
        return Finding("PRE-login-triggers", title, Status.UNKNOWN, Severity.BLOCKER, describe(url), expected, unread)
    shut = start_up(url, f"-c {READ_ONLY}=on") if found and not refused else ""
    if shut:
        tried = f"a read-only session of ours is refused: {shut}"
    else:
        tried = (
            f"not tried: {refused}" if refused else "a read-only session of ours is let in; other roles were not tried"
        )
    names = ", ".join(f"{name} (of {owner})" for name, _, owner in found)
    disable = "\n".join(f"ALTER EVENT TRIGGER {name} DISABLE;" for _, name, _ in found)
    return Finding.check(
        "PRE-login-triggers",
        title,
        Status.FAIL if shut else Status.UNKNOWN if found else Status.PASS,
        severity=Severity.BLOCKER,
        subject=describe(url),
        expected=expected,
        observed=f"{names}; {tried}" if found else "none",
        why="A trigger that writes refuses every login while the source is frozen, and at other times writes rows that "
        "the copy does not have, for our own sessions too. What it does for other roles is not known.",
        remedy="As its owner, until the switch is done (it is copied as it stands: ENABLE it again afterwards, on the "
        f"target too):\n{disable}\nOr let its function write nothing while current_setting('transaction_read_only') "
        "is on, and record a waiver that says so.",
        data={"names": [str(name) for name, *_ in found]} if found else {},
    )
