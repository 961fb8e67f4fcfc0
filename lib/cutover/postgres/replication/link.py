"""A replication from one database to another: what its parts are called, and how they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from cutover.errors import UsageError
from cutover.postgres.catalog import Restored
from cutover.postgres.connection import describe, readable, session
from cutover.secrets import redact

Connection = psycopg.Connection[Any]

STATES = {"i": "not begun", "d": "copying", "f": "copied", "s": "catching up", "r": "streaming"}
"""`pg_subscription_rel.srsubstate`, in words."""

PUBLISHED = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover_restore')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e')
ORDER BY 1, 2
"""
"""Every table of the application: roots of partitioned ones, nothing of an extension, nothing unlogged."""


@dataclass(frozen=True, slots=True)
class Link:
    """One replication: publication and slot on the source, subscription on the target, all of one name.

    Attributes:
        source_url: as this machine reaches it; its role owns the tables and may replicate.
        target_url: its role owns the database and may subscribe.
        reach_url: as the target's server reaches the source; the same as `source_url` when empty.
        name: of publication, slot and subscription: lower-case letters, digits and underscores; what begins with
            `cutover_` is no difference of the catalogs.
        acl: take grants and default privileges over with the schema. Owners are not: what is made belongs to the role
            of `target_url`.
    """

    source_url: str
    target_url: str
    reach_url: str = ""
    name: str = "cutover_copy"
    acl: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,50}", self.name):
            raise UsageError(
                f"{self.name!r} cannot name a replication slot.",
                todo="use lower-case letters, digits and underscores, at most 51.",
            )

    @property
    def subject(self) -> str:
        """`source → target`, without passwords."""
        return f"{describe(self.source_url)} → {describe(self.target_url)}"

    @property
    def restored(self) -> Restored:
        """How the target's schema is made, so that what is left out of it is no difference."""
        return Restored(owner=False, acl=self.acl)

    @property
    def conninfo(self) -> str:
        """What the subscription connects with. It holds the password, which is registered for redaction."""
        known = readable(self.reach_url or self.source_url)
        if known.get("password"):
            redact.register(known["password"])
        known |= {"application_name": self.name}
        return psycopg.conninfo.make_conninfo("", **known)

    @property
    def identifier(self) -> sql.Identifier:
        """The name, for a statement."""
        return sql.Identifier(self.name)


@dataclass(frozen=True, slots=True)
class LinkState:
    """How a replication stands, both sides.

    Attributes:
        publication: it is there; published: the tables in it.
        slot: there; slot_active: somebody streams from it; slot_wal: `reserved`, `extended`, `unreserved` or `lost`.
        behind_bytes: of the source's log that the target has not confirmed; None without a slot.
        kept_bytes: of the source's log that the slot holds back from being removed.
        safe_bytes: that the source may still write before the slot is lost; None where there is no limit.
        replayed: position up to which the target has confirmed; source_lsn: where the source's log ends.
        lag_s: the walsender's own measure of replay, seconds; None when idle or when nobody streams.
        subscription: there; enabled: it runs; worker: its main worker is running.
        tables: table to its state, in the words of `STATES`.
        errors: `apply` and `sync` errors since it was made; conflicts: by kind (PostgreSQL 18).
        guarded: the target refuses everybody else's writes.
    """

    publication: bool = False
    published: tuple[str, ...] = ()
    slot: bool = False
    slot_active: bool = False
    slot_wal: str = ""
    behind_bytes: int | None = None
    kept_bytes: int | None = None
    safe_bytes: int | None = None
    replayed: str = ""
    source_lsn: str = ""
    lag_s: float | None = None
    subscription: bool = False
    enabled: bool = False
    worker: bool = False
    tables: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    conflicts: Mapping[str, int] = field(default_factory=dict)
    guarded: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @property
    def nothing(self) -> bool:
        """Neither side has any part of it."""
        return not (self.publication or self.slot or self.subscription)

    @property
    def streaming(self) -> bool:
        """Every table was copied and follows, and both ends are at work."""
        copied = bool(self.tables) and all(state == STATES["r"] for state in self.tables.values())
        return copied and self.enabled and self.slot_active and self.slot_wal != "lost"


