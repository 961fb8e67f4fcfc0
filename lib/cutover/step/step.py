"""A step: what a notebook begins, records, changes and concludes with."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cutover import aws_session
from cutover.action import Action, Change
from cutover.errors import ActionRefused, GateClosed, UsageError
from cutover.finding import Finding, Severity, Status, deciding
from cutover.migration import Migration
from cutover.params import from_dict
from cutover.secrets import redact
from cutover.stage_file import running_stage
from cutover.step import display
from cutover.step.change import Caller, Changes
from cutover.step.conclusion import Conclusion, conclude, latest, to_dict
from cutover.step.context import attach, backup_folder
from cutover.step.evidence import RunFolder, project_root
from cutover.step.facts import run_facts
from cutover.step.journal import Journal
from cutover.step.received import hold_against_injected, hold_against_run

_SUPERSEDED = {Status.FAIL, Status.MISSING, Status.UNKNOWN, Status.NOT_COMPARED, Status.MANUAL}


class Recorded(list[Finding]):
    """Findings that a notebook has shown already: as the last value of a cell they are not shown again."""

    def _ipython_display_(self) -> None:
        return


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
        self._caller: Caller | None = None
        self._changes = Changes(self, apply=apply)

    def open(self, knobs: Mapping[str, Any]) -> None:
        """Write that the step runs, and show the banner."""
        m = self.migration
        self.note(state="running", started=datetime.now(UTC).isoformat(), apply=self.apply, knobs=dict(knobs))
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
        if self._changes.planned:
            seen = Recorded(self._not_due(f) for f in seen)
        self._batches.append(seen)
        self.run.record(self.name, seen)
        display.findings(seen, title)
        return seen

    def planned(self, what: str) -> Finding:
        """The finding that stands for what was not done because nothing may be changed."""
        why = "this run shows what would be done; with apply it is done and judged"
        self._changes.plan_only(what)
        return Finding("PLAN-00", f"Plan only: {what}", Status.NOT_DUE, Severity.LOW, subject=what, why=why)

    def show(self, frame_or_figure: Any, alt: str = "") -> None:
        """Show a table or a picture; `alt` says in a sentence what it shows."""
        display.thing(frame_or_figure, alt)

    def attach(self, name: str, content: bytes | str | Mapping[str, Any] | list[Any]) -> str:
        """Keep `content` as evidence and return its path in the run folder; a bare name goes to raw/<step>/."""
        return attach(self, name, content)

    def remember(self, key: str, value: Any) -> None:
        """Keep a value (JSON types) in the journal for a later step, on whatever machine."""
        self.journal.remember(key, value)

    def recall(self, key: str, default: Any = None) -> Any:
        """What a step of this migration remembered under `key`."""
        return self.journal.recall(key, default)

    def backup_folder(self, name: str) -> Path:
        """A private folder for this run's dumps: `<backups>/<migration>-<environment>/<run's time>-<name>`; made."""
        return backup_folder(self, name)

    def note(self, **values: Any) -> None:
        """Write into steps/<name>.json how the step stands."""
        seconds = round(time.monotonic() - self._began, 3)
        self.run.update(f"steps/{self.name}.json", name=self.name, seconds=seconds, **values)

    def identify(self, account: str, arn: str) -> None:
        """Say who we are, as STS told it; the evidence names it, and changes are refused in any other account."""
        self._caller = Caller(account, arn)
        self.note(caller=asdict(self._caller))

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
        return None if action is None else self._changes.carry_out(action)

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
        result = conclude(latest(self._batches), planned=len(self._changes.planned), live=live)
        display.verdict(result)
        passed = result.verdict.opens or (bool(self._changes.planned) and bool(os.environ.get("CUTOVER_PLAN")))
        self.note(state="completed" if passed else "gate-closed", **to_dict(result))
        if self._owns_run:
            self._finish_own_run(result, "completed" if passed else "gate-closed")
        if not passed:
            raise GateClosed(result.headline, verdict=str(result.verdict), todo="; ".join(result.next[:1]))
        return result

    def _below_the_run(self, finding: Finding) -> Finding:
        """Evidence is named by its path in the run's folder, so that the folder may be moved."""
        here = f"{self.run.path.resolve()}{os.sep}"
        if not any(str(Path(e).absolute()).startswith(here) and Path(e).is_absolute() for e in finding.evidence):
            return finding
        return replace(finding, evidence=tuple(e.removeprefix(here) for e in finding.evidence))

    def _not_due(self, finding: Finding) -> Finding:
        if finding.status not in _SUPERSEDED:
            return finding
        first = self._changes.planned[0].rstrip(".")
        why = f"a change before it is planned and not made ({first}); it was {finding.status} now"
        return replace(finding, status=Status.NOT_DUE, why=why)

    def _emulator(self) -> str | None:
        if self.migration.aws_endpoint is None:
            return None
        try:
            return version("moto")
        except PackageNotFoundError:
            return None

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
            raise UsageError(
                f"Parameter {name} is NaN or infinite: {value}.", why="comparisons with NaN are always false."
            )
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off", "none", "null"):
            raise UsageError(
                f"Parameter {name} is the text {value!r}.",
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
