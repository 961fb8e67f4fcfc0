"""The chain of security groups: world → balancer → tasks → database and queue, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Self

from cutover.aws.requirements.answers import Ask, NotApplicable, NotThere
from cutover.aws.requirements.network import Vpc
from cutover.aws.requirements.requirement import BLOCKER, HIGH, LOW, Outcome, judged, requirement, show
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View
from cutover.expectations import EcsExpectation, NetworkExpectation, RdsExpectation, RedisExpectation

Rule = tuple[str, int, int, str]
"""Protocol, first and last port (-1 for all), source: a CIDR, a group's id or a prefix list's id."""

WORLD = frozenset({"0.0.0.0/0", "::/0"})


class Group(View):
    """One security group; a subclass says which."""

    needs = (Vpc,)
    expectation: str = ""

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """By name or id, in the stack's VPC before any other."""
        try:
            vpc = stack.view(Vpc).subject
        except NotThere:
            vpc = ""
        try:
            return cls.answered(stack, cls._named(stack, vpc))
        except NotThere:
            return cls.answered(stack, cls._named(stack, ""))

    @classmethod
    def _named(cls, stack: Stack, vpc: str) -> Ask:
        name = getattr(stack.expect.network, cls.expectation)
        return Ask(
            "ec2",
            "describe_security_groups",
            what=f"security group {name}",
            rows="SecurityGroups",
            match=lambda g: name in (g.get("GroupName"), g.get("GroupId")) and vpc in ("", g.get("VpcId")),
            subject="GroupId",
        )

    @property
    def inbound(self) -> set[Rule]:
        """Every inbound rule, one for each source."""
        return {rule for permission in self.rows("IpPermissions") for rule in _rules(permission)}


class AlbGroup(Group):
    """The balancer's."""

    expectation = "alb_group"


class EcsGroup(Group):
    """The tasks'."""

    expectation = "ecs_group"


class RdsGroup(Group):
    """The database's."""

    expectation = "rds_group"


class RedisGroup(Group):
    """The queue's."""

    expectation = "redis_group"


def _rules(permission: Mapping[str, Any]) -> set[Rule]:
    protocol = str(permission.get("IpProtocol", ""))
    first, last = int(permission.get("FromPort", -1)), int(permission.get("ToPort", -1))
    sources = [r.get("CidrIp") for r in permission.get("IpRanges", [])]
    sources += [r.get("CidrIpv6") for r in permission.get("Ipv6Ranges", [])]
    sources += [r.get("GroupId") for r in permission.get("UserIdGroupPairs", [])]
    sources += [r.get("PrefixListId") for r in permission.get("PrefixListIds", [])]
    return {(protocol, first, last, str(s)) for s in sources if s}


def _say(rules: set[Rule]) -> str:
    words = [f"{p} {a if a == b else f'{a}-{b}'} from {source}" for p, a, b, source in sorted(rules)]
    return show([w.replace("-1 -1 from", "everything from") for w in words])


def _public_port(group: Group, port: int) -> Outcome:
    wanted = {r for r in group.inbound if r[:3] == ("tcp", port, port) and (r[3] in WORLD or r[3].startswith("pl-"))}
    other = {r for r in group.inbound if r[0] != "tcp" or r[1] != r[2] or r[1] not in (80, 443)}
    return judged(
        bool(wanted) and not other,
        expected=f"tcp {port} from 0.0.0.0/0 (or CloudFront's prefix list), and nothing but 80 and 443",
        observed=_say(group.inbound),
        remedy="\n".join(
            ([] if wanted else [_allow(group, port, "--cidr 0.0.0.0/0")])
            + (
                [f"aws ec2 revoke-security-group-ingress --group-id {group.subject} …   # {_say(other)}"]
                if other
                else []
            )
        ),
    )


def _only_from(group: Group, port: int, source: Group) -> Outcome:
    wanted = {("tcp", port, port, source.subject)}
    other = group.inbound - wanted
    return judged(
        group.inbound == wanted,
        expected=_say(wanted) + ", nothing else",
        observed=_say(group.inbound),
        remedy="\n".join(
            ([] if wanted <= group.inbound else [_allow(group, port, f"--source-group {source.subject}")])
            + (
                [f"aws ec2 revoke-security-group-ingress --group-id {group.subject} …   # {_say(other)}"]
                if other
                else []
            )
        ),
    )


def _allow(group: Group, port: int, source: str) -> str:
    return f"aws ec2 authorize-security-group-ingress --group-id {group.subject} --protocol tcp --port {port} {source}"


@requirement("SG-01", title="The load balancer accepts 443 (and 80) only", severity=BLOCKER, guide=644)
def balancer_https(group: AlbGroup) -> Outcome:
    """Visitors come in here and nowhere else."""
    return _public_port(group, 443)


