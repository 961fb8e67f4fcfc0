"""How long the transfer will take on the day, from a trial that was measured: an interval, and what to change."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cutover.finding import Finding, Severity, Status
from cutover.postgres.archive import Dump
from cutover.postgres.facts import ServerFacts
from cutover.postgres.transfer import Restore
from cutover.text import size

_RESAMPLES = 400
_RUN_TO_RUN = 0.25
"""How much two runs of one part may differ when only one was measured: our assumption, said in `basis`."""
_PER_DOUBLING = 0.10
"""What each doubling between the trial's size and the day's adds to the doubt: our assumption as well."""
_PER_ROWS = ("dump", "read back", "data", "indexes", "compare")
"""Parts that grow with the data. Schema and grants grow with the number of objects, ANALYZE with that of tables."""


@dataclass(frozen=True, slots=True)
class TableTime:
    """One table in a trial: rows, bytes of COPY text, and seconds to dump and to load it (0: not told)."""

    name: str
    rows: int
    bytes: int
    dump_s: float = 0.0
    load_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one transfer took.

    Attributes:
        rows: of all tables; bytes: of their COPY text; database_bytes: the source's size on disk then.
        jobs: workers of the dump and the restore.
        seconds: by part: dump, read back, schema, data, indexes, grants, analyze, compare (where it was compared).
        tables: the times of each table.
        resumed: it went on with an interrupted restore, so its times are not those of a whole one.
    """

    rows: int
    bytes: int
    database_bytes: int
    jobs: int
    seconds: Mapping[str, float]
    tables: tuple[TableTime, ...] = ()
    resumed: bool = False

    @property
    def total_s(self) -> float:
        """Seconds of all parts together; they follow one another."""
        return sum(self.seconds.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Measured:
        """The inverse of `to_dict`."""
        return cls(**{**raw, "tables": tuple(TableTime(**table) for table in raw.get("tables", ()))})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the day's transfer: what it took in the trial, and what it will take."""

    name: str
    measured_s: float
    seconds: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long the transfer will take.

    Attributes:
        seconds: the best guess; low_s, high_s: the interval, parts added up as if they all went well or badly together.
        parts: in their order.
        advice: what to change, what helps most first.
        basis: what it rests on, and how the interval was computed.
        thin: why it rests on too little; empty when it does not.
    """

    seconds: float
    low_s: float
    high_s: float
    parts: tuple[Part, ...]
    advice: tuple[str, ...]
    basis: str
    thin: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Forecast:
        """The inverse of `to_dict`; what else the mapping holds is left out."""
        known = {name: raw[name] for name in cls.__slots__ if name in raw}
        parts = tuple(Part(**part) for part in raw["parts"])
        return cls(**{**known, "parts": parts, "advice": tuple(raw["advice"]), "thin": tuple(raw.get("thin", ()))})


def measured(dump: Dump, restore: Restore, *, compare_s: float | None = None) -> Measured:
    """The times of a transfer that was made, table by table and part by part."""
    seconds = {"dump": dump.seconds, "read back": dump.read_back_s, **restore.phases}
    seconds["analyze"] = restore.analyze_seconds
    if compare_s is not None:
        seconds["compare"] = round(compare_s, 3)
    loads = {name: took for name, (_, _, took) in restore.table_seconds.items()}
    return Measured(
        rows=dump.rows,
        bytes=dump.data_bytes,
        database_bytes=dump.database_bytes,
        jobs=dump.jobs,
        seconds=seconds,
        tables=tuple(
            TableTime(name, table.rows, table.bytes, table.seconds, loads.get(name, 0.0))
            for table in dump.data
            for name in [f"{table.schema}.{table.name}"]
        ),
        resumed=restore.kept > 0,
    )


def forecast(
    trial: Measured, production: int | ServerFacts | None = None, *, earlier: Sequence[Measured] = ()
) -> Forecast:
    """How long the same transfer takes at the production database's size.

    Each part that grows with the data is scaled by the ratio of the two databases' sizes (indexes by n·log n), the
    others stay. The interval of a part comes from three things, multiplied: how much throughput differs among the
    tables (the 5th and 95th percentile of 400 resamples of the tables with replacement, for dump and data); how much
    runs differ (the range of all trials where there are several, else ±25 %); and 10 % for each doubling of the size.

    Args:
        trial: what was measured.
        production: bytes on disk of the production database on the day, or its facts; None: as large as the trial's.
        earlier: other trials of the same database, same servers, for how much runs differ.
    """
    size = production.size_bytes if isinstance(production, ServerFacts) else production or trial.database_bytes
    scale = size / trial.database_bytes if trial.database_bytes else 1.0
    parts = tuple(_part(name, took, trial, scale, earlier) for name, took in trial.seconds.items())
    return Forecast(
        seconds=round(sum(part.seconds for part in parts), 1),
        low_s=round(sum(part.low_s for part in parts), 1),
        high_s=round(sum(part.high_s for part in parts), 1),
        parts=parts,
        advice=_advice(trial, parts),
        basis=_basis(trial, scale, earlier),
        thin=_thin(trial, scale),
    )


def check_forecast(remembered: Mapping[str, Any] | None, took: Measured) -> list[Finding]:
    """Whether a transfer took as long as was forecast: `FOR-01` for the whole, and the parts that were out of bounds.

    Args:
        remembered: a `Forecast.to_dict()`, as the trial left it; None when there was no trial.
        took: what was measured now. Parts that only one of the two has (the comparison, say) are left out.
    """
    title, expected = "The transfer took no longer than was forecast", "a trial's forecast (04_data_sync_test)"
    if remembered is None or "parts" not in remembered:
        why, todo = "nothing was forecast, so nothing can be said", "run 04_data_sync_test with apply before the day"
        return [Finding("FOR-01", title, Status.UNKNOWN, Severity.LOW, "transfer", expected, "none", why, todo)]
    said = Forecast.from_dict(remembered)
    both = [part for part in said.parts if part.name in took.seconds]
    low, high = sum(part.low_s for part in both), sum(part.high_s for part in both)
    total = sum(took.seconds[part.name] for part in both)
    late = [part for part in both if took.seconds[part.name] > part.high_s + _SLACK_S]
    status = Status.PASS if total <= high + _SLACK_S else Status.FAIL
    if took.resumed:
        status = Status.NOT_APPLICABLE
    named = ", ".join(f"{p.name} {took.seconds[p.name]:.1f} s, not {p.low_s:.1f} to {p.high_s:.1f}" for p in late)
    return [
        Finding(
            "FOR-01",
            title,
            status,
            Severity.LOW,
            "transfer",
            f"{low:.1f} to {high:.1f} s",
            f"{total:.1f} s" + (f"; longer than forecast: {named}" if named else ""),
            "an interrupted restore was gone on with, so its time is not that of a whole one"
            if took.resumed
            else ("users are kept out for longer than they were told" if status is Status.FAIL else ""),
            "tell users the new end; look at the target's CPU, IOPS and WAL rate in CloudWatch for what holds it up"
            if status is Status.FAIL
            else "",
            data={"seconds": round(total, 1), "low_s": round(low, 1), "high_s": round(high, 1)},
        )
    ]


_SLACK_S = 1.0


def _part(name: str, took: float, trial: Measured, scale: float, earlier: Sequence[Measured]) -> Part:
    growth = 1.0
    if name in _PER_ROWS:
        growth = scale
        rows = max(trial.rows, 2)
        if name == "indexes" and scale > 0:
            growth *= math.log(max(2.0, rows * scale)) / math.log(rows)
    low, high = _run_to_run(name, took, trial, earlier)
    spread_low, spread_high = _between_tables(name, trial)
    doublings = _PER_DOUBLING * abs(math.log2(scale)) if scale > 0 and name in _PER_ROWS else 0.0
    seconds = took * growth
    return Part(
        name,
        round(took, 3),
        round(seconds, 3),
        round(seconds * low * spread_low / (1 + doublings), 3),
        round(seconds * high * spread_high * (1 + doublings), 3),
    )


def _run_to_run(name: str, took: float, trial: Measured, earlier: Sequence[Measured]) -> tuple[float, float]:
    """Seconds a byte of the slowest and the quickest trial beside this one's; or what we assume of a single run."""
    rates = [
        other.seconds[name] / other.bytes * trial.bytes / took
        for other in earlier
        if name in other.seconds and other.bytes and took and other.jobs == trial.jobs and not other.resumed
    ]
    if not rates:
        return 1 - _RUN_TO_RUN, 1 + _RUN_TO_RUN
    return min(1.0, *rates), max(1.0, *rates)


def _between_tables(name: str, trial: Measured) -> tuple[float, float]:
    """5th and 95th percentile of seconds a byte over resampled tables, beside that of all tables together."""
    pairs = [(t.bytes, t.dump_s if name == "dump" else t.load_s) for t in trial.tables if t.bytes]
    pairs = [(size, took) for size, took in pairs if took > 0]
    if name not in ("dump", "data") or len(pairs) < 3:
        return 1.0, 1.0
    whole = sum(took for _, took in pairs) / sum(size for size, _ in pairs)
    draw = random.Random(0)  # noqa: S311 - resampling, the same every time
    rates = []
    for _ in range(_RESAMPLES):
        chosen = draw.choices(pairs, k=len(pairs))
        rates.append(sum(took for _, took in chosen) / sum(size for size, _ in chosen) / whole)
    rates.sort()
    # Small tables take longer a byte (each costs a round trip): a sample of only such ones says too much, so it is cut.
    low, high = rates[int(0.05 * _RESAMPLES)], rates[int(0.95 * _RESAMPLES)]
    return min(1.0, max(0.5, low)), max(1.0, min(2.0, high))


def _basis(trial: Measured, scale: float, earlier: Sequence[Measured]) -> str:
    runs = f"{len(earlier) + 1} trials" if earlier else "one trial"
    between = (
        "the range of the trials" if earlier else f"±{_RUN_TO_RUN:.0%} between runs, assumed for want of a second trial"
    )
    return (
        f"{runs}: {trial.rows:,} rows, {size(trial.bytes)} of data in {len(trial.tables)} tables, "
        f"{trial.total_s:.1f} s with {trial.jobs} jobs; the production target database is {scale:.2f} times as large. "
        f"The interval: {between}, times the spread among tables, times 10 % for each doubling of the size."
    )


def _thin(trial: Measured, scale: float) -> tuple[str, ...]:
    reasons = []
    if trial.total_s < _ENOUGH_S:
        reasons.append(f"the trial took only {trial.total_s:.1f} s, so start-up and chance weigh more than the data")
    if trial.bytes < _ENOUGH_BYTES:
        reasons.append(f"it moved only {size(trial.bytes)}, which fit into every cache")
    if not 1 / _FAR < scale < _FAR:
        reasons.append(
            f"the production target database is {scale:.1f} times as large: beyond caches, it may behave otherwise"
        )
    if trial.resumed:
        reasons.append("the trial went on with an interrupted restore, so part of the work is not in its times")
    return tuple(reasons)


_ENOUGH_S, _ENOUGH_BYTES, _FAR = 30.0, 256 * 2**20, 4.0


def _advice(trial: Measured, parts: Sequence[Part]) -> tuple[str, ...]:
    """What to change, for parts that take at least a fifth of the whole; the longest part first."""
    whole = sum(part.seconds for part in parts)
    said = []
    for part in sorted(parts, key=lambda part: -part.seconds):
        if not whole or part.seconds < _WORTH * whole:
            break
        share = f"{part.name}: {part.seconds / whole:.0%} of the time. "
        if part.name in ("dump", "data"):
            said.append(share + _workers(part, trial))
        elif part.name in _ADVICE:
            said.append(share + _ADVICE[part.name])
    return tuple(said)


_WORTH = 0.2
_ADVICE = {
    "indexes": "Give the restore `maintenance_work_mem` (1GB for each job, at most a quarter of the memory in all) and "
    "`max_parallel_maintenance_workers` under `restore.settings` in the parameters; raise `jobs` to the server's "
    "vCPUs. An index that the first hour can do without may be dropped from the source before, and built with CREATE "
    "INDEX CONCURRENTLY after the cutover: then it is a difference, to be declared under expected_differences.",
    "compare": "Raise `jobs` of 13_data_integrity to the vCPUs of the smaller server; take the source's digests with "
    "the dump (`fingerprint`), so that only the target is read in the freeze.",
    "analyze": "Raise `jobs`: tables are analysed side by side.",
    "read back": "Keep the dump on a local disk, and raise `jobs`: files are read side by side.",
    "schema": "Thousands of objects: run from a machine near the target, for each object costs a round trip.",
    "grants": "Materialised views are refreshed here: those that can wait may be WITH NO DATA.",
}
_DATA = (
    "Raise the target's `max_wal_size` (8GB or more) for the import, so that checkpoints do not rewrite every page, "
    "give the target a larger class and more IOPS until the cutover, and switch Multi-AZ on after the import."
)
_DUMP = "Run from a machine near the source; what the source's disk or network gives is the limit."


def _workers(part: Part, trial: Measured) -> str:
    times = [t.dump_s if part.name == "dump" else t.load_s for t in trial.tables]
    longest = max(trial.tables, key=lambda t: t.dump_s if part.name == "dump" else t.load_s, default=None)
    busy, other = sum(times), _DUMP if part.name == "dump" else _DATA
    if longest and part.measured_s and max(times) > _ALONE * part.measured_s and len(trial.tables) > 1:
        return f"{longest.name} alone takes {max(times):.1f} s, so more jobs do not help: one worker loads it. {other}"
    if busy > _BUSY * trial.jobs * part.measured_s:
        return f"All {trial.jobs} jobs were busy: raise `jobs` to the vCPUs of the smaller server. {other}"
    return other


_ALONE, _BUSY = 0.7, 0.7
