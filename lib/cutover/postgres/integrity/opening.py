"""A database opened for a comparison: one exported snapshot, its relations locked, its hashes tested."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from cutover.errors import DatabaseError, UsageError
from cutover.postgres.connection import explain
from cutover.postgres.integrity.digest import print_test
from cutover.postgres.integrity.load_limits import LoadLimits
from cutover.postgres.integrity.reading import Database, Where
from cutover.postgres.integrity.relations import lock, read_relations
from cutover.postgres.integrity.rowhash import Algorithm, self_test
from cutover.postgres.integrity.selection import Selection
from cutover.postgres.snapshot import Snapshot, exported_snapshot


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself that a digest depends on.

    Attributes:
        encoding: of the database; in another one the same text is other bytes.
        unlike: why its fast hashes cannot be trusted; empty when they give the known answers.
        doubts: what is doubtful about how it prints values; empty when nothing is.
        identity: tells this database of this running server from every other.
    """

    encoding: str
    unlike: str
    doubts: str
    identity: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A database that can be read, what was left out by choice, and what its server is like.

    `unmatched` are the patterns of the choice that fit nothing in it.
    """

    database: Database
    left_out: tuple[str, ...]
    server: Server
    unmatched: frozenset[str] = frozenset()


def open_database(
    stack: ExitStack,
    url: str,
    where: Where,
    *,
    selection: Selection,
    load_limits: LoadLimits,
    snapshot: Snapshot | None = None,
) -> Opened:
    """Take a snapshot (or the given one), read what there is, and lock it against being rewritten.

    Args:
        stack: closes what is opened here.
        url, where: the database and what to call it.
        selection: what to compare.
        load_limits: what we allow ourselves.
        snapshot: an instant that is held open by somebody else.

    Raises:
        DatabaseError: it cannot be reached, or does not say what is in it.
    """
    instant = snapshot or stack.enter_context(exported_snapshot(url))
    try:
        load_limits.settle(instant.connection, reads_rows=False)
        everything = read_relations(instant.connection)
        kept, left_out = selection.split(everything)
        lock(instant.connection, kept)
        server = _ask(instant)
    except psycopg.Error as error:
        raise explain(error, url, "does not say what is in it") from error
    unmatched = frozenset(selection.unmatched(everything.values()))
    return Opened(Database(url, where, instant, kept, load_limits), tuple(left_out), server, unmatched)


def refuse_unmatched(one: frozenset[str], other: frozenset[str]) -> None:
    """A pattern that fits nothing on either side is a mistake, and what was meant would be passed over.

    Raises:
        UsageError: there is one.
    """
    if lost := sorted(one & other):
        raise UsageError(
            f"Nothing on either side fits {', '.join(map(repr, lost))}.",
            why="what was meant would be passed over, and nobody would know.",
            todo="write tables as schema.table, with * and ? for what may vary, in quotes for the shell's sake",
        )


def _ask(instant: Snapshot) -> Server:
    row = instant.connection.execute(
        "SELECT current_setting('server_encoding'), "
        "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint || '/' || oid "
        "FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    encoding, identity = row or ("", "")
    printed = print_test(instant.connection)
    doubts = f"{instant.database} {printed}" if printed else ""
    return Server(str(encoding), self_test(instant.connection), doubts, str(identity))


def choose(wanted: Algorithm, *servers: Server) -> Algorithm:
    """The algorithm that gives equal answers on all servers."""
    # SHA-256 is taken over UTF-8 on both sides.
    alike = len({server.encoding for server in servers}) <= 1 and not any(server.unlike for server in servers)
    return wanted if alike else "sha256"


def refuse_itself(one: Server, other: Server, subject: str) -> None:
    """A database is equal to itself, which proves nothing.

    Raises:
        DatabaseError: both are one and the same.
    """
    if one.identity and one.identity == other.identity:
        raise DatabaseError(
            f"The source and the target are one and the same database: {subject}",
            why="A database is always equal to itself, so nothing would be proven about the copy.",
            todo="Check both URLs; one of them leads to the wrong side.",
        )
