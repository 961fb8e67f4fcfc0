"""AWS: reading an account, judging its architecture, changing it in small reversible steps, and its metrics."""

from cutover.aws.account import Account, Call, Response
from cutover.aws.actions import DeployService, LoadWorkers, LowerTtl, SwitchDns, TakeSnapshot
from cutover.aws.checks import check_requirements
from cutover.aws.metrics import read_metrics
from cutover.aws.problem import Problem
from cutover.aws.recorded import RecordedAnswers
from cutover.aws.requirements import Look, Recording, check_identity, drift, looks

__all__ = [
    "Account",
    "Call",
    "DeployService",
    "LoadWorkers",
    "Look",
    "LowerTtl",
    "Problem",
    "RecordedAnswers",
    "Recording",
    "Response",
    "SwitchDns",
    "TakeSnapshot",
    "check_identity",
    "check_requirements",
    "drift",
    "looks",
    "read_metrics",
]
