"""Which way back: the guide's rollback decision matrix (lines 1150-1157), corrected, as a table to be argued with.

What the guide's table leaves out, and this one says: a restore loses what was written after its point in time and
takes longer than a waiter's thirty minutes; a task definition that pins `:latest` brings back the newest image; a
second target group behind the same balancer and database does not cure what is wrong with those; and the way back to
Replit, which costs nothing before the name is switched and every write on AWS after it.

Each rule gives points for rows and against them. The row with the most points is the diagnosis, if it has two or more
and more than every other; else nothing is decided, and what would decide it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cutover.finding import Finding
from cutover.judgement.symptoms import BAD, Looks, symptoms

ENOUGH = 2
"""A row with fewer points is no diagnosis."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the matrix.

    Attributes:
        issue: what is wrong, in the guide's words.
        method: the way back.
        minutes: how long it takes, from deciding to verified.
        lost: what is lost by it.
        otherwise: what to try before, or to look at when it does not hold.
    """

    issue: str
    method: str
    minutes: str
    lost: str
    otherwise: str


MATRIX: dict[str, Row] = {
    "application": Row(
        "Application bug",
        "Deploy the last revision that ran well, by its image digest",
        "5–15",
        "nothing, if the release did not change the schema; requests in flight while the tasks drain",
        "the configuration when secrets changed too; the infrastructure when targets are unhealthy",
    ),
    "database": Row(
        "Database migration issue",
        "Restore RDS to the moment before the fault, or from the snapshot of T-2h, under the damaged instance's name",
        "30–90",
        "everything written after that point",
        "failover first when RDS is Multi-AZ and only its server is lost: one to two minutes, and nothing is lost",
    ),
    "configuration": Row(
        "Configuration error",
        "Put the last good secret values back and deploy again: ECS reads secrets only when a task starts",
        "5–15",
        "nothing",
        "the database itself, if it is not available; the application, if the release is new",
    ),
    "infrastructure": Row(
        "Infrastructure failure",
        "Shift the traffic to the other target group",
        "2–10",
        "nothing, as long as balancer, zones, queue and database themselves are well",
        "return to Replit when balancer, zone, queue or database are what failed: both groups share them",
    ),
    "return": Row(
        "The move itself failed",
        "Point the name back to Replit and end its maintenance mode",
        "5–60",
        "what was written on AWS since the name was switched; before that, nothing",
        "import again after finding the cause: before the name is switched the source still has everything",
    ),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one symptom says.

    Attributes:
        when: the symptom.
        points: for a row (above zero) or against it.
        because: why.
    """

    when: str
    points: Mapping[str, int]
    because: str


def _rule(
    when: str,
    because: str,
    *,
    application: int = 0,
    database: int = 0,
    configuration: int = 0,
    infrastructure: int = 0,
    back: int = 0,
) -> Rule:
    given = {"application": application, "database": database, "configuration": configuration}
    given |= {"infrastructure": infrastructure, "return": back}
    return Rule(when, {row: n for row, n in given.items() if n}, because)


RULES: tuple[Rule, ...] = (
    _rule(
        "data differ, before the switch of the name",
        "nobody has written on AWS yet: going back loses nothing",
        back=9,
    ),
    _rule(
        "data differ, after the switch of the name",
        "a restore loses less than a return would",
        database=9,
    ),
    _rule("the data are the source's", "a restore would lose writes and fix nothing", database=-1, back=-1),
    _rule(
        "users are hurt",
        "a release is what most often hurts; other rows must show more than that",
        application=2,
    ),
    _rule("the release was changed last", "what changed last is the first suspect", application=1),
    _rule("settings were changed last", "what changed last is the first suspect", configuration=1),
    _rule("the data were changed last", "what changed last is the first suspect", database=1),
    _rule("the way to the platform was changed last", "what changed last is the first suspect", infrastructure=1),
    _rule(
        "the application cannot reach its database",
        "no release answers without its database",
        database=3,
        application=-2,
    ),
    _rule("the application reaches its database", "it is there, and lets the application in", database=-2),
    _rule(
        "but the database answers us",
        "the server is well: a secret, a security group or the pool's limit keeps the application out",
        configuration=4,
        database=-3,
    ),
    _rule(
        "and the database does not answer us either", "lost to everybody, if this machine reached it before", database=2
    ),
    _rule(
        "credentials are refused",
        "a name, a password, a certificate or a rule is wrong; the server itself answered",
        configuration=4,
        database=-1,
    ),
    _rule(
        "the application cannot reach its queue",
        "no release answers without its Redis; its address, its password or itself is lost",
        configuration=2,
        infrastructure=2,
        application=-3,
    ),
    _rule("but the queue answers us", "Redis is well: REDIS_URL, its token or a rule is wrong", configuration=3),
    _rule(
        "and the queue does not answer us either",
        "Redis is lost to everybody, if this machine reached it before; both target groups share it",
        infrastructure=3,
    ),
    _rule(
        "secrets, task definition or rules are not as they should be",
        "the settings are known to be wrong",
        configuration=4,
    ),
    _rule(
        "balancer, network or targets are not as they should be",
        "the way to the application is known to be wrong",
        infrastructure=4,
    ),
    _rule(
        "some targets are unhealthy, others are not",
        "the same release and the same settings run on both: a host or a zone is ill",
        infrastructure=3,
        application=-1,
    ),
    _rule("no target is healthy", "a host, a zone, or what all of them run", infrastructure=1, application=1),
    _rule("targets are unhealthy", "a host, a zone, or what they run", infrastructure=1),
    _rule("every target is healthy", "the balancer reaches the application", infrastructure=-2),
    _rule(
        "the health check is quick and well",
        "process, database and queue answer: what hurts is in the pages",
        application=1,
        infrastructure=-1,
        configuration=-1,
    ),
    _rule(
        "the health check is not answered",
        "the process hangs or is gone, or the way to it is",
        application=1,
        infrastructure=1,
    ),
    _rule(
        "some flows fail, others work",
        "the way is open, so a part of the release is broken",
        application=1,
        infrastructure=-2,
    ),
    _rule(
        "the application answers with errors",
        "the way to it is open, or its errors would not arrive",
        application=1,
        infrastructure=-1,
    ),
    _rule("connections break on the way", "nothing listens, or something between cuts the line", infrastructure=2),
    _rule("requests time out", "the connection is taken and nobody answers: the process hangs", application=1),
    _rule("slow, without errors", "a wrong setting fails, it does not wait", application=1, configuration=-1),
)
"""The whole table. Change a number here, and the tests over the faults of the stage say what changes with it."""


