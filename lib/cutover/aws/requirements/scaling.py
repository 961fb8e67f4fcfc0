"""Application Auto Scaling of the service."""

from __future__ import annotations

from cutover.aws.requirements.answers import Ask, NotThere, pick
from cutover.aws.requirements.compute import only_on_ecs
from cutover.aws.requirements.requirement import (
    BLOCKER,
    HIGH,
    MEDIUM,
    PASS,
    Outcome,
    holds,
    judged,
    requirement,
    show,
)
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import ScalingExpectation

DIMENSION = "ecs:service:DesiredCount"


def resource_id(stack: Stack) -> str:
    """The service as Application Auto Scaling names it."""
    return f"service/{stack.expect.ecs.cluster}/{stack.expect.ecs.service}"


class ScalableTarget(View):
    """The service's scalable target."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        only_on_ecs(stack)
        name = resource_id(stack)
        return Ask(
            "application-autoscaling",
            "describe_scalable_targets",
            {"ServiceNamespace": "ecs", "ResourceIds": [name]},
            f"scalable target {name}",
            rows="ScalableTargets",
            match=lambda t: t.get("ResourceId") == name,
            name=name,
        )


class ScalingPolicies(View):
    """The service's scaling policies."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        only_on_ecs(stack)
        name = resource_id(stack)
        return Ask(
            "application-autoscaling",
            "describe_scaling_policies",
            {"ServiceNamespace": "ecs", "ResourceId": name},
            f"scaling policy of {name}",
            rows="ScalingPolicies",
            many=True,
            name=name,
        )


@requirement("ASG-01", title="The service scales between its bounds", severity=BLOCKER, guide=537)
def bounds(target: ScalableTarget, expect: ScalingExpectation) -> Outcome:
    """Too low a ceiling is an outage under load, too high a one is an invoice."""
    return holds(
        [target.number("MinCapacity"), target.number("MaxCapacity")],
        expected=[expect.minimum, expect.maximum],
    )


@requirement("ASG-02", title="Scaling is not suspended", severity=HIGH, guide=537, absent=PASS)
def not_suspended(target: ScalableTarget) -> Outcome:
    """A scaling that was suspended for the migration is easily forgotten."""
    return holds(target.flag("SuspendedState.DynamicScalingOutSuspended"), expected=False)


def _tracks(policies: ScalingPolicies, name: str, metric: str, target: float, expect: ScalingExpectation) -> Outcome:
    cooldowns = (expect.scale_out_cooldown_s, expect.scale_in_cooldown_s)
    row = next(pick(policies.rows("ScalingPolicies"), PolicyName=name), None)
    if row is None:
        raise NotThere(f"no policy {name}", evidence=policies.evidence)
    seen = View(row.get("TargetTrackingScalingPolicyConfiguration") or {}, name)
    return holds(
        [
            seen.text("PredefinedMetricSpecification.PredefinedMetricType"),
            seen.number("TargetValue"),
            seen.number("ScaleOutCooldown"),
            seen.number("ScaleInCooldown"),
        ],
        expected=[metric, target, *cooldowns],
    )


@requirement("ASG-03", title="The service scales with CPU", severity=BLOCKER, guide=545)
def cpu_policy(policies: ScalingPolicies, expect: ScalingExpectation) -> Outcome:
    """Two tasks do not carry a morning's load."""
    return _tracks(policies, expect.cpu_policy, "ECSServiceAverageCPUUtilization", expect.cpu_target, expect)


@requirement("ASG-04", title="The service scales with memory", severity=BLOCKER, guide=561)
def memory_policy(policies: ScalingPolicies, expect: ScalingExpectation) -> Outcome:
    """A task that runs out of memory is killed with the jobs in it."""
    return _tracks(policies, expect.memory_policy, "ECSServiceAverageMemoryUtilization", expect.memory_target, expect)


@requirement("ASG-05", title="The policies have their alarms", severity=MEDIUM, guide=545)
def policy_alarms(policies: ScalingPolicies) -> Outcome:
    """Target tracking acts through alarms that it makes itself: without them it never acts."""
    seen = {p.get("PolicyName", ""): len(p.get("Alarms") or []) for p in policies.rows("ScalingPolicies")}
    return judged(all(n >= 2 for n in seen.values()), expected="two for each policy", observed=show(seen))


@requirement("X-09", title="Scaling starts below the alarm's threshold", severity=MEDIUM, guide=553)
def target_below_alarm(policies: ScalingPolicies, stack: Stack) -> Outcome:
    """An alarm below the target rings all day."""
    policy = next(pick(policies.rows("ScalingPolicies"), PolicyName=stack.expect.scaling.cpu_policy), None)
    if policy is None:
        raise NotThere(f"no policy {stack.expect.scaling.cpu_policy}")
    target = View(policy, "").number("TargetTrackingScalingPolicyConfiguration.TargetValue")
    alarm = stack.expect.alarms.cpu_above
    return judged(target < alarm, expected=f"below the alarm's {alarm:g} %", observed=f"{target:g} %")


class ScalingActivities(View):
    """What scaling did of late."""

    needs = (ScalableTarget,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is an answer for a target that exists: nothing had to be scaled."""
        target = stack.view(ScalableTarget)
        wanted = {"ServiceNamespace": "ecs", "ResourceId": target.subject, "ScalableDimension": DIMENSION}
        return Ask(
            "application-autoscaling", "describe_scaling_activities", wanted, name=target.subject, after=(target,)
        )


@requirement("ASG-06", title="No scaling has failed", severity=MEDIUM, guide=545)
def no_scaling_failed(activities: ScalingActivities) -> Outcome:
    """An activity that failed says that the service could not grow when it had to."""
    rows = activities.rows("ScalingActivities")
    failed = [a for a in rows if a.get("StatusCode") in ("Failed", "Unfulfilled")]
    bad = [f"{a.get('StatusCode')}: {a.get('StatusMessage')}" for a in failed]
    return judged(
        not bad,
        expected="none failed",
        observed=bad or f"{len(rows)} activities, none failed",
        remedy="aws application-autoscaling describe-scaling-activities --service-namespace ecs "
        f"--resource-id {activities.subject}",
    )
