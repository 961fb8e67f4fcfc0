"""One role of the source that is one other on the target: given by a person, or recognised because it is so throughout.

Owners are never called the same on two managed services. Where everything that belongs to one role here belongs to one
other there, and to nobody else, the two stand for each other: grants, policies, default privileges, memberships and
settings are then compared under the target's name. What breaks it is a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog.clauses import ROLE_WORDS
from cutover.postgres.catalog.expected import service_roles
from cutover.postgres.catalog.model import Catalog, CatalogObject
from cutover.postgres.catalog.role_names import bare, owner_of, renamed, roles_in

ROLE_MAP = "INT-catalog-role-map"
"""Findings with this id, a colon and the role of the source say which role of the target it is."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class RoleMap:
    """Which role of the target stands for which of the source; names as SQL writes them.

    Attributes:
        pairs: role of the source to role of the target.
        given: roles of the source whose pair a person gave; the others were recognised.
        owned: role of the source to (objects of it that belong to its role there, objects of it on both sides).
        doubts: why one role was not taken for another, in sentences.
    """

    pairs: Mapping[str, str] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    owned: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def apply(self, source: Catalog, target: Catalog) -> tuple[Catalog, Catalog, list[Finding]]:
        """The source under the target's names, both without what the roles themselves are, and what is to be said.

        Findings: INT-catalog-role-map:ROLE for each pair, INT-catalog-role-power:ROLE where its role on the target can
        do more and something in the database lets others act with it, INT-catalog-role-merged:OBJECT for what cannot
        be put together of two roles that are one.
        """
        if not self.pairs:
            return source, target, []
        objects: dict[tuple[str, str], CatalogObject] = {}
        merged: list[Finding] = []
        # A role that is only called like the target's has its settings and memberships for itself.
        strangers = set(self.pairs.values()) - roles_in(source) - self.pairs.keys()
        for (kind, name), found in source.objects.items():
            if kind == "role" and (name in self.pairs or name in self.pairs.values()):
                continue
            if kind in ("role setting", "role membership") and not strangers.isdisjoint(
                (found.attributes["role"], found.attributes.get("member"))
            ):
                continue
            one = renamed(found, lambda role: self.pairs.get(role, role))
            if _says_nothing(found, one):
                continue
            there = objects.get((kind, one.name))
            both = one if there is None else _together(there, one)
            if both is None:
                merged.append(_not_one(found, one, target))
            objects[kind, one.name] = both or there or one
        names = {there: here for here, there in self.pairs.items()}
        theirs = {key: o for key, o in target.objects.items() if key[0] != "role" or key[1] not in names}
        said = [finding for here in self.pairs for finding in self._said(here, source, target)]
        return replace(source, objects=objects, renamed=names), replace(target, objects=theirs), [*said, *merged]

    def _said(self, here: str, source: Catalog, target: Catalog) -> Iterator[Finding]:
        there = self.pairs[here]
        same, all_of_it = self.owned.get(here, (0, 0))
        ours, theirs = source.objects.get(("role", here)), target.objects.get(("role", there))
        title = f"{here} of the source is {there} on the target"
        told = [
            f"{same:,} of its {all_of_it:,} objects belong to {there}"
            if all_of_it
            else "it owns nothing that is on both sides"
        ]
        if ours is not None and theirs is not None:
            told += _attributes(ours, theirs)
        if ("schema", here) in source.objects:
            told.append(f'a search_path of "$user" leads to the schema {here} here, and to {there} there')
        yield Finding(
            id=f"{ROLE_MAP}:{here}",
            title=title,
            status=Status.PASS,
            severity=Severity.LOW,
            subject=target.database,
            expected="one role for one other, " + ("as it was given" if here in self.given else "throughout"),
            observed=f"{title}: {'; '.join(told)}",
            data={"source": here, "target": there, "given": here in self.given, "objects": all_of_it, "same": same},
        )
        if ours is not None and theirs is not None:
            yield from _power(ours, theirs, source, target)


def role_map(source: Catalog, target: Catalog, given: Mapping[str, str]) -> RoleMap:
    """What a person gave, and what is so throughout.

    A role is recognised as another when more than half of its objects that are on both sides belong to that one, and
    no other role of the source is that one too: the objects that do not are then differences.

    Args:
        source, target: the whole catalogs.
        given: role of the source to role of the target, with or without SQL's quotes; the same name twice keeps a role
            from being recognised as another.

    Raises:
        UsageError: a role that was given does not exist on its side.
    """
    known = {_known(a, source, "source"): _known(b, target, "target") for a, b in given.items()}
    owned = _owned(source, target)
    found: dict[str, str] = {}
    for role, owners in owned.items():
        best, number = owners.most_common(1)[0]
        if role not in known and best != role and 2 * number > owners.total():
            found[role] = best
    standing, doubts = roles_in(source) - known.keys(), []
    for there in sorted(set(found.values())):
        here = sorted(role for role, best in {**found, **known}.items() if best == there)
        if len(here) > 1 or there in standing:
            doubts.append(_doubt(here, there, itself=there in standing))
            found = {a: b for a, b in found.items() if b != there}
    pairs = {a: b for a, b in sorted({**found, **known}.items()) if a != b}
    counts = {a: (owned[a][b], owned[a].total()) for a, b in pairs.items() if a in owned}
    return RoleMap(pairs, frozenset(known), counts, tuple(doubts))


