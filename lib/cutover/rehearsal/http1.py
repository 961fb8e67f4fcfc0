"""HTTP/1.1 on asyncio streams for the rehearsal's application and its load balancer; h11 reads and writes the wire.

A fault such as a hanging server costs one waiting coroutine per request, not one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11

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
    def target(self) -> str:
        """The path of a request with its query."""
        return self.start.split(" ")[1]

    @property
    def path(self) -> str:
        """The path of a request, without its query."""
        return self.target.split("?", 1)[0]

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.start.split(" ")[1])

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            BadMessage: it is not JSON.
        """
        try:
            return json.loads(self.body or b"null")
        except ValueError as error:
            raise BadMessage("the body is not JSON") from error


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


class Wire:
    """One connection, from the side of a server (it reads requests) or of a client (it reads responses)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool = False) -> None:
        self.reader, self.writer = reader, writer
        self._h11 = h11.Connection(h11.CLIENT if client else h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._method = ""

    async def read(self) -> Message | None:
        """The next message, whole; None when the other side closed before it began.

        Raises:
            BadMessage: no HTTP/1.x message, or one that is too large.
            asyncio.IncompleteReadError: the connection broke in the middle.
        """
        message: Message | None = None
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                if not self.reader.at_eof():
                    raise BadMessage(str(error), error.error_status_hint) from error
                if message is None:
                    return None
                raise asyncio.IncompleteReadError(message.body, None) from error
            if event is h11.NEED_DATA:
                if self._h11.they_are_waiting_for_100_continue:
                    self._put(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
                self._h11.receive_data(await self.reader.read(64 * 1024))
            elif isinstance(event, h11.Request | h11.Response):
                message = self._begin(event)
            elif isinstance(event, h11.Data) and message is not None:
                message.body += event.data
                if len(message.body) > MAX_BODY:
                    raise BadMessage("the body is too large", 413)
            elif isinstance(event, h11.EndOfMessage):
                return message
            elif isinstance(event, h11.ConnectionClosed):
                return None

    def request(self, message: Message) -> None:
        """Write a request."""
        self._method = message.method
        event = h11.Request(method=message.method, target=message.target, headers=_headers(message))
        self._put(event, h11.Data(data=message.body), h11.EndOfMessage())

    def respond(self, message: Message) -> None:
        """Write the response to what was read; to a HEAD without its body."""
        reason = message.start.split(" ", 2)[2].encode("latin-1", "replace")
        bodiless = self._method == "HEAD" or message.status in (204, 304)
        event = h11.Response(status_code=message.status, headers=_headers(message, bodiless), reason=reason)
        self._put(event, *([] if bodiless else [h11.Data(data=message.body)]), h11.EndOfMessage())

    def goes_on(self) -> bool:
        """Whether the connection may carry another exchange; it is made ready for it."""
        try:
            self._h11.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        return True

    def _begin(self, event: h11.Request | h11.Response) -> Message:
        version = event.http_version.decode()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        if isinstance(event, h11.Request):
            self._method = event.method.decode()
            return Message(f"{self._method} {event.target.decode('latin-1')} HTTP/{version}", headers)
        return Message(f"HTTP/{version} {event.status_code} {event.reason.decode('latin-1')}", headers)

    def _put(self, *events: h11.Event) -> None:
        for event in events:
            self.writer.write(self._h11.send(event) or b"")


def _headers(message: Message, bodiless: bool = False) -> list[tuple[bytes, bytes]]:
    """With the length of the body that goes with them; a HEAD keeps the length that a GET would have had."""
    headers = {name: value for name, value in message.headers.items() if name != "transfer-encoding"}
    if not bodiless or "content-length" not in headers:
        headers["content-length"] = str(len(message.body))
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers.items()]


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
        wire = Wire(reader, writer)
        try:
            if len(self._tasks) > self._limit:
                wire.respond(reply(503, {"error": "too many connections"}, headers={"connection": "close"}))
                await writer.drain()
                return
            await self._conversation(wire, task)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._busy.discard(task)
            with contextlib.suppress(Exception):
                writer.close()

    async def _conversation(self, wire: Wire, task: asyncio.Task[None]) -> None:
        while not self._closing:
            try:
                async with asyncio.timeout(self._idle_s):
                    request = await wire.read()
            except BadMessage as error:
                wire.respond(reply(error.status, {"error": str(error)}, headers={"connection": "close"}))
                await wire.writer.drain()
                return
            if request is None:
                return
            self._busy.add(task)
            answer = await self._answer(request, wire.reader)
            if answer is None:
                return
            answer.headers["connection"] = "close" if self._closing else "keep-alive"
            wire.respond(answer)
            await wire.writer.drain()
            self._busy.discard(task)
            if not wire.goes_on():
                return
