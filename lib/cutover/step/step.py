"""A step: what a notebook begins, records, changes and concludes with."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cutover import aws_session
from cutover.action import Action, Approval, Change, Plan
from cutover.errors import ActionRefused, ApprovalNeeded, GateClosed, UsageError
from cutover.finding import Finding, Severity, Status, deciding
from cutover.migration import Migration
from cutover.params import from_dict
from cutover.secrets import redact
from cutover.stage_file import running_stage
from cutover.step import approval, display
from cutover.step.conclusion import Conclusion, conclude, latest, to_dict
from cutover.step.evidence import RunFolder, project_root
from cutover.step.facts import run_facts
from cutover.step.journal import Journal
from cutover.step.received import hold_against_injected, hold_against_run

_SUPERSEDED = {Status.FAIL, Status.MISSING, Status.UNKNOWN, Status.NOT_COMPARED, Status.MANUAL}


class Recorded(list[Finding]):
    """Findings that a notebook has shown already: as the last value of a cell they are not shown again."""

    def _ipython_display_(self) -> None:
        return


class Made(Change):
    """A change that a notebook has shown already."""

    __slots__ = ()

    def _ipython_display_(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class Caller:
    """Who STS says we are."""

    account: str
    arn: str


def begin(
    name: str,
    migration: Mapping[str, Any] | None = None,
    *,
    apply: bool = False,
    knobs: Mapping[str, Any] | None = None,
) -> Step:
    """Begin a step: validate the parameters, open the run's folder and the journal, show where we are.

    Under `cutover run` the folder is the run's (CUTOVER_RUN); under plain papermill or in Lab it is one of its own
    below $CUTOVER_OUTPUTS or `outputs/`.

    Args:
        name: the notebook's name, `13_data_integrity`.
        migration: what stands below `migration` in a parameter file; empty attaches to the running rehearsal stage,
            where no parameters were given.
        apply: whether changes may be made.
        knobs: the notebook's other parameters, shown and kept as evidence.

    Raises:
        ParamsError: the parameters or a knob are refused, or are not those that the runner or papermill gave.
        UsageError: no parameters were given and no stage is running.
    """
    redact.register_environment()
    if not isinstance(apply, bool):
        raise UsageError(f"apply is {apply!r}, not true or false.", todo="-y 'apply: true', or cutover run --apply")
    _check_knobs(knobs or {})
    shared = os.environ.get("CUTOVER_RUN")
    if shared:
        hold_against_run(migration, RunFolder(shared), apply=apply)
    else:
        hold_against_injected(migration, apply=apply)
    raw = dict(migration or {}) or running_stage().migration
    described = from_dict(raw, "the parameters of this notebook").migration
    if described.via != "direct":
        raise UsageError(
            f"via: {described.via} is not built yet.",
            why="the private endpoints would not be reached, or by another way than the parameters say.",
            todo="run inside the VPC, or open the tunnel yourself (docs/your-account.md), and say via: direct",
        )
    name = os.environ.get("CUTOVER_STEP") or name
    if shared:
        run = RunFolder(shared)
    else:
        outputs = Path(os.environ.get("CUTOVER_OUTPUTS") or project_root() / "outputs")
        run = RunFolder.create(outputs, described.environment, name)
        run.write("run.json", run_facts(run.name, name, described, raw, [name], apply=apply))
    step = Step(name, described, run, apply=apply and not os.environ.get("CUTOVER_PLAN"), owns_run=not shared)
    step.open(knobs or {})
    return step


class Step:
    """One notebook at work; made by `begin`.

    Attributes:
        name: the notebook's name.
        migration: the migration, validated.
        run: the run's folder.
        apply: whether changes may be made.
        journal: what outlives this machine.
    """

    def __init__(self, name: str, migration: Migration, run: RunFolder, *, apply: bool, owns_run: bool) -> None:
        self.name, self.migration, self.run, self.apply = name, migration, run, apply
        self.journal = Journal.open(
            migration.state, migration.name, migration.environment, root=project_root(), run=run.name, step=name
        )
        self._owns_run = owns_run
        self._began = time.monotonic()
        self._batches: list[list[Finding]] = []
        self._plans: dict[tuple[str, str], str] = {}
        self._unmade: list[str] = []
        self._caller: Caller | None = None

    def open(self, knobs: Mapping[str, Any]) -> None:
        """Write that the step runs, and show the banner."""
        m = self.migration
        self._say(state="running", started=datetime.now(UTC).isoformat(), apply=self.apply, knobs=dict(knobs))
        rows = {"step": self.name, "migration": m.name, "environment": m.environment, "account": m.account_id}
        rows |= {"region": m.region, "name": m.hostname, "run": str(self.run.path)}
        rows |= {k: str(v) for k, v in knobs.items()}
        if torn := self.journal.torn:
            rows["journal"] = f"{torn} unreadable line(s): a machine went down while it wrote; the rest holds"
        display.banner(rows, production=m.environment == "production", apply=self.apply)

    def resolve(self, reference: str) -> str:
        """The value behind one of the migration's references; it is registered for redaction.

        Raises:
            SecretError: nothing stands behind it.
        """
        return self.migration.resolve(reference)

    def record(self, findings: Iterable[Finding], title: str | None = None) -> list[Finding]:
        """Apply waivers, show a table, append to findings.jsonl; return the findings as they stand.

        What fails only because a change before it is planned and not made is NOT_DUE.
        """
        seen = Recorded(self._below_the_run(f) for f in findings)
        if self.migration.waivers:
            from cutover.judgement import apply_waivers  # noqa: PLC0415 - slow to import, seldom wanted

            seen = Recorded(apply_waivers(seen, self.migration, now=datetime.now(UTC), emulator=self._emulator()))
        if self._unmade:
            seen = Recorded(self._not_due(f) for f in seen)
        self._batches.append(seen)
        self.run.record(self.name, seen)
        display.findings(seen, title)
        return seen

    def planned(self, what: str) -> Finding:
        """The finding that stands for what was not done because nothing may be changed."""
        why = "this run shows what would be done; with apply it is done and judged"
        self._unmade.append(what)
        self._say(planned=self._unmade)
        return Finding("PLAN-00", f"Plan only: {what}", Status.NOT_DUE, Severity.LOW, subject=what, why=why)

    def show(self, frame_or_figure: Any, alt: str = "") -> None:
        """Show a table or a picture; `alt` says in a sentence what it shows."""
        display.thing(frame_or_figure, alt)

    def attach(self, name: str, content: bytes | str | Mapping[str, Any] | list[Any]) -> str:
        """Keep `content` as evidence and return its path in the run folder; a bare name goes to raw/<step>/."""
        relative = name if "/" in name else f"raw/{self.name}/{name}"
        self.run.write(relative, content)
        return relative

    def remember(self, key: str, value: Any) -> None:
        """Keep a value (JSON types) in the journal for a later step, on whatever machine."""
        self.journal.remember(key, value)

    def recall(self, key: str, default: Any = None) -> Any:
        """What a step of this migration remembered under `key`."""
        return self.journal.recall(key, default)

    def backup_folder(self, name: str) -> Path:
        """A private folder for this run's dumps: `<backups>/<migration>-<environment>/<run's time>-<name>`; made."""
        place = self.resolve(self.migration.backups).removeprefix("file://")
        stamp = self.run.name.split("-", 1)[0]
        folder = Path(place) / f"{self.migration.name}-{self.migration.environment}" / f"{stamp}-{name}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder for backups {folder} cannot be made: {error.strerror}.",
                todo="set `backups:` in the parameters to a private folder with room for the dump",
            ) from error
        return folder

    def identify(self, account: str, arn: str) -> None:
        """Say who we are, as STS told it; the evidence names it, and changes are refused in any other account."""
        self._caller = Caller(account, arn)
        self._say(caller=asdict(self._caller))

    @property
    def caller(self) -> Caller:
        """Who STS says we are; asked once.

        Raises:
            ActionRefused: STS does not answer.
        """
        known = self._caller or Caller(*_ask_sts(self.migration))
        if self._caller is None:
            self.identify(known.account, known.arn)
        return known

    def change(self, action: Action | None) -> Change | None:
        """Show an action's plan; with `apply`, an approval and the right account: make, verify and record it.

        Returns:
            What was done; None when it is only planned, or when there is no action (a person does it).

        Raises:
            ApprovalNeeded: the plan waits for a person; the run can be resumed.
            ActionRefused: the wrong account, or an approval that may not count.
        """
        if action is None:
            return None
        plan = action.plan()
        path = self._plan_path(plan)
        if plan.empty:
            return self._stands_already(action, plan, path)
        if not self.apply:
            self._unmade.append(plan.summary)
            self._write_plan(path, plan, "planned")
            display.plan(plan, "planned, not made")
            self._say(planned=self._unmade)
            return None
        display.plan(plan, "to be made now")
        given = self._approval(plan, path)
        self._write_plan(path, plan, "approved", given)
        change = self._apply(action, plan, path, given)
        self._verify(action, change, plan)
        return change

    def gate(self) -> None:
        """Stop here, with the verdict, when what was seen so far closes the gate already.

        Raises:
            GateClosed: it does.
        """
        if deciding(latest(self._batches)):
            self.conclude()

    def conclude(self, *, live: bool = False) -> Conclusion:
        """Judge the step's findings and show the verdict.

        Args:
            live: use the words of live triggers, CONTINUE and ROLLBACK.

        Raises:
            GateClosed: the verdict closes the gate.
        """
        result = conclude(latest(self._batches), planned=len(self._unmade), live=live)
        display.verdict(result)
        passed = result.verdict.opens or (bool(self._unmade) and bool(os.environ.get("CUTOVER_PLAN")))
        self._say(state="completed" if passed else "gate-closed", **to_dict(result))
        if self._owns_run:
            self._finish_own_run(result, "completed" if passed else "gate-closed")
        if not passed:
            raise GateClosed(result.headline, verdict=str(result.verdict), todo="; ".join(result.next[:1]))
        return result

    def _approval(self, plan: Plan, path: str) -> Approval:
        caller = self.caller
        if caller.account != self.migration.account_id:
            raise ActionRefused(
                f"STS says account {caller.account}, the parameters say {self.migration.account_id}.",
                why="a change would hit somebody else's platform.",
                todo="choose the right profile (AWS_PROFILE) or the right parameter file.",
            )
        try:
            return approval.require(
                plan, self.migration, self.journal, run=self.run.name, step=self.name, caller=caller.arn
            )
        except ApprovalNeeded as error:
            self._write_plan(path, plan, "waiting")
            self._say(state="waiting", exit_code=int(error.exit_code), headline=error.what, next=[error.todo])
            raise

    def _apply(self, action: Action, plan: Plan, path: str, given: Approval) -> Change:
        self.journal.write("change-begun", plan=plan.to_dict(), approver=given.approver)
        started, clock = datetime.now(UTC).isoformat(), time.monotonic()
        try:
            result = action.apply(plan)
        except BaseException as error:
            self.journal.write("change-failed", plan_hash=plan.hash, error=f"{type(error).__name__}: {error}")
            self._write_plan(path, plan, "failed", given, error=f"{type(error).__name__}: {error}")
            raise
        change = Made(plan, result, started, round(time.monotonic() - clock, 3))
        self.journal.write("change", change=change.to_dict())
        self._write_plan(path, plan, "made", given, change=change.to_dict())
        return change

    def _stands_already(self, action: Action, plan: Plan, path: str) -> Change:
        """Nothing to do: what is wanted is there; it is verified all the same, by the ids of when it was made."""
        self._write_plan(path, plan, "nothing to do")
        display.plan(plan, "nothing to do")
        before = self.journal.last_change(plan.action, plan.subject) or {}
        started = str(before.get("started") or datetime.now(UTC).isoformat())
        change = Made(plan, before.get("result", {}), started, float(before.get("seconds", 0.0)))
        self._verify(action, change, plan)
        return change

    def _verify(self, action: Action, change: Change, plan: Plan) -> None:
        try:
            findings = action.verify(change)
        except Exception as error:  # a look that fails is a finding, whatever it was that failed
            findings = [
                Finding(
                    f"VER-{action.name}",
                    f"{plan.summary.rstrip('.')}: it is so",
                    Status.UNKNOWN,
                    Severity.HIGH,
                    plan.subject,
                    "the change read back",
                    f"{type(error).__name__}: {error}",
                    "the change was made, but could not be verified",
                    "look at it by hand, then run this notebook again: a change that stands is only verified",
                )
            ]
        self.record(findings, title=f"{action.name}: read back")

    def _plan_path(self, plan: Plan) -> str:
        key = (plan.action, plan.subject)
        if key not in self._plans:
            same = sum(action == plan.action for action, _ in self._plans)
            self._plans[key] = f"plan/{self.name}-{plan.action}{f'-{same + 1}' if same else ''}.json"
        return self._plans[key]

    def _write_plan(self, path: str, plan: Plan, state: str, given: Approval | None = None, **more: Any) -> None:
        about = {"step": self.name, "state": state, "hash": plan.hash, "plan": plan.to_dict()}
        self.run.write(path, {**about, "approval": asdict(given) if given else None, **more})

    def _below_the_run(self, finding: Finding) -> Finding:
        """Evidence is named by its path in the run's folder, so that the folder may be moved."""
        here = f"{self.run.path.resolve()}{os.sep}"
        if not any(str(Path(e).absolute()).startswith(here) and Path(e).is_absolute() for e in finding.evidence):
            return finding
        return replace(finding, evidence=tuple(e.removeprefix(here) for e in finding.evidence))

    def _not_due(self, finding: Finding) -> Finding:
        if finding.status not in _SUPERSEDED:
            return finding
        why = f"a change before it is planned and not made ({self._unmade[0].rstrip('.')}); it was {finding.status} now"
        return replace(finding, status=Status.NOT_DUE, why=why)

    def _emulator(self) -> str | None:
        if self.migration.aws_endpoint is None:
            return None
        try:
            return version("moto")
        except PackageNotFoundError:
            return None

    def _say(self, **values: Any) -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self.run.update(f"steps/{self.name}.json", name=self.name, seconds=seconds, **values)

    def _finish_own_run(self, result: Conclusion, state: str) -> None:
        said = self.run.read(f"steps/{self.name}.json")
        step = {k: said.get(k) for k in ("name", "verdict", "seconds", "started")} | {"state": state}
        self.run.write("verdict.json", {**to_dict(result), "steps": [step]})
        caller = asdict(self._caller) if self._caller else None
        self.run.update("run.json", state="finished", finished=datetime.now(UTC).isoformat(), caller=caller)
        self.run.seal()


def _check_knobs(knobs: Mapping[str, Any]) -> None:
    """What `papermill -p` turns into something else than was meant."""
    for name, value in knobs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"The knob {name} is {value}.", why="no threshold is ever compared with it truly.")
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off", "none", "null"):
            raise UsageError(
                f"The knob {name} is the text {value!r}.",
                why="papermill -p passes it as text, and any text counts as true.",
                todo=f"papermill -y '{name}: {value.lower()}', or cutover run -p {name} {value.lower()}",
            )


def _ask_sts(migration: Migration) -> tuple[str, str]:
    """Account and ARN; in the rehearsal from the emulator, with its dummy credentials.

    Raises:
        ActionRefused: STS does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import

    try:
        client = aws_session.client("sts", region=migration.region, endpoint=migration.endpoint)
        said = client.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise ActionRefused(
            f"STS does not say who we are: {error}.",
            why="a change needs the account that the parameters name, and a name for the record.",
            todo="aws sts get-caller-identity; sign in, then run the cell again.",
        ) from error
    return str(said["Account"]), str(said["Arn"])
