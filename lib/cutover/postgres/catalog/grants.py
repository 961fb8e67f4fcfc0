"""GRANT and REVOKE: the statements by which the rights that are held become those that are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cutover.postgres.catalog.model import CatalogObject

_WORDS = {"foreign server": "SERVER", "function": "ROUTINE"}


def word(kind: str) -> str:
    """What SQL calls a kind of object."""
    return _WORDS.get(kind, kind.upper())


def changes(wanted: Iterable[str], held: Iterable[str]) -> Iterable[tuple[str, str, str, bool]]:
    """(verb, role, privilege, about the grant option) by which what is held becomes what is wanted."""
    want, have = (
        {tuple(line.removesuffix(_OPTION).rsplit(" ", 1)): line.endswith(_OPTION) for line in lines or ()}
        for lines in (wanted, held)
    )
    for pair, option in sorted(want.items()):
        if have.get(pair) != option and (option or pair not in have):
            yield "GRANT", pair[0], pair[1], option
        elif have.get(pair) != option:
            yield "REVOKE", pair[0], pair[1], True
    for pair in sorted(have.keys() - want.keys()):
        yield "REVOKE", pair[0], pair[1], False


_OPTION = " WITH GRANT OPTION"

_TURNED = {"GRANT": "REVOKE", "REVOKE": "GRANT"}


def statement(verb: str, role: str, privilege: str, option: bool, on: str) -> str:
    """One GRANT or REVOKE; with `option`, with or of the right to pass it on."""
    if verb == "GRANT":
        return f"GRANT {privilege} ON {on} TO {role}{_OPTION if option else ''};"
    return f"REVOKE {'GRANT OPTION FOR ' if option else ''}{privilege} ON {on} FROM {role};"


def grants(one: CatalogObject, wanted: Any, held: Any) -> Iterable[str]:
    """Statements for the grants of an object, `wanted` and `held` as the catalog lists them."""
    on = named_in_grant(one)
    for change, who, what, option in changes(wanted, held):
        verb, role, privilege = change, who, what
        if role == "owner without":
            # The source's owner lost a right: so does the target's; where the target's lost one, it is given back.
            # Without an owner that is known, it belongs to whoever runs the statement.
            verb, role = _TURNED[change], str(one.attributes.get("owner") or "CURRENT_USER")
        if one.kind == "column":
            on, privilege = f"TABLE {one.parent}", f"{what} ({one.short})"
            if who == "owner without":
                role = str(one.attributes["table owner"])
        yield statement(verb, role, privilege, option, on)


def named_in_grant(one: CatalogObject) -> str:
    """An object as GRANT names it."""
    return f"{_ON.get(one.kind, word(one.kind))} {one.name}"


_ON = {"view": "TABLE", "materialized view": "TABLE", "foreign server": "FOREIGN SERVER", "aggregate": "FUNCTION"}


def grants_beside(one: CatalogObject, wanted: Iterable[str], held: Iterable[str]) -> list[str]:
    """Statements for grants on what the server or an extension brought."""
    return [statement(*change, one.name) for change in _turned(wanted, held)]


def _turned(wanted: Iterable[str], held: Iterable[str]) -> Iterable[tuple[str, str, str, bool]]:
    """As `changes`, where `role without PRIVILEGE` is a revocation."""
    for verb, who, privilege, option in changes(wanted, held):
        role = who.removesuffix(" without")
        turned = _TURNED[verb] if role != who else verb
        yield turned, role, privilege, option


def default_privileges(one: CatalogObject, wanted: Iterable[str], held: Iterable[str]) -> list[str]:
    """Statements for default privileges."""
    has = one.attributes
    schema = f" IN SCHEMA {has['schema']}" if has["schema"] else ""
    start = f"ALTER DEFAULT PRIVILEGES FOR ROLE {has['role']}{schema}"
    on = one.name.rpartition(" on ")[2].upper()
    return [f"{start} {statement(*change, on)}" for change in _turned(wanted, held)]
