"""The stakeholder report: what it says first, what it never says, and that it opens anywhere."""

from __future__ import annotations

import base64
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import sample_runs

from cutover.errors import UsageError
from cutover.finding import Finding, Severity, Status
from cutover.report import facts, html, read, write, write_junit
from cutover.secrets import redact
from cutover.step import RunFolder

EVERY = [name for name, _ in sample_runs.EVERY]
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> & \x00\x1b[31m \u202e\ud800 " + "x" * 9_000


@pytest.mark.parametrize(
    ("sample", "begins"),
    [
        ("go", "GO: All 10 tables, 312,408 rows: identical, as of "),
        ("lost_rows", "NO GO: 37 of 96,417 rows of public.messages did not arrive"),
        ("hang", "ROLLBACK: 16 Validation: the application stopped answering"),
        ("missing_infrastructure", "NO GO: Load balancer is active? No: not there (and 15 more)"),
        ("killed", "INCOMPLETE: The run ended before it reached a verdict"),
    ],
)
def test_the_verdict_is_the_first_heading_in_words(sample, begins, gallery):
    """A director reads one line and knows."""
    page = gallery[sample]
    assert page.headings[0][0] == 1
    assert page.headings[0][1].startswith(begins)


@pytest.mark.parametrize("sample", EVERY)
def test_it_opens_anywhere_and_runs_nothing(sample, gallery):
    """No script, no external reference, every relative link leads to a file; elements close; under 400 KB."""
    page = gallery[sample]
    assert not page.unclosed
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & {name for name, _ in page.elements}
    assert not [k for _, attributes in page.elements for k in attributes if k.startswith("on")]
    for attributes in page.all("a"):
        target = attributes["href"]
        assert not re.match(r"[a-z]+:", target)
        assert target.startswith("#") or (page.folder / target).is_file(), target
    assert {i["src"][:26] for i in page.all("img")} <= {"data:image/svg+xml;base64,"}
    assert "@import" not in page.source
    assert "url(" not in page.source
    without_pictures = re.sub(r'src="data:[^"]*"', "", page.source)
    assert len(without_pictures.encode()) < 400_000
    assert not re.search(r"https?://(?!app\.shadowtwin\.example)", without_pictures)


@pytest.mark.parametrize("sample", EVERY)
def test_it_is_accessible(sample, gallery):
    """A language, one first heading, no level skipped, scoped table headers, alternative texts, unique ids, labels."""
    page = gallery[sample]
    assert page.all("html") == [{"lang": "en"}]
    levels = [level for level, _ in page.headings]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert all(text for _, text in page.headings)
    assert all(attributes.get("scope") in {"col", "row"} for attributes in page.all("th"))
    assert all(len(i["alt"]) > 20 for i in page.all("img"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {i["id"] for i in page.all("input")} == {label["for"] for label in page.all("label")}
    targets = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
    assert targets <= set(ids)
    assert len(page.all("title")) == 1


def test_every_colour_is_readable_on_its_ground():
    """WCAG AA: 4.5 to 1 for every text colour of the style on every ground it stands on, light and dark."""
    css = (Path(html.__file__).parent / "style.css").read_text()
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in css.split("@media")[:2])
    for colours in (light, dark):
        for ink in ("ink", "soft", "link"):
            for ground in ("ground", "sheet", "quiet-ground"):
                assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        for tone in ("good", "bad", "doubt", "quiet"):
            assert _contrast(colours[tone], colours[f"{tone}-ground"]) >= 4.5, tone
            assert _contrast(colours[tone], colours["ground"]) >= 4.5, tone
            assert _contrast(colours["soft"], colours[f"{tone}-ground"]) >= 4.5, tone


@pytest.mark.parametrize(
    ("headline", "shown"),
    [
        ("GO: all 14 steps completed.", "all 14 steps completed."),
        ("", "20 checks passed"),
        ("GO: 7 rows are fine", "7 rows are fine"),
    ],
)
def test_a_go_says_what_is_identical(headline, shown, outputs, draw):
    """In the comparison's own sentence, whatever the run found to say for itself."""
    folder = sample_runs.go(outputs)
    said = json.loads((folder / "verdict.json").read_text()) | {"headline": headline}
    (folder / "verdict.json").write_text(json.dumps(said))
    sentence = (
        "All 10 tables, 312,408 rows: identical, as of an unknown instant (rows alone; the catalog was not compared)"
    )
    assert draw(folder).headings[0][1] == f"GO: {sentence}; {shown}"


def test_only_the_load_that_matters_is_unfolded(outputs, draw):
    """The one in which a trigger fired; the others can be opened."""
    folder = sample_runs.hang(outputs)
    sample_runs.write_load(folder, "05_load_test", minutes=3)
    source = draw(folder).source
    assert re.search(r"<summary><h3>05 Load test</h3>", source)
    assert not re.search(r"<summary><h3>16 Validation</h3> <span class=\"soft small grow\">", source)


def test_whom_to_call_and_what_to_do_stand_on_the_first_screen(gallery):
    """Contacts come from the parameters, the next steps from the verdict."""
    text = gallery["lost_rows"].text
    top = text[: text.index("What decided")]
    assert "Ada Jensen, +45 5555 0142" in top
    assert "Leave the old platform in maintenance mode" in top


def test_the_deciding_finding_says_expected_observed_why_and_remedy(gallery):
    """Its commands stand as code, one to a line."""
    page = gallery["lost_rows"]
    part = page.text[page.text.index("What decided") : page.text.index("Time in the plan")]
    for words in ("96,417 rows, digest", "37 missing", "messages that visitors wrote", "restore that table again"):
        assert words in part
    assert "<pre><code>psql &#34;$SOURCE&#34;" in page.source


def test_hostile_text_stays_text(outputs, draw):
    """Markup, quotes, control characters, half a surrogate and endless lines in every field of a finding."""
    finding = Finding(
        HOSTILE[:60], HOSTILE, Status.FAIL, Severity.BLOCKER, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE,
        evidence=(HOSTILE, "javascript:alert(3)", "../../etc/passwd", "/etc/passwd"),
        data={HOSTILE: HOSTILE},
    )  # fmt: skip
    folder = sample_runs.build(
        outputs, [(HOSTILE[:30], finding)], headline=HOSTILE, next_steps=[HOSTILE], stop_at="16_validation"
    )
    run = json.loads((folder / "run.json").read_text())
    run["params"]["migration"] |= {"name": HOSTILE, "contacts": {HOSTILE: HOSTILE}}
    run |= {"commit": HOSTILE, "caller": {HOSTILE: HOSTILE}, "notebooks": [HOSTILE], "phase": HOSTILE}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "plan").mkdir()
    (folder / "plan/x.json").write_text(json.dumps({"action": HOSTILE, "summary": HOSTILE, "after": {HOSTILE: "<b>"}}))
    page = draw(folder)
    assert not page.unclosed
    assert "script" not in {name for name, _ in page.elements}
    assert not [a for _, a in page.elements if "onerror" in a]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ud800]", page.source)
    assert "⟨U+202E⟩" in page.source
    assert "more characters in findings.jsonl" in page.source
    assert not [a for a in page.all("a") if "passwd" in a["href"] or "alert" in a["href"]]
    assert len(page.source) < 400_000