@requirement("SG-02", title="The load balancer accepts 80 for the redirect", severity=BLOCKER, guide=648)
def balancer_http(group: AlbGroup) -> Outcome:
    """Without it, http:// links to the platform end in a timeout."""
    return _public_port(group, 80)


@requirement("SG-03", title="Tasks accept traffic from the load balancer only", severity=BLOCKER, guide=657)
def tasks_from_balancer(group: EcsGroup, balancer: AlbGroup, expect: EcsExpectation) -> Outcome:
    """Closed, every health check fails; wider, TLS and the balancer can be bypassed."""
    return _only_from(group, expect.port, balancer)


@requirement("SG-04", title="The database accepts connections from the tasks only", severity=BLOCKER, guide=666)
def database_from_tasks(group: RdsGroup, tasks: EcsGroup, expect: RdsExpectation) -> Outcome:
    """Closed, the application cannot start; wider, the data stands open."""
    return _only_from(group, expect.port, tasks)


@requirement("SG-05", title="Redis accepts connections from the tasks only", severity=BLOCKER, guide=423)
def queue_from_tasks(group: RedisGroup, tasks: EcsGroup, expect: RedisExpectation) -> Outcome:
    """The guide forgets this group: without it no job is ever queued."""
    return _only_from(group, expect.port, tasks)


class Groups(View):
    """Those of the four groups that are there: `groups`, each as EC2 describes it."""

    needs = (AlbGroup, EcsGroup, RdsGroup, RedisGroup)

    @classmethod
    def read(cls, stack: Stack) -> Self:
        """One that is missing is another requirement's finding; none at all is MISSING here, too."""
        found: list[Group] = []
        kinds: tuple[type[Group], ...] = (AlbGroup, EcsGroup, RdsGroup, RedisGroup)
        for kind in kinds:
            with contextlib.suppress(NotThere):
                found.append(stack.view(kind))
        if not found:
            raise NotThere("none of the four security groups is there")
        return cls({"groups": found}, "security groups", *found)

    @property
    def behind(self) -> list[Group]:
        """All but the balancer's."""
        return [g for g in self.data["groups"] if not isinstance(g, AlbGroup)]


@requirement("SG-06", title="Nothing behind the balancer is open to the world", severity=HIGH, guide=632)
def nothing_else_is_open(groups: Groups) -> Outcome:
    """A database on the internet is found within the hour."""
    if not groups.behind:
        raise NotThere("none of the groups behind the balancer is there", evidence=groups.evidence)
    bad = {g.subject: _say({r for r in g.inbound if r[3] in WORLD}) for g in groups.behind}
    bad = {k: v for k, v in bad.items() if v != "nothing"}
    return judged(
        not bad,
        expected="no rule from 0.0.0.0/0 or ::/0",
        observed=bad or "none",
        remedy="\n".join(
            f"aws ec2 revoke-security-group-ingress --group-id {g} …   # {rules}" for g, rules in bad.items()
        ),
    )


@requirement("SG-07", title="The security groups are in the stack's VPC", severity=HIGH, guide=640)
def groups_are_in_the_vpc(vpc: Vpc, groups: Groups) -> Outcome:
    """The guide's commands have no --vpc-id: the groups land in the default VPC and cannot be attached."""
    strays = {g.subject: g.text("VpcId") for g in groups.data["groups"] if g.text("VpcId") != vpc.subject}
    return judged(
        not strays,
        expected=f"all in {vpc.subject}",
        observed=strays or f"all {len(groups.data['groups'])}",
        remedy=f"create them again with --vpc-id {vpc.subject}",
    )


@requirement("SG-08", title="Behind CloudFront, the load balancer accepts CloudFront only", severity=LOW, guide=644)
def balancer_from_cdn(stack: Stack, group: AlbGroup, expect: NetworkExpectation) -> Outcome:
    """Open to the world, the CDN and its firewall can be walked around."""
    if not stack.expect.cdn.enabled or not stack.expect.cdn.exclusive:
        raise NotApplicable("the name leads to the balancer itself (expect.cdn.exclusive is false)")
    open_to = {r[3] for r in group.inbound if r[1] == 443}
    if not open_to:
        raise NotThere(f"{expect.alb_group} takes nothing on 443")
    return judged(
        all(s.startswith("pl-") for s in open_to),
        expected="443 from com.amazonaws.global.cloudfront.origin-facing",
        observed=open_to,
        remedy=f"aws ec2 authorize-security-group-ingress --group-id {group.subject} "
        "--ip-permissions IpProtocol=tcp,FromPort=443,ToPort=443,PrefixListIds=[{PrefixListId=pl-…}]",
    )
