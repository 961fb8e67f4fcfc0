"""The queues of the application: BullMQ's own client and workers on that home's Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from bullmq import Queue, Worker
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PREFIX = "bull"
RECONNECT_S = 0.5
Processor = Callable[[Any], Awaitable[Any]]
"""Does one job: takes BullMQ's Job, returns a JSON value that becomes its `returnvalue`."""


def connect(url: str, *, blocks: bool = False) -> redis.asyncio.Redis:
    """A client that gives up within a second, so that a lost Redis is an answer and not a wait.

    Args:
        url: `redis://` or `rediss://`.
        blocks: for a worker, whose BZPOPMIN waits for seconds.
    """
    return redis.asyncio.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=1,
        socket_timeout=8 if blocks else 1,
        retry=Retry(NoBackoff(), 0),
        max_connections=64,
    )


class Jobs:
    """Puts jobs into queues and processses them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = connect(url)
        self._queues: dict[str, Queue] = {}
        self._workers: list[Worker] = []
        self._starting: list[asyncio.Task[None]] = []
        self._closing = False

    async def add(self, queue: str, name: str, data: dict[str, Any]) -> str:
        """Add one job and return its id.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        if queue not in self._queues:
            self._queues[queue] = Queue(queue, {"connection": self._client, "prefix": PREFIX})
        kept = {"attempts": 3, "removeOnComplete": {"count": 1000}, "removeOnFail": {"count": 1000}}
        job = await self._queues[queue].add(name, data, kept)
        return str(job.id)

    def work(self, queue: str, processor: Processor, *, concurrency: int = 2) -> None:
        """Start to work off a queue, now or as soon as Redis answers."""
        self._starting.append(asyncio.ensure_future(self._work(queue, processor, concurrency)))

    async def _work(self, queue: str, processor: Processor, concurrency: int) -> None:
        async def process(job: Any, _token: str) -> Any:
            return await processor(job)

        while not self._closing:
            options = {
                "connection": connect(self._url, blocks=True),
                "prefix": PREFIX,
                "concurrency": concurrency,
                "lockDuration": 10_000,
                "stalledInterval": 2_000,
                "drainDelay": 2,
                "runRetryDelay": int(RECONNECT_S * 1000),
                "autorun": False,
            }
            worker = Worker(queue, process, options)
            worker.on("error", _ignore)
            self._workers.append(worker)
            # run() returns or raises when Redis is lost at the wrong moment; a worker is not started twice.
            with contextlib.suppress(RedisError, OSError):
                await worker.run()
            self._workers.remove(worker)
            await _close(worker, force=True)
            await asyncio.sleep(RECONNECT_S)

    async def close(self, *, grace_s: float) -> None:
        """Let jobs under way finish for at most `grace_s`; what is left becomes stalled and is taken up again."""
        self._closing = True
        closing = [asyncio.ensure_future(_close(worker, force=False)) for worker in self._workers]
        if closing:
            # BullMQ's close cannot be cancelled while a job runs; forcing it cancels the job and lets both end.
            _, late = await asyncio.wait(closing, timeout=grace_s)
            if late:
                await asyncio.gather(*(_close(worker, force=True) for worker in list(self._workers)))
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()


async def _close(worker: Worker, *, force: bool) -> None:
    with contextlib.suppress(RedisError, OSError, RuntimeError):
        await worker.close(force)


def _ignore(*_: object) -> None:
    """BullMQ raises in its own loop when nobody listens to its errors; it retries by itself."""
