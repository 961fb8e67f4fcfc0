"""The executed notebook as evidence: the true state of every cell, saved whole and redacted, whatever the ending."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from cutover.files import write_whole

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_MARKER = "papermill-error-cell-tag"  # papermill takes cells with this tag away when it runs the notebook again


class State(StrEnum):
    """How a cell or a whole notebook stands; `pending` and `running` never outlive an orderly ending.

    `gate-closed` and `waiting` (for an approval) are said of notebooks alone: the cell in which that comes out failed.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KERNEL_DIED = "kernel-died"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    NOT_RUN = "not-run"
    GATE_CLOSED = "gate-closed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a notebook ended.

    Attributes:
        state: of the notebook, and of the cell in which it ended.
        reason: one sentence, redacted; empty when it completed.
        cell: position of that cell in the notebook; None when it completed or never began.
        error: name of the exception that a cell raised, `GateClosed`.
        message: what the exception said, redacted.
        seconds: from the first cell's start to the end.
        todo: what the exception said is to be done now, redacted.
    """

    state: State
    reason: str = ""
    cell: int | None = None
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    todo: str = ""

    @property
    def word(self) -> State:
        """The state of the notebook, where a closed gate and a wanted approval are no failures."""
        return {"GateClosed": State.GATE_CLOSED, "ApprovalNeeded": State.WAITING}.get(self.error, self.state)


_WORDS = {State.GATE_CLOSED: "The gate is closed", State.WAITING: "Waiting for an approval"}


class NotebookRecord:
    """One notebook while it runs.

    Args:
        nb: the notebook; its cells are changed in place as outputs arrive.
        path: where it is saved; None saves nowhere.
        redact: takes registered secrets out of a text.
    """

    AUTOSAVE_S = 1.0

    def __init__(self, nb: Any, path: Path | None, redact: Callable[[str], str]) -> None:
        self.nb, self.path = nb, path
        self.redact = redact
        self._began = time.monotonic()
        self._saved = 0.0
        self._dirty = False

    def begin(self) -> None:
        """Forget every earlier run and save the notebook as it stands before its first cell."""
        self._began = time.monotonic()
        self.nb.metadata.setdefault("papermill", {})
        self.nb.metadata["papermill"] |= {"start_time": _now(), "end_time": None, "duration": None, "exception": None}
        self.nb.metadata["cutover"] = {"state": str(State.RUNNING), "reason": ""}
        for cell in self.nb.cells:
            if cell.cell_type == "code":
                cell.execution_count, cell.outputs = None, []
            cell.metadata["papermill"] = {
                "exception": None,
                "start_time": None,
                "end_time": None,
                "duration": None,
                "status": str(State.PENDING),
            }
        self.save()

    def cell_started(self, index: int) -> None:
        """A cell begins."""
        self._of(index).update(status=str(State.RUNNING), start_time=_now(), exception=False)
        self.touch()

    def cell_ended(self, index: int, state: State) -> None:
        """A cell ended as `state` says."""
        about = self._of(index)
        about.update(status=str(state), end_time=_now(), exception=state is not State.COMPLETED)
        if about["start_time"]:
            began = datetime.fromisoformat(about["start_time"])
            about["duration"] = (datetime.fromisoformat(about["end_time"]) - began).total_seconds()
        self.touch()

    def touch(self) -> None:
        """Something changed; it is saved by the next `autosave`."""
        self._dirty = True

    def autosave(self) -> None:
        """Save what changed, when the last save is long enough ago (saves that take long come more rarely)."""
        if self._dirty and time.monotonic() - self._saved >= self.AUTOSAVE_S:
            began = time.monotonic()
            self.save()
            self._saved = max(began, time.monotonic() + 4 * (time.monotonic() - began) - self.AUTOSAVE_S)

    def end(self, ending: Ending) -> None:
        """Give every cell its last state and save the notebook."""
        for cell in self.nb.cells:
            if cell.metadata["papermill"]["status"] == State.PENDING:
                cell.metadata["papermill"]["status"] = str(
                    State.COMPLETED if ending.state is State.COMPLETED else State.NOT_RUN
                )
        self.nb.metadata["papermill"] |= {
            "end_time": _now(),
            "duration": time.monotonic() - self._began,
            "exception": None if ending.state is State.COMPLETED else True,
        }
        self.nb.metadata["cutover"] = {"state": str(ending.word), "reason": ending.reason}
        self.save(ending)

    def save(self, ending: Ending | None = None) -> None:
        """Write the notebook whole and redacted.

        Raises:
            OSError: it cannot be written; what was saved before still stands.
        """
        self._saved, self._dirty = time.monotonic(), False
        if self.path is not None:
            write_whole(self.path, _nbformat().writes(self.published(ending), version=4) + "\n")

    def published(self, ending: Ending | None = None) -> Any:
        """A redacted copy; one that did not complete says so at its top and before the cell where it ended."""
        nb = _nbformat().from_dict(self._clean(self.nb))
        if ending and ending.state is not State.COMPLETED:
            where = "before its first cell"
            if ending.cell is not None:
                where = 'at <a href="#papermill-error-cell">the cell below this mark</a>'
                nb.cells.insert(ending.cell, _marker('<span id="papermill-error-cell">⮟ It ended here.</span>'))
            reason = ending.reason.replace("<", "&lt;").replace("\n", "<br>\n")
            what = _WORDS.get(ending.word, f"This notebook did not finish: {ending.word}")
            nb.cells.insert(0, _marker(f"**{what}**, {where}.<br>\n{reason}"))
        return nb

    def _clean(self, value: Any) -> Any:
        """Redacted text in every place; a secret that terminal colours cut in pieces is found as well."""
        if isinstance(value, str):
            plain = _ANSI.sub("", value) if "\x1b[" in value else value
            clean = self.redact(plain)
            return clean if clean != plain else self.redact(value)
        if isinstance(value, dict):
            return {self._clean(k): self._clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(v) for v in value]
        return value

    def _of(self, index: int) -> Any:
        return self.nb.cells[index].metadata["papermill"]


def _marker(text: str) -> Any:
    return _nbformat().v4.new_markdown_cell(text, metadata={"tags": [_MARKER]})


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _nbformat() -> Any:
    import nbformat  # noqa: PLC0415 - slow; loaded while the kernel boots

    return nbformat
