"""The balancer: who gets which request, what clients are told when nobody can answer, and what CloudWatch learns."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from standin import client, closed_port, emulator, listening, say, until, web_server

from cutover.rehearsal import processes
from cutover.rehearsal.balancer import Target, Turns, read_targets

DIMENSION = "app/shadowtwin-alb/50dc6c495c0c9188"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The emulator."""
    with emulator() as address:
        yield address


@contextlib.contextmanager
def balancer(folder: Path, endpoint: str, targets: list[Any] | None, **more: str) -> Iterator[str]:
    """The address of a running balancer."""
    if targets is not None:
        tell(folder, targets)
    argv = [sys.executable, "-m", "cutover.rehearsal.balancer", "--targets", folder / "targets.json"]
    argv += ["--aws-endpoint", endpoint, "--load-balancer", more.pop("dimension", DIMENSION), "--interval", "0.2"]
    for name, value in more.items():
        argv += [f"--{name.replace('_', '-')}", value]
    with processes.spawn(argv, name="balancer", log=folder / "balancer.log") as process:
        yield listening(process)


def tell(folder: Path, targets: list[Any]) -> None:
    """Write the targets file, whole."""
    half = folder / "half"
    half.write_text(json.dumps(targets))
    half.replace(folder / "targets.json")


def at(address: str, **more: Any) -> dict[str, Any]:
    """An entry of the targets file."""
    host, _, port = address.rpartition(":")
    return {"host": host, "port": int(port)} | more


@contextlib.contextmanager
def named_servers(*names: str) -> Iterator[list[str]]:
    """Servers that answer with their names."""

    def answering(name: str) -> Any:
        return lambda handler, _: say(handler, 200, name.encode())

    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(web_server(answering(name))) for name in names]


def test_requests_on_one_connection_are_spread_evenly(tmp_path: Path, endpoint: str) -> None:
    """Per request, not per connection: keep-alive does not pin a client to one target."""
    with (
        named_servers("a", "b") as servers,
        balancer(tmp_path, endpoint, [at(s) for s in servers]) as url,
        requests.Session() as session,
    ):
        names = Counter(session.get(url, timeout=5).text for _ in range(40))
    assert names == {"a": 20, "b": 20}


def test_groups_share_by_weight(tmp_path: Path, endpoint: str) -> None:
    """As a weighted forward: 3 to 1, and a group of weight 0 gets nothing."""
    with named_servers("blue", "green", "grey") as (blue, green, grey):
        targets = [
            at(blue, target_group="blue", weight=3),
            at(green, target_group="green", weight=1),
            at(grey, target_group="grey", weight=0),
        ]
        with balancer(tmp_path, endpoint, targets) as url:
            names = Counter(requests.get(url, timeout=5).text for _ in range(40))
    assert names == {"blue": 30, "green": 10}


def test_a_change_of_the_targets_is_followed_at_once(tmp_path: Path, endpoint: str) -> None:
    """The next request goes to the new target; none is lost."""
    with named_servers("old", "new") as (old, new), balancer(tmp_path, endpoint, [at(old)]) as url:
        assert requests.get(url, timeout=5).text == "old"
        tell(tmp_path, [at(new)])
        assert requests.get(url, timeout=5).text == "new"
        (tmp_path / "targets.json").write_text("[{")
        assert requests.get(url, timeout=5).text == "new"


@pytest.mark.parametrize("targets", [None, [], "unhealthy"], ids=["no file", "no target", "unhealthy"])
def test_no_healthy_target_is_a_503(tmp_path: Path, endpoint: str, targets: Any) -> None:
    """As an ALB answers it."""
    with named_servers("sick") as (sick,):
        listed = [at(sick, healthy=False)] if targets == "unhealthy" else targets
        with balancer(tmp_path, endpoint, listed) as url:
            assert requests.get(url, timeout=5).status_code == 503


