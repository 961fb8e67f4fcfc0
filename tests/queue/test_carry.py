"""Queues carried over to another Redis: whole, once, in time; BullMQ's own client and workers are the judges."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from bullmq import FlowProducer, Queue, Worker
from standin import closed_port

from cutover.action import Action, Change
from cutover.errors import ActionRefused
from cutover.finding import Finding, Severity, Status
from cutover.progress import Progress
from cutover.queue import CarryQueues, PauseQueues, compare_queues, read_contents
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.data import fill_queues

HOUR_MS = 3_600_000
NIGHTLY = {"every": HOUR_MS, "startDate": int(time.time() * 1000) + HOUR_MS}
GOOD = dict.fromkeys(["QUE-05", "QUE-06", "QUE-07", "QUE-08", "QUE-09", "QUE-14"], "PASS")


@dataclass
class Homes:
    """A source's and a target's Redis, and a prefix of one test's own."""

    source: str
    target: str
    prefix: str
    here: redis.Redis
    there: redis.Redis

    def bullmq(self, url: str, name: str, work: Callable[[Queue], Awaitable[Any]]) -> Any:
        """Let BullMQ's own client do something with one queue."""

        async def run() -> Any:
            queue = Queue(name, {"connection": url, "prefix": self.prefix})
            try:
                return await work(queue)
            finally:
                await queue.close()

        return asyncio.run(run())

    def fill(self) -> None:
        """A queue with something of everything that still waits, by BullMQ's own hand."""

        async def work(queue: Queue) -> None:
            for number in range(3):
                await queue.add("invoice", {"number": number})
            await queue.add("urgent", {"number": 3}, {"priority": 2})
            await queue.add("less urgent", {"number": 4}, {"priority": 9})
            await queue.add("reminder", {"to": "zoë@example.com", "🚀": "\u0000"}, {"delay": HOUR_MS})
            await queue.add("digest", {}, {"delay": 24 * HOUR_MS, "jobId": "weekly-digest"})
            await queue.upsertJobScheduler("nightly", NIGHTLY, "clean-up", {"keep": 7})

        self.bullmq(self.source, "reports", work)

    def freeze(self) -> dict[str, bool]:
        """Pause everything; which queues stood still before."""
        action = PauseQueues(self.source, prefix=self.prefix)
        plan = action.plan()
        action.apply(plan)
        return dict(plan.before["paused"])

    def action(self, **more: Any) -> CarryQueues:
        """The action under test, with what the freeze found before it."""
        return CarryQueues(self.source, self.target, prefix=self.prefix, **more)

    def carry(self, **more: Any) -> tuple[CarryQueues, Change]:
        """Plan and apply."""
        action = self.action(**more)
        plan = action.plan()
        return action, Change(plan, action.apply(plan), "2026-11-23T12:00:00Z", 0.0)

    def compared(self, **more: Any) -> dict[str, Finding]:
        """Findings by id."""
        return {f.id: f for f in compare_queues(self.source, self.target, prefix=self.prefix, **more)}

    def key(self, part: str, name: str = "reports") -> str:
        """A key of a queue."""
        return f"{self.prefix}:{name}:{part}"

    def work_off(self, url: str, name: str, count: int) -> list[str]:
        """Let BullMQ's own worker take so many jobs; their names, in order."""

        async def run() -> list[str]:
            taken: list[str] = []

            async def process(job: Any, _: str) -> None:
                taken.append(job.name)

            worker = Worker(name, process, {"connection": url, "prefix": self.prefix, "drainDelay": 1})
            for _ in range(200):
                await asyncio.sleep(0.05)
                if len(taken) >= count:
                    break
            await worker.close()
            return taken

        return asyncio.run(run())


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vk.ValkeyServer]:
    """A server of these tests' own: elsewhere applications listen for jobs, which a target must not have."""
    with vk.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def homes(valkey: vk.ValkeyServer) -> Iterator[Homes]:
    """Two databases of one server, and an unused prefix."""
    source, target = valkey.url[:-1] + "2", valkey.url[:-1] + "3"
    with redis.Redis.from_url(source) as here, redis.Redis.from_url(target) as there:
        homes = Homes(source, target, f"c{secrets.token_hex(4)}", here, there)
        yield homes
        for client in (here, there):
            for key in list(client.scan_iter(f"*{homes.prefix}*")):
                client.delete(key)


