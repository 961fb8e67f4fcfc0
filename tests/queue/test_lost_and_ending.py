"""Jobs whose data is gone are named and never equal; keys that end keep their end, or are not copied at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from bullmq import Queue

from cutover.action import Change
from cutover.finding import Finding, Severity, Status
from cutover.queue import CarryQueues, PauseQueues, compare_queues, preflight, read_contents
from cutover.queue.contents import hollow_jobs
from cutover.queue.copying import Copier
from cutover.rehearsal import valkey as vk


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vk.ValkeyServer]:
    """A server of these tests' own."""
    with vk.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def here(server: vk.ValkeyServer) -> Iterator[redis.Redis]:
    """The source, empty like the target."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def there(server: vk.ValkeyServer) -> Iterator[redis.Redis]:
    """The target."""
    with redis.Redis.from_url(goal(server)) as client:
        yield client


def goal(server: vk.ValkeyServer) -> str:
    """The target's address."""
    return server.url[:-1] + "1"


def fill(server: vk.ValkeyServer) -> None:
    """Jobs in three states, by BullMQ's own client: 1 and 2 wait, 3 has a priority, 4 is delayed."""

    async def run() -> None:
        queue = Queue("reports", {"connection": server.url})
        for options in ({}, {}, {"priority": 3}, {"delay": 3_600_000}):
            await queue.add("report", {"number": 1}, options)
        await queue.close()

    asyncio.run(run())


def carry(server: vk.ValkeyServer) -> tuple[CarryQueues, Change]:
    """Freeze, plan and copy."""
    freeze = PauseQueues(server.url)
    paused = freeze.plan()
    freeze.apply(paused)
    action = CarryQueues(server.url, goal(server), paused_before=paused.before["paused"])
    plan = action.plan()
    return action, Change(plan, action.apply(plan), "", 0.0)


def lost(findings: list[Finding]) -> Finding:
    """The finding about jobs without data."""
    return next(f for f in findings if f.id == "QUE-14")


@pytest.mark.parametrize(
    ("job", "where", "command"),
    [
        ("1", "waiting at place 1", "LREM bull:reports:wait 0 1; LREM bull:reports:paused 0 1"),
        ("3", "prioritized", "ZREM bull:reports:prioritized 3"),
        ("4", "due ", "ZREM bull:reports:delayed 4"),
    ],
)
def test_a_job_whose_data_is_gone_is_named_on_the_source(
    server: vk.ValkeyServer, here: redis.Redis, job: str, where: str, command: str
) -> None:
    """Before anything is copied, by its id and place, with what removes it; then the gate opens."""
    fill(server)
    assert lost(preflight(server.url, goal(server))).status is Status.PASS
    here.delete(f"bull:reports:{job}")
    finding = lost(preflight(server.url, goal(server)))
    assert (finding.status, finding.closes_gate) == (Status.FAIL, True)
    assert f"1 without: reports job {job}, {where}" in finding.observed
    assert command in finding.remedy
    for one in command.split("; "):
        here.execute_command(*one.split())
    assert lost(preflight(server.url, goal(server))).status is Status.PASS


def test_a_job_without_data_is_never_equal_to_itself(server: vk.ValkeyServer, here: redis.Redis) -> None:
    """After the copy both sides hold the id and neither the data: not counted as compared, and the gate is closed."""
    fill(server)
    here.delete("bull:reports:1", "bull:reports:4")
    action, change = carry(server)
    for findings in (action.verify(change), compare_queues(server.url, goal(server))):
        finding = lost(findings)
        assert (finding.status, finding.severity, finding.data["count"]) == (Status.FAIL, Severity.BLOCKER, 2)
        assert "reports job 1, waiting at place 1" in finding.observed
        told = {f.id: f.observed for f in findings}
        assert told["QUE-05"] == "all 2 jobs of 1 queues are there"
        assert told["QUE-06"].startswith("2 compared")
    assert action.plan().empty  # copying again would bring no data


def test_finished_jobs_without_data_are_named_and_close_nothing(server: vk.ValkeyServer, here: redis.Redis) -> None:
    """Nobody takes them up again."""
    fill(server)
    here.zadd("bull:reports:completed", {"77": 1.0})
    finding = lost(preflight(server.url, goal(server)))
    assert (finding.status, finding.closes_gate) == (Status.FAIL, False)
    assert "reports job 77, completed (1)" in finding.observed


