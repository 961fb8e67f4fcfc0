"""A small real HTTP server on ShadowTwin's contract, whose behaviour a test changes while it runs."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOGIN = "visitor@shadowtwin.example:correct horse"
ADMIN_LOGIN = "admin@shadowtwin.example:battery staple"


@dataclass
class Behaviour:
    """What the server does; read for every request.

    Attributes:
        latency_s: before every answer.
        fail_every: every n-th request answers 500; 0 for none.
        hang_after_s: seconds from the first request after which nothing is answered any more.
        drop: close each connection without an answer.
        wrong_pdf: answer HTML where a PDF is expected.
    """

    latency_s: float = 0.0
    fail_every: int = 0
    hang_after_s: float = float("inf")
    drop: bool = False
    wrong_pdf: bool = False
    served: int = 0
    asked: int = 0
    first: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    behaviour: Behaviour

    def log_message(self, *_: object) -> None:
        """Silence."""

    def _serve(self) -> None:
        does = self.behaviour
        does.asked += 1
        does.first = does.first or time.monotonic()
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if does.drop:
            self.close_connection = True
            return
        if time.monotonic() - does.first >= does.hang_after_s:
            does.over.wait(60)
            self.close_connection = True
            return
        if does.latency_s:
            time.sleep(does.latency_s)
        does.served += 1
        if does.fail_every and does.served % does.fail_every == 0:
            return self._answer(500, {"error": "injected"})
        return self._route(body)

    do_GET = do_POST = _serve  # noqa: N815 - the names http.server wants

    def _route(self, body: bytes) -> None:
        path = self.path
        if path == "/":
            return self._answer(200, b"<h1>ShadowTwin</h1>")
        if path == "/api/health":
            return self._answer(200, {"status": "healthy"})
        if path == "/api/auth/login":
            given = json.loads(body)
            known = f"{given['email']}:{given['password']}" in (LOGIN, ADMIN_LOGIN)
            return self._answer(200, {"token": "t"}) if known else self._answer(401, {"error": "invalid_credentials"})
        if self.headers.get("authorization") != "Bearer t":
            return self._answer(401, {"error": "unauthorized"})
        if path.endswith("/pdf"):
            return self._answer(200, b"<h1>no</h1>" if self.behaviour.wrong_pdf else b"%PDF-1.4 small")
        if self.command == "POST":
            return self._answer(202 if path == "/api/reports" else 201, {"id": "7"})
        if path == "/api/twins":
            return self._answer(200, {"twins": [{"id": "1"}]})
        return self._answer(200, {"status": "done", "conversations": []})

    def _answer(self, status: int, content: bytes | dict[str, object]) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the test; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextlib.contextmanager
def serve(behaviour: Behaviour) -> Iterator[str]:
    """The URL of a running server that behaves like this."""
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            behaviour.over.set()
            server.shutdown()
            thread.join(5)
