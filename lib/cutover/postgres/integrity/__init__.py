"""Proof that every row arrived: digests inside both servers, and the rows and columns where they differ."""

from cutover.postgres.integrity.audit import audit
from cutover.postgres.integrity.compare import compare
from cutover.postgres.integrity.fingerprint import Fingerprint, fingerprint
from cutover.postgres.integrity.load_limits import LoadLimits
from cutover.postgres.integrity.locate import RowDifference
from cutover.postgres.integrity.moving import compare_moving
from cutover.postgres.integrity.results import Comparison, Equality, TableComparison
from cutover.postgres.integrity.selection import Selection
from cutover.postgres.integrity.sequences import check_sequences

__all__ = [
    "Comparison",
    "Equality",
    "Fingerprint",
    "LoadLimits",
    "RowDifference",
    "Selection",
    "TableComparison",
    "audit",
    "check_sequences",
    "compare",
    "compare_moving",
    "fingerprint",
]