def _doubt(here: list[str], there: str, *, itself: bool) -> str:
    given = " ".join(f"--map-role {bare(role)}={bare(there)}" for role in here)
    why = f"{' and '.join(here)} of the source would be one role on the target, {there}"
    if itself:
        why = f"{there} is a role of its own on the source, so it is not taken for {' and '.join(here)} on the target"
    return f"{why} (where that is meant: {given})"


def _owned(source: Catalog, target: Catalog) -> dict[str, Counter[str]]:
    """By owner on the source, whose its objects are on the target; without what is PostgreSQL's or a service's."""
    services = service_roles(target)
    owned: dict[str, Counter[str]] = {}
    for key, one in source.objects.items():
        here, there = owner_of(one), owner_of(target.objects.get(key))
        if here and there and not here.startswith("pg_") and not there.startswith("pg_") and there not in services:
            owned.setdefault(here, Counter())[there] += 1
    return owned


def _known(name: str, catalog: Catalog, side: str) -> str:
    for role in catalog.roles:
        if name in (role, bare(role)):
            return role
    if name.startswith("pg_"):
        return name
    raise UsageError(
        f"There is no role {name} on the {side}, {catalog.database}.",
        why="what was to be compared under another name would be compared under its own.",
        todo="--map-role takes ROLE_OF_THE_SOURCE=ROLE_OF_THE_TARGET",
    )


def _says_nothing(found: CatalogObject, one: CatalogObject) -> bool:
    """Whether it is what two roles had of each other, which are one now."""
    has = one.attributes
    if one.kind == "role membership":
        return bool(has["role"] == has["member"])
    return one.kind in ("default privileges", "grant beside") and bool(found.attributes["grants"]) and not has["grants"]


def _together(one: CatalogObject, other: CatalogObject) -> CatalogObject | None:
    """What two roles have, as one role has it; None where it cannot have both."""
    has: dict[str, Any] = {}
    for name in one.attributes.keys() | other.attributes.keys():
        mine, its = one.attributes.get(name), other.attributes.get(name)
        if mine == its:
            has[name] = mine
        elif isinstance(mine, bool) and isinstance(its, bool):
            has[name] = mine or its
        elif name == "grants":
            has[name] = sorted({*(mine or ()), *(its or ())})
        else:
            return None
    return replace(one, attributes=has)


def _not_one(found: CatalogObject, one: CatalogObject, target: Catalog) -> Finding:
    title = f"{found.kind} {found.name} of the source can be had on the target"
    return Finding(
        id=f"INT-catalog-role-merged:{found.name}",
        title=title[0].upper() + title[1:],
        status=Status.FAIL,
        severity=Severity.MEDIUM,
        subject=target.database,
        expected=f"one {one.kind} {one.name}",
        observed="two roles that are one on the target have different ones",
        why="A role has one of it; whoever had the other will behave otherwise.",
        remedy="Give the two roles a role each on the target, or decide for one of the two.",
    )


def _attributes(ours: CatalogObject, theirs: CatalogObject) -> list[str]:
    """What the two roles may otherwise, in words."""
    pairs = {name: (ours.attributes.get(name), theirs.attributes.get(name)) for name in (*ROLE_WORDS, "password")}
    more = [_word(name) for name, (mine, its) in pairs.items() if its and mine is False]
    less = [_word(name) for name, (mine, its) in pairs.items() if mine and its is False]
    told = [f"it has {', '.join(more)} besides"] if more else []
    told += [f"it lacks {', '.join(less)}"] if less else []
    limits = ("connection limit", "valid until")
    return told + [
        f"its {name} is another" for name in limits if ours.attributes.get(name) != theirs.attributes.get(name)
    ]


def _word(name: str) -> str:
    return ROLE_WORDS.get(name, f"a {name}")


_HIDES_NOTHING_FROM = ("superuser", "bypassrls")
_MAY_MORE = (*_HIDES_NOTHING_FROM, "createrole", "createdb", "replication")


def _power(ours: CatalogObject, theirs: CatalogObject, source: Catalog, target: Catalog) -> Iterator[Finding]:
    """More power on the target, where something in the database hands it on: a word, and no difference."""
    gained = [name for name in _MAY_MORE if theirs.attributes.get(name) and ours.attributes.get(name) is False]
    told = []
    definers = [
        one.name
        for one in source.of("function")
        if owner_of(one) == ours.name and " SECURITY DEFINER" in str(one.attributes["definition"]).upper()
    ]
    if gained and definers:
        told.append(f"SECURITY DEFINER functions run with it: {_some(definers)}")
    guarded = [one.name for one in source.of("table") if one.attributes["row security"]]
    if guarded and any(name in gained for name in _HIDES_NOTHING_FROM):
        told.append(f"row-level security hides nothing from it: {_some(guarded)}")
    if told:
        words = ", ".join(ROLE_WORDS[name] for name in gained)
        yield Finding(
            id=f"INT-catalog-role-power:{ours.name}",
            title=f"{theirs.name} may do no more on the target than {ours.name} on the source",
            status=Status.FAIL,
            severity=Severity.LOW,
            subject=target.database,
            expected=f"the attributes of {ours.name}",
            observed=f"{theirs.name} has {words} on the target, {ours.name} had not; {'; '.join(told)}",
            why="Whoever calls such a function, or comes in as this role, can do more than before.",
            remedy=f"ALTER ROLE {theirs.name} {' '.join(f'NO{ROLE_WORDS[name]}' for name in gained)};"
            "  -- or let a role of less power own what is named",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
