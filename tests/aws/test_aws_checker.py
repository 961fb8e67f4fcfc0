"""The checker itself: break one attribute after the other, and see that this requirement flips, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_recordings import URLS, Cloud
from breaks import BREAKS, DEPENDANTS, Break
from requirements_page import PAGE, page
from variants import EXPECT, Variant, furnish, representable, variant

from cutover.aws import Account, check_requirements
from cutover.aws.requirements import REGISTRY
from cutover.finding import Status

LACKING = {"ACC-06", "POST-05", "POST-06", "POST-07", "POST-09", "POST-10"}
"""What the emulator cannot represent: AWS Health, prices and costs, Well-Architected Tool, Compute Optimizer."""
NOT_HERE = {"SG-08"}
"""Concerns only a platform whose name leads to CloudFront alone: it is broken by a test of its own."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An account in which everything is that a requirement can look at."""
    started = Cloud(tmp_path_factory.mktemp("checker") / "full", *URLS)
    try:
        furnish(started)
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def variants(furnished: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Variant]:
    """Its three variants, recorded."""
    folder = tmp_path_factory.mktemp("variants")
    return {name: Variant.record(furnished.endpoint, name, folder) for name in EXPECT}


def test_nearly_every_requirement_can_be_represented(variants: dict[str, Variant]) -> None:
    """In the corrected architecture each passes somewhere; what does not is named."""
    assert set(REGISTRY) - set(representable(variants)) == LACKING | NOT_HERE


def test_every_representable_requirement_is_broken_once(variants: dict[str, Variant]) -> None:
    """At least 95 % are asked for; all are there, each but once."""
    broken = [one.id for one in BREAKS]
    assert len(broken) == len(set(broken))
    assert set(representable(variants)) - set(broken) == set()


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.id)
def test_one_broken_attribute_flips_its_requirement_and_its_dependants_alone(
    variants: dict[str, Variant], one: Break
) -> None:
    """Neither blind nor jumpy: this one flips, what is declared with it, and nothing else."""
    flipped = variants[one.of].flipped(one)
    assert set(flipped) == {one.id, *DEPENDANTS.get(one.id, "").split()}
    assert flipped[one.id].status in (Status.FAIL, Status.MISSING, Status.UNKNOWN)
    assert flipped[one.id].observed


NO_FIELD = {"RDS-32", "RED-20", "LOG-05", "POST-01", "POST-04", "X-03"}
"""Broken by taking away what is looked at: that is UNKNOWN, never PASS."""


def test_what_is_broken_fails_or_is_missing_but_where_nothing_can_be_seen(variants: dict[str, Variant]) -> None:
    """A wrong value must not hide behind UNKNOWN."""
    unknown = {b.id for b in BREAKS if variants[b.of].flipped(b)[b.id].status is Status.UNKNOWN}
    assert unknown <= NO_FIELD


def test_the_table_of_requirements_is_the_registrys(variants: dict[str, Variant]) -> None:
    """docs/requirements.md is generated: python tests/aws/requirements_page.py."""
    assert PAGE.read_text() == page(variants)


def test_the_real_emulator_says_the_same(furnished: Cloud, tmp_path: Path, variants: dict[str, Variant]) -> None:
    """A sample of the breaks, made through the APIs: the same requirements flip as over the recorded answers."""
    client = Account(variant(furnished.endpoint, "ecs", tmp_path)).client
    facts = furnished.facts
    rds, elb, s3, logs = client("rds"), client("elbv2"), client("s3"), client("logs")
    group = {"TargetGroupArn": facts["target_group"]}
    made = {"DBInstanceIdentifier": "shadowtwin-prod", "ApplyImmediately": True}
    sample = {
        "RDS-13": lambda on: rds.modify_db_instance(**made, DeletionProtection=on),
        "RDS-14": lambda on: rds.modify_db_instance(**made, BackupRetentionPeriod=35 if on else 0),
        "TG-03": lambda on: elb.modify_target_group(**group, HealthCheckPath="/api/health" if on else "/"),
        "S3-04": lambda on: s3.put_bucket_versioning(
            Bucket="shadowtwin-reports", VersioningConfiguration={"Status": "Enabled" if on else "Suspended"}
        ),
        "LOG-02": lambda on: logs.put_retention_policy(logGroupName="/ecs/shadowtwin", retentionInDays=30 if on else 7),
    }
    services = ["rds", "balancer", "cross", "storage", "observability"]
    for identifier, change in sample.items():
        change(False)
        live = {f.id: f.status for f in _look(furnished, tmp_path, services)}
        change(True)
        wrong = {i for i, status in live.items() if status is Status.FAIL}
        assert wrong == {identifier, *DEPENDANTS.get(identifier, "").split()} & set(live)


def _look(cloud: Cloud, folder: Path, services: list[str]) -> list:  # type: ignore[type-arg]
    account = Account(variant(cloud.endpoint, "ecs", folder))
    return check_requirements(account, phase="review", services=services, source_major=17)
