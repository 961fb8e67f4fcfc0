"""Who changes the account: the policies of the principal that deploys, and the age of the keys that people hold."""

from __future__ import annotations

import re
from typing import Self

from cutover.aws.requirements.account import Caller
from cutover.aws.requirements.answers import NotThere, Unreadable, parse_moment
from cutover.aws.requirements.policies import statements, wide_grants
from cutover.aws.requirements.requirement import HIGH, MEDIUM, Outcome, judged, requirement
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import IamExpectation

_MOST_USERS = 20
"""Keys are listed user by user; an account with more is looked at through the credential report."""


class DeployPolicies(View):
    """The statements of all policies of the caller: `statements`, and the names of the managed ones."""

    needs = (Caller,)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """Inline and attached policies of the user or role that STS names; the groups' are told by name alone."""
        caller = stack.view(Caller)
        found = re.fullmatch(r"arn:[\w-]+:iam::\d+:(user|role)/(?:.*/)?([^/]+)", caller.principal)
        if not found:
            raise Unreadable(f"{caller.subject} is neither a user nor a role: its policies cannot be read")
        kind, who = found[1], {f"{found[1].capitalize()}Name": found[2]}
        inline = stack.need("iam", f"list_{kind}_policies", always=True, **who)
        attached = stack.need("iam", f"list_attached_{kind}_policies", always=True, **who)
        answers, rows = [inline, attached], []
        for name in inline.data.get("PolicyNames") or []:
            answers.append(stack.need("iam", f"get_{kind}_policy", always=True, PolicyName=name, **who))
            rows += statements(answers[-1].data.get("PolicyDocument"))
        for policy in attached.data.get("AttachedPolicies") or []:
            arn = str(policy.get("PolicyArn"))
            about = stack.need("iam", "get_policy", always=True, PolicyArn=arn)
            version = str((about.data.get("Policy") or {}).get("DefaultVersionId"))
            answers += [about, stack.need("iam", "get_policy_version", always=True, PolicyArn=arn, VersionId=version)]
            rows += statements((answers[-1].data.get("PolicyVersion") or {}).get("Document"))
        if kind == "user":
            groups = stack.need("iam", "list_groups_for_user", always=True, **who)
            answers.append(groups)
            if groups.data.get("Groups"):
                names = ", ".join(str(g.get("GroupName")) for g in groups.data["Groups"])
                raise Unreadable(f"{found[2]} is in {names}, whose policies are not looked at: sign in with a role")
        return cls({"statements": rows}, caller.principal, caller, *answers)


@requirement("IAM-05", title="Who deploys may not do everything", severity=HIGH, guide=97)
def deployer_is_narrow(policies: DeployPolicies) -> Outcome:
    """The guide's policy gives ten services whole and PassRole on every role: whoever holds it can become anyone."""
    rows = policies.rows("statements")
    if not rows:
        raise NotThere(f"{policies.subject} has no policy of its own", evidence=policies.evidence)
    wide = wide_grants(rows)
    kind, name = policies.subject.split(":")[-1].split("/")[0], policies.subject.rsplit("/", 1)[-1]
    return judged(
        not wide,
        expected="no service:* on *, no PassRole on every role",
        observed=wide or f"{len(rows)} statements, none wide",
        remedy=f"aws iam put-{kind}-policy --{kind}-name {name} --policy-name cutover "
        "--policy-document file://docs/iam-policy.json   # then take the wide one away",
    )


class AccessKeys(View):
    """The access keys of the account's users: `keys`, each with its user, age and state."""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """User by user; no user at all is an answer: people then sign in through roles."""
        users = stack.need("iam", "list_users", always=True)
        names = [str(u.get("UserName")) for u in users.data.get("Users") or []]
        if len(names) > _MOST_USERS:
            raise Unreadable(
                f"{len(names)} users: aws iam generate-credential-report lists their keys in one call",
                evidence=(users.evidence,) if users.evidence else (),
            )
        answers = [stack.need("iam", "list_access_keys", always=True, UserName=n) for n in names]
        rows = [k for a in answers for k in a.data.get("AccessKeyMetadata") or []]
        return cls({"keys": rows, "users": names}, "access keys", users, *answers)


@requirement("IAM-07", title="No access key is older than its limit", severity=MEDIUM)
def keys_are_young(keys: AccessKeys, stack: Stack, expect: IamExpectation) -> Outcome:
    """A key that never changes is in every backup of every laptop that ever held it."""
    old = []
    for key in keys.rows("keys"):
        age = (stack.now - parse_moment(key.get("CreateDate"), "CreateDate")).days
        if key.get("Status") == "Active" and age > expect.key_days:
            old.append((str(key.get("UserName")), str(key.get("AccessKeyId")), age))
    return judged(
        not old,
        expected=f"none older than {expect.key_days} days",
        observed=[f"{user}: …{key[-4:]}, {age} days" for user, key, age in old] or f"{len(keys.rows('keys'))} keys",
        remedy="\n".join(
            f"aws iam update-access-key --user-name {u} --access-key-id {k} --status Inactive" for u, k, _ in old
        ),
    )
