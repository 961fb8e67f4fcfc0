"""Which relations are compared: all, or those that a person chose; what is left out by choice is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from cutover.finding import Finding, Severity, Status
from cutover.postgres.integrity.relations import LARGE_OBJECTS, Relation


@dataclass(frozen=True, slots=True)
class Selection:
    """What to compare, by patterns as in file names (`*`, `?`); nothing given is everything.

    Attributes:
        schemas: schemas to compare: `public`, `app_*`.
        tables: tables to compare: `public.users`, `public.*`; a pattern without a dot is taken in every schema.
        exclude: tables to leave out, in the same form; it wins.
    """

    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by choice."""
        return not (self.schemas or self.tables or self.exclude)

    def includes(self, relation: Relation) -> bool:
        """Whether it is to be compared."""
        if _any(relation, self.exclude):
            return False
        if not (self.schemas or self.tables):
            return True
        # Large objects are in no schema: they are chosen by their name alone.
        of_schema = relation.name != LARGE_OBJECTS and any(fnmatchcase(relation.schema, p) for p in self.schemas)
        return of_schema or _any(relation, self.tables)

    def split(self, relations: Mapping[str, Relation]) -> tuple[dict[str, Relation], list[str]]:
        """The relations that are compared, and the names of those that are not."""
        kept = {name: relation for name, relation in relations.items() if self.includes(relation)}
        return kept, sorted(relations.keys() - kept.keys())

    def unmatched(self, relations: Iterable[Relation]) -> set[str]:
        """The patterns that fit no relation: most likely they are mistyped."""
        known = list(relations)
        alone = {p: Selection(schemas=(p,)) for p in self.schemas} | {
            p: Selection(tables=(p,)) for p in (*self.tables, *self.exclude)
        }
        return {pattern for pattern, one in alone.items() if not any(map(one.includes, known))}

    def to_dict(self) -> dict[str, list[str]]:
        """JSON-ready."""
        return {"schemas": list(self.schemas), "tables": list(self.tables), "exclude": list(self.exclude)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Iterable[str]]) -> Selection:
        """What `to_dict` gave."""
        return cls(**{name: tuple(patterns) for name, patterns in raw.items()})

    def __str__(self) -> str:
        parts = {name.replace("exclude", "without"): " ".join(p) for name, p in self.to_dict().items() if p}
        return ", ".join(f"{name} {patterns}" for name, patterns in parts.items()) or "everything"


def left_out(selection: Selection, names: Iterable[str], subject: str) -> list[Finding]:
    """The finding that names what was left out by choice (INT-left-out); none when that is nothing."""
    named = sorted(set(names))
    if not named:
        return []
    data: dict[str, Any] = {"tables": named}
    return [
        Finding(
            id="INT-left-out",
            title="Nothing was left out of the comparison by choice",
            status=Status.NOT_APPLICABLE,
            severity=Severity.LOW,
            subject=subject,
            expected="the whole database, or a part that somebody chose",
            observed=f"chosen: {selection}; left out: {len(named):,} relations: {', '.join(named[:20])}"
            + (" …" if len(named) > 20 else ""),
            why="The verdict speaks of the chosen part alone; whether the rest arrived, nobody has looked.",
            remedy="Compare once more without a choice before the rest of the data is trusted.",
            data=data,
        )
    ]


def _any(relation: Relation, patterns: tuple[str, ...]) -> bool:
    names = (relation.name, relation.plain_name)
    bare = relation.plain_name.rpartition(".")[2]
    return any(
        any(fnmatchcase(name, pattern) for name in names) or ("." not in pattern and fnmatchcase(bare, pattern))
        for pattern in patterns
    )
