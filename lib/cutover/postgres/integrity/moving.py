"""Two databases compared while the source is written to: what agrees once is done, the rest is looked at again.

For the test in the week before, on a copy that follows (a replica, or one to which changes are applied). Each look
takes a new snapshot of either side and reads only the ranges that have not agreed yet: ranges of the key where the key
is one integer, buckets of the key's hash where it is another. Every range that counts as equal was equal in two
snapshots that were taken one after the other; what never agreed within the bound is never PASS.

A relation without a key must agree as a whole at one look: its buckets are by the hashes of whole rows, so a row that
the copy lacks for good would leave its bucket when it is written to, and could enter one that has agreed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg

from cutover.errors import DatabaseError
from cutover.files import write_json
from cutover.finding import Finding, Severity, Status
from cutover.postgres.catalog import Expected, compare_catalogs, printed_by, read_catalog_in
from cutover.postgres.connection import describe
from cutover.postgres.integrity.evidence import DifferenceLog
from cutover.postgres.integrity.findings import row_findings
from cutover.postgres.integrity.load_limits import LoadLimits
from cutover.postgres.integrity.locating import locate_all
from cutover.postgres.integrity.matching import Match, match
from cutover.postgres.integrity.moving_ranges import UNSEEN, Ranges
from cutover.postgres.integrity.opening import choose, open_database, refuse_itself, refuse_unmatched
from cutover.postgres.integrity.ranges import ByRange, cut_by_key, cut_by_range
from cutover.postgres.integrity.reading import Database, SessionPool, read_digests, said
from cutover.postgres.integrity.relations import Kind, Relation
from cutover.postgres.integrity.results import Comparison, TableComparison
from cutover.postgres.integrity.rowhash import Algorithm
from cutover.postgres.integrity.selection import Selection, left_out
from cutover.progress import Listener, Progress


def compare_moving(
    source_url: str,
    target_url: str,
    *,
    bound_s: float = 300.0,
    settle_s: float = 2.0,
    patience_s: float = 30.0,
    jobs: int = 2,
    show: int = 20,
    evidence: Path | None = None,
    expected: Iterable[Expected] = (),
    progress: Listener | None = None,
    values: bool = False,
    algorithm: Algorithm = "hash",
    catalog: bool = True,
    selection: Selection | None = None,
    load_limits: LoadLimits | None = None,
) -> Comparison:
    """Compare with a source that moves: repeated digests of ranges until they agree or the bound is reached.

    Where the sequences stand is not judged: they are brought forward at the cutover.

    Args:
        source_url, target_url: the databases; the target follows the source.
        bound_s: begin no look later than this many seconds after the first.
        settle_s: seconds between two looks, in which the target may catch up.
        patience_s: a range that neither side changed for so long (and `STOOD_STILL` looks) differs for good; give it
            more where the copy may lag more.
        jobs, show, evidence, expected, progress, values, algorithm, catalog, selection, load_limits: as in `compare`.

    Returns:
        A comparison in which a table is PASS when each of its ranges agreed at some look; FAIL when a range differed
        while neither side changed it for `patience_s`; NOT_COMPARED, with the ranges, when it never agreed.

    Raises:
        DatabaseError: a side cannot be reached at the first look; or both are one database.
        UsageError: a pattern of the selection fits nothing on either side.
    """
    clock = time.monotonic()
    chosen, load_limits = selection or Selection(), load_limits or LoadLimits()
    watch: _Watch | None = None
    seen: list[Finding] = []
    omitted: set[str] = set()
    doubts: set[str] = set()
    rounds, pause = 0, threading.Event()
    with DifferenceLog(evidence / "differences.jsonl" if evidence else None) as log:
        while True:
            last = rounds > 0 and time.monotonic() + settle_s - clock >= bound_s
            try:
                with ExitStack() as stack:
                    source = open_database(stack, source_url, "source", selection=chosen, load_limits=load_limits)
                    target = open_database(stack, target_url, "target", selection=chosen, load_limits=load_limits)
                    sides = (source.database, target.database)
                    if watch is None:
                        refuse_itself(source.server, target.server, describe(target_url))
                        refuse_unmatched(source.unmatched, target.unmatched)
                        algorithm = choose(algorithm, source.server, target.server)
                        watch = _begin(sides, patience_s)
                        omitted = {*source.left_out, *target.left_out}
                        doubts = {server.doubts for server in (source.server, target.server)} - {""}
                        if catalog:
                            ours, theirs = (read_catalog_in(d.snapshot.connection, d.snapshot.database) for d in sides)
                            printed = printed_by(target_url, ours, theirs)
                            seen = compare_catalogs(ours, theirs, tuple(expected), live=True, deparsed=printed)
                    watch.look(sides, jobs=max(1, jobs), algorithm=algorithm, progress=progress)
                    rounds += 1
                    instants = [side.snapshot.to_dict() for side in sides]
                    if last or watch.settled:
                        watch.name_rows(sides, max(1, jobs), algorithm, show, values, log, progress)
            except DatabaseError as error:
                if watch is None or not rounds:
                    raise
                watch.trouble = said(error, source_url)
            if progress and watch is not None:
                progress(watch.progress(rounds, clock))
            if last or watch is None or watch.settled:
                break
            pause.wait(settle_s)
    watch.conclude(rounds, time.monotonic() - clock)
    tables = [watch.match.tables[name] for name in sorted(watch.match.tables)]
    subject = describe(target_url)
    findings = row_findings(
        tables,
        describe(source_url),
        subject,
        "; ".join(sorted(doubts)),
        str(log.path) if log.lines else "",
        chosen="" if chosen.everything else str(chosen),
    )
    result = Comparison(
        findings=[*findings, watch.finding(subject, rounds), *left_out(chosen, omitted, subject), *seen],
        tables=tables,
        seconds=time.monotonic() - clock,
        source=instants[0],
        target=instants[1],
        algorithm=algorithm,
        differences=log.path if log.lines else None,
        left_out=tuple(sorted(omitted)),
        rounds=rounds,
    )
    if evidence:
        write_json(evidence / "comparison.json", result.to_dict())
    return result


Sides = tuple[Database, Database]


@dataclass
class _Watch:
    """How far the comparison has come.

    Attributes:
        match, ranges: what is compared, by name.
        trouble: why the last look could not be made; empty when it was.
        crew: its sessions.
        began: what there was on each side at the first look.
        late: what the last look saw otherwise: name to kind, and what of it nobody has compared.
    """

    match: Match
    ranges: dict[str, Ranges]
    trouble: str = ""
    crew: SessionPool = field(default_factory=SessionPool)
    began: tuple[Mapping[str, Relation], ...] = ()
    late: dict[str, tuple[Kind, str]] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether a further look could change nothing: all agreed, or all that is open stands still."""
        return all(
            not found.failure and len(found.still) == len(found.open) for found in self.ranges.values() if found.open
        )

    def look(self, sides: Sides, *, jobs: int, algorithm: Algorithm, progress: Listener | None) -> None:
        """Read what is open on both sides."""
        shapes = {name: found.narrowed() for name, found in self.ranges.items() if found.open}
        readings = read_digests(sides, shapes, jobs=jobs, algorithm=algorithm, crew=self.crew, progress=progress)
        self.trouble = ""
        self.late = _late(self.began, sides)
        for name in shapes:
            pair = [readings.get((side.where, name)) for side in sides]
            found, table = self.ranges[name], self.match.tables[name]
            found.failure = "; ".join(
                f"on the {side.where} it could not be read: {reading.failure if reading else 'it is gone'}"
                for side, reading in zip(sides, pair, strict=True)
                if reading is None or reading.failure
            )
            if not found.failure and pair[0] is not None and pair[1] is not None:
                table.seconds += pair[0].seconds + pair[1].seconds
                found.take(pair[0].digest, pair[1].digest)

    def name_rows(
        self,
        sides: Sides,
        jobs: int,
        algorithm: Algorithm,
        show: int,
        values: bool,
        log: DifferenceLog,
        progress: Listener | None,
    ) -> None:
        """Find the rows in the ranges that stand still and differ."""
        buckets: dict[str, list[int]] = {}
        for name, found in self.ranges.items():
            if found.still and not found.failure:
                buckets[name] = found.still
                cut = found.shape.cut
                only = cut.condition(found.still) if isinstance(cut, ByRange) else None
                self.match.shapes[name] = replace(found.shape, only=only)
        locate_all(
            sides,
            self.match,
            buckets,
            jobs=jobs,
            algorithm=algorithm,
            show=show,
            values=values,
            log=log,
            crew=self.crew,
            progress=progress,
        )

    def conclude(self, rounds: int, seconds: float) -> None:
        """Say of each table what became of its ranges, and of what changed its shape meanwhile."""
        for name, (kind, why) in self.late.items():
            _add(self.match.tables.setdefault(name, TableComparison(name, kind)), why)
        for name, found in self.ranges.items():
            table = self.match.tables[name]
            still = set(found.still)
            restless = [bucket for bucket in found.open if bucket not in still]
            if found.open and (found.failure or self.trouble):
                _add(table, found.failure or f"at the last look: {self.trouble}")
                continue
            table.source_rows = found.rows + sum(seen.ours[0] for seen in found.open.values())
            table.target_rows = found.rows + sum(seen.theirs[0] for seen in found.open.values())
            if restless:
                cut = found.shape.cut
                which = cut.words(restless) if isinstance(cut, ByRange) else f"{len(restless):,} buckets"
                _add(
                    table,
                    f"{len(restless):,} of {found.total:,} ranges never agreed in {rounds} looks over {seconds:.0f} s "
                    f"({which})",
                )

    def progress(self, rounds: int, started: float) -> Progress:
        """Ranges that are done, of all."""
        total = sum(found.total for found in self.ranges.values())
        left = sum(len(found.open) for found in self.ranges.values())
        tables = sum(bool(found.open) for found in self.ranges.values())
        note = f"look {rounds}: {left:,} ranges in {tables} tables have not agreed yet"
        return Progress("moving", total - left, total, "ranges", note, started=started)

    def finding(self, subject: str, rounds: int) -> Finding:
        """INT-moving: what the claim of this comparison is, and how it came about."""
        left = {name: len(found.open) for name, found in self.ranges.items() if found.open}
        total = sum(found.total for found in self.ranges.values())
        still = sum(len(found.still) for found in self.ranges.values())
        status = Status.PASS if not left else Status.FAIL if still else Status.UNKNOWN
        if not self.ranges:
            status = Status.UNKNOWN
        return Finding(
            id="INT-moving",
            title="The copy keeps up with a source that is written to",
            status=status,
            severity=Severity.HIGH,
            subject=subject,
            expected="every range of every table agrees at some look",
            observed=f"{total - sum(left.values()):,} of {total:,} ranges agreed in {rounds} looks"
            + (f"; open: {', '.join(list(left)[:12])}" if left else ""),
            why="" if not left else f"{still:,} ranges stood still and differ; the others changed at every look.",
            remedy=""
            if not left
            else "See that the copy is applied without error and lags little; give it a longer bound, or a quiet hour.",
            data={"ranges": total, "open": sum(left.values()), "still": still, "looks": rounds},
        )


