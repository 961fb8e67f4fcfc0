"""PostgreSQL: facts, catalog, dump and restore, the write freeze, and the proof that every row arrived."""

from cutover.postgres.actions import BackUp, Transfer
from cutover.postgres.archive import Dump, read_dump, verify_dump
from cutover.postgres.catalog import (
    ROLE_MAP,
    Catalog,
    CatalogObject,
    Restored,
    compare_catalogs,
    printed_by,
    read_catalog,
)
from cutover.postgres.connection import connect, describe, same_database
from cutover.postgres.facts import ServerFacts, server_facts
from cutover.postgres.following import second_look
from cutover.postgres.forecast import Forecast, Measured, check_forecast, forecast, measured
from cutover.postgres.freeze import Freeze, check_refused
from cutover.postgres.integrity import (
    Comparison,
    Equality,
    Fingerprint,
    LoadLimits,
    RowDifference,
    Selection,
    TableComparison,
    audit,
    check_sequences,
    compare,
    compare_moving,
    fingerprint,
)
from cutover.postgres.position import WritePosition, check_no_writes, write_position
from cutover.postgres.preflight import preflight, scratch_catalog, scratch_restore
from cutover.postgres.snapshot import Snapshot, exported_snapshot
from cutover.postgres.tools import Tools, find_tools
from cutover.postgres.transfer import Restore, check_unmarked, dump, restore
from cutover.postgres.transfer.errors import RestoreError
from cutover.postgres.transfer.findings import check_restore
from cutover.postgres.trial import EmptyDatabase, Trial, TrialTransfer, trial_transfer

__all__ = [
    "ROLE_MAP",
    "BackUp",
    "Catalog",
    "CatalogObject",
    "Comparison",
    "Dump",
    "EmptyDatabase",
    "Equality",
    "Fingerprint",
    "Forecast",
    "Freeze",
    "LoadLimits",
    "Measured",
    "Restore",
    "RestoreError",
    "Restored",
    "RowDifference",
    "Selection",
    "ServerFacts",
    "Snapshot",
    "TableComparison",
    "Tools",
    "Transfer",
    "Trial",
    "TrialTransfer",
    "WritePosition",
    "audit",
    "check_forecast",
    "check_no_writes",
    "check_refused",
    "check_restore",
    "check_sequences",
    "check_unmarked",
    "compare",
    "compare_catalogs",
    "compare_moving",
    "connect",
    "describe",
    "dump",
    "exported_snapshot",
    "find_tools",
    "fingerprint",
    "forecast",
    "measured",
    "preflight",
    "printed_by",
    "read_catalog",
    "read_dump",
    "restore",
    "same_database",
    "scratch_catalog",
    "scratch_restore",
    "second_look",
    "server_facts",
    "trial_transfer",
    "verify_dump",
    "write_position",
]
