"""The commands of the five ways back, each made from what was recorded before the change that it takes back.

Where something was not recorded there is no command: the way says what it lacks and how to get it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cutover.aws.recorded import RecordedAnswers
from cutover.finding import Finding, Status
from cutover.migration import Migration, Triggers
from cutover.step import Journal

_RECORDED_BY_02 = "or run 02_provisioning_checks and then this notebook again: it records the answer"
_AT_THE_SOURCE = ("freeze-database", "pause-queues", "maintenance-on")
"""What refuses users at the source, the last change first."""
_BRINGS_THE_DATA = ("transfer", "switch-over")


@dataclass(frozen=True, slots=True)
class WayBack:
    """A way back, as far as it is known; a person goes it.

    Attributes:
        commands: complete, in the order in which they are run; none when something is lacking.
        notes: what to know before, between and after them.
        lacks: what is needed and was not recorded, each with how to get it.
        nothing_forward: nothing has gone forward that this way could take back.
    """

    commands: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    nothing_forward: bool = False

    def lines(self) -> list[str]:
        """All of it in the order in which it is read: what is lacking, the commands, the notes."""
        return [*(f"lacking: {one}" for one in self.lacks), *self.commands, *self.notes]


@dataclass(frozen=True, slots=True)
class Known:
    """What the commands are made of.

    Attributes:
        migration: the parameters.
        journal: the changes that were made, each with the state before it.
        recorded: what AWS answered in this migration's runs.
        fault: when the first rollback trigger's first breach began; None when none fired.
    """

    migration: Migration
    journal: Journal
    recorded: RecordedAnswers
    fault: datetime | None = None

    def aws(self, *words: str) -> str:
        """One AWS command in the migration's region, quoted for a shell."""
        return shlex.join(["aws", "--region", self.migration.region, *words])

    @property
    def redeploy(self) -> tuple[list[str], list[str]]:
        """How running tasks come to read their secrets and connect anew: commands, and what has no command."""
        if self.migration.compute == "ec2":
            return [], ["restart the application on every instance: it reads its secrets when it starts"]
        ecs = self.migration.expect.ecs
        service = ("--cluster", ecs.cluster, "--service", ecs.service)
        return [self.aws("ecs", "update-service", *service, "--force-new-deployment")], []


def way_back_of(row: str, known: Known) -> WayBack:
    """The way back of a row of the decision matrix (`judgement.MATRIX`); an empty one when nothing is decided."""
    return _WAYS[row](known) if row else WayBack()


def fault_began(findings: Iterable[Finding], triggers: Triggers) -> datetime | None:
    """The moment before the first breach of the first rollback trigger that fired; None when none did.

    A breach is dated by the end of its window, or by the first probe that failed: what hurt began up to one window, or
    one hold of the probes, before.
    """
    before: dict[str, timedelta] = {
        "TRG-error-rate": triggers.error_rate.window,
        "TRG-p95": triggers.p95.window,
        "TRG-stalled": triggers.p95.window,
        "TRG-critical-flows": triggers.critical_flows.failing_for,
        "TRG-database": triggers.database.unreachable_for,
    }
    began = []
    for finding in findings:
        if not finding.trigger or finding.status is not Status.FAIL:
            continue
        at = finding.data.get("began_at") or finding.data.get("fired_at")
        if isinstance(at, int | float):
            margin = before.get(finding.id.partition(":")[0], max(before.values()))
            began.append(datetime.fromtimestamp(at, UTC) - margin)
    return min(began, default=None)


def _application(known: Known) -> WayBack:
    """Back to the task definition that ran before the release."""
    before = _before_deploy(known.journal.entries("change-begun"))
    ecs = known.migration.expect.ecs
    if before is None:
        note = "nothing has been deployed by this migration yet: hold the release, fix it, and run this step again"
        return WayBack(notes=(note,), nothing_forward=True)
    service = ("--cluster", ecs.cluster, "--service", ecs.service)
    last_good = str(before.get("task_definition") or "")
    if not last_good:
        look = known.aws("ecs", "list-task-definitions", "--status", "ACTIVE", "--sort", "DESC")
        return WayBack(lacks=(f"the task definition that ran before the release; these are there: {look}",))
    again = known.aws("ecs", "update-service", *service, "--task-definition", last_good, "--force-new-deployment")
    version = str(before.get("version") or before.get("image") or "")
    notes = (f"it brings back {version}",) if version else ()
    return WayBack((again, known.aws("ecs", "wait", "services-stable", *_waited(ecs.cluster, ecs.service))), notes)


