"""Reading a run's folder as it is: whole, half written, or cut off; whatever is missing is said, never guessed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cutover.errors import ExitCode, UsageError
from cutover.finding import Finding, Verdict, deciding, verdict
from cutover.report.wording import step_title
from cutover.secrets import redact
from cutover.text import visible

_TEXTS = ("id", "title", "subject", "expected", "observed", "why", "remedy")


@dataclass(frozen=True, slots=True)
class Seen:
    """A finding as a run wrote it down.

    Attributes:
        finding: the finding.
        step: the notebook that recorded it.
        at: when, ISO 8601.
        superseded: the same thing was looked at again later in the same step.
    """

    finding: Finding
    step: str
    at: str
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a notebook ended; `state` as in verdict.json, `seconds` None when unknown, `earlier` the run it was in."""

    name: str
    state: str
    verdict: str = ""
    seconds: float | None = None
    started: datetime | None = None
    planned_s: float | None = None
    earlier: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What a run's folder says; every text in it is redacted and printable.

    Attributes:
        folder: the run's folder.
        run: run.json, or an empty mapping.
        migration: the parameters of the migration, redacted.
        stated: the verdict in verdict.json, "" when there is none.
        shown: the verdict that may be shown: `stated`; INCOMPLETE where the record does not bear it; WAITING where
            nothing is wrong and an approval is wanted; PLAN where the run was only to show its changes.
        headline: the verdict's sentence, without the verdict's word.
        deciding: the findings that decided.
        next: what to do next, in order.
        steps: how each step ended.
        findings: all that was recorded, in order.
        gaps: what the record lacks, in sentences; not empty means INCOMPLETE.
        exit_code: what the command ended with, None when it is not recorded.
    """

    folder: Path
    run: Mapping[str, Any]
    migration: Mapping[str, Any]
    stated: str
    shown: str
    headline: str
    deciding: tuple[Finding, ...]
    next: tuple[str, ...]
    steps: tuple[StepEnd, ...]
    findings: tuple[Seen, ...]
    gaps: tuple[str, ...]
    exit_code: int | None = None

    @property
    def id(self) -> str:
        """The run's name."""
        return str(self.run.get("id") or clean(self.folder.name))

    @property
    def phase(self) -> str:
        """`prepare`, `day`, `review`, `rollback` or a notebook's name."""
        return str(self.run.get("phase") or _from_name(clean(self.folder.name))[1])

    @property
    def environment(self) -> str:
        """`rehearsal`, `staging` or `production`."""
        stated = self.run.get("environment") or self.migration.get("environment")
        return str(stated or _from_name(clean(self.folder.name))[0])

    @property
    def started(self) -> datetime | None:
        """When the run began."""
        return parse_time(self.run.get("started"))

    @property
    def finished(self) -> datetime | None:
        """When the run ended; None when it did not say."""
        return parse_time(self.run.get("finished"))

    @property
    def seconds(self) -> float | None:
        """How long the run took."""
        if self.started and self.finished:
            return max(0.0, (self.finished - self.started).total_seconds())
        taken = [s.seconds for s in self.steps if s.seconds is not None]
        return sum(taken) if taken else None

    @property
    def latest(self) -> tuple[Seen, ...]:
        """The findings that stand: of several looks at one thing in one step, the last."""
        return tuple(s for s in self.findings if not s.superseded)

    @property
    def standing(self) -> tuple[Seen, ...]:
        """How things stand: of several looks at one thing, in whichever steps, the last."""
        last = {(s.finding.id, s.finding.subject): (s.step, s.at) for s in self.findings}
        return tuple(s for s in self.findings if last[s.finding.id, s.finding.subject] == (s.step, s.at))


