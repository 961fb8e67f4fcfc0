"""ECS services that roll out, complete, fail and roll back."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from clouds import Inside, empty, until  # noqa: F401 - a fixture is used by its name

NO_SUCH_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/nothing:1"
_names = itertools.count()


@dataclass
class Service:
    """A service of the test's own, with balancer and two subnets."""

    inside: Inside
    name: str
    target_group: str

    @property
    def ecs(self) -> Any:
        """The client."""
        return self.inside.client("ecs")

    def register(self, image: str = "nginx:1", **container: Any) -> str:
        """A new revision."""
        definition = self.ecs.register_task_definition(
            family=self.name,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {"name": "app", "image": image, "portMappings": [{"containerPort": 5000}], **container}
            ],
        )
        return str(definition["taskDefinition"]["taskDefinitionArn"])

    def update(self, **changes: Any) -> Any:
        """UpdateService."""
        return self.ecs.update_service(cluster="tests", service=self.name, **changes)["service"]

    def look(self) -> Any:
        """DescribeServices."""
        return self.ecs.describe_services(cluster="tests", services=[self.name])["services"][0]

    def settled(self, state: str = "COMPLETED") -> Any:
        """Wait until one deployment is left, in this state."""
        until(lambda: [d["rolloutState"] for d in self.look()["deployments"]] == [state])
        return self.look()

    def tasks(self) -> list[Any]:
        """Its running tasks."""
        arns = self.ecs.list_tasks(cluster="tests", serviceName=self.name)["taskArns"]
        return self.ecs.describe_tasks(cluster="tests", tasks=arns)["tasks"] if arns else []

    def targets(self) -> set[tuple[str, int]]:
        """Registered targets."""
        found = self.inside.client("elbv2").describe_target_health(TargetGroupArn=self.target_group)
        return {(d["Target"]["Id"], d["Target"]["Port"]) for d in found["TargetHealthDescriptions"]}


@pytest.fixture
def service(empty: Inside) -> Any:  # noqa: F811
    """Two tasks of revision 1, COMPLETED."""
    name = f"service{next(_names)}"
    ec2, elb, ecs = (empty.client(s) for s in ("ec2", "elbv2", "ecs"))
    subnets = ec2.describe_subnets()["Subnets"][:2]
    group = ec2.create_security_group(GroupName=name, Description=name)["GroupId"]
    target_group = elb.create_target_group(
        Name=name, Protocol="HTTP", Port=5000, VpcId=subnets[0]["VpcId"], TargetType="ip", HealthCheckPath="/api/health"
    )["TargetGroups"][0]["TargetGroupArn"]
    ecs.create_cluster(clusterName="tests")
    made = Service(empty, name, target_group)
    ecs.create_service(
        cluster="tests",
        serviceName=name,
        taskDefinition=made.register(),
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration={
            "awsvpcConfiguration": {"subnets": [s["SubnetId"] for s in subnets], "securityGroups": [group]}
        },
        loadBalancers=[{"targetGroupArn": target_group, "containerName": "app", "containerPort": 5000}],
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
        healthCheckGracePeriodSeconds=60,
        enableExecuteCommand=True,
    )
    made.settled()
    yield made
    ecs.delete_service(cluster="tests", service=name, force=True)


