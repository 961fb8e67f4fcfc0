"""Parameter files: what is accepted, and every refusal with its line, its key and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cutover.errors import ExitCode, ParamsError
from cutover.params import from_dict, load_params, plainyaml, schema, show

GOOD = """\
migration:
  name: shadowtwin
  environment: staging
  account_id: "012345678901"
  region: us-east-1
  dr_region: us-west-2
  hostname: app.shadowtwin.example
  contacts: {technical_lead: "Ada, ext. 100"}
  source:
    database_url: env:SOURCE_DATABASE_URL
    redis_url: env:SOURCE_REDIS_URL
    app_url: https://shadowtwin.example
    reports: file:///srv/reports
  target:
    database_url: secretsmanager:shadowtwin/database
    redis_url: secretsmanager:shadowtwin/redis
    reports: s3://shadowtwin-reports
  release: {image: "shadowtwin:1.1.0", version: 1.1.0}
  test_user: env:SHADOWTWIN_TEST_LOGIN
  load:
    arrivals_per_s: 25.5
    duration: 10m
  triggers:
    p95: {above: 3s, for: 1m}
  waivers:
    - {id: RDS-05, reason: accepted for now, until: 2026-12-31, approved_by: Ada}
"""


def written(text: str) -> Path:
    """A file with this text, in the working folder."""
    path = Path("p.yml")
    path.write_text(text)
    return path


def refusal(text: str) -> str:
    """The message with which a file is refused."""
    with pytest.raises(ParamsError) as caught:
        load_params(written(text))
    assert caught.value.exit_code is ExitCode.USAGE
    return str(caught.value)


def test_a_good_file_is_read() -> None:
    """Typed below `migration`, and as it was written for the notebooks."""
    loaded = load_params(written(GOOD))
    assert loaded.migration.account_id == "012345678901"
    assert loaded.migration.release.version == "1.1.0"
    assert loaded.raw["load"] == {"arrivals_per_s": 25.5, "duration": "10m"}
    assert loaded.raw["waivers"][0]["until"] == "2026-12-31"
    assert loaded.positions[("load", "duration")] == (22, 5)


def test_what_the_notebook_gets_is_accepted_again() -> None:
    """The raw mapping goes through papermill into `begin`, which validates it once more."""
    loaded = load_params(written(GOOD))
    assert from_dict(loaded.raw).migration == loaded.migration


def test_papermills_own_reading_of_the_file_means_the_same() -> None:
    """Plain `papermill -f` reads the file with YAML 1.1: an accepted file has no value that this changes."""
    from papermill.iorw import read_yaml_file

    path = written(GOOD)
    assert read_yaml_file(str(path))["migration"] == load_params(path).raw


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "says"),
    [
        ('"012345678901"', "012345678901", 4, "account_id", "leading zero"),
        ('"012345678901"', "123456789012", 4, "account_id", "in quotes"),
        ('"012345678901"', '"12345678901"', 4, "account_id", "twelve digits"),
        ("duration: 10m", "duration: 10:30", 22, "load.duration", "base of 60"),
        ("duration: 10m", "duration: 600", 22, "load.duration", "with its unit"),
        ("duration: 10m", 'duration: "600"', 22, "load.duration", "with its unit"),
        ("region: us-east-1", "region: no", 5, "region", "true or false"),
        ("name: shadowtwin", "name: On", 2, "name", "true or false"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: 1e3", 21, "load.arrivals_per_s", "write the number out"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: .nan", 21, "load.arrivals_per_s", "no threshold"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: -.inf", 21, "load.arrivals_per_s", "no threshold"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: 1_000", 21, "load.arrivals_per_s", "underscores"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: 0x10", 21, "load.arrivals_per_s", "decimal"),
        ("arrivals_per_s: 25.5", 'arrivals_per_s: "25"', 21, "load.arrivals_per_s", "a number"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: 0", 21, "load.arrivals_per_s", "above 0"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: -1", 21, "load.arrivals_per_s", "above 0"),
        ("arrivals_per_s: 25.5", "arrivals_per_s: !!str 5", 21, "", "no tags"),
        ("arrivals_per_s: 25.5", "arrivals: 25.5", 21, "load.arrivals", "did you mean `arrivals_per_s`"),
        ("  load:", "  lod:", 20, "lod", "did you mean `load`"),
        ("  region: us-east-1", "  region: us-east-1\n  region: us-east-2", 6, "region", "line 5"),
        ("environment: staging", "environment: stagin", 3, "environment", "rehearsal, staging, production"),
        ("  hostname: app.shadowtwin.example\n", "", 1, "hostname", "hostname: missing; expected text"),
        ("hostname: app.shadowtwin.example", "hostname:", 7, "hostname", "given nothing"),
        ("above: 3s", "above: 3", 24, "triggers.p95.above", "with its unit"),
        ("p95: {above: 3s, for: 1m}", "error_rate: {above: 5}", 24, "triggers.error_rate.above", "such as 5%"),
        ("until: 2026-12-31", "until: 31.12.2026", 26, "waivers[0].until", "a date"),
        ("until: 2026-12-31, ", "", 26, "waivers[0]", "a waiver ends"),
        ("shadowtwin:1.1.0", "shadowtwin:latest", 18, "release.image", "pin a tag"),
        ("version: 1.1.0", "version: 1.1", 18, "release.version", "expected text"),
        ("test_user: env:SHADOWTWIN_TEST_LOGIN", "test_user: a@b.c:hunter22", 19, "test_user", "a reference"),
        ('  contacts: {technical_lead: "Ada, ext. 100"}', "  contacts: {}", 8, "contacts", "at least"),
        ('  contacts: {technical_lead: "Ada, ext. 100"}', "  contacts: &c {a: b}", 8, "", "no anchors"),
        ('  contacts: {technical_lead: "Ada, ext. 100"}', "  contacts: [", 10, "", "not YAML"),
        ('  contacts: {technical_lead: "Ada, ext. 100"}', "  contacts: {on: b}", 8, "contacts", "true or false"),
        ('  contacts: {technical_lead: "Ada, ext. 100"}', "  contacts: {7: b}", 8, "contacts", "a key that is text"),
        ("release:", "aws_endpoint: http://127.0.0.1:1\n  release:", 3, "environment", "remove aws_endpoint"),
        (
            "env:SOURCE_REDIS_URL",
            "stage:source.redis_url",
            3,
            "environment",
            "rehearsal's endpoint stage:source.redis_url",
        ),
    ],
)
def test_a_value_that_is_not_what_was_meant_is_refused(old: str, new: str, line: int, key: str, says: str) -> None:
    """File, line, column, key, what was given, what is expected."""
    text = GOOD.replace(old, new)
    assert text != GOOD
    message = refusal(text)
    assert re.search(rf"^p\.yml:{line}:\d+: ", message, re.M), message
    assert says in message
    assert f"migration.{key}" in message or not key


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("migraton:\n  name: x\n", "did you mean `migration`"),
        ("name: x\n", "`migration` alone"),
        (GOOD + "extra: 1\n", "the key `extra`"),
        ("", "one top-level key"),
        ("- a\n", "one top-level key"),
        ("migration:\n", "the migration's keys"),
        ("migration: 5\n", "the migration's keys"),
        (GOOD + "---\nmigration: {}\n", "one document"),
    ],
)
def test_exactly_the_key_migration_stands_at_the_top(text: str, says: str) -> None:
    """So that a mistyped key never leaves the migration empty, which would attach to a rehearsal."""
    assert says in refusal(text)


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    """Nobody wants to fix a file one error at a time."""
    text = GOOD.replace("us-east-1", "useast").replace("duration: 10m", "duration: 10:30").replace("  load:", "  lod:")
    assert [int(n) for n in re.findall(r"^p\.yml:(\d+)", refusal(text), re.M)] == [5, 20, 22]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("env:SOURCE_DATABASE_URL", "postgresql://app:Hunter-22-Secret@db.example/x"),
        ('"Ada, ext. 100"', "https://ada:Hunter-22-Secret@chat.example/"),
        ('"Ada, ext. 100"', "AKIA" + "IOSFODNN7EXAMPL2"),
        ("env:SHADOWTWIN_TEST_LOGIN", "a@b.example:Hunter-22-Secret"),
        ("  load:", "  openai_api_key: Hunter-22-Secret\n  load:"),
    ],
)
def test_a_secret_in_clear_is_refused_and_not_repeated(old: str, new: str) -> None:
    """The message says how to write the reference, and does not carry the secret into a log."""
    message = refusal(GOOD.replace(old, new))
    assert "Hunter-22-Secret" not in message
    assert "EXAMPL2" not in message
    assert "env:NAME" in message or "known here" in message


def test_a_file_that_is_not_there_is_a_usage_error() -> None:
    """With the name that was looked for."""
    with pytest.raises(ParamsError, match=r"absent\.yml"):
        load_params(Path("absent.yml"))


def test_a_dict_is_refused_without_lines(migration: dict[str, Any]) -> None:
    """As plain papermill passes it: YAML 1.1 has changed values by then, and strict types refuse them."""
    changed = migration | {
        "account_id": 1234567801,
        "region": False,
        "load": {"duration": 630, "arrivals_per_s": "1e3"},
    }
    with pytest.raises(ParamsError) as caught:
        from_dict(changed, "the parameters")
    message = str(caught.value)
    for key in ("account_id", "region", "load.duration", "load.arrivals_per_s"):
        assert f"the parameters: migration.{key}: given" in message
    assert ":0:" not in message


def test_show_says_where_each_value_comes_from() -> None:
    """The file's line, or the default."""
    rows = {r.key: r for r in show(load_params(written(GOOD)))}
    assert rows["load.duration"].source == "p.yml:22"
    assert rows["load.duration"].value == "10m"
    assert rows["triggers.p95.for"].value == "1m"
    assert rows["triggers.p95.for"].source == "p.yml:24"
    assert rows["load.workers"].source == "default"
    assert rows["waivers[0].until"].source == "p.yml:26"


