"""Rules across resources: each may be right by itself and all of them wrong together."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Self

from cutover.aws.requirements.alarms import Alarms, Topic, dimensions, error_alarms, latency_alarms
from cutover.aws.requirements.answers import Ask, NotThere, Unreadable
from cutover.aws.requirements.backups import PreMigrationSnapshot
from cutover.aws.requirements.balancer import (
    Balancer,
    BalancerAttributes,
    BlueTargetGroup,
    TargetGroup,
    TargetGroupAttributes,
)
from cutover.aws.requirements.certificate import Certificate, covers
from cutover.aws.requirements.ecs import Container, InjectedSecrets, Service
from cutover.aws.requirements.images import ReleaseImage, Repository, image_named
from cutover.aws.requirements.listeners import Listeners, forwards_to
from cutover.aws.requirements.network import Subnets, Vpc
from cutover.aws.requirements.observability import log_group_named
from cutover.aws.requirements.rds import Instance
from cutover.aws.requirements.redis import Members, ReplicationGroup
from cutover.aws.requirements.requirement import BLOCKER, DAY, HIGH, MEDIUM, Outcome, judged, requirement
from cutover.aws.requirements.roles import SecretAccess
from cutover.aws.requirements.secrets_manager import DatabaseUrl, RedisUrl
from cutover.aws.requirements.security_groups import AlbGroup, EcsGroup, RdsGroup, RedisGroup
from cutover.aws.requirements.service import Revisions, Tasks
from cutover.aws.requirements.stack import Phase, Stack
from cutover.aws.requirements.view import View
from cutover.expectations import EcsExpectation, LogsExpectation, RdsExpectation, RedisExpectation

_FULL_ARN = re.compile(r"-[A-Za-z0-9]{6}(:|$)")
"""Secrets Manager ends every ARN with six characters of its own."""
_NETWORK = "networkConfiguration.awsvpcConfiguration"


def _mismatches(pairs: dict[str, tuple[object, object]]) -> list[str]:
    return [f"{name}: {left} ≠ {right}" for name, (left, right) in pairs.items() if left != right]


def _agree(bad: list[str], expected: str, remedy: str = "") -> Outcome:
    return judged(not bad, expected=expected, observed=bad or "they agree", remedy=remedy)


@requirement("X-01", title="DATABASE_URL and the instance agree", severity=BLOCKER, guide=453)
def database_url_agrees(url: DatabaseUrl, rds: Instance, expect: RdsExpectation) -> Outcome:
    """Host, port and database of the secret are the instance's, and the application is not its master user."""
    bad = _mismatches(
        {
            "host": (url.get("host"), rds.text("Endpoint.Address")),
            "port": (int(url.get("port") or 5432), rds.number("Endpoint.Port")),
            "database": (url.get("database"), rds.get("DBName") or expect.database),
        }
    )
    remedy = (
        f"aws secretsmanager put-secret-value --secret-id {url.subject} --secret-string file://value"
        f"   # host {rds.text('Endpoint.Address')}, port {rds.number('Endpoint.Port'):g}, database {expect.database}"
    )
    outcome = _agree(bad, "the same host, port and database", remedy)
    if outcome.ok and url.get("user") == rds.get("MasterUsername"):
        return judged(
            True,
            expected=outcome.expected,
            observed="they agree; the application uses the master user: give it its own",
        )
    return outcome


@requirement("X-02", title="REDIS_URL and the queue agree", severity=BLOCKER, guide=458)
def redis_url_agrees(url: RedisUrl, redis: ReplicationGroup) -> Outcome:
    """Host, TLS and password of the secret are the replication group's."""
    primary = redis.primary
    asks = bool(redis.get("UserGroupIds")) or redis.flag("AuthTokenEnabled")
    bad = _mismatches(
        {
            "host": (url.get("host"), primary),
            "scheme": (url.get("scheme"), "rediss" if redis.flag("TransitEncryptionEnabled") else "redis"),
            "password": ("given" if url.get("has_password") else "none", "given" if asks else "none"),
        }
    )
    remedy = (
        f"aws secretsmanager put-secret-value --secret-id {url.subject} --secret-string file://value   # host {primary}"
    )
    return _agree(bad, "the same host, TLS and password", remedy)