@dataclass(frozen=True, slots=True)
class Argument:
    """What speaks for one row and what against it.

    Attributes:
        issue: the row.
        points: their sum.
        speaks_for: what was seen, why it counts, and for how much.
        speaks_against: likewise.
        row: its key in MATRIX.
    """

    issue: str
    points: int
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    row: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is probably wrong, and the way back for it. A person decides.

    Attributes:
        issue: the row of the matrix, or "Not decidable".
        method: the way back, in one sentence.
        row: its key in MATRIX, which names the way back; "" when nothing is decided.
        minutes: about how long it takes, "5–15".
        why: what speaks for this row.
        lost: what is lost by it.
        otherwise: the next row to consider, and when.
        arguments: every row with what speaks for and against it, the most points first.
        unseen: what was not looked at and would tell more.
    """

    issue: str
    method: str
    row: str
    minutes: str
    why: str
    lost: str
    otherwise: str
    arguments: tuple[Argument, ...] = ()
    unseen: tuple[str, ...] = ()


def diagnose(
    findings: Iterable[Finding], *, after_cutover: bool | None = None, looks: Looks | None = None
) -> Diagnosis:
    """The row of the matrix that has the most to say for itself.

    Args:
        findings: everything seen, what passed too: that speaks against rows. What could not be seen says nothing.
        after_cutover: whether the name points to AWS; None takes it from whether a trigger of live traffic fired.
        looks: what was looked at beside the findings.
    """
    seen, beside = list(findings), looks or Looks()
    noticed = symptoms(seen, beside, after_cutover=after_cutover)
    arguments = sorted((_argument(row, noticed) for row in MATRIX), key=lambda a: -a.points)
    first, second = arguments[0], arguments[1]
    unseen = _unseen(noticed, beside)
    harm = "users are hurt" in noticed or any(name.startswith("data differ") for name in noticed)
    if not harm:
        names = ", ".join(sorted({f.id for f in seen if f.status in BAD})) or "nothing failed"
        return _undecided(f"no trigger fired and no data differ ({names})", arguments, unseen)
    if first.points < ENOUGH or first.points == second.points:
        tied = [a.issue for a in arguments if a.points == first.points]
        why = f"as much speaks for {' as for '.join(tied)}" if len(tied) > 1 else "too little speaks for any row"
        return _undecided(f"{why} ({'; '.join(noticed.values())})", arguments, unseen)
    row = MATRIX[first.row]
    return Diagnosis(
        issue=row.issue,
        method=row.method,
        row=first.row,
        minutes=row.minutes,
        why="; ".join(first.speaks_for),
        lost=row.lost,
        otherwise=row.otherwise,
        arguments=tuple(arguments),
        unseen=unseen,
    )


def _argument(row: str, noticed: Mapping[str, str]) -> Argument:
    rules = [rule for rule in RULES if rule.when in noticed and row in rule.points]

    def said(rule: Rule) -> str:
        shown = f" [{noticed[rule.when]}]" if noticed[rule.when] else ""
        return f"{rule.points[row]:+d} {rule.when}: {rule.because}{shown}"

    points = sum(rule.points[row] for rule in rules)
    speaks_for = tuple(said(r) for r in sorted(rules, key=lambda r: -r.points[row]) if r.points[row] > 0)
    speaks_against = tuple(said(r) for r in sorted(rules, key=lambda r: r.points[row]) if r.points[row] < 0)
    return Argument(MATRIX[row].issue, points, speaks_for, speaks_against, row)


def _undecided(why: str, arguments: list[Argument], unseen: tuple[str, ...]) -> Diagnosis:
    return Diagnosis(
        issue="Not decidable",
        method="No way back follows from these findings: fix them, or decide with the technical lead",
        row="",
        minutes="0",
        why=why,
        lost="nothing",
        otherwise="; ".join(["the return to Replit is always open, at the cost of what was written on AWS", *unseen]),
        arguments=tuple(arguments),
        unseen=unseen,
    )


def _unseen(noticed: Mapping[str, str], looks: Looks) -> tuple[str, ...]:
    """Looks that nobody made and that would move points."""
    missing = []
    if "the application cannot reach its database" in noticed and looks.database_answers is None:
        missing.append("ask the database directly: an answer points to the configuration, none to the database")
    if "the application cannot reach its queue" in noticed and looks.queue_answers is None:
        missing.append("ask Redis directly: an answer points to the configuration, none to the infrastructure")
    if not any("target" in name for name in noticed):
        missing.append("look at the targets' health: some ill and others well point to the infrastructure")
    if not looks.changes:
        missing.append("find out what changed last")
    return tuple(missing)
