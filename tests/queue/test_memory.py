"""Looking never harms what it looks at: Redis servers with little memory, and jobs of megabytes."""

from __future__ import annotations

import os
import secrets
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from cutover.action import Change
from cutover.errors import ActionRefused, InstrumentError
from cutover.finding import Finding, Severity, Status
from cutover.queue import CarryQueues, PauseQueues, compare_queues, preflight, read_contents
from cutover.queue.copying import Copier
from cutover.queue.memory import MOST, BoundedReader, Memory
from cutover.rehearsal import valkey as vk

MIB = 2**20
JOBS = 16
SIZE = MIB


@dataclass
class Side:
    """One Redis with a limit of its own."""

    url: str
    client: redis.Redis

    def limit(self, free: int, policy: str = "noeviction") -> None:
        """Leave so many bytes free."""
        memory = self.client.info("memory")
        self.client.config_set("maxmemory-policy", policy)
        self.client.config_set("maxmemory", memory["used_memory"] - memory["mem_not_counted_for_evict"] + free)

    def fill(self, jobs: int = JOBS, size: int = SIZE) -> None:
        """A queue that is paused, with jobs of so many bytes."""
        data = os.urandom(size)
        self.client.hset("bull:media:meta", mapping={"opts.maxLenEvents": 10, "paused": 1})
        self.client.set("bull:media:id", jobs)
        for number in range(1, jobs + 1):
            about = {"name": "encode", "data": data + str(number).encode(), "opts": "{}", "timestamp": number}
            self.client.hset(f"bull:media:{number}", mapping=about)
            self.client.lpush("bull:media:paused", number)

    def called(self) -> set[str]:
        """The commands that were called since the statistics were reset."""
        return {name.removeprefix("cmdstat_") for name in self.client.info("commandstats")}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of two servers."""
    with vk.start(tmp_path_factory.mktemp("one")) as one, vk.start(tmp_path_factory.mktemp("two")) as two:
        yield one.url, two.url


@pytest.fixture
def sides(servers: tuple[str, str]) -> Iterator[tuple[Side, Side]]:
    """Source and target, empty and without a limit."""
    with redis.Redis.from_url(servers[0]) as here, redis.Redis.from_url(servers[1]) as there:
        for client in (here, there):
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
            client.flushall()
            client.config_resetstat()
        yield Side(servers[0], here), Side(servers[1], there)


def found(source: Side, target: Side) -> dict[tuple[str, str], Finding]:
    """The findings of the preflight, by id and side."""
    findings = preflight(source.url, target.url)
    return {(f.id, "source" if f.subject.endswith(source.url.rpartition("@")[2]) else "target"): f for f in findings}


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_reading_neither_evicts_nor_has_a_write_refused(sides: tuple[Side, Side], policy: str) -> None:
    """Two thirds of the memory used, values of megabytes, an application that goes on writing."""
    source, target = sides
    source.fill()
    source.limit(JOBS * SIZE // 2, policy)
    done, refused = threading.Event(), []

    def application() -> None:
        with redis.Redis.from_url(source.url) as client:
            while not done.is_set():
                try:
                    client.set("session", "x", ex=60)
                except redis.exceptions.OutOfMemoryError as error:
                    refused.append(error)

    writer = threading.Thread(target=application)
    writer.start()
    try:
        action = CarryQueues(source.url, target.url)
        plan = action.plan()
        change = Change(plan, action.apply(plan), "", 0.0)
        statuses = {f.id: f.status for f in action.verify(change)}
    finally:
        done.set()
        writer.join()
    assert refused == []
    assert source.client.info("stats")["evicted_keys"] == 0
    assert set(statuses.values()) == {Status.PASS}
    assert change.result["queues"]["media"]["jobs"] == JOBS
    found_ = found(source, target)
    assert found_["QUE-11", "source"].status is Status.PASS
    policy_ = found_["QUE-13", "source"]
    assert policy_.status is (Status.PASS if policy == "noeviction" else Status.FAIL)
    assert not policy_.closes_gate


@pytest.mark.parametrize(
    ("free", "policy", "closing"),
    [
        (SIZE, "noeviction", {"QUE-11"}),
        (0, "noeviction", {"QUE-11", "QUE-14"}),
        (4 * SIZE + MIB // 2, "allkeys-lfu", {"QUE-13"}),
        (SIZE // 2, "volatile-ttl", {"QUE-11", "QUE-13"}),
    ],
    ids=["less than a value takes", "full", "it evicts and a tenth is not free", "it evicts and is nearly full"],
)
def test_a_source_without_room_is_named_before_a_value_is_read(
    sides: tuple[Side, Side], free: int, policy: str, closing: set[str]
) -> None:
    """The gate closes, and the copy is refused, with nothing asked for but sizes."""
    source, target = sides
    source.fill(jobs=JOBS * 4)
    source.limit(free, policy)
    source.client.config_resetstat()
    findings = found(source, target)
    assert {identifier for (identifier, _), f in findings.items() if f.closes_gate} >= closing
    assert all(f.remedy for f in findings.values() if f.closes_gate)
    with pytest.raises(ActionRefused) as caught:
        CarryQueues(source.url, target.url).plan()
    assert "free of" in caught.value.what
    assert not source.called() & {"hgetall", "dump", "get"}
    assert source.client.info("stats")["evicted_keys"] == 0
    assert target.client.dbsize() == 0


def test_a_read_stops_before_a_value_that_does_not_fit(sides: tuple[Side, Side]) -> None:
    """Also where nobody looked before: by its name, with how much room there is."""
    source, target = sides
    source.fill()
    source.limit(SIZE)
    with pytest.raises(InstrumentError, match=r"bull:media:\d+ takes .* room for \d+ KiB more"):
        read_contents(source.url)
    (finding,) = compare_queues(source.url, target.url)
    assert finding.status is Status.UNKNOWN


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-lru"])
def test_a_target_without_room_is_refused_before_it_is_written(sides: tuple[Side, Side], policy: str) -> None:
    """A full Redis would refuse the rest of the jobs, or evict those that were copied before."""
    source, target = sides
    source.fill()
    target.limit(JOBS * SIZE - MIB, policy)
    finding = found(source, target)["QUE-12", "target"]
    assert (finding.status, finding.severity) == (Status.FAIL, Severity.BLOCKER)
    with pytest.raises(ActionRefused, match="room for the jobs"):
        CarryQueues(source.url, target.url).plan()
    assert target.client.dbsize() == 0


def test_a_target_that_fills_up_meanwhile_stops_the_copy_whole(sides: tuple[Side, Side]) -> None:
    """What is there stays and stands still; nothing is evicted; the next run goes on once there is room."""
    source, target = sides
    source.fill()
    action = CarryQueues(source.url, target.url)
    plan = action.plan()
    target.limit(JOBS * SIZE // 2, "allkeys-lru")
    with pytest.raises(ActionRefused, match=r"has .* left, and the next"):
        action.apply(plan)
    assert target.client.info("stats")["evicted_keys"] == 0
    assert read_contents(target.url)["media"].paused
    target.client.config_set("maxmemory", 0)
    again = action.plan()
    change = Change(again, action.apply(again), "", 0.0)
    assert {f.status for f in action.verify(change)} == {Status.PASS}


@pytest.mark.parametrize(
    ("refused", "unknown"),
    [(["-eval"], set()), (["-memory"], set()), (["-memory", "-info"], {"QUE-11", "QUE-12"})],
    ids=["no scripts", "no MEMORY USAGE", "neither that nor INFO"],
)
def test_a_server_that_does_not_tell_is_asked_otherwise_and_what_stays_unknown_closes_the_gate(
    sides: tuple[Side, Side], refused: list[str], unknown: set[str]
) -> None:
    """As some services are, and users without the right: never a PASS, and portions stay small."""
    source, target = sides
    source.fill(jobs=8)
    source.client.zadd("bull:media:delayed", {"9": 1.0})
    source.client.hset("bull:media:9", mapping={"name": "late", "timestamp": 9})
    user = f"u{secrets.token_hex(3)}"
    source.client.acl_setuser(
        user, enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=refused
    )
    limited = "redis://" + f"{user}:secret@" + source.url.rpartition("@")[2]
    try:
        findings = {f.id: f for f in preflight(limited, target.url) if f.id != "QUE-13"}
        assert {i for i, f in findings.items() if f.closes_gate and f.status is Status.UNKNOWN} == unknown
        assert all("MEMORY USAGE" in findings[i].remedy for i in unknown)
        assert read_contents(limited) == read_contents(source.url)
        with redis.Redis.from_url(limited) as client:
            keys = [f"bull:media:{n}".encode() for n in range(1, 9)]
            portions = list(BoundedReader(client).portions([*keys, b"bull:media:paused", b"not-there"]))
        assert [one.kind for portion in portions for one in portion] == ["hash"] * 8 + ["list"]
        assert all(sum(one.reply or 0 for one in portion) <= MOST + SIZE for portion in portions)
        hashes = [one.held for portion in portions for one in portion if one.kind == "hash"]
        assert all(held is not None and SIZE < held < SIZE + 3000 for held in hashes)
        carry = CarryQueues(limited, target.url)
        plan = carry.plan()
        assert {f.status for f in carry.verify(Change(plan, carry.apply(plan), "", 0.0))} == {Status.PASS}
    finally:
        source.client.acl_deluser(user)


def test_many_large_jobs_take_this_machine_no_memory(sides: tuple[Side, Side]) -> None:
    """The client holds a portion, however much the queue holds."""
    source, target = sides
    source.fill(jobs=JOBS * 2)
    keys = [f"bull:media:{n}".encode() for n in range(1, JOBS * 2 + 1)]
    tracemalloc.start()
    try:
        read_contents(source.url)
        assert Copier(source.client, target.client).copy(keys) == len(keys)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < JOBS * SIZE


def test_room_is_what_the_server_says_it_is() -> None:
    """`maxmemory`, else the machine; what replicas are sent does not count; what is not told is not known."""
    told = {"used_memory": 700, "mem_not_counted_for_evict": 100, "maxmemory": 1000, "maxmemory_policy": "noeviction"}
    assert (Memory.of(told).room, Memory.of(told).evicts) == (400, False)
    free = Memory.of({**told, "maxmemory": 0, "total_system_memory": 5000, "maxmemory_policy": "allkeys-lru"})
    assert (free.room, free.evicts) == (4400, False)
    assert Memory.of({**told, "maxmemory_policy": "allkeys-lru"}).evicts
    for unknown in ({}, {"used_memory": 700}, {**told, "maxmemory": 0}, redis.ResponseError("NOPERM")):
        assert Memory.of(unknown).room is None


def test_pausing_asks_for_no_values(sides: tuple[Side, Side]) -> None:
    """Counting and pausing stay possible where reading is not."""
    source, _ = sides
    source.fill()
    source.limit(SIZE)
    source.client.config_resetstat()
    assert PauseQueues(source.url).plan().empty
    assert not source.called() & {"hgetall", "dump"}
