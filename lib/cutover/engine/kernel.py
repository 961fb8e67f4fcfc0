"""A kernel as a process of ours: started early, reached over a private socket, ended with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cutover import processes
from cutover.errors import InstrumentError, UsageError

MARK = "CUTOVER_KERNEL"
"""The environment variable by which all that a kernel starts is known."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LONGEST_SOCKET = (
    90  # sun_path holds 108 bytes on Linux and 104 on macOS; the kernel adds "-ipc-5" and a margin is kept
)


class Kernels:
    """The kernels of one run: a private folder for their sockets and secrets, and a guard that outlives the runner.

    Attributes:
        redactions: the file through which kernels and runner share what must be redacted; never under the outputs.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cutover-"))
        self.redactions = self.folder / "redactions.jsonl"
        self._alive: list[Kernel] = []
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", processes.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        self._tell(folder=str(self.folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for kernel in list(self._alive):
            kernel.kill()
        if self._guard.stdin:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()
        self._guard.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(
        self,
        name: str,
        *,
        environment: Mapping[str, str] | None = None,
        preload: Sequence[str] = (),
        cwd: Path | None = None,
    ) -> Kernel:
        """Start the process of a kernel and return at once; `Kernel.connect` waits until it answers.

        Args:
            name: the kernel's name as Jupyter knows it, `python3`.
            environment: variables added to this process's own.
            preload: modules that it loads before it answers; of the kernel `python3` alone.
            cwd: working directory; this process's own by default.

        Raises:
            UsageError: no kernel of that name is installed.
        """
        kernel = Kernel(name, self, environment or {}, preload, cwd)
        self._alive.append(kernel)
        return kernel

    def forget(self, kernel: Kernel) -> None:
        """Nothing of this kernel is left."""
        if kernel in self._alive:
            self._alive.remove(kernel)
            self._tell(unmark=f"{MARK}={kernel.mark}")

    def _tell(self, **entry: str) -> None:
        if self._guard.stdin:
            with contextlib.suppress(OSError):
                self._guard.stdin.write(json.dumps(entry) + "\n")
                self._guard.stdin.flush()


class Kernel:
    """One kernel; made by `Kernels.start`.

    Attributes:
        mark: the value of CUTOVER_KERNEL in the environment of everything that this kernel starts.
        client: the channels to it, once connected.
        language: what it says of its language, once connected.
    """

    def __init__(
        self, name: str, owner: Kernels, environment: Mapping[str, str], preload: Sequence[str], cwd: Path | None
    ) -> None:
        self.name, self.mark = name, secrets.token_hex(12)
        self.client: Any = None
        self.language: dict[str, Any] = {}
        self._owner = owner
        self._file = owner.folder / f"{self.mark[:8]}.json"
        self._words = owner.folder / f"{self.mark[:8]}.log"
        command, extra = _command(name, self._file, preload)
        env = os.environ | extra | dict(environment)
        env |= {MARK: self.mark, "CUTOVER_REDACTIONS": str(owner.redactions), "JPY_PARENT_PID": str(os.getpid())}
        _write_connection(self._file, name)
        owner._tell(mark=f"{MARK}={self.mark}")
        with self._words.open("wb") as words:
            self.process = subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
                preexec_fn=_adopt_orphans if _LIBC else None,  # noqa: PLW1509 - one system call
            )

    @property
    def alive(self) -> bool:
        """Whether the kernel's own process runs."""
        return self.process.poll() is None

    @property
    def death(self) -> str:
        """How the process ended, in words, with the last it wrote to its error stream."""
        code = self.process.poll()
        if code is None:
            return "it is alive"
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
            how += " (often the system, out of memory)" if -code == signal.SIGKILL else ""
        else:
            how = f"ended with exit code {code}"
        with contextlib.suppress(OSError):
            words = self._words.read_text(errors="replace").strip().splitlines()[-3:]
            how += "; its last words: " + " / ".join(words) if words else ""
        return how

    async def connect(self, timeout_s: float) -> None:
        """Wait until the kernel answers on both the channel of requests and the channel of outputs.

        Raises:
            InstrumentError: it died, or did not answer in time.
        """
        from jupyter_client.asynchronous.client import AsyncKernelClient  # noqa: PLC0415 - slow; the kernel boots meanwhile

        client: Any = AsyncKernelClient()
        client.load_connection_file(str(self._file))
        client.start_channels(stdin=False, hb=False)  # nobody is there to answer: input() must fail, not wait
        self.client = client
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                raise InstrumentError(f"The kernel {self.name} died before it answered: {self.death}.")
            asked = client.kernel_info()
            answer = await _reply(client.get_shell_msg, asked, 0.5)
            if answer and await _reply(client.get_iopub_msg, asked, 0.5):
                self.language = answer["content"].get("language_info", {})
                return
        raise InstrumentError(f"The kernel {self.name} did not answer within {timeout_s:g} s.")

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT to the kernel and to what it started without a session of its own."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGINT)

    async def stop(self, *, polite_s: float = 3.0) -> None:
        """Ask the kernel to leave, wait `polite_s` at most, then end it and everything it ever started."""
        tree = processes.family(self.process.pid)
        if self.client is not None:
            if self.alive and polite_s > 0:
                await self._leave(polite_s)
            self.client.stop_channels()
            self.client = None
        self._end(tree)

    async def _leave(self, polite_s: float) -> None:
        """Ask for the shutdown and wait until the process is gone: the reply comes before its exit handlers."""
        self.client.shutdown()
        deadline = time.monotonic() + polite_s
        while self.alive and time.monotonic() < deadline:
            await asyncio.sleep(0.005)

    def kill(self) -> None:
        """End the kernel and everything it ever started, now."""
        self._end(processes.family(self.process.pid))

    def _end(self, tree: dict[int, str]) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        orphans = [pid for pid, begun in tree.items() if processes.started(pid) == begun]
        processes.end(dict.fromkeys(orphans + processes.marked(f"{MARK}={self.mark}"), signal.SIGTERM))
        self._owner.forget(self)
        for path in self._owner.folder.glob(f"{self.mark[:8]}*"):
            if path != self._words:
                path.unlink(missing_ok=True)