def _begin(sides: Sides, patience_s: float) -> _Watch:
    found = match(sides[0].relations, sides[1].relations)
    ranges = {}
    for name, shape in list(found.shapes.items()):
        if name not in sides[0].relations or name not in sides[1].relations:
            continue
        connection = sides[0].snapshot.connection
        try:
            with connection.transaction():
                cut = cut_by_range(connection, sides[0].relations[name])
        except psycopg.Error:
            cut = None  # reading it will say what is wrong
        if (
            cut is not None
            and sides[1].relations[name].columns.get(cut.column) != (sides[0].relations[name].columns[cut.column])
        ):
            cut = None
        chosen = cut or cut_by_key(sides[0].relations[name], sides[1].relations[name]) or shape.cut
        found.shapes[name] = cut_up = replace(shape, cut=chosen)
        ranges[name] = Ranges(cut_up, dict.fromkeys(range(cut_up.cut.count), UNSEEN), patience_s)
    return _Watch(found, ranges, began=tuple(side.relations for side in sides))


def _late(began: Sequence[Mapping[str, Relation]], sides: Sides) -> dict[str, tuple[Kind, str]]:
    """Relations that came, went, or have other columns than at the first look."""
    late: dict[str, tuple[Kind, str]] = {}
    for then, side in zip(began, sides, strict=True):
        for name in sorted(then.keys() | side.relations.keys()):
            old, new = then.get(name), side.relations.get(name)
            known = new or old
            if known is None or (old is not None and new is not None and old.columns == new.columns):
                continue
            what = "came after the first look" if old is None else "is gone since the first look"
            if old is not None and new is not None:
                other = sorted({column for column, _ in old.columns.items() ^ new.columns.items()})
                what = f"has other columns than at the first look: {', '.join(other)}"
            said = late[name][1] + "; " if name in late else ""
            late[name] = (known.kind, f"{said}on the {side.where} it {what}; compare again")
    return late


def _add(table: TableComparison, why: str) -> None:
    table.not_compared = f"{table.not_compared}; {why}" if table.not_compared else why
