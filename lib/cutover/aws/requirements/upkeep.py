"""The database's upkeep: versions on offer, classes to be had, events and logs that can be read."""

from __future__ import annotations

from datetime import timedelta

from cutover.aws.requirements.answers import Ask, NotThere, parse_moment
from cutover.aws.requirements.rds import Instance
from cutover.aws.requirements.requirement import LOW, MEDIUM, Outcome, judged, requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import RdsExpectation


@requirement("RDS-32", title="Automatic minor version upgrade is as planned", severity=LOW)
def minor_upgrades_are_known(rds: Instance, stack: Stack, expect: RdsExpectation) -> Outcome:
    """Switched on, AWS restarts the database with another version in a maintenance window of its choice."""
    wanted, seen = expect.minor_upgrades, rds.flag("AutoMinorVersionUpgrade")
    return judged(
        wanted is None or seen == wanted,
        expected="either, on the record" if wanted is None else str(wanted).lower(),
        observed=seen,
    )


class Versions(View):
    """Whether the instance's version is still offered, and what it can be upgraded to."""

    needs = (Instance,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By engine and version."""
        rds = stack.view(Instance)
        version = rds.text("EngineVersion")
        return Ask(
            "rds",
            "describe_db_engine_versions",
            {"Engine": rds.text("Engine"), "EngineVersion": version},
            f"PostgreSQL {version} on offer any more",
            rows="DBEngineVersions",
            name=version,
            remedy=rds.modify(EngineVersion="<a minor on offer>"),
            after=(rds,),
        )


@requirement("RDS-42", title="The engine's version is still on offer", severity=LOW, guide=134)
def version_is_offered(versions: Versions, rds: Instance) -> Outcome:
    """A version that AWS has withdrawn is upgraded by force, and a restore cannot be made with it."""
    state = str(versions.get("Status") or "available")
    return judged(
        state == "available",
        expected="available",
        observed=f"{versions.text('EngineVersion')} {state}",
        remedy=rds.modify(EngineVersion="<a minor on offer>"),
    )


class Orderable(View):
    """How the instance's class can be ordered with its version."""

    needs = (Instance,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By engine, version and class."""
        rds = stack.view(Instance)
        kind = rds.text("DBInstanceClass")
        wanted = {"Engine": rds.text("Engine"), "EngineVersion": rds.text("EngineVersion"), "DBInstanceClass": kind}
        return Ask(
            "rds",
            "describe_orderable_db_instance_options",
            wanted,
            f"way to order {kind} with {rds.text('EngineVersion')}",
            rows="OrderableDBInstanceOptions",
            many=True,
            name=kind,
            after=(rds,),
        )


@requirement(
    "RDS-43", title="The instance class can be ordered with Multi-AZ for a restore", severity=MEDIUM, guide=132
)
def class_is_orderable(options: Orderable, expect: RdsExpectation) -> Outcome:
    """The way back restores into this class: where it cannot be had, the restore waits for a decision."""
    rows = [o for o in options.rows("OrderableDBInstanceOptions") if o.get("StorageType") == expect.storage_type]
    able = [o for o in rows if o.get("MultiAZCapable") or not expect.multi_az]
    zones = {str(z.get("Name")) for o in able for z in o.get("AvailabilityZones") or []}
    return judged(
        len(zones) >= 2,
        expected=f"Multi-AZ with {expect.storage_type} in two zones",
        observed=zones or f"{len(rows)} options with {expect.storage_type}, none for Multi-AZ",
        remedy="aws rds describe-orderable-db-instance-options --engine postgres "
        f"--db-instance-class {options.subject}   # choose a class that can be had, in expect.rds.classes too",
    )


class Events(View):
    """What happened to the instance in the last day."""

    needs = (Instance,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """No event is an answer."""
        rds = stack.view(Instance)
        wanted = {"SourceIdentifier": rds.name, "SourceType": "db-instance", "Duration": 1440}
        return Ask("rds", "describe_events", wanted, name=rds.subject, after=(rds,))


_TROUBLE = ("failure", "failover", "low storage")


@requirement("RDS-44", title="No failure or failover of the instance in the last day", severity=LOW)
def no_trouble(events: Events, rds: Instance) -> Outcome:
    """A failover or a full volume a day before the move is a reason to ask why."""
    bad = [
        f"{e.get('Date', '')} {e.get('Message', '')}"
        for e in events.rows("Events")
        if set(e.get("EventCategories") or []) & set(_TROUBLE)
    ]
    return judged(
        not bad,
        expected="no failure, failover or low storage",
        observed=bad or f"{len(events.rows('Events'))} events, none of them",
        remedy=f"aws rds describe-events --source-type db-instance --source-identifier {rds.name} --duration 1440",
    )


class LogFiles(View):
    """The instance's log files."""

    needs = (Instance,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        rds = stack.view(Instance)
        return Ask(
            "rds",
            "describe_db_log_files",
            {"DBInstanceIdentifier": rds.name},
            f"log file of {rds.name}",
            rows="DescribeDBLogFiles",
            many=True,
            name=rds.subject,
            after=(rds,),
        )


@requirement("RDS-45", title="The database's log can be read", severity=LOW)
def log_is_readable(logs: LogFiles, stack: Stack) -> Outcome:
    """Why a connection was refused is written there; the night is no time to ask for the right to read it."""
    newest = max((parse_moment(f["LastWritten"]) for f in logs.rows("DescribeDBLogFiles") if f.get("LastWritten")),
                 default=None)  # fmt: skip
    if newest is None:
        raise NotThere(f"no log file of {logs.subject} says when it was written")
    return judged(
        stack.now - newest < timedelta(days=1),
        expected="a file written in the last day",
        observed=f"{newest:%Y-%m-%d %H:%M} UTC",
        remedy=f"aws rds describe-db-log-files --db-instance-identifier {stack.expect.rds.instance}",
    )
