"""The critical user flows, walked as a user walks them: sign in, create and read a twin, get a PDF; and the admin's."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cutover.app.exchange import Reply, Unreachable, fetch
from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status

GUIDE_LINE = 938
POLL_S = 0.2
NAME = "cutover-check"
"""Twins that the flows create are named `cutover-check <time> <token>`, so that they can be told from users' own."""
_TITLES = {
    "login": "A user can sign in",
    "twins": "A user can create a twin and read it back",
    "report": "A user gets a PDF report through the queue",
    "admin": "An administrator can see the statistics",
}
_HINTS = {
    "login": "is the test user in this database, with that password? Are sessions written (database not read-only)?",
    "twins": "look for errors of /api/twins in the application's log; compare the database with the source",
    "report": "are workers running, the queue `reports` not paused (redis-cli LLEN bull:reports:wait), and may the "
    "application write and read its report store?",
    "admin": "check ADMIN_EMAIL and ADMIN_PASSWORD_HASH of the running task (a hash pasted in double quotes loses "
    "its $2b$)",
}


@dataclass(frozen=True, slots=True)
class FlowResult:
    """How one flow went.

    Attributes:
        name: `login`, `twins`, `report` or `admin`.
        ok: True, False, or None when it could not be walked at all.
        seconds: how long it took.
        step: the step that failed, such as `POST /api/twins`; empty when all went well.
        problem: what was seen there; empty when all went well.
        at: when it began, ISO 8601 UTC.
    """

    name: str
    ok: bool | None
    seconds: float
    step: str = ""
    problem: str = ""
    at: str = ""


class _FlowError(Exception):
    def __init__(self, step: str, problem: str, *, unknown: bool = False) -> None:
        super().__init__(problem)
        self.step, self.problem, self.unknown = step, problem, unknown


@dataclass(slots=True)
class _Walk:
    """One walk through the flows: what later ones need from earlier ones."""

    base_url: str
    timeout_s: float
    host: str | None
    token: str | None = None
    twin: str | None = None

    def call(self, method: str, path: str, expect: int, *, body: Any = None, token: str | None = None) -> Reply:
        step = f"{method} {path}"
        url = self.base_url.rstrip("/") + path
        try:
            reply = fetch(method, url, body=body, token=token, timeout_s=self.timeout_s, host=self.host)
        except Unreachable as error:
            raise _FlowError(step, str(error), unknown=error.kind == "name") from error
        if reply.status != expect:
            raise _FlowError(step, f"{reply.words}, instead of HTTP {expect}")
        return reply

    def object(self, reply: Reply, step: str, *keys: str) -> dict[str, Any]:
        raw = reply.json()
        if not isinstance(raw, dict) or any(raw.get(key) in (None, "") for key in keys):
            raise _FlowError(step, f"{reply.words}: not JSON with {', '.join(keys)}")
        return raw


def run_critical_flows(
    base_url: str,
    login: str,
    *,
    admin_login: str | None = None,
    timeout_s: float = 10.0,
    host: str | None = None,
) -> list[FlowResult]:
    """Walk every flow once, bounded in time; a flow whose precondition failed is None, not False.

    Args:
        base_url: the application's address.
        login: `email:password` of the test user.
        admin_login: `email:password` of an administrator; without one the admin flow is not walked.
        timeout_s: seconds for each request, and for the report from its order to its PDF.
        host: the Host header when it is not the URL's.

    Raises:
        UsageError: a login is not `email:password`.
    """
    email, password = _split(login)
    walk = _Walk(base_url, timeout_s, host)
    results = [
        _timed("login", lambda: _sign_in(walk, email, password)),
        _timed("twins", lambda: _twins(walk)),
        _timed("report", lambda: _report(walk)),
    ]
    if admin_login is not None:
        admin_email, admin_password = _split(admin_login)
        results.append(_timed("admin", lambda: _admin(walk, admin_email, admin_password)))
    return results


def check_critical_flows(
    base_url: str,
    login: str,
    *,
    admin_login: str | None = None,
    timeout_s: float = 10.0,
    host: str | None = None,
) -> list[Finding]:
    """Findings FLOW-login, FLOW-twins, FLOW-report and FLOW-admin; arguments as for `run_critical_flows`."""
    results = run_critical_flows(base_url, login, admin_login=admin_login, timeout_s=timeout_s, host=host)
    findings = [_finding(base_url, result) for result in results]
    if admin_login is None:
        without = FlowResult("admin", None, 0.0, problem="no administrator's login was given (admin_user)")
        findings.append(_finding(base_url, without))
    return findings


def sign_in(base_url: str, login: str, *, timeout_s: float = 10.0, host: str | None = None) -> str:
    """Sign in and return the bearer token.

    Raises:
        UsageError: `login` is not `email:password`, or the application does not accept it.
        Unreachable: no answer came.
    """
    email, password = _split(login)
    url = base_url.rstrip("/") + "/api/auth/login"
    body = {"email": email, "password": password}
    reply = fetch("POST", url, body=body, timeout_s=timeout_s, host=host)
    raw = reply.json()
    token = raw.get("token") if isinstance(raw, dict) else None
    if reply.status != 200 or not isinstance(token, str):
        raise UsageError(
            f"{url} does not let {email} in: HTTP {reply.status}.",
            todo="check the login in the parameter file's reference, and whether the application is in maintenance",
        )
    return token


