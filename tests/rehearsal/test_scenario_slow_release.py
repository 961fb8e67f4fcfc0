"""A release that is too slow, after the switch."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario_runs import ends_as_it_must

pytestmark = [pytest.mark.timeout(900)]


def test_a_slow_release_is_rolled_back(tmp_path: Path) -> None:
    """ROLLBACK by p95, while visitors are on it."""
    ends_as_it_must("slow-release", tmp_path / "outputs")
