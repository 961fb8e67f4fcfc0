"""The guide's two kinds of compute: containers on ECS (option B) or instances on EC2 (option A)."""

from __future__ import annotations

from cutover.aws.requirements.answers import NotApplicable
from cutover.aws.requirements.stack import Stack


def only_on_ecs(stack: Stack) -> None:
    """Leave when the platform runs on EC2.

    Raises:
        NotApplicable: `compute: ec2`.
    """
    if stack.migration.compute != "ecs":
        raise NotApplicable("compute is ec2: the platform runs on instances")


def only_on_ec2(stack: Stack) -> None:
    """Leave when the platform runs on ECS.

    Raises:
        NotApplicable: `compute: ecs`.
    """
    if stack.migration.compute != "ec2":
        raise NotApplicable("compute is ecs: the platform runs in containers")
