"""What earlier looks at the account recorded: the newest answer to a question, from the raw files of one or more runs.

A way back must not depend on AWS answering in that very minute, so its arguments come from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cutover.aws.account import Response


class RecordedAnswers:
    """The answers in the `raw/aws` folders of runs; a file that cannot be read is as good as not there.

    Args:
        folders: the runs' `raw/aws`; one that does not exist holds nothing.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)

    def all(self, service: str, operation: str, /, **arguments: Any) -> list[Response]:
        """The answers to an operation, newest first; calls that failed are left out.

        Args:
            service, operation: in boto3's spelling.
            arguments: what the call was asked with; it may have been asked with more.
        """
        found = []
        for folder in self._folders:
            for path in folder.glob(f"{service}.{operation}.*.json"):
                try:
                    response = Response.from_dict(json.loads(path.read_text(encoding="utf-8")), evidence=str(path))
                except (OSError, ValueError, KeyError, TypeError):
                    continue
                if response.ok and arguments.items() <= dict(response.call.arguments).items():
                    found.append(response)
        return sorted(found, key=lambda response: response.at, reverse=True)

    def newest(self, service: str, operation: str, /, **arguments: Any) -> Response | None:
        """The newest of `all`; None when nothing was recorded."""
        return next(iter(self.all(service, operation, **arguments)), None)
