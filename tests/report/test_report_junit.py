"""JUnit: valid for every reader, red where the gate is closed or nothing is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import sample_runs

from cutover.finding import Finding, Severity, Status
from cutover.report import write_junit


def suites(folder: Path) -> ET.Element:
    """The written file, parsed."""
    return ET.parse(write_junit(folder)).getroot()


@pytest.mark.parametrize("sample", [sample for _, sample in sample_runs.EVERY])
def test_it_keeps_the_common_schema(sample, outputs):
    """Element names, order, required attributes, and counts that add up (Jenkins' junit-10.xsd)."""
    root = suites(sample(outputs))
    assert root.tag == "testsuites"
    cases = root.findall("testsuite/testcase")
    assert int(root.get("tests")) == len(cases)
    assert int(root.get("failures")) == len(root.findall("*/*/failure"))
    assert int(root.get("errors")) == len(root.findall("*/*/error"))
    for suite in root:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) <= {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        assert float(suite.get("time")) >= 0
        for kind in ("failure", "error", "skipped"):
            number = suite.get({"failure": "failures", "error": "errors", "skipped": "skipped"}[kind])
            assert int(number) == len(suite.findall(f"testcase/{kind}"))
        for case in suite:
            assert case.tag == "testcase"
            assert case.get("name")
            assert case.get("classname")
            assert len(case) <= 1
            assert {child.tag for child in case} <= {"failure", "error", "skipped"}
            assert all(child.get("message") for child in case)


@pytest.mark.parametrize(
    ("status", "tag"),
    [
        (Status.PASS, None),
        (Status.FAIL, "failure"),
        (Status.MISSING, "failure"),
        (Status.UNKNOWN, "error"),
        (Status.NOT_COMPARED, "error"),
        (Status.MANUAL, "error"),
        (Status.WAIVED, "skipped"),
        (Status.NOT_DUE, "skipped"),
        (Status.NOT_APPLICABLE, "skipped"),
    ],
)
def test_each_status_has_its_element(status, tag, outputs):
    """With the reason in it."""
    finding = Finding("X-1", "Claim", status, Severity.HIGH, observed="seen so", why="because of this", remedy="fix")
    root = suites(sample_runs.build(outputs, [("13_data_integrity", finding)]))
    case = next(c for c in root.iter("testcase") if c.get("name") == "X-1 Claim")
    assert [child.tag for child in case] == ([tag] if tag else [])
    if tag == "skipped":
        assert "because of this" in case[0].get("message")
    elif tag:
        assert case[0].get("message") == "seen so"
        assert "What to do: fix" in case[0].text


@pytest.mark.parametrize("state", ["failed", "timeout", "kernel-died", "interrupted", "terminated", "running", ""])
def test_a_step_that_broke_off_is_an_error(state, outputs):
    """Also when all that it recorded before had passed."""
    folder = sample_runs.build(outputs, sample_runs.passing(), stop_at="14_deploy", state=state)
    root = suites(folder)
    case = root.find("testsuite[@name='14_deploy']/testcase")
    assert case.get("name") == "the step runs to its end"
    assert case[0].tag == "error"
    assert root.find("testsuite[@name='15_dns_cutover']/testcase")[0].tag == "skipped"


def test_a_killed_run_is_never_green(outputs):
    """Every finding that it left had passed; the record itself is the error."""
    root = suites(sample_runs.killed(outputs))
    case = root.find("testsuite[@name='record']/testcase")
    assert case[0].tag == "error"
    assert "verdict.json is not there" in case[0].text
    assert int(root.get("errors")) >= 1


def test_a_clean_run_has_no_failure(outputs):
    """The one error is the quota that could not be read, which is what the report says too."""
    root = suites(sample_runs.go(outputs, pictures=False))
    assert root.get("failures") == "0"
    assert [c.get("name")[:6] for c in root.iter("testcase") if c.find("error") is not None] == ["ACC-03"]


def test_control_characters_and_markup_do_not_break_it(outputs):
    """What XML cannot hold is made visible or replaced."""
    bad = "a\x00b\x1b]<&\">'\ufffe\ud800 \u0085 \U0001f600" + "x" * 9_000
    finding = Finding("X-1", bad, Status.FAIL, Severity.HIGH, bad, bad, bad, bad, bad, evidence=(bad,))
    folder = sample_runs.build(outputs, [(bad[:20], finding)])
    (folder / "run.json").unlink()
    folder = folder.rename(outputs / "20261123T120000Z-a\x1bb-c\x01d")
    root = suites(folder)
    text = (folder / "junit.xml").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800]", text)
    assert "😀" in root.find(".//failure").get("message")


def test_findings_that_name_no_step_are_kept(outputs):
    """They go to a suite of the run."""
    folder = sample_runs.build(outputs, [])
    line = Finding("X-1", "Claim", Status.FAIL, Severity.HIGH).to_dict()
    (folder / "findings.jsonl").write_text(json.dumps(line) + "\n")
    assert suites(folder).find("testsuite[@name='run']/testcase/failure") is not None
