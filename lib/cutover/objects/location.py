"""Folders and S3 prefixes as one thing: names to contents. `file:///srv/reports` or `s3://bucket/prefix`.

Contents go through in pieces, so that an object may be larger than this machine's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from cutover.errors import InstrumentError

PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listed:
    """A name at a location: its size in bytes, and why it cannot be read where that is known already."""

    name: str
    size: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of one object: size in bytes, SHA-256 (hexadecimal), and what is said of it.

    `about` holds headers (`ContentType`, `CacheControl`, …) and user metadata (`x-amz-meta-…`). A folder knows the
    content type only, by the file's name.
    """

    size: int
    sha256: str
    about: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """An open object. `read` gives as many bytes as are asked for, and fewer only at the end."""

    size: int
    about: Mapping[str, str]

    def read(self, amount: int = -1) -> bytes:
        """The next bytes; an OSError when the object is no longer what it was when it was opened."""
        ...


class Location(Protocol):
    """Where objects lie. Names are relative, with `/` between their parts. Every call may raise what `faults` lists."""

    address: str

    def list(self) -> Iterator[Listed]:
        """Every object's name and size."""
        ...

    def summary(self, name: str) -> Summary:
        """Size, SHA-256 and headers, by reading it or from a checksum that S3 computed itself."""
        ...

    def open(self, name: str) -> AbstractContextManager[Reader]:
        """One object's content, piece by piece."""
        ...

    def write(self, name: str, content: Reader) -> None:
        """Store one object, whole or not at all."""
        ...

    def tidy(self, names: Iterable[str]) -> int:
        """Remove what earlier writes of these names left behind unfinished; how many there were."""
        ...


def fill(read: Callable[[int], bytes], amount: int) -> bytes:
    """Exactly `amount` bytes from a `read` that may give fewer; all that is left for a negative amount."""
    pieces: list[bytes] = []
    left = amount
    while left:
        piece = read(min(left, PIECE) if left > 0 else PIECE)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece) if left > 0 else 0
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def shown(name: str) -> str:
    """A name that can be printed and written, whatever bytes the file system had in it."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def told(error: BaseException) -> str:
    """Why an object failed, in a line."""
    if isinstance(error, FileNotFoundError):
        return "it has vanished"
    if isinstance(error, PermissionError):
        return "no right to read or write it"
    if isinstance(error, UnicodeError):
        return "its name is not UTF-8, and S3 takes no other"
    return shown(f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}")


def faults() -> tuple[type[BaseException], ...]:
    """What reading or writing one object may raise: of the file system, of S3, or ours."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415 - slow to import
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    return OSError, InstrumentError, UnicodeError, BotoCoreError, ClientError, Boto3Error, HTTPError
