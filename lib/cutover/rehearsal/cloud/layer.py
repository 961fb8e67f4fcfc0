"""What stands in front of moto: a journal of every call, faults on request, and proper errors where moto has none.

Faults are read from `FOLDER/faults.json`, a list of objects, whenever the file changes:

    [{"service": "ecs", "operation": "Update*", "error": "AccessDenied", "times": 2, "delay_s": 0.5}]

`service` and `operation` are shell patterns (`*` when absent); `error` is AccessDenied, Throttling, InternalError or
any code, absent for a delay alone; `answer` is a text that is answered with status 200 in place of the true one;
`times` bounds how often it strikes (for ever when absent). A missing file means no faults.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cutover.rehearsal.cloud.wire import Call, Environ, error_response, read_call

StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

_ERRORS = {
    "AccessDenied": ("AccessDeniedException", 400, "User is not authorized to perform: {service}:{operation}"),
    "Throttling": ("ThrottlingException", 400, "Rate exceeded"),
    "InternalError": ("InternalFailure", 500, "The request processing has failed because of an unknown error"),
}
_CODE_OF_SERVICE = {
    ("AccessDenied", "ec2"): ("UnauthorizedOperation", 403),
    ("AccessDenied", "s3"): ("AccessDenied", 403),
    ("AccessDenied", "iam"): ("AccessDenied", 403),
    ("AccessDenied", "rds"): ("AccessDenied", 403),
    ("AccessDenied", "elasticache"): ("AccessDenied", 403),
    ("AccessDenied", "elbv2"): ("AccessDenied", 403),
    ("AccessDenied", "route53"): ("AccessDenied", 403),
    ("AccessDenied", "cloudfront"): ("AccessDenied", 403),
    ("AccessDenied", "sns"): ("AuthorizationError", 403),
    ("Throttling", "ec2"): ("RequestLimitExceeded", 503),
    ("Throttling", "s3"): ("SlowDown", 503),
    ("Throttling", "iam"): ("Throttling", 400),
    ("Throttling", "rds"): ("Throttling", 400),
    ("Throttling", "elasticache"): ("Throttling", 400),
    ("Throttling", "elbv2"): ("Throttling", 400),
    ("Throttling", "route53"): ("Throttling", 400),
}
"""Codes as the services really name them, where they differ from the common ones above."""


@dataclass(slots=True)
class Fault:
    """One fault of `faults.json`; `left` counts down the times it still strikes, None for ever."""

    service: str = "*"
    operation: str = "*"
    error: str = ""
    answer: str | None = None
    delay_s: float = 0.0
    left: int | None = None

    def meets(self, call: Call) -> bool:
        """Whether it strikes this call."""
        return (
            self.left != 0 and fnmatchcase(call.service, self.service) and fnmatchcase(call.operation, self.operation)
        )


@dataclass(slots=True)
class Faults:
    """The faults that a file asks for; re-read when the file changes."""

    path: Path
    _seen: tuple[int, int] | None = None
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, call: Call) -> Fault | None:
        """The first fault that meets `call`, counted down; None when nothing is to go wrong."""
        with self._lock:
            self._reload()
            for fault in self._faults:
                if fault.meets(call):
                    if fault.left is not None:
                        fault.left -= 1
                    return fault
        return None

    def _reload(self) -> None:
        try:
            stat = self.path.stat()
            version = (stat.st_mtime_ns, stat.st_ino)
            if version == self._seen:
                return
            raw = json.loads(self.path.read_text())
        except FileNotFoundError:
            self._seen, self._faults = None, []
            return
        except ValueError:  # being written: what held until now still holds
            return
        self._seen = version
        self._faults = [
            Fault(
                service=str(one.get("service", "*")),
                operation=str(one.get("operation", "*")),
                error=str(one.get("error") or ""),
                answer=one.get("answer"),
                delay_s=float(one.get("delay_s", 0)),
                left=one.get("times"),
            )
            for one in raw
        ]


class Journal:
    """One JSON line for each call: when, what, who, how it ended. Bodies are left out: they hold secrets."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, call: Call, *, status: int, seconds: float, error: str = "", request_id: str = "") -> None:
        """Append one call."""
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "service": call.service,
            "operation": call.operation,
            "region": call.region,
            "access_key": call.access_key,
            "status": status,
            "seconds": round(seconds, 4),
            "request_id": request_id,
        } | ({"error": error} if error else {})
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


class Layer:
    """WSGI middleware around moto's application.

    Args:
        app: moto's WSGI application.
        state: the folder of `faults.json` and `calls.jsonl`.
        server: the `Server` header of every answer; instruments read the emulator's version from it.
    """

    def __init__(self, app: WsgiApp, *, state: Path, server: str) -> None:
        self._app, self._server = app, server
        self._faults = Faults(state / "faults.json")
        self._journal = Journal(state / "calls.jsonl")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        call = read_call(environ)
        fault = self._faults.strike(call)
        if fault and fault.delay_s:
            time.sleep(fault.delay_s)
        seen: dict[str, Any] = {"status": 200, "request_id": ""}
        answer = self._faulty(call, fault, environ) if fault and fault.error else None

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            seen["status"] = int(status.split(" ", 1)[0])
            kept = [(k, v) for k, v in headers if k.lower() != "server"]
            seen["request_id"] = next((v for k, v in kept if k.lower() in {"x-amzn-requestid", "x-amz-request-id"}), "")
            return start_response(status, [*kept, ("Server", self._server)], exc_info)

        if fault and fault.answer is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            text = fault.answer.encode()
            start("200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(text)))])
            body: Iterable[bytes] = [text]
        elif answer is None:
            try:
                body = self._app(environ, start)
            except Exception as error:
                code, message, status_code = _internal(call, error)
                answer = (code, message, status_code)
        if answer is not None:
            code, message, status_code = answer
            seen["error"] = code
            response = error_response(
                call.service, code, message, status_code, content_type=str(environ.get("CONTENT_TYPE", ""))
            )
            start(f"{response.status} {code}", response.headers)
            body = [response.body]
        self._journal.write(call, seconds=time.perf_counter() - began, **seen)
        return body

    def _faulty(self, call: Call, fault: Fault, environ: Environ) -> tuple[str, str, int]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        code, status, text = _ERRORS.get(fault.error, (fault.error, 400, "Injected: {service}:{operation}"))
        code, status = _CODE_OF_SERVICE.get((fault.error, call.service), (code, status))
        return code, text.format(service=call.service, operation=call.operation), status


def _internal(call: Call, error: Exception) -> tuple[str, str, int]:
    """What moto could not answer: `NotImplemented` where it lacks the operation, an internal failure where it broke."""
    where = f"{call.service}:{call.operation}"
    lacking = isinstance(error, NotImplementedError) or (
        isinstance(error, AttributeError | TypeError) and "NoneType" in str(error) and _came_from_routing(error)
    )
    if lacking:
        return "NotImplemented", f"The emulator does not implement {where}.", 501
    traceback.print_exception(error, file=sys.stderr)
    return "InternalFailure", f"The emulator broke on {where}: {type(error).__name__}: {str(error)[:300]}", 500


def _came_from_routing(error: BaseException) -> bool:
    """Whether moto failed to find a backend at all (an unknown service), rather than within one."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].name in {"get_backend", "create_backend_app", "_import_backend", "import_module"}
