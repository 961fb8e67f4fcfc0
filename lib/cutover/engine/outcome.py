"""From how each notebook ended and what its step said to the state, exit code and verdict of steps and of the run."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cutover import errors
from cutover.engine.parameters import Declared
from cutover.engine.record import Ending, State
from cutover.errors import ExitCode, UsageError
from cutover.finding import Finding, Verdict, deciding
from cutover.step import PHASES, RunFolder
from cutover.step.conclusion import latest

_IDENTITY = (
    "name", "environment", "account_id", "region", "hostname", "source", "target", "staging", "transfer", "release",
    "expect", "expected_differences",
)  # fmt: skip
"""What must be the same for an earlier run's steps to count."""

_CODES = {
    State.FAILED: ExitCode.BROKE,
    State.TIMEOUT: ExitCode.BROKE,
    State.KERNEL_DIED: ExitCode.BROKE,
    State.INTERRUPTED: ExitCode.INTERRUPTED,
    State.TERMINATED: ExitCode.TERMINATED,
}


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How one notebook of a run ended.

    Attributes:
        name: the step's name.
        state: completed, failed, gate-closed, waiting (for an approval), not-run, timeout, interrupted, terminated or
            kernel-died.
        verdict: the step's own; empty when it concluded nothing.
        exit_code: what a run ends with that ends here; None for a step that did not run or judges nothing.
        headline: what happened, in a sentence, with the verdict's word where there is one.
        seconds: how long it took.
        started: ISO 8601 UTC.
        next: what to do now.
        stops: whether the run ends here.
        planned: changes that were shown and not made.
        run: the earlier run that did it, when it was resumed.
        said: the headline without the word.
    """

    name: str
    state: str
    verdict: str = ""
    exit_code: ExitCode | None = None
    headline: str = ""
    seconds: float | None = None
    started: str = ""
    next: tuple[str, ...] = ()
    stops: bool = False
    planned: tuple[str, ...] = ()
    run: str = ""
    said: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for verdict.json."""
        said = {"name": self.name, "verdict": self.verdict, "state": self.state, "seconds": self.seconds}
        said |= {"started": self.started or None, "headline": self.headline}
        said |= {"exit_code": None if self.exit_code is None else int(self.exit_code)}
        return (
            said | ({"run": self.run} if self.run else {}) | ({"planned": list(self.planned)} if self.planned else {})
        )


@dataclass(frozen=True, slots=True)
class Commands:
    """What a person types next, in the words of this run.

    Attributes:
        phase: the run's phase.
        notebooks: the names of its notebooks.
        params: its parameter file, where there is one.
        knobs: its knobs.
        apply: whether changes were allowed.
        scenario: the rehearsal's scenario.
        outputs: where its folder lies.
    """

    phase: str
    notebooks: tuple[str, ...] = ()
    params: Path | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    apply: bool = False
    scenario: str | None = None
    outputs: Path = Path("outputs")

    def run(self, what: str, *, apply: bool = False, knobs: bool = False) -> str:
        """`cutover run WHAT` with this run's parameters."""
        words = ["cutover", "run", *what.split(), *(["--params", str(self.params)] if self.params else [])]
        words += ["--outputs", str(self.outputs)] if self.outputs != Path("outputs") else []
        words += [w for k, v in self.knobs.items() if knobs for w in ("-p", k, str(v))]
        return shlex.join([*words, *(["--apply"] if apply else [])])

    def again(self, run: str) -> str:
        """Go on with this run; a rehearsal begins anew, for its stage is gone."""
        if self.scenario:
            return f"cutover rehearse --scenario {self.scenario}"
        what = self.phase if self.phase in PHASES else " ".join(self.notebooks)
        return f"{self.run(what, apply=self.apply, knobs=True)} --resume {run}"


_AFTER = {"prepare": "day", "day": "review"}


