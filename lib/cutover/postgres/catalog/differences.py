"""Two catalogs compared in both directions: what is missing, what is extra, what is different, and what is unsure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cutover.finding import Severity
from cutover.postgres.catalog.descriptions import describe_change, describe_consequence, describe_presence, text
from cutover.postgres.catalog.model import Catalog, CatalogObject
from cutover.postgres.catalog.remedies import remedy
from cutover.postgres.catalog.weights import APART, weight

Problem = Literal["missing", "extra", "different", "unsure"]

_NOT_COMPARED = {
    "readable",
    "unreadable",
    "table owner",
    "parsed",
    "counts down",
    "name",
    "involved",
    "connected",
    "extension",
}
"""Attributes that help to read an object or to fix it, and say nothing by themselves."""

_SINCE = {
    ("column", "not null constraint"): 18,
    ("publication", "generated columns"): 18,
    ("role membership", "inherit"): 16,
    ("role membership", "set"): 16,
    ("subscription", "two phase"): 15,
    ("subscription", "disable on error"): 15,
}
"""Attributes that a major brought; where a side is older, there is nothing to compare."""

PRINTED = {
    ("column", "default"),
    ("column", "generated"),
    ("constraint", "definition"),
    ("function", "definition"),
    ("index", "definition"),
    ("materialized view", "definition"),
    ("policy", "check"),
    ("policy", "using"),
    ("publication", "tables"),
    ("rule", "definition"),
    ("statistics", "definition"),
    ("table", "partition bound"),
    ("table", "partition key"),
    ("trigger", "definition"),
    ("type", "constraints"),
    ("type", "default"),
    ("view", "definition"),
}
"""Attributes that a server prints from a parse tree: each major in its own way."""

_GRANTS = {"acl", "grants"}

_DATABASE_OWNER = "pg_database_owner"
"""The role whose one member is the owner of the database: it owns the schema public since PostgreSQL 15."""

_MAINTAIN = 17
"""The major that brought the privilege MAINTAIN: GRANT ALL of an older source includes it on a newer target."""


@dataclass(frozen=True, slots=True)
class CatalogDifference:
    """One difference.

    Attributes:
        kind: of the object; `owner`, `acl` and `comment` are kinds of their own, whatever object they belong to.
        object: its name (for owner, acl and comment with the object's kind before it).
        problem: `missing` on the target, `extra` on the target, `different`, or `unsure`: two majors print it
            differently, and nothing says whether that is all.
        source, target: what each side has, as text.
        severity: how serious it is.
        words: what is wrong, in one sentence without a full stop.
        remedy: SQL that fixes the target.
        changed: the attributes that differ.
        values: for each of them what the source and the target have.
        means: what follows from it for a sequence that stands elsewhere; empty otherwise.
    """

    kind: str
    object: str
    problem: Problem
    source: str
    target: str
    severity: Severity
    words: str
    remedy: str = ""
    changed: tuple[str, ...] = ()
    values: tuple[tuple[Any, Any], ...] = ()
    means: str = ""

    @property
    def sentence(self) -> str:
        """What is wrong and what follows from it, without a full stop."""
        return f"{self.words}: {self.means}" if self.means else self.words


def differences_between(
    source: Catalog, target: Catalog, deparsed: Catalog | None = None
) -> Iterator[CatalogDifference]:
    """Every difference, both directions; what goes with an object that is not there is not named again.

    Args:
        source, target: the catalogs.
        deparsed: the source's objects as the target's major prints them, from its schema restored on such a server.
    """
    pair = _Pair(source, target, deparsed)
    for key in sorted(source.objects.keys() | target.objects.keys()):
        ours, theirs = source.objects.get(key), target.objects.get(key)
        one = ours or theirs
        if one is None or one.kind in source.unread or one.kind in target.unread or not concerns(ours, theirs):
            continue
        if ours and theirs:
            yield from pair.within(ours, theirs)
        elif not pair.goes_with_another(one):
            yield pair.alone(one, "missing" if ours else "extra")


def concerns(ours: CatalogObject | None, theirs: CatalogObject | None) -> bool:
    """Whether an object is this database's business: roles that own nothing here and may do nothing here are not."""
    one = ours or theirs
    return one is None or one.kind not in ("role", "role setting") or bool(one.attributes.get("involved", True))


class _Pair:
    """The two sides, with what is on one of them only."""

    def __init__(self, source: Catalog, target: Catalog, deparsed: Catalog | None) -> None:
        self._source, self._target, self._deparsed = source, target, deparsed
        self._alone = source.objects.keys() ^ target.objects.keys()
        named = target.objects.get(("database", "database"))
        self._database = str(named.attributes["name"]) if named else "TARGET"
        self._owner = str(named.attributes.get("belongs to")) if named else ""
        self._oldest = min(source.major, target.major)
        self._roles = target.roles

    def goes_with_another(self, one: CatalogObject) -> bool:
        """Whether something else that is on one side only, or differs, says it already."""
        has = one.attributes
        if one.kind in ("trigger", "constraint") and self._hangs_elsewhere(one.parent):
            return True
        if one.kind == "column" and self._is_of_a_type_that_differs(one.parent):
            return True
        carriers = [("table", one.parent), ("constraint", str(has.get("of constraint") or ""))]
        carriers += [(kind, one.parent) for kind in ("view", "materialized view")]
        if one.kind in ("sequence", "sequence value"):
            carriers += [("sequence", one.name)] if one.kind == "sequence value" else []
            owner = str(has.get("owned by") or "")
            carriers += [("column", owner), ("table", owner.rpartition(".")[0])]
            column = [side.objects.get(("column", owner)) for side in (self._source, self._target)]
            if has.get("identity") and all(column) and len({c.attributes["identity"] for c in column if c}) > 1:
                return True
        if one.kind in ("role membership", "role setting", "database setting"):
            carriers += [("role", str(has.get(name))) for name in ("role", "member")]
        if one.kind == "grant beside":
            carriers.append(("extension", str(has["extension"])))
        if one.kind == "user mapping":
            carriers.append(("foreign server", one.name.rpartition(" SERVER ")[2]))
        return any(carrier in self._alone for carrier in carriers)

    def _is_of_a_type_that_differs(self, table: str) -> bool:
        """Whether a table was made of a composite type whose attributes differ: its columns are those."""
        holder = self._source.objects.get(("table", table))
        kind = str(holder.attributes["of type"] or "") if holder else ""
        return bool(kind) and self._differs(("type", kind), "attributes")

    def _hangs_elsewhere(self, table: str) -> bool:
        """Whether a table has other parents on the target: what it inherits then comes and goes with them."""
        return self._differs(("table", table), "inherits")

    def _said_by_another(self, ours: CatalogObject, name: str) -> bool:
        """Whether an index differs because its constraint or its table's parent does, a family because of its class."""
        if ours.kind == "operator family":
            return any(
                f"{side.objects[key].attributes['family']} USING {key[1].rpartition(' USING ')[2]}" == ours.name
                for key in self._alone
                if key[0] == "operator class"
                for side in (self._source, self._target)
                if key in side.objects
            )
        if ours.kind != "index":
            return False
        constraint = str(ours.attributes["of constraint"] or "")
        if name in ("definition", "unique") and self._differs(("constraint", constraint), "definition"):
            return True
        return name == "attached to" and self._hangs_elsewhere(ours.parent)

    def _differs(self, key: tuple[str, str], name: str) -> bool:
        ours, theirs = self._source.objects.get(key), self._target.objects.get(key)
        return bool(ours and theirs and ours.attributes[name] != theirs.attributes[name])

    def alone(self, one: CatalogObject, problem: Problem) -> CatalogDifference:
        """An object that is on one side only."""
        fixed = remedy(one, problem, database=self._database, roles=self._roles)
        value = self._source.objects.get(("sequence value", one.name))
        if problem == "missing" and one.kind == "sequence" and value:
            fixed += "\n" + remedy(value, problem)
        if problem == "missing" and one.kind in ("view", "materialized view"):
            fixed += "".join(
                "\n" + remedy(o, problem, roles=self._roles)
                for o in self._source.objects.values()
                if o.parent == one.name
            )
        return CatalogDifference(
            one.kind,
            one.name,
            problem,
            text(one.attributes) if problem == "missing" else "not there",
            text(one.attributes) if problem == "extra" else "not there",
            weight(one, problem),
            describe_presence(one, problem),
            fixed,
        )

    def within(self, ours: CatalogObject, theirs: CatalogObject) -> Iterator[CatalogDifference]:
        """Differences of an object that is on both sides."""
        if ours.attributes == theirs.attributes:
            return
        changed: dict[str, tuple[Any, Any]] = {}
        unsure: dict[str, tuple[Any, Any]] = {}
        hidden = {*(ours.attributes.get("unreadable") or ()), *(theirs.attributes.get("unreadable") or ())}
        for name in sorted(ours.attributes.keys() | theirs.attributes.keys()):
            if name in _NOT_COMPARED or name in hidden or self._oldest < _SINCE.get((ours.kind, name), 0):
                continue
            mine, its = (self._plain(name, one.attributes.get(name)) for one in (ours, theirs))
            if name == "owner" and its == _DATABASE_OWNER and mine == self._owner:
                continue
            if name == "column order":
                mine, its = _common(mine, its)
            printed = self._printed(ours, name)
            if mine == its or (printed is not None and printed == its) or self._said_by_another(ours, name):
                continue
            if name in APART:
                yield self._apart(ours, theirs, name, mine, its)
            elif printed is None and self._maybe_only_printed(ours.kind, name, mine, its):
                unsure[name] = mine, its
            else:
                changed[name] = (mine if printed is None else printed), its
        if changed:
            yield self._different(ours, theirs, changed, "different")
        elif unsure:
            yield self._different(ours, theirs, unsure, "unsure")

    def _different(
        self, ours: CatalogObject, theirs: CatalogObject, changed: Mapping[str, tuple[Any, Any]], problem: Problem
    ) -> CatalogDifference:
        names = tuple(changed)
        return CatalogDifference(
            ours.kind,
            ours.name,
            problem,
            text({name: mine for name, (mine, _) in changed.items()}),
            text({name: its for name, (_, its) in changed.items()}),
            weight(ours, "different", names, theirs),
            describe_change(ours, changed),
            remedy(ours, "different", names, theirs, self._database, self._roles) if problem == "different" else "",
            names,
            tuple(changed.values()),
            describe_consequence(ours, changed),
        )

    def _apart(self, ours: CatalogObject, theirs: CatalogObject, name: str, mine: Any, its: Any) -> CatalogDifference:
        return CatalogDifference(
            name,
            f"{ours.kind} {ours.name}",
            "different",
            text({name: mine}),
            text({name: its}),
            APART[name],
            describe_change(ours, {name: (self._called(mine) if name == "owner" else mine, its)}),
            remedy(ours, "different", (name,), theirs, self._database, self._roles),
            (name,),
            ((mine, its),),
        )

    def _called(self, role: str) -> str:
        """A role as the source calls it, with the target's name where that is another."""
        here = self._source.renamed.get(role, role)
        return role if here == role else f"{here} ({role} on the target)"

    def _plain(self, name: str, value: Any) -> Any:
        """A value without what only one of the majors knows."""
        if self._oldest < _MAINTAIN and name in _GRANTS and isinstance(value, list):
            return [line for line in value if " MAINTAIN" not in line]
        return value

    def _printed(self, ours: CatalogObject, name: str) -> Any:
        """The source's text as the target's major prints it; None where nobody printed it."""
        if self._deparsed is None or (ours.kind, name) not in PRINTED:
            return None
        there = self._deparsed.objects.get((ours.kind, ours.name))
        return there.attributes.get(name) if there else None

    def _maybe_only_printed(self, kind: str, name: str, mine: Any, its: Any) -> bool:
        if self._source.major == self._target.major or (kind, name) not in PRINTED or not (mine and its):
            return False
        return loose(str(mine)) == loose(str(its))


def loose(definition: str) -> str:
    """A text without what majors may print differently: spaces, brackets, qualified columns.

    Different definitions can look alike so: equal here means that one cannot tell, never that they are the same.
    """
    plain = re.sub(r'("[^"]+"|\b\w+)\.(?=["\w])', "", definition)
    return re.sub(r"[\s()]+", "", plain)


def _common(mine: Any, its: Any) -> tuple[Any, Any]:
    """Two orders of columns, of those that both sides have; an order that is not fixed on a side is none."""
    if not mine or not its:
        return None, None
    return [c for c in mine if c in its], [c for c in its if c in mine]
