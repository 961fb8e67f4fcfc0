"""Tables that were emptied, rewritten or replaced after a snapshot: in it they look empty, and nobody would know.

TRUNCATE and the forms of ALTER TABLE that rewrite a table are not MVCC-safe (PostgreSQL's manual, 13.6 Caveats). The
locks that a comparison takes keep them away, but not before they are granted.
"""

from __future__ import annotations

from collections.abc import Iterable

from cutover.errors import DatabaseError
from cutover.postgres.connection import session
from cutover.postgres.integrity.relations import Relation

_FILES = (
    "SELECT o.oid::bigint, pg_relation_filenode(o.oid::regclass)::bigint FROM unnest(%s::bigint[]::oid[]) AS o(oid)"
)


def rewritten_since(url: str, relations: Iterable[Relation]) -> dict[str, str]:
    """By name, why what was read of a relation is not what the snapshot held; nothing of those that are as they were.

    Args:
        url: the database; it is asked as it is now.
        relations: as they were in the snapshot.
    """
    known = list(relations)
    oids = sorted({leaf.oid for relation in known for leaf in relation.leaves if leaf.file})
    try:
        with session(url) as connection:
            now = dict(connection.execute(_FILES, (oids,)).fetchall()) if oids else {}
    except DatabaseError as error:
        why = f"whether it was emptied or rewritten after the snapshot could not be asked: {error.what}"
        return {relation.name: why for relation in known if any(leaf.file for leaf in relation.leaves)}
    found = {}
    for relation in known:
        for leaf in relation.leaves:
            if leaf.file and now.get(leaf.oid) != leaf.file:
                what = "emptied or rewritten" if now.get(leaf.oid) else "dropped"
                found[relation.name] = f"{leaf.schema}.{leaf.name} was {what} after the snapshot: compare again"
    return found
