"""Typed light looks at one resource each, and the one way in which all of them are read: a view says what it asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

from cutover.aws.account import Response
from cutover.aws.requirements.answers import Absent, Ask, Evident, NotThere, Unreadable, dig, parse_moment
from cutover.aws.requirements.stack import Stack


class View:
    """A light, typed look at one resource: `text`, `number`, `flag`, `rows` and `moment` by dotted path.

    A subclass says in `ask` what it asks; only what needs several answers reads for itself.

    Attributes:
        needs: the views that it reads first; what needs none is asked before what waits for it.
        data: the resource as AWS describes it.
        subject: its ARN or name.
        evidence: the raw files it was read from.
    """

    needs: ClassVar[tuple[type[View], ...]] = ()

    def __init__(self, data: Mapping[str, Any], subject: str, *responses: Response | Evident) -> None:
        self.data = data
        self.subject = subject
        names: list[str] = []
        for source in responses:
            names += [source.evidence] if isinstance(source, Response) else source.evidence
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


def _subject(thing: Mapping[str, Any], ask: Ask) -> str:
    return str((dig(thing, ask.subject) if ask.subject else None) or ask.name or ask.what)


def _number(value: Any, path: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{path} is no number: {value!r}") from error
    return int(number) if number.is_integer() else number