def test_a_service_becomes_steady_with_healthy_tasks_in_two_zones(service: Service) -> None:
    """What moto never reaches: RUNNING and HEALTHY, registered, an event that says so, settings kept."""
    service.ecs.get_waiter("services_stable").wait(
        cluster="tests", services=[service.name], WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
    seen = service.look()
    assert (seen["runningCount"], seen["pendingCount"], seen["desiredCount"]) == (2, 0, 2)
    assert until(lambda: "has reached a steady state" in service.look()["events"][0]["message"])
    assert seen["healthCheckGracePeriodSeconds"] == 60
    assert seen["enableExecuteCommand"] is True
    assert seen["deploymentConfiguration"]["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert (
        seen["deploymentConfiguration"]["maximumPercent"],
        seen["deploymentConfiguration"]["minimumHealthyPercent"],
    ) == (200, 100)
    tasks = service.tasks()
    assert {(t["lastStatus"], t["healthStatus"], t["launchType"]) for t in tasks} == {("RUNNING", "HEALTHY", "FARGATE")}
    assert len({t["availabilityZone"] for t in tasks}) == 2
    addresses = {d["value"] for t in tasks for d in t["attachments"][0]["details"] if d["name"] == "privateIPv4Address"}
    assert service.targets() == {(a, 5000) for a in addresses}


def test_a_new_revision_replaces_the_old_tasks(service: Service) -> None:
    """PRIMARY beside ACTIVE, then one deployment, with the id that UpdateService answered."""
    before = {t["taskArn"] for t in service.tasks()}
    revision = service.register("nginx:2")
    answer = service.update(taskDefinition=revision.rsplit("/", 1)[1])
    assert [(d["status"], d["rolloutState"]) for d in answer["deployments"]] == [
        ("PRIMARY", "IN_PROGRESS"),
        ("ACTIVE", "COMPLETED"),
    ]
    seen = service.settled()
    assert seen["deployments"][0]["id"] == answer["deployments"][0]["id"]
    assert seen["taskDefinition"] == seen["deployments"][0]["taskDefinition"] == revision
    after = service.tasks()
    assert {t["taskDefinitionArn"] for t in after} == {revision}
    assert not before & {t["taskArn"] for t in after}
    assert len(service.targets()) == 2


def test_the_same_revision_is_no_deployment_unless_forced(service: Service) -> None:
    """As on AWS."""
    first = service.look()["deployments"][0]
    assert service.update(taskDefinition=first["taskDefinition"])["deployments"][0]["id"] == first["id"]
    forced = service.update(forceNewDeployment=True)["deployments"][0]["id"]
    assert forced != first["id"]
    assert service.settled()["deployments"][0]["id"] == forced


def test_scaling_starts_and_stops_tasks_without_a_deployment(service: Service) -> None:
    """desiredCount alone."""
    before = service.look()["deployments"][0]["id"]
    service.update(desiredCount=4)
    until(lambda: service.look()["runningCount"] == 4)
    service.update(desiredCount=1)
    until(lambda: service.look()["runningCount"] == 1 and len(service.targets()) == 1)
    assert service.look()["deployments"][0]["id"] == before


def test_a_stopped_task_is_replaced(service: Service) -> None:
    """The scheduler keeps the desired count."""
    victim = service.tasks()[0]["taskArn"]
    service.ecs.stop_task(cluster="tests", task=victim, reason="drill")
    until(lambda: len(service.tasks()) == 2 and victim not in {t["taskArn"] for t in service.tasks()})
    stopped = until(lambda: service.ecs.describe_tasks(cluster="tests", tasks=[victim])["tasks"])[0]
    assert (stopped["desiredStatus"], stopped["stoppedReason"]) == ("STOPPED", "drill")


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"image": NO_SUCH_IMAGE}, "CannotPullContainerError"),
        (
            {
                "secrets": [
                    {"name": "X", "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:nothing-abcdef"}
                ]
            },
            "ResourceInitializationError: unable to pull secrets",
        ),
        (
            {
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "/no/such", "awslogs-region": "us-east-1"},
                }
            },
            "the log group /no/such does not exist",
        ),
    ],
)
def test_a_deployment_that_cannot_start_fails_and_rolls_back(
    service: Service, container: dict[str, Any], reason: str
) -> None:
    """The circuit breaker opens after three failures; the waiter is content, the id tells."""
    good = service.look()["taskDefinition"]
    deployment = service.update(taskDefinition=service.register(**{"image": "nginx:2", **container}))["deployments"][0][
        "id"
    ]
    until(lambda: deployment not in {d["id"] for d in service.look()["deployments"]})
    seen = service.settled()
    assert seen["taskDefinition"] == good
    assert seen["deployments"][0]["id"] != deployment
    assert seen["runningCount"] == 2
    assert any(reason in e["message"] for e in seen["events"])
    latest = service.ecs.list_service_deployments(cluster="tests", service=service.name)["serviceDeployments"][0]
    assert latest["status"] == "ROLLBACK_SUCCESSFUL"


def test_without_a_circuit_breaker_it_never_ends(service: Service) -> None:
    """The old tasks stay, the deployment stays IN_PROGRESS; stopping it rolls back on request."""
    service.update(deploymentConfiguration={"deploymentCircuitBreaker": {"enable": False, "rollback": False}})
    good = service.look()["taskDefinition"]
    service.update(taskDefinition=service.register(NO_SUCH_IMAGE))
    until(lambda: service.look()["deployments"][0]["failedTasks"] >= 4)
    assert [d["rolloutState"] for d in service.look()["deployments"]] == ["IN_PROGRESS", "COMPLETED"]
    assert service.look()["runningCount"] == 2
    running = service.ecs.list_service_deployments(cluster="tests", service=service.name, status=["IN_PROGRESS"])
    service.ecs.stop_service_deployment(
        serviceDeploymentArn=running["serviceDeployments"][0]["serviceDeploymentArn"], stopType="ROLLBACK"
    )
    assert service.settled()["taskDefinition"] == good


