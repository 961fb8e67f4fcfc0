"""Which way back: the guide's rollback decision matrix (lines 1150-1157), corrected, as a table to be argued with.

What the guide's table leaves out, and this one says: a restore loses what was written after its point in time and
takes longer than a waiter's thirty minutes; a task definition that pins `:latest` brings back the newest image; a
second target group behind the same balancer and database does not cure what is wrong with those; and the way back to
Replit, which costs nothing before the name is switched and every write on AWS after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cutover.finding import Finding, Status

_BAD = frozenset({Status.FAIL, Status.MISSING})
_DATA = ("INT-", "CAT-", "RST-", "TRF-", "OBJ-", "FRZ-")
_PLACE = ("CUT-", "NET-", "ALB-", "TG-", "LSN-", "ACM-", "CDN-", "EC2-", "ASG-")
_SETTINGS = ("SEC-", "TD-", "SG-", "IAM-", "RED-")
_CREDENTIALS = (
    "password",
    "authentication",
    "credential",
    "secret",
    "permission denied",
    "access denied",
    "no pg_hba",
    "ssl",
    "certificate",
    "does not exist",
    "noauth",
    "wrongpass",
)
"""Words of PostgreSQL, Redis and AWS by which a refused connection is a wrong setting, not a lost server."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the matrix.

    Attributes:
        issue: what is wrong, in the guide's words.
        method: the way back.
        notebook: the notebook that does it, without its ending.
        minutes: how long it takes, from deciding to verified.
        lost: what is lost by it.
    """

    issue: str
    method: str
    notebook: str
    minutes: str
    lost: str


MATRIX: dict[str, Row] = {
    "application": Row(
        "Application bug",
        "Deploy the last revision that ran well, by its image digest",
        "91_rollback_application",
        "5–15",
        "nothing, if the release did not change the schema; requests in flight while the tasks drain",
    ),
    "database": Row(
        "Database migration issue",
        "Restore RDS to a point before the fault, or from the snapshot of T-2h, and point the secret to it",
        "92_rollback_database",
        "30–90",
        "everything written after that point",
    ),
    "configuration": Row(
        "Configuration error",
        "Put the last good secret values back and deploy again: ECS reads secrets only when a task starts",
        "93_rollback_configuration",
        "5–15",
        "nothing",
    ),
    "infrastructure": Row(
        "Infrastructure failure",
        "Shift the traffic to the other target group",
        "94_rollback_traffic",
        "2–10",
        "nothing, as long as balancer, zones and database themselves are well",
    ),
    "return": Row(
        "The move itself failed",
        "Point the name back to Replit and end its maintenance mode",
        "95_return_to_replit",
        "5–60",
        "what was written on AWS since the name was switched; before that, nothing",
    ),
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is probably wrong, and the way back for it. A person decides.

    Attributes:
        issue: the row of the matrix, or "Not decidable".
        method: the way back, in one sentence.
        notebook: the notebook to open next, without its ending.
        minutes: about how long it takes, "5–15".
        why: what speaks for this row.
        lost: what is lost by it.
        otherwise: the next row to consider, and when.
    """

    issue: str
    method: str
    notebook: str
    minutes: str
    why: str
    lost: str
    otherwise: str


def diagnose(findings: Iterable[Finding], *, after_cutover: bool | None = None) -> Diagnosis:
    """The row of the matrix that the failing findings point to; the first rule that holds, in this order.

    1. data differ                            before the switch of the name: return; after it: database
    2. the database is unreachable            refused by name or password: configuration; else database
    3. a trigger fired and the balancer, the network or its targets are not as they should be: infrastructure
    4. a trigger fired and secrets, task definition or security groups are not as they should be: configuration
    5. any other trigger, deployment, flow or health check: application
    6. anything else that failed: not decidable from here

    Args:
        findings: everything seen; only FAIL and MISSING count.
        after_cutover: whether the name points to AWS; None takes it from whether a trigger of live traffic fired.
    """
    bad = [f for f in findings if f.status in _BAD]
    data = _with(bad, *_DATA)
    database = _with(bad, "TRG-database")
    place, settings = _with(bad, *_PLACE), _with(bad, *_SETTINGS)
    behaviour = [f for f in bad if f.trigger] + _with(bad, "FLOW-", "APP-", "DEP-", "QUE-")
    if data:
        moved = any(f.trigger for f in bad) if after_cutover is None else after_cutover
        row = "database" if moved else "return"
        otherwise = "before the name is switched, import again after finding the cause: the source still has everything"
        return _diagnosis(row, data, "the target's data are not the source's", otherwise)
    if database:
        said = " ".join(f"{f.observed} {f.why}" for f in [*database, *settings]).lower()
        if settings or any(word in said for word in _CREDENTIALS):
            why = "the database refuses the application: a name, a password, a certificate or a rule is wrong"
            return _diagnosis(
                "configuration", [*database, *settings], why, "the database itself, if it is not available"
            )
        why = "the application cannot reach its database, and nothing says that its settings are wrong"
        otherwise = "failover first when RDS is Multi-AZ: one to two minutes, and nothing is lost"
        return _diagnosis("database", database, why, otherwise)
    if behaviour and place:
        why = "users are hurt, and the way to the application is not as it should be"
        otherwise = "return to Replit (95) when balancer, zone or database are what failed: both groups share them"
        return _diagnosis("infrastructure", [*place, *behaviour], why, otherwise)
    if behaviour and settings:
        why = "users are hurt, and the settings of the application are not as they should be"
        return _diagnosis("configuration", [*settings, *behaviour], why, "the application (91), if the release is new")
    if behaviour:
        why = "users are hurt while data, database and infrastructure look well: the release is what changed last"
        otherwise = "configuration (93) when secrets changed too; infrastructure (94) when targets are unhealthy"
        return _diagnosis("application", behaviour, why, otherwise)
    names = ", ".join(sorted({f.id for f in bad})) or "nothing failed"
    return Diagnosis(
        issue="Not decidable",
        method="No way back follows from these findings: mend them, or decide with the technical lead",
        notebook="40_troubleshooting",
        minutes="0",
        why=f"no trigger fired and no data differ ({names})",
        lost="nothing",
        otherwise="95_return_to_replit is always open, at the cost of what was written on AWS",
    )


def _with(findings: list[Finding], *prefixes: str) -> list[Finding]:
    return [f for f in findings if f.id.startswith(prefixes)]


def _diagnosis(row: str, evidence: list[Finding], why: str, otherwise: str) -> Diagnosis:
    chosen = MATRIX[row]
    seen = "; ".join(f"{f.id}: {f.observed}" if f.observed else f.id for f in _unique(evidence))
    return Diagnosis(
        issue=chosen.issue,
        method=chosen.method,
        notebook=chosen.notebook,
        minutes=chosen.minutes,
        why=f"{why} ({seen})",
        lost=chosen.lost,
        otherwise=otherwise,
    )


def _unique(findings: list[Finding], most: int = 4) -> list[Finding]:
    by_id = {f.id: f for f in findings}
    return list(by_id.values())[:most]
