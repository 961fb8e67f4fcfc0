"""The file in which a running rehearsal stage says what it offers; whoever uses a stage finds it by this alone."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutover.errors import UsageError


@dataclass(frozen=True, slots=True)
class StageLink:
    """A running rehearsal stage, as its descriptor file tells.

    Attributes:
        path: the descriptor (`stage.json`, readable by its owner only).
        pid: the process that keeps the stage.
        values: endpoints and dummy credentials by dotted name, `source.database_url`.
        migration: the `migration` mapping that the stage was started with.
    """

    path: Path
    pid: int
    values: dict[str, str]
    migration: dict[str, Any]


def stages_folder() -> Path:
    """Where running stages keep their descriptors: `$XDG_CACHE_HOME/cutover/stages`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cutover" / "stages"


def running_stage() -> StageLink:
    """The stage that CUTOVER_STAGE names, or else the only one that is running.

    Raises:
        UsageError: none is running, or several are and CUTOVER_STAGE does not choose.
    """
    named = os.environ.get("CUTOVER_STAGE")
    paths = [Path(named)] if named else sorted(stages_folder().glob("*/stage.json"))
    alive = [link for link in map(_read_stage, paths) if link is not None]
    if len(alive) == 1:
        return alive[0]
    if not alive:
        raise UsageError(
            "No rehearsal stage is running." if not named else f"The stage of CUTOVER_STAGE={named} is not running.",
            why="without one there is nothing to look at, and a rehearsal that quietly starts itself could be "
            "mistaken for the real thing.",
            todo="start one with `make lab` or `cutover stage`, or give parameters: -f params/staging.yml",
        )
    raise UsageError(
        f"{len(alive)} rehearsal stages are running.",
        todo="choose one: export CUTOVER_STAGE=" + str(alive[-1].path),
    )


def _read_stage(path: Path) -> StageLink | None:
    try:
        raw = json.loads(path.read_text())
        os.kill(raw["pid"], 0)
        return StageLink(path, raw["pid"], raw["values"], raw["migration"])
    except (OSError, ValueError, KeyError):
        return None
