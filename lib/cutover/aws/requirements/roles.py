"""The roles of the tasks, and how the pipeline signs in."""

from __future__ import annotations

from typing import Self

from cutover.aws.requirements.answers import Ask, NotThere, Unreadable
from cutover.aws.requirements.compute import only_on_ecs
from cutover.aws.requirements.ecs import Container
from cutover.aws.requirements.policies import listed, statements, wide_grants
from cutover.aws.requirements.requirement import BLOCKER, HIGH, MEDIUM, Outcome, judged, requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import IamExpectation


class _Role(View):
    """One role; a subclass says which."""

    expectation = ""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """By name."""
        only_on_ecs(stack)
        name = getattr(stack.expect.ecs, cls.expectation)
        return Ask(
            "iam",
            "get_role",
            {"RoleName": name},
            f"role {name}",
            name=name,
        )

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """The role itself, with its plain name."""
        whole = super().read(stack)
        role = whole.get("Role") or {}
        return cls({"name": whole.subject, **role}, str(role.get("Arn") or whole.subject), whole)


class ExecutionRole(_Role):
    """The role that fetches image and secrets."""

    expectation = "execution_role"


class TaskRole(_Role):
    """The role that the application acts with."""

    expectation = "task_role"


def _trusts_tasks(role: _Role) -> Outcome:
    services = [
        s
        for statement in statements(role.need("AssumeRolePolicyDocument"))
        if statement.get("Effect") == "Allow"
        for s in listed((statement.get("Principal") or {}).get("Service"))
    ]
    return judged(
        "ecs-tasks.amazonaws.com" in services,
        expected="ecs-tasks.amazonaws.com",
        observed=services,
        remedy=f"aws iam update-assume-role-policy --role-name {role.text('name')} --policy-document file://ecs-tasks.json",
    )


@requirement("IAM-01", title="ECS may assume the execution role", severity=BLOCKER, guide=337)
def execution_role_is_trusted(role: ExecutionRole) -> Outcome:
    """Otherwise no task starts."""
    return _trusts_tasks(role)


class AttachedPolicies(View):
    """The managed policies of the execution role."""

    needs = (ExecutionRole,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """An empty list is an answer for a role that exists."""
        role = stack.view(ExecutionRole)
        wanted = {"RoleName": role.text("name")}
        return Ask("iam", "list_attached_role_policies", wanted, name=role.subject, after=(role,))


@requirement("IAM-02", title="The execution role may fetch images and write logs", severity=BLOCKER, guide=337)
def execution_policy(policies: AttachedPolicies, expect: IamExpectation) -> Outcome:
    """Otherwise tasks stop with CannotPullContainerError."""
    names = [p.get("PolicyName", "") for p in policies.rows("AttachedPolicies")]
    return judged(
        expect.execution_policy in names,
        expected=expect.execution_policy,
        observed=names,
    )


class SecretAccess(View):
    """What IAM's simulation says of the execution role and each injected secret."""

    needs = (ExecutionRole, Container)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """One simulation over the secrets of the container."""
        role, container = stack.view(ExecutionRole), stack.view(Container)
        arns = sorted({":".join(a.split(":")[:7]) for a in container.secrets.values() if ":secretsmanager:" in a})
        if not arns:
            raise NotThere("the container gets no secret", evidence=container.evidence)
        answer = stack.need(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=role.subject,
            ActionNames=["secretsmanager:GetSecretValue"],
            ResourceArns=arns,
        )
        return cls({"arns": arns, **answer.data}, role.subject, role, container, answer)


@requirement("IAM-03", title="The execution role may read the secrets", severity=BLOCKER, guide=353)
def execution_role_reads_secrets(access: SecretAccess) -> Outcome:
    """Otherwise tasks stop with ResourceInitializationError before their first line."""
    arns = access.rows("arns")
    seen: dict[str, str] = {}
    for result in access.rows("EvaluationResults"):
        details = result.get("ResourceSpecificResults") or []
        for detail in details:
            seen[str(detail.get("EvalResourceName"))] = str(detail.get("EvalResourceDecision"))
        if not details:
            seen[str(result.get("EvalResourceName", "*"))] = str(result.get("EvalDecision"))
    if not seen:
        raise Unreadable("iam.simulate_principal_policy evaluated nothing")
    blanket = seen.get("*")
    denied = [a for a in arns if seen.get(a, blanket or "not evaluated") != "allowed"]
    return judged(
        not denied,
        expected=f"allowed for all {len(arns)} secrets",
        observed=f"not allowed: {', '.join(denied)}" if denied else f"allowed for {len(arns)}",
    )


class TaskPolicies(View):
    """The inline policies of the task role."""

    needs = (TaskRole,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """None is MISSING: the application could not write a report."""
        role = stack.view(TaskRole)
        name = role.text("name")
        listing = stack.need("iam", "list_role_policies", RoleName=name)
        attached = stack.need("iam", "list_attached_role_policies", RoleName=name)
        names = listing.data.get("PolicyNames") or []
        managed = [str(p.get("PolicyName")) for p in attached.data.get("AttachedPolicies") or []]
        if not names and not managed:
            raise NotThere(f"{name} has no policy")
        answers = [stack.need("iam", "get_role_policy", RoleName=name, PolicyName=p) for p in names]
        rows = [s for a in answers for s in statements(a.data.get("PolicyDocument"))]
        return cls({"statements": rows, "managed": managed}, role.subject, role, listing, attached, *answers)


@requirement("IAM-04", title="The task role may do only what it needs", severity=HIGH, guide=338)
def task_role_is_narrow(policies: TaskPolicies) -> Outcome:
    """Whoever breaks into the application acts with this role."""
    wide = wide_grants(policies.rows("statements"))
    wide += [p for p in policies.rows("managed") if p.endswith(("AdministratorAccess", "FullAccess"))]
    return judged(
        not wide,
        expected="no wildcard",
        observed=wide or "no wildcard",
        remedy="aws iam put-role-policy --role-name … --policy-name reports --policy-document file://s3.json"
        "   # s3:GetObject, s3:PutObject on the report bucket alone",
    )


class OidcProviders(View):
    """The account's OIDC providers."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        return Ask(
            "iam",
            "list_open_id_connect_providers",
            what="OIDC provider",
            rows="OpenIDConnectProviderList",
            many=True,
            name="iam",
        )


@requirement("IAM-06", title="The pipeline signs in by OIDC, without a stored key", severity=MEDIUM, guide=837)
def oidc(providers: OidcProviders, expect: IamExpectation) -> Outcome:
    """The guide's workflow keeps a key that never ends."""
    arns = [p.get("Arn", "") for p in providers.rows("OpenIDConnectProviderList")]
    return judged(any(expect.oidc_provider in a for a in arns), expected=expect.oidc_provider, observed=arns)
