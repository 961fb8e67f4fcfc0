"""The health contract, probed in depth: what a shallow 200, a slow answer and a silent server are called."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standin import StandIn, closed_port, say, web_server

from cutover.app import Unreachable, check_health, fetch, probe_health
from cutover.errors import UsageError
from cutover.finding import Severity, Status


def good(**changes: Any) -> dict[str, Any]:
    """A body that keeps the contract, but for these changes (None takes a key away)."""
    body: dict[str, Any] = {
        "status": "healthy",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "version": "1.2.3",
        "checks": {"database": "healthy", "redis": "healthy", "memory": "healthy"},
    }
    return {k: v for k, v in (body | changes).items() if v is not None}


def checks(**changes: str | None) -> dict[str, Any]:
    """The same, with changed checks."""
    return good(checks={k: v for k, v in (good()["checks"] | changes).items() if v is not None})


def answering(body: Any, status: int = 200) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    """A server that always gives this answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler, _: say(handler, status, data, "application/json")


def test_a_healthy_application_passes(app: StandIn) -> None:
    """Both findings, with what was seen."""
    contract, release = check_health(app.base, expected_version="1.2.3")
    assert (contract.id, contract.status, contract.severity) == ("APP-01", Status.PASS, Severity.BLOCKER)
    assert (release.id, release.status) == ("APP-06", Status.PASS)
    assert contract.data["checks"] == {"database": "healthy", "redis": "healthy", "memory": "healthy"}
    assert not contract.remedy


@pytest.mark.parametrize(
    ("fault", "told"),
    [({"lost_database": True}, "database is unhealthy"), ({"lost_queue": True}, "redis is unhealthy")],
)
def test_a_degraded_application_fails_with_the_check_that_is_wrong(
    app: StandIn, fault: dict[str, bool], told: str
) -> None:
    """The real application, without its database or its queue."""
    with app.faults(**fault):
        (finding,) = check_health(app.base)
    assert finding.status is Status.FAIL
    assert told in finding.observed
    assert finding.remedy


def test_an_application_that_hangs_fails_within_the_time(app: StandIn) -> None:
    """Not unknown: it was asked, and it did not answer."""
    with app.faults(hang=True):
        began = time.monotonic()
        (finding,) = check_health(app.base, timeout_s=1)
        took = time.monotonic() - began
    assert finding.status is Status.FAIL
    assert "did not answer within 1 s" in finding.observed
    assert took < 3


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"OK", "not the JSON object"),
        (b"[]", "not the JSON object"),
        ({}, "names no checks"),
        ({"status": "ok"}, "status is 'ok'"),
        (good(status="degraded"), "status is 'degraded'"),
        (good(checks=None), "names no checks"),
        (good(checks="healthy"), "names no checks"),
        (checks(database="unhealthy"), "database is unhealthy"),
        (checks(database="unknown"), "database is unknown"),
        (checks(redis="unhealthy"), "redis is unhealthy"),
        (checks(redis="not_configured"), "redis is not configured"),
        (checks(redis=None), "check of redis is missing"),
        (checks(memory="unknown"), "memory is unknown"),
        (good(version="unknown"), "APP_VERSION"),
        (good(version=None), "APP_VERSION"),
        (good(timestamp=None), "no ISO 8601 time"),
        (good(timestamp="2026-11-23T12:00:00"), "no time zone"),
        (good(timestamp=(datetime.now(UTC) - timedelta(hours=1)).isoformat()), "a cached answer"),
    ],
)
def test_a_shallow_or_broken_200_is_a_fail(body: Any, told: str) -> None:
    """Each part of the contract, broken alone."""
    with web_server(answering(body)) as server:
        (finding,) = check_health(f"http://{server}")
    assert finding.status is Status.FAIL
    assert told in finding.observed


def test_a_memory_warning_is_no_failure() -> None:
    """The guide's own code keeps 200 and healthy with it."""
    with web_server(answering(checks(memory="warning"))) as server:
        (finding,) = check_health(f"http://{server}/")
    assert finding.status is Status.PASS


@pytest.mark.parametrize("status", [201, 204, 404, 500, 503])
def test_any_status_but_200_is_a_fail(status: int) -> None:
    """Even with a healthy body."""
    with web_server(answering(good(), status)) as server:
        health = probe_health(f"http://{server}")
    assert not health.ok
    assert health.http_status == status


def test_a_redirect_is_named_with_its_goal() -> None:
    """It is not followed: the load balancer would not follow it either."""

    def redirect(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(301)
        handler.send_header("Location", "https://elsewhere.example/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with web_server(redirect) as server:
        (finding,) = check_health(f"http://{server}")
    assert finding.status is Status.FAIL
    assert "redirect to https://elsewhere.example/" in finding.observed


def test_a_refused_connection_is_a_fail() -> None:
    """Somebody said no."""
    contract, release = check_health(f"http://127.0.0.1:{closed_port()}", expected_version="1.2.3")
    assert contract.status is Status.FAIL
    assert "refuses connections" in contract.observed
    assert release.status is Status.UNKNOWN


def test_a_name_that_does_not_exist_is_unknown() -> None:
    """Nothing was looked at."""
    (finding,) = check_health("http://no-such-host.invalid")
    assert finding.status is Status.UNKNOWN
    assert "cannot be resolved" in finding.observed


def test_another_version_is_a_fail(app: StandIn) -> None:
    """An old task answers just as readily."""
    contract, release = check_health(app.base, expected_version="1.2.4")
    assert (contract.status, release.status) == (Status.PASS, Status.FAIL)
    assert (release.expected, release.observed) == ("1.2.4", "1.2.3")


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends a byte of its head every 0.2 s, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 1000:
                    if done.wait(0.2):
                        return
                    try:
                        connection.send(bytes([byte]))
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        thread.join(5)


def test_a_server_that_drips_is_cut_off_at_the_deadline(dripping: str) -> None:
    """A timeout for each read would never end."""
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 1 s") as caught:
        fetch("GET", dripping, timeout_s=1)
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < 3


def test_a_connection_that_breaks_is_told_apart() -> None:
    """No answer came, though somebody was there."""

    def hang_up(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    with web_server(hang_up) as server, pytest.raises(Unreachable) as caught:
        fetch("GET", f"http://{server}")
    assert caught.value.kind == "broken"


def test_tls_against_a_plain_server_is_named() -> None:
    """https:// to a port that speaks http."""
    with web_server(answering(good())) as server, pytest.raises(Unreachable) as caught:
        fetch("GET", f"https://{server}")
    assert caught.value.kind == "tls"


@pytest.mark.parametrize("url", ["", "app.example.com", "ftp://app.example.com", "http://"])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    """Said at once, with what to write."""
    with pytest.raises(UsageError, match="no http"):
        check_health(url)


def test_the_host_header_can_name_another_site() -> None:
    """To ask a load balancer before DNS leads to it."""
    seen: list[str | None] = []

    def note(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        seen.append(handler.headers["Host"])
        say(handler, 200, json.dumps(good()).encode())

    with web_server(note) as server:
        assert probe_health(f"http://{server}", host="app.example.com").ok
    assert seen == ["app.example.com"]
