"""The papermill engine `cutover`: it tells the truth on every ending of a notebook and leaves no process behind.

papermill's own engine marks cells that never ran as completed when a kernel dies, a timeout strikes or a signal
arrives, and lets the processes of a kernel live on (`papermill/engines.py`, `notebook_complete`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cutover.engine.kernel import Kernel
from cutover.engine.parameters_cell import parameters_cell
from cutover.engine.record import Ending, NotebookRecord, State
from cutover.engine.session import Session, session
from cutover.errors import ExitCode, UsageError
from cutover.progress import line_in


class CutoverEngine:
    """What `papermill --engine cutover` and `cutover run` execute notebooks with (papermill asks for these names).

    It does not inherit from papermill's Engine: papermill loads this module while it is being loaded itself.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        *,
        shared: Session | None = None,
        kernel: Kernel | None = None,
        on_end: Callable[[Ending], None] | None = None,
        on_cell: Callable[[int, int], None] | None = None,
        on_line: Callable[[str], None] | None = None,
        **options: Any,
    ) -> Any:
        """Execute a notebook; return a redacted copy, or raise when it did not complete.

        Args:
            nb: the notebook with its parameters injected.
            kernel_name: which kernel to start when none is given.
            output_path: where it is saved, again and again; None saves nowhere.
            progress_bar: a bar over the cells on standard error.
            shared: what a run of several notebooks shares; one for this notebook alone by default.
            kernel: a kernel that was started before; the engine ends it.
            on_end: told how it ended, before anything is raised.
            on_cell: told the position of each cell that begins, and how many there are.
            on_line: told the lines of progress that a cell has repeated, redacted.
            options: of papermill: `start_timeout`, `execution_timeout` (seconds for one cell), `log_output`,
                `stdout_file`, `stderr_file`; of ours: `notebook_timeout` (seconds for all cells together).

        Raises:
            PapermillExecutionError: a cell raised.
            DeadKernelError: the kernel died (nbclient's; papermill ends with exit code 138).
            CellTimeoutError: a timeout struck (nbclient's).
            SystemExit: 130 after SIGINT, 143 after SIGTERM.
            OSError: the notebook could not be saved.
            StrayParameters: parameters were given, and not exactly one cell takes them; no kernel is started then.
        """
        _refuse_stray_parameters(nb)
        if shared is None:

            def alone() -> Any:
                with session() as own:
                    return cls.execute_notebook(
                        nb,
                        kernel_name,
                        output_path,
                        progress_bar,
                        shared=own,
                        on_end=on_end,
                        on_cell=on_cell,
                        on_line=on_line,
                        **options,
                    )

            return _outside_of_a_loop(alone)
        from cutover.engine.play import Limits, play  # noqa: PLC0415 - slow; the kernel boots meanwhile

        kernel = kernel or shared.kernels.start(kernel_name)
        record = NotebookRecord(nb, Path(output_path) if output_path else None, shared.redact)
        limits = Limits(
            start_s=options.get("start_timeout") or 60.0,
            cell_s=options.get("execution_timeout"),
            notebook_s=options.get("notebook_timeout"),
        )
        with _progress(len(nb.cells), shown=progress_bar) as bar:

            def cell_begins(index: int, of: int) -> None:
                bar(index)
                if on_cell:
                    on_cell(index, of)

            ending = shared.runner.run(
                play(
                    record,
                    kernel,
                    shared.stop,
                    limits=limits,
                    on_cell=cell_begins,
                    on_output=_repeater(shared.redact, options, on_line),
                )
            )
        if on_end:
            on_end(ending)
        saved = record.published(ending)
        if ending.state is not State.COMPLETED:
            raise _error(ending, saved)
        return saved

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel that the notebook names."""
        from papermill.utils import nb_kernel_name  # noqa: PLC0415

        return str(nb_kernel_name(nb, name))

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The language that the notebook names."""
        from papermill.utils import nb_language  # noqa: PLC0415

        return str(nb_language(nb, language))


