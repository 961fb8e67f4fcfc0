"""What backs a verdict, gathered from a run's folder: load, compared tables, changes, waivers, files with digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cutover import files
from cutover.finding import Finding, Status
from cutover.migration import Triggers
from cutover.report.record import Record, clean, load_json, parse_time
from cutover.secrets import redact
from cutover.text import cut, duration

if TYPE_CHECKING:
    import pandas as pd

    from cutover.postgres import Comparison

WINDOW_COLUMNS = (
    "arrivals",
    "completed",
    "errors",
    "error_rate",
    "p50_s",
    "p95_s",
    "in_flight",
    "never_sent",
    "scheduled",
)
MOST_FILES = 250
"""Files that the report lists one by one; a folder with more is summed up, the manifest has them all."""
_LARGEST_TEXT = 64 * 2**20
"""Bytes up to which a run's files are searched for secrets when it is sealed (`runbook.evidence`)."""
_NOT_EVIDENCE = {"report.html", "report.pdf", "manifest.json", "statement.dsse.json", "junit.xml"}


@dataclass(frozen=True, slots=True)
class LoadSeries:
    """The windows of one load: which step ran it, where the file is, the windows (see `charts.load_windows`)."""

    step: str
    path: str
    frame: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Planned:
    """A change that was planned, and how far it went.

    Attributes:
        state: `planned`, `waiting`, `approved`, `made`, `failed` or `nothing to do`.
        differences: (key, before, after) where they differ.
        detail: who approved, when it was made, what went wrong, as a sentence; "" when none of it.
    """

    step: str
    action: str
    subject: str
    summary: str
    state: str
    path: str
    differences: tuple[tuple[str, str, str], ...] = ()
    undo: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A waived finding: what was seen, who accepted it, why, and until when; or for which version of the emulator."""

    finding: Finding
    step: str
    by: str
    reason: str
    until: str
    emulator: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file of the run's folder; `files` above 1 when it stands for a whole folder."""

    path: str
    size: int
    sha256: str
    files: int = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """All of the above for one run, and the databases compared; `unread` says what could not be read."""

    load: tuple[LoadSeries, ...]
    comparison: Comparison | None
    changes: tuple[Planned, ...]
    accepted: tuple[Accepted, ...]
    evidence: tuple[Evidence, ...]
    triggers: Triggers | None
    counts: Mapping[str, int]
    unread: tuple[str, ...] = field(default=())


NONE = Facts((), None, (), (), (), None, {})
"""No fact at all, for a sentence that needs none of them."""


def gather(record: Record) -> Facts:
    """The facts of a run; what cannot be read is named in `unread` and never stops the report."""
    unread: list[str] = []
    load = tuple(_load(record, unread))
    return Facts(
        load=load,
        comparison=_comparison(record, unread),
        changes=tuple(_changes(record, unread)),
        accepted=tuple(_accepted(record)),
        evidence=tuple(_evidence(record.folder)),
        triggers=_triggers(record) if load else None,
        counts=Counter(str(s.finding.status) for s in record.latest),
        unread=tuple(unread),
    )


def fired(record: Record, step: str) -> list[tuple[datetime, str]]:
    """When the rollback triggers of a step fired, and their short names."""
    moments = []
    for seen in record.latest:
        if seen.step != step or not seen.finding.trigger or seen.finding.status is not Status.FAIL:
            continue
        data = seen.finding.data
        stated = next((data[k] for k in ("fired_at", "fired", "at") if data.get(k)), seen.at)
        at = parse_time(stated)
        if at:
            moments.append((at, seen.finding.id.removeprefix("TRG-").replace("-", " ")))
    return sorted(moments)


def _load(record: Record, unread: list[str]) -> Iterable[LoadSeries]:
    for path in sorted((record.folder / "raw" / "load").glob("*-windows.csv")):
        import pandas as pd  # noqa: PLC0415 - slow to import, and most runs have no load

        relative = path.relative_to(record.folder).as_posix()
        try:
            frame = pd.read_csv(path, on_bad_lines="skip")
            kept = [c for c in ("start", *WINDOW_COLUMNS) if c in frame]
            frame = frame[kept].apply(pd.to_numeric, errors="coerce").dropna(subset=["start"])
        except (OSError, ValueError, KeyError):
            unread.append(f"{relative} cannot be read; the load is not drawn.")
            continue
        if frame.empty:
            unread.append(f"{relative} holds no window; the load is not drawn.")
            continue
        yield LoadSeries(path.name.removesuffix("-windows.csv"), relative, frame.reset_index(drop=True))


def _comparison(record: Record, unread: list[str]) -> Comparison | None:
    """The comparison of the two databases from `raw/postgres/comparison.json`; None when there is none to be read."""
    path = record.folder / "raw" / "postgres" / "comparison.json"
    if not path.exists():
        return None
    from cutover.postgres import Comparison  # noqa: PLC0415 - slow to enter, and most runs compare nothing

    try:
        return Comparison.from_dict(load_json(path))
    except (OSError, ValueError, RecursionError):
        unread.append(f"{path.relative_to(record.folder).as_posix()} cannot be read; whether data differ is not shown.")
        return None


