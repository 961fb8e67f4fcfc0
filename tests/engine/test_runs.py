"""Runs of several notebooks: exit codes, gates, approvals, resuming, knobs, and what the folder says."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook_runs import BEGIN, output, states

from cutover.engine import Event, execute
from cutover.errors import ExitCode, ParamsError, UsageError
from cutover.finding import Verdict
from cutover.step import Journal, RunFolder, approve

Notebook = Callable[..., Path]
APPLY = "migration: dict = {}\napply: bool = False"
LOOK = "step.record([Finding('A-1', 'All is well', Status.{status}, Severity.HIGH, 'x', remedy='fix it')])"
CHANGE = (
    "import sys; sys.path.insert(0, {tests!r})\nfrom settings import SetTtl\n"
    "step.identify('012345678901', 'arn:aws:iam::012345678901:user/ada')\nstep.change(SetTtl({path!r}, 60))"
)


@pytest.fixture
def look(notebook: Notebook) -> Notebook:
    """`look(name, status)`: a notebook that records one finding and concludes."""

    def write(name: str, status: str = "PASS", *more: str) -> Path:
        return notebook(name, BEGIN.format(name=name), LOOK.format(status=status), *more, "step.conclude()")

    return write


@pytest.fixture
def change(notebook: Notebook, home: Path) -> Notebook:
    """`change(name)`: a notebook that sets a TTL and concludes."""

    def write(name: str) -> Path:
        begin = BEGIN.format(name=name).replace("migration)", "migration, apply=apply)")
        made = CHANGE.format(tests=str(Path(__file__).parent.parent), path=str(home / "zone"))
        return notebook(name, begin, made, "step.conclude()", parameters=APPLY)

    return write


def verdict(result: Any) -> dict[str, Any]:
    """verdict.json of a run."""
    return json.loads((result.folder / "verdict.json").read_text())


def test_open_gates_end_with_go(look: Notebook, migration: dict[str, Any], tmp_path: Path) -> None:
    """Exit code 0; the folder holds what CONTRACTS names, sealed; the report is drawn before the seal."""
    events: list[Event] = []
    drawn: list[Path] = []

    def finish(folder: Path) -> None:
        assert json.loads((folder / "verdict.json").read_text())["verdict"] == "GO"
        (folder / "report.html").write_text("a report")
        drawn.append(folder)

    result = execute(
        [look("10_a"), look("11_b")],
        migration,
        outputs=tmp_path / "out",
        phase="day",
        finish=finish,
        on_event=events.append,
        scenario="clean",
    )
    folder = RunFolder(result.folder)
    assert (result.exit_code, result.verdict) == (ExitCode.GO, Verdict.GO)
    assert result.folder.name.endswith("Z-staging-day")
    assert drawn == [result.folder]
    assert folder.verify() == []
    assert "report.html" in folder.read("manifest.json")["files"]
    facts = folder.read("run.json")
    assert facts["state"] == "finished"
    assert facts["notebooks"] == ["10_a", "11_b"]
    assert facts["scenario"] == "clean"
    assert facts["finished"] > facts["started"]
    assert [s["state"] for s in verdict(result)["steps"]] == ["completed", "completed"]
    assert [e.kind for e in events if e.kind != "cell"] == ["run", "started", "ended", "started", "ended", "finished"]
    assert [f.id for f in folder.findings()] == ["A-1", "A-1"]
    assert Journal.open("state", "shadowtwin", "staging").entries("run")[0]["verdict"] == "GO"


def test_a_closed_gate_stops_the_run(look: Notebook, migration: dict[str, Any], tmp_path: Path) -> None:
    """Exit code 3; the headline says what and where; what was not run says so; one line in the notebook."""
    result = execute([look("10_a", "FAIL"), look("11_b")], migration, outputs=tmp_path / "out", phase="day")
    said = verdict(result)
    assert (result.exit_code, result.verdict) == (ExitCode.CLOSED, Verdict.NO_GO)
    assert said["headline"].startswith("NO_GO at 10_a: All is well")
    assert [s["state"] for s in said["steps"]] == ["gate-closed", "not-run"]
    assert [f["id"] for f in said["deciding"]] == ["A-1"]
    assert said["next"][0] == "fix it"
    assert any("--resume" in n for n in said["next"])
    saved = nbformat.read(result.folder / "notebooks" / "10_a.ipynb", as_version=4)
    assert saved.metadata.cutover.state == "gate-closed"
    assert "The gate is closed" in saved.cells[0].source
    (error,) = [o for o in saved.cells[-1].outputs if o.output_type == "error"]
    assert len(error.traceback) == 1
    assert not (result.folder / "notebooks" / "11_b.ipynb").exists()


@pytest.mark.parametrize(
    ("cells", "code", "state", "says"),
    [
        ([LOOK.format(status="UNKNOWN"), "step.conclude()"], 5, "gate-closed", "INCONCLUSIVE at n: All is well"),
        ([LOOK.format(status="PASS")], 5, "completed", "ended without a conclusion"),
        (["step.conclude()"], 5, "gate-closed", "nothing was looked at"),
        (["step.show('a map')"], 5, "completed", "nothing was judged"),
        (
            ["from cutover.errors import UsageError\nraise UsageError('The flag is wrong.', todo='fix it')"],
            2,
            "failed",
            "The flag is wrong",
        ),
    ],
    ids=["unknown", "no conclusion", "nothing recorded", "only shown", "usage"],
)
def test_what_is_not_known_is_never_go(
    cells: list[str], code: int, state: str, says: str, notebook: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """Exit code 5, or that of the error that was raised."""
    result = execute([notebook("n", BEGIN.format(name="n"), *cells)], migration, outputs=tmp_path / "out")
    assert result.exit_code == code
    assert result.steps[0].state == state
    assert says in result.headline
    assert result.verdict is Verdict.INCONCLUSIVE


def test_all_that_an_error_says_is_to_be_done_comes_next(
    notebook: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """Every line of it; and nothing else that happens to hold its words."""
    error = "UsageError('It says What to do, wrongly.', why='a\\nb', todo='first\\nthen this')"
    raised = f"from cutover.errors import UsageError\nraise {error}"
    result = execute([notebook("n", BEGIN.format(name="n"), raised)], migration, outputs=tmp_path / "out")
    assert result.next[0] == "first\nthen this"
    assert not any("wrongly" in line for line in result.next)
    kept = verdict(result)
    assert (kept["at"], kept["unfinished"]) == ("n", "failed")
    assert kept["said"] == "UsageError: It says What to do, wrongly."
    assert kept["headline"] == f"n did not finish (failed): {kept['said']}"


def test_an_approval_is_waited_for_and_the_run_resumed(
    look: Notebook, change: Notebook, migration: dict[str, Any], tmp_path: Path, home: Path
) -> None:
    """Exit code 4; after the approval the steps that were completed are not run again."""
    notebooks = [look("10_a"), change("11_b"), look("12_c")]
    waiting = execute(notebooks, migration, apply=True, outputs=tmp_path / "out", phase="day")
    assert waiting.exit_code is ExitCode.WAITING
    assert [s.state for s in waiting.steps] == ["completed", "waiting", "not-run"]
    assert verdict(waiting)["next"][0] == f"cutover approve {waiting.folder.name} 11_b"
    assert RunFolder(waiting.folder).read("run.json")["caller"]["arn"].endswith("user/ada")
    approve(waiting.folder, "11_b", "arn:aws:iam::012345678901:user/grace")
    result = execute(
        notebooks, migration, apply=True, outputs=tmp_path / "out", phase="day", resume=waiting.folder.name
    )
    assert result.exit_code is ExitCode.GO
    assert (home / "zone").exists()
    assert [s["state"] for s in verdict(result)["steps"]] == ["completed"] * 3
    assert verdict(result)["steps"][0]["run"] == waiting.folder.name
    assert not (result.folder / "notebooks" / "10_a.ipynb").exists()
    assert RunFolder(result.folder).read("run.json")["resumed_from"] == waiting.folder.name


def test_a_plan_shows_every_change_and_makes_none(
    look: Notebook, change: Notebook, migration: dict[str, Any], tmp_path: Path, home: Path
) -> None:
    """A closed gate does not hide the plans behind it; exit code 0, and never the word GO."""
    result = execute(
        [look("10_a", "FAIL"), change("11_b")], migration, apply=True, plan=True, outputs=tmp_path / "out", phase="day"
    )
    assert result.exit_code is ExitCode.GO
    assert result.verdict is Verdict.INCONCLUSIVE
    assert verdict(result)["planned"] == ["Set the TTL to 60 s."]
    assert [p.name for p in (result.folder / "plan").iterdir()] == ["11_b-set-ttl.json"]
    assert not (home / "zone").exists()


def test_a_run_resumes_only_the_same_migration(look: Notebook, migration: dict[str, Any], tmp_path: Path) -> None:
    """What was seen of another target says nothing of this one; a waiver may have come in between."""
    first = execute([look("10_a", "FAIL")], migration, outputs=tmp_path / "out")
    elsewhere = migration | {"hostname": "other.example"}
    with pytest.raises(UsageError, match="hostname"):
        execute([look("10_a")], elsewhere, outputs=tmp_path / "out", resume=first.folder)
    waiver = {"id": "A-1", "reason": "accepted for now", "approved_by": "Ada", "until": "2999-01-01"}
    waived = execute(
        [look("10_a", "FAIL")], migration | {"waivers": [waiver]}, outputs=tmp_path / "out", resume=first.folder
    )
    assert waived.exit_code is ExitCode.GO
    with pytest.raises(UsageError, match="nothing is left"):
        execute([look("10_a")], migration, outputs=tmp_path / "out", resume=waived.folder)


def test_secrets_reach_nothing_under_outputs(
    notebook: Notebook, migration: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the environment, in a URL, in AWS' secret: neither outputs, tracebacks, files nor base64 hold them."""
    planted = {
        "SHADOWTWIN_API_KEY": "env-Planted/Secret+1",
        "SOURCE_DATABASE_URL": "postgresql://app:url%2FPlanted%2FSecret@127.0.0.1:1/x",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "secret").write_text('{"password": "json-Planted-Secret", "user": "app"}')
    leak = (
        "import base64, json, os, sys\nfrom urllib.parse import quote\n"
        "url = step.resolve('env:SOURCE_DATABASE_URL')\n"
        f"held = step.resolve('file:{tmp_path}/secret')\n"
        "key = os.environ['SHADOWTWIN_API_KEY']\n"
        "for value in (key, 'url/Planted/Secret', json.loads(held)['password']):\n"
        "    print(value, quote(value, safe=''), json.dumps(value), repr(value))\n"
        "    print(base64.b64encode(('user:' + value + ':x').encode()).decode(), file=sys.stderr)\n"
        "(step.run.raw('load') / 'locust.log').write_text(f'{key} {url} {held}')\n"
        "step.remember('seen', url)\n"
        "step.attach('a.json', {'url': url, key: [held]})\n"
        "step.record([Finding('A-1', 'x', Status.FAIL, observed=url, evidence=(key,), data={'k': held})])"
    )
    broken = "password = 'url/Planted/Secret'\nraise ValueError(f'{url} {held} {key} {password}')"
    result = execute([notebook("n", BEGIN.format(name="n"), leak, broken)], migration, outputs=tmp_path / "out")
    assert result.exit_code is ExitCode.BROKE
    secrets = ["env-Planted/Secret+1", "url/Planted/Secret", "url%2FPlanted", "json-Planted-Secret", "env-Planted%2F"]
    encoded = [base64.b64encode(b"user:" + s.encode() + b":x").decode()[8:-6] for s in (secrets[0], secrets[3])]
    everything = {str(p): p.read_text() for p in [*result.folder.rglob("*"), *Path("state").iterdir()] if p.is_file()}
    assert len(everything) > 8
    for word in [*secrets, *encoded]:
        assert not [name for name, text in everything.items() if word in text or word in name], word
    assert not [s for s in secrets if s in result.headline]
    assert "‹redacted›" in output(result.folder / "notebooks" / "n.ipynb")


