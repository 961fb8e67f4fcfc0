"""The remedy script: run by bash against an empty account, twice, and the account checked again each time."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alike import answers
from aws_cli import command_line, run_script
from aws_recordings import Cloud, Recorded, describe_migration

from cutover.aws import Account, remedy
from cutover.aws.blueprint import BLUEPRINT, Site, ordered
from cutover.aws.remedy import Script, runnable
from cutover.aws.requirements import Phase, Stack, check_stack
from cutover.finding import Finding, Severity, Status
from cutover.rehearsal.cloud.provision.plan import Hands, Plan, manifest

INPUTS = {
    "REDIS_TOKEN_FILE": "a-token-of-forty-characters-0123456789-01",
    "DATABASE_LOGIN_FILE": "shadowtwin_app:not%2Fa%2Fsecret",
    "OPENAI_KEY_FILE": "sk-nobody",
    "ADMIN_EMAIL_FILE": "admin@shadowtwin.example",
    "ADMIN_HASH_FILE": "$2b$12$" + "a" * 53,
    "SMTP_FILE": json.dumps(dict.fromkeys(("SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_PASS", "SMTP_FROM"), "x")),
}
OPEN = {Status.FAIL, Status.MISSING}


@dataclass
class Round:
    """One look, the script for it, and how it ended."""

    before: dict[str, Finding]
    script: Script
    ran: subprocess.CompletedProcess[str]
    after: dict[str, Finding]


def look(cloud: Cloud) -> tuple[dict[str, Finding], Stack]:
    """Every requirement, and what it was judged on."""
    migration = describe_migration(cloud.endpoint, expect=Plan().expect)
    stack = Stack(Account(migration), migration, datetime.now(UTC), Phase.PREPARE, 17)
    return {f.id: f for f in check_stack(stack)}, stack


def push_image(cloud: Cloud) -> None:
    """What the pipeline does."""
    Hands(cloud.endpoint, Plan()).client("ecr").put_image(
        repositoryName="shadowtwin", imageManifest=manifest("1.1.0"), imageTag="1.1.0"
    )


def make_function(cloud: Cloud) -> str:
    """A function that could rotate."""
    hands = Hands(cloud.endpoint, Plan())
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    hands.client("iam").create_role(
        RoleName="rotate", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("rotate.py", "def handler(event, context): return event")
    made = hands.client("lambda").create_function(
        FunctionName="rotate", Runtime="python3.12", Role="arn:aws:iam::123456789012:role/rotate",
        Handler="rotate.handler", Code={"ZipFile": file.getvalue()},
    )  # fmt: skip
    return str(made["FunctionArn"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The account that the scripts build."""
    started = Cloud(tmp_path_factory.mktemp("remedy") / "empty", "--empty")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def fixed(built: Cloud, tmp_path_factory: pytest.TempPathFactory) -> list[Round]:
    """An empty account, fixed as a person would: the script, the image pushed, and a script for what is left."""
    folder = tmp_path_factory.mktemp("scripts")
    given = {"SOURCE_NAME": "replit.shadowtwin.example", "ALERT_PROTOCOL": "sqs",
             "ALERT_ENDPOINT": "arn:aws:sqs:us-east-1:123456789012:shadowtwin-alerts"}  # fmt: skip
    for name, value in INPUTS.items():
        (folder / name).write_text(value)
        given[name] = str(folder / name)
    given["ROTATION_LAMBDA"] = make_function(built)
    rounds: list[Round] = []
    with command_line(built.endpoint) as (_, function):
        for number in range(2):
            before, stack = look(built)
            script = remedy.script(before.values(), stack)
            ran = run_script(script.text, function, folder / f"round-{number}", **given)
            rounds.append(Round(before, script, ran, look(built)[0]))
            if number == 0:
                push_image(built)
    return rounds


def test_the_script_is_bash(fixed: list[Round], tmp_path: Path) -> None:
    """`bash -n` reads both, and both stop at the first error."""
    for number, one in enumerate(fixed):
        file = tmp_path / f"{number}.sh"
        file.write_text(one.script.text)
        assert subprocess.run(["bash", "-n", str(file)], check=False).returncode == 0
        assert "set -eu" in one.script.text


