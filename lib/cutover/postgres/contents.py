"""An archive's table of contents, read from its bytes: so that what a server wrote for itself can be left out of it.

The format is that of `ReadHead` and `ReadToc` in PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c, for the versions
that the pg_dump of 14 to 18 writes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cutover.errors import DatabaseError
from cutover.postgres.server_options import PREFIX, without_own

_VERSIONS = {(1, 14), (1, 15), (1, 16)}
_CUSTOM, _DIRECTORY = 1, 3
"""What the header calls the format; a directory's `toc.dat` says tar (`_CloseArchive` in pg_backup_directory.c)."""

_KINDS = {b"TABLE", b"FOREIGN TABLE", b"VIEW", b"MATERIALIZED VIEW"}
"""Entries in whose definition pg_dump itself writes options; an index's is the server's own text."""

_PERHAPS = re.compile(rb"\b(?:SET|WITH) \([^;]*?\b" + PREFIX.encode() + rb"\w+\s*=")


def leave_out_own_options(file: Path) -> dict[str, int]:
    """Blank the server's own options out of the table of contents of an archive that pg_dump has just written.

    Nothing else changes, not even the file's length; an archive without such options is not written to.

    Args:
        file: an archive in the custom format, or the `toc.dat` of one in the directory format.

    Returns:
        The name of each option that was left out, to the number of columns and relations that had it.

    Raises:
        DatabaseError: there seems to be one, and the contents are of a version that is not known.
    """
    raw = file.read_bytes()
    if not _PERHAPS.search(raw):
        return {}
    names: list[str] = []
    kept = bytearray(raw)
    for kind, start, end in _definitions(raw, file):
        if kind in _KINDS:
            kept[start:end], found = without_own(raw[start:end])
            names += found
    if names:
        file.write_bytes(kept)
    return dict(sorted(Counter(names).items()))


@dataclass
class _Reader:
    raw: bytes
    size: int = 4
    at: int = 0

    def byte(self) -> int:
        self.at += 1
        return self.raw[self.at - 1]

    def number(self) -> int:
        negative = self.byte()
        self.at += self.size
        value = int.from_bytes(self.raw[self.at - self.size : self.at], "little")
        return -value if negative else value

    def text(self) -> tuple[int, int] | None:
        """Where a text lies; None for NULL."""
        length = self.number()
        if length < 0:
            return None
        self.at += length
        if self.at > len(self.raw):
            raise IndexError("a text goes beyond the end")
        return self.at - length, self.at


def _definitions(raw: bytes, file: Path) -> Iterator[tuple[bytes, int, int]]:
    """Kind and place of each entry's definition."""
    version = (raw[5], raw[6]) if raw[:5] == b"PGDMP" and len(raw) > 11 else (0, 0)
    unknown = DatabaseError(
        f"The table of contents of {file} (version {version[0]}.{version[1]}) is not known.",
        why="it holds options that the source's server writes for itself, for which a target refuses whole tables.",
        todo="install a pg_dump that is as new as the source's server, and name its folder: export CUTOVER_PG_BIN=…",
    )
    if version not in _VERSIONS:
        raise unknown
    try:
        yield from _entries(raw, version)
    except IndexError as error:
        raise unknown from error


def _entries(raw: bytes, version: tuple[int, int]) -> Iterator[tuple[bytes, int, int]]:
    reader = _Reader(raw, size=raw[8], at=11)
    offset, layout = raw[9], raw[10]
    if layout not in (_CUSTOM, _DIRECTORY):
        raise IndexError("neither a custom archive nor a directory's")
    if version >= (1, 15):
        reader.byte()  # how it is compressed; before, an integer: the level
    else:
        reader.number()
    for _ in range(7):
        reader.number()  # when it was written
    for _ in range(3):
        reader.text()  # the database, the server's version and pg_dump's
    for _ in range(reader.number()):
        reader.number(), reader.number(), reader.text(), reader.text(), reader.text()
        kind = reader.text() or (0, 0)
        reader.number()  # section
        definition = reader.text()
        for _ in range(5):
            reader.text()  # DROP, COPY, schema, tablespace, table access method
        if version >= (1, 16):
            reader.number()  # relkind
        reader.text(), reader.text()  # owner, WITH OIDS
        while reader.text() is not None:
            pass  # what it depends on
        if layout == _CUSTOM:
            reader.at += 1 + offset
        else:
            reader.text()  # the file of its data
        if definition:
            yield raw[kind[0] : kind[1]], *definition
    if layout == _DIRECTORY and reader.at != len(raw):
        raise IndexError("something stands behind the last entry")
