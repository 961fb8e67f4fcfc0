"""The account itself: whose it is, whether its region answers, what the caller may do, quotas and book-keeping."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

from cutover.aws import permissions
from cutover.aws.account import Response
from cutover.aws.requirements.answers import Ask, NotApplicable, NotThere, Unreadable
from cutover.aws.requirements.dns import Zone
from cutover.aws.requirements.requirement import (
    BLOCKER,
    LOW,
    MEDIUM,
    Outcome,
    at_least,
    holds,
    judged,
    requirement,
)
from cutover.aws.requirements.roles import ExecutionRole, TaskRole
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import AccountExpectation

FARGATE_VCPU = "L-3032A538"
"""Service Quotas' code of "Fargate On-Demand vCPU resource count"."""


class Caller(View):
    """Who asks, as STS says."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """STS answers every signed request; no answer means no credentials or no way there."""
        return Ask("sts", "get_caller_identity", always=True, subject="Arn", name="the caller")

    @property
    def principal(self) -> str:
        """The IAM ARN; of a role without its path, which STS leaves out: it gives the name, `Principal` the ARN."""
        role = re.fullmatch(r"arn:(aws[\w-]*):sts::(\d+):assumed-role/([^/]+)/.*", self.subject)
        if role:
            return f"arn:{role[1]}:iam::{role[2]}:role/{role[3]}"
        return self.subject.replace(":sts::", ":iam::", 1)

    @property
    def role(self) -> str:
        """The name of the role whose session the caller is; "" for a user."""
        return self.principal.rsplit("/", 1)[-1] if ":assumed-role/" in self.subject else ""


class Principal(View):
    """The IAM user or role that asks: the subject is its ARN.

    The ARN of a role's session has lost the role's path, which every role of IAM Identity Center has
    (`role/aws-reserved/sso.amazonaws.com/REGION/AWSReservedSSO_…`), so IAM is asked for the role's own.
    """

    needs = (Caller,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The role itself is read; a user's ARN is what STS says."""
        caller = stack.view(Caller)
        if not caller.role:
            return cls({}, caller.principal, caller)
        try:
            answer = stack.need("iam", "get_role", always=True, RoleName=caller.role)
        except Unreadable as error:
            reason = f"only IAM knows the path of the role {caller.role}, and {error.reason}"
            raise Unreadable(reason, evidence=error.evidence) from error
        role = View(answer.data, caller.role, answer)
        return cls(answer.data, role.text("Role.Arn"), caller, answer)


class Zones(View):
    """The region's availability zones."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """EC2 answers in every region that is enabled."""
        return Ask("ec2", "describe_availability_zones", always=True, name=stack.migration.region)


@requirement("ACC-01", title="The credentials are those of the planned account", severity=BLOCKER, guide=83)
def account_is_the_planned_one(stack: Stack, caller: Caller) -> Outcome:
    """A change in the wrong account is the worst mistake that can be made here."""
    return holds(
        caller.text("Account"),
        expected=stack.migration.account_id,
        remedy="use the planned account's credentials (aws sts get-caller-identity), or fix account_id",
    )


@requirement("ACC-08", title="The region answers", severity=BLOCKER, guide=84)
def region_answers(zones: Zones) -> Outcome:
    """Everything of the migration lives in this region, over two zones."""
    usable = [z.get("ZoneName", "") for z in zones.rows("AvailabilityZones") if z.get("State") == "available"]
    return judged(
        len(usable) >= 2,
        expected="at least two available zones",
        observed=usable,
        remedy=f"aws account enable-region --region-name {zones.subject}",
    )


class Rights(View):
    """What IAM's simulation says of the caller: `lacking` is not allowed, `unasked` has no resource yet."""

    needs = (Caller, Principal, ExecutionRole, TaskRole, Zone)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """All reads that Cutover makes in one simulation, each change on the resources that it needs."""
        caller, expect = stack.view(Caller), stack.expect.account
        if caller.subject.endswith(":root"):
            return cls({"root": True}, caller.subject, caller)
        principal, made = stack.view(Principal), permissions.recorded()
        reads = list(dict.fromkeys([*expect.reads, *made["looks"]]))
        unlooked, first = _not_allowed(stack, principal, reads, ["*"])
        lacking, unasked, answers = [a for a in unlooked if a in expect.reads], [], [first]
        together: dict[tuple[str, ...], list[str]] = {}  # one simulation for all actions on the same resources
        for action in dict.fromkeys([*expect.changes, *made["changes"]]):
            resources = _resources(stack, caller, action)
            if resources:
                together.setdefault(tuple(resources), []).append(action)
            else:
                unasked.append(action)
        for arns, actions in together.items():
            more, again = _not_allowed(stack, principal, actions, list(arns))
            lacking, answers = lacking + more, [*answers, again]
        blind = [a for a in unlooked if a not in lacking]
        asked = len(expect.reads) + len({*expect.changes, *made["changes"]}) - len(unasked)
        found = {"lacking": lacking, "unasked": unasked, "blind": blind, "asked": asked}
        return cls(found | {"principal": principal.subject}, caller.subject, principal, *answers)


