"""What is asked of AWS and how an answer is read: its fields, its times, and the ways in which it is no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol


class NotThere(Exception):
    """The thing itself is not there: MISSING."""

    def __init__(self, what: str, *, remedy: str = "", evidence: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.what, self.remedy, self.evidence = what, remedy, evidence


class Unreadable(Exception):
    """It could not be looked at: UNKNOWN, with the reason."""

    def __init__(self, reason: str, *, evidence: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason, self.evidence = reason, evidence


class Absent(Exception):
    """The thing is there, but the answer lacks this field: what that means, each requirement says itself."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class NotApplicable(Exception):
    """The requirement does not concern this migration, with the reason."""


class Evident(Protocol):
    """Whatever was read from raw files, and names them."""

    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a view asks, and which part of the answer is the thing.

    Attributes:
        service: boto3's name of the client.
        operation: boto3's name of the method.
        arguments: the call's.
        what: the thing in words, as in `no instance shadowtwin-prod`; without it the error code speaks.
        rows: dotted path of the list in which the thing is; "" takes the whole answer.
        match: which rows are meant; all, when None.
        many: all matching rows are the thing (kept under the last part of `rows`); else the first.
        may_be_empty: an empty list is an answer, not a thing that is not there.
        always: every account has it: "not found" is no answer about it, but UNKNOWN.
        subject: dotted path of the ARN or id in the thing.
        name: the subject where it has none.
        remedy: how the thing is made.
        after: views that had to be read before; their evidence is this view's too.
        region: another region than the migration's.
    """

    service: str
    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    what: str = ""
    rows: str = ""
    match: Callable[[Mapping[str, Any]], bool] | None = None
    many: bool = False
    may_be_empty: bool = False
    always: bool = False
    subject: str = ""
    name: str = ""
    remedy: str = ""
    after: tuple[Evident, ...] = ()
    region: str | None = None


_SECONDS_END = 10**11
"""Epoch seconds stay below it until the year 5138, milliseconds are above it since 1973."""


def dig(value: Any, path: str) -> Any:
    """The value at a dotted path (a number is an index), None when it is not there."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def parse_moment(value: Any, path: str = "time") -> datetime:
    """ISO 8601 text or an epoch (milliseconds; seconds below 10¹¹) as a time in UTC.

    Raises:
        Unreadable: it is neither.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value > _SECONDS_END else value, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError) as error:
        raise Unreadable(f"{path} is no time: {value!r}") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def pick(rows: Any, **wanted: Any) -> Iterator[Mapping[str, Any]]:
    """The rows in which every wanted key has that value."""
    for row in rows or ():
        if isinstance(row, Mapping) and all(row.get(k) == v for k, v in wanted.items()):
            yield row


def name_tag(row: Mapping[str, Any]) -> str:
    """The value of the Name tag, "" without one."""
    return next((str(t.get("Value", "")) for t in row.get("Tags") or () if t.get("Key") == "Name"), "")
