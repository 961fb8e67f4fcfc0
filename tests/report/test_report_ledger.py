"""The ledger: one line a run, chained; a changed, removed or inserted line is found."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
import sample_runs

from cutover import files
from cutover.errors import CutoverError, UsageError
from cutover.report import append_ledger, check_ledger, ledger


@pytest.fixture
def entered(outputs: Path) -> Path:
    """A folder of outputs with four runs in its ledger, the first of them sealed."""
    for _, sample in sample_runs.EVERY[1:]:
        folder = sample(outputs)
        if sample is sample_runs.lost_rows:
            (folder / "manifest.json").write_text("{}")
        append_ledger(outputs, folder)
    return outputs


def lines(outputs: Path) -> list[str]:
    """The ledger's lines."""
    return (outputs / "ledger.jsonl").read_text().splitlines()


def test_each_line_names_its_run_its_verdict_and_the_line_before(entered):
    """The first one is preceded by zeros."""
    told = [json.loads(line) for line in lines(entered)]
    assert [t["number"] for t in told] == [1, 2, 3, 4]
    assert [t["verdict"] for t in told] == ["NO_GO", "ROLLBACK", "NO_GO", "INCOMPLETE"]
    assert told[0]["previous"] == "0" * 64
    assert told[0]["manifest_sha256"] == files.sha256(entered / told[0]["run"] / "manifest.json")
    assert check_ledger(entered) == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda told: told[:1] + told[2:], "Line 2 of the ledger"),
        (lambda told: [told[0], told[0], *told[1:]], "does not follow"),
        (lambda told: [told[1], told[0], *told[2:]], "does not follow"),
        (lambda told: [told[0].replace("NO_GO", "GO"), *told[1:]], "Line 2 of the ledger"),
        (lambda told: ["{", *told[1:]], "Line 1 of the ledger cannot be read"),
        (lambda told: [*told, "[]"], "Line 5 of the ledger cannot be read"),
    ],
)
def test_every_change_to_the_chain_is_found(spoil, problem, entered):
    """Removed, doubled, swapped, altered, unreadable, added."""
    (entered / "ledger.jsonl").write_text("\n".join(spoil(lines(entered))) + "\n")
    assert any(problem in said for said in check_ledger(entered))


def test_one_changed_byte_anywhere_but_in_the_last_line_is_found(entered):
    """The chain covers every byte of every line that has a successor."""
    text = (entered / "ledger.jsonl").read_bytes()
    end = text[:-1].rfind(b"\n")
    for place in range(0, end, 7):
        changed = bytearray(text)
        changed[place] ^= 1
        (entered / "ledger.jsonl").write_bytes(bytes(changed))
        assert check_ledger(entered), place


def test_a_manifest_that_was_replaced_and_a_run_that_is_gone_are_found(entered):
    """The ledger holds what the run's own seal cannot."""
    first = json.loads(lines(entered)[0])["run"]
    (entered / first / "manifest.json").write_text('{"other": 1}')
    assert any("is not the one that was entered" in said for said in check_ledger(entered))
    (entered / first / "manifest.json").unlink()
    assert any("has lost its manifest" in said for said in check_ledger(entered))
    (entered / first).rename(entered / "moved")
    assert any("its folder is gone" in said for said in check_ledger(entered))


def test_a_half_written_line_is_ended_and_stays_visible(entered):
    """A kill in the middle of a line costs that line, not the ledger."""
    path = entered / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert "half written" in check_ledger(entered)[0]
    append_ledger(entered, sample_runs.go(entered, pictures=False))
    problems = check_ledger(entered)
    assert problems == ["Line 4 of the ledger cannot be read."]


def _enter(outputs: str, run: str) -> None:
    for _ in range(5):
        append_ledger(Path(outputs), Path(run))


def test_runs_that_end_together_come_one_after_the_other(outputs):
    """Four processes, twenty lines, one chain."""
    run = sample_runs.killed(outputs)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_enter, args=(str(outputs), str(run))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(lines(outputs)) == 20
    assert check_ledger(outputs) == []


def test_a_lock_that_is_held_too_long_is_an_error_that_says_so(outputs, monkeypatch):
    """Rather than a broken chain or a run that never ends."""
    monkeypatch.setattr(ledger, "_PATIENCE_S", 0.1)
    run = sample_runs.killed(outputs)
    with ledger._alone(outputs / "ledger.jsonl"), pytest.raises(CutoverError, match="Another process has held"):
        append_ledger(outputs, run)


def test_there_must_be_a_run(outputs):
    """Nothing is entered for a folder that is not there."""
    with pytest.raises(UsageError):
        append_ledger(outputs, outputs / "nowhere")
    assert not (outputs / "ledger.jsonl").exists()


def test_no_ledger_is_said_and_not_passed(outputs):
    """A removed ledger is a finding of its own."""
    assert check_ledger(outputs) == ["ledger.jsonl is not there."]
