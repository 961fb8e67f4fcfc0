"""A copy that follows its source: the second way of the transfer, with writes refused for seconds only."""

from cutover.postgres.replication.end import (
    EndReplication,
    allow_writes,
    check_ended,
    end_replication,
    pause_replication,
    resume_replication,
)
from cutover.postgres.replication.fence import Fence, check_fence, record_switchover_lsn, sync_sequences, wait_replayed
from cutover.postgres.replication.link import Link, LinkState, link_state
from cutover.postgres.replication.preflight import check_reach, check_replication
from cutover.postgres.replication.schema import fill_views, missing_objects
from cutover.postgres.replication.start import GiveReplicaIdentity, StartReplication
from cutover.postgres.replication.watch import check_following, check_schema, lag_of

__all__ = [
    "EndReplication",
    "Fence",
    "GiveReplicaIdentity",
    "Link",
    "LinkState",
    "StartReplication",
    "allow_writes",
    "check_ended",
    "check_fence",
    "check_following",
    "check_reach",
    "check_replication",
    "check_schema",
    "end_replication",
    "fill_views",
    "lag_of",
    "link_state",
    "missing_objects",
    "pause_replication",
    "record_switchover_lsn",
    "resume_replication",
    "sync_sequences",
    "wait_replayed",
]
