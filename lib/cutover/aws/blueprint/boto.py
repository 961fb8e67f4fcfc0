"""The blueprint's calls made through boto3: how the rehearsal's account is built, by what the remedy's script says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import jmespath  # type: ignore[import-untyped]

from cutover.aws.blueprint.operation import (
    ENCODED,
    UNIQUE,
    Call,
    Demand,
    Each,
    Let,
    Node,
    Wait,
    Write,
    filled,
)

Client = Callable[[str, str], Any]
"""The boto3 client of a service in a region ("": the site's)."""
Adapt = Callable[[Call], Call | None]
"""The call that is made instead of one of the table, its values put in already; None makes none."""


class Builder:
    """Makes calls one after the other and keeps what they give.

    Attributes:
        values: by variable, what is known and what a person would give; texts of files by the file's variable.
    """

    def __init__(
        self,
        client: Client,
        values: dict[str, str],
        *,
        adapt: Adapt = lambda call: call,
        pause_s: float = 0.1,
        patience_s: float = 60.0,
    ) -> None:
        self.values = values
        self._client, self._adapt = client, adapt
        self._pause_s, self._patience_s = pause_s, patience_s

    def run(self, nodes: Iterable[Node]) -> None:
        """Make all of it.

        Raises:
            botocore.exceptions.ClientError, botocore.exceptions.WaiterError: AWS refuses a call, or never gets ready.
            KeyError: a variable that nothing gives.
        """
        for node in nodes:
            match node:
                case Call():
                    self._make(node)
                case Wait(otherwise=""):
                    self._wait(node)
                case Let():
                    text = self._filled(node.text)
                    self.values[node.name] = text.split(node.after, 1)[-1] if node.after else text
                case Write():
                    parts = [self._value(p) for p in node.parts]
                    self.values.setdefault(f"PRIVATE_FOLDER/{node.name}", node.text.format(*parts))
                case Each():
                    self._each(node)
                case Demand():
                    self._look(node.look)

    def _make(self, made: Call) -> None:
        adapted = self._adapt(replace(made, arguments=self._arguments(made)))
        if adapted is None:
            return
        answer = self._ask(adapted)
        if made.into:
            found = jmespath.search(made.query, answer)
            self.values[made.into] = " ".join(found) if isinstance(found, list) else str(found)

    def _ask(self, made: Call) -> Mapping[str, Any]:
        client = self._client(made.service, made.region)
        answer: Mapping[str, Any] = getattr(client, made.operation)(**made.arguments)
        return answer

    def _look(self, look: Call) -> Mapping[str, Any]:
        return self._ask(replace(look, arguments=self._arguments(look)))

    def _arguments(self, made: Call) -> dict[str, Any]:
        return {name: self._value(value) for name, value in made.arguments.items()}

    def _wait(self, wait: Wait) -> None:
        often = {"Delay": self._pause_s, "MaxAttempts": int(self._patience_s / self._pause_s)}
        waiter = self._client(wait.service, "").get_waiter(wait.waiter)
        waiter.wait(**self._filled(wait.arguments), WaiterConfig=often)

    def _each(self, each: Each) -> None:
        end = time.monotonic() + self._patience_s
        while not (rows := jmespath.search(each.look.query, self._look(each.look))):
            if time.monotonic() > end:
                raise TimeoutError(f"{each.look.service}.{each.look.operation} finds nothing at {each.look.query}")
            time.sleep(self._pause_s)
        for row in sorted(set(map(tuple, rows))):
            self.values.update(zip(each.names, map(str, row), strict=True))
            self._make(each.do)

    def _value(self, value: Any) -> Any:
        """An argument; the text of a file is taken as it is, whatever `$` stands in it."""
        if isinstance(value, str) and value.startswith(ENCODED):
            return quote(str(self._value(value.removeprefix(ENCODED))).strip("\n"), safe="")
        if isinstance(value, str) and value.startswith("file://$"):
            return self.values[value.removeprefix("file://$")]
        return self._filled(value)

    def _filled(self, value: Any) -> Any:
        return filled(value, lambda name: self.values[name] if f"${name}" != UNIQUE else str(time.time_ns()))
