"""Changes of the public name in Route 53: lower its TTL ahead of time, point it at another target, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cutover.action import Change, Plan
from cutover.aws.account import Account
from cutover.aws.actions.wait import look_until, pause_s
from cutover.errors import ActionRefused, AwsError
from cutover.finding import Finding, Severity, Status

Record = Mapping[str, Any]

_TYPES = ("A", "AAAA", "CNAME")


class _Name:
    """The records of `hostname`, and how a batch of changes is sent and followed."""

    name = ""

    def __init__(self, account: Account, *, timeout_s: float = 600) -> None:
        self.account, self.timeout_s = account, timeout_s
        self.hostname = account.migration.hostname.rstrip(".").lower()
        if account.migration.expect.dns.external:
            raise ActionRefused(
                f"DNS of {self.hostname} lives outside Route 53 (expect.dns.external).",
                todo="change the record with your DNS provider; the notebook's probe checks it",
            )

    def _zone(self) -> str:
        zones = self.account.call("route53", "list_hosted_zones").require().get("HostedZones", [])
        wanted = (self.account.migration.expect.dns.zone or "").rstrip(".").lower()
        found = []
        for zone in zones:
            name = zone["Name"].rstrip(".").lower()
            ours = name == wanted if wanted else self.hostname == name or self.hostname.endswith("." + name)
            if ours and not (zone.get("Config") or {}).get("PrivateZone"):
                found.append((len(name), zone["Id"].rsplit("/", 1)[-1]))
        if not found:
            raise AwsError(
                f"No public hosted zone holds {self.hostname}.",
                todo="set expect.dns.zone, or expect.dns.external: true where DNS lives elsewhere",
            )
        return str(max(found)[1])

    def _records(self, zone: str) -> list[Record]:
        answer = self.account.call("route53", "list_resource_record_sets", fresh=True, HostedZoneId=zone).require()
        mine = [
            r
            for r in answer.get("ResourceRecordSets", [])
            if r["Name"].rstrip(".").lower() == self.hostname and r["Type"] in _TYPES
        ]
        if any("SetIdentifier" in r for r in mine):
            raise ActionRefused(
                f"{self.hostname} has weighted or routed records.",
                why="which of them to replace is a decision, not a detail",
                todo="change them by hand, or leave one simple record",
            )
        return sorted(mine, key=lambda r: str(r["Type"]))

    def _send(self, zone: str, batch: Mapping[str, Any]) -> dict[str, Any]:
        sent = self.account.change("route53", "change_resource_record_sets", HostedZoneId=zone, ChangeBatch=batch)
        identifier = str(sent.data["ChangeInfo"]["Id"]).rsplit("/", 1)[-1]
        state, _ = look_until(
            lambda: self._change_state(identifier),
            lambda s: s == "INSYNC",
            timeout_s=self.timeout_s,
            every_s=pause_s(self.account, 5),
        )
        return {"change": identifier, "state": state, "at": sent.at, "request_id": sent.request_id, "zone": zone}

    def _send_planned(self, plan: Plan) -> dict[str, Any]:
        arguments = plan.requests[0]["arguments"]
        now, before = self._records(arguments["HostedZoneId"]), plan.before["records"]
        if len(now) != len(before) or not all(any(_same(r, b) for b in before) for r in now):
            raise ActionRefused(
                f"{self.hostname} is not as when this was planned: {'; '.join(map(describe, now)) or 'no record'}.",
                why="the approval was given for another change",
                todo="run the notebook again: it plans anew",
            )
        return self._send(arguments["HostedZoneId"], arguments["ChangeBatch"])

    def _change_state(self, identifier: str) -> str:
        answer = self.account.call("route53", "get_change", fresh=True, Id=identifier)
        return str(answer.data["ChangeInfo"]["Status"]) if answer.ok else f"{answer.problem}: {answer.error_code}"

    def _batch(self, now: Sequence[Record], wanted: Sequence[Record], comment: str) -> dict[str, Any]:
        """One batch, all or nothing: DELETE what goes (with its exact values), UPSERT what comes.

        Not CREATE: a second cutover after a way back would be refused by servers that remember the first.
        """
        kept = {w["Type"] for w in wanted}
        going = [r for r in now if r["Type"] not in kept]
        coming = [w for w in wanted if not any(_same(r, w) for r in now)]
        changes = [{"Action": "DELETE", "ResourceRecordSet": dict(r)} for r in going]
        changes += [{"Action": "UPSERT", "ResourceRecordSet": dict(w)} for w in coming]
        return {"Comment": comment, "Changes": changes}

    def _put_back(self, records: Sequence[Record], comment: str) -> dict[str, Any]:
        zone = self._zone()
        batch = self._batch(self._records(zone), records, comment)
        if not batch["Changes"]:
            return {"changed": False}
        return {"changed": True, **self._send(zone, batch)}

    def verify(self, change: Change) -> list[Finding]:
        """The zone lists what was wanted, and Route 53's servers all know it."""
        zone, wanted = str(change.plan.before["zone"]), list(change.plan.after["records"])
        now = self._records(zone)
        listed = len(now) == len(wanted) and all(any(_same(r, w) for r in now) for w in wanted)
        identifier = str(change.result.get("change", ""))
        found = [
            Finding.check(
                "CUT-01",
                "The zone holds the wanted record",
                not listed,
                severity=Severity.BLOCKER,
                subject=self.hostname,
                expected="; ".join(map(describe, wanted)),
                observed="; ".join(map(describe, now)) or "no record",
                note="visitors follow this record",
                remedy=f"aws route53 list-resource-record-sets --hosted-zone-id {zone}",
            ),
        ]
        if not identifier:
            return found
        state = self._change_state(identifier)
        status = {"INSYNC": Status.PASS, "PENDING": Status.FAIL}.get(state, Status.UNKNOWN)
        return [
            *found,
            Finding.check(
                "CUT-02",
                "Route 53's servers all answer it",
                status,
                severity=Severity.BLOCKER,
                subject=f"{self.hostname}, change {identifier}",
                expected="INSYNC",
                observed=state,
                note="while the change is pending, visitors are sent to either side",
                remedy=f"aws route53 get-change --id {identifier}",
            ),
        ]


