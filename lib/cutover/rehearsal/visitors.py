"""Visitors of the rehearsal: a few requests a second, all day long, wherever the DNS name points at that moment.

    VISITORS_LOGIN=email:password python -m cutover.rehearsal.visitors --hostname app.shadowtwin.example \\
        --resolver H:P --homes JSON --rate 8 --log FILE

They arrive at a constant rate whether or not earlier requests were answered, mostly read, sometimes create a twin, now
and then ask for a report. Each request is one line of JSON in the log: `due_s`, `sent_s`, `done_s` (epoch seconds),
`endpoint`, `outcome`, `status`, `home`, `address`. Outcomes: ok, http_4xx, http_5xx, timeout, connection, dns,
never_sent (too many were under way).
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import dns.exception
import dns.resolver

from cutover.signals import stop_event

TIMEOUT_S = 10.0
MOST_IN_FLIGHT = 32
LONGEST_CACHE_S = 1.0
"""A day of the rehearsal is minutes long, so a visitor keeps an answer for at most this long, whatever its TTL."""
_MIX = ("home", "list_twins", "conversations", "list_twins", "conversations", "health", "list_twins", "create_twin")
REPORT_EVERY = 40
"""One arrival in so many asks for a report."""


class UnknownHome(Exception):
    """The name leads to an address at which no home is known."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a name leads right now."""

    name: str
    host: str
    port: int


class Directory:
    """Resolves the hostname through one DNS server and keeps the answer for its TTL, at most `longest_s`."""

    def __init__(self, hostname: str, resolver: str, homes: dict[str, str], *, longest_s: float) -> None:
        host, _, port = resolver.rpartition(":")
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers, self._resolver.port = [host], int(port)
        self._resolver.lifetime = 2.0
        self.hostname, self._homes, self._longest_s = hostname, homes, longest_s
        self._home: Home | None = None
        self._until = 0.0
        self._lock = threading.Lock()

    def home(self) -> Home:
        """The home to visit.

        Raises:
            dns.exception.DNSException: the name cannot be resolved.
            UnknownHome: it leads elsewhere.
        """
        with self._lock:
            if self._home is None or time.monotonic() >= self._until:
                self._home = None
                answer = self._resolver.resolve(self.hostname, "A")
                self._home = self._locate(str(answer.canonical_name).rstrip(".").lower(), str(answer[0]))
                # dnspython gives the smallest TTL of the chain as `expiration`.
                left_s = max(0.0, answer.expiration - time.time())
                self._until = time.monotonic() + min(left_s, self._longest_s)
            return self._home

    def _locate(self, canonical: str, address: str) -> Home:
        by_address = {home.rpartition(":")[0]: name for name, home in self._homes.items()}
        name = canonical if canonical in self._homes else by_address.get(address)
        if name is None:
            raise UnknownHome(f"{address} is no known home")
        host, _, port = self._homes[name].rpartition(":")
        return Home(name, host, int(port))


@dataclass(slots=True)
class Visit:
    """One line of the log."""

    due_s: float
    endpoint: str
    sent_s: float | None = None
    done_s: float | None = None
    outcome: str = "in_flight"
    status: int | None = None
    home: str | None = None
    address: str | None = None


