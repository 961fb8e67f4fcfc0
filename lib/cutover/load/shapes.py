"""From the parameters to a schedule of arrivals: steady, ramp, spike, stress to the breaking point, a log replayed."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

from cutover.errors import UsageError
from cutover.load.arrivals import Schedule, steady
from cutover.migration import Load


def schedule(load: Load) -> Schedule:
    """The schedule that the parameters describe.

    Raises:
        UsageError: a replayed log that cannot be read or holds nothing.
    """
    rate, span = load.arrivals_per_s, load.duration.total_seconds()
    if load.shape == "ramp":
        return Schedule(((0.0, rate), (span, load.up_to_per_s or rate)))
    if load.shape == "spike" and load.spike:
        start = load.spike.after.total_seconds()
        end, high = start + load.spike.lasts.total_seconds(), load.spike.per_s
        return Schedule(((0.0, rate), (start, rate), (start, high), (end, high), (end, rate), (span, rate)))
    if load.shape == "stress":
        top, steps = load.up_to_per_s or rate, load.steps
        edges = [span * k / steps for k in range(steps + 1)]
        rates = [rate + (top - rate) * k / max(1, steps - 1) for k in range(steps)]
        stairs = [(edge, r) for k, r in enumerate(rates) for edge in (edges[k], edges[k + 1])]
        return Schedule(tuple(stairs))
    if load.shape == "replay" and load.replay:
        return replayed(Path(load.replay), speed=load.speed, longest_s=span)
    return steady(rate, span, even=load.shape == "constant")


def replayed(path: Path, *, speed: float, longest_s: float) -> Schedule:
    """Arrivals as an access log had them: one time a line, epoch seconds or ISO 8601, first or only column of a CSV.

    Args:
        path: the log.
        speed: 2 replays it twice as fast.
        longest_s: what would come later is left out.

    Raises:
        UsageError: it cannot be read, or no line of it has a time.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UsageError(f"The log to replay cannot be read: {error}", todo="correct load.replay") from None
    times = sorted(t for t in (_time(line) for line in lines) if t is not None)
    if not times:
        raise UsageError(
            f"No line of {path} begins with a time.",
            todo="give epoch seconds or ISO 8601 in the first column, one arrival a line",
        )
    offsets = tuple((t - times[0]) / speed for t in times if (t - times[0]) / speed < longest_s)
    rate = len(offsets) / longest_s
    return Schedule(((0.0, rate), (longest_s, rate)), offsets=offsets)


def _time(line: str) -> float | None:
    text = line.split(",", 1)[0].strip().strip('"')
    try:
        value = float(text)
        return value if math.isfinite(value) else None
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
