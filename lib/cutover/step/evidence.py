"""A run's folder: what was done and seen, written whole, redacted, and sealed by a manifest of every byte."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cutover.errors import UsageError
from cutover.files import sha256, write_json, write_whole
from cutover.finding import Finding
from cutover.secrets import redact

MANIFEST = "manifest.json"
FINDINGS = "findings.jsonl"
_UNSEALED = {MANIFEST, "statement.dsse.json"}
_LARGEST_TEXT = 64 * 2**20  # what is larger is a log of requests, which holds times and outcomes


class RunFolder:
    """One run's folder; see CONTRACTS for what lies in it.

    Args:
        path: the folder.
        clean: takes registered secrets out of a text.
    """

    def __init__(self, path: Path | str, clean: Callable[[str], str] = redact) -> None:
        self.path = Path(path)
        self._clean = clean

    @classmethod
    def create(cls, outputs: Path, environment: str, phase: str, clean: Callable[[str], str] = redact) -> RunFolder:
        """Make `outputs/<UTC>-<environment>-<phase>/`; a name that is taken gets a suffix, nothing is overwritten.

        Raises:
            UsageError: no folder can be made there.
        """
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{environment}-{re.sub(r'[^A-Za-z0-9_.]+', '_', phase) or 'run'}"
        try:
            outputs.mkdir(parents=True, exist_ok=True)
            for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
                try:
                    (outputs / f"{name}{suffix}").mkdir()
                except FileExistsError:
                    continue
                return cls(outputs / f"{name}{suffix}", clean)
        except OSError as error:
            raise UsageError(
                f"No run folder can be made in {outputs}: {error.strerror}.",
                why="a run without evidence proves nothing.",
                todo="make room or give another folder with --outputs.",
            ) from error
        raise UsageError(f"{outputs} holds a thousand runs named {name}.", todo="wait a second")

    @classmethod
    def find(cls, run: Path | str, outputs: Path | None = None) -> RunFolder:
        """The folder of a run that is named by its path, by its name below `outputs`, or `last` for the newest.

        Raises:
            UsageError: there is none.
        """
        if str(run) == "last":
            runs = [path.parent for path in (outputs or Path("outputs")).glob("*/run.json")]
            if runs:
                return cls(max(runs, key=lambda path: path.name))
            raise UsageError(f"There is no run in {outputs or 'outputs'} yet.", todo="make rehearse")
        places = [Path(run), *([outputs / str(run)] if outputs else []), Path("outputs") / str(run)]
        for place in places:
            if (place / "run.json").is_file():
                return cls(place)
        raise UsageError(
            f"There is no run {run}.", todo="name a folder of outputs/, or last; index.html there lists them"
        )

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name

    def write(self, relative: str | Path, content: bytes | str | Mapping[str, Any] | list[Any]) -> Path:
        """Write one file whole and redacted; a mapping or a list as JSON; bytes that are no text as they are.

        Raises:
            UsageError: the path leads out of the folder.
        """
        path = (self.path / relative).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise UsageError(f"{relative} is not below the run's folder.", todo="give a relative path, raw/aws/x.json")
        if isinstance(content, bytes):
            try:
                content = content.decode()
            except UnicodeDecodeError:
                return write_whole(path, content)
        if isinstance(content, str):
            return write_whole(path, self._clean(content))
        return write_json(path, self._tree(content))

    def read(self, relative: str) -> dict[str, Any]:
        """A JSON object in the folder; empty when it is not there or not readable."""
        try:
            value = json.loads((self.path / relative).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def update(self, relative: str, **values: Any) -> dict[str, Any]:
        """Change some keys of a JSON object in the folder."""
        merged = self.read(relative) | values
        self.write(relative, merged)
        return merged

    def raw(self, room: str) -> Path:
        """The folder for a room's raw evidence, `raw/aws`; it is made."""
        folder = self.path / "raw" / room
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def record(self, step: str, findings: Iterable[Finding]) -> None:
        """Append findings to findings.jsonl; they are on disk when this returns."""
        at = datetime.now(UTC).isoformat()
        lines = [json.dumps({**f.to_dict(), "step": step, "at": at}, ensure_ascii=False, default=str) for f in findings]
        text = self._clean("".join(f"{line}\n" for line in lines))
        with (self.path / FINDINGS).open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def records(self, step: str | None = None) -> list[dict[str, Any]]:
        """The lines of findings.jsonl as they stand, a torn one left out; of one step where it is named."""
        return read_findings(self.path, step)

    def findings(self, step: str | None = None) -> list[Finding]:
        """The findings that were recorded, oldest first."""
        return [Finding.from_dict(entry) for entry in self.records(step)]

    def steps(self) -> list[dict[str, Any]]:
        """What each step said of itself (steps/*.json), in the order in which they began."""
        said = [self.read(f"steps/{path.name}") for path in (self.path / "steps").glob("*.json")]
        return sorted((s for s in said if s), key=lambda s: str(s.get("started", "")))

    def seal(self) -> dict[str, Any]:
        """Take secrets out of every text that others wrote here, then write the manifest: it is the last file."""
        for path in self._files():
            self._scrub(path)
        files = {
            str(path.relative_to(self.path)): {"sha256": sha256(path), "size": path.stat().st_size}
            for path in self._files()
        }
        manifest = {"run": self.name, "sealed": datetime.now(UTC).isoformat(), "files": files}
        write_json(self.path / MANIFEST, manifest)
        return manifest

    def verify(self) -> list[str]:
        """What differs from the manifest, a sentence each; empty when every byte is as it was sealed."""
        manifest = self.read(MANIFEST)
        if not isinstance(manifest.get("files"), dict):
            return [f"{self.name} has no readable {MANIFEST}: it was never finished, or the file was removed."]
        sealed, there = manifest["files"], {str(p.relative_to(self.path)): p for p in self._files()}
        problems = [f"{name} is missing." for name in sorted(sealed.keys() - there.keys())]
        problems += [f"{name} was added after the run was sealed." for name in sorted(there.keys() - sealed.keys())]
        for name in sorted(sealed.keys() & there.keys()):
            path, entry = there[name], sealed[name]
            if path.is_symlink() or path.stat().st_size != entry["size"] or sha256(path) != entry["sha256"]:
                problems.append(f"{name} was changed after the run was sealed.")
        return problems

    def _files(self) -> list[Path]:
        return sorted(p for p in self.path.rglob("*") if p.is_file() and str(p.relative_to(self.path)) not in _UNSEALED)

    def _scrub(self, path: Path) -> None:
        if path.is_symlink() or path.stat().st_size > _LARGEST_TEXT:
            return
        data = path.read_bytes()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return
        if (clean := self._clean(text)) != text:
            mode = path.stat().st_mode
            write_whole(path, clean)
            path.chmod(mode)

    def _tree(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._clean(value)
        if isinstance(value, Mapping):
            return {self._clean(str(k)): self._tree(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._tree(v) for v in value]
        return value if isinstance(value, int | float | bool | None) else self._clean(str(value))


def read_findings(run: Path, step: str | None = None) -> list[dict[str, Any]]:
    """The lines of a run folder's findings.jsonl as they stand, oldest first; torn lines are left out.

    Args:
        run: the run's folder; one without the file has no findings.
        step: only what this step recorded.
    """
    try:
        lines = (run / FINDINGS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and step in (None, entry.get("step")):
            found.append(entry)
    return found


def project_root(start: Path | None = None) -> Path:
    """The nearest folder above the working folder that holds both `notebooks` and `params`; else the working folder.

    Notebooks in Lab run in `notebooks/`, the command in the checkout: both must find the same `outputs/`.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return folder
    return start
