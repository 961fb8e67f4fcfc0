"""Tasks that are processes, TLS before the queue, and how the emulator ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clouds import Started, alive, until

from cutover.rehearsal.cloud.tasks import parse_addresses
from cutover.rehearsal.cloud.tls import TlsFront

APPLICATION = """
import http.server, json, os, sys
host, port = sys.argv[1], int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = ("APP_VERSION", "DATABASE_URL", "REPORTS", "PORT")
        body = json.dumps({k: os.environ.get(k) for k in names} | {"pid": os.getpid()}).encode()
        self.send_response(503 if os.environ["APP_VERSION"] == "1.1.0" else 200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
print("serving", host, port, flush=True)
http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """An account whose tasks are small servers; release 1.1.0 never becomes healthy."""
    folder = tmp_path_factory.mktemp("processes")
    application = folder / "application.py"
    application.write_text(APPLICATION)
    started = Started(
        folder / "state",
        *("--runtime", "processes", "--task-ips", "127.0.0.1", "--healthy-within", "6"),
        *("--task-command", f"{sys.executable} {application} {{host}} {{port}}"),
        *("--task-env", '{"REPORTS": "s3://shadowtwin-reports"}'),
        *("--database-url", "postgresql://shadowtwin_app:not-a-secret@127.0.0.9:5432/shadowtwin", "--release", "1.2.0"),
    )
    yield started
    started.stop()


def targets(running: Started) -> list[dict[str, Any]]:
    """What the balancer would follow."""
    found: list[dict[str, Any]] = json.loads((running.state / "targets.json").read_text())
    return found


def ask(target: dict[str, Any]) -> dict[str, Any]:
    """A task's answer."""
    with urllib.request.urlopen(f"http://{target['host']}:{target['port']}/api/health", timeout=5) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def answers(running: Started) -> list[dict[str, Any]]:
    """What the tasks behind the balancer say; nothing of those that just went."""
    found = []
    for target in targets(running):
        with contextlib.suppress(OSError):
            found.append(ask(target))
    return found


def pids(running: Started) -> set[int]:
    """Processes behind the balancer."""
    return {answer["pid"] for answer in answers(running)}


def service(running: Started) -> dict[str, Any]:
    """The service, described."""
    names = {"cluster": "shadowtwin-cluster", "services": ["shadowtwin-service"]}
    found: dict[str, Any] = running.client("ecs").describe_services(**names)["services"][0]
    return found


def release(running: Started, version: str) -> str:
    """Deploy a version as the runbook does; the deployment's id."""
    ecs = running.client("ecs")
    definition = ecs.describe_task_definition(taskDefinition="shadowtwin")["taskDefinition"]
    container = definition["containerDefinitions"][0]
    container["image"] = container["image"].rpartition(":")[0] + f":{version}"
    container["environment"] = [e for e in container["environment"] if e["name"] != "APP_VERSION"]
    container["environment"].append({"name": "APP_VERSION", "value": version})
    kept = (
        "family",
        "networkMode",
        "requiresCompatibilities",
        "cpu",
        "memory",
        "executionRoleArn",
        "taskRoleArn",
        "containerDefinitions",
    )
    arn = ecs.register_task_definition(**{k: definition[k] for k in kept})["taskDefinition"]["taskDefinitionArn"]
    answer = ecs.update_service(cluster="shadowtwin-cluster", service="shadowtwin-service", taskDefinition=arn)
    return str(answer["service"]["deployments"][0]["id"])


def test_each_task_is_a_process_that_got_its_secrets(running: Started) -> None:
    """Two, on ports of their own where there is one address; environment of definition, secrets and stage."""
    answers = [ask(t) for t in targets(running)]
    assert len({a["pid"] for a in answers}) == 2
    for answer, target in zip(answers, targets(running), strict=True):
        assert answer["APP_VERSION"] == "1.0.0"
        assert answer["DATABASE_URL"].endswith("@127.0.0.9:5432/shadowtwin")
        assert answer["REPORTS"] == "s3://shadowtwin-reports"
        assert answer["PORT"] == str(target["port"])


def test_a_killed_task_is_replaced(running: Started) -> None:
    """ECS keeps two of them."""
    victim = min(pids(running))
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(pids(running)) == 2 and victim not in pids(running))


