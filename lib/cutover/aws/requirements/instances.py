"""The guide's option A: the platform on EC2 instances. Concerns only `compute: ec2`."""

from __future__ import annotations

from typing import Self

from cutover.aws.requirements.network import Subnets
from cutover.aws.requirements.requirement import MEDIUM, Outcome, holds, judged, one_of, requirement
from cutover.aws.requirements.stack import NotApplicable, NotThere, Stack, View
from cutover.expectations import Ec2Expectation


class Machine(View):
    """The instance that runs the application."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By its Name tag."""
        if stack.migration.compute != "ec2":
            raise NotApplicable("compute is ecs: the platform runs in containers")
        name = stack.expect.ec2.instance_name
        answer = stack.need("ec2", "describe_instances", Filters=[{"Name": "tag:Name", "Values": [name]}])
        rows = [
            i
            for r in answer.data.get("Reservations", [])
            for i in r.get("Instances", [])
            if (i.get("State") or {}).get("Name") != "terminated"
        ]
        if not rows:
            raise NotThere(
                f"no instance {name}",
                remedy="aws ec2 run-instances --metadata-options HttpTokens=required --image-id …",
            )
        return cls(rows[0], str(rows[0]["InstanceId"]), answer)


@requirement("EC2-01", title="The instance runs", severity=MEDIUM, guide=206)
def is_running(machine: Machine) -> Outcome:
    """The application runs on it."""
    return holds(machine.text("State.Name"), expected="running")


@requirement("EC2-02", title="The instance type is one of the sizing table", severity=MEDIUM, guide=200)
def instance_type(machine: Machine, expect: Ec2Expectation) -> Outcome:
    """The load was tested with this much."""
    return one_of(machine.text("InstanceType"), expect.types)


@requirement("EC2-03", title="The instance has its profile", severity=MEDIUM, guide=204)
def profile(machine: Machine, expect: Ec2Expectation) -> Outcome:
    """Without it the application reads no secret."""
    return holds(machine.text("IamInstanceProfile.Arn").rsplit("/", 1)[-1], expected=expect.instance_profile)


@requirement("EC2-04", title="The instance stands in a private subnet", severity=MEDIUM, guide=203)
def is_private(machine: Machine, subnets: Subnets) -> Outcome:
    """The way in is the balancer."""
    address = machine.get("PublicIpAddress")
    return judged(
        not address and machine.text("SubnetId") in subnets.ids("private"),
        expected="a private subnet, no public address",
        observed=f"{machine.text('SubnetId')}, {address or 'no public address'}",
    )


@requirement("EC2-05", title="The metadata service asks for a token", severity=MEDIUM)
def imds(machine: Machine) -> Outcome:
    """IMDSv1 hands the role's keys to anyone who can make the application fetch a URL."""
    return holds(
        machine.text("MetadataOptions.HttpTokens"),
        expected="required",
        remedy=f"aws ec2 modify-instance-metadata-options --instance-id {machine.subject} --http-tokens required",
    )
