"""The journal: what must outlive one machine, as lines that are only ever added.

It holds what a later step needs (the old TTL, the write position of the freeze), approvals, changes and endings. A run
on another machine reads it and goes on.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cutover.action import Approval
from cutover.errors import UsageError
from cutover.secrets import redact, resolve


@dataclass(slots=True)
class _Lines:
    """What a store holds: its lines, and how many of them could not be read."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    torn: int = 0


class _Store(Protocol):
    def append(self, line: str) -> None: ...

    def read(self) -> Iterator[str]: ...


class Journal:
    """The journal of one migration in one environment.

    Args:
        store: where the lines lie.
        run: name of the run that writes.
        step: name of the step that writes.
    """

    def __init__(self, store: _Store, *, run: str = "", step: str = "") -> None:
        self._store, self._run, self._step = store, run, step

    @classmethod
    def open(cls, state: str, name: str, environment: str, *, root: Path | None = None, **who: str) -> Journal:
        """The journal at `migration.state`.

        Args:
            state: a folder, relative to `root`, `s3://bucket/prefix`, or a reference to one of these.
            name: the migration's name.
            environment: the migration's environment.
            root: what a relative folder is relative to; the working folder by default.
            who: `run` and `step` of the writer.

        Raises:
            UsageError: the state is neither a folder nor an S3 location.
        """
        state = resolve(state)
        if state.startswith("s3://"):
            from cutover.step.s3journal import S3Store  # noqa: PLC0415 - boto3 is slow to import

            return cls(S3Store(f"{state.rstrip('/')}/{name}-{environment}"), **who)
        if "://" in state:
            raise UsageError(
                f"migration.state: {state} is no place for a journal.", todo="a folder or s3://bucket/prefix"
            )
        return cls(FileStore((root or Path.cwd()) / state / f"{name}-{environment}.jsonl"), **who)

    def write(self, kind: str, **values: Any) -> dict[str, Any]:
        """Add a line; it is on disk when this returns."""
        entry = {"at": datetime.now(UTC).isoformat(), "kind": kind, "run": self._run, "step": self._step, **values}
        text = redact(json.dumps(entry, ensure_ascii=False, default=str, separators=(",", ":")))
        self._store.append(text)
        return dict(json.loads(text))

    def entries(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Every line, oldest first; of one kind where it is named. A torn line is passed over (`torn` counts them)."""
        return [e for e in self._read().entries if kind in (None, e.get("kind"))]

    @property
    def torn(self) -> int:
        """How many lines could not be read: a machine went down while it wrote."""
        return self._read().torn

    def remember(self, key: str, value: Any) -> None:
        """Keep `value` (JSON types) under `key`; the latest holds."""
        self.write("remember", key=key, value=value)

    def recall(self, key: str, default: Any = None) -> Any:
        """The latest value under `key`."""
        return self.everything().get(key, default)

    def everything(self) -> dict[str, Any]:
        """The latest value of every key that was remembered."""
        return {e["key"]: e.get("value") for e in self.entries("remember")}

    def approve(self, approval: Approval, *, subject: str = "") -> None:
        """Record who let a plan pass."""
        values = {"plan_hash": approval.plan_hash, "approver": approval.approver, "note": approval.note}
        self.write("approval", subject=subject, **values)

    def approval(self, plan_hash: str) -> Approval | None:
        """The latest approval of exactly this plan."""
        for e in reversed(self.entries("approval")):
            if e["plan_hash"] == plan_hash:
                return Approval(plan_hash, e["approver"], e["at"], e.get("note", ""))
        return None

    def last_change(self, action: str, subject: str) -> dict[str, Any] | None:
        """The latest completed change by an action of this name on this subject, as `Change.to_dict` gives it.

        An action whose work is whole may have said so itself (`change-done`) just before it was killed.
        """
        for e in reversed([e for e in self.entries() if e.get("kind") in ("change", "change-done")]):
            plan = e["change"]["plan"]
            if plan["action"] == action and plan["subject"] == subject:
                return dict(e["change"])
        return None

    def latest_plan(self, action: str) -> dict[str, Any]:
        """The latest plan of an action that was begun and meant to change something; {} for none.

        Begun is enough: a change that broke off half-way must be undone as well.
        """
        for e in reversed(self.entries("change-begun")):
            plan = e["plan"]
            if plan["action"] == action and plan.get("before") != plan.get("after"):
                return dict(plan)
        return {}

    def _read(self) -> _Lines:
        lines = _Lines()
        for line in self._store.read():
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                if not isinstance(entry, dict):
                    raise ValueError
                lines.entries.append(entry)
            except ValueError:
                lines.torn += 1
        return lines


class FileStore:
    """Lines in one file: each is written at once and on disk before `append` returns; writers wait for each other."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: str) -> None:
        """Add a line; one that an earlier writer tore is closed first, so that it spoils itself alone."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            data = (("\n" if torn else "") + line + "\n").encode()
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> Iterator[str]:
        """Every line, oldest first; none when the file is not there."""
        try:
            yield from self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