@pytest.mark.parametrize(
    ("secret", "piece"), [("hunter2&<swordfish>", "swordfish"), ("p@ss wörd/%41", "wörd"), ('quo"te\\bxyzq', "bxyzq")]
)
def test_a_secret_that_slipped_into_the_record_is_not_drawn(secret, piece, outputs, draw):
    """Redacted once more, before and after escaping, in findings, run.json, plans, file names and base64."""
    finding = Finding(
        "X-1", f"uses {secret}", Status.FAIL, Severity.HIGH, observed=f"key {secret}", remedy=f"aws {secret}"
    )
    folder = sample_runs.build(outputs, [("13_data_integrity", finding)], headline=f"NO_GO: {secret}")
    run = json.loads((folder / "run.json").read_text())
    encoded = base64.b64encode(secret.encode()).decode()
    run["caller"] = {"arn": secret, secret: encoded}
    (folder / "run.json").write_text(json.dumps(run))
    redact.register(secret)
    page = draw(folder)
    assert piece not in page.source
    assert encoded not in page.source
    assert "‹redacted›" in page.source


@pytest.mark.parametrize(
    ("spoil", "gap"),
    [
        (lambda f: (f / "verdict.json").unlink(), "verdict.json is not there"),
        (lambda f: (f / "verdict.json").write_text('{"verdict": "G'), "verdict.json cannot be read"),
        (lambda f: (f / "verdict.json").write_text("[]"), "verdict.json is no JSON object"),
        (lambda f: (f / "verdict.json").write_text('{"verdict": "PERHAPS"}'), "names no verdict that is known"),
        (lambda f: (f / "verdict.json").write_text('{"verdict": "GO", "exit_code": 1}'), "ended with exit code 1"),
        (lambda f: (f / "run.json").unlink(), "run.json is not there"),
        (lambda f: (f / "run.json").write_text("{}"), "run.json has no time of ending"),
        (lambda f: (f / "findings.jsonl").unlink(), "findings.jsonl is not there"),
        (lambda f: (f / "findings.jsonl").write_text(""), "findings.jsonl is empty"),
        (lambda f: (f / "findings.jsonl").open("a").write('{"id": "RDS-0'), "1 line cannot be read"),
        (lambda f: (f / "findings.jsonl").open("a").write("7\n[]\n{}\n"), "3 lines cannot be read"),
        (lambda f: (f / "findings.jsonl").open("ab").write(b"\xff\xfe\n"), "1 line cannot be read"),
    ],
)
def test_a_go_is_never_shown_on_a_record_that_is_not_whole(spoil, gap, outputs, draw):
    """The report says INCOMPLETE and what is missing, and does not fall over."""
    folder = sample_runs.go(outputs, pictures=False)
    spoil(folder)
    page = draw(folder)
    assert page.headings[0][1].startswith("INCOMPLETE: ")
    assert gap in page.text
    assert "This record is INCOMPLETE" in page.text


