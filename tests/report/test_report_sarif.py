"""SARIF 2.1.0, CSV and JSON: what other tools read says what the report says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import sample_runs

from cutover.finding import Finding, Severity, Status
from cutover.report import sarif as exports

KINDS = {"notApplicable", "pass", "fail", "review", "open", "informational"}
LEVELS = {"none", "note", "warning", "error"}


def written(tmp_path: Path, *findings: Finding) -> tuple[dict[str, Any], list[dict[str, str]], dict[str, Any]]:
    """The three files of a run with these findings."""
    folder = sample_runs.build(tmp_path, [("02_provisioning_checks", f) for f in findings], phase="prepare",
                               steps=[("02_provisioning_checks", 3.0)])  # fmt: skip
    exports.write_exports(folder)
    rows = list(csv.DictReader(io.StringIO((folder / "findings.csv").read_text())))
    return json.loads((folder / "findings.sarif").read_text()), rows, json.loads((folder / "findings.json").read_text())


def every_status() -> list[Finding]:
    """One finding of each status and severity."""
    severities = list(Severity)
    return [
        Finding(f"ABC-{n:02d}", "It is so", status, severities[n % 4], f"arn:aws:x::{n}", "yes", "no", "because",
                "aws x y", 7, evidence=("rds.x.json",) if n % 2 else ())
        for n, status in enumerate(Status)
    ]  # fmt: skip


def test_the_structure_is_that_of_the_standard(tmp_path: Path) -> None:
    """Required members, closed vocabularies, and indices that lead somewhere (SARIF 2.1.0, section 3)."""
    document, _, _ = written(tmp_path, *every_status())
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [r["id"] for r in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in LEVELS
    assert len(run["results"]) == len(Status)
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["kind"] in KINDS
        assert result["level"] in LEVELS
        assert (result["level"] == "none") == (result["kind"] != "fail")  # 3.27.10
        assert result["message"]["text"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert isinstance(run["invocations"][0]["executionSuccessful"], bool)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.PASS, "pass"),
        (Status.FAIL, "fail"),
        (Status.MISSING, "fail"),
        (Status.UNKNOWN, "open"),
        (Status.NOT_COMPARED, "open"),
        (Status.MANUAL, "review"),
        (Status.NOT_DUE, "notApplicable"),
        (Status.NOT_APPLICABLE, "notApplicable"),
    ],
)
def test_what_could_not_be_seen_is_neither_pass_nor_fail(tmp_path: Path, status: Status, kind: str) -> None:
    """UNKNOWN is open."""
    document, _, _ = written(tmp_path, Finding("ABC-01", "It is so", status, Severity.BLOCKER))
    assert document["runs"][0]["results"][0]["kind"] == kind


def test_a_waiver_is_a_suppression_with_its_reason(tmp_path: Path) -> None:
    """A page that counts open alerts leaves it out, and shows who said so."""
    document, _, _ = written(tmp_path, Finding("ABC-01", "It is so", Status.WAIVED, Severity.HIGH, why="A. Miller: ok"))
    (result,) = document["runs"][0]["results"]
    assert result["suppressions"][0]["justification"] == "A. Miller: ok"


def test_the_table_and_the_list_hold_every_finding(tmp_path: Path) -> None:
    """As many rows as findings, the same statuses."""
    findings = every_status()
    _, rows, whole = written(tmp_path, *findings)
    assert [r["status"] for r in rows] == [str(f.status) for f in findings]
    assert [f["id"] for f in whole["findings"]] == [f.id for f in findings]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    """What a server answers must not run in somebody's spreadsheet."""
    _, rows, _ = written(tmp_path, Finding("ABC-01", "It is so", Status.FAIL, observed=text))
    assert rows[0]["observed"] == "'" + text
