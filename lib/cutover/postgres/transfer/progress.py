"""How far a dump or a restore has come: its tables from the program's words, bytes and rows from the server's view."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg

from cutover.errors import DatabaseError
from cutover.postgres.connection import connect
from cutover.progress import Listener, Progress

_EVERY_S = 1.0
_BEGUN = re.compile(r'(?:dumping contents of|processing data for) table "(.*)"$')
_LAUNCHED = re.compile(r"launching item (\d+) TABLE DATA ")
_ENDED = re.compile(r"finished item (\d+) TABLE DATA (.*)$")


@dataclass(frozen=True, slots=True)
class Load:
    """One table to dump or to load.

    Attributes:
        name: `public.users`, as the programs print it.
        rows, bytes: how many there are; on a source, the planner's estimate and the table's size on disk.
    """

    name: str
    rows: int
    bytes: int


class Watch:
    """Reads a program's lines and tells how far it is; a table counts once the program says that it is finished.

    Args:
        stage: `dump` or `restore`.
        loads: the tables, by number of the archive's entry; for a dump, where numbers are not known yet, by any key.
        serial: there is one worker, which does not say what it has finished: that is when the next table begins.
        before: tables that were loaded before (a resumed restore).
        progress: told of every table, and of bytes every second.
        finished: called with the key of every table that was loaded whole.
    """

    def __init__(
        self,
        stage: Literal["dump", "restore"],
        loads: Mapping[int, Load],
        *,
        serial: bool = False,
        before: Mapping[int, Load] | None = None,
        progress: Listener | None = None,
        finished: Callable[[int], None] | None = None,
    ) -> None:
        self._stage, self._loads, self._serial, self._before = stage, loads, serial, before or {}
        self._progress, self._finished = progress, finished
        self._by_name = {load.name: key for key, load in loads.items()}
        self._begun: dict[int, float] = {}
        self._active: list[int] = []
        self._failed: set[str] = set()
        self._lock = threading.Lock()
        self._clock = time.monotonic()
        self.done: set[int] = set()
        self.seconds: dict[int, float] = {}

    def line(self, line: str) -> None:
        """One line of the program's stderr."""
        if failed := re.search(r'COPY failed for table "(.*?)"', line):
            self._failed.add(failed[1])
        elif begun := _BEGUN.search(line):
            self._begin(self._by_name.get(begun[1]))
        elif launched := _LAUNCHED.search(line):
            self._begun[int(launched[1])] = time.monotonic()
        elif ended := _ENDED.search(line):
            self._end(self._key(int(ended[1]), ended[2]))

    def _begin(self, key: int | None) -> None:
        if self._serial:
            self._end_active()
        if key is not None:
            self._begun.setdefault(key, time.monotonic())
            self._active.append(key)
            self._tell(self._loads[key].name)

    def _key(self, entry: int, name: str) -> int | None:
        """A dump's line has the table's bare name; of several of that name, the one that was begun first."""
        if self._stage == "restore":
            return entry if entry in self._loads else None
        fitting = (k for k in self._active if k not in self.done and self._loads[k].name.endswith(f".{name}"))
        return next(fitting, None)

    def end(self, whole: bool) -> None:
        """The program has ended; `whole` says that it came to its end, so that what was active is finished."""
        if whole:
            self._end_active()

    @contextmanager
    def polling(self, url: str, application: str) -> Iterator[None]:
        """Ask the server every second how much of each table its COPY has done, and tell the listener."""
        if self._progress is None:
            yield
            return
        stop = threading.Event()
        poller = threading.Thread(target=self._poll, args=(url, application, stop), daemon=True)
        poller.start()
        try:
            yield
        finally:
            stop.set()
            poller.join(timeout=5)

    def _end_active(self) -> None:
        for key in self._active:
            self._end(key)
        self._active.clear()

    def _end(self, key: int | None) -> None:
        if key is None or key in self.done or any(self._loads[key].name.endswith(f".{f}") for f in self._failed):
            return
        self.done.add(key)
        self.seconds[key] = round(time.monotonic() - self._begun.get(key, self._clock), 3)
        if self._finished:
            self._finished(key)
        self._tell(self._loads[key].name)

    def _poll(self, url: str, application: str, stop: threading.Event) -> None:
        query = (
            "SELECT n.nspname || '.' || c.relname, p.bytes_processed, p.tuples_processed FROM pg_stat_progress_copy p "
            "JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = p.relid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE p.datname = current_database() AND a.application_name = %s"
        )
        try:
            with connect(url) as connection:
                while not stop.wait(_EVERY_S):
                    rows = connection.execute(query, (application,)).fetchall()
                    self._tell("", {str(name): (int(size), int(count)) for name, size, count in rows})
        except (psycopg.Error, DatabaseError):
            return  # progress is a courtesy: without it the work goes on

    def _tell(self, note: str, active: Mapping[str, tuple[int, int]] | None = None) -> None:
        if self._progress is None:
            return
        with self._lock:
            done = [self._loads[key] for key in self.done] + list(self._before.values())
            rows, size = sum(load.rows for load in done), sum(load.bytes for load in done)
            for name, (copied, count) in (active or {}).items():
                load = self._loads.get(self._by_name.get(name, -1))
                if load is not None and self._by_name[name] not in self.done:
                    part = count / load.rows if self._stage == "dump" and load.rows else 0
                    rows += min(load.rows, count)
                    size += min(load.bytes, int(load.bytes * part) if self._stage == "dump" else copied)
            every = [*self._loads.values(), *self._before.values()]
            self._progress(
                Progress(
                    self._stage,
                    len(done),
                    len(every),
                    "tables",
                    note,
                    rows=rows,
                    rows_total=sum(load.rows for load in every),
                    bytes=size,
                    bytes_total=sum(load.bytes for load in every),
                    started=self._clock,
                )
            )
