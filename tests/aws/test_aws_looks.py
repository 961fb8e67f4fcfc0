"""A look at the requirements is kept: judged again offline it says the same, and beside a later one what changed."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from aws_recordings import Cloud, describe_migration
from typer.testing import CliRunner

from cutover.aws import Account, check_requirements, drift, looks
from cutover.aws.checks import check_remedied
from cutover.aws.requirements import Look
from cutover.cli.requirements import recheck
from cutover.cli.root import app
from cutover.errors import UsageError
from cutover.finding import Status
from cutover.step import RunFolder

assert recheck  # registered with the application by its import


@pytest.fixture(scope="module")
def run(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with two looks in it: a part at T-7d, all of it a moment later."""
    folder = tmp_path_factory.mktemp("outputs") / "20261123T120000Z-rehearsal-prepare"
    migration = describe_migration(cloud.endpoint)
    for services in (["account"], None):
        check_requirements(
            Account(migration, raw=folder / "raw" / "aws"), services=services, phase="prepare", source_major=17
        )
    params = migration.model_dump(mode="json", by_alias=True, exclude_none=True)
    (folder / "run.json").write_text(json.dumps({"params": params}))
    return folder


def test_a_look_judged_again_is_identical(run: Path, cloud: Cloud) -> None:
    """Every finding to the byte, at the recorded time, without the network."""
    migration = describe_migration("http://127.0.0.1:9")
    kept = looks(run / "raw" / "aws")
    assert [look.services for look in kept] == [("account",), None]
    for look in kept:
        again = check_remedied(look.stack(migration), services=look.services)
        assert [f.to_dict() for f in again] == [f.to_dict() for f in look.findings]


def test_a_second_look_in_a_run_leaves_the_first_ones_responses(run: Path) -> None:
    """Each stands on its own files: STS was asked twice, and both answers are there."""
    first, second = (set(look.responses) for look in looks(run / "raw" / "aws"))
    assert not first & second
    assert all((run / "raw" / "aws" / name).is_file() for name in first | second)


def test_the_command_says_that_nothing_differs(run: Path) -> None:
    """cutover recheck RUN: 0, and the verdict."""
    done = CliRunner().invoke(app, ["recheck", str(run), "--outputs", str(run.parent), "--json"])
    told = json.loads(done.stdout)
    assert told["differing"] == []
    assert [row["again"] for row in told["looks"]] == ["identical", "identical"]
    assert (told["verdict"], done.exit_code) == ("GO", 0)


def test_a_look_whose_remedies_were_written_otherwise_is_the_same(run: Path, tmp_path: Path) -> None:
    """What was found is judged again; how it is fixed may be written anew since."""
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    for path in (copy / "raw" / "aws" / "looks").glob("*.json"):
        kept = json.loads(path.read_text())
        for finding in kept["findings"]:
            finding["remedy"] = "as it was once written"
        path.write_text(json.dumps(kept))
    done = CliRunner().invoke(app, ["recheck", str(copy), "--outputs", str(tmp_path), "--json"])
    assert json.loads(done.stdout)["differing"] == []
    assert done.exit_code == 0


def test_a_response_that_was_tampered_with_changes_what_is_said(run: Path, tmp_path: Path) -> None:
    """The findings are those of the responses, not of a file that claims them."""
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    path = next(
        p for p in (copy / "raw" / "aws").glob("rds.describe_db_instances*") if "shadowtwin-prod" in p.read_text()
    )
    raw = json.loads(path.read_text())
    raw["data"]["DBInstances"][0]["DeletionProtection"] = False
    path.write_text(json.dumps(raw))
    done = CliRunner().invoke(app, ["recheck", str(copy), "--outputs", str(tmp_path), "--json"])
    assert json.loads(done.stdout)["differing"] == ["RDS-13"]
    assert done.exit_code == 1


def test_a_sealed_run_that_was_changed_is_refused(run: Path, tmp_path: Path) -> None:
    """What is judged again must be what was seen."""
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    RunFolder(copy).seal()
    (copy / "run.json").write_text("{}")
    done = CliRunner().invoke(app, ["recheck", str(copy), "--outputs", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert "run.json" in str(done.exception)


def test_a_run_without_a_look_says_so(tmp_path: Path) -> None:
    """No look is no verdict."""
    folder = tmp_path / "20261123T120000Z-rehearsal-day"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    done = CliRunner().invoke(app, ["recheck", str(folder), "--outputs", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert "no look" in str(done.exception)


def test_a_look_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(UsageError, match=r"x\.json"):
        Look.load(tmp_path / "x.json")


def test_drift_names_what_changed_and_who_changed_it(changing: Cloud, tmp_path: Path) -> None:
    """One attribute changed between two looks: that requirement, then and now, and the caller that the trail names."""
    migration = describe_migration(changing.endpoint)
    before = Account(migration, raw=tmp_path)
    check_requirements(before, source_major=17)
    look = looks(tmp_path)[-1]
    before.client("logs").put_retention_policy(logGroupName="/ecs/shadowtwin", retentionInDays=7)
    after = Account(migration)
    try:
        findings = check_requirements(after, source_major=17)
        seen = drift(look, findings, after, now=look.at + timedelta(hours=1))
        assert [d.id for d in seen] == ["LOG-02"]
        assert (seen[0].then, seen[0].now) == ("PASS: 30", "FAIL: 7")
        assert "shadowtwin-deployer: PutRetentionPolicy" in seen[0].who
        changing.fault({"service": "cloudtrail", "error": "AccessDenied"})
        after.forget("cloudtrail")
        assert drift(look, findings, after, now=look.at + timedelta(hours=2))[0].who.startswith("UNKNOWN: cloudtrail")
    finally:
        changing.fault()
        before.client("logs").put_retention_policy(logGroupName="/ecs/shadowtwin", retentionInDays=30)


def test_what_is_due_by_the_calendar_is_no_drift(run: Path) -> None:
    """NOT_DUE then and PASS now is nobody's change; the same findings are none at all."""
    look = looks(run / "raw" / "aws")[-1]
    assert drift(look, look.findings, now=look.at) == []
    assert any(f.status is Status.NOT_DUE for f in look.findings)
