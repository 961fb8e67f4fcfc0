"""What a run found wrong, as the script that fixes it: from its findings and its recorded responses, offline."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cutover.aws import remedy
from cutover.aws.requirements import REGISTRY, Recording, Stack, looks
from cutover.errors import UsageError
from cutover.finding import Finding
from cutover.params import from_dict
from cutover.step import RunFolder


def remedy_of(run: str | Path, outputs: Path | None = None) -> remedy.Script:
    """The script for a run's requirements that are FAIL or MISSING, with the ids that the run recorded.

    Raises:
        UsageError: there is no such run, or it looked at no requirement.
    """
    folder = RunFolder.find(run, outputs)
    findings = requirements_of(folder)
    if not findings:
        raise UsageError(
            f"{folder.name} looked at no requirement.",
            todo="name a run of 01, 02, 20 or prepare: cutover status names the steps of a run",
        )
    return remedy.script(findings, stack_of(folder), source=folder.name)


def requirements_of(folder: RunFolder) -> list[Finding]:
    """The last word of a run on each requirement, Cutover's and those of packages, in the order of the run."""
    found: dict[str, Finding] = {}
    of_packages = {i for look in looks(folder.path / "raw" / "aws") for p in look.packages for i in p.ids}
    for entry in folder.records():
        if entry.get("id") not in REGISTRY and entry.get("id") not in of_packages:
            continue
        with suppress(ValueError, TypeError):  # JSON, but no finding
            found[entry["id"]] = Finding.from_dict(entry)
    return list(found.values())


def stack_of(folder: RunFolder) -> Stack:
    """What a run's requirements were judged on: its recorded responses, its parameters, its time.

    Raises:
        UsageError: it recorded nothing of AWS, or what it recorded cannot be read.
    """
    raw, about = folder.path / "raw" / "aws", folder.read("run.json")
    if not raw.is_dir() or not about.get("params"):
        raise UsageError(f"{folder.name} recorded no response of AWS.", todo="run 02_provisioning_checks first")
    try:
        recording = Recording.load(raw)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"The responses of {folder.name} cannot be read: {error}.", todo=f"cutover verify {folder.name}"
        ) from error
    now = datetime.fromisoformat(str(about.get("started") or datetime.now(UTC).isoformat()))
    return Stack(recording, from_dict(about["params"], f"{folder.name}/run.json").migration, now)
