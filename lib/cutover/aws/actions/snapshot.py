"""Takes the database snapshot of the day, and believes it only when it is read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cutover.action import Change, Plan
from cutover.aws.account import Account
from cutover.aws.actions.wait import look_until, pause_s
from cutover.aws.problem import Problem
from cutover.aws.states import CAN_BE_COPIED, INSTANCE
from cutover.errors import AwsError
from cutover.finding import Finding, Severity, Status


class TakeSnapshot:
    """A manual snapshot of the production instance.

    Args:
        account: whose instance.
        name: the snapshot's identifier; one that exists already, of the same instance, is taken as done.
        timeout_s: how long it may take (the waiter's 10 minutes are too few for a large volume).
        progress: told each state that is seen.
    """

    name = "take-snapshot"

    def __init__(
        self,
        account: Account,
        name: str,
        *,
        timeout_s: float = 2700,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.account, self.identifier, self.timeout_s, self.progress = account, name, timeout_s, progress
        self.instance = account.migration.expect.rds.instance

    def plan(self) -> Plan:
        """The call; empty when the snapshot is there.

        Raises:
            AwsError: instance or snapshot cannot be read, or a snapshot of another instance has that name.
        """
        self.account.call("rds", "describe_db_instances", fresh=True, DBInstanceIdentifier=self.instance).require(
            f"see RDS-01 in notebook 02: is there an instance {self.instance}?"
        )
        found = self._look()
        if found and found.get("DBInstanceIdentifier") not in (None, self.instance):
            raise AwsError(
                f"The snapshot {self.identifier} is one of {found['DBInstanceIdentifier']}, not of {self.instance}.",
                todo="give it another name",
            )
        there = bool(found) and found.get("Status") == "available"
        arguments = {
            "DBInstanceIdentifier": self.instance,
            "DBSnapshotIdentifier": self.identifier,
            "Tags": [{"Key": "Project", "Value": self.account.migration.name}],
        }
        return Plan(
            action=self.name,
            subject=self.instance,
            summary=f"The snapshot {self.identifier} is there."
            if there
            else f"Take the snapshot {self.identifier} of {self.instance}.",
            requests=() if found else ({"call": "rds.create_db_snapshot", "arguments": arguments},),
            before={"snapshot": str(found.get("Status", "")) if found else ""},
            after={"snapshot": "available"},
            undo="delete the snapshot, if this step made it",
            empty=there,
        )

    def apply(self, plan: Plan) -> Mapping[str, Any]:
        """Create it and wait until it is available, failed, or the time is over.

        An instance that is backed up or configured just now is waited for: RDS would refuse the snapshot.

        Raises:
            AwsError: RDS refused, or the instance did not come to a state in which a snapshot can be made.
        """
        created = ""
        if plan.requests:
            self._wait_for_the_instance()
            sent = self.account.change("rds", "create_db_snapshot", **plan.requests[0]["arguments"])
            created = sent.request_id or "created"
        state, ended = look_until(
            self._look,
            lambda s: str(s.get("Status", "")) in ("available", "failed", "deleted"),
            timeout_s=0 if plan.empty else self.timeout_s,
            every_s=pause_s(self.account, 15),
        )
        self.account.forget("rds")
        return {
            "changed": bool(created),
            "snapshot": self.identifier,
            "arn": str(state.get("DBSnapshotArn", "")),
            "status": str(state.get("Status", "")),
            "timed_out": not ended,
            "request_id": created,
        }

    def verify(self, change: Change) -> list[Finding]:
        """It is available, whole, encrypted, and of the right instance."""
        found = self._look()
        state = f"{found.get('Status')}, {found.get('PercentProgress', 100)} %"
        seen = f"{state}, encrypted {found.get('Encrypted')}, of {found.get('DBInstanceIdentifier')}"
        good = (
            found.get("Status") == "available"
            and int(found.get("PercentProgress", 100)) == 100
            and found.get("Encrypted") is True
            and found.get("DBInstanceIdentifier") == self.instance
        )
        return [
            Finding.check(
                "SNP-01",
                "The snapshot can be restored",
                Status.MISSING if not found else Status.PASS if good else Status.FAIL,
                severity=Severity.BLOCKER,
                subject=str(found.get("DBSnapshotArn") or self.identifier),
                expected=f"available, 100 %, encrypted True, of {self.instance}",
                observed=seen if found else "no such snapshot",
                note="it is the way back when the import damages what stood there before",
                remedy=f"aws rds describe-db-snapshots --db-snapshot-identifier {self.identifier}",
            )
        ]

    def undo(self, change: Change) -> Mapping[str, Any]:
        """Delete it, if this step made it.

        Raises:
            AwsError: RDS refused.
        """
        if not change.result.get("changed") or not self._look():
            return {"changed": False}
        sent = self.account.change("rds", "delete_db_snapshot", DBSnapshotIdentifier=self.identifier)
        return {"changed": True, "request_id": sent.request_id}

    def _wait_for_the_instance(self) -> None:
        def state() -> str:
            answer = self.account.call("rds", "describe_db_instances", fresh=True, DBInstanceIdentifier=self.instance)
            rows = answer.require().get("DBInstances") or [{}]
            return str(rows[0].get("DBInstanceStatus") or "not told")

        last, ready = look_until(
            state,
            lambda seen: seen in CAN_BE_COPIED or INSTANCE.serves(seen) is not True,
            timeout_s=self.timeout_s,
            every_s=pause_s(self.account, 15),
        )
        if not ready or last not in CAN_BE_COPIED:
            raise AwsError(
                f"No snapshot can be made of {self.instance}: its state is {last}.",
                todo=f"aws rds wait db-instance-available --db-instance-identifier {self.instance}; then run again",
            )

    def _look(self) -> Mapping[str, Any]:
        answer = self.account.call("rds", "describe_db_snapshots", fresh=True, DBSnapshotIdentifier=self.identifier)
        if answer.problem is Problem.NOT_FOUND:
            return {}
        rows = answer.require().get("DBSnapshots") or []
        found: Mapping[str, Any] = rows[0] if rows else {}
        if self.progress and found:
            self.progress(f"{found.get('Status')}, {found.get('PercentProgress')} %")
        return found
