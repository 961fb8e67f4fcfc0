"""What PostgreSQL shows to no ordinary role: the one list of it, and what a comparison says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog.model import Catalog

_NAMED = 20


@dataclass(frozen=True, slots=True)
class Hidden:
    """An attribute that superusers alone may read, whatever is granted.

    Attributes:
        words: what it is, in the plural.
        rule: the rule of PostgreSQL by which it is hidden.
        instead: how to make sure of it without a superuser.
    """

    words: str
    rule: str
    instead: str


HIDDEN: Mapping[tuple[str, str], Hidden] = {
    ("role", "password"): Hidden(
        "Passwords of roles",
        "PostgreSQL lets superusers alone read pg_authid, which holds the hashes of passwords",
        "log in to the target once as each role that logs in",
    ),
    ("user mapping", "options"): Hidden(
        "Options of user mappings",
        "pg_user_mappings shows them to superusers, to the mapped role itself and, of PUBLIC, to the owner of the "
        "foreign server, for they may hold a password",
        "read one row of a foreign table of each server as each mapped role",
    ),
    ("subscription", "connection"): Hidden(
        "Connection strings of subscriptions",
        "PostgreSQL lets superusers alone read pg_subscription.subconninfo, for it may hold a password",
        "look at pg_stat_subscription on the target: a subscription that receives is connected",
    ),
}
"""By kind of object and attribute. A catalog names what it could not read of an object in its `unreadable`."""


def hidden_findings(source: Catalog, target: Catalog) -> list[Finding]:
    """What was left out because one of the sides was not looked at by a superuser, a finding for each attribute.

    NOT_APPLICABLE by its rule where no ordinary role may read it; NOT_COMPARED where there is no such rule, for then
    somebody can grant the right.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for catalog in (source, target):
        for one in catalog.objects.values():
            for attribute in one.attributes.get("unreadable") or ():
                found.setdefault((one.kind, attribute), set()).add(one.name)
    return [_finding(key, sorted(names), target.database) for key, names in found.items()]


def _finding(key: tuple[str, str], names: list[str], subject: str) -> Finding:
    kind, attribute = key
    rule = HIDDEN.get(key)
    words = rule.words if rule else f"The {attribute} of every {kind}"
    return Finding(
        id=f"INT-catalog-{kind.replace(' ', '-')}:unseen-{attribute.replace(' ', '-')}",
        title=f"{words} are compared where superusers look at both sides" if rule else f"{words} was compared",
        status=Status.NOT_APPLICABLE if rule else Status.NOT_COMPARED,
        severity=Severity.MEDIUM,
        subject=subject,
        expected="compared as superuser on both sides, left out otherwise" if rule else "readable on both sides",
        observed=f"left out by rule: {', '.join(names[:_NAMED])}"
        + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""),
        why=f"{rule.rule}." if rule else "What was not read was not compared.",
        remedy=f"To make sure, {rule.instead}." if rule else f"Look at the {attribute} on both sides as the owner.",
        data={"objects": names},
    )
