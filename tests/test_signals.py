"""A command that is told to end stops what it started, once; whoever held the signal before holds it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cutover.signals import StopRequest, way_out

HANDLED = (signal.SIGTERM, signal.SIGHUP)

NESTED = """
import os, signal
from cutover.signals import way_out
with way_out():
    try:
        with way_out():
            os.kill(os.getpid(), signal.{first})
    finally:
        print("stopped", flush=True)
"""
AGAIN = """
import os, signal
from cutover.signals import way_out
with way_out():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        print("stopped", flush=True)
"""


@pytest.mark.parametrize(
    ("code", "number"),
    [(NESTED.format(first="SIGTERM"), 15), (NESTED.format(first="SIGHUP"), 1), (AGAIN, 15)],
    ids=["nested", "hung up", "told again"],
)
def test_what_was_started_is_stopped_before_the_exit(code: str, number: int) -> None:
    """With the signal's own exit code, one line on standard error, and no second interruption."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr.count("Terminated")) == (128 + number, "stopped\n", 1)


def test_a_run_inside_a_command_asks_first_and_gives_the_signal_back() -> None:
    """The run notes it and ends in order; nothing raises there."""
    before = [signal.getsignal(number) for number in HANDLED]
    with way_out():
        outer = [signal.getsignal(number) for number in HANDLED]
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        assert [signal.getsignal(number) for number in HANDLED] == outer
    assert [signal.getsignal(number) for number in HANDLED] == before
