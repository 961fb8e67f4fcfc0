"""The sentence and the next commands that end a step or a run: what happened, and what to do now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cutover.errors import ExitCode
from cutover.finding import Finding, Status, Verdict, deciding, verdict

_EXIT = {
    Verdict.GO: ExitCode.GO,
    Verdict.CONTINUE: ExitCode.GO,
    Verdict.NO_GO: ExitCode.CLOSED,
    Verdict.ROLLBACK: ExitCode.CLOSED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The end of a step.

    Attributes:
        verdict: the word.
        said: the sentence, without the word.
        deciding: the findings that keep the gate shut.
        next: what to do now, commands or sentences, in order.
        exit_code: what a command that ends here exits with.
    """

    verdict: Verdict
    said: str
    deciding: list[Finding] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    exit_code: ExitCode = ExitCode.GO

    @property
    def headline(self) -> str:
        """The word and the sentence."""
        return f"{self.verdict}: {self.said}"

    def _ipython_display_(self) -> None:
        """Shown already: not once more as the last value of a cell."""


def conclude(findings: Sequence[Finding], *, planned: int = 0, live: bool = False) -> Conclusion:
    """Judge a step's findings.

    Args:
        findings: those that stand.
        planned: changes that were shown and not made; with one the step is never GO.
        live: use the words of live triggers.
    """
    word, closed = verdict(findings, live=live), deciding(findings)
    if word.opens and planned:
        word = Verdict.INCONCLUSIVE
    return Conclusion(
        word, _sentence(word, findings, closed, planned), closed, _next(word, closed, planned), _EXIT[word]
    )


def latest(batches: Sequence[Sequence[Finding]]) -> list[Finding]:
    """What stands after several looks: of two looks at one thing the later; what one look says twice stands twice."""
    stands: dict[tuple[str, str], list[Finding]] = {}
    for batch in batches:
        fresh: dict[tuple[str, str], list[Finding]] = {}
        for finding in batch:
            fresh.setdefault((finding.id, finding.subject), []).append(finding)
        stands |= fresh
    return [finding for group in stands.values() for finding in group]


def _sentence(word: Verdict, findings: Sequence[Finding], closed: Sequence[Finding], planned: int) -> str:
    if closed:
        more = f" (and {len(closed) - 1} more)" if len(closed) > 1 else ""
        return f"{closed[0].sentence()}{more}."
    if planned:
        return f"plan only, {planned} change{'s' if planned > 1 else ''} shown and none made."
    if word is Verdict.INCONCLUSIVE:
        return "nothing was looked at, so nothing can be concluded."
    looked = [f for f in findings if f.status not in {Status.NOT_DUE, Status.NOT_APPLICABLE}]
    hold = sum(f.status is Status.PASS for f in looked)
    if hold == len(looked):
        return f"all {hold} checks hold." if hold > 1 else "the one check holds."
    return f"{hold} of {len(looked)} checks hold; what does not is shown and closes no gate."


def _next(word: Verdict, closed: Sequence[Finding], planned: int) -> list[str]:
    steps = []
    if word is Verdict.ROLLBACK:
        steps.append("open 90_rollback_decision: it names the way back; nothing is rolled back by itself")
    steps += list(dict.fromkeys(f.remedy.strip() for f in closed if f.remedy.strip()))[:5]
    if not closed and planned:
        steps.append("read the plans above, then run again with apply")
    return steps


def to_dict(conclusion: Conclusion) -> dict[str, Any]:
    """JSON-ready."""
    return {
        "verdict": str(conclusion.verdict),
        "exit_code": int(conclusion.exit_code),
        "headline": conclusion.headline,
        "said": conclusion.said,
        "deciding": [f.to_dict() for f in conclusion.deciding],
        "next": conclusion.next,
    }