def test_a_closed_gate_stays_closed_when_the_record_is_not_whole(outputs, draw):
    """NO GO is not softened to INCOMPLETE; the gap is said beside it."""
    folder = sample_runs.lost_rows(outputs)
    (folder / "findings.jsonl").open("a").write("{")
    page = draw(folder)
    assert page.headings[0][1].startswith("NO GO: ")
    assert "This record is INCOMPLETE" in page.text


@pytest.mark.parametrize(
    "closing",
    [
        Finding("INT-09", "Sequences are ahead", Status.FAIL, Severity.BLOCKER, observed="behind"),
        Finding("INT-10", "All data was compared", Status.NOT_COMPARED, Severity.LOW, observed="a view"),
        Finding("INT-11", "Somebody looked", Status.MANUAL, Severity.HIGH),
    ],
)
def test_a_go_that_a_finding_contradicts_is_not_shown(closing, outputs, draw):
    """verdict.json alone does not make a GO."""
    folder = sample_runs.go(outputs, pictures=False)
    with (folder / "findings.jsonl").open("a") as file:
        file.write(json.dumps(closing.to_dict() | {"step": "13_data_integrity", "at": "2026-11-23T12:02:00Z"}) + "\n")
    page = draw(folder)
    assert page.headings[0][1] == "INCOMPLETE: The run said GO, but its record does not bear that out."
    assert f"yet {closing.id} ({closing.status}, {closing.severity}) closes the gate" in page.text


