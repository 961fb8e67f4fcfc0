"""The list of runs: `outputs/index.html`, newest first, each with its verdict and a link to its report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from cutover.errors import UsageError
from cutover.files import write_whole
from cutover.report import facts, story, wording
from cutover.report.html import template_environment
from cutover.report.record import Record, clean, read
from cutover.secrets import redact

MOST_RUNS = 500
"""Runs that the index lists; older ones are counted."""
_RUN = re.compile(r"^\d{8}T\d{6}Z-")


@dataclass(frozen=True, slots=True)
class Row:
    """A run in the list; `link` is relative to the index, "" when there is nothing to open."""

    name: str
    link: str
    report: bool
    verdict: str
    phase: str
    environment: str
    started: datetime | None
    seconds: float | None
    headline: str


def write_index(outputs: Path) -> Path:
    """Write `index.html` over all runs in `outputs`.

    Raises:
        UsageError: there is no such folder.
        OSError: the index cannot be written.
    """
    outputs = Path(outputs)
    if not outputs.is_dir():
        raise UsageError(f"There is no folder {outputs}.", todo="name the folder that holds the runs, outputs/.")
    folders = [p for p in outputs.iterdir() if p.is_dir() and (_RUN.match(p.name) or (p / "run.json").is_file())]
    folders.sort(key=_when, reverse=True)
    rows = [row(folder) for folder in folders[:MOST_RUNS]]
    text = template_environment().get_template("index.html.j2").render(
        rows=rows, left=len(folders) - len(rows), now=datetime.now(UTC), ledger=(outputs / "ledger.jsonl").is_file()
    )  # fmt: skip
    return write_whole(outputs / "index.html", redact(text))


def row(folder: Path) -> Row:
    """A run's line in the list; a folder that cannot be read gives one too, marked INCOMPLETE."""
    record: Record = read(folder)
    report = (folder / "report.html").is_file()
    return Row(
        name=clean(folder.name),
        link=quote(f"{folder.name}/report.html" if report else f"{folder.name}/"),
        report=report,
        verdict=record.shown,
        phase=wording.phase_title(record.phase),
        environment=record.environment,
        started=record.started or _named(folder.name),
        seconds=record.seconds,
        headline=story.headline(record, facts.NONE),
    )


def _when(folder: Path) -> tuple[str, str]:
    """The sort key: the time in the folder's name, or else when it was last touched."""
    if _RUN.match(folder.name):
        return folder.name[:16], folder.name
    return f"{datetime.fromtimestamp(folder.stat().st_mtime, UTC):%Y%m%dT%H%M%SZ}", folder.name


def _named(name: str) -> datetime | None:
    try:
        return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
