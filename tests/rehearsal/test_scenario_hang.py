"""A platform that hangs, an account that lacks things, and what a pipeline asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario_runs import ends_as_it_must, rehearse

pytestmark = [pytest.mark.timeout(900)]


def test_a_hang_under_load_is_rolled_back(tmp_path: Path) -> None:
    """ROLLBACK within seconds, and the load ends."""
    ends_as_it_must("hang", tmp_path / "outputs")


def test_missing_infrastructure_closes_the_gate(tmp_path: Path) -> None:
    """NO_GO at the first look."""
    ends_as_it_must("missing-infrastructure", tmp_path / "outputs")


def test_expect_turns_the_verdict_that_was_wanted_into_exit_code_zero(tmp_path: Path) -> None:
    """For pipelines: the scenario that must fail has failed."""
    done = rehearse(tmp_path, "--scenario", "missing-infrastructure", "--rows", "2000", "--expect", "NO_GO")
    assert done.returncode == 0, done.stderr[-3000:]
