"""Changes on AWS: planned, applied, read back, done once, and rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aws_recordings import Cloud, describe_migration

from cutover.action import Action, Change, Plan
from cutover.aws import Account, DeployService, LowerTtl, SwitchDns, TakeSnapshot
from cutover.errors import ActionRefused, AwsError
from cutover.expectations import Expectations
from cutover.finding import Finding, Status

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/shadowtwin:{}"


def carry_out(action: Action) -> tuple[Change, dict[str, Finding]]:
    """Plan, apply, verify."""
    plan = action.plan()
    change = Change(plan, action.apply(plan), "", 0.0)
    return change, {f.id: f for f in action.verify(change)}


def statuses(findings: dict[str, Finding]) -> set[Status]:
    """The statuses among findings."""
    return {f.status for f in findings.values()}


def record(account: Account) -> dict[str, Any]:
    """The public name's record, as Route 53 lists it."""
    route53 = account.client("route53")
    zone = route53.list_hosted_zones()["HostedZones"][0]["Id"]
    rows = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return next(r for r in rows if r["Name"] == "app.shadowtwin.example." and r["Type"] in ("A", "CNAME"))


@pytest.fixture
def at_home(changing_account: Account) -> Iterator[Account]:
    """The public name points on the source with a TTL of 300 s, before and after."""
    carry_out(SwitchDns(changing_account, "replit.shadowtwin.example", ttl_s=300))
    yield changing_account
    carry_out(SwitchDns(changing_account, "replit.shadowtwin.example", ttl_s=300))


def test_every_action_keeps_the_protocol(account: Account) -> None:
    """The runbook knows them by it alone."""
    for action in (
        DeployService(account, IMAGE.format("1.1.0"), "1.1.0"),
        SwitchDns(account),
        LowerTtl(account, 60),
        TakeSnapshot(account, "x"),
    ):
        assert isinstance(action, Action)
        assert action.name == action.plan().action


def test_planning_changes_nothing_and_twice_is_the_same_plan(cloud: Cloud) -> None:
    """An approval is bound to the plan's hash."""
    account = Account(describe_migration(cloud.endpoint))
    journal = cloud.state / "calls.jsonl"
    before = len(journal.read_text().splitlines())
    first = DeployService(account, IMAGE.format("1.1.0"), "1.1.0").plan()
    second = DeployService(account, IMAGE.format("1.1.0"), "1.1.0").plan()
    assert first.hash == second.hash
    assert first.hash != DeployService(account, IMAGE.format("1.2.0"), "1.2.0").plan().hash
    operations = [json.loads(line)["operation"] for line in journal.read_text().splitlines()[before:]]
    assert all(o.startswith(("Describe", "List", "Get")) for o in operations)


def test_a_release_is_deployed_verified_and_taken_back(changing_account: Account) -> None:
    """A new revision, a complete roll-out under the deployment's own id, and back to the recorded revision."""
    action = DeployService(changing_account, IMAGE.format("1.1.0"), "1.1.0", timeout_s=60)
    change, findings = carry_out(action)
    assert change.plan.before["version"] == "1.0.0"
    assert [r["call"] for r in change.plan.requests] == ["ecs.register_task_definition", "ecs.update_service"]
    assert set(findings) == {"DEP-01", "DEP-02", "DEP-03", "DEP-04"}
    assert statuses(findings) == {Status.PASS}
    again, more = carry_out(action)
    assert again.plan.empty
    assert again.result["changed"] is False
    assert statuses(more) == {Status.PASS}
    assert action.undo(change)["task_definition"] == change.plan.before["task_definition"]
    assert action.undo(change)["changed"] is False
    assert {f.status for f in action.verify(change)} == {Status.FAIL, Status.PASS}


def test_a_revision_that_is_registered_already_is_used_again(changing_account: Account) -> None:
    """A run that was interrupted after registering leaves no second revision."""
    action = DeployService(changing_account, IMAGE.format("1.1.0"), "1.1.0", timeout_s=60)
    first, _ = carry_out(action)
    action.undo(first)
    plan = action.plan()
    assert [r["call"] for r in plan.requests] == ["ecs.update_service"]
    assert plan.after["task_definition"] == first.result["task_definition"]


def test_a_release_that_does_not_start_is_found_out(changing_account: Account) -> None:
    """The circuit breaker rolls back and the service is stable again: on the old release, which is a failure."""
    action = DeployService(changing_account, IMAGE.format("9.9.9"), "9.9.9", timeout_s=60)
    change, findings = carry_out(action)
    assert not change.plan.empty
    assert findings["DEP-01"].status is Status.FAIL or findings["DEP-02"].status is Status.FAIL
    assert findings["DEP-03"].remedy or findings["DEP-02"].remedy
    action.undo(change)


