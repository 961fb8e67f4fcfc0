"""What the notebooks of one run share: their kernels, the request to stop, the event loop, the redaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cutover.engine.kernel import Kernels
from cutover.secrets import Redactor, redact
from cutover.signals import StopRequest


@dataclass(frozen=True, slots=True)
class Session:
    """Made by `session()`, shared by every notebook of a run."""

    kernels: Kernels
    stop: StopRequest
    runner: asyncio.Runner
    redact: Callable[[str], str]


@contextmanager
def session() -> Iterator[Session]:
    """Open what a run needs; whatever happens, no kernel and no file of it is left afterwards."""
    with StopRequest() as stop, Kernels() as kernels, asyncio.Runner() as runner:
        shared = Redactor(kernels.redactions)
        shared.register_environment()
        yield Session(kernels, stop, runner, lambda text: redact(shared(text)))