def test_what_older_clients_wake_their_workers_by_is_no_job(server: vk.ValkeyServer, here: redis.Redis) -> None:
    """BullMQ 4 puts `0:` and a time into the list."""
    fill(server)
    here.rpush("bull:reports:wait", "0:0", "0:1700000000000")
    assert lost(preflight(server.url, goal(server))).status is Status.PASS
    assert sorted(read_contents(server.url)["reports"].jobs) == ["1", "2", "3", "4"]


def test_a_queue_at_work_is_not_accused(server: vk.ValkeyServer, here: redis.Redis) -> None:
    """Jobs come and go, each whole, between the look at the list and the look at its hash."""
    fill(server)
    done = threading.Event()

    def work() -> None:
        with redis.Redis.from_url(server.url) as client:
            number = 100
            while not done.is_set():
                number += 1
                with client.pipeline(transaction=True) as pipe:
                    pipe.hset(f"bull:reports:{number}", mapping={"name": "quick", "timestamp": number})
                    pipe.lpush("bull:reports:wait", number)
                    pipe.lrem("bull:reports:wait", 0, str(number - 5))
                    pipe.delete(f"bull:reports:{number - 5}")
                    pipe.execute()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(20):
            assert hollow_jobs(here, "bull", "reports") == []
            assert read_contents(server.url)["reports"].hollow == []
    finally:
        done.set()
        worker.join()


class Slow(redis.Redis):
    """A client far away: before PTTL is answered, time goes by."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """Commands of which PTTL comes late."""
        return SlowPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class SlowPipeline(redis.client.Pipeline):
    """Asks one by one."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The answers in their order."""
        told = []
        for args, options in list(self.command_stack):
            if args[0] == "PTTL" and b"soon" in args[1]:
                time.sleep(0.15)
            told.append(self.immediate_execute_command(*args, **options))
        self.reset()
        return told


@pytest.mark.parametrize("dump", [True, False], ids=["DUMP and RESTORE", "by type"])
def test_a_key_that_ends_while_it_is_read_is_not_written(
    server: vk.ValkeyServer, here: redis.Redis, there: redis.Redis, dump: bool
) -> None:
    """It would never end on the target, and block its deduplicated job for ever; it is counted as gone."""
    here.set("bull:reports:de:soon", "1", px=100)
    here.set("bull:reports:de:later", "2", px=60_000)
    here.set("bull:reports:de:never", "3")
    keys = [f"bull:reports:de:{part}".encode() for part in ("later", "soon", "never", "not-there")]
    with Slow.from_url(server.url) as slow:
        copier = Copier(slow, there)
        copier.how = copier.how if dump else "by type"
        assert copier.copy(keys) == 2
    assert copier.gone == 2
    assert sorted(there.keys()) == [b"bull:reports:de:later", b"bull:reports:de:never"]
    assert there.pttl("bull:reports:de:never") == -1
    assert abs(there.pexpiretime("bull:reports:de:later") - here.pexpiretime("bull:reports:de:later")) < 100


def test_an_end_does_not_move_by_the_time_that_the_copy_takes(
    server: vk.ValkeyServer, here: redis.Redis, there: redis.Redis
) -> None:
    """And a key whose end has come before it is written is not there."""
    here.set("a", "1", px=300_000)
    here.set("b", "2", px=200)

    class Late(redis.Redis):
        def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
            time.sleep(0.3)
            return super().pipeline(transaction, shard_hint)

    with Late.from_url(goal(server)) as late:
        Copier(here, late).copy([b"a", b"b"])
    assert there.keys() == [b"a"]
    assert abs(there.pexpiretime("a") - here.pexpiretime("a")) < 100


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (lambda there: there.persist("bull:reports:de:once"), True),
        (lambda there: there.pexpire("bull:reports:de:once", 5_000), False),
        (lambda there: there.delete("bull:reports:de:once"), False),
        (lambda there: there.set("bull:reports:metrics:x", 1), False),
    ],
    ids=["it never ends", "it ends sooner", "it has ended", "a key of the target's own"],
)
def test_a_key_that_never_ends_on_the_target_alone_is_a_difference(
    server: vk.ValkeyServer,
    here: redis.Redis,
    there: redis.Redis,
    broken: Callable[[redis.Redis], Any],
    found: bool,
) -> None:
    """What ended meanwhile is not missing."""
    fill(server)
    here.set("bull:reports:de:once", "1", px=60_000)
    carry(server)
    broken(there)
    finding = next(f for f in compare_queues(server.url, goal(server)) if f.id == "QUE-06")
    assert finding.status is (Status.FAIL if found else Status.PASS)
    assert ("reports de:once ends by itself at the source, and never at the target" in finding.observed) is found