def test_a_release_replaces_the_processes(running: Started) -> None:
    """New ones serve before old ones stop; the old ones are gone at the end."""
    before = until(lambda: len(found := pids(running)) == 2 and found)
    deployment = release(running, "1.2.0")
    until(lambda: [d["rolloutState"] for d in service(running)["deployments"]] == ["COMPLETED"])
    assert service(running)["deployments"][0]["id"] == deployment
    assert {a["APP_VERSION"] for a in answers(running)} == {"1.2.0"}
    until(lambda: not any(alive(p) for p in before))


def test_a_release_that_never_becomes_healthy_rolls_back(running: Started) -> None:
    """No request reaches it, the old tasks never stop, the circuit breaker opens."""
    before = until(lambda: len(found := pids(running)) == 2 and found)
    deployment = release(running, "1.1.0")
    seen: set[int] = set()

    def over() -> bool:
        seen.update(pids(running))
        return deployment not in {d["id"] for d in service(running)["deployments"]}

    until(over, patience_s=120)
    assert seen == before
    events = [e["message"] for e in service(running)["events"]]
    assert any("failed container health checks" in e for e in events)
    assert any("rolling back" in e for e in events)


def test_what_tasks_print_is_in_their_log_stream(running: Started) -> None:
    """The application's lines, one stream for each task."""
    logs = running.client("logs")
    found = until(lambda: logs.filter_log_events(logGroupName="/ecs/shadowtwin", filterPattern="serving")["events"])
    assert found[0]["logStreamName"].startswith("ecs/shadowtwin/")


def test_no_task_outlives_an_emulator_that_is_killed(tmp_path: Path) -> None:
    """Nobody is left to stop them."""
    application = tmp_path / "application.py"
    application.write_text(APPLICATION)
    started = Started(
        tmp_path / "state",
        *("--runtime", "processes", "--task-command", f"{sys.executable} {application} {{host}} {{port}}"),
    )
    tasks = until(lambda: len(found := pids(started)) == 2 and found, patience_s=60)
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.handle.wait(20)
    until(lambda: not any(alive(p) for p in tasks), patience_s=60)
    started.stop()


def test_a_signal_ends_emulator_and_tasks(running: Started) -> None:
    """Exit code 0; the last test of those that share the account."""
    tasks = pids(running)
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.process.handle.wait(60) == 0
    until(lambda: not any(alive(p) for p in tasks), patience_s=60)


class Echo(socketserver.BaseRequestHandler):
    """Says back what it hears."""

    def handle(self) -> None:
        """Until the other side ends."""
        while data := self.request.recv(1 << 16):
            self.request.sendall(data)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[TlsFront]:
    """TLS before an echo."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as echo:
        echo.daemon_threads = True
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        with TlsFront(f"redis://:token@127.0.0.1:{echo.server_address[1]}/0", tmp_path) as made:
            yield made
        echo.shutdown()


def test_the_queue_is_reached_through_tls_that_can_be_verified(front: TlsFront) -> None:
    """The URL names the certificate; the bytes come back whole."""
    assert front.url.startswith(f"rediss://:token@127.0.0.1:{front.port}/0?ssl_ca_certs=")
    context = ssl.create_default_context(cafile=str(front.certificate))
    message = b"x" * 300_000
    with socket.create_connection(("127.0.0.1", front.port), timeout=10) as plain:
        secure = context.wrap_socket(plain, server_hostname="127.0.0.1")
        threading.Thread(target=secure.sendall, args=(message,), daemon=True).start()
        heard = b""
        while len(heard) < len(message):
            heard += secure.recv(1 << 16)
        secure.close()
    assert heard == message
    assert (front.certificate.parent / "redis-key.pem").stat().st_mode & 0o077 == 0


def test_who_does_not_speak_tls_is_not_heard(front: TlsFront) -> None:
    """In-transit encryption is required, as it says."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=10) as plain:
        plain.sendall(b"PING\r\n")
        assert b"PONG" not in plain.recv(100)
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(
            socket.create_connection(("127.0.0.1", front.port), timeout=10), server_hostname="127.0.0.1"
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.1.2.21+", 9), ("127.1.2.21, 127.1.2.22", 2), ('["127.0.0.1"]', 1), ("127.0.0.1", 1)],
)
def test_addresses_of_tasks(text: str, expected: int) -> None:
    """A range, a list, or JSON."""
    found = parse_addresses(text)
    assert len(found) == expected
    assert found[0].startswith("127.")


@pytest.mark.parametrize(
    "arguments", [("--host", "0.0.0.0"), ("--secrets", "{no json"), ("--task-env", "[1]", "--runtime", "processes")]
)
def test_a_wrong_argument_ends_with_what_to_do(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 2 and a sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "cutover.rehearsal.cloud", "--state", str(tmp_path), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
