"""What a comparison of two databases says: each relation with its counts, and everything together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutover.finding import Finding
from cutover.postgres.integrity.locate import RowDifference


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

    @property
    def differs(self) -> bool:
        """Whether it is known to differ, in rows that are named or not."""
        return bool(self.missing or self.extra or self.different or self.unlocated)

    @property
    def identical(self) -> bool:
        """Whether every row was compared and none differs."""
        read = self.source_rows is not None and self.source_rows == self.target_rows
        return read and not self.not_compared and not self.differs

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
            "identical": self.identical,
        }


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
    def rows_compared(self) -> int:
        """Rows of the source that were compared, in all tables."""
        return sum(table.source_rows or 0 for table in self.tables if table.target_rows is not None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
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
