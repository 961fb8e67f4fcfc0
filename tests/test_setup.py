"""The set-up is reproducible, and the repository holds nothing that it must not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))


def tracked() -> list[Path]:
    """Every file in git."""
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in out.split("\0") if name and (ROOT / name).is_file()]


def test_environment_yml_says_what_pyproject_says() -> None:
    """`make lock` writes it; here drift is caught."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "environment_yml.py", "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.name)
def test_a_lock_file_has_versions_and_hashes_and_no_address(lock: Path) -> None:
    """Every requirement is pinned and hashed; nothing says where it came from."""
    text = lock.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert len(requirements) > 50
    assert all("==" in r and "--hash=sha256:" in r for r in requirements)


def test_the_lock_holds_every_dependency_of_pyproject() -> None:
    """A dependency that was added without `make lock` is caught."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = [re.match(r"[A-Za-z0-9._-]+", r).group().lower() for r in project["dependencies"] + extras["rehearsal"]]  # type: ignore[union-attr]
    locked = (ROOT / "requirements.lock").read_text()
    assert [n for n in names if not re.search(rf"^{re.escape(n)}==", locked, re.M)] == []


def test_no_secret_no_machine_path_and_no_registry_is_in_git() -> None:
    """Nothing in the repository names a private home, a key or a package index."""
    bad = re.compile(
        r"(/home/[a-z]|/root/|AKIA[0-9A-Z]{16}|BEGIN (RSA |EC )?PRIVATE KEY|pypi\.org/simple|--extra-index-url)"
    )
    here = Path(__file__).name
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if path.name != here and path.suffix not in {".png"}
        for match in [bad.search(path.read_text(errors="replace"))]
        if match
    ]
    assert found == []
