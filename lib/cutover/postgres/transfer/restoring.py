"""A restore in phases that is never half-trusted: marked at once, resumable by table, every error told."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.postgres.archive import Dump, Entry, TableData, read_dump, read_entries, refuse_damaged
from cutover.postgres.connection import describe, one_line, session, without_secrets
from cutover.postgres.tools import Tools, find_tools
from cutover.postgres.transfer.errors import RestoreError, read_errors
from cutover.postgres.transfer.mark import RESTORER, Ledger, ledger, remove_mark
from cutover.postgres.transfer.program import run
from cutover.postgres.transfer.progress import Load, Watch
from cutover.postgres.transfer.resuming import already_built, begin_data_again, empty_again
from cutover.postgres.transfer.settings import apply_settings
from cutover.progress import Listener, Progress

Phase = Literal["schema", "data", "indexes", "grants"]
PHASES: tuple[Phase, ...] = ("schema", "data", "indexes", "grants")
"""The order of a restore. Grants come last, so that a right an owner has revoked from itself does not stop its load."""


@dataclass(frozen=True, slots=True)
class Restore:
    """What a restore did.

    Attributes:
        folder: the dump that was restored.
        target: `user@host:port/database`.
        tool: `pg_restore 18.6`.
        exit_code: of pg_restore, the worst of all phases; 1 says that some error was passed over, 0 that none was.
        errors: every error, classified; those of an interrupted attempt that was resumed among them.
        tables: how many tables' rows were loaded, by pg_restore's own account.
        tables_expected: how many the dump holds.
        seconds: pg_restore's time; `analyze_seconds` is that of ANALYZE after it.
        started: ISO 8601 UTC.
        marked: the target still contains an unfinished restore (schema `cutover_restore`).
        phases: seconds of each phase that was run: schema, data, indexes, grants.
        table_seconds: `schema.table` to (rows, bytes of COPY text, seconds) of each table loaded in this run.
        kept: tables that an interrupted attempt had loaded, counted again and kept.
        stopped: the phase whose losses made it stop, or empty: then every phase was run.
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
    phases: Mapping[str, float] = field(default_factory=dict)
    table_seconds: Mapping[str, tuple[int, int, float]] = field(default_factory=dict)
    kept: int = 0
    stopped: str = ""

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
            "phases": dict(self.phases),
            "table_seconds": {name: list(took) for name, took in self.table_seconds.items()},
            "kept": self.kept,
            "stopped": self.stopped,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Restore:
        """The inverse of `to_dict`, for what a change or a journal kept."""
        errors = tuple(RestoreError(**error) for error in raw["errors"])
        took = {name: (int(r), int(b), float(s)) for name, (r, b, s) in dict(raw.get("table_seconds", {})).items()}
        return cls(**{**raw, "folder": Path(raw["folder"]), "errors": errors, "table_seconds": took})


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
    resume: bool = False,
    verified: bool = False,
    settings: Mapping[str, str] | None = None,
    whole: Callable[[Restore], None] | None = None,
) -> Restore:
    """Restore a dump into an empty database, refresh its statistics, and account for every error.

    A mark (the schema `cutover_restore`) stands in the target from the first moment; it goes only when every phase
    came to its end and lost nothing. So a restore that was killed is recognised by whoever looks next. Phases are
    schema, data, indexes (with constraints and triggers) and grants; after one that lost rows or a table, none follows.

    Args:
        folder: of `dump`.
        target_url: an empty database; objects of extensions do not count.
        jobs: parallel workers.
        progress: told of every table, and of bytes about every second.
        owner: restore ownership (the roles must exist); otherwise the connecting role, or `role`, owns everything.
        acl: restore grants (the roles must exist).
        role: become this role for the restore, so that it owns what is made.
        tools: the programs to use; by default those that fit the dump.
        resume: go on with an interrupted restore of this very dump: tables that were loaded whole, and still hold as
            many rows as the dump, are kept; every other is emptied and loaded again (`docs/transfer.md`).
        verified: the dump was read back a moment ago (`verify_dump`); otherwise its files are digested here first.
        settings: of the restoring sessions, such as maintenance_work_mem.
        whole: told of a restore that lost nothing, in the last moment before its mark goes: whoever wants to know it
            again records it here, so that a kill at any instant leaves the mark or the record. What it raises, the
            mark outlives.

    Raises:
        DatabaseError: the folder is no finished dump, or damaged, or the target is not empty, or pg_restore did not
            start, or the target was lost on the way (it stays marked, and can be resumed).
    """
    held = read_dump(folder)
    if not verified:
        refuse_damaged(held)
    tools = tools or find_tools(held.tool_major)
    started = datetime.now(UTC).isoformat()
    with ledger(target_url, held, started, resume=resume) as book:
        work = _Work(held, target_url, tools, book, jobs, progress, owner, acl, role, dict(settings or {}))
        stopped = work.all_phases()
        errors = work.errors
        if not stopped:
            errors += apply_settings(target_url, held.settings)
            clock = time.monotonic()
            errors += _analyze(target_url, jobs, progress)
            work.analyze_seconds = time.monotonic() - clock
    marked = bool(stopped) or any(error.loss for error in errors)
    result = Restore(
        folder=folder,
        target=describe(target_url),
        tool=f"pg_restore {tools.version}",
        exit_code=work.exit_code,
        errors=tuple(errors),
        tables=len(work.loaded) + len(work.kept),
        tables_expected=len(held.tables),
        seconds=round(sum(work.phases.values()), 3),
        analyze_seconds=round(work.analyze_seconds, 3),
        started=started,
        marked=marked,
        phases={name: round(seconds, 3) for name, seconds in work.phases.items()},
        table_seconds=work.loaded,
        kept=len(work.kept),
        stopped=stopped,
    )
    if not marked:
        if whole is not None:
            whole(result)
        remove_mark(target_url)
    return result


