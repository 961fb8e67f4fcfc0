"""Where requirements read from: the account, or the responses that an earlier look kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from cutover.aws.account import Call, Response
from cutover.aws.problem import Problem


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
        """The recorded response; what was not recorded is a response without an answer."""
        call = Call(service, operation, arguments, region)
        return self._responses.get(call.key) or Response(
            call, False, problem=Problem.REFUSED, error_code="NotRecorded", message="this call is not in the recording"
        )
