"""What should be in the account: one table of operations, rendered as shell for the remedy, by boto3 for the stage."""

# The resources register themselves, in this order: what stands in what.
from cutover.aws.blueprint import storage  # isort: skip
from cutover.aws.blueprint import network  # isort: skip
from cutover.aws.blueprint import access  # isort: skip
from cutover.aws.blueprint import data  # isort: skip
from cutover.aws.blueprint import secrets  # isort: skip
from cutover.aws.blueprint import edge  # isort: skip
from cutover.aws.blueprint import watch  # isort: skip
from cutover.aws.blueprint import compute  # isort: skip
from cutover.aws.blueprint.operation import BLUEPRINT, Call, Change, Input, Node, Resource, again, ordered
from cutover.aws.blueprint.site import Site

__all__ = [
    "BLUEPRINT",
    "Call",
    "Change",
    "Input",
    "Node",
    "Resource",
    "Site",
    "access",
    "again",
    "compute",
    "data",
    "edge",
    "network",
    "ordered",
    "secrets",
    "storage",
    "watch",
]
