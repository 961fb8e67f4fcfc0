"""Objects as files below a folder."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from cutover.errors import InstrumentError
from cutover.objects.location import PIECE, Listed, Reader, Summary, fill

_UNFINISHED = ".cutover-unfinished-"


class Folder:
    """A folder, with everything in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = f"file://{quote(os.fsencode(folder))}"

    def list(self) -> Iterator[Listed]:
        """Every entry below the folder; what is no file of its own (a pipe, a link that leads nowhere) says so.

        Raises:
            InstrumentError: the folder is not there, a part of it cannot be read, or a link leads out of it.
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
        for folder, folders, files in os.walk(self._folder, onerror=refuse):
            linked = [name for name in folders if Path(folder, name).is_symlink()]
            for name in (*files, *linked):
                path = Path(folder, name)
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    raise InstrumentError(
                        f"{path} is a link that leads out of the folder of the reports.",
                        todo="put the file itself there, or remove the link",
                    )
                yield self._listed(path)

    def summary(self, name: str) -> Summary:
        """By reading the file."""
        digest, size = hashlib.sha256(), 0
        with self.open(name) as reader:
            while piece := reader.read(PIECE):
                digest.update(piece)
                size += len(piece)
            return Summary(size, digest.hexdigest(), reader.about)

    @contextmanager
    def open(self, name: str) -> Iterator[Reader]:
        """The file, as long as it stays what it was."""
        path = self._path(name)
        # A pipe without a writer would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is not a file")
            yield _FileReader(path, file, content_type(name))

    def write(self, name: str, content: Reader) -> None:
        """Under another name first, then at once in its place."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                while piece := content.read(PIECE):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def tidy(self, names: Iterable[str]) -> int:
        """Files that an earlier copy was killed over; they are ours by their name."""
        folders = {self._path(name).parent for name in names if _usable(name)}
        left = [path for folder in folders if folder.is_dir() for path in folder.glob(f"{_UNFINISHED}*")]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _listed(self, path: Path) -> Listed:
        name = path.relative_to(self._folder).as_posix()
        try:
            about = path.stat()
        except OSError as error:
            return Listed(name, 0, f"it leads nowhere: {error.strerror}" if path.is_symlink() else "it has vanished")
        if stat.S_ISDIR(about.st_mode):
            return Listed(name, 0, "it is a link to a folder, which is not followed")
        return Listed(name, about.st_size, "" if stat.S_ISREG(about.st_mode) else "it is not a file")

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if not _usable(name):
            raise InstrumentError(
                f"The object's name {name!r} leads out of {self._folder}, or is no file's name.",
                why="a name from a bucket must not write anywhere else, nor over another one.",
                todo="rename the object",
            )
        return path


def content_type(name: str) -> dict[str, str]:
    """What a browser is told that a file of this name is; nothing when nobody knows."""
    kind = mimetypes.guess_type(name.rsplit("/", 1)[-1], strict=True)[0]
    return {"ContentType": kind} if kind else {}


def _usable(name: str) -> bool:
    """Whether a name is one of a file below the folder, spelt in the only way."""
    spelt = os.path.normpath(name) == name and not name.startswith(("/", "../"))
    return spelt and "\0" not in name and name not in ("", ".", "..")


class _FileReader:
    """Reads a file, and notices at its end when it was written to, replaced or removed meanwhile."""

    def __init__(self, path: Path, file: IO[bytes], about: Mapping[str, str]) -> None:
        self._path, self._file, self.about = path, file, about
        self._before = os.fstat(file.fileno())
        self.size = self._before.st_size

    def read(self, amount: int = -1) -> bytes:
        """The next bytes.

        Raises:
            OSError: the file changed since it was opened, or is gone.
        """
        content = fill(self._file.read, amount)
        if amount < 0 or len(content) < amount:
            now = (os.fstat(self._file.fileno()), self._path.stat())
            if any(_stamp(one) != _stamp(self._before) for one in now):
                raise OSError("it changed while it was read")
        return content


def _stamp(about: os.stat_result) -> tuple[int, ...]:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
