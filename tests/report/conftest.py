"""Run folders, and the reports drawn of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample_runs
from page_reader import Page, parse

from cutover import report


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The reports of all sample runs, drawn once; not to be changed."""
    outputs = tmp_path_factory.mktemp("gallery")
    pages = {}
    for name, sample in sample_runs.EVERY:
        folder = sample(outputs)
        report.write_junit(folder)
        (folder / "manifest.json").write_text("{}")
        pages[name] = parse(report.write(folder))
    return pages


@pytest.fixture
def draw():
    """Draws a run's report and returns it parsed."""

    def drawn(folder: Path) -> Page:
        return parse(report.write(folder))

    return drawn


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """An empty folder for runs."""
    path = tmp_path / "outputs"
    path.mkdir()
    return path