@pytest.mark.parametrize("state", ["failed", "timeout", "kernel-died", "interrupted", "terminated", "not-run", ""])
def test_a_go_over_a_step_that_did_not_complete_is_not_shown(state, outputs, draw):
    """Every step must have run to its end."""
    folder = sample_runs.go(outputs, pictures=False)
    said = json.loads((folder / "verdict.json").read_text())
    said["steps"][3]["state"] = state
    (folder / "verdict.json").write_text(json.dumps(said))
    assert draw(folder).headings[0][1].startswith("INCOMPLETE")


def test_a_later_look_takes_the_place_of_an_earlier_one(outputs, draw):
    """A finding that failed and then passed on a second look does not contradict the GO, and both are shown."""
    folder = sample_runs.go(outputs, pictures=False)
    lines = (folder / "findings.jsonl").read_text().splitlines()
    first = json.loads(lines[0]) | {"status": "FAIL", "at": "2026-11-23T11:59:00+00:00"}
    (folder / "findings.jsonl").write_text("\n".join([json.dumps(first), *lines]) + "\n")
    page = draw(folder)
    assert page.headings[0][1].startswith("GO: ")
    assert "looked at again later" in page.text


def test_a_look_of_a_later_step_says_how_things_stand(outputs):
    """What was not due in one step and holds in a later one stands as it was seen last; each step keeps its own."""
    folder = sample_runs.go(outputs, pictures=False)
    early = Finding("TG-11", "Targets are healthy", Status.NOT_DUE, Severity.HIGH, "targets")
    lines = [
        json.dumps(f.to_dict() | {"step": step, "at": at})
        for f, step, at in ((early, "02", "t1"), (replace(early, status=Status.PASS), "20", "t2"))
    ]
    (folder / "findings.jsonl").write_text("\n".join(lines))
    record = read(folder)
    assert [s.finding.status for s in record.standing] == [Status.PASS]
    assert len(record.latest) == 2


def test_two_findings_of_one_look_both_count(outputs):
    """One look may say the same thing of two rows; neither hides the other."""
    folder = sample_runs.go(outputs, pictures=False)
    twice = Finding("INT-03", "Rows are identical", Status.FAIL, Severity.BLOCKER, "public.users")
    lines = [json.dumps(f.to_dict() | {"step": "x", "at": "t"}) for f in (twice, replace(twice, status=Status.PASS))]
    (folder / "findings.jsonl").write_text("\n".join(lines))
    assert [s.superseded for s in read(folder).findings] == [False, False]


def test_a_run_that_waits_says_so(outputs, draw):
    """Exit code 4 is neither GO nor trouble: somebody must approve."""
    folder = sample_runs.go(outputs, pictures=False)
    said = json.loads((folder / "verdict.json").read_text())
    said |= {"verdict": "INCONCLUSIVE", "exit_code": 4, "headline": "Waiting at 15_dns_cutover: switch-dns", "next": []}
    said["steps"][5]["state"] = "waiting"
    (folder / "verdict.json").write_text(json.dumps(said))
    page = draw(folder)
    assert page.headings[0][1] == "WAITING: 15 DNS cutover: switch-dns"
    assert f"cutover approve {folder.name} STEP" in page.text


