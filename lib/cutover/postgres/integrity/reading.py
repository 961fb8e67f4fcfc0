"""Many sessions read two databases at once: every piece once, none twice, and none passed over in silence."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import psycopg
from psycopg import sql

from cutover.errors import DatabaseError
from cutover.postgres.connection import explain, one_line
from cutover.postgres.integrity.digest import ByHash, Cut, Digest, Piece, bucket_count, digest_query, pieces
from cutover.postgres.integrity.load_limits import LoadLimits, Throttle
from cutover.postgres.integrity.relations import Relation
from cutover.postgres.integrity.rewritten import rewritten_since
from cutover.postgres.integrity.rowhash import Algorithm, form
from cutover.postgres.snapshot import Snapshot, join_snapshot
from cutover.progress import Listener, Progress

Connection = psycopg.Connection[Any]
Where = Literal["source", "target"]

_TRIES = 3
"""A piece is read so often when its session is lost and the snapshot is not."""


class Lost(DatabaseError):
    """The snapshot of a side is gone, so nothing more can be read of that instant."""


class SessionPool:
    """The sessions of one comparison: what they share, and how they are stopped."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._open: set[Connection] = set()
        self._lock = threading.Lock()

    def together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all tasks at once; when one raises or we are interrupted, cancel what the servers are doing."""
        if not tasks:
            return
        with ThreadPoolExecutor(len(tasks)) as pool:
            try:
                for future in [pool.submit(task) for task in tasks]:
                    future.result()
            except BaseException:
                self.stopping.set()
                with self._lock:
                    running = list(self._open)
                for connection in running:
                    with suppress(psycopg.Error):
                        connection.cancel_safe(timeout=2)
                raise

    def enter(self, connection: Connection) -> Connection:
        """A session that is to be cancelled with the others."""
        with self._lock:
            self._open.add(connection)
        return connection

    def leave(self, connection: Connection | None) -> None:
        """Close a session."""
        if connection is not None:
            with self._lock:
                self._open.discard(connection)
            connection.close()


@dataclass
class Database:
    """One side while it is read at one instant.

    Attributes:
        url: how to connect.
        where: what to call it.
        snapshot: the instant.
        relations: what there is, by name.
        load_limits: what we allow ourselves there.
    """

    url: str
    where: Where
    snapshot: Snapshot
    relations: Mapping[str, Relation]
    load_limits: LoadLimits = field(default_factory=LoadLimits)

    def __post_init__(self) -> None:
        self.brake = Throttle(self.load_limits)

    def join(self) -> Connection:
        """A new session inside the snapshot.

        Raises:
            Lost: the session that held the snapshot has ended, so this instant cannot be seen again.
            DatabaseError: no connection.
        """
        try:
            connection = join_snapshot(self.url, self.snapshot.id)
            try:
                self.load_limits.settle(connection)
            except psycopg.Error as error:
                connection.close()
                raise explain(error, self.url, "ended the session that was to read") from error
        except DatabaseError as error:
            if self._gone():
                raise Lost(
                    f"the session that held the snapshot of {self.snapshot.at:%H:%M:%S} UTC has ended, and that "
                    f"instant cannot be seen again: {error.what}",
                    todo="See that the server is up and ends no idle sessions, then compare again from the start.",
                ) from error
            raise
        return connection

    def _gone(self) -> bool:
        """Whether the session that exports the snapshot is lost; asks it, for a dead socket looks alive."""
        try:
            self.snapshot.connection.execute("SELECT")
        except psycopg.Error:
            return True
        return False


@dataclass(frozen=True, slots=True)
class Shape:
    """How a relation is to be read, the same way on both sides: which columns, in which buckets, which rows.

    Columns in `exact` are hashed by a form of their type; see `rowhash`.
    """

    columns: tuple[str, ...]
    exact: frozenset[str]
    cut: Cut
    only: sql.Composable | None = None


def whole_shape(relation: Relation) -> Shape:
    """All columns of a relation, each by its own type's form, in buckets by hash."""
    exact = frozenset(name for name, kind in relation.columns.items() if form(kind))
    return Shape(tuple(relation.columns), exact, ByHash(bucket_count(relation.estimated_rows)))


