"""The stakeholder report: one HTML file, verdict first, that needs no network, no server and no script."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from cutover.files import write_whole
from cutover.migration import Triggers
from cutover.report import architecture, charts, facts, load_pictures, story, wording
from cutover.report.record import Record, Seen, StepEnd, parse_time, read
from cutover.secrets import redact
from cutover.text import count, duration, size

MOST_OPEN = 150
"""Findings of one step that are shown with all they say, and passed ones in the table; the rest is counted."""
_ARCHITECTURE = 40
"""Findings about AWS from which on the architecture and the checklist are shown: fewer are no look at the whole."""
_TONES = {
    "bad": {"FAIL", "MISSING", "NO_GO", "ROLLBACK", "INCOMPLETE"},
    "good": {"PASS", "GO", "CONTINUE"},
    "doubt": {"UNKNOWN", "NOT_COMPARED", "MANUAL", "WAIVED", "INCONCLUSIVE", "WAITING", "PLAN"},
}
_KINDS = {
    "FAIL": "wrong",
    "MISSING": "wrong",
    "UNKNOWN": "unseen",
    "NOT_COMPARED": "unseen",
    "MANUAL": "unseen",
    "WAIVED": "waived",
    "NOT_DUE": "later",
    "NOT_APPLICABLE": "later",
    "PASS": "passed",
}
_FILTERS = (
    ("all", "All"),
    ("wrong", "Wrong or missing"),
    ("unseen", "Could not be looked at"),
    ("waived", "Waived"),
    ("later", "Not due or not applicable"),
    ("passed", "Passed"),
    ("heavy", "Blocker and high"),
)
_UNSEEN = ("NOT_COMPARED", "UNKNOWN", "MANUAL", "NOT_DUE", "NOT_APPLICABLE")


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn chart: its `data:` address, the sentence that says what it shows, whether it is folded away at first."""

    uri: str
    alt: str
    title: str = ""
    path: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The findings of one step: what did not pass one by one, what passed as a table."""

    step: str
    counts: tuple[tuple[str, int], ...]
    others: tuple[Seen, ...]
    passes: tuple[Seen, ...]
    others_left: int
    passes_left: int
    open: bool


def write(run_folder: Path) -> Path:
    """Draw the report of a run into `report.html` in its folder, whatever state the run is in.

    Args:
        run_folder: the run's folder (CONTRACTS, "A run's folder"). What it lacks is said in the report.

    Returns:
        The path of the report.

    Raises:
        UsageError: there is no such folder.
        OSError: the report cannot be written.
    """
    return write_whole(Path(run_folder) / "report.html", render(read(Path(run_folder))))


def render(record: Record) -> str:
    """The report's HTML."""
    backing = facts.gather(record)
    pictures = _pictures(record, backing)
    context = _context(record, backing)
    environment = template_environment()
    # Pictures are base64: they are put in after redaction, which would see secrets in them by chance.
    marks = {name: [replace(p, uri=f"picture:{name}:{n}") for n, p in enumerate(drawn)]
             for name, drawn in pictures.items()}  # fmt: skip
    text = environment.get_template("report.html.j2").render(
        **context,
        load=marks["load"],
        tables=marks["tables"][0] if marks["tables"] else None,
        timeline=marks["timeline"][0] if marks["timeline"] else None,
        architecture=marks["architecture"][0] if marks["architecture"] else None,
        boxes=_boxes(record) if marks["architecture"] else [],
    )
    text = redact(text)
    return re.sub(r'src="picture:(\w+):(\d+)"', lambda m: f'src="{pictures[m[1]][int(m[2])].uri}"', text)