def test_a_target_that_refuses_is_skipped_when_another_answers(tmp_path: Path, endpoint: str) -> None:
    """Nothing was sent, so even a POST may go elsewhere; when all refuse it is a 502."""
    dead = at(f"127.0.0.1:{closed_port()}")
    with named_servers("alive") as (alive,), balancer(tmp_path, endpoint, [dead, at(alive)]) as url:
        assert {requests.post(url, data=b"x", timeout=5).text for _ in range(4)} == {"alive"}
        tell(tmp_path, [dead])
        assert requests.get(url, timeout=5).status_code == 502


def test_a_target_that_breaks_off_is_a_502_and_one_that_is_silent_a_504(tmp_path: Path, endpoint: str) -> None:
    """Neither is tried again: the request may have been done."""
    seen: Counter[str] = Counter()

    def break_or_wait(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        seen[handler.path] += 1
        if handler.path == "/silent":
            time.sleep(3)
        handler.connection.shutdown(socket.SHUT_RDWR)

    with web_server(break_or_wait) as server, balancer(tmp_path, endpoint, [at(server)], idle_timeout="1") as url:
        assert requests.post(f"{url}/broken", timeout=5).status_code == 502
        assert requests.get(f"{url}/silent", timeout=5).status_code == 504
    assert seen == {"/broken": 1, "/silent": 1}


def test_what_is_asked_and_answered_passes_through_unchanged(tmp_path: Path, endpoint: str) -> None:
    """Method, path, query, headers, bodies (chunked ones too), HEAD and statuses."""

    def echo(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.path == "/chunks":
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")
        else:
            told = [handler.command, handler.path, handler.headers["X-Own"], handler.headers["Host"], body.decode()]
            say(handler, 418, json.dumps(told).encode())

    with web_server(echo) as server, balancer(tmp_path, endpoint, [at(server)]) as url:
        headers = {"X-Own": "kept", "Host": "app.shadowtwin.example"}
        answer = requests.put(f"{url}/p?q=1", data="ünï".encode(), headers=headers, timeout=5)
        assert answer.status_code == 418
        assert answer.json() == ["PUT", "/p?q=1", "kept", "app.shadowtwin.example", "ünï"]
        assert requests.get(f"{url}/chunks", timeout=5).text == "hello world"
        head = requests.head(f"{url}/p", timeout=5)
        assert (head.status_code, head.content) == (418, b"")
        assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    "wire", [b"\x16\x03\x01\r\n\r\n", b"GET /\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_no_http_gets_a_400(tmp_path: Path, endpoint: str, wire: bytes) -> None:
    """And the balancer serves the next client."""
    with named_servers("a") as (server,), balancer(tmp_path, endpoint, [at(server)]) as url:
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            raw.sendall(wire)
            assert raw.recv(100).startswith(b"HTTP/1.1 400")
        assert requests.get(url, timeout=5).text == "a"


def test_metrics_tell_what_happened(tmp_path: Path, endpoint: str) -> None:
    """Counts, response times and hosts, under the load balancer's dimension."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        say(handler, int(handler.path[1:]))

    dimension = "app/metrics/1"
    with web_server(answer) as server:
        targets = [at(server), at(server, healthy=False)]
        with balancer(tmp_path, endpoint, targets, dimension=dimension, access_log=str(tmp_path / "log")) as url:
            for status in (200, 200, 200, 404, 500):
                requests.get(f"{url}/{status}", timeout=5)
            until(lambda: total(endpoint, dimension, "HealthyHostCount", "Maximum") == 1)
            tell(tmp_path, [])
            requests.get(url, timeout=5)
            until(lambda: total(endpoint, dimension, "HTTPCode_ELB_5XX_Count") == 1)
    names = ["RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count"]
    assert [total(endpoint, dimension, name) for name in names] == [5, 3, 1, 1]
    assert total(endpoint, dimension, "HTTPCode_ELB_503_Count") == 1
    assert total(endpoint, dimension, "TargetResponseTime", "SampleCount") == 5
    assert 0 < total(endpoint, dimension, "TargetResponseTime", "Maximum") < 5
    assert total(endpoint, dimension, "HealthyHostCount", "Maximum") == 1
    assert total(endpoint, dimension, "UnHealthyHostCount", "Maximum") == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 6


def test_requests_that_hang_show_as_active_while_nothing_completes(tmp_path: Path, endpoint: str) -> None:
    """The one sign of a platform that answers nobody."""
    held = threading.Event()
    dimension = "app/hang/1"
    with (
        web_server(lambda handler, _: held.wait(20) and say(handler, 200)) as server,
        balancer(tmp_path, endpoint, [at(server)], dimension=dimension) as url,
    ):
        asking = [threading.Thread(target=requests.get, args=(url,), kwargs={"timeout": 20}) for _ in range(3)]
        for thread in asking:
            thread.start()
        until(lambda: total(endpoint, dimension, "ActiveConnectionCount", "Maximum") == 3)
        assert total(endpoint, dimension, "RequestCount") == 0
        held.set()
        for thread in asking:
            thread.join(10)


def test_a_client_that_gives_up_lets_go_of_the_target(tmp_path: Path, endpoint: str) -> None:
    """Its request is no longer in flight, and the target sees that nobody waits; counted as the balancer's 4xx."""
    gone, dimension = threading.Event(), "app/gave-up/1"

    def wait_for_the_end(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.connection.settimeout(20)
        if handler.connection.recv(1) == b"":
            gone.set()

    with (
        web_server(wait_for_the_end) as server,
        balancer(tmp_path, endpoint, [at(server)], dimension=dimension) as url,
    ):
        with pytest.raises(requests.Timeout):
            requests.get(url, timeout=1)
        assert gone.wait(10)
        until(lambda: total(endpoint, dimension, "HTTPCode_ELB_4XX_Count") == 1)


def test_an_emulator_that_is_away_does_not_stop_the_proxy(tmp_path: Path) -> None:
    """Publishing fails in its own thread."""
    nowhere = f"http://127.0.0.1:{closed_port()}"
    with named_servers("a") as (server,), balancer(tmp_path, nowhere, [at(server)]) as url:
        until(lambda: "publishing failed" in (tmp_path / "balancer.log").read_text())
        assert requests.get(url, timeout=1).text == "a"


def total(endpoint: str, dimension: str, name: str, statistic: str = "Sum") -> float:
    """One statistic over the last minutes."""
    now = datetime.now(UTC)
    points = client("cloudwatch", endpoint).get_metric_statistics(
        Namespace="AWS/ApplicationELB",
        MetricName=name,
        Dimensions=[{"Name": "LoadBalancer", "Value": dimension}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=3600,
        Statistics=[statistic],
    )["Datapoints"]
    values = [point[statistic] for point in points]
    return float(max(values, default=0) if statistic == "Maximum" else sum(values))


@pytest.mark.parametrize("raw", [{}, "a", [5], [{"host": "h"}], [{"host": "h", "port": "x"}]])
def test_a_targets_file_of_another_shape_is_refused(raw: Any) -> None:
    """So that half a file never empties the balancer."""
    with pytest.raises(ValueError, match="target"):
        read_targets(raw)


def test_turns_of_nobody_is_nobody() -> None:
    """No target, or only unusable ones."""
    assert Turns([]).next() is None
    assert Turns([Target("h", 1, healthy=False), Target("h", 2, weight=0)]).next() is None


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_after_a_full_round_every_group_had_its_share(weights: list[int]) -> None:
    """Exactly, whatever the weights."""
    turns = Turns([Target("h", n, group=str(n), weight=weight) for n, weight in enumerate(weights)])
    taken = Counter(target.port for _ in range(sum(weights)) if (target := turns.next()))
    assert taken == dict(enumerate(weights))