def read(folder: Path) -> Record:
    """What the run in `folder` says of itself.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no run folder {folder}.", todo="name a folder under outputs/, such as the newest.")
    gaps: list[str] = []
    run = _mapping(folder / "run.json", gaps, "who ran what, when and with which parameters is not recorded")
    said = _mapping(folder / "verdict.json", gaps, "the run did not get as far as a verdict")
    findings = _findings(folder / "findings.jsonl", gaps)
    if not run.get("finished") and not any(gap.startswith("run.json") for gap in gaps):
        gaps.append("run.json has no time of ending: the run was cut off, or is still going on.")
    steps = _steps(folder, said, run, findings)
    stated = str(said.get("verdict") or "")
    if said and stated not in {str(v) for v in Verdict}:
        gaps.append(f"verdict.json names no verdict that is known ({stated or 'none'}).")
        stated = ""
    latest = [s.finding for s in findings if not s.superseded]
    code = said["exit_code"] if isinstance(said.get("exit_code"), int) else None
    waits = code == ExitCode.WAITING or any(s.state.startswith("waiting") for s in steps)
    gaps += _contradictions(stated, latest, () if waits else steps, code)
    decided = tuple(f for f in (_finding(raw) for raw in _list(said.get("deciding"))) if f)
    incomplete = not stated or (bool(gaps) and Verdict(stated).opens)
    params = run.get("params")
    params = params if isinstance(params, dict) else {}
    inner = params.get("migration")
    return Record(
        folder=folder,
        run=run,
        migration=inner if isinstance(inner, dict) else params,
        stated=stated,
        shown="INCOMPLETE" if incomplete else _word(stated, code),
        headline=_headline(said, stated),
        deciding=decided or tuple(deciding(latest)),
        next=tuple(_text(item) for item in _list(said.get("next")) if item),
        steps=steps,
        findings=findings,
        gaps=tuple(gaps),
        exit_code=code,
    )


def parse_time(value: Any) -> datetime | None:
    """ISO 8601, or epoch seconds, as a time in UTC; None when it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        at = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def load_json(path: Path) -> Any:
    """A JSON file's content, redacted and printable.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON.
    """
    return clean(json.loads(path.read_text(encoding="utf-8", errors="replace")))