def test_a_run_that_broke_off_names_its_step(outputs, draw):
    """In the words of its title."""
    folder = sample_runs.go(outputs, pictures=False)
    said = json.loads((folder / "verdict.json").read_text())
    said |= {"verdict": "INCONCLUSIVE", "exit_code": 1, "headline": "14_deploy did not finish (kernel-died): SIGKILL."}
    (folder / "verdict.json").write_text(json.dumps(said))
    assert draw(folder).headings[0][1] == "INCONCLUSIVE: 14 Deploy did not finish (kernel-died): SIGKILL."


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ({"said": "GO: is the sign of Go. Waiting at noon: no"}, "GO: is the sign of Go. Waiting at noon: no"),
        ({"said": "switch-dns", "at": "15_dns_cutover"}, "15 DNS cutover: switch-dns"),
        (
            {"said": "SIGKILL.", "at": "14_deploy", "unfinished": "killed"},
            "14 Deploy did not finish (killed): SIGKILL.",
        ),
    ],
)
def test_the_parts_of_the_verdicts_sentence_are_read_and_not_taken_out_of_it(kept, shown, outputs):
    """The run keeps its sentence, its step and its state apart; only older runs have one text to be cut."""
    folder = sample_runs.go(outputs, pictures=False)
    said = json.loads((folder / "verdict.json").read_text()) | {"headline": "GO: another"} | kept
    (folder / "verdict.json").write_text(json.dumps(said))
    assert read(folder).headline == shown


def test_a_plan_is_not_a_verdict(outputs, draw):
    """`cutover plan` ends with 0 and judges nothing."""
    folder = sample_runs.go(outputs, pictures=False)
    said = json.loads((folder / "verdict.json").read_text())
    said |= {"verdict": "INCONCLUSIVE", "exit_code": 0, "headline": "Plan: 3 changes in 2 steps; none made."}
    (folder / "verdict.json").write_text(json.dumps(said))
    assert draw(folder).headings[0][1].startswith("PLAN: ")


def test_a_killed_run_tells_what_each_step_said_of_itself(outputs, draw):
    """Without verdict.json the steps' own files are read; one that was running is not called completed."""
    folder = sample_runs.killed(outputs)
    (folder / "steps").mkdir()
    (folder / "steps/10_final_backup.json").write_text(
        '{"name": "10_final_backup", "state": "completed", "seconds": 3}'
    )
    (folder / "steps/11_write_freeze.json").write_text('{"name": "11_write_freeze", "state": "running", "seconds": 1}')
    (folder / "steps/12_data_migration.json").write_text('{"name": "12_da')
    states = {s.name: s.state for s in read(folder).steps}
    assert states["10_final_backup"] == "completed"
    assert states["11_write_freeze"] == "running"
    assert states["12_data_migration"] == "not-recorded"
    assert states["16_validation"] == "not-run"
    assert "11 Write freeze: was still running" in draw(folder).text


def test_waivers_stand_in_the_open(gallery):
    """Who, why, until when, and what it was."""
    text = gallery["go"].text
    part = text[text.index("Known shortcomings") : text.index("What was not looked at")]
    for words in ("ACC-05", "Failed: no trail", "Mia Okafor, security", "organisation's own account", "2026-12-31"):
        assert words in part


def test_what_an_emulator_cannot_show_is_one_line(outputs, draw):
    """Folded beside what people accepted: how many, which, for which version alone; inside, each with its reason."""
    folder = sample_runs.go(outputs, pictures=False)
    lines = [
        json.dumps(
            Finding(
                f"POST-{n:02}",
                "Nobody can tell",
                Status.WAIVED,
                Severity.LOW,
                waived_from=Status.UNKNOWN,
                data={"waiver": {"reason": f"it has no part {n}", "emulator": "5.2.5", "approved_by": "Lead"}},
            ).to_dict()
            | {"step": "02", "at": "t"}
        )
        for n in (5, 6)
    ]
    (folder / "findings.jsonl").write_text("\n".join(lines))
    page = draw(folder)
    assert "What the emulator cannot show 2, for version 5.2.5 alone: POST-05, POST-06" in page.text
    assert "it has no part 6" in page.text
    assert "Known shortcomings" not in page.text


def test_what_was_not_looked_at_is_listed(gallery):
    """UNKNOWN, NOT_DUE and NOT_APPLICABLE with their reasons, and the steps that did not run."""
    text = gallery["lost_rows"].text
    part = text[text.index("vouches for nothing") : text.index("Changes No change")]
    for words in ("14 Deploy, 15 DNS cutover, 16 Validation", "GetServiceQuota is denied", "T-2h", "compute: ecs"):
        assert words in part


