"""Typed light looks at one resource each, and the one way in which all of them are read: a view says what it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from cutover.aws.account import Response
    from cutover.aws.requirements.stack import Stack


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
    after: tuple[View, ...] = ()
    region: str | None = None


class View:
    """A light, typed look at one resource: `text`, `number`, `flag`, `rows` and `moment` by dotted path.

    A subclass says in `ask` what it asks; only what needs several answers reads for itself.

    Attributes:
        data: the resource as AWS describes it.
        subject: its ARN or name.
        evidence: the raw files it was read from.
    """

    def __init__(self, data: Mapping[str, Any], subject: str, *responses: Response | View) -> None:
        self.data = data
        self.subject = subject
        names: list[str] = []
        for source in responses:
            names += source.evidence if isinstance(source, View) else [source.evidence]
        self.evidence: tuple[str, ...] = tuple(dict.fromkeys(n for n in names if n))

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """What is asked.

        Raises:
            NotThere, Unreadable, NotApplicable: there is nothing to ask about.
        """
        raise NotImplementedError

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Look it up.

        Raises:
            NotThere, Unreadable, NotApplicable: there is nothing to look at.
        """
        return cls.answered(stack, cls.ask(stack))

    @classmethod
    def answered(cls, stack: Stack, ask: Ask) -> Self:
        """The view over the answer to `ask`.

        Raises:
            NotThere: AWS does not find it, or no row is the thing.
            Unreadable: AWS would not or could not say.
        """
        missing = f"no {ask.what}" if ask.what else ""
        answer = stack.need(
            ask.service,
            ask.operation,
            region=ask.region,
            missing=missing,
            remedy=ask.remedy,
            always=ask.always,
            **ask.arguments,
        )
        if not ask.rows:
            return cls(answer.data, _subject(answer.data, ask), *ask.after, answer)
        rows = [r for r in dig(answer.data, ask.rows) or [] if ask.match is None or ask.match(r)]
        if not rows and not ask.may_be_empty:
            evidence = (answer.evidence,) if answer.evidence else ()
            raise NotThere(missing or f"no {ask.rows}", remedy=ask.remedy, evidence=evidence)
        if ask.many:
            return cls({ask.rows.rsplit(".", 1)[-1]: rows}, ask.name, *ask.after, answer)
        return cls(rows[0], _subject(rows[0], ask), *ask.after, answer)

    def get(self, path: str) -> Any:
        """The value at a dotted path (a number is an index), None when it is not there."""
        return dig(self.data, path)

    def need(self, path: str) -> Any:
        """The value at a dotted path.

        Raises:
            Absent: the answer lacks it.
        """
        value = self.get(path)
        if value is None:
            raise Absent(path)
        return value

    def text(self, path: str) -> str:
        """A value as text."""
        return str(self.need(path))

    def number(self, path: str) -> float:
        """A value as a number (AWS gives some as text)."""
        return _number(self.need(path), path)

    def flag(self, path: str) -> bool:
        """A value as true or false (AWS gives some as text)."""
        value = self.need(path)
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false", "enabled", "disabled"):
            return str(value).lower() in ("true", "enabled")
        raise Unreadable(f"{path} is neither true nor false: {value!r}")

    def rows(self, path: str) -> list[Any]:
        """A list; absent is not empty."""
        value = self.need(path)
        if not isinstance(value, list):
            raise Unreadable(f"{path} is no list: {value!r}")
        return value

    def moment(self, path: str) -> datetime:
        """A point in time, with its zone."""
        return parse_moment(self.need(path), path)


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


def _subject(thing: Mapping[str, Any], ask: Ask) -> str:
    return str((dig(thing, ask.subject) if ask.subject else None) or ask.name or ask.what)


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


def _number(value: Any, path: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{path} is no number: {value!r}") from error
    return int(number) if number.is_integer() else number


def pick(rows: Any, **wanted: Any) -> Iterator[Mapping[str, Any]]:
    """The rows in which every wanted key has that value."""
    for row in rows or ():
        if isinstance(row, Mapping) and all(row.get(k) == v for k, v in wanted.items()):
            yield row


def name_tag(row: Mapping[str, Any]) -> str:
    """The value of the Name tag, "" without one."""
    return next((str(t.get("Value", "")) for t in row.get("Tags") or () if t.get("Key") == "Name"), "")
