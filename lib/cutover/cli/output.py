"""What every command says with: lines on stderr, tables or JSON on stdout, and the exit code of a verdict."""

from __future__ import annotations

import json
import sys
from typing import Any

from cutover.errors import ExitCode


def say(line: str) -> None:
    """A line on stderr, without secrets."""
    from cutover.secrets import redact  # noqa: PLC0415

    sys.stderr.write(redact(line) + "\n")  # one write: lines of several threads stay whole
    sys.stderr.flush()


def print_out(value: Any, as_json: bool) -> None:
    """JSON, or a table of rows (dictionaries with the same keys), on stdout and without secrets."""
    from cutover.secrets import redact  # noqa: PLC0415

    if as_json:
        print(redact(json.dumps(value, indent=2, default=str, ensure_ascii=False)))
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    rows = value if isinstance(value, list) else [value]
    if not rows:
        print("(nothing)")
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(redact(str(row.get(column, ""))) for column in rows[0]))
    Console(soft_wrap=False).print(table)


def code_of(verdict: Any) -> ExitCode:
    """0 when the verdict opens the gate, 5 when it is inconclusive, else 3."""
    if verdict.opens:
        return ExitCode.GO
    return ExitCode.INCONCLUSIVE if verdict == "INCONCLUSIVE" else ExitCode.CLOSED


def conclude(result: Any, as_json: bool) -> None:
    """Say how it ended, whatever can or cannot be written any more."""
    from cutover.report import append_ledger  # noqa: PLC0415

    try:
        append_ledger(result.folder.parent, result.folder)
    except OSError as error:
        say(f"The ledger could not be written: {error.strerror or error}.")
    if as_json:
        steps = [step.to_dict() for step in result.steps]
        told = {"verdict": str(result.verdict), "exit_code": int(result.exit_code), "headline": result.headline}
        print_out({"run": str(result.folder), **told, "next": list(result.next), "steps": steps}, True)
        return
    say("")
    say(result.headline or str(result.verdict))
    for line in result.next:
        say(f"  next: {line}")
    if (result.folder / "report.html").exists():
        say(f"Report: {result.folder / 'report.html'}")
