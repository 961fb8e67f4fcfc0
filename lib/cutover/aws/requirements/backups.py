"""The ways back for the data: point-in-time restore, backups, the snapshot of the day, replicas, and what AWS plans."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from cutover.aws.requirements.answers import Absent, Ask, NotApplicable, NotThere
from cutover.aws.requirements.rds import Instance, instance_named
from cutover.aws.requirements.requirement import BLOCKER, DAY, HIGH, LOW, MEDIUM, Outcome, judged, requirement, serves
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.aws.states import INSTANCE
from cutover.expectations import RdsExpectation


@requirement("RDS-30", title="Point-in-time restore reaches the present", severity=HIGH, guide=1119)
def restorable_now(rds: Instance, stack: Stack) -> Outcome:
    """What lies behind this time is lost in a database rollback."""
    latest = rds.moment("LatestRestorableTime")
    return judged(
        stack.now - latest < timedelta(minutes=10),
        expected="within 10 minutes",
        observed=f"{latest:%Y-%m-%d %H:%M} UTC",
        remedy=f"aws rds describe-db-instances --db-instance-identifier {rds.name}   # wait for the first backup",
    )


class ReadReplica(View):
    """The read replica, where one is planned."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Optional in the guide."""
        name = stack.expect.rds.read_replica
        if not name:
            raise NotApplicable("no read replica is planned (expect.rds.read_replica)")
        remedy = (
            f"aws rds create-db-instance-read-replica --db-instance-identifier {name} "
            f"--source-db-instance-identifier {stack.expect.rds.instance}"
        )
        return instance_named(name, "replica", remedy)


@requirement("RDS-36", title="The read replica follows the instance", severity=LOW, guide=185)
def read_replica(replica: ReadReplica, expect: RdsExpectation) -> Outcome:
    """A replica of another instance answers with other data."""
    source = replica.text("ReadReplicaSourceDBInstanceIdentifier")
    state = replica.text("DBInstanceStatus")
    return judged(
        source.split(":")[-1] == expect.instance and serves(state, INSTANCE).ok,
        expected=f"available, source {expect.instance}",
        observed=f"{state}, source {source}",
    )


@requirement("RDS-37", title="The read replica's lag is low", severity=LOW, guide=185)
def read_replica_replicates(replica: ReadReplica) -> Outcome:
    """A replica whose replication stopped answers with the data of that moment, for ever."""
    infos = [i for i in replica.rows("StatusInfos") if i.get("StatusType") == "read replication"]
    if not infos:
        raise Absent("StatusInfos of type read replication")
    return judged(
        infos[0].get("Status") == "replicating",
        expected="replicating",
        observed=infos[0].get("Status"),
        remedy="aws rds describe-events --source-type db-instance --source-identifier "
        + replica.text("DBInstanceIdentifier"),
    )


@requirement("RDS-35", title="The instance knows its read replica", severity=LOW, guide=185)
def replica_is_registered(rds: Instance, replica: ReadReplica) -> Outcome:
    """A replica that was promoted goes its own way and keeps its name."""
    seen = [str(r).split(":")[-1] for r in rds.get("ReadReplicaDBInstanceIdentifiers") or []]
    return judged(
        replica.text("DBInstanceIdentifier") in seen, expected=replica.text("DBInstanceIdentifier"), observed=seen
    )


class DrReplica(View):
    """The replica in the second region."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By its identifier, in the second region."""
        name, region = stack.expect.rds.dr_replica, stack.migration.dr_region
        if not name:
            raise NotApplicable("no replica in a second region is planned (expect.rds.dr_replica)")
        return instance_named(name, "replica", region=region)


@requirement("RDS-38", title="A read replica exists in the second region", severity=MEDIUM, guide=702)
def dr_replica(replica: DrReplica, expect: RdsExpectation) -> Outcome:
    """A region's failure is otherwise the end of the data since the last copied snapshot."""
    source = replica.text("ReadReplicaSourceDBInstanceIdentifier")
    return judged(source.split(":")[-1] == expect.instance, expected=f"source {expect.instance}", observed=source)


