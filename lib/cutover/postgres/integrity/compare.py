"""Everything in two databases compared, each at one instant: the catalog, the sequences, and every row."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from cutover.errors import DatabaseError
from cutover.files import write_json
from cutover.finding import Finding
from cutover.postgres.catalog import read_catalog_in
from cutover.postgres.catalog_compare import Expected, compare_catalogs
from cutover.postgres.connection import describe, explain, one_line
from cutover.postgres.integrity.digest import (
    Algorithm,
    Digest,
    Piece,
    bucket_count,
    digest_query,
    pieces,
    print_test,
    self_test,
)
from cutover.postgres.integrity.evidence import DifferenceLog
from cutover.postgres.integrity.locate import RowDifference, Side, locate
from cutover.postgres.integrity.relations import Relation, lock, read_relations
from cutover.postgres.integrity.sequences import check_sequences
from cutover.postgres.integrity.words import row_findings
from cutover.postgres.progress import Listener, Progress
from cutover.postgres.snapshot import Snapshot, exported_snapshot, join_snapshot

Connection = psycopg.Connection[Any]


@dataclass(slots=True)
class TableComparison:
    """One relation on both sides.

    Attributes:
        name: `public.users`.
        kind: `table`, `partitioned table`, `materialized view`, `extension table`, `large objects`.
        source_rows, target_rows: rows that were read; None where they could not be.
        missing, extra, different: rows that are on the source only, on the target only, or on both and not equal.
        seconds: the servers' time for its digests, both sides together, and for locating.
        columns_compared: how many columns were compared.
        key: the columns by which rows were paired; empty when they were compared as a multiset.
        differing_columns: column to number of rows in which it differs, among those looked at.
        examples: the first differences.
        not_compared: why it (or a column of it) was not compared; empty when all of it was.
    """

    name: str
    kind: str = "table"
    source_rows: int | None = None
    target_rows: int | None = None
    missing: int = 0
    extra: int = 0
    different: int = 0
    seconds: float = 0.0
    columns_compared: int = 0
    key: tuple[str, ...] = ()
    differing_columns: dict[str, int] = field(default_factory=dict)
    examples: tuple[RowDifference, ...] = ()
    not_compared: str = ""

    @property
    def identical(self) -> bool:
        """Whether every row was compared and none differs."""
        return not self.not_compared and not (self.missing or self.extra or self.different)

    @property
    def advisory(self) -> bool:
        """Whether a difference is information only: contents that a restore or an extension makes anew."""
        return self.kind in ("materialized view", "extension table")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "kind": self.kind,
            "source_rows": self.source_rows,
            "target_rows": self.target_rows,
            "missing": self.missing,
            "extra": self.extra,
            "different": self.different,
            "seconds": round(self.seconds, 4),
            "columns_compared": self.columns_compared,
            "key": list(self.key),
            "differing_columns": self.differing_columns,
            "examples": [example.to_dict() for example in self.examples],
            "not_compared": self.not_compared,
            "identical": self.identical,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two databases compared.

    Attributes:
        findings: what was seen, a line for each table, each kind of catalog object, each sequence that lags.
        tables: every relation with rows of either side, by name.
        seconds: wall time.
        source, target: the snapshots that were compared (id, lsn, at, database).
        algorithm: `hash` (two 64-bit hashes) or `sha256`.
        differences: file with every differing row, when evidence was asked for and there is one.
    """

    findings: list[Finding]
    tables: list[TableComparison]
    seconds: float
    source: dict[str, str]
    target: dict[str, str]
    algorithm: str
    differences: Path | None = None

    @property
    def rows_compared(self) -> int:
        """Rows of the source that were compared, in all tables."""
        return sum(table.source_rows or 0 for table in self.tables if table.target_rows is not None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "source": self.source,
            "target": self.target,
            "algorithm": self.algorithm,
            "seconds": round(self.seconds, 3),
            "rows_compared": self.rows_compared,
            "tables": [table.to_dict() for table in self.tables],
            "findings": [finding.to_dict() for finding in self.findings],
            "differences": str(self.differences) if self.differences else None,
        }


