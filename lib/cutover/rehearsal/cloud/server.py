"""The AWS APIs on loopback: moto's WSGI application behind our layer, served by cheroot."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cheroot import wsgi

from cutover.errors import StageError, UsageError
from cutover.migration import require_loopback

if TYPE_CHECKING:
    from cutover.rehearsal.cloud.layer import Layer
    from cutover.rehearsal.cloud.scheduler import Scheduler
    from cutover.rehearsal.cloud.tasks import Runtime

os.environ.setdefault("MOTO_ACCOUNT_ID", "123456789012")
os.environ.setdefault("MOTO_ACM_VALIDATION_WAIT", "0")
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

MOTO_VERSION = "5.2.5"
"""The version whose internals the extensions here are written for; pinned in pyproject.toml."""


class Cloud:
    """A running emulator, one for a process: moto's state is global. Use as a context manager.

    Args:
        state: folder for `calls.jsonl`, `faults.json` and `targets.json`; made when it is not there.
        host: a loopback address; any other is refused.
        port: 0 takes a free one.
        threads: how many requests are answered at the same time.
        runtime: what stands behind ECS tasks; bookkeeping alone when left out.

    Raises:
        UsageError: `host` is not on loopback.
        StageError: the address cannot be bound, or another moto than the pinned one is installed.
    """

    def __init__(
        self,
        state: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        threads: int = 6,
        runtime: Runtime | None = None,
    ) -> None:
        try:
            require_loopback(host)
        except ValueError as error:
            raise UsageError(
                f"The emulator serves loopback addresses only, not {host!r}.",
                why="it answers anyone who asks, with no password.",
                todo="give --host 127.0.0.1 or another address of 127.0.0.0/8.",
            ) from error
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        application, self._scheduler = _application(state, runtime)
        self._server = wsgi.Server((host, port), application, numthreads=threads, request_queue_size=128)
        try:
            self._server.prepare()
        except OSError as error:
            raise StageError(
                f"The emulator cannot listen on {host}:{port}: {error}.",
                todo="choose another --port, or 0 for a free one.",
            ) from error
        self.host, self.port = self._server.bind_addr[:2]
        self._thread = threading.Thread(target=self._server.serve, name="cloud", daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """The URL for boto3's `endpoint_url`."""
        return f"http://{self.host}:{self.port}"

    def stop(self) -> None:
        """Stop the tasks, then stop answering."""
        self._scheduler.close()
        self._server.stop()
        self._thread.join(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _application(state: Path, runtime: Runtime | None) -> tuple[Layer, Scheduler]:
    """moto's application with what it lacks, behind the layer. Imported here: moto reads its settings on import."""
    import moto  # noqa: PLC0415
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    from cutover.rehearsal.cloud import extensions  # noqa: PLC0415
    from cutover.rehearsal.cloud.layer import Layer  # noqa: PLC0415

    if moto.__version__ != MOTO_VERSION:
        raise StageError(
            f"The emulator is written for moto {MOTO_VERSION}, and {moto.__version__} is installed.",
            why="what moto lacks is added to its classes, and these change between versions.",
            todo="install what requirements.lock says: make lock-install, or pip install moto==" + MOTO_VERSION,
        )
    scheduler = extensions.install(state, runtime)
    layer = Layer(DomainDispatcherApplication(create_backend_app), state=state, server=f"moto/{moto.__version__}")
    return layer, scheduler
