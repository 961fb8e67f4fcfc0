"""Maintenance mode: switching the application's own switch, and proving that it keeps visitors out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cutover.action import Change, Plan
from cutover.app.exchange import Reply, Unreachable, fetch
from cutover.app.flows import NAME, sign_in
from cutover.app.health import probe_health
from cutover.errors import ActionRefused
from cutover.finding import Finding, Severity, Status

GUIDE_LINE = 912


class MaintenanceMode:
    """Switches maintenance mode on or off, as an administrator: PUT `{"enabled": …}` (guide line 912).

    Args:
        base_url: the application's address.
        path: the switch, `/api/admin/maintenance`.
        admin_login: `email:password` of an administrator.
        enabled: what is wanted.
        timeout_s: seconds for each request.
    """

    def __init__(self, base_url: str, path: str, admin_login: str, enabled: bool, *, timeout_s: float = 10.0) -> None:
        self.name = f"maintenance-{'on' if enabled else 'off'}"
        self._base_url, self._path, self._login = base_url.rstrip("/"), "/" + path.lstrip("/"), admin_login
        self._enabled, self._timeout_s = enabled, timeout_s

    def plan(self) -> Plan:
        """Look whether visitors are kept out now, and say what would be sent.

        Raises:
            ActionRefused: the application does not answer, so its state is not known.
        """
        now = self._state()
        word = "on" if self._enabled else "off"
        return Plan(
            action=self.name,
            subject=f"{self._base_url}{self._path}",
            summary=f"maintenance mode is {word} already"
            if now == self._enabled
            else f"switch maintenance mode {word}: visitors "
            + ("get 503 with Retry-After until it is switched off" if self._enabled else "are let in again"),
            requests=({"call": f"PUT {self._path}", "arguments": {"enabled": self._enabled}},),
            before={"enabled": now},
            after={"enabled": self._enabled},
            undo=f"PUT {self._path} with enabled={str(now).lower()}",
            empty=now == self._enabled,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Switch; switching twice changes nothing the second time.

        Raises:
            ActionRefused: the application refuses or does not answer.
        """
        return self._switch(bool(plan.after["enabled"]))

    def verify(self, change: Change) -> list[Finding]:
        """Finding MNT-01: visitors are kept out (or let in), seen from outside, not from the switch's own answer."""
        wanted = bool(change.plan.after["enabled"])
        try:
            reply = fetch("GET", f"{self._base_url}/api/twins", timeout_s=self._timeout_s)
        except Unreachable as error:
            status, observed = Status.UNKNOWN, str(error)
        else:
            status = Status.PASS if _is_maintenance(reply) == wanted else Status.FAIL
            observed = reply.words
        return [
            Finding.check(
                "MNT-01",
                f"Maintenance mode is {'on' if wanted else 'off'}",
                status,
                severity=Severity.BLOCKER,
                subject=f"{self._base_url}/api/twins",
                expected="HTTP 503, Retry-After and the maintenance body"
                if wanted
                else "any answer but the maintenance body",
                observed=observed,
                note="what users write during the transfer is lost" if wanted else "users are still locked out",
                remedy=f"curl -sv {self._base_url}/api/twins; is another instance behind the same address on another "
                "Redis?",
                guide=GUIDE_LINE,
            )
        ]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Back to what it was before.

        Raises:
            ActionRefused: the application refuses or does not answer.
        """
        return self._switch(bool(change.plan.before["enabled"]))

    def _state(self) -> bool:
        try:
            return _is_maintenance(fetch("GET", f"{self._base_url}/api/twins", timeout_s=self._timeout_s))
        except Unreachable as error:
            raise ActionRefused(
                f"Maintenance mode of {self._base_url} cannot be looked at: it {error}.",
                why="a change whose state before is unknown cannot be undone.",
                todo=f"curl -sv {self._base_url}/api/health",
            ) from error

    def _switch(self, enabled: bool) -> dict[str, Any]:
        try:
            token = sign_in(self._base_url, self._login, timeout_s=self._timeout_s)
            url = self._base_url + self._path
            reply = fetch("PUT", url, body={"enabled": enabled}, token=token, timeout_s=self._timeout_s)
        except Unreachable as error:
            raise ActionRefused(
                f"Maintenance mode could not be switched at {self._base_url}: {error}.",
                why="whether visitors can write is not known.",
                todo=f"look at {self._base_url}/api/health, then run this step again",
            ) from error
        raw = reply.json()
        if reply.status != 200 or not isinstance(raw, dict) or raw.get("enabled") is not enabled:
            raise ActionRefused(
                f"PUT {self._path} was not accepted: {reply.words}.",
                todo="check the path (source.maintenance in the parameters) and that the login is an administrator's",
            )
        return {"enabled": enabled, "http_status": reply.status}


@dataclass(frozen=True, slots=True)
class _Probe:
    """One thing that a visitor tries."""

    id: str
    title: str
    method: str
    path: str
    body: Any = None


def check_maintenance(base_url: str, login: str, *, timeout_s: float = 5.0) -> list[Finding]:
    """Findings MNT-02 to MNT-05: visitors' reads, writes and sign-in are refused, and health still answers.

    Args:
        base_url: the application's address.
        login: `email:password` of the test user, who is a visitor here.
        timeout_s: seconds for each request.
    """
    email, _, password = login.partition(":")
    name = f"{NAME} must not be written {secrets.token_hex(3)}"
    probes = [
        _Probe("MNT-02", "Visitors' reads are refused", "GET", "/api/twins"),
        _Probe("MNT-03", "Visitors' writes are refused", "POST", "/api/twins", {"name": name}),
        _Probe("MNT-04", "Visitors cannot sign in", "POST", "/api/auth/login", {"email": email, "password": password}),
    ]
    return [*(_refusal(probe, base_url, timeout_s) for probe in probes), _health(base_url, timeout_s)]


def _refusal(probe: _Probe, base_url: str, timeout_s: float) -> Finding:
    try:
        reply = fetch(probe.method, base_url.rstrip("/") + probe.path, body=probe.body, timeout_s=timeout_s)
    except Unreachable as error:
        # A dead application also takes no writes, but that is not what maintenance mode was to prove.
        status, observed = Status.UNKNOWN, str(error)
    else:
        problems = _problems(reply)
        status = Status.FAIL if problems else Status.PASS
        observed = "; ".join(problems) or f"HTTP 503, Retry-After {reply.headers['retry-after']}"
    return Finding.check(
        probe.id,
        probe.title,
        status,
        severity=Severity.BLOCKER,
        subject=f"{probe.method} {base_url.rstrip('/')}{probe.path}",
        expected='HTTP 503, a Retry-After header and {"error": "maintenance"}',
        observed=observed,
        note="a write that is accepted after the export began is in the old database only, and lost"
        if status is not Status.UNKNOWN
        else "no answer came, so nothing is proven",
        remedy="switch maintenance mode on, and look for instances or paths that do not know the switch",
        guide=GUIDE_LINE,
    )


def _health(base_url: str, timeout_s: float) -> Finding:
    health = probe_health(base_url, timeout_s=timeout_s)
    status = Status.UNKNOWN if health.unknown else Status.PASS if health.ok else Status.FAIL
    return Finding.check(
        "MNT-05",
        "The health check answers during maintenance",
        status,
        severity=Severity.HIGH,
        subject=f"{base_url.rstrip('/')}/api/health",
        expected="HTTP 200, healthy",
        observed="; ".join(health.problems) or f"HTTP 200 in {health.seconds:.2f} s",
        note="a health check that fails during maintenance makes the platform restart the application",
        remedy="exempt /api/health from maintenance mode",
        guide=GUIDE_LINE,
    )


def _is_maintenance(reply: Reply) -> bool:
    raw = reply.json()
    return reply.status == 503 and isinstance(raw, dict) and raw.get("error") == "maintenance"


def _problems(reply: Reply) -> list[str]:
    problems = []
    if reply.status != 503:
        problems.append(f"{reply.words}, instead of HTTP 503")
    elif not _is_maintenance(reply):
        problems.append(f"{reply.words}: refused, but not by maintenance mode")
    if reply.status == 503 and not reply.headers.get("retry-after"):
        problems.append("no Retry-After header")
    return problems