@dataclass(slots=True)
class Reading:
    """What was read of a relation on one side: its digest, or why there is none."""

    digest: Digest
    failure: str = ""
    seconds: float = 0.0


Readings = dict[tuple[Where, str], Reading]


def read_digests(
    databases: Sequence[Database],
    shapes: Mapping[str, Shape],
    *,
    jobs: int,
    algorithm: Algorithm,
    crew: SessionPool,
    progress: Listener | None = None,
    stage: str = "digest",
) -> Readings:
    """Digest relations on all databases at the same time, `jobs` sessions on each.

    A relation that cannot be read to the end has a `failure`; its digest then says nothing.
    """
    readings: Readings = {}
    planned: list[deque[tuple[Piece, int]]] = []
    for database in databases:
        cut: list[Piece] = []
        for name, shape in shapes.items():
            if name not in database.relations:
                continue
            readings[database.where, name] = Reading(Digest(shape.cut.count))
            # A condition is answered by an index, so blocks are not read in turn.
            parts = pieces(database.relations[name], jobs)
            cut += parts if shape.only is None else _by_leaf(parts)
        # The longest first, so that all sessions end together.
        planned.append(deque((piece, 0) for piece in sorted(cut, key=lambda piece: -piece.bytes)))
    count = Counter(stage, "pieces", progress, (piece for work in planned for piece, _ in work))
    lines = [
        _Line(database, work, readings, shapes, algorithm, crew, count)
        for database, work in zip(databases, planned, strict=True)
    ]
    crew.together([partial(line.work) for line in lines for _ in range(min(jobs, len(line.pieces)))])
    for line in lines:
        line.close()
    for database in databases:
        read = [relation for name, relation in database.relations.items() if name in shapes]
        for name, why in rewritten_since(database.url, read).items():
            reading = readings[database.where, name]
            reading.failure = reading.failure or why
    return readings


class Counter:
    """Counts what is done over threads, and tells the listener one at a time."""

    def __init__(
        self, stage: str, unit: str, listener: Listener | None, planned: Iterable[Piece] = (), total: int = 0
    ) -> None:
        self.stage, self.unit, self.listener = stage, unit, listener
        self.total, self.rows_total, self.bytes_total = total, 0, 0
        for piece in planned:
            self.total += 1
            self.rows_total += piece.rows
            self.bytes_total += piece.bytes
        self.done, self.rows, self.bytes, self.started = 0, 0, 0, time.monotonic()
        self._lock = threading.Lock()

    def step(self, note: str, *, rows: int = 0, bytes: int = 0) -> None:
        """One more unit is done."""
        with self._lock:
            self.done, self.rows, self.bytes = self.done + 1, self.rows + rows, self.bytes + bytes
            if self.listener:
                self.listener(
                    Progress(
                        self.stage,
                        self.done,
                        self.total,
                        self.unit,
                        note,
                        rows=self.rows,
                        rows_total=max(self.rows_total, self.rows),
                        bytes=self.bytes,
                        bytes_total=self.bytes_total,
                        started=self.started,
                    )
                )