@dataclass
class _Work:
    """One restore while it is going on."""

    held: Dump
    url: str
    tools: Tools
    book: Ledger
    jobs: int
    progress: Listener | None
    owner: bool
    acl: bool
    role: str | None
    settings: Mapping[str, str]
    errors: list[RestoreError] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    loaded: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    exit_code: int = 0
    analyze_seconds: float = 0.0

    def all_phases(self) -> str:
        """Run what is not done yet; the phase that lost rows or a table, or empty."""
        entries = read_entries(self.held.folder, self.held.tool_major)
        before = self.book.before
        if before and "schema" not in before.phases:
            empty_again(self.url, before.note, entries)
            before = None
        for phase in PHASES:
            if before and phase in before.phases and phase in ("schema", "data"):
                self._again(phase, entries, before.phases[phase])
                continue
            clock = time.monotonic()
            lost = self._run(phase, _of(phase, entries), resumed=before is not None)
            self.phases[phase] = time.monotonic() - clock
            data_lost = any(error.cost == "data" for error in lost)
            if not data_lost:
                self.book.finished(phase, lost, self.phases[phase])
            if data_lost and phase in ("schema", "data"):
                return phase
        return ""

    def _again(self, phase: Phase, entries: Sequence[Entry], errors: Sequence[RestoreError]) -> None:
        """A phase that an earlier attempt finished: what it had loaded is counted, what it had lost is tried again."""
        if phase == "data":
            self.kept, wrong = begin_data_again(self.url, self.held, self.book.before, self.jobs, empty=False)
            if wrong:
                raise DatabaseError(
                    f"The target {describe(self.url)} no longer holds what was restored: {', '.join(wrong[:5])}.",
                    why="somebody wrote into it, or an unlogged table was emptied by a crash.",
                    todo="drop and create the database again, then restore.",
                )
        lost = {error.entry for error in errors if error.loss}
        if phase == "data" or not lost or 0 in lost:
            self.errors += errors
            return
        retried = self._pg_restore([entry for entry in entries if entry.id in lost], 1, [])
        self.book.finished(phase, retried, 0.0)
        self.errors += [*(error for error in errors if not error.loss), *retried]

    def _run(self, phase: Phase, entries: list[Entry], *, resumed: bool) -> list[RestoreError]:
        """One phase; the errors of it."""
        flags: list[str] = []
        if phase == "data":
            return self._data(entries, resumed=resumed)
        if phase == "grants" and not self.acl:
            entries = [entry for entry in entries if not entry.text.startswith(("ACL ", "DEFAULT ACL "))]
        if phase in ("indexes", "grants") and resumed:
            there = already_built(self.url, entries)
            entries = [entry for entry in entries if entry.id not in there]
            flags = ["--clean", "--if-exists"]
        jobs = self.jobs if phase == "indexes" else 1
        found = self._pg_restore(entries, jobs, flags, self._counting(phase, len(entries), jobs))
        self.errors += found
        return found

    def _data(self, entries: list[Entry], *, resumed: bool) -> list[RestoreError]:
        if resumed:
            self.kept, _ = begin_data_again(self.url, self.held, self.book.before, self.jobs, empty=True)
            self.book.forget(t.entry for t in self.held.data if t.entry not in self.kept)
        tables = {table.entry: table for table in self.held.data}
        loads = {key: Load(f"{t.schema}.{t.name}", t.rows, t.bytes) for key, t in tables.items()}

        def finished(key: int) -> None:
            self.book.loaded(key, loads[key].name, tables[key].rows)

        watch = Watch(
            "restore",
            {key: load for key, load in loads.items() if key not in self.kept},
            serial=self.jobs <= 1,
            before={key: loads[key] for key in self.kept},
            progress=self.progress,
            finished=finished,
        )
        todo = [entry for entry in entries if entry.id not in self.kept]
        with watch.polling(self.url, RESTORER):
            found = self._pg_restore(todo, self.jobs, [], watch.line, watch.end)
        for key in watch.done:
            table: TableData = tables[key]
            self.loaded[loads[key].name] = (table.rows, table.bytes, watch.seconds[key])
        left = [loads[key].name for key in loads if key not in watch.done and key not in self.kept]
        if left and not any(error.cost == "data" for error in found):
            words = f"pg_restore did not say that it loaded {', '.join(left[:5])}"
            found.append(RestoreError("data", "TABLE DATA", left[0], words))
        self.errors += found
        return found

    def _counting(self, phase: Phase, total: int, jobs: int) -> Callable[[str], None]:
        """A reader that counts objects made and tells the listener."""
        clock, count = time.monotonic(), 0
        sign = "finished item " if jobs > 1 else "pg_restore: creating "

        def line(text: str) -> None:
            nonlocal count
            if self.progress and sign in text:
                count = min(count + 1, total)
                self.progress(Progress(phase, count, total, "objects", text.partition(sign)[2][:80], started=clock))

        return line

    def _pg_restore(
        self,
        entries: Sequence[Entry],
        jobs: int,
        flags: list[str],
        listen: Callable[[str], None] = lambda _: None,
        ended: Callable[[bool], None] = lambda _: None,
    ) -> list[RestoreError]:
        """pg_restore over these entries, in their order; its errors."""
        if not entries:
            return []
        conninfo, environment = without_secrets(self.url)
        environment |= {"PGAPPNAME": RESTORER, "PGOPTIONS": _options(self.settings)}
        command = [str(self.tools.pg_restore), f"--jobs={max(1, jobs)}", "--verbose", "--no-password", *flags]
        command += [flag for flag, wanted in (("--no-owner", not self.owner), ("--no-acl", not self.acl)) if wanted]
        command += [f"--role={self.role}"] if self.role else []
        with tempfile.NamedTemporaryFile("w", prefix="cutover-", suffix=".list") as file:
            file.writelines(f"{entry.id}; 0 0 {entry.text}\n" for entry in entries)
            file.flush()
            command += [f"--use-list={file.name}", f"--dbname={conninfo}", str(self.held.folder / "archive")]
            exit_code, stderr = run(command, environment, listen)
        ended(exit_code == 0 or any("errors ignored on restore" in line for line in stderr))
        self.exit_code = max(self.exit_code, exit_code, key=abs)
        return read_errors(stderr, exit_code)


