"""Where requirements read from: the account, or the responses that an earlier look kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

from cutover.aws import answer
from cutover.aws.account import Call, Response
from cutover.aws.problem import BrokenAnswer, Problem, describe_error


class Reader(Protocol):
    """Whatever answers calls: an `Account`, or the raw files of a run."""

    def call(
        self, service: str, operation: str, /, *, region: str | None = None, fresh: bool = False, **arguments: Any
    ) -> Response:
        """The response to one call."""
        ...


class Recording:
    """The responses of an earlier run, read from its `raw/aws` folder: the same findings again, offline."""

    def __init__(self, responses: Mapping[str, Response]) -> None:
        self._responses = dict(responses)

    @classmethod
    def load(cls, folder: Path, names: Iterable[str] | None = None) -> Self:
        """The raw files of a folder; those of one look, where they are named.

        Raises:
            OSError, ValueError: a file cannot be read.
        """
        paths = sorted(folder.glob("*.json")) if names is None else [folder / name for name in names]
        found = {}
        for path in paths:
            response = Response.from_dict(json.loads(path.read_text(encoding="utf-8")), evidence=path.name)
            found[response.call.key] = response
        return cls(found)

    def call(
        self, service: str, operation: str, /, *, region: str | None = None, fresh: bool = False, **arguments: Any
    ) -> Response:
        """The recorded response; what was not recorded, or broke off, is a response without an answer."""
        call = Call(service, operation, arguments, region)
        found = self._responses.get(call.key) or self._asked_otherwise(call)
        if found is None:
            why = "this call is not in the recording"
            return Response(call, False, problem=Problem.REFUSED, error_code="NotRecorded", message=why)
        if found.ok:
            try:
                answer.checked(service, operation, found.data)
            except BrokenAnswer as error:
                problem, code, message = describe_error(error)
                return replace(found, ok=False, data={}, problem=problem, error_code=code, message=message)
        return found

    def _asked_otherwise(self, call: Call) -> Response | None:
        """The answer to a listing of everything, where an earlier version (or model of AWS) asked otherwise."""
        if (call.service, call.operation) not in _LISTINGS:
            return None
        same = (
            r for r in self._responses.values() if (r.call.service, r.call.operation) == (call.service, call.operation)
        )
        return next((r for r in same if r.call.region == call.region), None)


_LISTINGS = {("cloudwatch", "describe_alarms"), ("acm", "list_certificates")}
"""What is asked of them is everything that there is; which kinds there are, changes."""
