"""What a restore leaves out by choice (owners, grants), and which differences of the catalog follow from that."""

from __future__ import annotations

from dataclasses import dataclass

from cutover.postgres.catalog.differences import CatalogDifference
from cutover.postgres.catalog.model import Catalog
from cutover.postgres.catalog.role_names import bare, owners_alone, role_of
from cutover.postgres.catalog.weights import APART


@dataclass(frozen=True, slots=True)
class Restored:
    """How the target was restored (`restore` in the parameters): what was left out by choice is no difference.

    Attributes:
        owner: owners were restored; otherwise everything belongs to the role that restored it.
        acl: grants and default privileges were restored.
        role: that restored it; None for the role that enters the target.
    """

    owner: bool = False
    acl: bool = True
    role: str | None = None

    def by(self, entered_as: str) -> str:
        """The role to which everything belongs, without SQL's quotes; empty where owners were restored."""
        return "" if self.owner else self.role or entered_as


class LeftOut:
    """Says of a difference whether it follows from what was left out, and how.

    Args:
        source, target: the catalogs.
        restored_as: the role by which the target was restored with --no-owner; empty where owners were restored.
        acl: whether grants were restored.
    """

    def __init__(self, source: Catalog, target: Catalog, *, restored_as: str = "", acl: bool = True) -> None:
        self._restored_as, self._acl = bare(restored_as), acl
        self._source, self._target = source, target

    def reason(self, difference: CatalogDifference) -> str:
        """Why it is meant; empty when it does not follow from what was left out."""
        if self._restored_as and self._is_by_owner(difference):
            return f"Restored with --no-owner by choice: everything belongs to {self._restored_as}."
        lacking = (difference.kind, difference.problem) == ("role", "missing")
        if self._restored_as and lacking and difference.object in owners_alone(self._source, acl=self._acl):
            return f"Restored with --no-owner by choice: all that it owned belongs to {self._restored_as}."
        if not self._acl and _is_lack_of_grants(difference):
            return "Restored with --no-acl by choice: grants and default privileges were left out."
        return ""

    def _is_by_owner(self, difference: CatalogDifference) -> bool:
        """Whether it is so because everything belongs to the restoring role."""
        if difference.kind == "owner":
            # These were there before the restore, whoever made them.
            made_before = difference.object == "schema public" or difference.object.startswith("tablespace ")
            return made_before or bare(str(difference.values[0][1])) == self._restored_as
        if difference.kind == "database":  # so was the database itself
            return difference.changed == ("belongs to",)
        if difference.kind == "large object" and difference.changed == ("owners",):
            return {bare(role) for role in difference.values[0][1]} == {self._restored_as}
        # What an owner may do is in no grant, and goes with the object; so does what was granted to the new one before.
        told = _whose_grants_differ(difference)
        ours, theirs = (_owner(side, difference) for side in (self._source, self._target))
        return bool(told) and theirs == self._restored_as and told <= {"owner", ours, self._restored_as}


def _owner(catalog: Catalog, difference: CatalogDifference) -> str:
    """Whose the object of a difference is, of a column's table; without SQL's quotes."""
    name = difference.object
    if difference.kind not in APART:
        name = f"{difference.kind} {name}"
    words = name.split(" ")
    keys = ((" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words)))
    one = next((catalog.objects[key] for key in keys if key in catalog.objects), None)
    return bare(str(one.attributes.get("owner") or one.attributes.get("table owner") or "")) if one else ""


_PUBLIC_ANYWAY = {
    "function": {"PUBLIC EXECUTE"},
    "aggregate": {"PUBLIC EXECUTE"},
    "type": {"PUBLIC USAGE"},
    "language": {"PUBLIC USAGE"},
    "schema public": {"PUBLIC USAGE"},
}
"""What everybody may do where nothing was granted or revoked, by kind of object or its name."""


def _sides(difference: CatalogDifference) -> tuple[set[tuple[str, str]], set[tuple[str, str]]] | None:
    """The grants of both sides, (on what of the object, `role PRIVILEGE`); None where more than grants differ."""
    if difference.changed in (("acl",), ("grants",)) and difference.kind != "database":
        mine, its = ({("", str(line)) for line in side or ()} for side in difference.values[0])
        return mine, its
    if difference.kind == "large object" and difference.changed == ("granted",):
        mine, its = ({(str(number), str(line)) for line, number in side.items()} for side in difference.values[0])
        return mine, its
    if difference.changed in (("on columns",), ("on attributes",)):
        plain = [
            {c: {k: v for k, v in beside.items() if k != "grants"} for c, beside in (side or {}).items()}
            for side in difference.values[0]
        ]
        if {c: b for c, b in plain[0].items() if b} == {c: b for c, b in plain[1].items() if b}:
            mine, its = (
                {(c, str(line)) for c, beside in (side or {}).items() for line in beside.get("grants") or ()}
                for side in difference.values[0]
            )
            return mine, its
    return None


def _whose_grants_differ(difference: CatalogDifference) -> set[str]:
    """Whose grants differ, without SQL's quotes (`owner` for what an owner may not do); empty where more differs."""
    sides = _sides(difference)
    return {bare(role_of(line)) for _, line in sides[0] ^ sides[1]} if sides else set()


def _is_lack_of_grants(difference: CatalogDifference) -> bool:
    """Whether the target has nothing but what everybody may do anyway beside the source's grants."""
    if difference.kind in ("default privileges", "grant beside") and difference.problem == "missing":
        return True
    sides = _sides(difference)
    kind = difference.object.partition(" ")[0]
    anyway = _PUBLIC_ANYWAY.get(difference.object) or _PUBLIC_ANYWAY.get(kind, set())
    return sides is not None and {line for _, line in sides[1] - sides[0]} <= anyway
