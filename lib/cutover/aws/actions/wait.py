"""Waiting for AWS, bounded in time and in looks: waiters succeed after a rollback, states do not lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from cutover.aws.account import Account

T = TypeVar("T")


def pause_s(account: Account, real: float = 10.0) -> float:
    """Seconds between two looks: short against the emulator on loopback, polite to AWS."""
    return 0.25 if account.endpoint else real


def look_until(
    look: Callable[[], T], done: Callable[[T], bool], *, timeout_s: float, every_s: float, looks: int = 20_000
) -> tuple[T, bool]:
    """Look again and again until it is done or the time is over.

    Args:
        look: reads the state.
        done: whether the state is an end, good or bad.
        timeout_s: seconds in all.
        every_s: seconds between two looks.
        looks: at most this many.

    Returns:
        The last state, and whether it is an end.
    """
    end = time.monotonic() + timeout_s
    state = look()
    for _ in range(looks):
        if done(state) or time.monotonic() >= end:
            break
        time.sleep(min(every_s, max(end - time.monotonic(), 0.0)))
        state = look()
    return state, done(state)