def test_changes_say_whether_they_were_made_and_how_they_are_undone(gallery):
    """From plan/*.json, with before and after; what is the same on both sides is left out."""
    page = gallery["go"]
    part = page.text[page.text.index("What the run planned") : page.text.index("All findings Everything")]
    for words in (
        "lower-ttl Made",
        "ttl_s 300 60",
        "approved by arn:aws:iam::210987654321:user/ada",
        "switch-dns Planned",
    ):
        assert words in part
    assert "CNAME" not in part


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ({"state": "failed", "plan": {"action": "a"}, "error": "AccessDenied"}, "failed"),
        ({"state": "waiting", "plan": {"action": "a"}, "approval": None}, "waiting"),
        ({"plan": {"action": "a"}, "result": {}, "started": "t", "seconds": 1}, "made"),
        ({"plan": {"action": "a", "empty": True}}, "nothing to do"),
        ({"action": "a"}, "planned"),
    ],
)
def test_a_plan_file_is_read_in_each_of_its_states(content, state, outputs):
    """The runner's files, and a bare plan or change."""
    folder = sample_runs.go(outputs, pictures=False)
    (folder / "plan/zz.json").write_text(json.dumps(content))
    assert {c.path: c.state for c in facts.gather(read(folder)).changes}["plan/zz.json"] == state


def test_what_cannot_be_read_is_named_and_does_not_stop_the_report(outputs, draw):
    """Damaged plans, windows and comparisons."""
    folder = sample_runs.go(outputs)
    (folder / "plan/bad.json").write_text("{")
    (folder / "raw/load/05_load_test-windows.csv").write_text("nonsense\n1\n")
    (folder / "raw/load/06_x-windows.csv").write_text("")
    (folder / "raw/postgres/comparison.json").write_text('{"tables": [')
    text = draw(folder).text
    for name in ("plan/bad.json", "05_load_test-windows.csv", "06_x-windows.csv", "raw/postgres/comparison.json"):
        assert f"{name} " in text[: text.index("What happened")]


def test_a_table_that_was_not_compared_is_not_called_identical(outputs, draw):
    """The headline, the numbers and the picture's alternative text say so."""
    folder = sample_runs.go(outputs)
    path = folder / "raw/postgres/comparison.json"
    tables = json.loads(path.read_text())["tables"]
    tables[0] |= {"target_rows": None, "not_compared": "permission denied"}
    path.write_text(json.dumps({"tables": tables}))
    page = draw(folder)
    assert "in 10 tables: 9 identical, 1 not compared" in page.text
    assert any("Not compared: public.audit_log" in i["alt"] for i in page.all("img"))
    assert "Data: not comparable: public.audit_log; 9 of 10 tables identical" in page.text
    assert "Data: all 10 tables" not in page.text


def test_a_report_drawn_again_is_the_same_bytes(outputs):
    """Drawing it again after the run was sealed does not break the seal."""
    folder = sample_runs.hang(outputs)
    first = write(folder).read_bytes()
    write_junit(folder)
    (folder / "manifest.json").write_text("{}")
    assert write(folder).read_bytes() == first


def test_the_digests_are_those_of_the_sealed_files(outputs):
    """Sealing takes secrets out of what others wrote; the report, drawn before, names the digest that will hold."""
    folder = sample_runs.killed(outputs)
    redact.register("tango-foxtrot-77")
    (folder / "raw").mkdir()
    (folder / "raw/response.json").write_text('{"key": "tango-foxtrot-77"}')
    (folder / "raw/log.arrow").write_bytes(b"\xff\x00tango-foxtrot-77")
    before = {e.path: (e.size, e.sha256) for e in facts.gather(read(folder)).evidence}
    RunFolder(folder).seal()
    sealed = json.loads((folder / "manifest.json").read_text())["files"]
    assert before == {name: (entry["size"], entry["sha256"]) for name, entry in sealed.items()}