class Visitors:
    """Sends the visits and writes the log."""

    def __init__(self, directory: Directory, login: str, log: TextIO, *, most: int, seed: int) -> None:
        self._directory, self._log = directory, log
        self._email, _, self._password = login.partition(":")
        self._free = threading.BoundedSemaphore(most)
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="visitor")
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._token: str | None = None
        self._twin: str | None = None
        self._hostname = directory.hostname

    def run(self, rate: float, stop: threading.Event, *, max_seconds: float) -> None:
        """Visit at `rate` a second until told to stop, or for `max_seconds`; waits for what is under way."""
        begun, wall = time.monotonic(), time.time()
        for number in itertools.count():
            due = number / rate
            if due >= max_seconds or stop.wait(max(0.0, begun + due - time.monotonic())):
                break
            self._arrive(Visit(due_s=wall + due, endpoint=self._choose(number)))
        self._pool.shutdown(wait=True)

    def _choose(self, number: int) -> str:
        if number % REPORT_EVERY == REPORT_EVERY - 1:
            return "report"
        return self._random.choice(_MIX)

    def _arrive(self, visit: Visit) -> None:
        if not self._free.acquire(blocking=False):
            visit.outcome = "never_sent"
            self._write(visit)
            return
        self._pool.submit(self._visit, visit)

    def _visit(self, visit: Visit) -> None:
        try:
            self._send(visit)
        except Exception as error:
            visit.outcome = f"broken: {type(error).__name__}"
        finally:
            visit.done_s = time.time()
            self._free.release()
            self._write(visit)

    def _send(self, visit: Visit) -> None:
        visit.sent_s = time.time()
        try:
            home = self._directory.home()
        except (dns.exception.DNSException, UnknownHome):
            visit.outcome = "dns"
            return
        visit.home, visit.address = home.name, f"{home.host}:{home.port}"
        try:
            visit.status = self._request(home, visit.endpoint)
        except TimeoutError:
            visit.outcome = "timeout"
        except (OSError, http.client.HTTPException):
            visit.outcome = "connection"
        else:
            visit.outcome = "ok" if visit.status < 400 else f"http_{visit.status // 100}xx"

    def _request(self, home: Home, endpoint: str) -> int:
        if endpoint == "home":
            return self._call(home, "GET", "/")[0]
        if endpoint == "health":
            return self._call(home, "GET", "/api/health")[0]
        token = self._token
        if token is None:
            status, body = self._call(
                home, "POST", "/api/auth/login", {"email": self._email, "password": self._password}
            )
            if status != 200:
                return status
            self._token = token = body["token"]
        status = self._signed_in(home, endpoint, token)
        if status == 401:
            self._token = None
        return status

    def _signed_in(self, home: Home, endpoint: str, token: str) -> int:
        if endpoint == "create_twin":
            name = f"visitor {int(time.time() * 1000)}"
            status, body = self._call(home, "POST", "/api/twins", {"name": name}, token)
            if status == 201:
                self._twin = str(body["id"])
            return status
        if endpoint == "list_twins" or self._twin is None:
            status, body = self._call(home, "GET", "/api/twins", None, token)
            if status == 200 and body["twins"]:
                self._twin = str(body["twins"][0]["id"])
            return status
        if endpoint == "report":
            return self._call(home, "POST", "/api/reports", {"twin_id": self._twin}, token)[0]
        return self._call(home, "GET", f"/api/twins/{self._twin}/conversations", None, token)[0]

    def _call(self, home: Home, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        headers = {"Host": self._hostname, "Connection": "close"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        connection = http.client.HTTPConnection(home.host, home.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = "json" in (response.headers.get("Content-Type") or "")
        return response.status, json.loads(content) if is_json and content else None

    def _write(self, visit: Visit) -> None:
        line = {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(visit).items()}
        with self._lock:
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()


WRITES = ("create_twin", "report")
"""What a visitor does that writes into the database."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What visitors felt of the move: between these two their writes were refused.

    Attributes:
        first_refused_s: when the first write was sent that was refused and followed by no accepted one on the source.
        first_accepted_s: when the target answered its first accepted write.
        refused: how many writes were refused in between.
    """

    first_refused_s: float
    first_accepted_s: float
    refused: int

    @property
    def seconds(self) -> float:
        """How long."""
        return self.first_accepted_s - self.first_refused_s


def refusal(log: Path, new_home: str) -> Refusal | None:
    """How long visitors' writes were refused, from their log; None when the target accepted none.

    Args:
        log: what visitors wrote.
        new_home: the name under which `home` is logged, in part.
    """
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    writes = sorted((v for v in lines if v["endpoint"] in WRITES and v.get("sent_s")), key=lambda v: v["sent_s"])
    accepted = [v for v in writes if v["outcome"] == "ok" and new_home in (v["home"] or "")]
    if not accepted:
        return None
    first = min(v["done_s"] for v in accepted)
    before = [v["sent_s"] for v in writes if v["outcome"] == "ok" and v["done_s"] < first]
    refused = [v["sent_s"] for v in writes if v["outcome"] != "ok" and max(before, default=0.0) < v["sent_s"] < first]
    # No write may have come at all in so short a time: then it is over between the last and the first accepted one.
    begun = min(refused, default=max(before, default=first))
    return Refusal(begun, first, len(refused))


def main() -> int:
    """Visit until SIGTERM, SIGINT or --max-seconds."""
    parser = argparse.ArgumentParser(prog="python -m cutover.rehearsal.visitors", description=__doc__)
    parser.add_argument("--hostname", required=True)
    parser.add_argument("--resolver", required=True, help="address:port of the DNS server")
    parser.add_argument("--homes", type=json.loads, required=True, help='{"canonical name": "address:port"}')
    login = os.environ.get("VISITORS_LOGIN", "")
    parser.add_argument("--login", default=login, help="email:password; better in the variable VISITORS_LOGIN")
    parser.add_argument("--rate", type=_positive, default=8.0, help="arrivals a second")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--in-flight", type=int, default=MOST_IN_FLIGHT)
    parser.add_argument("--longest-cache", type=float, default=LONGEST_CACHE_S, help="seconds")
    parser.add_argument("--max-seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    stop = stop_event()
    homes = {name.rstrip(".").lower(): home for name, home in arguments.homes.items()}
    directory = Directory(arguments.hostname, arguments.resolver, homes, longest_s=arguments.longest_cache)
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    with arguments.log.open("a", encoding="utf-8") as log:
        print("visiting", flush=True)
        visitors = Visitors(directory, arguments.login, log, most=arguments.in_flight, seed=arguments.seed)
        visitors.run(arguments.rate, stop, max_seconds=arguments.max_seconds)
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError("a rate above 0 and at most 1000 a second")
    return value


if __name__ == "__main__":
    sys.exit(main())
