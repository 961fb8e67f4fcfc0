"""Windows over the requests that were due in them: how many came, failed, still wait, and the exact percentiles."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cutover.load.summary import ERRORS, nearest_rank

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

TICK_DIGITS = 6
"""Response times are compared to the microsecond: the difference of two epoch times has noise below it."""
COLUMNS = ["start", "arrivals", "completed", "errors", "error_rate", "p50_s", "p95_s", "in_flight", "never_sent"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A log as it stood at one moment, in the order in which the requests were due.

    Attributes:
        due: epoch seconds.
        response_s: from due to done; of a request in flight its age, a lower bound; NaN for what was never sent.
        error: counts as an error.
        in_flight: not done at `at`.
        never_sent: the generator had no place for it.
        sent: epoch seconds; for what was never sent, or not yet, the moment it was due.
        done: epoch seconds; infinity while in flight, and for what was never sent.
        answered: the platform reacted, be it with an error; False for a timeout.
        at: everything that happened until then is here.
        end: everyone who was due until then is here.
        origin: from then on windows count (the end of the warm-up).
        endpoint: which endpoint was asked; an array of names, or pandas' categories.
    """

    due: Floats
    response_s: Floats
    error: Flags
    in_flight: Flags
    never_sent: Flags
    sent: Floats
    done: Floats
    answered: Flags
    at: float
    end: float
    origin: float
    endpoint: Any

    def of(self, endpoint: str) -> Seen:
        """What concerns one endpoint alone; nobody who found no place asked for any."""
        ours = np.asarray(self.endpoint == endpoint, dtype=bool)
        rows = {f.name: getattr(self, f.name)[ours] for f in fields(self) if f.name not in ("at", "end", "origin")}
        return replace(self, **rows)


def observe(
    frame: pd.DataFrame,
    *,
    at: float | None = None,
    warm_up: timedelta | None = None,
    from_sent: bool = False,
    less_s: float = 0.0,
) -> Seen:
    """The log as it stood at `at` (its own end when None); what happened later is not seen.

    Args:
        frame: as `load.read_log` gives it, in any order of rows; the `attrs` may be missing.
        at: epoch seconds.
        warm_up: how much of the beginning is warm-up; what the log itself says when None.
        from_sent: measure service time (from sent) instead of response time (from due).
        less_s: by how much each answer may have been noticed late; taken off, as a lower bound.
    """
    attrs: dict[Any, Any] = dict(frame.attrs)
    due = frame["due_s"].to_numpy(dtype=np.float64)
    sent, done = frame["sent_s"].to_numpy(dtype=np.float64), frame["done_s"].to_numpy(dtype=np.float64)
    known = float(attrs["at"]) if "at" in attrs else float(max(np.nanmax(c, initial=0.0) for c in (due, sent, done)))
    now = known if at is None else min(at, known)
    end = min(now, float(attrs.get("horizon", now)))
    outcome, endpoint = frame["outcome"], frame["endpoint"].array
    if np.any(due > end) or np.any(due[1:] < due[:-1]):
        order = np.argsort(due, kind="stable")
        order = order[due[order] <= end]  # whoever was due later may be here or not, by chance
        due, sent, done, outcome, endpoint = due[order], sent[order], done[order], outcome.iloc[order], endpoint[order]
    origin = attrs.get("warm_up_until") if warm_up is None else None
    if origin is None:
        first = attrs.get("started", float(due[0]) if len(due) else now)
        origin = float(first) + (warm_up.total_seconds() if warm_up else 0.0)
    never = (outcome == "never_sent").to_numpy(dtype=bool)
    waits = ~never & ~(done <= now)  # NaN compares false: what is not done waits
    unsent = np.isnan(sent) | (sent > now)
    if unsent.any():
        sent = np.where(unsent, due, sent)
    response = np.where(waits, now, done)
    response -= sent if from_sent else due
    response -= less_s
    np.round(response, TICK_DIGITS, out=response)
    response[never] = np.nan
    return Seen(
        due=due,
        response_s=response,
        error=outcome.isin(list(ERRORS)).to_numpy(dtype=bool) & ~waits,
        in_flight=waits,
        never_sent=never,
        sent=sent,
        done=np.where(waits | never, np.inf, done),
        answered=~waits & ~never & (outcome != "timeout").to_numpy(dtype=bool),
        at=now,
        end=end,
        origin=float(origin),
        endpoint=endpoint,
    )


