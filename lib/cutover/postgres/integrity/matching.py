"""The relations of two sides, matched by name: what is read of each, and what the digests say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cutover.postgres.integrity.digest import ByHash, Digest, bucket_count
from cutover.postgres.integrity.fingerprint import Fingerprint
from cutover.postgres.integrity.reading import Readings, Shape, Where, whole_shape
from cutover.postgres.integrity.relations import Relation
from cutover.postgres.integrity.results import TableComparison
from cutover.postgres.integrity.rowhash import form

SIDES: tuple[Where, Where] = ("source", "target")


@dataclass(slots=True)
class Match:
    """Both sides' relations, and how far each has been compared.

    Attributes:
        tables: the outcome so far, by name.
        shapes: how those are read that can be read at all.
        differing: name to the buckets that differ.
    """

    tables: dict[str, TableComparison]
    shapes: dict[str, Shape]
    differing: dict[str, list[int]] = field(default_factory=dict)


def match(source: Mapping[str, Relation], target: Mapping[str, Relation], then: Fingerprint | None = None) -> Match:
    """Match two sides; what cannot be compared is named at once, with its reason.

    Args:
        source, target: relations by name.
        then: the source's digests as they were taken before, which say in what columns and buckets to read.
    """
    found = Match({}, {})
    for name in sorted(source.keys() | target.keys()):
        pair = (source.get(name), target.get(name))
        here, there = pair
        known = here or there
        assert known is not None  # noqa: S101 - the name is from one of them
        table = found.tables[name] = TableComparison(name, known.kind)
        for where, relation in zip(SIDES, pair, strict=True):
            if relation is None:
                table.absent, table.not_compared = where, f"it does not exist on the {where}"
            elif relation.cannot and not table.not_compared:
                table.not_compared = f"on the {where}: {relation.cannot}"
        if then is not None and here is not None and name in then.failures and not table.not_compared:
            table.not_compared = f"on the source it could not be read: {then.failures[name]}"
        if not table.not_compared and here is not None and there is not None:
            _shape(found, name, here, there, then)
        elif table.absent and not known.cannot:
            # Its rows are counted where it is, for they are what is lost or too many.
            found.shapes[name] = whole_shape(known)
    return found


def _shape(found: Match, name: str, here: Relation, there: Relation, then: Fingerprint | None) -> None:
    table = found.tables[name]
    common = tuple(sorted(here.columns.keys() & there.columns.keys()))
    if here.columns.keys() != there.columns.keys():
        only = sorted(here.columns.keys() ^ there.columns.keys())
        table.not_compared = f"columns on one side only: {', '.join(only)}"
    table.columns_compared = len(common)
    alike = {column for column in common if here.columns[column] == there.columns[column]}
    exact = frozenset(column for column in alike if form(here.columns[column]))
    if then is None:
        rows = max(here.estimated_rows, there.estimated_rows)
        found.shapes[name] = Shape(common, exact, ByHash(bucket_count(rows)))
        return
    # A fingerprint's digest is over the columns and types that the source had.
    whole = whole_shape(here)
    if then.algorithm == "hash" and not table.not_compared and exact != whole.exact:
        pairs = [f"{c} ({here.columns[c]} and {there.columns[c]})" for c in sorted(whole.exact - exact)]
        table.not_compared = f"columns of other types than when the fingerprint was taken: {', '.join(pairs)}"
    if table.not_compared:
        table.columns_compared = 0
    else:
        found.shapes[name] = Shape(whole.columns, whole.exact, ByHash(len(then.digests[name].counts)))


def judge(found: Match, readings: Readings, then: Fingerprint | None = None) -> None:
    """Take over what was read: rows, time, failures, and which buckets differ."""
    for name, table in found.tables.items():
        digests: list[Digest | None] = []
        for where in SIDES:
            reading = readings.get((where, name))
            if reading is None:
                digests.append(then.digests.get(name) if then is not None and where == "source" else None)
                continue
            table.seconds += reading.seconds
            if reading.failure:
                table.not_compared = f"on the {where} it could not be read: {reading.failure}"
            digests.append(None if reading.failure else reading.digest)
        if any(reading.failure for where in SIDES if (reading := readings.get((where, name)))):
            continue
        table.source_rows, table.target_rows = (digest.rows if digest is not None else None for digest in digests)
        if digests[0] is not None and digests[1] is not None and name in found.shapes:
            buckets = digests[0].differing(digests[1])
            if buckets:
                found.differing[name] = buckets