class _Line:
    """The pieces of one side, and the sessions that take them one by one."""

    def __init__(
        self,
        database: Database,
        work: deque[tuple[Piece, int]],
        readings: Readings,
        shapes: Mapping[str, Shape],
        algorithm: Algorithm,
        crew: SessionPool,
        count: Counter,
    ) -> None:
        self.database, self.pieces, self.readings, self.shapes = database, work, readings, shapes
        self.algorithm: Algorithm = algorithm
        self.crew, self.count = crew, count
        self.lost = ""
        self.at_work = 0
        self.lock = threading.Lock()

    def work(self) -> None:
        """Take pieces until there is none; one session's loss is not the loss of the piece."""
        connection: Connection | None = None
        with self.lock:
            self.at_work += 1
        try:
            while (taken := self._take()) is not None:
                piece, tried = taken
                if self.lost or self.readings[self.database.where, piece.relation].failure:
                    self._fail(piece, self.lost)
                    continue
                if connection is None or connection.closed:
                    self.crew.leave(connection)
                    connection = None
                    try:
                        connection = self.crew.enter(self.database.join())
                    except DatabaseError as error:
                        if not isinstance(error, Lost) and self._leave_to_others(piece, tried):
                            return
                        self.lost = said(error, self.database.url)
                        self._fail(piece, self.lost)
                        continue
                self._read(connection, piece, tried)
        finally:
            self.crew.leave(connection)

    def _take(self) -> tuple[Piece, int] | None:
        with self.lock:
            if self.crew.stopping.is_set() or not self.pieces:
                self.at_work -= 1
                return None
            return self.pieces.popleft()

    def _leave_to_others(self, piece: Piece, tried: int) -> bool:
        """The server may allow no more sessions: those that are there go on without this one, if there are any."""
        with self.lock:
            if self.at_work == 1:
                return False
            self.at_work -= 1
            self.pieces.appendleft((piece, tried))
            return True

    def close(self) -> None:
        """Nothing that was planned is passed over: what nobody took has failed."""
        while self.pieces:
            self._fail(self.pieces.popleft()[0], self.lost or "nobody was left to read it")

    def _read(self, connection: Connection, piece: Piece, tried: int) -> None:
        name, clock = piece.relation, time.monotonic()
        shape, reading = self.shapes[name], self.readings[self.database.where, name]
        query = digest_query(
            self.database.relations[name],
            shape.columns,
            piece,
            exact=shape.exact,
            cut=shape.cut,
            algorithm=self.algorithm,
            only=shape.only,
        )
        try:
            self.database.brake.wait(connection, self.crew.stopping)
            clock = time.monotonic()
            with connection.transaction():
                rows = connection.execute(query).fetchall()
        except (psycopg.Error, DatabaseError) as error:
            if isinstance(error, psycopg.Error) and connection.closed and tried + 1 < _TRIES:
                with self.lock:
                    self.pieces.append((piece, tried + 1))  # nothing of it was added, so it may be read again
                return
            self._fail(piece, said(error, self.database.url))
            return
        took = time.monotonic() - clock
        with self.lock:
            reading.digest.add(rows)
            reading.seconds += took
        self.count.step(name, rows=sum(row[1] for row in rows), bytes=piece.bytes)
        self.database.brake.rest(took, self.crew.stopping)

    def _fail(self, piece: Piece, why: str) -> None:
        with self.lock:
            reading = self.readings[self.database.where, piece.relation]
            reading.failure = reading.failure or why
        self.count.step(piece.relation, rows=piece.rows, bytes=piece.bytes)


def said(error: Exception, url: str) -> str:
    """What an error says, on one line and without secrets."""
    return one_line(Exception(error.what) if isinstance(error, DatabaseError) else error, url)


def _by_leaf(parts: Iterable[Piece]) -> list[Piece]:
    return list({(piece.leaf.schema, piece.leaf.name): Piece(piece.relation, piece.leaf) for piece in parts}.values())


@contextmanager
def joined(databases: Sequence[Database], crew: SessionPool) -> Iterator[list[Connection]]:
    """A session inside the snapshot of each database, closed at the end.

    Raises:
        DatabaseError: one cannot be joined.
    """
    sessions: list[Connection] = []
    try:
        for database in databases:
            sessions.append(crew.enter(database.join()))
        yield sessions
    finally:
        for connection in sessions:
            crew.leave(connection)
