"""What stands behind an ECS task: nothing (bookkeeping), or a real process on an address of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

APPLICATION = (sys.executable, "-m", "cutover.rehearsal.shadowtwin", "--host", "{host}", "--port", "{port}")
"""The command of a task's process; `{host}` and `{port}` are its address."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")


class State(StrEnum):
    """How a task's process is."""

    STARTING = "STARTING"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class Order:
    """What a task is to run.

    Attributes:
        task_id: names the log.
        private_ip: an address that the subnet would give it.
        container_port: the port its container definition names.
        environment: plain values and resolved secrets.
        health_path: where the target group asks.
        check_every_s: the target group's interval once it was healthy, seconds.
        unhealthy_after: failed checks in a row after which a healthy task is unhealthy.
    """

    task_id: str
    private_ip: str
    container_port: int
    environment: Mapping[str, str]
    health_path: str = "/api/health"
    check_every_s: float = 30.0
    unhealthy_after: int = 3


class Running(Protocol):
    """A started task."""

    host: str
    port: int

    @property
    def state(self) -> State:
        """How it is now."""
        ...

    @property
    def reason(self) -> str:
        """Why it is not healthy."""
        ...

    def stop(self) -> None:
        """End it; returns when it is gone."""
        ...

    def new_output(self) -> list[str]:
        """Lines that it wrote since the last call."""
        ...


class Runtime(Protocol):
    """Starts tasks."""

    def start(self, order: Order) -> Running:
        """Start one; raises OSError or StageError when that is impossible."""
        ...


@dataclass(slots=True)
class Bookkeeping:
    """A task that is only written down: healthy at once, on the address the subnet would give it."""

    host: str
    port: int
    state: State = State.HEALTHY
    reason: str = ""

    def stop(self) -> None:
        """Nothing runs, so nothing ends but the record."""
        self.state = State.STOPPED

    def new_output(self) -> list[str]:
        """Nothing writes."""
        return []


class NoProcesses:
    """The runtime for instruments that only read the account."""

    def start(self, order: Order) -> Running:
        """A record of the task."""
        return Bookkeeping(order.private_ip, order.container_port)


@dataclass(slots=True)
class Processes:
    """The runtime of the stage: each task is a process of its own.

    Attributes:
        folder: for the tasks' logs.
        addresses: loopback addresses to hand out; used again, with other ports, when there are more tasks.
        command: argv with `{host}` and `{port}`.
        environment: for every task, over the container definition's (`REPORTS`, `AWS_ENDPOINT_URL`, `FAULTS_FILE`).
        healthy_within_s: a task that is not healthy after this many seconds has failed. On AWS the container check of
            the guide takes startPeriod 60 s + 3 × 30 s; nobody would wait so long in a rehearsal.
    """

    folder: Path
    addresses: Sequence[str] = ("127.0.0.1",)
    command: Sequence[str] = APPLICATION
    environment: Mapping[str, str] = field(default_factory=dict)
    healthy_within_s: float = 20.0
    _in_use: dict[str, set[int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, order: Order) -> Running:
        """Start the process and the thread that asks for its health."""
        from cutover.rehearsal import processes  # noqa: PLC0415 - bookkeeping needs none of it

        host, port = self._take(order.container_port)
        try:
            inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
            process = processes.spawn(
                [part.format(host=host, port=port) for part in self.command],
                name=f"task {order.task_id}",
                log=self.folder / f"{order.task_id}.log",
                env=inherited | dict(order.environment) | dict(self.environment) | {"PORT": str(port)},
            )
        except BaseException:
            self._give_back(host, port)
            raise
        return _ProcessTask(host, port, process, order, self)

    def _take(self, preferred: int) -> tuple[str, int]:
        """The address with the fewest tasks, and a port on it that no other task was given."""
        with self._lock:
            host = min(self.addresses, key=lambda a: (len(self._in_use.get(a, ())), self.addresses.index(a)))
            given = self._in_use.setdefault(host, set())
            port = _free_port(host, (0,) if preferred in given else (preferred, 0))
            given.add(port)
            return host, port

    def _give_back(self, host: str, port: int) -> None:
        with self._lock:
            self._in_use[host].discard(port)


class _Process(Protocol):
    @property
    def log(self) -> Path: ...

    @property
    def alive(self) -> bool: ...

    def stop(self, timeout_s: float = 5.0) -> int: ...

    def tail(self, lines: int = 15) -> str: ...


class _ProcessTask:
    """A process with a thread that asks `GET health_path` as the target group would."""

    def __init__(self, host: str, port: int, process: _Process, order: Order, runtime: Processes) -> None:
        self.host, self.port = host, port
        self.state, self.reason = State.STARTING, ""
        self._process, self._order, self._runtime = process, order, runtime
        self._read = 0
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name=f"watch-{order.task_id}", daemon=True).start()

    def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL, as ECS does (its 30 s stopTimeout is 5 s here)."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._process.stop()
        self.state = State.STOPPED
        self._runtime._give_back(self.host, self.port)

    def new_output(self) -> list[str]:
        """Whole lines that the process wrote since the last call."""
        with contextlib.suppress(OSError), self._process.log.open("rb") as file:
            file.seek(self._read)
            data = file.read(1 << 20)
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            return whole.decode(errors="replace").splitlines()
        return []

    def _watch(self) -> None:
        deadline = time.monotonic() + self._runtime.healthy_within_s
        failed = 0
        while not self._ended.is_set():
            if not self._process.alive:
                self.reason = f"Essential container in task exited: {self._process.tail(3)}".strip()
                self.state = State.STOPPED
                return
            problem = _ask(f"http://{self.host}:{self.port}{self._order.health_path}")
            failed = failed + 1 if problem else 0
            if not problem:
                self.state, self.reason = State.HEALTHY, ""
            elif self.state is State.STARTING:
                if time.monotonic() > deadline:
                    self.state, self.reason = State.UNHEALTHY, f"failed container health checks: {problem}"
            elif failed >= self._order.unhealthy_after:
                self.state, self.reason = State.UNHEALTHY, f"failed ELB health checks: {problem}"
            pause = 0.15 if self.state is State.STARTING else self._order.check_every_s
            for _ in itertools.takewhile(lambda _: self._process.alive, range(max(1, round(pause / 0.5)))):
                if self._ended.wait(min(pause, 0.5)):
                    return


def _ask(url: str) -> str:
    """Empty when the answer is 200; else what is wrong."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - an address of ours on loopback
            return "" if answer.status == 200 else f"Health checks failed with these codes: [{answer.status}]"
    except urllib.error.HTTPError as error:
        return f"Health checks failed with these codes: [{error.code}]"
    except OSError as error:
        return f"Request failed: {error}"


def _free_port(host: str, wanted: Sequence[int]) -> int:
    """The first of these ports that is free on `host`; 0 is any free one."""
    for port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return int(probe.getsockname()[1])
    raise OSError(f"no port can be bound on {host}")


def parse_addresses(text: str) -> tuple[str, ...]:
    """`127.1.2.21+` (from that one to .29), `127.1.2.21,127.1.2.22`, or a JSON list, as addresses."""
    text = text.strip()
    if text.startswith("["):
        return tuple(str(one) for one in json.loads(text))
    if text.endswith("+"):
        prefix, _, last = text[:-1].rpartition(".")
        return tuple(f"{prefix}.{n}" for n in range(int(last), int(last) + 9))
    return tuple(part.strip() for part in text.split(",") if part.strip())
