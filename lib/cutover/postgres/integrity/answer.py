"""What a comparison is told with: one sentence, then what differs, table by table; and its exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cutover.errors import ExitCode
from cutover.finding import Finding, Severity, Status
from cutover.text import count, duration, visible

if TYPE_CHECKING:
    from cutover.postgres import Comparison, TableComparison
    from cutover.postgres.integrity import RowDifference

_WRONG = (Status.FAIL, Status.MISSING)
_UNSEEN = (Status.UNKNOWN, Status.NOT_COMPARED)
_ROWS = "INT-rows"
_WIDE = 400
"""Characters of a finding that are shown; all of it is in --json and in the evidence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A comparison as `cutover compare` tells it.

    Attributes:
        comparison: what was found.
        catalog: whether the catalogs and sequences were compared too.
        strict: advisory differences (comments, stale materialised views) count like any other.
    """

    comparison: Comparison
    catalog: bool = True
    strict: bool = False

    @property
    def differences(self) -> list[Finding]:
        """What differs and counts."""
        return [f for f in self._of(_WRONG) if self._counts(f)]

    @property
    def advisories(self) -> list[Finding]:
        """What differs or could not be seen, and does not count."""
        return [f for f in self._of((*_WRONG, *_UNSEEN)) if not self._counts(f)]

    @property
    def unseen(self) -> list[Finding]:
        """What could not be compared."""
        return [f for f in self._of(_UNSEEN) if self._counts(f)]

    @property
    def code(self) -> ExitCode:
        """3 when something differs, else 5 when something was not compared, else 0."""
        if self.differences:
            return ExitCode.CLOSED
        return ExitCode.INCONCLUSIVE if self.unseen or not self._tables else ExitCode.GO

    @property
    def result(self) -> str:
        """`equal`, `different` or `not comparable`."""
        return {ExitCode.GO: "equal", ExitCode.CLOSED: "different"}.get(self.code, "not comparable")

    @property
    def headline(self) -> str:
        """The one sentence."""
        at = f"as of {_instant(self.comparison.source)}"
        if self.code is ExitCode.GO:
            but = f", but for {count(len(self.advisories), 'advisory difference')}" if self.advisories else ""
            also = ", every sequence, index and constraint" if self.catalog else ""
            rest = "" if self.catalog else " (rows alone; the catalog was not asked for)"
            return f"{self._all()}{also}: identical{but}, {at}{rest}."
        if not self._tables:
            return f"Not comparable: there is no table to compare, {at}."
        same = sum(table.identical for table in self._tables)
        rest = f"{same:,} of {count(len(self._tables), 'table')} identical, {at}"
        if self.code is ExitCode.CLOSED:
            return f"Different: {', '.join(self._what())}; {rest}."
        rows = [f.id.partition(":")[2] for f in self.unseen if f.id.startswith(f"{_ROWS}:")]
        named = rows + [f.title[0].lower() + f.title[1:] for f in self.unseen if not f.id.startswith(_ROWS)]
        more = f" and {len(named) - 3:,} more" if len(named) > 3 else ""
        return f"Not comparable: {', '.join(named[:3])}{more}; {rest}."

    def lines(self) -> Iterator[tuple[str, str]]:
        """Everything below the headline: a style (`bold`, `dim` or nothing) and the text of each line."""
        for table in self.comparison.tables:
            if not table.identical and not (table.advisory and not self.strict) and not _aside(table):
                yield from _table(table, self.comparison)
        others = [f for f in [*self.differences, *self.unseen] if not f.id.startswith(_ROWS)]
        if others:
            yield "bold", "Beside the rows"
            for finding in others:
                yield from _finding(finding)
        if self.advisories:
            yield "bold", "Advisory: what a restore makes anew, or what changes no answer of the database"
            for finding in self.advisories:
                yield from _finding(finding)
        if self.comparison.left_out:
            names = ", ".join(self.comparison.left_out[:6]) + (" …" if len(self.comparison.left_out) > 6 else "")
            several = count(len(self.comparison.left_out), "relation")
            yield "dim", f"Left out by choice, so nothing is said of {several}: {names}"
        for where, side in (("source", self.comparison.source), ("target", self.comparison.target)):
            yield "dim", f"{where}: {side['database']} at {side['lsn'] or '?'}, {_instant(side)}"
        yield "dim", f"{duration(self.comparison.seconds)}, {_ALGORITHMS[self.comparison.algorithm]}"

    def findings(self) -> list[Finding]:
        """The findings for a pipeline: what is advisory is waived, so that red is what the exit code says."""
        aside = {id(f) for f in self.advisories}
        why = "Advisory: it does not count unless --strict is given."
        return [
            replace(f, status=Status.WAIVED, waived_from=f.status, why=why) if id(f) in aside else f
            for f in self.comparison.findings
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"result": self.result, "exit_code": int(self.code), "headline": self.headline}
        return told | {"catalog_compared": self.catalog} | self.comparison.to_dict()

    @property
    def _tables(self) -> list[TableComparison]:
        return [t for t in self.comparison.tables if not t.advisory and not _aside(t)]

    def _of(self, statuses: Sequence[Status]) -> list[Finding]:
        seen = [f for f in self.comparison.findings if f.status in statuses]
        # What sums up others that are here adds nothing.
        return [f for f in seen if not any(other.id.startswith((f"{f.id}:", f"{f.id}-")) for other in seen)]

    def _counts(self, finding: Finding) -> bool:
        return finding.severity is not Severity.LOW or (self.strict and finding.status in _WRONG)

    def _all(self) -> str:
        tables = [t for t in self._tables if t.kind != "large objects"]
        objects = sum(t.source_rows or 0 for t in self._tables if t.kind == "large objects")
        rows = sum(t.source_rows or 0 for t in tables)
        chosen = "chosen " if self.comparison.left_out else ""
        word = count(len(tables), f"{chosen}table")
        text = f"All {word}, {count(rows, 'row')}" if len(tables) > 1 else f"{word}, {count(rows, 'row')}"
        return text + (f", {count(objects, 'large object')}" if objects else "")

    def _what(self) -> list[str]:
        tables = [t for t in self._tables if t.differs or "does not exist" in t.not_compared]
        rows = sum(t.missing + t.extra + t.different for t in tables)
        others = sum(1 for f in self.differences if not f.id.startswith(_ROWS))
        parts = []
        if tables:
            parts.append(count(len(tables), "table") + (f" ({count(rows, 'row')})" if rows else ""))
        if others:
            parts.append(count(others, "difference") + " beside the rows")
        if self.unseen:
            parts.append(f"{len(self.unseen):,} not compared")
        return parts or [count(len(self.differences), "difference")]


_ALGORITHMS = {"hash": "two 64-bit hashes of every row", "sha256": "SHA-256 of every row"}


def _table(table: TableComparison, comparison: Comparison) -> Iterator[tuple[str, str]]:
    each = ((table.missing, "missing"), (table.extra, "extra"), (table.different, "different"))
    counts = [f"{number:,} {word}" for number, word in each if number]
    if table.source_rows is not None and table.target_rows is not None:
        of = f"{table.source_rows:,}" + (f" → {table.target_rows:,}" if table.target_rows != table.source_rows else "")
        counts.append(f"of {of} rows")
    said = " ".join([", ".join(counts[:-1]), counts[-1]]) if len(counts) > 1 else "".join(counts)
    yield "bold", f"{table.name}   {said}".rstrip()
    for reason in (table.not_compared, table.unlocated):
        if reason:
            yield "", f"  {reason}"
    for example in table.examples:
        yield from _row(example)
    more = table.missing + table.extra + table.different - sum(example.copies for example in table.examples)
    if more > 0:
        where = f" in {comparison.differences}" if comparison.differences else "; --evidence DIR names them all"
        yield "", f"  and {more:,} more{where}"


def _row(row: RowDifference) -> Iterator[tuple[str, str]]:
    name = ", ".join(f"{k}={v}" for k, v in row.key.items()) or row.place
    times = f" ×{row.copies}" if row.copies > 1 else ""
    if row.difference != "different":
        where = "only on the source" if row.difference == "missing" else "only on the target"
        yield "", f"  {name}   {where}{times}"
        known = row.source if row.difference == "missing" else row.target
        for column, value in (known or {}).items():
            yield "", f"      {column}: {_shown(value)}"
        return
    yield "", f"  {name}   differs in {', '.join(row.columns) or 'a column that was not looked up'}"
    for column in row.columns if row.source is not None else ():
        one, other = (row.source or {}).get(column), (row.target or {}).get(column)
        yield "", f"      {column}: {_shown(one)} → {_shown(other)}"


def _finding(finding: Finding) -> Iterator[tuple[str, str]]:
    claimed = finding.title.removesuffix(" is the same on both sides")
    seen = finding.observed or finding.why
    told = finding.sentence() if claimed == finding.title else f"{claimed}: {seen}"
    if seen.lower().startswith(claimed.lower()):
        told = seen[0].upper() + seen[1:]
    yield "", f"  {told if len(told) <= _WIDE else told[: _WIDE - 2].rstrip() + ' …'}"


def _shown(value: str | None) -> str:
    """A value so that NULL, '' and blanks at its ends can be told apart."""
    return "NULL" if value is None else visible(repr(value))


def _aside(table: TableComparison) -> bool:
    """Whether it has no rows of its own to compare: a foreign table, say."""
    return table.kind == "foreign table"


def _instant(side: dict[str, str]) -> str:
    try:
        return f"{datetime.fromisoformat(side['at']):%Y-%m-%d %H:%M:%S} UTC"
    except (KeyError, ValueError):
        return "an unknown instant"