def compare(
    source_url: str,
    target_url: str,
    *,
    jobs: int = 2,
    show: int = 20,
    evidence: Path | None = None,
    expected: Iterable[Expected] = (),
    source_snapshot: Snapshot | None = None,
    progress: Listener | None = None,
    values: bool = False,
    algorithm: Algorithm = "hash",
    catalog: bool = True,
    live: bool | None = None,
) -> Comparison:
    """Compare two databases: catalog, sequences and every row of every table, each side at one exported snapshot.

    Args:
        source_url, target_url: the databases.
        jobs: sessions that read at the same time, on each side.
        show: how many differing rows of a table to name in its finding; all are counted.
        evidence: a folder for `comparison.json` and `differences.jsonl` (the key of every differing row).
        expected: differences of the catalog that are meant (`kind`, `object`, `reason`).
        source_snapshot: an instant of the source that is held open, such as the dump's; one is taken by default.
        progress: told of every piece.
        values: name values of differing columns, not only keys and column names (they may be personal data).
        algorithm: `hash` is fast; `sha256` is slower and safe against an adversary too.
        catalog: compare the catalogs and sequences as well.
        live: the source is still written to, so where its sequences stand is information only; by default so when
            `source_snapshot` is given.

    Raises:
        DatabaseError: a side cannot be reached, or its catalog cannot be read. A table that cannot be read is a
            NOT_COMPARED finding instead.
    """
    clock = time.monotonic()
    with ExitStack() as stack:
        instants = [
            source_snapshot or stack.enter_context(exported_snapshot(source_url)),
            stack.enter_context(exported_snapshot(target_url)),
        ]
        try:
            sides = [read_relations(instant.connection) for instant in instants]
            for instant, relations in zip(instants, sides, strict=True):
                lock(instant.connection, relations)
            algorithm, doubts = _choose(instants, algorithm)
        except psycopg.Error as error:
            raise explain(error, source_url, "or the target does not say what tables it has") from error
        log = stack.enter_context(DifferenceLog(evidence / "differences.jsonl" if evidence else None))
        work = _Work(
            (source_url, target_url),
            (instants[0].id, instants[1].id),
            (sides[0], sides[1]),
            jobs=max(1, jobs),
            algorithm=algorithm,
            progress=progress,
        )
        seen: list[Finding] = []
        if catalog:
            ours, theirs = (read_catalog_in(instant.connection, instant.database) for instant in instants)
            moving = source_snapshot is not None if live is None else live
            seen += compare_catalogs(ours, theirs, tuple(expected), live=moving)
            seen += check_sequences(target_url)
        tables = work.run(show=show, values=values, log=log)
    rows = row_findings(tables, describe(source_url), describe(target_url), doubts, str(log.path) if log.lines else "")
    result = Comparison(
        findings=[*rows, *seen],
        tables=tables,
        seconds=time.monotonic() - clock,
        source=instants[0].to_dict(),
        target=instants[1].to_dict(),
        algorithm=algorithm,
        differences=log.path if log.lines else None,
    )
    if evidence:
        write_json(evidence / "comparison.json", result.to_dict())
    return result


def _choose(instants: list[Snapshot], algorithm: Algorithm) -> tuple[Algorithm, str]:
    """The algorithm that gives equal answers on both servers, and what is doubtful about how they print values."""
    encodings = set()
    doubts = []
    for instant in instants:
        row = instant.connection.execute("SHOW server_encoding").fetchone()
        encodings.add(row[0] if row else "")
        if self_test(instant.connection):
            algorithm = "sha256"
        if printed := print_test(instant.connection):
            doubts.append(f"{instant.database} {printed}")
    # In different encodings the same text is other bytes; SHA-256 is taken over UTF-8 on both sides.
    return ("sha256" if len(encodings) > 1 else algorithm), "; ".join(doubts)