@requirement("ACC-02", title="The caller may do what the run needs", severity=BLOCKER, guide=97)
def caller_is_allowed(rights: Rights) -> Outcome:
    """A right that is missing shows itself in the middle of the night, half-way through a change."""
    if rights.get("root"):
        return judged(
            False,
            expected="a role with the rights of the run",
            observed="the root user",
            why="the root user cannot be limited and its use cannot be told apart in the trail",
            remedy="aws sso login   # with a role",
        )
    principal = rights.text("principal")
    lacking, unasked, blind = rights.rows("lacking"), rights.rows("unasked"), rights.rows("blind")
    seen = f"not allowed: {', '.join(lacking)}" if lacking else "all allowed"
    seen += f"; not allowed to look, so UNKNOWN where it is wanted: {', '.join(blind)}" if blind else ""
    return judged(
        not lacking,
        expected=f"{rights.get('asked')} actions allowed on the stack's resources",
        observed=seen + (f"; not asked, for its resource is not known: {', '.join(unasked)}" if unasked else ""),
        remedy=f"attach docs/iam-policy.json, or a policy that allows {', '.join(lacking)}, to {principal}",
    )


def _not_allowed(
    stack: Stack, principal: Principal, actions: list[str], resources: list[str]
) -> tuple[list[str], Response]:
    """The actions that IAM's simulation does not allow on every one of the resources, and what it was asked."""
    answer = stack.need(
        "iam",
        "simulate_principal_policy",
        always=True,
        PolicySourceArn=principal.subject,
        ActionNames=actions,
        ResourceArns=resources,
        ContextEntries=[_TO_ECS] if "iam:PassRole" in actions else [],
    )
    seen: dict[str, set[str]] = {}
    for result in answer.data.get("EvaluationResults", []):
        decisions = seen.setdefault(str(result.get("EvalActionName")), set())
        parts = result.get("ResourceSpecificResults") or []
        decisions |= {str(p.get("EvalResourceDecision")) for p in parts} or {str(result.get("EvalDecision"))}
    return [a for a in actions if seen.get(a) != {"allowed"}], answer


_TO_ECS = {
    "ContextKeyName": "iam:PassedToService",
    "ContextKeyType": "string",
    "ContextKeyValues": ["ecs-tasks.amazonaws.com"],
}


def _resources(stack: Stack, caller: Caller, action: str) -> list[str]:
    """The ARNs of the stack that an action is needed on; none where the thing is not there yet."""
    e, partition = stack.expect, caller.subject.split(":")[1]
    home = f"{stack.migration.region}:{stack.migration.account_id}"
    if action.startswith("route53:"):
        try:
            return [f"arn:{partition}:route53:::hostedzone/{stack.view(Zone).subject}"]
        except (NotThere, NotApplicable):
            return []
    if action == "iam:PassRole":
        return _task_roles(stack, partition)
    snapshot = f"arn:{partition}:rds:{home}:snapshot:{e.rds.snapshot_prefix}20260101"
    reports = urlsplit(stack.migration.target.reports)
    objects = [f"arn:{partition}:s3:::{reports.netloc}/{reports.path.strip('/')}".rstrip("/") + "/example.pdf"]
    known = {
        "ecs:RegisterTaskDefinition": ["*"],
        "secretsmanager:GetRandomPassword": ["*"],
        "rds:AddTagsToResource": [snapshot],
        "rds:DeleteDBSnapshot": [snapshot],
        "s3:GetObject": objects,
        "s3:PutObject": objects,
        "s3:AbortMultipartUpload": objects,
        "ecs:UpdateService": [f"arn:{partition}:ecs:{home}:service/{e.ecs.cluster}/{e.ecs.service}"],
        "rds:CreateDBSnapshot": [
            f"arn:{partition}:rds:{home}:db:{e.rds.instance}",
            snapshot,
        ],
        "secretsmanager:GetSecretValue": [
            f"arn:{partition}:secretsmanager:{home}:secret:{name}-AbCdEf"
            for name in (e.secrets.database, e.secrets.redis)
        ],
    }
    return known.get(action, [])


def _task_roles(stack: Stack, partition: str) -> list[str]:
    """The ARNs of the roles that are passed to the tasks, with their paths; none where they may not be read."""
    found = []
    for kind in (ExecutionRole, TaskRole):
        try:
            found.append(stack.view(kind).subject)
        except (NotThere, NotApplicable):
            name = getattr(stack.expect.ecs, kind.expectation)
            found.append(f"arn:{partition}:iam::{stack.migration.account_id}:role/{name}")
        except Unreadable:
            return []
    return found