_LAST = ("ACL ", "DEFAULT ACL ", "EVENT TRIGGER ", "MATERIALIZED VIEW DATA ")
_ABOUT_LAST = re.compile(r"(COMMENT|SECURITY LABEL) - EVENT TRIGGER ")


def _of(phase: Phase, entries: Iterable[Entry]) -> list[Entry]:
    """The archive's entries of one phase. What pg_restore itself leaves for its end is left for ours."""
    section = {"schema": "pre-data", "data": "data", "indexes": "post-data"}

    def last(entry: Entry) -> bool:
        return entry.text.startswith(_LAST) or bool(_ABOUT_LAST.match(entry.text))

    if phase == "grants":
        return [entry for entry in entries if last(entry)]
    return [entry for entry in entries if entry.section == section[phase] and not last(entry)]


def _options(settings: Mapping[str, str]) -> str:
    """`PGOPTIONS` for a session's settings; blanks are escaped as libpq wants it."""
    escaped = ((name, re.sub(r"([\\ ])", r"\\\1", value)) for name, value in settings.items())
    return " ".join(f"-c {name}={value}" for name, value in escaped)


_TO_ANALYZE = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_toast'
  AND n.nspname NOT IN ('information_schema', 'pg_catalog')
ORDER BY c.relkind = 'p', c.relpages DESC
"""


def _analyze(url: str, jobs: int, progress: Listener | None) -> list[RestoreError]:
    """Fresh statistics of every table, several at a time; a partitioned parent after its partitions."""
    with session(url) as connection:
        tables = [sql.Identifier(str(schema), str(name)) for schema, name in connection.execute(_TO_ANALYZE)]
    clock, lanes = time.monotonic(), max(1, jobs)

    def lane(number: int) -> list[RestoreError]:
        failed = []
        with session(url, readonly=False) as connection:
            for done, table in enumerate(tables[number::lanes]):
                if progress and number == 0:
                    progress(Progress("analyze", done * lanes, len(tables), "tables", started=clock))
                try:
                    connection.execute(sql.SQL("ANALYZE {}").format(table))
                except psycopg.Error as error:
                    name = table.as_string(None)
                    failed.append(RestoreError("harmless", "ANALYZE", name, one_line(error, url), f"ANALYZE {name}"))
        return failed

    with ThreadPoolExecutor(lanes) as pool:
        return [error for errors in pool.map(lane, range(lanes)) for error in errors]
