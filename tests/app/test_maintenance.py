"""Maintenance mode: switched, proven from outside, and rolled back."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standin import ADMIN_LOGIN, LOGIN, StandIn, closed_port, say, web_server

from cutover.action import Action, Change
from cutover.app import MaintenanceMode, check_maintenance
from cutover.errors import CutoverError
from cutover.finding import Status

PATH = "/api/admin/maintenance"


def done(action: Any) -> Change:
    """Plan and apply."""
    plan = action.plan()
    return Change(plan, action.apply(plan), "2026-11-23T12:00:00Z", 0.1)


def test_it_is_switched_on_proven_and_switched_off(app: StandIn) -> None:
    """The whole life of the action; the second time changes nothing."""
    on = MaintenanceMode(app.base, PATH, ADMIN_LOGIN, True)
    assert isinstance(on, Action)
    assert not on.plan().empty
    change = done(on)
    try:
        assert [f.status for f in on.verify(change)] == [Status.PASS]
        assert on.plan().empty
        assert {f.id: str(f.status) for f in check_maintenance(app.base, LOGIN)} == {
            f"MNT-0{n}": "PASS" for n in (2, 3, 4, 5)
        }
        off = MaintenanceMode(app.base, PATH, ADMIN_LOGIN, False)
        assert off.plan().before == {"enabled": True}
    finally:
        on.undo(change)
    time.sleep(0.3)
    assert not off.plan().before["enabled"]
    assert app.call("GET", "/api/twins", app.sign_in()).status_code == 200


def test_what_was_on_before_stays_on_after_undo(app: StandIn) -> None:
    """Undo goes back to what was, not to off."""
    on = MaintenanceMode(app.base, PATH, ADMIN_LOGIN, True)
    first = done(on)
    try:
        second = done(on)
        on.undo(second)
        assert on.plan().before == {"enabled": True}
    finally:
        on.undo(first)


def test_the_plan_holds_no_password_and_keeps_its_hash(app: StandIn) -> None:
    """An approval is bound to the hash."""
    one, two = (MaintenanceMode(app.base, PATH, ADMIN_LOGIN, True).plan() for _ in range(2))
    assert one.hash == two.hash
    assert ADMIN_LOGIN.split(":")[1] not in json.dumps(one.to_dict())


def test_an_application_that_is_open_fails_every_refusal(app: StandIn) -> None:
    """Reads, writes and sign-in are each seen to be let through; health is sound."""
    findings = {f.id: f for f in check_maintenance(app.base, LOGIN)}
    assert {i: str(f.status) for i, f in findings.items()} == {
        "MNT-02": "FAIL",
        "MNT-03": "FAIL",
        "MNT-04": "FAIL",
        "MNT-05": "PASS",
    }
    assert "HTTP 200" in findings["MNT-04"].observed


@pytest.mark.parametrize(
    ("status", "body", "retry", "told"),
    [
        (503, {"error": "database"}, True, "not by maintenance mode"),
        (503, {"error": "maintenance"}, False, "no Retry-After"),
        (500, {"error": "maintenance"}, True, "instead of HTTP 503"),
        (503, "<html>", True, "not by maintenance mode"),
    ],
)
def test_another_refusal_is_not_maintenance(status: int, body: Any, retry: bool, told: str) -> None:
    """A broken application refuses as well, and comes back when it likes."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        data = json.dumps(body).encode()
        handler.send_response(status)
        if retry:
            handler.send_header("Retry-After", "120")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    with web_server(answer) as server:
        findings = check_maintenance(f"http://{server}", LOGIN)
    assert [f.status for f in findings] == [Status.FAIL] * 4
    assert told in findings[0].observed


def test_nobody_there_proves_nothing() -> None:
    """A dead application takes no writes, but that is not maintenance mode; a plan is refused."""
    base = f"http://127.0.0.1:{closed_port()}"
    assert [f.status for f in check_maintenance(base, LOGIN)] == [Status.UNKNOWN] * 3 + [Status.FAIL]
    with pytest.raises(CutoverError, match="cannot be looked at"):
        MaintenanceMode(base, PATH, ADMIN_LOGIN, True).plan()


@pytest.mark.parametrize(("path", "login"), [("/api/nowhere", ADMIN_LOGIN), (PATH, LOGIN), (PATH, LOGIN + "x")])
def test_a_switch_that_is_not_accepted_is_an_error(app: StandIn, path: str, login: str) -> None:
    """A wrong path, no administrator, a wrong password."""
    action = MaintenanceMode(app.base, path, login, True)
    plan = action.plan()
    with pytest.raises(CutoverError) as caught:
        action.apply(plan)
    assert caught.value.todo


def test_a_switch_that_lies_is_found_by_verify() -> None:
    """The switch says yes; visitors are still let in."""

    def answer(handler: BaseHTTPRequestHandler, raw: bytes) -> None:
        told = json.loads(raw or b"{}")
        say(handler, 200, json.dumps({"token": "t", "enabled": told.get("enabled")}).encode())

    with web_server(answer) as server:
        action = MaintenanceMode(f"http://{server}", PATH, ADMIN_LOGIN, True)
        (finding,) = action.verify(done(action))
    assert (finding.id, finding.status) == ("MNT-01", Status.FAIL)
