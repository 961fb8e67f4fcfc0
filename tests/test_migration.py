"""The parameter model: what it takes, and what it refuses."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cutover.migration import ExpectedDifference, Migration, require_loopback
from cutover.units import format_duration, parse_duration

PARAMS = Path(__file__).resolve().parent.parent / "params"


def read(name: str) -> dict[str, Any]:
    """The `migration` mapping of a shipped parameter file."""
    return yaml.safe_load((PARAMS / f"{name}.yml").read_text())["migration"]


def changed(raw: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `raw` with one dotted key set."""
    raw = copy.deepcopy(raw)
    *parents, last = path.split(".")
    place = raw
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return raw


@pytest.mark.parametrize("name", ["rehearsal", "staging", "production"])
def test_the_shipped_parameter_files_are_valid(name: str) -> None:
    """What a newcomer copies must be accepted as it is."""
    assert Migration.model_validate(read(name)).environment == name


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("account_id", 12345678901, "leading zero"),
        ("account_id", "12345678901", "twelve digits"),
        ("region", False, "string"),
        ("watch.every", 10, "with its unit"),
        ("load.duration", "10", "with its unit"),
        ("load.duration", "ten minutes", "with its unit"),
        ("load.arrivals_per_s", float("nan"), "finite"),
        ("load.arrivals_per_s", "1e3", "number"),
        ("load.arrivals_per_s", -1, "greater than 0"),
        ("load.workers", 2.5, "integer"),
        ("load.workers", True, "integer"),
        ("load.rate", 5, "Extra inputs"),
        ("triggers.error_rate.above", 0.05, "percentage"),
        ("triggers.error_rate.above", "500%", "less than or equal"),
        ("triggers.p95.above", "3000", "with its unit"),
        ("triggers.p95.hold_on", "3s", "Extra inputs"),
        ("compute", "lambda", "'ecs' or 'ec2'"),
        ("via", "ssh:me@host", "pattern"),
        ("hostname", "https://app.example.com", "pattern"),
        ("source.database_url", "postgresql://app:hunter22@db/app", "without a password"),
        ("target.redis_url", "rediss://:hunter22@cache:6379", "without a password"),
        ("test_user", "me@example.com:hunter22", "a reference"),
        ("release.image", "repo/shadowtwin:latest", "pin a tag"),
        ("release.image", "repo/shadowtwin", "pin a tag"),
        ("aws_endpoint", "http://127.0.0.1:5000", "goes to AWS itself"),
        ("source.app_url", "stage:source.app_url", "rehearsal's endpoint"),
        ("waivers", [{"id": "RDS-05", "reason": "too short?", "approved_by": "Me"}], "a waiver ends"),
        ("waivers", [{"id": "RDS-05", "reason": "for ever", "approved_by": "Me", "emulator": "5.2.5"}], "`until`"),
        ("contacts", {}, "at least 1"),
    ],
)
def test_a_wrong_value_is_refused_and_the_message_says_what_is_wanted(path: str, value: Any, says: str) -> None:
    """Each of these would otherwise change the meaning of a run silently."""
    with pytest.raises(ValidationError) as caught:
        Migration.model_validate(changed(read("staging"), path, value))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("source.database_url", "postgresql://app@10.0.0.5:5432/app"),
        ("target.redis_url", "rediss://cache.example.com:6379"),
        ("staging.app_url", "https://app.example.com"),
        ("aws_endpoint", "https://rds.us-east-1.amazonaws.com"),
        ("resolvers", ["8.8.8.8"]),
        ("account_id", "210987654321"),
        ("aws_endpoint", None),
        ("source.database_url", "postgresql://app@127.0.0.1/app?host=db.example.com"),
        ("source.database_url", "postgresql://app@127.0.0.1.example.com/app"),
    ],
)
def test_a_rehearsal_that_could_reach_something_real_is_refused(path: str, value: Any) -> None:
    """A rehearsal has loopback endpoints only, and the emulator's account."""
    with pytest.raises(ValidationError):
        Migration.model_validate(changed(read("rehearsal"), path, value))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.77.3.10", "localhost", "[::1]"])
def test_every_loopback_address_is_allowed(host: str) -> None:
    """127.0.0.0/8 and ::1 are this machine."""
    require_loopback(f"postgresql://user@{host}:5432/app")
    require_loopback(f"{host}:53")


@given(st.integers(min_value=0, max_value=10**10))
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    """`format_duration` and `parse_duration` are inverse to the millisecond."""
    span = timedelta(milliseconds=milliseconds)
    assert abs(parse_duration(format_duration(span)) - span) < timedelta(microseconds=500)


def test_a_waiver_holds_until_its_day_and_not_after() -> None:
    """An expired waiver closes the gate again."""
    waiver = {"id": "RDS-05", "reason": "staging needs less", "until": "2026-12-31", "approved_by": "Me"}
    migration = Migration.model_validate(changed(read("staging"), "waivers", [waiver]))
    assert migration.waiver_for("RDS-05", now=datetime(2026, 12, 31, 23, tzinfo=UTC))
    assert not migration.waiver_for("RDS-05", now=datetime(2027, 1, 1, tzinfo=UTC))
    assert not migration.waiver_for("RDS-06", now=datetime(2026, 1, 1, tzinfo=UTC))


def test_a_rehearsal_waiver_holds_for_one_version_of_the_emulator() -> None:
    """What the emulator cannot do may be learnt by its next version."""
    waiver = {"id": "RDS-10", "reason": "emulator lacks it", "emulator": "5.2.5", "approved_by": "Me"}
    migration = Migration.model_validate(changed(read("rehearsal"), "waivers", [waiver]))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert migration.waiver_for("RDS-10", now=now, emulator="5.2.5")
    assert not migration.waiver_for("RDS-10", now=now, emulator="5.2.6")
    assert not migration.waiver_for("RDS-10", now=now)


def test_an_expected_difference_that_would_hide_everything_is_refused() -> None:
    """All kinds of all objects is no declaration; all owners is one."""
    with pytest.raises(ValueError, match="hides every difference"):
        ExpectedDifference(kind="*", object="*", reason="it is all fine")
    with pytest.raises(ValueError, match="hides every difference"):
        ExpectedDifference(kind="?*", object="**", reason="it is all fine")
    assert ExpectedDifference(kind="owner", object="*", reason="restored without owners").object == "*"