def windows(
    frame: pd.DataFrame, window: timedelta | float, *, at: float | None = None, warm_up: timedelta | None = None
) -> pd.DataFrame:
    """One row for each window of the log, side by side, the warm-up included and marked.

    Args:
        frame: as `load.read_log` gives it.
        window: its length (seconds when a number).
        at: look at the log as it stood then, epoch seconds.
        warm_up: how much of the beginning is warm-up; what the log itself says when None.

    Returns:
        `start` (epoch seconds), `arrivals` (were due in it), `completed`, `errors`, `error_rate` (errors by arrivals:
        what still waits is no error yet), `p50_s` and `p95_s` (response time from due, exact; requests in flight
        count at their age, a lower bound; NaN without any), `in_flight`, `never_sent`, `warm_up`. A window without
        arrivals is there, with NaN. The last one may be cut short by the end of the log.
    """
    return windows_of(observe(frame, at=at, warm_up=warm_up), window)


def windows_of(seen: Seen, window: timedelta | float) -> pd.DataFrame:
    """`windows` of a log that was looked at already."""
    seconds = window.total_seconds() if isinstance(window, timedelta) else float(window)
    if not seconds > 0:
        raise ValueError(f"a window must be longer than nothing, not {seconds} s")
    if not len(seen.due):
        return pd.DataFrame(columns=[*COLUMNS, "warm_up"], dtype=float).astype({"warm_up": bool})
    first = int(np.floor((seen.due[0] - seen.origin) / seconds))
    last = max(first, int(np.ceil((seen.end - seen.origin) / seconds)) - 1)
    starts = seen.origin + np.arange(first, last + 1) * seconds
    edges = np.searchsorted(seen.due, np.append(starts, starts[-1] + seconds))
    rows = []
    for start, low, high in zip(starts, edges[:-1], edges[1:], strict=True):
        part = slice(int(low), int(high))
        count, errors = int(high - low), int(seen.error[part].sum())
        waits, never = int(seen.in_flight[part].sum()), int(seen.never_sent[part].sum())
        response = seen.response_s[part][~seen.never_sent[part]]
        rows.append(
            {
                "start": float(start),
                "arrivals": count,
                "completed": count - waits - never,
                "errors": errors,
                "error_rate": errors / count if count else np.nan,
                "p50_s": nearest_rank(response, 50),
                "p95_s": nearest_rank(response, 95),
                "in_flight": waits,
                "never_sent": never,
                "warm_up": bool(start < seen.origin),
            }
        )
    if len(rows) > 1 and not rows[-1]["arrivals"] and starts[-1] + seconds > seen.end:
        rows.pop()  # the last moments before the end, not a window that was silent
    return pd.DataFrame(rows, columns=[*COLUMNS, "warm_up"])


@dataclass(frozen=True, slots=True)
class Rolling:
    """Whole windows that end at each step after the warm-up.

    Attributes:
        ends: epoch seconds; a window holds what was due in [end - window, end).
        low: index of the first request of each window in `Seen`.
        high: index after the last.
        step_s: seconds between two ends.
    """

    ends: Floats
    low: Counts
    high: Counts
    step_s: float

    def count(self, flags: Flags) -> Counts:
        """How many requests of each window have the flag."""
        total = np.zeros(len(flags) + 1, dtype=np.int64)
        np.cumsum(flags, out=total[1:])
        return np.asarray(total[self.high] - total[self.low], dtype=np.int64)

    def index(self, end: float) -> int:
        """Which window ends at `end`."""
        return int(np.searchsorted(self.ends, end))


def rolling(seen: Seen, window_s: float) -> Rolling:
    """The windows of `window_s` that end every second (for short windows: four times in each)."""
    step = min(1.0, window_s / 4)
    count = int(np.floor((seen.end - seen.origin - window_s) / step + 1e-9)) + 1
    ends = np.asarray(seen.origin + window_s + np.arange(max(count, 0)) * step, dtype=np.float64)
    low = np.searchsorted(seen.due, ends - window_s).astype(np.int64)
    high = np.searchsorted(seen.due, ends).astype(np.int64)
    return Rolling(ends, low, high, step)
