"""A step of the remedy: what it makes, which requirements that mends, and what must be there before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cutover.aws.remedy.command import several
from cutover.aws.requirements.stack import Stack
from cutover.expectations import Expectations
from cutover.migration import Migration


@dataclass(frozen=True)
class Place:
    """What a step may know when it is written: the migration, and what the account holds already.

    Attributes:
        stack: the expectations, and the responses that were recorded.
        known: the ids that are there, by the shell variable that stands for each.
    """

    stack: Stack
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def m(self) -> Migration:
        """The migration."""
        return self.stack.migration

    @property
    def e(self) -> Expectations:
        """What is expected."""
        return self.stack.expect

    def id(self, variable: str) -> str:
        """The real id where the account has it, else the shell variable that an earlier step fills."""
        return self.known.get(variable) or f"${variable}"

    def ids(self, variable: str) -> list[str]:
        """Likewise for several ids."""
        return self.known[variable].split() if variable in self.known else [several(variable)]

    def role(self, name: str) -> str:
        """The ARN of one of the account's roles."""
        return f"arn:aws:iam::{self.m.account_id}:role/{name}"

    @property
    def tags(self) -> list[dict[str, str]]:
        """The project's tag, as most services take it."""
        return [{"Key": "Project", "Value": self.e.account.project_tag}]

    def named(self, kind: str, name: str) -> list[dict[str, object]]:
        """Tags at creation, as EC2 takes them."""
        return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}, *self.tags]}]


@dataclass(frozen=True, slots=True)
class Input:
    """What a person must give: the script refuses to begin without it.

    Attributes:
        name: the shell variable.
        what: what it holds, in words; a secret is given as the path of a file, never as itself.
        optional: the rest is done without it, and what it would have mended is named at the end.
    """

    name: str
    what: str
    optional: bool = False


Writer = Callable[[Place], str]


@dataclass(frozen=True, slots=True)
class Step:
    """One resource of the architecture.

    Attributes:
        name: short, unique.
        what: what it makes, for the script's comment.
        mends: ids of the requirements that hold once it is made (and what it needs).
        needs: names of the steps that come first.
        gives: shell variables; it is there already when all of them are known.
        asks: what a person must give.
        write: the commands.
        applies: whether this migration wants it.
        probe: a command that succeeds when it is there, for what no requirement looks at.
    """

    name: str
    what: str
    mends: frozenset[str]
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    asks: tuple[Input, ...]
    write: Writer
    applies: Callable[[Place], bool]
    probe: str

    def there(self, place: Place) -> bool:
        """Whether the account has it."""
        return all(name in place.known for name in self.gives)


STEPS: dict[str, Step] = {}
"""Every step by its name."""


def step(
    name: str,
    what: str,
    *,
    mends: str,
    needs: str = "",
    gives: str,
    asks: tuple[Input, ...] = (),
    applies: Callable[[Place], bool] = lambda place: True,
    probe: str = "",
) -> Callable[[Writer], Writer]:
    """Register what writes a step's commands.

    Args:
        name: unique.
        what: what it makes.
        mends: ids and ranges, `NET-01 RDS-01..17`.
        needs: names of other steps.
        gives: shell variables.
        asks: what a person must give.
        applies: whether this migration wants it.
        probe: a command that succeeds when it is there already.
    """

    def register(write: Writer) -> Writer:
        STEPS[name] = Step(
            name, what, expand(mends), tuple(needs.split()), tuple(gives.split()), asks, write, applies, probe
        )  # fmt: skip
        return write

    return register


def expand(ids: str) -> frozenset[str]:
    """`RDS-01..03 NET-01` as single ids."""
    found: set[str] = set()
    for word in ids.split():
        match = re.fullmatch(r"([A-Z0-9]+)-(\d+)\.\.(\d+)", word)
        if match:
            found |= {f"{match[1]}-{n:02d}" for n in range(int(match[2]), int(match[3]) + 1)}
        else:
            found.add(word)
    return frozenset(found)


def ordered(names: set[str], place: Place) -> list[Step]:
    """The steps that make `names` good, each after what it needs; what is there already is left out."""
    found: dict[str, Step] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"steps need each other: {' → '.join((*path, name))}")
        one = STEPS[name]
        if name in found or one.there(place) or not one.applies(place):
            return
        for need in one.needs:
            visit(need, (*path, name))
        found[name] = one

    for name in STEPS:  # in the order of the modules, so that what belongs together stays together
        if name in names:
            visit(name, ())
    return list(found.values())
