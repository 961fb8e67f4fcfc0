"""Looks at and stills BullMQ's queues in Redis: depths, draining, pausing."""

from cutover.queue.depth import QueueDepth, check_drained, read_queues
from cutover.queue.pause import PauseQueues

__all__ = ["PauseQueues", "QueueDepth", "check_drained", "read_queues"]
