"""A step: its banner, its findings, its changes and its conclusion, in a run's folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from settings import SetTtl

from cutover import runbook
from cutover.errors import ActionRefused, ApprovalNeeded, ExitCode, GateClosed, ParamsError, SecretError, UsageError
from cutover.finding import Finding, Severity, Status, Verdict
from cutover.step import RunFolder, Step, approve

Begin = Callable[..., Step]
ADA, GRACE = "arn:aws:iam::012345678901:user/ada", "arn:aws:iam::012345678901:user/grace"


def finding(status: Status, severity: Severity = Severity.HIGH, **more: Any) -> Finding:
    """A finding with this status."""
    return Finding("A-1", "All is well", status, severity, **{"subject": "x", "remedy": "fix it", **more})


@pytest.fixture
def begin(migration: dict[str, Any]) -> Begin:
    """`begin(apply=…, environment=…)`: a step whose caller is Ada in the right account."""

    def start(apply: bool = False, name: str = "07_lower_ttl", **changes: Any) -> Step:
        step = runbook.begin(name, migration | changes, apply=apply)
        step.identify("012345678901", ADA)
        return step

    return start


def plan_file(step: Step) -> dict[str, Any]:
    """The plan that the step wrote."""
    (path,) = (step.run.path / "plan").iterdir()
    return json.loads(path.read_text())


def test_it_opens_a_folder_and_says_where_it_works(begin: Begin, capsys: pytest.CaptureFixture[str]) -> None:
    """Under plain papermill and in Lab a step has a run folder of its own."""
    step = begin()
    shown = capsys.readouterr().out
    for word in ("07_lower_ttl", "staging", "012345678901", "plan only", str(step.run.path)):
        assert word in shown
    facts = step.run.read("run.json")
    assert facts["state"] == "running"
    assert facts["notebooks"] == ["07_lower_ttl"]
    assert step.run.path.parent.name == "outputs"


def test_production_is_red(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word and the colour: nobody takes it for staging."""
    shown: list[str] = []
    monkeypatch.setattr("cutover.step.display.emit", lambda html, text: shown.append(html))
    begin(apply=True, environment="production")
    assert "PRODUCTION" in shown[0]
    assert "#a83c00" in shown[0]
    assert "changes are made" in shown[0]


def test_an_empty_migration_without_a_stage_is_a_usage_error() -> None:
    """So that a mistyped key never quietly rehearses."""
    with pytest.raises(UsageError, match="No rehearsal stage is running") as caught:
        runbook.begin("01_prerequisites", {})
    assert caught.value.exit_code is ExitCode.USAGE


def test_bad_parameters_are_refused_before_anything_is_written(migration: dict[str, Any], home: Path) -> None:
    """No run folder is left behind."""
    with pytest.raises(ParamsError, match=r"migration\.region"):
        runbook.begin("x", migration | {"region": False})
    assert not (home / "outputs").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "false", "None"])
def test_a_knob_that_papermill_changed_is_refused(value: Any, migration: dict[str, Any]) -> None:
    """`-p drain nan` never trips; `-p thorough false` is a text that counts as true."""
    with pytest.raises(UsageError, match="drain"):
        runbook.begin("x", migration, knobs={"drain": value})


def test_apply_must_be_a_truth_value(migration: dict[str, Any]) -> None:
    """`-p apply false` passes a text, and any text counts as true."""
    with pytest.raises(UsageError, match="apply"):
        runbook.begin("x", migration, apply="false")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("findings", "verdict", "code"),
    [
        ([finding(Status.PASS)], Verdict.GO, None),
        ([finding(Status.FAIL, Severity.LOW)], Verdict.GO, None),
        ([finding(Status.FAIL)], Verdict.NO_GO, 3),
        ([finding(Status.FAIL, trigger=True)], Verdict.ROLLBACK, 3),
        ([finding(Status.UNKNOWN)], Verdict.INCONCLUSIVE, 5),
        ([finding(Status.NOT_DUE)], Verdict.INCONCLUSIVE, 5),
        ([], Verdict.INCONCLUSIVE, 5),
    ],
)
def test_the_conclusion_follows_the_findings(
    findings: list[Finding], verdict: Verdict, code: int | None, begin: Begin
) -> None:
    """A closed gate is raised; the verdict is written either way, and the run is sealed."""
    step = begin()
    step.record(findings)
    if code is None:
        step.conclude()
    else:
        with pytest.raises(GateClosed) as caught:
            step.conclude()
        assert caught.value.exit_code == code
        assert len(caught.value._render_traceback_()) == 1
    said = step.run.read("verdict.json")
    assert said["verdict"] == verdict
    assert said["exit_code"] == (code or 0)
    assert said["headline"].startswith(verdict)
    assert said["steps"][0]["state"] == ("completed" if code is None else "gate-closed")
    assert step.run.read("run.json")["state"] == "finished"
    assert step.run.verify() == []


