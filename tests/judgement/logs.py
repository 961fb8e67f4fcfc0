"""Load logs with known answers, for the judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

T0 = 1_800_000_000.0
"""When the logs of these tests begin, epoch seconds."""


def log(
    due: Iterable[float],
    took: Sequence[float] | float = 0.1,
    outcome: Sequence[str] | str = "ok",
    *,
    at: float | None = None,
    warm_up: float = 0.0,
    **attrs: object,
) -> pd.DataFrame:
    """A log of requests due at `T0 + due`; `took` is their response time, infinity for what never came back."""
    due = np.array(list(due), dtype=float)
    took = np.broadcast_to(np.array(took, dtype=float), due.shape)
    outcomes = np.broadcast_to(np.array(outcome, dtype=object), due.shape).copy()
    done = np.where(np.isinf(took), np.nan, T0 + due + took)
    outcomes[np.isinf(took)] = "in_flight"
    never = outcomes == "never_sent"
    frame = pd.DataFrame(
        {
            "due_s": T0 + due,
            "sent_s": np.where(never, np.nan, T0 + due),
            "done_s": np.where(never, np.nan, done),
            "endpoint": "GET /",
            "outcome": outcomes,
            "status": 200,
            "bytes": 1,
            "worker": "worker-1",
        }
    )
    end = T0 + at if at is not None else float(np.nanmax(frame[["due_s", "done_s"]].to_numpy(), initial=T0))
    frame.attrs.update({"at": end, "horizon": end, "started": T0, "warm_up_until": T0 + warm_up, **attrs})
    return frame


def steady(seconds: float, per_s: float = 10, start: float = 0.0) -> np.ndarray:
    """Due times, evenly spaced."""
    return start + np.arange(round(seconds * per_s)) / per_s


def cut(frame: pd.DataFrame, at: float) -> pd.DataFrame:
    """The log as it stood at `T0 + at`: what was due later is not there, what was done later is in flight."""
    now = T0 + at
    frame = frame[frame.due_s <= now].copy()
    late = frame.done_s > now
    frame.loc[late, "outcome"] = "in_flight"
    frame.loc[late, "done_s"] = np.nan
    frame.attrs.update({"at": now, "horizon": now})
    return frame
