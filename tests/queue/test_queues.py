"""BullMQ's queues: counted as BullMQ counts them, paused as BullMQ pauses them, by BullMQ's own client."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from bullmq import Queue, Worker
from standin import closed_port

from cutover.action import Action, Change
from cutover.errors import CutoverError, InstrumentError
from cutover.finding import Severity, Status
from cutover.queue import PauseQueues, QueueDepth, check_drained, read_queues
from cutover.rehearsal import valkey as vk
from cutover.rehearsal.data import fill_queues


@dataclass
class Place:
    """A Redis and a prefix of one test's own."""

    url: str
    prefix: str
    client: redis.Redis

    def depths(self) -> dict[str, QueueDepth]:
        """By name."""
        return {q.name: q for q in read_queues(self.url, self.prefix)}

    def bullmq(self, work: Callable[[Callable[[str], Queue]], Awaitable[Any]]) -> Any:
        """Let BullMQ's own client do something: `work` gets a function that opens a queue by name."""

        async def run() -> Any:
            opened: list[Queue] = []

            def queue(name: str) -> Queue:
                opened.append(Queue(name, {"connection": self.url, "prefix": self.prefix}))
                return opened[-1]

            try:
                return await work(queue)
            finally:
                for one in opened:
                    await one.close()

        return asyncio.run(run())

    def add(self, name: str, *jobs: dict[str, Any]) -> None:
        """Add jobs with these options through BullMQ."""

        async def work(queue: Callable[[str], Queue]) -> None:
            into = queue(name)
            for number, options in enumerate(jobs):
                await into.add("job", {"number": number}, options)

        self.bullmq(work)

    def work_off(self, name: str, count: int) -> list[int]:
        """Let BullMQ's own worker take jobs for a while; the numbers of those it took, in order."""

        async def run() -> list[int]:
            taken: list[int] = []

            async def process(job: Any, _: str) -> None:
                taken.append(job.data["number"])

            worker = Worker(name, process, {"connection": self.url, "prefix": self.prefix, "drainDelay": 1})
            for _ in range(100 if count else 10):
                await asyncio.sleep(0.05)
                if count and len(taken) >= count:
                    break
            await worker.close()
            return taken

        return asyncio.run(run())


@pytest.fixture
def place(valkey: vk.ValkeyServer) -> Iterator[Place]:
    """An empty prefix."""
    url = valkey.url[:-1] + "3"
    with redis.Redis.from_url(url, decode_responses=True) as client:
        prefix = f"t{secrets.token_hex(4)}"
        yield Place(url, prefix, client)
        for key in list(client.scan_iter(f"{prefix}:*")):
            client.delete(key)


def pause(place: Place) -> tuple[PauseQueues, Change]:
    """Plan and apply."""
    action = PauseQueues(place.url, prefix=place.prefix)
    plan = action.plan()
    return action, Change(plan, action.apply(plan), "2026-11-23T12:00:00Z", 0.0)


def test_depths_are_what_bullmq_itself_counts(place: Place) -> None:
    """Waiting, prioritised and delayed jobs of two queues."""
    place.add("reports", {}, {}, {"delay": 3_600_000}, {"priority": 5})
    place.add("emails", {})

    async def counts(queue: Callable[[str], Queue]) -> Any:
        return await queue("reports").getJobCounts("wait", "paused", "prioritized", "delayed", "active")

    told, depths = place.bullmq(counts), place.depths()
    assert list(depths) == ["emails", "reports"]
    reports = depths["reports"]
    assert reports.waiting == told["wait"] + told["paused"] + told["prioritized"] == 3
    assert (reports.prioritized, reports.delayed, reports.active) == (1, told["delayed"], told["active"]) == (1, 1, 0)
    assert not reports.paused


def test_the_rehearsals_queues_are_read_in_full(place: Place) -> None:
    """Every state; active jobs without a lock are stalled."""
    wanted = fill_queues(place.url)
    depths = read_queues(place.url)
    for key in list(place.client.scan_iter("bull:*")):
        place.client.delete(key)
    assert {q.name for q in depths} == set(wanted)
    for depth in depths:
        jobs = wanted[depth.name]
        assert (depth.waiting, depth.active, depth.delayed) == (jobs["wait"], jobs["active"], jobs["delayed"])
        assert (depth.completed, depth.failed, depth.stalled) == (jobs["completed"], jobs["failed"], jobs["active"])


def test_keys_that_look_alike_are_no_queues(place: Place) -> None:
    """A queue's meta is a hash and no job, whatever a job is called; a prefix is no pattern."""
    place.add("reports", {})
    place.client.set(f"{place.prefix}:text:meta", "x")
    place.client.hset(f"{place.prefix}:reports:a:meta", mapping={"name": "job", "data": "{}", "timestamp": 1})
    place.client.hset(f"{place.prefix}x:other:meta", "paused", 1)
    assert list(place.depths()) == ["reports"]
    assert read_queues(place.url, f"{place.prefix[:-1]}?") == []
    place.client.delete(f"{place.prefix}x:other:meta")


