"""Addresses of one stage: a loopback /24 of its own on Linux, different ports of 127.0.0.1 elsewhere."""

from __future__ import annotations

import errno
import random
import socket
from dataclasses import dataclass, field

_HOSTS = {"source": 10, "source-database": 11, "source-queue": 12, "balancer": 20, "target-database": 22}
_HOSTS |= {"target-queue": 23, "staging": 30, "staging-queue": 31, "cloud": 40, "dns": 53}
_USUAL = {"source-database": 5432, "target-database": 5432, "staging": 5000}
_USUAL |= {"source-queue": 6379, "staging-queue": 6379}  # before the target's stands TLS, which takes 6379
"""With an address of its own, a part listens where such a part always listens."""
_MARK = 47_001
"""A stage listens here on the first address of its /24: that marks it as taken."""


@dataclass(frozen=True)
class Network:
    """Host and port of every part, chosen before anything starts, so that each may know the others.

    Attributes:
        prefix: first three octets of the stage's /24, or None where only 127.0.0.1 exists.
        web_port: the one port on which the source application and the balancer both listen, as they would on 443.
    """

    prefix: str | None
    web_port: int
    ports: dict[str, int] = field(default_factory=dict)

    def host(self, part: str) -> str:
        """The address of a part."""
        return f"{self.prefix}.{_HOSTS[part]}" if self.prefix else "127.0.0.1"

    def port(self, part: str) -> int:
        """The port of a part."""
        if self.prefix and part in ("source", "balancer"):
            return self.web_port
        return self.ports[part]

    def address(self, part: str) -> str:
        """`host:port` of a part."""
        return f"{self.host(part)}:{self.port(part)}"

    def task_addresses(self, count: int) -> list[str]:
        """Addresses for ECS tasks: each its own, as in awsvpc mode."""
        return [f"{self.prefix}.{100 + i}" for i in range(count)] if self.prefix else ["127.0.0.1"] * count


def choose_network() -> Network:
    """Find a /24 of 127/8 on which nothing listens yet, or free ports of 127.0.0.1.

    Raises:
        OSError: not even 127.0.0.1 can be bound.
    """
    prefix = _free_prefix()
    ports = {}
    for part, number in _HOSTS.items():
        host = f"{prefix}.{number}" if prefix else "127.0.0.1"
        ports[part] = _free_port(host, _USUAL.get(part, 0) if prefix else 0)
    web = _common_port([f"{prefix}.{_HOSTS['source']}", f"{prefix}.{_HOSTS['balancer']}"]) if prefix else 0
    return Network(prefix, web, ports)


def _free_prefix() -> str | None:
    for third in random.sample(range(1, 255), 50):
        prefix = f"127.77.{third}"
        try:
            with socket.socket() as probe:
                probe.bind((f"{prefix}.1", _MARK))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:  # macOS: only 127.0.0.1 is there
                return None
            continue
        return prefix
    return None


def hold(network: Network) -> socket.socket | None:
    """Take the /24 for this process, until the socket is closed."""
    if network.prefix is None:
        return None
    mark = socket.socket()
    mark.bind((f"{network.prefix}.1", _MARK))
    mark.listen(1)
    return mark


def _free_port(host: str, wanted: int = 0) -> int:
    """`wanted` when nobody has it at this address, else one that is free now."""
    with socket.socket() as probe:
        try:
            probe.bind((host, wanted))
        except OSError:
            if not wanted:
                raise
            return _free_port(host)
        return int(probe.getsockname()[1])


def _common_port(hosts: list[str]) -> int:
    candidates: list[int] = [8080, *range(18080, 18180)]
    for port in candidates:
        try:
            for host in hosts:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, port))
        except OSError:
            continue
        return port
    raise OSError("no port is free on both the source's and the balancer's address")
