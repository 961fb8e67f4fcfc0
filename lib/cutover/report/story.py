"""The report's sentences: what the verdict is, what happened, what to do next, which numbers matter."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutover.finding import Finding, Status
from cutover.report import charts, wording
from cutover.report.facts import Facts
from cutover.report.record import Record, StepEnd
from cutover.text import count, duration

if TYPE_CHECKING:
    from cutover.postgres import Comparison


@dataclass(frozen=True, slots=True)
class Number:
    """A number that matters: its name, its value in words, what it means, whether it is as it should be."""

    name: str
    value: str
    meaning: str
    good: bool | None = None


def headline(record: Record, facts: Facts) -> str:
    """The verdict's sentence, without the verdict's word: the run's own, or one made from what is recorded."""
    if record.shown == "INCOMPLETE":
        if not record.stated:
            return "The run ended before it reached a verdict."
        return f"The run said {wording.VERDICTS[record.stated][0]}, but its record does not bear that out."
    same = equal_sentence(facts) if record.shown in {"GO", "CONTINUE"} else ""
    said = record.headline
    if not said and record.deciding:
        rest = len(record.deciding) - 1
        return record.deciding[0].sentence() + (f" (and {rest} more)." if rest else ".")
    if not said:
        said = f"{count(facts.counts.get('PASS', 0), 'check')} passed"
    return f"{same}; {_lower(said)}" if same else said


def happened(record: Record, facts: Facts) -> list[str]:
    """What the run did and where it stopped, in a few sentences."""
    phase = wording.phase_title(record.phase)
    steps = record.steps
    done = [s for s in steps if s.state == "completed"]
    taken = f" in {duration(record.seconds)}" if record.seconds is not None else ""
    where = f", {record.environment}" if record.environment and record.environment not in record.phase else ""
    ran = f"{len(done)} of {count(len(steps), 'step')} ran to the end{taken}." if steps else "no step is recorded."
    sentences = [f"{phase}{where}: {ran}"]
    lost = [wording.step_title(s.name) for s in steps if s.state == "not-recorded"]
    if lost:
        sentences.append(f"Begun, with no ending recorded: {wording.listing(lost, 8)}.")
    known = {"completed", "not-run", "not-recorded"}
    sentences += [_stopped(step, record) for step in steps if step.state not in known]
    idle = [wording.step_title(s.name) for s in steps if s.state == "not-run"]
    if idle:
        sentences.append(f"Not run: {wording.listing(idle, 8)}.")
    if len(record.deciding) > 1:
        kinds = Counter(wording.STATUSES[f.status][0].lower() for f in record.deciding)
        how = wording.listing([f"{many} {kind}" for kind, many in kinds.items()])
        sentences.append(f"{count(len(record.deciding), 'finding')} keep the gate shut: {how}.")
    return [*sentences, *_backing(facts, [s.finding for s in record.standing])]


def todo(record: Record) -> list[str]:
    """What to do next: the run's own list, or what the verdict alone calls for."""
    if record.shown == "INCOMPLETE":
        advice = [
            "Treat this run as if it had not been made: do not go on because of it.",
            "Find out why it ended: look at the last step below and at its notebook.",
            f"Resume it with `cutover run {record.phase or 'PHASE'} --params FILE --resume {record.id}`, "
            "or start it afresh.",
        ]
        return advice + [n for n in record.next if record.stated not in {"GO", "CONTINUE"}]
    if record.next:
        return list(record.next)
    first = record.deciding[0] if record.deciding else None
    fix = f"Fix {first.id} ({first.title}); how is said under the finding below." if first else ""
    return [
        text
        for text in {
            "GO": ["Go on with the next step of the runbook."],
            "CONTINUE": ["Go on watching until the end of the validation window."],
            "NO_GO": ["Do not start the next step.", fix, "Then run this phase again."],
            "ROLLBACK": [
                "Open `notebooks/90_rollback_decision.ipynb`: it names the way back and prints its command.",
                "Tell the contacts below that visitors are affected.",
            ],
            "INCONCLUSIVE": ["Do not start the next step.", fix.replace("Fix", "Make it possible to look at")],
            "PLAN": ["Read the planned changes below, then run again with `--apply`."],
            "WAITING": [f"Look at the planned changes below, then `cutover approve {record.id} STEP`."],
        }[record.shown]
        if text
    ]


def numbers(record: Record, facts: Facts) -> list[Number]:
    """The few numbers that a reader asks for."""
    shown: list[Number] = []
    if facts.comparison is not None and facts.comparison.counted:
        shown.append(_rows_compared(facts.comparison))
    shown += _refusal(record)
    shown += _load_numbers(facts)
    total = sum(facts.counts.values())
    if total:
        passed = facts.counts.get("PASS", 0)
        others = [
            f"{facts.counts[key]:,} {word.lower()}"
            for key, (word, _, _) in wording.STATUSES.items()
            if key != "PASS" and facts.counts.get(key)
        ]
        good = None if record.gaps else not any(s.finding.closes_gate for s in record.latest)
        shown.append(Number("Checks passed", f"{passed:,} of {total:,}", ", ".join(others) or "none left open", good))
    if record.seconds is not None:
        done = sum(s.state == "completed" for s in record.steps)
        shown.append(Number("Time taken", duration(record.seconds), f"{done} of {count(len(record.steps), 'step')}"))
    return shown


