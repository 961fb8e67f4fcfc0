"""Every test here has a home of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """An empty working folder, no running stage, no run that is going on."""
