"""The list of runs."""

from __future__ import annotations

import json

import pytest
import sample_runs
from page_reader import parse

from cutover.errors import UsageError
from cutover.report import write, write_index


def test_runs_are_listed_newest_first_with_their_verdicts(outputs):
    """Rolled back, lost rows, clean, killed, empty account."""
    for _, sample in sample_runs.EVERY:
        sample(outputs)
    page = parse(write_index(outputs))
    order = [page.text.index(word) for word in ("ROLLBACK", "37 of 96,417", "ll 7 steps completed")]
    order += [page.text.index("INCOMPLETE"), page.text.index("Load balancer is active")]
    assert order == sorted(order)
    assert not page.unclosed


def test_each_run_links_to_its_report_or_its_folder(outputs):
    """Relative, so that the folder can be moved or sent."""
    drawn, bare = sample_runs.lost_rows(outputs), sample_runs.killed(outputs)
    write(drawn)
    page = parse(write_index(outputs))
    links = [a["href"] for a in page.all("a")]
    assert links == [f"{drawn.name}/report.html", f"{bare.name}/"]
    assert "no report was drawn" in page.text


def test_an_incomplete_run_is_listed_as_such(outputs):
    """A folder that was killed before its first file is a run too; other folders and files are not."""
    (outputs / "20261101T000000Z-staging-day").mkdir()
    (outputs / "state").mkdir()
    (outputs / "README.md").write_text("x")
    page = parse(write_index(outputs))
    assert page.text.count("INCOMPLETE") == 1
    assert "2026-11-01 00:00:00" in page.text
    assert "staging" in page.text


def test_hostile_folders_and_texts_stay_text(outputs):
    """Escaped, and quoted in the address."""
    folder = sample_runs.build(outputs, [], headline="NO_GO: <script>alert(1)</script>")
    folder.rename(outputs / '20261123T120000Z-<b>"x-day')
    page = parse(write_index(outputs))
    assert "script" not in {name for name, _ in page.elements}
    assert page.all("a")[0]["href"] == "20261123T120000Z-%3Cb%3E%22x-day/"


def test_an_empty_folder_gives_an_index(outputs):
    """It says how the first run is made."""
    assert "make rehearse" in parse(write_index(outputs)).text


def test_the_index_is_accessible_and_runs_nothing(outputs):
    """As the report: a language, one first heading, scoped headers, no script, no address out."""
    sample_runs.killed(outputs)
    page = parse(write_index(outputs))
    assert page.all("html") == [{"lang": "en"}]
    assert [level for level, _ in page.headings] == [1]
    assert all(attributes.get("scope") in {"col", "row"} for attributes in page.all("th"))
    assert "script" not in {name for name, _ in page.elements}
    assert "http" not in json.dumps([a for name, a in page.elements if name != "meta"])


def test_there_must_be_a_folder(tmp_path):
    """A mistyped folder is not silently made."""
    with pytest.raises(UsageError, match="no folder"):
        write_index(tmp_path / "nowhere")
