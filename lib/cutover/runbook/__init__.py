"""What a notebook imports: `runbook.begin`, `runbook.progress`, and every procedure as `runbook.<module>.<function>`.

A module of `cutover.procedures` is imported when it is first named: many need pandas and matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType

from cutover import procedures
from cutover.progress import progress
from cutover.step import begin

__all__ = ["begin", "progress"]


def __getattr__(name: str) -> ModuleType:
    if name.startswith("_") or find_spec(f"{procedures.__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{procedures.__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(module.name for module in iter_modules(procedures.__path__))})
