"""One HTTP request with one deadline over all of it: connecting, TLS, sending, and every byte of the answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from cutover.errors import UsageError
from cutover.urls import HOW_TO_WRITE, read_url, shown, unreadable

MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What the application answered.

    Attributes:
        status: the HTTP status.
        headers: names in lower case.
        body: all of it.
        seconds: from before connecting to the last byte.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    def json(self) -> Any:
        """The body as JSON, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def words(self) -> str:
        """The answer in a few words, for `observed`: the status, and what stands in the first bytes of the body."""
        start = " ".join(self.body[:120].decode("utf-8", "replace").split())
        return f"HTTP {self.status}" + (f", {start!r}" if start else "")


class Unreachable(Exception):
    """No answer came.

    Attributes:
        kind: `name` (it cannot be resolved: nothing was looked at), `refused`, `timeout`, `tls` or `broken`.
    """

    def __init__(self, kind: Literal["name", "refused", "timeout", "tls", "broken"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


def fetch(
    method: str,
    url: str,
    *,
    body: Any = None,
    token: str | None = None,
    timeout_s: float = 5.0,
    host: str | None = None,
) -> Reply:
    """Send one request and read the whole answer; redirects are not followed, proxies not used.

    Args:
        method: GET, POST, PUT.
        url: http or https.
        body: sent as JSON when it is not None.
        token: sent as `Authorization: Bearer`.
        timeout_s: seconds for everything but the resolution of the name, which the system bounds.
        host: the Host header (and TLS name) when it is not the URL's, to ask a load balancer before DNS leads to it.

    Raises:
        Unreachable: no whole answer within the time.
        UsageError: `url` is no http or https URL, or a user and a password may stand in it.
    """
    if why := unreadable(url):
        raise UsageError(f"The address {shown(url)} cannot be read in one way only: {why}.", todo=HOW_TO_WRITE)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{shown(url)!r} is no http:// or https:// address.", todo="give the application's base URL")
    if read_url(url).user or parts.password:
        raise UsageError(
            f"A user or a password stands in the address {shown(url)}.",
            why="it would not be sent, and it would stand in every finding about that address.",
            todo="give the application's base URL without user and password",
        )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    started = time.monotonic()
    address = _resolve(parts.hostname, port)
    headers = {"User-Agent": "cutover", "Accept": "*/*", "Connection": "close"}
    headers |= {"Host": host} if host else {}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Content-Type": "application/json"} if body is not None else {}
    data = None if body is None else json.dumps(body).encode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _connected(parts, address, host, timeout_s) as connection:
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        content = response.read(MOST_BYTES)
        received = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, received, content, time.monotonic() - started)


@contextlib.contextmanager
def _connected(
    parts: SplitResult, address: tuple[str, int], host: str | None, timeout_s: float
) -> Iterator[http.client.HTTPConnection]:
    """A connection that is shut when the time is over; whatever goes wrong in the block becomes Unreachable."""
    name = str(parts.hostname)
    connection = http.client.HTTPConnection(name, address[1], timeout=timeout_s)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    # A socket's timeout starts anew with each byte; the timer holds against a server that drips.
    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    try:
        connection.sock = socket.create_connection(address, timeout=timeout_s)
        timer.start()
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host or name)
        yield connection
        if expired.is_set():
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        if expired.is_set() or isinstance(error, TimeoutError):
            raise Unreachable("timeout", f"did not answer within {timeout_s:g} s") from error
        if isinstance(error, ConnectionRefusedError):
            raise Unreachable("refused", f"{name}:{address[1]} refuses connections") from error
        if isinstance(error, ssl.SSLError):
            raise Unreachable("tls", f"TLS failed: {error.reason or error}") from error
        text = str(error) or type(error).__name__
        raise Unreachable("broken", f"broke the connection before an answer: {text}") from error
    finally:
        timer.cancel()
        connection.close()


def _resolve(host: str, port: int) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unreachable("name", f"the name {host} cannot be resolved: {error}") from error
    return str(found[0][4][0]), int(found[0][4][1])
