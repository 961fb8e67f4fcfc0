"""The network interfaces that AWS really made for the stack, and the security groups that they use."""

from __future__ import annotations

from cutover.aws.requirements.answers import Ask, Unreadable
from cutover.aws.requirements.network import Vpc
from cutover.aws.requirements.requirement import MEDIUM, Outcome, judged, requirement
from cutover.aws.requirements.security_groups import AlbGroup, EcsGroup, RdsGroup, RedisGroup
from cutover.aws.requirements.stack import Stack
from cutover.aws.requirements.view import View


class Interfaces(View):
    """The interfaces in the stack's VPC."""

    needs = (Vpc,)

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """None is MISSING."""
        vpc = stack.view(Vpc)
        wanted = {"Filters": [{"Name": "vpc-id", "Values": [vpc.subject]}]}
        return Ask("ec2", "describe_network_interfaces", wanted, f"network interface in {vpc.subject}",
                   rows="NetworkInterfaces", many=True, name=vpc.subject, after=(vpc,))  # fmt: skip


@requirement(
    "SG-09", title="Every network interface uses the security group that was checked", severity=MEDIUM, guide=636
)
def interfaces_wear_their_groups(
    interfaces: Interfaces, alb: AlbGroup, ecs: EcsGroup, rds: RdsGroup, redis: RedisGroup, stack: Stack
) -> Outcome:
    """The rules of a group that nothing uses protect nothing; a second group on an interface adds its own rules."""
    wanted = {
        f"ELB app/{stack.migration.target.load_balancer}/": alb,
        "RDSNetworkInterface": rds,
        "ElastiCache": redis,
        "arn:aws:ecs:": ecs,
    }
    seen, bad = 0, []
    for interface in interfaces.rows("NetworkInterfaces"):
        about = str(interface.get("Description", ""))
        group = next((g for start, g in wanted.items() if about.startswith(start)), None)
        if group is None:
            continue
        seen += 1
        used = {str(g.get("GroupId")) for g in interface.get("Groups", [])}
        if used != {group.subject}:
            bad.append(f"{interface.get('NetworkInterfaceId')} ({about[:40]}) uses {', '.join(sorted(used)) or 'none'}")
    if not seen:
        raise Unreadable("no interface says that it belongs to balancer, tasks, database or queue")
    return judged(
        not bad,
        expected="each exactly its own",
        observed=bad or f"{seen} interfaces, each its own",
        remedy="aws ec2 modify-network-interface-attribute --network-interface-id … --groups …",
    )
