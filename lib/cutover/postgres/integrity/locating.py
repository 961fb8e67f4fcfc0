"""The tables that differ, one after the other or several at once: their differing rows are found and written down."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial

import psycopg

from cutover.errors import DatabaseError
from cutover.postgres.integrity.evidence import DifferenceLog
from cutover.postgres.integrity.locate import Side, locate
from cutover.postgres.integrity.matching import Match
from cutover.postgres.integrity.reading import Counter, Database, SessionPool, joined, said
from cutover.postgres.integrity.rowhash import Algorithm
from cutover.progress import Listener


def locate_all(
    databases: Sequence[Database],
    found: Match,
    buckets: Mapping[str, Sequence[int]],
    *,
    jobs: int,
    algorithm: Algorithm,
    show: int,
    values: bool,
    log: DifferenceLog,
    crew: SessionPool,
    progress: Listener | None = None,
) -> None:
    """Find the differing rows of every table in `buckets`, and put them into `found`.

    A table whose rows cannot be located is left as one that differs, with the reason.
    """
    names = deque(sorted(buckets))
    count = Counter("locate", "tables", progress, total=len(names))

    def work() -> None:
        while not crew.stopping.is_set():
            try:
                name = names.popleft()
            except IndexError:
                return
            _one(databases, found, name, buckets[name], algorithm, show, values, log, crew)
            count.step(name)

    crew.together([work] * min(jobs, len(names)))


def _one(
    databases: Sequence[Database],
    found: Match,
    name: str,
    differing: Sequence[int],
    algorithm: Algorithm,
    show: int,
    values: bool,
    log: DifferenceLog,
    crew: SessionPool,
) -> None:
    table, shape = found.tables[name], found.shapes[name]
    try:
        with joined(databases, crew) as sessions:
            located = locate(
                Side(sessions[0], databases[0].relations[name]),
                Side(sessions[1], databases[1].relations[name]),
                shape.columns,
                differing,
                exact=shape.exact,
                cut=shape.cut,
                only=shape.only,
                algorithm=algorithm,
                show=show,
                values=values,
                write=partial(log.write, name),
            )
    except (psycopg.Error, DatabaseError) as error:
        words = said(error, databases[0].url)
        table.unlocated = _and(table.unlocated, f"its rows differ, and could not be located: {words}")
        return
    table.missing, table.extra, table.different = located.missing, located.extra, located.different
    table.key, table.differing_columns = located.key, dict(located.columns.most_common())
    table.examples = tuple(located.examples)
    if not (located.missing or located.extra or located.different):
        table.unlocated = _and(table.unlocated, "its digests differ, but no differing row was found: report this")


def _and(known: str, more: str) -> str:
    return f"{known}; {more}" if known else more