@pytest.mark.parametrize("newer", [False, True], ids=["jobs in `paused`", "jobs in `wait`"])
def test_a_paused_queues_jobs_are_counted_wherever_they_lie(place: Place, newer: bool) -> None:
    """BullMQ up to 5 moves them into `paused`, later versions leave them in `wait`."""
    place.add("reports", {}, {})
    place.client.hset(f"{place.prefix}:reports:meta", "paused", 1)
    if not newer:
        place.client.rename(f"{place.prefix}:reports:wait", f"{place.prefix}:reports:paused")
    depth = place.depths()["reports"]
    assert (depth.waiting, depth.paused) == (2, True)


def test_a_paused_queue_is_paused_to_bullmq_and_its_worker_takes_nothing(place: Place) -> None:
    """BullMQ's own worker and its own `isPaused` are the judges; undo lets the jobs go in their order."""
    place.add("reports", *[{}] * 4)
    action, change = pause(place)
    assert isinstance(action, Action)
    assert [(f.id, f.status) for f in action.verify(change)] == [("QUE-04", Status.PASS), ("QUE-01", Status.PASS)]

    async def is_paused(queue: Callable[[str], Queue]) -> bool:
        return bool(await queue("reports").isPaused())

    assert place.bullmq(is_paused)
    assert place.work_off("reports", 0) == []
    place.add("reports", {})
    assert action.undo(change) == {"resumed": ["reports"]}
    assert not place.bullmq(is_paused)
    assert place.work_off("reports", 5) == [0, 1, 2, 3, 0]


def test_bullmqs_own_resume_loses_no_job_of_ours(place: Place) -> None:
    """An operator may resume from BullMQ's side; old versions rename `paused` over `wait`."""
    place.add("reports", *[{}] * 3)
    pause(place)
    key = f"{place.prefix}:reports:"
    assert (place.client.llen(key + "paused"), place.client.exists(key + "wait")) == (3, 0)

    async def resume(queue: Callable[[str], Queue]) -> None:
        await queue("reports").resume()

    place.bullmq(resume)
    assert place.work_off("reports", 3) == [0, 1, 2]


def test_undo_resumes_only_what_it_paused(place: Place) -> None:
    """A queue that somebody paused before stays paused; the second time there is nothing to do."""
    place.add("reports", {})
    place.add("emails", {})
    place.client.hset(f"{place.prefix}:emails:meta", "paused", 1)
    action, change = pause(place)
    assert change.plan.before == {"paused": {"emails": True, "reports": False}}
    assert change.result == {"paused": ["reports"]}
    assert action.plan().empty
    assert action.apply(action.plan()) == {"paused": []}
    action.undo(change)
    depths = place.depths()
    assert {name: q.paused for name, q in depths.items()} == {"emails": True, "reports": False}
    assert {name: q.waiting for name, q in depths.items()} == {"emails": 1, "reports": 1}
    assert action.undo(change) == {"resumed": []}


def test_resuming_wakes_workers_for_delayed_jobs_too(place: Place) -> None:
    """The marker stands at the time of the next delayed job, as BullMQ sets it."""
    place.add("reports", {"delay": 600_000})
    action, change = pause(place)
    assert not place.client.exists(f"{place.prefix}:reports:marker")
    action.undo(change)
    ((member, score),) = place.client.zrange(f"{place.prefix}:reports:marker", 0, -1, withscores=True)
    due = place.client.zrange(f"{place.prefix}:reports:delayed", 0, 0, withscores=True)[0][1] / 0x1000
    assert (member, score) == ("1", pytest.approx(due, abs=1))


def test_the_plans_hash_does_not_move_with_the_jobs(place: Place) -> None:
    """An approval must survive a job that comes in; a password is nowhere in the plan."""
    place.add("reports", {})
    action = PauseQueues(place.url, prefix=place.prefix)
    before = action.plan()
    place.add("reports", {}, {})
    assert action.plan().hash == before.hash
    password = place.url.split(":")[2].split("@")[0]
    assert password not in json.dumps(before.to_dict())


def test_a_queue_that_goes_on_is_found_by_verify(place: Place) -> None:
    """Resumed behind our back, or added after the plan."""
    place.add("reports", {})
    action, change = pause(place)
    place.add("late", {})
    (finding,) = action.verify(change)
    assert (finding.id, finding.status, finding.observed) == ("QUE-04", Status.FAIL, "not paused: late")


def test_a_job_that_was_taken_before_the_pause_is_waited_for(place: Place) -> None:
    """It goes on writing while the queue stands still: what is left of it after the wait closes the gate."""
    place.add("reports", {})
    key = f"{place.prefix}:reports:"
    job = place.client.rpoplpush(key + "wait", key + "active")
    place.client.set(f"{key}{job}:lock", "token", px=60_000)
    action, change = pause(place)
    findings = {f.id: f for f in action.verify(change)}
    assert findings["QUE-01"].status is Status.FAIL
    place.client.delete(key + "active")
    assert all(f.status is Status.PASS for f in action.verify(change))


