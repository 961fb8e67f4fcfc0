"""A small HTTP server in a process of its own that misbehaves by a timetable: the platform of the fault suite.

    python fault_platform.py TIMETABLE

`TIMETABLE` is the JSON of some `Phase`s, in seconds from the first request on. The process says `listening URL` when it
is ready, and `began EPOCH_SECONDS` at the first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

FOR_EVER = 1e6


@dataclass(frozen=True, slots=True)
class Phase:
    """What the platform does for a while.

    Attributes:
        kind: `errors` answer 500, `slow` answers `takes_s` late, `silent` answers when the phase is over.
        start_s: from the first request on.
        end_s: the phase ends.
        every: each so-manieth request is met, 1 for all of them.
        takes_s: how late a slow one is answered.
    """

    kind: Literal["errors", "slow", "silent"]
    start_s: float
    end_s: float = FOR_EVER
    every: int = 1
    takes_s: float = 0.0


@dataclass
class Platform:
    """A running server.

    Attributes:
        url: where it listens.
        asked: set at the first request.
        began: when that was, epoch seconds.
    """

    url: str
    asked: threading.Event = field(default_factory=threading.Event)
    began: float = 0.0


@contextlib.contextmanager
def platform(phases: Sequence[Phase] = ()) -> Iterator[Platform]:
    """A server that goes through these phases."""
    timetable = json.dumps([dataclasses.asdict(phase) for phase in phases])
    process = subprocess.Popen([sys.executable, __file__, timetable], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        word, _, url = process.stdout.readline().strip().partition(" ")
        assert word == "listening", "the platform did not start"
        running = Platform(url)

        def listen(lines: Iterator[str]) -> None:
            for line in lines:
                running.began = float(line.split()[1])
                running.asked.set()

        listener = threading.Thread(target=listen, args=(process.stdout,), daemon=True)
        listener.start()
        yield running
    finally:
        process.kill()
        process.wait(10)


def answer(phases: Sequence[Phase], now_s: float, number: int) -> tuple[float, bool]:
    """How many seconds the request that comes now waits, and whether it fails."""
    wait_s, fails = 0.0, False
    for phase in phases:
        if phase.start_s <= now_s < phase.end_s and number % phase.every == 0:
            if phase.kind == "errors":
                fails = True
            else:
                wait_s = phase.takes_s if phase.kind == "slow" else phase.end_s - now_s
    return wait_s, fails


class _Connection(asyncio.Protocol):
    phases: Sequence[Phase] = ()
    number = 0
    first: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        *requests, self.rest = self.rest.split(b"\r\n\r\n")
        for _ in requests:
            self.asked()

    def asked(self) -> None:
        now, kind = time.monotonic(), type(self)
        if kind.first is None:
            kind.first = now
            print(f"began {time.time()!r}", flush=True)
        kind.number += 1
        wait_s, fails = answer(self.phases, now - kind.first, self.number)
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self.say, fails)
        else:
            self.say(fails)

    def say(self, fails: bool) -> None:
        status = b"500 Internal Server Error" if fails else b"200 OK"
        head = b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
        if not self.transport.is_closing():
            self.transport.write(head)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    print(f"listening http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    _Connection.phases = [Phase(**phase) for phase in json.loads(sys.argv[1])]
    asyncio.run(_serve())