def test_a_live_watch_says_continue(begin: Begin) -> None:
    """The words of live triggers."""
    step = begin()
    step.record([finding(Status.PASS)])
    assert step.conclude(live=True).verdict is Verdict.CONTINUE


def test_a_later_look_at_the_same_thing_counts(begin: Begin) -> None:
    """In Lab a cell is run again after something was fixed; the first look stays in the evidence."""
    step = begin()
    step.record([finding(Status.FAIL)])
    step.record([finding(Status.PASS)])
    assert step.conclude().verdict is Verdict.GO
    assert [f.status for f in step.run.findings()] == [Status.FAIL, Status.PASS]


def test_one_look_that_says_two_things_keeps_both(begin: Begin) -> None:
    """A failure is not hidden by a success of the same name beside it."""
    step = begin()
    step.record([finding(Status.FAIL), finding(Status.PASS)])
    with pytest.raises(GateClosed):
        step.conclude()


def test_a_waiver_is_applied_and_shown(begin: Begin) -> None:
    """A named person accepted it, until a day; after that day it closes again."""
    waiver = {"id": "A-1", "reason": "accepted for now", "approved_by": "Ada", "until": "2999-01-01"}
    step = begin(waivers=[waiver])
    (seen,) = step.record([finding(Status.FAIL)])
    assert seen.status is Status.WAIVED
    assert seen.waived_from is Status.FAIL
    expired = begin(waivers=[waiver | {"until": "2020-01-01"}])
    (seen,) = expired.record([finding(Status.FAIL)])
    assert seen.status is Status.FAIL


def test_findings_are_shown_with_what_to_do(begin: Begin, capsys: pytest.CaptureFixture[str]) -> None:
    """What closes the gate comes first, with its remedy; the word says what the colour says."""
    step = begin()
    step.record([finding(Status.PASS, subject="y"), finding(Status.FAIL, observed="two")], title="Look")
    shown = capsys.readouterr().out
    assert "Look: 1 PASS, 1 FAIL" in shown
    assert shown.index("! FAIL") < shown.index("PASS  ")
    assert "do: fix it" in shown


