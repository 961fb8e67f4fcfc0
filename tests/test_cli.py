"""The command line: what it refuses, what it says, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cutover.cli import _joined
from cutover.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent


def cutover(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it, without any stage."""
    clean = {k: v for k, v in os.environ.items() if k not in ("CUTOVER_STAGE", "CUTOVER_OUTPUTS", "CUTOVER_RUN")}
    command = [sys.executable, "-m", "cutover.cli", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("name", ["rehearsal", "staging", "production"])
def test_the_shipped_parameters_are_accepted(name: str) -> None:
    """Exit code 0 and one line."""
    done = cutover("params", "check", f"params/{name}.yml")
    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("migration:", "migrations:", "migration"),
        ("  region: us-east-1", "  regoin: us-east-1", "region"),
        ('account_id: "012345678901"', "account_id: 012345678901", "account_id"),
        ("duration: 10m", "duration: 10:30", "duration"),
        ("arrivals_per_s: 50", "arrivals_per_s: 1e3", "arrivals_per_s"),
        ("arrivals_per_s: 50", "arrivals_per_s: .nan", "arrivals_per_s"),
        ("env:SOURCE_DATABASE_URL", "postgresql://app:hunter2-hunter2@db/app", "source.database_url"),
        ("environment: staging", "environment: rehearsal", "rehearsal"),
        ("region: us-east-1", "region: no", "region"),
    ],
)
def test_a_wrong_file_is_refused_with_exit_code_two_and_the_place(
    old: str, new: str, says: str, tmp_path: Path
) -> None:
    """The message names the key, and never the secret that stood in clear."""
    text = (ROOT / "params" / "staging.yml").read_text()
    assert old in text
    path = tmp_path / "staging.yml"
    path.write_text(text.replace(old, new, 1))
    done = cutover("params", "check", str(path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_refused_file_starts_no_kernel_and_leaves_no_run(tmp_path: Path) -> None:
    """`cutover run` checks before it does anything."""
    path = tmp_path / "p.yml"
    path.write_text((ROOT / "params" / "staging.yml").read_text().replace("migration:", "migrations:", 1))
    done = cutover("run", "02", "--params", str(path), "--outputs", str(tmp_path / "outputs"))
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_rehearsal_file_without_a_stage_is_refused(tmp_path: Path) -> None:
    """A rehearsal attaches to a stage that runs; it never starts quietly."""
    outputs = tmp_path / "outputs"
    done = cutover(
        "run", "02", "--params", "params/rehearsal.yml", "--outputs", str(outputs), XDG_CACHE_HOME=str(tmp_path)
    )
    assert done.returncode == 2, done.stderr
    assert "No rehearsal stage is running" in done.stderr


def test_an_unknown_knob_is_a_usage_error(tmp_path: Path) -> None:
    """papermill only warns; here nothing is run."""
    done = cutover("run", "13", "-f", "params/staging.yml", "-p", "jbos", "4", "--outputs", str(tmp_path / "o"))
    assert done.returncode == 2
    assert "jobs" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "no_such_notebook", "--params", "params/staging.yml"],
        ["rehearse", "--scenario", "no-such-story"],
        ["status", "no-such-run"],
        ["run", "02"],
        ["frobnicate"],
        ["run", "02", "--params", "params/absent.yml"],
    ],
)
def test_wrong_usage_ends_with_exit_code_two_and_no_traceback(arguments: list[str], tmp_path: Path) -> None:
    """One readable message, whatever was wrong."""
    done = cutover(*arguments, CUTOVER_OUTPUTS=str(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_the_schema_is_json_schema() -> None:
    """Editors complete and check the YAML with it."""
    schema = json.loads(cutover("params", "schema").stdout)
    assert schema["properties"]["migration"]


def test_the_scenarios_are_listed_as_json() -> None:
    """Every command that prints a table has --json."""
    listed = json.loads(cutover("rehearse", "--list", "--json").stdout)
    assert {"clean", "lost-rows", "slow-release", "hang", "missing-infrastructure"} <= {s["scenario"] for s in listed}


def test_show_names_where_each_value_came_from() -> None:
    """A line of the file, or the default."""
    rows = {r["key"]: r for r in json.loads(cutover("params", "show", "params/staging.yml", "--json").stdout)}
    assert "staging.yml" in rows["region"]["from"]
    assert "default" in rows["triggers.min_samples"]["from"]


def test_a_knob_is_given_as_papermill_gives_it() -> None:
    """`-p KEY VALUE`; a key alone is refused."""
    assert _joined(["run", "13", "-p", "jobs", "4", "--apply"]) == ["run", "13", "-p", "jobs=4", "--apply"]
    with pytest.raises(UsageError):
        _joined(["run", "-p", "jobs"])
