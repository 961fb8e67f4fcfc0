"""The guide's checklist and the architecture's picture, as notebooks show them; signatures are kept in the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from cutover.aws import checklist as boxes
from cutover.finding import Finding
from cutover.procedures.tables import tabulate
from cutover.report import architecture as drawing
from cutover.step import Step

_KEY = "signatures"


def sign(step: Step, manual: Mapping[str, Any] | None = None) -> list[Finding]:
    """Record what a person stands for, with the time; what was signed before still holds.

    Args:
        step: the step.
        manual: a name and a note for each box: {"backups": {"who": "A. Miller", "note": "restored, 3 tables read"}}.

    Raises:
        UsageError: an unknown box, or a signature without a name or a note.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    new = boxes.read_signatures(manual or {}, now)
    if new:
        kept = dict(step.recall(_KEY) or {})
        kept |= {key: {"who": s.who, "note": s.note, "at": s.at} for key, s in new.items()}
        step.remember(_KEY, kept)
    return boxes.signed(signatures(step))


def signatures(step: Step) -> dict[str, boxes.Signature]:
    """Who signed for what, of this migration, on whatever machine."""
    kept = step.recall(_KEY) or {}
    return {k: boxes.Signature(str(v.get("who")), str(v.get("note")), str(v.get("at"))) for k, v in kept.items()}


def checklist(step: Step, findings: Sequence[Finding]) -> pd.DataFrame:
    """The eighteen boxes: state, why, how many checks stand behind each, and who signed; kept as evidence."""
    rows = [
        {
            "box": t.box.text,
            "phase": t.box.phase,
            "state": t.state,
            "says": t.says,
            "behind it": ", ".join(f"{n} {s}" for s, n in t.counts.items()) or "—",
            "signed": f"{t.signature.who}, {t.signature.at}" if t.signature else "",
        }
        for t in boxes.tick(findings, signatures(step))
    ]
    table = tabulate(rows, ["box", "phase", "state", "says", "behind it", "signed"])
    step.attach("raw/aws/checklist.csv", table.to_csv())
    return table


def architecture(findings: Sequence[Finding]) -> Any:
    """The architecture, each part by its worst finding."""
    return drawing.picture(findings)


def architecture_sentence(findings: Sequence[Finding]) -> str:
    """What the picture shows."""
    return drawing.sentence(findings)