@requirement("X-03", title="The running revision can read all its secrets", severity=HIGH, guide=353)
def secrets_resolve(injected: InjectedSecrets, access: SecretAccess, stack: Stack, container: Container) -> Outcome:
    """Each is named by its full ARN (a policy for `…-??????` does not match the guide's), exists here, may be read."""
    gone = [k for k, v in injected.data["found"].items() if v != "there"]
    home = [stack.migration.region, stack.migration.account_id]
    away = [k for k, arn in container.secrets.items() if arn.startswith("arn:") and arn.split(":")[3:5] != home]
    denied = [r.get("EvalActionName") for r in access.rows("EvaluationResults") if r.get("EvalDecision") != "allowed"]
    short = [k for k, arn in container.secrets.items() if ":secretsmanager:" in arn and not _FULL_ARN.search(arn)]
    bad = [f"no full ARN: {n}" for n in short]
    bad += [f"not there: {n}" for n in gone] + [f"elsewhere: {n}" for n in away] + [f"denied: {n}" for n in denied]
    return _agree(bad, "full ARNs, all there, here and allowed")


@requirement("X-04", title="One port from the balancer to the application", severity=BLOCKER, guide=345)
def one_port(
    container: Container,
    target: TargetGroup,
    tasks: EcsGroup,
    service: Service,
    listeners: Listeners,
    expect: EcsExpectation,
) -> Outcome:
    """Container, PORT, service, target group, security group and listener name the same one, or nobody gets through."""
    opened = {str(r[1]) for r in tasks.inbound if r[1] == r[2]}
    seen = {
        "container": {str(p.get("containerPort")) for p in container.rows("portMappings")},
        "PORT": {container.environment.get("PORT", "nothing")},
        "service": {str(b.get("containerPort")) for b in service.rows("loadBalancers")},
        "target group": {f"{target.number('Port'):g}"},
        "security group": opened,
    }
    wanted = str(expect.port)
    bad = [f"{name}: {', '.join(sorted(ports)) or 'nothing'}" for name, ports in seen.items() if wanted not in ports]
    if target.subject not in forwards_to(listeners.on(443)):
        bad.append(f"the listener on 443 does not forward to {target.subject}")
    if target.subject not in {b.get("targetGroupArn") for b in service.rows("loadBalancers")}:
        bad.append(f"the service does not register with {target.subject}")
    return _agree(bad, f"{wanted} everywhere")


@requirement("X-05", title="Security groups allow only ALB → task → DB/Redis", severity=BLOCKER, guide=636)
def groups_chain(
    alb: Balancer,
    service: Service,
    rds: Instance,
    members: Members,
    alb_group: AlbGroup,
    ecs_group: EcsGroup,
    rds_group: RdsGroup,
    redis_group: RedisGroup,
    ports: RdsExpectation,
    queue: RedisExpectation,
    ecs: EcsExpectation,
) -> Outcome:
    """The groups that let each other in are the ones that balancer, tasks, database and queue really use."""
    used_by_queue = {
        g.get("SecurityGroupId") for m in members.rows("members") for g in View(m, "").rows("SecurityGroups")
    }
    links = {
        "the load balancer uses its security group": alb_group.subject in alb.rows("SecurityGroups"),
        "tasks let the balancer in": ("tcp", ecs.port, ecs.port, alb_group.subject) in ecs_group.inbound,
        "tasks use their security group": ecs_group.subject in service.rows(f"{_NETWORK}.securityGroups"),
        "the database lets tasks in": ("tcp", ports.port, ports.port, ecs_group.subject) in rds_group.inbound,
        "the database uses its security group": rds_group.subject
        in {g.get("VpcSecurityGroupId") for g in rds.rows("VpcSecurityGroups")},
        "the queue lets tasks in": ("tcp", queue.port, queue.port, ecs_group.subject) in redis_group.inbound,
        "Redis uses its security group": redis_group.subject in used_by_queue,
    }
    broken = [link for link, holds_ in links.items() if not holds_]
    return judged(
        not broken,
        expected="world → balancer → tasks → database and queue",
        observed=f"broken: {', '.join(broken)}" if broken else f"{len(links)} links hold",
        remedy="see SG-03, SG-04, SG-05, ALB-05, SVC-06, RDS-20 and RED-16 for the commands",
    )


