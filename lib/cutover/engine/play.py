"""Plays a notebook's cells in a kernel, one after the other, and says how it ended."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from cutover.engine.kernel import Kernel
from cutover.engine.record import Ending, NotebookRecord, State
from cutover.errors import InstrumentError, Message, raised
from cutover.signals import StopRequest

GRACE_S = 2.0
"""After a stop or a timeout the cell is interrupted as by Ctrl-C and has this long to clean up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds; None is without limit."""

    start_s: float = 60.0
    cell_s: float | None = None
    notebook_s: float | None = None


class _Stopped(Exception):
    """A signal asked for the end."""


class _Late(Exception):
    """A limit was reached."""


class _CellClient(NotebookClient):
    """nbclient's way of running one cell, with a kernel that we own."""

    def __init__(self, record: NotebookRecord, kernel: Kernel, on_output: Callable[[Any], None] | None) -> None:
        # Outputs may trail the reply by seconds on a busy machine: that is no failure of the cell.
        super().__init__(record.nb, kernel_name=kernel.name, iopub_timeout=60, raise_on_iopub_timeout=True)
        self.kc = kernel.client
        self._record, self._kernel, self._on_output = record, kernel, on_output

    async def _async_check_alive(self) -> None:
        if not self._kernel.alive:
            raise DeadKernelError("Kernel died")

    def process_message(self, *arguments: Any, **keywords: Any) -> Any:
        """Take an output in, and have it saved before long."""
        output = super().process_message(*arguments, **keywords)
        self._record.touch()
        message = arguments[0] if arguments else keywords.get("msg")
        if output is None and message and message["msg_type"] == "update_display_data":
            output = NotebookNode(  # type: ignore[no-untyped-call]
                output_type="update_display_data", **message["content"]
            )
        if output is not None and self._on_output:
            self._on_output(output)
        return output


async def play(
    record: NotebookRecord,
    kernel: Kernel,
    stop: StopRequest,
    *,
    limits: Limits = Limits(),
    on_cell: Callable[[int, int], None] | None = None,
    on_output: Callable[[Any], None] | None = None,
) -> Ending:
    """Run every cell until the end, an error, a limit, a stop or the kernel's death; then end the kernel.

    The record is given its last save here, with the kernel gone.

    Raises:
        OSError: the notebook could not be saved; no process is left all the same.
    """
    began = time.monotonic()
    ending = Ending(State.FAILED, "the runner itself failed")
    saving = asyncio.ensure_future(_autosave(record))
    try:
        record.begin()
        ending = await _cells(record, kernel, stop, limits, on_cell, on_output)
    finally:
        saving.cancel()
        await kernel.stop(polite_s=3.0 if ending.state in (State.COMPLETED, State.FAILED) else 0.0)
        leftover = asyncio.all_tasks() - {asyncio.current_task()}
        for task in leftover:
            task.cancel()
        await asyncio.gather(*leftover, return_exceptions=True)
    reason, message, todo = (record.redact(text) for text in (ending.reason, ending.message, ending.todo))
    ending = replace(ending, reason=reason, message=message, todo=todo, seconds=time.monotonic() - began)
    record.end(ending)
    return ending


async def _cells(
    record: NotebookRecord,
    kernel: Kernel,
    stop: StopRequest,
    limits: Limits,
    on_cell: Callable[[int, int], None] | None,
    on_output: Callable[[Any], None] | None,
) -> Ending:
    try:
        await _until_stopped(kernel.connect(limits.start_s), stop, None)
    except InstrumentError as error:
        return Ending(State.KERNEL_DIED, error.what)
    except _Stopped:
        return _by_signal(stop, None)
    record.nb.metadata["language_info"] = kernel.language
    client = _CellClient(record, kernel, on_output)
    client.reset_execution_trackers()
    deadline = None if limits.notebook_s is None else time.monotonic() + limits.notebook_s
    cells = record.nb.cells
    for index, cell in enumerate(cells):
        if on_cell:
            on_cell(index, len(cells))
        record.cell_started(index)
        ending = await _cell(client, cell, index, kernel, stop, limits.cell_s, deadline)
        record.cell_ended(index, ending.state)
        if ending.state is not State.COMPLETED:
            return ending
    with suppress(Exception):  # widgets are decoration: a notebook that completed did so without their state
        client.set_widgets_metadata()
    return Ending(State.COMPLETED)


async def _cell(
    client: _CellClient,
    cell: Any,
    index: int,
    kernel: Kernel,
    stop: StopRequest,
    cell_s: float | None,
    deadline: float | None,
) -> Ending:
    """Run one cell and say how it ended."""
    rest = None if deadline is None else max(0.0, deadline - time.monotonic())
    limit = min((s for s in (cell_s, rest) if s is not None), default=None)
    task = asyncio.ensure_future(client.async_execute_cell(cell, index))
    try:
        try:
            await _until_stopped(task, stop, limit)
        except (_Stopped, _Late):
            kernel.interrupt()
            await asyncio.wait({task}, timeout=GRACE_S)
            task.cancel()
            raise
    except CellExecutionError as error:
        name, message = str(error.ename), str(error.evalue)
        reason = f"{name}: {message}"
        if name == "SystemExit":
            reason = f"sys.exit({message}) left the notebook before its end, so it concluded nothing."
        todo = Message.read(message).todo if raised(name) else ""
        return Ending(State.FAILED, reason, index, name, message, todo=todo)
    except DeadKernelError:
        return Ending(State.KERNEL_DIED, f"The kernel died: {kernel.death}.", index)
    except CellTimeoutError:
        return Ending(State.TIMEOUT, "The kernel stopped sending the cell's outputs.", index)
    except _Late:
        what = f"The cell took longer than {cell_s:g} s." if cell_s == limit else "The notebook's time was up."
        return Ending(State.TIMEOUT, what, index)
    except _Stopped:
        return _by_signal(stop, index)
    return Ending(State.COMPLETED)


def _by_signal(stop: StopRequest, index: int | None) -> Ending:
    if stop.number == signal.SIGINT:
        return Ending(State.INTERRUPTED, "Interrupted by SIGINT (Ctrl-C).", index)
    return Ending(State.TERMINATED, "Terminated by SIGTERM (a cancelled job, a machine that goes down).", index)


async def _until_stopped(
    work: Coroutine[Any, Any, Any] | asyncio.Future[Any], stop: StopRequest, limit_s: float | None
) -> None:
    """Wait for `work`, a stop or the limit, whichever comes first.

    Raises:
        _Stopped: a stop was asked for; the work goes on.
        _Late: the limit was reached; the work goes on.
    """
    task = asyncio.ensure_future(work)
    asked = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, asked}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        elif asked.done():
            raise _Stopped
        else:
            raise _Late
    finally:
        asked.cancel()


async def _autosave(record: NotebookRecord) -> None:
    while True:
        await asyncio.sleep(0.25)
        with suppress(OSError):  # the last save reports it; a disk may have room again by then
            record.autosave()
