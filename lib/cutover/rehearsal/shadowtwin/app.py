"""The routes of the stand-in ShadowTwin: what it answers, over its store, its queue and its reports."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import bcrypt
import psutil
import psycopg
import psycopg_pool
from redis.exceptions import RedisError

from cutover.rehearsal.http1 import BadMessage, Message, reply
from cutover.rehearsal.shadowtwin.faults import Faults, FaultsFile
from cutover.rehearsal.shadowtwin.jobs import Jobs, connect
from cutover.rehearsal.shadowtwin.reports import Shelf, draw_pdf
from cutover.rehearsal.shadowtwin.settings import Settings
from cutover.rehearsal.shadowtwin.store import Store

HEALTH = "/api/health"
MAINTENANCE_KEY = "shadowtwin:maintenance"
MAINTENANCE_STALE_S = 0.2
MEMORY_LIMIT = 1024**3
ADMIN_SESSION_S = 8 * 3600
GATE_POLL_S = 0.2

Answer = Awaitable[Message]


class App:
    """One running instance. `handle` answers a request; `start` and `stop` bracket its life."""

    def __init__(self, settings: Settings, store: Store, shelf: Shelf | None, jobs: Jobs | None) -> None:
        self._settings, self._store, self._shelf, self._jobs = settings, store, shelf, jobs
        self._faults = FaultsFile(settings.faults_file)
        self._redis = connect(settings.redis_url) if settings.redis_url else None
        self._maintenance, self._maintenance_read = False, 0.0
        self._stopping = asyncio.Event()
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer], str]] = [
            ("GET", re.compile(r"/"), self._home, ""),
            ("POST", re.compile(r"/api/auth/login"), self._login, ""),
            ("GET", re.compile(r"/api/twins"), self._list_twins, "user"),
            ("POST", re.compile(r"/api/twins"), self._create_twin, "user"),
            ("GET", re.compile(r"/api/twins/([^/]+)/conversations"), self._conversations, "user"),
            ("POST", re.compile(r"/api/reports"), self._request_report, "user"),
            ("GET", re.compile(r"/api/reports/([^/]+)"), self._report, "user"),
            ("GET", re.compile(r"/api/reports/([^/]+)/pdf"), self._report_pdf, "user"),
            ("GET", re.compile(r"/api/admin/stats"), self._stats, "admin"),
            ("PUT", re.compile(r"/api/admin/maintenance"), self._set_maintenance, "admin"),
        ]

    async def start(self, *, worker: bool = True) -> None:
        """Begin to work off the queues (with `worker`); needs neither database nor Redis to be there yet."""
        await self._store.open()
        if self._jobs is not None and worker:
            self._jobs.work("reports", self._make_report)
            self._jobs.work("emails", self._send_email)

    async def stop(self, *, grace_s: float) -> None:
        """Let go of what hangs, finish jobs under way for at most `grace_s`, close the connections."""
        self._stopping.set()
        if self._jobs is not None:
            await self._jobs.close(grace_s=grace_s)
        await self._store.close()
        if self._redis is not None:
            await self._redis.aclose()

    def release(self) -> None:
        """Let requests that hang end without an answer: the process is about to stop."""
        self._stopping.set()

    async def handle(self, request: Message) -> Message | None:
        """Answer one request; None (the connection is dropped) when it hung until the process stopped."""
        while self._faults.hangs():
            if self._stopping.is_set():
                return None
            await asyncio.sleep(GATE_POLL_S)
        if request.path == HEALTH:
            return await self._health()
        faults = self._faults.count()
        if faults.latency_s > 0:
            await asyncio.sleep(faults.latency_s)
        if self._faults.next_fails():
            return reply(500, {"error": "internal", "message": "injected failure"})
        try:
            return await self._route(request)
        except BadMessage as error:
            return reply(error.status, {"error": "bad_request", "message": str(error)})
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout, psycopg.errors.ReadOnlySqlTransaction) as error:
            return reply(503, {"error": "database", "message": type(error).__name__})
        except (RedisError, OSError) as error:
            return reply(503, {"error": "unavailable", "message": type(error).__name__})
        except (psycopg.errors.InvalidTextRepresentation, psycopg.errors.NumericValueOutOfRange):
            return reply(404, {"error": "not_found"})
        except Exception as error:
            return reply(500, {"error": "internal", "message": f"{type(error).__name__}: {error}"})

    async def _route(self, request: Message) -> Message:
        path, known = request.path.rstrip("/") or "/", False
        for method, pattern, handler, role in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            known = True
            if method != request.method and (method, request.method) != ("GET", "HEAD"):
                continue
            if role != "admin" and handler != self._login and await self._in_maintenance():
                return _maintenance()
            if role == "admin":
                if not self._is_admin(request):
                    return reply(403, {"error": "forbidden"})
                return await handler(request, *match.groups())
            if role == "user":
                user = await self._user(request)
                if user is None:
                    return reply(401, {"error": "unauthorized"})
                return await handler(request, user, *match.groups())
            return await handler(request)
        if await self._in_maintenance():
            return _maintenance()
        return reply(405, {"error": "method_not_allowed"}) if known else reply(404, {"error": "not_found"})

    # What anyone may ask

    async def _health(self) -> Message:
        """The guide's code (lines 945-992), in Python: one key for one check, 503 when one is unhealthy."""
        checks = {"database": "unknown", "redis": "unknown", "memory": "unknown"}
        database, redis = await asyncio.gather(self._check_database(), self._check_redis())
        checks["database"], checks["redis"] = database, redis
        used = psutil.Process().memory_info().rss
        checks["memory"] = "healthy" if used < 0.9 * MEMORY_LIMIT else "warning"
        healthy = database == "healthy" and redis != "unhealthy"
        body = {
            "status": "healthy" if healthy else "degraded",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "version": self._settings.version,
            "checks": checks,
        }
        return reply(200 if healthy else 503, body)

    async def _check_database(self) -> str:
        try:
            self._require_database()
            await self._store.ping()
        except (psycopg.Error, psycopg_pool.PoolTimeout, OSError):
            return "unhealthy"
        return "healthy"

    async def _check_redis(self) -> str:
        if self._redis is None:
            return "not_configured"
        try:
            self._require_queue()
            await self._redis.ping()
        except (RedisError, OSError):
            return "unhealthy"
        return "healthy"

    async def _home(self, _: Message) -> Message:
        page = f"<!doctype html><title>ShadowTwin</title><h1>ShadowTwin</h1><p>{self._settings.version}</p>"
        return reply(200, page)

    async def _login(self, request: Message) -> Message:
        given = request.json()
        email, password = (given.get("email"), given.get("password")) if isinstance(given, dict) else (None, None)
        if not isinstance(email, str) or not isinstance(password, str):
            raise BadMessage("email and password are needed")
        if email.lower() == self._settings.admin_email.lower() and email:
            if not await _matches(password, self._settings.admin_password_hash):
                return reply(401, {"error": "invalid_credentials"})
            return reply(200, {"token": self._admin_token(), "user": {"email": email, "role": "admin"}})
        if await self._in_maintenance():
            return _maintenance()
        if self._faults.now.broken_flow == "login":
            return reply(500, {"error": "internal", "message": "injected failure"})
        self._require_database()
        user = await self._store.find_user(email)
        if user is None or not await _matches(password, user.password_hash):
            return reply(401, {"error": "invalid_credentials"})
        token = await self._store.open_session(user.id)
        return reply(200, {"token": token, "user": {"id": user.id, "email": user.email, "name": user.name}})

    # What a user may ask

    async def _list_twins(self, _: Message, user: str) -> Message:
        self._require_database()
        twins = await self._store.twins_of(user)
        if self._faults.now.broken_flow == "twins":
            twins = [{**twin, "id": f"{i}", "name": "somebody else's twin"} for i, twin in enumerate(twins)]
        return reply(200, {"twins": twins})

    async def _create_twin(self, request: Message, user: str) -> Message:
        given = request.json()
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= 120:
            raise BadMessage("name must be a text of 1 to 120 characters")
        self._require_database()
        return reply(201, await self._store.create_twin(user, name))

    async def _conversations(self, _: Message, user: str, twin: str) -> Message:
        self._require_database()
        conversations = await self._store.conversations_of(user, twin)
        if conversations is None:
            return reply(404, {"error": "not_found"})
        return reply(200, {"conversations": conversations})

    async def _request_report(self, request: Message, user: str) -> Message:
        given = request.json()
        twin = given.get("twin_id") if isinstance(given, dict) else None
        if twin is None:
            raise BadMessage("twin_id is needed")
        self._require_database()
        self._require_queue()
        if self._jobs is None:
            return reply(503, {"error": "queue", "message": "no queue is configured"})
        report = await self._store.create_report(user, str(twin))
        if report is None:
            return reply(404, {"error": "not_found"})
        await self._jobs.add("reports", "generate-report", {"reportId": report, "userId": user, "twinId": str(twin)})
        return reply(202, {"id": report, "status": "queued"})

    async def _report(self, _: Message, user: str, report: str) -> Message:
        self._require_database()
        found = await self._store.report(user, report)
        return reply(404, {"error": "not_found"}) if found is None else reply(200, found.public())

    async def _report_pdf(self, _: Message, user: str, report: str) -> Message:
        self._require_database()
        found = await self._store.report(user, report)
        if found is None or self._shelf is None or not found.file:
            return reply(404, {"error": "not_found"})
        content = await asyncio.to_thread(self._shelf.get, found.file)
        if content is None:
            return reply(404, {"error": "not_found", "message": "the file is not there"})
        return reply(200, content, kind="application/pdf")

    # What an administrator may ask

    async def _stats(self, _: Message) -> Message:
        self._require_database()
        return reply(200, await self._store.stats() | {"version": self._settings.version})

    async def _set_maintenance(self, request: Message) -> Message:
        given = request.json()
        enabled = given.get("enabled") if isinstance(given, dict) else None
        if not isinstance(enabled, bool):
            raise BadMessage("enabled must be true or false")
        self._require_queue()
        if self._redis is None:
            return reply(503, {"error": "redis", "message": "no Redis is configured"})
        before = bool(await self._redis.exists(MAINTENANCE_KEY))
        if enabled:
            await self._redis.set(MAINTENANCE_KEY, datetime.now(UTC).isoformat())
        else:
            await self._redis.delete(MAINTENANCE_KEY)
        self._maintenance, self._maintenance_read = enabled, time.monotonic()
        return reply(200, {"enabled": enabled, "before": before})

    # What the workers do

    async def _make_report(self, job: Any) -> dict[str, Any]:
        await self._until_flowing(lambda f: f.broken_flow == "reports")
        data = job.data if isinstance(job.data, dict) else {}
        report = str(data.get("reportId") or data.get("report_id") or "")
        lines = [f"Report {report}", f"Job {job.id}", f"Made by ShadowTwin {self._settings.version}"]
        name = f"reports/{report}.pdf" if report else f"reports/job-{job.id}.pdf"
        if self._shelf is None:
            raise RuntimeError("REPORTS is not configured")
        content = draw_pdf("ShadowTwin report", lines)
        await asyncio.to_thread(self._shelf.put, name, content)
        if report:
            await self._store.finish_report(report, name, content)
        return {"file": name, "bytes": len(content)}

    async def _send_email(self, job: Any) -> dict[str, Any]:
        await self._until_flowing(lambda _: False)
        return {"sent": False, "why": "the rehearsal sends no mail", "job": str(job.id)}

    async def _until_flowing(self, stuck: Callable[[Faults], bool]) -> None:
        while stuck(self._faults.now) or self._faults.now.lost_queue or self._faults.now.lost_database:
            await asyncio.sleep(GATE_POLL_S)

    # Who asks, and what is lost

    async def _user(self, request: Message) -> str | None:
        token = _bearer(request)
        if not token:
            return None
        self._require_database()
        return await self._store.session_user(token)

    def _admin_token(self) -> str:
        """Signed, not stored: an administrator must get in while the database refuses writes."""
        until = str(int(time.time()) + ADMIN_SESSION_S)
        return f"admin.{until}.{self._sign(until)}"

    def _is_admin(self, request: Message) -> bool:
        kind, _, rest = _bearer(request).partition(".")
        until, _, signature = rest.partition(".")
        if kind != "admin" or not until.isdigit() or int(until) < time.time():
            return False
        return hmac.compare_digest(signature, self._sign(until))

    def _sign(self, text: str) -> str:
        key = self._settings.admin_password_hash.encode()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    async def _in_maintenance(self) -> bool:
        if self._redis is None:
            return False
        if time.monotonic() - self._maintenance_read > MAINTENANCE_STALE_S and not self._faults.now.lost_queue:
            # Set first: a Redis that does not answer is asked by one request, not by all; what it last said holds.
            self._maintenance_read = time.monotonic()
            with contextlib.suppress(RedisError, OSError):
                self._maintenance = bool(await self._redis.exists(MAINTENANCE_KEY))
        return self._maintenance

    def _require_database(self) -> None:
        if self._faults.now.lost_database:
            raise psycopg.OperationalError("connection refused")

    def _require_queue(self) -> None:
        if self._faults.now.lost_queue:
            raise ConnectionRefusedError("connection refused")


def _bearer(request: Message) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _maintenance() -> Message:
    return reply(503, {"error": "maintenance"}, headers={"retry-after": "120"})


async def _matches(password: str, hashed: str) -> bool:
    """Whether a bcrypt hash is of this password; in a thread, a hash of the guide's cost 12 takes 0.2 s."""
    try:
        return await asyncio.to_thread(bcrypt.checkpw, password.encode()[:72], hashed.encode())
    except ValueError:
        return False
