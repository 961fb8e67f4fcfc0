"""Differences that are meant: those that the parameters declare, and those that a managed service makes by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog.differences import CatalogDifference
from cutover.postgres.catalog.model import Catalog
from cutover.postgres.catalog.role_names import bare, owner_of, role_of
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


@dataclass(frozen=True, slots=True)
class Restored:
    """How the target was restored (`restore` in the parameters): what was left out by choice is no difference.

    Attributes:
        owner: owners were restored; otherwise everything belongs to the role that restored it.
        acl: grants and default privileges were restored.
        role: that restored it; None for the role that enters the target.
    """

    owner: bool = False
    acl: bool = True
    role: str | None = None

    def by(self, entered_as: str) -> str:
        """The role to which everything belongs, without SQL's quotes; empty where owners were restored."""
        return "" if self.owner else self.role or entered_as


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
        self._restored_as, self._acl = bare(restored_as), acl
        self._source, self._target = ({f"{k} {n}": one for (k, n), one in c.objects.items()} for c in (source, target))
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
        return self._by_restore(difference) or self._by_service(difference)

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

    def _by_restore(self, difference: CatalogDifference) -> str:
        """What follows from leaving owners or grants out of the restore, by choice."""
        if self._restored_as and self._is_by_owner(difference):
            return f"Restored with --no-owner by choice: everything belongs to {self._restored_as}."
        if not self._acl and _is_lack_of_grants(difference):
            return "Restored with --no-acl by choice: grants and default privileges were left out."
        return ""

    def _is_by_owner(self, difference: CatalogDifference) -> bool:
        """Whether it is so because everything belongs to the restoring role."""
        if difference.kind == "owner":
            made_before = difference.object == "schema public" or difference.object.startswith("tablespace ")
            return made_before or bare(str(difference.values[0][1])) == self._restored_as
        if difference.kind == "large object" and difference.changed == ("owners",):
            return {bare(role) for role in difference.values[0][1]} == {self._restored_as}
        # What an owner may do is in no grant, and goes with the object; so does what was granted to the new one before.
        ours, theirs = (owner_of(side.get(difference.object)) for side in (self._source, self._target))
        told = _differing_grants(difference)
        return bool(told) and bare(theirs) == self._restored_as and told <= {"owner", bare(ours), self._restored_as}

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


_PUBLIC_ANYWAY = {
    "function": {"PUBLIC EXECUTE"},
    "aggregate": {"PUBLIC EXECUTE"},
    "type": {"PUBLIC USAGE"},
    "language": {"PUBLIC USAGE"},
    "schema public": {"PUBLIC USAGE"},
}
"""What everybody may do where nothing was granted or revoked, by kind of object or its name."""


def _sides(difference: CatalogDifference) -> tuple[set[tuple[str, str]], set[tuple[str, str]]] | None:
    """The grants of both sides, (on what of the object, `role PRIVILEGE`); None where more than grants differ."""
    if difference.changed in (("acl",), ("grants",)) and difference.kind != "database":
        mine, its = ({("", str(line)) for line in side or ()} for side in difference.values[0])
        return mine, its
    if difference.kind == "large object" and difference.changed == ("granted",):
        mine, its = ({(str(number), str(line)) for line, number in side.items()} for side in difference.values[0])
        return mine, its
    if difference.changed in (("on columns",), ("on attributes",)):
        plain = [
            {c: {k: v for k, v in beside.items() if k != "grants"} for c, beside in (side or {}).items()}
            for side in difference.values[0]
        ]
        if {c: b for c, b in plain[0].items() if b} == {c: b for c, b in plain[1].items() if b}:
            mine, its = (
                {(c, str(line)) for c, beside in (side or {}).items() for line in beside.get("grants") or ()}
                for side in difference.values[0]
            )
            return mine, its
    return None


def _differing_grants(difference: CatalogDifference) -> set[str]:
    """Whose grants differ, without SQL's quotes (`owner` for what an owner may not do); empty where more differs."""
    sides = _sides(difference)
    return {bare(role_of(line)) for _, line in sides[0] ^ sides[1]} if sides else set()


def _is_lack_of_grants(difference: CatalogDifference) -> bool:
    """Whether the target has nothing but what everybody may do anyway beside the source's grants."""
    if difference.kind in ("default privileges", "grant beside") and difference.problem == "missing":
        return True
    sides = _sides(difference)
    kind = difference.object.partition(" ")[0]
    anyway = _PUBLIC_ANYWAY.get(difference.object) or _PUBLIC_ANYWAY.get(kind, set())
    return sides is not None and {line for _, line in sides[1] - sides[0]} <= anyway


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
