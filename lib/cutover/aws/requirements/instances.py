"""The guide's option A: the platform on EC2 instances. Concerns only `compute: ec2`."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Self

from cutover.aws.requirements.answers import Ask, NotThere, Unreadable, parse_moment
from cutover.aws.requirements.balancer import TargetGroup, TargetHealth
from cutover.aws.requirements.compute import only_on_ec2
from cutover.aws.requirements.field import rows_of
from cutover.aws.requirements.network import Subnets
from cutover.aws.requirements.policies import listed, statements
from cutover.aws.requirements.requirement import (
    BLOCKER,
    DAY,
    FAIL,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.security_groups import EcsGroup
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import Ec2Expectation

field = rows_of(__name__).field


class Machine(View):
    """The instance that runs the application."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By its Name tag; what is terminated does not count."""
        only_on_ec2(stack)
        name = stack.expect.ec2.instance_name
        return Ask(
            "ec2",
            "describe_instances",
            {"Filters": [{"Name": "tag:Name", "Values": [name]}]},
            f"instance {name}",
            rows="Reservations",
            match=lambda r: any((i.get("State") or {}).get("Name") != "terminated" for i in r.get("Instances", [])),
            name=name,
            remedy=f"aws ec2 run-instances --image-id resolve:ssm:/aws/service/ami-amazon-linux-latest/"
            f"al2023-ami-kernel-default-x86_64 --instance-type {stack.expect.ec2.types[0]} "
            f"--iam-instance-profile Name={stack.expect.ec2.instance_profile} --metadata-options HttpTokens=required "
            "--subnet-id <a private subnet> --security-group-ids <the tasks' group> --user-data file://start.sh "
            f"--tag-specifications 'ResourceType=instance,Tags=[{{Key=Name,Value={name}}}]'",
        )

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The instance within its reservation."""
        whole = super().read(stack)
        alive = [i for i in whole.rows("Instances") if (i.get("State") or {}).get("Name") != "terminated"]
        return cls(alive[0], str(alive[0]["InstanceId"]), whole)


# fmt: off
field("EC2-01", Machine, "State.Name", equals="running", severity=MEDIUM, guide=206,
      title="The instance runs", why="The application runs on it.",
      remedy=lambda machine, _: f"aws ec2 start-instances --instance-ids {machine.subject}")
field("EC2-02", Machine, "InstanceType", one_of=lambda e: e.ec2.types, severity=MEDIUM, guide=200,
      title="The instance type is one of the sizing table", why="The load was tested with this much.",
      remedy=lambda machine, e: f"aws ec2 modify-instance-attribute --instance-id {machine.subject} "
      f"--instance-type {e.ec2.types[0]}   # the instance must be stopped")
field("EC2-05", Machine, "MetadataOptions.HttpTokens", equals="required", severity=MEDIUM, absent=FAIL,
      title="The metadata service demands IMDSv2",
      why="IMDSv1 hands the role's keys to anyone who can make the application fetch a URL.",
      remedy=lambda machine, _: f"aws ec2 modify-instance-metadata-options --instance-id {machine.subject} "
      "--http-tokens required")
# fmt: on


@requirement("EC2-03", title="The instance has its profile", severity=MEDIUM, guide=204, absent=FAIL)
def profile(machine: Machine, expect: Ec2Expectation) -> Outcome:
    """Without it the application reads no secret."""
    return holds(
        machine.text("IamInstanceProfile.Arn").rsplit("/", 1)[-1],
        expected=expect.instance_profile,
        remedy=f"aws ec2 associate-iam-instance-profile --instance-id {machine.subject} "
        f"--iam-instance-profile Name={expect.instance_profile}",
    )


@requirement("EC2-04", title="The instance is in a private subnet", severity=MEDIUM, guide=203)
def is_private(machine: Machine, subnets: Subnets) -> Outcome:
    """The way in is the balancer."""
    address = machine.get("PublicIpAddress")
    return judged(
        not address and machine.text("SubnetId") in subnets.ids("private"),
        expected="a private subnet, no public address",
        observed=f"{machine.text('SubnetId')}, {address or 'no public address'}",
    )


class Volumes(View):
    """The instance's volumes."""

    needs = (Machine,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Those that are attached to it."""
        machine = stack.view(Machine)
        wanted = {"Filters": [{"Name": "attachment.instance-id", "Values": [machine.subject]}]}
        return Ask("ec2", "describe_volumes", wanted, f"volume of {machine.subject}", rows="Volumes", many=True,
                   name=machine.subject, after=(machine,))  # fmt: skip


@requirement("EC2-06", title="The instance's volumes are encrypted", severity=MEDIUM, guide=673)
def volumes_are_encrypted(volumes: Volumes) -> Outcome:
    """The guide asks for encryption at rest; a volume is encrypted when it is made or never."""
    bare = [str(v.get("VolumeId")) for v in volumes.rows("Volumes") if not v.get("Encrypted")]
    return judged(
        not bare,
        expected="all",
        observed=bare or f"{len(volumes.rows('Volumes'))} volumes, all encrypted",
        remedy="aws ec2 enable-ebs-encryption-by-default   # then make the instance again",
    )


class Image(View):
    """The AMI that the instance was made from."""

    needs = (Machine,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By id."""
        machine = stack.view(Machine)
        ami = machine.text("ImageId")
        return Ask("ec2", "describe_images", {"ImageIds": [ami]}, f"image {ami} in this region", rows="Images",
                   name=ami, after=(machine,))  # fmt: skip


@requirement("EC2-07", title="The image exists here and is not deprecated", severity=LOW, guide=199)
def image_is_current(image: Image, stack: Stack) -> Outcome:
    """The guide's id is an example that pages copy; an instance from a withdrawn image cannot be made again."""
    state, ends = image.text("State"), image.get("DeprecationTime")
    over = bool(ends) and parse_moment(ends, "DeprecationTime") < stack.now
    return judged(
        state == "available" and not over,
        expected="available, not deprecated",
        observed=f"{state}, deprecated {ends}" if over else state,
        remedy="aws ssm get-parameter --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    )


class EbsDefault(View):
    """Whether new volumes are encrypted without being told."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """One setting of the region."""
        only_on_ec2(stack)
        return Ask("ec2", "get_ebs_encryption_by_default", always=True, name=stack.migration.region)


@requirement("EC2-08", title="New volumes are encrypted by default", severity=LOW, guide=673)
def ebs_default(default: EbsDefault) -> Outcome:
    """The next instance is made in a hurry."""
    return holds(
        default.flag("EbsEncryptionByDefault"), expected=True, remedy="aws ec2 enable-ebs-encryption-by-default"
    )


class MachineStatus(View):
    """The instance's status checks."""

    needs = (Machine,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """An instance that does not run has none."""
        machine = stack.view(Machine)
        return Ask("ec2", "describe_instance_status", {"InstanceIds": [machine.subject]},
                   f"status of {machine.subject}: it does not run", rows="InstanceStatuses", name=machine.subject,
                   after=(machine,))  # fmt: skip


@requirement("EC2-09", title="The instance passes its status checks", severity=LOW, guide=207, due=DAY)
def status_is_ok(status: MachineStatus) -> Outcome:
    """A machine whose host is failing answers until it does not."""
    seen = [status.text("InstanceStatus.Status"), status.text("SystemStatus.Status")]
    return holds(seen, expected=["ok", "ok"], remedy=f"aws ec2 reboot-instances --instance-ids {status.subject}")


class UserData(View):
    """What the instance does when it is first started, as text."""

    needs = (Machine,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """One attribute; it comes in base64."""
        machine = stack.view(Machine)
        wanted = {"InstanceId": machine.subject, "Attribute": "userData"}
        return Ask("ec2", "describe_instance_attribute", wanted, name=machine.subject, after=(machine,))

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Decoded."""
        whole = super().read(stack)
        value = whole.get("UserData.Value")
        if not value:
            raise NotThere(f"{whole.subject} has no user data", evidence=whole.evidence)
        try:
            text = base64.b64decode(str(value), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise Unreadable("the user data is no base64 text", evidence=whole.evidence) from error
        return cls({"text": text}, whole.subject, whole)


@requirement(
    "EC2-10", title="The instance installs, builds and starts the application by itself", severity=HIGH, guide=193
)
def user_data_starts_it(data: UserData, expect: Ec2Expectation) -> Outcome:
    """A machine that a person must finish by hand is one that no failover can replace."""
    text = data.text("text")
    lacking = [tool for tool in expect.starts_with if tool not in text]
    bad = ["npm ci --production before the build"] if _builds_without_tools(text) else []
    bad += ["yum of Amazon Linux 2 for Node.js 20"] if "yum" in text and "rpm.nodesource.com" in text else []
    bad += [f"lacks {tool}" for tool in lacking]
    return judged(
        not bad,
        expected=f"it uses {', '.join(expect.starts_with)}; build tools are there when it builds",
        observed=bad or "it does",
        remedy=f"aws ec2 modify-instance-attribute --instance-id {data.subject} --user-data file://start.b64"
        "   # npm ci, npm run build, npm prune --omit=dev, pm2 startup, pm2 start, pm2 save",
    )


def _builds_without_tools(text: str) -> bool:
    first, built = re.search(r"npm ci (--production|--omit=dev)", text), re.search(r"npm run build", text)
    return bool(first and built and first.start() < built.start())


_CLEAR = re.compile(r"(PASSWORD|SECRET|API_KEY|TOKEN|DATABASE_URL|REDIS_URL)\s*=\s*['\"]?(?!\$|'|\"|\s)\S+", re.I)


@requirement("EC2-11", title="No secret stands in the user data", severity=HIGH, guide=193)
def user_data_is_clean(data: UserData) -> Outcome:
    """Whoever may describe the instance may read it, and so may every process on it."""
    names = sorted({m[1].upper() for m in _CLEAR.finditer(data.text("text"))})
    return judged(
        not names,
        expected="none: secrets are fetched with the instance's role",
        observed=names or "none",
        remedy="fetch them at start: aws secretsmanager get-secret-value --secret-id …; then rotate what stood there",
    )


@requirement(
    "EC2-12", title="The instance is registered with the balancer and healthy", severity=BLOCKER, guide=204, due=DAY
)
def machine_is_registered(machine: Machine, health: TargetHealth, group: TargetGroup) -> Outcome:
    """The guide starts an instance and registers it nowhere: no visitor ever reaches it."""
    mine = {machine.subject, str(machine.get("PrivateIpAddress"))}
    states = [
        str((d.get("TargetHealth") or {}).get("State"))
        for d in health.rows("TargetHealthDescriptions")
        if str((d.get("Target") or {}).get("Id")) in mine
    ]
    return judged(
        states == ["healthy"],
        expected=f"{machine.subject} healthy in the target group",
        observed=states or "not registered",
        remedy=f"aws elbv2 register-targets --target-group-arn {group.subject} --targets Id={machine.subject}",
    )


@requirement("EC2-13", title="The instance uses the expected security group", severity=BLOCKER, guide=202)
def machine_group(machine: Machine, group: EcsGroup) -> Outcome:
    """Database and queue let only this group in, and only the balancer may reach the application's port."""
    used = {str(g.get("GroupId")) for g in machine.rows("SecurityGroups")}
    return holds(
        used,
        expected={group.subject},
        remedy=f"aws ec2 modify-instance-attribute --instance-id {machine.subject} --groups {group.subject}",
    )


class Profile(View):
    """The instance profile."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        only_on_ec2(stack)
        name = stack.expect.ec2.instance_profile
        return Ask(
            "iam",
            "get_instance_profile",
            {"InstanceProfileName": name},
            f"instance profile {name}",
            name=name,
            remedy=f"aws iam create-instance-profile --instance-profile-name {name}\n"
            f"aws iam add-role-to-instance-profile --instance-profile-name {name} --role-name {name}",
        )


@requirement("IAM-08", title="The instance profile holds its role", severity=MEDIUM, guide=204)
def profile_has_role(profile: Profile, expect: Ec2Expectation) -> Outcome:
    """A profile without a role gives no rights, and says nothing about it; EC2 must be allowed to take the role."""
    roles = profile.rows("InstanceProfile.Roles")
    trusted = [
        str(r.get("RoleName"))
        for r in roles
        for s in statements(r.get("AssumeRolePolicyDocument") or {})
        if "ec2.amazonaws.com" in listed((s.get("Principal") or {}).get("Service"))
    ]
    return judged(
        bool(trusted),
        expected="a role that ec2.amazonaws.com may take",
        observed=trusted or [str(r.get("RoleName")) for r in roles],
        remedy=f"aws iam add-role-to-instance-profile --instance-profile-name {expect.instance_profile} --role-name …",
    )
