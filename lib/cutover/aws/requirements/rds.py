"""The PostgreSQL instance on RDS: what it is, how it is kept, and whether it can be brought back."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Self

from cutover.aws.blueprint.data import instance_change, storage_limit_gib
from cutover.aws.blueprint.shell import command
from cutover.aws.requirements.answers import Absent, Ask, NotApplicable, Unreadable
from cutover.aws.requirements.field import rows_of
from cutover.aws.requirements.network import Subnets, Vpc
from cutover.aws.requirements.requirement import (
    BLOCKER,
    FAIL,
    HIGH,
    LOW,
    MEDIUM,
    PASS,
    Outcome,
    holds,
    judged,
    requirement,
    serves,
)
from cutover.aws.requirements.security_groups import RdsGroup
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.aws.states import INSTANCE
from cutover.expectations import RdsExpectation

field = rows_of(__name__).field


class Instance(View):
    """The production instance."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By its identifier."""
        return instance_named(stack.expect.rds.instance, "instance")

    @property
    def name(self) -> str:
        """The identifier."""
        return self.text("DBInstanceIdentifier")

    def modify(self, **settings: Any) -> str:
        """The command that changes settings, named as the API names them."""
        return command(instance_change(self.name, **settings))


def instance_named(name: str, what: str, remedy: str = "", region: str | None = None) -> Ask:
    """One RDS instance by its identifier."""
    return Ask(
        "rds",
        "describe_db_instances",
        {"DBInstanceIdentifier": name},
        f"{what} {name}" + (f" in {region}" if region else ""),
        rows="DBInstances",
        subject="DBInstanceArn",
        name=name,
        remedy=remedy,
        region=region,
    )


@requirement("RDS-01", title="The instance is available", severity=BLOCKER, guide=131)
def is_available(rds: Instance) -> Outcome:
    """The data goes there."""
    return serves(
        rds.text("DBInstanceStatus"),
        INSTANCE,
        remedy=f"aws rds wait db-instance-available --db-instance-identifier {rds.name}",
    )


# fmt: off
field("RDS-02", Instance, "Engine", equals="postgres", severity=BLOCKER, guide=133,
      title="The engine is PostgreSQL", why="A dump of PostgreSQL restores into PostgreSQL.",
      remedy="create the instance again with --engine postgres")
field("RDS-04", Instance, "DBInstanceClass", one_of=lambda e: e.rds.classes, severity=HIGH, guide=132,
      title="The instance class is one of the planned",
      why="A smaller one runs out of memory and connections under the load that was tested.")
field("RDS-05", Instance, "AllocatedStorage", at_least=lambda e: e.rds.storage_gib, unit=" GiB", severity=HIGH,
      guide=137, title="Storage is large enough", why="A full volume stops every write.")
field("RDS-06", Instance, "StorageType", equals=lambda e: e.rds.storage_type, severity=HIGH, guide=138,
      title="Storage is gp3", why="gp3 keeps its 3000 IOPS at any size.")
field("RDS-08", Instance, "Iops", at_least=lambda e: e.rds.iops, unit=" IOPS", severity=MEDIUM, guide=152,
      title="Storage has its baseline of IOPS", why="A restore writes as fast as the volume lets it.",
      remedy=lambda rds, e: rds.modify(Iops=e.rds.iops))
field("RDS-11", Instance, "StorageEncrypted", equals=True, severity=BLOCKER, guide=143, absent=FAIL,
      title="Storage is encrypted", why="AES-256 at rest cannot be switched on later without a restore.",
      remedy=lambda rds, _: f"aws rds create-db-snapshot --db-instance-identifier {rds.name} "
      f"--db-snapshot-identifier {rds.name}-plain\n"
      f"aws rds copy-db-snapshot --source-db-snapshot-identifier {rds.name}-plain "
      f"--target-db-snapshot-identifier {rds.name}-encrypted --kms-key-id alias/aws/rds\n"
      f"aws rds restore-db-instance-from-db-snapshot --db-snapshot-identifier {rds.name}-encrypted …")
