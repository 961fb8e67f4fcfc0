"""The scenarios of the dress rehearsal: what runs, what goes wrong before which step, and how it must end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cutover.finding import Verdict
from cutover.rehearsal import faults
from cutover.rehearsal.stage import Stage
from cutover.step.phases import PHASES, REPLICATED_DAY

Fault = Callable[[Stage], None]

_WHOLE = ("00_start_here", *PHASES["prepare"], *PHASES["day"], *PHASES["review"])


@dataclass(frozen=True)
class Scenario:
    """One story.

    Attributes:
        name: what `--scenario` takes.
        title: one line for `--list`.
        notebooks: what runs, in order, until a gate closes.
        ends: the verdict in which it must end.
        decided_by: ids of findings of which at least one must decide it; none for GO.
        before: what happens to the stage right before a notebook begins.
        empty_cloud: the AWS account has nothing in it.
        visitors: whether anybody uses the platform meanwhile.
        migration: what this story says otherwise than the rehearsal's parameters.
    """

    name: str
    title: str
    notebooks: tuple[str, ...]
    ends: Verdict
    decided_by: tuple[str, ...] = ()
    before: Mapping[str, Fault] = field(default_factory=dict)
    empty_cloud: bool = False
    visitors: bool = True
    migration: Mapping[str, Any] = field(default_factory=dict)


def _lose_rows(stage: Stage) -> None:
    assert stage.target is not None  # noqa: S101 - a started stage has it
    faults.lose_rows(stage.target, "shadowtwin")


def _lose_a_copied_row(stage: Stage) -> None:
    assert stage.target is not None  # noqa: S101 - a started stage has it
    faults.lose_a_copied_row(stage.target, "shadowtwin")


def _stop_losing_rows(stage: Stage) -> None:
    assert stage.target is not None  # noqa: S101 - a started stage has it
    faults.lose_no_more_rows(stage.target, "shadowtwin")


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("clean", "everything goes well: GO", _WHOLE, Verdict.GO),
        Scenario(
            "replicated",
            "the copy follows its source, and users are refused for seconds only: GO",
            (
                "01_prerequisites",
                "04_data_sync_test",
                "07_lower_ttl",
                *PHASES["replicate"],
                *(name for name in REPLICATED_DAY if name != "16_validation"),
            ),
            Verdict.GO,
            migration={"transfer": "replicate", "watch": {"after_cutover": "8s", "validation": "8s", "every": "1s"}},
        ),
        Scenario(
            "replicated-differs",
            "a row is gone from the copy: found at the switchover LSN, users are let back in by themselves: NO_GO",
            (*PHASES["replicate"], "14_deploy", "12_data_migration"),
            Verdict.NO_GO,
            ("SWO-01",),
            before={"12_data_migration": _lose_a_copied_row},
            migration={"transfer": "replicate"},
        ),
        Scenario(
            "lost-rows",
            "rows vanish during the import, without an error: NO_GO",
            PHASES["day"],
            Verdict.NO_GO,
            (f"INT-rows:public.{faults.VICTIM}",),
            before={"12_data_migration": _lose_rows, "13_data_integrity": _stop_losing_rows},
        ),
        Scenario(
            "slow-release",
            "the new release answers after four seconds once users are on it: ROLLBACK",
            PHASES["day"],
            Verdict.ROLLBACK,
            ("TRG-p95",),
            before={"15_dns_cutover": lambda stage: stage.inject("target", latency_s=4.0)},
        ),
        Scenario(
            "hang",
            "the application stops answering under load: ROLLBACK, not a pass",
            ("04_data_sync_test", "05_load_test"),
            Verdict.ROLLBACK,
            ("TRG-stalled", "TRG-p95"),
            before={"05_load_test": lambda stage: stage.inject("staging", hang_after=150)},
            visitors=False,
        ),
        Scenario(
            "missing-infrastructure",
            "an AWS account with nothing in it: everything MISSING, NO_GO",
            ("02_provisioning_checks",),
            Verdict.NO_GO,
            ("RDS-01",),
            empty_cloud=True,
            visitors=False,
        ),
    )
}
"""Every scenario by its name."""
