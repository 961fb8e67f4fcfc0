"""What a database held at one instant, kept in a file: the digests of every relation, and the catalog.

A copy is compared with it later, when the source has moved on or is gone.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from cutover.errors import DatabaseError
from cutover.files import write_whole
from cutover.postgres.catalog import Catalog, CatalogObject, read_catalog_in
from cutover.postgres.integrity.digest import Digest
from cutover.postgres.integrity.load_limits import LoadLimits
from cutover.postgres.integrity.opening import Server, choose, open_database
from cutover.postgres.integrity.reading import SessionPool, read_digests, whole_shape
from cutover.postgres.integrity.relations import Relation
from cutover.postgres.integrity.rowhash import Algorithm
from cutover.postgres.integrity.selection import Selection
from cutover.postgres.snapshot import Snapshot
from cutover.progress import Listener

FORMAT = "cutover fingerprint 2"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A database at one instant.

    Attributes:
        instant: the snapshot (id, lsn, at, database).
        algorithm: how rows were hashed.
        server: what the server said of itself.
        relations: what there was, by name.
        digests: by name; relations that could not be read have none.
        failures: name to why it could not be read.
        catalog: what the database was made of; None when it was not asked for.
        selection: what was chosen.
        left_out: what was left out by choice.
        seconds: how long it took.
    """

    instant: Mapping[str, str]
    algorithm: Algorithm
    server: Server
    relations: Mapping[str, Relation]
    digests: Mapping[str, Digest]
    failures: Mapping[str, str]
    catalog: Catalog | None
    selection: Selection
    left_out: tuple[str, ...]
    seconds: Mapping[str, float]

    @property
    def rows(self) -> int:
        """Rows in all relations that were read."""
        return sum(digest.rows for digest in self.digests.values())

    def write(self, path: Path) -> Path:
        """Write it, whole; compressed when the name ends in `.gz`."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, default=str) + "\n"
        return write_whole(path, gzip.compress(text.encode(), 6, mtime=0) if path.suffix == ".gz" else text)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        catalog = self.catalog
        return {
            "format": FORMAT,
            "instant": dict(self.instant),
            "algorithm": self.algorithm,
            "server": asdict(self.server),
            "selection": self.selection.to_dict(),
            "left_out": list(self.left_out),
            "relations": {
                name: relation.to_dict()
                | {
                    "rows": self.digests[name].rows if name in self.digests else None,
                    "digest": self.digests[name].to_text() if name in self.digests else None,
                    "failure": self.failures.get(name, ""),
                    "seconds": round(self.seconds.get(name, 0.0), 4),
                }
                for name, relation in self.relations.items()
            },
            "catalog": catalog.to_dict() | {"unfinished_restore": catalog.unfinished_restore} if catalog else None,
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote.

        Raises:
            DatabaseError: the file is not there, is damaged, or is none.
        """
        try:
            data = path.read_bytes()
            raw = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
            if not isinstance(raw, dict) or raw.get("format") != FORMAT:
                raise ValueError(f"it does not say that it is a {FORMAT!r}")
            return cls._from_dict(raw)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatabaseError(
                f"The fingerprint {path} cannot be read: {type(error).__name__}: {error}",
                why="Without it nobody can say what the source held at that instant.",
                todo="Give the file that was written beside the dump, or compare with the source itself.",
            ) from error

    @classmethod
    def _from_dict(cls, raw: Mapping[str, Any]) -> Self:
        extra = ("rows", "digest", "failure", "seconds")
        found: dict[str, Mapping[str, Any]] = raw["relations"]
        digests = {name: Digest.from_text(entry["digest"]) for name, entry in found.items() if entry["digest"]}
        for name, entry in found.items():
            if name not in digests and not (entry["failure"] or entry["unreadable"] or not entry["populated"]):
                raise ValueError(f"{name} has neither a digest nor a reason for having none")
        for name, digest in digests.items():
            if digest.rows != found[name]["rows"]:
                raise ValueError(f"the digest of {name} holds {digest.rows} rows, the file says {found[name]['rows']}")
        return cls(
            instant=raw["instant"],
            algorithm=raw["algorithm"],
            server=Server(**raw["server"]),
            relations={
                name: Relation.from_dict(name, {key: value for key, value in entry.items() if key not in extra})
                for name, entry in found.items()
            },
            digests=digests,
            failures={name: entry["failure"] for name, entry in found.items() if entry["failure"]},
            catalog=_catalog(raw["catalog"]) if raw["catalog"] else None,
            selection=Selection.from_dict(raw["selection"]),
            left_out=tuple(raw["left_out"]),
            seconds={name: entry["seconds"] for name, entry in found.items()},
        )


def fingerprint(
    url: str,
    *,
    snapshot: Snapshot | None = None,
    jobs: int = 2,
    algorithm: Algorithm = "hash",
    selection: Selection | None = None,
    load_limits: LoadLimits | None = None,
    progress: Listener | None = None,
    catalog: bool = True,
) -> Fingerprint:
    """Digest every relation of a database at one instant, and read its catalog.

    Args:
        url: the database.
        snapshot: an instant that is held open, such as the dump's; one is taken by default.
        jobs: sessions that read at the same time.
        algorithm: `hash` is fast; `sha256` is slower, and the same in every encoding.
        selection: what to read; everything by default.
        load_limits: what it allows itself on the server.
        progress: told of every piece.
        catalog: read the catalog as well.

    Raises:
        DatabaseError: the database cannot be reached, or does not say what is in it. A relation that cannot be read
            is named in `failures` instead.
    """
    selection, load_limits = selection or Selection(), load_limits or LoadLimits()
    with ExitStack() as stack:
        opened = open_database(stack, url, "source", selection=selection, load_limits=load_limits, snapshot=snapshot)
        database, algorithm = opened.database, choose(algorithm, opened.server)
        read = read_catalog_in(database.snapshot.connection, database.snapshot.database) if catalog else None
        failures = {name: relation.cannot for name, relation in database.relations.items() if relation.cannot}
        shapes = {name: whole_shape(relation) for name, relation in database.relations.items() if name not in failures}
        readings = read_digests(
            [database], shapes, jobs=max(1, jobs), algorithm=algorithm, crew=SessionPool(), progress=progress
        )
    by_name = {name: reading for (_, name), reading in readings.items()}
    return Fingerprint(
        instant=database.snapshot.to_dict(),
        algorithm=algorithm,
        server=opened.server,
        relations=database.relations,
        digests={name: reading.digest for name, reading in by_name.items() if not reading.failure},
        failures=failures | {name: reading.failure for name, reading in by_name.items() if reading.failure},
        catalog=read,
        selection=selection,
        left_out=opened.left_out,
        seconds={name: reading.seconds for name, reading in by_name.items()},
    )


def _catalog(raw: Mapping[str, Any]) -> Catalog:
    objects = [CatalogObject(o["kind"], o["name"], o["parent"], o["attributes"]) for o in raw["objects"]]
    return Catalog(
        database=raw["database"],
        major=raw["major"],
        at=raw["at"],
        objects={(found.kind, found.name): found for found in objects},
        unread=raw["unread"],
        unfinished_restore=raw["unfinished_restore"],
    )