field("RDS-12", Instance, "KmsKeyId", matches=("arn:", "the ARN of a KMS key"), severity=LOW, guide=154,
      title="The encryption key is known", why="A copy in another region or account needs it.")
field("RDS-13", Instance, "DeletionProtection", equals=True, severity=BLOCKER, guide=144, absent=FAIL,
      title="Deletion protection is on", why="One mistyped command would delete the platform's data.")
field("RDS-15", Instance, "PreferredBackupWindow", equals=lambda e: e.rds.backup_window, severity=MEDIUM, guide=687,
      title="Backups run in their window", why="A backup in the middle of the migration slows the import.")
field("RDS-19", Instance, "PubliclyAccessible", equals=False, severity=BLOCKER, guide=632, absent=FAIL,
      title="The instance has no public address", why="A public endpoint is scanned within minutes.")
field("RDS-23", Instance, "MasterUsername", equals=lambda e: e.rds.master_user, severity=MEDIUM, guide=135,
      title="The master user is the planned one", why="Ownership in the restore follows it; it cannot be renamed.",
      remedy="restore into a new instance")
field("RDS-24", Instance, "DBName", equals=lambda e: e.rds.database, severity=HIGH, guide=172, absent=FAIL,
      title="The database exists", why="The guide omits --db-name: both of its restore commands then fail.",
      remedy=lambda rds, e: f"psql -h {rds.get('Endpoint.Address') or '<endpoint>'} -U {e.rds.master_user} "
      f"-d postgres -c 'CREATE DATABASE {e.rds.database}'")
field("RDS-25", Instance, "PerformanceInsightsEnabled", equals=True, severity=MEDIUM, guide=771,
      title="Performance Insights is on", why="Without it, a slow night cannot be explained afterwards.")
field("RDS-26", Instance, "MonitoringInterval", at_least=1, unit=" s", severity=MEDIUM,
      title="Enhanced monitoring is on", why="Memory and disk queue are not in CloudWatch's ordinary metrics.")
field("RDS-27", Instance, "EnabledCloudwatchLogsExports", includes="postgresql", severity=MEDIUM, absent=FAIL,
      title="PostgreSQL's log is exported", why="Refused connections are written there and nowhere else.")
field("RDS-31", Instance, "CopyTagsToSnapshot", equals=True, severity=LOW,
      title="Snapshots carry the tags", why="Untagged snapshots are cleaned up by no one, or by someone too eager.")
field("RDS-33", Instance, "MasterUserSecret.SecretArn", matches=(".", "a managed secret"), severity=MEDIUM, guide=136,
      absent=FAIL, title="The master password is managed", why="On a command line it stays in the shell's history.")
# fmt: on


@requirement("RDS-03", title="The engine's major version is at least the source's", severity=BLOCKER, guide=134)
def major_version(rds: Instance, expect: RdsExpectation, stack: Stack) -> Outcome:
    """A dump does not restore into an older major; the guide's 15 may be older than what the source runs."""
    version = rds.text("EngineVersion")
    found = re.match(r"\d+", version)
    if not found:
        raise Unreadable(f"EngineVersion {version!r} has no major")
    major = int(found[0])
    source = stack.source_major or expect.source_major
    remedy = rds.modify(EngineVersion="…", AllowMajorVersionUpgrade=True)
    if source and major < source:
        return judged(False, expected=f"at least the source's {source}", observed=version, remedy=remedy)
    if expect.engine_major is not None:
        return judged(
            major == expect.engine_major, expected=f"major {expect.engine_major}", observed=version, remedy=remedy
        )
    if not source:
        raise Unreadable(
            f"the instance runs {version}, and the source's version is not known here; "
            "state expect.rds.engine_major or expect.rds.source_major"
        )
    return judged(True, expected=f"at least the source's {source}", observed=version)


