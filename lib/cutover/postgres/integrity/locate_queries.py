"""The SQL that reads a relation's rows again in order to pair them: by key, or as a multiset of hashes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from psycopg import sql

from cutover.postgres.integrity.digest import Cut
from cutover.postgres.integrity.relations import Relation
from cutover.postgres.integrity.rowhash import Algorithm, mixed, row_hash


def keyed_rows(hashed: sql.Composable, key: Sequence[str], chosen: sql.Composable) -> sql.Composed:
    """Rows of (key as JSON in UTF-8, hash, hash, place), ordered by the key's bytes, which no collation touches."""
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(f"k{n}")) for n in range(len(key)))
    return sql.SQL(
        "SELECT convert_to(array_to_json(ARRAY[{texts}])::text, 'UTF8') AS k, h1, h2, place::text FROM {hashed} h "
        "WHERE {chosen} ORDER BY 1, 2, 3"
    ).format(texts=texts, hashed=hashed, chosen=chosen)


def keyless_rows(hashed: sql.Composable, _: Sequence[str], chosen: sql.Composable) -> sql.Composed:
    """Rows of (hash, hash, copies, one place), ordered by the hashes."""
    return sql.SQL(
        "SELECT h1, h2, count(*), min(place::text) FROM {hashed} h WHERE {chosen} GROUP BY 1, 2 ORDER BY 1, 2"
    ).format(hashed=hashed, chosen=chosen)


def hashed_rows(
    relation: Relation,
    columns: Sequence[str],
    key: Sequence[str],
    exact: Collection[str],
    cut: Cut,
    only: sql.Composable | None,
    algorithm: Algorithm,
) -> sql.Composable:
    """Rows of (bucket, hash, hash, place, k0, k1, …) of all leaves, unordered, as a subquery."""
    how, (first, second) = row_hash(relation, columns, exact, algorithm), mixed(algorithm)
    keys = [sql.Identifier(f"k{number}") for number in range(len(key))]
    names = sql.SQL("").join(sql.SQL(", {}").format(name) for name in keys)
    inner = cut.inner()
    # Each leaf is hashed by itself: a union of the rows themselves would have to give them one type.
    reads = [
        sql.SQL(
            "SELECT {raw}, leaf, tid{names}{k} FROM "
            "(SELECT {number} AS leaf, t.ctid AS tid, {value}{keys}{inner} FROM ONLY {leaf} t {where} OFFSET 0) q"
        ).format(
            raw=how.raw,
            names=names,
            k=sql.SQL(", k") if inner.as_string(None) else inner,
            number=sql.Literal(number),
            value=how.inner,
            keys=sql.SQL("").join(
                sql.SQL(", {} AS {}").format(relation.expression(column), name)
                for column, name in zip(key, keys, strict=True)
            ),
            inner=inner,
            leaf=leaf.identifier,
            where=sql.SQL("WHERE {}").format(only) if only is not None else sql.SQL(""),
        )
        for number, leaf in enumerate(relation.leaves)
    ]
    return sql.SQL(
        "(SELECT {bucket} AS bucket, {first} AS h1, {second} AS h2, leaf || ':' || tid::text AS place{names} "
        "FROM ({reads} OFFSET 0) z)"
    ).format(bucket=cut.bucket(), first=first, second=second, names=names, reads=sql.SQL(" UNION ALL ").join(reads))


def of_buckets(differing: Sequence[int], buckets: int) -> sql.Composable:
    """The condition that a row's bucket is among those that differ, of `buckets` in all."""
    if len(differing) == buckets:
        return sql.SQL("true")
    return sql.SQL("bucket = ANY ({}::int[])").format(sql.Literal("{" + ",".join(map(str, differing)) + "}"))
