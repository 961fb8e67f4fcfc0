"""Queues are known by what their keys are: names with colons, names that cannot be told apart, and no queue at all."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from bullmq import Queue, Worker

from cutover.action import Change
from cutover.errors import ActionRefused, InstrumentError
from cutover.finding import Finding, Status
from cutover.queue import CarryQueues, PauseQueues, check_drained, compare_queues, preflight, read_contents, read_queues
from cutover.rehearsal import valkey as vk


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vk.ValkeyServer]:
    """A server in which nothing is but what a test puts there."""
    with vk.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def source(server: vk.ValkeyServer) -> Iterator[redis.Redis]:
    """Its first database, empty like the others."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def target(server: vk.ValkeyServer) -> str:
    """The address of another database."""
    return server.url[:-1] + "1"


def add(server: vk.ValkeyServer, name: str, count: int = 2) -> None:
    """Jobs, by BullMQ's own client, which takes any name."""

    async def run() -> None:
        queue = Queue(name, {"connection": server.url})
        for number in range(count):
            await queue.add(f"{name} {number}", {})
        await queue.close()

    asyncio.run(run())


def work_off(url: str, name: str, count: int) -> list[str]:
    """The names of the jobs that BullMQ's own worker takes."""

    async def run() -> list[str]:
        taken: list[str] = []

        async def process(job: Any, _: str) -> None:
            taken.append(job.name)

        worker = Worker(name, process, {"connection": url, "drainDelay": 1})
        for _ in range(200):
            await asyncio.sleep(0.02)
            if len(taken) >= count:
                break
        await worker.close()
        return taken

    return asyncio.run(run())


def found(server: vk.ValkeyServer, target: str) -> dict[str, Finding]:
    """The findings of the preflight by id."""
    return {f.id: f for f in preflight(server.url, target)}


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (("mail", "mail:low"), "mail and mail:low"),
        (("mail", "mail:eu:low"), "mail and mail:eu:low"),
        (("reports:daily", "reports:daily:failed"), "reports:daily and reports:daily:failed"),
    ],
)
def test_queues_that_cannot_be_told_apart_close_the_gate(
    server: vk.ValkeyServer, source: redis.Redis, target: str, names: tuple[str, str], pair: str
) -> None:
    """The longer one's keys look like jobs of the shorter one: named before anything is read, paused or copied."""
    for name in names:
        add(server, name)
    before = {key: source.dump(key) for key in source.scan_iter()}
    finding = found(server, target)["QUE-10"]
    assert (finding.status, finding.closes_gate) == (Status.FAIL, True)
    assert pair in finding.observed
    assert finding.remedy
    (drained,) = check_drained(server.url, 0)
    (compared,) = compare_queues(server.url, target)
    for refused in (drained, compared):
        assert (refused.status, refused.closes_gate) == (Status.UNKNOWN, True)
        assert pair in refused.why
    for action in (PauseQueues(server.url), CarryQueues(server.url, target)):
        with pytest.raises(ActionRefused, match=pair):
            action.plan()
    for read in (read_contents, read_queues):
        with pytest.raises(InstrumentError, match="cannot be told apart"):
            read(server.url)
    assert {key: source.dump(key) for key in source.scan_iter()} == before


@pytest.mark.parametrize(
    ("part", "kind"),
    [("wait", "list"), ("delayed", "zset"), ("events", "stream")],
)
def test_a_queue_within_a_queue_is_found_by_its_lists_alone(
    server: vk.ValkeyServer, source: redis.Redis, target: str, part: str, kind: str
) -> None:
    """Older clients write no `meta`; a job's own keys of that ending are of another type."""
    add(server, "mail")
    source.hset("bull:mail:low:failed", "child", "because")
    source.hset("bull:mail:x:meta", mapping={"name": "job", "data": "{}", "timestamp": 1})
    source.rpush("bull:mail:1:logs", "a line")
    assert found(server, target)["QUE-10"].status is Status.PASS
    key = f"bull:mail:low:{part}"
    {"list": lambda: source.rpush(key, 1), "zset": lambda: source.zadd(key, {"1": 1})}.get(
        kind, lambda: source.xadd(key, {"event": "added"})
    )()
    finding = found(server, target)["QUE-10"]
    assert finding.status is Status.FAIL
    assert "mail and mail:low" in finding.observed
    with pytest.raises(ActionRefused, match="mail and mail:low"):
        CarryQueues(server.url, target).plan()


