"""Files that are either there whole or not there: temporary name, fsync, rename; and the digest that seals them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes | str) -> Path:
    """Write `content` to `path` so that a reader, a full disk or a kill never sees half of it.

    Args:
        path: the file; its folder is made when it is not there.
        content: bytes, or text that is written as UTF-8.

    Raises:
        OSError: no room, no rights; the file that stood there before is untouched and no temporary file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as indented UTF-8 JSON, whole; what JSON does not know is written as its text."""
    return write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, default=str, sort_keys=False) + "\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; read in pieces, so of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