def _sign_in(walk: _Walk, email: str, password: str) -> None:
    reply = walk.call("POST", "/api/auth/login", 200, body={"email": email, "password": password})
    raw = reply.json()
    if not isinstance(raw, dict) or not isinstance(raw.get("token"), str):
        raise _FlowError("POST /api/auth/login", "HTTP 200 without a token")
    walk.token = raw["token"]
    walk.call("GET", "/api/twins", 200, token=walk.token)
    refused = "GET /api/twins with a wrong token"
    try:
        walk.call("GET", "/api/twins", 401, token="cutover-no-such-session")  # noqa: S106 - it must not work
    except _FlowError as error:
        raise _FlowError(refused, error.problem, unknown=error.unknown) from error


def _twins(walk: _Walk) -> None:
    token = _needs(walk.token, "signing in failed")
    name = f"{NAME} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {secrets.token_hex(3)}"
    step = "POST /api/twins"
    created = walk.object(walk.call("POST", "/api/twins", 201, body={"name": name}, token=token), step, "id")
    twin = str(created["id"])
    listed = walk.call("GET", "/api/twins", 200, token=token).json()
    twins = listed.get("twins") if isinstance(listed, dict) else None
    own = [t for t in twins if isinstance(t, dict) and str(t.get("id")) == twin] if isinstance(twins, list) else []
    if not own:
        raise _FlowError("GET /api/twins", f"the twin {twin} that was just created is not in the list")
    if own[0].get("name") != name:
        raise _FlowError("GET /api/twins", f"the twin {twin} came back as {own[0].get('name')!r}, not {name!r}")
    path = f"/api/twins/{twin}/conversations"
    talks = walk.call("GET", path, 200, token=token).json()
    if not isinstance(talks, dict) or not isinstance(talks.get("conversations"), list):
        raise _FlowError(f"GET {path}", "no list of conversations")
    walk.twin = twin


def _report(walk: _Walk) -> None:
    token = _needs(walk.token, "signing in failed")
    twin = _needs(walk.twin, "no twin could be created")
    deadline = time.monotonic() + walk.timeout_s
    ordered = walk.call("POST", "/api/reports", 202, body={"twin_id": twin}, token=token)
    report = str(walk.object(ordered, "POST /api/reports", "id")["id"])
    path, word = f"/api/reports/{report}", None
    while word != "done":
        raw = walk.object(walk.call("GET", path, 200, token=token), f"GET {path}", "status")
        word = str(raw["status"])
        if word == "failed":
            raise _FlowError(f"GET {path}", "the report's job failed")
        if word != "done":
            if time.monotonic() >= deadline:
                raise _FlowError(f"GET {path}", f"still {word!r} after {walk.timeout_s:g} s: no worker finished it")
            time.sleep(POLL_S)
    pdf = walk.call("GET", f"{path}/pdf", 200, token=token)
    if not pdf.body.startswith(b"%PDF"):
        raise _FlowError(f"GET {path}/pdf", f"{pdf.words}: this is no PDF")


def _admin(walk: _Walk, email: str, password: str) -> None:
    step = "POST /api/auth/login"
    reply = walk.call("POST", "/api/auth/login", 200, body={"email": email, "password": password})
    token = str(walk.object(reply, step, "token")["token"])
    stats = walk.call("GET", "/api/admin/stats", 200, token=token).json()
    if not isinstance(stats, dict) or not any(isinstance(v, int | float) for v in stats.values()):
        raise _FlowError("GET /api/admin/stats", "no statistics in the answer")
    if walk.token is not None:
        try:
            walk.call("GET", "/api/admin/stats", 403, token=walk.token)
        except _FlowError as error:
            step = "GET /api/admin/stats as an ordinary user"
            raise _FlowError(step, error.problem, unknown=error.unknown) from error


def _needs(value: str | None, missing: str) -> str:
    if value is None:
        raise _FlowError("", f"not walked: {missing}", unknown=True)
    return value


def _timed(name: str, walk: Callable[[], None]) -> FlowResult:
    at, started = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
    try:
        walk()
    except _FlowError as error:
        seconds = time.monotonic() - started
        return FlowResult(name, None if error.unknown else False, seconds, error.step, error.problem, at)
    return FlowResult(name, True, time.monotonic() - started, at=at)


def _finding(base_url: str, result: FlowResult) -> Finding:
    status = {True: Status.PASS, False: Status.FAIL, None: Status.UNKNOWN}[result.ok]
    observed = f"done in {result.seconds:.2f} s" if result.ok else f"{result.step}: {result.problem}".lstrip(": ")
    return Finding.check(
        f"FLOW-{result.name}",
        _TITLES[result.name],
        status,
        severity=Severity.HIGH if result.name == "admin" else Severity.BLOCKER,
        subject=base_url,
        expected="every step answers as a user needs it",
        observed=observed,
        note="broken critical functionality is a reason to roll back" if result.ok is not None else result.problem,
        remedy=_HINTS[result.name],
        guide=GUIDE_LINE,
        data={"seconds": round(result.seconds, 3), "step": result.step},
    )


def _split(login: str) -> tuple[str, str]:
    email, colon, password = login.partition(":")
    if not colon or "@" not in email or not password:
        raise UsageError(
            "A login is not of the form email:password.",
            todo="set the variable or secret behind test_user (admin_user) to, for example, check@example.com:…",
        )
    return email, password
