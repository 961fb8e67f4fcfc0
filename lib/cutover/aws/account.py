"""One AWS account as a migration sees it: one session, cached and concurrent reads, every response kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ReadTimeoutError

from cutover import aws_session
from cutover.aws import answer
from cutover.aws.patience import OutOfTime, Patience
from cutover.aws.problem import Problem, describe_error
from cutover.aws.scrub import scrub
from cutover.errors import AwsError
from cutover.files import write_json
from cutover.migration import Migration
from cutover.text import cut

WORKERS = 8
"""Concurrent calls in all: 132 calls with 80 ms each take 1.9 s with 8 threads, 1.1 s with 16, 33.9 s one by one."""
WORKERS_PER_SERVICE = 4
"""Concurrent calls to one service: below every documented throttle for that many calls."""
CALL_BUDGET = 140
"""Distinct calls that a look at all requirements may take."""
CALL_LIMIT_S = 60.0
"""What one call may take in all, with every retry and every page's first byte; after it, it is not tried again."""
READ_TIMEOUT_S = 20.0
"""How long one attempt may be silent."""
PAGES = 60
"""A listing that is longer than this is refused rather than judged on its beginning."""

_EMULATOR = re.compile(r"\bmoto/([\w.+-]+)", re.I)


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS call: client, operation in boto3's spelling, arguments, and a region other than the migration's."""

    service: str
    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    region: str | None = None

    @property
    def key(self) -> str:
        """What makes two calls the same one; safe as a file name."""
        text = json.dumps([self.region, self.arguments], sort_keys=True, default=str)
        return f"{self.service}.{self.operation}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def __str__(self) -> str:
        arguments = ", ".join(f"{k}={cut(str(v), 60)}" for k, v in self.arguments.items())
        return f"{self.service}.{self.operation}({arguments})"


@dataclass(frozen=True, slots=True)
class Response:
    """What a call gave. Secrets are taken out of `data` already; dates are ISO 8601 text, as in the raw file.

    Attributes:
        call: what was asked.
        ok: whether there is an answer.
        data: the answer, pages joined; empty when there is none.
        problem: why there is no answer, None when there is.
        error_code: AWS's code or the exception's name.
        message: AWS's words.
        request_id: AWS's id of the (first) request.
        at: when it was asked, ISO 8601 UTC.
        evidence: the raw file's name, "" when none is kept.
        server: the Server header (an emulator names itself there).
    """

    call: Call
    ok: bool
    data: Mapping[str, Any] = field(default_factory=dict)
    problem: Problem | None = None
    error_code: str = ""
    message: str = ""
    request_id: str = ""
    at: str = ""
    evidence: str = ""
    server: str = ""

    @property
    def emulator(self) -> str | None:
        """The emulator's version when one answered (it names itself in the Server header), else None."""
        found = _EMULATOR.search(self.server)
        return found[1] if found else None

    def require(self, todo: str = "") -> Mapping[str, Any]:
        """The data, for a step that cannot do without it.

        Raises:
            AwsError: there is no answer.
        """
        if not self.ok:
            raise AwsError(
                f"{self.call} has no answer: {self.problem}, {self.error_code}: {self.message}",
                todo=todo or "see that the caller may do this, that the name and the region are right, and run again",
            )
        return self.data

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the content of the raw file."""
        return {
            "service": self.call.service,
            "operation": self.call.operation,
            "arguments": scrub(dict(self.call.arguments)),
            "region": self.call.region,
            "at": self.at,
            "request_id": self.request_id,
            "server": self.server,
            "ok": self.ok,
            "problem": self.problem,
            "error_code": self.error_code,
            "message": self.message,
            "data": self.data,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, evidence: str = "") -> Response:
        """The inverse of `to_dict`: a response from its raw file."""
        call = Call(raw["service"], raw["operation"], raw["arguments"], raw.get("region"))
        problem = Problem(raw["problem"]) if raw.get("problem") else None
        return cls(
            call, raw["ok"], raw["data"], problem, raw["error_code"], raw["message"], raw["request_id"], raw["at"],
            evidence, raw.get("server", ""),
        )  # fmt: skip


class Account:
    """The account of a migration. Reads are cached, and the same read by two threads is made once.

    In the rehearsal the emulator is called with explicit dummy credentials; the user's own are not even read.

    Args:
        migration: whose account, region and endpoint.
        raw: the folder that keeps every response (`raw/aws` of a run), or None to keep none.
        limit_s: what one call may take in all, with its retries.
    """

    def __init__(self, migration: Migration, *, raw: Path | None = None, limit_s: float = CALL_LIMIT_S) -> None:
        self.migration = migration
        self.region = migration.region
        self.endpoint = migration.endpoint
        self.raw = raw
        self.limit_s = limit_s
        self.calls: Counter[str] = Counter()
        self._session = aws_session.session(self.region, self.endpoint)
        self._patience = Patience(limit_s)
        self._silent: dict[str, str] = {}
        self._workers = threading.BoundedSemaphore(WORKERS)
        self._clients: dict[tuple[str, str], Any] = {}
        self._answers: dict[str, Future[Response]] = {}
        self._gates: dict[str, threading.BoundedSemaphore] = {}
        self._kept: dict[str, int] = {}
        self._lock = threading.RLock()
        self._making = threading.Lock()

    def client(self, service: str, *, region: str | None = None) -> Any:
        """The boto3 client of a service, made once (a client takes 20–100 ms to make) and shared by all threads."""
        key = (service, region or self.region)
        with self._making:  # not the lock of the answers: whoever has one need not wait for a client
            if key not in self._clients:
                client = aws_session.client(
                    service,
                    region=key[1],
                    endpoint=self.endpoint,
                    connect_s=min(10.0, self.limit_s),
                    read_s=min(READ_TIMEOUT_S, self.limit_s),
                    attempts=3 if self.endpoint else 8,  # what the emulator has not got is a 500 that stays one
                    connections=WORKERS * 2,
                    within=self._session,
                )
                self._patience.watch(client)
                answer.watch(client)
                self._clients[key] = client
            return self._clients[key]

    def call(
        self, service: str, operation: str, /, *, region: str | None = None, fresh: bool = False, **arguments: Any
    ) -> Response:
        """The response to one call; never raises for what AWS or the network answers.

        Args:
            service: boto3's name of the client.
            operation: boto3's name of the method.
            region: another region than the migration's.
            fresh: ask again, past the cache (for polling and for reading back).
            arguments: the call's arguments.
        """
        call = Call(service, operation, arguments, region if region != self.region else None)
        if fresh:
            response = self._ask(call, fresh=True)
            done: Future[Response] = Future()
            done.set_result(response)
            with self._lock:
                self._answers[call.key] = done
            return response
        with self._lock:
            future = self._answers.get(call.key)
            mine = future is None
            if future is None:
                future = self._answers[call.key] = Future()
        if mine:
            try:
                future.set_result(self._ask(call))
            except BaseException as error:
                with self._lock:
                    self._answers.pop(call.key, None)
                future.set_exception(error)
                raise
        return future.result()

    def change(self, service: str, operation: str, /, **arguments: Any) -> Response:
        """Make one call that changes something: never cached, kept as evidence, and what was cached of it forgotten.

        Raises:
            AwsError: AWS refused, or could not be reached; what is then the case must be looked at.
        """
        response = self._ask(Call(service, operation, arguments), fresh=True)
        self.forget(service)
        response.require(
            f"look at what is there now before trying again: {service}.{operation} may have been carried out"
        )
        return response

    def forget(self, service: str | None = None) -> None:
        """Drop what is cached (of one service), after something was changed."""
        with self._lock:
            for key in [k for k in self._answers if service is None or k.startswith(f"{service}.")]:
                del self._answers[key]

    def identity(self) -> Response:
        """Who asks: STS's Account, Arn and UserId."""
        return self.call("sts", "get_caller_identity")

    @property
    def budget(self) -> str:
        """What was spent so far, in words: calls and services."""
        return f"{self.calls.total()} calls to {len(+self.calls)} services, at most {CALL_BUDGET} planned"

    @property
    def emulator(self) -> str | None:
        """The emulator's version when one answers (it names itself in the Server header), else None."""
        return self.identity().emulator

    def _ask(self, call: Call, *, fresh: bool = False) -> Response:
        with self._lock:
            gate = self._gates.setdefault(call.service, threading.BoundedSemaphore(WORKERS_PER_SERVICE))
        with contextlib.suppress(Exception):  # made before a place is taken, where it would be waited for
            self.client(call.service, region=call.region)
        # The service's gate before the common one: who waits for a slow service keeps nobody else from being asked.
        with gate, self._workers:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            try:
                self._refuse_what_is_silent(call, fresh=fresh)
                with self._patience:
                    data = self._send(call)
                metadata = data.pop("ResponseMetadata", {})
                response = Response(
                    call,
                    True,
                    scrub(data),
                    request_id=str(metadata.get("RequestId", "")),
                    at=at,
                    server=str(metadata.get("HTTPHeaders", {}).get("server", "")),
                )
            except Exception as error:
                problem, code, message = describe_error(error)
                if isinstance(error, ReadTimeoutError | OutOfTime):
                    self._silent.setdefault(call.service, f"{call.operation} was not answered within its time")
                answered = getattr(error, "response", None)  # None on a time-out
                metadata = answered.get("ResponseMetadata", {}) if isinstance(answered, Mapping) else {}
                response = Response(
                    call,
                    False,
                    {},
                    problem,
                    code,
                    cut(str(scrub(message)), 300),
                    str(metadata.get("RequestId", "")),
                    at,
                    server=str(metadata.get("HTTPHeaders", {}).get("server", "")),
                )
        return self._keep(response)

    def _refuse_what_is_silent(self, call: Call, *, fresh: bool) -> None:
        """One call that ran out of time is waited for; the others to that service are not asked at all."""
        self.calls[call.service] += call.service != "files"
        if not fresh and call.service in self._silent:
            self.calls[call.service] -= 1
            raise OutOfTime(f"not asked: {call.service} is silent, {self._silent[call.service]}")

    def _send(self, call: Call) -> dict[str, Any]:
        if call.service == "files":  # a file of the application's repository: evidence like any other answer
            return {"Text": Path(call.arguments["Path"]).read_text(encoding="utf-8")}
        client = self.client(call.service, region=call.region)
        if not client.can_paginate(call.operation) or _is_limited(call):
            return answer.checked(call.service, call.operation, getattr(client, call.operation)(**call.arguments))
        paginator = client.get_paginator(call.operation)
        whole: dict[str, Any] = {}
        for number, read in enumerate(paginator.paginate(**call.arguments)):
            page = answer.checked(call.service, call.operation, read)
            if number >= PAGES:
                raise AwsError(f"{call} has more than {PAGES} pages.", todo="narrow the expectation that asks for it")
            if not whole:
                whole = page
                continue
            for expression in paginator.result_keys:
                more = expression.search(page)
                if isinstance(more, list):
                    _extend(whole, expression.expression, more)
        return whole

    def _keep(self, response: Response) -> Response:
        if self.raw is None:
            return response
        key = response.call.key
        with self._lock:
            number = self._kept.get(key, 0) + 1
            while (self.raw / _raw_name(key, number)).exists():
                number += 1  # an earlier step of the same run asked the same
            self._kept[key] = number
        name = _raw_name(key, number)
        write_json(self.raw / name, response.to_dict())
        return Response(**{f: getattr(response, f) for f in Response.__slots__} | {"evidence": name})


def _raw_name(key: str, number: int) -> str:
    return f"{key}.json" if number == 1 else f"{key}-{number:03d}.json"


def _is_limited(call: Call) -> bool:
    """Whether the call itself says how much it wants: then one page is what it gets."""
    return any(k in call.arguments for k in ("MaxItems", "limit", "MaxRecords", "maxResults", "MaxResults"))


def _extend(whole: dict[str, Any], path: str, more: list[Any]) -> None:
    *outer, last = path.split(".")
    part = whole
    for key in outer:
        part = part.setdefault(key, {})
    part[last] = [*(part.get(last) or []), *more]
