"""How long one call may take: retries are good against a throttle, and endless against a service that is silent."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

from botocore.exceptions import ClientError, HTTPClientError


class OutOfTime(HTTPClientError):
    """A call used up its time; what the service said last, if anything, is the error that is shown instead."""

    fmt = "{error}"

    def __init__(self, why: str) -> None:
        super().__init__(error=why)


class Patience:
    """A time limit for each call, over all its attempts. Use as a context manager around a call.

    botocore retries a time-out like a throttle; this stops it before another attempt is sent.

    Args:
        limit_s: seconds from the call's beginning until no further attempt is made.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._mine = threading.local()

    def __enter__(self) -> Self:
        self._mine.until, self._mine.said = time.monotonic() + self.limit_s, None
        return self

    def __exit__(self, *_: object) -> None:
        self._mine.until = None

    def watch(self, client: Any) -> None:
        """Have a client's attempts ask here first."""
        client.meta.events.register("before-send.*", self._before, unique_id="cutover-patience")
        client.meta.events.register("response-received.*", self._after, unique_id="cutover-last-word")

    def _before(self, **_: Any) -> None:
        until = getattr(self._mine, "until", None)
        if until is None or time.monotonic() < until:
            return
        said = self._mine.said
        if said is not None:
            raise said
        raise OutOfTime(f"no answer within {self.limit_s:g} s")

    def _after(self, parsed_response: Any = None, context: Any = None, **_: Any) -> None:
        error = (parsed_response or {}).get("Error")
        self._mine.said = ClientError(parsed_response, "call") if error else None
