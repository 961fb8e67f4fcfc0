"""Everything in two databases compared, each at one instant: the catalog, the sequences, and every row."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from cutover.errors import DatabaseError
from cutover.files import write_json
from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog import (
    Catalog,
    Expected,
    Restored,
    RoleMap,
    compare_catalogs,
    printed_by,
    read_catalog_in,
    role_map,
)
from cutover.postgres.connection import describe
from cutover.postgres.integrity.evidence import DifferenceLog
from cutover.postgres.integrity.findings import row_findings
from cutover.postgres.integrity.fingerprint import Fingerprint
from cutover.postgres.integrity.load_limits import LoadLimits
from cutover.postgres.integrity.locating import locate_all
from cutover.postgres.integrity.matching import Match, judge, match
from cutover.postgres.integrity.opening import Opened, Server, choose, open_database, refuse_itself, refuse_unmatched
from cutover.postgres.integrity.reading import Database, SessionPool, read_digests
from cutover.postgres.integrity.relations import Relation
from cutover.postgres.integrity.results import Comparison
from cutover.postgres.integrity.rowhash import Algorithm
from cutover.postgres.integrity.selection import Selection, left_out
from cutover.postgres.integrity.sequences import check_sequences
from cutover.postgres.snapshot import Snapshot
from cutover.progress import Listener


def compare(
    source_url: str,
    target_url: str,
    *,
    jobs: int = 2,
    show: int = 20,
    evidence: Path | None = None,
    expected: Iterable[Expected] = (),
    source_snapshot: Snapshot | None = None,
    fingerprint: Fingerprint | None = None,
    progress: Listener | None = None,
    values: bool = False,
    algorithm: Algorithm = "hash",
    catalog: bool = True,
    live: bool | None = None,
    selection: Selection | None = None,
    load_limits: LoadLimits | None = None,
    restored: Restored | None = None,
    map_roles: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare two databases: catalog, sequences and every row of every table, each side at one exported snapshot.

    Args:
        source_url, target_url: the databases.
        jobs: sessions that read at the same time, on each side.
        show: how many differing rows of a table to name in its finding; all are counted.
        evidence: a folder for `comparison.json` and `differences.jsonl` (the key of every differing row).
        expected: differences of the catalog that are meant (`kind`, `object`, `reason`).
        source_snapshot: an instant of the source that is held open, such as the dump's; one is taken by default.
        fingerprint: what the source held at an instant before. The source is then read only where the target
            differs, to find the rows, and only as far as it still holds what the fingerprint says.
        progress: told of every piece.
        values: name values of differing columns, not only keys and column names (they may be personal data).
        algorithm: `hash` is fast; `sha256` is slower, and the same in every encoding. Against an adversary: `audit`.
        catalog: compare the catalogs and sequences as well.
        live: the source is still written to, so where its sequences stand is information only; by default so when
            `source_snapshot` or `fingerprint` is given.
        selection: what to compare; everything by default. What is left out is named in INT-left-out.
        load_limits: what it allows itself on both servers.
        restored: how the target was restored, so that what was left out by choice is meant; by default all was wanted.
        map_roles: role of the source to the role of the target that stands for it; given (it may be empty), further
            ones are recognised where one stands for one other throughout. None: every role for itself.

    Raises:
        DatabaseError: a side cannot be reached, or its catalog cannot be read; or both are one database. A table that
            cannot be read is a NOT_COMPARED finding instead.
        UsageError: a pattern of the selection fits nothing on either side; a role that is to be mapped does not exist.
    """
    clock = time.monotonic()
    plan = _Plan(max(1, jobs), show, values, load_limits or LoadLimits(), progress)
    moving = live if live is not None else source_snapshot is not None or fingerprint is not None
    with ExitStack() as stack:
        log = stack.enter_context(DifferenceLog(evidence / "differences.jsonl" if evidence else None))
        if fingerprint is None:
            chosen = selection or Selection()
            opened = open_database(
                stack, source_url, "source", selection=chosen, load_limits=plan.load_limits, snapshot=source_snapshot
            )
            source = _live(opened, chosen)
        else:
            source = _then(fingerprint, selection)
        target = open_database(stack, target_url, "target", selection=source.selection, load_limits=plan.load_limits)
        refuse_itself(source.server, target.server, describe(target_url))
        refuse_unmatched(source.opened.unmatched if source.opened else target.unmatched, target.unmatched)
        algorithm = _agreed(source, target.server, algorithm)
        found = match(source.relations, target.database.relations, fingerprint)
        meant = _Meant(tuple(expected), moving, restored, map_roles)
        seen = _catalogs(source, target, meant, found) if catalog else []
        _rows(stack, source_url, source, target, found, fingerprint, algorithm, plan, log)
    tables = [found.tables[name] for name in sorted(found.tables)]
    doubts = "; ".join(filter(None, (source.server.doubts, target.server.doubts)))
    omitted = sorted({*source.left_out, *target.left_out})
    findings = row_findings(
        tables,
        source.instant["database"],
        describe(target_url),
        doubts,
        str(log.path) if log.lines else "",
        chosen="" if source.selection.everything else str(source.selection),
    )
    findings += left_out(source.selection, omitted, describe(target_url))
    result = Comparison(
        findings=[*findings, *seen],
        tables=tables,
        seconds=time.monotonic() - clock,
        source=dict(source.instant),
        target=target.database.snapshot.to_dict(),
        algorithm=algorithm,
        differences=log.path if log.lines else None,
        left_out=tuple(omitted),
    )
    if evidence:
        write_json(evidence / "comparison.json", result.to_dict())
    return result


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a comparison does in the same way for every table."""

    jobs: int
    show: int
    values: bool
    load_limits: LoadLimits
    progress: Listener | None


@dataclass(frozen=True, slots=True)
class _Meant:
    """What of the catalogs may differ."""

    expected: tuple[Expected, ...]
    moving: bool
    restored: Restored | None
    map_roles: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class _Source:
    """The source as it is compared: a database that is open, or what was kept of one."""

    relations: Mapping[str, Relation]
    server: Server
    instant: Mapping[str, str]
    selection: Selection
    left_out: tuple[str, ...]
    catalog: Catalog | None
    opened: Opened | None
    algorithm: Algorithm | None


def _live(opened: Opened, selection: Selection) -> _Source:
    database = opened.database
    return _Source(
        relations=database.relations,
        server=opened.server,
        instant=database.snapshot.to_dict(),
        selection=selection,
        left_out=opened.left_out,
        catalog=None,
        opened=opened,
        algorithm=None,
    )


def _then(fingerprint: Fingerprint, selection: Selection | None) -> _Source:
    chosen = selection or fingerprint.selection
    if selection is not None and not fingerprint.selection.everything and selection != fingerprint.selection:
        raise DatabaseError(
            f"The fingerprint is of a part ({fingerprint.selection}), and another part is asked for ({selection})",
            why="What the fingerprint does not hold cannot be compared with it.",
            todo="Compare what the fingerprint holds, or with a fingerprint of everything.",
        )
    kept, more = chosen.split(fingerprint.relations)
    return _Source(
        relations=kept,
        server=fingerprint.server,
        instant=fingerprint.instant,
        selection=chosen,
        left_out=tuple(sorted({*fingerprint.left_out, *more})),
        catalog=fingerprint.catalog,
        opened=None,
        algorithm=fingerprint.algorithm,
    )


def _agreed(source: _Source, target: Server, wanted: Algorithm) -> Algorithm:
    """The algorithm for both sides.

    Raises:
        DatabaseError: the fingerprint's is not one that the target gives the same answers to.
    """
    agreed = choose(source.algorithm or wanted, source.server, target)
    if source.algorithm and agreed != source.algorithm:
        raise DatabaseError(
            f"The fingerprint was taken with {source.algorithm}, which this target does not compute alike: "
            f"{target.unlike or f'encodings {source.server.encoding} and {target.encoding}'}",
            why="Equal rows would look different.",
            todo="Take the fingerprint with algorithm sha256, or compare with the source itself.",
        )
    return agreed


def _catalogs(source: _Source, target: Opened, meant: _Meant, found: Match) -> list[Finding]:
    instant = target.database.snapshot
    ours, theirs = source.catalog, read_catalog_in(instant.connection, instant.database)
    if source.opened is not None:
        ours = read_catalog_in(source.opened.database.snapshot.connection, source.instant["database"])
    part = None if source.selection.everything else set(found.tables)
    findings: list[Finding] = []
    if ours is not None:
        roles = RoleMap() if meant.map_roles is None else role_map(ours, theirs, meant.map_roles)
        ours, theirs = _part(ours, part), _part(theirs, part)
        printed = printed_by(target.database.url, ours, theirs)
        findings = compare_catalogs(
            ours,
            theirs,
            meant.expected,
            live=meant.moving,
            deparsed=printed,
            restored_as=meant.restored.by(instant.connection.info.user) if meant.restored else "",
            acl=meant.restored.acl if meant.restored else True,
            roles=roles,
        )
    else:
        findings = [_NO_CATALOG]
    if part is not None:
        findings = [_of_the_chosen(f, source.selection) if f.id == "INT-catalog" else f for f in findings]
    return [*findings, *check_sequences(target.database.url, tables=part)]


_NO_CATALOG = Finding(
    id="INT-catalog",
    title="The target is made of the same objects as the source",
    status=Status.NOT_COMPARED,
    severity=Severity.BLOCKER,
    subject="the catalog",
    expected="the catalog of the fingerprint's instant",
    observed="the fingerprint was taken without the catalog",
    why="What was not compared may be missing, and nobody would know.",
    remedy="Take the fingerprint with the catalog, or compare with the source itself.",
)


def _of_the_chosen(found: Finding, selection: Selection) -> Finding:
    """The claim over the catalog, of the chosen tables alone: what belongs to no table was not looked at."""
    title = "The chosen tables are made of the same objects as on the source"
    return replace(found, title=title, observed=f"chosen: {selection}; {found.observed}")


def _part(catalog: Catalog, tables: set[str] | None) -> Catalog:
    """The catalog, or what of it belongs to the chosen tables."""
    if tables is None:
        return catalog
    objects = {
        (kind, name): found
        for (kind, name), found in catalog.objects.items()
        if found.parent in tables or (name in tables and not found.parent)
    }
    return replace(catalog, objects=objects)


def _rows(
    stack: ExitStack,
    source_url: str,
    source: _Source,
    target: Opened,
    found: Match,
    fingerprint: Fingerprint | None,
    algorithm: Algorithm,
    plan: _Plan,
    log: DifferenceLog,
) -> None:
    """Digest what is to be digested, then find the rows where it differs."""
    crew = SessionPool()
    databases = [opened.database for opened in (source.opened, target) if opened is not None]
    readings = read_digests(
        databases, found.shapes, jobs=plan.jobs, algorithm=algorithm, crew=crew, progress=plan.progress
    )
    judge(found, readings, fingerprint)
    buckets: Mapping[str, list[int]] = found.differing
    if fingerprint is not None and buckets:
        again = _again(stack, source_url, found, fingerprint, algorithm, plan, crew)
        databases, buckets = [*databases, *again[0]][::-1], again[1]
    locate_all(
        databases,
        found,
        {name: numbers for name, numbers in buckets.items() if numbers},
        jobs=plan.jobs,
        algorithm=algorithm,
        show=plan.show,
        values=plan.values,
        log=log,
        crew=crew,
        progress=plan.progress,
    )


def _again(
    stack: ExitStack,
    source_url: str,
    found: Match,
    fingerprint: Fingerprint,
    algorithm: Algorithm,
    plan: _Plan,
    crew: SessionPool,
) -> tuple[list[Database], dict[str, list[int]]]:
    """The source as it is now, and the differing buckets in which it still holds what the fingerprint says."""
    names = found.differing.keys()
    try:
        opened = open_database(stack, source_url, "source", selection=Selection(), load_limits=plan.load_limits)
    except DatabaseError as error:
        for name in names:
            found.tables[name].unlocated = f"the source could not be read again to find the rows: {error.what}"
        return [], {}
    database = opened.database
    shapes = {
        name: found.shapes[name]
        for name in names
        if name in database.relations
        and not database.relations[name].cannot
        and tuple(database.relations[name].columns) == found.shapes[name].columns
    }
    readings = read_digests([database], shapes, jobs=plan.jobs, algorithm=algorithm, crew=crew, progress=plan.progress)
    buckets: dict[str, list[int]] = {}
    for name in names:
        table, reading = found.tables[name], readings.get(("source", name))
        if reading is None or reading.failure:
            table.unlocated = "the source cannot be read as it was: " + (reading.failure if reading else "it changed")
            continue
        changed = set(reading.digest.differing(fingerprint.digests[name]))
        buckets[name] = [bucket for bucket in found.differing[name] if bucket not in changed]
        if gone := len(found.differing[name]) - len(buckets[name]):
            table.unlocated = (
                f"the source has changed since the fingerprint, so in {gone:,} of {len(found.differing[name]):,} "
                "differing parts the rows cannot be named any more"
            )
    return [database], buckets
