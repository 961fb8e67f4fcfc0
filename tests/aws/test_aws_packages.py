"""Requirements of a team's own, from packages that the parameters name: looked at, written down, judged again."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_recordings import Cloud, Recorded, describe_migration
from pydantic import ValidationError
from typer.testing import CliRunner

import cutover
from cutover.aws import Account, check_requirements, looks
from cutover.aws.requirements import REGISTRY, Phase, Recording, Stack, check_stack, packages
from cutover.aws.requirements.packages import RESERVED
from cutover.cli.params import params_check
from cutover.cli.requirements import recheck
from cutover.cli.root import app
from cutover.errors import UsageError
from cutover.finding import Status
from cutover.procedures.remedy import remedy_of
from cutover.step.facts import run_facts

assert recheck  # registered with the application by their import
assert params_check

ACME = '''
"""What the Acme team asks of every account."""
from cutover.aws.requirements import Outcome, RequirementSet, Stack
from cutover.aws.requirements.answers import Ask
from cutover.aws.requirements.rds import Instance
from cutover.aws.requirements.requirement import HIGH, LOW, holds
from cutover.aws.requirements.view import View

REQUIREMENTS = RequirementSet("{prefix}")


class Zones(View):
    """The region's zones."""

    @classmethod
    def ask(cls, stack: Stack) -> Ask:
        """All."""
        return Ask("ec2", "describe_availability_zones", rows="AvailabilityZones", many=True, name="the zones")


REQUIREMENTS.field(
    "{prefix}-01", Instance, "Endpoint.Port", equals={port}, severity=HIGH,
    title="The instance has the port of the house", why="The firewall of the house knows no other.",
)


@REQUIREMENTS.requirement("{prefix}-02", title="The region has zones", severity=LOW)
def zones(zones: Zones) -> Outcome:
    """Nothing runs elsewhere."""
    return holds(bool(zones.rows("AvailabilityZones")), expected=True)
