"""Moving a database: a parallel dump into a folder that proves itself, and a restore that is never half-trusted."""

from cutover.postgres.transfer.dumping import dump
from cutover.postgres.transfer.filled import Filled, filled, not_known_again
from cutover.postgres.transfer.findings import check_restore
from cutover.postgres.transfer.mark import (
    MARKER,
    Unfinished,
    check_unmarked,
    read_mark,
    refuse_used,
    unfinished_restore,
)
from cutover.postgres.transfer.restoring import Restore, restore

__all__ = [
    "MARKER",
    "Filled",
    "Restore",
    "Unfinished",
    "check_restore",
    "check_unmarked",
    "dump",
    "filled",
    "not_known_again",
    "read_mark",
    "refuse_used",
    "restore",
    "unfinished_restore",
]