def _adopt_orphans() -> None:
    """In the kernel's process before it starts: descendants that lose their parent become its children."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _command(name: str, connection_file: Path, preload: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line and added environment of a kernel."""
    if name == "python3":  # always this interpreter, as jupyter_client does; spares the search through kernel specs
        # In a namespace of their own: the notebook sees no name that it did not import itself.
        lines = [f"--IPKernelApp.exec_lines=exec('import {module}', {{}})" for module in preload]
        return [sys.executable, "-m", "ipykernel_launcher", "-f", str(connection_file), *lines], {}
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # noqa: PLC0415

    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel as error:
        raise UsageError(
            f"The notebook wants the kernel {name!r}, which is not installed.",
            todo="open it in Lab, choose the kernel Python 3, save; or install the kernel.",
        ) from error
    return [part.replace("{connection_file}", str(connection_file)) for part in spec.argv], dict(spec.env)


def _write_connection(path: Path, kernel_name: str) -> None:
    """Unix sockets beside the file: no port to race for, nothing on the network; TCP where paths are too long."""
    from jupyter_client.connect import write_connection_file  # noqa: PLC0415 - slow to import

    address = str(path.with_suffix(""))
    local = hasattr(os, "fork") and len(address.encode()) <= _LONGEST_SOCKET
    write_connection_file(
        str(path),
        ip=address if local else "127.0.0.1",
        transport="ipc" if local else "tcp",
        key=secrets.token_hex(32).encode(),
        kernel_name=kernel_name,
    )


async def _reply(receive: Any, asked: str, timeout_s: float) -> dict[str, Any] | None:
    """The first message about the request `asked`; others are passed over; None when none comes in time."""
    deadline = time.monotonic() + timeout_s
    while (rest := deadline - time.monotonic()) > 0:
        try:
            message: dict[str, Any] = await receive(timeout=rest)
        except queue.Empty:
            return None
        if message["parent_header"].get("msg_id") == asked:
            return message
    return None
