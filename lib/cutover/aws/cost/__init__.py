"""What a month of the account costs, and whether what stands there is large enough for the load that was tested."""

from cutover.aws.cost.lines import estimate
from cutover.aws.cost.month import GUIDE, TASKS, Assumptions, Estimate, Line, check_cost
from cutover.aws.cost.prices import Prices, fargate_listings

__all__ = [
    "GUIDE",
    "TASKS",
    "Assumptions",
    "Estimate",
    "Line",
    "Prices",
    "check_cost",
    "estimate",
    "fargate_listings",
]
