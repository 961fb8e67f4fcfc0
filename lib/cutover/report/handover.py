"""Everything that is handed over when a run ends: JUnit, SARIF, CSV, JSON, the report, the list of runs."""

from __future__ import annotations

from pathlib import Path

from cutover.report.html import write
from cutover.report.index import write_index
from cutover.report.junit import write_junit
from cutover.report.sarif import write_exports


def hand_over(run_folder: Path) -> Path:
    """Write `junit.xml`, SARIF, CSV, JSON and `report.html` of a run, and the index beside it; the report's path."""
    write_junit(run_folder)
    write_exports(run_folder)
    report = write(run_folder)
    write_index(run_folder.parent)
    return report
