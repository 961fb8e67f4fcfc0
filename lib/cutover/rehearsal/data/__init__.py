"""ShadowTwin's data: a schema such a product really has, its rows, its PDF reports and its job queues."""

from cutover.rehearsal.data.accounts import ADMIN, VISITOR
from cutover.rehearsal.data.load import load, set_login, start_loaded
from cutover.rehearsal.data.queues import fill_queues
from cutover.rehearsal.data.reports import write_reports
from cutover.rehearsal.data.rows import counts

__all__ = ["ADMIN", "VISITOR", "counts", "fill_queues", "load", "set_login", "start_loaded", "write_reports"]
