"""What a server says of itself: version, size, encoding, rights, limits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cutover.postgres.connection import describe, session


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One database and its server.

    Attributes:
        version: `17.10`; major: 17.
        database: its name; described: `user@host:port/database`.
        size_bytes: of the database.
        encoding, collation, ctype, provider: of the database; provider is `libc`, `icu` or `builtin`.
        collation_version: what the operating system or ICU says now, or None.
        extensions: name to installed version.
        user: who we are; superuser, bypasses_rls: what we may.
        tls: the protocol in force on our connection, empty when there is none.
        max_connections, used_connections: the server's, and how many clients there are now.
        wal_level: `replica`, `logical`, …
        in_recovery: a standby.
        tables, rows_estimated: how many tables of the application, and the planner's estimate of their rows.
    """

    version: str
    major: int
    database: str
    described: str
    size_bytes: int
    encoding: str
    collation: str
    ctype: str
    provider: str
    collation_version: str | None
    extensions: dict[str, str]
    user: str
    superuser: bool
    bypasses_rls: bool
    tls: str
    max_connections: int
    used_connections: int
    wal_level: str
    in_recovery: bool
    tables: int
    rows_estimated: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


_FACTS = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, d.datname,
       pg_database_size(d.oid), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       CASE d.datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END,
       to_jsonb(d) ->> 'datcollversion',
       (SELECT coalesce(jsonb_object_agg(extname, extversion), '{}') FROM pg_extension),
       current_user::text, r.rolsuper, r.rolbypassrls OR r.rolsuper,
       (SELECT coalesce(version, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
       current_setting('max_connections')::int,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('wal_level'), pg_is_in_recovery(), t.tables::int, t.rows::bigint
FROM pg_database d, pg_roles r, (
    SELECT count(*) AS tables, coalesce(sum(greatest(c.reltuples, 0)), 0) AS rows FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') t
WHERE d.datname = current_database() AND r.rolname = current_user
"""


def server_facts(url: str) -> ServerFacts:
    """Ask a database about itself and its server.

    Raises:
        DatabaseError: it cannot be reached.
    """
    with session(url) as connection:
        row = connection.execute(_FACTS).fetchone()
    assert row is not None  # noqa: S101 - one database, one role
    first, rest = row[:3], row[3:]
    return ServerFacts(first[0], first[1], first[2], describe(url), *rest)