def test_the_first_script_stops_where_the_image_is_wanted(fixed: list[Round]) -> None:
    """Everything before it is made; the message says how the image is pushed."""
    assert fixed[0].ran.returncode == 1
    assert "docker push" in fixed[0].ran.stderr
    assert fixed[0].after["RDS-01"].status is Status.PASS


def test_an_empty_account_becomes_good(fixed: list[Round]) -> None:
    """Every row that the scripts say they fix is PASS afterwards; no blocker and no high row is left open."""
    last = fixed[-1]
    assert last.ran.returncode in (0, 3), last.ran.stderr
    claimed = {i for one in fixed for i in (*one.script.fixes, *one.script.if_given)}
    assert not {i: last.after[i].sentence() for i in claimed if last.after[i].status is not Status.PASS}
    assert not [f.id for f in last.after.values() if f.status in OPEN and f.severity.closes]


def test_nearly_every_missing_row_is_covered(fixed: list[Round]) -> None:
    """Of what an empty account lacks, at most a tenth is left for a person, and that is named."""
    first = fixed[0]
    lacking = {i for i, f in first.before.items() if f.status in OPEN}
    covered = set(first.script.fixes) | set(first.script.if_given)
    assert len(covered) >= 0.9 * len(lacking)
    assert lacking - covered == set(first.script.by_hand)


def test_the_scripts_and_the_stage_build_the_same_account(
    fixed: list[Round], built: Cloud, cloud: Cloud, tmp_path: Path
) -> None:
    """Every answer that a requirement asks for, but for ids, times, addresses and what only a rehearsal has."""
    migration = describe_migration(built.endpoint, expect=Plan().expect)
    review = Stack(Account(migration), migration, datetime.now(UTC), Phase.REVIEW, 17)
    late = [f for f in check_stack(review, services=["review"]) if f.id in ("POST-11", "POST-12")]
    with command_line(built.endpoint) as (_, function):
        ran = run_script(remedy.script(late, review).text, function, tmp_path / "late")
    assert ran.returncode == 0, ran.stderr
    found = []
    for one, folder in ((built, tmp_path / "script"), (cloud, tmp_path / "stage")):
        migration = describe_migration(one.endpoint, expect=Plan().expect)
        check_stack(Stack(Account(migration, raw=folder), migration, datetime.now(UTC), Phase.REVIEW, 17))
        found.append(answers(folder))
    script, stage = found
    assert len(fixed) == 2
    assert sorted(script) == sorted(stage)
    assert {call: script[call] for call in script if script[call] != stage[call]} == {}
    assert len(script) > 90
    (instance,) = [text for call, text in script.items() if "describe_db_instances" in call and "-prod" in call]
    assert '"MaxAllocatedStorage": 400' in instance


def test_the_second_script_knows_what_is_there(fixed: list[Round]) -> None:
    """Real ids instead of variables; nothing is made twice."""
    text = fixed[1].script.text
    assert "create-vpc" not in text
    assert "create-db-instance" not in text
    assert re.search(r"subnet-[0-9a-f]{8}", text)


def test_no_secret_stands_in_a_script(fixed: list[Round]) -> None:
    """Files are named, not their contents."""
    for one in fixed:
        for secret in ("a-token-of-forty", "not%2Fa", "sk-nobody", "$2b$12$"):
            assert secret not in one.script.text + one.ran.stdout + one.ran.stderr


def test_what_only_a_person_knows_is_asked_for_first(fixed: list[Round], tmp_path: Path) -> None:
    """Without the inputs the script ends before the first change."""
    with command_line("http://127.0.0.1:9") as (cli, function):
        identity = 'aws() { echo 123456789012; echo "$2" >> "$HOME/called"; }; export -f aws'
        ran = run_script(fixed[0].script.text, identity, tmp_path / "none")
    assert not cli.made
    assert function
    assert ran.returncode != 0
    assert "REDIS_TOKEN_FILE" in ran.stderr
    assert (tmp_path / "none" / "called").read_text().split() == ["get-caller-identity"]