def test_a_name_with_a_colon_is_a_queues_like_any_other(
    server: vk.ValkeyServer, source: redis.Redis, target: str
) -> None:
    """Paused, carried, compared and processed once, beside one that only begins alike."""
    add(server, "reports:generate", 3)
    add(server, "mail")
    add(server, "mailing:low")
    pause = PauseQueues(server.url)
    plan = pause.plan()
    assert plan.before["paused"] == {"mail": False, "mailing:low": False, "reports:generate": False}
    pause.apply(plan)
    assert work_off(server.url, "reports:generate", 0) == []
    carry = CarryQueues(server.url, target, paused_before=plan.before["paused"])
    planned = carry.plan()
    change = Change(planned, carry.apply(planned), "", 0.0)
    assert {str(f.status) for f in carry.verify(change)} == {"PASS"}
    assert work_off(target, "reports:generate", 3) == [f"reports:generate {n}" for n in range(3)]


def test_a_worker_that_listens_is_known_by_every_way_to_write_its_name(
    server: vk.ValkeyServer, source: redis.Redis, target: str
) -> None:
    """Node's client encodes the queue's name; where the prefix itself has a colon, only a part of it."""
    add(server, "eu:mail")
    plan = PauseQueues(server.url).plan()
    PauseQueues(server.url).apply(plan)
    carry = CarryQueues(server.url, target, paused_before=plan.before["paused"])
    planned = carry.plan()
    for prefix, name in [("bull:eu", "mail"), ("bull", "eu:mail")]:
        encoded = base64.b64encode(name.encode()).decode()
        with redis.Redis.from_url(target, client_name=f"{prefix}:{encoded}:w:one") as listening:
            listening.ping()
            with pytest.raises(ActionRefused, match="workers already listen"):
                carry.apply(planned)


def test_no_queue_at_all_is_gone_past(server: vk.ValkeyServer, source: redis.Redis, target: str) -> None:
    """A platform without queues: said of the address that was looked at; nothing is paused or carried."""
    source.hset("user:1:meta", "colour", "blue")
    source.set("session:wait", 1)
    (finding,) = preflight(server.url, target)
    assert (finding.id, finding.status, finding.closes_gate) == ("QUE-10", Status.NOT_APPLICABLE, False)
    assert finding.observed == "none of 2 keys is a queue's, under any prefix"
    assert [f.status for f in check_drained(server.url, 5)] == [Status.NOT_APPLICABLE]
    assert [f.status for f in compare_queues(server.url, target)] == [Status.NOT_APPLICABLE]
    for action in (PauseQueues(server.url), CarryQueues(server.url, target)):
        plan = action.plan()
        assert plan.empty
        assert [f.status for f in action.verify(Change(plan, {}, "", 0.0))] == [Status.NOT_APPLICABLE]
    assert sorted(source.scan_iter()) == ["session:wait", "user:1:meta"]


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("{shop}:mail:wait", "{shop}:mail:*"),
        ("app:queue:mail:delayed", "app:queue:mail:*"),
        ("bull:old:wait", "bull:old:*"),
        ("", "db1"),
    ],
    ids=["another prefix", "a prefix with a colon", "a queue without meta", "another database"],
)
def test_queues_that_are_not_looked_at_are_never_no_queue(
    server: vk.ValkeyServer, source: redis.Redis, target: str, key: str, named: str
) -> None:
    """A wrong prefix, or a wrong database, would leave the real jobs behind."""
    if key:
        source.rpush(key, 1) if key.endswith("wait") else source.zadd(key, {"1": 1})
    else:
        with redis.Redis.from_url(target) as other:
            other.set("something", 1)
    for finding in (*preflight(server.url, target), *check_drained(server.url, 0), *compare_queues(server.url, target)):
        assert (finding.status, finding.closes_gate) == (Status.UNKNOWN, True)
        assert named in finding.observed + finding.why
    for action in (PauseQueues(server.url), CarryQueues(server.url, target)):
        with pytest.raises(ActionRefused, match="no queue under the prefix") as caught:
            action.plan()
        assert named in caught.value.what
