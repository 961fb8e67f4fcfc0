"""Folders and S3 prefixes as one thing: names to contents. `file:///srv/reports` or `s3://bucket/prefix`."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from cutover.errors import InstrumentError, UsageError
from cutover.files import write_whole

PIECE = 1024 * 1024
_HINT = "write file:///srv/reports or s3://bucket/prefix"


class Location(Protocol):
    """Where objects lie. Names are relative, with `/` between their parts. Every call may raise what `FAULTS` lists."""

    address: str

    def list(self) -> Iterator[tuple[str, int]]:
        """Every object's name and size in bytes."""
        ...

    def sha256(self, name: str) -> tuple[int, str]:
        """Size and SHA-256 (hexadecimal) of one object, by reading it or from a checksum that S3 computed itself."""
        ...

    def read(self, name: str) -> bytes:
        """One object's content."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Store one object, whole or not at all."""
        ...


def open_location(address: str, *, endpoint: str | None = None, region: str | None = None) -> Location:
    """The location behind an address.

    Args:
        address: `file:///folder` or `s3://bucket/prefix`.
        endpoint: S3's address when it is not AWS itself.
        region: of the bucket.

    Raises:
        UsageError: neither of the two.
    """
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.path.startswith("/") and parts.netloc in ("", "localhost"):
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return Bucket(parts.netloc, unquote(parts.path).strip("/"), endpoint=endpoint, region=region)
    raise UsageError(f"{address!r} is no place for reports.", todo=_HINT)


class Folder:
    """Objects as files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = f"file://{quote(str(folder))}"

    def list(self) -> Iterator[tuple[str, int]]:
        """Regular files only; a link is followed when it stays inside the folder, else refused.

        Raises:
            InstrumentError: the folder is not there, or a part of it cannot be read.
        """
        if not self._folder.is_dir():
            raise InstrumentError(
                f"The folder {self._folder} is not there.",
                why="a missing folder must not look like one without reports.",
                todo=f"check the address of the reports; to start with an empty one: mkdir -p {self._folder}",
            )

        def refuse(error: OSError) -> None:
            raise error

        root = self._folder.resolve()
        for folder, _, files in os.walk(self._folder, onerror=refuse):
            for file in files:
                path = Path(folder) / file
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    raise InstrumentError(
                        f"{path} is a link that leads out of the folder of the reports.",
                        todo="put the file itself there, or remove the link",
                    )
                yield path.relative_to(self._folder).as_posix(), path.stat().st_size

    def sha256(self, name: str) -> tuple[int, str]:
        """By reading the file."""
        with self._path(name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest

    def read(self, name: str) -> bytes:
        """The file's content."""
        return self._path(name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Written whole."""
        write_whole(self._path(name), content)

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if not name or not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(self._folder)):
            raise InstrumentError(
                f"The object's name {name!r} leads out of {self._folder}.",
                why="a name from a bucket must not write anywhere else.",
                todo="rename the object",
            )
        return path


class Bucket:
    """Objects in S3 under a prefix."""

    def __init__(self, bucket: str, prefix: str, *, endpoint: str | None, region: str | None) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._endpoint, self._region = endpoint, region
        self.address = f"s3://{bucket}" + (f"/{prefix}" if prefix else "")
        self._client: Any = None
        self._lock = threading.Lock()

    def list(self) -> Iterator[tuple[str, int]]:
        """Every object but the empty ones whose name ends in `/`, which consoles make for folders."""
        pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for raw in page.get("Contents", ()):
                name = raw["Key"][len(self._prefix) :]
                if name and not (name.endswith("/") and raw["Size"] == 0):
                    yield name, int(raw["Size"])

    def sha256(self, name: str) -> tuple[int, str]:
        """From the SHA-256 that S3 verified when the object came as one part, else by reading it."""
        key = self._prefix + name
        head = self._s3().head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        stored = head.get("ChecksumSHA256")
        # A multipart upload's checksum is one of checksums, not of the content; its ETag tells it apart (`…-3`).
        whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in head["ETag"]
        if stored and whole and "-" not in stored:
            return int(head["ContentLength"]), base64.b64decode(stored).hex()
        body = self._s3().get_object(Bucket=self._bucket, Key=key)["Body"]
        digest, size = hashlib.sha256(), 0
        for piece in body.iter_chunks(PIECE):
            digest.update(piece)
            size += len(piece)
        return size, digest.hexdigest()

    def read(self, name: str) -> bytes:
        """The object's content."""
        content: bytes = self._s3().get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Put with its SHA-256, which S3 checks before it accepts the object."""
        kind = {"ContentType": "application/pdf"} if name.lower().endswith(".pdf") else {}
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        self._s3().put_object(
            Bucket=self._bucket, Key=self._prefix + name, Body=content, ChecksumSHA256=checksum, **kind
        )

    def _s3(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3  # noqa: PLC0415 - slow to import, and a folder needs none
                from botocore.config import Config  # noqa: PLC0415

                settings = Config(
                    connect_timeout=5,
                    read_timeout=30,
                    max_pool_connections=16,
                    retries={"mode": "standard", "total_max_attempts": 5},
                    s3={"addressing_style": "path"} if self._endpoint else {},
                )
                dummy = "rehearsal" if self._endpoint else None  # an emulator gets no real credentials
                self._client = boto3.client(
                    "s3",
                    region_name=self._region,
                    endpoint_url=self._endpoint,
                    aws_access_key_id=dummy,
                    aws_secret_access_key=dummy,
                    config=settings,
                )
            return self._client


def faults() -> tuple[type[BaseException], ...]:
    """What reading or writing one object may raise: of the file system, of S3, or ours."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    return OSError, InstrumentError, BotoCoreError, ClientError