class _Work:
    """The rows' part of a comparison: workers on each side digest pieces, then differing tables are located."""

    def __init__(
        self,
        urls: tuple[str, str],
        snapshots: tuple[str, str],
        sides: tuple[dict[str, Relation], dict[str, Relation]],
        *,
        jobs: int,
        algorithm: Algorithm,
        progress: Listener | None,
    ) -> None:
        self.urls, self.snapshots, self.sides, self.jobs = urls, snapshots, sides, jobs
        self.algorithm: Algorithm = algorithm
        self.progress = progress
        self.lock = threading.Lock()
        self.open: set[Connection] = set()
        self.stopping = False
        self.names = sorted(sides[0].keys() | sides[1].keys())
        self.tables = {name: self._begin(name) for name in self.names}
        self.columns: dict[str, list[str]] = {}
        self.buckets: dict[str, int] = {}
        self.digests: dict[tuple[int, str], Digest] = {}
        self.failed: set[str] = set()

    def _begin(self, name: str) -> TableComparison:
        present = [side.get(name) for side in self.sides]
        known = next(relation for relation in present if relation is not None)
        return TableComparison(name, known.kind)

    def run(self, *, show: int, values: bool, log: DifferenceLog) -> list[TableComparison]:
        """Digest everything, locate what differs; the tables in the order of their names."""
        queues: tuple[queue.SimpleQueue[Piece], queue.SimpleQueue[Piece]] = (queue.SimpleQueue(), queue.SimpleQueue())
        total = 0
        for side in (0, 1):
            planned = [piece for name in self.names for piece in self._plan(side, name)]
            planned.sort(key=lambda piece: -(piece.end or piece.leaf.pages) + piece.start)  # the longest first
            for piece in planned:
                queues[side].put(piece)
            total += len(planned)
        done = _Counter("digest", total, self.progress)
        self._together([partial(self._digest, side, queues[side], done) for side in (0, 1)] * self.jobs)
        differing = [name for name in self.names if self._judge(name)]
        done = _Counter("locate", len(differing), self.progress)
        names: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in differing:
            names.put(name)
        if differing:
            task = partial(self._locate, names, done, show, values, log)
            self._together([task] * min(self.jobs, len(differing)))
        return [self.tables[name] for name in self.names]

    def _plan(self, side: int, name: str) -> list[Piece]:
        """The pieces to read of a relation on one side; notes why it is left out where it is."""
        table = self.tables[name]
        pair = [relations.get(name) for relations in self.sides]
        relation, other = pair[side], pair[1 - side]
        if relation is None:
            where = ("source", "target")[side]
            table.not_compared = f"it does not exist on the {where}"
            return []
        if relation.unreadable:
            table.not_compared = f"on the {('source', 'target')[side]}: {relation.unreadable}"
            return []
        if not relation.populated:
            table.not_compared = f"on the {('source', 'target')[side]} the materialised view has no data (WITH NO DATA)"
            return []
        columns = sorted(relation.columns.keys() & (other or relation).columns.keys())
        if other is not None and relation.columns.keys() != other.columns.keys():
            only = sorted(relation.columns.keys() ^ other.columns.keys())
            table.not_compared = f"columns on one side only: {', '.join(only)}"
        self.columns[name] = columns
        table.columns_compared = len(columns)
        self.buckets[name] = bucket_count(max(r.estimated_rows for r in pair if r is not None))
        self.digests[side, name] = Digest()
        return pieces(relation, self.jobs)

    def _digest(self, side: int, work: queue.SimpleQueue[Piece], done: _Counter) -> None:
        connection: Connection | None = None
        while not self.stopping:
            try:
                piece = work.get_nowait()
            except queue.Empty:
                break
            name, clock = piece.relation, time.monotonic()
            if name in self.failed:
                done.step(name)
                continue
            try:
                if connection is None or connection.closed:
                    connection = self._join(side)
                relation = self.sides[side][name]
                query = digest_query(
                    relation, self.columns[name], piece, buckets=self.buckets[name], algorithm=self.algorithm
                )
                with connection.transaction():
                    rows = connection.execute(query).fetchall()
                with self.lock:
                    self.digests[side, name].add(rows)
                    self.tables[name].seconds += time.monotonic() - clock
            except (psycopg.Error, DatabaseError) as error:
                self._leave_out(side, name, error)
            done.step(name)
        self._leave(connection)

    def _leave_out(self, side: int, name: str, error: Exception) -> None:
        where, words = ("source", "target")[side], one_line(error, self.urls[side])
        with self.lock:
            self.failed.add(name)
            self.tables[name].not_compared = f"on the {where} it could not be read: {words}"

    def _judge(self, name: str) -> bool:
        """Take over the counts; whether the relation is to be located."""
        table = self.tables[name]
        if name in self.failed:
            return False
        both = [self.digests.get((side, name)) for side in (0, 1)]
        counts = [digest.rows if digest is not None else None for digest in both]
        table.source_rows, table.target_rows = counts
        return both[0] is not None and both[1] is not None and bool(both[0].differing(both[1]))

    def _locate(
        self, names: queue.SimpleQueue[str], done: _Counter, show: int, values: bool, log: DifferenceLog
    ) -> None:
        pair: list[Connection] = []
        while not self.stopping:
            try:
                name = names.get_nowait()
            except queue.Empty:
                break
            table, clock = self.tables[name], time.monotonic()

            def write(line: RowDifference, name: str = name) -> None:
                log.write(name, line)

            try:
                if not pair or any(connection.closed for connection in pair):
                    pair = [self._join(0), self._join(1)]
                found = locate(
                    Side(pair[0], self.sides[0][name]),
                    Side(pair[1], self.sides[1][name]),
                    self.columns[name],
                    self.digests[0, name].differing(self.digests[1, name]),
                    buckets=self.buckets[name],
                    algorithm=self.algorithm,
                    show=show,
                    values=values,
                    write=write,
                )
                table.missing, table.extra, table.different = found.missing, found.extra, found.different
                table.key, table.differing_columns = found.key, dict(found.columns.most_common())
                table.examples = tuple(found.examples)
                if not (found.missing or found.extra or found.different):
                    table.not_compared = "its digests differ, but no differing row was found: report this as a bug"
            except (psycopg.Error, DatabaseError) as error:
                # The digests differ, so something does; only which rows could not be told.
                table.not_compared = f"its rows differ, and could not be located: {one_line(error, self.urls[0])}"
            table.seconds += time.monotonic() - clock
            done.step(name)
        for connection in pair:
            self._leave(connection)

    def _join(self, side: int) -> Connection:
        connection = join_snapshot(self.urls[side], self.snapshots[side])
        with self.lock:
            self.open.add(connection)
        return connection

    def _leave(self, connection: Connection | None) -> None:
        if connection is not None:
            with self.lock:
                self.open.discard(connection)
            connection.close()

    def _together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all tasks at once; when we are interrupted, cancel what the servers are doing."""
        with ThreadPoolExecutor(len(tasks)) as pool:
            try:
                for future in [pool.submit(task) for task in tasks]:
                    future.result()
            except BaseException:
                self.stopping = True
                for connection in list(self.open):
                    with suppress(psycopg.Error):
                        connection.cancel_safe(timeout=2)
                raise


class _Counter:
    """Counts finished units over threads, and tells the listener one at a time."""

    def __init__(self, stage: str, total: int, listener: Listener | None) -> None:
        self.stage, self.total, self.listener = stage, total, listener
        self.done, self.lock = 0, threading.Lock()

    def step(self, note: str) -> None:
        """One more unit is done."""
        with self.lock:
            self.done += 1
            if self.listener:
                self.listener(Progress(self.stage, self.done, self.total, "pieces", note))