class Quota(View):
    """The Fargate vCPU quota."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """One quota by its code."""
        wanted = {"ServiceCode": "fargate", "QuotaCode": FARGATE_VCPU}
        return Ask("service-quotas", "get_service_quota", wanted, always=True, name=f"fargate/{FARGATE_VCPU}")


@requirement("ACC-03", title="Fargate vCPU quota covers a full deployment", severity=MEDIUM, guide=542)
def fargate_quota(quota: Quota, expect: AccountExpectation) -> Outcome:
    """Twenty tasks are forty while a roll-out replaces them; a new account's quota is far lower."""
    return at_least(
        quota.number("Quota.Value"),
        expect.fargate_vcpu,
        unit=" vCPU",
        remedy="aws service-quotas request-service-quota-increase --service-code fargate "
        f"--quota-code {FARGATE_VCPU} --desired-value {expect.fargate_vcpu:g}",
    )


class Budgets(View):
    """The account's budgets."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """All budgets; none is MISSING."""
        if not stack.expect.account.budget:
            raise NotApplicable("expect.account.budget is false")
        wanted = {"AccountId": stack.migration.account_id}
        return Ask("budgets", "describe_budgets", wanted, "budget", rows="Budgets", many=True, name="budgets")


@requirement("ACC-04", title="A budget watches the month's cost", severity=LOW, guide=712)
def budget_exists(budgets: Budgets) -> Outcome:
    """Without one, a forgotten restore is noticed on the invoice."""
    limits = [
        f"{b['BudgetName']}: {b['BudgetLimit']['Amount']}" for b in budgets.rows("Budgets") if b.get("BudgetLimit")
    ]
    return judged(bool(limits), expected="a budget with a limit", observed=limits)


class Trails(View):
    """CloudTrail's trails."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """All trails; none is MISSING."""
        return Ask("cloudtrail", "describe_trails", what="trail", rows="trailList", many=True, name="cloudtrail")


@requirement("ACC-05", title="A multi-region CloudTrail trail is logging", severity=LOW)
def trail_is_multi_region(trails: Trails) -> Outcome:
    """Who changed what in the night of the migration is answered here or nowhere."""
    wide = [t.get("Name", "") for t in trails.rows("trailList") if t.get("IsMultiRegionTrail")]
    first = trails.rows("trailList")[0].get("Name")
    remedy = f"aws cloudtrail update-trail --name {first} --is-multi-region-trail"
    return judged(bool(wide), expected="a multi-region trail", observed=wide, remedy=remedy)


class Tagged(View):
    """Resources that carry the project's tag."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """All ARNs with the tag; none is MISSING."""
        tag = stack.expect.account.project_tag
        return Ask(
            "resourcegroupstaggingapi",
            "get_resources",
            {"TagFilters": [{"Key": "Project", "Values": [tag]}]},
            f"resource that carries the tag Project={tag}",
            rows="ResourceTagMappingList",
            many=True,
            name=f"Project={tag}",
            remedy=_tagging(tag),
        )


def _tagging(tag: str) -> str:
    return f"aws resourcegroupstaggingapi tag-resources --tags Project={tag} --resource-arn-list …"


@requirement("ACC-07", title="The stack's resources carry the project's tag", severity=LOW)
def resources_are_tagged(tagged: Tagged, expect: AccountExpectation) -> Outcome:
    """Cost, drift and clean-up are counted by it."""
    arns = [m.get("ResourceARN", "") for m in tagged.rows("ResourceTagMappingList")]
    kinds = {part for arn in arns for part in ("rds", "elasticloadbalancing", "ecs") if f":{part}:" in arn}
    return judged(
        len(kinds) == 3,
        expected="database, balancer and service tagged",
        observed=kinds,
        remedy=_tagging(expect.project_tag),
    )


class HealthEvents(View):
    """Open events of AWS Health that touch this account."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """Answered only where a Business or Enterprise support plan is paid; its endpoint is in us-east-1."""
        wanted = {"filter": {"eventStatusCodes": ["open", "upcoming"], "regions": [stack.migration.region, "global"]}}
        return Ask(
            "health",
            "describe_events",
            wanted,
            rows="events",
            many=True,
            may_be_empty=True,
            always=True,
            name="AWS Health",
            region="us-east-1",
        )


@requirement("ACC-06", title="AWS Health reports no open event for the services in use", severity=LOW)
def no_open_event(health: HealthEvents) -> Outcome:
    """An outage or a forced maintenance that AWS has announced should not be met by surprise on the day."""
    used = {"RDS", "ECS", "FARGATE", "ELASTICACHE", "ELASTICLOADBALANCING", "ROUTE53", "CLOUDFRONT", "S3", "EC2"}
    mine = [e for e in health.rows("events") if e.get("service") in used]
    bad = [
        f"{e.get('service')} {e.get('eventTypeCode')}"
        for e in mine
        if e.get("eventTypeCategory") != "accountNotification"
    ]
    return judged(
        not bad,
        expected="no open issue or scheduled change",
        observed=bad or "none",
        remedy="aws health describe-events --region us-east-1   # read them, and choose another day if they touch it",
    )
