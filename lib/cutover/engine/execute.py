"""Runs notebooks headless, one after the other in one process, and leaves a run folder that tells the truth."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cutover import errors
from cutover.engine.kernel import Kernel
from cutover.engine.outcome import Commands, StepOutcome, judge_run, judge_step, resume_from
from cutover.engine.parameters import Declared, assign, inspect
from cutover.engine.record import Ending, State
from cutover.engine.session import Session, session
from cutover.errors import CutoverError, ExitCode, UsageError
from cutover.finding import Verdict
from cutover.params import LoadedParams, from_dict, load_params
from cutover.stage_file import running_stage
from cutover.step import Journal
from cutover.step.evidence import RunFolder, project_root
from cutover.step.facts import run_facts


@dataclass(frozen=True, slots=True)
class Event:
    """What happens during a run, for whoever shows it.

    Attributes:
        kind: `run` (the folder is there), `started`, `cell`, `progress` (of what a cell does), `ended` or `finished`.
        notebook: the step's name; empty for the run's own events.
        folder: the run's folder.
        done: cells before the one that begins; of the run, steps that are done.
        total: cells of the notebook; of the run, steps.
        text: the step's or the run's headline; of progress, its line.
        state: the step's state, or the run's verdict.
    """

    kind: str
    notebook: str
    folder: Path
    done: int = 0
    total: int = 0
    text: str = ""
    state: str = ""


def describe(event: Event) -> str:
    """An event as a line for a person, or "" for what needs none."""
    if event.kind == "run":
        return f"Run: {event.folder}"
    if event.kind == "ended":
        mark = {"completed": "✓", "gate-closed": "✗"}.get(event.state, "!")
        return f"  {mark} {event.notebook:<26} {event.text}"
    if event.kind == "progress":
        return f"    {event.notebook:<26} {event.text}"
    return ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended; all of it is in its folder too."""

    folder: Path
    exit_code: ExitCode
    verdict: Verdict
    headline: str
    next: tuple[str, ...]
    steps: tuple[StepOutcome, ...]


def execute(
    notebooks: Sequence[str | Path],
    params: Path | str | Mapping[str, Any] | None,
    *,
    knobs: Mapping[str, Any] | None = None,
    apply: bool = False,
    outputs: Path = Path("outputs"),
    phase: str = "",
    resume: str | Path | None = None,
    plan: bool = False,
    finish: Callable[[Path], Any] | None = None,
    on_event: Callable[[Event], None] | None = None,
    environment: Mapping[str, str] | None = None,
    caller: Mapping[str, str] | None = None,
    scenario: str | None = None,
    on_rollback: Path | None = None,
    cell_timeout_s: float | None = None,
    notebook_timeout_s: float | None = None,
    start_timeout_s: float = 60.0,
) -> RunResult:
    """Run notebooks until the end, a closed gate, an approval that is wanted, or something that breaks.

    Args:
        notebooks: paths, in order; each runs in a kernel of its own.
        params: a parameter file; or what stands below `migration`; empty attaches to the running rehearsal stage.
        knobs: values for the notebooks' other parameters, by name; text is read by the declared type.
        apply: whether changes may be made.
        outputs: where the run's folder is made.
        phase: name for the run's folder; the first notebook's name by default.
        resume: an earlier run; the steps that it completed are not run again.
        plan: show every change and make none; closed gates do not stop the run.
        finish: called with the run's folder before it is sealed (it draws the report and junit.xml).
        on_event: told what happens.
        environment: variables for the kernels, added to this process's own.
        caller: who runs this, `{"account": …, "arn": …}`, where it is known already.
        scenario: name of the rehearsal's scenario, for the record.
        on_rollback: the notebook that is opened when a step ends in ROLLBACK; it decides nothing for the run.
        cell_timeout_s: seconds that one cell may take.
        notebook_timeout_s: seconds that one notebook may take.
        start_timeout_s: seconds until a kernel must answer.

    Returns:
        The run's folder, exit code and verdict; every ending of a notebook is one of these, never an exception.

    Raises:
        UsageError: the parameters, a knob or a notebook is refused; no kernel was started then.
    """
    loaded = _params(params)
    declared = [inspect(Path(n)) for n in notebooks]
    decision = inspect(on_rollback) if on_rollback else None
    _refuse_doubles(declared)
    names = tuple(n.name for n in declared)
    phase = phase or names[0]
    values = assign(declared, knobs or {})
    earlier, declared = resume_from(resume, outputs, declared, loaded.raw)
    run = _Run(
        loaded=loaded,
        declared=declared,
        kept=earlier,
        values=values,
        apply=apply and not plan,
        plan=plan,
        environment=dict(environment or {}),
        limits={
            "execution_timeout": cell_timeout_s,
            "notebook_timeout": notebook_timeout_s,
            "start_timeout": start_timeout_s,
        },
        tell=on_event or (lambda _: None),
        commands=Commands(phase, names, loaded.path, knobs or {}, apply and not plan, scenario, Path(outputs)),
    )
    with session() as shared:
        folder = RunFolder.create(Path(outputs), loaded.migration.environment, phase, shared.redact)
        kernel = run.start_kernel(shared, folder, 0)
        run.tell(Event("run", "", folder.path, total=len(declared)))
        facts = run_facts(
            folder.name,
            phase,
            loaded.migration,
            loaded.raw,
            names,
            apply=run.apply,
            plan=plan,
            scenario=scenario,
            params_file=str(loaded.path) if loaded.path else None,
            resumed_from=Path(resume).name if resume else None,
            steps=[o.to_dict() for o in earlier],
            **({"caller": dict(caller)} if caller else {}),
        )
        try:
            folder.write("run.json", facts)
            outcomes = [*earlier, *run.play(shared, folder, kernel)]
            if decision and any(o.verdict == Verdict.ROLLBACK for o in outcomes) and shared.stop.number is None:
                outcomes.append(run.play_after(shared, folder, decision))
            return _close(run, folder, outcomes, finish, caller)
        except OSError as error:
            return _unwritable(folder, error, run)


