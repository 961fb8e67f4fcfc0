"""Proof that every row arrived: digests inside both servers, and the rows and columns where they differ."""

from cutover.postgres.integrity.compare import Comparison, TableComparison, compare
from cutover.postgres.integrity.locate import RowDifference
from cutover.postgres.integrity.sequences import check_sequences

__all__ = ["Comparison", "RowDifference", "TableComparison", "check_sequences", "compare"]