'''
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package into a folder of its own, as pip leaves it there."""

    def into(name: str, *, prefix: str = "ACME", port: int = 5432, version: str = "1.2.0", source: str = ACME) -> Path:
        folder, module = tmp_path / f"site-{name}-{version}", name.replace("-", "_")
        about = folder / f"{module}-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (about / "entry_points.txt").write_text(f"[cutover.requirements]\nall = {module}:REQUIREMENTS\n")
        (folder / f"{module}.py").write_text(source.replace("{prefix}", prefix).replace("{port}", str(port)))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return folder

    return into


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("acme_checks", "other_checks"):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.delitem(sys.modules, module)


def judged(recorded: Recorded, *names: str, services: list[str] | None = None) -> dict[str, Status]:
    """The statuses of a look over the recorded account, by id, in their order."""
    migration = recorded.migration.model_copy(update={"requirements": names})
    stack = Stack(Recording(recorded.responses), migration, recorded.now, Phase.REVIEW, 17)
    return {f.id: f.status for f in check_stack(stack, services=services)}


def test_the_requirements_of_a_package_are_looked_at_after_ours(install: Install, recorded: Recorded) -> None:
    """They pass and fail as ours do, over the same answers."""
    install("acme-checks")
    install("other-checks", prefix="OTHER", port=6432)
    found = judged(recorded, "acme-checks", "other-checks")
    assert list(found)[len(REGISTRY) :] == ["ACME-01", "ACME-02", "OTHER-01", "OTHER-02"]
    assert [found[i] for i in ("ACME-01", "OTHER-01")] == [Status.PASS, Status.FAIL]
    assert list(judged(recorded, "acme-checks", services=["acme-checks"])) == ["ACME-01", "ACME-02"]


def test_a_package_that_the_parameters_do_not_name_is_not_even_imported(install: Install, recorded: Recorded) -> None:
    """Installed is not chosen."""
    install("acme-checks")
    install("other-checks", prefix="OTHER", source="raise SystemExit('imported')")
    assert "ACME-01" not in judged(recorded)
    assert "acme_checks" not in sys.modules
    assert "ACME-01" in judged(recorded, "acme-checks")
    assert "other_checks" not in sys.modules
    assert "ACME-01" not in REGISTRY


@pytest.mark.parametrize("prefix", ["RDS", "CI", "INT", "TRG", "LIVE", "QUE"])
def test_a_prefix_of_ours_is_refused_and_both_are_named(install: Install, recorded: Recorded, prefix: str) -> None:
    """A waiver of RDS-01 must mean one thing."""
    install("acme-checks", prefix=prefix)
    with pytest.raises(UsageError, match=r"acme-checks 1\.2\.0 and by Cutover"):
        judged(recorded, "acme-checks")


def test_a_prefix_of_another_package_is_refused_and_both_are_named(install: Install, recorded: Recorded) -> None:
    """Whichever is named first."""
    install("acme-checks")
    install("other-checks", version="3.0")
    with pytest.raises(UsageError, match=r"other-checks 3\.0 and by acme-checks 1\.2\.0"):
        judged(recorded, "acme-checks", "other-checks")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("REQUIREMENTS = {}", "of type dict, not a RequirementSet"),
        ("import no_such_module_anywhere", "cannot be loaded: ModuleNotFoundError"),
        (ACME.replace("{prefix}-02", "RDS-02"), "RDS-02 of acme-checks.* does not begin with ACME-"),
        (ACME.replace("{prefix}-02", "{prefix}-01"), "two requirements are called ACME-01"),
        (ACME.replace("equals={port}, ", ""), "ACME-01 is compared with nothing"),
        (ACME.replace("equals={port}", "equals=1, at_most=2"), "compared with equals, at_most: give one"),
        (ACME.replace('"""Nothing runs elsewhere."""', ""), "ACME-02 does not say why"),
        (
            "from cutover.aws.requirements import RequirementSet\nREQUIREMENTS = RequirementSet('ACME')",
            "no requirement",
        ),
        (
            "from cutover.aws.requirements.requirement import LOW, requirement\n"
            "@requirement('ACME-09', title='A title', severity=LOW)\ndef check(): 'Why.'\n",
            "ACME-09 is registered from acme_checks",
        ),
    ],
)
def test_a_package_that_cannot_be_taken_says_why(install: Install, recorded: Recorded, source: str, says: str) -> None:
    """By name and version, before anything is asked; and nothing of it stays behind."""
    install("acme-checks", source=source)
    before = dict(REGISTRY)
    with pytest.raises(UsageError, match=says) as told:
        judged(recorded, "acme-checks")
    assert "acme-checks 1.2.0" in str(told.value)
    assert before == REGISTRY


@pytest.mark.parametrize(("name", "says"), [("acme-checks", "is not installed"), ("pydantic", "declares no requirem")])
def test_a_package_without_requirements_is_refused(recorded: Recorded, name: str, says: str) -> None:
    """A look that leaves out what was asked for is no look."""
    with pytest.raises(UsageError, match=says):
        judged(recorded, name)
    assert list(judged(recorded, name, services=["dns"])) == [r.id for r in REGISTRY.values() if r.service == "dns"]


@pytest.mark.parametrize(
    "wrong", ["acme-checks", ["acme checks"], ["../acme"], [""], ["acme-checks", "Acme_Checks"], {"acme-checks": "1"}]
)
def test_the_key_is_strict(wrong: object) -> None:
    """A list of packages' names, each once."""
    with pytest.raises(ValidationError, match="requirements"):
        describe_migration("http://127.0.0.1:9", requirements=wrong)


def test_the_command_checks_the_packages_of_a_parameter_file(install: Install, tmp_path: Path) -> None:
    """Before a run: what is loaded is said, what is not there refused."""
    text = (Path(__file__).parents[2] / "params" / "staging.yml").read_text()
    (tmp_path / "staging.yml").write_text(text + "  requirements: [acme-checks]\n")
    refused = CliRunner().invoke(app, ["params", "check", str(tmp_path / "staging.yml")])
    assert isinstance(refused.exception, UsageError)
    install("acme-checks")
    done = CliRunner().invoke(app, ["params", "check", str(tmp_path / "staging.yml")])
    assert "acme-checks 1.2.0: 2 requirements, ACME-…" in done.stderr


def test_a_run_names_them_and_judges_them_again(
    install: Install, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the package: identical. With one that lost a requirement, or without it: UNKNOWN, never as before."""
    site = install("acme-checks")
    folder = tmp_path / "outputs" / "20261123T120000Z-rehearsal-prepare"
    migration = describe_migration(cloud.endpoint, requirements=["acme-checks"])
    account = Account(migration, raw=folder / "raw" / "aws")
    found = check_requirements(account, services=["acme-checks", "account"], source_major=17)
    params = migration.model_dump(mode="json", by_alias=True, exclude_none=True)
    facts = run_facts(folder.name, "prepare", migration, params, ["02_provisioning_checks"], apply=False)
    assert facts["requirements"] == {"acme-checks": "1.2.0"}
    (folder / "run.json").write_text(json.dumps(facts))
    failed = json.dumps(next(f.to_dict() for f in found if f.id == "ACME-02") | {"status": "FAIL"})
    (folder / "findings.jsonl").write_text(failed + "\n")
    assert set(remedy_of(folder).by_hand) == {"ACME-02"}
    (look,) = looks(folder / "raw" / "aws")
    assert [(p.name, p.version, p.ids) for p in look.packages] == [("acme-checks", "1.2.0", ("ACME-01", "ACME-02"))]

    def again() -> tuple[list[str], dict[str, str], dict[str, str]]:
        done = CliRunner().invoke(app, ["recheck", str(folder), "--outputs", str(folder.parent), "--json"])
        told = json.loads(done.stdout)
        own = [f for f in told["findings"] if f["id"].startswith("ACME-")]
        return told["differing"], {f["id"]: f["status"] for f in own}, {f["id"]: f.get("observed") for f in own}

    assert again()[:2] == ([], {"ACME-01": "PASS", "ACME-02": "PASS"})
    monkeypatch.delitem(sys.modules, "acme_checks")
    fewer = install("acme-checks", version="2.0", source=ACME[: ACME.index('@REQUIREMENTS.requirement("{prefix}-02"')])
    differing, statuses, observed = again()
    assert (differing, statuses) == (["ACME-02"], {"ACME-01": "PASS", "ACME-02": "UNKNOWN"})
    assert "acme-checks 1.2.0 judged it, and acme-checks 2.0 is installed" in observed["ACME-02"]
    for path in (site, fewer):
        sys.path.remove(str(path))
    monkeypatch.delitem(sys.modules, "acme_checks")
    differing, statuses, observed = again()
    assert (differing, statuses) == (["ACME-01", "ACME-02"], {"ACME-01": "UNKNOWN", "ACME-02": "UNKNOWN"})
    assert "acme-checks 1.2.0 judged it, and no version of it is installed here" in observed["ACME-01"]
    assert run_facts("r", "p", migration, params, [], apply=False)["requirements"] == {"acme-checks": None}


def test_the_example_of_the_docs_works(install: Install, account: Account) -> None:
    """It is copied before it is read."""
    page = (Path(__file__).parents[2] / "docs" / "own-requirements.md").read_text()
    install("acme-checks", source="\n".join(re.findall(r"```python\n(.*?)```", page, re.S)))
    account.migration = account.migration.model_copy(update={"requirements": ("acme-checks",)})
    found = check_requirements(account, services=["acme-checks"])
    assert [(f.id, f.status) for f in found] == [("ACME-01", Status.FAIL), ("ACME-02", Status.FAIL)]


def test_every_prefix_of_our_findings_is_reserved() -> None:
    """An id that Cutover gives anywhere is not to be had."""
    found = set()
    for path in Path(cutover.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Finding", "Finding.check") and node.args:
                given = re.match(r"f?['\"]([A-Z][A-Z0-9]*)-", ast.unparse(node.args[0]))
                found |= {given[1]} if given else set()
    assert len(found) > 10
    assert found <= RESERVED
    assert {i.partition("-")[0] for i in REGISTRY} <= RESERVED
    assert packages(()) == ()
