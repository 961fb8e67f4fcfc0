"""Looks at BullMQ's queues in Redis, stills them, and carries them over: depths, draining, pausing, copying."""

from cutover.queue.carry import CarryQueues
from cutover.queue.compare import compare_queues
from cutover.queue.contents import Contents, Job, read_contents
from cutover.queue.depth import QueueDepth, check_drained, holds_none, read_queues
from cutover.queue.pause import PauseQueues
from cutover.queue.preflight import preflight

__all__ = [
    "CarryQueues",
    "Contents",
    "Job",
    "PauseQueues",
    "QueueDepth",
    "check_drained",
    "compare_queues",
    "holds_none",
    "preflight",
    "read_contents",
    "read_queues",
]
