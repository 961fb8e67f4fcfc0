"""A run's folder: whole files, findings that survive, and a manifest that finds every difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutover.errors import UsageError
from cutover.finding import Finding, Status
from cutover.step import RunFolder
from cutover.step.conclusion import latest
from cutover.step.evidence import project_root
from cutover.step.facts import source_facts


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A sealed run with a few files."""
    folder = RunFolder.create(tmp_path / "out", "staging", "day")
    folder.write("run.json", {"state": "finished"})
    folder.write("raw/aws/a.json", {"a": 1})
    folder.write("raw/load/log.bin", b"\xff\x00\xff")
    folder.record("10_a", [Finding("A-1", "x", Status.PASS)])
    folder.seal()
    return folder


def test_an_untouched_run_verifies(run: RunFolder) -> None:
    """The manifest names every file but itself, with size and SHA-256."""
    assert run.verify() == []
    manifest = run.read("manifest.json")
    assert set(manifest["files"]) == {"run.json", "raw/aws/a.json", "raw/load/log.bin", "findings.jsonl"}
    assert manifest["files"]["raw/load/log.bin"]["size"] == 3


def _flip(path: Path) -> None:
    path.write_bytes(b"\xff\x01\xff")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: _flip(p / "raw/load/log.bin"), "raw/load/log.bin was changed"),
        (lambda p: (p / "raw/aws/a.json").unlink(), "raw/aws/a.json is missing"),
        (lambda p: (p / "raw/aws/b.json").write_text("{}"), "raw/aws/b.json was added"),
        (lambda p: (p / "run.json").rename(p / "ran.json"), "ran.json was added"),
        (lambda p: (p / "findings.jsonl").write_text(""), "findings.jsonl was changed"),
        (lambda p: (p / "manifest.json").unlink(), "no readable manifest.json"),
        (lambda p: (p / "manifest.json").write_text("[]"), "no readable manifest.json"),
    ],
)
def test_every_difference_is_found(change: Callable[[Path], Any], says: str, run: RunFolder) -> None:
    """One byte, one file less, one more, one renamed."""
    change(run.path)
    assert any(says in problem for problem in run.verify())


def test_a_torn_finding_is_left_out(run: RunFolder) -> None:
    """A kernel died while it wrote; the findings before it count."""
    with (run.path / "findings.jsonl").open("a") as file:
        file.write('{"id": "A-2", "ti')
    assert [f.id for f in run.findings()] == ["A-1"]
    assert run.findings("other") == []


def test_what_others_wrote_is_scrubbed_before_the_seal(tmp_path: Path) -> None:
    """A tool's log in raw/ is as clean as what we write ourselves; bytes that are no text stay."""
    run = RunFolder.create(tmp_path / "out", "staging", "day", lambda text: text.replace("s3cret", "‹redacted›"))
    (run.raw("load") / "locust.log").write_text("password=s3cret\n")
    (run.raw("load") / "x.bin").write_bytes(b"\xff s3cret")
    run.seal()
    assert (run.path / "raw/load/locust.log").read_text() == "password=‹redacted›\n"
    assert run.verify() == []


def test_json_is_redacted_in_keys_and_values(tmp_path: Path) -> None:
    """Also below lists, and where a value is no JSON type."""
    run = RunFolder.create(tmp_path / "out", "staging", "day", lambda text: text.replace("s3cret", "‹redacted›"))
    run.write("a.json", {"s3cret": ["s3cret", Path("/s3cret"), 1, None]})
    assert "s3cret" not in (run.path / "a.json").read_text()
    assert json.loads((run.path / "a.json").read_text())["‹redacted›"][2:] == [1, None]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Before anything runs: a run without evidence proves nothing."""
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(UsageError, match="No run folder"):
        RunFolder.create(tmp_path / "out", "staging", "day")


def test_the_root_is_found_from_the_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lab works in notebooks/, the command in the checkout: both find the same outputs/."""
    for name in ("notebooks", "params"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert project_root() == tmp_path.resolve()
    monkeypatch.chdir("/")
    assert project_root() == Path("/")


def test_the_source_is_named_by_its_commit(tmp_path: Path) -> None:
    """And where there is none, nothing is claimed."""
    assert source_facts(tmp_path) == {"commit": None, "dirty": None}
    here = source_facts(Path(__file__).parent)
    assert here["commit"] is None or len(here["commit"]) == 40


def test_latest_takes_the_last_look_at_each_thing() -> None:
    """By id and subject."""
    first = [Finding("A-1", "x", Status.FAIL, subject="a"), Finding("A-1", "x", Status.FAIL, subject="b")]
    second = [Finding("A-1", "x", Status.PASS, subject="a")]
    assert {(f.subject, str(f.status)) for f in latest([first, second])} == {("a", "PASS"), ("b", "FAIL")}
