"""What the blueprint is written in: calls of AWS APIs, what they give to each other, and the resources they make.

A text in an argument may hold `$NAME`: what an earlier call gave, or what a person gives (an `Input`). A list that is
`several("NAME")` is all words of it. A text `file://$NAME` is the contents of the file that a person names. Both
renderers, `shell` and `boto`, put the values in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cutover.aws.blueprint.site import Site

VARIABLE = re.compile(r"\$(?:\{([A-Z][A-Z0-9_]*)\}|([A-Z][A-Z0-9_]*))")
SEVERAL = re.compile(r"@([A-Z][A-Z0-9_]*)@")
UNIQUE = "$UNIQUE"
"""A text that is another one on each run, for what AWS calls a caller reference."""


def several(variable: str) -> list[str]:
    """A list of all words of a variable, where an API takes a list of ids."""
    return [f"@{variable}@"]


@dataclass(frozen=True, slots=True)
class Change:
    """How single settings of a thing that is there already are changed.

    Attributes:
        operation: boto3's name of the method, of the same service.
        identity: the arguments that name the thing.
        settings: by requirement, the names of the creating call's arguments that are given again, or the arguments
            themselves where the API calls them otherwise.
    """

    operation: str
    identity: Mapping[str, Any]
    settings: Mapping[str, str | Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an AWS API.

    Attributes:
        service: boto3's name of the client.
        operation: boto3's name of the method.
        arguments: the parameters, as botocore names and nests them.
        into: the variable that takes a part of the answer.
        query: the JMESPath of that part.
        fixes: ids of requirements that this call alone fixes in what is there already: it can be made again.
        region: another region than the site's.
        show: its answer is for the person who runs the script.
        changes: how its settings are changed later.
    """

    service: str
    operation: str
    arguments: Mapping[str, Any]
    into: str = ""
    query: str = ""
    fixes: frozenset[str] = frozenset()
    region: str = ""
    show: bool = False
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Until a thing is ready.

    Attributes:
        service: boto3's name of the client.
        waiter: boto3's name of the waiter.
        arguments: the waiter's.
        otherwise: id of a requirement and what is said when it does not become ready; "" stops there.
    """

    service: str
    waiter: str
    arguments: Mapping[str, Any]
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Let:
    """A variable of a text; of what comes `after` the first occurrence of a mark in it, where one is given."""

    name: str
    text: str
    after: str = ""


ENCODED = "percent-encoded:"


@dataclass(frozen=True, slots=True)
class Write:
    """A private file whose text has a secret in it: `{}`s in `text` are filled with `parts`, in order.

    A part that begins with `ENCODED` is the percent-encoded text of a file: it goes into a URL.
    """

    name: str
    text: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """A call for each row that a look finds, once it finds any.

    Attributes:
        look: the call that finds them; its `query` gives rows.
        names: the variables that take a row's columns.
        do: what is called.
    """

    look: Call
    names: tuple[str, ...]
    do: Call


@dataclass(frozen=True, slots=True)
class Demand:
    """A look that must find something, or nothing more is done; `otherwise` says what a person does then."""

    look: Call
    otherwise: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """Something that the person who runs the script must know now."""

    text: str


Node = Call | Wait | Let | Write | Each | Demand | Say


@dataclass(frozen=True, slots=True)
class Input:
    """What a person must give: the script refuses to begin without it.

    Attributes:
        name: the variable.
        what: what it holds, in words; a secret is given as the path of a file, never as itself.
        optional: the rest is done without it, and what it would have fixed is named at the end.
        default: what it is when nobody gives it.
    """

    name: str
    what: str
    optional: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One row of the table: a resource of the architecture and the calls that make it.

    Attributes:
        name: short, unique.
        what: what it is, for the script's comment.
        fixes: ids of the requirements that hold once it is made (and what it needs).
        needs: names of the resources that come first.
        gives: variables; it is there already when all of them are known.
        nodes: the calls.
        asks: what a person must give.
        applies: whether this site wants it.
        probe: a look that succeeds when it is there, for what no requirement looks at.
        found: what the probe's answer holds then; "" when it is enough that it is answered.
    """

    name: str
    what: str
    fixes: frozenset[str]
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    nodes: Callable[[Site], Sequence[Node]]
    asks: tuple[Input, ...] = ()
    applies: Callable[[Site], bool] = lambda site: True
    probe: Callable[[Site], Call] | None = None
    found: str = ""