class SwitchDns(_Name):
    """Point the public name at the load balancer (alias A), or at any other host (CNAME): one batch, all or nothing.

    Args:
        account: whose zone.
        target: the load balancer's name or DNS name; another host name becomes a CNAME (the way back to the source).
            The balancer of the parameters when None.
        ttl_s: of a CNAME; an alias has none.
    """

    name = "switch-dns"

    def __init__(self, account: Account, target: str | None = None, *, ttl_s: int = 60, timeout_s: float = 600) -> None:
        super().__init__(account, timeout_s=timeout_s)
        self.target = target or account.migration.target.load_balancer
        self.ttl_s = ttl_s

    def plan(self) -> Plan:
        """The batch and its inverse; empty when the name points there already.

        Raises:
            AwsError: zone, record or balancer cannot be read.
            ActionRefused: the record is not a simple one.
        """
        zone = self._zone()
        now, wanted = self._records(zone), self._wanted()
        if not now:
            raise AwsError(
                f"{self.hostname} has no record to switch.",
                why="without the old record there is no way back to record",
                todo="create it first, with a TTL of 60 s, pointing on the source",
            )
        batch = self._batch(now, wanted, f"cutover of {self.hostname}")
        inverse = self._batch(wanted, now, f"way back of {self.hostname}")
        call = {"HostedZoneId": zone, "ChangeBatch": batch}
        there = not batch["Changes"]
        return Plan(
            action=self.name,
            subject=self.hostname,
            summary=f"{self.hostname} points at {self.target} already."
            if there
            else f"Point {self.hostname} from {'; '.join(map(describe, now))} to {'; '.join(map(describe, wanted))}.",
            requests=() if there else ({"call": "route53.change_resource_record_sets", "arguments": call},),
            before={"zone": zone, "records": [dict(r) for r in now], "inverse": inverse},
            after={"records": [dict(r) for r in wanted]},
            undo="the inverse batch, as recorded",
            empty=there,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Send the batch and wait until Route 53 is in sync.

        Raises:
            AwsError: Route 53 refused; a batch is all or nothing, so nothing changed.
        """
        if plan.empty:
            return {"changed": False}
        sent = self._send_planned(plan)
        return {"changed": True, "inverse": plan.before["inverse"], **sent}

    def undo(self, change: Change) -> Mapping[str, Any]:
        """The records as they were before; nothing when they are so already.

        Raises:
            AwsError: Route 53 refused.
        """
        return self._put_back(change.plan.before["records"], f"way back of {self.hostname}")

    def _wanted(self) -> list[Record]:
        balancer = self._balancer()
        if balancer is None:
            return [
                {
                    "Name": self.hostname + ".",
                    "Type": "CNAME",
                    "TTL": self.ttl_s,
                    "ResourceRecords": [{"Value": self.target.rstrip(".")}],
                }
            ]
        alias = {
            "HostedZoneId": balancer["CanonicalHostedZoneId"],
            "DNSName": str(balancer["DNSName"]).rstrip(".") + ".",
            "EvaluateTargetHealth": True,
        }
        types = ["A", "AAAA"] if str(balancer.get("IpAddressType", "")).startswith("dualstack") else ["A"]
        return [{"Name": self.hostname + ".", "Type": kind, "AliasTarget": alias} for kind in types]

    def _balancer(self) -> Mapping[str, Any] | None:
        if "." in self.target:
            rows = self.account.call("elbv2", "describe_load_balancers").require().get("LoadBalancers", [])
            wanted = self.target.rstrip(".").lower()
            return next((r for r in rows if str(r.get("DNSName", "")).lower() == wanted), None)
        answer = self.account.call("elbv2", "describe_load_balancers", Names=[self.target])
        rows = answer.require(f"see ALB-01 in notebook 02: is there a balancer {self.target}?").get("LoadBalancers", [])
        if not rows:
            raise AwsError(f"There is no load balancer {self.target}.", todo="see ALB-01 in notebook 02")
        return dict(rows[0])


class LowerTtl(_Name):
    """Lower (or restore) the TTL of the public name; the old value is recorded, and from when the cutover is safe.

    A record that is an alias has no TTL: there is nothing to do.
    """

    name = "lower-ttl"

    def __init__(self, account: Account, ttl_s: int, *, timeout_s: float = 600) -> None:
        super().__init__(account, timeout_s=timeout_s)
        self.ttl_s = ttl_s

    def plan(self) -> Plan:
        """The upsert; empty when the TTL is as wanted, or the record an alias.

        Raises:
            AwsError: zone or record cannot be read.
        """
        zone = self._zone()
        now = self._records(zone)
        if not now:
            raise AwsError(f"{self.hostname} has no record.", todo="create it first, pointing on the source")
        timed = [r for r in now if "TTL" in r]
        wanted = [{**r, "TTL": self.ttl_s} if "TTL" in r else dict(r) for r in now]
        old = max((int(r["TTL"]) for r in timed), default=0)
        there = all(int(r["TTL"]) == self.ttl_s for r in timed)
        batch = {
            "Comment": f"TTL of {self.hostname}",
            "Changes": [{"Action": "UPSERT", "ResourceRecordSet": w} for w in wanted if "TTL" in w],
        }
        summary = f"The TTL of {self.hostname} is {self.ttl_s} s already." if timed else f"{self.hostname} is an alias."
        call = {"HostedZoneId": zone, "ChangeBatch": batch}
        return Plan(
            action=self.name,
            subject=self.hostname,
            summary=summary if there else f"Set the TTL of {self.hostname} from {old} s to {self.ttl_s} s.",
            requests=() if there else ({"call": "route53.change_resource_record_sets", "arguments": call},),
            before={"zone": zone, "records": [dict(r) for r in now], "ttl_s": old},
            after={"records": wanted, "ttl_s": self.ttl_s},
            undo=f"set it to {old} s again",
            empty=there,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Send the upsert and wait until Route 53 is in sync.

        Returns:
            `old_ttl_s`, and `earliest_cutover`: the time of the change plus one old TTL, when every resolver forgot.

        Raises:
            AwsError: Route 53 refused.
        """
        if plan.empty:
            return {"changed": False, "old_ttl_s": plan.before["ttl_s"]}
        sent = self._send_planned(plan)
        old = int(plan.before["ttl_s"])
        earliest = datetime.fromisoformat(sent["at"]) + timedelta(seconds=old)
        return {"changed": True, "old_ttl_s": old, "earliest_cutover": earliest.isoformat(timespec="seconds"), **sent}

    def undo(self, change: Change) -> Mapping[str, Any]:
        """The old TTL; nothing when the record is so already, or has another type since (the cutover happened).

        Raises:
            AwsError: Route 53 refused.
        """
        before = list(change.plan.before["records"])
        zone = self._zone()
        now = self._records(zone)
        if [r["Type"] for r in now] != [r["Type"] for r in before] or any("AliasTarget" in r for r in now):
            return {"changed": False, "why": "the record is another one since; its TTL is not ours to restore"}
        old = {str(r["Type"]): r.get("TTL") for r in before}
        wanted = [{**r, "TTL": old[str(r["Type"])]} for r in now]
        if all(_same(a, b) for a, b in zip(now, wanted, strict=True)):
            return {"changed": False}
        changes = [{"Action": "UPSERT", "ResourceRecordSet": w} for w in wanted]
        return {"changed": True, **self._send(zone, {"Comment": f"TTL of {self.hostname}", "Changes": changes})}


def describe(record: Record) -> str:
    """A record in words."""
    alias = record.get("AliasTarget")
    if alias:
        return f"{record['Type']} alias {alias['DNSName']}"
    values = ", ".join(str(v["Value"]) for v in record.get("ResourceRecords") or [])
    return f"{record['Type']} {values} (TTL {record.get('TTL')} s)"


def _same(left: Record, right: Record) -> bool:
    return _normal(left) == _normal(right)


def _normal(record: Record) -> tuple[Any, ...]:
    alias = record.get("AliasTarget") or {}
    host = str(alias.get("DNSName", "")).rstrip(".").lower().removeprefix("dualstack.")
    values = tuple(sorted(str(v["Value"]).rstrip(".").lower() for v in record.get("ResourceRecords") or []))
    ttl = None if alias else record.get("TTL")
    return (record["Name"].rstrip(".").lower(), record["Type"], ttl, host, alias.get("HostedZoneId"), values)