def statuses(findings: Any) -> dict[str, str]:
    """Status by id."""
    return {f.id: str(f.status) for f in findings}


def test_every_job_arrives_once_and_as_it_was(homes: Homes) -> None:
    """Waiting, prioritised, delayed, with an id of its own, made by a scheduler; undo takes them away again."""
    homes.fill()
    before = homes.freeze()
    action, change = homes.carry(paused_before=before)
    assert isinstance(action, Action)
    assert statuses(action.verify(change)) == GOOD

    async def counts(queue: Queue) -> Any:
        return await queue.getJobCounts("wait", "prioritized", "delayed", "active", "failed", "completed")

    there = homes.bullmq(homes.target, "reports", counts)
    assert (there["wait"], there["prioritized"], there["delayed"]) == (3, 2, 3)
    for part in ("prioritized", "delayed", "repeat"):
        with_scores = [c.zrange(homes.key(part), 0, -1, withscores=True) for c in (homes.here, homes.there)]
        assert with_scores[0] == with_scores[1]
    assert homes.action(paused_before=before).plan().empty
    assert action.undo(change) == {"removed": ["reports"]}
    assert read_contents(homes.target, homes.prefix) == {}
    assert len(read_contents(homes.source, homes.prefix)["reports"].jobs) == 8


def test_a_carried_delayed_job_keeps_its_time_and_is_done_at_the_new_home(homes: Homes) -> None:
    """BullMQ's own worker at the target takes what waited in its order, and the delayed job when it is due."""
    homes.fill()

    async def soon(queue: Queue) -> None:
        await queue.add("soon", {"number": 9}, {"delay": 1_500})

    homes.bullmq(homes.source, "reports", soon)
    before = homes.freeze()
    homes.carry(paused_before=before)
    done = homes.work_off(homes.target, "reports", 6)
    assert done == ["invoice"] * 3 + ["urgent", "less urgent", "soon"]
    left = read_contents(homes.target, homes.prefix)["reports"]
    assert {j.name for j in left.jobs.values() if j.state == "delayed"} == {"reminder", "digest", "clean-up"}
    assert {j.name for j in left.jobs.values() if j.state == "completed"} == {
        "invoice",
        "urgent",
        "less urgent",
        "soon",
    }


def test_a_scheduler_that_the_new_application_sets_up_again_is_not_doubled(homes: Homes) -> None:
    """As every application does when it starts: the carried one is found, and stays one."""
    homes.fill()
    homes.carry(paused_before=homes.freeze())

    async def again(queue: Queue) -> Any:
        await queue.upsertJobScheduler("nightly", NIGHTLY, "clean-up", {"keep": 7})
        return await queue.getJobSchedulersCount(), (await queue.getJobCounts("delayed"))["delayed"]

    assert homes.bullmq(homes.target, "reports", again) == (1, 3)
    new = homes.bullmq(homes.target, "reports", lambda queue: queue.add("new", {}))
    assert int(new.id) > read_contents(homes.source, homes.prefix)["reports"].last_id


def test_the_rehearsals_queues_arrive_in_every_state(homes: Homes) -> None:
    """Completed and failed jobs are kept, with what they returned and why they failed."""
    filled = fill_queues(homes.source)
    try:
        with redis.Redis.from_url(homes.source, decode_responses=True) as client:
            for queue in filled:  # 11_write_freeze waits until nothing is worked on any more
                client.delete(f"bull:{queue}:active")
        PauseQueues(homes.source).apply(PauseQueues(homes.source).plan())
        action = CarryQueues(homes.source, homes.target, paused_before={})
        plan = action.plan()
        change = Change(plan, action.apply(plan), "", 0.0)
        assert statuses(action.verify(change)) == GOOD
        told = change.result["by_state"]
        for queue, states in filled.items():
            assert {s: told[queue][s] for s in ("completed", "failed", "delayed")} == {
                s: states[s] for s in ("completed", "failed", "delayed")
            }
            assert told[queue]["waiting"] == states["wait"]
        assert change.result["queues"]["emails"]["how"] == "DUMP and RESTORE"
    finally:
        for one in (homes.here, homes.there):
            one.delete(*one.keys("bull:*"), *one.keys("cutover:carried:bull:*"))


