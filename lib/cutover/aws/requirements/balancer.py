"""The application load balancer, its target group and its listeners."""

from __future__ import annotations

from typing import Self

from cutover.aws.requirements.answers import Absent, Ask, NotApplicable
from cutover.aws.requirements.field import rows_of
from cutover.aws.requirements.network import Subnets, Vpc
from cutover.aws.requirements.requirement import (
    BLOCKER,
    DAY,
    HIGH,
    LOW,
    MEDIUM,
    Outcome,
    at_most,
    holds,
    judged,
    requirement,
    show,
)
from cutover.aws.requirements.security_groups import AlbGroup
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import AlbExpectation, EcsExpectation

field = rows_of(__name__).field


class Balancer(View):
    """The load balancer."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        name = stack.migration.target.load_balancer
        return Ask(
            "elbv2",
            "describe_load_balancers",
            {"Names": [name]},
            f"balancer {name}",
            rows="LoadBalancers",
            subject="LoadBalancerArn",
            name=name,
        )


class BalancerAttributes(View):
    """The balancer's attributes, by key."""

    needs = (Balancer,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """All of them."""
        alb = stack.view(Balancer)
        answer = stack.need("elbv2", "describe_load_balancer_attributes", LoadBalancerArn=alb.subject)
        values = {a.get("Key"): a.get("Value") for a in answer.data.get("Attributes", [])}
        return cls({"values": values}, alb.subject, alb, answer)

    def value(self, key: str) -> str:
        """One attribute.

        Raises:
            Absent: the balancer has none of that key.
        """
        value = self.data["values"].get(key)
        if value is None:
            raise Absent(key)
        return str(value)

    def set(self, key: str, value: str) -> str:
        """The command that sets one attribute."""
        return (
            f"aws elbv2 modify-load-balancer-attributes --load-balancer-arn {self.subject} "
            f"--attributes Key={key},Value={value}"
        )


# fmt: off
field("ALB-01", Balancer, "State.Code", equals="active", severity=BLOCKER, guide=497,
      title="The balancer is active", why="DNS will point to it.",
      remedy=lambda alb, _: f"aws elbv2 wait load-balancer-available --load-balancer-arns {alb.subject}")
field("ALB-02", Balancer, "Scheme", equals=lambda e: e.alb.scheme, severity=BLOCKER, guide=500,
      title="The load balancer is internet-facing",
      why="An internal one answers nobody outside; the scheme cannot be changed afterwards.",
      remedy="create it again with the right --scheme")
field("ALB-03", Balancer, "Type", equals="application", severity=BLOCKER, guide=501,
      title="The balancer is an application load balancer",
      why="Redirects, health paths and the p95 metric exist only there.")
# fmt: on


@requirement("ALB-04", title="The load balancer is in public subnets of two zones", severity=BLOCKER, guide=498)
def stands_in_public_subnets(alb: Balancer, subnets: Subnets) -> Outcome:
    """In a private subnet it answers nobody, in one zone it falls with it."""
    rows = alb.rows("AvailabilityZones")
    zones, ids = {r.get("ZoneName") for r in rows}, {r.get("SubnetId", "") for r in rows}
    outside = ids - subnets.ids("public")
    return judged(
        len(zones) >= 2 and not outside,
        expected="two zones, public subnets",
        observed=f"zones {show(zones)}; not public: {show(outside)}",
        remedy=f"aws elbv2 set-subnets --load-balancer-arn {alb.subject} --subnets "
        + " ".join(sorted(subnets.ids("public"))),
    )


@requirement("ALB-05", title="The load balancer uses the expected security group", severity=BLOCKER, guide=499)
def security_group(alb: Balancer, group: AlbGroup) -> Outcome:
    """With another group, the rules that were checked are not the ones that hold."""
    return holds(
        alb.rows("SecurityGroups"),
        expected=[group.subject],
    )


@requirement("ALB-06", title="The balancer is in the stack's VPC", severity=BLOCKER, guide=498)
def vpc_is_ours(alb: Balancer, vpc: Vpc) -> Outcome:
    """From another VPC it cannot reach the tasks."""
    return holds(alb.text("VpcId"), expected=vpc.subject, remedy="create it again in the stack's subnets")


@requirement("ALB-07", title="Deletion protection of the load balancer is on", severity=MEDIUM)
def deletion_protection(attributes: BalancerAttributes) -> Outcome:
    """Its DNS name would be gone for good."""
    key = "deletion_protection.enabled"
    return holds(attributes.value(key), expected="true")


@requirement("ALB-08", title="Access logs of the load balancer are enabled", severity=MEDIUM)
def access_logs(attributes: BalancerAttributes) -> Outcome:
    """They are the only list of who saw an error during the cutover."""
    remedy = attributes.set("access_logs.s3.enabled", "true") + " Key=access_logs.s3.bucket,Value=<the bucket of logs>"
    return holds(attributes.value("access_logs.s3.enabled"), expected="true", remedy=remedy)


@requirement("ALB-09", title="The load balancer's idle timeout is below the application's keep-alive", severity=HIGH)
def idle_timeout(attributes: BalancerAttributes, expect: AlbExpectation) -> Outcome:
    """Otherwise it sends requests into connections that Node has just closed: sporadic 502s."""
    key = "idle_timeout.timeout_seconds"
    return at_most(
        float(attributes.value(key)),
        expect.idle_timeout_s,
        unit=" s",
        remedy=attributes.set(key, str(expect.idle_timeout_s))
        + "   # and server.keepAliveTimeout = 65000 in the application",
    )


@requirement("ALB-10", title="Invalid header fields are dropped", severity=LOW)
def invalid_headers(attributes: BalancerAttributes) -> Outcome:
    """They are how requests are smuggled."""
    key = "routing.http.drop_invalid_header_fields.enabled"
    return holds(attributes.value(key), expected="true")


class TargetGroup(View):
    """The target group."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        return target_group_named(stack.expect.alb.target_group)


def target_group_named(name: str) -> Ask:
    """One target group by its name."""
    return Ask(
        "elbv2",
        "describe_target_groups",
        {"Names": [name]},
        f"target group {name}",
        rows="TargetGroups",
        subject="TargetGroupArn",
        name=name,
    )


def target_kind(stack: Stack) -> str:
    """What registers: tasks by address, instances by id."""
    return "ip" if stack.migration.compute == "ecs" else "instance"


@requirement("TG-01", title="The target group speaks HTTP to the application's port", severity=BLOCKER, guide=506)
def target_port(group: TargetGroup, expect: EcsExpectation) -> Outcome:
    """Any other port is closed."""
    seen = [group.text("Protocol"), group.number("Port")]
    return holds(seen, expected=["HTTP", expect.port], remedy="create it again: protocol and port are fixed")


@requirement(
    "TG-02", title="The target type is the one that tasks or instances register with", severity=BLOCKER, guide=509
)
def target_type(group: TargetGroup, stack: Stack) -> Outcome:
    """Fargate tasks register by address, instances by id; with the other type nothing registers."""
    wanted = target_kind(stack)
    return holds(group.text("TargetType"), expected=wanted, remedy=f"create it again with --target-type {wanted}")


# fmt: off
field("TG-03", TargetGroup, "HealthCheckPath", equals=lambda e: e.alb.health_path, severity=BLOCKER, guide=510,
      title="The health check uses the application's health path",
      why="The page at / answers 200 while the database is gone.")
field("TG-04", TargetGroup, "HealthCheckIntervalSeconds", equals=lambda e: e.alb.health_interval_s, severity=HIGH,
      guide=511, title="The health check interval is 30 seconds",
      why="Interval times threshold is how long a dead task still gets visitors.")
field("TG-05", TargetGroup, "HealthCheckTimeoutSeconds", equals=lambda e: e.alb.health_timeout_s, severity=HIGH,
      guide=1002, title="The health check timeout is 5 seconds",
      why="A task that answers slower than that is not healthy.")
field("TG-06", TargetGroup, "HealthyThresholdCount", equals=lambda e: e.alb.healthy_threshold, severity=HIGH,
      guide=1003, title="The healthy threshold is 2",
      why="The default 5 delays every deployment by minutes.")
field("TG-07", TargetGroup, "UnhealthyThresholdCount", equals=lambda e: e.alb.unhealthy_threshold, severity=HIGH,
      guide=1004, title="The unhealthy threshold is 3",
      why="One blip of the queue must not take every task out of service.")
field("TG-08", TargetGroup, "Matcher.HttpCode", equals=lambda e: e.alb.matcher, severity=HIGH, guide=1005,
      title="The health check's matcher is 200", why="The application answers 503 when it is degraded.")
# fmt: on


@requirement("TG-09", title="Health checks are on and speak HTTP", severity=HIGH, guide=999)
def health_protocol(group: TargetGroup) -> Outcome:
    """Switched off, every target counts as healthy."""
    seen = [group.text("HealthCheckProtocol"), group.flag("HealthCheckEnabled")]
    return holds(seen, expected=["HTTP", True])


@requirement("TG-10", title="Target group is attached to the load balancer", severity=BLOCKER, guide=519)
def is_attached(group: TargetGroup, alb: Balancer) -> Outcome:
    """Unattached, its health is never even asked."""
    return judged(
        alb.subject in group.rows("LoadBalancerArns"),
        expected=alb.subject,
        observed=group.rows("LoadBalancerArns"),
        remedy=f"aws elbv2 create-listener --load-balancer-arn {alb.subject} --protocol HTTPS --port 443 "
        f"--default-actions Type=forward,TargetGroupArn={group.subject} --certificates CertificateArn=…",
    )


class TargetHealth(View):
    """The health of every registered target."""

    needs = (TargetGroup,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """No target is MISSING: an empty list is not healthy."""
        group = stack.view(TargetGroup)
        return Ask(
            "elbv2",
            "describe_target_health",
            {"TargetGroupArn": group.subject},
            "target is registered",
            rows="TargetHealthDescriptions",
            many=True,
            name=group.subject,
            remedy=f"aws ecs describe-services --cluster {stack.expect.ecs.cluster} "
            f"--services {stack.expect.ecs.service} --query 'services[0].events[:10]'",
            after=(group,),
        )


@requirement("TG-11", title="Every target is healthy", severity=BLOCKER, guide=753, due=DAY)
def targets_are_healthy(health: TargetHealth, expect: EcsExpectation) -> Outcome:
    """Visitors are sent there."""
    states = [d.get("TargetHealth", {}).get("State", "") for d in health.rows("TargetHealthDescriptions")]
    live = [s for s in states if s != "draining"]
    return judged(
        len(live) >= expect.desired_count and all(s == "healthy" for s in live),
        expected=f"at least {expect.desired_count} targets, all healthy",
        observed=states,
        remedy=f"aws elbv2 describe-target-health --target-group-arn {health.subject}   # see Reason",
    )


class TargetGroupAttributes(View):
    """The target group's attributes, by key."""

    needs = (TargetGroup,)
    group: type[TargetGroup] = TargetGroup

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """All of them."""
        group = stack.view(cls.group)
        answer = stack.need("elbv2", "describe_target_group_attributes", TargetGroupArn=group.subject)
        values = {str(a.get("Key")).replace(".", "_"): a.get("Value") for a in answer.data.get("Attributes", [])}
        return cls(values, group.subject, group, answer)


@requirement("TG-12", title="The deregistration delay is short", severity=MEDIUM)
def deregistration_delay(attributes: TargetGroupAttributes, expect: AlbExpectation) -> Outcome:
    """The default 300 s slows every roll-out and every way back."""
    return at_most(
        attributes.number("deregistration_delay_timeout_seconds"),
        expect.deregistration_delay_s,
        unit=" s",
    )


class BlueTargetGroup(TargetGroup):
    """The second target group, where one is planned."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Not planned by default."""
        if not stack.expect.alb.blue_target_group:
            raise NotApplicable("no second target group is planned (expect.alb.blue_target_group)")
        return target_group_named(stack.expect.alb.blue_target_group)


@requirement("TG-13", title="The second target group is like the first", severity=HIGH, guide=1135)
def blue_is_like_green(blue: BlueTargetGroup, green: TargetGroup) -> Outcome:
    """The guide's command leaves type instance and the health path /: a switch to it would answer nobody."""
    keys = ("TargetType", "Protocol", "Port", "HealthCheckPath", "HealthyThresholdCount", "UnhealthyThresholdCount")
    return holds({k: blue.need(k) for k in keys}, expected={k: green.need(k) for k in keys})
