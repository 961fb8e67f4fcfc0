"""The rehearsal's load balancer: spreads requests over the targets that the emulated AWS calls healthy, and publishes
an Application Load Balancer's metrics to the emulated CloudWatch.

    python -m cutover.rehearsal.balancer --host H --port P --targets FILE --aws-endpoint URL --load-balancer app/name/id

The targets file is JSON, written whole by whoever decides (the emulator's ECS and target groups), read again when it
changes: `[{"host": "127.1.2.21", "port": 5000, "target_group": "blue", "weight": 1}, …]`. Groups share the requests by
their weights, as in a weighted forward; within a group it goes round robin. An entry may say `"healthy": false`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from cutover.rehearsal.balancer_metrics import Publisher, Tally
from cutover.rehearsal.http1 import MAX_HEAD, BadMessage, Message, Server, Wire, reply

IDLE_TIMEOUT_S = 60.0
"""An ALB's default idle timeout: a target that is silent for as long gets the client a 504."""
CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTIONS = 64
"""Idle connections kept to each target."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go; unhealthy ones and those of weight 0 are counted, not used."""

    host: str
    port: int
    healthy: bool = True
    group: str = ""
    weight: int = 1


def read_targets(raw: Any) -> list[Target]:
    """The targets of a parsed file; see the module's first lines.

    Raises:
        ValueError: not of that shape.
    """
    if not isinstance(raw, list):
        raise ValueError("a list of targets is needed")
    targets = []
    for entry in raw:
        try:
            target = Target(
                host=str(entry["host"]),
                port=int(entry["port"]),
                healthy=bool(entry.get("healthy", True)),
                group=str(entry.get("target_group", "")),
                weight=int(entry.get("weight", 1)),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"no target: {entry!r}") from error
        targets.append(target)
    return targets


class Turns:
    """Whose turn it is: groups by smooth weighted round robin, targets within a group one after the other."""

    def __init__(self, targets: list[Target]) -> None:
        usable = [t for t in targets if t.healthy and t.weight > 0]
        self._groups: dict[str, list[Target]] = {}
        for target in usable:
            self._groups.setdefault(target.group, []).append(target)
        # A group's weight stands with each of its targets.
        self._weights = {group: members[0].weight for group, members in self._groups.items()}
        self._credit = dict.fromkeys(self._groups, 0)
        self.targets = len(usable)

    def next(self) -> Target | None:
        """The target of the next request; None when none is usable."""
        if not self._groups:
            return None
        for group, weight in self._weights.items():
            self._credit[group] += weight
        chosen = max(self._credit, key=lambda group: self._credit[group])
        self._credit[chosen] -= sum(self._weights.values())
        members = self._groups[chosen]
        members.append(members.pop(0))
        return members[-1]