def clean(value: Any) -> Any:
    """`value` with every text in it redacted once more and made visible."""
    if isinstance(value, str):
        return visible(redact(value))
    if isinstance(value, dict):
        return {clean(str(k)): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value


def _word(stated: str, code: int | None) -> str:
    """The verdict, or what a run without a verdict of its own amounts to; an exit code of 4 says nothing is worse."""
    if code == ExitCode.WAITING:
        return "WAITING"
    return "PLAN" if stated == Verdict.INCONCLUSIVE and code == ExitCode.GO else stated


def _mapping(path: Path, gaps: list[str], meaning: str) -> dict[str, Any]:
    if not path.exists():
        gaps.append(f"{path.name} is not there: {meaning}.")
        return {}
    try:
        value = load_json(path)
    except (OSError, ValueError, RecursionError):
        gaps.append(f"{path.name} cannot be read (half written or damaged): {meaning}.")
        return {}
    if not isinstance(value, dict):
        gaps.append(f"{path.name} is no JSON object: {meaning}.")
        return {}
    return value


def _findings(path: Path, gaps: list[str]) -> tuple[Seen, ...]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        gaps.append("findings.jsonl is not there: nothing that was looked at is recorded.")
        return ()
    seen: list[Seen] = []
    broken: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = clean(json.loads(line.decode("utf-8", errors="replace")))
        except (ValueError, RecursionError):
            broken.append(number)
            continue
        finding = _finding(raw)
        if finding is None:
            broken.append(number)
        else:
            seen.append(Seen(finding, _text(raw.get("step") or ""), _text(raw.get("at") or "")))
    if broken:
        which = ", ".join(str(n) for n in broken[:5]) + (", …" if len(broken) > 5 else "")
        plural = "s" if len(broken) > 1 else ""
        gaps.append(
            f"findings.jsonl: {len(broken)} line{plural} cannot be read (line {which}); what was seen there is lost."
        )
    if not seen and not broken:
        gaps.append("findings.jsonl is empty: nothing that was looked at is recorded.")
    # One look may say a thing twice (two rows of one table): only a look at another time takes its place.
    last = {(s.step, s.finding.id, s.finding.subject): s.at for s in seen}
    return tuple(
        Seen(s.finding, s.step, s.at, superseded=last[s.step, s.finding.id, s.finding.subject] != s.at) for s in seen
    )


def _finding(raw: Any) -> Finding | None:
    if not isinstance(raw, dict):
        return None
    evidence = raw.get("evidence") or ()
    fixed = {k: v for k, v in raw.items() if v is not None}
    fixed |= {name: _text(raw.get(name) or "") for name in _TEXTS}
    fixed["evidence"] = tuple(_text(e) for e in (evidence if isinstance(evidence, list | tuple) else [evidence]))
    fixed["data"] = raw["data"] if isinstance(raw.get("data"), dict) else {}
    fixed["guide"] = raw["guide"] if isinstance(raw.get("guide"), int) else 0
    try:
        return Finding.from_dict(fixed)
    except (ValueError, TypeError):
        return None


def _steps(
    folder: Path, said: Mapping[str, Any], run: Mapping[str, Any], findings: tuple[Seen, ...]
) -> tuple[StepEnd, ...]:
    """The steps of verdict.json; without it, what each step said of itself, what was planned, what was found."""
    told = [raw for raw in _list(said.get("steps")) if isinstance(raw, dict) and raw.get("name")]
    if told:
        return tuple(_step(raw) for raw in told)
    own: dict[str, StepEnd] = {}
    for path in sorted((folder / "steps").glob("*.json")):
        try:
            raw = load_json(path)
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(raw, dict):
            own[clean(path.stem)] = _step({"name": path.stem, **raw})
    begun = {s.step: parse_time(s.at) for s in reversed(findings) if s.step}
    planned = [_stem(_text(n)) for n in _list(run.get("notebooks"))]
    names = dict.fromkeys([*planned, *own, *reversed(begun)])
    return tuple(
        own.get(name) or StepEnd(name, "not-recorded" if name in begun else "not-run", started=begun.get(name))
        for name in names
    )


def _step(raw: Mapping[str, Any]) -> StepEnd:
    return StepEnd(
        name=_stem(_text(raw["name"])),
        state=_text(raw.get("state") or ""),
        verdict=_text(raw.get("verdict") or ""),
        seconds=_number(raw.get("seconds")),
        started=parse_time(raw.get("started")),
        planned_s=_number(raw.get("planned_s")),
        earlier=_text(raw.get("run") or ""),
    )


def _contradictions(stated: str, findings: list[Finding], steps: tuple[StepEnd, ...], code: int | None) -> list[str]:
    """Where an opening verdict is not borne out by what was recorded: an untrue GO is the worst that can be shown."""
    if not stated or not Verdict(stated).opens:
        return []
    gaps = []
    closed = deciding(findings)
    if closed:
        first = f"{closed[0].id} ({closed[0].status}, {closed[0].severity})"
        gaps.append(f"verdict.json says {stated}, yet {first} closes the gate.")
    elif findings and not verdict(findings).opens:
        gaps.append(f"verdict.json says {stated}, yet nothing that is recorded was due or concerned this migration.")
    if code not in (None, ExitCode.GO, ExitCode.WAITING):
        gaps.append(f"verdict.json says {stated}, yet the run ended with exit code {code}.")
    gaps += [
        f"verdict.json says {stated}, yet the step {s.name} ended as {s.state or 'unknown'}."
        for s in steps
        if s.state != "completed"
    ]
    return gaps


def _headline(said: Mapping[str, Any], stated: str) -> str:
    """The verdict's sentence without its word, because the report says that itself, larger; after the step's title."""
    sentence = said.get("said")
    if not isinstance(sentence, str):
        return _without_word(str(said.get("headline") or ""), stated)
    at, unfinished = str(said.get("at") or ""), str(said.get("unfinished") or "")
    where = (step_title(at) if at else "") + (f" did not finish ({unfinished})" if unfinished else "")
    return f"{where}: {sentence}" if where else sentence


def _without_word(headline: str, stated: str) -> str:
    """`GO: all tables identical` without its `GO: `, of a run of an earlier version, which kept the whole alone.

    `NO_GO at 13_data_integrity: …` becomes `13 Data integrity: …`, and so does the step that did not finish.
    """
    place = re.match(r"(?:(?:[A-Z_]+|Waiting) at (\w+)|(\w+)( did not finish \([\w-]+\))): ", headline)
    if place:
        return f"{step_title(place[1] or place[2])}{place[3] or ''}: {headline[place.end() :]}".strip()
    for word in (stated, stated.replace("_", "-"), stated.replace("_", " ")):
        if word and headline.upper().startswith(word):
            rest = headline[len(word) :].lstrip()
            if rest[:1] in {":", "-", "–", "—", "."}:
                return rest[1:].strip()
    return headline.strip()


def _from_name(name: str) -> tuple[str, str]:
    """Environment and phase out of `20261123T120000Z-staging-day`."""
    parts = name.split("-", 2)
    return (parts[1], parts[2]) if len(parts) == 3 else ("", "")


def _stem(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".ipynb")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
