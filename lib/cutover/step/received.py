"""Whether a notebook works with the parameters that it was given: what arrived is held against what was recorded.

Between the two lies the notebook: a cell that sets `migration` once more, or a tag on another cell, and what is looked
at and changed is another platform than the run is named for.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from cutover.errors import ParamsError, UsageError
from cutover.secrets import redact
from cutover.step.evidence import RunFolder

_NAMED = ("name", "environment", "account_id", "region", "hostname")
"""What tells one migration from another; its values are said, of other keys only that they differ."""

_HEAD = "# Parameters\n"
"""How the cell begins that papermill writes."""


def parameters_hash(raw: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of what stands below `migration`; it stands in run.json as `params_sha256`."""
    text = json.dumps(raw, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hold_against_run(migration: Any, run: RunFolder, *, apply: bool) -> None:
    """Refuse parameters that are not those which the runner gave, as run.json records them.

    Args:
        migration: what arrived in the notebook.
        run: the folder of the run that the notebook is a part of.
        apply: whether the notebook would make changes.

    Raises:
        ParamsError: they are others, or none, or changes are to be made in a run that makes none.
        UsageError: run.json does not say what was given.
    """
    about = run.read("run.json")
    if not isinstance(about.get("params"), dict) or not about.get("params_sha256"):
        raise UsageError(
            f"{run.path / 'run.json'} does not say with which parameters this run was started.",
            why="nobody can tell whether this notebook works with them.",
            todo="start it with cutover run; outside of a run unset CUTOVER_RUN",
        )
    _hold(migration, about["params"], str(about["params_sha256"]), apply=apply, allowed=bool(about.get("apply")))


def hold_against_injected(migration: Any, *, apply: bool) -> None:
    """Refuse parameters that are not those which papermill wrote into this kernel's notebook; elsewhere do nothing.

    Raises:
        ParamsError: they are others, or none, or changes are to be made that papermill was not asked for.
    """
    given = _injected()
    if isinstance(given.get("migration"), dict):
        digest, allowed = parameters_hash(given["migration"]), given.get("apply") is not False
        _hold(migration, given["migration"], digest, apply=apply, allowed=allowed)


def _hold(migration: Any, given: Mapping[str, Any], digest: str, *, apply: bool, allowed: bool) -> None:
    received = migration if isinstance(migration, Mapping) else {}
    if parameters_hash(received) != digest:
        raise ParamsError(
            "This notebook does not work with the parameters that it was given: " + _difference(received, given) + ".",
            why="whatever it says and does would be of another platform than the run is named for.",
            todo="a later cell sets `migration` again, or the tag `parameters` is on another cell: fix the notebook, "
            "or bring it back from git (git diff notebooks/ shows what changed), then run again",
        )
    if apply and not allowed:
        raise ParamsError(
            "This notebook would make changes in a run that makes none.",
            why="a cell sets `apply` to True, whatever was given.",
            todo="take that cell out, and say so where it is meant: cutover run … --apply",
        )


def _difference(received: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What is different, in words without secrets."""
    if not received:
        return f"`migration` is empty, where {_named(given)} was given"
    clean = redact.tree(dict(received))
    other = [key for key in {**given, **clean} if clean.get(key) != given.get(key)]
    said = [f"{key} {clean.get(key)!r}, not {given.get(key)!r}" for key in _NAMED if key in other]
    rest = sorted({*other} - {*_NAMED})
    return "; ".join([*said, *([f"other values of {', '.join(rest)}"] if rest else [])]) or "a value that is hidden"


def _named(given: Mapping[str, Any]) -> str:
    return f"{given.get('name')} ({given.get('environment')}, account {given.get('account_id')})"


def _injected() -> dict[str, Any]:
    """What the cell that papermill wrote has set in this kernel; {} where a person works in it, and without one."""
    try:
        from IPython import get_ipython  # noqa: PLC0415 - not there outside of a kernel

        shell = get_ipython()
    except ImportError:
        return {}
    if shell is None or getattr(getattr(shell, "kernel", None), "_allow_stdin", True):
        return {}
    for source in map(str, shell.user_ns.get("In", ())):
        found = _assigned(source) if source.startswith(_HEAD) else {}
        if found.get("migration"):  # a parameters cell may open with the same comment, above an empty default
            return found
    return {}


def _assigned(source: str) -> dict[str, Any]:
    """The names that a cell sets to literals; nan and infinity, which papermill writes as calls, are left out."""
    found: dict[str, Any] = {}
    with suppress(SyntaxError, ValueError, RecursionError):
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                with suppress(ValueError):
                    found[node.targets[0].id] = ast.literal_eval(node.value)
    return found
