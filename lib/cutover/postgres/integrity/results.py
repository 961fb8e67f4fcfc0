"""What a comparison of two databases says: each relation with its counts, and whether the two are equal.

Whether they are equal is decided here (`Comparison.verdict`) and said here (`Comparison.sentence`), and nowhere else:
the command, the notebook, the pictures and the report use both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from cutover.finding import Finding, Severity, Status
from cutover.postgres.integrity.locate import RowDifference
from cutover.text import count

ROWS = "INT-rows"
"""The finding over all relations; `INT-rows:NAME` is the one of each."""

_Side = Literal["", "source", "target"]
_SIDES: dict[str, _Side] = {"source": "source", "target": "target"}
_WRONG = (Status.FAIL, Status.MISSING)
_UNSEEN = (Status.UNKNOWN, Status.NOT_COMPARED)


class Equality(StrEnum):
    """Whether two databases are equal."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not comparable"


@dataclass(slots=True)
class TableComparison:
    """One relation on both sides.

    Attributes:
        name: `public.users`.
        kind: `table`, `partitioned table`, `materialized view`, `extension table`, `foreign table`, `large objects`.
        source_rows, target_rows: rows that were read; None where they could not be.
        missing, extra, different: rows that are on the source only, on the target only, or on both and not equal.
        seconds: the servers' time for its digests, both sides together, and for locating.
        columns_compared: how many columns were compared.
        key: the columns by which rows were paired; empty when they were compared as a multiset.
        differing_columns: column to number of rows in which it differs, among those looked at.
        examples: the first differences.
        not_compared: why it (or a column of it) was not compared; empty when all of it was.
        unlocated: its digests differ, but (some of) the rows that do could not be named: why; empty otherwise.
        absent: the side on which it does not exist; empty when it is on both.
    """

    name: str
    kind: str = "table"
    source_rows: int | None = None
    target_rows: int | None = None
    missing: int = 0
    extra: int = 0
    different: int = 0
    seconds: float = 0.0
    columns_compared: int = 0
    key: tuple[str, ...] = ()
    differing_columns: dict[str, int] = field(default_factory=dict)
    examples: tuple[RowDifference, ...] = ()
    not_compared: str = ""
    unlocated: str = ""
    absent: _Side = ""

    @property
    def differs(self) -> bool:
        """Whether it is known to differ, in rows that are named or not."""
        return bool(self.off or self.unlocated)

    @property
    def off(self) -> int:
        """How many rows are known to differ: those counted, or else the difference between both sides' numbers."""
        counted = self.missing + self.extra + self.different
        if counted or self.not_compared or self.source_rows is None or self.target_rows is None:
            return counted
        return abs(self.source_rows - self.target_rows)

    @property
    def identical(self) -> bool:
        """Whether every row was compared and none differs."""
        read = self.source_rows is not None and self.source_rows == self.target_rows
        return read and not self.not_compared and not self.differs

    @property
    def why(self) -> str:
        """Why it is not identical: rows that differ, and what was not compared or located; empty when it is."""
        if self.identical:
            return ""
        each = ((self.missing, "missing"), (self.extra, "extra"), (self.different, "different"))
        parts = [", ".join(f"{number:,} {word}" for number, word in each if number)]
        if not parts[0] and self.off:
            parts = [f"{self.source_rows:,} rows on the source, {self.target_rows:,} on the target"]
        said = "; ".join(part for part in (*parts, self.not_compared, self.unlocated) if part)
        return said or "its rows could not be read on both sides"

    @property
    def advisory(self) -> bool:
        """Whether a difference is information only: contents that are made anew, or live elsewhere."""
        return self.kind in ("materialized view", "extension table", "foreign table")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "kind": self.kind,
            "source_rows": self.source_rows,
            "target_rows": self.target_rows,
            "missing": self.missing,
            "extra": self.extra,
            "different": self.different,
            "seconds": round(self.seconds, 4),
            "columns_compared": self.columns_compared,
            "key": list(self.key),
            "differing_columns": self.differing_columns,
            "examples": [example.to_dict() for example in self.examples],
            "not_compared": self.not_compared,
            "unlocated": self.unlocated,
            "absent": self.absent,
            "identical": self.identical,
            "why": self.why,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> TableComparison:
        """What `to_dict` gave, of this version or an earlier one, which had no `identical`: it is decided anew.

        Raises:
            ValueError: it is no relation that was compared.
        """
        if not isinstance(raw, Mapping) or not {"name", "source_rows", "target_rows"} <= raw.keys():
            raise ValueError("a compared table has a name and its rows on both sides")
        try:
            table = cls(
                name=str(raw["name"]),
                kind=str(raw.get("kind") or "table"),
                source_rows=None if raw["source_rows"] is None else int(raw["source_rows"]),
                target_rows=None if raw["target_rows"] is None else int(raw["target_rows"]),
                missing=int(raw.get("missing") or 0),
                extra=int(raw.get("extra") or 0),
                different=int(raw.get("different") or 0),
                seconds=float(raw.get("seconds") or 0.0),
                columns_compared=int(raw.get("columns_compared") or 0),
                key=tuple(map(str, raw.get("key") or ())),
                differing_columns={str(k): int(v) for k, v in dict(raw.get("differing_columns") or {}).items()},
                examples=tuple(RowDifference.from_dict(example) for example in raw.get("examples") or ()),
                not_compared=str(raw.get("not_compared") or ""),
                unlocated=str(raw.get("unlocated") or ""),
                absent=_SIDES.get(raw.get("absent") or "", ""),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a compared table cannot be read: {error}") from error
        if raw.get("identical") is False and table.identical:
            table.not_compared = str(raw.get("why") or "it was not found to be identical when it was compared")
        return table


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two databases compared.

    Attributes:
        findings: what was seen, a line for each table, each kind of catalog object, each sequence that lags.
        tables: every relation with rows of either side, by name.
        seconds: wall time.
        source, target: the snapshots that were compared (id, lsn, at, database).
        algorithm: `hash` (two 64-bit hashes) or `sha256`.
        differences: file with every differing row, when evidence was asked for and there is one.
        left_out: relations that were left out by choice.
        rounds: how many looks it took; more than one where the source moves.
    """

    findings: list[Finding]
    tables: list[TableComparison]
    seconds: float
    source: dict[str, str]
    target: dict[str, str]
    algorithm: str
    differences: Path | None = None
    left_out: tuple[str, ...] = ()
    rounds: int = 1

    @property
    def counted(self) -> list[TableComparison]:
        """The relations that are counted as tables and decide: not those whose contents are advisory."""
        return [table for table in self.tables if not table.advisory]

    @property
    def rows_compared(self) -> int:
        """Rows of the source that were compared, in all tables."""
        return sum(table.source_rows or 0 for table in self.tables if table.target_rows is not None)

    @property
    def catalog_compared(self) -> bool:
        """Whether the catalogs were compared too."""
        return any(f.id == "INT-catalog" and f.status is not Status.NOT_COMPARED for f in self.findings)

    @property
    def whole(self) -> bool:
        """Whether everything was looked at: every relation, the catalog, and where every sequence stands."""
        return not self.left_out and {ROWS, "INT-catalog", "INT-sequences"} <= {f.id for f in self.findings}

    def wrong(self, *, strict: bool = False) -> list[Finding]:
        """What differs and counts; with `strict`, advisory differences too (comments, stale materialised views)."""
        return [f for f in self._without_sums(_WRONG) if strict or f.severity is not Severity.LOW]

    def unseen(self) -> list[Finding]:
        """What could not be compared, and counts."""
        return [f for f in self._without_sums(_UNSEEN) if f.severity is not Severity.LOW]

    def advisories(self, *, strict: bool = False) -> list[Finding]:
        """What differs or could not be seen, and does not count."""
        return [
            f
            for f in self._without_sums((*_WRONG, *_UNSEEN))
            if f.severity is Severity.LOW and not (strict and f.status in _WRONG)
        ]

    def verdict(self, *, strict: bool = False) -> Equality:
        """Whether the two are equal: the one decision, for everybody who says so.

        Different, when a table or anything beside the rows is known to differ; else not comparable, when a table was
        not compared to the end, anything beside the rows could not be seen, or there is no table; else equal.

        Args:
            strict: advisory differences count like any other.
        """
        tables = self.counted
        if self.wrong(strict=strict) or any(table.differs or table.absent for table in tables):
            return Equality.DIFFERENT
        if not tables or self.unseen() or not all(table.identical for table in tables):
            return Equality.NOT_COMPARABLE
        return Equality.EQUAL

    def sentence(self, *, strict: bool = False) -> str:
        """The verdict in the one sentence, with a full stop: what was compared or what differs, and as of when."""
        verdict, tables, at = self.verdict(strict=strict), self.counted, f"as of {instant(self.source)}"
        if verdict is Equality.EQUAL:
            rest = "" if self._asked("INT-catalog") else " (rows alone; the catalog was not compared)"
            return f"{self._everything()}: identical{self._but(strict=strict)}, {at}{rest}."
        if verdict is Equality.NOT_COMPARABLE and not tables:
            return f"Not comparable: there is no table to compare, {at}."
        same = sum(table.identical for table in tables)
        rest = f"{same:,} of {count(len(tables), 'table')} identical, {at}"
        if verdict is Equality.DIFFERENT:
            return f"Different: {', '.join(self._what_differs(strict=strict))}; {rest}."
        return f"Not comparable: {self._what_is_unseen()}; {rest}."

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "verdict": str(self.verdict()),
            "sentence": self.sentence(),
            "source": self.source,
            "target": self.target,
            "algorithm": self.algorithm,
            "seconds": round(self.seconds, 3),
            "rounds": self.rounds,
            "rows_compared": self.rows_compared,
            "left_out": list(self.left_out),
            "tables": [table.to_dict() for table in self.tables],
            "findings": [finding.to_dict() for finding in self.findings],
            "differences": str(self.differences) if self.differences else None,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Comparison:
        """What `to_dict` gave, of this version or an earlier one.

        Raises:
            ValueError: it is no comparison, or a part of it cannot be read: what is left would say too much.
        """
        tables = raw.get("tables") if isinstance(raw, Mapping) else None
        if not isinstance(tables, list):
            raise ValueError("a comparison has a list of tables")
        try:
            return cls(
                findings=[Finding.from_dict(finding) for finding in raw.get("findings") or ()],
                tables=[TableComparison.from_dict(table) for table in tables],
                seconds=float(raw.get("seconds") or 0.0),
                source={str(k): str(v) for k, v in dict(raw.get("source") or {}).items()},
                target={str(k): str(v) for k, v in dict(raw.get("target") or {}).items()},
                algorithm=str(raw.get("algorithm") or ""),
                differences=Path(raw["differences"]) if raw.get("differences") else None,
                left_out=tuple(map(str, raw.get("left_out") or ())),
                rounds=int(raw.get("rounds") or 1),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a comparison cannot be read: {error}") from error

    def _without_sums(self, statuses: Sequence[Status]) -> list[Finding]:
        seen = [f for f in self.findings if f.status in statuses]
        # What sums up others that are here adds nothing.
        return [f for f in seen if not any(other.id.startswith((f"{f.id}:", f"{f.id}-")) for other in seen)]

    def _asked(self, identifier: str) -> bool:
        return any(f.id == identifier for f in self.findings)

    def _everything(self) -> str:
        tables = [t for t in self.counted if t.kind != "large objects"]
        objects = sum(t.source_rows or 0 for t in self.counted if t.kind == "large objects")
        rows = sum(t.source_rows or 0 for t in tables)
        word = count(len(tables), f"{'chosen ' if self.left_out else ''}table")
        text = f"All {word}, {count(rows, 'row')}" if len(tables) > 1 else f"{word}, {count(rows, 'row')}"
        text += f", {count(objects, 'large object')}" if objects else ""
        if not self._asked("INT-catalog"):
            return text
        return f"{text}, every {'sequence, ' if self._asked('INT-sequences') else ''}index and constraint"

    def _but(self, *, strict: bool) -> str:
        expected = sum(max(1, len(f.data.get("differences") or ())) for f in self.findings if f.status is Status.WAIVED)
        advisory = len(self.advisories(strict=strict))
        parts = [count(expected, "expected difference")] if expected else []
        parts += [count(advisory, "advisory difference")] if advisory else []
        return f", but for {' and '.join(parts)}" if parts else ""

    def _what_differs(self, *, strict: bool) -> list[str]:
        tables = [t for t in self.counted if t.differs or t.absent]
        rows, wrong = sum(t.off for t in tables), self.wrong(strict=strict)
        others = sum(1 for f in wrong if not f.id.startswith(ROWS))
        parts = []
        if tables:
            parts.append(count(len(tables), "table") + (f" ({count(rows, 'row')})" if rows else ""))
        if others:
            parts.append(count(others, "difference") + " beside the rows")
        if unseen := self.unseen():
            parts.append(f"{len(unseen):,} not compared")
        return parts or [count(len(wrong), "difference")]

    def _what_is_unseen(self) -> str:
        unseen = self.unseen()
        named = dict.fromkeys(f.id.partition(":")[2] for f in unseen if f.id.startswith(f"{ROWS}:"))
        named |= dict.fromkeys(table.name for table in self.counted if not table.identical)
        named |= dict.fromkeys(f.title[0].lower() + f.title[1:] for f in unseen if not f.id.startswith(ROWS))
        more = f" and {len(named) - 3:,} more" if len(named) > 3 else ""
        return f"{', '.join(list(named)[:3])}{more}"


def instant(side: Mapping[str, str]) -> str:
    """When a side was read, in UTC, for a person."""
    try:
        return f"{datetime.fromisoformat(side['at']).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (KeyError, ValueError):
        return "an unknown instant"