def test_the_log_of_papermill_is_redacted(notebook: Notebook, tmp_path: Path) -> None:
    """`--log-output` and `--stdout-file` bypass the notebook's redaction in papermill's own engine."""
    import os

    papermill = Path(sys.executable).with_name("papermill")
    source = "import os; print('it is', os.environ['SOME_TOKEN'])"
    done = subprocess.run(
        [papermill, "--engine", "cutover", "--log-output", "--stdout-file", "o.txt", notebook("n", source), "o.ipynb"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"SOME_TOKEN": "planted-token-1"},
    )
    assert done.returncode == 0, done.stderr
    assert "it is ‹redacted›" in done.stderr
    assert "it is ‹redacted›" in Path("o.txt").read_text()
    assert "planted-token-1" not in done.stderr + done.stdout + Path("o.ipynb").read_text()


def test_plain_papermill_gives_the_same_findings(look: Notebook, migration: dict[str, Any], tmp_path: Path) -> None:
    """No engine of ours, no runner: a run folder of its own below `outputs/`, sealed at the conclusion."""
    import papermill

    with pytest.raises(papermill.PapermillExecutionError, match="GateClosed"):
        papermill.execute_notebook(
            str(look("10_a", "FAIL")), str(tmp_path / "o.ipynb"), {"migration": migration}, progress_bar=False
        )
    (path,) = (tmp_path / "outputs").iterdir()
    folder = RunFolder(path)
    assert [str(f.status) for f in folder.findings()] == ["FAIL"]
    assert folder.read("verdict.json")["verdict"] == "NO_GO"
    assert folder.verify() == []