def test_a_wrong_account_is_not_touched(fixed: list[Round], tmp_path: Path) -> None:
    """The first call is STS."""
    other = 'aws() { echo 999999999999; echo "$2" >> "$HOME/called"; }; export -f aws'
    ran = run_script(fixed[0].script.text, other, tmp_path / "other")
    assert ran.returncode == 2
    assert "not the credentials" in ran.stderr
    assert (tmp_path / "other" / "called").read_text().split() == ["get-caller-identity"]


def test_every_step_comes_after_what_it_needs(fixed: list[Round]) -> None:
    """For the whole, and for each step alone."""
    site = Site.of(describe_migration("http://127.0.0.1:9"))
    for wanted in [set(BLUEPRINT), *({n} for n in BLUEPRINT)]:
        names = [r.name for r in ordered(wanted, site)]
        for name in names:
            before, needs = names[: names.index(name)], BLUEPRINT[name].needs
            missing = [n for n in needs if BLUEPRINT[n].applies(site) and n not in before]
            assert not missing, (name, missing)


def test_a_missing_thing_carries_the_commands_that_make_it(fixed: list[Round]) -> None:
    """In the finding itself, with what comes first; its companions point to it."""
    first = fixed[0].before
    filled = {f.id: f for f in remedy.fill(first.values(), look_offline())}
    assert "aws rds create-db-instance" in filled["RDS-01"].remedy
    assert "# first: " in filled["RDS-01"].remedy
    assert filled["RDS-11"].remedy.startswith("RDS-01 makes the PostgreSQL instance")


def look_offline() -> Stack:
    """A stack over an account that answers nothing."""
    migration = describe_migration("http://127.0.0.1:9")

    class Nothing(Account):
        def call(self, service: str, operation: str, /, **arguments: object):  # type: ignore[no-untyped-def, override]
            from cutover.aws import Call, Problem, Response

            return Response(Call(service, operation, arguments), False, problem=Problem.NOT_FOUND)

    return Stack(Nothing(migration), migration, datetime.now(UTC), Phase.PREPARE, 17)


def test_what_is_set_wrong_is_set_right_by_the_script(fixed: list[Round], built: Cloud, tmp_path: Path) -> None:
    """Settings of ten services, changed by hand: the script names real ids and changes each back."""
    assert fixed
    client = Hands(built.endpoint, Plan()).client
    elb = client("elbv2")
    group = elb.describe_target_groups(Names=["shadowtwin-tg"])["TargetGroups"][0]["TargetGroupArn"]
    balancer = elb.describe_load_balancers(Names=["shadowtwin-alb"])["LoadBalancers"][0]["LoadBalancerArn"]
    target = {"ServiceNamespace": "ecs", "ResourceId": "service/shadowtwin-cluster/shadowtwin-service",
              "ScalableDimension": "ecs:service:DesiredCount"}  # fmt: skip
    client("rds").modify_db_instance(DBInstanceIdentifier="shadowtwin-prod", DeletionProtection=False,
                                     ApplyImmediately=True)  # fmt: skip
    client("s3").delete_bucket_lifecycle(Bucket="shadowtwin-reports")
    client("s3").put_bucket_versioning(Bucket="shadowtwin-reports", VersioningConfiguration={"Status": "Suspended"})
    client("logs").put_retention_policy(logGroupName="/ecs/shadowtwin", retentionInDays=7)
    client("application-autoscaling").register_scalable_target(**target, MinCapacity=2, MaxCapacity=4)
    client("ecr").put_image_tag_mutability(repositoryName="shadowtwin", imageTagMutability="MUTABLE")
    client("cloudwatch").put_metric_alarm(
        AlarmName="shadowtwin-high-cpu", Namespace="AWS/ECS", MetricName="CPUUtilization", Statistic="Average",
        Period=300, EvaluationPeriods=2, Threshold=99, ComparisonOperator="GreaterThanThreshold")  # fmt: skip
    elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/")
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer, Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}]
    )
    wrong = {"RDS-13", "S3-04", "S3-06", "LOG-02", "ASG-01", "ECR-04", "ALM-01", "ALM-02", "ALM-03", "ALM-09", "TG-03",
             "ALB-07"}  # fmt: skip
    before, stack = look(built)
    assert {i for i in wrong if before[i].status not in OPEN} == set()
    script = remedy.script([before[i] for i in before if i in wrong], stack)
    assert (set(script.fixes), script.by_hand) == (wrong, {})
    with command_line(built.endpoint) as (_, function):
        ran = run_script(script.text, function, tmp_path / "set")
    assert ran.returncode == 0, ran.stderr
    after, _ = look(built)
    assert {i: after[i].sentence() for i in wrong if after[i].status is not Status.PASS} == {}


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("aws rds modify-db-instance --db-instance-identifier a --multi-az", 1),
        ("aws ec2 create-flow-logs --resource-ids vpc-1 …", 0),
        ("aws iam put-role-policy --policy-document file://policy.json", 0),
        ("aws ecs describe-tasks --cluster a", 0),
        ("aws ec2 create-nat-gateway --subnet-id <public subnet>", 0),
        ("create it again with --vpc-id vpc-1", 0),
        ("aws logs put-retention-policy --log-group-name 'a", 0),
        ("aws a b-c --d e   # why\naws f g-h", 2),
    ],
)
def test_a_remedy_with_something_to_fill_in_is_not_run(text: str, commands: int) -> None:
    """Half a remedy would be worse than none."""
    assert len(runnable(text)) == commands


