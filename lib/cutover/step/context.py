"""What a procedure needs of the step that calls it, and nothing more: parameters, journal, the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cutover.errors import UsageError
from cutover.migration import Migration
from cutover.step.evidence import RunFolder
from cutover.step.journal import Journal


class Context(Protocol):
    """Where a procedure is at work; a `Step` is one."""

    @property
    def name(self) -> str:
        """The notebook's name, `12_data_migration`."""
        ...

    @property
    def migration(self) -> Migration:
        """The migration, validated."""
        ...

    @property
    def journal(self) -> Journal:
        """What outlives this machine."""
        ...

    @property
    def run(self) -> RunFolder:
        """The run's folder, which takes the evidence."""
        ...


def attach(step: Context, name: str, content: bytes | str | Mapping[str, Any] | list[Any]) -> str:
    """Keep `content` as evidence and return its path in the run folder; a bare name goes to raw/<step>/."""
    relative = name if "/" in name else f"raw/{step.name}/{name}"
    step.run.write(relative, content)
    return relative


def backup_folder(step: Context, name: str) -> Path:
    """A private folder for this run's dumps: `<backups>/<migration>-<environment>/<run's time>-<name>`; made.

    Raises:
        UsageError: it cannot be made.
    """
    migration = step.migration
    place = migration.resolve(migration.backups).removeprefix("file://")
    stamp = step.run.name.split("-", 1)[0]
    folder = Path(place) / f"{migration.name}-{migration.environment}" / f"{stamp}-{name}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder for backups {folder} cannot be made: {error.strerror}.",
            todo="set `backups:` in the parameters to a private folder with room for the dump",
        ) from error
    return folder
