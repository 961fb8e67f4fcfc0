"""The five ways back: complete commands from what was recorded, run here as a person would; or what is lacking."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_cli import command_line, run_script
from aws_recordings import Cloud, describe_migration

from cutover import runbook
from cutover.action import Plan
from cutover.aws import Account, RecordedAnswers, Response, check_requirements
from cutover.engine.outcome import Commands, StepOutcome, judge_run
from cutover.errors import ExitCode
from cutover.finding import Finding, Severity, Status
from cutover.judgement import MATRIX, Diagnosis
from cutover.procedures.decision import advice, decide, way_back
from cutover.procedures.rollback_commands import WayBack, fault_began
from cutover.step import Step

NAME, FRESH, OLD = "shadowtwin-prod", "shadowtwin-prod-restored", "shadowtwin-prod-damaged"
BREACH = datetime(2026, 11, 23, 15, 20, 0, tzinfo=UTC)
Asked = Callable[..., WayBack]


def diagnosis(row: str) -> Diagnosis:
    """What was decided."""
    return Diagnosis(MATRIX[row].issue, MATRIX[row].method, row, "5", "as seen", "nothing", "")


def fired(began: datetime = BREACH, identifier: str = "TRG-error-rate") -> Finding:
    """A rollback trigger that fired, first breached in a window that ended then."""
    data = {"began_at": began.timestamp(), "fired_at": began.timestamp() + 300}
    return Finding(identifier, "x", Status.FAIL, Severity.BLOCKER, trigger=True, data=data)


@pytest.fixture(scope="module")
def second_group(changing: Cloud) -> str:
    """The second target group of the architecture; and a secret has an earlier value."""
    account = Account(describe_migration(changing.endpoint))
    time.sleep(1.1)  # in a second of its own: it is what changed last
    account.client("secretsmanager").put_secret_value(
        SecretId="shadowtwin/openai", SecretString="sk-another-pl4nted-p4ssword"
    )
    found = account.client("elbv2").describe_target_groups(Names=["shadowtwin-tg-blue"])["TargetGroups"]
    return str(found[0]["TargetGroupArn"])


@pytest.fixture(scope="module")
def looked(changing: Cloud, second_group: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw answers of notebook 02 at the provisioned account, after a value of a secret was changed."""
    migration = describe_migration(changing.endpoint, expect={"alb": {"blue_target_group": "shadowtwin-tg-blue"}})
    folder = tmp_path_factory.mktemp("raw") / "aws"
    services = ["rds", "secrets_manager", "balancer", "listeners"]
    check_requirements(Account(migration, raw=folder), phase="prepare", source_major=17, services=services)
    return folder


