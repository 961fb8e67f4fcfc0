"""Write environment.yml, the conda front door, from pyproject.toml and requirements.lock; `--check` only compares."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def render() -> str:
    """The text of environment.yml: direct dependencies at the locked versions, through pip."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text() + (ROOT / "requirements-lab.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock, re.M))
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["build"], *extras["rehearsal"], *extras["lab"]]
    lines = [
        "# Generated from pyproject.toml and requirements.lock by `make lock`; a test catches drift.",
        f"name: {project['name']}",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python{project['requires-python']}",
        "  - pip",
        "  - pip:",
    ]
    for requirement in sorted(wanted, key=str.lower):
        match = re.match(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?[^;]*(;.*)?$", requirement)
        name, extra, marker = match.group(1).lower(), match.group(2) or "", (match.group(3) or "").strip()
        lines.append(f'      - "{name}{extra}=={pinned[name]}{" " + marker if marker else ""}"')
    lines.append("      - -e .")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = ROOT / "environment.yml"
    text = render()
    if "--check" in sys.argv:
        sys.exit(0 if path.exists() and path.read_text() == text else "environment.yml has drifted: run `make lock`")
    path.write_text(text)
