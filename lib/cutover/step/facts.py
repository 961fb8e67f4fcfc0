"""What a run says of itself in run.json: when, what, from which commit, with which parameters and versions."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cutover.files import sha256
from cutover.migration import Migration
from cutover.step.evidence import project_root
from cutover.step.received import parameters_hash

_PACKAGES = ("cutover", "papermill", "nbclient", "ipykernel", "locust", "boto3", "psycopg", "moto")


def run_facts(
    run: str,
    phase: str,
    migration: Migration,
    raw: Mapping[str, Any],
    notebooks: Sequence[str],
    *,
    apply: bool,
    **more: Any,
) -> dict[str, Any]:
    """The content of run.json while the run goes on (`state: running`).

    Args:
        run: the run's name.
        phase: `day`, or a notebook's name.
        migration: the migration.
        raw: its parameters as they were written.
        notebooks: what is to run, in order.
        apply: whether changes may be made.
        more: further keys.
    """
    root = project_root()
    lock = root / "requirements.lock"
    return {
        "id": run,
        "phase": phase,
        "environment": migration.environment,
        "state": "running",
        "started": datetime.now(UTC).isoformat(),
        "finished": None,
        "host": platform.node(),
        "pid": os.getpid(),
        "apply": apply,
        "notebooks": list(notebooks),
        "params": dict(raw),
        "params_sha256": parameters_hash(raw),
        "lock_sha256": sha256(lock) if lock.is_file() else None,
        "caller": None,
        **source_facts(root),
        "versions": versions(),
        "requirements": {name: _version(name) for name in migration.requirements},
        **more,
    }


def source_facts(root: Path) -> dict[str, Any]:
    """The commit and whether the checkout differs from it; None where git cannot tell."""
    try:
        done = subprocess.run(
            ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    lines = done.stdout.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid")), None)
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def versions() -> dict[str, str]:
    """Versions of what the findings rest on; what is not installed is left out."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    return found | {name: known for name in _PACKAGES if (known := _version(name))}


def _version(package: str) -> str | None:
    """The version of a package, None when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