class PreMigrationSnapshot(View):
    """The newest manual snapshot with the planned prefix."""

    needs = (Instance,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None of today is judged by the requirement; none at all is MISSING."""
        rds, prefix = stack.view(Instance), stack.expect.rds.snapshot_prefix
        answer = stack.need("rds", "describe_db_snapshots", DBInstanceIdentifier=rds.name, SnapshotType="manual")
        rows = [s for s in answer.data.get("DBSnapshots", []) if s.get("DBSnapshotIdentifier", "").startswith(prefix)]
        if not rows:
            raise NotThere(f"no snapshot {prefix}…", remedy=_snapshot(rds.name, prefix, stack))
        newest = max(rows, key=lambda s: str(s.get("SnapshotCreateTime") or "9999"))
        return cls(newest, str(newest["DBSnapshotIdentifier"]), rds, answer)


def _snapshot(instance: str, prefix: str, stack: Stack) -> str:
    return (
        f"aws rds create-db-snapshot --db-instance-identifier {instance} "
        f"--db-snapshot-identifier {prefix}{stack.now:%Y%m%d%H%M}"
    )


@requirement("RDS-39", title="The snapshot of the migration day exists", severity=BLOCKER, guide=694, due=DAY)
def snapshot_of_the_day(snapshot: PreMigrationSnapshot, stack: Stack, expect: RdsExpectation) -> Outcome:
    """It is the way back when the import damages what stood there before."""
    made = snapshot.moment("SnapshotCreateTime")
    state = snapshot.text("Status")
    done = snapshot.number("PercentProgress") if snapshot.get("PercentProgress") is not None else 100
    good = state == "available" and done == 100 and snapshot.flag("Encrypted")
    return judged(
        good and stack.now - made < timedelta(hours=36),
        expected="available, 100 %, encrypted, of the last 36 hours",
        observed=f"{state}, {done:g} %, encrypted {snapshot.flag('Encrypted')}, made {made:%Y-%m-%d %H:%M} UTC",
        remedy=_snapshot(expect.instance, expect.snapshot_prefix, stack),
    )


class AutomatedBackup(View):
    """The instance's automated backup."""

    needs = (Instance,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        rds = stack.view(Instance)
        return Ask(
            "rds",
            "describe_db_instance_automated_backups",
            {"DBInstanceIdentifier": rds.name},
            f"automated backup of {rds.name}",
            rows="DBInstanceAutomatedBackups",
            name=rds.subject,
            after=(rds,),
        )


@requirement("RDS-40", title="Automated backups can be restored", severity=HIGH, guide=681)
def automated_backup(backup: AutomatedBackup, rds: Instance, stack: Stack) -> Outcome:
    """A retention period is a promise; the restore window is what is there."""
    state = backup.text("Status")
    # The instance's LatestRestorableTime is the same moment: the window's end as the instance tells it.
    last = (
        backup.moment("RestoreWindow.LatestTime") if backup.get("RestoreWindow") else rds.moment("LatestRestorableTime")
    )
    return judged(
        state == "active" and stack.now - last < timedelta(hours=24),
        expected="active, restorable to a time in the last 24 hours",
        observed=f"{state}, to {last:%Y-%m-%d %H:%M} UTC",
    )


class PendingMaintenance(View):
    """What AWS wants to do to the instance."""

    needs = (Instance,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """An empty list for an instance that exists is an answer."""
        rds = stack.view(Instance)
        wanted = {"ResourceIdentifier": rds.subject}
        return Ask("rds", "describe_pending_maintenance_actions", wanted, name=rds.subject, after=(rds,))


@requirement("RDS-41", title="No maintenance is pending", severity=HIGH)
def no_pending_maintenance(pending: PendingMaintenance) -> Outcome:
    """AWS would restart the database in the window that it chose."""
    actions = [
        d.get("Action", "")
        for r in pending.rows("PendingMaintenanceActions")
        for d in r.get("PendingMaintenanceActionDetails", [])
    ]
    return judged(
        not actions,
        expected="none",
        observed=actions or "none",
        remedy=f"aws rds apply-pending-maintenance-action --resource-identifier {pending.subject} "
        "--apply-action … --opt-in-type immediate",
    )
