"""pg_dump and pg_restore on this machine, held against the source's major and against its minor release."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cutover.errors import DatabaseError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog.query_parts import USER, own
from cutover.postgres.connection import one_line, session, without_secrets
from cutover.postgres.contents import leave_out_own_options
from cutover.postgres.facts import ServerFacts
from cutover.postgres.server_options import users_own
from cutover.postgres.tools import Tools, find_tools, how_to_install
from cutover.postgres.transfer.program import run

_LOCK_WAIT_MS = 5_000

_WITH_OWN_OPTIONS = f"""
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v') AND c.relpersistence <> 't' AND {USER} AND {own("pg_class", "c.oid")}
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
  AND EXISTS (SELECT FROM unnest(c.reloptions) o WHERE NOT ({users_own("o")})
              UNION ALL SELECT FROM pg_attribute a, unnest(a.attoptions) o
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT ({users_own("o")}))
ORDER BY array_position('{{r,p,f,m,v}}'::text[], c.relkind::text) LIMIT 1
"""  # noqa: S608 - constants


def client(source: ServerFacts, target: ServerFacts | None, source_url: str) -> Finding:
    """`PRE-tools`: at least the source's major, rather not above the target's, and nothing of the server's own written.

    A server of a newer minor release may keep options of its own that an older pg_dump writes into the schema, and a
    target that does not know them refuses the tables. Cutover leaves them out, so this closes nothing by itself.
    """
    title = "pg_dump and pg_restore are new enough for the source"
    try:
        tools = find_tools(source.major)
    except DatabaseError as error:
        return Finding(
            "PRE-tools", title, Status.MISSING, Severity.BLOCKER, observed=error.what, why=error.why, remedy=error.todo
        )
    above = target is not None and tools.major > target.major
    observed = f"{tools.version}" + (", newer than the target" if above else "")
    newer = "What a newer pg_dump writes, an older target may not know: see PRE-schema." if above else ""
    try:
        carried = carried_over(tools, source_url)
    except DatabaseError as error:
        return Finding(
            "PRE-tools",
            title,
            Status.UNKNOWN,
            Severity.LOW,
            expected="a schema without the options that the server writes for itself",
            observed=f"{observed}; {error.what}",
            why=error.why,
            remedy=error.todo,
        )
    if not carried:
        return Finding(
            "PRE-tools", title, Status.PASS, Severity.BLOCKER, expected=f"at least {source.major}", observed=observed,
            why=newer,
        )  # fmt: skip
    return Finding(
        "PRE-tools",
        title,
        Status.FAIL,
        Severity.LOW,
        expected=f"a pg_dump that knows the release of the source, {source.version}",
        observed=f"{observed}; it writes what the server keeps for itself into the schema: {', '.join(carried)}",
        why="Cutover leaves it out of what it restores. In a dump that is taken by hand with this client it stays, and "
        "a target that does not know it refuses the tables." + (f" {newer}" if newer else ""),
        remedy=f"Install pg_dump {source.version} or a newer {source.major} ({how_to_install(source.major)}); "
        "or name the folder of one: export CUTOVER_PG_BIN=…",
        data={"options": list(carried)},
    )


def carried_over(tools: Tools, url: str) -> tuple[str, ...]:
    """The names of the options of the server's own that these programs write into a dump; tried with one relation.

    Raises:
        DatabaseError: the source has such options, and whether they are written could not be tried.
    """
    with session(url) as connection:
        row = connection.execute(_WITH_OWN_OPTIONS.encode()).fetchone()
    if row is None:
        return ()
    with tempfile.TemporaryDirectory(prefix="cutover-client-") as folder:
        archive = Path(folder) / "one.dump"
        conninfo, environment = without_secrets(url)
        command = [str(tools.pg_dump), "--schema-only", "--format=custom", f"--table={row[0]}", f"--file={archive}"]
        command += [f"--lock-wait-timeout={_LOCK_WAIT_MS}", "--no-password", f"--dbname={conninfo}"]
        code, stderr = run(command, environment, lambda _: None)
        if code != 0:
            raise DatabaseError(
                f"pg_dump {tools.version} could not be tried with {row[0]}: "
                + one_line(DatabaseError(" ".join(stderr[-3:])), url),
                why="The server keeps options of its own there; whether this client writes them is not known.",
                todo="Fix what pg_dump says, a lock or a right, then run this again.",
            )
        return tuple(leave_out_own_options(archive))
