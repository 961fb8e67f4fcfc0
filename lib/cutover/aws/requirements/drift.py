"""What changed between two looks at the architecture, and who changed it, as far as CloudTrail answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cutover.aws.requirements.look import Look
from cutover.aws.requirements.recording import Reader
from cutover.aws.requirements.requirement import REGISTRY
from cutover.finding import Finding, Status

_TIMES = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?(\.\d+)?( UTC|[+-]\d\d:\d\d|Z)?)?")
SOURCES = {
    "network": ("ec2",), "security_groups": ("ec2",), "interfaces": ("ec2",), "instances": ("ec2", "iam"),
    "rds": ("rds",), "backups": ("rds",), "upkeep": ("rds",), "redis": ("elasticache",),
    "secrets_manager": ("secretsmanager", "rds", "elasticache"), "images": ("ecr",), "certificate": ("acm",),
    "balancer": ("elasticloadbalancing",), "listeners": ("elasticloadbalancing", "acm"), "ecs": ("ecs",),
    "service": ("ecs",), "scaling": ("autoscaling", "application-autoscaling"), "alarms": ("monitoring", "sns"),
    "observability": ("monitoring", "logs"), "dns": ("route53", "cloudfront"), "storage": ("s3",), "roles": ("iam",),
    "principals": ("iam",),
}  # fmt: skip
"""CloudTrail's event sources that can change what a module of requirements looks at."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One requirement that is not as it was.

    Attributes:
        id: the requirement.
        title: what it claims.
        then: status and what was seen at the earlier look.
        now: the same at this one.
        who: the calls that may have changed it, by whom and when; why it is not known, where CloudTrail does not say.
    """

    id: str
    title: str
    then: str
    now: str
    who: str


def drift(before: Look, findings: Iterable[Finding], reader: Reader | None = None, *, now: datetime) -> list[Drift]:
    """What changed since an earlier look: another status, or another value behind the same one.

    Args:
        before: the earlier look.
        findings: those of now, before any waiver or after.
        reader: asked who made changing calls meanwhile; nobody is asked without one.
        now: the end of the time that CloudTrail is asked about.
    """
    old = {f.id: f for f in before.findings}
    changed = [f for f in findings if f.id in old and _differs(old[f.id], f)]
    events, unknown = _events(reader, before.at, now) if changed else ([], "")
    return [Drift(f.id, f.title, _words(old[f.id]), _words(f), unknown or _who(f, old[f.id], events)) for f in changed]


def _differs(old: Finding, new: Finding) -> bool:
    one, other = old.waived_from or old.status, new.waived_from or new.status
    waiting = {Status.NOT_DUE, Status.NOT_APPLICABLE}
    if one in waiting or other in waiting:
        return False  # it was not looked at then, or is not now: that is the calendar's work, nobody's change
    return one != other or _settled(old) != _settled(new)


def _settled(finding: Finding) -> str:
    """What was seen, without the times in it: they pass by themselves."""
    return _TIMES.sub("…", finding.observed)


def _words(finding: Finding) -> str:
    return f"{finding.waived_from or finding.status}: {finding.observed}"[:300]


def _events(reader: Reader | None, since: datetime, until: datetime) -> tuple[list[Mapping[str, Any]], str]:
    if reader is None:
        return [], "not asked"
    answer = reader.call(
        "cloudtrail",
        "lookup_events",
        LookupAttributes=[{"AttributeKey": "ReadOnly", "AttributeValue": "false"}],
        StartTime=since.isoformat(),
        EndTime=until.isoformat(),
    )
    if not answer.ok:
        return [], f"UNKNOWN: cloudtrail.lookup_events: {answer.problem} ({answer.error_code})"
    return list(answer.data.get("Events") or []), ""


def _who(finding: Finding, old: Finding, events: list[Mapping[str, Any]]) -> str:
    """The newest changing calls on the resource; on its service, where the trail names no resource."""
    rule = REGISTRY.get(finding.id)
    sources = {f"{s}.amazonaws.com" for s in SOURCES.get(rule.service if rule else "", ())}
    names = {part for s in (finding.subject, old.subject) if s for part in (s, re.split(r"[:/]", s)[-1])}
    on_it = [e for e in events if names & {str(r.get("ResourceName")) for r in e.get("Resources") or []}]
    near = [e for e in events if e.get("EventSource") in sources and not e.get("Resources")]
    said = [
        f"{e.get('Username') or 'unnamed'}: {e.get('EventName')} {str(e.get('EventTime'))[:19]}" for e in on_it or near
    ]
    if not said:
        return "UNKNOWN: no changing call on it is in the trail"
    return "; ".join(dict.fromkeys(said[:4])) + ("" if on_it else " (on this service)")
