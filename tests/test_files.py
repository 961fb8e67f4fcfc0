"""Files are there whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cutover.files import sha256, write_json, write_whole


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    """And nothing else is left beside it."""
    path = write_json(tmp_path / "a" / "b.json", {"k": "ü"})
    assert path.read_text() == '{\n  "k": "ü"\n}\n'
    assert os.listdir(path.parent) == ["b.json"]


def test_a_full_disk_leaves_the_old_file_whole_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer fails loudly; the reader sees yesterday's file."""
    path = write_whole(tmp_path / "f", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_digest_is_the_standard_one(tmp_path: Path) -> None:
    """The empty file's SHA-256 is known to everybody."""
    (tmp_path / "e").touch()
    assert sha256(tmp_path / "e").startswith("e3b0c44298fc1c14")
