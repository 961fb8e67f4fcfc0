"""The findings over two catalogs: what is the same, what is not and how it is fixed, what could not be seen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace

from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog.differences import CatalogDifference, concerns, differences_between
from cutover.postgres.catalog.expected import Expected, Meant
from cutover.postgres.catalog.hidden import hidden_findings
from cutover.postgres.catalog.model import Catalog
from cutover.postgres.catalog.role_map import RoleMap
from cutover.postgres.catalog.weights import worst

NAMED = 10
"""So many differences of one kind get a finding each; more share one that lists them."""

SHOWN = 20
"""So many of those that share a finding are in its text; all are in its data."""

_TOGETHER = ("owner", "acl")
"""Kinds of which one finding holds all differences: a restore without them changes every object in the same way."""


def compare_catalogs(
    source: Catalog,
    target: Catalog,
    expected: Iterable[Expected] = (),
    *,
    live: bool = False,
    deparsed: Catalog | None = None,
    services: bool = True,
    restored_as: str = "",
    acl: bool = True,
    roles: RoleMap | None = None,
) -> list[Finding]:
    """Compare two catalogs.

    A finding for every kind that is equal (`INT-catalog-index`), one for every difference
    (`INT-catalog-index:public.users_email_idx`) or, when there are more than NAMED of a kind, one for them all
    (`INT-catalog-index`), and `INT-catalog` over everything. What is meant is shown as WAIVED, with the reason.

    Args:
        source, target: the catalogs.
        expected: differences that are meant; one that matches nothing is shown as stale.
        live: the source was written to after the copy was taken, so where its sequences stand now is information only
            (`check_sequences` judges the target's against the target's rows).
        deparsed: the source's schema as a server of the target's major prints it: the catalog of a scratch restore of
            the schema as it is now, or what `printed_by` gives. Where majors print a text differently and it is left
            out, that text is UNKNOWN.
        services: take as meant what a managed service (RDS, Neon, …) does by itself: its own roles, what it grants
            them, and rights that it gives to nobody.
        restored_as: the role by which the target was restored with --no-owner, where that was the choice.
        acl: whether grants were restored; False where they were left out by choice, so that their lack is meant.
        roles: which role of the target stands for which of the source (`role_map`); every role for itself by default.
    """
    roles = roles or RoleMap()
    source, target, said = roles.apply(source, target)
    found = list(differences_between(source, target, deparsed))
    upgraded = [d for d in found if _is_upgrade(d)]
    differences = [d for d in found if not _is_upgrade(d)]
    if live:
        differences = [_moving(d) if d.kind == "sequence value" else d for d in differences]
    meant = Meant(tuple(expected), source, target, services=services, restored_as=restored_as, acl=acl)
    reasons = {id(d): meant.reason(d) for d in differences}
    by_kind: dict[str, list[CatalogDifference]] = {"owner": [], "acl": [], "comment": []}
    counts: dict[str, int] = {}
    for kind, name in source.objects:
        one = source.objects[kind, name]
        counts[kind] = counts.get(kind, 0) + concerns(one, target.objects.get((kind, name)))
    for kind in counts:
        by_kind.setdefault(kind, [])
    for difference in differences:
        by_kind.setdefault(difference.kind, []).append(difference)
    findings: list[Finding] = []
    for kind, mine in sorted(by_kind.items()):
        if kind in source.unread or kind in target.unread:
            continue
        if not mine:
            findings.append(_same(kind, counts.get(kind), source, target, upgraded if kind == "extension" else []))
        elif kind in _TOGETHER or len(mine) > NAMED:
            doubts = "; ".join(roles.doubts) if kind == "owner" else ""
            findings += _together(kind, mine, reasons, target.database, doubts)
        else:
            findings += [_one(d, reasons[id(d)], target.database) for d in mine]
    findings += _unread(source, target)
    findings += [*hidden_findings(source, target), *said]
    findings += meant.stale()
    findings.insert(0, _summary(source, target, findings, sum(counts.values()), reasons))
    return findings


def _moving(difference: CatalogDifference) -> CatalogDifference:
    """Where a sequence stands against one that is still drawn from: no more than information."""
    words = f"{difference.words}, which is still written to" if difference.means else difference.words
    return replace(difference, severity=Severity.LOW, words=words, means="", remedy="")


def _is_upgrade(difference: CatalogDifference) -> bool:
    """Whether an extension is only newer on the target: a restore creates the version that the target brings."""
    return difference.kind == "extension" and difference.severity is Severity.LOW


def _same(kind: str, count: int | None, source: Catalog, target: Catalog, upgraded: list[CatalogDifference]) -> Finding:
    said = "the same, everywhere" if count is None else f"the same, {count:,} of them"
    if upgraded:
        newer = ", ".join(f"{d.object} ({d.source} → {d.target})" for d in upgraded)
        said += f"; newer on the target, as its major brings it: {newer}"
    data: dict[str, object] = {"count": count or 0}
    if kind == "sequence value":
        stand = {one.name: one.attributes["last value"] for one in source.of(kind)}
        first = list(stand.items())[:SHOWN]
        said += f": {', '.join(f'{name} at {value}' for name, value in first)}{' …' if len(stand) > SHOWN else ''}"
        data["values"] = stand
    return Finding(
        id=f"INT-catalog-{_slug(kind)}",
        title=f"{_plural(kind)} are the same on both sides",
        status=Status.PASS,
        severity=Severity.BLOCKER,
        subject=target.database,
        expected="no difference",
        observed=said,
        data=data,
    )


_MISSING = {"missing": Status.MISSING, "unsure": Status.UNKNOWN}


def _one(difference: CatalogDifference, meant: str, subject: str) -> Finding:
    of = " of" if difference.kind in ("owner", "acl", "comment") else ""
    what = f"{difference.kind}{of} {difference.object}"
    what = what[0].upper() + what[1:]
    status = _MISSING.get(difference.problem, Status.FAIL)
    return Finding(
        id=f"INT-catalog-{_slug(difference.kind)}:{difference.object}",
        title=f"{what} is the same on both sides",
        status=Status.WAIVED if meant else status,
        waived_from=status if meant else None,
        severity=difference.severity,
        subject=subject,
        expected=f"as on the source: {difference.source[:1500]}" if difference.problem != "extra" else "not there",
        observed=_seen(difference)[:2500],
        why=meant or _why(difference, subject),
        remedy="" if meant else difference.remedy or (_UNSURE_REMEDY if difference.problem == "unsure" else ""),
        data={"kind": difference.kind, "object": difference.object, "problem": difference.problem, "what": what},
    )


def _seen(difference: CatalogDifference) -> str:
    if difference.problem == "unsure":
        return f"the two majors print it differently, perhaps only that: {difference.sentence}"
    return difference.sentence


_UNSURE_REMEDY = (
    "Let the comparing role create temporary objects on the target (GRANT TEMPORARY ON DATABASE …), so that the "
    "target's server prints the source's text itself; or run the preflight with its scratch restore."
)


def _together(
    kind: str, differences: list[CatalogDifference], reasons: dict[int, str], subject: str, doubts: str = ""
) -> list[Finding]:
    """One finding for all that is not meant, one for each reason of what is; `doubts` come before the differences."""
    groups: dict[str, list[CatalogDifference]] = {}
    for difference in differences:
        groups.setdefault(reasons[id(difference)], []).append(difference)
    meant = [reason for reason in groups if reason]
    findings = []
    for reason, part in groups.items():
        number = meant.index(reason) + 1 if len(meant) > 1 and reason else ""
        first = part[:SHOWN]
        more = f"; … and {len(part) - SHOWN:,} more" if len(part) > SHOWN else ""
        status = Status.MISSING if all(d.problem == "missing" for d in part) else Status.FAIL
        status = Status.UNKNOWN if all(d.problem == "unsure" for d in part) else status
        fixed = "\n".join(d.remedy or _UNSURE_REMEDY for d in first) + (
            f"\n-- and {len(part) - SHOWN:,} more, in the finding's data" if more else ""
        )
        findings.append(
            Finding(
                id=f"INT-catalog-{_slug(kind)}{f':declared{number}' if reason else ''}",
                title=f"{_plural(kind)} are the same on both sides",
                status=Status.WAIVED if reason else status,
                waived_from=status if reason else None,
                severity=worst(d.severity for d in part),
                subject=subject,
                expected="as on the source",
                observed=(f"{doubts}; " if doubts and not reason else "")
                + f"{len(part):,} differ: "
                + "; ".join(_seen(d)[:300] for d in first)
                + more,
                why=reason or _WHY_TOGETHER.get(kind, ""),
                remedy="" if reason else fixed,
                data={"differences": [_plain(d) for d in part]},
            )
        )
    return findings


def _plain(difference: CatalogDifference) -> dict[str, object]:
    kept = asdict(difference) | {"severity": str(difference.severity), "words": difference.sentence}
    return {name: value for name, value in kept.items() if name not in ("changed", "values", "means")}


_WHY_TOGETHER = {
    "owner": "Without its owner the application may be refused its own tables, and may alter none of them.",
    "acl": "Without its grants the application may be refused its own tables.",
}


def _unread(source: Catalog, target: Catalog) -> list[Finding]:
    findings = []
    for side, catalog in (("source", source), ("target", target)):
        for kind, reason in catalog.unread.items():
            findings.append(
                Finding(
                    id=f"INT-catalog-{_slug(kind)}:unread-{side}",
                    title=f"{_plural(kind)} of the {side} could be read",
                    status=Status.NOT_COMPARED,
                    severity=Severity.BLOCKER,
                    subject=catalog.database,
                    observed=reason,
                    why="What was not read was not compared.",
                    remedy="Connect as the owner of the database, or grant what is named.",
                )
            )
    return findings


def _summary(
    source: Catalog, target: Catalog, findings: list[Finding], objects: int, reasons: dict[int, str]
) -> Finding:
    marked = target.unfinished_restore
    closing = [f for f in findings if f.closes_gate]
    differences, meant = len(reasons), sum(bool(reason) for reason in reasons.values())
    tables = sum(1 for _ in source.of("table"))
    status = Status.PASS
    if marked is not None or any(not f.undecided for f in closing):
        status = Status.FAIL
    elif closing or not tables:
        status = Status.UNKNOWN
    said = f"{objects:,} objects, {tables:,} tables; {differences:,} differences"
    said += (
        f", {meant:,} of them meant: declared, left out of the restore by choice, or a service's own" if meant else ""
    )
    if marked is not None:
        said += f"; the target contains an unfinished restore (schema `cutover_restore`) ({json.dumps(marked)})"
    why = ""
    if status is Status.FAIL:
        why = "An object that is missing or different shows only when the application needs it."
    elif status is Status.UNKNOWN:
        why = "Something could not be read or compared: see the findings below." if tables else _NO_TABLE
    return Finding(
        id="INT-catalog",
        title="The target is made of the same objects as the source",
        status=status,
        severity=Severity.BLOCKER,
        subject=target.database,
        expected="no difference but those that are declared",
        observed=said,
        why=why,
        remedy="See the findings INT-catalog-… below: each has its SQL." if status is Status.FAIL else "",
        data={"objects": objects, "tables": tables, "differences": differences, "expected": meant},
    )


_NO_TABLE = "There is no table on the source, so there was nothing to compare."


def _why(difference: CatalogDifference, subject: str) -> str:
    if difference.kind == "sequence value" and difference.severity is Severity.BLOCKER:
        return "A sequence that stands too low hands out numbers that exist: the first insert after the cutover fails."
    if difference.kind == "sequence value" and difference.severity is Severity.HIGH:
        return f"Somebody drew numbers from it at {subject} after the copy."
    if difference.kind == "database":
        return "Text may sort otherwise and unique indexes may judge otherwise on the target."
    if difference.problem == "unsure":
        return "PostgreSQL prints views and expressions from their parse trees, and its majors do it differently."
    return ""


def _slug(kind: str) -> str:
    return kind.replace(" ", "-")


_PLURALS = {
    "acl": "Grants",
    "policy": "Policies",
    "index": "Indexes",
    "operator class": "Operator classes",
    "operator family": "Operator families",
    "text search dictionary": "Text search dictionaries",
    "database": "The database's encoding, collation and limits",
    "grant beside": "Grants on what the server and its extensions brought",
}


def _plural(kind: str) -> str:
    plain = kind[0].upper() + kind[1:]
    return _PLURALS.get(kind, plain if plain.endswith("s") else plain + "s")
