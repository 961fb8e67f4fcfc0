"""How serious a difference is of the catalog."""

from __future__ import annotations

from collections.abc import Iterable

from cutover.finding import Severity
from cutover.postgres.catalog.model import CatalogObject, extension_version

APART = {"owner": Severity.HIGH, "acl": Severity.HIGH, "comment": Severity.LOW}
"""Attributes that are kinds of their own."""

_ORDER = (Severity.BLOCKER, Severity.HIGH, Severity.MEDIUM, Severity.LOW)

_KINDS = {
    "schema": Severity.HIGH,
    "extension": Severity.HIGH,
    "index": Severity.HIGH,
    "statistics": Severity.LOW,
    "event trigger": Severity.HIGH,
    "publication": Severity.MEDIUM,
    "subscription": Severity.MEDIUM,
    "text search parser": Severity.HIGH,
    "text search template": Severity.HIGH,
    "text search configuration": Severity.HIGH,
    "text search dictionary": Severity.HIGH,
    "foreign data wrapper": Severity.MEDIUM,
    "foreign server": Severity.MEDIUM,
    "user mapping": Severity.MEDIUM,
    "default privileges": Severity.MEDIUM,
    "grant beside": Severity.MEDIUM,
    "database setting": Severity.HIGH,
    "role setting": Severity.HIGH,
    "role": Severity.MEDIUM,
    "role membership": Severity.MEDIUM,
    "database": Severity.MEDIUM,
    "large object": Severity.HIGH,
    "security label": Severity.MEDIUM,
    "tablespace": Severity.LOW,
    "conversion": Severity.MEDIUM,
}
"""Kinds that are no blocker."""

_ATTRIBUTES = {
    "options": Severity.MEDIUM,
    "toast options": Severity.MEDIUM,
    "tablespace": Severity.LOW,
    "statistics": Severity.LOW,
    "target": Severity.LOW,
    "storage": Severity.LOW,
    "compression": Severity.LOW,
    "column order": Severity.LOW,
    "clustered": Severity.LOW,
    "not null constraint": Severity.LOW,
    "constraint comments": Severity.LOW,
    "on columns": Severity.MEDIUM,
    "on attributes": Severity.LOW,
    "cache": Severity.MEDIUM,
    "belongs to": Severity.LOW,
    "described as": Severity.LOW,
    "connection limit": Severity.LOW,
    "default tablespace": Severity.LOW,
}
"""Attributes that weigh less than their object."""

_VIEW_OPTIONS = ("security_barrier", "security_invoker", "check_option")
"""Options of a view that decide what it shows and lets through."""

_BEHAVES = {"table", "column", "constraint", "trigger", "rule", "policy", "event trigger"}
"""What changes how the application behaves when it is there and should not be."""

_NEW_HOME = {"role", "role membership", "tablespace", "database", "database setting", "role setting"}
"""What a target may well have more of: its own administrators and settings."""


def weight(
    one: CatalogObject, problem: str, changed: Iterable[str] = (), target: CatalogObject | None = None
) -> Severity:
    """The severity of a difference; of several attributes the worst."""
    if problem == "extra":
        return Severity.HIGH if one.kind in _BEHAVES else Severity.LOW if one.kind in _NEW_HOME else Severity.MEDIUM
    if one.kind == "extension" and tuple(changed) == ("version",) and target is not None:
        newer = extension_version(target.attributes["version"]) > extension_version(one.attributes["version"])
        return Severity.LOW if newer else Severity.HIGH
    if one.kind == "sequence value" and target is not None:
        return Severity.BLOCKER if behind(one, target) else Severity.HIGH
    whole = Severity.BLOCKER if one.kind == "index" and one.attributes.get("unique") else _KINDS.get(one.kind)
    whole = whole or Severity.BLOCKER
    return min((_of(one, name, whole) for name in changed), key=_ORDER.index, default=whole)


def worst(severities: Iterable[Severity]) -> Severity:
    """The one on which most hangs."""
    return min(severities, key=_ORDER.index)


def behind(ours: CatalogObject, theirs: CatalogObject) -> bool:
    """Whether the target's sequence will hand out a number that the source's has handed out already."""
    mine, its = (int(one.attributes["last value"]) for one in (ours, theirs))
    if mine == its:
        return bool(ours.attributes["called"])
    return (its > mine) if ours.attributes.get("counts down") else (its < mine)


def _of(one: CatalogObject, name: str, whole: Severity) -> Severity:
    if one.kind == "view" and name == "options":
        guarded = any(str(option).startswith(_VIEW_OPTIONS) for option in one.attributes["options"] or ())
        return Severity.HIGH if guarded else Severity.MEDIUM
    return _ATTRIBUTES.get(name, whole)