def judge_step(notebook: Declared, ending: Ending, folder: RunFolder, began: str, *, plan: bool) -> StepOutcome:
    """What one notebook's ending means, with what its step wrote of itself.

    Args:
        notebook: the notebook.
        ending: how the engine says that it ended.
        folder: the run's folder, where the step wrote.
        began: when it began, ISO 8601 UTC.
        plan: only plans are wanted: a closed gate does not stop the run.
    """
    said = folder.read(f"steps/{notebook.name}.json")
    word = str(said.get("verdict", ""))
    headline, sentence = str(said.get("headline", "")), str(said.get("said", ""))
    todo = tuple(map(str, said.get("next", ())))
    state, code, stops = str(ending.word), _CODES.get(ending.state), True
    if ending.state is State.COMPLETED:
        if word:
            code, stops = ExitCode(int(said.get("exit_code", ExitCode.INCONCLUSIVE))), False
        elif not notebook.concludes and not folder.records(notebook.name):
            code, stops, headline = None, False, f"{notebook.name} shows, and judges nothing."
        else:
            code, headline = ExitCode.INCONCLUSIVE, f"{notebook.name} ended without a conclusion."
    elif ending.state is State.FAILED and (kind := errors.raised(ending.error)) is not None:
        code = kind.exit_code
        if ending.word is State.GATE_CLOSED:
            code = ExitCode(int(said.get("exit_code") or ExitCode.CLOSED))
        elif ending.word is State.FAILED:
            headline = ""
    else:
        headline = ""
    if not headline:
        headline = ending.reason.splitlines()[0] if ending.reason else str(ending.state)
        sentence, todo = "", (ending.todo,) if ending.todo else ()
    if plan and state in ("gate-closed", "waiting"):
        stops = False
    _settle(folder, notebook, state)
    return StepOutcome(
        name=notebook.name,
        state=state,
        verdict=word,
        exit_code=code,
        headline=headline,
        said=sentence or headline,
        seconds=round(ending.seconds, 3),
        started=began,
        next=todo,
        stops=stops,
        planned=tuple(map(str, said.get("planned", ()))),
    )


def judge_run(outcomes: Sequence[StepOutcome], folder: RunFolder, commands: Commands, *, plan: bool) -> dict[str, Any]:
    """The content of verdict.json: where several endings hold, the worst (`errors.worst`).

    Args:
        outcomes: the steps, those that did not run too.
        folder: the run's folder.
        commands: the commands for `next`.
        plan: whether only plans were wanted.
    """
    codes = [o.exit_code for o in outcomes if o.exit_code is not None]
    planned = [p for o in outcomes for p in o.planned]
    if plan:
        codes = [c for c in codes if c in _CODES.values() or c is ExitCode.USAGE] or [ExitCode.GO]
    code = errors.worst(codes) if codes else ExitCode.INCONCLUSIVE
    decisive = next((o for o in outcomes if o.exit_code is code), None)
    word = {
        ExitCode.GO: Verdict.GO,
        ExitCode.CLOSED: Verdict(decisive.verdict) if decisive and decisive.verdict else Verdict.NO_GO,
    }.get(code, Verdict.INCONCLUSIVE)
    if plan:
        word = Verdict.INCONCLUSIVE
    closed = _deciding(folder, decisive) if code in (ExitCode.CLOSED, ExitCode.INCONCLUSIVE) else []
    return {
        "verdict": str(word),
        "exit_code": int(code),
        **_headline(code, word, decisive, outcomes, planned, plan=plan),
        "deciding": [f.to_dict() for f in closed],
        "next": _next(code, word, decisive, folder, commands),
        "steps": [o.to_dict() for o in outcomes],
        **({"planned": planned} if planned else {}),
    }


def steps_of(run: RunFolder) -> list[dict[str, Any]]:
    """The steps of a run as far as it came, in order: as its verdict.json tells, or what a killed one had noted."""
    if said := run.read("verdict.json").get("steps"):
        return list(said)
    ended = list(run.read("run.json").get("steps", ()))
    names = {step["name"] for step in ended}
    return [*ended, *(step for step in run.steps() if step.get("name") not in names)]


def resume_from(
    resume: str | Path | None, outputs: Path, declared: list[Declared], raw: Mapping[str, Any]
) -> tuple[list[StepOutcome], list[Declared]]:
    """What an earlier run completed, and the notebooks that are left: from the first that it did not complete.

    A run that was killed wrote no verdict.json: what had ended stands in its run.json, and the step that was going on,
    if it had concluded, said so itself.

    Raises:
        UsageError: no such run; it is still going on, or was of another migration; or it left nothing to do.
    """
    if resume is None:
        return [], declared
    earlier = RunFolder.find(resume, outputs)
    _refuse_running(earlier)
    before = earlier.read("run.json").get("params", {})
    other = [k for k in _IDENTITY if before.get(k) != raw.get(k)]
    if other:
        raise UsageError(
            f"{earlier.name} was run with another {', '.join(other)}.",
            why="what it saw says nothing of this migration.",
            todo="run without --resume",
        )
    done = {
        s["name"]: s for s in steps_of(earlier) if s.get("state") == "completed" and s.get("exit_code") in (0, None)
    }
    kept: list[StepOutcome] = []
    for notebook in declared:
        if notebook.name not in done:
            break
        s = done[notebook.name]
        code = None if s.get("exit_code") is None else ExitCode.GO
        kept.append(
            StepOutcome(
                notebook.name,
                "completed",
                str(s.get("verdict", "")),
                code,
                str(s.get("headline", "")),
                s.get("seconds"),
                str(s.get("started") or ""),
                run=str(s.get("run") or earlier.name),
            )
        )
    left = declared[len(kept) :]
    if not left:
        raise UsageError(
            f"{earlier.name} completed every step; nothing is left to resume.", todo="run without --resume"
        )
    return kept, left


