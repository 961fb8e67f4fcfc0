"""Application Auto Scaling of the service."""

from __future__ import annotations

from typing import Self

from cutover.aws.requirements.ecs import only_on_ecs
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
from cutover.aws.requirements.stack import NotThere, Stack, View, pick
from cutover.expectations import ScalingExpectation

DIMENSION = "ecs:service:DesiredCount"


def resource_id(stack: Stack) -> str:
    """The service as Application Auto Scaling names it."""
    return f"service/{stack.expect.ecs.cluster}/{stack.expect.ecs.service}"


class ScalableTarget(View):
    """The service's scalable target."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        only_on_ecs(stack)
        name, e = resource_id(stack), stack.expect.scaling
        answer = stack.need(
            "application-autoscaling", "describe_scalable_targets", ServiceNamespace="ecs", ResourceIds=[name]
        )
        rows = list(pick(answer.data.get("ScalableTargets"), ResourceId=name))
        if not rows:
            raise NotThere(
                f"no scalable target {name}",
                remedy="aws application-autoscaling register-scalable-target --service-namespace ecs "
                f"--scalable-dimension {DIMENSION} --resource-id {name} --min-capacity {e.minimum} "
                f"--max-capacity {e.maximum}",
                evidence=(answer.evidence,) if answer.evidence else (),
            )
        return cls(rows[0], name, answer)


class ScalingPolicies(View):
    """The service's scaling policies."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING."""
        only_on_ecs(stack)
        name = resource_id(stack)
        answer = stack.need(
            "application-autoscaling", "describe_scaling_policies", ServiceNamespace="ecs", ResourceId=name
        )
        if not answer.data.get("ScalingPolicies"):
            raise NotThere(f"{name} has no scaling policy", remedy=_policy("<name>", name, "<metric>", 70.0, (60, 300)))
        return cls(answer.data, name, answer)


def _policy(policy: str, name: str, metric: str, target: float, cooldowns: tuple[int, int]) -> str:
    return (
        f"aws application-autoscaling put-scaling-policy --policy-name {policy} --service-namespace ecs "
        f"--scalable-dimension {DIMENSION} --resource-id {name} --policy-type TargetTrackingScaling "
        "--target-tracking-scaling-policy-configuration "
        f'\'{{"TargetValue": {target:g}, "PredefinedMetricSpecification": {{"PredefinedMetricType": "{metric}"}}, '
        f'"ScaleOutCooldown": {cooldowns[0]}, "ScaleInCooldown": {cooldowns[1]}}}\''
    )


@requirement("ASG-01", title="The service scales between its bounds", severity=BLOCKER, guide=537)
def bounds(target: ScalableTarget, expect: ScalingExpectation) -> Outcome:
    """Too low a ceiling is an outage under load, too high a one is an invoice."""
    return holds(
        [target.number("MinCapacity"), target.number("MaxCapacity")],
        expected=[expect.minimum, expect.maximum],
        remedy="aws application-autoscaling register-scalable-target --service-namespace ecs "
        f"--scalable-dimension {DIMENSION} --resource-id {target.subject} --min-capacity {expect.minimum} "
        f"--max-capacity {expect.maximum}",
    )


@requirement("ASG-02", title="Scaling is not suspended", severity=HIGH, guide=537, absent=PASS)
def not_suspended(target: ScalableTarget) -> Outcome:
    """A scaling that was suspended for the migration is easily forgotten."""
    return holds(
        target.flag("SuspendedState.DynamicScalingOutSuspended"),
        expected=False,
        remedy="aws application-autoscaling register-scalable-target --service-namespace ecs "
        f"--scalable-dimension {DIMENSION} --resource-id {target.subject} "
        "--suspended-state DynamicScalingInSuspended=false,DynamicScalingOutSuspended=false",
    )


def _tracks(policies: ScalingPolicies, name: str, metric: str, target: float, expect: ScalingExpectation) -> Outcome:
    cooldowns = (expect.scale_out_cooldown_s, expect.scale_in_cooldown_s)
    remedy = _policy(name, policies.subject, metric, target, cooldowns)
    row = next(pick(policies.rows("ScalingPolicies"), PolicyName=name), None)
    if row is None:
        raise NotThere(f"no policy {name}", remedy=remedy, evidence=policies.evidence)
    seen = View(row.get("TargetTrackingScalingPolicyConfiguration") or {}, name)
    return holds(
        [
            seen.text("PredefinedMetricSpecification.PredefinedMetricType"),
            seen.number("TargetValue"),
            seen.number("ScaleOutCooldown"),
            seen.number("ScaleInCooldown"),
        ],
        expected=[metric, target, *cooldowns],
        remedy=remedy,
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


@requirement("X-09", title="Scaling starts before the alarm rings", severity=MEDIUM, guide=553)
def target_below_alarm(policies: ScalingPolicies, stack: Stack) -> Outcome:
    """An alarm below the target rings all day."""
    policy = next(pick(policies.rows("ScalingPolicies"), PolicyName=stack.expect.scaling.cpu_policy), None)
    if policy is None:
        raise NotThere(f"no policy {stack.expect.scaling.cpu_policy}")
    target = View(policy, "").number("TargetTrackingScalingPolicyConfiguration.TargetValue")
    alarm = stack.expect.alarms.cpu_above
    return judged(target < alarm, expected=f"below the alarm's {alarm:g} %", observed=f"{target:g} %")
