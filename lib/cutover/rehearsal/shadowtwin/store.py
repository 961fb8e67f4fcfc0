"""What the application reads and writes in PostgreSQL; every query it makes stands here."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import psycopg_pool
from psycopg import AsyncConnection
from psycopg.rows import dict_row

POOL = 10
"""Most connections of one instance, as in the guide's application (80 connections are its alarm)."""
WAIT_S = 2.0
"""Seconds to wait for a connection, and to connect: a lost database is an answer within the health check's 5 s."""
STATEMENT_S = 5
SESSION_DAYS = 30


@dataclass(frozen=True, slots=True)
class User:
    """Who may sign in."""

    id: str
    email: str
    name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class Report:
    """One row of reports; `file` is its name on the shelf once it is done."""

    id: str
    twin_id: str
    status: str
    file: str | None

    def public(self) -> dict[str, str]:
        """What the application tells about it."""
        return {"id": self.id, "twin_id": self.twin_id, "status": self.status}


class Store:
    """The database, through a small pool. All methods raise psycopg's errors, or PoolTimeout when it is lost."""

    def __init__(self, url: str) -> None:
        self._pool = psycopg_pool.AsyncConnectionPool(
            url,
            min_size=1,
            max_size=POOL,
            timeout=WAIT_S,
            reconnect_timeout=WAIT_S,
            open=False,
            # As Node's pool does: a connection that the server closed is replaced, not handed out.
            check=psycopg_pool.AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": int(WAIT_S),
                "application_name": "shadowtwin",
                "options": f"-c statement_timeout={STATEMENT_S}s",
            },
            connection_class=AsyncConnection[dict[str, Any]],
        )

    async def open(self) -> None:
        """Begin to connect; does not wait for the database."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=WAIT_S)

    async def ping(self) -> None:
        """`SELECT 1`, as the guide's health check."""
        await self._all("SELECT 1 AS one")

    async def find_user(self, email: str) -> User | None:
        """The active user of this e-mail address."""
        rows = await self._all(
            "SELECT id::text, email::text, display_name AS name, password_hash FROM public.users"
            " WHERE email = %s AND status = 'active'",
            email,
        )
        return User(**rows[0]) if rows else None

    async def open_session(self, user: str) -> str:
        """A new session; returns its token, of which only the SHA-256 is stored."""
        token = secrets.token_urlsafe(24)
        await self._all(
            "INSERT INTO public.sessions (user_id, token_hash, user_agent, expires_at)"
            " VALUES (%s, %s, 'shadowtwin', now() + make_interval(days => %s)) RETURNING id",
            int(user),
            hashlib.sha256(token.encode()).digest(),
            SESSION_DAYS,
        )
        return token

    async def session_user(self, token: str) -> str | None:
        """The user id behind a token that is still valid."""
        rows = await self._all(
            "SELECT user_id::text FROM public.sessions WHERE token_hash = %s AND expires_at > now()",
            hashlib.sha256(token.encode()).digest(),
        )
        return str(rows[0]["user_id"]) if rows else None

    async def twins_of(self, user: str) -> list[dict[str, Any]]:
        """The user's newest twins."""
        return await self._all(
            "SELECT t.id::text, name, slug, visibility::text, created_at FROM public.twins t WHERE owner_id = %s"
            " ORDER BY t.id DESC LIMIT 50",  # t.id is the number; plain id would be the text beside it
            int(user),
        )

    async def create_twin(self, user: str, name: str) -> dict[str, Any]:
        """A new twin of the user."""
        rows = await self._all(
            "INSERT INTO public.twins (owner_id, name) VALUES (%s, %s) RETURNING id::text, name, slug, created_at",
            int(user),
            name,
        )
        return rows[0]

    async def conversations_of(self, user: str, twin: str) -> list[dict[str, Any]] | None:
        """The newest conversations with one of the user's twins; None when the twin is not theirs."""
        if not await self._owns(user, twin):
            return None
        return await self._all(
            "SELECT c.id::text, title, status::text, message_count, started_at FROM public.conversations c"
            " WHERE twin_id = %s ORDER BY c.id DESC LIMIT 20",
            int(twin),
        )

    async def create_report(self, user: str, twin: str) -> str | None:
        """A new report, queued; returns its id, or None when the twin is not the user's."""
        if not await self._owns(user, twin):
            return None
        rows = await self._all(
            "INSERT INTO public.reports (twin_id, requested_by) VALUES (%s, %s) RETURNING id::text",
            int(twin),
            int(user),
        )
        return str(rows[0]["id"])

    async def report(self, user: str, report: str) -> Report | None:
        """One of the user's reports."""
        rows = await self._all(
            "SELECT id::text, twin_id::text, status::text, file FROM public.reports"
            " WHERE id = %s::uuid AND requested_by = %s",
            report,
            int(user),
        )
        return Report(**rows[0]) if rows else None

    async def finish_report(self, report: str, file: str, content: bytes) -> None:
        """Mark a report done, with the file it became."""
        await self._all(
            "UPDATE public.reports SET status = 'done', file = %s, pages = 1, sha256 = %s, error = NULL,"
            " finished_at = now() WHERE id = %s::uuid RETURNING id",
            file,
            hashlib.sha256(content).digest(),
            report,
        )

    async def stats(self) -> dict[str, Any]:
        """Rows by table as the planner estimates them, and how big the database is."""
        rows = await self._all(
            "SELECT relname AS name, greatest(reltuples, 0)::bigint AS rows FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relname IN ('users', 'twins', 'conversations', 'reports')"
        )
        size = await self._all("SELECT pg_database_size(current_database()) AS bytes")
        return {row["name"]: row["rows"] for row in rows} | {"database_bytes": size[0]["bytes"]}

    async def _owns(self, user: str, twin: str) -> bool:
        if not twin.isdigit() or int(twin) >= 2**63:
            return False
        sql = "SELECT 1 AS one FROM public.twins WHERE id = %s AND owner_id = %s"
        return bool(await self._all(sql, int(twin), int(user)))

    async def _all(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(sql.encode(), values)
            return await cursor.fetchall()
