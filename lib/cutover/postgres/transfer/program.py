"""Running PostgreSQL's programs: their words read as they come, their passwords in no argument, never outliving us."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cutover.errors import DatabaseError
from cutover.processes import end


def run(command: list[str], environment: Mapping[str, str], listen: Callable[[str], None]) -> tuple[int, list[str]]:
    """Run a program to its end and return its exit code and stderr; it does not outlive us when we are interrupted.

    Args:
        command: the program and its arguments.
        environment: all of it; the password stands here.
        listen: called with every line of stderr as it comes, from one thread.

    Raises:
        DatabaseError: it cannot be started.
    """
    lines: list[str] = []
    with _program(command, environment) as process:

        def read() -> None:
            for raw in process.stderr or ():
                line = raw.rstrip("\n")
                lines.append(line)
                listen(line)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        exit_code = process.wait()
        reader.join(timeout=10)
    return exit_code, lines


@contextmanager
def _program(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise DatabaseError(f"{command[0]} cannot be started: {error.strerror}.") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            end({process.pid: signal.SIGTERM}, timeout_s=5.0)
            process.wait()