def link_state(link: Link) -> LinkState:
    """Look at both sides.

    Raises:
        DatabaseError: a side cannot be reached.
    """
    with session(link.source_url) as source:
        ours = _source(source, link.name)
    with session(link.target_url) as target:
        theirs = _target(target, link.name)
    return LinkState(**ours, **theirs)


def published_tables(connection: Connection) -> list[tuple[str, str]]:
    """(schema, table) of everything that is to be published."""
    return [(str(schema), str(table)) for schema, table in connection.execute(PUBLISHED)]


def qualified(connection: Connection, schema: str, table: str) -> str:
    """A table's name as the server itself writes it."""
    row = connection.execute("SELECT %s::regclass::text", (sql.Identifier(schema, table).as_string(None),)).fetchone()
    return str(row[0]) if row else ""


def _source(connection: Connection, name: str) -> dict[str, Any]:
    there = connection.execute("SELECT FROM pg_publication WHERE pubname = %s", (name,)).fetchone()
    tables = connection.execute(
        "SELECT prrelid::regclass::text FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid "
        "WHERE p.pubname = %s ORDER BY 1",
        (name,),
    ).fetchall()
    found: dict[str, Any] = {"publication": there is not None, "published": tuple(str(row[0]) for row in tables)}
    row = connection.execute(
        "SELECT s.active, coalesce(s.wal_status, ''), coalesce(s.confirmed_flush_lsn::text, ''), "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint, "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint, s.safe_wal_size, pg_current_wal_lsn()::text, "
        "extract(epoch FROM r.replay_lag)::float8, coalesce(r.replay_lsn::text, '') "
        "FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name = %s",
        (name,),
    ).fetchone()
    if row is None:
        return found
    active, wal, confirmed, behind, kept, safe, end, lag, replayed = row
    return found | {
        "slot": True,
        "slot_active": active,
        "slot_wal": wal,
        "behind_bytes": None if behind is None else max(0, behind),
        "kept_bytes": kept,
        "safe_bytes": safe,
        "replayed": replayed or confirmed,
        "source_lsn": end,
        "lag_s": lag,
    }


def _target(connection: Connection, name: str) -> dict[str, Any]:
    row = connection.execute(
        "SELECT s.oid, s.subenabled, EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid "
        "AND w.relid IS NULL AND w.pid IS NOT NULL) FROM pg_subscription s WHERE s.subname = %s "
        "AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (name,),
    ).fetchone()
    guarded = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_db_role_setting d CROSS JOIN unnest(d.setconfig) s WHERE d.setrole = 0 "
        "AND d.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND s = 'default_transaction_read_only=on')"
    ).fetchone()
    found: dict[str, Any] = {"guarded": bool(guarded and guarded[0])}
    if row is None:
        return found
    tables = connection.execute(
        "SELECT srrelid::regclass::text, srsubstate::text FROM pg_subscription_rel WHERE srsubid = %s ORDER BY 1",
        (row[0],),
    ).fetchall()
    counted = connection.execute(
        "SELECT to_jsonb(s) FROM pg_stat_subscription_stats s WHERE subid = %s", (row[0],)
    ).fetchone()
    stats: dict[str, Any] = counted[0] if counted else {}
    return found | {
        "subscription": True,
        "enabled": row[1],
        "worker": row[2],
        "tables": {str(table): STATES.get(state, state) for table, state in tables},
        "errors": {kind: int(stats.get(f"{kind}_error_count") or 0) for kind in ("apply", "sync")},
        "conflicts": {k.removeprefix("confl_"): int(v) for k, v in stats.items() if k.startswith("confl_") and v},
    }
