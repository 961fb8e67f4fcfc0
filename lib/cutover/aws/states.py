"""In which states a database instance or a queue serves its clients, and in which it does not.

A resource that is backed up, or whose storage is optimised, serves as before, for hours: `available` is not the only
state that is good. A state that no table names is not guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class States:
    """The states of one kind of resource.

    Attributes:
        serving: clients are served in them.
        stopped: clients are not, or may lose their sessions at any moment.
        prefixes: how other states begin in which clients are not served.
    """

    serving: tuple[str, ...]
    stopped: tuple[str, ...]
    prefixes: tuple[str, ...] = ()

    def serves(self, state: str) -> bool | None:
        """Whether clients are served in a state; None when it is not known."""
        if state in self.serving:
            return True
        return False if state in self.stopped or state.startswith(self.prefixes or ("\0",)) else None


INSTANCE = States(
    serving=(
        "available",
        "backing-up",
        "configuring-enhanced-monitoring",
        "configuring-iam-database-auth",
        "configuring-log-exports",
        "storage-config-upgrade",
        "storage-initialization",
        "storage-optimization",
    ),
    stopped=(
        "converting-to-vpc",
        "creating",
        "delete-precheck",
        "deleting",
        "failed",
        "insufficient-capacity",
        "maintenance",
        "modifying",
        "moving-to-vpc",
        "rebooting",
        "renaming",
        "resetting-master-credentials",
        "restore-error",
        "starting",
        "stopped",
        "stopping",
        "storage-full",
        "upgrading",
    ),
    prefixes=("incompatible-", "inaccessible-"),
)
"""RDS's DBInstanceStatus (Amazon RDS User Guide, "Viewing Amazon RDS DB instance status").

The guide calls the instance operational while its storage is optimised, initialised or its configuration upgraded; a
backup of a Multi-AZ instance is taken from its standby. `modifying` may restart it, so it counts as not serving.
"""

GROUP = States(
    serving=("available", "snapshotting"),
    stopped=("create-failed", "creating", "deleting", "modifying"),
    prefixes=("incompatible-",),
)
"""ElastiCache's status of a replication group (API reference, ReplicationGroup: creating, available, modifying,
deleting, create-failed, snapshotting). A snapshot is taken while the group serves; `modifying` may end in a failover.
"""

CAN_BE_COPIED = ("available", "storage-optimization")
"""The states of an RDS instance from which a snapshot can be made (API reference, CreateDBSnapshot)."""