def _changes(record: Record, unread: list[str]) -> Iterable[Planned]:
    for path in sorted((record.folder / "plan").rglob("*.json")):
        relative = path.relative_to(record.folder).as_posix()
        try:
            value = load_json(path)
        except (OSError, ValueError, RecursionError):
            unread.append(f"{relative} cannot be read; a change may have been planned or made that is not listed here.")
            continue
        change = _planned(value, relative) if isinstance(value, dict) else None
        if change:
            yield change


def _planned(raw: Mapping[str, Any], path: str) -> Planned | None:
    """A file that holds a plan, how far it went, its approval and its change; or a bare plan or change."""
    change = _inner(raw, "change") or raw
    plan = _inner(raw, "plan") or _inner(change, "plan") or raw
    if not plan.get("action"):
        return None
    approval = _inner(raw, "approval")
    applied = "result" in change
    guess = "made" if applied else "approved" if approval else "nothing to do" if plan.get("empty") else "planned"
    state = str(raw.get("state") or guess)
    detail = []
    if approval.get("approver"):
        detail.append(f"approved by {approval['approver']}" + (f" at {approval['at']}" if approval.get("at") else ""))
    if applied and change.get("started"):
        seconds = change.get("seconds")
        took = f", took {duration(seconds)}" if isinstance(seconds, int | float) else ""
        detail.append(f"made at {change['started']}{took}")
    if raw.get("error"):
        detail.append(f"failed: {cut(str(raw['error']), 300)}")
    before, after = _inner(plan, "before"), _inner(plan, "after")
    differences = tuple(
        (key, _short(before.get(key)), _short(after.get(key)))
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    )
    return Planned(
        step=str(raw.get("step") or ""),
        action=str(plan["action"]),
        subject=str(plan.get("subject") or ""),
        summary=str(plan.get("summary") or ""),
        state=state,
        path=path,
        differences=differences[:40],
        undo=str(plan.get("undo") or ""),
        detail="; ".join(detail),
    )


def _inner(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _short(value: Any) -> str:
    text = "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return cut(text, 300)


def _accepted(record: Record) -> Iterable[Accepted]:
    """Waived findings with their waivers: from the finding's own data, or else from the parameters."""
    granted = record.migration.get("waivers")
    by_id = {str(w.get("id")): w for w in (granted if isinstance(granted, list) else []) if isinstance(w, dict)}
    for seen in record.latest:
        finding = seen.finding
        if finding.status is not Status.WAIVED:
            continue
        inside = finding.data.get("waiver")
        waiver = inside if isinstance(inside, dict) else by_id.get(finding.id, {})
        emulator = f"for version {waiver['emulator']} of the emulator" if waiver.get("emulator") else "not recorded"
        yield Accepted(
            finding,
            seen.step,
            by=str(waiver.get("approved_by") or "not recorded"),
            reason=str(waiver.get("reason") or finding.why or "not recorded"),
            until=str(waiver.get("until") or emulator),
            emulator=str(waiver.get("emulator") or ""),
        )


def _evidence(folder: Path) -> list[Evidence]:
    """Every file of the run with its SHA-256; the largest folders in one line each when there are too many."""
    paths = [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.is_symlink() and p.name not in _NOT_EVIDENCE and not p.name.endswith(".tmp")
    ]
    by_folder = Counter(p.parent for p in paths)
    summed: set[Path] = set()
    left = len(paths)
    for parent, many in by_folder.most_common():
        if left <= MOST_FILES or parent == folder:
            break
        summed.add(parent)
        left -= many
    listed = [Evidence(clean(p.relative_to(folder).as_posix()), *_sealed(p)) for p in paths if p.parent not in summed]
    for parent in summed:
        inside = [p for p in paths if p.parent == parent]
        name = clean(parent.relative_to(folder).as_posix()) + "/"
        listed.append(Evidence(name, sum(p.stat().st_size for p in inside), "", len(inside)))
    return sorted(listed, key=lambda e: e.path)


def _sealed(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file as it will be sealed: a text from which sealing will take a secret, without it."""
    if path.stat().st_size <= _LARGEST_TEXT:
        data = path.read_bytes()
        with contextlib.suppress(UnicodeDecodeError):
            data = redact(data.decode()).encode()
        return len(data), hashlib.sha256(data).hexdigest()
    return path.stat().st_size, files.sha256(path)


def _triggers(record: Record) -> Triggers | None:
    """The limits that held for this run; None, so that none is drawn, when they are not recorded."""
    stated = record.migration.get("triggers")
    if not isinstance(stated, dict):
        return Triggers() if record.migration else None
    known = {
        key: {"for" if k == "hold" else k: v for k, v in value.items()} if isinstance(value, dict) else value
        for key, value in stated.items()
    }
    try:
        return Triggers.model_validate(known)
    except ValidationError:
        return None
