"""How far a long piece of work has come, told to whoever asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long piece of work.

    Attributes:
        stage: `dump`, `restore`, `analyze`, `digest` or `locate`.
        done: units done so far.
        total: units in all, 0 when unknown.
        unit: what is counted: `tables`, `rows`, `pieces`.
        note: what was just finished or begun, such as a table's name.
    """

    stage: str
    done: int
    total: int
    unit: str
    note: str = ""


Listener = Callable[[Progress], None]
"""Called from the thread that works (one at a time); it must be quick and must not raise."""
