"""The critical flows, walked for real; and each of them broken, to see that it is noticed."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standin import ADMIN_LOGIN, LOGIN, StandIn, closed_port, say, web_server

from cutover.app import check_critical_flows, run_critical_flows
from cutover.errors import UsageError
from cutover.finding import Severity, Status

IDS = ["FLOW-login", "FLOW-twins", "FLOW-report", "FLOW-admin"]


def statuses(findings: list[Any]) -> dict[str, str]:
    """Status by id."""
    return {f.id: str(f.status) for f in findings}


def test_all_flows_pass_on_a_sound_application(app: StandIn) -> None:
    """With how long each took; what was created can be told from users' own."""
    findings = check_critical_flows(app.base, LOGIN, admin_login=ADMIN_LOGIN)
    assert statuses(findings) == dict.fromkeys(IDS, "PASS")
    assert all(f.data["seconds"] > 0 for f in findings)
    assert [f.severity for f in findings] == [Severity.BLOCKER] * 3 + [Severity.HIGH]
    names = [t["name"] for t in app.call("GET", "/api/twins", app.sign_in()).json()["twins"]]
    assert names[0].startswith("cutover-check 2")


@pytest.mark.parametrize(
    ("fault", "broken", "unknown"),
    [
        ({"broken_flow": "login"}, ["FLOW-login"], ["FLOW-twins", "FLOW-report"]),
        ({"broken_flow": "twins"}, ["FLOW-twins"], ["FLOW-report"]),
        ({"broken_flow": "reports"}, ["FLOW-report"], []),
        ({"lost_queue": True}, ["FLOW-report"], []),
        ({"lost_database": True}, ["FLOW-login", "FLOW-admin"], ["FLOW-twins", "FLOW-report"]),
        ({"error_rate": 1.0}, ["FLOW-login", "FLOW-admin"], ["FLOW-twins", "FLOW-report"]),
        ({"hang": True}, ["FLOW-login", "FLOW-admin"], ["FLOW-twins", "FLOW-report"]),
    ],
    ids=str,
)
def test_a_broken_flow_fails_and_what_depends_on_it_is_unknown(
    app: StandIn, fault: dict[str, Any], broken: list[str], unknown: list[str]
) -> None:
    """Not walked is not failed."""
    with app.faults(**fault):
        findings = check_critical_flows(app.base, LOGIN, admin_login=ADMIN_LOGIN, timeout_s=1.5)
    expected = dict.fromkeys(IDS, "PASS") | dict.fromkeys(broken, "FAIL") | dict.fromkeys(unknown, "UNKNOWN")
    assert statuses(findings) == expected
    assert all(f.remedy and f.observed for f in findings if f.status is not Status.PASS)


def test_a_wrong_password_fails_the_sign_in_only(app: StandIn) -> None:
    """And says what the application answered."""
    results = run_critical_flows(app.base, "check@shadowtwin.example:wrong", admin_login=ADMIN_LOGIN)
    assert [r.ok for r in results] == [False, None, None, True]
    assert "HTTP 401" in results[0].problem
    assert results[0].step == "POST /api/auth/login"


def test_a_user_as_administrator_fails_the_admin_flow(app: StandIn) -> None:
    """Statistics are for administrators."""
    results = run_critical_flows(app.base, LOGIN, admin_login=LOGIN)
    assert [r.ok for r in results] == [True, True, True, False]


def test_without_an_administrators_login_that_flow_is_unknown(app: StandIn) -> None:
    """Nothing looked at is never a pass."""
    findings = check_critical_flows(app.base, LOGIN)
    assert findings[-1].id == "FLOW-admin"
    assert findings[-1].status is Status.UNKNOWN


def test_nobody_there_fails_and_no_such_name_is_unknown() -> None:
    """Refused is an answer; a name that cannot be resolved is none."""
    refused = run_critical_flows(f"http://127.0.0.1:{closed_port()}", LOGIN)
    nowhere = run_critical_flows("http://no-such-host.invalid", LOGIN)
    assert [r.ok for r in refused] == [False, None, None]
    assert [r.ok for r in nowhere] == [None, None, None]


def pretender(**lies: Any) -> Any:
    """An application that answers every step well, but for these lies by step."""
    twins: list[dict[str, str]] = []

    def answer(handler: BaseHTTPRequestHandler, raw: bytes) -> None:
        body = json.loads(raw or b"{}")
        step = f"{handler.command} {handler.path}"
        signed_in = handler.headers.get("Authorization") == "Bearer t"
        if step == "POST /api/twins":
            twins.append({"id": "7", "name": body["name"]})
        sound = {
            "POST /api/auth/login": (200, {"token": "t"}),
            "POST /api/twins": (201, {"id": "7"}),
            "GET /api/twins": (200, {"twins": twins}) if signed_in else (401, {}),
            "GET /api/twins/7/conversations": (200, {"conversations": []}),
            "POST /api/reports": (202, {"id": "r"}),
            "GET /api/reports/r": (200, {"status": "done"}),
            "GET /api/reports/r/pdf": (200, b"%PDF-1.4"),
        }
        status, told = lies.get(step, sound.get(step, (404, {})))
        say(handler, status, told if isinstance(told, bytes) else json.dumps(told).encode())

    return answer


@pytest.mark.parametrize(
    ("step", "lie", "broken"),
    [
        ("POST /api/auth/login", (200, {}), "login"),
        ("POST /api/auth/login", (200, b"<html>"), "login"),
        ("GET /api/twins", (200, {"twins": []}), "login twins"),
        ("GET /api/twins", (200, {"twins": [{"id": "7", "name": "another's"}]}), "login twins"),
        ("POST /api/twins", (200, {"id": "7"}), "twins"),
        ("POST /api/twins", (201, {}), "twins"),
        ("POST /api/twins", (201, {"id": "8"}), "twins"),
        ("GET /api/twins/7/conversations", (200, {}), "twins"),
        ("POST /api/reports", (202, {}), "report"),
        ("GET /api/reports/r", (200, {"status": "failed"}), "report"),
        ("GET /api/reports/r", (200, {"status": "running"}), "report"),
        ("GET /api/reports/r/pdf", (200, b"<html>sorry</html>"), "report"),
        ("GET /api/reports/r/pdf", (200, b""), "report"),
    ],
)
def test_each_step_is_really_looked_at(step: str, lie: Any, broken: str) -> None:
    """One wrong answer in one step is found; also a list that is shown to somebody without a session."""
    with web_server(pretender(**{step: lie})) as server:
        results = {r.name: r for r in run_critical_flows(f"http://{server}", LOGIN, timeout_s=0.6)}
    assert [name for name, r in results.items() if r.ok is False] == broken.split()
    assert all(r.problem for r in results.values() if not r.ok)


def test_the_pretender_without_a_lie_passes() -> None:
    """So that the lies above are what failed."""
    with web_server(pretender()) as server:
        assert all(r.ok for r in run_critical_flows(f"http://{server}", LOGIN))


@pytest.mark.parametrize("login", ["", "name", "name:password", "a@b.example", "a@b.example:"])
def test_a_login_of_another_form_is_a_usage_error(login: str) -> None:
    """And its text, which may hold a secret, is not repeated."""
    with pytest.raises(UsageError) as caught:
        run_critical_flows("http://127.0.0.1:1", login)
    assert not login or login not in str(caught.value).split("What to do")[0]
