"""Two homes' queues compared, job by job and both ways."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cutover.errors import InstrumentError
from cutover.finding import Finding, Severity, Status
from cutover.queue.contents import Contents, Job, read_contents
from cutover.queue.layout import elsewhere, shown
from cutover.queue.preflight import lost_data

GUIDE_LINE = 912
SHOWN = 20
_WORKED_OFF = frozenset({"waiting", "prioritized", "active", "completed", "failed"})


@dataclass(slots=True)
class Differences:
    """What is not the same in the queues of source and target, in words that name queue, job and difference."""

    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    repeatable: list[str] = field(default_factory=list)
    came_due: list[str] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether anything differs; a delayed job that came due meanwhile and moved on does not."""
        return bool(self.missing or self.changed or self.extra or self.repeatable)

    @property
    def all(self) -> list[str]:
        """Everything that differs."""
        return [*self.missing, *self.changed, *self.extra, *self.repeatable]


def differences(
    source: Mapping[str, Contents], target: Mapping[str, Contents], *, now_ms: float | None = None
) -> Differences:
    """Compare job by job.

    Args:
        source, target: the queues by name.
        now_ms: milliseconds since 1970: a delayed job that is due by then may have moved on. The present by default.
    """
    now_ms = time.time() * 1000 if now_ms is None else now_ms
    found = Differences()
    for name in sorted({*source, *target}):
        _compare(source.get(name, Contents(name)), target.get(name, Contents(name)), now_ms, found)
    return found


def compare_queues(
    source_url: str,
    target_url: str,
    *,
    prefix: str = "bull",
    paused: Collection[str] | None = None,
    show: int = SHOWN,
) -> list[Finding]:
    """Compare every queue of two Redis servers: jobs in every state, due times, order, contents, schedulers.

    Args:
        source_url: where the jobs come from.
        target_url: where they should be.
        prefix: BullMQ's key prefix.
        paused: queues that should stand still at the target; None does not look.
        show: jobs named of each kind of difference; all are counted.

    Returns:
        QUE-05 (none is missing), QUE-06 (none has changed), QUE-07 (none is there that the source has not), QUE-08
        (every repeatable job once), QUE-09 (the queues run, or stand still, as wanted), QUE-14 (every job has its
        data; one that has none on either side is never equal). UNKNOWN when one side cannot be read, or when there is
        no queue under the prefix but may be others; NOT_APPLICABLE when neither side holds any.
    """
    subject = f"{shown(source_url)} → {shown(target_url)}"
    try:
        source = read_contents(source_url, prefix)
        # Queues that a worker at the target has only announced hold nothing; they are no difference.
        target = {n: c for n, c in read_contents(target_url, prefix).items() if n in source or not c.empty}
        others = [] if source or target else elsewhere(source_url)
    except InstrumentError as error:
        return [_unknown(subject, error.what)]
    if not source and not target:
        return [_no_queue(subject, prefix, others[:show])]
    found = differences(source, target)
    hollow = {name: queue.hollow for name, queue in source.items()}
    jobs = sum(len(c.jobs) for c in source.values()) - sum(map(len, hollow.values()))
    timed = sum(len(c.schedulers) for c in source.values())
    judged = [
        _judge("QUE-05", found.missing, f"all {jobs} jobs of {len(source)} queues are there", subject, show),
        _judge("QUE-06", found.changed, _same(jobs, found.came_due), subject, show),
        _judge("QUE-07", found.extra, "none", subject, show),
        _judge("QUE-08", found.repeatable, f"{timed}, each once", subject, show),
    ]
    if paused is not None:
        wrong = [
            f"{n} {'stands still' if c.paused else 'runs'}" for n, c in target.items() if c.paused != (n in paused)
        ]
        judged.append(_judge("QUE-09", wrong, f"{len(target)} queues, paused: {_list(paused)}", subject, show))
    return [*judged, lost_data(hollow, prefix, shown(source_url), show)]


def by_state(queues: Iterable[Contents]) -> dict[str, dict[str, int]]:
    """How many jobs of each state each queue holds."""
    counted: dict[str, dict[str, int]] = {}
    for queue in queues:
        states = [job.state for job in queue.jobs.values()] + ["repeatable"] * len(queue.schedulers)
        counted[queue.name] = {state: states.count(state) for state in dict.fromkeys(sorted(states))}
    return counted


