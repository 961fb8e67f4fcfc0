"""Small, reversible changes on AWS: each plans, applies, verifies by reading back, and can be undone."""

from cutover.aws.actions.deploy import DeployService
from cutover.aws.actions.load_workers import LoadWorkers
from cutover.aws.actions.name import LowerTtl, SwitchDns
from cutover.aws.actions.snapshot import TakeSnapshot

__all__ = ["DeployService", "LoadWorkers", "LowerTtl", "SwitchDns", "TakeSnapshot"]