def _waited(cluster: str, service: str) -> tuple[str, ...]:
    return ("--cluster", cluster, "--services", service)


def _before_deploy(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What ran before the latest deployment that brought another task definition than the one before it."""
    for entry in reversed(entries):
        plan = entry["plan"]
        before, after = plan.get("before", {}), plan.get("after", {})
        if plan["action"] == "deploy-service" and before.get("image") != after.get("image"):
            return dict(before)
    return None


def _database(known: Known) -> WayBack:
    """A new instance from before the fault, never from the latest moment, under the name of the damaged one."""
    name = known.migration.expect.rds.instance
    answer = known.recorded.newest("rds", "describe_db_instances", DBInstanceIdentifier=name)
    rows = (answer.data.get("DBInstances") if answer else None) or [{}]
    like, lacks = _as_the_original(known, name, rows[0])
    begin, notes, missing = _restore_point(known, name, rows[0])
    lacks += missing
    if lacks:
        return WayBack(lacks=tuple(lacks), notes=tuple(notes))
    fresh, old = f"{name}-restored", f"{name}-damaged"
    commands = [
        known.aws("rds", *begin, *like),
        known.aws("rds", "wait", "db-instance-available", "--db-instance-identifier", fresh),
        _renamed(known, name, old),
        known.aws("rds", "wait", "db-instance-available", "--db-instance-identifier", old),
        _renamed(known, fresh, name),
        known.aws("rds", "wait", "db-instance-available", "--db-instance-identifier", name),
    ]
    again, by_hand = known.redeploy
    notes += [
        f"the restored instance takes the name {name} and with it the address, so no secret changes; {old} stays for "
        "the search for the cause",
        "each wait ends after 30 minutes even when the instance is not there yet: run it again",
        "then run 02_provisioning_checks: it names what a restore does not carry over",
        *by_hand,
    ]
    return WayBack((*commands, *again), tuple(notes))


def _as_the_original(known: Known, name: str, instance: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The options that make a restored instance what the original is; and what of them is not on record."""
    group = str((instance.get("DBSubnetGroup") or {}).get("DBSubnetGroupName") or "")
    walls = [str(one["VpcSecurityGroupId"]) for one in instance.get("VpcSecurityGroups") or []]
    parameters = [str(one["DBParameterGroupName"]) for one in instance.get("DBParameterGroups") or []]
    size = str(instance.get("DBInstanceClass") or "")
    wanted = {"subnet group": group, "security groups": walls, "parameter group": parameters, "instance class": size}
    if gone := [what for what, value in wanted.items() if not value]:
        look = known.aws("rds", "describe-db-instances", "--db-instance-identifier", name)
        return [], [f"{', '.join(gone)} of {name}, without which RDS takes its defaults: {look}; {_RECORDED_BY_02}"]
    words = ["--db-instance-class", size, "--db-subnet-group-name", group]
    words += ["--vpc-security-group-ids", *walls, "--db-parameter-group-name", parameters[0]]
    for key, option in (
        ("MultiAZ", "multi-az"),
        ("DeletionProtection", "deletion-protection"),
        ("PubliclyAccessible", "publicly-accessible"),
        ("CopyTagsToSnapshot", "copy-tags-to-snapshot"),
    ):
        if isinstance(instance.get(key), bool):
            words.append(f"--{option}" if instance[key] else f"--no-{option}")
    if logs := instance.get("EnabledCloudwatchLogsExports"):
        words += ["--enable-cloudwatch-logs-exports", *map(str, logs)]
    return words, []


def _restore_point(known: Known, name: str, instance: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """The words that begin the restore: to the moment before the fault, else from the snapshot of T-2h."""
    snapshot, arrived = _snapshot(known, name), _data_arrived(known.journal)
    fault = known.fault if known.fault and (arrived is None or known.fault > arrived) else None
    if fault is not None and instance.get("BackupRetentionPeriod") != 0:
        at = fault.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        words = ["restore-db-instance-to-point-in-time", "--source-db-instance-identifier", name]
        words += ["--target-db-instance-identifier", f"{name}-restored", "--restore-time", at]
        notes = [
            f"restored is what was there at {at}, before the first breach of the first trigger that fired; what was "
            "written after it is lost",
            "RDS reaches up to about five minutes ago: when it refuses the time, wait and run the command again",
        ]
        return words, notes, []
    if snapshot:
        words = ["restore-db-instance-from-db-snapshot", "--db-instance-identifier", f"{name}-restored"]
        words += ["--db-snapshot-identifier", snapshot]
        why = "no rollback trigger fired since the data arrived, so no moment before the fault is known"
        if fault is not None:
            why = "RDS keeps no automated backups (retention 0), so it cannot go back to a moment"
        notes = [
            f"{why}: restored is the snapshot of T-2h, from before the data arrived",
            "before users are let in, run 12_data_migration and 13_data_integrity again; what was written on AWS is "
            "lost",
        ]
        return words, notes, []
    listed = known.aws("rds", "describe-db-snapshots", "--db-instance-identifier", name)
    lacking = "a moment before the fault (no rollback trigger fired since the data arrived), or the snapshot of T-2h"
    return [], [], [f"{lacking}; the snapshots that are there: {listed}"]


def _snapshot(known: Known, name: str) -> str:
    """The newest snapshot of the instance that the journal says is available; "" for none."""
    for entry in reversed(known.journal.entries("change")):
        plan, result = entry["change"]["plan"], entry["change"].get("result") or {}
        if plan["action"] == "take-snapshot" and plan["subject"] == name and result.get("status") == "available":
            return str(result.get("snapshot") or "")
    return ""


def _data_arrived(journal: Journal) -> datetime | None:
    """When the data had been brought to the target: before that moment there is nothing that is worth restoring."""
    for entry in reversed(journal.entries("change")):
        if entry["change"]["plan"]["action"] in _BRINGS_THE_DATA:
            return datetime.fromisoformat(str(entry["at"]))
    return None


def _renamed(known: Known, old: str, new: str) -> str:
    words = ("--db-instance-identifier", old, "--new-db-instance-identifier", new, "--apply-immediately")
    return known.aws("rds", "modify-db-instance", *words)


def _configuration(known: Known) -> WayBack:
    """The value before the current one, for the secret that changed last; then new tasks, which read it."""
    expect = known.migration.expect.secrets
    names = [expect.database, expect.redis, expect.openai, expect.admin_email, expect.admin_password_hash, *expect.smtp]
    found = []
    for name in dict.fromkeys(names):
        answer = known.recorded.newest("secretsmanager", "describe_secret", SecretId=name)
        stages = {s: v for v, several in _versions(answer.data if answer else {}).items() for s in several}
        if answer and {"AWSCURRENT", "AWSPREVIOUS"} <= stages.keys():
            found.append((str(answer.data.get("LastChangedDate") or ""), name, answer, stages))
    if not found:
        look = "; ".join(known.aws("secretsmanager", "describe-secret", "--secret-id", n) for n in dict.fromkeys(names))
        return WayBack(lacks=(f"an earlier value of any secret: none is on record; {look}; {_RECORDED_BY_02}",))
    found.sort(key=lambda one: one[0], reverse=True)
    changed, name, answer, stages = found[0]
    put_back = known.aws(
        "secretsmanager", "update-secret-version-stage", "--secret-id", str(answer.data.get("ARN") or name),
        "--version-stage", "AWSCURRENT", "--move-to-version-id", stages["AWSPREVIOUS"],
        "--remove-from-version-id", stages["AWSCURRENT"],
    )  # fmt: skip
    again, by_hand = known.redeploy
    notes = [f"{name} changed last{f', at {changed}' if changed else ''}, as AWS said at {answer.at}"]
    notes.append("AWS refuses the first command when the secret was changed since: then read its versions anew")
    if others := [f"{other} ({when})" if when else other for when, other, _, _ in found[1:]]:
        notes.append(f"other secrets with an earlier value, left as they are: {', '.join(others)}")
    return WayBack((put_back, *again), (*notes, *by_hand))


def _versions(data: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    versions = data.get("VersionIdsToStages")
    return versions if isinstance(versions, Mapping) else {}


def _infrastructure(known: Known) -> WayBack:
    """The listener's traffic to the other target group."""
    name, recorded = known.migration.target.load_balancer, known.recorded
    balancer = _first(recorded.newest("elbv2", "describe_load_balancers", Names=[name]), "LoadBalancers")
    arn = str(balancer.get("LoadBalancerArn") or "")
    look = known.aws("elbv2", "describe-load-balancers", "--names", name)
    if not arn:
        return WayBack(lacks=(f"the load balancer {name}: {look}; {_RECORDED_BY_02}",))
    answer = recorded.newest("elbv2", "describe_listeners", LoadBalancerArn=arn)
    listeners = [one for one in (answer.data.get("Listeners") if answer else None) or [] if one.get("Port") == 443]
    if not listeners:
        look = known.aws("elbv2", "describe-listeners", "--load-balancer-arn", arn)
        return WayBack(lacks=(f"the listener on port 443 of {name}: {look}; {_RECORDED_BY_02}",))
    now = _forwards_to(listeners[0].get("DefaultActions") or [])
    if not now:
        look = known.aws("elbv2", "describe-listeners", "--listener-arns", str(listeners[0]["ListenerArn"]))
        lacking = "one target group that the listener on port 443 forwards to by default, to be replaced by the other"
        return WayBack(lacks=(f"{lacking}: {look}",))
    others = {
        str(one["TargetGroupArn"]): str(one.get("TargetGroupName") or "")
        for answer in recorded.all("elbv2", "describe_target_groups")
        for one in answer.data.get("TargetGroups") or []
        if one.get("TargetGroupArn") not in (None, now)
    }
    wanted = known.migration.expect.alb.blue_target_group
    chosen = next((one for one, called in others.items() if called == wanted), "") or next(iter(others), "")
    if not chosen:
        look = known.aws("elbv2", "describe-target-groups")
        return WayBack(
            lacks=(f"a second target group (expect.alb.blue_target_group names none on record): {look}; "
                   f"{_RECORDED_BY_02}",),
        )  # fmt: skip
    shift = known.aws(
        "elbv2", "modify-listener", "--listener-arn", str(listeners[0]["ListenerArn"]), "--default-actions",
        f"Type=forward,TargetGroupArn={chosen}",
    )  # fmt: skip
    return WayBack(
        (known.aws("elbv2", "describe-target-health", "--target-group-arn", chosen), shift),
        (f"shift only when the first command shows healthy targets in {others[chosen]}",),
    )


def _forwards_to(actions: Sequence[Mapping[str, Any]]) -> str:
    """The one target group that a listener forwards to; "" when it does anything else, or to several."""
    if len(actions) != 1 or actions[0].get("Type") != "forward":
        return ""
    groups = (actions[0].get("ForwardConfig") or {}).get("TargetGroups") or []
    if len(groups) > 1:
        return ""
    return str(actions[0].get("TargetGroupArn") or (groups[0]["TargetGroupArn"] if groups else ""))


def _first(answer: Any, key: str) -> Mapping[str, Any]:
    rows = (answer.data.get(key) if answer else None) or [{}]
    return dict(rows[0])


def _return(known: Known) -> WayBack:
    """The name back to the source, and users' writes let in there again."""
    home = _undone_at_the_source(known.journal)
    before = _before_the_switch(known.journal)
    if before is None:
        if known.migration.expect.dns.external:
            lacking = f"what {known.migration.hostname} pointed to: its DNS lives outside Route 53"
            return WayBack(notes=home, lacks=(f"{lacking}; point it back at the provider, if it was switched",))
        return WayBack(
            notes=(f"{known.migration.hostname} still points to the source", *home), nothing_forward=not home
        )
    zone, inverse = before.get("zone"), before.get("inverse")
    if not zone or not inverse:
        name = known.migration.hostname
        look = known.aws("route53", "list-hosted-zones-by-name", "--dns-name", name)
        return WayBack(notes=home, lacks=(f"the record of {name} before the switch, or its zone: {look}",))
    batch = json.dumps(inverse, separators=(",", ":"))
    words = ("change-resource-record-sets", "--hosted-zone-id", str(zone), "--change-batch", batch)
    return WayBack((known.aws("route53", *words),), home)


def _before_the_switch(journal: Journal) -> Mapping[str, Any] | None:
    """What the name was before it was switched, alone or by a switchover; None when it was not switched."""
    if plan := journal.latest_plan("switch-dns"):
        return dict(plan.get("before") or {})
    if plan := journal.latest_plan("switch-over"):
        made = [e["change"] for e in journal.entries("change") if e["change"]["plan"]["action"] == "switch-over"]
        if made and (made[-1].get("result") or {}).get("switched") is False:
            return None
        return dict((plan.get("before") or {}).get("switch-dns") or {})
    return None


def _undone_at_the_source(journal: Journal) -> tuple[str, ...]:
    """What this migration changed at the source, the last change first, each with how it is undone."""
    undone = []
    for action in _AT_THE_SOURCE:
        if plan := journal.latest_plan(action):
            undone.append(f"at {plan['subject']}: {plan['undo']}")
    if not undone and journal.latest_plan("switch-over"):
        undone.append(
            "at the source, since the switchover: end its maintenance mode, resume its queues, and let its database "
            "take writes again (RESET default_transaction_read_only)"
        )
    return tuple(undone)


_WAYS: dict[str, Callable[[Known], WayBack]] = {
    "application": _application,
    "database": _database,
    "configuration": _configuration,
    "infrastructure": _infrastructure,
    "return": _return,
}
