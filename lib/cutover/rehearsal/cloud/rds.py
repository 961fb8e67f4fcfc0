"""RDS as moto lacks it: what DescribeDBInstances leaves out, and where the database really answers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.models import DBInstance, DBInstanceAutomatedBackup
from moto.rds.responses import RDSResponse

from cutover.rehearsal.cloud.elasticache import tagged_address
from cutover.rehearsal.cloud.extension import extend

_moto_instance = DBInstance.__init__
_GP3_IOPS = 3000
"""The baseline of gp3, which DescribeDBInstances reports (RDS User Guide, "gp3 storage")."""
_KEYS = uuid.UUID("6f0e4f5a-0f5e-4b7a-9c39-7d1b8f2f3a11")
"""Names the region's `aws/rds` key, always the same."""
_CA_YEARS = 38
"""`rds-ca-rsa2048-g1` is valid until 2061 (RDS User Guide, "Using SSL/TLS")."""


def install() -> None:
    """Give moto's RDS these operations."""
    extend(DBInstance, Instance)
    extend(RDSResponse, Responses)
    extend(DBInstanceAutomatedBackup, Backup)
    kept = {"enable_performance_insights": False, "performance_insights_retention_period": None}

    def keeping(self: Any, *args: Any, **kwargs: Any) -> None:
        _moto_instance(self, *args, **kwargs)
        for name, default in kept.items():
            setattr(self, name, kwargs.get(name, default))
        if self.storage_type == "gp3" and not self.iops:
            self.iops = _GP3_IOPS
        if self.kms_key_id == "default_kms_key_id":
            self.kms_key_id = f"arn:aws:kms:{self.region}:{self.account_id}:key/{uuid.uuid5(_KEYS, self.region)}"

    setattr(DBInstance, "__init__", keeping)  # noqa: B010 - moto's method, replaced on purpose


class Instance:
    """Set on moto's `DBInstance`; its serialiser reads the attributes of an answer by their names."""

    region: str
    multi_az: bool
    availability_zone: str
    db_instance_identifier: str
    ca_certificate_identifier: str
    is_replica: bool
    tags: list[dict[str, str]]
    pending_modified_values: dict[str, Any] = {}  # noqa: RUF012 - moto applies every change at once

    @property
    def address(self) -> str:
        """The address that the instance's tag names, for a database that really answers there."""
        named = tagged_address(self.tags, self.db_instance_identifier)
        return named or f"{self.db_instance_identifier}.cutover00000.{self.region}.rds.amazonaws.com"

    @property
    def secondary_availability_zone(self) -> str | None:
        """Where the standby is."""
        other = "b" if self.availability_zone.endswith("a") else "a"
        return self.availability_zone[:-1] + other if self.multi_az else None

    @property
    def performance_insights_enabled(self) -> bool:
        """Under the name that DescribeDBInstances has for what CreateDBInstance calls otherwise."""
        return bool(getattr(self, "enable_performance_insights", False))

    @property
    def certificate_details(self) -> dict[str, Any]:
        """The server certificate: as the CA's, which has decades."""
        return {
            "CAIdentifier": "rds-ca-rsa2048-g1",
            "ValidTill": datetime.now(UTC).replace(microsecond=0) + timedelta(days=365 * _CA_YEARS),
        }

    @property
    def status_infos(self) -> list[dict[str, Any]]:
        """A replica's replication."""
        if not self.is_replica:
            return []
        return [{"StatusType": "read replication", "Normal": True, "Status": "replicating"}]


class Backup:
    """Set on moto's `DBInstanceAutomatedBackup`."""

    backend: Any
    db_instance_identifier: str

    @property
    def restore_window(self) -> dict[str, Any]:
        """From the instance's creation until now: moto's LatestRestorableTime is now, too."""
        instance = self.backend.databases.get(self.db_instance_identifier)
        now = datetime.now(UTC).replace(microsecond=0)
        since = instance.instance_create_time if instance else now
        return {"EarliestTime": since, "LatestTime": now}


class Responses:
    """Set on moto's `RDSResponse`."""

    def describe_pending_maintenance_actions(self: Any) -> Any:
        """DescribePendingMaintenanceActions: the emulated account has none."""
        return ActionResult({"PendingMaintenanceActions": []})
