"""What requirements are judged on: a reader, the expectations, the phase and the time; each view is read once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar

from cutover.aws.account import Response
from cutover.aws.problem import Problem
from cutover.aws.requirements.answers import Absent, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.recording import Reader
from cutover.expectations import Expectations
from cutover.migration import Migration

_ABOUT_THE_PLACE = ("sts", "get_caller_identity"), ("ec2", "describe_availability_zones")
"""What is asked before it is known that this is the right account and region."""


class Phase(StrEnum):
    """When a requirement is due: at T-7d to T-1d, on the day, at the review a day later."""

    PREPARE = "prepare"
    DAY = "day"
    REVIEW = "review"

    def reached(self, now: Phase) -> bool:
        """Whether what is due in this phase is due in phase `now`."""
        order = list(Phase)
        return order.index(self) <= order.index(now)


class Readable(Protocol):
    """A kind of look at the stack, such as a view of one resource."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Look it up.

        Raises:
            NotThere, Unreadable, NotApplicable: there is nothing to look at.
        """
        ...


V = TypeVar("V", bound=Readable)


@dataclass
class Stack:
    """What requirements are judged on.

    Attributes:
        reader: answers calls, live or recorded.
        migration: names and expectations.
        now: the time that ages are counted from (the snapshot's time, so that a recording is judged the same later).
        phase: what is due.
        source_major: the source's PostgreSQL major, when it is known.
        closed: why nothing more is asked (the wrong account), "" while all is well.
        evidence: the raw files of every response that was asked for.
    """

    reader: Reader
    migration: Migration
    now: datetime
    phase: Phase = Phase.PREPARE
    source_major: int | None = None
    closed: str = ""
    evidence: set[str] = field(default_factory=set)
    _views: dict[type[Readable], Readable | Exception] = field(default_factory=dict)
    _locks: dict[type[Readable], threading.RLock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def expect(self) -> Expectations:
        """What should be."""
        return self.migration.expect

    def ask(self, service: str, operation: str, /, *, region: str | None = None, **arguments: Any) -> Response:
        """The response, whatever it says.

        Raises:
            Unreadable: nothing may be asked here.
        """
        if self.closed and (service, operation) not in _ABOUT_THE_PLACE:
            raise Unreadable(f"{service}.{operation} was not asked: {self.closed}")
        elsewhere = region if region != self.migration.region else None
        response = self.reader.call(service, operation, region=elsewhere, **arguments)
        if response.evidence:
            self.evidence.add(response.evidence)
        return response

    def need(
        self,
        service: str,
        operation: str,
        /,
        *,
        region: str | None = None,
        missing: str = "",
        remedy: str = "",
        always: bool = False,
        **arguments: Any,
    ) -> Response:
        """The response, with an answer in it.

        Args:
            missing: what is said when AWS answers "not found".
            remedy: how the missing thing is made.
            always: every account has it, so that "not found" is no answer about it.

        Raises:
            NotThere: AWS says that it is not there.
            Unreadable: AWS would not or could not say.
        """
        response = self.ask(service, operation, region=region, **arguments)
        if response.ok:
            return response
        evidence = (response.evidence,) if response.evidence else ()
        if response.problem is Problem.NOT_FOUND and not always:
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