class Balancer:
    """The proxy: each request, not each connection, goes to the target whose turn it is."""

    def __init__(self, targets_file: Path, tally: Tally, *, idle_timeout_s: float, log: TextIO | None = None) -> None:
        self._file, self._tally, self._idle_timeout_s, self._log = targets_file, tally, idle_timeout_s, log
        self._stamp: tuple[int, int, int] | None = None
        self._turns = Turns([])
        self._idle: dict[tuple[str, int], list[Wire]] = {}

    def refresh(self) -> None:
        """Read the targets file if it changed; a file that is missing means no target, a half one changes nothing."""
        try:
            stat = os.stat(self._file)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self._stamp:
                return
            targets = read_targets(json.loads(self._file.read_text()))
        except FileNotFoundError:
            stamp, targets = (0, 0, 0), []
        except (OSError, ValueError):
            return
        self._stamp, self._turns = stamp, Turns(targets)
        self._tally.healthy = sum(t.healthy for t in targets)
        self._tally.unhealthy = len(targets) - self._tally.healthy
        kept = {(t.host, t.port) for t in targets}
        for address in set(self._idle) - kept:
            for wire in self._idle.pop(address):
                wire.writer.close()

    async def handle(self, request: Message) -> Message:
        """Answer one request through a target: 503 when none is healthy, 502 when it fails, 504 when it is silent."""
        started = time.monotonic()
        self._tally.in_flight += 1
        target: Target | None = None
        try:
            target, answer = await self._through_a_target(request)
        except asyncio.CancelledError:
            # The client went away first; an ALB logs 460 and counts it as its own 4xx.
            self._tally.add("RequestCount")
            self._tally.add("HTTPCode_ELB_4XX_Count")
            raise
        finally:
            self._tally.in_flight -= 1
        seconds = time.monotonic() - started
        # As on AWS: what found no target to go to (503) is not in RequestCount; 502 and 504 had one.
        if target or answer.status != 503:
            self._tally.add("RequestCount", seconds if target else None)
        if target is None and answer.status >= 500:
            self._tally.add(f"HTTPCode_ELB_{answer.status}_Count")
        kind = f"HTTPCode_{'Target' if target else 'ELB'}_{answer.status // 100}XX_Count"
        self._tally.add(kind)
        if self._log is not None:
            self._write_log(request, answer, target, seconds)
        return answer

    async def _through_a_target(self, request: Message) -> tuple[Target | None, Message]:
        self.refresh()
        turns = self._turns
        for _ in range(min(2, turns.targets)):
            target = turns.next()
            if target is None:
                break
            try:
                async with asyncio.timeout(self._idle_timeout_s):
                    return target, await self._exchange(target, request)
            except ConnectionRefusedError:
                continue  # nothing was sent: another target may have it
            except TimeoutError:
                return None, _own(504, "the target did not answer")
            except (OSError, asyncio.IncompleteReadError, BadMessage):
                return None, _own(502, "the target broke the connection")
        if not turns.targets:
            return None, _own(503, "no healthy target")
        return None, _own(502, "the targets refuse connections")

    async def _exchange(self, target: Target, request: Message) -> Message:
        forwarded = Message(request.start, dict(request.headers), request.body)
        forwarded.headers["connection"] = "keep-alive"
        forwarded.headers.setdefault("x-forwarded-proto", "http")
        pool = self._idle.setdefault((target.host, target.port), [])
        while pool:
            wire = pool.pop()
            if wire.reader.at_eof() or wire.writer.is_closing():
                wire.writer.close()
                continue
            try:
                return await self._talk(wire, forwarded, pool)
            except (OSError, asyncio.IncompleteReadError):
                if request.method not in ("GET", "HEAD"):
                    raise
                # the target closed an idle connection; asking again is harmless
        opening = asyncio.open_connection(target.host, target.port, limit=MAX_HEAD)
        wire = Wire(*await asyncio.wait_for(opening, CONNECT_TIMEOUT_S), client=True)
        return await self._talk(wire, forwarded, pool)

    @staticmethod
    async def _talk(wire: Wire, request: Message, pool: list[Wire]) -> Message:
        """One exchange; the connection goes back to the pool when it may carry another, and is closed otherwise."""
        kept = False
        try:
            wire.request(request)
            await wire.writer.drain()
            answer = await wire.read()
            if answer is None:
                raise ConnectionResetError("closed without an answer")
            kept = len(pool) < IDLE_CONNECTIONS and wire.goes_on()
            return answer
        finally:
            if kept:
                pool.append(wire)
            else:
                wire.writer.close()

    def _write_log(self, request: Message, answer: Message, target: Target | None, seconds: float) -> None:
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": request.method,
            "path": request.path,
            "status": answer.status,
            "target": f"{target.host}:{target.port}" if target else None,
            "seconds": round(seconds, 6),
        }
        assert self._log is not None  # noqa: S101 - the caller looked
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()


def _own(status: int, text: str) -> Message:
    return reply(status, {"error": "load_balancer", "message": text})


def main() -> int:
    """Serve until SIGTERM or SIGINT; prints `listening` and the address once it accepts."""
    parser = argparse.ArgumentParser(prog="python -m cutover.rehearsal.balancer", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--targets", type=Path, required=True)
    parser.add_argument("--aws-endpoint", required=True)
    parser.add_argument(
        "--load-balancer", required=True, help="the metric dimension: app/shadowtwin-alb/50dc6c495c0c9188"
    )
    parser.add_argument(
        "--target-group", default="", help="the dimension of its hosts: targetgroup/shadowtwin-tg/73e2…"
    )
    parser.add_argument("--access-log", type=Path)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two publications")
    parser.add_argument(
        "--idle-timeout", type=float, default=IDLE_TIMEOUT_S, help="seconds until a silent target is a 504"
    )
    parser.add_argument("--region", default="us-east-1")
    return asyncio.run(_serve(parser.parse_args()))


async def _serve(arguments: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tally = Tally()
    log = arguments.access_log.open("a", encoding="utf-8") if arguments.access_log else None
    balancer = Balancer(arguments.targets, tally, idle_timeout_s=arguments.idle_timeout, log=log)
    server = Server(balancer.handle)
    try:
        port = await server.start(arguments.host, arguments.port)
    except OSError as error:
        print(f"cannot listen on {arguments.host}:{arguments.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    publisher = Publisher(
        tally,
        arguments.aws_endpoint,
        arguments.load_balancer,
        arguments.target_group,
        interval_s=arguments.interval,
        region=arguments.region,
    )
    balancer.refresh()
    publisher.start()
    print(f"listening http://{arguments.host}:{port}", flush=True)
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), 0.5)
        except TimeoutError:
            balancer.refresh()
    await server.close(grace_s=2)
    await asyncio.to_thread(publisher.stop)
    if log is not None:
        log.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