def test_another_deployment_of_the_same_revision_is_not_ours(changing_account: Account) -> None:
    """It is judged by the deployment's id: somebody's forced deployment in between is found out."""
    action = DeployService(changing_account, IMAGE.format("1.1.0"), "1.1.0", timeout_s=60)
    change, findings = carry_out(action)
    assert findings["DEP-01"].status is Status.PASS
    changing_account.client("ecs").update_service(
        cluster="shadowtwin-cluster", service="shadowtwin-service", forceNewDeployment=True
    )
    assert {f.id: f.status for f in action.verify(change)}["DEP-01"] is Status.FAIL
    action.undo(change)


def test_a_release_whose_deployer_was_killed_is_judged_by_what_runs(changing_account: Account) -> None:
    """Nothing is on record of it, or an older release alone: what runs is found by its task definition."""
    action = DeployService(changing_account, IMAGE.format("1.1.0"), "1.1.0", timeout_s=60)
    change, _ = carry_out(action)
    plan = action.plan()
    assert plan.empty
    for recorded in ({}, {"deployment": "ecs-svc/1", "task_definition": "shadowtwin:1"}):
        assert {f.status for f in action.verify(Change(plan, recorded, "", 0.0))} == {Status.PASS}
    action.undo(change)
    assert Status.FAIL in {f.status for f in action.verify(Change(plan, {}, "", 0.0))}


def test_a_plan_that_the_world_has_left_behind_is_refused(changing_account: Account) -> None:
    """The approval was given for another change."""
    action = DeployService(changing_account, IMAGE.format("1.1.0"), "1.1.0", timeout_s=60)
    plan = action.plan()
    stale = Plan(
        plan.action, plan.subject, plan.summary, plan.requests, {**plan.before, "task_definition": "x:1"}, plan.after
    )
    with pytest.raises(ActionRefused, match="not x:1"):
        action.apply(stale)


def test_a_plan_to_deploy_holds_no_secret(changing_account: Account, tmp_path: Path) -> None:
    """A password that stands in the environment goes on working, and is never written down."""
    account = Account(changing_account.migration, raw=tmp_path)
    ecs = account.client("ecs")
    service = ecs.describe_services(cluster="shadowtwin-cluster", services=["shadowtwin-service"])["services"][0]
    before = service["taskDefinition"]
    definition = ecs.describe_task_definition(taskDefinition=before)["taskDefinition"]
    container = definition["containerDefinitions"][0]
    container["environment"] = [*container["environment"], {"name": "LEGACY_PASSWORD", "value": "cl3ar-text-pw"}]
    keys = ("family", "networkMode", "containerDefinitions", "cpu", "memory", "executionRoleArn", "taskRoleArn")
    registered = ecs.register_task_definition(**{k: definition[k] for k in keys}, requiresCompatibilities=["FARGATE"])[
        "taskDefinition"
    ]["taskDefinitionArn"]
    ecs.update_service(cluster="shadowtwin-cluster", service="shadowtwin-service", taskDefinition=registered)
    action = DeployService(account, IMAGE.format("1.1.0"), "1.1.0", timeout_s=60)
    change, _ = carry_out(action)
    written = "".join(p.read_text() for p in tmp_path.iterdir()) + json.dumps(change.to_dict())
    assert "LEGACY_PASSWORD" in written
    assert "cl3ar-text-pw" not in written
    running = ecs.describe_task_definition(taskDefinition=change.result["task_definition"])["taskDefinition"]
    variables = {v["name"]: v["value"] for v in running["containerDefinitions"][0]["environment"]}
    assert variables["LEGACY_PASSWORD"] == "cl3ar-text-pw"
    ecs.update_service(cluster="shadowtwin-cluster", service="shadowtwin-service", taskDefinition=before)


def test_a_container_of_another_name_is_refused(changing_account: Account) -> None:
    """Deploying into a side-car would look like success."""
    expect = Expectations.model_validate({"ecs": {"container": "other"}})
    account = Account(changing_account.migration.model_copy(update={"expect": expect}))
    with pytest.raises(ActionRefused, match="other"):
        DeployService(account, IMAGE.format("1.1.0"), "1.1.0").plan()


