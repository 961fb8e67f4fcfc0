"""Remedies that work: ordered commands of the AWS CLI that make what is missing and mend what is wrong."""

# The steps register themselves, in this order: what stands in what.
from cutover.aws.remedy import foundation  # isort: skip
from cutover.aws.remedy import data  # isort: skip
from cutover.aws.remedy import edge  # isort: skip
from cutover.aws.remedy import compute  # isort: skip
from cutover.aws.remedy.script import Script, fill, runnable, script
from cutover.aws.remedy.step import STEPS, Input, Step

__all__ = [
    "STEPS",
    "Input",
    "Script",
    "Step",
    "compute",
    "data",
    "edge",
    "fill",
    "foundation",
    "runnable",
    "script",
]