BLUEPRINT: dict[str, Resource] = {}
"""Every resource of the architecture by its name, in the order of the modules: what stands in what."""


Nodes = Callable[[Site], Sequence[Node]]


def resource(name: str, what: str, *, fixes: str, needs: str = "", gives: str, **more: Any) -> Callable[[Nodes], Nodes]:
    """Register the calls that make a resource, told as `Resource` has it; ids (`RDS-01..17`) and names in one text."""

    def register(nodes: Nodes) -> Nodes:
        BLUEPRINT[name] = Resource(name, what, expand(fixes), tuple(needs.split()), tuple(gives.split()), nodes, **more)
        return nodes

    return register


def call(
    service: str,
    operation: str,
    /,
    *,
    into: str = "",
    query: str = "",
    fixes: str = "",
    region: str = "",
    show: bool = False,
    changes: tuple[Change, ...] = (),
    **arguments: Any,
) -> Call:
    """A call, its API's parameters given by their own names."""
    return Call(service, operation, arguments, into, query, expand(fixes), region, show, changes)


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


def ordered(names: set[str], site: Site, there: Callable[[Resource], bool] = lambda row: False) -> list[Resource]:
    """The rows that make `names`, each after what it needs; what is `there` already is left out."""
    found: dict[str, Resource] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"resources need each other: {' → '.join((*path, name))}")
        row = BLUEPRINT[name]
        if name in found or not row.applies(site) or there(row):
            return
        for need in row.needs:
            visit(need, (*path, name))
        found[name] = row

    for name in BLUEPRINT:  # in the order of the modules, so that what belongs together stays together
        if name in names:
            visit(name, ())
    return list(found.values())


def again(identifier: str, site: Site) -> list[tuple[Resource, list[Node]]]:
    """The calls that fix one requirement in what is there already, by row; none when the table has no such call.

    They come with the looks and variables of their row that they use.
    """
    found: list[tuple[Resource, list[Node]]] = []
    for row in BLUEPRINT.values():
        nodes = list(row.nodes(site)) if row.applies(site) else []
        fixing = [(n, _mending(node, identifier)) for n, node in enumerate(nodes) if isinstance(node, Call)]
        wanted: list[Node] = []
        for place, made in fixing:
            parts = [*_needed(made, nodes[:place]), made] if made else []
            wanted += [part for part in parts if part not in wanted]
        if wanted:
            found.append((row, wanted))
    return found


def _mending(made: Call, identifier: str) -> Call | None:
    if identifier in made.fixes:
        return made
    for change in made.changes:
        wanted = change.settings.get(identifier)
        if wanted is not None:
            given = {n: made.arguments[n] for n in wanted.split()} if isinstance(wanted, str) else wanted
            return Call(made.service, change.operation, {**change.identity, **given}, region=made.region)
    return None


def _needed(wanted: Call, before: Sequence[Node]) -> list[Node]:
    """What of `before` gives the variables that a call uses, and so on."""
    names, found = set(variables(wanted.arguments)), []
    for node in reversed(before):
        gives = node.name if isinstance(node, Let) else node.into if isinstance(node, Call) else ""
        looks = isinstance(node, Let) or (isinstance(node, Call) and node.operation.startswith(("describe", "get")))
        if gives in names and looks:
            found.append(node)
            names |= set(variables(node.text if isinstance(node, Let) else node.arguments))  # type: ignore[union-attr]
    return found[::-1]


def variables(value: Any) -> Iterator[str]:
    """The names of all variables that a value holds."""
    if isinstance(value, str):
        yield from (a or b for a, b in VARIABLE.findall(value))
        yield from SEVERAL.findall(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from variables(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from variables(inner)


def filled(value: Any, given: Callable[[str], str | None]) -> Any:
    """A value with what is known of its variables put in; the others stay as they are."""
    if isinstance(value, str):
        if value.startswith("file://"):
            return value
        return VARIABLE.sub(lambda m: known if (known := given(m[1] or m[2])) is not None else m[0], value)
    if isinstance(value, Mapping):
        return {k: filled(v, given) for k, v in value.items()}
    if isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], str) and (match := SEVERAL.fullmatch(value[0])):
            known = given(match[1])
            return value if known is None else known.split()
        return [filled(v, given) for v in value]
    return value