def test_a_parent_still_waits_for_its_children(homes: Homes) -> None:
    """A flow across two queues: what belongs to a job comes with it, and the parent is done after its child."""

    async def flow() -> None:
        producer = FlowProducer({"connection": homes.source, "prefix": homes.prefix})
        child = {"name": "render", "queueName": "pages", "data": {}}
        await producer.add({"name": "bind", "queueName": "reports", "data": {}, "children": [child]})
        await producer.close()

    asyncio.run(flow())
    homes.carry(paused_before=homes.freeze())
    assert statuses(homes.compared().values()) == {k: v for k, v in GOOD.items() if k != "QUE-09"}
    (parent,) = read_contents(homes.target, homes.prefix)["reports"].jobs.values()
    assert parent.state == "waiting for its children"
    assert homes.work_off(homes.target, "pages", 1) == ["render"]
    assert homes.work_off(homes.target, "reports", 1) == ["bind"]


def test_where_a_dump_is_not_taken_keys_are_copied_by_type(homes: Homes) -> None:
    """Another version's format, or no right to it: the same jobs arrive, with their deadlines."""
    homes.fill()
    homes.here.set(homes.key("de:once"), "1", px=HOUR_MS)
    before = homes.freeze()
    user = f"u{secrets.token_hex(3)}"
    homes.there.acl_setuser(
        user, enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-restore"]
    )
    try:
        limited = homes.target.replace(homes.target.split("//")[1].split("@")[0], f"{user}:secret")
        action = CarryQueues(homes.source, limited, prefix=homes.prefix, paused_before=before)
        plan = action.plan()
        change = Change(plan, action.apply(plan), "", 0.0)
        assert change.result["queues"]["reports"]["how"] == "by type"
        assert statuses(action.verify(change)) == GOOD
    finally:
        homes.there.acl_deluser(user)
    assert 0 < homes.there.pttl(homes.key("de:once")) <= HOUR_MS
    assert homes.here.zrange(homes.key("delayed"), 0, -1, withscores=True) == homes.there.zrange(
        homes.key("delayed"), 0, -1, withscores=True
    )


def test_a_queue_that_stood_still_before_the_freeze_stands_still_at_the_new_home(homes: Homes) -> None:
    """Somebody had paused it for a reason; the others run."""
    homes.fill()
    homes.bullmq(homes.source, "emails", lambda queue: queue.add("mail", {}))
    homes.here.hset(homes.key("meta", "emails"), "paused", 1)
    action, change = homes.carry(paused_before=homes.freeze())
    assert statuses(action.verify(change)) == GOOD
    now = read_contents(homes.target, homes.prefix)
    assert {name: queue.paused for name, queue in now.items()} == {"emails": True, "reports": False}
    homes.there.hdel(homes.key("meta", "emails"), "paused")
    finding = homes.compared(paused=["emails"])["QUE-09"]
    assert (finding.status, finding.observed) == (Status.FAIL, "1: emails runs")


