"""Differences that are meant: those that the parameters declare, and those that a managed service makes by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog.differences import CatalogDifference
from cutover.postgres.catalog.left_out import LeftOut
from cutover.postgres.catalog.model import Catalog
from cutover.postgres.catalog.weights import APART


class Expected(Protocol):
    """A difference that is meant; `cutover.migration.ExpectedDifference` is one."""

    @property
    def kind(self) -> str:
        """Kind of object, or `owner`, `acl`, `comment`; `*` and `?` as in file names."""

    @property
    def object(self) -> str:
        """Name of the object, `*` and `?` as in file names."""

    @property
    def reason(self) -> str:
        """Why it is meant."""


@dataclass(frozen=True, slots=True)
class Service:
    """A managed PostgreSQL and the roles that are its own.

    Attributes:
        name: what people call it.
        sign: a role that no other server has.
        roles: a pattern of its roles' names.
    """

    name: str
    sign: str
    roles: str

    def owns(self, role: str) -> bool:
        """Whether a role, as SQL writes its name, is the service's."""
        return re.fullmatch(self.roles, role.strip('"')) is not None


SERVICES = (
    Service(
        "Amazon RDS",
        "rdsadmin",
        # By name, for `rds_reporting` may be the application's own.
        r"rdsadmin|rdsrepladmin|rdstopmgr|rdsproxyadmin|rdswriteforwarduser|"
        r"rds_(superuser|replication|iam|password|ad|reserved|extension|lambda)",
    ),
    Service("Neon", "neon_superuser", r"neon_superuser|neon_service|cloud_admin|web_access"),
    Service("Cloud SQL", "cloudsqladmin", r"cloudsql.*"),
    Service("Azure Database", "azuresu", r"azure.*"),
    Service("Supabase", "supabase_admin", r"supabase_.*"),
)
"""Services whose own roles, and what only they may have, are no difference of the application's."""

_SUPERUSERS_ONLY = {"superuser", "replication", "bypassrls"}
"""Attributes of a role that a managed service gives to nobody."""


def service_roles(catalog: Catalog) -> set[str]:
    """The roles of the server that are a managed service's own, as SQL writes their names."""
    return {role for role in catalog.roles for s in SERVICES if s.sign in catalog.roles and s.owns(role)}


class Meant:
    """Says of a difference whether it is meant, and why."""

    def __init__(
        self,
        declared: Sequence[Expected],
        source: Catalog,
        target: Catalog,
        *,
        services: bool = True,
        restored_as: str = "",
        acl: bool = True,
    ) -> None:
        """Take what is declared, and look which services the two sides are.

        Args:
            declared: from the parameters; they come first.
            source, target: the catalogs.
            services: take what a managed service does by itself as meant.
            restored_as: the role by which the target was restored with --no-owner, by choice; empty when owners
                should be as they were.
            acl: whether grants were restored; False where they were left out by choice.
        """
        self._declared = tuple(declared)
        self._used: set[int] = set()
        self._left_out = LeftOut(source, target, restored_as=restored_as, acl=acl)
        roles = [{found.name for found in side.of("role")} for side in (source, target)]
        here, there = ([s for s in SERVICES if s.sign in names] for names in roles)
        self._of = [*here, *there] if services else []
        self._there = there if services else []

    def reason(self, difference: CatalogDifference) -> str:
        """Why it is meant; empty when it is not."""
        for number, one in enumerate(self._declared):
            if fnmatchcase(difference.kind, one.kind) and any(
                fnmatchcase(name, one.object) for name in _names(difference)
            ):
                self._used.add(number)
                return f"Declared as expected: {one.reason}"
        return self._left_out.reason(difference) or self._by_service(difference)

    def stale(self) -> list[Finding]:
        """What was declared and is not there, after `reason` was asked of every difference."""
        return [
            Finding(
                id=f"INT-expected:{one.kind}:{one.object}",
                title=f"The expected difference of {one.kind} {one.object} is there",
                status=Status.FAIL,
                severity=Severity.LOW,
                subject=f"{one.kind} {one.object}",
                expected=f"a difference, because: {one.reason}",
                observed="no such difference: the declaration is stale, or misspelt",
                why="A declaration that matches nothing today may hide something tomorrow.",
                remedy="Remove it from expected_differences in the parameters, or correct its kind and object.",
            )
            for number, one in enumerate(self._declared)
            if number not in self._used
        ]

    def _by_service(self, difference: CatalogDifference) -> str:
        for service in self._of:
            roles = list(_who(difference))
            if roles and all(map(service.owns, roles)):
                return _SERVICE_DOES[difference.kind].format(service.name)
        for service in self._there:
            taken = set(difference.changed) <= _SUPERUSERS_ONLY and not any(its for _, its in difference.values)
            if difference.kind == "role" and difference.changed and taken:
                return f"{service.name} gives these rights to nobody."
        return ""


_SERVICE_DOES = {
    "role": "A role of {} itself.",
    "role membership": "A role of {} itself.",
    "role setting": "A role of {} itself.",
    "owner": "{} owns it itself.",
    "acl": "Grants to roles of {} itself.",
    "default privileges": "Grants to roles of {} itself.",
    "grant beside": "Grants to roles of {} itself.",
}
"""Kinds of difference that a service makes by itself, and what is said of them."""


def _who(difference: CatalogDifference) -> Iterator[str]:
    """The roles of which a difference speaks; an empty name where it speaks of more than roles."""
    match difference.kind:
        case "role":
            yield difference.object
        case "role membership":
            # One end is enough: who is in the service's role, or what the service's role is in.
            member, _, role = difference.object.partition(" in ")
            yield role if any(service.owns(role) for service in SERVICES) else member
        case "role setting":
            yield difference.object.partition(" ")[0]
        case "owner":
            yield str(difference.values[0][1])
        case "acl" | "default privileges" | "grant beside" if difference.changed in (("acl",), ("grants",)):
            ours, theirs = ({str(line) for line in side or ()} for side in difference.values[0])
            yield from sorted(line.split(" ", 1)[0] for line in ours ^ theirs)
        case _:
            yield ""


def _names(difference: CatalogDifference) -> tuple[str, ...]:
    """The names under which it may be declared: owner, acl and comment with or without the object's kind before it."""
    if difference.kind not in APART:
        return (difference.object,)
    words = difference.object.split(" ")
    return (difference.object, *(" ".join(words[n:]) for n in range(1, min(len(words), 5))))
