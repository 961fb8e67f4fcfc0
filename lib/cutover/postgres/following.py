"""The second look at a frozen source: counters name tables that moved, digests say whether they hold something else.

What is compared with is the fingerprint that was taken with the dump, under one snapshot: so a difference is a write
that the copy does not have, whenever it happened.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cutover.errors import CutoverError
from cutover.finding import Finding, Status
from cutover.postgres.catalog import Catalog, compare_catalogs, read_catalog
from cutover.postgres.connection import describe
from cutover.postgres.integrity import Comparison, Fingerprint, Selection, compare, fingerprint
from cutover.postgres.integrity.digest import Digest
from cutover.postgres.integrity.relations import LARGE_OBJECTS
from cutover.postgres.position import (
    FLUSH_S,
    STOP_THE_WRITER,
    Movement,
    WritePosition,
    finding,
    movement,
    quiet,
    write_position,
)
from cutover.progress import Listener

SHOWN = 10
TITLE = "Nothing was written to the source that the copy does not have"


def second_look(
    source_url: str,
    before: WritePosition,
    taken: Fingerprint | None,
    *,
    target_url: str | None = None,
    jobs: int = 2,
    show: int = SHOWN,
    evidence: Path | None = None,
    settle_s: float = FLUSH_S,
    progress: Listener | None = None,
) -> list[Finding]:
    """Judge whether the source holds anything that a copy made earlier does not have.

    Args:
        source_url: the frozen source.
        before: where its writes stood before the copy was made.
        taken: what it held at the copy's instant; without it a movement cannot be judged by contents.
        target_url: the copy; with it, rows that were written since are named by their keys.
        jobs: sessions that read at the same time.
        show: rows to name for each table.
        evidence: folder for the keys of all of them.
        settle_s: seconds to wait, at most, for idle sessions to tell their counters.
        progress: told of every piece that is read again.

    Returns:
        FRZ-no-writes. PASS when nothing moved, or when what moved holds what it held: that is said. UNKNOWN, a
        blocker, when something is different, when a transaction is still open, or when it could not be looked at.

    Raises:
        DatabaseError: the source cannot be reached.
    """
    after = write_position(source_url, since=before, settle_s=settle_s)
    moved = movement(before, after)
    subject = describe(source_url)
    if not moved.any and not moved.unexplained:
        return [finding(subject, Status.PASS, f"{quiet(moved)}, {moved.span}", title=TITLE)]
    if taken is None:
        return [_undecided(subject, moved, moved.words(), "no fingerprint of the copy's instant to judge it by")]
    try:
        now, catalog = _again(source_url, moved, taken, jobs=jobs, progress=progress)
    except CutoverError as error:
        return [_undecided(subject, moved, moved.words(), f"the source could not be read again: {error.what}")]
    tables = _changed_tables(moved, taken, now) if now else {}
    changed = _changed_objects(taken, catalog) if catalog else []
    if not tables and not changed and not moved.open:
        return [finding(subject, Status.PASS, f"{_same(moved, taken, now)}; {moved.span}", title=TITLE)]
    rows, kept = _rows(source_url, target_url, tables, jobs=jobs, show=show, evidence=evidence)
    told = [rows.get(name) or f"{name}: {what}" for name, what in tables.items()]
    told += [*changed, *(f"still open: {who}" for who in moved.open)]
    return [_undecided(subject, moved, told, "", tables=tables, evidence=kept)]


def _again(
    source_url: str, moved: Movement, taken: Fingerprint, *, jobs: int, progress: Listener | None
) -> tuple[Fingerprint | None, Catalog | None]:
    """Digests of the tables that moved, and the catalog where that moved; both whole where nobody can say what did."""
    everything = bool(moved.blind) or moved.unexplained
    names = list(dict.fromkeys([*moved.tables, *moved.rewritten, *((LARGE_OBJECTS,) if moved.large_objects else ())]))
    wants_catalog = everything or moved.schema or bool(moved.sequences) or bool(moved.rewritten)
    catalog = read_catalog(source_url) if wants_catalog and taken.catalog is not None else None
    if not everything and not names:
        return None, catalog
    now = fingerprint(
        source_url,
        jobs=jobs,
        algorithm=taken.algorithm,
        selection=taken.selection if everything else Selection(tables=tuple(map(glob.escape, names))),
        progress=progress,
        catalog=False,
    )
    return now, catalog


def _changed_tables(moved: Movement, taken: Fingerprint, now: Fingerprint) -> dict[str, str]:
    """Tables that hold something else than at the copy's instant, each with what is known of it."""
    tables: dict[str, str] = {}
    for name, digest in now.digests.items():
        held = taken.digests.get(name)
        if held is None:
            tables[name] = "it is not in the copy"
        elif not _equal(held, digest):
            tables[name] = f"other rows than at the copy's instant ({held.rows:,} then, {digest.rows:,} now)"
    tables |= {name: f"it cannot be read again: {why}" for name, why in now.failures.items()}
    looked_at = taken.relations.keys() if now.selection == taken.selection else {*moved.tables, *moved.rewritten}
    if moved.large_objects and LARGE_OBJECTS in taken.relations:  # where none is left, they are no relation any more
        looked_at = {*looked_at, LARGE_OBJECTS}
    return tables | dict.fromkeys(sorted(looked_at - now.relations.keys()), "it is gone")


