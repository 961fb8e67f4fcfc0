"""What was noticed, in words: the left-hand side of the diagnosis' rules, each with the evidence for it.

A symptom is there when it was seen, and its opposite has a name of its own: what nobody looked at is neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cutover.finding import Finding, Status

BAD = frozenset({Status.FAIL, Status.MISSING})
_DATA = ("INT-", "CAT-", "RST-", "TRF-", "OBJ-", "FRZ-", "SWO-")
_PLACE = ("CUT-", "NET-", "ALB-", "TG-", "LSN-", "ACM-", "CDN-", "EC2-", "ASG-")
_SETTINGS = ("SEC-", "TD-", "SG-", "IAM-", "RED-")
_BEHAVIOUR = ("FLOW-", "APP-", "DEP-", "QUE-")
_CREDENTIALS = (
    "password",
    "authentication",
    "credential",
    "secret",
    "permission denied",
    "access denied",
    "no pg_hba",
    "ssl",
    "certificate",
    "does not exist",
    "noauth",
    "wrongpass",
)
"""Words of PostgreSQL, Redis and AWS by which a refused connection is a wrong setting, not a lost server."""
_FROM_APPLICATION = ("http_5xx", "http_4xx", "check", "target_5xx")
_FROM_THE_WAY = ("connection", "balancer_5xx")
_QUICK_S = 0.5
"""A health check that answers within this is not what a slow page waits for."""
_CHANGES = (
    ("deploy", "the release was changed last"),
    ("secret", "settings were changed last"),
    ("rotate", "settings were changed last"),
    ("shift", "the way to the platform was changed last"),
    ("listener", "the way to the platform was changed last"),
    ("transfer", "the data were changed last"),
    ("restore", "the data were changed last"),
    ("replicat", "the data were changed last"),
)
"""By the names of actions. Switching the name is none of them: it brings visitors to what was there before."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What was looked at beside the findings; None is not looked at.

    Attributes:
        errors: failed requests by class: the outcomes of a load log (`http_5xx`, `timeout`, `connection`, `check`), or
            CloudWatch's `target_5xx` and `balancer_5xx`.
        changes: names of the actions that were made, the latest first (`deploy-service`).
        database_answers: whether the target's database answers a direct probe, and what was seen.
        queue_answers: the same of Redis.
    """

    errors: Mapping[str, int] = field(default_factory=dict)
    changes: Sequence[str] = ()
    database_answers: tuple[bool, str] | None = None
    queue_answers: tuple[bool, str] | None = None


def symptoms(findings: Iterable[Finding], looks: Looks, *, after_cutover: bool | None) -> dict[str, str]:
    """Every symptom that was seen, by the name that the rules know it by, with what shows it."""
    seen = list(findings)
    bad = [f for f in seen if f.status in BAD]
    found = _of_data(seen, bad, after_cutover) | _of_behaviour(bad) | _of_health(seen, bad) | _of_flows(seen)
    found |= _of_errors(seen, looks.errors) | _of_targets(seen) | _of_parts(bad)
    said = " ".join(f"{f.observed} {f.why}" for f in bad if f.id.startswith(("TRG-database", *_SETTINGS))).lower()
    words = [word for word in _CREDENTIALS if word in said]
    if words:
        found["credentials are refused"] = f"the message says “{words[0]}”"
    if any(name.startswith("the application cannot reach") for name in found):
        for explained in ("some flows fail, others work", "the application answers with errors"):
            found.pop(explained, None)  # what needs the database or the queue fails, and says nothing more
    found |= _of_probes(found, looks)
    change = next((text for name in looks.changes for word, text in _CHANGES if word in name), "")
    if change:
        found[change] = next(name for name in looks.changes if any(word in name for word, _ in _CHANGES))
    return found


def _of_data(seen: list[Finding], bad: list[Finding], after_cutover: bool | None) -> dict[str, str]:
    data = _with(bad, *_DATA)
    if data:
        moved = any(f.trigger for f in bad) if after_cutover is None else after_cutover
        when = "after the switch of the name" if moved else "before the switch of the name"
        return {f"data differ, {when}": _named(data)}
    same = [f for f in seen if f.id.startswith("INT-") and f.status is Status.PASS]
    return {"the data are the source's": _named(same)} if same else {}


def _of_behaviour(bad: list[Finding]) -> dict[str, str]:
    hurt = [f for f in bad if f.trigger] + _with(bad, *_BEHAVIOUR)
    found = {"users are hurt": _named(hurt)} if hurt else {}
    fired = {f.id.partition(":")[0] for f in bad}
    if fired & {"TRG-p95"} and not fired & {"TRG-error-rate", "TRG-stalled", "TRG-database"}:
        found["slow, without errors"] = _named(_with(bad, "TRG-p95"))
    return found


def _of_health(seen: list[Finding], bad: list[Finding]) -> dict[str, str]:
    """From the health body, told by the contract's finding and by the probes of a watch."""
    checks: dict[str, str] = {}
    for f in seen:
        for name, word in (f.data.get("checks") or {}).items():
            checks[name] = word if checks.get(name, "healthy") in ("healthy", "warning") else checks[name]
    found: dict[str, str] = {}
    lost = _with(bad, "TRG-database")
    if checks.get("database") == "unhealthy" or lost:
        said = f"health body: database {checks['database']}" if checks.get("database") else ""
        found["the application cannot reach its database"] = "; ".join(filter(None, [_named(lost), said]))
    elif checks.get("database") == "healthy" or any(f.id == "TRG-database" and f.status is Status.PASS for f in seen):
        found["the application reaches its database"] = "the health body says so"
    if checks.get("redis") in ("unhealthy", "not_configured"):
        found["the application cannot reach its queue"] = f"health body: redis {checks['redis']}"
    elif checks.get("redis") == "healthy":
        found["the application reaches its queue"] = "health body: redis healthy"
    mute = [f for f in seen if f.data.get("health_answered") is False or _mute(f)]
    if mute and not checks:
        found["the health check is not answered"] = _named(mute)
    if found.keys() >= {"the application reaches its database", "the application reaches its queue"}:
        quick = [s for f in seen if isinstance(s := f.data.get("seconds"), int | float) and f.data.get("checks")]
        if quick and max(quick) <= _QUICK_S:
            found["the health check is quick and well"] = f"at most {max(quick):.2f} s"
    return found


