"""HTTP/1.1 on asyncio streams, as much of it as the rehearsal's application and its load balancer need.

Messages with a Content-Length or in chunks, keep-alive, bounded sizes and numbers; no TLS, no upgrade, no pipelining.
Written out here so that a fault such as a hanging server costs one waiting coroutine per request, not one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

MAX_HEAD = 32 * 1024
MAX_BODY = 8 * 1024 * 1024
"""Bytes of one message's body; more is refused with 413."""
CLIENT_LOOK_S = 0.5
"""How often to look, while a request is handled, whether its client is still there."""


class BadMessage(Exception):
    """What came over the wire is no HTTP message that we take; `status` is what a server answers to it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Message:
    """One request or response.

    Attributes:
        start: the start line: `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
        headers: names in lower case.
        body: the whole body, chunks put together.
    """

    start: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.start.split(" ", 1)[0]

    @property
    def path(self) -> str:
        """The path of a request, without its query."""
        return self.start.split(" ")[1].split("?", 1)[0]

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.start.split(" ")[1])

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may carry another message after this one."""
        wanted = self.headers.get("connection", "").lower()
        version = self.start.split(" ")[0 if self.start.startswith("HTTP/") else -1]
        return wanted == "keep-alive" if version == "HTTP/1.0" else wanted != "close"

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            BadMessage: it is not JSON.
        """
        try:
            return json.loads(self.body or b"null")
        except ValueError as error:
            raise BadMessage("the body is not JSON") from error

    def encode(self) -> bytes:
        """The message as bytes, always with a Content-Length (but for 1xx, 204 and 304)."""
        headers = {k: v for k, v in self.headers.items() if k not in ("content-length", "transfer-encoding")}
        bodiless = self.start.startswith("HTTP/") and (self.status < 200 or self.status in (204, 304))
        if not bodiless:
            headers["content-length"] = self.headers.get("x-head-length") or str(len(self.body))
            headers.pop("x-head-length", None)
        lines = [self.start, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace") + self.body


def reply(status: int, body: Any = None, *, headers: dict[str, str] | None = None, kind: str = "") -> Message:
    """A response: JSON for anything but bytes and text (which is HTML unless `kind` says otherwise)."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    if isinstance(body, bytes):
        data, content = body, kind or "application/octet-stream"
    elif isinstance(body, str):
        data, content = body.encode(), kind or "text/html; charset=utf-8"
    else:
        data, content = json.dumps(body, default=str).encode(), "application/json; charset=utf-8"
    return Message(f"HTTP/1.1 {status} {phrase}", {"content-type": content, **(headers or {})}, data)


async def read_message(reader: asyncio.StreamReader, *, answers: str | None = None) -> Message | None:
    """Read one message; None when the other side closed before it began.

    Args:
        reader: the connection's reader; its limit must be at least MAX_HEAD.
        answers: the method of the request that this message answers; None when this is a request itself.

    Raises:
        BadMessage: no HTTP/1.x message, or one that is too large.
        asyncio.IncompleteReadError: the connection broke in the middle.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial.strip():
            return None
        raise
    except asyncio.LimitOverrunError as error:
        raise BadMessage("the head is too large", 431) from error
    start, _, rest = head.decode("latin-1").partition("\r\n")
    words = start.split(" ")
    if len(words) < 2 or not (words[0] if answers else words[-1]).startswith("HTTP/1."):
        raise BadMessage("no HTTP/1.x message")
    headers: dict[str, str] = {}
    for line in rest.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    message = Message(start, headers)
    if answers and (answers == "HEAD" or message.status < 200 or message.status in (204, 304)):
        if answers == "HEAD" and "content-length" in headers:
            headers["x-head-length"] = headers["content-length"]
        return message
    message.body = await _read_body(reader, headers, until_end=answers is not None)
    return message


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str], *, until_end: bool) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    length = headers.get("content-length")
    if length is None:
        if not until_end:
            return b""
        headers["connection"] = "close"
        data = await reader.read(MAX_BODY + 1)
        while data and (more := await reader.read(MAX_BODY + 1 - len(data))):
            data += more
        if len(data) > MAX_BODY:
            raise BadMessage("the body is too large", 413)
        return data
    if not length.isdigit():
        raise BadMessage("the Content-Length is no number")
    if int(length) > MAX_BODY:
        raise BadMessage("the body is too large", 413)
    return await reader.readexactly(int(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size_line = await reader.readuntil(b"\r\n")
        try:
            size = int(size_line.split(b";", 1)[0], 16)
        except ValueError as error:
            raise BadMessage("a chunk without a size") from error
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return bytes(body)
        if len(body) + size > MAX_BODY:
            raise BadMessage("the body is too large", 413)
        body += await reader.readexactly(size)
        await reader.readexactly(2)


Handler = Callable[[Message], Awaitable[Message | None]]
"""Answers one request; None drops the connection without an answer."""


class Server:
    """Serves requests on one address until it is closed; at most `connections` at a time, idle ones for `idle_s`."""

    def __init__(self, handler: Handler, *, connections: int = 2000, idle_s: float = 75.0) -> None:
        self._handler, self._limit, self._idle_s = handler, connections, idle_s
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port (for `port` 0, the one that was chosen).

        Raises:
            OSError: the address is taken or not ours.
        """
        self._server = await asyncio.start_server(self._connection, host, port, limit=MAX_HEAD, backlog=512)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, *, grace_s: float) -> None:
        """Stop accepting, let requests under way finish for at most `grace_s`, then drop what is left."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for task in self._tasks - self._busy:
            task.cancel()
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=grace_s)
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1)

    async def _answer(self, request: Message, reader: asyncio.StreamReader) -> Message | None:
        """The handler's answer; the handler is cancelled when the client goes away, so that a hang holds nothing."""
        handling = asyncio.ensure_future(self._handler(request))
        try:
            while not handling.done():
                await asyncio.wait({handling}, timeout=CLIENT_LOOK_S)
                if not handling.done() and reader.at_eof():
                    return None
            return handling.result()
        finally:
            if not handling.done():
                handling.cancel()
                await asyncio.wait({handling}, timeout=1)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - start_server always runs this in a task
        self._tasks.add(task)
        try:
            if len(self._tasks) > self._limit:
                writer.write(reply(503, {"error": "too many connections"}, headers={"connection": "close"}).encode())
                await writer.drain()
                return
            await self._conversation(reader, writer, task)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._busy.discard(task)
            with contextlib.suppress(Exception):
                writer.close()

    async def _conversation(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        while not self._closing:
            try:
                async with asyncio.timeout(self._idle_s):
                    request = await read_message(reader)
            except BadMessage as error:
                refusal = reply(error.status, {"error": str(error)}, headers={"connection": "close"})
                writer.write(refusal.encode())
                await writer.drain()
                return
            if request is None:
                return
            self._busy.add(task)
            answer = await self._answer(request, reader)
            if answer is None:
                return
            stays = request.keeps_alive and not self._closing
            answer.headers["connection"] = "keep-alive" if stays else "close"
            if request.method == "HEAD":
                answer.headers.setdefault("x-head-length", str(len(answer.body)))
                answer.body = b""
            writer.write(answer.encode())
            await writer.drain()
            self._busy.discard(task)
            if not stays:
                return