def test_the_name_is_switched_to_the_balancer_and_back(at_home: Account) -> None:
    """One batch: the CNAME goes, the alias comes; the inverse is recorded before, and puts back what was."""
    action = SwitchDns(at_home)
    change, findings = carry_out(action)
    batch = change.plan.requests[0]["arguments"]["ChangeBatch"]["Changes"]
    assert [(c["Action"], c["ResourceRecordSet"]["Type"]) for c in batch] == [("DELETE", "CNAME"), ("UPSERT", "A")]
    assert set(findings) == {"CUT-01", "CUT-02"}
    assert statuses(findings) == {Status.PASS}
    assert record(at_home)["AliasTarget"]["DNSName"].startswith("shadowtwin-alb")
    assert change.result["inverse"]["Changes"][-1]["ResourceRecordSet"]["Type"] == "CNAME"
    again, _ = carry_out(action)
    assert again.plan.empty
    assert action.undo(change)["changed"] is True
    assert record(at_home)["ResourceRecords"] == [{"Value": "replit.shadowtwin.example"}]
    assert record(at_home)["TTL"] == 300
    assert action.undo(change)["changed"] is False
    assert {f.id: f.status for f in action.verify(change)}["CUT-01"] is Status.FAIL


def test_a_second_cutover_after_a_way_back_works(at_home: Account) -> None:
    """Nothing of the first is in its way."""
    for _ in range(2):
        change, findings = carry_out(SwitchDns(at_home, "shadowtwin-alb"))
        assert statuses(findings) == {Status.PASS}
        SwitchDns(at_home).undo(change)


def test_a_record_that_changed_since_the_plan_is_not_overwritten(at_home: Account) -> None:
    """Somebody else's change wins; ours is planned anew."""
    action = SwitchDns(at_home)
    plan = action.plan()
    carry_out(LowerTtl(at_home, 60))
    with pytest.raises(ActionRefused, match="TTL 60"):
        action.apply(plan)


def test_the_ttl_is_lowered_and_tells_when_the_cutover_is_safe(at_home: Account) -> None:
    """One old TTL after the change every resolver has forgotten the old answer."""
    action = LowerTtl(at_home, 60)
    change, findings = carry_out(action)
    assert statuses(findings) == {Status.PASS}
    assert record(at_home)["TTL"] == 60
    assert change.result["old_ttl_s"] == 300
    waited = datetime.fromisoformat(change.result["earliest_cutover"]) - datetime.fromisoformat(change.result["at"])
    assert 298 < waited.total_seconds() <= 300
    assert action.plan().empty
    assert action.undo(change)["changed"] is True
    assert record(at_home)["TTL"] == 300
    assert action.undo(change)["changed"] is False


def test_the_ttl_of_an_alias_is_left_alone(at_home: Account) -> None:
    """After the cutover there is none, and the old one is not put back."""
    lowered, _ = carry_out(LowerTtl(at_home, 60))
    carry_out(SwitchDns(at_home))
    assert LowerTtl(at_home, 60).plan().empty
    assert LowerTtl(at_home, 60).undo(lowered)["changed"] is False


def test_dns_elsewhere_is_not_touched(changing_account: Account) -> None:
    """What Route 53 does not serve, it cannot switch."""
    expect = Expectations.model_validate({"dns": {"external": True}})
    with pytest.raises(ActionRefused, match="outside Route 53"):
        SwitchDns(Account(changing_account.migration.model_copy(update={"expect": expect})))


def test_a_snapshot_is_taken_once_and_deleted_only_if_it_is_ours(changing_account: Account) -> None:
    """Twice changes nothing; undo leaves one that was there before."""
    action = TakeSnapshot(changing_account, "shadowtwin-pre-migration-test", timeout_s=60)
    change, findings = carry_out(action)
    assert change.result["changed"] is True
    assert findings["SNP-01"].status is Status.PASS
    again, _ = carry_out(action)
    assert again.plan.empty
    assert action.undo(again)["changed"] is False
    assert action.undo(change)["changed"] is True
    assert [f.status for f in action.verify(change)] == [Status.MISSING]


def test_a_snapshot_of_an_unencrypted_instance_is_no_good(changing_account: Account) -> None:
    """Found by reading it back."""
    rds = changing_account.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier="plain", DBInstanceClass="db.t3.medium", Engine="postgres", AllocatedStorage=20,
        MasterUsername="someone", MasterUserPassword="not-a-secret",
    )  # fmt: skip
    expect = Expectations.model_validate({"rds": {"instance": "plain"}})
    account = Account(changing_account.migration.model_copy(update={"expect": expect}))
    _, findings = carry_out(TakeSnapshot(account, "plain-one", timeout_s=60))
    assert findings["SNP-01"].status is Status.FAIL
    with pytest.raises(AwsError, match="plain-one"):
        TakeSnapshot(changing_account, "plain-one").plan()


def test_a_refused_change_says_what_to_do(changing: Cloud, changing_account: Account) -> None:
    """AWS's own code and the next step, no traceback."""
    action = TakeSnapshot(changing_account, "refused", timeout_s=5)
    plan = action.plan()
    changing.fault({"service": "rds", "operation": "CreateDBSnapshot", "error": "AccessDenied"})
    with pytest.raises(AwsError, match=r"denied, AccessDenied(.|\n)*What to do"):
        action.apply(plan)