def drained(place: Place, timeout_s: float = 0.3) -> dict[str, Any]:
    """Findings by id."""
    return {f.id: f for f in check_drained(place.url, timeout_s, prefix=place.prefix)}


def test_empty_queues_have_run_empty(place: Place) -> None:
    """All three findings pass, with the queues' names."""
    place.add("reports", {})
    place.work_off("reports", 1)
    findings = drained(place)
    assert {i: str(f.status) for i, f in findings.items()} == dict.fromkeys(["QUE-01", "QUE-02", "QUE-03"], "PASS")
    assert "reports" in findings["QUE-01"].observed


@pytest.mark.parametrize(
    ("job", "broken", "severity"),
    [
        ({}, "QUE-02", Severity.HIGH),
        ({"priority": 1}, "QUE-02", Severity.HIGH),
        ({"delay": 600_000}, "QUE-03", Severity.MEDIUM),
    ],
    ids=["waiting", "prioritised", "delayed"],
)
def test_what_stays_behind_is_counted(place: Place, job: dict[str, Any], broken: str, severity: Severity) -> None:
    """By queue, and told apart: what waits closes the gate, what is put off is shown."""
    place.add("reports", job)
    findings = drained(place)
    assert [i for i, f in findings.items() if f.status is Status.FAIL] == [broken]
    assert (findings[broken].observed, findings[broken].severity) == ("reports: 1", severity)
    assert findings[broken].remedy


def test_what_is_carried_over_later_is_not_due_yet(place: Place) -> None:
    """Told with its number, and it closes no gate: whether it arrived is another finding's to say."""
    place.add("reports", {}, {"delay": 600_000})
    findings = {f.id: f for f in check_drained(place.url, 0, prefix=place.prefix, carried=True)}
    assert {i: str(f.status) for i, f in findings.items()} == {
        "QUE-01": "PASS",
        "QUE-02": "NOT_DUE",
        "QUE-03": "NOT_DUE",
    }
    assert findings["QUE-03"].observed == "reports: 1"
    assert "QUE-05" in findings["QUE-03"].why


@pytest.mark.parametrize("locked", [True, False], ids=["a worker has it", "stalled"])
def test_an_active_job_is_a_fail_that_says_who_has_it(place: Place, locked: bool) -> None:
    """A stalled job does not end by waiting: its worker is gone."""
    place.add("reports", {})
    key = f"{place.prefix}:reports:"
    job = place.client.rpoplpush(key + "wait", key + "active")
    if locked:
        place.client.set(f"{key}{job}:lock", "token", px=60_000)
    finding = drained(place)["QUE-01"]
    assert (finding.status, finding.severity) == (Status.FAIL, Severity.BLOCKER)
    assert ("stalled" in finding.observed) is not locked


def test_it_waits_until_the_last_job_is_done(place: Place) -> None:
    """And no longer: the first look after that ends it."""
    place.add("reports", {})
    key, looks = f"{place.prefix}:reports:", []

    def finish(queues: Any) -> None:
        looks.append(queues[0].waiting)
        if len(looks) == 2:
            place.client.delete(key + "wait")

    findings = check_drained(place.url, 20, prefix=place.prefix, progress=finish)
    assert looks == [1, 1, 0]
    assert all(f.status is Status.PASS for f in findings)


def test_a_paused_queue_needs_no_wait_for_what_cannot_move(place: Place) -> None:
    """Nobody processses it: said at once, with the reason."""
    place.add("reports", {})
    pause(place)
    looks: list[Any] = []
    findings = check_drained(place.url, 20, prefix=place.prefix, progress=looks.append)
    assert len(looks) == 1
    assert {f.id: str(f.status) for f in findings} == {"QUE-01": "PASS", "QUE-02": "FAIL", "QUE-03": "PASS"}
    assert "Paused" in findings[1].remedy


def test_no_queue_and_no_redis_are_unknown_never_empty(place: Place) -> None:
    """A wrong prefix must not look like a drained queue; the password is not told."""
    place.add("reports", {})
    (finding,) = check_drained(place.url, 0.1, prefix="nothing-here")
    assert finding.status is Status.UNKNOWN
    nowhere = f"redis://:secret-word@127.0.0.1:{closed_port()}/0"
    (finding,) = check_drained(nowhere, 0.1)
    assert finding.status is Status.UNKNOWN
    assert "secret-word" not in json.dumps(finding.to_dict())
    with pytest.raises(InstrumentError, match="does not answer"):
        read_queues(nowhere)
    for url, prefix in [(nowhere, "bull"), (place.url, "nothing-here")]:
        with pytest.raises(CutoverError):
            PauseQueues(url, prefix=prefix).plan()


def test_a_wrong_password_is_said_as_such(place: Place) -> None:
    """Redis is there, and refuses."""
    wrong = "redis://:wrong-password@" + place.url.split("@")[1]
    (finding,) = check_drained(wrong, 0.1)
    assert finding.status is Status.UNKNOWN
    assert "wrong-password" not in finding.why