def _compare(source: Contents, target: Contents, now_ms: float, found: Differences) -> None:
    for i in sorted({*source.jobs, *target.jobs}, key=_by_number):
        ours, theirs = source.jobs.get(i), target.jobs.get(i)
        if theirs is None and ours is not None:
            found.missing.append(f"{ours.called(source.name)}, {ours.where}")
        elif ours is None and theirs is not None:
            found.extra.append(f"{theirs.called(source.name)}, {theirs.where}")
        elif ours is not None and theirs is not None and ours != theirs:
            told = f"{ours.called(source.name)}: {_change(ours, theirs)}"
            (found.came_due if _came_due(ours, theirs, now_ms) else found.changed).append(told)
    if source.jobs and target.last_id < source.last_id:
        found.changed.append(
            f"{source.name}: the counter of job ids stands at {target.last_id}, not at {source.last_id}: "
            "new jobs would take ids that are taken"
        )
    for part, ends in sorted(target.ends.items()):
        if source.ends.get(part) and not ends:
            found.changed.append(f"{source.name} {part} ends by itself at the source, and never at the target")
    for i in sorted({*source.schedulers, *target.schedulers}):
        ours, theirs = source.schedulers.get(i), target.schedulers.get(i)
        called = f"{source.name} {i.removeprefix('repeat:')}"
        if theirs is None:
            found.repeatable.append(f"{called} is missing")
        elif ours is None:
            found.repeatable.append(f"{called} is at the target only: what it makes would be done twice")
        elif ours.digest != theirs.digest and ours.place > now_ms:
            found.repeatable.append(f"{called} is set up differently")


def _came_due(ours: Job, theirs: Job, now_ms: float) -> bool:
    """Whether the two differ because the job came due on one side and is being, or was, processed."""
    delayed, other = (ours, theirs) if ours.state == "delayed" else (theirs, ours)
    return delayed.due_ms is not None and delayed.due_ms <= now_ms and other.state in _WORKED_OFF


def _change(ours: Job, theirs: Job) -> str:
    if ours.state != theirs.state:
        return f"{ours.where} at the source, {theirs.where} at the target"
    if ours.place != theirs.place:
        return f"{ours.where} at the source, {theirs.where} at the target, both {ours.state}"
    if ours.whole != theirs.whole:
        return f"{ours.state} on both sides, without its data at the {'target' if ours.whole else 'source'}"
    return f"{ours.state} on both sides, with other contents"


def _by_number(job: str) -> tuple[int, str]:
    return (int(job), "") if job.isdecimal() else (0, job)


def _same(jobs: int, came_due: list[str]) -> str:
    moved = f"; {len(came_due)} came due meanwhile and moved on: {_list(came_due[:SHOWN])}" if came_due else ""
    return f"{jobs} compared, content, state, order and due time{moved}"


_AGAIN = "hold the source's queues still (11_write_freeze), then run 12_data_migration again"
_WORDS = {
    "QUE-05": ("Every job of the source's queues is at the target", "a job that is not there is never done", _AGAIN),
    "QUE-06": (
        "No job changed on its way",
        "a job with other data, or another time, does the wrong thing or too late",
        _AGAIN,
    ),
    "QUE-07": (
        "The target's queues hold no job of their own",
        "a job from elsewhere would be done on the customers' data",
        "look at each: redis-cli -u … HGETALL <prefix>:<queue>:<id>; remove leftovers of a rehearsal",
    ),
    "QUE-08": (
        "Every repeatable job is there exactly once",
        "a scheduler that is missing or doubled sends nothing, or everything twice",
        _AGAIN,
    ),
    "QUE-09": (
        "The target's queues paused state matches the pre-freeze state",
        "a queue that nobody resumes works nothing off; one that runs too early works on unproven data",
        "per queue: await queue.resume() or await queue.pause()",
    ),
}


def _judge(identifier: str, wrong: list[str], good: str, subject: str, show: int) -> Finding:
    title, why, remedy = _WORDS[identifier]
    more = f"; and {len(wrong) - show} more" if len(wrong) > show else ""
    return Finding.check(
        identifier,
        title,
        wrong,
        severity=Severity.HIGH if identifier in ("QUE-07", "QUE-09") else Severity.BLOCKER,
        subject=subject,
        expected="none" if identifier == "QUE-07" else "the same on both sides",
        observed=f"{len(wrong)}: {'; '.join(wrong[:show])}{more}" if wrong else good,
        note=why,
        remedy=remedy,
        guide=GUIDE_LINE,
        data={"count": len(wrong), "named": wrong[:show]} if wrong else {},
    )


def _unknown(subject: str, why: str) -> Finding:
    return Finding(
        id="QUE-05",
        title=_WORDS["QUE-05"][0],
        status=Status.UNKNOWN,
        severity=Severity.BLOCKER,
        subject=subject,
        expected="the same on both sides",
        observed="nothing could be compared",
        why=why,
        remedy="check source.redis_url and target.redis_url: redis-cli -u … --scan --pattern '*:meta'",
        guide=GUIDE_LINE,
    )


def _no_queue(subject: str, prefix: str, others: list[str]) -> Finding:
    nowhere = f"there is no queue under the prefix {prefix!r} on either side"
    if others:
        return _unknown(subject, f"{nowhere}; at the source: {'; '.join(others)}")
    return Finding(
        "QUE-05",
        _WORDS["QUE-05"][0],
        Status.NOT_APPLICABLE,
        Severity.BLOCKER,
        subject,
        why=f"{nowhere}, nor anything at the source that looks like one's",
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