@functools.cache
def template_environment() -> jinja2.Environment:
    """Jinja with everything escaped, nothing undefined, and the report's words as filters."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "address": _address,
        "prose": prose,
        "first_up": _first_up,
        "tone": tone,
        "kind": _KINDS.__getitem__,
        "planned": planned,
        "ending": wording.ending,
        "stamp": lambda at: wording.moment(parse_time(at)) if parse_time(at) else at,
        **{f.__name__: f for f in (wording.shorten, wording.blocks, count, duration, size)},
        **{f.__name__: f for f in (wording.moment, wording.clock, wording.step_title, wording.phase_title)},
    }
    environment.filters.update(filters)
    css = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    environment.globals.update(
        STATUSES=wording.STATUSES, VERDICTS=wording.VERDICTS, css=Markup(css)  # noqa: S704 - our own
    )  # fmt: skip
    return environment


def tone(word: str) -> str:
    """The class that colours a status or verdict: good, bad, doubt or quiet."""
    return next((name for name, members in _TONES.items() if word in members), "quiet")


def prose(text: str) -> Markup:
    """Escaped text in which `backticks` become code."""
    return Markup(re.sub(r"`([^`\n]{1,300})`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first


def address(folder: Path, path: str) -> str:
    """A relative address of a file inside the run's folder, "" when `path` is anything else."""
    try:
        target = (folder / path).resolve()
        inside = target.is_relative_to(folder.resolve()) and target.is_file()
    except (OSError, ValueError):
        return ""
    return quote(path) if inside and not Path(path).is_absolute() else ""


@jinja2.pass_context
def _address(context: jinja2.runtime.Context, path: str) -> str:
    return address(context["folder"], path)


def planned(step: StepEnd) -> str:
    """When the plan has the step, and how long the plan gives it."""
    when, seconds = wording.WINDOWS.get(step.name[:2], ("", 0.0))
    seconds = step.planned_s or seconds
    return ", ".join(part for part in (duration(seconds) if seconds else "", when) if part) or "–"


def _context(record: Record, backing: facts.Facts) -> dict[str, Any]:
    migration = record.migration
    contacts = migration.get("contacts")
    headline = story.headline(record, backing)
    happened, todo = story.happened(record, backing), story.todo(record)
    said = " ".join(
        [headline, *happened, *todo, *(f"{f.title} {f.expected} {f.observed} {f.why}" for f in record.deciding)]
    )
    kinds = Counter(_KINDS[str(s.finding.status)] for s in record.findings)
    kinds["all"], kinds["heavy"] = len(record.findings), sum(s.finding.severity.closes for s in record.findings)
    by_status = {status: [s for s in record.latest if s.finding.status == status] for status in _UNSEEN}
    return {
        "r": record,
        "f": backing,
        "product": _product(str(migration.get("name") or "Platform")),
        "phase": wording.phase_title(record.phase),
        "account": str(migration.get("account_id") or ""),
        "folder": record.folder,
        "headline": headline,
        "happened": happened,
        "todo": todo,
        "contacts": [(wording.role(k), str(v)) for k, v in contacts.items()] if isinstance(contacts, dict) else [],
        "gaps": [*record.gaps, *backing.unread],
        "numbers": story.numbers(record, backing),
        "idle": [s for s in record.steps if s.state == "not-run"],
        "unseen": [(status, seen) for status, seen in by_status.items() if seen],
        "filters": [(name, label, kinds[name]) for name, label in _FILTERS if kinds[name]],
        "groups": _groups(record),
        "provenance": _provenance(record),
        "parameters": json.dumps(record.run.get("params"), indent=2, ensure_ascii=False)
        if record.run.get("params")
        else "",
        "glossary": wording.glossary(f"{said} gate SHA-256 {'p95 error rate digest' if backing.load else 'digest'}"),
    }


def _pictures(record: Record, backing: facts.Facts) -> dict[str, list[Picture]]:
    drawn: dict[str, list[Picture]] = {"load": [], "tables": [], "timeline": [], "architecture": []}
    of_aws = [s.finding for s in record.standing if s.finding.id.partition("-")[0] in architecture.CHAPTERS]
    if len(of_aws) >= _ARCHITECTURE:
        drawn["architecture"].append(
            Picture(charts.data_uri(architecture.picture(of_aws)), architecture.sentence(of_aws))
        )
    worst = max(backing.load, key=lambda series: charts.highest(series.frame, "p95_s") or 0.0, default=None)
    any_fired = any(facts.fired(record, series.step) for series in backing.load)
    for series in backing.load:
        fired = facts.fired(record, series.step)
        limits = backing.triggers
        drawn["load"].append(
            Picture(
                charts.data_uri(charts.load_windows(series.frame, limits, fired=fired)),
                charts.load_alt(series.frame, limits, fired=fired),
                wording.step_title(series.step),
                series.path,
                folded=not fired if any_fired else series is not worst,
            )
        )
        drawn["load"] += _closer(record, series, limits)
    if backing.comparison is not None:
        drawn["tables"].append(
            Picture(charts.data_uri(charts.tables(backing.comparison)), charts.tables_alt(backing.comparison))
        )
    if sum(bool(s.seconds) for s in record.steps) > 1:  # of one step the table says it all, and pictures take time
        drawn["timeline"].append(
            Picture(charts.data_uri(charts.timeline(record.steps)), charts.timeline_alt(record.steps))
        )
    return drawn


