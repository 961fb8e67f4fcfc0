"""What a database is made of, as data: every object with its definition, and what could not be seen of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CatalogObject:
    """One object.

    Attributes:
        kind: `table`, `column`, `index`, … (the keys of the queries, and `sequence value`).
        name: qualified and quoted where it must be.
        parent: the table that it belongs to, or empty.
        attributes: what it is, by words; JSON types. `unreadable` lists those that this role may not see.
    """

    kind: str
    name: str
    parent: str
    attributes: Mapping[str, Any]

    @property
    def short(self) -> str:
        """The last part of its name, still quoted: `users_email_key` of `public.users.users_email_key`."""
        return self.name.removeprefix(f"{self.parent}.") if self.parent else self.name


@dataclass(frozen=True, slots=True)
class Catalog:
    """All objects of a database.

    Attributes:
        database: `user@host:port/database`.
        major: of the server.
        at: when it was read, ISO 8601 UTC.
        objects: by (kind, name).
        unread: kind of object to the reason why it could not be read.
        unfinished_restore: what an unfinished restore (schema `cutover_restore`) says, or None.
        roles: of the server, as SQL writes their names, also where `objects` is a part; without those of PostgreSQL.
        renamed: roles under another name than in the database (`role_map`), each with its name there.
    """

    database: str
    major: int
    at: str
    objects: Mapping[tuple[str, str], CatalogObject]
    unread: Mapping[str, str] = field(default_factory=dict)
    unfinished_restore: Mapping[str, Any] | None = None
    roles: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> Iterator[CatalogObject]:
        """The objects of one kind."""
        return (found for found in self.objects.values() if found.kind == kind)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for evidence."""
        return {
            "database": self.database,
            "major": self.major,
            "at": self.at,
            "objects": [
                {"kind": o.kind, "name": o.name, "parent": o.parent, "attributes": dict(o.attributes)}
                for o in self.objects.values()
            ],
            "unread": dict(self.unread),
            "unfinished_restore": None if self.unfinished_restore is None else dict(self.unfinished_restore),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Catalog:
        """The inverse of `to_dict`."""
        objects = [CatalogObject(o["kind"], o["name"], o["parent"], o["attributes"]) for o in raw["objects"]]
        return cls(
            database=raw["database"],
            major=raw["major"],
            at=raw["at"],
            objects={(o.kind, o.name): o for o in objects},
            unread=raw["unread"],
            unfinished_restore=raw.get("unfinished_restore"),
            roles=frozenset(o.name for o in objects if o.kind == "role"),
        )


def extension_version(text: Any) -> tuple[int, ...]:
    """`1.10` as (1, 10), so that it is newer than `1.9`."""
    return tuple(int(part) for part in re.findall(r"\d+", str(text)))