def _equal(one: Digest, other: Digest) -> bool:
    """Whether two digests are of the same rows, whatever number of buckets (powers of two, by low bits) they have."""
    size = min(len(one.counts), len(other.counts))
    return all(_folded(getattr(one, name), size) == _folded(getattr(other, name), size) for name in Digest.__slots__)


def _folded(sums: Sequence[int], size: int) -> list[int]:
    return [sum(sums[bucket::size]) % (1 << 64) for bucket in range(size)]


def _changed_objects(taken: Fingerprint, now: Catalog) -> list[str]:
    """What the database is made of now and was not at the copy's instant; where sequences stand is part of it."""
    assert taken.catalog is not None  # noqa: S101 - looked at before
    seen = compare_catalogs(taken.catalog, now, (), live=False)
    wrong = [f for f in seen if f.status not in (Status.PASS, Status.NOT_APPLICABLE)]
    detailed = [f for f in wrong if ":" in f.id] or wrong
    return [f"{f.id.partition(':')[2] or f.title}: {f.observed}" for f in detailed]


def _rows(
    source_url: str,
    target_url: str | None,
    tables: Iterable[str],
    *,
    jobs: int,
    show: int,
    evidence: Path | None,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """By table, the rows that were written since the copy was made, named by their keys; and the file with all."""
    names = sorted(tables)
    if target_url is None or not names:
        return {}, ()
    try:
        found = compare(
            source_url,
            target_url,
            jobs=jobs,
            show=show,
            evidence=evidence,
            catalog=False,
            selection=Selection(tables=tuple(map(glob.escape, names))),
        )
    except CutoverError:
        return {}, ()  # the tables are named all the same
    return {t.name: _told(t) for t in found.tables if t.differs}, _kept(found)


def _told(table: Any) -> str:
    """A table's rows: the source as it is now, the copy as it was."""
    counts = ((table.missing, "new"), (table.extra, "gone"), (table.different, "changed"))
    words = ", ".join(f"{count:,} {word}" for count, word in counts if count) or "other rows"
    named = "; ".join(f"{_WORDS[example.difference]} {_key(example)}" for example in table.examples)
    return f"{table.name}: {words} since the copy" + (f": {named}" if named else "")


_WORDS: Mapping[str, str] = {"missing": "new", "extra": "gone", "different": "changed"}


def _key(row: Any) -> str:
    key = ", ".join(f"{column}={value}" for column, value in row.key.items()) or f"the row at {row.place}"
    return key + (f" ({', '.join(row.columns)})" if row.columns else "")


def _kept(found: Comparison) -> tuple[str, ...]:
    return (str(found.differences),) if found.differences else ()


def _same(moved: Movement, taken: Fingerprint, now: Fingerprint | None) -> str:
    said = "; ".join(moved.words()[:20]) or f"{moved.taken} transaction numbers were taken, and nothing says for what"
    if now is None:
        return f"{said}; read again: the catalog and every sequence are those of the copy's instant"
    return (
        f"{said}; read again, {len(now.digests)} tables with {now.rows:,} rows: every digest is that of the copy's "
        f"instant, {taken.instant.get('at', '')}, so nothing is different"
    )


def _undecided(
    subject: str,
    moved: Movement,
    told: list[str],
    why: str,
    *,
    tables: Iterable[str] = (),
    evidence: tuple[str, ...] = (),
) -> Finding:
    return finding(
        subject,
        Status.UNKNOWN,
        f"{'; '.join(told[:20])}" + (f"; and {len(told) - 20} more" if len(told) > 20 else "") + f"; {moved.span}",
        why or "It was written after the copy's instant, so the copy does not have it.",
        STOP_THE_WRITER,
        title=TITLE,
        tables=sorted({*moved.tables, *moved.rewritten, *tables}),
        evidence=evidence,
    )
