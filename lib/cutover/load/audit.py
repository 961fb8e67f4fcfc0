"""Whether the load generator itself was what was slow: what each of its processes says of itself twice a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cutover.load.summary import nearest_rank

FROZEN_S = 2.5
"""A process that flushes twice a second and has not for so long was stopped, starved or swapped out."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What one process said of the time since its last beat.

    Attributes:
        since, at: epoch seconds.
        behind_s: for how long the next visitor had been due already.
        cpu: share of a core.
        lag: how late its event loop was at worst, seconds.
        rss: resident memory, bytes.
        files: open files and sockets.
    """

    since: float
    at: float
    behind_s: float
    cpu: float
    lag: float
    rss: float
    files: float


def audit(frame: pd.DataFrame, workers: Sequence[Sequence[Beat]]) -> dict[str, Any]:
    """The generator's own numbers over a run, JSON-ready.

    Args:
        frame: the requests, as `read_log` gives them.
        workers: the beats of each process.

    Returns:
        `send_delay_p99_s` from due to sent; `behind_s` how late the arrivals were at worst; `cpu` of the busiest
        process, mean share of a core; `lag_p99_s` and `lag_max_s` of the event loops; `frozen`, stretches of epoch
        seconds in which a process wrote nothing; `rss_bytes` and `files` at most; `never_sent`, arrivals that found
        no place.
    """
    delay = (frame["sent_s"] - frame["due_s"]).to_numpy()
    delay = delay[~np.isnan(delay)]
    beats = [beat for worker in workers for beat in worker]
    steady = [worker[1:] for worker in workers if len(worker) > 1]  # the first holds the start of the interpreter
    lags = [beat.lag for worker in steady for beat in worker]
    frozen = [[b.since, b.at] for worker in steady for b in worker if b.at - b.since > FROZEN_S]
    return {
        "send_delay_p99_s": round(nearest_rank(delay, 99), 6) if len(delay) else 0.0,
        "behind_s": round(max((beat.behind_s for beat in beats), default=0.0), 3),
        "cpu": round(max((float(np.mean([b.cpu for b in worker])) for worker in steady), default=0.0), 3),
        "lag_p99_s": round(nearest_rank(lags, 99), 4) if lags else 0.0,
        "lag_max_s": round(max(lags, default=0.0), 4),
        "frozen": frozen,
        "rss_bytes": int(max((beat.rss for beat in beats), default=0)),
        "files": int(max((beat.files for beat in beats), default=0)),
        "never_sent": int((frame["outcome"] == "never_sent").sum()),
    }
