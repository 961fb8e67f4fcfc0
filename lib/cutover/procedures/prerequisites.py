"""What this machine must have for the migration: tools and their versions."""

from __future__ import annotations

import re
import shutil
import subprocess

from cutover.errors import CutoverError
from cutover.finding import Finding, Severity, Status
from cutover.postgres import find_tools

_TIMEOUT_S = 20


def check_local_tools(source_major: int) -> list[Finding]:
    """The PostgreSQL client (guide line 93), the AWS CLI (90), Docker (91) and Node.js (92).

    Only the first is needed by Cutover itself. The CLI runs the remedies that findings print; image building (Docker,
    Node.js) happens where the image is built, so their absence here is shown and closes nothing.

    Args:
        source_major: major version of the source server; pg_dump must be at least as new.
    """
    return [
        _postgres_client(source_major),
        _tool("LOC-01", "AWS CLI v2 is installed", ["aws", "--version"], r"aws-cli/(\d+)", 2, 90),
        _tool("LOC-02", "Docker is installed", ["docker", "--version"], r"version (\d+)", 20, 91),
        _tool("LOC-03", "Node.js 22 or newer is installed", ["node", "--version"], r"v(\d+)", 22, 92),
    ]


def _postgres_client(source_major: int) -> Finding:
    title, expected = "The PostgreSQL client is as new as the source", f"pg_dump and pg_restore {source_major} or newer"
    why = "an older pg_dump refuses a newer server"
    try:
        tools = find_tools(source_major)
    except CutoverError as error:
        return Finding(
            "LOC-04", title, Status.MISSING, Severity.BLOCKER, "this machine", expected, error.what, why, error.todo, 93
        )
    observed = f"{tools.version} in {tools.pg_dump.parent.name}/"
    return Finding("LOC-04", title, Status.PASS, Severity.BLOCKER, "this machine", expected, observed, why, guide=93)


def _tool(identifier: str, title: str, command: list[str], pattern: str, least: int, guide: int) -> Finding:
    def finding(status: Status, observed: str, remedy: str = "") -> Finding:
        return Finding(
            identifier,
            title,
            status,
            Severity.LOW,
            "this machine",
            f"{command[0]} {least} or newer",
            observed,
            "not needed to look or to move data; the guide wants it where images are built and remedies are run",
            remedy,
            guide,
        )

    if shutil.which(command[0]) is None:
        return finding(Status.MISSING, "not on PATH", f"install {command[0]}, or do this part on another machine")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return finding(Status.UNKNOWN, f"could not be asked: {error}")
    said = (done.stdout + done.stderr).strip().splitlines()
    match = re.search(pattern, said[0] if said else "")
    if match is None:
        return finding(Status.UNKNOWN, said[0] if said else "it said nothing")
    status = Status.PASS if int(match.group(1)) >= least else Status.FAIL
    return finding(status, said[0], "" if status is Status.PASS else f"update {command[0]}")
