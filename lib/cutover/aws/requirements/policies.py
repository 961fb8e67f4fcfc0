"""Policy documents of IAM, S3 and Secrets Manager, read for the question: who may do too much?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from cutover.aws.requirements.answers import Unreadable


def document(value: Any) -> Mapping[str, Any]:
    """A policy document, as boto3 decodes it or as IAM's URL-encoded JSON."""
    if isinstance(value, Mapping):
        return value
    try:
        loaded = json.loads(unquote(str(value)))
    except ValueError as error:
        raise Unreadable("a policy document that is no JSON") from error
    return loaded if isinstance(loaded, Mapping) else {}


def statements(value: Any) -> list[Mapping[str, Any]]:
    """The statements of a policy document."""
    rows = document(value).get("Statement") or []
    return [rows] if isinstance(rows, Mapping) else list(rows)


def listed(value: Any) -> list[str]:
    """A field that is one text or several."""
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)] if value else []


def is_everyone(principal: Any) -> bool:
    """Whether a statement's principal is the world."""
    if isinstance(principal, Mapping):
        return any("*" in listed(v) for v in principal.values())
    return str(principal) == "*"


def wide_grants(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Allow statements that give every action, a whole service on every resource, or PassRole on every role."""
    wide = []
    for row in rows:
        actions, resources = listed(row.get("Action")), listed(row.get("Resource"))
        if row.get("Effect") != "Allow":
            continue
        everything = [a for a in actions if a in ("*", "*:*")]
        if "*" in resources:
            everything += [a for a in actions if a.endswith(":*") or (a == "iam:PassRole" and not row.get("Condition"))]
        everything += ["all but " + ", ".join(listed(row.get("NotAction")))] if row.get("NotAction") else []
        if everything:
            where = ", ".join(resources) or "all but " + ", ".join(listed(row.get("NotResource")))
            wide.append(f"{', '.join(dict.fromkeys(everything))} on {where}")
    return wide
