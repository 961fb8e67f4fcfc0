"""Where the names of roles stand in a catalog: owners, grants, policies, default privileges, settings, memberships."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from cutover.postgres.catalog.model import Catalog, CatalogObject

Rename = Callable[[str], str]

_LINE = re.compile(r'("(?:[^"]|"")+"|[^" ]+)( .*)', re.DOTALL)
"""A role as SQL writes its name, and what it may do: `app SELECT`, `"my app" SELECT WITH GRANT OPTION`."""

_OWNERS = ("owner", "table owner", "belongs to")
"""Attributes that hold an object's owner; of one object there is one of them."""

_OF_THE_SERVER = ("role", "role membership", "role setting", "database")
"""Kinds that say what a role is; that a role is named in them does not mean that it stands for anything here."""


def bare(name: str) -> str:
    """A name without SQL's quotes: `my app` of `"my app"`."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def owner_of(one: CatalogObject | None) -> str:
    """Whom an object belongs to, as SQL writes the name; empty where it has no owner of its own."""
    return str(one.attributes.get("owner") or "") if one is not None else ""


def role_of(line: str) -> str:
    """The role of a grant: `app` of `app SELECT`, `"my app"` of `"my app" SELECT`; `owner` of `owner without …`."""
    found = _LINE.fullmatch(line)
    return found[1] if found else ""


def roles_in(catalog: Catalog) -> set[str]:
    """Roles that own something in this database, may do something in it, or have settings for it alone."""
    found: set[str] = set()

    def note(role: str) -> str:
        found.add(role)
        return role

    for one in catalog.objects.values():
        if one.kind not in _OF_THE_SERVER:
            renamed(one, note)
    return found


def owners_alone(catalog: Catalog, *, acl: bool = True) -> set[str]:
    """Roles that are named in this database as owners and as nothing else: no grant, no policy speaks of them.

    What a role is and has by itself (attributes, settings, memberships) is not asked: that stands apart.

    Args:
        catalog: of the database.
        acl: whether grants and default privileges count.
    """
    owners: set[str] = set()
    others: set[str] = set()

    def other(role: str) -> str:
        others.add(role)
        return role

    for one in catalog.objects.values():
        if one.kind in ("role", "role membership", "role setting"):
            continue
        owners |= {str(one.attributes[key]) for key in _OWNERS if one.attributes.get(key)}
        owners |= set(one.attributes.get("owners") or ())
        if not acl and one.kind in ("default privileges", "grant beside"):
            continue
        silent = {*_OWNERS} | (set() if acl else {"acl", "grants", "on columns", "on attributes", "granted"})
        has = {name: value for name, value in one.attributes.items() if name not in silent}
        renamed(replace(one, attributes=has | ({"owners": {}} if "owners" in has else {})), other)
    return owners - others


def renamed(one: CatalogObject, rename: Rename) -> CatalogObject:
    """The object with its roles' names as `rename` gives them, in its own name too.

    A grant to a role that then is the owner is left out: a catalog names what others than the owner may do.
    """
    has = dict(one.attributes)
    for key in _OWNERS:
        if has.get(key):
            has[key] = rename(str(has[key]))
    owner = next((str(has[key]) for key in _OWNERS if has.get(key)), "")
    for key in ("acl", "grants"):
        if isinstance(has.get(key), list):
            has[key] = _lines(has[key], rename, owner)
    for key in ("on columns", "on attributes"):
        if has.get(key):
            has[key] = {column: _beside(beside, rename, owner) for column, beside in has[key].items()}
    if isinstance(has.get("owners"), dict):
        has["owners"] = _summed((rename(role), number) for role, number in has["owners"].items())
        has["granted"] = _summed((_line(line, rename), number) for line, number in (has.get("granted") or {}).items())
    if isinstance(has.get("roles"), list):
        has["roles"] = sorted({role if role == "PUBLIC" else rename(role) for role in has["roles"]})
    return replace(one, name=_named(one, has, rename), attributes=has)


def _named(one: CatalogObject, has: dict[str, Any], rename: Rename) -> str:
    """The object's own name, where a role stands in it; its attributes that hold the role are renamed as well."""
    match one.kind:
        case "role":
            return rename(one.name)
        case "role membership":
            has["role"], has["member"] = rename(has["role"]), rename(has["member"])
            return f"{has['member']} in {has['role']}"
        case "role setting" | "database setting" if has["role"] not in (None, "ALL"):
            has["role"] = rename(has["role"])
            return f"{has['role']} {has['name']}"
        case "default privileges":
            rest = one.name.removeprefix(f"of {has['role']}")
            has["role"] = rename(has["role"])
            if has["schema"] is None and has["grants"]:  # what a role has anyway is not kept for it
                has["grants"] = [line for line in has["grants"] if not line.startswith(f"{has['role']} ")]
            return f"of {has['role']}{rest}"
        case "user mapping":
            return _line(one.name, rename)
        case "security label" if one.name.endswith(f" on role {has['object']}"):
            start = one.name.removesuffix(str(has["object"]))
            has["object"] = rename(str(has["object"]))
            return f"{start}{has['object']}"
    return one.name


def _lines(lines: Iterable[str], rename: Rename, owner: str) -> list[str]:
    """Grants; where they are of an object with an owner, `owner without PRIVILEGE` speaks of no role of that name."""
    told = {line if owner and line.startswith("owner without ") else _line(line, rename) for line in lines}
    return sorted(line for line in told if not owner or not _to(owner, line))


def _to(owner: str, line: str) -> bool:
    """Whether a grant is to the owner; a role may be called `owner`."""
    return line.startswith(f"{owner} ") and not line.startswith("owner without ")


def _line(line: str, rename: Rename) -> str:
    found = _LINE.fullmatch(line)
    if found is None or found[1] == "PUBLIC":
        return line
    return f"{rename(found[1])}{found[2]}"


def _beside(beside: Mapping[str, Any], rename: Rename, owner: str) -> dict[str, Any]:
    grants = beside.get("grants")
    return {**beside, "grants": _lines(grants, rename, owner)} if grants else dict(beside)


def _summed(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Digests by role, where two may have become one: digests of a range add up."""
    sums: dict[str, int] = {}
    for name, number in pairs:
        sums[name] = sums.get(name, 0) + int(number)
    return {name: str(number) for name, number in sums.items()}