def _mute(f: Finding) -> bool:
    return f.id == "APP-01" and f.status is Status.FAIL and f.data.get("http_status", 0) is None


def _of_flows(seen: list[Finding]) -> dict[str, str]:
    """Which critical flows fail, told by the findings of one walk, or by the probes of a watch."""
    works: dict[str, bool] = {}
    for f in seen:
        if f.id.startswith("FLOW-") and f.status in BAD | {Status.PASS}:
            works[f.id.removeprefix("FLOW-")] = f.status is Status.PASS
        works |= {str(k): bool(v) for k, v in (f.data.get("flows") or {}).items()}
    failing, working = sorted(k for k, ok in works.items() if not ok), sorted(k for k, ok in works.items() if ok)
    if failing and working:
        return {"some flows fail, others work": f"{', '.join(failing)} fail; {', '.join(working)} work"}
    return {}


def _of_errors(seen: list[Finding], given: Mapping[str, int]) -> dict[str, str]:
    classes = dict(given)
    for f in seen:
        for name, count in (f.data.get("classes") or {}).items():
            classes[name] = classes.get(name, 0) + int(count)
    of = {
        "the application answers with errors": sum(classes.get(c, 0) for c in _FROM_APPLICATION),
        "connections break on the way": sum(classes.get(c, 0) for c in _FROM_THE_WAY),
        "requests time out": classes.get("timeout", 0),
    }
    total = sum(of.values())
    said = ", ".join(f"{n:,} {name}" for name, n in sorted(classes.items(), key=lambda c: -c[1]) if n)
    return {name: said for name, count in of.items() if total and count * 2 >= total}


def _of_targets(seen: list[Finding]) -> dict[str, str]:
    told = [f.data for f in seen if f.data.get("unhealthy_hosts") is not None]
    if not told:
        return {}
    sick, well = float(told[-1]["unhealthy_hosts"]), told[-1].get("healthy_hosts")
    if not sick:
        return {"every target is healthy": f"{well:g} healthy" if well else "0 unhealthy"}
    if well is None:
        return {"targets are unhealthy": f"{sick:g} unhealthy"}
    name = "some targets are unhealthy, others are not" if well else "no target is healthy"
    return {name: f"{sick:g} unhealthy, {well:g} healthy"}


def _of_parts(bad: list[Finding]) -> dict[str, str]:
    place, settings = _with(bad, *_PLACE), _with(bad, *_SETTINGS)
    found = {"balancer, network or targets are not as they should be": _named(place)} if place else {}
    if settings:
        found["secrets, task definition or rules are not as they should be"] = _named(settings)
    return found


def _of_probes(found: Mapping[str, str], looks: Looks) -> dict[str, str]:
    answers: dict[str, str] = {}
    for what, look in (("database", looks.database_answers), ("queue", looks.queue_answers)):
        lost = f"the application cannot reach its {what}" in found
        if look is not None and lost:
            ok, said = look
            answers[f"but the {what} answers us" if ok else f"and the {what} does not answer us either"] = said
    return answers


def _with(findings: list[Finding], *prefixes: str) -> list[Finding]:
    return [f for f in findings if f.id.startswith(prefixes)]


def _named(findings: list[Finding], most: int = 4) -> str:
    """Their ids with what was seen, each id once."""
    by_id = {f.id: f for f in findings}
    shown = [f"{f.id}: {f.observed}" if f.observed else f.id for f in list(by_id.values())[:most]]
    return "; ".join([*shown, f"and {len(by_id) - most} more"] if len(by_id) > most else shown)