def test_what_is_over_cannot_be_stopped(service: Service) -> None:
    """ConflictException, as on AWS."""
    done = service.ecs.list_service_deployments(cluster="tests", service=service.name)["serviceDeployments"][0]
    with pytest.raises(ClientError, match="ConflictException"):
        service.ecs.stop_service_deployment(serviceDeploymentArn=done["serviceDeploymentArn"])


def test_an_alarm_in_a_deployment_rolls_it_back(service: Service) -> None:
    """Deployment alarms, when they are enabled."""
    cloudwatch = service.inside.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=service.name,
        Namespace="N",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    service.update(deploymentConfiguration={"alarms": {"alarmNames": [service.name], "enable": True, "rollback": True}})
    cloudwatch.set_alarm_state(AlarmName=service.name, StateValue="ALARM", StateReason="test")
    good = service.look()["taskDefinition"]
    service.update(taskDefinition=service.register("nginx:3"))
    until(lambda: any("alarm detected" in e["message"] for e in service.look()["events"]))
    assert service.settled()["taskDefinition"] == good


def test_history_leads_to_the_revision_before(service: Service) -> None:
    """How a rollback finds its goal when its own evidence is lost."""
    first = service.look()["taskDefinition"]
    service.update(taskDefinition=service.register("nginx:2"))
    service.settled()
    listed = service.ecs.list_service_deployments(cluster="tests", service=service.name, status=["SUCCESSFUL"])
    arns = [d["serviceDeploymentArn"] for d in listed["serviceDeployments"]]
    described = service.ecs.describe_service_deployments(serviceDeploymentArns=[*arns, arns[0] + "x"])
    assert [d["serviceDeploymentArn"] for d in described["serviceDeployments"]] == arns
    assert [f["reason"] for f in described["failures"]] == ["MISSING"]
    before = described["serviceDeployments"][1]["targetServiceRevision"]["arn"]
    assert described["serviceDeployments"][0]["sourceServiceRevisions"][0]["arn"] == before
    revision = service.ecs.describe_service_revisions(serviceRevisionArns=[before])["serviceRevisions"][0]
    assert revision["taskDefinition"] == first


def test_an_unknown_revision_is_refused(service: Service) -> None:
    """And changes nothing."""
    with pytest.raises(ClientError, match="ClientException"):
        service.update(taskDefinition=f"{service.name}:99")
    assert len(service.look()["deployments"]) == 1


def test_a_task_of_its_own_runs_without_container_memory(service: Service) -> None:
    """Fargate has the task's memory; moto stops at its absence."""
    network = service.look()["networkConfiguration"]
    answer = service.ecs.run_task(
        cluster="tests", taskDefinition=service.name, launchType="FARGATE", networkConfiguration=network, startedBy="me"
    )
    arn = answer["tasks"][0]["taskArn"]
    assert service.ecs.list_tasks(cluster="tests", startedBy="me")["taskArns"] == [arn]
    assert arn not in {t["taskArn"] for t in service.tasks()}


def test_the_balancers_targets_are_written_for_others_to_follow(service: Service) -> None:
    """Only what the 443 listener forwards to; a switch of the listener switches the file."""
    elb, ec2 = service.inside.client("elbv2"), service.inside.client("ec2")
    file = service.inside.state / "targets.json"
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]]
    balancer = elb.create_load_balancer(Name=service.name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    forward = {"Type": "forward", "TargetGroupArn": service.target_group}
    listener = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=443, DefaultActions=[forward])
    written = json.loads(file.read_text())
    assert {(t["host"], t["port"]) for t in written} == service.targets()
    assert {t["target_group"] for t in written} == {service.name}
    service.update(taskDefinition=service.register("nginx:2"))
    service.settled()
    assert {(t["host"], t["port"]) for t in json.loads(file.read_text())} == service.targets()
    closed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
    elb.modify_listener(ListenerArn=listener["Listeners"][0]["ListenerArn"], DefaultActions=[closed])
    assert json.loads(file.read_text()) == []
    elb.delete_load_balancer(LoadBalancerArn=balancer)