def equal_sentence(facts: Facts) -> str:
    """The comparison's own sentence without its full stop, where it found both databases equal; else ""."""
    if facts.comparison is None or facts.comparison.verdict() != "equal":
        return ""
    return facts.comparison.sentence().removesuffix(".")


def _rows_compared(comparison: Comparison) -> Number:
    tables = comparison.counted
    same, wrong = sum(t.identical for t in tables), sum(t.differs for t in tables)
    counts = ((same, "identical"), (wrong, "not equal"), (len(tables) - same - wrong, "not compared"))
    state = ", ".join(f"{number:,} {word}" for number, word in counts if number)
    rows = sum(t.source_rows or 0 for t in tables if t.identical or t.differs)
    meaning = f"in {count(len(tables), 'table')}: {state}"
    return Number("Rows compared", count(rows), meaning, same == len(tables))


def _refusal(record: Record) -> list[Number]:
    """How long users' writes were refused, beside what the other way of the transfer would take."""
    told = [s.finding.data for s in record.latest if s.finding.id == "RFS-01"]
    if not told or not isinstance(told[-1].get("seconds"), int | float):
        return []
    by_dump = told[-1].get("by_dump_at_least")
    other = f"; forecast for dump and restore: at least {duration(by_dump)}" if isinstance(by_dump, int | float) else ""
    way = {"dump": "dump and restore", "replicate": "a replicated copy"}.get(str(told[-1].get("way")), "")
    meaning = f"from the first refused to the first accepted write, by {way or 'the chosen way'}{other}"
    return [Number("Writes refused", duration(told[-1]["seconds"]), meaning)]


def _load_numbers(facts: Facts) -> list[Number]:
    shown = []
    limits = facts.triggers
    slow = [v for s in facts.load if (v := charts.highest(s.frame, "p95_s")) is not None]
    bad = [v for s in facts.load if (v := charts.highest(s.frame, "error_rate")) is not None]
    if slow:
        limit = limits.p95.above.total_seconds() if limits else None
        meaning = "95 of 100 requests were faster, in the slowest window" + (f"; limit {limit:g} s" if limit else "")
        good = max(slow) <= limit if limit else None
        shown.append(Number("Response time, p95", duration(max(slow)), meaning, good))
    if bad:
        share = limits.error_rate.above if limits else None
        meaning = "of requests in the worst window" + (f"; limit {share * 100:g} %" if share else "")
        good = max(bad) <= share if share else None
        shown.append(Number("Error rate", wording.percent(max(bad)), meaning, good))
    return shown


def _backing(facts: Facts, stands: list[Finding]) -> list[str]:
    """What was compared, waived, left open and changed, a sentence each."""
    sentences = []
    if facts.comparison is not None:
        sentences.append(f"Data: {_lower(charts.tables_alt(facts.comparison))}")
    slow = [v for s in facts.load if (v := charts.highest(s.frame, "p95_s")) is not None]
    if slow:
        limit = f"; the limit is {facts.triggers.p95.above.total_seconds():g} s" if facts.triggers else ""
        sentences.append(f"Under load: 95 of 100 requests took at most {duration(max(slow))}{limit}.")
    made = sum(c.state == "made" for c in facts.changes)
    if facts.changes:
        same_already = sum(c.state == "nothing to do" for c in facts.changes)
        open_still = len(facts.changes) - made - same_already
        parts = [f"{made} made"]
        parts += [f"{same_already} not needed"] if same_already else []
        parts += [f"{open_still} planned and not made"] if open_still else []
        sentences.append(f"Changes: {', '.join(parts)}.")
    waived = facts.counts.get("WAIVED", 0)
    blind = sum(facts.counts.get(k, 0) for k in ("UNKNOWN", "NOT_COMPARED", "MANUAL"))
    minor = sum(f.status in (Status.FAIL, Status.MISSING) and not f.closes_gate for f in stands)
    if waived or blind or minor:
        counted = ((minor, "failed without closing a gate"), (waived, "waived"), (blind, "could not be looked at"))
        told = [f"{number:,} {word}" for number, word in counted if number]
        sentences.append(f"Of the checks, {wording.listing(told)}; listed below.")
    return sentences


def _stopped(step: StepEnd, record: Record) -> str:
    title = wording.step_title(step.name)
    word = wording.ending(step.state)[0]
    own = _of_step(record, step.name)
    reason = next((f for f in record.deciding if f in own), None)  # the one that the verdict names first
    if step.state == "gate-closed" and reason:
        return f"{title} closed the gate. {reason.sentence()}."
    return f"{title}: {_lower(word)}."


def _of_step(record: Record, step: str) -> list[Finding]:
    return [s.finding for s in record.latest if s.step == step]


def _lower(text: str) -> str:
    """`Rows are identical` as `rows are identical`; acronyms and names in capitals stay."""
    return text[:1].lower() + text[1:] if len(text) > 1 and text[0].isupper() and text[1:2].islower() else text