def _closer(record: Record, series: facts.LoadSeries, limits: Triggers | None) -> list[Picture]:
    """The percentiles and the endpoints of a load, where they were kept; folded away under its course."""
    percentiles, endpoints = load_pictures.beside(record.folder / series.path)
    title, base = wording.step_title(series.step), series.path.removesuffix("-windows.csv")
    drawn = []
    if percentiles is not None:
        uri = charts.data_uri(load_pictures.percentiles(percentiles, limits))
        alt = load_pictures.percentiles_alt(percentiles, limits)
        drawn.append(Picture(uri, alt, f"{title}: percentiles", base + load_pictures.PERCENTILES, folded=True))
    if endpoints is not None:
        uri = charts.data_uri(load_pictures.endpoints(endpoints, limits))
        alt = load_pictures.endpoints_alt(endpoints)
        drawn.append(Picture(uri, alt, f"{title}: endpoints", base + load_pictures.ENDPOINTS, folded=True))
    return drawn


def _boxes(record: Record) -> list[Any]:
    """The guide's checklist over this run's findings."""
    from cutover.aws.checklist import tick  # noqa: PLC0415 - the room of AWS is slow to enter

    return tick([s.finding for s in record.standing])


def _groups(record: Record) -> list[Group]:
    order = {status: n for n, status in enumerate(wording.STATUSES)}
    severities = ("blocker", "high", "medium", "low")
    names = list(dict.fromkeys([*(s.name for s in record.steps), *(s.step for s in record.findings)]))
    groups = []
    for name in names:
        seen = [s for s in record.findings if s.step == name]
        if not seen:
            continue
        passes = [s for s in seen if s.finding.status == "PASS"]
        others = sorted(
            (s for s in seen if s.finding.status != "PASS"),
            key=lambda s: (order[str(s.finding.status)], severities.index(str(s.finding.severity)), s.finding.id),
        )
        counts = Counter(str(s.finding.status) for s in seen)
        groups.append(
            Group(
                step=name,
                counts=tuple((status, counts[status]) for status in wording.STATUSES if counts[status]),
                others=tuple(others[:MOST_OPEN]),
                passes=tuple(passes[: 2 * MOST_OPEN]),
                others_left=max(0, len(others) - MOST_OPEN),
                passes_left=max(0, len(passes) - 2 * MOST_OPEN),
                open=any(s.finding.closes_gate for s in seen),
            )
        )
    return groups


def _provenance(record: Record) -> list[tuple[str, str]]:
    run = record.run
    missing = "not recorded"
    commit = str(run.get("commit") or missing)
    if run.get("dirty"):
        commit += ", with changes that were not committed"
    rows = [
        ("Run", record.id),
        ("Environment", record.environment or missing),
        ("Phase", record.phase or missing),
        ("Scenario", _flat(run.get("scenario"))),
        ("Started", wording.moment(record.started)),
        ("Finished", wording.moment(record.finished)),
        ("Exit code", str(record.exit_code) if record.exit_code is not None else missing),
        ("Code", commit),
        ("Dependencies (SHA-256 of the lock file)", str(run.get("lock_sha256") or missing)),
        ("Parameters (SHA-256)", str(run.get("params_sha256") or missing)),
        ("Run by", _flat(run.get("caller")) or missing),
        ("Versions", _flat(run.get("versions")) or missing),
        ("Notebooks", _flat(run.get("notebooks")) or missing),
    ]
    return [(name, value) for name, value in rows if value]


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{wording.role(str(k))}: {_flat(v)}" for k, v in value.items() if v not in (None, ""))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_flat(v) for v in value)
    return "" if value is None else str(value)


def _product(name: str) -> str:
    """`shadowtwin` as `ShadowTwin`; other names with a capital."""
    return "ShadowTwin" if name.lower() == "shadowtwin" else wording.role(name)


def _first_up(text: Markup) -> Markup:
    """The sentence after the verdict's word, as a sentence of its own."""
    return text[:1].upper() + text[1:] if text[:1].isalpha() else text
