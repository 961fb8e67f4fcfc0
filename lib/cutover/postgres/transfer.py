"""Moving a database: a parallel dump into a folder that proves itself, and a restore that is never half-trusted."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.files import sha256, write_json
from cutover.postgres.archive import Dump, read_dump
from cutover.postgres.connection import describe, one_line, session, without_secrets
from cutover.postgres.progress import Listener, Progress
from cutover.postgres.restore_errors import RestoreError, check_restore, read_errors
from cutover.postgres.snapshot import Snapshot, exported_snapshot
from cutover.postgres.tools import Tools, find_tools

__all__ = ["MARKER", "Restore", "check_restore", "dump", "restore", "unfinished_restore"]

MARKER = "cutover_restore"
"""The schema that stands in a target from the start of a restore to its good end, and longer when it went wrong."""

_RAW_SETTINGS = {
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
}
"""Settings that are lists and stored with their quotes, so they are repeated as they are (PostgreSQL, dumputils.c)."""


@dataclass(frozen=True, slots=True)
class Restore:
    """What a restore did.

    Attributes:
        folder: the dump that was restored.
        target: `user@host:port/database`.
        tool: `pg_restore 18.6`.
        exit_code: of pg_restore; 1 says that some error was passed over, 0 that none was.
        errors: every error, classified.
        tables: how many tables' rows were loaded, by pg_restore's own account.
        tables_expected: how many the dump holds.
        seconds: pg_restore's time; `analyze_seconds` is that of ANALYZE after it.
        started: ISO 8601 UTC.
        marked: the target still carries the mark of a restore that did not end well.
    """

    folder: Path
    target: str
    tool: str
    exit_code: int
    errors: tuple[RestoreError, ...]
    tables: int
    tables_expected: int
    seconds: float
    analyze_seconds: float
    started: str
    marked: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "folder": str(self.folder),
            "target": self.target,
            "tool": self.tool,
            "exit_code": self.exit_code,
            "errors": [error.to_dict() for error in self.errors],
            "tables": self.tables,
            "tables_expected": self.tables_expected,
            "seconds": self.seconds,
            "analyze_seconds": self.analyze_seconds,
            "started": self.started,
            "marked": self.marked,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Restore:
        """The inverse of `to_dict`, for what a change or a journal kept."""
        errors = tuple(RestoreError(**error) for error in raw["errors"])
        return cls(**{**raw, "folder": Path(raw["folder"]), "errors": errors})


def dump(
    source_url: str,
    folder: Path,
    *,
    jobs: int = 2,
    snapshot: Snapshot | None = None,
    progress: Listener | None = None,
    tools: Tools | None = None,
) -> Dump:
    """Dump a database into an empty folder (pg_dump's directory format), at one snapshot.

    `dump.json` is written last, whole: a folder without it is a dump that did not finish.

    Args:
        source_url: the database.
        folder: made when it is not there; refused when anything is in it.
        jobs: parallel workers.
        snapshot: the instant to dump; one is taken (and recorded) when none is given.
        progress: told of every table.
        tools: the programs to use; the lowest fitting version by default.

    Raises:
        DatabaseError: the folder is not empty, no fitting pg_dump, or pg_dump failed (with its words).
    """
    if folder.exists() and any(folder.iterdir()):
        raise DatabaseError(
            f"The folder for the dump is not empty: {folder}.",
            why="files of two dumps in one folder cannot be told apart.",
            todo="give a new folder, or remove what is in it.",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with exported_snapshot(source_url) if snapshot is None else nullcontext(snapshot) as instant:
        facts = _facts_for_dump(instant)
        tools = tools or find_tools(facts["major"])
        conninfo, environment = without_secrets(source_url)
        command = [str(tools.pg_dump), "--format=directory", f"--jobs={max(1, jobs)}", f"--file={folder / 'archive'}"]
        command += [f"--snapshot={instant.id}", "--verbose", "--no-password", f"--dbname={conninfo}"]
        started, clock = datetime.now(UTC).isoformat(), time.monotonic()
        listen = _counting("dump", r"dumping contents of table \"(.*)\"", len(facts["tables"]), progress)
        exit_code, stderr = _run(command, environment, listen)
        seconds = time.monotonic() - clock
    if exit_code != 0:
        words = [line for line in stderr if re.search(r"pg_dump: (error|detail|hint):|ERROR:|FATAL:", line)]
        raise DatabaseError(
            f"pg_dump {tools.version} of {describe(source_url)} ended with exit code {exit_code}: "
            + one_line(DatabaseError(" ".join(words[-4:]) or " ".join(stderr[-3:])), source_url),
            why="the folder holds no whole dump (it has no dump.json), and nothing must be restored from it.",
            todo=f"mend what pg_dump says, remove {folder} and dump again.",
        )
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    result = Dump(
        folder=folder,
        database=describe(source_url),
        tool=f"pg_dump {tools.version}",
        tool_major=tools.major,
        server_version=facts["version"],
        snapshot=instant.id,
        lsn=instant.lsn,
        at=instant.at.isoformat(),
        started=started,
        seconds=round(seconds, 3),
        jobs=jobs,
        tables=tuple(facts["tables"]),
        settings=tuple(facts["settings"]),
        files=files,
    )
    write_json(folder / "dump.json", result.to_dict())
    return result


def restore(
    folder: Path,
    target_url: str,
    *,
    jobs: int = 2,
    progress: Listener | None = None,
    owner: bool = False,
    acl: bool = False,
    role: str | None = None,
    tools: Tools | None = None,
) -> Restore:
    """Restore a dump into an empty database, refresh its statistics, and account for every error.

    A mark (the schema `cutover_restore`) stands in the target from the first moment; it goes only when pg_restore
    came to its end and lost nothing. So a restore that was killed is recognised by whoever looks next.

    Args:
        folder: of `dump`.
        target_url: an empty database; objects of extensions do not count.
        jobs: parallel workers.
        progress: told of every table.
        owner: restore ownership (the roles must exist); otherwise the connecting role, or `role`, owns everything.
        acl: restore grants (the roles must exist).
        role: become this role for the restore, so that it owns what is made.
        tools: the programs to use; by default those that fit the dump.

    Raises:
        DatabaseError: the folder is no finished dump, or the target is not empty, or pg_restore did not start.
    """
    held = read_dump(folder)
    tools = tools or find_tools(held.tool_major)
    started = datetime.now(UTC).isoformat()
    _refuse_unless_empty(target_url)
    _mark(target_url, {"started": started, "dump": held.database, "lsn": held.lsn})
    conninfo, environment = without_secrets(target_url)
    command = [str(tools.pg_restore), f"--jobs={max(1, jobs)}", "--verbose", "--no-password", f"--dbname={conninfo}"]
    command += [flag for flag, wanted in (("--no-owner", not owner), ("--no-acl", not acl)) if wanted]
    command += [f"--role={role}"] if role else []
    clock = time.monotonic()
    begun, ended = r"processing data for table \"(.*)\"", r"finished item \d+ TABLE DATA (.*)"
    loaded_line = ended if jobs > 1 else begun  # one worker alone does not say what it finished
    listen = _counting("restore", loaded_line, len(held.tables), progress)
    exit_code, stderr = _run([*command, str(folder / "archive")], environment, listen)
    seconds = time.monotonic() - clock
    errors = read_errors(stderr, exit_code)
    errors += _apply_settings(target_url, held.settings)
    clock = time.monotonic()
    if progress:
        progress(Progress("analyze", 0, 1, "databases"))
    errors += _analyze(target_url)
    analyze_seconds = time.monotonic() - clock
    loaded = sum(bool(re.search(loaded_line, line)) for line in stderr)
    marked = any(error.loss for error in errors)
    if not marked:
        with session(target_url, readonly=False) as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(MARKER)))
    return Restore(
        folder=folder,
        target=describe(target_url),
        tool=f"pg_restore {tools.version}",
        exit_code=exit_code,
        errors=tuple(errors),
        tables=loaded,
        tables_expected=len(held.tables),
        seconds=round(seconds, 3),
        analyze_seconds=round(analyze_seconds, 3),
        started=started,
        marked=marked,
    )


def unfinished_restore(connection: psycopg.Connection[Any]) -> dict[str, Any] | None:
    """What the mark of a restore that did not end well says; None when there is no mark."""
    found = connection.execute("SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", (MARKER,)).fetchone()
    there = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", (MARKER,)).fetchone()
    if there is None or not there[0]:
        return None
    try:
        return dict(json.loads(found[0])) if found and found[0] else {}
    except ValueError:
        return {}


def _facts_for_dump(snapshot: Snapshot) -> dict[str, Any]:
    """The server's version, every table whose rows a dump must hold, and the settings that pg_dump leaves out."""
    connection = snapshot.connection
    version = connection.execute("SELECT current_setting('server_version'), current_setting('server_version_num')")
    text, number = version.fetchone() or ("", "0")
    tables = connection.execute(
        """
        SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
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
    pairs = [(role, *str(setting).split("=", 1)) for role, setting in settings]
    return {
        "version": text,
        "major": int(number) // 10000,
        "tables": [(str(schema), str(name)) for schema, name in tables],
        # A frozen source must not freeze its successor.
        "settings": [triple for triple in pairs if triple[1] != "default_transaction_read_only"],
    }


def _refuse_unless_empty(url: str) -> None:
    with session(url) as connection:
        unfinished = unfinished_restore(connection)
        found = connection.execute(
            """
            SELECT kind || ' ' || name FROM (
              SELECT 'relation' AS kind, c.oid::regclass::text AS name, c.oid, 'pg_class'::regclass::oid AS class,
                     c.relnamespace AS nsp FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
              UNION ALL SELECT 'function', p.oid::regprocedure::text, p.oid, 'pg_proc'::regclass, p.pronamespace
                     FROM pg_proc p
              UNION ALL SELECT 'type', t.oid::regtype::text, t.oid, 'pg_type'::regclass, t.typnamespace
                     FROM pg_type t WHERE t.typtype IN ('e', 'd', 'r')
              UNION ALL SELECT 'schema', s.nspname, s.oid, 'pg_namespace'::regclass, s.oid
                     FROM pg_namespace s WHERE s.nspname <> 'public'
            ) o JOIN pg_namespace n ON n.oid = o.nsp
            WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', %s)
              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid
                              AND d.deptype IN ('e', 'i'))
            ORDER BY 1 LIMIT 6
            """,
            (MARKER,),
        ).fetchall()
    recreate = "drop and create the database again, then restore:\n  DROP DATABASE …; CREATE DATABASE …;"
    if unfinished is not None:
        raise DatabaseError(
            f"The target {describe(url)} carries the mark of a restore that did not end well "
            f"(started {unfinished.get('started', 'unknown')}).",
            why="what is in it may be half of the data.",
            todo=recreate,
        )
    if found:
        names = ", ".join(str(row[0]) for row in found[:5]) + (" and more" if len(found) > 5 else "")
        raise DatabaseError(
            f"The target {describe(url)} is not empty: {names}.",
            why="a restore over existing objects mixes two states, and neither can be proven afterwards.",
            todo=recreate,
        )


def _mark(url: str, note: dict[str, str]) -> None:
    with session(url, readonly=False) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(MARKER)))
        connection.execute(
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(MARKER), sql.Literal(json.dumps(note)))
        )


def _apply_settings(url: str, settings: tuple[tuple[str, str, str], ...]) -> list[RestoreError]:
    """ALTER DATABASE … SET, which pg_dump leaves out of a single database's dump."""
    failed = []
    for role, name, value in settings:
        with session(url, readonly=False) as connection:
            database = sql.Identifier(connection.info.dbname)
            raw = name in _RAW_SETTINGS and re.fullmatch(r'[\w$", -]*', value)
            text = sql.SQL(value) if raw and value else sql.Literal(value)
            who = (
                sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)
                if role
                else sql.SQL("DATABASE {}").format(database)
            )
            statement = sql.SQL("ALTER {} SET {} TO {}").format(who, sql.Identifier(*name.split(".", 1)), text)
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                words = one_line(error, url)
                failed.append(RestoreError("object", "DATABASE SETTING", name, words, statement.as_string(None)))
    return failed


