"""One look at the requirements, kept beside its responses: when, what was due, and what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from cutover.aws.requirements.packages import packages
from cutover.aws.requirements.recording import Recording
from cutover.aws.requirements.stack import Phase, Stack
from cutover.errors import UsageError
from cutover.files import write_json
from cutover.finding import Finding
from cutover.migration import Migration

_FOLDER = "looks"
VERSION = 1
"""Of the looks that are kept. Those without a version were kept before there was one, and are read the same."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A package whose requirements were among those of a look.

    Attributes:
        name: of the package.
        version: its version at the time of the look.
        ids: the requirements of it that were looked at.
    """

    name: str
    version: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """A look of an earlier run.

    Attributes:
        path: the file that it was kept in.
        at: when; ages are counted from here.
        phase: what was due.
        services: the requirement modules that were run; all when None.
        source_major: the source's PostgreSQL major, as it was known.
        responses: the raw files that it stands on.
        findings: what was found, before any waiver.
        packages: the packages beside Cutover that some of the findings are from.
    """

    path: Path
    at: datetime
    phase: Phase
    services: tuple[str, ...] | None
    source_major: int | None
    responses: tuple[str, ...]
    findings: tuple[Finding, ...]
    packages: tuple[Judge, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """A look from its file.

        Raises:
            UsageError: the file cannot be read, is none, or was kept by a newer version.
        """
        try:
            raw: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            services = raw["services"]
            if (version := raw.get("version", 0)) not in range(VERSION + 1):
                raise UsageError(
                    f"{path} is a look of version {version}; this Cutover knows versions up to {VERSION}.",
                    todo="judge it with the version of Cutover that kept it, or a newer one",
                )
            return cls(
                path,
                datetime.fromisoformat(raw["at"]),
                Phase(raw["phase"]),
                None if services is None else tuple(services),
                raw["source_major"],
                tuple(raw["responses"]),
                tuple(Finding.from_dict(f) for f in raw["findings"]),
                tuple(Judge(p["name"], p["version"], tuple(p["ids"])) for p in raw.get("packages", ())),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no look that was kept: {error}.", todo="cutover verify RUN") from error

    def stack(self, migration: Migration) -> Stack:
        """What it stood on, to be judged again.

        Raises:
            UsageError: a response is gone or cannot be read.
        """
        try:
            recording = Recording.load(self.path.parent.parent, self.responses)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(
                f"A response of {self.path.name} cannot be read: {error}.", todo="cutover verify RUN says what is gone"
            ) from error
        return Stack(recording, migration, self.at, self.phase, self.source_major)


def keep_look(raw: Path, stack: Stack, findings: Iterable[Finding], services: list[str] | None) -> Path:
    """Write a look beside its responses; never over another."""
    found = list(findings)
    ids = {f.id for f in found}
    own = packages(n for n in stack.migration.requirements if services is None or n in services)
    name = f"{stack.now:%Y%m%dT%H%M%S}{stack.now.microsecond:06d}-{stack.phase}.json"
    content = {
        "version": VERSION,
        "at": stack.now.isoformat(),
        "phase": str(stack.phase),
        "services": services,
        "source_major": stack.source_major,
        "responses": sorted(stack.evidence),
        "findings": [f.to_dict() for f in found],
        "packages": [
            {"name": p.name, "version": p.version, "ids": [r.id for r in p.rules if r.id in ids]} for p in own
        ],
    }
    return write_json(raw / _FOLDER / name, content)


def looks(raw: Path) -> list[Look]:
    """The looks that a run kept, oldest first."""
    return [Look.load(path) for path in sorted((raw / _FOLDER).glob("*.json"))]