@requirement("RDS-07", title="Storage autoscaling is enabled", severity=HIGH, guide=152, absent=FAIL)
def storage_grows(rds: Instance) -> Outcome:
    """The guide demands it and its command omits --max-allocated-storage."""
    size = rds.number("AllocatedStorage")
    return judged(
        rds.number("MaxAllocatedStorage") > size,
        expected=f"a maximum above {size:g} GiB",
        observed=f"{rds.number('MaxAllocatedStorage'):g} GiB",
        remedy=rds.modify(MaxAllocatedStorage=storage_limit_gib(size)),
    )


@requirement("RDS-09", title="Multi-AZ is enabled", severity=BLOCKER, guide=142)
def multi_az(rds: Instance, expect: RdsExpectation) -> Outcome:
    """Without a standby, a zone's failure is an outage until a restore ends."""
    if not expect.multi_az:
        raise NotApplicable("expect.rds.multi_az is false")
    return holds(rds.flag("MultiAZ"), expected=True)


@requirement("RDS-10", title="The standby is in another zone", severity=MEDIUM, guide=142)
def standby_zone(rds: Instance, expect: RdsExpectation) -> Outcome:
    """That is what a standby is for."""
    if not expect.multi_az:
        raise NotApplicable("expect.rds.multi_az is false")
    first, second = rds.text("AvailabilityZone"), rds.text("SecondaryAvailabilityZone")
    return judged(first != second, expected="two zones", observed=[first, second])


@requirement("RDS-14", title="Backups are kept long enough", severity=BLOCKER, guide=141)
def backup_retention(rds: Instance, expect: RdsExpectation) -> Outcome:
    """Point-in-time restore reaches back as far as this, and not at all with 0."""
    days = rds.number("BackupRetentionPeriod")
    return judged(
        expect.backup_retention_days <= days <= 35,
        expected=f"{expect.backup_retention_days} to 35 days",
        observed=f"{days:g} days",
    )


@requirement("RDS-16", title="Maintenance and backup windows do not overlap", severity=MEDIUM, guide=687)
def windows_do_not_overlap(rds: Instance) -> Outcome:
    """RDS refuses or postpones one of them."""
    backup = rds.text("PreferredBackupWindow")
    maintenance = rds.text("PreferredMaintenanceWindow")
    return judged(
        not (_minutes(backup) & _minutes(maintenance)),
        expected="no common minute",
        observed=f"backup {backup}, maintenance {maintenance}",
    )


def _minutes(window: str) -> set[int]:
    """The minutes of the day that a window covers, whatever the weekday."""
    times = re.findall(r"(\d\d):(\d\d)", window)
    if len(times) != 2:
        raise Unreadable(f"{window!r} is no window")
    start, end = (int(h) * 60 + int(m) for h, m in times)
    return {minute % 1440 for minute in range(start, end if end > start else end + 1440)}


@requirement("RDS-17", title="A custom parameter group is in force", severity=HIGH, guide=156)
def parameter_group(rds: Instance) -> Outcome:
    """The default group cannot be changed, so rds.force_ssl and the workload's settings cannot be set."""
    groups = rds.rows("DBParameterGroups")
    if not groups:
        raise Absent("DBParameterGroups")
    name, state = groups[0].get("DBParameterGroupName", ""), groups[0].get("ParameterApplyStatus", "")
    return judged(
        not name.startswith("default.") and state == "in-sync",
        expected="a group of our own, in-sync",
        observed=f"{name}, {state}",
        remedy=f"aws rds reboot-db-instance --db-instance-identifier {rds.name}" if state == "pending-reboot" else "",
    )