def test_a_secret_in_a_finding_reaches_neither_page_nor_file(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Redacted by value, however it got there."""
    monkeypatch.setenv("SOURCE_DATABASE_URL", "postgresql://app:Tr0ub4dor-And-3@db.example/x")
    step = begin()
    url = step.resolve("env:SOURCE_DATABASE_URL")
    step.record([finding(Status.FAIL, observed=f"refused: {url}")])
    step.attach("raw/postgres/error.json", {"url": url})
    step.attach("note.txt", url.encode())
    with pytest.raises(GateClosed):
        step.conclude()
    files = [p.read_bytes() for p in step.run.path.rglob("*") if p.is_file()]
    assert not [f for f in files if b"Tr0ub4dor" in f]
    assert "Tr0ub4dor" not in capsys.readouterr().out


def test_an_attachment_lies_where_it_was_asked_for(begin: Begin) -> None:
    """A bare name goes to the step's own folder; a path out of the run is refused."""
    step = begin()
    assert step.attach("a.txt", "x") == "raw/07_lower_ttl/a.txt"
    assert (step.run.path / step.attach("raw/load/b.json", {"a": 1})).exists()
    with pytest.raises(UsageError, match="not below"):
        step.attach("../b.json", {})


def test_tables_and_pictures_are_shown_with_a_sentence(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture carries its alt text; nothing at all is shown for None."""
    from matplotlib.figure import Figure

    shown: list[str] = []
    step = begin()
    monkeypatch.setattr("cutover.step.display.emit", lambda html, text: shown.append(html))
    step.show(pd.DataFrame({"rows": [1]}), alt="rows by table")
    step.show(Figure(), alt='p95 stayed "low"')
    step.show(None, alt="nothing")
    assert "rows by table" in shown[0]
    assert 'alt="p95 stayed &quot;low&quot;"' in shown[1]
    assert len(shown) == 2


def test_a_change_is_only_planned_without_apply(begin: Begin, home: Path) -> None:
    """The plan is shown and written, nothing is changed, and the step cannot be GO."""
    step = begin()
    step.record([finding(Status.PASS)])
    assert step.change(SetTtl(home / "zone", 60)) is None
    assert not (home / "zone").exists()
    assert plan_file(step)["state"] == "planned"
    with pytest.raises(GateClosed, match="plan only") as caught:
        step.conclude()
    assert caught.value.exit_code == ExitCode.INCONCLUSIVE


def test_what_fails_for_want_of_a_planned_change_is_not_due(begin: Begin, home: Path) -> None:
    """Looking at what was not made says nothing against the platform; what failed before the plan still does."""
    step = begin()
    step.change(SetTtl(home / "zone", 60))
    (seen,) = step.record([finding(Status.FAIL)])
    assert seen.status is Status.NOT_DUE
    assert "FAIL" in seen.why


def test_a_person_does_what_has_no_action(begin: Begin) -> None:
    """`change(None)` is nothing to do."""
    assert begin(apply=True).change(None) is None


def test_a_change_waits_for_an_approval(begin: Begin, home: Path) -> None:
    """Exit code 4; after `cutover approve` the same plan is made, verified and remembered."""
    action = SetTtl(home / "zone", 60)
    step = begin(apply=True)
    with pytest.raises(ApprovalNeeded, match="cutover approve") as caught:
        step.change(action)
    assert caught.value.exit_code == ExitCode.WAITING
    assert not (home / "zone").exists()
    assert step.run.read("steps/07_lower_ttl.json")["state"] == "waiting"
    (given,) = approve(step.run.path, "07", GRACE, note="CHG-7")
    assert given.plan_hash == action.plan().hash
    again = begin(apply=True)
    change = again.change(action)
    assert change is not None
    assert change.result == {"written": True}
    assert plan_file(again)["state"] == "made"
    assert plan_file(again)["approval"]["approver"] == GRACE
    assert again.conclude().verdict is Verdict.GO


def test_a_changed_plan_needs_a_new_approval(begin: Begin, home: Path) -> None:
    """An approval is bound to the plan's hash."""
    step = begin(apply=True)
    with pytest.raises(ApprovalNeeded):
        step.change(SetTtl(home / "zone", 60))
    approve(step.run.path, "07_lower_ttl", GRACE)
    with pytest.raises(ApprovalNeeded):
        begin(apply=True).change(SetTtl(home / "zone", 30))
    assert not (home / "zone").exists()


def test_in_production_four_eyes_see_a_change(begin: Begin, home: Path) -> None:
    """Whoever started the run can neither approve it, nor is their approval honoured."""
    step = begin(apply=True, environment="production")
    action = SetTtl(home / "zone", 60)
    with pytest.raises(ApprovalNeeded):
        step.change(action)
    with pytest.raises(ActionRefused, match="cannot approve"):
        approve(step.run.path, "07_lower_ttl", ADA)
    approve(step.run.path, "07_lower_ttl", GRACE)
    theirs = begin(apply=True, environment="production")
    theirs.identify("012345678901", GRACE)
    with pytest.raises(ActionRefused, match="four eyes"):
        theirs.change(action)
    assert not (home / "zone").exists()
    assert begin(apply=True, environment="production").change(action)


@pytest.mark.parametrize(
    ("approver", "says"),
    [("arn:aws:iam::999999999999:user/ada-at-home", "not of the account"), ("bob", "a name, not a caller")],
)
def test_in_production_a_second_pair_of_eyes_is_somebody_sts_vouches_for(
    approver: str, says: str, begin: Begin, home: Path
) -> None:
    """Neither a private account of the same person nor a name typed in."""
    step = begin(apply=True, environment="production")
    with pytest.raises(ApprovalNeeded):
        step.change(SetTtl(home / "zone", 60))
    with pytest.raises(ActionRefused, match=says):
        approve(step.run.path, "07_lower_ttl", approver)


def test_a_gate_in_the_middle_stops_only_when_it_is_closed(begin: Begin) -> None:
    """What follows would say nothing, or do harm."""
    step = begin()
    step.record([Finding("T-1", "a look", Status.PASS)])
    step.gate()
    step.record([Finding("T-2", "another", Status.FAIL, Severity.BLOCKER)])
    with pytest.raises(GateClosed):
        step.gate()


def test_what_is_only_planned_is_never_go(begin: Begin) -> None:
    """Though every look that was possible was good: the step itself has not been done."""
    step = begin()
    step.record([Finding("T-1", "a look", Status.PASS), step.planned("the transfer")])
    with pytest.raises(GateClosed) as caught:
        step.conclude()
    assert caught.value.exit_code == ExitCode.INCONCLUSIVE


def test_nothing_that_waits_is_nothing_to_approve(begin: Begin) -> None:
    """With the steps that have plans."""
    with pytest.raises(UsageError, match="waits for an approval"):
        approve(begin().run.path, "07_lower_ttl", GRACE)


def test_a_change_in_another_account_is_refused(begin: Begin, home: Path) -> None:
    """STS and the parameters must agree before anything is changed."""
    step = begin(apply=True)
    step.identify("999999999999", ADA)
    with pytest.raises(ActionRefused, match="999999999999"):
        step.change(SetTtl(home / "zone", 60))
    assert not (home / "zone").exists()


def test_a_change_made_already_is_only_verified(begin: Begin, home: Path) -> None:
    """Doing it twice changes nothing the second time; it is read back by what was recorded when it was made."""
    action = SetTtl(home / "zone", 60)
    step = begin(apply=True)
    with pytest.raises(ApprovalNeeded):
        step.change(action)
    approve(step.run.path, "07_lower_ttl", GRACE)
    begin(apply=True).change(action)
    later = begin(apply=True)
    change = later.change(action)
    assert change is not None
    assert change.result == {"written": True}
    assert plan_file(later)["state"] == "nothing to do"
    assert later.conclude().verdict is Verdict.GO


def test_a_change_that_breaks_is_on_record(begin: Begin, home: Path) -> None:
    """What was begun and not completed is in the journal: undo starts from there."""
    action = SetTtl(home / "absent" / "zone", 60)
    step = begin(apply=True)
    with pytest.raises(ApprovalNeeded):
        step.change(action)
    approve(step.run.path, "07_lower_ttl", GRACE)
    again = begin(apply=True)
    with pytest.raises(FileNotFoundError):
        again.change(action)
    assert [e["kind"] for e in again.journal.entries()][-2:] == ["change-begun", "change-failed"]
    assert plan_file(again)["state"] == "failed"


def test_a_verification_that_breaks_is_unknown(begin: Begin, home: Path) -> None:
    """The change stands; that it could not be read back closes the gate."""
    (home / "zone").write_text('{"ttl": 60}')
    step = begin(apply=True)
    step.change(SetTtl(home / "zone", 60))  # nothing to do, and no record of when it was made: verify has no ids
    (seen,) = step.run.findings()
    assert seen.status is Status.UNKNOWN
    assert "KeyError" in seen.observed


def test_two_changes_of_one_kind_keep_both_plans(begin: Begin, home: Path) -> None:
    """One file each."""
    step = begin()
    step.change(SetTtl(home / "a", 60))
    step.change(SetTtl(home / "b", 60))
    assert len(list((step.run.path / "plan").iterdir())) == 2


def test_a_rehearsal_approves_itself_openly(
    begin: Begin, home: Path, monkeypatch: pytest.MonkeyPatch, migration: dict[str, Any]
) -> None:
    """The approver is called `rehearsal`, in the journal and in the plan's file."""
    local = "http://127.0.0.1:9"
    changes = {
        "environment": "rehearsal",
        "account_id": "123456789012",
        "aws_endpoint": local,
        "source": migration["source"] | {"app_url": local},
    }
    step = begin(apply=True, **changes)
    step.identify("123456789012", "arn:aws:iam::123456789012:root")
    assert step.change(SetTtl(home / "zone", 60))
    assert plan_file(step)["approval"]["approver"] == "rehearsal"
    assert step.journal.entries("approval")[0]["approver"] == "rehearsal"


def test_steps_remember_for_each_other(begin: Begin) -> None:
    """What one step keeps, a later one recalls, in another run's folder."""
    begin(name="07_lower_ttl").remember("old-ttl", 300)
    assert begin(name="15_dns_cutover").recall("old-ttl") == 300
    assert begin().recall("nothing", 7) == 7


def test_backups_lie_in_a_private_folder(begin: Begin, home: Path) -> None:
    """Below `migration.backups`, one of its own for each run, readable by their owner alone."""
    step = begin(backups=f"file://{home}/backups")
    folder = step.backup_folder("final")
    assert folder.parent == home / "backups" / "shadowtwin-staging"
    assert folder.name == f"{step.run.name.split('-')[0]}-final"
    assert folder.stat().st_mode & 0o077 == 0


def test_a_reference_with_nothing_behind_it_is_told(begin: Begin) -> None:
    """With the command that sets it."""
    with pytest.raises(SecretError, match="export SOURCE_DATABASE_URL"):
        begin().resolve("env:SOURCE_DATABASE_URL")


def test_a_run_is_found_by_its_name(begin: Begin) -> None:
    """As `cutover approve RUN STEP` takes it."""
    step = begin()
    assert RunFolder.find(step.run.name).path.resolve() == step.run.path.resolve()
    with pytest.raises(UsageError, match="no run"):
        RunFolder.find("20200101T000000Z-staging-day")