@dataclass(slots=True)
class _Run:
    loaded: LoadedParams
    declared: list[Declared]
    kept: list[StepOutcome]
    values: dict[str, dict[str, Any]]
    apply: bool
    plan: bool
    environment: dict[str, str]
    limits: dict[str, float | None]
    tell: Callable[[Event], None]
    commands: Commands

    def start_kernel(self, shared: Session, folder: RunFolder, index: int) -> Kernel | None:
        """The kernel of the notebook at `index`, booting while something else goes on."""
        if index >= len(self.declared) or shared.stop.number is not None:
            return None
        notebook = self.declared[index]
        mine = {"CUTOVER_RUN": str(folder.path.resolve()), "CUTOVER_STEP": notebook.name}
        mine |= {"CUTOVER_PLAN": "1"} if self.plan else {}
        waits = notebook.rooms if index else ()  # the first is wanted at once
        return shared.kernels.start(notebook.kernel, environment=self.environment | mine, preload=waits)

    def play(self, shared: Session, folder: RunFolder, kernel: Kernel | None) -> list[StepOutcome]:
        """Each notebook in turn; the next one's kernel boots while the current one works."""
        outcomes: list[StepOutcome] = []
        for index, notebook in enumerate(self.declared):
            if shared.stop.number is not None or kernel is None:
                outcomes.append(_stopped_before(notebook, shared.stop.number))
                break
            self.tell(Event("started", notebook.name, folder.path, index, len(self.declared)))
            began = datetime.now(UTC).isoformat()
            following: list[Kernel | None] = [None]
            ending = self._one(shared, folder, notebook, kernel, index, following)
            outcome = judge_step(notebook, ending, folder, began, plan=self.plan)
            outcomes.append(outcome)
            # Whoever kills this process next must not cost the run what it has done: --resume reads it.
            folder.update("run.json", steps=[o.to_dict() for o in (*self.kept, *outcomes)])
            self.tell(
                Event(
                    "ended", notebook.name, folder.path, index + 1, len(self.declared), outcome.headline, outcome.state
                )
            )
            if outcome.stops:
                break
            kernel = following[0] or self.start_kernel(shared, folder, index + 1)
        outcomes += [StepOutcome(n.name, "not-run") for n in self.declared[len(outcomes) :]]
        return outcomes

    def play_after(self, shared: Session, folder: RunFolder, notebook: Declared) -> StepOutcome:
        """One more notebook, after the run has stopped; its gate closes nothing."""
        self.declared = [*self.declared, notebook]
        index = len(self.declared) - 1
        kernel = self.start_kernel(shared, folder, index)
        if kernel is None:
            return StepOutcome(notebook.name, "not-run")
        self.tell(Event("started", notebook.name, folder.path, index, index + 1))
        began = datetime.now(UTC).isoformat()
        ending = self._one(shared, folder, notebook, kernel, index, [None])
        outcome = judge_step(notebook, ending, folder, began, plan=self.plan)
        self.tell(Event("ended", notebook.name, folder.path, index + 1, index + 1, outcome.headline, outcome.state))
        return replace(outcome, exit_code=None)

    def _one(
        self,
        shared: Session,
        folder: RunFolder,
        notebook: Declared,
        kernel: Kernel,
        index: int,
        following: list[Kernel | None],
    ) -> Ending:
        """Execute one notebook through papermill and the engine `cutover`."""
        import papermill  # noqa: PLC0415 - slow; the kernel boots meanwhile

        logging.getLogger("papermill").setLevel(logging.WARNING)
        ended: list[Ending] = []

        def on_cell(done: int, total: int) -> None:
            if done == 0:
                following[0] = self.start_kernel(shared, folder, index + 1)
            self.tell(Event("cell", notebook.name, folder.path, done, total))

        target = folder.path / "notebooks" / notebook.path.name
        target.parent.mkdir(exist_ok=True)
        try:
            papermill.execute_notebook(
                _literal(notebook.path),
                _literal(target),
                parameters=self._parameters(notebook),
                engine_name="cutover",
                kernel_name=notebook.kernel,
                language="python" if notebook.kernel == "python3" else None,
                progress_bar=False,
                shared=shared,
                kernel=kernel,
                on_end=ended.append,
                on_cell=on_cell,
                on_line=lambda line: self.tell(Event("progress", notebook.name, folder.path, text=line)),
                **self.limits,
            )
        except OSError:
            raise
        except (Exception, SystemExit) as error:
            if not ended:  # papermill itself refused the notebook, before any cell ran
                kernel.kill()
                return Ending(State.FAILED, f"papermill could not run it: {type(error).__name__}: {error}")
        return ended[0]

    def _parameters(self, notebook: Declared) -> dict[str, Any]:
        values = dict(self.values.get(notebook.name, {}))
        if "migration" in notebook.knobs:
            values["migration"] = self.loaded.raw
        if "apply" in notebook.knobs:
            values["apply"] = self.apply
        return values