def test_what_is_there_but_wrong_is_mended_with_its_own_command(tmp_path: Path) -> None:
    """A command with real ids is in the script; what has none is named at the end, and the script ends loudly."""
    stack = look_offline()
    wrong = Finding("RDS-09", "Multi-AZ is enabled", Status.FAIL, Severity.BLOCKER,
                    remedy="aws rds modify-db-instance --db-instance-identifier x --multi-az")  # fmt: skip
    vague = Finding("XYZ-01", "It is good", Status.FAIL, Severity.LOW, remedy="rebuild the $image `now`")
    fine = Finding("XYZ-02", "It is better", Status.WAIVED, Severity.HIGH, remedy="aws a b")
    present = Stack(stack.reader, stack.migration, stack.now, stack.phase, 17)
    script = remedy.script([vague, fine, wrong], present)
    assert script.by_hand == {"XYZ-01": "rebuild the $image `now`"}
    identity = "aws() { echo 123456789012; }; export -f aws"
    ran = run_script(remedy.script([vague], present).text, identity, tmp_path)
    assert ran.returncode == 3
    assert "XYZ-01: rebuild the ’image ’now’" in ran.stderr


def test_a_run_is_mended_from_its_own_folder(recorded: Recorded, tmp_path: Path) -> None:
    """`cutover remedy RUN`: its findings, its recorded responses, its parameters; nothing else is asked."""
    from cutover.errors import UsageError
    from cutover.procedures.remedy import remedy_of

    folder = tmp_path / "20261123T100000Z-rehearsal-02"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "aws").symlink_to(recorded.folder)
    params = json.loads(recorded.migration.model_dump_json(by_alias=True))
    about = {"id": folder.name, "params": params, "started": recorded.now.isoformat()}
    (folder / "run.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match="looked at no requirement"):
        remedy_of(folder.name, tmp_path)
    command = "aws rds modify-db-instance --db-instance-identifier shadowtwin-prod --deletion-protection"
    wrong = Finding("RDS-13", "Deletion protection is on", Status.FAIL, Severity.BLOCKER, remedy=command)
    gone = Finding("DSH-01", "The dashboard is there", Status.MISSING, Severity.MEDIUM)
    lines = [json.dumps(f.to_dict()) for f in (wrong, gone)]
    (folder / "findings.jsonl").write_text("\n".join([*lines, '{"torn']))
    script = remedy_of(folder.name, tmp_path)
    assert command in script.text
    assert folder.name in script.text
    assert "create-vpc" not in script.text
