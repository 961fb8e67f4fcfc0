"""One attribute of an object on the target that is to become what the source has: what its statement is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cutover.postgres.catalog.clauses import foreign_options, literal
from cutover.postgres.catalog.grants import changes, statement
from cutover.postgres.catalog.model import CatalogObject


@dataclass(frozen=True, slots=True)
class Alteration:
    """One attribute to set.

    Attributes:
        one: the object as the source has it.
        name: of the attribute.
        value: that it should have.
        target: the object as the target has it; None where it was made only now.
        database: the target database's name, quoted.
    """

    one: CatalogObject
    name: str
    value: Any
    target: CatalogObject | None = None
    database: str = ""

    @property
    def has(self) -> Mapping[str, Any]:
        """What the object is on the source."""
        return self.one.attributes

    @property
    def held(self) -> Any:
        """The attribute's value on the target, None where it is not known."""
        return self.target.attributes.get(self.name) if self.target else None


def options(start: str, change: Alteration, prefix: str = "") -> str:
    """SET and RESET of storage options, which the catalog lists as `name=value`; `prefix` stands before each name."""
    wanted, there = _pairs(change.value, prefix), _pairs(change.held, prefix)
    lines = []
    if differ := [f"{k} = {v}" for k, v in wanted.items() if there.get(k) != v]:
        lines.append(f"{start} SET ({', '.join(differ)});")
    if gone := [k for k in there if k not in wanted]:
        lines.append(f"{start} RESET ({', '.join(gone)});")
    return "\n".join(lines)


def foreign(change: Alteration) -> str:
    """What stands in OPTIONS ( ) of a foreign object, or of a column of one."""
    wanted, there = _pairs(change.value), _pairs(change.held)
    parts = [f"{'SET' if k in there else 'ADD'} {k} {literal(v)}" for k, v in wanted.items() if there.get(k) != v]
    return ", ".join(parts + [f"DROP {k}" for k in there if k not in wanted]) or foreign_options(change.value)


def _pairs(listed: Any, prefix: str = "") -> dict[str, str]:
    return dict(f"{prefix}{option}".split("=", 1) for option in listed or ())


def column_statements(one: CatalogObject, wanted: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[str]:
    """Statements for what depends on the columns of a view, or on the attributes of a type, by column."""
    for column in sorted(wanted.keys() | held.keys()):
        want, have = wanted.get(column, {}), held.get(column, {})
        on = f"ALTER {one.kind.upper()} {one.name} ALTER COLUMN {column}"
        if want.get("default") != have.get("default"):
            yield f"{on} {'SET DEFAULT ' + want['default'] if want.get('default') else 'DROP DEFAULT'};"
        if want.get("comment") != have.get("comment"):
            text = literal(want["comment"]) if want.get("comment") else "NULL"
            yield f"COMMENT ON COLUMN {one.name}.{column} IS {text};"
        if want.get("statistics") != have.get("statistics"):
            yield f"{on} SET STATISTICS {want.get('statistics', -1)};"
        for verb, role, privilege, option in changes(want.get("grants", ()), have.get("grants", ())):
            yield statement(verb, role, f"{privilege} ({column})", option, f"TABLE {one.name}")