class StrayParameters(click.ClickException):
    """Parameters would not reach the notebook: papermill's command shows it as a line, and ends with exit code 2."""

    exit_code = int(ExitCode.USAGE)


def _refuse_stray_parameters(nb: Any) -> None:
    """Whoever gave parameters to papermill must have them reach the notebook.

    Raises:
        StrayParameters: they do not.
    """
    about = nb.metadata.get("papermill", {})
    if about.get("parameters"):
        try:
            parameters_cell(nb.cells, str(about.get("input_path") or "the notebook"))
        except UsageError as error:
            raise StrayParameters(str(error)) from None


def _error(ending: Ending, saved: Any) -> BaseException:
    """The exception that papermill's users know for this ending; made from the redacted notebook."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: PLC0415
    from papermill.exceptions import PapermillExecutionError  # noqa: PLC0415

    match ending.state:
        case State.INTERRUPTED:
            return SystemExit(130)
        case State.TERMINATED:
            return SystemExit(143)
        case State.KERNEL_DIED:
            return DeadKernelError(saved.metadata["cutover"]["reason"])
        case State.TIMEOUT:
            return CellTimeoutError(saved.metadata["cutover"]["reason"])
    index = next(i for i, cell in enumerate(saved.cells) if cell.metadata.get("papermill", {}).get("exception"))
    cell = saved.cells[index]
    output = next((o for o in cell.get("outputs", []) if o.output_type == "error"), None)
    error: BaseException = PapermillExecutionError(
        cell_index=index,
        exec_count=cell.get("execution_count"),
        source=cell.source,
        ename=output.ename if output else ending.error,
        evalue=output.evalue if output else "",
        traceback=list(output.traceback) if output else [],
    )
    return error


def _repeater(
    redact: Callable[[str], str], options: dict[str, Any], on_line: Callable[[str], None] | None
) -> Callable[[Any], None] | None:
    """Repeats outputs, redacted, in papermill's log and in the files it was asked to write; and lines of progress."""
    log, files = options.get("log_output"), {n: options.get(f"{n}_file") for n in ("stdout", "stderr")}
    if not log and not any(files.values()):
        return _lines(redact, on_line)
    from papermill.log import logger  # noqa: PLC0415

    lines = _lines(redact, on_line)

    def repeat(output: Any) -> None:
        if lines is not None:
            lines(output)
        if output.output_type == "stream":
            text = redact("".join(output.text))
            if log:
                (logger.info if output.name == "stdout" else logger.warning)(text)
            if file := files.get(output.name):
                file.write(text)
                file.flush()
        elif log and "text/plain" in output.get("data", {}):
            logger.info(redact("".join(output.data["text/plain"])))

    return repeat


def _lines(redact: Callable[[str], str], on_line: Callable[[str], None] | None) -> Callable[[Any], None] | None:
    if on_line is None:
        return None

    def repeat(output: Any) -> None:
        if line := line_in(output):
            on_line(redact(line))

    return repeat


class _progress:  # noqa: N801 - a context manager that reads as one
    """A bar over the cells; called with the number of cells done."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._bar: Any = None
        if shown:
            from tqdm.auto import tqdm  # noqa: PLC0415

            self._bar = tqdm(total=total, unit="cell", desc="Executing")

    def __call__(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def __enter__(self) -> _progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            if kind is None:
                self._bar.update(self._bar.total - self._bar.n)
            self._bar.close()


def _outside_of_a_loop(work: Callable[[], Any]) -> Any:
    """Run `work` here, or, where an event loop runs already (in Lab), in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    box: list[Any] = []

    def carry() -> None:
        try:
            box.append((True, work()))
        except BaseException as error:  # handed to the waiting thread, which raises it
            box.append((False, error))

    thread = threading.Thread(target=carry)
    thread.start()
    thread.join()
    good, value = box[0]
    if not good:
        raise value
    return value
