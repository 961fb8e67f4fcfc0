"""Findings in the forms that other tools read: SARIF 2.1.0 for code-scanning pages, CSV for spreadsheets, JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from cutover.files import write_json, write_whole
from cutover.finding import Finding, Severity, Status
from cutover.report.record import Record, Seen, read

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_KIND = {
    Status.PASS: "pass",
    Status.FAIL: "fail",
    Status.MISSING: "fail",
    Status.UNKNOWN: "open",
    Status.NOT_COMPARED: "open",
    Status.MANUAL: "review",
    Status.WAIVED: "fail",
    Status.NOT_DUE: "notApplicable",
    Status.NOT_APPLICABLE: "notApplicable",
}
"""SARIF 2.1.0, 3.27.9: `open` is what could not be decided, `review` what a person must decide."""
_LEVEL = {Severity.BLOCKER: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
_RANK = {Severity.BLOCKER: 100.0, Severity.HIGH: 75.0, Severity.MEDIUM: 50.0, Severity.LOW: 25.0}
_COLUMNS = ("step", "id", "title", "status", "severity", "subject", "expected", "observed", "why", "remedy", "guide",
            "waived_from", "at")  # fmt: skip


def write_exports(run_folder: Path) -> list[Path]:
    """Write `findings.sarif`, `findings.csv` and `findings.json` beside the run's findings.

    Raises:
        UsageError: there is no such folder.
        OSError: a file cannot be written.
    """
    folder = Path(run_folder)
    record = read(folder)
    rows = [_row(one) for one in record.latest]
    return [
        write_json(folder / "findings.sarif", sarif(record)),
        write_whole(folder / "findings.csv", table(rows)),
        write_json(folder / "findings.json", {"run": record.id, "verdict": record.shown, "findings": rows}),
    ]


def sarif(record: Record) -> dict[str, Any]:
    """One SARIF run: a rule for each id, a result for each finding, the steps that broke off as notifications."""
    latest = record.latest
    first: dict[str, Finding] = {}
    for one in latest:
        first.setdefault(one.finding.id, one.finding)
    order = {identifier: number for number, identifier in enumerate(first)}
    version = str((record.run.get("versions") or {}).get("cutover") or "0")
    driver = {
        "name": "Cutover",
        "version": version,
        "rules": [_rule(f) for f in first.values()],
    }
    notes = [{"level": "error", "message": {"text": gap}} for gap in record.gaps]
    invocation: dict[str, Any] = {"executionSuccessful": not notes, "toolExecutionNotifications": notes}
    if record.exit_code is not None:
        invocation["exitCode"] = int(record.exit_code)
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"cutover/{record.environment or 'run'}/{record.id}"},
        "invocations": [invocation],
        "results": [_result(one, order) for one in latest],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def table(rows: list[dict[str, Any]]) -> str:
    """CSV with a heading; a cell that a spreadsheet would take for a formula is made text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: _plain(row.get(k, "")) for k in _COLUMNS})
    return out.getvalue()


def _plain(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _row(one: Seen) -> dict[str, Any]:
    return {"step": one.step, "at": one.at, **one.finding.to_dict()}


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": finding.id,
        "shortDescription": {"text": finding.title},
        "defaultConfiguration": {"level": _LEVEL[finding.severity], "rank": _RANK[finding.severity]},
        "properties": {"severity": str(finding.severity)},
    }
    if finding.guide:
        rule["properties"]["guideLine"] = finding.guide
    return rule


def _result(one: Seen, order: dict[str, int]) -> dict[str, Any]:
    finding, kind = one.finding, _KIND[one.finding.status]
    words = finding.observed or finding.why or str(finding.status)
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": order[finding.id],
        "kind": kind,
        "level": _LEVEL[finding.severity] if kind == "fail" else "none",
        "message": {"text": f"{finding.title}: {words}"},
        "properties": {"status": str(finding.status), "severity": str(finding.severity), "step": one.step},
        "partialFingerprints": {"finding/v1": f"{finding.id}:{finding.subject}"},
    }
    for name in ("expected", "observed", "why", "remedy"):
        if text := getattr(finding, name):
            result["properties"][name] = text
    # A place in the run's own files: pages that show SARIF want one.
    evidence = finding.evidence[0] if finding.evidence else "findings.jsonl"
    uri = evidence if "/" in evidence or evidence == "findings.jsonl" else f"raw/aws/{evidence}"
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": uri.replace(" ", "%20")}}}
    if finding.subject:
        place["logicalLocations"] = [{"fullyQualifiedName": finding.subject, "kind": "resource"}]
    result["locations"] = [place]
    if finding.status is Status.WAIVED:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.why or "waived"}]
    return result
