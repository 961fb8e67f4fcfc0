"""Moving a database: a parallel dump into a folder that proves itself, and a restore that is never half-trusted."""

from cutover.postgres.restore_errors import check_restore
from cutover.postgres.transfer.dumping import dump
from cutover.postgres.transfer.mark import MARKER, Unfinished, check_unmarked, read_mark, unfinished_restore
from cutover.postgres.transfer.restoring import Restore, restore

__all__ = [
    "MARKER",
    "Restore",
    "Unfinished",
    "check_restore",
    "check_unmarked",
    "dump",
    "read_mark",
    "restore",
    "unfinished_restore",
]
