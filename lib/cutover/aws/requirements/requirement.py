"""How a requirement is written: a decorator, small outcomes, and a registry of them all."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from cutover.aws.requirements.answers import Unreadable
from cutover.aws.requirements.stack import Phase, Stack
from cutover.aws.requirements.view import View
from cutover.aws.states import States
from cutover.expectations import Expectations
from cutover.finding import Severity, Status

BLOCKER, HIGH, MEDIUM, LOW = Severity.BLOCKER, Severity.HIGH, Severity.MEDIUM, Severity.LOW
PREPARE, DAY, REVIEW = Phase.PREPARE, Phase.DAY, Phase.REVIEW
FAIL, PASS, UNKNOWN, MISSING = Status.FAIL, Status.PASS, Status.UNKNOWN, Status.MISSING

_SECTIONS = {type(getattr(Expectations(), name)): name for name in Expectations.model_fields}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a predicate says of what it was given."""

    ok: bool
    expected: str
    observed: str
    why: str = ""
    remedy: str = ""
    subject: str = ""


Check = Callable[..., Outcome]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the architecture's contract.

    Attributes:
        id: as in `RDS-11`.
        title: what is claimed.
        severity: how serious it is.
        guide: line of the deployment guide, 0 when it is ours.
        due: from which phase on.
        absent: what it means when the answer lacks the field: FAIL, PASS or UNKNOWN.
        service: the module it stands in, such as `rds`; the prefix of its set, when it is another package's.
        check: the predicate; what it needs, it says in its signature: views, sections of the expectations, the stack.
    """

    id: str
    title: str
    severity: Severity
    guide: int
    due: Phase
    absent: Status
    service: str
    check: Check

    @property
    def views(self) -> list[type[View]]:
        """The views that the predicate's signature asks for."""
        wanted = typing.get_type_hints(self.check)
        kinds = [wanted[name] for name in inspect.signature(self.check).parameters]
        return [k for k in kinds if isinstance(k, type) and issubclass(k, View)]

    def add_to(self, registry: dict[str, Requirement]) -> None:
        """Register it.

        Raises:
            ValueError: its id is taken, or it does not say why.
        """
        if self.id in registry:
            raise ValueError(f"two requirements are called {self.id}")
        if not self.check.__doc__:
            raise ValueError(f"{self.id} does not say why: its docstring is the reason in the finding")
        registry[self.id] = self

    def arguments(self, stack: Stack) -> tuple[dict[str, Any], list[View]]:
        """What the predicate's signature asks for, read from the stack; and the views among it.

        Raises:
            NotThere, Unreadable, NotApplicable: a view cannot be read.
        """
        wanted = typing.get_type_hints(self.check)
        given: dict[str, Any] = {}
        views: list[View] = []
        for name in inspect.signature(self.check).parameters:
            kind = wanted[name]
            if kind is Stack:
                given[name] = stack
            elif kind in _SECTIONS:
                given[name] = getattr(stack.expect, _SECTIONS[kind])
            else:
                given[name] = stack.view(kind)
                views.append(given[name])
        return given, views


REGISTRY: dict[str, Requirement] = {}
"""Every requirement by its id, in the order of the modules."""


def requirement(
    identifier: str,
    *,
    title: str,
    severity: Severity,
    guide: int = 0,
    due: Phase = PREPARE,
    absent: Status = UNKNOWN,
) -> Callable[[Check], Check]:
    """Register a predicate as a requirement.

    Args:
        identifier: unique; the catalogue's.
        title: what is claimed, as a short sentence.
        severity: BLOCKER and HIGH close a gate.
        guide: line of the deployment guide.
        due: PREPARE, DAY or REVIEW.
        absent: the status when the answer lacks the field that the predicate reads.
    """

    def register(check: Check) -> Check:
        room, _, service = check.__module__.rpartition(".")
        if room != __package__:
            raise ValueError(f"{identifier} is registered from {check.__module__}: another package has its own set")
        Requirement(identifier, title, severity, guide, due, absent, service, check).add_to(REGISTRY)
        return check

    return register


def holds(observed: Any, *, expected: Any, remedy: str = "", why: str = "", subject: str = "") -> Outcome:
    """Whether the observed value is the expected one."""
    return Outcome(observed == expected, show(expected), show(observed), why, remedy, subject)


def at_least(observed: float, minimum: float, *, unit: str = "", remedy: str = "", why: str = "") -> Outcome:
    """Whether a number is not below a minimum."""
    return Outcome(observed >= minimum, f"at least {minimum:g}{unit}", f"{observed:g}{unit}", why, remedy)


def at_most(observed: float, maximum: float, *, unit: str = "", remedy: str = "", why: str = "") -> Outcome:
    """Whether a number is not above a maximum."""
    return Outcome(observed <= maximum, f"at most {maximum:g}{unit}", f"{observed:g}{unit}", why, remedy)


def one_of(observed: Any, allowed: Collection[Any], *, remedy: str = "", why: str = "") -> Outcome:
    """Whether a value is among the allowed ones."""
    return Outcome(observed in allowed, "one of " + ", ".join(map(show, allowed)), show(observed), why, remedy)


def serves(state: str, states: States, *, remedy: str = "") -> Outcome:
    """Whether a resource's state is one in which it serves its clients; the state is shown either way.

    Raises:
        Unreadable: what the state means is not known.
    """
    good = states.serves(state)
    if good is None:
        raise Unreadable(f"what the state {state!r} means is not known")
    known = "available" if state == "available" else f"available, or at work as {', '.join(states.serving[1:])}"
    return Outcome(good, known, state, remedy=remedy)


def judged(ok: bool, *, expected: str, observed: Any, remedy: str = "", why: str = "", subject: str = "") -> Outcome:
    """A judgement in the predicate's own words."""
    return Outcome(bool(ok), expected, show(observed), why, remedy, subject)


def show(value: Any) -> str:
    """A value in words for a finding."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(map(show, value)) if isinstance(value, set | frozenset) else list(map(show, value))
        return ", ".join(items) if items else "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{k}={show(v)}" for k, v in value.items()) or "nothing"
    if isinstance(value, float):
        return f"{value:g}"
    return "nothing" if value in (None, "") else str(value)
