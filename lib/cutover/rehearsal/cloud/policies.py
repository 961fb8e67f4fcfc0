"""Whether IAM policies allow an action on a resource: explicit deny, then allow, then implicit deny.

After the IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition operators". What cannot be
told (a condition operator or key that is not known) never widens: an allow with it does not hold, a deny with it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

Document = Mapping[str, Any]
Context = Mapping[str, list[str]]


class Decision(StrEnum):
    """The three answers of the policy simulator."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


def decide(
    documents: Iterable[Document], action: str, resource: str = "*", context: Context | None = None
) -> tuple[Decision, list[int]]:
    """Judge one action on one resource.

    Args:
        documents: parsed policy documents.
        action: `ecs:UpdateService`.
        resource: an ARN, or `*` for any.
        context: condition keys with their values, by lower-case name.

    Returns:
        The decision and the indices of the documents that decided it.
    """
    allowing: list[int] = []
    denying: list[int] = []
    for index, document in enumerate(documents):
        for statement in _list(document.get("Statement", [])):
            deny = statement.get("Effect") == "Deny"
            if not _names(statement, "Action", action, fold=True) or not _names(statement, "Resource", resource):
                continue
            if _conditions_hold(statement.get("Condition") or {}, context or {}, unknown=deny):
                (denying if deny else allowing).append(index)
    if denying:
        return Decision.EXPLICIT_DENY, denying
    return (Decision.ALLOWED, allowing) if allowing else (Decision.IMPLICIT_DENY, [])


def matches(pattern: str, value: str) -> bool:
    """IAM's `*` and `?`; no other character is special."""
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def _names(statement: Document, element: str, value: str, *, fold: bool = False) -> bool:
    """Whether `Action`/`Resource`, or its `Not…`, takes `value` in."""
    patterns = _list(statement.get(element, []))
    inverse = _list(statement.get(f"Not{element}", []))

    def meets(pattern: str) -> bool:
        pattern = re.sub(r"\$\{[^}]*\}", "*", pattern)
        return matches(pattern.lower(), value.lower()) if fold else matches(pattern, value)

    if inverse:
        return not any(meets(p) for p in inverse)
    return any(meets(p) for p in patterns)


def _conditions_hold(conditions: Document, context: Context, *, unknown: bool) -> bool:
    """Every operator and key must hold; `unknown` is the answer for what cannot be told."""
    for operator, keys in conditions.items():
        if_exists = operator.endswith("IfExists")
        name = operator.removesuffix("IfExists")
        for key, wanted in keys.items():
            held = _condition(name, context.get(key.lower()), [str(v) for v in _list(wanted)], if_exists, unknown)
            if not held:
                return False
    return True


def _condition(name: str, values: list[str] | None, wanted: list[str], if_exists: bool, unknown: bool) -> bool:
    if name == "Null":
        return (values is None) == (wanted[0].lower() == "true")
    if values is None:
        return if_exists or name.startswith("StringNot") or name.startswith("ArnNot") or unknown
    if name == "Bool":
        return any(v.lower() == w.lower() for v in values for w in wanted)
    test: dict[str, Callable[[str, str], bool]] = {
        "StringEquals": lambda v, w: v == w,
        "StringEqualsIgnoreCase": lambda v, w: v.lower() == w.lower(),
        "StringLike": lambda v, w: matches(w, v),
        "ArnEquals": lambda v, w: matches(w, v),
        "ArnLike": lambda v, w: matches(w, v),
    }
    negated = name.replace("StringNot", "String").replace("ArnNot", "Arn")
    if negated not in test:
        return unknown
    found = any(test[negated](v, w) for v in values for w in wanted)
    return found if negated == name else not found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