@requirement("X-06", title="Everything is in one VPC, each in its tier", severity=BLOCKER, guide=632)
def one_vpc(vpc: Vpc, subnets: Subnets, alb: Balancer, target: TargetGroup, service: Service, rds: Instance) -> Outcome:
    """The balancer public, tasks and database private, and the balancer in every zone that tasks are in."""
    bad = _mismatches(
        {
            "balancer": (alb.text("VpcId"), vpc.subject),
            "target group": (target.text("VpcId"), vpc.subject),
            "database": (rds.text("DBSubnetGroup.VpcId"), vpc.subject),
        }
    )
    task_subnets = set(service.rows(f"{_NETWORK}.subnets"))
    database = {s.get("SubnetIdentifier", "") for s in rds.rows("DBSubnetGroup.Subnets")}
    alb_zones = {r.get("ZoneName") for r in alb.rows("AvailabilityZones")}
    balancer = {r.get("SubnetId", "") for r in alb.rows("AvailabilityZones")}
    tiers = (("tasks", task_subnets, "private"), ("database", database, "private"), ("balancer", balancer, "public"))
    for name, ids, tier in tiers:
        outside = ids - subnets.ids(tier)
        if outside or not ids:
            bad.append(f"{name} not {tier}: {', '.join(sorted(outside)) or 'no subnet'}")
    unserved = subnets.zones(task_subnets) - alb_zones
    if unserved:
        bad.append(f"the balancer is not in {', '.join(sorted(map(str, unserved)))}")
    return _agree(bad, f"{vpc.subject}; balancer public, tasks and database private")


