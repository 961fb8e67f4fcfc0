"""How long users' writes are refused, by either way of the transfer: two dress rehearsals with visitors who write.

    .venv/bin/python benchmarks/refusal.py [--rows 300000]

By `RFS-01` (from the maintenance mode to the first write thon the target took) and by the visitors' own log. Run it
on a machine that does nothing else: the stage is both homes, the cloud and the visitors at once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from cutover.rehearsal.rehearse import rehearse
from cutover.rehearsal.scenarios import SCENARIOS
from cutover.rehearsal.visitors import refusal

_DUMP = ("10_final_backup", "11_write_freeze", "12_data_migration", "13_data_integrity", "14_deploy", "15_dns_cutover")


def main() -> None:
    """Rehearse both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    rows = parser.parse_args().rows
    SCENARIOS["by-dump"] = replace(SCENARIOS["clean"], name="by-dump", notebooks=_DUMP)
    print(f"{'transfer':<12}{'rows':>10}{'verdict':>10}{'refused, s':>12}{'felt, s':>10}")
    for way, scenario in (("dump", "by-dump"), ("replicate", "replicated")):
        with tempfile.TemporaryDirectory() as outputs:
            result = rehearse(scenario, rows=rows, outputs=Path(outputs))
            lines = (result.folder / "findings.jsonl").read_text().splitlines()
            told = [f for f in map(json.loads, lines) if f["id"] == "RFS-01"]
            felt = refusal(result.folder / "raw" / "load" / "visitors.jsonl", "amazonaws")
            seconds = told[-1].get("data", {}).get("seconds") if told else None
            print(f"{way:<12}{rows:>10,}{result.verdict:>10}{_shown(seconds):>12}{_shown(felt and felt.seconds):>10}")


def _shown(seconds: float | None) -> str:
    return "not known" if seconds is None else f"{seconds:.1f}"


if __name__ == "__main__":
    main()
