"""Requirements of a team's own, from the packages that the parameters name; entry point `cutover.requirements`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from cutover.aws.requirements.field import Rows
from cutover.aws.requirements.requirement import PREPARE, UNKNOWN, Check, Requirement
from cutover.aws.requirements.stack import Phase
from cutover.errors import UsageError
from cutover.finding import Severity, Status

GROUP = "cutover.requirements"
"""The group of entry points; each leads to a `RequirementSet`."""

RESERVED = frozenset((
    "ACC", "ACM", "ALB", "ALM", "ASG", "CDN", "CI", "DNS", "DSH", "EC2", "ECR", "ECS", "IAM", "IMG", "LOG", "LSN",
    "NET", "POST", "RDS", "RED", "S3", "SEC", "SG", "SVC", "TD", "TG", "X",
    "APP", "BASE", "CST", "CUT", "DEP", "DMP", "FLOW", "FLW", "FOR", "FRZ", "INT", "LDW", "LIVE", "LOAD", "LOC", "MAN",
    "MNT", "OBJ", "PLAN", "PRE", "QUE", "REP", "REV", "RFS", "RST", "SIZ", "SNP", "SWO", "TRF", "TRG", "VER",
))  # fmt: skip
"""The prefixes of Cutover's own findings: its requirements', then its other instruments'."""

_PREFIX = re.compile(r"[A-Z][A-Z0-9]{1,15}")


class RequirementSet(Rows):
    """The requirements of one package, each with an id of this set's prefix; `field` adds one as a row.

    Attributes:
        prefix: capital letters and digits; `ACME` makes ids such as `ACME-01`.
        registry: the requirements by id, in the order of their declaration.
    """

    def __init__(self, prefix: str) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"the prefix {prefix!r} is not 2 to 16 capital letters and digits")
        super().__init__({}, prefix)
        self.prefix = prefix

    def requirement(
        self,
        identifier: str,
        *,
        title: str,
        severity: Severity,
        guide: int = 0,
        due: Phase = PREPARE,
        absent: Status = UNKNOWN,
    ) -> Callable[[Check], Check]:
        """Add a predicate to the set; the arguments are those of `cutover.aws.requirements.requirement.requirement`."""

        def register(check: Check) -> Check:
            Requirement(identifier, title, severity, guide, due, absent, self.prefix, check).add_to(self.registry)
            return check

        return register


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose requirements are looked at.

    Attributes:
        name: of the distribution, as the parameters write it; its requirements are asked for alone by it, too.
        version: its version.
        prefixes: those of its sets.
        rules: its requirements, in the order of their declaration.
    """

    name: str
    version: str
    prefixes: tuple[str, ...]
    rules: tuple[Requirement, ...]


def packages(names: Iterable[str]) -> tuple[Package, ...]:
    """The packages of these names, in this order. No other package is loaded, whatever is installed.

    Raises:
        UsageError: one is not installed, declares no requirements, or cannot be loaded; or its ids are Cutover's or
            another package's.
    """
    found: list[Package] = []
    owners = dict.fromkeys(RESERVED, "Cutover")
    for name in names:
        package = _load(name)
        for prefix in package.prefixes:
            if prefix in owners:
                raise UsageError(
                    f"The ids {prefix}-… are declared by {package.name} {package.version} and by {owners[prefix]}.",
                    why="a waiver, a stored run and a report name a requirement by its id alone.",
                    todo=f"give the requirements of {package.name} a prefix of their own",
                )
            owners[prefix] = f"{package.name} {package.version}"
        found.append(package)
    return tuple(found)


def installed(name: str) -> str:
    """The version of an installed package, "" when it is not installed; nothing of it is loaded."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return ""


def _load(name: str) -> Package:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise UsageError(
            f"The package {name} is not installed here, and the parameters ask for its requirements.",
            todo=f"install {name} beside Cutover, or take it out of `requirements` in the parameters",
        ) from None
    entries = found.entry_points.select(group=GROUP)
    if not entries:
        raise UsageError(
            f"The package {name} {found.version} declares no requirements.",
            why=f"it has no entry point of the group {GROUP}.",
            todo="docs/own-requirements.md says how it is declared; or name another package under `requirements`",
        )
    sets = [_set(found, entry) for entry in entries]
    rules = [rule for one in sets for rule in one.registry.values()]
    if not rules:
        raise UsageError(f"The package {name} {found.version} holds no requirement.", todo="docs/own-requirements.md")
    return Package(name, found.version, tuple(s.prefix for s in sets), tuple(rules))


def _set(package: Distribution, entry: Any) -> RequirementSet:
    where = f"{package.name} {package.version}: {entry.value}"
    try:
        found = entry.load()
    except Exception as error:  # whatever a module of somebody else's raises while it is imported
        raise UsageError(
            f"The requirements of {where} cannot be loaded: {type(error).__name__}: {error}.",
            todo=f"import it by hand, with the Python of Cutover, and fix {package.name}",
        ) from error
    if not isinstance(found, RequirementSet):
        raise UsageError(
            f"{where} is of type {type(found).__name__}, not a RequirementSet.", todo="docs/own-requirements.md"
        )
    for identifier in found.registry:
        if not re.fullmatch(rf"{found.prefix}-[A-Za-z0-9-]+", identifier):
            raise UsageError(
                f"The requirement {identifier} of {where} does not begin with {found.prefix}-.",
                todo=f"give it an id such as {found.prefix}-01",
            )
    return found
