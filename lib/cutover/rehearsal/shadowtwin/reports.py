"""PDF reports: drawn by hand, kept in a folder (Replit) or in S3 (AWS)."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from cutover import aws_session


def draw_pdf(title: str, lines: list[str]) -> bytes:
    """A small, valid PDF of one page: a title and lines of text (PDF 32000-1:2008, 7.5)."""

    def text(value: str) -> str:
        return value.encode("latin-1", "replace").decode("latin-1").translate(_ESCAPES)

    rows = [f"BT /F1 18 Tf 72 760 Td ({text(title)}) Tj ET"]
    rows += [f"BT /F1 11 Tf 72 {730 - 16 * i} Td ({text(line)}) Tj ET" for i, line in enumerate(lines[:40])]
    stream = "\n".join(rows).encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


_ESCAPES = str.maketrans({"\\": "\\\\", "(": "\\(", ")": "\\)"})


class Shelf(Protocol):
    """Where reports lie; both calls block."""

    def put(self, name: str, content: bytes) -> None:
        """Store one report."""
        ...

    def get(self, name: str) -> bytes | None:
        """One report, or None when there is none of that name."""
        ...


class FolderShelf:
    """Reports in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, content: bytes) -> None:
        """Store one report, whole or not at all."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        temporary.write_bytes(content)
        temporary.replace(path)

    def get(self, name: str) -> bytes | None:
        """One report, or None."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None


class BucketShelf:
    """Reports in S3; boto3 is imported when the first one is needed, it is slow to load."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None, region: str) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._endpoint, self._region = endpoint, region
        self._client: Any = None
        self._lock = threading.Lock()

    def put(self, name: str, content: bytes) -> None:
        """Store one report."""
        self._s3().put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content, ContentType="application/pdf")

    def get(self, name: str) -> bytes | None:
        """One report, or None."""
        client = self._s3()
        try:
            content: bytes = client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
        return content

    def _s3(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = aws_session.client(
                    "s3", region=self._region, endpoint=self._endpoint, connect_s=2, read_s=5, attempts=2
                )
            return self._client


def open_shelf(location: str, *, endpoint: str | None, region: str) -> Shelf:
    """The shelf behind `file:///folder` or `s3://bucket/prefix`.

    Raises:
        ValueError: neither of the two.
    """
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.path:
        return FolderShelf(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return BucketShelf(parts.netloc, parts.path.strip("/"), endpoint, region)
    raise ValueError(f"REPORTS must be file:///folder or s3://bucket/prefix, not {location!r}")