def _params(params: Path | str | Mapping[str, Any] | None) -> LoadedParams:
    if isinstance(params, Path | str):
        return load_params(params)
    raw = dict(params or {})
    if set(raw) == {"migration"} and isinstance(raw["migration"], dict):
        raw = raw["migration"]
    return from_dict(raw or running_stage().migration)


def _refuse_doubles(declared: Sequence[Declared]) -> None:
    names = [n.name for n in declared]
    if not names:
        raise UsageError("No notebook is named.", todo="cutover run notebooks/01_prerequisites.ipynb --params FILE")
    if doubles := sorted({n for n in names if names.count(n) > 1}):
        raise UsageError(f"Named twice: {', '.join(doubles)}.", why="the evidence of one would replace the other's.")


def _close(
    run: _Run,
    folder: RunFolder,
    outcomes: list[StepOutcome],
    finish: Callable[[Path], Any] | None,
    caller: Mapping[str, str] | None,
) -> RunResult:
    """Write the verdict, have the report drawn, seal."""
    result = judge_run(outcomes, folder, run.commands, plan=run.plan)
    code, verdict = ExitCode(result["exit_code"]), Verdict(result["verdict"])
    folder.write("verdict.json", result)
    known = next((s["caller"] for s in folder.steps() if s.get("caller")), caller)
    folder.update("run.json", state="finished", finished=datetime.now(UTC).isoformat(), caller=known)
    with suppress(CutoverError, OSError):  # the journal is for the next run; this one's evidence is complete without it
        m = run.loaded.migration
        journal = Journal.open(m.state, m.name, m.environment, root=project_root(), run=folder.name)
        told = {"verdict": str(verdict), "exit_code": int(code), "headline": result["headline"]}
        journal.write("run", phase=run.commands.phase, **told)
    if finish is not None:
        try:
            finish(folder.path)
        except Exception as error:  # a report that cannot be drawn must not cost the evidence its seal
            code = errors.worst([code, ExitCode.BROKE])
            result["headline"] += f" The report could not be drawn: {type(error).__name__}: {error}"
            folder.write("verdict.json", result | {"exit_code": int(code)})
    folder.seal()
    run.tell(Event("finished", "", folder.path, len(outcomes), len(outcomes), result["headline"], str(verdict)))
    return RunResult(folder.path, code, verdict, result["headline"], tuple(result["next"]), tuple(outcomes))


def _unwritable(folder: RunFolder, error: OSError, run: _Run) -> RunResult:
    """The evidence cannot be written: say so; run.json still says `running`, so nobody takes the run for complete."""
    headline = f"INCONCLUSIVE: the evidence in {folder.path} cannot be written: {error.strerror or error}."
    todo = ("make room, then run again; nothing that was seen in this run counts",)
    run.tell(Event("finished", "", folder.path, 0, len(run.declared), headline, str(Verdict.INCONCLUSIVE)))
    return RunResult(folder.path, ExitCode.BROKE, Verdict.INCONCLUSIVE, headline, todo, ())


def _stopped_before(notebook: Declared, number: int | None) -> StepOutcome:
    state, code = State.TERMINATED, ExitCode.TERMINATED
    if number == signal.SIGINT:
        state, code = State.INTERRUPTED, ExitCode.INTERRUPTED
    return StepOutcome(notebook.name, str(state), exit_code=code, headline="Stopped before it began.", stops=True)


def _literal(path: Path) -> str:
    """papermill formats paths; braces in them must stand for themselves."""
    return str(path).replace("{", "{{").replace("}", "}}")