@pytest.mark.parametrize(
    ("broken", "identifier", "named"),
    [
        (lambda h: h.there.zrem(h.key("delayed"), "weekly-digest"), "QUE-06", "job weekly-digest (digest): due "),
        (
            lambda h: h.there.delete(h.key("2")),
            "QUE-06",
            "job 2 (invoice): waiting on both sides, without its data at the",
        ),
        (lambda h: h.there.lrem(h.key("wait"), 0, "2") and h.there.delete(h.key("2")), "QUE-05", "job 2 (invoice)"),
        (lambda h: h.there.hset(h.key("6"), "data", "{}"), "QUE-06", "job 6 (reminder): delayed on both sides"),
        (lambda h: h.there.zincrby(h.key("delayed"), 0x1000, "6"), "QUE-06", "job 6 (reminder): due "),
        (lambda h: h.there.lpush(h.key("wait"), h.there.rpop(h.key("wait"))), "QUE-06", "waiting at place 1 at the"),
        (lambda h: h.there.zrem(h.key("repeat"), "nightly"), "QUE-08", "reports nightly is missing"),
        (lambda h: h.there.hset(h.key("repeat:nightly"), "every", "60000"), "QUE-08", "nightly is set up differently"),
        (lambda h: h.there.zadd(h.key("repeat"), {"twice": 1}), "QUE-08", "reports twice is at the target only"),
        (lambda h: h.there.set(h.key("id"), 1), "QUE-06", "new jobs would take ids that are taken"),
        (lambda h: h.here.rpush(h.key("paused"), "77"), "QUE-05", "reports job 77, waiting at place 1"),
    ],
    ids=[
        "a delayed job out of its list",
        "a job without its data",
        "a job that is gone",
        "other data",
        "another due time",
        "another order",
        "a scheduler that is gone",
        "a scheduler with another rhythm",
        "a scheduler too many",
        "a counter that stayed behind",
        "a job that came after the copy",
    ],
)
def test_a_difference_is_named_by_queue_and_job(
    homes: Homes, broken: Callable[[Homes], Any], identifier: str, named: str
) -> None:
    """Each of them closes the gate under its own claim."""
    homes.fill()
    homes.carry(paused_before=homes.freeze())
    assert broken(homes) is not None
    found = homes.compared()
    assert found[identifier].status is Status.FAIL
    assert named in found[identifier].observed
    assert found[identifier].closes_gate
    assert found[identifier].remedy


def test_a_job_of_the_targets_own_is_named_after_the_copy(homes: Homes) -> None:
    """It would be done on the customers' data."""
    homes.fill()
    homes.carry(paused_before=homes.freeze())
    homes.bullmq(homes.target, "reports", lambda queue: queue.add("smoke test", {}))
    finding = homes.compared()["QUE-07"]
    assert (finding.status, finding.severity) == (Status.FAIL, Severity.HIGH)
    assert "(smoke test), waiting at place 4" in finding.observed


def test_a_job_that_came_due_meanwhile_is_no_difference(homes: Homes) -> None:
    """It moved on, as it should; said, not counted."""
    homes.fill()
    homes.carry(paused_before=homes.freeze())
    past = (time.time() * 1000 - 5_000) * 0x1000
    homes.here.zadd(homes.key("delayed"), {"6": past})
    homes.there.zrem(homes.key("delayed"), "6")
    homes.there.zadd(homes.key("completed"), {"6": 1})
    homes.there.hset(homes.key("6"), "returnvalue", "null")
    finding = homes.compared()["QUE-06"]
    assert finding.status is Status.PASS
    assert "1 came due meanwhile and moved on: reports job 6 (reminder)" in finding.observed


def test_a_target_with_jobs_of_its_own_is_never_touched(homes: Homes) -> None:
    """Refused before anything is changed, with their names; one that a worker only announced is free."""
    homes.fill()
    before = homes.freeze()

    async def announced(queue: Queue) -> None:
        await queue.setGlobalConcurrency(7)

    homes.bullmq(homes.target, "reports", announced)
    assert not homes.action(paused_before=before).plan().empty
    homes.bullmq(homes.target, "reports", lambda queue: queue.add("smoke test", {}))
    kept = read_contents(homes.target, homes.prefix)
    with pytest.raises(ActionRefused, match="holds other jobs") as caught:
        homes.action(paused_before=before).plan()
    assert "(invoice)" in caught.value.what
    assert read_contents(homes.target, homes.prefix) == kept


