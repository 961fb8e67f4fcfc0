"""One step: what it records, shows, attaches and changes; journal, approvals, and the folder of evidence."""

from cutover.step.approval import approve
from cutover.step.context import Context
from cutover.step.evidence import RunFolder
from cutover.step.journal import Journal
from cutover.step.phases import PHASES, find_notebooks
from cutover.step.step import Step, begin

__all__ = ["PHASES", "Context", "Journal", "RunFolder", "Step", "approve", "begin", "find_notebooks"]
