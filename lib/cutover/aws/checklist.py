"""The guide's deployment checklist (lines 734-761): each box with the requirements behind it, and who signed for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status

_CLOSED = {Status.FAIL, Status.MISSING}
_UNSEEN = {Status.UNKNOWN, Status.NOT_COMPARED}


@dataclass(frozen=True, slots=True)
class Box:
    """One box.

    Attributes:
        key: what a person names it by.
        phase: the guide's heading.
        text: the guide's words.
        guide: the line.
        behind: ids of the findings behind it, whole or the part before the dash.
        by_hand: what no check can see: a person signs for it; "" when the findings say it all.
    """

    key: str
    phase: str
    text: str
    guide: int
    behind: tuple[str, ...]
    by_hand: str = ""


def _boxes() -> tuple[Box, ...]:
    before, during, after = "Pre-Deployment", "Deployment", "Post-Deployment"
    rows: tuple[tuple[str, str, str, int, str, str], ...] = (
        ("vpc", before, "VPC and subnets created", 738, "NET", ""),
        ("security-groups", before, "Security groups configured", 739, "SG", ""),
        ("rds", before, "RDS instance provisioned", 740, "RDS", ""),
        ("elasticache", before, "ElastiCache cluster created", 741, "RED", ""),
        ("secrets", before, "Secrets stored in Secrets Manager", 742, "SEC", ""),
        ("certificate", before, "SSL certificate provisioned in ACM", 743, "ACM", ""),
        ("ecr", before, "ECR repository created", 744, "ECR-01 ECR-02 ECR-03 ECR-04 ECR-07 ECR-08", ""),
        ("image", during, "Docker image built and pushed", 748, "ECR-05 IMG", ""),
        ("task-definition", during, "ECS task definition created", 749, "TD", ""),
        ("service", during, "ECS service deployed", 750, "ECS SVC", ""),
        ("balancer", during, "ALB configured with HTTPS listener", 751, "ALB LSN", ""),
        ("dns", during, "DNS records updated", 752, "APP-04", ""),
        ("health", during, "Health checks passing", 753, "TG-11 APP-01", ""),
        ("alarms", after, "CloudWatch alarms configured", 757, "ALM", ""),
        ("scaling", after, "Auto-scaling policies enabled", 758, "ASG", ""),
        ("backups", after, "Backup verification", 759, "RDS-14 RDS-30 RDS-39 RDS-40",
         "a backup was restored, and what came back was looked at"),
        ("performance", after, "Performance testing completed", 760, "TRG SIZ",
         "the load was that of a busy day, and its results were read"),
        ("security-scan", after, "Security scan passed", 761, "ECR-06 POST-11", ""),
    )  # fmt: skip
    return tuple(Box(k, p, t, g, tuple(b.split()), h) for k, p, t, g, b, h in rows)


BOXES = _boxes()
"""The eighteen boxes, in the guide's order."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a person stands for.

    Attributes:
        who: their name.
        note: what they looked at.
        at: when it was recorded, ISO 8601.
    """

    who: str
    note: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Ticked:
    """A box with its state.

    Attributes:
        box: the box.
        state: `done`, `open`, `not known`, `by hand`, `not due`, `not looked at`.
        says: why, in a sentence.
        counts: findings behind it by status.
        signature: who signed, None when nobody did.
    """

    box: Box
    state: str
    says: str
    counts: Mapping[str, int]
    signature: Signature | None = None


def read_signatures(given: Mapping[str, Any], at: str) -> dict[str, Signature]:
    """What a notebook's knob `manual` says: {"backups": {"who": "A. Miller", "note": "restored, 3 tables read"}}.

    Raises:
        UsageError: an unknown box, or a signature without a name or a note.
    """
    known = {b.key: b for b in BOXES if b.by_hand}
    found = {}
    for key, raw in given.items():
        if key not in known:
            raise UsageError(f"No person signs for {key!r}.", todo=f"the boxes that are signed: {', '.join(known)}")
        fields = raw if isinstance(raw, Mapping) else {}
        who, note = str(fields.get("who") or "").strip(), str(fields.get("note") or "").strip()
        if len(who) < 2 or len(note) < 8 or set(fields) - {"who", "note"}:
            raise UsageError(
                f"{key}: a signature is a name and what was looked at, not {raw!r}.",
                why="a tick without a name is nobody's, and nobody answers for it later.",
                todo=f'manual: {{"{key}": {{"who": "A. Miller", "note": "{known[key].by_hand}"}}}}',
            )
        found[key] = Signature(who, note, at)
    return found


def tick(findings: Iterable[Finding], signatures: Mapping[str, Signature] | None = None) -> list[Ticked]:
    """The eighteen boxes over these findings. A box behind which nothing was looked at is never done.

    Args:
        findings: of any notebook; signatures among them (`MAN-`) count.
        signatures: who signed, where the journal is at hand.
    """
    seen = list(findings)
    given = {f.subject: _signature(f) for f in seen if f.id[:4] == "MAN-" and f.status is Status.PASS}
    signatures = {**given, **(signatures or {})}
    return [_tick(box, [f for f in seen if _behind(f, box)], signatures.get(box.key)) for box in BOXES]


def signed(signatures: Mapping[str, Signature]) -> list[Finding]:
    """MAN-16 and MAN-17: the boxes that a person stands for, MANUAL until one did."""
    found = []
    for number, box in enumerate(BOXES, 1):
        if not box.by_hand:
            continue
        one = signatures.get(box.key)
        found.append(Finding(
            f"MAN-{number:02d}", f"A person stands for: {box.text}", Status.PASS if one else Status.MANUAL,
            Severity.MEDIUM, box.key, box.by_hand,
            f"{one.who}, {one.at}: {one.note}" if one else "nobody signed yet", "no API can see it",
            "" if one else f'manual: {{"{box.key}": {{"who": "…", "note": "…"}}}}', box.guide,
            data=asdict(one) if one else {},
        ))  # fmt: skip
    return found


def _signature(finding: Finding) -> Signature:
    """Who signed, what they looked at and when; of a run of an earlier version out of the one text that it kept."""
    if finding.data:
        return Signature(*(str(finding.data.get(key) or "") for key in ("who", "note", "at")))
    who, _, rest = finding.observed.partition(", ")
    at, _, note = rest.partition(": ")
    return Signature(who, note, at)


def _behind(finding: Finding, box: Box) -> bool:
    chapter = re.sub(r"-.*", "", finding.id)
    return finding.id in box.behind or chapter in box.behind


def _tick(box: Box, behind: list[Finding], signature: Signature | None) -> Ticked:
    counts: dict[str, int] = {}
    for finding in behind:
        counts[str(finding.status)] = counts.get(str(finding.status), 0) + 1

    def ticked(state: str, says: str) -> Ticked:
        return Ticked(box, state, says, counts, signature)

    heavy = [f for f in behind if f.severity.closes]
    for state, statuses in (("open", _CLOSED), ("not known", _UNSEEN)):
        worst = [f for f in heavy if f.status in statuses]
        if worst:
            return ticked(state, f"{worst[0].id}: {worst[0].sentence()}" + _more(worst))
    looked = [f for f in behind if f.status not in (Status.NOT_DUE, Status.NOT_APPLICABLE)]
    if not looked and signature is None:
        if not behind:
            return ticked("by hand" if box.by_hand else "not looked at", box.by_hand or "nothing of it was looked at")
        if all(f.status is Status.NOT_APPLICABLE for f in behind):
            return ticked("done", "it does not concern this migration")
        return ticked("not due", "due later")
    if box.by_hand and signature is None:
        return ticked("by hand", f"a person signs: {box.by_hand}")
    waiting = [f for f in heavy if f.status is Status.NOT_DUE]
    lesser = [f for f in behind if f.status in _CLOSED | _UNSEEN]
    says = f"{signature.who}: {signature.note}" if signature else f"{len(looked)} looked at"
    if lesser:
        says += f"; lesser: {', '.join(f.id for f in lesser[:4])}" + _more(lesser, 4)
    if waiting:
        return ticked("not due", f"{says}; due later: {', '.join(f.id for f in waiting[:4])}" + _more(waiting, 4))
    return ticked("done", says)


def _more(findings: list[Finding], shown: int = 1) -> str:
    return f" (and {len(findings) - shown} more)" if len(findings) > shown else ""
