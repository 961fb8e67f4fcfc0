"""The schema of a replicated copy: what rows need before they are copied, and the rest when they are there."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

from psycopg import sql

from cutover.errors import DatabaseError
from cutover.postgres.catalog import CatalogObject, differences_between, read_catalog
from cutover.postgres.connection import TAKES_WRITES, describe, one_line, session, without_secrets
from cutover.postgres.contents import leave_out_own_options
from cutover.postgres.facts import server_facts
from cutover.postgres.replication.end import writer
from cutover.postgres.replication.link import Link, published_tables
from cutover.postgres.tools import Tools, find_tools
from cutover.postgres.transfer.errors import RestoreError, read_errors
from cutover.postgres.transfer.settings import apply_settings

_IDENTITY_INDEXES = """
SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.indisreplident
"""

_LATER_KINDS = ("publication", "sequence value", "subscription", "role", "role membership", "role setting")
"""What a replicated copy does not have from its schema: ours on the source, what the switchover brings, and roles."""

_GRANTS = ("default privileges", "grant beside")
"""What a copy without grants does not have either."""


def copy_schema_before(link: Link) -> bool:
    """Make what rows need in an empty target: types, tables, functions, and keys, all of it or nothing; settings too.

    The other indexes, foreign keys and triggers come after the rows: they would only slow them down.

    Returns:
        Whether anything was made; False when an earlier attempt made it already and no table holds a row.

    Raises:
        DatabaseError: the target holds something else, or pg_dump or pg_restore refused.
    """
    with session(link.target_url) as target:
        there = published_tables(target)
        filled = [
            f"{schema}.{table}"
            for schema, table in there
            if target.execute(_any_row(schema, table).encode()).fetchone() is not None
        ]
    if filled:
        raise DatabaseError(
            f"The target {describe(link.target_url)} is not empty: {', '.join(filled[:5])} hold rows already.",
            why="rows that are there would collide with those that arrive.",
            todo="drop and create the target database again once nothing in it is needed.",
        )
    if not there:
        _copy(link, before=True)
    _set(link)
    return not there


def copy_schema_after(link: Link, *, jobs: int) -> list[RestoreError]:
    """Make what is still missing: indexes, foreign keys and triggers; fill materialised views.

    Safe to repeat: what is there already is left alone, and `missing_objects` says whether all of it is there.

    Raises:
        DatabaseError: pg_dump or pg_restore did not start.
    """
    errors = _copy(link, before=False, jobs=jobs) if missing_objects(link) else []
    fill_views(link)
    return [e for e in errors if not re.search(r"already exists|multiple primary keys", e.message)]


def fill_views(link: Link, *, again: bool = False) -> list[str]:
    """Refresh the materialised views that the source has filled: those that are empty, or all of them `again`.

    Returns:
        The names of those that were refreshed, in the order in which they need each other.

    Raises:
        DatabaseError: one cannot be refreshed.
    """
    query = "SELECT oid::regclass::text, relispopulated FROM pg_class WHERE relkind = 'm' ORDER BY oid"
    with session(link.source_url) as connection:
        filled = {str(name) for name, populated in connection.execute(query) if populated}
    with writer(link.target_url) as connection:
        # A view on a view is younger than it, and a restore keeps that order.
        todo = [
            str(name) for name, populated in connection.execute(query) if name in filled and (again or not populated)
        ]
        for name in todo:
            connection.execute(f"REFRESH MATERIALIZED VIEW {name}".encode())
    return todo


def missing_objects(link: Link) -> list[str]:
    """What the source has and the target has not, `index public.users_email_idx`; what is ours is left out."""
    source, target = read_catalog(link.source_url), read_catalog(link.target_url)
    left_out = _LATER_KINDS if link.acl else (*_LATER_KINDS, *_GRANTS)
    return [
        f"{d.kind} {d.object}"
        for d in differences_between(source, target)
        if d.problem == "missing" and d.kind not in left_out
    ]


def schema_of(link: Link) -> dict[str, dict[str, str]]:
    """A digest of every object's definition, by side and name: what DDL in between is recognised by."""
    return {
        side: {
            f"{o.kind} {o.name}": _digest(o) for o in read_catalog(url).objects.values() if o.kind not in _LATER_KINDS
        }
        for side, url in (("source", link.source_url), ("target", link.target_url))
    }


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The objects that were made, dropped or changed in between, `table public.users: changed`."""
    said = []
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            how = "made" if name not in before else "dropped" if name not in now else "changed"
            said.append(f"{name}: {how}")
    return said


def _set(link: Link) -> None:
    """ALTER DATABASE … SET, which pg_dump leaves out."""
    found = []
    for one in read_catalog(link.source_url).of("database setting"):
        role, _, name = one.name.rpartition(" ")
        found.append((role.strip('"'), name, str(one.attributes["value"])))
    if errors := apply_settings(link.target_url, tuple(found)):
        raise DatabaseError(
            f"{describe(link.target_url)} refuses a setting of the source's database: {errors[0].message}",
            why="the application may read and write otherwise without it.",
            todo=f"as an administrator of the target: {errors[0].command}",
        )


def _digest(one: CatalogObject) -> str:
    text = json.dumps(dict(one.attributes), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _any_row(schema: str, table: str) -> str:
    return sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(schema, table)).as_string(None)


def _copy(link: Link, *, before: bool, jobs: int = 1) -> list[RestoreError]:
    tools = find_tools(server_facts(link.source_url).major)
    with tempfile.TemporaryDirectory(prefix="cutover-schema-") as folder:
        archive, chosen = Path(folder) / "schema", Path(folder) / "chosen"
        conninfo, environment = without_secrets(link.source_url)
        command = [str(tools.pg_dump), "--schema-only", "--format=custom", "--no-subscriptions"]
        _run([*command, "--no-password", f"--file={archive}", f"--dbname={conninfo}"], environment, link.source_url)
        leave_out_own_options(archive)
        chosen.write_text("\n".join(_entries(tools, archive, environment, link, before=before)) + "\n")
        # The target keeps everybody else's writes out while it follows; this is the one writer that must come in.
        conninfo, environment = without_secrets(link.target_url, TAKES_WRITES)
        command = [str(tools.pg_restore), "--no-owner", "--no-password", f"--use-list={chosen}"]
        command += [] if link.acl else ["--no-acl"]
        command += ["--single-transaction"] if before else [f"--jobs={max(1, jobs)}"]
        code, words = _run([*command, f"--dbname={conninfo}", str(archive)], environment, link.target_url, fails=before)
    return read_errors(words, code)


def _entries(tools: Tools, archive: Path, environment: dict[str, str], link: Link, *, before: bool) -> list[str]:
    """The lines of the archive's list that belong to one half, before the rows or after them; not our publication."""
    ours = re.compile(rf"\d+; \d+ \d+ PUBLICATION (TABLE )?\S+ {link.name}\b")
    halves: dict[str, list[str]] = {}
    for section in ("pre-data", "post-data"):
        command = [str(tools.pg_restore), "--list", f"--section={section}", str(archive)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        halves[section] = [
            line for line in done.stdout.splitlines() if re.match(r"\d+; ", line) and not ours.match(line)
        ]
    # `123; 2606 16400 CONSTRAINT public users users_pkey owner`: keys and unique constraints, by which updates find
    # their row; not FK CONSTRAINT, which would be checked while half of the tables are empty. An index that REPLICA
    # IDENTITY names is such a key too, and its entry carries that setting.
    with session(link.source_url) as connection:
        named = [f"{schema} {index} " for schema, index in connection.execute(_IDENTITY_INDEXES)]
    keys = [
        line
        for line in halves["post-data"]
        if re.match(r"\d+; \d+ \d+ CONSTRAINT ", line)
        or ((index := re.match(r"\d+; \d+ \d+ INDEX ", line)) and line[index.end() :].startswith(tuple(named)))
    ]
    if before:
        return halves["pre-data"] + keys
    return [line for line in halves["post-data"] if line not in set(keys)]


def _run(command: list[str], environment: dict[str, str], url: str, *, fails: bool = True) -> tuple[int, list[str]]:
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            check=False,
        )  # fmt: skip
    except OSError as error:
        raise DatabaseError(f"{command[0]} cannot be started: {error.strerror}.") from error
    words = done.stderr.splitlines()
    if done.returncode and fails:
        said = [line for line in words if re.search(r"error:|detail:|hint:|ERROR:|FATAL:", line, re.IGNORECASE)]
        raise DatabaseError(
            f"{Path(command[0]).name} of the schema ended with exit code {done.returncode} at {describe(url)}: "
            + one_line(DatabaseError(" ".join(said[:4]) or " ".join(words[-3:])), url),
            why="without its schema the target cannot take a row; nothing was made in it.",
            todo="fix what it says (notebook 01 names extensions and roles that are missing), then run this again.",
        )
    return done.returncode, words