def test_evidence_is_listed_with_its_digest_and_many_files_are_summed_up(outputs, draw):
    """A folder with hundreds of responses takes one line; the report stays small."""
    folder = sample_runs.go(outputs, pictures=False)
    digest = {e.path: e.sha256 for e in facts.gather(read(folder)).evidence}["findings.jsonl"]
    assert digest in draw(folder).source
    (folder / "raw/aws").mkdir(parents=True)
    for n in range(400):
        (folder / f"raw/aws/call-{n}.json").write_text("{}")
    listed = {e.path: e for e in facts.gather(read(folder)).evidence}
    assert listed["raw/aws/"].files == 400
    assert "findings.jsonl" in listed


def test_a_link_in_the_folder_is_not_followed(outputs, tmp_path):
    """What lies outside is no evidence of this run, and its digest may tell of a secret."""
    (tmp_path / "outside").write_text("x")
    folder = sample_runs.killed(outputs)
    (folder / "link").symlink_to(tmp_path / "outside")
    assert "link" not in {e.path for e in facts.gather(read(folder)).evidence}


def test_a_large_run_stays_readable(outputs, draw):
    """Three hundred requirements and ten thousand repeated looks: under 400 KB, and the rest is counted."""
    seen = [
        (
            "02_provisioning_checks",
            Finding(f"RDS-{n}", "Storage is encrypted", Status.PASS, observed="true", subject=str(n)),
        )
        for n in range(4_000)
    ]
    seen += [
        ("02_provisioning_checks", Finding(f"NET-{n}", "Exists", Status.UNKNOWN, Severity.LOW, "s", "e", "o", "w", "r"))
        for n in range(600)
    ]
    page = draw(sample_runs.build(outputs, seen, phase="prepare", steps=[("02_provisioning_checks", 3.0)]))
    assert len(re.sub(r'src="data:[^"]*"', "", page.source)) < 500_000
    assert "And 3700 more that passed" in page.text


def test_there_must_be_a_folder(tmp_path):
    """The one thing that cannot be reported on."""
    with pytest.raises(UsageError, match="no run folder"):
        write(tmp_path / "nowhere")


def test_an_empty_folder_still_gives_a_report(tmp_path, draw):
    """Killed before the first file."""
    page = draw(tmp_path)
    assert page.headings[0][1].startswith("INCOMPLETE")


@pytest.mark.parametrize("value", [None, [], 7, {"a": 1}, [None], [{"name": 3, "seconds": "x"}]])
@pytest.mark.parametrize("key", ["steps", "deciding", "next", "headline", "verdict", "exit_code"])
def test_no_shape_of_verdict_json_breaks_the_report(key, value, outputs, draw):
    """Whatever another version wrote there."""
    folder = sample_runs.build(outputs, sample_runs.passing()[:3], steps=[("10_final_backup", 0.0)])
    said = json.loads((folder / "verdict.json").read_text()) | {key: value}
    (folder / "verdict.json").write_text(json.dumps(said))
    assert draw(folder).headings[0][0] == 1


@pytest.mark.parametrize("value", [None, [], 7, 1e400, {"migration": {"triggers": 3, "waivers": 3}}])
@pytest.mark.parametrize("key", ["params", "caller", "versions", "started", "finished", "notebooks", "id", "phase"])
def test_no_shape_of_run_json_breaks_the_report(key, value, outputs, draw):
    """Whatever another version wrote there."""
    folder = sample_runs.build(outputs, sample_runs.passing()[:3], steps=[("10_final_backup", 0.0)])
    run = json.loads((folder / "run.json").read_text()) | {key: value}
    (folder / "run.json").write_text(json.dumps(run))
    assert draw(folder).headings[0][0] == 1


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
