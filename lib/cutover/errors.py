"""Every error that Cutover raises on purpose, as one tree.

CutoverError                    1  something broke
├── UsageError                  2  wrong usage
│   ├── ParamsError             2  a parameter file or knob that is refused
│   └── SecretError             2  a secret reference that cannot be resolved
├── InstrumentError             1  an instrument could not do its work
│   ├── DatabaseError           1  PostgreSQL refused, or its tools did
│   ├── AwsError                1  an AWS call that must work did not
│   ├── LoadError               1  the load could not be generated or recorded
│   └── StageError              1  the rehearsal stage did not come up
├── ActionRefused               2  a change that may not be made here
├── ApprovalNeeded              4  a change waits for a person
└── GateClosed                  3 or 5  the verdict of a notebook closes its gate

The number is the exit code of the command that ends with the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a command's exit code says; CONTRACTS: where several hold, 1, 2, 3, 5, 4, 0 in that order."""

    GO = 0
    BROKE = 1
    USAGE = 2
    CLOSED = 3
    WAITING = 4
    INCONCLUSIVE = 5
    INTERRUPTED = 130
    TERMINATED = 143


_PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.BROKE,
    ExitCode.USAGE,
    ExitCode.CLOSED,
    ExitCode.INCONCLUSIVE,
    ExitCode.WAITING,
    ExitCode.GO,
)


def worst(codes: list[ExitCode]) -> ExitCode:
    """The one exit code for several endings: a signal first, then 1, 2, 3, 5, 4, 0; none at all is a usage error."""
    return min(codes, key=_PRECEDENCE.index, default=ExitCode.USAGE)


@dataclass(frozen=True, slots=True)
class Message:
    """What an error says: what happened, why it matters, what to do next.

    Across a process, and in Jupyter's protocol, it travels as one text; this is the only place that knows its form.
    """

    what: str
    why: str = ""
    todo: str = ""

    def __str__(self) -> str:
        parts = [self.what.rstrip()]
        if self.why:
            parts.append(f"{_WHY}{self.why}")
        if self.todo:
            parts.append(f"{_TODO}{self.todo}")
        return "\n".join(parts)

    @classmethod
    def read(cls, text: str) -> Message:
        """The message of an error of ours, from its text."""
        rest, _, todo = text.partition(f"\n{_TODO}")
        what, _, why = rest.partition(f"\n{_WHY}")
        return cls(what, why, todo)


_WHY, _TODO = "Why it matters: ", "What to do: "


class CutoverError(Exception):
    """Something that a person must read: what happened, to what, why it matters, what to do next.

    Args:
        what: what happened and to what, one sentence.
        why: why it matters (optional).
        todo: what to do next, in the imperative (optional, but nearly always wanted).
    """

    exit_code: ExitCode = ExitCode.BROKE

    def __init__(self, what: str, *, why: str = "", todo: str = "") -> None:
        self.what, self.why, self.todo = what, why, todo
        super().__init__(what, why, todo)

    def __str__(self) -> str:
        return str(Message(self.what, self.why, self.todo))

    def _render_traceback_(self) -> list[str]:
        """One readable message instead of a traceback, in a notebook (an IPython protocol; it must be a list)."""
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__))


def raised(name: str) -> type[CutoverError] | None:
    """The error of this tree that has this name, as a kernel reports it; None for any other exception."""
    kind = globals().get(name)
    return kind if isinstance(kind, type) and issubclass(kind, CutoverError) else None


def _rebuild(kind: type[CutoverError], args: tuple[str, str, str], state: dict[str, Any]) -> CutoverError:
    error = kind.__new__(kind)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class UsageError(CutoverError):
    """The command, the notebook or its knobs were used in a way that cannot work."""

    exit_code = ExitCode.USAGE


class ParamsError(UsageError):
    """A parameter file is refused: an unknown key, a wrong type, a value that YAML changed, a secret in clear."""


class SecretError(UsageError):
    """A secret reference cannot be resolved, or a secret stands in clear where a reference must be."""


class InstrumentError(CutoverError):
    """An instrument could not do its work at all (what it could not *see* is an UNKNOWN finding, not an error)."""


class DatabaseError(InstrumentError):
    """PostgreSQL, pg_dump or pg_restore refused."""


class AwsError(InstrumentError):
    """An AWS call that the step cannot do without failed."""


class LoadError(InstrumentError):
    """The load could not be generated or its log not be read."""


class StageError(InstrumentError):
    """A part of the rehearsal stage did not start or stop."""


class ActionRefused(CutoverError):
    """A change that may not be made here: not applied on purpose, wrong account, no plan."""

    exit_code = ExitCode.USAGE


class ApprovalNeeded(CutoverError):
    """A change is planned and waits for its approval; the run can be resumed."""

    exit_code = ExitCode.WAITING


class GateClosed(CutoverError):
    """The verdict closes the gate: NO_GO or ROLLBACK (exit code 3), INCONCLUSIVE (5).

    Args:
        verdict: the verdict's name, as in `cutover.finding.Verdict`.
    """

    exit_code = ExitCode.CLOSED

    def __init__(self, what: str, *, verdict: str, why: str = "", todo: str = "") -> None:
        super().__init__(what, why=why, todo=todo)
        self.verdict = verdict
        if verdict == "INCONCLUSIVE":
            self.exit_code = ExitCode.INCONCLUSIVE
