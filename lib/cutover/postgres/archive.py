"""A dump on disk: what its `dump.json` says, and whether the folder still is what was dumped."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cutover.errors import DatabaseError
from cutover.files import sha256
from cutover.finding import Finding, Severity, Status
from cutover.postgres.tools import find_tools


@dataclass(frozen=True, slots=True)
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
        files: relative path to {"bytes", "sha256"}, every file but dump.json.
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
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(int(entry["bytes"]) for entry in self.files.values())

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
    again = "Dump again into a new folder; keep this one until the new one is verified."
    try:
        held = read_dump(folder)
    except DatabaseError as error:
        return [
            _finding(
                "finished", "The dump was finished", Status.MISSING, folder, "dump.json", error.what, error.why, again
            )
        ]
    title = "The dump was finished"
    when = f"{held.tool} at {held.at}, WAL position {held.lsn}"
    findings = [_finding("finished", title, Status.PASS, folder, "dump.json", when)]
    wrong = _wrong_files(held)
    findings.append(
        _finding(
            "files",
            "Every file of the dump is as it was written",
            Status.FAIL if wrong else Status.PASS,
            folder,
            f"{len(held.files)} files, {held.size_bytes:,} bytes, SHA-256 equal",
            "; ".join(wrong[:10]) or f"{len(held.files)} files read back, all equal",
            "A changed or cut file loses rows in the restore, or all of it." if wrong else "",
            again if wrong else "",
            files=len(held.files),
            bytes=held.size_bytes,
        )
    )
    findings.append(_check_contents(held, again))
    return findings


def read_contents(folder: Path, tool_major: int) -> list[str]:
    """The archive's table of contents, an entry a line, as `pg_restore --list` prints it, without its numbers.

    Raises:
        DatabaseError: pg_restore cannot read the archive.
    """
    tools = find_tools(tool_major)
    answer = subprocess.run(
        [str(tools.pg_restore), "--list", str(folder / "archive")],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    if answer.returncode != 0:
        raise DatabaseError(f"pg_restore cannot read {folder / 'archive'}: {' '.join(answer.stderr.split())[:300]}")
    lines = (line for line in answer.stdout.splitlines() if not line.startswith(";"))
    return [re.sub(r"^\d+; \d+ \d+ ", "", line) for line in lines if line]


def _check_contents(held: Dump, again: str) -> Finding:
    title = "The dump holds the rows of every table"
    expected = f"{len(held.tables)} tables"
    try:
        entries = [line for line in read_contents(held.folder, held.tool_major) if line.startswith("TABLE DATA ")]
    except (DatabaseError, subprocess.SubprocessError) as error:
        text = str(error)
        return _finding("contents", title, Status.FAIL, held.folder, expected, text, "It cannot be restored.", again)
    absent = [
        f"{schema}.{name}"
        for schema, name in held.tables
        if not any(line.startswith(f"TABLE DATA {schema} {name} ") for line in entries)
    ]
    good = not absent and len(entries) == len(held.tables)
    observed = f"{len(entries)} tables" + (f"; without the rows of {', '.join(absent[:10])}" if absent else "")
    return _finding(
        "contents",
        title,
        Status.PASS if good else Status.FAIL,
        held.folder,
        expected,
        observed,
        "" if good else "Rows that are not in the dump cannot arrive.",
        "" if good else again,
        tables=len(entries),
    )


def _wrong_files(held: Dump) -> list[str]:
    wrong = []
    for name, entry in held.files.items():
        path = held.folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != entry["bytes"]:
            wrong.append(f"{name} has {path.stat().st_size:,} bytes, not {entry['bytes']:,}")
        elif sha256(path) != entry["sha256"]:
            wrong.append(f"{name} has another SHA-256")
    known = {held.folder / name for name in held.files} | {held.folder / "dump.json"}
    wrong += [f"{path.name} was added" for path in held.folder.rglob("*") if path.is_file() and path not in known]
    return wrong


def _finding(
    key: str,
    title: str,
    status: Status,
    folder: Path,
    expected: str,
    observed: str,
    why: str = "",
    remedy: str = "",
    **data: int,
) -> Finding:
    return Finding(
        id=f"DMP-{key}",
        title=title,
        status=status,
        severity=Severity.BLOCKER,
        subject=str(folder),
        expected=expected,
        observed=observed,
        why=why,
        remedy=remedy,
        data=data,
    )