def test_the_schema_describes_the_whole_file() -> None:
    """Editors complete and check with it: every key of the good file is known to it."""
    described = schema()
    assert described["required"] == ["migration"]
    assert described["additionalProperties"] is False
    assert set(yaml.safe_load(GOOD)["migration"]) <= set(described["properties"]["migration"]["properties"])


TEXT = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
"""Line separators other than line feed do not survive PyYAML itself."""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(TEXT, max_size=12),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TEXT, max_size=6), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_pyyaml_writes_is_read_back_or_refused(value: Any) -> None:
    """Never another value: PyYAML quotes what YAML 1.1 would change, and what is not quoted means itself."""
    text = yaml.safe_dump(value, allow_unicode=True)
    document = plainyaml.read(text)
    if not document.problems:
        assert document.value == value


@given(st.from_regex(r"[-+]?[0-9_.:eExobnaifNAIF]{1,8}", fullmatch=True))
def test_a_bare_number_means_the_same_in_yaml_1_1_or_is_refused(text: str) -> None:
    """Numbers are where YAML 1.1 surprises: nothing is accepted that PyYAML would read as another value."""
    document = plainyaml.read(f"a: {text}\n")
    if document.problems:
        return
    read, theirs = document.value["a"], yaml.safe_load(f"a: {text}\n")["a"]
    assert read == theirs
    assert type(read) is type(theirs)
