"""The phases of a migration and their notebooks: what `cutover run day` runs, in which order."""

from __future__ import annotations

from pathlib import Path

PHASES: dict[str, tuple[str, ...]] = {
    "prepare": (
        "01_prerequisites",
        "02_provisioning_checks",
        "03_cost_estimate",
        "04_data_sync_test",
        "05_load_test",
        "07_lower_ttl",
    ),
    "replicate": ("08_replication",),
    "day": (
        "10_final_backup",
        "11_write_freeze",
        "12_data_migration",
        "13_data_integrity",
        "14_deploy",
        "15_dns_cutover",
        "16_validation",
    ),
    "review": ("20_post_migration_review",),
    "rollback": ("90_rollback_decision",),
}
"""The notebooks of each phase, in the order in which they run; `replicate` is for `transfer: replicate` alone."""

REPLICATED_DAY = (
    "10_final_backup",
    "14_deploy",
    "12_data_migration",
    "13_data_integrity",
    "15_dns_cutover",
    "16_validation",
)
"""The day with `transfer: replicate`: the release waits on the target before anybody is refused, and the freeze and
the switch of the name are parts of 12."""

WHEN = {
    "00": "any time",
    "01": "T-7 d",
    "02": "T-7 d, T-1 d",
    "03": "T-7 d",
    "04": "T-7 d",
    "05": "T-7 d, T-1 d",
    "07": "T-2 d",
    "08": "T-1 d",
    "10": "T-2 h",
    "11": "T-1 h",
    "12": "T-0",
    "13": "T-0",
    "14": "T+30 min",
    "15": "T+1 h",
    "16": "T+2 h",
    "20": "T+24 h",
    "90": "on a trigger",
}


def notebooks_of(phase: str, transfer: str) -> tuple[str, ...]:
    """The notebooks of a phase, by the way of the transfer; a word that is no phase is a notebook itself.

    Args:
        phase: `day`, or a notebook's name.
        transfer: `dump` or `replicate`, as in the parameters.
    """
    return REPLICATED_DAY if (phase, transfer) == ("day", "replicate") else PHASES.get(phase, (phase,))


def find_notebooks() -> Path:
    """The folder of the runbook: `notebooks/` beside this checkout, or under the working folder.

    Raises:
        FileNotFoundError: there is none.
    """
    for base in (Path.cwd(), Path.cwd().parent, Path(__file__).resolve().parents[3]):
        if (base / "notebooks" / "00_start_here.ipynb").exists():
            return base / "notebooks"
    raise FileNotFoundError("no notebooks/ folder with 00_start_here.ipynb is near")
