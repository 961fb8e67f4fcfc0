"""Load: arrivals that do not wait for answers, a log that survives a kill, and Locust as a subprocess."""

from cutover.load.arrivals import Schedule, steady
from cutover.load.driver import LoadRun, run, worker
from cutover.load.log import COLUMNS, OUTCOMES, LogReader, read_log
from cutover.load.recorder import Recorder
from cutover.load.settings import Settings
from cutover.load.shapes import schedule
from cutover.load.summary import nearest_rank, summary

__all__ = [
    "COLUMNS",
    "OUTCOMES",
    "LoadRun",
    "LogReader",
    "Recorder",
    "Schedule",
    "Settings",
    "nearest_rank",
    "read_log",
    "run",
    "schedule",
    "steady",
    "summary",
    "worker",
]
