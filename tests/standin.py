"""A running stand-in ShadowTwin and a running emulator, for the tests that need one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
import requests

from cutover.rehearsal import postgres as pg
from cutover.rehearsal import processes
from cutover.rehearsal.data import load

VISITOR = ("check@shadowtwin.example", "a-visitor's-password")
ADMIN = ("admin@shadowtwin.example", "an-admin's-password")
LOGIN, ADMIN_LOGIN = ":".join(VISITOR), ":".join(ADMIN)
ROWS = 2_000


def until(holds: Callable[[], Any], *, within_s: float = 15.0) -> Any:
    """Wait until it holds; its value. A test that waits in vain fails here."""
    deadline = time.monotonic() + within_s
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


@contextlib.contextmanager
def loaded_database(server: pg.Server) -> Iterator[str]:
    """The superuser's URL of a database with ShadowTwin's schema and a few rows."""
    name = f"t_{secrets.token_hex(5)}"
    server.create_database(name)
    try:
        load(server.url(name), rows=ROWS, visitor=VISITOR, admin=ADMIN)
        yield server.url(name)
    finally:
        server.drop_database(name)


@dataclass
class StandIn:
    """One instance of the application, as a process."""

    folder: Path
    environment: dict[str, str]
    process: processes.Process = field(init=False)
    base: str = field(init=False)

    def start(self, *, port: int = 0, worker: bool = True) -> StandIn:
        """Start the process, and wait until it accepts."""
        log = self.folder / f"app-{secrets.token_hex(3)}.log"
        argv = [sys.executable, "-m", "cutover.rehearsal.shadowtwin", "--port", str(port)]
        argv += [] if worker else ["--no-worker"]
        self.process = processes.spawn(argv, name="app", log=log, env=self.environment)
        self.base = listening(self.process)
        return self

    @property
    def faults_file(self) -> Path:
        """Where the application looks for its faults."""
        return Path(self.environment["FAULTS_FILE"])

    @contextlib.contextmanager
    def faults(self, **faults: Any) -> Iterator[None]:
        """Inject faults, and lift them at the end."""
        self.set_faults(faults)
        try:
            yield
        finally:
            self.faults_file.unlink()
            time.sleep(0.25)

    def set_faults(self, faults: Mapping[str, Any]) -> None:
        """Inject faults and wait until the application knows of them."""
        half = self.faults_file.with_suffix(".half")
        half.write_text(json.dumps(faults))
        half.replace(self.faults_file)
        time.sleep(0.25)  # the application reads it at most 0.2 s late

    def call(self, method: str, path: str, token: str | None = None, **more: Any) -> requests.Response:
        """One request."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, self.base + path, headers=headers, timeout=more.pop("timeout", 10), **more)

    def sign_in(self, login: tuple[str, str] = VISITOR) -> str:
        """The token of a new session."""
        answer = self.call("POST", "/api/auth/login", json={"email": login[0], "password": login[1]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])


@contextlib.contextmanager
def stand_in(folder: Path, database: str, redis_url: str, *, start: bool = True, **more: str) -> Iterator[StandIn]:
    """A running application on this database and this Redis; stopped at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    hashed = bcrypt.hashpw(ADMIN[1].encode(), bcrypt.gensalt(4)).decode()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "ADMIN_EMAIL": ADMIN[0],
        "ADMIN_PASSWORD_HASH": hashed,
        "APP_VERSION": "1.2.3",
        "REPORTS": (folder / "reports").as_uri(),
        "FAULTS_FILE": str(folder / "faults.json"),
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
    }
    app = StandIn(folder, environment | more)
    try:
        yield app.start() if start else app
    finally:
        if hasattr(app, "process"):
            app.process.stop()


def listening(process: processes.Process) -> str:
    """What a process of the stage says behind `listening`."""

    def told() -> str:
        assert process.alive, process.tail()
        lines = [line for line in process.tail(50).splitlines() if line.startswith("listening ")]
        return lines[-1].split()[1] if lines else ""

    return str(until(told, within_s=30))


@contextlib.contextmanager
def emulator() -> Iterator[str]:
    """The address of an emulator of its own: moto's server as a process, since its state is the process's."""
    port = closed_port()
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = Path(tempfile.mkdtemp()) / "emulator.log"
    with processes.spawn(argv, name="emulator", log=log) as process:

        def answers() -> bool:
            assert process.alive, process.tail()
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(f"http://127.0.0.1:{port}/moto-api/", timeout=5).ok
            return False

        until(answers, within_s=30)
        yield f"http://127.0.0.1:{port}"
    shutil.rmtree(log.parent)


def client(service: str, endpoint: str) -> Any:
    """A boto3 client of the emulator."""
    import boto3

    keys = {"aws_access_key_id": "rehearsal", "aws_secret_access_key": "rehearsal"}
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", **keys)


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@contextlib.contextmanager
def web_server(answer: Answer, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """`host:port` of a server whose every request is answered by this function."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with contextlib.suppress(OSError):
                answer(self, body)

        do_GET = do_POST = do_PUT = do_HEAD = _any  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
    """Answer with these bytes."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
