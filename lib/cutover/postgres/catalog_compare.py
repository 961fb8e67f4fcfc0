"""Two catalogs compared in both directions, each difference with its weight and the SQL that mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog import Catalog, CatalogObject
from cutover.postgres.catalog_remedies import remedy, version

NAMED = 50
"""So many differences of one kind get a finding of their own; the rest share one."""

Problem = Literal["missing", "extra", "different"]


class Expected(Protocol):
    """A difference that is meant; `cutover.migration.ExpectedDifference` is one."""

    @property
    def kind(self) -> str:
        """Kind of object, or `owner`, `acl`, `comment`."""

    @property
    def object(self) -> str:
        """Name of the object, `*` and `?` as in file names."""

    @property
    def reason(self) -> str:
        """Why it is meant."""


@dataclass(frozen=True, slots=True)
class CatalogDifference:
    """One difference.

    Attributes:
        kind: of the object; `owner`, `acl` and `comment` are kinds of their own, whatever object they belong to.
        object: its name (for owner, acl and comment with the object's kind before it).
        problem: `missing` on the target, `extra` on the target, `different`.
        source, target: what each side has, as text.
        severity: how much hangs on it.
        remedy: SQL that mends the target.
    """

    kind: str
    object: str
    problem: Problem
    source: str
    target: str
    severity: Severity
    remedy: str = ""


_APART = {"owner": Severity.HIGH, "acl": Severity.HIGH, "comment": Severity.LOW}
"""Attributes that are kinds of their own."""

_TOGETHER = ("owner", "acl")
"""Kinds of which one finding holds all differences: a restore without them changes every object in the same way."""

_ATTRIBUTES = {
    "options": Severity.MEDIUM,
    "toast options": Severity.MEDIUM,
    "statistics": Severity.LOW,
    "target": Severity.LOW,
    "storage": Severity.LOW,
    "compression": Severity.LOW,
    "position": Severity.LOW,
    "clustered": Severity.LOW,
    "cache": Severity.MEDIUM,
    "readable": Severity.LOW,
}
"""Attributes that weigh less than their object."""

_ORDER = (Severity.BLOCKER, Severity.HIGH, Severity.MEDIUM, Severity.LOW)

_KINDS = {
    "schema": Severity.HIGH,
    "extension": Severity.HIGH,
    "index": Severity.HIGH,
    "statistics": Severity.LOW,
    "event trigger": Severity.HIGH,
    "publication": Severity.MEDIUM,
    "text search configuration": Severity.HIGH,
    "text search dictionary": Severity.HIGH,
    "foreign server": Severity.MEDIUM,
    "default privileges": Severity.MEDIUM,
    "database setting": Severity.HIGH,
    "database": Severity.MEDIUM,
    "large object": Severity.HIGH,
}
"""Kinds that are no blocker."""

_BEHAVES = {"table", "column", "constraint", "trigger", "rule", "policy", "event trigger"}
"""What changes how the application behaves when it is there and should not be."""

_DEPARSED = {"view", "materialized view", "rule"}
"""Kinds whose text is printed from a parse tree, by each major in its own way."""


def compare_catalogs(
    source: Catalog, target: Catalog, expected: Iterable[Expected] = (), *, live: bool = False
) -> list[Finding]:
    """Compare two catalogs.

    A finding for every kind that is equal (`INT-catalog-index`), one for every difference
    (`INT-catalog-index:public.users_email_idx`), and `INT-catalog` over all. What is expected is shown as WAIVED.

    Args:
        source, target: the catalogs.
        expected: differences that are meant.
        live: the source was written to after the copy was taken, so where its sequences stand now is information only
            (`check_sequences` judges the target's against the target's rows).
    """
    declared = tuple(expected)
    found = list(differences_between(source, target))
    upgraded = [d for d in found if _is_upgrade(d)]
    differences = [d for d in found if not _is_upgrade(d)]
    if live:
        differences = [replace(d, severity=Severity.LOW) if d.kind == "sequence value" else d for d in differences]
    findings: list[Finding] = []
    counts: dict[str, int] = {}
    for kind, _ in source.objects:
        counts[kind] = counts.get(kind, 0) + 1
    kinds = sorted(counts.keys() | {d.kind for d in differences} | {"owner", "acl"})
    for kind in kinds:
        mine = [d for d in differences if d.kind == kind]
        if kind in _TOGETHER and mine:
            findings += _together(kind, mine, target.database, declared)
        else:
            findings += [_finding(d, target.database, declared) for d in mine[:NAMED]]
            if len(mine) > NAMED:
                findings += _together(kind, mine[NAMED:], target.database, declared, key="-more")
        if not mine and kind not in source.unread and kind not in target.unread:
            count = f"{counts[kind]:,} of them" if kind in counts else "everywhere"
            if kind == "extension" and upgraded:
                newer = ", ".join(f"{d.object} ({d.source} → {d.target})" for d in upgraded)
                count += f"; newer on the target, as its major brings it: {newer}"
            findings.append(
                Finding(
                    id=f"INT-catalog-{_slug(kind)}",
                    title=f"{_plural(kind)} are the same on both sides",
                    status=Status.PASS,
                    severity=_KINDS.get(kind, Severity.BLOCKER),
                    subject=target.database,
                    expected="no difference",
                    observed=f"the same, {count}",
                    data={"count": counts.get(kind, 0)},
                )
            )
    findings += _unread(source, target)
    findings += _unused(declared, differences)
    meant = sum(_meant(d, declared) is not None for d in differences)
    findings.insert(0, _summary(source, target, findings, len(differences), meant))
    return findings


def differences_between(source: Catalog, target: Catalog) -> Iterator[CatalogDifference]:
    """Every difference, both directions; what hangs on a table that is not there is not named again."""
    lost = {o.name for o in source.of("table") if ("table", o.name) not in target.objects}
    added = {o.name for o in target.of("table") if ("table", o.name) not in source.objects}
    for key in sorted(source.objects.keys() | target.objects.keys()):
        ours, theirs = source.objects.get(key), target.objects.get(key)
        one = ours or theirs
        if one is None or one.kind in source.unread or one.kind in target.unread:
            continue
        if ours is None or theirs is None:
            if one.parent in lost | added or _hangs_on(one, lost | added):
                continue
            problem: Problem = "missing" if theirs is None else "extra"
            yield CatalogDifference(
                one.kind,
                one.name,
                problem,
                _text(ours.attributes) if ours else "not there",
                _text(theirs.attributes) if theirs else "not there",
                _weight(one, problem),
                remedy(one, problem),
            )
            continue
        yield from _within(ours, theirs, source.major, target.major)


def _within(ours: CatalogObject, theirs: CatalogObject, one: int, other: int) -> Iterator[CatalogDifference]:
    changed: list[str] = []
    for name in sorted(ours.attributes.keys() | theirs.attributes.keys()):
        mine, its = ours.attributes.get(name), theirs.attributes.get(name)
        if mine == its or name == "readable":
            continue
        if ours.kind in _DEPARSED and name == "definition" and one != other and _loose(str(mine)) == _loose(str(its)):
            continue
        if name in _APART:
            subject = f"{ours.kind} {ours.name}"
            mended = remedy(ours, "different", (name,), theirs)
            yield CatalogDifference(name, subject, "different", _show(mine), _show(its), _APART[name], mended)
        else:
            changed.append(name)
    if changed:
        yield CatalogDifference(
            ours.kind,
            ours.name,
            "different",
            _text({name: ours.attributes.get(name) for name in changed}),
            _text({name: theirs.attributes.get(name) for name in changed}),
            _changed_weight(ours, theirs, changed),
            remedy(ours, "different", tuple(changed), theirs),
        )


def _changed_weight(ours: CatalogObject, theirs: CatalogObject, changed: list[str]) -> Severity:
    if ours.kind == "extension" and changed == ["version"]:
        newer = version(theirs.attributes["version"]) > version(ours.attributes["version"])
        return Severity.LOW if newer else Severity.HIGH
    if ours.kind == "sequence value" and _ahead(ours, theirs):
        return Severity.HIGH
    return min((_ATTRIBUTES.get(name, _weight(ours, "different")) for name in changed), key=_ORDER.index)


def _is_upgrade(difference: CatalogDifference) -> bool:
    """Whether an extension is only newer on the target: a restore creates the version that the target brings."""
    return difference.kind == "extension" and difference.severity is Severity.LOW


def _ahead(ours: CatalogObject, theirs: CatalogObject) -> bool:
    return int(theirs.attributes["last value"]) > int(ours.attributes["last value"])


def _weight(one: CatalogObject, problem: Problem) -> Severity:
    if problem == "extra":
        return Severity.HIGH if one.kind in _BEHAVES else Severity.MEDIUM
    if one.kind == "index" and one.attributes.get("unique"):
        return Severity.BLOCKER
    if one.kind == "database" and problem == "different":
        return Severity.MEDIUM
    return _KINDS.get(one.kind, Severity.BLOCKER)


def _hangs_on(one: CatalogObject, tables: set[str]) -> bool:
    """Whether a sequence (or its value) belongs to a table that is on one side only."""
    owner = str(one.attributes.get("owned by") or "")
    return bool(owner) and owner.rsplit(".", 1)[0] in tables


_SEEN = {"missing": "missing on the target", "extra": "on the target only: {}", "different": "{}"}


def _finding(difference: CatalogDifference, subject: str, declared: tuple[Expected, ...]) -> Finding:
    of = " of" if difference.kind in _APART else ""
    words = f"{difference.kind}{of} {difference.object} is the same on both sides"
    meant = _meant(difference, declared)
    missing = difference.problem == "missing"
    status = Status.MISSING if missing else Status.FAIL
    return Finding(
        id=f"INT-catalog-{_slug(difference.kind)}:{difference.object}",
        title=words[0].upper() + words[1:],
        status=Status.WAIVED if meant else status,
        waived_from=status if meant else None,
        severity=difference.severity,
        subject=subject,
        expected=difference.source[:1500],
        observed=_SEEN[difference.problem].format(difference.target[:1500]),
        why=f"Declared as expected: {meant.reason}" if meant else _why(difference),
        remedy="" if meant else difference.remedy,
        data={"kind": difference.kind, "object": difference.object, "problem": difference.problem},
    )


def _together(
    kind: str, differences: list[CatalogDifference], subject: str, declared: tuple[Expected, ...], key: str = ""
) -> list[Finding]:
    """One finding for all that is not meant, one for all that is."""
    reasons = [_meant(d, declared) for d in differences]
    meant = [d for d, reason in zip(differences, reasons, strict=True) if reason]
    open_ones = [d for d, reason in zip(differences, reasons, strict=True) if not reason]
    findings = []
    for part, waived in ((open_ones, False), (meant, True)):
        if not part:
            continue
        first = [f"{d.object}: {d.source} → {d.target}" for d in part[:20]]
        more = f" … and {len(part) - 20} more" if len(part) > 20 else ""
        why = "Without its owner or its grants the application may be refused its own tables." if not key else ""
        findings.append(
            Finding(
                id=f"INT-catalog-{_slug(kind)}{key}{':declared' if waived else ''}",
                title=f"{_plural(kind)} are the same on both sides",
                status=Status.WAIVED if waived else Status.FAIL,
                waived_from=Status.FAIL if waived else None,
                severity=min((d.severity for d in part), key=_ORDER.index),
                subject=subject,
                expected="as on the source",
                observed=f"{len(part):,} differ: " + "; ".join(first) + more,
                why=f"Declared as expected: {next(r.reason for r in reasons if r)}" if waived else why,
                remedy="" if waived else "\n".join(d.remedy for d in part if d.remedy),
                data={"differences": [asdict(d) | {"severity": str(d.severity)} for d in part]},
            )
        )
    return findings


def _meant(difference: CatalogDifference, declared: tuple[Expected, ...]) -> Expected | None:
    for one in declared:
        if one.kind == difference.kind and fnmatchcase(difference.object, one.object):
            return one
        # For owner, acl and comment the object may be named with or without its kind before it.
        if one.kind == difference.kind and fnmatchcase(difference.object.split(" ", 1)[-1], one.object):
            return one
    return None


def _unused(declared: tuple[Expected, ...], differences: list[CatalogDifference]) -> list[Finding]:
    stale = [one for one in declared if not any(_meant(d, (one,)) for d in differences)]
    return [
        Finding(
            id=f"INT-expected:{one.kind}:{one.object}",
            title="A difference that was declared as expected is not there",
            status=Status.FAIL,
            severity=Severity.LOW,
            subject=f"{one.kind} {one.object}",
            expected=one.reason,
            observed="no such difference",
            remedy="Remove it from expected_differences in the parameters.",
        )
        for one in stale
    ]


def _unread(source: Catalog, target: Catalog) -> list[Finding]:
    findings = []
    for catalog in (source, target):
        for kind, reason in catalog.unread.items():
            findings.append(
                Finding(
                    id=f"INT-catalog-{_slug(kind)}:unread",
                    title=f"{_plural(kind)} could be read",
                    status=Status.NOT_COMPARED,
                    severity=Severity.BLOCKER,
                    subject=catalog.database,
                    observed=reason,
                    why="What was not read was not compared.",
                    remedy="Connect as the owner of the database, or grant what is named.",
                )
            )
    return findings


def _summary(source: Catalog, target: Catalog, findings: list[Finding], differences: int, meant: int) -> Finding:
    marked = target.unfinished_restore
    closing = [f for f in findings if f.closes_gate]
    tables = sum(1 for _ in source.of("table"))
    status = Status.FAIL if closing or marked is not None else Status.PASS
    if status is Status.PASS and not tables:
        status = Status.UNKNOWN
    said = f"{len(source.objects):,} objects, {tables} tables; {differences} differences"
    said += f", {meant} of them declared as expected" if meant else ""
    if marked is not None:
        said += f"; the target carries the mark of a restore that did not end well ({json.dumps(marked)})"
    return Finding(
        id="INT-catalog",
        title="The target is made of the same objects as the source",
        status=status,
        severity=Severity.BLOCKER,
        subject=target.database,
        expected="no difference but those that are declared",
        observed=said,
        why={
            Status.PASS: "",
            Status.UNKNOWN: "There is no table on either side, so there was nothing to compare.",
        }.get(status, "An object that is missing or different shows only when the application needs it."),
        remedy="See the findings INT-catalog-… below: each has its SQL." if status is Status.FAIL else "",
        data={"objects": len(source.objects), "tables": tables, "differences": differences, "expected": meant},
    )


def _why(difference: CatalogDifference) -> str:
    if difference.kind == "sequence value":
        return "A sequence that stands too low hands out numbers that exist: the first insert after the cutover fails."
    if difference.kind == "database":
        return "Text may sort otherwise and unique indexes may judge otherwise on the target."
    return ""


def _loose(definition: str) -> str:
    """A definition without what majors print differently: spaces, brackets, qualified columns, casts' brackets."""
    text = re.sub(r'("[^"]+"|\b\w+)\.(?=["\w])', "", definition)
    return re.sub(r"[\s()]+", "", text)


def _text(attributes: Any) -> str:
    shown = {k: v for k, v in dict(attributes).items() if v not in (None, "", [], {}, False) or len(attributes) <= 3}
    return "; ".join(f"{name}: {_show(value)}" for name, value in shown.items()) or "the same"


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _slug(kind: str) -> str:
    return kind.replace(" ", "-")


def _plural(kind: str) -> str:
    known = {"acl": "Grants", "policy": "Policies", "index": "Indexes", "database": "Encoding and collation"}
    plain = kind[0].upper() + kind[1:]
    return known.get(kind, plain if plain.endswith("s") else plain + "s")
