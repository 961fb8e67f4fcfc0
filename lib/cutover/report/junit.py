"""JUnit XML for pipelines: a suite for each step, a case for each finding, red where the gate would want to know.

The texts of a Record are printable (`text.visible`), so nothing that XML cannot hold comes this far.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from cutover.files import write_whole
from cutover.finding import Finding, Status
from cutover.report import wording
from cutover.report.record import Record, Seen, StepEnd, clean, read

_FAILURES = {Status.FAIL, Status.MISSING}
_ERRORS = {Status.UNKNOWN, Status.NOT_COMPARED, Status.MANUAL}
_ENDED = {"completed", "gate-closed"}


def write_junit(run_folder: Path) -> Path:
    """Write `junit.xml` beside the run's findings.

    FAIL and MISSING are failures; UNKNOWN, NOT_COMPARED and MANUAL are errors; WAIVED, NOT_DUE and NOT_APPLICABLE are
    skipped, with the reason. A step that broke off is an error, one that did not run is skipped, and an incomplete
    record is an error of its own, so that a killed run is never green.

    Raises:
        UsageError: there is no such folder.
        OSError: the file cannot be written.
    """
    record = read(Path(run_folder))
    root = ET.Element("testsuites", name=record.id, time=_seconds(record.seconds))
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    stamp = record.started
    ends = {s.name: s for s in record.steps}
    names = list(dict.fromkeys([*ends, *(s.step or "run" for s in record.latest)]))
    for name in names:
        seen = [s for s in record.latest if (s.step or "run") == name]
        suite = _suite(record, name, ends.get(name), seen)
        _count(suite, totals)
        root.append(suite)
    root.append(_whole(record))
    _count(root[-1], totals)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(totals[key]))
    for suite in root:
        if stamp and "timestamp" not in suite.attrib:
            suite.set("timestamp", f"{stamp:%Y-%m-%dT%H:%M:%S}")
    ET.indent(root)
    text = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return write_whole(Path(run_folder) / "junit.xml", text + b"\n")


def write_findings(path: Path, name: str, findings: Sequence[Finding], *, seconds: float = 0.0) -> Path:
    """Write findings that belong to no run as one suite; red and error as in `write_junit`.

    Raises:
        OSError: the file cannot be written.
    """
    suite = ET.Element("testsuite", name=name, time=_seconds(seconds))
    suite.extend(_case(name, Finding.from_dict(clean(finding.to_dict()))) for finding in findings)
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    _count(suite, totals)
    root = ET.Element("testsuites", name=name, time=_seconds(seconds))
    for key in ("tests", "failures", "errors"):
        root.set(key, str(totals[key]))
    root.append(suite)
    ET.indent(root)
    return write_whole(path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _suite(record: Record, name: str, end: StepEnd | None, seen: list[Seen]) -> ET.Element:
    suite = ET.Element("testsuite", name=name, time=_seconds(end.seconds if end else None))
    if end and end.started:
        suite.set("timestamp", f"{end.started:%Y-%m-%dT%H:%M:%S}")
    place = f"{record.environment or 'run'}.{name}"
    if end:
        case = ET.SubElement(suite, "testcase", classname=place, name="the step runs to its end", time="0")
        word = wording.ending(end.state)[0]
        if end.state == "not-run":
            ET.SubElement(case, "skipped", message="Did not run: the run ended before it.")
        elif end.state not in _ENDED:
            ET.SubElement(case, "error", message=word, type=end.state or "unknown")
    for one in seen:
        suite.append(_case(place, one.finding))
    return suite


def _case(place: str, finding: Finding) -> ET.Element:
    subject = f" [{wording.shorten(finding.subject, 120)}]" if finding.subject else ""
    case = ET.Element("testcase", classname=place, name=f"{finding.id} {finding.title}{subject}", time="0")
    observed = finding.observed or finding.why or wording.STATUSES[finding.status][2]
    message = wording.shorten(observed, 500)
    kind = f"{finding.status}.{finding.severity}"
    if finding.status in _FAILURES | _ERRORS:
        tag = "failure" if finding.status in _FAILURES else "error"
        ET.SubElement(case, tag, message=message, type=kind).text = _long(finding)
    elif finding.status is not Status.PASS:
        reason = finding.why or observed
        word = wording.STATUSES[finding.status][0]
        ET.SubElement(case, "skipped", message=f"{word}: {wording.shorten(reason, 500)}")
    return case


def _whole(record: Record) -> ET.Element:
    """The suite about the record itself."""
    suite = ET.Element("testsuite", name="record", time="0")
    place = f"{record.environment or 'run'}.record"
    case = ET.SubElement(suite, "testcase", classname=place, name="the record is whole", time="0")
    if record.gaps:
        error = ET.SubElement(case, "error", message=record.gaps[0], type="INCOMPLETE")
        error.text = "\n".join(record.gaps)
    return suite


def _long(finding: Finding) -> str:
    parts = [("Expected", finding.expected), ("Observed", finding.observed), ("Why", finding.why)]
    parts += [("What to do", finding.remedy), ("Evidence", ", ".join(finding.evidence))]
    return "\n".join(f"{name}: {wording.shorten(text)}" for name, text in parts if text)


def _count(suite: ET.Element, totals: dict[str, int]) -> None:
    numbers = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    for key, value in numbers.items():
        suite.set(key, str(value))
        totals[key] += value


def _seconds(value: float | None) -> str:
    return f"{max(0.0, value or 0.0):.3f}"
