"""A dump on disk: what its `dump.json` says, and whether the folder still is what was dumped."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cutover.errors import DatabaseError
from cutover.files import sha256
from cutover.finding import Finding, Severity, Status
from cutover.postgres.tools import find_tools

_PIECE = 1 << 20
_READERS = 4
_END = b"\\.\n\n\n"
"""How pg_dump ends the data of a table (pg_dump.c, dumpTableData_copy); every line before it is a row."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an archive's table of contents.

    Attributes:
        id: the archive's own number, which names the data file too.
        text: kind, schema, name and owner, as `pg_restore --list` prints them.
        section: `pre-data`, `data` or `post-data`.
    """

    id: int
    text: str
    section: str


@dataclass(frozen=True, slots=True)
class TableData:
    """The rows of one table in a dump, as they were read back from its file.

    Attributes:
        entry: number in the archive.
        schema, name: of the table.
        rows: how many the file holds.
        bytes: of COPY text, uncompressed.
        seconds: how long pg_dump took for it; 0 when it did not say.
    """

    entry: int
    schema: str
    name: str
    rows: int
    bytes: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Dump:
    """A finished dump.

    Attributes:
        folder: holds `archive/` (pg_dump's directory format) and `dump.json`.
        database: what was dumped, `user@host:port/database`.
        tool, tool_major: the pg_dump that wrote it.
        server_version: of the source.
        snapshot, lsn, at: the instant that it shows.
        started: ISO 8601 UTC; seconds: how long pg_dump took; jobs: its workers.
        tables: (schema, name) of every table whose rows it must hold.
        settings: (role or "", name, value) of the database's own settings, which pg_dump leaves out.
        left_out: option that the server writes for itself to the number of places it was left out of the schema at.
        files: relative path to {"bytes", "sha256"}, every file but dump.json.
        data: every table's rows, counted in the files.
        database_bytes: size of the database on disk then.
        read_back_s: seconds it took to read the files back.
    """

    folder: Path
    database: str
    tool: str
    tool_major: int
    server_version: str
    snapshot: str
    lsn: str
    at: str
    started: str
    seconds: float
    jobs: int
    tables: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str, str], ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data: tuple[TableData, ...] = ()
    database_bytes: int = 0
    read_back_s: float = 0.0

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(int(entry["bytes"]) for entry in self.files.values())

    @property
    def rows(self) -> int:
        """Rows of all its tables."""
        return sum(table.rows for table in self.data)

    @property
    def data_bytes(self) -> int:
        """Bytes of all rows as COPY text, uncompressed."""
        return sum(table.bytes for table in self.data)

    @cached_property
    def identity(self) -> str:
        """What tells this dump from every other: a digest over its instant and its files' digests."""
        files = sorted((name, entry["sha256"]) for name, entry in self.files.items())
        return hashlib.sha256(json.dumps([self.database, self.lsn, self.at, files]).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what stands in dump.json."""
        return {"format": 1} | asdict(self) | {"folder": str(self.folder), "size_bytes": self.size_bytes}


def read_dump(folder: Path) -> Dump:
    """What `dump.json` in the folder says; the files themselves are not looked at (see `verify_dump`).

    Raises:
        DatabaseError: there is no finished dump in the folder.
    """
    try:
        raw = json.loads((folder / "dump.json").read_text(encoding="utf-8"))
        raw = {key: value for key, value in raw.items() if key not in {"format", "size_bytes"}}
        raw["tables"] = tuple((str(schema), str(name)) for schema, name in raw["tables"])
        raw["settings"] = tuple((str(a), str(b), str(c)) for a, b, c in raw.get("settings", ()))
        raw["data"] = tuple(TableData(**table) for table in raw.get("data", ()))
        return Dump(**raw | {"folder": folder})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatabaseError(
            f"{folder} holds no finished dump: dump.json is missing or not readable.",
            why="dump.json is written last, so without it the dump was interrupted and is not whole.",
            todo="dump again into a new folder.",
        ) from error


def verify_dump(folder: Path) -> list[Finding]:
    """Read a dump back: finished, every byte as written, and the rows of every table in it.

    Finding ids: DMP-finished, DMP-files, DMP-contents.
    """
    title, again = "The dump was finished", "Dump again into a new folder; keep this one until the new one is verified."
    try:
        held = read_dump(folder)
    except DatabaseError as error:
        words = (error.what, error.why, again)
        return [Finding("DMP-finished", title, Status.MISSING, Severity.BLOCKER, str(folder), "dump.json", *words)]
    when = f"{held.tool} at {held.at}, WAL position {held.lsn}"
    if held.left_out:
        when += f"; left out of the schema, as the server's own: {', '.join(held.left_out)}"
    wrong = _wrong_files(held)
    return [
        Finding("DMP-finished", title, Status.PASS, Severity.BLOCKER, str(folder), "dump.json", when),
        Finding.check(
            "DMP-files",
            "Every file of the dump is as it was written",
            wrong,
            severity=Severity.BLOCKER,
            subject=str(folder),
            expected=f"{len(held.files)} files, {held.size_bytes:,} bytes, SHA-256 equal",
            observed="; ".join(wrong[:10]) or f"{len(held.files)} files read back, all equal",
            why="A changed or cut file loses rows in the restore, or all of it.",
            remedy=again,
            data={"files": len(held.files), "bytes": held.size_bytes},
        ),
        _check_contents(held, again),
    ]


def refuse_damaged(held: Dump) -> None:
    """Raise unless every file is as it was written: what is damaged is found before the target is touched.

    Raises:
        DatabaseError: a file is missing, cut, changed or new.
    """
    wrong = _wrong_files(held)
    if wrong:
        raise DatabaseError(
            f"The dump in {held.folder} is damaged: {'; '.join(wrong[:5])}.",
            why="a changed or cut file loses rows in the restore, or all of it; nothing was restored.",
            todo="dump again into a new folder.",
        )


def read_entries(folder: Path, tool_major: int) -> list[Entry]:
    """The archive's table of contents, in its order.

    Raises:
        DatabaseError: pg_restore cannot read the archive.
    """
    program, found = find_tools(tool_major).pg_restore, []
    for section in ("pre-data", "data", "post-data"):
        command = [str(program), "--list", f"--section={section}", str(folder / "archive")]
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
        if answer.returncode != 0:
            raise DatabaseError(f"pg_restore cannot read {folder / 'archive'}: {' '.join(answer.stderr.split())[:300]}")
        lines = (re.match(r"(\d+); \d+ \d+ (.*)", line) for line in answer.stdout.splitlines())
        found += [Entry(int(line[1]), line[2], section) for line in lines if line]
    return found


def read_back(folder: Path, tables: Sequence[tuple[str, str]], tool_major: int, *, jobs: int) -> Contents:
    """Read every file of a finished dump once: its SHA-256, and of table data how many rows are in it.

    Args:
        folder: holds `archive/`.
        tables: (schema, name) of the tables that it must hold; others are counted as well.
        tool_major: of the pg_dump that wrote it.
        jobs: files read at a time.

    Raises:
        DatabaseError: pg_restore cannot list the archive, or the data of a table are cut or not readable.
    """
    held = {e.id: _table_of(e.text, tables) for e in read_entries(folder, tool_major) if e.text.startswith(_DATA)}
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        reads = list(pool.map(lambda path: _read_file(path, _entry_of(path) in held), paths))
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": digest}
        for path, (digest, _, _) in zip(paths, reads, strict=True)
    }
    data = tuple(
        TableData(number, *held[number], rows, size)
        for path, (_, rows, size) in zip(paths, reads, strict=True)
        if (number := _entry_of(path)) in held
    )
    return Contents(files, data)


@dataclass(frozen=True, slots=True)
class Contents:
    """What `read_back` saw: `files` and `data` as in `Dump`."""

    files: Mapping[str, Mapping[str, Any]]
    data: tuple[TableData, ...]


_DATA = "TABLE DATA "


def _entry_of(path: Path) -> int:
    """The entry that a data file belongs to; 0 for every other file."""
    found = re.fullmatch(r"(\d+)\.dat(\.gz)?", path.name)
    return int(found[1]) if found else 0


def _table_of(text: str, tables: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Which table a line of the contents speaks of; names with spaces make it ambiguous, so the longest fits."""
    fitting = [table for table in tables if text.startswith(f"{_DATA}{table[0]} {table[1]} ")]
    if fitting:
        return max(fitting, key=lambda table: len(" ".join(table)))
    schema, _, name = text.removeprefix(_DATA).partition(" ")
    return schema, name.rsplit(" ", 1)[0]


def _read_file(path: Path, rows_wanted: bool) -> tuple[str, int, int]:
    """SHA-256; rows and bytes of COPY text where they are wanted.

    Raises:
        DatabaseError: the data do not decompress, or do not end as pg_dump ends them.
    """
    digest, lines, size, tail = hashlib.sha256(), 0, 0, b""
    inflate = zlib.decompressobj(wbits=31) if path.suffix == ".gz" else None
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            if not rows_wanted:
                continue
            try:
                text = inflate.decompress(piece) if inflate else piece
            except zlib.error as error:
                raise _unreadable(path, str(error)) from error
            lines, size, tail = lines + text.count(b"\n"), size + len(text), (tail + text)[-len(_END) :]
    if rows_wanted and (tail != _END or (inflate is not None and not inflate.eof)):
        raise _unreadable(path, "its end is missing")
    return digest.hexdigest(), max(0, lines - _END.count(b"\n")), max(0, size - len(_END))


def _unreadable(path: Path, words: str) -> DatabaseError:
    return DatabaseError(
        f"The dump's file {path} does not read back: {words}.",
        why="it was cut or damaged as it was written (is the disk full?), and its rows would be lost.",
        todo="make room, remove the folder and dump again.",
    )


def _check_contents(held: Dump, again: str) -> Finding:
    title = "The dump holds the rows of every table"
    expected = f"{len(held.tables)} tables"
    try:
        entries = [e.text for e in read_entries(held.folder, held.tool_major) if e.text.startswith(_DATA)]
    except (DatabaseError, subprocess.SubprocessError) as error:
        words = (str(error), "It cannot be restored.", again)
        return Finding("DMP-contents", title, Status.FAIL, Severity.BLOCKER, str(held.folder), expected, *words)
    absent = [
        f"{schema}.{name}"
        for schema, name in held.tables
        if not any(line.startswith(f"TABLE DATA {schema} {name} ") for line in entries)
    ]
    rows = f", {held.rows:,} rows" if held.data else ""
    observed = f"{len(entries)} tables{rows}" + (f"; without the rows of {', '.join(absent[:10])}" if absent else "")
    return Finding.check(
        "DMP-contents",
        title,
        absent or len(entries) != len(held.tables),
        severity=Severity.BLOCKER,
        subject=str(held.folder),
        expected=expected,
        observed=observed,
        why="Rows that are not in the dump cannot arrive.",
        remedy=again,
        data={"tables": len(entries), "rows": held.rows},
    )


def _wrong_files(held: Dump) -> list[str]:
    with ThreadPoolExecutor(_READERS) as pool:
        looks = pool.map(lambda name: _look(held.folder / name, name, held.files[name]), held.files)
        wrong = [words for words in looks if words]
    known = {held.folder / name for name in held.files}
    inside = (path for path in (held.folder / "archive").rglob("*") if path.is_file())
    wrong += [f"{path.name} was added" for path in inside if path not in known]
    return wrong


def _look(path: Path, name: str, entry: Mapping[str, Any]) -> str:
    if not path.is_file():
        return f"{name} is missing"
    if path.stat().st_size != entry["bytes"]:
        return f"{name} has {path.stat().st_size:,} bytes, not {entry['bytes']:,}"
    return "" if sha256(path) == entry["sha256"] else f"{name} has another SHA-256"