def _refuse_running(earlier: RunFolder) -> None:
    """Two runs at once would make the same changes side by side.

    Raises:
        UsageError: the run goes on, in a process of this machine.
    """
    import psutil  # noqa: PLC0415

    about = earlier.read("run.json")
    pid = int(about.get("pid") or 0)
    if about.get("state") != "running" or about.get("host") != platform.node() or pid in (0, os.getpid()):
        return
    with suppress(psutil.Error, ValueError):
        process = psutil.Process(pid)
        # The number may be another process's by now: one that was born after the run began is not the run.
        born = datetime.fromtimestamp(process.create_time(), UTC)
        if process.status() != psutil.STATUS_ZOMBIE and born <= datetime.fromisoformat(str(about.get("started"))):
            raise UsageError(
                f"{earlier.name} is still running, as process {pid}.",
                why="two runs at once would make the same changes side by side.",
                todo=f"wait for it (cutover status {earlier.name}), or end it: kill {pid}",
            )


def _settle(folder: RunFolder, notebook: Declared, state: str) -> None:
    """A step that could not write its own end is given the one that the engine saw."""
    relative = f"steps/{notebook.name}.json"
    if folder.read(relative).get("state") == "running":
        folder.update(relative, state=state)


def _deciding(folder: RunFolder, decisive: StepOutcome | None) -> list[Finding]:
    if decisive is None:
        return []
    batches: dict[str, list[Finding]] = {}
    for entry in folder.records(decisive.name):
        batches.setdefault(str(entry.get("at")), []).append(Finding.from_dict(entry))
    return deciding(latest(list(batches.values())))


def _headline(
    code: ExitCode,
    word: Verdict,
    decisive: StepOutcome | None,
    outcomes: Sequence[StepOutcome],
    planned: Sequence[str],
    *,
    plan: bool,
) -> dict[str, str]:
    """`headline`, the whole sentence; and its parts, for who says the verdict's word and the step's title apart.

    `said` is the sentence alone, `at` the step that it speaks of, `unfinished` the state of one that did not finish.
    """
    ran = [o for o in outcomes if o.state != "not-run"]
    if plan and code is ExitCode.GO:
        count = f"{len(planned)} change{'s' if len(planned) != 1 else ''}"
        said = f"{count} in {len(ran)} step{'s' if len(ran) != 1 else ''}; none made."
        return {"headline": f"Plan: {said}", "said": f"Plan: {said}"}
    if code is ExitCode.GO:
        said = f"all {len(ran)} steps" if len(ran) != 1 else "the one step"
        said += " completed and no gate is closed."
        return {"headline": f"GO: {said}", "said": said}
    if decisive is None:
        return {"headline": f"{word}: nothing was judged.", "said": "nothing was judged."}
    said, at = decisive.said or decisive.headline, decisive.name
    if code is ExitCode.WAITING:
        return {"headline": f"Waiting at {at}: {said}", "said": said, "at": at}
    if code in (ExitCode.CLOSED, ExitCode.INCONCLUSIVE):
        return {"headline": f"{word} at {at}: {said}", "said": said, "at": at}
    ended = decisive.state
    return {"headline": f"{at} did not finish ({ended}): {said}", "said": said, "at": at, "unfinished": ended}


def _next(
    code: ExitCode, word: Verdict, decisive: StepOutcome | None, folder: RunFolder, commands: Commands
) -> list[str]:
    run = folder.name
    todo, again = list(decisive.next) if decisive else [], commands.again(run)
    if code is ExitCode.GO:
        after = _AFTER.get(commands.phase)
        if commands.scenario:
            return ["see it fail: cutover rehearse --list", "point it at your own account: README.md"]
        if after and commands.apply:
            return [commands.run(after, apply=True)]
        return ["nothing is left to do in this phase"]
    if word is Verdict.ROLLBACK:
        decide = commands.run("90_rollback_decision")
        advised = folder.read("raw/90_rollback_decision/diagnosis.json")
        if advised:
            about = f"about {advised['minutes']} minutes; lost by it: {advised['lost']}"
            lines = [f"decide on the way back. {advised['method']} ({about})"]
            if (advised.get("way_back") or {}).get("nothing_forward"):
                lines = []  # there is no way back to decide on: nothing has gone forward
            return [
                *lines,
                *advised.get("next", ()),
                "read notebooks/90_rollback_decision.ipynb in this run's folder: why this way",
            ]
        return [f"{decide}   # it names the way back; nothing is rolled back by itself", *todo[1:]]
    if code is ExitCode.WAITING and decisive:
        return [f"cutover approve {run} {decisive.name}", again]
    where = [f"open notebooks/{decisive.name}.ipynb in this run's folder"] if decisive else []
    return list(dict.fromkeys([*todo, *where, again]))
