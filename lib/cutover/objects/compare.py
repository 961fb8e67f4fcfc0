"""Two inventories compared: what is missing, what is different, what nobody expected."""

from __future__ import annotations

from collections.abc import Sequence

from cutover.finding import Finding, Severity, Status
from cutover.objects.inventory import Inventory
from cutover.objects.location import shown

GUIDE_LINE = 73
SHOWN = 20
_COPY_AGAIN = "run the copy again: it takes only what is missing or different"
_WORDS = {
    "OBJ-01": ("a user's report would be gone", _COPY_AGAIN),
    "OBJ-02": ("a report with another content is a broken or a wrong report", _COPY_AGAIN),
    "OBJ-03": (
        "leftovers of a rehearsal, or written by an application that already runs on the target",
        "look at each; nothing here deletes objects",
    ),
    "OBJ-05": ("a report of another type is saved, or shown as gibberish, where it used to open", _COPY_AGAIN),
}
"""Why it matters, and what to do."""


def compare(source: Inventory, target: Inventory, *, show: int = SHOWN) -> list[Finding]:
    """Compare by name, size and SHA-256, both ways.

    Findings OBJ-01 (none is missing), OBJ-02 (none differs), OBJ-03 (none is extra), OBJ-04 (all could be read),
    OBJ-05 (the same content type and metadata).

    Args:
        source: what should be.
        target: what is.
        show: names to show of each kind; all are counted.
    """
    unread = sorted({*source.unread, *target.unread})
    missing = sorted(source.entries.keys() - target.entries.keys() - target.unread.keys())
    extra = sorted(target.entries.keys() - source.entries.keys() - source.unread.keys())
    both = sorted(source.entries.keys() & target.entries.keys())
    different = [name for name in both if source.entries[name] != target.entries[name]]
    subject = f"{source.address} → {target.address}"
    nothing = not source.entries and not source.unread

    def finding(identifier: str, title: str, wrong: Sequence[str], good: str) -> Finding:
        unproven = nothing and identifier in ("OBJ-01", "OBJ-02")
        status = Status.FAIL if wrong else Status.UNKNOWN if unproven else Status.PASS
        why, remedy = _WORDS[identifier]
        return Finding.check(
            identifier,
            title,
            status,
            severity=Severity.BLOCKER if identifier in ("OBJ-01", "OBJ-02") else Severity.MEDIUM,
            subject=subject,
            expected="none",
            observed=_named(wrong, show) if wrong else "the source holds no report" if unproven else good,
            note="nothing was there to compare: is this the right address?" if status is Status.UNKNOWN else why,
            remedy=remedy,
            guide=GUIDE_LINE,
            data={"count": len(wrong), "names": [shown(name) for name in wrong[:show]], "compared": len(both)},
        )

    told = [_difference(name, source, target) for name in different]
    return [
        finding("OBJ-01", "No report is missing", missing, f"all {len(source.entries)} are there"),
        finding("OBJ-02", "No report differs", told, f"{len(both)} compared by SHA-256, all equal"),
        finding("OBJ-03", "No report is there that the source does not have", extra, "none"),
        _unread(subject, unread, {**target.unread, **source.unread}, show),
        finding(
            "OBJ-05",
            "Every report keeps its content type and metadata",
            [said for name in both if (said := _said(name, source, target))],
            f"{len(both)} compared",
        ),
    ]


def _unread(subject: str, names: Sequence[str], why: dict[str, str], show: int) -> Finding:
    return Finding.check(
        "OBJ-04",
        "Every report could be read",
        Status.NOT_COMPARED if names else Status.PASS,
        severity=Severity.BLOCKER,
        subject=subject,
        expected="every object is read on both sides",
        observed=_named(names, show) if names else "all of them",
        note=f"not compared: {why[names[0]]}" if names else "what was not read was not compared",
        remedy="check the rights (s3:GetObject, kms:Decrypt; the files' owner), then compare again",
        guide=GUIDE_LINE,
        data={"count": len(names), "names": [shown(name) for name in names[:show]]},
    )


def _difference(name: str, source: Inventory, target: Inventory) -> str:
    ours, theirs = source.entries[name], target.entries[name]
    if ours.size != theirs.size:
        return f"{name} ({ours.size} → {theirs.size} bytes)"
    return f"{name} (same size, other content)"


def _said(name: str, source: Inventory, target: Inventory) -> str:
    """What the target says otherwise of an object; "" when nothing."""
    ours, theirs = source.entries[name].about, target.entries[name].about
    wrong = [f"{key} {value} → {theirs.get(key, 'none')}" for key, value in ours.items() if theirs.get(key) != value]
    return f"{name} ({', '.join(wrong)})" if wrong and theirs else ""


def _named(names: Sequence[str], show: int) -> str:
    more = f", and {len(names) - show} more" if len(names) > show else ""
    return f"{len(names)}: " + ", ".join(shown(name) for name in names[:show]) + more
