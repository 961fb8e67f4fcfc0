"""The account as requirements see it: recorded responses and their time, and typed light views over them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from cutover.aws.account import Call, Response
from cutover.aws.problem import Problem
from cutover.expectations import Expectations
from cutover.migration import Migration


class Phase(StrEnum):
    """When a requirement is due: at T-7d to T-1d, on the day, at the review a day later."""

    PREPARE = "prepare"
    DAY = "day"
    REVIEW = "review"

    def reached(self, now: Phase) -> bool:
        """Whether what is due in this phase is due in phase `now`."""
        order = list(Phase)
        return order.index(self) <= order.index(now)


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


class Reader(Protocol):
    """Whatever answers calls: an `Account`, or the raw files of a run."""

    def call(
        self, service: str, operation: str, /, *, region: str | None = None, fresh: bool = False, **arguments: Any
    ) -> Response:
        """The response to one call."""
        ...


class Recording:
    """The responses of an earlier run, read from its `raw/aws` folder: the same findings again, offline."""

    def __init__(self, responses: Mapping[str, Response]) -> None:
        self._responses = dict(responses)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """All raw files of a folder.

        Raises:
            OSError, ValueError: a file cannot be read.
        """
        import json  # noqa: PLC0415 - only here

        found = {}
        for path in sorted(folder.glob("*.json")):
            response = Response.from_dict(json.loads(path.read_text()), evidence=path.name)
            found[response.call.key] = response
        return cls(found)

    def call(
        self, service: str, operation: str, /, *, region: str | None = None, fresh: bool = False, **arguments: Any
    ) -> Response:
        """The recorded response; what was not recorded is a response without an answer."""
        call = Call(service, operation, arguments, region)
        return self._responses.get(call.key) or Response(
            call, False, problem=Problem.REFUSED, error_code="NotRecorded", message="this call is not in the recording"
        )


V = TypeVar("V", bound="View")


@dataclass
class Stack:
    """What requirements are judged on: a reader, the migration's expectations, the phase and the time.

    Attributes:
        reader: answers calls, live or recorded.
        migration: names and expectations.
        now: the time that ages are counted from (the snapshot's time, so that a recording is judged the same later).
        phase: what is due.
        source_major: the source's PostgreSQL major, when it is known.
    """

    reader: Reader
    migration: Migration
    now: datetime
    phase: Phase = Phase.PREPARE
    source_major: int | None = None
    _views: dict[type[View], View | Exception] = field(default_factory=dict)
    _locks: dict[type[View], threading.RLock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def expect(self) -> Expectations:
        """What should be."""
        return self.migration.expect

    def ask(self, service: str, operation: str, /, *, region: str | None = None, **arguments: Any) -> Response:
        """The response, whatever it says."""
        return self.reader.call(service, operation, region=region, **arguments)

    def need(
        self,
        service: str,
        operation: str,
        /,
        *,
        region: str | None = None,
        missing: str = "",
        remedy: str = "",
        **arguments: Any,
    ) -> Response:
        """The response, with an answer in it.

        Args:
            missing: what is said when AWS answers "not found".
            remedy: how the missing thing is made.

        Raises:
            NotThere: AWS says that it is not there.
            Unreadable: AWS would not or could not say.
        """
        response = self.ask(service, operation, region=region, **arguments)
        if response.ok:
            return response
        evidence = (response.evidence,) if response.evidence else ()
        if response.problem is Problem.NOT_FOUND:
            raise NotThere(missing or f"{response.error_code}: {response.message}", remedy=remedy, evidence=evidence)
        raise Unreadable(
            f"{service}.{operation}: {response.problem} ({response.error_code}: {response.message})", evidence=evidence
        )

    def view(self, kind: type[V]) -> V:
        """The view of this kind, read once.

        Raises:
            NotThere, Unreadable, NotApplicable: as reading it did the first time.
        """
        with self._lock:
            lock = self._locks.setdefault(kind, threading.RLock())
        with lock:
            if kind not in self._views:
                try:
                    self._views[kind] = kind.read(self)
                except (NotThere, Unreadable, NotApplicable, Absent) as error:
                    self._views[kind] = error
            found = self._views[kind]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, kind)  # noqa: S101 - by construction
        return found


class View:
    """A light, typed look at one resource: `text`, `number`, `flag`, `rows` and `moment` by dotted path.

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
    def read(cls, stack: Stack) -> Self:
        """Look it up.

        Raises:
            NotThere, Unreadable, NotApplicable: there is nothing to look at.
        """
        raise NotImplementedError

    def get(self, path: str) -> Any:
        """The value at a dotted path (a number is an index), None when it is not there."""
        value: Any = self.data
        for part in path.split("."):
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value

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


def parse_moment(value: Any, path: str = "time") -> datetime:
    """ISO 8601 text or epoch milliseconds as a time in UTC.

    Raises:
        Unreadable: it is neither.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, UTC)
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
