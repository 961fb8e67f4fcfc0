"""What a restore did, as findings: it came to its end, and lost neither rows nor objects."""

from __future__ import annotations

from cutover.finding import Finding, Severity, Status
from cutover.postgres.transfer.errors import Cost, RestoreError
from cutover.postgres.transfer.restoring import Restore


def check_restore(restore: Restore) -> list[Finding]:
    """Judge a restore: it came to its end, lost no data, lost no object, and loaded every table of the dump.

    Finding ids: RST-data, RST-objects, RST-tables, RST-harmless (only when there was something to pass over).
    """
    losses: dict[Cost, list[RestoreError]] = {"data": [], "object": [], "harmless": []}
    for error in restore.errors:
        losses[error.cost].append(error)
    findings = [
        _judge(restore, "data", "No rows were lost in the restore", losses["data"], Severity.BLOCKER),
        _judge(restore, "objects", "No object was lost in the restore", losses["object"], Severity.HIGH),
    ]
    kept = f", {restore.kept} of them kept from the attempt that was interrupted" if restore.kept else ""
    stopped = f"; stopped after the phase {restore.stopped!r}, what follows it was not tried" if restore.stopped else ""
    findings.append(
        Finding.check(
            "RST-tables",
            "The rows of every table in the dump were loaded",
            restore.tables != restore.tables_expected,
            severity=Severity.BLOCKER,
            subject=restore.target,
            expected=f"{restore.tables_expected} tables",
            observed=f"{restore.tables} tables{kept} in {restore.seconds:.1f} s; "
            f"ANALYZE {restore.analyze_seconds:.1f} s{stopped}",
            why="A table that was not loaded is empty or absent on the target.",
            remedy=_GO_ON,
            data={"tables": restore.tables, "seconds": restore.seconds},
        )
    )
    if losses["harmless"]:
        findings.append(
            Finding(
                id="RST-harmless",
                title="Errors of the restore that cost nothing",
                status=Status.PASS,
                severity=Severity.LOW,
                subject=restore.target,
                observed="; ".join(f"{e.kind} {e.object}: {e.message}" for e in losses["harmless"][:10]),
                why="The object was there already, or belongs to the service; nothing is missing by it.",
            )
        )
    return findings


_GO_ON = (
    "Fix the cause (a missing role, extension or right, a full disk) and run the step again: the restore goes on "
    "where it stopped, from the same dump. Or drop and create the target, and transfer anew."
)


def _judge(restore: Restore, key: str, title: str, errors: list[RestoreError], severity: Severity) -> Finding:
    words = [f"{e.kind} {e.object}: {e.message}".strip() for e in errors]
    more = f" … and {len(words) - 10} more" if len(words) > 10 else ""
    commands = [e.command for e in errors if e.command and key == "objects"][:10]
    remedy = _GO_ON
    if commands:
        remedy += "\nOr repeat on the target what failed, then DROP SCHEMA cutover_restore CASCADE:\n" + "\n".join(
            commands
        )
    return Finding.check(
        f"RST-{key}",
        title,
        errors,
        severity=severity,
        subject=restore.target,
        expected="no error",
        observed="; ".join(words[:10]) + more if words else f"none ({restore.tool}, exit code {restore.exit_code})",
        why="pg_restore went on after the error; the target lacks what is named here.",
        remedy=remedy,
        data={"errors": [e.to_dict() for e in errors[:100]]} if errors else {},
    )