@pytest.fixture
def step(changing: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Step]:
    """Notebook 90 in an empty folder: nothing is recorded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUTOVER_OUTPUTS", str(tmp_path / "outputs"))
    for name in ("CUTOVER_RUN", "CUTOVER_STEP", "CUTOVER_PLAN"):
        monkeypatch.delenv(name, raising=False)
    expect = {"alb": {"blue_target_group": "shadowtwin-tg-blue"}}
    migration = describe_migration(changing.endpoint, state=str(tmp_path / "state"), expect=expect)
    raw = migration.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return runbook.begin("90_rollback_decision", raw)


@pytest.fixture
def recorded(step: Step, looked: Path) -> Step:
    """The same after an earlier run of notebook 02."""
    earlier = step.run.path.parent / "20260101T000000Z-rehearsal-02_provisioning_checks"
    (earlier / "raw").mkdir(parents=True)
    (earlier / "raw" / "aws").symlink_to(looked)
    (earlier / "run.json").write_text(json.dumps({"params": step.run.read("run.json")["params"], "started": "2026"}))
    return step


@pytest.fixture
def run(changing: Cloud, tmp_path: Path) -> Callable[[WayBack], list[str]]:
    """Runs the commands in bash as they are printed, `aws` being a call of the emulator; what was called."""

    def go(way: WayBack) -> list[str]:
        with command_line(changing.endpoint) as (cli, function):
            done = run_script("set -e\n" + "\n".join(way.commands), function, tmp_path / "bash")
        assert done.returncode == 0, done.stderr
        return cli.made

    return go


def begun(step: Step, plan: Plan, result: dict[str, Any] | None = None) -> None:
    """Journal a change, as a step does that makes it."""
    step.journal.write("change-begun", plan=plan.to_dict(), approver="rehearsal")
    change = {"plan": plan.to_dict(), "result": result or {}, "started": "", "seconds": 1.0}
    step.journal.write("change", change=change)


def snapshot(step: Step, name: str) -> None:
    """Journal the snapshot of T-2h."""
    plan = Plan("take-snapshot", NAME, "x", before={"snapshot": ""}, after={"snapshot": "available"})
    begun(step, plan, {"snapshot": name, "status": "available", "changed": True})


def whole(way: WayBack) -> str:
    """All of it, after what no way back may hold was looked for."""
    text = "\n".join(way.lines())
    assert not re.search(r"<[^>]*>|…|None", text), text
    assert "--use-latest-restorable-time" not in text
    assert all(shlex.split(command)[:3] == ["aws", "--region", "us-east-1"] for command in way.commands)
    assert text
    assert not (way.commands and (way.lacks or way.nothing_forward))
    return text


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("application", "nothing has been deployed by this migration yet"),
        ("database", "subnet group, security groups, parameter group, instance class of shadowtwin-prod"),
        ("configuration", "an earlier value of any secret"),
        ("infrastructure", "the load balancer shadowtwin-alb"),
        ("return", "app.shadowtwin.example still points to the source"),
    ],
)
def test_without_a_record_a_way_says_what_it_lacks_and_how_to_get_it(row: str, says: str, step: Step) -> None:
    """No command with a gap in it; where nothing went forward there is nothing to take back."""
    way = way_back(step, diagnosis(row), [fired()])
    assert says in whole(way)
    assert not way.commands
    assert way.nothing_forward is (row in ("application", "return"))
    assert all("aws --region us-east-1 " in lacking for lacking in way.lacks)


def test_an_undecided_diagnosis_names_no_way(step: Step) -> None:
    """Nothing is made up."""
    assert way_back(step, replace(diagnosis("return"), row=""), []) == WayBack()


def test_the_application_goes_back_to_what_ran_before(recorded: Step, run: Callable[..., list[str]]) -> None:
    """To the revision that was recorded before the deployment; a deployment of the same image is none."""
    ecs = Account(recorded.migration).client("ecs")
    expect = recorded.migration.expect.ecs
    service = ecs.describe_services(cluster=expect.cluster, services=[expect.service])["services"][0]
    first = service["taskDefinition"]
    before, after = {"task_definition": first, "image": "a", "version": "1.0.0"}, {"image": "b"}
    begun(recorded, Plan("deploy-service", "service", "x", before=before, after=after))
    begun(recorded, Plan("deploy-service", "service", "x", before=after | {"task_definition": "z"}, after=after))
    way = way_back(recorded, diagnosis("application"), [])
    assert f"--task-definition {first}" in whole(way)
    assert run(way) == ["ecs update-service", "ecs wait services-stable"]
    unknown = Plan("deploy-service", "service", "x", before={"image": "c"}, after={"image": "d"})
    begun(recorded, unknown)
    assert "the task definition that ran before the release" in whole(way_back(recorded, diagnosis("application"), []))


@pytest.fixture
def restorable(changing: Cloud) -> Iterator[Any]:
    """The RDS client; the instance of the architecture is what it was, afterwards."""
    rds = Account(describe_migration(changing.endpoint)).client("rds")
    yield rds
    there = {one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]}
    if OLD in there:
        rds.modify_db_instance(DBInstanceIdentifier=NAME, DeletionProtection=False)
        rds.delete_db_instance(DBInstanceIdentifier=NAME, SkipFinalSnapshot=True)
        rds.modify_db_instance(DBInstanceIdentifier=OLD, NewDBInstanceIdentifier=NAME, ApplyImmediately=True)
    for one in rds.describe_db_snapshots()["DBSnapshots"]:
        if one["DBSnapshotIdentifier"].startswith(f"rds:{FRESH}"):  # the emulator's, of the minute of the restore
            rds.delete_db_snapshot(DBSnapshotIdentifier=one["DBSnapshotIdentifier"])


def likeness(instance: dict[str, Any]) -> tuple[Any, ...]:
    """What a restored instance must have from the original."""
    return (
        instance["DBSubnetGroup"]["DBSubnetGroupName"],
        [one["VpcSecurityGroupId"] for one in instance["VpcSecurityGroups"]],
        [one["DBParameterGroupName"] for one in instance["DBParameterGroups"]],
        *(instance[key] for key in ("DBInstanceClass", "MultiAZ", "DeletionProtection", "PubliclyAccessible")),
    )


def test_a_damaged_database_is_restored_to_the_moment_before_the_first_breach(
    recorded: Step, run: Callable[..., list[str]], restorable: Any
) -> None:
    """Never to the latest moment: that would restore the damage. The new instance is what the old one was."""
    snapshot(recorded, "from-before")
    triggers = [fired(BREACH + timedelta(minutes=4), "TRG-p95"), fired(), replace(fired(), status=Status.PASS)]
    way = way_back(recorded, diagnosis("database"), triggers)
    assert "--restore-time 2026-11-23T15:19:00Z" in whole(way)
    before = restorable.describe_db_instances(DBInstanceIdentifier=NAME)["DBInstances"][0]
    made = run(way)
    assert made[0] == "rds restore-db-instance-to-point-in-time"
    assert made[-1] == "ecs update-service"
    now = {one["DBInstanceIdentifier"]: one for one in restorable.describe_db_instances()["DBInstances"]}
    assert likeness(now[NAME]) == likeness(before)
    assert OLD in now
    assert FRESH not in now


def test_without_a_trigger_the_snapshot_of_before_is_restored(
    recorded: Step, run: Callable[..., list[str]], restorable: Any
) -> None:
    """Data that differ fire no trigger; what then has to follow is said."""
    restorable.create_db_snapshot(DBInstanceIdentifier=NAME, DBSnapshotIdentifier="shadowtwin-pre-migration-1")
    snapshot(recorded, "shadowtwin-pre-migration-1")
    way = way_back(recorded, diagnosis("database"), [Finding("INT-rows", "Rows", Status.FAIL, Severity.BLOCKER)])
    assert "--db-snapshot-identifier shadowtwin-pre-migration-1" in whole(way)
    assert "run 12_data_migration and 13_data_integrity again" in whole(way)
    assert run(way)[0] == "rds restore-db-instance-from-db-snapshot"


def test_the_restore_never_goes_to_a_moment_that_holds_nothing(recorded: Step, looked: Path) -> None:
    """A trigger of a load test, before the data arrived; RDS without automated backups; and no snapshot either."""
    begun(recorded, Plan("transfer", "a → b", "x"))
    early = fired(datetime.now(UTC) - timedelta(days=7))
    lacking = way_back(recorded, diagnosis("database"), [early])
    assert "a moment before the fault (no rollback trigger fired since the data arrived), or the snapshot" in whole(
        lacking
    )
    assert f"describe-db-snapshots --db-instance-identifier {NAME}" in whole(lacking)
    snapshot(recorded, "from-before")
    assert "from-before" in way_back(recorded, diagnosis("database"), [early]).commands[0]
    later = fired(datetime.now(UTC) + timedelta(minutes=9))
    assert "--restore-time" in way_back(recorded, diagnosis("database"), [later]).commands[0]
    path = next(looked.glob("rds.describe_db_instances.*.json"))
    answer = json.loads(path.read_text())
    answer["data"]["DBInstances"][0]["BackupRetentionPeriod"] = 0
    (recorded.run.raw("aws") / path.name).write_text(json.dumps(answer | {"at": "2999-01-01T00:00:00+00:00"}))
    unkept = way_back(recorded, diagnosis("database"), [later])
    assert "from-before" in unkept.commands[0]
    assert "RDS keeps no automated backups" in whole(unkept)


def test_the_secret_that_changed_last_gets_its_earlier_value_back(
    recorded: Step, run: Callable[..., list[str]]
) -> None:
    """Its ARN and both version ids are from the record; other secrets stay as they are."""
    secrets = Account(recorded.migration).client("secretsmanager")
    earlier = secrets.describe_secret(SecretId="shadowtwin/openai")["VersionIdsToStages"]
    previous = next(version for version, stages in earlier.items() if "AWSPREVIOUS" in stages)
    way = way_back(recorded, diagnosis("configuration"), [])
    assert "shadowtwin/openai changed last, at 20" in whole(way)
    assert run(way) == ["secretsmanager update-secret-version-stage", "ecs update-service"]
    now = secrets.describe_secret(SecretId="shadowtwin/openai")["VersionIdsToStages"]
    assert "AWSCURRENT" in now[previous]


def test_traffic_goes_to_the_other_target_group(
    recorded: Step, run: Callable[..., list[str]], second_group: str
) -> None:
    """By the listener's and the group's recorded ARNs; its health is looked at first."""
    way = way_back(recorded, diagnosis("infrastructure"), [])
    assert second_group in whole(way)
    elbv2 = Account(recorded.migration).client("elbv2")
    listener = shlex.split(way.commands[1])[shlex.split(way.commands[1]).index("--listener-arn") + 1]
    before = elbv2.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"]
    assert run(way) == ["elbv2 describe-target-health", "elbv2 modify-listener"]
    now = elbv2.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"]
    elbv2.modify_listener(ListenerArn=listener, DefaultActions=before)
    assert [action["TargetGroupArn"] for action in now] == [second_group]


@pytest.mark.parametrize(
    ("operation", "change", "says"),
    [
        ("describe_listeners", {"Listeners": []}, "the listener on port 443 of shadowtwin-alb"),
        ("describe_listeners", {"Listeners": [{"Port": 443, "ListenerArn": "arn:l", "DefaultActions": [
            {"Type": "authenticate-oidc"}, {"Type": "forward", "TargetGroupArn": "arn:g"}]}]}, "one target group that"),
        ("describe_target_groups", {"TargetGroups": []}, "a second target group"),
    ],
)  # fmt: skip
def test_traffic_without_a_part_of_the_record_is_not_shifted(
    operation: str, change: dict[str, Any], says: str, step: Step, looked: Path
) -> None:
    """A listener that does more than forward, or one group only, is for a person."""
    folder = step.run.raw("aws")
    for path in looked.glob("elbv2.*.json"):
        answer = json.loads(path.read_text())
        if path.name.startswith(f"elbv2.{operation}."):
            answer["data"] |= change
        (folder / path.name).write_text(json.dumps(answer))
    assert says in whole(way_back(step, diagnosis("infrastructure"), []))


def test_the_name_goes_back_by_the_recorded_batch(recorded: Step, run: Callable[..., list[str]]) -> None:
    """And what refuses users at the source is named, the last change first, each with how it is undone."""
    route53 = Account(recorded.migration).client("route53")
    zone = route53.list_hosted_zones()["HostedZones"][0]["Id"].rsplit("/", 1)[-1]
    old = {"Name": "it's.shadowtwin.example.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "replit."}]}
    inverse = {"Comment": "way back", "Changes": [{"Action": "UPSERT", "ResourceRecordSet": old}]}
    on, reset = "PUT /maintenance with enabled=false", 'ALTER DATABASE "app" RESET default_transaction_read_only'
    begun(recorded, Plan("maintenance-on", "https://replit", "x", before={"on": False}, after={"on": True}, undo=on))
    begun(recorded, Plan("freeze-database", "app@replit", "x", before={"r": None}, after={"r": "on"}, undo=reset))
    frozen = way_back(recorded, diagnosis("return"), [])
    assert frozen.notes[1:] == (f"at app@replit: {reset}", f"at https://replit: {on}")
    before = {"zone": zone, "inverse": inverse}
    begun(recorded, Plan("switch-dns", "app", "x", before=before, after={"records": []}))
    way = way_back(recorded, diagnosis("return"), [])
    whole(way)
    assert way.notes == (f"at app@replit: {reset}", f"at https://replit: {on}")
    assert run(way) == ["route53 change-resource-record-sets"]
    rows = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert [row["ResourceRecords"] for row in rows if row["Type"] == "CNAME" and "it" in row["Name"]] == [
        [{"Value": "replit."}]
    ]


@pytest.mark.parametrize(("switched", "goes"), [(True, True), (False, False)])
def test_a_switchover_that_was_rolled_back_by_itself_left_the_name(switched: bool, goes: bool, step: Step) -> None:
    """With a replicated copy the name is a part of the switchover."""
    before = {"switch-dns": {"zone": "Z1", "inverse": {"Changes": []}}}
    begun(step, Plan("switch-over", "a → b", "x", before=before, after={"switch-dns": {}}), {"switched": switched})
    way = way_back(step, diagnosis("return"), [])
    assert bool(way.commands) is goes
    assert ("--hosted-zone-id Z1" in whole(way)) is goes


def test_what_another_stage_recorded_is_not_used(recorded: Step) -> None:
    """Another account, region or emulator: the same names, other ids."""
    earlier = next(p for p in recorded.run.path.parent.iterdir() if p != recorded.run.path)
    told = json.loads((earlier / "run.json").read_text())
    told["params"]["aws_endpoint"] = "http://127.0.0.1:9"
    (earlier / "run.json").write_text(json.dumps(told))
    assert "subnet group" in whole(way_back(recorded, diagnosis("database"), [fired()]))


def test_the_newest_answer_counts_and_a_failed_or_torn_one_does_not(tmp_path: Path) -> None:
    """Also across runs."""

    def keep(folder: str, number: int, at: str, ok: bool = True) -> None:
        raw = {"service": "rds", "operation": "describe_db_instances", "arguments": {"DBInstanceIdentifier": "x"}}
        raw |= {"region": None, "at": at, "request_id": "", "ok": ok, "problem": None, "error_code": "", "message": ""}
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / f"rds.describe_db_instances.{number:012x}.json"
        path.write_text(json.dumps(raw | {"data": {"n": number}}))

    keep("a", 1, "2026-01-02T00:00:00+00:00")
    keep("b", 2, "2026-01-01T00:00:00+00:00")
    keep("b", 3, "2026-01-03T00:00:00+00:00", ok=False)
    (tmp_path / "b" / "rds.describe_db_instances.ffffffffffff.json").write_text('{"service": "rds"')
    known = RecordedAnswers([tmp_path / "b", tmp_path / "a", tmp_path / "nowhere"])
    assert [answer.data["n"] for answer in known.all("rds", "describe_db_instances")] == [1, 2]
    newest = known.newest("rds", "describe_db_instances", DBInstanceIdentifier="x")
    assert isinstance(newest, Response)
    assert known.newest("rds", "describe_db_instances", DBInstanceIdentifier="y") is None


@pytest.mark.parametrize(
    ("identifier", "earlier"),
    [
        ("TRG-error-rate", 60),
        ("TRG-p95:GET /", 60),
        ("TRG-stalled", 60),
        ("TRG-critical-flows", 60),
        ("TRG-database", 30),
    ],
)
def test_a_breach_began_before_its_window_ended(identifier: str, earlier: int, step: Step) -> None:
    """By one window, or by the time that probes must fail; without a time there is no moment."""
    rules = step.migration.triggers
    assert fault_began([fired(identifier=identifier)], rules) == BREACH - timedelta(seconds=earlier)
    assert fault_began([replace(fired(), data={})], rules) is None
    assert fault_began([replace(fired(), status=Status.UNKNOWN), replace(fired(), trigger=False)], rules) is None


def test_the_decision_keeps_the_way_as_evidence_and_shows_it(recorded: Step) -> None:
    """Commands, notes and what is lacking, each in its own line."""
    made = decide(recorded, [fired(), Finding("INT-rows", "Rows", Status.FAIL, Severity.BLOCKER)])
    kept = recorded.run.read("raw/90_rollback_decision/diagnosis.json")
    assert kept["row"] == made.row
    assert kept["next"] == way_back(recorded, made, [fired()]).lines()
    ended = StepOutcome("16_validation", "gate-closed", "ROLLBACK", ExitCode.CLOSED, "it hangs")
    said = judge_run([ended], recorded.run, Commands("day"), plan=False)["next"]
    assert [line for line in said if line in kept["next"]] == kept["next"]
    table = advice(recorded, diagnosis("database"))
    assert {"way back", "lacking", "takes about"} <= set(table.index)


def test_where_nothing_has_been_deployed_there_is_no_way_back_to_decide_on(step: Step) -> None:
    """The run's next steps say so; that is a field of the way, not how its sentence begins."""
    way = way_back(step, diagnosis("application"), [])
    kept = {"method": "x", "minutes": "5", "lost": "y", "way_back": asdict(way), "next": way.lines()}
    step.run.write("raw/90_rollback_decision/diagnosis.json", kept)
    ended = StepOutcome("16_validation", "gate-closed", "ROLLBACK", ExitCode.CLOSED, "it hangs")
    said = judge_run([ended], step.run, Commands("day"), plan=False)["next"]
    assert said[0] == way.notes[0]
    assert not any("decide on the way back" in line for line in said)