class Parameters(View):
    """The parameters of the instance's group, by name."""

    needs = (Instance,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """All pages of the group."""
        rds = stack.view(Instance)
        name = str(rds.get("DBParameterGroups.0.DBParameterGroupName") or "")
        if not name:
            raise Absent("DBParameterGroups")
        answer = stack.need("rds", "describe_db_parameters", DBParameterGroupName=name)
        values = {p.get("ParameterName"): p.get("ParameterValue") for p in answer.data.get("Parameters", [])}
        return cls({"group": name, "values": values}, name, rds, answer)


@requirement("RDS-18", title="Connections without TLS are refused", severity=HIGH, guide=675, absent=FAIL)
def force_ssl(parameters: Parameters) -> Outcome:
    """Passwords and rows would otherwise cross the network in clear."""
    values = parameters.data["values"]
    if values.get("rds.force_ssl") is None:
        raise Absent("rds.force_ssl")
    return holds(
        str(values["rds.force_ssl"]),
        expected="1",
        remedy=f"aws rds modify-db-parameter-group --db-parameter-group-name {parameters.subject} "
        "--parameters ParameterName=rds.force_ssl,ParameterValue=1,ApplyMethod=immediate",
    )


@requirement("RDS-20", title="The instance uses the expected security group", severity=BLOCKER, guide=139)
def security_group(rds: Instance, group: RdsGroup) -> Outcome:
    """With another group, the rules that were checked are not the ones that hold."""
    used = {g.get("VpcSecurityGroupId"): g.get("Status") for g in rds.rows("VpcSecurityGroups")}
    return holds(used, expected={group.subject: "active"})


@requirement("RDS-21", title="The instance is in its subnet group and VPC", severity=BLOCKER, guide=140)
def subnet_group(rds: Instance, vpc: Vpc, expect: RdsExpectation) -> Outcome:
    """In another VPC the tasks cannot reach it."""
    return holds(
        [rds.text("DBSubnetGroup.DBSubnetGroupName"), rds.text("DBSubnetGroup.VpcId")],
        expected=[expect.subnet_group, vpc.subject],
        remedy=f"restore a snapshot with --db-subnet-group-name {expect.subnet_group}: to change it in place "
        "is downtime",
    )


class DbSubnetGroup(View):
    """The DB subnet group."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        name = stack.expect.rds.subnet_group
        return Ask(
            "rds",
            "describe_db_subnet_groups",
            {"DBSubnetGroupName": name},
            f"subnet group {name}",
            rows="DBSubnetGroups",
            name=name,
        )


@requirement("RDS-22", title="The subnet group spans two zones, private ones only", severity=BLOCKER, guide=140)
def subnet_group_is_private(group: DbSubnetGroup, subnets: Subnets) -> Outcome:
    """A failover goes to another subnet of the group: it must exist and be private."""
    ids = {s.get("SubnetIdentifier", "") for s in group.rows("Subnets")}
    zones = {s.get("SubnetAvailabilityZone", {}).get("Name") for s in group.rows("Subnets")} - {None, ""}
    zones = zones or subnets.zones(ids)
    outside = ids - subnets.ids("private")
    return judged(
        len(zones) >= 2 and not outside and bool(ids),
        expected="subnets of at least two zones, all private",
        observed=f"zones {', '.join(sorted(zones)) or 'none'}; not private: {', '.join(sorted(outside)) or 'none'}",
    )


@requirement("RDS-28", title="No modification is pending", severity=HIGH, absent=PASS)
def nothing_pending(rds: Instance) -> Outcome:
    """A pending change is applied in the next maintenance window, at worst during the import."""
    pending = {k: v for k, v in dict(rds.need("PendingModifiedValues")).items() if v not in (None, {}, [])}
    return judged(
        not pending,
        expected="none",
        observed=sorted(pending) or "none",
    )


@requirement("RDS-29", title="The server certificate is valid for long enough", severity=HIGH)
def certificate_lasts(rds: Instance, expect: RdsExpectation, stack: Stack) -> Outcome:
    """When it ends, every client that verifies it is refused at once."""
    until = rds.moment("CertificateDetails.ValidTill")
    return judged(
        until > stack.now + timedelta(days=expect.certificate_days),
        expected=f"valid for {expect.certificate_days} days more",
        observed=f"until {until:%Y-%m-%d}",
    )
