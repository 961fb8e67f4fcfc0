"""A requirement about one field of one view, as one row of a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

from cutover.aws.requirements.requirement import (
    PREPARE,
    REGISTRY,
    UNKNOWN,
    Outcome,
    Requirement,
    at_least,
    at_most,
    holds,
    judged,
    one_of,
)
from cutover.aws.requirements.stack import Phase, Stack
from cutover.aws.requirements.view import View
from cutover.expectations import Expectations
from cutover.finding import Severity, Status

V = TypeVar("V", bound=View)
Value = str | bool | int | float


class Rows:
    """Adds requirements to a registry, a row for each.

    Attributes:
        registry: where they are added.
        service: the module, or the prefix of the set, that they stand in.
    """

    def __init__(self, registry: dict[str, Requirement], service: str) -> None:
        self.registry, self.service = registry, service

    registry: dict[str, Requirement]
    service: str

    def field(
        self,
        identifier: str,
        view: type[V],
        path: str,
        *,
        title: str,
        severity: Severity,
        why: str,
        equals: Value | Callable[[Expectations], Value] | None = None,
        at_least: float | Callable[[Expectations], float] | None = None,
        at_most: float | Callable[[Expectations], float] | None = None,
        one_of: Collection[str] | Callable[[Expectations], Collection[str]] | None = None,
        includes: str = "",
        matches: tuple[str, str] | None = None,
        unit: str = "",
        remedy: str | Callable[[V, Expectations], str] = "",
        guide: int = 0,
        due: Phase = PREPARE,
        absent: Status = UNKNOWN,
    ) -> None:
        """Add a requirement that one field is as it should be; exactly one comparison is given.

        What should be is a value, or a function of the expectations: `at_least=lambda e: e.rds.storage_gib`.

        Args:
            identifier, title, severity, guide, due, absent: as for `requirement`.
            view: what is looked at.
            path: dotted path of the field.
            why: why it matters.
            equals: the value; whether the field is read as text, number or flag follows from it.
            at_least, at_most: a bound of a number, or of how many rows a list has; with its `unit`.
            one_of: the texts that are allowed.
            includes: what a list must hold.
            matches: a regular expression for the beginning of a text, and what is expected in words.
            remedy: what to do; of the view and the expectations, where it names them.

        Raises:
            ValueError: none, or more than one, comparison; the id is taken.
        """
        wanted = {
            name: value
            for name, value in [
                ("equals", equals), ("at_least", at_least), ("at_most", at_most), ("one_of", one_of),
                ("includes", includes or None), ("matches", matches),
            ]
            if value is not None
        }  # fmt: skip
        if len(wanted) != 1:
            raise ValueError(f"{identifier} is compared with {', '.join(wanted) or 'nothing'}: give one comparison")
        ((how, value),) = wanted.items()

        def check(seen: V, stack: Stack) -> Outcome:
            right = value(stack.expect) if callable(value) else value
            text = remedy(seen, stack.expect) if callable(remedy) else remedy
            return _COMPARE[how](seen, path, right, unit, text)

        check.__doc__, check.__annotations__["seen"] = why, view
        Requirement(identifier, title, severity, guide, due, absent, self.service, check).add_to(self.registry)


def rows_of(module: str) -> Rows:
    """The rows of one of Cutover's own modules, by its `__name__`."""
    return Rows(REGISTRY, module.rpartition(".")[-1])


def _equals(seen: View, path: str, value: Value, _: str, remedy: str) -> Outcome:
    read = seen.flag if isinstance(value, bool) else seen.text if isinstance(value, str) else seen.number
    return holds(read(path), expected=value, remedy=remedy)


def _number(seen: View, path: str) -> float:
    return len(seen.rows(path)) if isinstance(seen.get(path), list) else seen.number(path)


def _includes(seen: View, path: str, value: str, _: str, remedy: str) -> Outcome:
    return judged(value in seen.rows(path), expected=value, observed=seen.rows(path), remedy=remedy)


def _matches(seen: View, path: str, value: tuple[str, str], _: str, remedy: str) -> Outcome:
    return judged(bool(re.match(value[0], seen.text(path))), expected=value[1], observed=seen.text(path), remedy=remedy)


_COMPARE: dict[str, Callable[..., Outcome]] = {
    "equals": _equals,
    "at_least": lambda seen, path, value, unit, remedy: at_least(_number(seen, path), value, unit=unit, remedy=remedy),
    "at_most": lambda seen, path, value, unit, remedy: at_most(_number(seen, path), value, unit=unit, remedy=remedy),
    "one_of": lambda seen, path, value, _, remedy: one_of(seen.text(path), value, remedy=remedy),
    "includes": _includes,
    "matches": _matches,
}
"""The comparisons of a row: of the view, the path, the wanted value, its unit and the remedy."""