def test_knobs_reach_the_notebooks_that_know_them_in_their_type(
    notebook: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """`false` is false, and a number is a number, whatever the command line passed."""
    knobs = "migration: dict = {}\nthorough: bool = True\njobs: int = 2\ndrain: float = 1.0"
    shows = notebook("a", "(thorough, jobs, drain)", parameters=knobs)
    other = notebook("b", "jobs", parameters="migration: dict = {}\njobs: int = 2")
    result = execute(
        [shows, other], migration, knobs={"thorough": "false", "jobs": "4"}, outputs=tmp_path / "out", phase="x"
    )
    assert "(False, 4, 1.0)" in output(result.folder / "notebooks" / "a.ipynb")
    assert '"4"' in output(result.folder / "notebooks" / "b.ipynb")


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"job": "4"}, "did you mean jobs"),
        ({"jobs": "4.5"}, "a whole number"),
        ({"jobs": "04"}, "a whole number"),
        ({"drain": "nan"}, "a finite number"),
        ({"drain": "soon"}, "a finite number"),
        ({"thorough": "yes"}, "true or false"),
        ({"thorough": 1}, "true or false"),
        ({"apply": "true"}, "--apply"),
    ],
)
def test_a_knob_that_is_refused_starts_no_kernel(
    knobs: dict[str, Any], says: str, notebook: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """Unknown, or not of its type: exit code 2, and no run folder."""
    declared = "migration: dict = {}\njobs: int = 2\ndrain: float = 60.0\nthorough: bool = True"
    with pytest.raises(UsageError, match=says) as caught:
        execute([notebook("a", "1", parameters=declared)], migration, knobs=knobs, outputs=tmp_path / "out")
    assert caught.value.exit_code is ExitCode.USAGE
    assert not (tmp_path / "out").exists()


def test_defaults_that_break_papermills_own_reader_are_read(notebook: Notebook) -> None:
    """`Literal`, and an equals sign in a text (papermill's issues 906 and 864)."""
    from cutover.engine.parameters import inspect

    source = "from typing import Literal\nmode: Literal['a', 'b'] = 'a'\nwhere: str = 'a=b'  # why\nplain = 3"
    assert set(inspect(notebook("n", parameters=source)).knobs) == {"mode", "where", "plain"}


def test_usage_errors_start_nothing(notebook: Notebook, migration: dict[str, Any], tmp_path: Path) -> None:
    """Bad parameters, no stage, no notebook, a notebook twice, a file that is none."""
    path, out = notebook("n", "1"), tmp_path / "out"
    (tmp_path / "broken.ipynb").write_text("{}")
    for bad in ({"migration": migration | {"regio": "x"}}, migration | {"account_id": 1}):
        with pytest.raises(ParamsError):
            execute([path], bad, outputs=out)
    for notebooks in ([], [path, path], [tmp_path / "absent.ipynb"], [tmp_path / "broken.ipynb"]):
        with pytest.raises(UsageError):
            execute(notebooks, migration, outputs=out)
    with pytest.raises(UsageError, match="No rehearsal stage"):
        execute([path], {}, outputs=out)
    assert not out.exists()


def test_a_report_that_cannot_be_drawn_costs_no_evidence(
    look: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """Exit code 1, and everything is sealed all the same."""

    def finish(folder: Path) -> None:
        raise RuntimeError("no ink")

    result = execute([look("10_a")], migration, outputs=tmp_path / "out", finish=finish)
    assert result.exit_code is ExitCode.BROKE
    assert verdict(result)["exit_code"] == 1
    assert "no ink" in result.headline
    assert RunFolder(result.folder).verify() == []


def test_two_runs_in_one_second_keep_apart(notebook: Notebook, migration: dict[str, Any], tmp_path: Path) -> None:
    """A name that is taken gets a suffix."""
    folders = {RunFolder.create(tmp_path / "out", "staging", "day").path for _ in range(3)}
    assert len(folders) == 3


def test_a_cell_that_may_fail_does_not_end_the_notebook(
    notebook: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """The tag `raises-exception` means what it means in Jupyter."""
    path = notebook("n", "1 / 0", "'went on'")
    nb = nbformat.read(path, as_version=4)
    nb.cells[1].metadata["tags"] = ["raises-exception"]
    nbformat.write(nb, path)
    result = execute([path], migration, outputs=tmp_path / "out")
    assert states(result.folder / "notebooks" / "n.ipynb") == ["completed", "completed"]


def test_a_kernel_that_waits_for_its_turn_loads_what_its_notebook_imports(
    notebook: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """The modules are loaded, and no name appears in the notebook that it did not import."""
    first = notebook("a", "import time; time.sleep(.5)")
    asks = "import sys\n['cutover.queue' in sys.modules, [n for n in dir() if n in ('cutover', 'queue', 'exec_lines')]]"
    second = notebook("b", "%time 1", asks, "from cutover import queue")
    result = execute([first, second], migration, outputs=tmp_path / "out")
    assert "[True, []]" in output(result.folder / "notebooks" / "b.ipynb")


def test_a_module_that_cannot_be_loaded_early_fails_where_it_is_imported(
    notebook: Notebook, migration: dict[str, Any], tmp_path: Path
) -> None:
    """In the cell, with its own error; the kernel starts all the same."""
    result = execute(
        [notebook("a", "1"), notebook("b", "2", "from cutover import absent")], migration, outputs=tmp_path
    )
    assert states(result.folder / "notebooks" / "b.ipynb") == ["completed", "failed"]
    assert "ImportError" in result.headline


@pytest.mark.parametrize(
    ("status", "more", "first", "last"),
    [
        (
            "PASS",
            {"apply": True},
            "cutover run review --params p.yml --outputs out --apply",
            "cutover run review --params p.yml --outputs out --apply",
        ),
        (
            "PASS",
            {"scenario": "clean"},
            "see it fail: cutover rehearse --list",
            "point it at your own account: README.md",
        ),
        (
            "FAIL",
            {"knobs": {"n": "2"}},
            "fix it",
            "cutover run day --params p.yml --outputs out -p n 2 --resume {run}",
        ),
        ("FAIL", {"scenario": "clean"}, "fix it", "cutover rehearse --scenario clean"),
        ("FAIL", {"phase": "x"}, "fix it", "cutover run 10_a --params p.yml --outputs out --resume {run}"),
    ],
)
def test_what_comes_next_is_a_command_that_can_be_typed(
    status: str, more: dict[str, Any], first: str, last: str, notebook: Notebook, migration: dict[str, Any]
) -> None:
    """With this run's parameters, knobs and outputs."""
    Path("p.yml").write_text(json.dumps({"migration": migration}))
    cells = (BEGIN.format(name="10_a"), LOOK.format(status=status), "step.conclude()")
    path = notebook("10_a", *cells, parameters="migration: dict = {}\nn: int = 1")
    result = execute([path], "p.yml", outputs=Path("out"), **{"phase": "day", **more})
    assert result.next[0] == first
    assert result.next[-1] == last.format(run=result.folder.name)
