"""What earlier versions stored stays readable; what a newer one stored is refused by name."""

from __future__ import annotations

import json
import shutil
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cutover.aws.requirements.look import looks
from cutover.cli import app
from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status
from cutover.judgement import apply_waivers
from cutover.params import load_params
from cutover.report import read
from cutover.step import Journal
from cutover.step.phases import find_notebooks

STORED = Path(__file__).parent / "stored"
"""A run, a journal and a parameter file of version 0.1.0 at its first landing, as it wrote them."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The stored run, unpacked under the name that it had."""
    with tarfile.open(STORED / "run.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    return Path(shutil.move(tmp_path / "run", tmp_path / "20261129T100730Z-rehearsal-rehearsal"))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The stored journal's file, where a migration looks for it."""
    return Path(shutil.copy(STORED / "journal.jsonl", tmp_path / "shadowtwin-staging.jsonl"))


def test_a_stored_run_is_judged_again_alike(run: Path) -> None:
    """294 requirements from 113 recorded responses: every id and status as it was."""
    again = CliRunner().invoke(app, ["recheck", str(run)])
    assert again.exit_code == 0, again.output
    assert "every finding is as it was" in again.output


def test_a_stored_run_is_read_by_the_report(run: Path) -> None:
    """Its verdict and its findings."""
    record = read(run)
    assert record.stated == "GO"
    assert len(record.findings) > 290


def test_a_stored_journal_is_read(journal: Path) -> None:
    """What was remembered, approved, begun and changed."""
    opened = Journal.open(str(journal.parent), "shadowtwin", "staging")
    assert opened.recall("old-ttl") == {"ttl": 3600, "name": "app.shadowtwin.example"}
    change = opened.last_change("lower-ttl", "app.shadowtwin.example")
    assert change is not None
    assert change["result"] == {"request_id": "A1"}
    assert opened.latest_plan("lower-ttl")["before"] == {"ttl": 3600}
    approval = opened.entries("approval")[0]
    found = opened.approval(approval["plan_hash"])
    assert found is not None
    assert found.note == "CHG-7"


def test_new_entries_carry_a_version_and_newer_ones_are_refused(journal: Path) -> None:
    """What a newer version wrote down may mean something else than it seems to."""
    opened = Journal.open(str(journal.parent), "shadowtwin", "staging")
    assert opened.write("remember", key="a", value=1)["version"] == 1
    assert opened.recall("a") == 1
    with journal.open("a") as lines:
        lines.write(json.dumps({"version": 2, "at": "2030-01-01T00:00:00+00:00", "kind": "remember"}) + "\n")
    with pytest.raises(UsageError, match="version 2"):
        opened.recall("a")


def test_a_look_of_a_newer_version_is_refused(run: Path) -> None:
    """And one without a version, of before, is read."""
    (look,) = looks(run / "raw" / "aws")
    assert len(look.findings) == 294
    raw = json.loads(look.path.read_text())
    look.path.write_text(json.dumps(raw | {"version": 2}))
    with pytest.raises(UsageError, match="version 2"):
        looks(run / "raw" / "aws")


def test_a_stored_parameter_file_is_accepted_and_its_old_id_named() -> None:
    """The waiver holds for the finding as it is called now; `params check` says its new id."""
    loaded = load_params(STORED / "params.yml")
    (notice,) = loaded.notices
    assert "LIVE-sight is called LIVE-metrics now" in notice
    assert "params.yml:" in notice
    seen = Finding("LIVE-metrics", "CloudWatch has datapoints", Status.UNKNOWN, Severity.HIGH)
    (judged,) = apply_waivers([seen], loaded.migration, now=datetime(2026, 12, 1, tzinfo=UTC), emulator=None)
    assert judged.status is Status.WAIVED
    shown = CliRunner().invoke(app, ["params", "check", str(STORED / "params.yml")])
    assert "LIVE-metrics" in shown.output


def test_notebooks_of_a_stored_run_are_found(run: Path) -> None:
    """Names of notebooks have not changed."""
    names = [step.name for step in read(run).steps]
    assert names
    assert [name for name in names if not (find_notebooks() / f"{name}.ipynb").exists()] == []