def _analyze(url: str) -> list[RestoreError]:
    with session(url, readonly=False) as connection:
        try:
            connection.execute("ANALYZE")
        except psycopg.Error as error:
            return [RestoreError("harmless", "ANALYZE", "", one_line(error, url), "ANALYZE")]
    return []


def _counting(stage: str, pattern: str, total: int, progress: Listener | None) -> Callable[[str], None]:
    """A reader of stderr lines that counts what matches and tells the listener."""
    count = 0

    def listen(line: str) -> None:
        nonlocal count
        match = re.search(pattern, line)
        if match and progress:
            count += 1
            progress(Progress(stage, count, total, "tables", match[1]))

    return listen


def _run(command: list[str], environment: dict[str, str], listen: Callable[[str], None]) -> tuple[int, list[str]]:
    """Run a program to its end and return its exit code and stderr; it does not outlive us when we are interrupted."""
    lines: list[str] = []
    with _program(command, environment) as process:

        def read() -> None:
            for raw in process.stderr or ():
                line = raw.rstrip("\n")
                lines.append(line)
                listen(line)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        exit_code = process.wait()
        reader.join(timeout=10)
    return exit_code, lines


@contextmanager
def _program(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise DatabaseError(f"{command[0]} cannot be started: {error.strerror}.") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            process.wait()
