"""Rows that did not arrive."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario_runs import ends_as_it_must

pytestmark = [pytest.mark.timeout(900)]


def test_lost_rows_close_the_gate(tmp_path: Path) -> None:
    """NO_GO before anybody is let in."""
    ends_as_it_must("lost-rows", tmp_path / "outputs")
