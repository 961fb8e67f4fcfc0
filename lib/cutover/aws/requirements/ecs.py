"""The cluster and the task definition: what a task is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from cutover.aws.account import Response
from cutover.aws.requirements.answers import Absent, Ask, NotThere, Unreadable
from cutover.aws.requirements.compute import only_on_ecs
from cutover.aws.requirements.field import rows_of
from cutover.aws.requirements.requirement import (
    BLOCKER,
    FAIL,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    holds,
    judged,
    one_of,
    requirement,
    show,
)
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import EcrExpectation, EcsExpectation, LogsExpectation
from cutover.secrets import MASK

field = rows_of(__name__).field

_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|API_?KEY|_KEY$|PRIVATE|CREDENTIAL|_DSN$|DATABASE_URL|REDIS_URL", re.I)


class Cluster(View):
    """The ECS cluster."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """An absent cluster comes back as a failure or as INACTIVE."""
        only_on_ecs(stack)
        name = stack.expect.ecs.cluster
        return Ask(
            "ecs",
            "describe_clusters",
            {"clusters": [name], "include": ["SETTINGS"]},
            f"cluster {name}",
            rows="clusters",
            match=lambda c: c.get("status") != "INACTIVE",
            subject="clusterArn",
            name=name,
        )


@requirement("ECS-01", title="The cluster is active", severity=BLOCKER, guide=399)
def cluster_is_active(cluster: Cluster) -> Outcome:
    """The guide uses it and never creates it."""
    return holds(cluster.text("status"), expected="ACTIVE")


@requirement("ECS-02", title="Container Insights is on", severity=MEDIUM, guide=583)
def container_insights(cluster: Cluster) -> Outcome:
    """Task count and memory are not in CloudWatch without it."""
    setting = next(
        (s.get("value") for s in cluster.get("settings") or [] if s.get("name") == "containerInsights"), None
    )
    return one_of(setting, ("enabled", "enhanced"))


class Service(View):
    """The ECS service."""

    needs = (Cluster,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """An absent service comes back as a failure or as INACTIVE."""
        cluster, e = stack.view(Cluster), stack.expect.ecs
        return Ask(
            "ecs",
            "describe_services",
            {"cluster": e.cluster, "services": [e.service]},
            f"service {e.service}",
            rows="services",
            match=lambda s: s.get("status") != "INACTIVE",
            subject="serviceArn",
            name=e.service,
            after=(cluster,),
        )


class TaskDefinition(View):
    """The task definition that the service runs; the family's newest, where there is no service yet."""

    needs = (Service,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By the service's ARN or by the family's name."""
        only_on_ecs(stack)
        family = stack.expect.ecs.task_definition
        try:
            wanted = str(stack.view(Service).get("taskDefinition") or family)
        except NotThere:
            wanted = family
        return Ask(
            "ecs",
            "describe_task_definition",
            {"taskDefinition": wanted},
            f"task definition {family}",
            name=wanted,
        )

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The definition itself."""
        whole = super().read(stack)
        data = whole.get("taskDefinition") or {}
        return cls(data, str(data.get("taskDefinitionArn") or whole.subject), whole)


class Container(View):
    """The application's container in the task definition."""

    needs = (TaskDefinition,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name."""
        task, name = stack.view(TaskDefinition), stack.expect.ecs.container
        for row in task.rows("containerDefinitions"):
            if row.get("name") == name:
                return cls(row, task.subject, task)
        raise NotThere(f"{task.subject} has no container {name}", evidence=task.evidence)

    @property
    def environment(self) -> dict[str, str]:
        """Variables in clear, by name."""
        return {str(e.get("name")): str(e.get("value")) for e in self.get("environment") or []}

    @property
    def secrets(self) -> dict[str, str]:
        """ARNs of the injected secrets, by variable."""
        return {str(s.get("name")): str(s.get("valueFrom")) for s in self.get("secrets") or []}


_REGISTER = "aws ecs register-task-definition --cli-input-json file://task-definition.json   # "


@requirement("TD-01", title="The task definition is active", severity=BLOCKER, guide=332)
def is_active(task: TaskDefinition, expect: EcsExpectation) -> Outcome:
    """An inactive revision starts no task."""
    return holds([task.text("family"), task.text("status")], expected=[expect.task_definition, "ACTIVE"])


# fmt: off
field("TD-02", TaskDefinition, "networkMode", equals="awsvpc", severity=BLOCKER, guide=333,
      title="The network mode is awsvpc", why="Fargate and a target group of addresses need awsvpc.",
      remedy=_REGISTER + "networkMode awsvpc")
field("TD-03", TaskDefinition, "requiresCompatibilities", includes="FARGATE", severity=BLOCKER, guide=334,
      title="Tasks run on Fargate", why="The service starts them there.",
      remedy=_REGISTER + "requiresCompatibilities FARGATE")
field("TD-04", TaskDefinition, "cpu", equals=lambda e: e.ecs.cpu, severity=BLOCKER, guide=335,
      title="The task's CPU is as planned", why="The load was tested with this much.",
      remedy=lambda _, e: _REGISTER + f"cpu {e.ecs.cpu}")
field("TD-05", TaskDefinition, "memory", equals=lambda e: e.ecs.memory, severity=BLOCKER, guide=336,
      title="The task's memory is as planned", why="The load was tested with this much.",
      remedy=lambda _, e: _REGISTER + f"memory {e.ecs.memory}")
# fmt: on


@requirement("TD-06", title="The execution role is set", severity=BLOCKER, guide=337)
def execution_role(task: TaskDefinition, expect: EcsExpectation, stack: Stack) -> Outcome:
    """It fetches the image and the secrets; without it no task starts."""
    return _role(task.text("executionRoleArn"), expect.execution_role, stack)


@requirement("TD-07", title="The task role is set", severity=HIGH, guide=338)
def task_role(task: TaskDefinition, expect: EcsExpectation, stack: Stack) -> Outcome:
    """The application writes its reports to S3 with it."""
    return _role(task.text("taskRoleArn"), expect.task_role, stack)


def _role(arn: str, name: str, stack: Stack) -> Outcome:
    good = arn.split(":")[4:5] == [stack.migration.account_id] and arn.rsplit("/", 1)[-1] == name
    wanted = f"arn:aws:iam::{stack.migration.account_id}:role/{name}"
    return judged(good, expected=wanted, observed=arn, remedy=_REGISTER + wanted)


@requirement("TD-08", title="The image comes from our repository", severity=BLOCKER, guide=341)
def image_is_ours(container: Container, stack: Stack, expect: EcrExpectation) -> Outcome:
    """Anyone may push to a public one of the same name."""
    image = container.text("image")
    wanted = f"{stack.migration.account_id}.dkr.ecr.{stack.migration.region}.amazonaws.com/{expect.repository}"
    name = image.split("@")[0]
    name = name.rsplit(":", 1)[0] if ":" in name.rsplit("/", 1)[-1] else name
    return judged(name == wanted, expected=wanted, observed=image, remedy=_REGISTER + wanted)


@requirement("TD-09", title="The image is pinned", severity=HIGH, guide=342)
def image_is_pinned(container: Container) -> Outcome:
    """The guide pins `:latest`: a rollback to an older revision pulls the newest image again."""
    image = container.text("image")
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return judged(
        "@sha256:" in image or tag not in ("", "latest"),
        expected="a digest, or a tag that is not latest",
        observed=image,
        remedy=_REGISTER + "image …@sha256:…",
    )


@requirement("TD-10", title="The container listens on the application's port", severity=BLOCKER, guide=343)
def port(container: Container, expect: EcsExpectation) -> Outcome:
    """The balancer sends visitors there."""
    ports = [[p.get("containerPort"), p.get("protocol", "tcp")] for p in container.rows("portMappings")]
    return judged([expect.port, "tcp"] in ports, expected=f"{expect.port} tcp", observed=ports)


@requirement("TD-11", title="The container's environment is set", severity=BLOCKER, guide=349)
def environment(container: Container, expect: EcsExpectation) -> Outcome:
    """In development mode, Node shows its errors to visitors."""
    seen = {k: container.environment.get(k, "nothing") for k in expect.environment}
    return holds(seen, expected=dict(expect.environment), remedy=_REGISTER + show(dict(expect.environment)))


@requirement("TD-12", title="The container gets its secrets", severity=BLOCKER, guide=353)
def secrets(container: Container, expect: EcsExpectation) -> Outcome:
    """Without one of them the application stops at start."""
    lacking = sorted(set(expect.secrets) - set(container.secrets))
    return judged(
        not lacking,
        expected=", ".join(expect.secrets),
        observed=f"lacks {', '.join(lacking)}" if lacking else sorted(container.secrets),
        remedy=_REGISTER + f"secrets: {', '.join(lacking)}",
    )


@requirement("TD-13", title="The container gets the mail server's settings", severity=HIGH, guide=475)
def smtp(container: Container, expect: EcsExpectation) -> Outcome:
    """The guide requires them and its task definition lacks them: no mail leaves the platform."""
    lacking = sorted(set(expect.smtp) - set(container.secrets) - set(container.environment))
    return judged(
        not lacking,
        expected=", ".join(expect.smtp),
        observed=f"lacks {', '.join(lacking)}" if lacking else "all",
        remedy=_REGISTER + f"secrets: {', '.join(lacking)}",
    )


class InjectedSecrets(View):
    """What stands behind each `valueFrom`."""

    needs = (Container,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """One look-up for each; keys of a JSON secret share one."""
        container = stack.view(Container)
        if not container.secrets:
            raise NotThere("the container gets no secret", evidence=container.evidence)
        found: dict[str, str] = {}
        answers = []
        known = _known_secrets(stack)
        for name, source in sorted(container.secrets.items()):
            if ":ssm:" in source or not source.startswith("arn:"):
                parameter = source.rsplit(":parameter", 1)[-1]
                filters = [{"Key": "Name", "Option": "Equals", "Values": [parameter]}]
                answer = stack.need("ssm", "describe_parameters", ParameterFilters=filters)
                found[name] = "there" if answer.data.get("Parameters") else "not there"
            else:
                arn = ":".join(source.split(":")[:7])
                answer = known.get(arn) or stack.ask("secretsmanager", "describe_secret", SecretId=arn)
                if not answer.ok and answer.problem != "not found":
                    raise Unreadable(f"{source}: {answer.problem} ({answer.error_code})")
                gone = not answer.ok or answer.data.get("DeletedDate")
                found[name] = "not there" if gone else "there"
            answers.append(answer)
        return cls({"found": found}, container.subject, container, *answers)


def _known_secrets(stack: Stack) -> dict[str, Response]:
    """The planned secrets by their ARN: they are asked for by name anyway."""
    e = stack.expect.secrets
    names = [e.database, e.redis, e.openai, e.admin_email, e.admin_password_hash, *e.smtp]
    answers = [stack.ask("secretsmanager", "describe_secret", SecretId=name) for name in names]
    return {str(a.data.get("ARN")): a for a in answers if a.ok}


@requirement("TD-14", title="Every injected secret exists", severity=BLOCKER, guide=357)
def secrets_exist(injected: InjectedSecrets) -> Outcome:
    """A task with one that does not stops with ResourceInitializationError, for ever."""
    found: Mapping[str, Any] = injected.data["found"]
    gone = sorted(k for k, v in found.items() if v != "there")
    return judged(
        not gone,
        expected="all of them",
        observed=f"not there: {', '.join(gone)}" if gone else f"{len(found)} there",
        remedy=_REGISTER + "the full ARN of each secret, as aws secretsmanager list-secrets shows it",
    )


@requirement("TD-15", title="No secret stands in the environment in clear", severity=HIGH, guide=349)
def no_clear_secret(container: Container) -> Outcome:
    """Whoever may describe a task definition may read it, and every revision keeps it."""
    seen = container.environment
    if not seen and not container.secrets:
        raise Absent("environment")
    clear = sorted(k for k, v in seen.items() if (_SECRET_NAME.search(k) and v) or MASK in v)
    return judged(
        not clear, expected="none", observed=clear or "none", remedy=_REGISTER + "move it to secrets, then rotate it"
    )


@requirement("TD-16", title="The container's log goes to its group", severity=BLOCKER, guide=375)
def log_configuration(container: Container, expect: LogsExpectation, stack: Stack) -> Outcome:
    """With a wrong group or region, the task stops before its first line."""
    options = [container.text(f"logConfiguration.options.awslogs-{k}") for k in ("group", "region", "stream-prefix")]
    return holds(options, expected=[expect.group, stack.migration.region, expect.stream_prefix])


@requirement(
    "TD-17", title="The container's health is checked in the planned rhythm", severity=BLOCKER, guide=383, absent=FAIL
)
def health_check(container: Container, expect: EcsExpectation) -> Outcome:
    """A start period that is too short kills every task before it is up."""
    seen = [container.number(f"healthCheck.{k}") for k in ("interval", "timeout", "retries", "startPeriod")]
    return holds(seen, expected=list(expect.health_check), remedy=_REGISTER + "healthCheck 30/5/3/60")


@requirement("TD-18", title="The health command exists in the image", severity=BLOCKER, guide=384, absent=FAIL)
def health_command(container: Container, expect: EcsExpectation, stack: Stack) -> Outcome:
    """node:*-alpine has no curl: with the guide's command every task is UNHEALTHY and the service never stable."""
    command = " ".join(map(str, container.rows("healthCheck.command")))
    used = [tool for tool in expect.absent_tools if re.search(rf"\b{re.escape(tool)}\b", command)]
    good = f"wget -qO- http://127.0.0.1:{expect.port}{stack.expect.alb.health_path} || exit 1"
    return judged(
        not used and stack.expect.alb.health_path in command,
        expected=f"a command of the image that asks {stack.expect.alb.health_path}",
        observed=command,
        remedy=_REGISTER + f'"command": ["CMD-SHELL", "{good}"]',
    )


@requirement("TD-20", title="The container's file system is read-only", severity=LOW, absent=FAIL)
def read_only(container: Container) -> Outcome:
    """An intruder has nowhere to write to."""
    return holds(container.flag("readonlyRootFilesystem"), expected=True, remedy=_REGISTER + "readonlyRootFilesystem")


@requirement("TD-21", title="The container knows its version", severity=MEDIUM, guide=952)
def app_version(container: Container) -> Outcome:
    """/api/health answers `unknown` without it, and nobody can tell which release answers."""
    version = container.environment.get("APP_VERSION", "")
    return judged(bool(version), expected="APP_VERSION is set", observed=version, remedy=_REGISTER + "APP_VERSION")


_ROOT = {"", "0", "root", "0:0", "root:root"}


@requirement("TD-19", title="The application does not run as root", severity=MEDIUM, guide=303, absent=FAIL)
def not_root(container: Container) -> Outcome:
    """The guide's image names a user; the task definition holds it even when the image forgets to."""
    user = container.text("user")
    return judged(user not in _ROOT, expected="a user that is not root", observed=user, remedy=_REGISTER + "user: 1001")
