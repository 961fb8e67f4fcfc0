"""Who lets a plan pass: an approval is bound to the plan's hash; a changed plan needs a new one. No `--yes`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cutover.action import Approval, Plan
from cutover.errors import ActionRefused, ApprovalNeeded, UsageError
from cutover.migration import Migration
from cutover.step.evidence import RunFolder, project_root
from cutover.step.journal import Journal

REHEARSAL = "rehearsal"
"""The approver of every plan where `environment: rehearsal`; recorded like any other."""


def require(plan: Plan, migration: Migration, journal: Journal, *, run: str, step: str, caller: str) -> Approval:
    """The approval under which a plan may be applied now.

    In a rehearsal it is given by the rehearsal itself and recorded. Elsewhere the journal must hold one for this very
    plan; where a person sits at the notebook they are asked, but in production whoever started the run may not approve.

    Args:
        plan: what would be done.
        migration: the migration.
        journal: where approvals are kept.
        run: the run's name.
        step: the step's name.
        caller: who runs this, an ARN.

    Raises:
        ApprovalNeeded: nobody has approved this plan yet.
        ActionRefused: the approval may not count.
    """
    found = journal.approval(plan.hash)
    if found is None and migration.environment == "rehearsal":
        found = Approval(plan.hash, REHEARSAL, _now(), "given by the rehearsal itself, to nobody's credit")
        journal.approve(found, subject=plan.subject)
    if found is None and migration.environment != "production" and _asked(plan, migration.environment):
        found = Approval(plan.hash, caller, _now(), "typed in the notebook")
        journal.approve(found, subject=plan.subject)
    if found is None:
        raise ApprovalNeeded(
            f"{plan.action} on {plan.subject} waits for an approval: {plan.summary}",
            why="changes outside the rehearsal are made only under an approval of exactly this plan.",
            todo=f"read plan/{step}-*.json, then: cutover approve {run} {step}; afterwards resume: --resume {run}",
        )
    if migration.environment != "rehearsal" and found.approver == REHEARSAL:
        raise ActionRefused(f"A rehearsal's approval does not count where environment: {migration.environment}.")
    if migration.environment == "production" and found.approver == caller:
        raise ActionRefused(
            f"{caller} started this run and also approved {plan.action}.",
            why="in production four eyes see every change.",
            todo=f"let somebody else run: cutover approve {run} {step}",
        )
    return found


def approve(
    run: Path | str, step: str, approver: str, *, note: str = "", outputs: Path | None = None, root: Path | None = None
) -> list[Approval]:
    """Approve every plan of a step that waits; what `cutover approve RUN STEP` does.

    Args:
        run: the run's folder or name.
        step: the step's name; its number is enough.
        approver: who approves, an ARN as STS tells it or the pipeline's approver; never a name typed in.
        note: a remark for the record.
        outputs: where runs lie.
        root: what a relative `migration.state` is relative to.

    Raises:
        UsageError: no such run or step, or nothing waits there.
        ActionRefused: the approver started the run, and it is production.
    """
    folder = RunFolder.find(run, outputs)
    facts = folder.read("run.json")
    if not approver.strip():
        raise UsageError("An approval needs an approver.", todo="sign in to AWS, or give the pipeline's approver")
    if facts.get("environment") == "production" and approver in _starters(folder):
        raise ActionRefused(
            f"{approver} started this run and cannot approve it.",
            why="in production four eyes see every change.",
            todo="let somebody else approve",
        )
    params = facts.get("params", {})
    account = str(params.get("account_id", ""))
    if approver.startswith("arn:") and approver.split(":")[4:5] != [account]:
        raise ActionRefused(
            f"{approver} is not of the account {account} that this migration changes.",
            why="anybody has an account of their own somewhere; that is no second pair of eyes.",
            todo=f"sign in to account {account}, then approve",
        )
    if facts.get("environment") == "production" and not approver.startswith("arn:"):
        raise ActionRefused(
            f"{approver!r} is a name, not a caller that STS vouches for.",
            why="in production four eyes see every change.",
            todo="approve from an AWS session of your own, without CUTOVER_APPROVER",
        )
    journal = Journal.open(
        str(params.get("state", "outputs/state")),
        str(params.get("name", "migration")),
        str(facts.get("environment", "")),
        root=root or project_root(),
        run=folder.name,
        step=step,
    )
    given = []
    for path in sorted((folder.path / "plan").glob("*.json")):
        plan = folder.read(f"plan/{path.name}")
        named = str(plan.get("step", ""))
        waits = plan.get("state") == "waiting" and not journal.approval(str(plan.get("hash", "")))
        if waits and (named == step or named.partition("_")[0] == step):
            approval = Approval(str(plan["hash"]), approver, _now(), note)
            journal.approve(approval, subject=str(plan.get("plan", {}).get("subject", "")))
            given.append(approval)
    if not given:
        steps = sorted({str(folder.read(f"plan/{p.name}").get("step")) for p in (folder.path / "plan").glob("*.json")})
        raise UsageError(
            f"Nothing of {step} waits for an approval in {folder.name}.",
            todo=f"steps with plans there: {', '.join(steps) or 'none'}",
        )
    return given


def _starters(folder: RunFolder) -> set[str]:
    callers = [folder.read("run.json").get("caller"), *(s.get("caller") for s in folder.steps())]
    return {str(c["arn"]) for c in callers if isinstance(c, dict) and c.get("arn")}


def _asked(plan: Plan, environment: str) -> bool:
    """Ask the person at the notebook; False where nobody can answer, or the token is not the one wanted."""
    try:
        from IPython import get_ipython  # noqa: PLC0415 - not there outside of a kernel

        shell = get_ipython()
    except ImportError:
        return False
    if not getattr(getattr(shell, "kernel", None), "_allow_stdin", False):
        return False
    token = f"{environment} {plan.hash[:6]}"
    return input(f"Type `{token}` to let this be done, anything else to stop: ").strip() == token


def _now() -> str:
    return datetime.now(UTC).isoformat()