class WrittenGroup(View):
    """The log group that the container really writes to."""

    needs = (Container,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """As the task definition names it."""
        container = stack.view(Container)
        return log_group_named(container.text("logConfiguration.options.awslogs-group"), container)


@requirement("X-10", title="The container's log group is there, here and kept", severity=HIGH, guide=375)
def log_group_fits(container: Container, group: WrittenGroup, stack: Stack, expect: LogsExpectation) -> Outcome:
    """The group that the container writes to, not the one that someone created."""
    region = container.text("logConfiguration.options.awslogs-region")
    bad = _mismatches({"region": (region, stack.migration.region)})
    if not group.get("retentionInDays"):
        bad.append(f"{group.subject} has no retention")
    return _agree(
        bad,
        "there, here, with a retention",
        f"aws logs put-retention-policy --log-group-name {group.subject} --retention-in-days {expect.retention_days}",
    )


@requirement("X-12", title="The listener serves an issued certificate of the public name", severity=BLOCKER, guide=518)
def listener_certificate(listeners: Listeners, certificate: Certificate, stack: Stack) -> Outcome:
    """Issued, attached and of this name: each of the three is checked elsewhere, here all at once."""
    host = stack.migration.hostname
    shown = [str(c.get("CertificateArn")) for c in listeners.on(443).get("Certificates") or []]
    names = certificate.rows("SubjectAlternativeNames")
    bad = [] if certificate.subject in shown else [f"443 shows {', '.join(shown) or 'none'}, not {certificate.subject}"]
    bad += [] if certificate.text("Status") == "ISSUED" else [f"it is {certificate.text('Status')}"]
    bad += [] if any(covers(n, host) for n in names) else [f"it covers {', '.join(names)}, not {host}"]
    return _agree(bad, f"an issued certificate of {host} on 443")


@requirement("X-14", title="Every rollback trigger has an alarm with a confirmed subscriber", severity=HIGH, guide=933)
def criteria_have_alarms(alarms: Alarms, topic: Topic, balancer: Balancer, stack: Stack) -> Outcome:
    """Error rate, p95 and database connections, on our balancer and instance, told to a confirmed subscriber."""
    suffix = balancer.subject.partition(":loadbalancer/")[2]
    instance = stack.expect.rds.instance
    on_balancer = [a for a in latency_alarms(alarms) if dimensions(a).get("LoadBalancer") == suffix]
    on_instance = [
        a
        for a in alarms.metric_alarms
        if a.get("MetricName") == "DatabaseConnections" and dimensions(a).get("DBInstanceIdentifier") == instance
    ]
    groups = {"errors": error_alarms(alarms), "latency": on_balancer, "database": on_instance}
    bad = []
    for kind, found in groups.items():
        if not found:
            bad.append(f"{kind}: no alarm on our resource")
        elif not any(
            a.get("ActionsEnabled") is not False and topic.subject in (a.get("AlarmActions") or []) for a in found
        ):
            bad.append(f"{kind}: the alarm does not go to {topic.subject}")
    if not topic.confirmed:
        bad.append("nobody confirmed a subscription")
    return _agree(bad, "three alarms and a confirmed subscriber")


class PreviousImage(View):
    """The image of the newest older revision, in the repository; `revision` is that revision."""

    needs = (Revisions, Service, Repository)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """An older revision without an image is no way back."""
        revisions, service, repository = stack.view(Revisions), stack.view(Service), stack.view(Repository)
        current = service.text("taskDefinition").rsplit("/", 1)[-1]
        older = [a for a in revisions.rows("taskDefinitionArns") if _revision(a) < _revision(current)]
        if not older:
            raise NotThere(f"no active revision before {current}", evidence=revisions.evidence)
        previous = max(older, key=_revision)
        answer = stack.need("ecs", "describe_task_definition", taskDefinition=previous)
        rows = (answer.data.get("taskDefinition") or {}).get("containerDefinitions") or []
        image = next((str(c.get("image")) for c in rows if c.get("name") == stack.expect.ecs.container), "")
        if not image:
            raise NotThere(f"{previous} has no container {stack.expect.ecs.container}")
        found = cls.answered(stack, image_named(repository, image, revisions, service, View({}, "", answer)))
        return cls({"revision": previous, **found.data}, previous, found)


def _revision(arn: object) -> int:
    """The number at the end of a task definition's ARN."""
    number = str(arn).rsplit(":", 1)[-1]
    if not number.isdigit():
        raise Unreadable(f"{arn} names no revision")
    return int(number)


@requirement("X-17", title="Rollback is possible (revision, snapshot, PITR)", severity=HIGH, guide=1089, due=DAY)
def way_back_exists(previous: PreviousImage, snapshot: PreMigrationSnapshot, rds: Instance, stack: Stack) -> Outcome:
    """An older revision is active, its image is still in the repository, and the data can be brought back."""
    made, latest = snapshot.moment("SnapshotCreateTime"), rds.moment("LatestRestorableTime")
    bad = [] if str(previous.get("imageDigest")).startswith("sha256:") else [f"{previous.subject}: no image"]
    bad += [] if stack.now - made < timedelta(hours=36) else [f"the snapshot is of {made:%Y-%m-%d %H:%M} UTC"]
    bad += [] if stack.now - latest < timedelta(minutes=10) else [f"restorable only to {latest:%Y-%m-%d %H:%M} UTC"]
    return judged(
        not bad,
        expected="an older revision and its image, a snapshot of the day, point-in-time restore to the present",
        observed=bad or previous.subject,
        remedy=f"aws ecs list-task-definitions --family-prefix {stack.expect.ecs.task_definition} --status ACTIVE",
    )


class RunningImage(View):
    """The image that the running task definition names, as the repository has it."""

    needs = (Container, Repository)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By the container's image reference."""
        container, repository = stack.view(Container), stack.view(Repository)
        return image_named(repository, container.text("image"), container)


@requirement("X-11", title="What runs is the image that was tested", severity=HIGH, guide=342, due=DAY)
def image_is_the_tested(tasks: Tasks, image: RunningImage, release: ReleaseImage, stack: Stack) -> Outcome:
    """A tag can be moved between the test and the day: only the digest says what runs."""
    wanted = image.text("imageDigest")
    seen = {str(c.get("imageDigest") or "not told") for t in tasks.rows("tasks") for c in t.get("containers") or []
            if c.get("name") == stack.expect.ecs.container}  # fmt: skip
    bad = [f"runs {d}, the repository has {wanted}" for d in sorted(seen - {wanted})]
    if not seen:
        raise Unreadable("no running task tells the digest of its image")
    if stack.phase is Phase.REVIEW and release.text("imageDigest") != wanted:
        bad.append(f"{image.subject} runs, {release.subject} was to be released")
    return judged(not bad, expected=wanted, observed=bad or wanted,
                  remedy=f"aws ecs update-service --cluster {stack.expect.ecs.cluster} "
                  f"--service {stack.expect.ecs.service} --force-new-deployment")  # fmt: skip


@requirement("X-13", title="Health checks, grace, draining and keep-alive fit together", severity=MEDIUM, guide=383)
def times_fit(
    container: Container, service: Service, group: TargetGroup, attributes: BalancerAttributes, ecs: EcsExpectation
) -> Outcome:
    """Each time may be right by itself, and a slow start is killed or a connection is cut all the same."""
    grace, start = service.number("healthCheckGracePeriodSeconds"), container.number("healthCheck.startPeriod")
    good = group.number("HealthCheckIntervalSeconds") * group.number("HealthyThresholdCount")
    idle = float(attributes.value("idle_timeout.timeout_seconds"))
    rules = {
        f"grace {grace:g} s below the container's start period {start:g} s": grace < start,
        f"grace {grace:g} s below the {good:g} s in which a target becomes healthy": grace < good,
        f"the balancer's idle timeout {idle:g} s not below the application's keep-alive {ecs.keep_alive_s} s": idle
        >= ecs.keep_alive_s,
        "a health check that takes longer than its interval": group.number("HealthCheckTimeoutSeconds")
        >= group.number("HealthCheckIntervalSeconds"),
    }
    return _agree(
        [rule for rule, broken in rules.items() if broken],
        "grace ≥ start period and time to healthy; idle timeout < keep-alive; time-out < interval",
        f"aws ecs update-service --cluster {ecs.cluster} --service {ecs.service} "
        f"--health-check-grace-period-seconds {max(start, good):g}",
    )


class BlueAttributes(TargetGroupAttributes):
    """The second target group's attributes."""

    needs = (BlueTargetGroup,)
    group: type[TargetGroup] = BlueTargetGroup


@requirement("X-15", title="The two target groups differ in nothing but their name", severity=HIGH, guide=1135)
def groups_are_equal(
    blue: BlueTargetGroup, green: TargetGroup, theirs: BlueAttributes, ours: TargetGroupAttributes
) -> Outcome:
    """A switch to a group that drains longer or asks another path is no way back but a second incident."""
    own = {"TargetGroupArn", "TargetGroupName", "LoadBalancerArns"}
    pairs = {k: (blue.get(k), green.get(k)) for k in sorted((set(blue.data) | set(green.data)) - own)}
    pairs |= {k: (theirs.get(k), ours.get(k)) for k in sorted(set(theirs.data) | set(ours.data))}
    remedy = f"aws elbv2 modify-target-group --target-group-arn {blue.subject} …   # as the first group has it"
    return _agree(_mismatches(pairs), "equal settings and attributes", remedy)
