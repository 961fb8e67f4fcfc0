"""What `cutover compare` answers with: the sentence, then what differs, table by table; and its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cutover.errors import ExitCode
from cutover.finding import Finding, Status
from cutover.postgres.catalog import ROLE_MAP
from cutover.postgres.integrity.results import ROWS, Comparison, Equality, TableComparison, instant
from cutover.text import count, cut, duration, visible

if TYPE_CHECKING:
    from cutover.postgres.integrity.locate import RowDifference

_WIDE = 400
"""Characters of a finding that are shown; all of it is in --json and in the evidence."""

_CODES = {
    Equality.EQUAL: ExitCode.GO,
    Equality.DIFFERENT: ExitCode.CLOSED,
    Equality.NOT_COMPARABLE: ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A comparison as `cutover compare` tells it.

    Attributes:
        comparison: what was found.
        strict: advisory differences (comments, stale materialised views) count like any other.
    """

    comparison: Comparison
    strict: bool = False

    @property
    def verdict(self) -> Equality:
        """Whether the two are equal."""
        return self.comparison.verdict(strict=self.strict)

    @property
    def code(self) -> ExitCode:
        """3 when something differs, else 5 when something was not compared, else 0."""
        return _CODES[self.verdict]

    @property
    def headline(self) -> str:
        """The one sentence."""
        return self.comparison.sentence(strict=self.strict)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Everything below the headline: a style (`bold`, `dim` or nothing) and the text of each line."""
        for table in self.comparison.tables:
            if not table.identical and not (table.advisory and not self.strict) and table.kind != "foreign table":
                yield from _table(table, self.comparison)
        wrong, advisories = self.comparison.wrong(strict=self.strict), self.comparison.advisories(strict=self.strict)
        others = [f for f in [*wrong, *self.comparison.unseen()] if not f.id.startswith(ROWS)]
        if others:
            yield "bold", "Beside the rows"
            for finding in others:
                yield from _finding(finding)
        if advisories:
            yield "bold", "Advisory: what a restore makes anew, or what changes no answer of the database"
            for finding in advisories:
                yield from _finding(finding)
        yield from (("dim", line) for line in self._beside())
        if self.comparison.left_out:
            names = ", ".join(self.comparison.left_out[:6]) + (" …" if len(self.comparison.left_out) > 6 else "")
            several = count(len(self.comparison.left_out), "relation")
            yield "dim", f"Left out by choice, so nothing is said of {several}: {names}"
        for where, side in (("source", self.comparison.source), ("target", self.comparison.target)):
            yield "dim", f"{where}: {side['database']} at {side['lsn'] or '?'}, {instant(side)}"
        yield "dim", f"{duration(self.comparison.seconds)}, {_ALGORITHMS[self.comparison.algorithm]}"

    def _beside(self) -> Iterator[str]:
        """What the catalogs were compared under, and what of them no ordinary role may read."""
        for finding in self.comparison.findings:
            if finding.id.startswith(f"{ROLE_MAP}:"):
                yield finding.observed
            elif finding.status is Status.NOT_APPLICABLE and finding.id.startswith("INT-catalog-"):
                yield f"{finding.title}; {finding.observed}"

    def findings(self) -> list[Finding]:
        """The findings for a pipeline: what is advisory is waived, so that red is what the exit code says."""
        aside = {id(f) for f in self.comparison.advisories(strict=self.strict)}
        why = "Advisory: it does not count unless --strict is given."
        return [
            replace(f, status=Status.WAIVED, waived_from=f.status, why=why) if id(f) in aside else f
            for f in self.comparison.findings
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"result": str(self.verdict), "exit_code": int(self.code), "headline": self.headline}
        told |= {"catalog_compared": self.comparison.catalog_compared}
        return told | self.comparison.to_dict() | {"verdict": str(self.verdict), "sentence": self.headline}


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
    what, seen = str(finding.data.get("what", "")), finding.observed or finding.why
    told = f"{what}: {seen}" if what else finding.sentence()
    if seen.lower().startswith((what or finding.title).lower()):
        told = seen[0].upper() + seen[1:]
    yield "", f"  {cut(told, _WIDE)}"


def _shown(value: str | None) -> str:
    """A value so that NULL, '' and blanks at its ends can be told apart."""
    return "NULL" if value is None else visible(repr(value))