def test_a_carried_queue_that_was_worked_on_is_not_carried_twice(homes: Homes) -> None:
    """Its jobs are done and removed: carrying them again would do them again; nor can it be undone."""
    homes.fill()
    before = homes.freeze()
    action, change = homes.carry(paused_before=before)
    for job in ("1", "2"):
        homes.there.lrem(homes.key("wait"), 0, job)
        homes.there.delete(homes.key(job))
    with pytest.raises(ActionRefused, match="holds other jobs"):
        homes.action(paused_before=before).plan()
    with pytest.raises(ActionRefused, match="not as it was carried over"):
        action.undo(change)


def test_a_second_attempt_replaces_what_the_first_one_carried(homes: Homes) -> None:
    """The freeze was lifted, the source went on, the target stood untouched: it becomes as the source is now."""
    homes.fill()
    before = homes.freeze()
    homes.carry(paused_before=before)
    homes.here.lrem(homes.key("paused"), 0, "1")
    homes.here.delete(homes.key("1"))
    homes.bullmq(homes.source, "reports", lambda queue: queue.add("later", {}))
    action, change = homes.carry(paused_before=before)
    assert statuses(action.verify(change)) == GOOD
    assert "1" not in read_contents(homes.target, homes.prefix)["reports"].jobs


def test_a_copy_that_broke_off_is_held_still_and_taken_up_again(homes: Homes) -> None:
    """No worker gets half a queue; the second run needs no help."""
    homes.fill()
    before = homes.freeze()

    def break_off(_: Progress) -> None:
        raise redis.ConnectionError("the network is gone")

    with pytest.raises(ActionRefused, match="the network is gone"):
        homes.carry(paused_before=before, progress=break_off)
    half = read_contents(homes.target, homes.prefix)["reports"]
    assert half.paused
    assert not any(job.state == "waiting" for job in half.jobs.values())
    action, change = homes.carry(paused_before=before)
    assert statuses(action.verify(change)) == GOOD


def test_a_source_that_still_works_is_not_copied(homes: Homes) -> None:
    """Not paused, or a job under way: it would be done on both sides."""
    homes.fill()
    with pytest.raises(ActionRefused, match=r"Not paused .*: reports"):
        homes.carry()
    homes.freeze()
    homes.here.lmove(homes.key("paused"), homes.key("active"))
    with pytest.raises(ActionRefused, match=r"worked on .*: reports \(1\)"):
        homes.carry()
    assert read_contents(homes.target, homes.prefix) == {}


def test_jobs_that_wait_now_are_not_handed_to_workers_that_listen_already(homes: Homes) -> None:
    """They would start before anybody has compared the database; delayed ones may come."""
    homes.fill()
    before = homes.freeze()

    async def run() -> None:
        worker = Worker("reports", lambda *_: None, {"connection": homes.target, "prefix": homes.prefix})
        try:
            for _ in range(200):
                if any(c["name"] == f"{homes.prefix}:reports" for c in homes.there.client_list()):
                    break
                await asyncio.sleep(0.05)
            with pytest.raises(ActionRefused, match="workers already listen"):
                homes.carry(paused_before=before)
            homes.here.delete(homes.key("paused"), homes.key("prioritized"), *map(homes.key, "12345"))
            homes.carry(paused_before=before)
        finally:
            await worker.close(True)

    asyncio.run(run())


def test_nothing_there_is_unknown_and_refused(homes: Homes) -> None:
    """A wrong prefix or a dead server must not look like queues that have arrived."""
    homes.here.hset(f"of-{homes.prefix}:reports:meta", "opts.maxLenEvents", 10)
    with pytest.raises(ActionRefused, match="no queue under the prefix"):
        homes.action().plan()
    (finding,) = compare_queues(homes.source, homes.target, prefix=homes.prefix)
    assert finding.status is Status.UNKNOWN
    assert f"of-{homes.prefix}:reports" in finding.why
    nowhere = f"redis://:secret-word@127.0.0.1:{closed_port()}/0"
    (finding,) = compare_queues(homes.source, nowhere, prefix=homes.prefix)
    assert finding.status is Status.UNKNOWN
    assert "secret-word" not in finding.why + finding.subject
