"""The location behind an address: a folder or an S3 prefix."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cutover.errors import UsageError
from cutover.objects.bucket import Bucket
from cutover.objects.folder import Folder
from cutover.objects.location import Location
from cutover.urls import shown, unreadable

_HINT = "write file:///srv/reports or s3://bucket/prefix"


def open_location(address: str, *, endpoint: str | None = None, region: str | None = None) -> Location:
    """The location behind an address.

    Args:
        address: `file:///folder` or `s3://bucket/prefix`.
        endpoint: S3's address when it is not AWS itself.
        region: of the bucket.

    Raises:
        UsageError: neither of the two.
    """
    if unreadable(address):
        raise UsageError(f"{shown(address)!r} is no place for reports.", todo=_HINT)
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.path.startswith("/") and parts.netloc in ("", "localhost"):
        return Folder(Path(os.fsdecode(unquote(parts.path, errors="surrogateescape"))))
    if parts.scheme == "s3" and parts.netloc:
        return Bucket(parts.netloc, unquote(parts.path).strip("/"), endpoint=endpoint, region=region)
    raise UsageError(f"{shown(address)!r} is no place for reports.", todo=_HINT)
