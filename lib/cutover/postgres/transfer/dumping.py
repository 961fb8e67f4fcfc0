"""A parallel dump into a folder that proves itself: read back, every file digested, every table's rows counted."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from cutover.errors import DatabaseError
from cutover.files import write_json
from cutover.postgres.archive import Dump, read_back
from cutover.postgres.connection import (
    APPLICATION_NAME,
    TAKES_WRITES,
    describe,
    explain,
    forced,
    one_line,
    without_secrets,
)
from cutover.postgres.contents import leave_out_own_options
from cutover.postgres.snapshot import Snapshot, exported_snapshot
from cutover.postgres.tools import Tools, find_tools
from cutover.postgres.transfer.program import run
from cutover.postgres.transfer.progress import Load, Watch
from cutover.progress import Listener


def dump(
    source_url: str,
    folder: Path,
    *,
    jobs: int = 2,
    snapshot: Snapshot | None = None,
    progress: Listener | None = None,
    tools: Tools | None = None,
    compress: int = 1,
    lock_wait_s: float = 60.0,
) -> Dump:
    """Dump a database into an empty folder (pg_dump's directory format), at one snapshot, and read it back.

    Options that the server writes for itself are left out of the schema where this pg_dump does not do it.
    `dump.json` is written last, whole: a folder without it is a dump that did not finish.

    Args:
        source_url: the database.
        folder: made when it is not there; refused when anything is in it.
        jobs: parallel workers.
        snapshot: the instant to dump; one is taken (and recorded) when none is given.
        progress: told of every table, and of bytes about every second.
        tools: the programs to use; the lowest fitting version by default.
        lock_wait_s: how long to wait for a table that somebody has locked.
        compress: gzip's level, 0 for none; 1 is about twice as fast as pg_dump's own 6 (`docs/transfer.md`).

    Raises:
        DatabaseError: the folder is not empty, no fitting pg_dump, pg_dump failed (with its words), or what it wrote
            does not read back.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DatabaseError(
            f"The folder for the dump is not empty: {folder}.",
            why="files of two dumps in one folder cannot be told apart.",
            todo="give a new folder, or remove what is in it.",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with exported_snapshot(source_url) if snapshot is None else nullcontext(snapshot) as instant:
        try:
            about = _about(instant)
        except psycopg.Error as error:
            raise explain(error, source_url, "does not say what is in it") from error
        tools = tools or find_tools(about.major)
        # A login trigger that refuses our own session of a frozen database refuses pg_dump as well.
        conninfo, environment = without_secrets(source_url, TAKES_WRITES if forced(instant.connection) else "")
        command = [str(tools.pg_dump), "--format=directory", f"--jobs={max(1, jobs)}", f"--file={folder / 'archive'}"]
        command += [f"--compress={compress}", f"--snapshot={instant.id}", "--verbose", "--no-password"]
        command += [f"--lock-wait-timeout={max(1, int(lock_wait_s * 1000))}"]
        started, clock = datetime.now(UTC).isoformat(), time.monotonic()
        watch = Watch("dump", dict(enumerate(about.loads)), serial=jobs <= 1, progress=progress)
        with watch.polling(source_url, APPLICATION_NAME):
            exit_code, stderr = run([*command, f"--dbname={conninfo}"], environment, watch.line)
        watch.end(exit_code == 0)
        seconds = time.monotonic() - clock
    if exit_code != 0:
        raise _failed(stderr, exit_code, source_url, folder, tools)
    left_out = leave_out_own_options(folder / "archive" / "toc.dat")
    clock = time.monotonic()
    contents = read_back(folder, about.tables, tools.major, jobs=jobs)
    took = {about.loads[key].name: seconds for key, seconds in watch.seconds.items()}
    result = Dump(
        folder=folder,
        database=describe(source_url),
        tool=f"pg_dump {tools.version}",
        tool_major=tools.major,
        server_version=about.version,
        snapshot=instant.id,
        lsn=instant.lsn,
        at=instant.at.isoformat(),
        started=started,
        seconds=round(seconds, 3),
        jobs=jobs,
        tables=about.tables,
        settings=about.settings,
        left_out=left_out,
        files=contents.files,
        database_bytes=about.database_bytes,
        read_back_s=round(time.monotonic() - clock, 3),
        data=tuple(replace(t, seconds=took.get(f"{t.schema}.{t.name}", 0.0)) for t in contents.data),
    )
    write_json(folder / "dump.json", result.to_dict())
    return result


@dataclass(frozen=True, slots=True)
class _About:
    """The source as the snapshot shows it: version, every table whose rows a dump must hold, and its settings."""

    version: str
    major: int
    loads: tuple[Load, ...]
    tables: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str, str], ...]
    database_bytes: int


def _about(snapshot: Snapshot) -> _About:
    connection = snapshot.connection
    version = connection.execute(
        "SELECT current_setting('server_version'), current_setting('server_version_num'), "
        "pg_database_size(current_database())"
    )
    text, number, size = version.fetchone() or ("", "0", 0)
    tables = connection.execute(
        """
        SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint,
               (greatest(c.relpages, 0) + greatest(coalesce(t.relpages, 0), 0)) * current_setting('block_size')::bigint
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
        WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND (NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                           AND d.deptype = 'e')
               OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
        ORDER BY 1, 2
        """
    ).fetchall()
    settings = connection.execute(
        "SELECT coalesce(r.rolname, ''), s.setting FROM pg_db_role_setting d CROSS JOIN unnest(d.setconfig) AS "
        "s(setting) LEFT JOIN pg_roles r ON r.oid = d.setrole WHERE d.setdatabase = "
        "(SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2"
    ).fetchall()
    pairs: list[tuple[str, str, str]] = []
    for role, setting in settings:
        name, _, value = str(setting).partition("=")
        # A frozen source must not freeze its successor.
        pairs += [] if name == "default_transaction_read_only" else [(str(role), name, value)]
    return _About(
        version=str(text),
        major=int(number) // 10000,
        loads=tuple(Load(f"{schema}.{name}", int(rows), int(size or 0)) for schema, name, rows, size in tables),
        tables=tuple((str(row[0]), str(row[1])) for row in tables),
        settings=tuple(pairs),
        database_bytes=int(size),
    )


_HINTS: Mapping[str, str] = {
    "permission denied": "grant SELECT on what is named, or connect as its owner",
    "Query was: LOCK TABLE": "something holds a lock on a table (ALTER, VACUUM FULL): see pg_locks",
    "row-level security": "connect as the tables' owner, or as a role with BYPASSRLS",
    "No space left on device": "make room for the dump, or set `backups:` to a larger disk",
    "could not write": "make room for the dump, or set `backups:` to a larger disk",
    "server closed the connection": "see why the source dropped the connection (its log, a restart, the network)",
    "terminating connection": "see why the source ended the session (a restart, an administrator)",
    "invalid snapshot": "the session that held the snapshot was lost: see why",
}


def _failed(stderr: list[str], exit_code: int, url: str, folder: Path, tools: Tools) -> DatabaseError:
    words = [line for line in stderr if re.search(r"pg_dump: (error|detail|hint):|ERROR:|FATAL:", line)]
    text = " ".join(words[-4:]) or " ".join(stderr[-3:])
    cause = next((hint for sign, hint in _HINTS.items() if sign in text), "fix what pg_dump says")
    return DatabaseError(
        f"pg_dump {tools.version} of {describe(url)} ended with exit code {exit_code}: "
        + one_line(DatabaseError(text), url),
        why="the folder holds no whole dump (it has no dump.json), and nothing must be restored from it.",
        todo=f"{cause}; then remove {folder} and dump again.",
    )
