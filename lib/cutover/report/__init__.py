"""What is handed over after a run: the report for stakeholders, the list of runs, JUnit for pipelines, the ledger."""

from cutover.report.handover import hand_over
from cutover.report.html import write
from cutover.report.index import write_index
from cutover.report.junit import write_junit
from cutover.report.ledger import append_ledger, check_ledger
from cutover.report.record import Record, read

__all__ = ["Record", "append_ledger", "check_ledger", "hand_over", "read", "write", "write_index", "write_junit"]
